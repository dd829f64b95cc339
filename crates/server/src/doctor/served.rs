//! The server itself, and what it shows to the network.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use dataflow_model::report::Certificate;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{Examination, Finding};
use crate::{
    admin::Running,
    clock::{Clock, DAY, parse_rfc3339},
    config::{DataConfig, NODES_MAX},
    listen::{Tls, TlsFiles},
};

/// How long before its end a certificate should be renewed.
const RENEW: i64 = 14 * DAY;

pub(super) fn server(data: &DataConfig, running: &anyhow::Result<Option<Running>>) -> Finding {
    const SERVER: &str = "server";
    match running {
        Ok(Some(Running { version, listen, .. })) if version == env!("CARGO_PKG_VERSION") => {
            Finding::ok(SERVER, format!("Version {version} answers, at {listen}"))
        }
        Ok(Some(Running { version, .. })) => Finding::warning(
            SERVER,
            format!("The running server is version {version}, and this is {}.", env!("CARGO_PKG_VERSION")),
            "Restart the server, so that both are the same.",
        ),
        Ok(None) if holders(data).is_empty() => {
            Finding::warning(SERVER, "None runs on this data folder.", "Start it with “dataflow serve”.")
        }
        Ok(None) => Finding::problem(
            SERVER,
            format!("Process {} holds the data folder and does not listen to shells.", holders(data).join(", ")),
            "If it is starting, look again; else look at its log, and restart it.",
        ),
        Err(error) => Finding::problem(
            SERVER,
            format!("One listens on this data folder and does not answer: {error:#}."),
            "Look at its log, and restart it.",
        ),
    }
}

/// The processes that hold one of the folder's locks (proc(5), `/proc/locks`). Taking a lock to see would be in a server's way.
fn holders(data: &DataConfig) -> Vec<String> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let nodes = (1..=NODES_MAX).map(|node| data.node_folder(node).join("lock"));
    let inodes: Vec<_> =
        nodes.chain([data.folder.join("lock")]).filter_map(|lock| fs::metadata(lock).ok()).map(|lock| lock.ino()).collect();
    let mut found: Vec<_> = locks
        .lines()
        .filter_map(|line| {
            // 1: FLOCK  ADVISORY  WRITE 4711 08:01:1234567 0 EOF
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, "FLOCK", _, "WRITE", process, place, ..] = words.as_slice() else { return None };
            let inode = place.rsplit(':').next()?.parse().ok()?;
            inodes.contains(&inode).then(|| (*process).to_owned())
        })
        .collect();
    found.dedup();
    found
}

pub(super) fn outbound(running: &Running) -> Finding {
    const OUTBOUND: &str = "outbound";
    if !running.tests {
        return Finding::ok(OUTBOUND, "Tests of connections are switched off");
    }
    let networks =
        |list: &[dataflow_connectors::policy::Cidr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let policy = &running.policy;
    let allowed = |list: &[_]| if list.is_empty() { "every network".to_owned() } else { networks(list) };
    let denied = |list: &[_]| if list.is_empty() { String::new() } else { format!(", but {}", networks(list)) };
    let words = |lists: &dataflow_connectors::policy::AddressLists| format!("{}{}", allowed(&lists.allow), denied(&lists.deny));
    let narrowed = if policy.set == dataflow_connectors::policy::AddressLists::default() {
        String::new()
    } else {
        format!("; of these, as an owner set, {}", words(&policy.set))
    };
    let reached = format!("{}{narrowed}", words(&policy.configured));
    let loopback = if policy.allow_loopback { "with" } else { "without" };
    Finding::ok(
        OUTBOUND,
        format!("Tests reach {reached}; {loopback} this machine's loopback, never link-local or cloud metadata"),
    )
}

pub(super) fn audit(running: &Running) -> Finding {
    const AUDIT: &str = "audit";
    let found = if running.audit_is_strict {
        "Strict: a read of credentials is on disk before its answer"
    } else {
        "A read of credentials is written before its answer and on disk within 50 ms; with --audit-strict before it"
    };
    Finding::ok(AUDIT, found)
}

pub(super) fn certificate(asked: &Examination<'_>, running: Option<&Running>) -> Option<Finding> {
    const CERTIFICATE: &str = "certificate";
    let (certificate, key) = asked.tls.clone().or_else(|| running.and_then(|running| running.tls.clone()))?;
    let public_url = asked.public_url.clone().or_else(|| running.and_then(|running| running.public_url.clone()));
    if let Err(error) = Tls::load(TlsFiles::new(certificate.clone(), key)) {
        return Some(Finding::problem(
            CERTIFICATE,
            error.to_string(),
            "Put a pair there that belongs together; the server reads it again.",
        ));
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    let own = dataflow_connectors::tls::describe(&chain.ok()?).into_iter().next()?;
    Some(judge(&certificate, &own, public_url.as_deref(), &asked.clock))
}

pub(super) fn judge(path: &Path, own: &Certificate, public_url: Option<&str>, clock: &Clock) -> Finding {
    const CERTIFICATE: &str = "certificate";
    let (path, now) = (path.display(), clock.now());
    let ends = parse_rfc3339(&own.not_after).unwrap_or_default();
    let begins = parse_rfc3339(&own.not_before).unwrap_or(i64::MAX);
    if ends <= now {
        return Finding::problem(
            CERTIFICATE,
            format!("{path} expired at {}.", own.not_after),
            "Renew it; the server reads it again.",
        );
    }
    if begins > now {
        let hint = "Wait, correct the clock, or use another one.";
        return Finding::problem(CERTIFICATE, format!("{path} is valid only from {} on.", own.not_before), hint);
    }
    let host = public_url.and_then(|url| url::Url::parse(url).ok()).and_then(|url| url.host_str().map(ToOwned::to_owned));
    if let Some(host) = host.filter(|host| !own.names.iter().any(|name| is_for(name, host))) {
        return Finding::problem(
            CERTIFICATE,
            format!("{path} is for {}, and people open {host}.", own.names.join(", ")),
            "Get one that names the host of --public-url, or correct that.",
        );
    }
    let found = format!("{path} is for {}, valid until {}", own.names.join(", "), own.not_after);
    if ends - now < RENEW {
        return Finding::warning(CERTIFICATE, format!("{found}."), "Renew it; the server reads it again.");
    }
    Finding::ok(CERTIFICATE, found)
}

/// Whether a name of a certificate stands for this host; `*` for one label (RFC 6125, section 6.4.3).
pub(super) fn is_for(name: &str, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

//! Checkpoints: where each chain stands, sent off the machine. What holds the store and the segments alone can be rolled back whole without
//! a trace; against a checkpoint it cannot.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::{fs::OpenOptionsExt as _, net::UnixDatagram},
    path::PathBuf,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    clock::{Clock, rfc3339},
    store,
};

/// Where checkpoints go.
#[derive(Debug, Clone)]
pub enum Sink {
    /// Lines of JSON at the end of a file.
    File(PathBuf),
    /// The system's log, by its socket; RFC 5424.
    Syslog(PathBuf),
}

/// Where the system's log listens.
pub const SYSLOG: &str = "/dev/log";

/// Where one chain stood.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// RFC 3339, UTC.
    pub at: String,
    pub instance: String,
    pub chain: String,
    pub seq: i64,
    /// In hex.
    pub link: String,
}

impl Checkpoint {
    /// Reads the newest of each chain out of lines, of which each ends with one: a file of them, or a system's log.
    #[must_use]
    pub fn newest(text: &str) -> Vec<Self> {
        let mut newest: Vec<Self> = Vec::new();
        let lines = text.lines().filter_map(|line| line.find('{').and_then(|begin| line.get(begin..)));
        for point in lines.filter_map(|json| serde_json::from_str::<Self>(json.trim_end()).ok()) {
            match newest.iter_mut().find(|known| (&known.instance, &known.chain) == (&point.instance, &point.chain)) {
                Some(known) if known.seq <= point.seq => *known = point,
                Some(_) => {}
                None => newest.push(point),
            }
        }
        newest
    }
}

/// Sends where each chain stands, if one has come further than in `sent`, the numbers of before by chain.
pub async fn send(app: &App, sink: &Sink, sent: &mut std::collections::BTreeMap<String, i64>) -> anyhow::Result<()> {
    let rows = store::chains(&mut app.store.read().await?).await?;
    for row in rows {
        if sent.get(&row.name) == Some(&row.seq) {
            continue;
        }
        let row = super::chain::checked(row, &app.vault)?;
        let point = Checkpoint {
            at: rfc3339(app.clock.now()),
            instance: app.vault.instance().to_string(),
            chain: row.name.clone(),
            seq: row.seq,
            link: hex::encode(&row.link),
        };
        sink.write(&point, &app.clock)?;
        sent.insert(row.name, row.seq);
    }
    Ok(())
}

impl Sink {
    #[expect(clippy::disallowed_methods, reason = "a socket of this machine that the operator named by a path, and no address")]
    fn write(&self, point: &Checkpoint, clock: &Clock) -> anyhow::Result<()> {
        let json = serde_json::to_string(point)?;
        match self {
            Self::File(path) => {
                let doing = || format!("append a checkpoint to {}", path.display());
                let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).with_context(doing)?;
                file.write_all(format!("{json}\n").as_bytes()).and_then(|()| file.sync_data()).with_context(doing)
            }
            Self::Syslog(path) => {
                let doing = || format!("send a checkpoint to the system's log at {}", path.display());
                let socket = UnixDatagram::unbound().with_context(doing)?;
                // A log that stands still and has taken all that it can would hold this thread up for as long; this is tried again in a minute.
                socket.set_nonblocking(true).with_context(doing)?;
                // Facility 13 is the audit's, severity 5 a notice.
                let line = format!("<109>1 {} - dataflow {} audit-checkpoint - {json}", rfc3339(clock.now()), std::process::id());
                socket.send_to(line.as_bytes(), path).map(drop).with_context(doing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        audit::chain,
        fixture::TestApp,
        ops::{Caller, workspaces},
    };

    /// A system's log, and what it is told.
    struct Log(UnixDatagram);

    impl Log {
        fn listen(path: &std::path::Path) -> Self {
            let socket = UnixDatagram::bind(path).expect("own folder");
            socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
            Self(socket)
        }

        /// The lines that have come.
        fn lines(&self) -> Vec<String> {
            let mut buffer = [0; 4096];
            let next = || self.0.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
            std::iter::from_fn(next).collect()
        }
    }

    #[tokio::test]
    async fn a_systems_log_gets_each_step_once_and_holds_nobody_up() {
        let app = TestApp::on_sqlite().await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let (sink, mut sent) = (Sink::Syslog(path.clone()), BTreeMap::new());
        let change = async |name: &str| {
            workspaces::create(&app, &Caller::shell(), name).await.expect("made");
            chain::advance(&app).await.expect("chained");
        };
        change("first").await;
        let away = send(&app, &sink, &mut sent).await.expect_err("nobody listens");
        assert!(format!("{away:#}").contains(&path.display().to_string()), "{away:#}");

        let log = Log::listen(&path);
        send(&app, &sink, &mut sent).await.expect("sent");
        send(&app, &sink, &mut sent).await.expect("nothing new");
        change("second").await;
        send(&app, &sink, &mut sent).await.expect("sent");
        let lines = log.lines();
        let [first, second] = lines.as_slice() else { panic!("two lines: {lines:#?}") };
        for line in [first, second] {
            // RFC 5424: PRI and version, time, host, app, process, kind, no structured data, message.
            let words: Vec<_> = line.splitn(8, ' ').collect();
            let [version, at, host, name, process, kind, data, message] = words.as_slice() else { panic!("{line}") };
            assert_eq!((*version, *host, *name, *kind, *data), ("<109>1", "-", "dataflow", "audit-checkpoint", "-"));
            assert_eq!(*process, std::process::id().to_string());
            assert!(crate::clock::parse_rfc3339(at).is_some() && message.starts_with('{'), "{line}");
        }
        let newest =
            Checkpoint::newest(&format!("Nov  2 09:00:00 host {first}\nsomething else\nNov  2 09:01:00 host {second}\n"));
        let [newest] = newest.as_slice() else { panic!("{newest:?}") };
        let row = store::chain(&mut app.store.read().await.expect("open"), chain::CHANGES).await.expect("read").expect("there");
        assert_eq!((newest.seq, &newest.link), (row.seq, &hex::encode(&row.link)));
        assert_eq!(newest.instance, app.vault.instance().to_string());

        // It stands still: once it has all that it can take, nobody waits for it.
        let began = Instant::now();
        let refused = async {
            for _ in 0..100_000 {
                sent.clear();
                if send(&app, &sink, &mut sent).await.is_err() {
                    return true;
                }
            }
            false
        };
        let refused = tokio::time::timeout(Duration::from_secs(30), refused).await;
        assert_eq!(refused, Ok(true), "after {:?}", began.elapsed());
        let full = log.lines().len();
        assert!(full > 0);
        send(&app, &sink, &mut sent).await.expect("it goes on");
        assert_eq!(log.lines().len(), 1);
    }
}

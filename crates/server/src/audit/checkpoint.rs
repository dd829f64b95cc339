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
                // Facility 13 is the audit's, severity 5 a notice.
                let line = format!("<109>1 {} - dataflow {} audit-checkpoint - {json}", rfc3339(clock.now()), std::process::id());
                socket.send_to(line.as_bytes(), path).map(drop).with_context(doing)
            }
        }
    }
}

//! Other nodes of a store that many share.

use std::{fs, path::Path};

use crate::{
    cable::Cable,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
    stored::Stored,
};

/// Another node's `dataflow serve`.
///
/// # Panics
/// If it does not start.
pub fn serve(data: &Path, database_url: &str, port: &Port, log: &Path) -> Process {
    let mut process = Spawn::new(crate::binary::dataflow_bin(), Stop::Terminate)
        .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number()), "--database-url", database_url, "--data"])
        .arg(data)
        .start(log);
    process.wait_until("another node", |process| process.log().contains("is ready at"));
    process
}

/// A node of the same store on another machine, whose line to the database can be cut.
pub struct Remote {
    pub process: Process,
    pub port: Port,
    pub cable: Cable,
    _folder: TempDir,
}

impl Remote {
    /// # Panics
    /// If it does not start.
    pub fn start(stored: &Stored) -> Self {
        let url = stored.database_url().expect("on PostgreSQL");
        let database = url.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/')).expect("a port");
        let cable = Cable::to(database.0.parse().expect("a port"));
        let (folder, port) = (TempDir::new(), Port::free());
        fs::copy(stored.server.data().with_extension("key"), folder.join("data.key")).expect("a copy");
        let through = url.replace(&format!(":{}/", database.0), &format!(":{}/", cable.port()));
        let process = serve(&folder.join("data"), &through, &port, &folder.join("log"));
        Self { process, port, cable, _folder: folder }
    }
}

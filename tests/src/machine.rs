//! Another machine, with nothing on it but a folder and perhaps a database: what a backup is restored on.

use std::{path::PathBuf, process::Command};

use crate::{
    binary::dataflow_bin,
    folder::TempDir,
    port::Port,
    postgres::{Postgres, PostgresOptions},
    process::{Process, Spawn, Stop},
    shell::Shell,
    stored::Engine,
};

/// A place for a store, and the server that may run on it.
#[derive(Debug)]
pub struct Machine {
    // Ends before the database and the folder.
    process: Option<Process>,
    port: Port,
    postgres: Option<Postgres>,
    folder: TempDir,
}

impl Machine {
    /// # Panics
    /// If its database does not start.
    pub fn new(engine: Engine) -> Self {
        let postgres = (engine == Engine::Postgres).then(|| Postgres::start(&PostgresOptions::default()));
        Self { process: None, port: Port::free(), postgres, folder: TempDir::new() }
    }

    /// A file beside the data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Where its key file is, once there is one.
    pub fn key(&self) -> PathBuf {
        self.path("data.key")
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `--data DIR` and, where there is one, `--database-url URL`.
    pub fn store(&self) -> Vec<String> {
        let folder = ["--data".to_owned(), self.data().display().to_string()];
        let database = self.postgres.as_ref().map(|postgres| ["--database-url".to_owned(), postgres.url("postgres")]);
        folder.into_iter().chain(database.into_iter().flatten()).collect()
    }

    /// `dataflow restore`, to be run.
    pub fn restore(&self, file: impl Into<std::ffi::OsString>) -> Shell {
        Shell::new(["restore"]).arg(file).args(self.store())
    }

    /// Starts a server on its store.
    ///
    /// # Panics
    /// With what the binary printed, if it does not get ready.
    pub fn serve(&mut self) -> &mut Process {
        let process = Spawn::new(dataflow_bin(), Stop::Terminate)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port())])
            .args(self.store())
            .start(&self.path("log"));
        let process = self.process.insert(process);
        process.wait_until("the server of another machine", |process| process.log().contains("is ready at"));
        process
    }

    /// Runs SQL on its store; columns are parted by `|`, rows by line ends.
    ///
    /// # Panics
    /// If the SQL fails.
    pub fn sql(&self, sql: &str) -> String {
        if let Some(postgres) = &self.postgres {
            return postgres.psql(sql);
        }
        let done = Command::new("sqlite3").arg("-bail").arg(self.data().join("store.db")).arg(sql).output();
        let done = done.expect("sqlite3 runs; `make deps`");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }
}

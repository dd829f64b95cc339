//! A running server on one of the two stores, with the store's tables in reach.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    http::{Answer, Request},
    postgres::{Locked, Postgres, PostgresOptions},
    server::{TestServer, TestServerOptions},
    shell::Shell,
};

/// Where the store is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A server, and an admin's token for its workspace `default`.
#[derive(Debug)]
pub struct Stored {
    // Before the database, so that it ends first.
    pub server: TestServer,
    pub admin: String,
    postgres: Option<Postgres>,
}

impl Stored {
    /// # Panics
    /// If the server or its database does not start.
    pub fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[])
    }

    /// With more arguments of `dataflow serve`.
    ///
    /// # Panics
    /// If the server or its database does not start.
    pub fn start_with(engine: Engine, arguments: &[&str]) -> Self {
        let postgres = (engine == Engine::Postgres).then(|| Postgres::start(&PostgresOptions::default()));
        let database_url = postgres.as_ref().map(|postgres| postgres.url("postgres"));
        let server = TestServer::start(TestServerOptions {
            database_url,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            ..TestServerOptions::default()
        });
        let admin = server.token("default", "admin", "admin");
        Self { server, admin, postgres }
    }

    /// The URL of the database, for another node.
    pub fn database_url(&self) -> Option<String> {
        self.postgres.as_ref().map(|postgres| postgres.url("postgres"))
    }

    /// Has every process of the database stand still (SIGSTOP) until what this gives is dropped.
    ///
    /// # Panics
    /// If the store is not PostgreSQL.
    pub fn stop_database(&self) -> Stopped {
        Stopped::new(self.postgres.as_ref().expect("on PostgreSQL").processes())
    }

    /// Keeps tables from everybody, until what this gives is dropped.
    ///
    /// # Panics
    /// If the store is not PostgreSQL.
    pub fn lock_tables(&self, tables: &str) -> Locked<'_> {
        self.postgres.as_ref().expect("on PostgreSQL").lock(tables)
    }

    /// Adds copies of the one connection until there are `count`, while the server is stopped. Their MACs are another row's, which nobody looks
    /// at in a store that is filled, listed or started.
    ///
    /// # Panics
    /// If the SQL fails.
    pub fn multiply(&self, count: u32) {
        self.sql(&MULTIPLY.replace("COUNT", &(count - 1).to_string()));
    }

    /// `--data DIR` and, where there is one, `--database-url URL`.
    pub fn data_arguments(&self) -> Vec<String> {
        let folder = ["--data".to_owned(), self.server.data().display().to_string()];
        let database = self.database_url().map(|url| ["--database-url".to_owned(), url]);
        folder.into_iter().chain(database.into_iter().flatten()).collect()
    }

    /// Runs SQL on the store; columns are parted by `|`, rows by line ends. To change rows, stop the server first: it caches.
    ///
    /// # Panics
    /// If the SQL fails.
    pub fn sql(&self, sql: &str) -> String {
        if let Some(postgres) = &self.postgres {
            return postgres.psql(sql);
        }
        let file = self.server.data().join("store.db");
        let done = Command::new("sqlite3")
            .args(["-bail", "-cmd", ".timeout 5000"])
            .arg(file)
            .arg(sql)
            .output()
            .expect("sqlite3 runs; `make deps`");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// All that a refused request could have changed.
    pub fn state(&self) -> String {
        self.sql(
            "SELECT id, version, description, updated_at, deleted_at FROM connections ORDER BY id; SELECT count(*) FROM connection_versions; \
             SELECT count(*) FROM audit_events WHERE actor <> 'server'; SELECT count(*) FROM tokens; SELECT count(*) FROM people; SELECT count(*) FROM members; \
             SELECT tick FROM change_clock",
        )
    }

    /// What SQL gives of events, each with its detail last: without the rows that it notes, which each does though there be none.
    pub fn events(&self, sql: &str) -> String {
        let line = |line: &str| {
            let (rest, detail) = line.rsplit_once('|').expect("a detail");
            let mut detail: serde_json::Map<String, Value> = serde_json::from_str(detail).expect("JSON");
            assert!(detail.remove("rows").is_some_and(|rows| rows.is_array()), "{line}");
            format!("{rest}|{}", Value::Object(detail))
        };
        self.sql(sql).lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// A request below the API's prefix, with a token.
    pub fn request(&self, token: &str, method: &str, path: &str) -> Request {
        Request::new(self.server.port(), method, format!("/api/v1{path}")).token(token)
    }

    /// The admin's request to a path of the workspace `default`.
    pub fn admin(&self, method: &str, path: &str) -> Request {
        self.request(&self.admin, method, &format!("/workspaces/default{path}"))
    }

    /// Creates a connection of PostgreSQL's type with the password `secret`; gives its entity tag.
    ///
    /// # Panics
    /// If that is refused.
    pub fn create(&self, name: &str, secret: &str) -> String {
        let answer = self.admin("POST", "/connections").json(&sample(name, secret)).send();
        answer.expect(201).header("etag").to_owned()
    }

    /// Makes a workspace, beside the running server.
    ///
    /// # Panics
    /// If that is refused.
    pub fn create_workspace(&self, name: &str) {
        Shell::new(["workspace", "create"]).args(self.data_arguments()).arg(name).run().stdout();
    }

    /// Adds a viewer to the first workspace, beside the running server.
    ///
    /// # Panics
    /// If that is refused.
    pub fn add_member(&self, email: &str) {
        let words = ["add-member", "--email", email, "--role", "viewer"];
        Shell::new(words).args(self.data_arguments()).run().stdout();
    }

    pub fn show(&self, name: &str) -> Answer {
        self.admin("GET", &format!("/connections/{name}")).send()
    }

    /// Edits whatever version is there.
    pub fn edit(&self, name: &str, change: &Value) -> Answer {
        self.admin("PATCH", &format!("/connections/{name}")).header("if-match", "*").json(change).send()
    }

    /// An act over a connection, whatever its version is.
    pub fn post(&self, name: &str, act: &str, body: &Value) -> Answer {
        self.admin("POST", &format!("/connections/{name}/{act}")).header("if-match", "*").json(body).send()
    }

    /// Knowing what it breaks.
    pub fn delete(&self, name: &str) -> Answer {
        let impact = self.admin("GET", &format!("/connections/{name}/dependents")).send().json();
        let token = impact.get("impact_token").and_then(Value::as_str).map(|token| format!("?impact_token={token}"));
        let path = format!("/connections/{name}{}", token.unwrap_or_default());
        self.admin("DELETE", &path).header("if-match", "*").send()
    }

    /// The admin may resolve, too.
    pub fn credentials(&self, name: &str) -> Answer {
        self.admin("GET", &format!("/connections/{name}/credentials")).send()
    }

    /// A token for the workspace `default`, by way of the API.
    ///
    /// # Panics
    /// If that is refused.
    pub fn token(&self, name: &str, role: &str, connections: Option<&[&str]>) -> String {
        let body = json!({"name": name, "roles": [role], "connections": connections});
        let answer = self.admin("POST", "/tokens").json(&body).send();
        answer.expect(201).json().get("token").and_then(Value::as_str).expect("a token").to_owned()
    }
}

const MULTIPLY: &str = "
    INSERT INTO connections (id, workspace_id, name, name_key, version, type, description, tags, address, created_at, created_by, updated_at,
        updated_by, recent_checks, mac)
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < COUNT)
      SELECT c.id || i, workspace_id, name || '-' || i, name_key || '-' || i, version, type, description || ' number ' || i, tags, address,
        created_at, created_by, updated_at, updated_by, recent_checks, mac FROM n, connections c;
    INSERT INTO connection_versions SELECT c.id, v.version, c.name, v.type, v.description, v.tags, v.fields, v.endpoint_paths, v.secrets,
        v.fingerprint, v.saved_at, v.saved_by, v.mac, v.key_version, v.restored_from FROM connections c, connection_versions v WHERE c.id <> v.connection_id;
";

/// Processes that stand still.
#[derive(Debug)]
pub struct Stopped(Vec<u32>);

impl Stopped {
    /// These stand still (SIGSTOP) until it is dropped; what they started goes on.
    pub fn new(processes: Vec<u32>) -> Self {
        let stopped = Self(processes);
        stopped.signal("STOP");
        stopped
    }

    /// The same of a process and what it started: a machine that stands still.
    ///
    /// # Panics
    /// If it cannot be asked for.
    pub fn machine(process: u32) -> Self {
        let stopped = Self::new(vec![process]);
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
        let started = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        let started: Vec<u32> =
            started.flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
        Self::new(started).and(stopped)
    }

    fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("/bin/kill").args(["-s", name, "--"]).args(self.0.iter().map(ToString::to_string)).status();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

/// A connection of PostgreSQL's type.
pub fn sample(name: &str, secret: &str) -> Value {
    json!({"name": name, "type": "postgres", "host": "db.example.org", "database": "sales", "username": "analytics", "password": secret})
}

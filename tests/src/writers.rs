//! Many at once who save, and note what the server acknowledged; and what must be in a store of it.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use crate::{http::Request, stored::sample};

/// Versions that each connection gets before its writer makes the next one.
const VERSIONS: usize = 4;

/// Each change that one of many writers was told of: name and version.
#[derive(Debug, Default)]
pub struct Writers {
    acknowledged: Mutex<Vec<(String, usize)>>,
    stop: AtomicBool,
}

impl Writers {
    /// What was acknowledged so far.
    pub fn acknowledged(&self) -> Vec<(String, usize)> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Has every writer end after the request that it is at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// One writer: creates connections of its own and edits each. Ends when it is told to, or is refused or not answered.
    pub fn write(&self, port: u16, token: &str, own: &str) {
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let (name, version) = (format!("{own}-{}", number / VERSIONS), number % VERSIONS + 1);
            let secret = secret(&name, version);
            let path = "/api/v1/workspaces/default/connections";
            let (request, status) = if version == 1 {
                (Request::new(port, "POST", path).json(&sample(&name, &secret)), 201)
            } else {
                let edit = Request::new(port, "PATCH", format!("{path}/{name}")).header("if-match", "*");
                (edit.json(&json!({"password": secret, "description": secret})), 200)
            };
            match request.token(token).try_send() {
                Ok(answer) if answer.status == status => {
                    self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push((name, version));
                }
                _ => return,
            }
        }
    }

    /// How many of what was acknowledged are not in a store; `sql` asks it.
    ///
    /// # Panics
    /// If anything in the store is half: a version without its event or an event without its version, or a connection that does not point to
    /// its newest version.
    pub fn lost(&self, sql: impl Fn(&str) -> String) -> usize {
        let versions = sql("SELECT c.name, v.version FROM connections c JOIN connection_versions v ON v.connection_id = c.id");
        let versions: BTreeSet<_> = versions.lines().collect();
        let events =
            sql("SELECT object, action, detail FROM audit_events WHERE action IN ('connection.create', 'connection.edit')");
        let events: BTreeSet<String> = events.lines().map(version_of_event).collect();
        assert_eq!(events.iter().map(String::as_str).collect::<BTreeSet<_>>(), versions, "each version has its event");
        let torn = "SELECT count(*) FROM connections c WHERE version <> \
                    (SELECT max(version) FROM connection_versions v WHERE v.connection_id = c.id)";
        assert_eq!(sql(torn), "0", "a connection points to its newest version");
        self.acknowledged().iter().filter(|(name, version)| !versions.contains(format!("{name}|{version}").as_str())).count()
    }
}

/// The password that a version was saved with.
pub fn secret(name: &str, version: usize) -> String {
    format!("{name} {version}")
}

/// `name|action|detail` as `name|version`.
fn version_of_event(event: &str) -> String {
    let (name, rest) = event.split_once('|').unwrap_or_default();
    let (_, version) = rest.split_once("\"version\":").unwrap_or_default();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    format!("{name}|{digits}")
}

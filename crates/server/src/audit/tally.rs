//! Counts reads for the page Activity: those of one connection, caller and workflow in a minute together.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use dataflow_vault::Vault;
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::Uuid;

use super::{recount::Total, use_event::UseEvent};
use crate::{
    clock::SECOND,
    store::{ReadsRow, WorkspaceRow},
};

pub(super) const MINUTE: i64 = 60 * SECOND;
/// Counts of a caller in a minute that bear the name of a workflow. What a program says of itself is its own: whoever makes up a workflow for
/// each read fills the store with this many, and the rest are counted without it. The segments have each as it came.
const NAMED: usize = 500;
/// Counts that go to the store at once: one transaction of more would hold up everybody's changes. Fewer would have each read of a busy
/// minute, which asks for a thousand connections in turn, be a row that is written by itself.
const ROWS: usize = 2_000;

/// Which counts of the running minute bear a workflow's name, whether they were counted as they were appended or from their segment.
#[derive(Debug, Default)]
pub struct Named(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    at: i64,
    /// By caller.
    of: HashMap<String, HashSet<Vec<u8>>>,
}

impl Named {
    /// Whether the count of this key, which has a workflow, may bear its name.
    fn admits(&self, actor_id: &str, at: i64, key: &[u8]) -> bool {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.at != at {
            *minute = Minute { at, of: HashMap::new() };
        }
        if !minute.of.contains_key(actor_id) {
            minute.of.insert(actor_id.to_owned(), HashSet::new());
        }
        let Some(named) = minute.of.get_mut(actor_id) else { return false };
        named.contains(key) || (named.len() < NAMED && named.insert(key.to_vec()))
    }
}

/// What some lines of a segment add up to.
#[derive(Debug, Default)]
pub struct Tally {
    /// By [`Line::key`].
    counted: HashMap<Vec<u8>, (Key, Counted)>,
    /// Room for the key of a line.
    key: Vec<u8>,
}

impl Tally {
    /// Counts the event of a line.
    pub fn read(&mut self, event: &[u8], named: &Named) -> anyhow::Result<()> {
        self.count(Line::read(event)?, named);
        Ok(())
    }

    /// Counts an event that is appended now.
    pub fn add(&mut self, event: &UseEvent<'_>, named: &Named) {
        self.count(Line::of(event), named);
    }

    fn count(&mut self, mut line: Line<'_>, named: &Named) {
        line.key(&mut self.key);
        if line.workflow.is_some() && !named.admits(&line.actor_id, line.minute(), &self.key) {
            line.workflow = None;
            line.key(&mut self.key);
        }
        match self.counted.get_mut(&self.key) {
            Some((_, counted)) => counted.add(&line),
            None => drop(self.counted.insert(self.key.clone(), line.begin())),
        }
    }

    /// Whether it is time to store them.
    pub fn is_full(&self) -> bool {
        self.counted.len() >= ROWS
    }

    pub fn counts(&self) -> impl Iterator<Item = &(Key, Counted)> {
        self.counted.values()
    }
}

/// What is counted together.
#[derive(Debug)]
pub struct Key {
    pub workspace: String,
    /// Events of before have none.
    pub workspace_id: Option<Uuid>,
    minute: i64,
    connection: String,
    version: i64,
    action: String,
    actor_id: String,
    workflow_kind: String,
    workflow: String,
}

#[derive(Debug)]
pub struct Counted {
    at: i64,
    last_at: i64,
    reads: i64,
    actor: String,
    address: Option<IpAddr>,
    run: Option<String>,
}

impl Key {
    pub fn row(&self, vault: &Vault, workspace_id: &str, counted: &Counted) -> ReadsRow {
        let (minute, version) = (self.minute.to_be_bytes(), self.version.to_be_bytes());
        let parts: [&[u8]; 8] = [
            workspace_id.as_bytes(),
            &minute,
            self.connection.as_bytes(),
            &version,
            self.action.as_bytes(),
            self.actor_id.as_bytes(),
            self.workflow_kind.as_bytes(),
            self.workflow.as_bytes(),
        ];
        let hash = vault.lookup_hash("audit_reads", &parts);
        ReadsRow {
            id: hash.first_chunk::<16>().map(hex::encode).unwrap_or_default(),
            workspace_id: workspace_id.to_owned(),
            connection: self.connection.clone(),
            version: self.version,
            action: self.action.clone(),
            actor: counted.actor.clone(),
            actor_id: self.actor_id.clone(),
            workflow_kind: self.workflow_kind.clone(),
            workflow: self.workflow.clone(),
            at: counted.at,
            last_at: counted.last_at,
            reads: counted.reads,
            address: counted.address.map(|address| address.to_string()),
            run: counted.run.clone(),
        }
    }
}

/// A line of a segment, as far as it is counted.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'l> {
    at: i64,
    #[serde(borrow)]
    action: Cow<'l, str>,
    #[serde(borrow)]
    workspace: Cow<'l, str>,
    #[serde(default, deserialize_with = "id")]
    workspace_id: Option<Uuid>,
    #[serde(borrow)]
    connection: Cow<'l, str>,
    version: i64,
    #[serde(borrow)]
    actor: Cow<'l, str>,
    #[serde(borrow)]
    actor_id: Cow<'l, str>,
    address: Option<IpAddr>,
    #[serde(borrow)]
    workflow: Option<Workflow<'l>>,
}

#[derive(Debug, Deserialize)]
struct Workflow<'l> {
    #[serde(borrow)]
    kind: Cow<'l, str>,
    #[serde(borrow)]
    name: Cow<'l, str>,
    #[serde(borrow)]
    run: Option<Cow<'l, str>>,
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    Uuid::parse_str(&text).map(Some).map_err(D::Error::custom)
}

impl<'l> Line<'l> {
    fn of(event: &'l UseEvent<'l>) -> Self {
        let workflow = event.workflow.map(|workflow| Workflow {
            kind: workflow.kind.as_str().into(),
            name: workflow.name.as_str().into(),
            run: workflow.run.as_deref().map(Cow::Borrowed),
        });
        Self {
            at: event.at,
            action: event.action.into(),
            workspace: event.workspace.into(),
            workspace_id: Some(event.workspace_id),
            connection: event.connection.into(),
            version: event.version,
            actor: event.actor.into(),
            actor_id: event.actor_id.into(),
            address: event.address,
            workflow,
        }
    }

    pub(super) fn read(event: &'l [u8]) -> anyhow::Result<Self> {
        // Checked for UTF-8 once, and not each text of it.
        let event = std::str::from_utf8(event).context("read a line of the audit segment")?;
        serde_json::from_str(event).context("read a line of the audit segment")
    }

    /// The id of its workspace, if that is there; of events of before by its name, unless one made later bears it.
    pub(super) fn workspace_id(&self, workspaces: &[WorkspaceRow]) -> Option<String> {
        let id = self.workspace_id.map(|id| id.to_string());
        let is_it = |row: &&WorkspaceRow| match &id {
            Some(id) => row.id == *id,
            None => row.name == self.workspace && row.created_at <= self.at,
        };
        workspaces.iter().find(is_it).map(|row| row.id.clone())
    }

    pub(super) fn total<'t>(&'t self, workspace_id: &'t str) -> Total<'t> {
        Total {
            workspace_id,
            minute: self.minute(),
            connection: &self.connection,
            version: self.version,
            action: &self.action,
            actor_id: &self.actor_id,
        }
    }

    pub(super) fn in_words(&self) -> String {
        in_words(&self.action, &self.connection, &self.actor)
    }

    pub(super) fn minute(&self) -> i64 {
        self.at.div_euclid(MINUTE)
    }

    fn workflow(&self) -> (&str, &str) {
        self.workflow.as_ref().map_or(("", ""), |workflow| (&*workflow.kind, &*workflow.name))
    }

    /// Writes what is counted together as one text into `key`: most lines are of what was counted before, and cost no more than this.
    fn key(&self, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(&self.minute().to_be_bytes());
        key.extend_from_slice(&self.version.to_be_bytes());
        let (kind, workflow) = self.workflow();
        key.extend_from_slice(self.workspace_id.unwrap_or_default().as_bytes());
        for part in [&*self.workspace, &*self.connection, &*self.action, &*self.actor_id, kind, workflow] {
            key.extend_from_slice(&part.len().to_be_bytes());
            key.extend_from_slice(part.as_bytes());
        }
    }

    fn begin(self) -> (Key, Counted) {
        let (kind, workflow) = self.workflow();
        let key = Key {
            minute: self.minute(),
            workflow_kind: kind.to_owned(),
            workflow: workflow.to_owned(),
            workspace: self.workspace.into_owned(),
            workspace_id: self.workspace_id,
            connection: self.connection.into_owned(),
            version: self.version,
            action: self.action.into_owned(),
            actor_id: self.actor_id.into_owned(),
        };
        let run = self.workflow.and_then(|workflow| workflow.run).map(Cow::into_owned);
        (key, Counted { at: self.at, last_at: self.at, reads: 1, actor: self.actor.into_owned(), address: self.address, run })
    }
}

pub(super) fn in_words(action: &str, connection: &str, actor: &str) -> String {
    format!("{action} of “{connection}” by {actor}")
}

impl Counted {
    fn add(&mut self, line: &Line<'_>) {
        self.reads += 1;
        self.last_at = line.at;
        self.address = line.address;
        let run = line.workflow.as_ref().and_then(|workflow| workflow.run.as_deref());
        if self.run.as_deref() != run {
            self.run = run.map(str::to_owned);
        }
    }
}

/// What was appended since it was last taken, added up: the index need not read it again.
#[derive(Debug, Default)]
pub struct Recent {
    /// The line that it begins after.
    after: u64,
    /// Nothing, where there was more than it has room for.
    tally: Option<Tally>,
}

impl Recent {
    pub fn after(line: u64) -> Self {
        Self { after: line, tally: Some(Tally::default()) }
    }

    pub fn add(&mut self, event: &UseEvent<'_>, named: &Named) {
        self.tally.take_if(|tally| tally.is_full());
        if let Some(tally) = &mut self.tally {
            tally.add(event, named);
        }
    }

    /// Takes what there is up to line `until`, if it begins after line `after`, and goes on behind it.
    pub fn take(&mut self, after: u64, until: u64) -> Option<Tally> {
        let begins_after = std::mem::replace(&mut self.after, until);
        self.tally.replace(Tally::default()).filter(|_| begins_after == after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64, actor: &str, workflow: &str) -> Vec<u8> {
        let of = if workflow.is_empty() {
            "null".to_owned()
        } else {
            format!(r#"{{"kind":"pipeline","name":"{workflow}","run":"r{at}"}}"#)
        };
        format!(
            r#"{{"at":{at},"action":"connection.resolve","workspace":"default","connection":"sales","version":1,"actor":"{actor}","actor_id":"{actor}","address":null,"workflow":{of}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn one_caller_names_so_many_workflows_in_a_minute_and_all_his_reads_count() {
        let (mut tally, named) = (Tally::default(), Named::default());
        let made_up = 2 * NAMED;
        for number in 0..made_up {
            tally.read(&event(1, "eve", &format!("made-up-{number}")), &named).expect("a line");
        }
        for at in 1..4 {
            tally.read(&event(at, "ada", "daily"), &named).expect("a line");
        }
        // A later piece of the same minute.
        let mut later = Tally::default();
        later.read(&event(2, "eve", "made-up-0"), &named).expect("a line");
        later.read(&event(2, "eve", "another"), &named).expect("a line");
        let of = |tally: &Tally, actor: &str, named: bool| -> Vec<i64> {
            let mine = tally.counts().filter(|(key, _)| key.actor_id == actor && key.workflow.is_empty() != named);
            mine.map(|(_, counted)| counted.reads).collect()
        };
        assert_eq!(of(&tally, "eve", true), vec![1; NAMED]);
        assert_eq!(of(&tally, "eve", false), [i64::try_from(made_up - NAMED).expect("small")]);
        assert_eq!(of(&tally, "ada", true), [3], "another caller has his own");
        assert_eq!((of(&later, "eve", true), of(&later, "eve", false)), (vec![1], vec![1]));
        let mut next = Tally::default();
        next.read(&event(MINUTE + 1, "eve", "another"), &named).expect("a line");
        assert_eq!(of(&next, "eve", true), [1], "the next minute is another one");
    }

    #[test]
    fn what_differs_in_any_part_is_counted_apart() {
        let (mut tally, named) = (Tally::default(), Named::default());
        for (actor, workflow) in [("ab", "c"), ("a", "bc"), ("ab", ""), ("ab", "c")] {
            tally.read(&event(5, actor, workflow), &named).expect("a line");
        }
        let mut reads: Vec<_> = tally.counts().map(|(_, counted)| counted.reads).collect();
        reads.sort_unstable();
        assert_eq!(reads, [1, 1, 2]);
        for number in 3..ROWS {
            assert!(!tally.is_full());
            tally.read(&event(5, &number.to_string(), ""), &named).expect("a line");
        }
        assert!(tally.is_full());
    }
}

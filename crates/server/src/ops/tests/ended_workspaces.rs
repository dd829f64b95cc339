//! The end of a workspace: what goes, what stays, and that nothing of it opens in another one of its name.

mod beside;

use std::{
    fs,
    path::Path,
    sync::{Arc, Weak},
};

use dataflow_model::{Certainty, Secret, Workflow, WorkflowKind};
use dataflow_vault::random_uuid;

use super::{Fixture, WORKSPACE, draft, sample};
use crate::{
    app::{App, Workspace},
    audit::chain,
    error::{Error, Result},
    ops::{
        Caller, Role, Roles,
        connections::{self, Precondition},
        credentials::{self, Resolved},
        groups,
        health::schedule::{self, Schedule},
        keys::{self, rotation::Rotation},
        lint::silence::{self, NewSilence, Of},
        notices::{
            Tells,
            channel::{self, Channel},
        },
        own_types, people,
        rename::{self, Rename},
        rotations::{
            self,
            policy::{self, Policy},
            second_login::planted,
        },
        scans::{self, Finding, Piece},
        tokens::{self, NewToken},
        tombstones::{self, Removal},
        users::{self, Users},
        workspaces::{self, Contents},
    },
    store::{self, CheckRow, EndRow, HealthChangeRow, NoticeRow, TABLES},
    uses::Use,
};

const THEIRS: &str = "theirs";
const MEMBER: &str = "grace@example.org";
/// What its deletion is told to take along.
const CONTENTS: Contents = Contents { connections: 3, members: 1, tokens: 1 };

/// A workspace with rows in every table that a workspace may have rows in, and its token.
async fn fill(fixture: &Fixture) -> Secret {
    let (app, shell) = (&fixture.app, Caller::shell());
    workspaces::create(app, &shell, THEIRS).await.expect("made");
    people::put_member(app, &shell, THEIRS, MEMBER, Roles::of(&[Role::Viewer])).await.expect("added");
    groups::put(app, &shell, THEIRS, "finance", &[MEMBER.to_owned()]).await.expect("made");
    // Longer than a page of the embedded store.
    let long =
        serde_json::json!({"name": "longest", "type": "postgres", "host": "h", "username": "u", "password": "x".repeat(4_000)});
    for new in [sample("sales"), sample("gone"), draft(&long)] {
        connections::create(app, &shell, THEIRS, new).await.expect("created");
    }
    let to = Rename { to: "long".to_owned(), keep_alias: true, precondition: Precondition::Any, impact_token: None };
    rename::rename(app, &shell, THEIRS, "longest", to).await.expect("renamed");
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &shell, THEIRS, "gone", removal).await.expect("deleted");
    let narrowed = Users { groups: vec!["finance".to_owned()], ..Users::default() };
    users::set(app, &shell, THEIRS, "long", (Some(narrowed), Precondition::Any)).await.expect("narrowed");
    let planned = (Policy { every_days: Some(30), ..Policy::default() }, &Precondition::Any);
    policy::set(app, &shell, THEIRS, "long", planned).await.expect("planned");
    Box::pin(rotations::rotate(app, &shell, THEIRS, "long", &Precondition::Any)).await.expect("begun");
    planted::plant(app, THEIRS, "long", ("second", None)).await;
    let hourly = (Schedule { every_seconds: 3_600, ..Schedule::default() }, &Precondition::Any);
    schedule::set(app, &shell, THEIRS, "all", hourly).await.expect("scheduled");
    let hook = serde_json::from_value(serde_json::json!({"name": "hook", "type": "webhook", "host": "hooks.example.org"}));
    connections::create(app, &shell, THEIRS, hook.expect("a draft")).await.expect("created");
    let told = Channel { connection: "hook".to_owned(), addresses: Vec::new(), tag: None, tells: Tells::All };
    channel::set(app, &shell, THEIRS, "oncall", (told, &Precondition::Any)).await.expect("set");
    let silenced = (NewSilence { reason: "r".to_owned(), until: None }, &Precondition::Any);
    silence::set(app, &shell, THEIRS, (Of::All, "never-tested"), silenced).await.expect("silenced");
    own_types::put(app, &shell, THEIRS, "ours", "extends = \"postgres\"\nlabel = \"Ours\"\n", None).await.expect("defined");
    let token = token(fixture).await;
    let row = connections::show(app, &shell, THEIRS, "sales").await.expect("there").row;
    count_use(app, &row);
    app.uses.flush(&app.store).await.expect("written");
    let finding = Finding {
        connection: "sales".to_owned(),
        kind: WorkflowKind::Script,
        workflow: "daily.py".to_owned(),
        file: "daily.py".to_owned(),
        line: 1,
        certainty: Certainty::Certain,
    };
    let piece = Piece { scan: random_uuid(), revision: None, files: 1, findings: vec![finding], total: Some(1) };
    scans::report(app, &shell, THEIRS, "etl", piece).await.expect("reported");
    let check = CheckRow {
        id: random_uuid().to_string(),
        connection_id: row.id,
        version: 1,
        status: "ok".to_owned(),
        report: "{}".to_owned(),
        checked_at: 1,
        checked_by: "robot".to_owned(),
        took_micros: None,
        from_client: false,
    };
    let change = HealthChangeRow {
        id: random_uuid().to_string(),
        connection_id: check.connection_id.clone(),
        workspace_id: row.workspace_id,
        at: 1,
        state: "healthy".to_owned(),
        version: 1,
        cause: None,
        message: None,
    };
    let mut write = app.store.write().await.expect("open");
    store::insert_health_change(&mut write, &change).await.expect("inserted");
    let id = store::channel(&mut write, &change.workspace_id, "oncall").await.expect("read").expect("there").id;
    let notice = NoticeRow {
        channel_id: id,
        connection_id: check.connection_id.clone(),
        about: "health".to_owned(),
        was: "healthy".to_owned(),
        state: "unhealthy".to_owned(),
        at: 1,
        cause: None,
        message: None,
        ends_at: None,
        taken_at: None,
        taken_state: None,
    };
    store::note(&mut write, &notice, 1).await.expect("noted");
    let end = EndRow {
        connection_id: check.connection_id.clone(),
        about: "certificate".to_owned(),
        workspace_id: change.workspace_id.clone(),
        ends_at: 1,
        next_at: None,
        told_at: None,
    };
    store::put_end(&mut write, &end).await.expect("put");
    store::insert_check(&mut write, &check).await.expect("inserted");
    write.commit_quietly().await.expect("committed");
    token
}

async fn token(fixture: &Fixture) -> Secret {
    let new = NewToken { name: "robot".to_owned(), roles: Roles::of(&[Role::User]), expires_in_days: None, connections: None };
    tokens::create(&fixture.app, &Caller::shell(), THEIRS, new).await.expect("a token").0
}

fn count_use(app: &App, row: &store::ConnectionRow) {
    let workflow = Workflow { kind: WorkflowKind::Script, name: "nightly".to_owned(), run: None, host: None };
    app.uses.connection(&Use {
        workspace: row.workspace_id.parse().expect("an id"),
        name: &row.name,
        connection: row.id.parse().expect("an id"),
        version: 1,
        workflow: Some(&workflow),
        used_by: "robot",
        used_by_id: "token 1",
        failed: false,
        at: 1,
    });
}

async fn resolve(fixture: &Fixture, token: &Secret) -> Result<Resolved> {
    let caller = fixture.by_token(token).await?;
    credentials::resolve(&fixture.app, &caller, THEIRS, "sales", |_| false).await
}

async fn delete(app: &App) -> Result<Contents> {
    workspaces::delete(app, &Caller::shell(), THEIRS, &Precondition::Tags(vec![CONTENTS.etag()])).await
}

/// How many rows each table has but those of the audit, and those that nothing of a workspace is in.
async fn rows(app: &App) -> Vec<(&'static str, i64)> {
    let mut read = app.store.read().await.expect("open");
    let mut counted = Vec::new();
    let of_workspaces = |table: &&store::Table| {
        !table.name.starts_with("audit_")
            && (table.name == "workspaces"
                || table.columns.iter().any(|(name, _)| matches!(*name, "workspace_id" | "connection_id")))
    };
    for table in TABLES.iter().filter(of_workspaces).map(|table| table.name).chain(["search_words", "password_marks"]) {
        let sql: &'static str = format!("SELECT count(*) FROM {table}").leak();
        let (count,): (i64,) = store::fetch!(&mut read, fetch_one, (i64,), sql).expect("read");
        counted.push((table, count));
    }
    counted
}

async fn count(app: &App, sql: &'static str) -> i64 {
    let mut read = app.store.read().await.expect("open");
    let (count,): (i64,) = store::fetch!(&mut read, fetch_one, (i64,), sql).expect("read");
    count
}

async fn it_takes_all_of_it_along(fixture: Fixture) {
    fixture.sign_up(MEMBER, &[Role::User]).await;
    let app = &fixture.app;
    connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let before = rows(app).await;
    let token = fill(&fixture).await;
    let full = rows(app).await;
    for ((table, empty), (_, full)) in before.iter().zip(&full) {
        assert!(full > empty, "{table} has nothing of the workspace, so that this test shows nothing of it");
    }
    resolve(&fixture, &token).await.expect("it resolves");
    chain::advance(app).await.expect("counted");
    let events = count(app, "SELECT count(*) FROM audit_events").await;
    assert_eq!(workspaces::contents(app, &Caller::shell(), THEIRS).await.expect("told"), CONTENTS);
    let stale = workspaces::delete(app, &Caller::shell(), THEIRS, &Precondition::Tags(vec!["\"9.9.9\"".into()])).await;
    assert!(matches!(stale, Err(Error::VersionConflict)), "{stale:?}");
    assert_eq!(rows(app).await, full, "it was refused");
    let in_memory: Weak<Workspace> = Arc::downgrade(&app.workspace(THEIRS).await.expect("read").expect("there"));
    assert!(in_memory.upgrade().is_some());

    assert_eq!(delete(app).await.expect("deleted"), CONTENTS);
    assert_eq!(rows(app).await, before);
    assert!(in_memory.upgrade().is_none(), "its key is wiped as the last who holds it lets go");
    assert!(matches!(fixture.by_token(&token).await, Err(Error::Unauthenticated)));
    assert!(matches!(delete(app).await, Err(Error::NotFound("workspace"))));
    assert_eq!(count(app, "SELECT count(*) FROM audit_events").await, events + 1);
    assert_eq!(count(app, "SELECT count(*) FROM audit_reads WHERE connection = 'sales'").await, 1, "counts of reads stay");
    let event = "SELECT count(*) FROM audit_events WHERE action = 'workspace.delete' AND object = 'theirs' AND workspace_id IS NULL \
                 AND detail LIKE '%\"connections\":3,\"members\":1,\"tokens\":1,%'";
    assert_eq!(count(app, event).await, 1);
    let refused = delete_only(app).await;
    assert!(matches!(refused, Err(Error::NoRole(..))), "a server has a workspace: {refused:?}");
}

async fn delete_only(app: &App) -> Result<Contents> {
    workspaces::contents(app, &Caller::shell(), WORKSPACE).await.expect_err("who could not delete it learns so before");
    workspaces::delete(app, &Caller::shell(), WORKSPACE, &Precondition::Any).await
}

#[tokio::test]
async fn it_takes_all_of_it_along_on_sqlite() {
    it_takes_all_of_it_along(Fixture::new().await).await;
}

#[tokio::test]
async fn it_takes_all_of_it_along_on_postgres() {
    it_takes_all_of_it_along(Fixture::on_postgres().await).await;
}

/// Whether a file of the folder or of one below has these bytes.
pub(super) fn holds(folder: &Path, needle: &[u8]) -> bool {
    fs::read_dir(folder).expect("own folder").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        path.is_file() && fs::read(&path).expect("own file").windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn no_file_of_the_embedded_store_holds_its_key_or_its_secrets_afterwards() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    fixture.sign_up(MEMBER, &[Role::User]).await;
    fill(&fixture).await;
    let mut read = app.store.read().await.expect("open");
    let row = store::workspace_by_name(&mut read, THEIRS).await.expect("read").expect("there");
    let sql =
        "SELECT secrets FROM connection_versions WHERE connection_id IN (SELECT id FROM connections WHERE workspace_id = $1)";
    let secrets: Vec<(String,)> = store::fetch!(&mut read, fetch_all, (String,), sql, &row.id).expect("read");
    drop(read);
    // From their middles: of long ones a part lies on another page.
    let middle = |bytes: &[u8]| bytes[bytes.len() / 2..][..24].to_vec();
    let mut needles = vec![middle(&row.wrapped_key)];
    needles.extend(secrets.iter().filter(|(text,)| text.len() > 24).map(|(text,)| middle(text.as_bytes())));
    assert!(needles.len() >= 4, "{}", needles.len());
    for needle in &needles {
        assert!(holds(&app.data_folder, needle), "it is there before");
    }
    delete(app).await.expect("deleted");
    let found = needles.iter().filter(|needle| holds(&app.data_folder, needle)).count();
    assert_eq!(found, 0);
    println!("promise: a deleted workspace, SQLite: its key and {} secrets: 0 in the files of the store", needles.len() - 1);
}

#[tokio::test]
async fn nothing_of_it_opens_in_another_one_of_its_name() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    fixture.sign_up(MEMBER, &[Role::User]).await;
    let token = fill(&fixture).await;
    for sql in [
        "CREATE TABLE kept_workspaces AS SELECT * FROM workspaces WHERE name = 'theirs'",
        "CREATE TABLE kept_connections AS SELECT * FROM connections WHERE workspace_id = (SELECT id FROM kept_workspaces)",
        "CREATE TABLE kept_versions AS SELECT * FROM connection_versions WHERE connection_id IN (SELECT id FROM kept_connections)",
        "CREATE TABLE kept_tokens AS SELECT * FROM tokens WHERE workspace_id = (SELECT id FROM kept_workspaces)",
        "CREATE TABLE kept_members AS SELECT * FROM members WHERE workspace_id = (SELECT id FROM kept_workspaces)",
    ] {
        fixture.bend(sql).await;
    }
    delete(app).await.expect("deleted");
    workspaces::create(app, &shell, THEIRS).await.expect("another one");
    let as_shell = async || credentials::resolve(app, &Caller::shell(), THEIRS, "sales", |_| false).await.map(drop);
    assert!(matches!(as_shell().await, Err(Error::NotFound("connection"))));

    // As if they were the new one's.
    let of_the_new = [
        "UPDATE kept_connections SET workspace_id = (SELECT id FROM workspaces WHERE name = 'theirs')",
        "UPDATE kept_tokens SET workspace_id = (SELECT id FROM workspaces WHERE name = 'theirs')",
        "UPDATE kept_members SET workspace_id = (SELECT id FROM workspaces WHERE name = 'theirs')",
        "INSERT INTO connections SELECT * FROM kept_connections",
        "INSERT INTO connection_versions SELECT * FROM kept_versions",
        "INSERT INTO tokens SELECT * FROM kept_tokens",
        "INSERT INTO members SELECT * FROM kept_members",
    ];
    for sql in of_the_new {
        fixture.bend(sql).await;
    }
    assert!(matches!(as_shell().await, Err(Error::SecretUnreadable(_))));
    let refused = resolve(&fixture, &token).await.map(drop);
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    let members = people::members(app, &shell, THEIRS, &crate::ops::paging::Paging { cursor: None, limit: None }).await;
    let members = members.expect("listed").rows;
    let put_back = members.iter().find(|member| member.person.email == MEMBER).expect("listed");
    assert!(put_back.altered.is_some() && put_back.roles == Roles::default(), "{put_back:?}");

    // As they were, with their workspace and its key beside the new one.
    for sql in [
        "DELETE FROM connection_versions",
        "DELETE FROM connections",
        "DELETE FROM tokens",
        "DELETE FROM members WHERE workspace_id = (SELECT id FROM workspaces WHERE name = 'theirs')",
        "UPDATE kept_workspaces SET name_key = 'another'",
        "INSERT INTO workspaces SELECT * FROM kept_workspaces",
        "UPDATE kept_connections SET workspace_id = (SELECT id FROM kept_workspaces)",
        "UPDATE kept_tokens SET workspace_id = (SELECT id FROM kept_workspaces)",
        "INSERT INTO connections SELECT * FROM kept_connections",
        "INSERT INTO connection_versions SELECT * FROM kept_versions",
        "INSERT INTO tokens SELECT * FROM kept_tokens",
    ] {
        fixture.bend(sql).await;
    }
    assert!(matches!(as_shell().await, Err(Error::NotFound("connection"))));
    let refused = resolve(&fixture, &token).await.map(drop);
    assert!(matches!(refused, Err(Error::NotFound("workspace"))), "{refused:?}");

    // In the place of the new one, once the keys were rotated after the end of the old one.
    for sql in [
        "DELETE FROM connection_versions",
        "DELETE FROM connections",
        "DELETE FROM tokens",
        "DELETE FROM workspaces WHERE name = 'theirs'",
    ] {
        fixture.bend(sql).await;
    }
    keys::rotate(app, &shell).await.expect("begun");
    Rotation::to_the_end(app).await.expect("ended");
    for sql in [
        "UPDATE kept_workspaces SET name_key = 'theirs'",
        "INSERT INTO workspaces SELECT * FROM kept_workspaces",
        "INSERT INTO connections SELECT * FROM kept_connections",
        "INSERT INTO connection_versions SELECT * FROM kept_versions",
        "INSERT INTO tokens SELECT * FROM kept_tokens",
    ] {
        fixture.bend(sql).await;
    }
    assert!(matches!(as_shell().await, Err(Error::SecretUnreadable(_))));
    let refused = resolve(&fixture, &token).await.map(drop);
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    println!("promise: rows of a deleted workspace put back by SQL in 3 ways: 0 open");
}

#[tokio::test]
async fn its_reads_are_never_counted_for_another_one_of_its_name() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    fixture.sign_up(MEMBER, &[Role::User]).await;
    let token = fill(&fixture).await;
    resolve(&fixture, &token).await.expect("it resolves");
    let old = app.workspace(THEIRS).await.expect("read").expect("there").id.to_string();
    delete(app).await.expect("deleted");
    workspaces::create(app, &Caller::shell(), THEIRS).await.expect("another one");
    chain::advance(app).await.expect("counted");
    let mut read = app.store.read().await.expect("open");
    let counted: Vec<(String, i64)> = store::fetch!(
        &mut read,
        fetch_all,
        (String, i64),
        "SELECT workspace_id, reads FROM audit_reads WHERE connection = 'sales'"
    )
    .expect("read");
    assert_eq!(counted, [(old, 1)]);
}

#[tokio::test]
async fn a_bent_row_is_not_deleted_in_the_place_of_another() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    for name in [THEIRS, "ours"] {
        workspaces::create(app, &shell, name).await.expect("made");
    }
    fixture.bend("UPDATE workspaces SET name_key = 'x', name = 'x' WHERE name = 'theirs'").await;
    fixture.bend("UPDATE workspaces SET name_key = 'theirs', name = 'theirs' WHERE name = 'ours'").await;
    let refused = workspaces::delete(app, &shell, THEIRS, &Precondition::Any).await;
    assert!(matches!(refused, Err(Error::SecretUnreadable(_))), "{refused:?}");
    assert_eq!(count(app, "SELECT count(*) FROM workspaces").await, 3);
}

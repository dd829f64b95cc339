//! Rows that were in force once, put back by somebody who can write the store and kept a copy. Each bears a sound MAC.

use dataflow_connectors::AddressLists;
use dataflow_model::Secret;

use super::{Fixture, OWNER, PASSWORD, WORKSPACE, sample};
use crate::{
    audit::{self, Event, rows::RowsReport},
    fixture::TestApp,
    ops::{
        Caller, Role, Roles, activity,
        connections::{self, Precondition},
        groups,
        health::schedule::{self, Schedule},
        history,
        keys::{self, rotation::Rotation},
        links::{self, LinkKind},
        lint::silence::{self, NewSilence, Of},
        notices::{
            Tells,
            channel::{self, Channel},
        },
        own_types,
        people::{put_member, remove_member, set_disabled},
        provider,
        rotations::{
            policy::{self, Policy},
            rules::Rules,
        },
        rows::Sealed as _,
        sessions::{self, Device},
        settings::{self, Retention},
        tokens,
        tombstones::{self, Removal},
        users::{self, Users},
        workspaces,
    },
    store::{self, IdentityRow},
};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

async fn rows(app: &TestApp) -> RowsReport {
    let report = activity::verify(app, &Caller::shell(), &[]).await.expect("walked");
    assert!(report.chains.iter().all(|chain| chain.problem.is_none()), "{report:?}");
    let holds = report.holds();
    let rows = report.rows.expect("the chain of changes holds");
    assert_eq!(holds, rows.problems.is_empty(), "{rows:?}");
    rows
}

/// All rows that are there are told of, but for what needs no event, and are as it tells.
async fn all_hold(app: &TestApp, when: &str) -> RowsReport {
    let report = rows(app).await;
    assert!(report.problems.is_empty() && report.others == 0, "{when}: {report:?}");
    let mut read = app.store.read().await.expect("open");
    // Sessions, links, and a setting that nobody has saved.
    let sql = "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM links) + (SELECT count(*) FROM settings WHERE version = 1)";
    let (untold,): (i64,) = store::fetch!(&mut read, fetch_one, (i64,), sql).expect("counted");
    assert_eq!(i64::try_from(report.untold).expect("few"), untold, "{when}: {report:?}");
    report
}

async fn own_token(fixture: &Fixture, name: &str) -> String {
    let all = tokens::list_all(&fixture.app, &Caller::shell(), WORKSPACE).await.expect("listed");
    all.into_iter().find(|token| token.row.name == name).expect("there").row.id
}

fn password() -> Secret {
    Secret::new(PASSWORD.to_owned())
}

/// What is in force before, of each kind something.
struct Before {
    code: Secret,
    cookie: Secret,
}

async fn begin(fixture: &Fixture) -> Before {
    let (app, shell) = (&fixture.app, Caller::shell());
    for name in ["sales", "stock", "gone", "old"] {
        connections::create(app, &shell, WORKSPACE, sample(name)).await.expect("created");
    }
    fixture.sign_up(ADA, &[Role::User, Role::Editor]).await;
    let cookie = fixture.sign_up(BOB, &[Role::User]).await;
    for name in ["nightly", "weekly"] {
        fixture.token(&shell, name, Role::User).await;
    }
    let bob = fixture.person(&cookie).await.expect("signed in");
    fixture.token(&bob, "bobs", Role::User).await;
    for group in ["finance", "crowd"] {
        groups::put(app, &shell, WORKSPACE, group, &[ADA.to_owned(), BOB.to_owned()]).await.expect("made");
    }
    let all = Users { people: vec![BOB.to_owned()], tokens: vec!["weekly".to_owned()], groups: vec!["finance".to_owned()] };
    users::set(app, &shell, WORKSPACE, "sales", (Some(all), Precondition::Any)).await.expect("narrowed");
    settings::change(app, &shell, &Precondition::Any, AddressLists::default()).await.expect("saved");
    for name in ["stock", "old"] {
        policy::set(app, &shell, WORKSPACE, name, (Policy::default(), &Precondition::Any)).await.expect("set");
    }
    for scope in ["all", "tag:old"] {
        schedule::set(app, &shell, WORKSPACE, scope, (Schedule::default(), &Precondition::Any)).await.expect("set");
    }
    let hook = serde_json::from_value(serde_json::json!({"name": "hook", "type": "webhook", "host": "hooks.example.org"}));
    connections::create(app, &shell, WORKSPACE, hook.expect("a draft")).await.expect("created");
    for name in ["oncall", "old"] {
        channel::set(app, &shell, WORKSPACE, name, (told(Tells::All), &Precondition::Any)).await.expect("set");
    }
    for rule in ["never-tested", "tls-unverified"] {
        let silenced = NewSilence { reason: "at first".to_owned(), until: None };
        silence::set(app, &shell, WORKSPACE, (Of::All, rule), (silenced, &Precondition::Any)).await.expect("silenced");
    }
    for id in ["kept", "removed"] {
        own_types::put(app, &shell, WORKSPACE, id, &defined(id), None).await.expect("defined");
    }
    let person = store::person_by_email(&mut app.store.read().await.expect("open"), OWNER).await.expect("read").expect("there");
    let row = IdentityRow {
        issuer: "https://sso.example.org".to_owned(),
        subject: "subject 7".to_owned(),
        person_id: person.id.clone(),
        linked_at: app.clock.now(),
        linked_by: OWNER.to_owned(),
        mac: Vec::new(),
    };
    let mut write = app.store.write().await.expect("open");
    store::insert_identity(&mut write, &row.sealed(&app.vault)).await.expect("linked");
    let event = Event {
        at: app.clock.now(),
        workspace_id: None,
        action: "person.link_provider",
        object: OWNER,
        detail: serde_json::json!({}),
    };
    audit::record(&mut write, &app.vault, &shell, event).await.expect("told");
    write.commit().await.expect("committed");
    let code = links::create_link(app, &shell, OWNER, LinkKind::SignIn).await.expect("a link").code;
    Before { code, cookie }
}

fn defined(label: &str) -> String {
    format!("extends = \"postgres\"\nlabel = \"{label}\"\n")
}

fn told(tells: Tells) -> Channel {
    Channel { connection: "hook".to_owned(), addresses: Vec::new(), tag: None, tells }
}

/// Takes all of it back.
async fn end(fixture: &Fixture, before: Before) {
    let (app, shell) = (&fixture.app, Caller::shell());
    let id = own_token(fixture, "nightly").await;
    tokens::revoke(app, &shell, WORKSPACE, &id).await.expect("revoked");
    users::set(app, &shell, WORKSPACE, "sales", (Some(Users::default()), Precondition::Any)).await.expect("narrowed");
    users::set(app, &shell, WORKSPACE, "stock", (Some(Users::default()), Precondition::Any)).await.expect("narrowed");
    fixture.describe("old", "newer").await;
    history::purge(app, &shell, WORKSPACE, "old", (1, Precondition::Any)).await.expect("purged");
    let longer = Policy { rules: Rules { length: 64, ..Rules::default() }, ..Policy::default() };
    policy::set(app, &shell, WORKSPACE, "stock", (longer, &Precondition::Any)).await.expect("set");
    policy::remove(app, &shell, WORKSPACE, "old", &Precondition::Any).await.expect("removed");
    let daily = Schedule { every_seconds: 86_400, ..Schedule::default() };
    schedule::set(app, &shell, WORKSPACE, "all", (daily, &Precondition::Any)).await.expect("set");
    schedule::remove(app, &shell, WORKSPACE, "tag:old", &Precondition::Any).await.expect("removed");
    channel::set(app, &shell, WORKSPACE, "oncall", (told(Tells::Ends), &Precondition::Any)).await.expect("set");
    channel::remove(app, &shell, WORKSPACE, "old", &Precondition::Any).await.expect("removed");
    let silenced = NewSilence { reason: "then".to_owned(), until: None };
    silence::set(app, &shell, WORKSPACE, (Of::All, "never-tested"), (silenced, &Precondition::Any)).await.expect("silenced");
    silence::lift(app, &shell, WORKSPACE, (Of::All, "tls-unverified"), &Precondition::Any).await.expect("lifted");
    own_types::put(app, &shell, WORKSPACE, "kept", &defined("then"), Some(1)).await.expect("defined");
    own_types::remove(app, &shell, WORKSPACE, "removed", 1).await.expect("removed");
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &shell, WORKSPACE, "gone", removal).await.expect("deleted");
    groups::put(app, &shell, WORKSPACE, "finance", &[ADA.to_owned()]).await.expect("changed");
    put_member(app, &shell, WORKSPACE, ADA, Roles::of(&[Role::User])).await.expect("changed");
    sessions::sign_out(app, before.cookie.expose_secret()).await.expect("signed out");
    remove_member(app, &shell, WORKSPACE, BOB).await.expect("removed");
    groups::remove(app, &shell, WORKSPACE, "crowd").await.expect("removed");
    set_disabled(app, &shell, WORKSPACE, ADA, true).await.expect("disabled");
    let addresses = AddressLists { deny: vec!["10.0.0.0/8".parse().expect("a range")], ..AddressLists::default() };
    settings::change(app, &shell, &Precondition::Any, addresses).await.expect("saved");
    let session = links::follow_link(app, &Device::default(), before.code.expose_secret(), None).await.expect("signed in");
    let owner = fixture.person(&session).await.expect("signed in");
    provider::unlink(app, &owner, &password()).await.expect("unlinked");
    sessions::sign_in(app, &Device::default(), OWNER, &password()).await.expect("signed in");
    sessions::end_others(app, &owner, session.expose_secret()).await.expect("ended");
}

const TABLES: [&str; 15] = [
    "people",
    "members",
    "identities",
    "sessions",
    "links",
    "people_groups",
    "tokens",
    "connections",
    "connection_versions",
    "settings",
    "rotation_policies",
    "health_schedules",
    "channels",
    "lint_silences",
    "own_types",
];

/// The keys of a deleted workspace are in a copy of its row.
async fn ends(fixture: &Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    workspaces::create(app, &shell, "closed").await.expect("made");
    run(fixture, "CREATE TABLE kept_workspaces AS SELECT * FROM workspaces WHERE name = 'closed'".to_owned()).await;
    workspaces::delete(app, &shell, "closed", &Precondition::Any).await.expect("deleted");
    all_hold(app, "a workspace ended").await;
    run(fixture, "INSERT INTO workspaces SELECT * FROM kept_workspaces".to_owned()).await;
    let report = rows(app).await;
    let is_told = |problem: &String| {
        problem.contains("of workspaces is there, and was taken out by") && problem.contains("workspace.delete “closed”")
    };
    assert!(report.problems.len() == 1 && report.problems.iter().all(is_told), "{report:?}");
}

/// Copies of the tables, as somebody takes them.
async fn copy(fixture: &Fixture, name: &str) {
    for table in TABLES {
        run(fixture, format!("CREATE TABLE {name}_{table} AS SELECT * FROM {table}")).await;
    }
}

async fn run(fixture: &Fixture, sql: String) {
    let mut write = fixture.app.store.write().await.expect("the store is free");
    store::execute!(&mut write, sqlx::AssertSqlSafe(sql.clone())).unwrap_or_else(|error| panic!("{sql}: {error}"));
    write.commit().await.expect("committed");
    fixture.app.caches.forget_all();
}

/// Ways to put a row back, and what is to be said of it.
const WAYS: [(&str, &str, &str); 23] = [
    (
        "tokens",
        "UPDATE tokens SET revoked_at = NULL, hash = K.hash, mac = K.mac FROM kept_tokens K WHERE K.id = tokens.id AND tokens.name = 'nightly'",
        "token.revoke “nightly”",
    ),
    (
        "tokens",
        "UPDATE tokens SET revoked_at = NULL, hash = K.hash, mac = K.mac FROM kept_tokens K WHERE K.id = tokens.id AND tokens.name = 'bobs'",
        "token.revoke “bobs”",
    ),
    (
        "members",
        "UPDATE members SET roles = K.roles, mac = K.mac FROM kept_members K WHERE K.person_id = members.person_id",
        "member.put “ada@example.org”",
    ),
    (
        "members",
        "INSERT INTO members SELECT * FROM kept_members WHERE person_id NOT IN (SELECT person_id FROM members)",
        "member.remove “bob@example.org”",
    ),
    (
        "people",
        "UPDATE people SET disabled_at = NULL, mac = K.mac FROM kept_people K WHERE K.id = people.id",
        "person.disable “ada@example.org”",
    ),
    (
        "people_groups",
        "UPDATE people_groups SET members = K.members, mac = K.mac FROM kept_people_groups K WHERE K.id = people_groups.id",
        "of people_groups is not as it was left by event",
    ),
    ("people_groups", "INSERT INTO people_groups SELECT * FROM kept_people_groups WHERE name = 'crowd'", "group.remove “crowd”"),
    (
        "connections",
        "UPDATE connections SET users = K.users, mac = K.mac FROM kept_connections K WHERE K.id = connections.id AND connections.name = 'sales'",
        "of connections is not as it was left by event",
    ),
    (
        "connections",
        "UPDATE connections SET users = NULL, mac = K.mac FROM kept_connections K WHERE K.id = connections.id AND connections.name = 'stock'",
        "connection.narrow “stock”",
    ),
    (
        "connections",
        "UPDATE connections SET version = K.version, deleted_at = NULL, deleted_by = NULL, deleted_reason = NULL, mac = K.mac FROM kept_connections K WHERE K.id = connections.id AND connections.name IN ('gone', 'old')",
        "connection.delete “gone”",
    ),
    (
        "connection_versions",
        "INSERT INTO connection_versions SELECT K.* FROM kept_connection_versions K JOIN connections c ON c.id = K.connection_id WHERE c.name = 'old' AND K.version = 1",
        "connection.purge_version “old”",
    ),
    (
        "settings",
        "UPDATE settings SET value = K.value, version = K.version, updated_at = K.updated_at, updated_by = K.updated_by, mac = K.mac FROM kept_settings K WHERE K.name = settings.name",
        "settings.change “addresses”",
    ),
    (
        "rotation_policies",
        "UPDATE rotation_policies SET length = K.length, set_at = K.set_at, mac = K.mac FROM kept_rotation_policies K WHERE K.connection_id = rotation_policies.connection_id",
        "connection.rotation_policy_set “stock”",
    ),
    (
        "rotation_policies",
        "INSERT INTO rotation_policies SELECT * FROM kept_rotation_policies WHERE connection_id NOT IN (SELECT connection_id FROM rotation_policies)",
        "connection.rotation_policy_removed “old”",
    ),
    (
        "health_schedules",
        "UPDATE health_schedules SET every_seconds = K.every_seconds, set_at = K.set_at, mac = K.mac FROM kept_health_schedules K WHERE K.scope = health_schedules.scope",
        "health_schedule.set “all”",
    ),
    (
        "health_schedules",
        "INSERT INTO health_schedules SELECT * FROM kept_health_schedules WHERE scope NOT IN (SELECT scope FROM health_schedules)",
        "health_schedule.removed “tag:old”",
    ),
    (
        "channels",
        "UPDATE channels SET addresses = K.addresses, set_at = K.set_at, mac = K.mac FROM kept_channels K WHERE K.id = channels.id",
        "channel.set “oncall”",
    ),
    (
        "channels",
        "INSERT INTO channels SELECT * FROM kept_channels WHERE id NOT IN (SELECT id FROM channels)",
        "channel.remove “old”",
    ),
    (
        "lint_silences",
        "UPDATE lint_silences SET reason = K.reason, set_at = K.set_at, mac = K.mac FROM kept_lint_silences K WHERE K.rule = lint_silences.rule AND K.scope = lint_silences.scope",
        "lint.silenced “never-tested”",
    ),
    (
        "lint_silences",
        "INSERT INTO lint_silences SELECT * FROM kept_lint_silences WHERE rule NOT IN (SELECT rule FROM lint_silences)",
        "lint.lifted “tls-unverified”",
    ),
    (
        "own_types",
        "UPDATE own_types SET definition = K.definition, version = K.version, saved_at = K.saved_at, mac = K.mac FROM kept_own_types K WHERE K.id = own_types.id AND own_types.id = 'kept'",
        "type.update “kept”",
    ),
    (
        "own_types",
        "UPDATE own_types SET definition = K.definition, version = K.version, saved_at = K.saved_at, mac = K.mac FROM kept_own_types K WHERE K.id = own_types.id AND own_types.id = 'removed'",
        "type.remove “removed”",
    ),
    ("identities", "INSERT INTO identities SELECT * FROM kept_identities", "person.unlink_provider “owner@example.org”"),
];

async fn each_is_named(fixture: Fixture) {
    let app = &fixture.app;
    let before = begin(&fixture).await;
    all_hold(app, "begun").await;
    copy(&fixture, "kept").await;
    end(&fixture, before).await;
    all_hold(app, "ended").await;
    copy(&fixture, "now").await;
    let ways = WAYS.iter().copied().chain([
        (
            "sessions",
            "INSERT INTO sessions SELECT * FROM kept_sessions WHERE hash NOT IN (SELECT hash FROM sessions)",
            "of sessions is there, and was taken out by event",
        ),
        (
            "links",
            "INSERT INTO links SELECT * FROM kept_links WHERE hash NOT IN (SELECT hash FROM links)",
            "person.sign_in “owner@example.org”",
        ),
    ]);
    let mut kinds = 0;
    for (table, sql, words) in ways {
        run(&fixture, sql.to_owned()).await;
        let report = rows(app).await;
        assert!(report.problems.iter().any(|problem| problem.contains(words)), "{sql} is to be “{words}”: {report:?}");
        assert!(report.problems.iter().all(|problem| problem.contains(table)), "and nothing else: {report:?}");
        put_now(&fixture, table).await;
        all_hold(app, sql).await;
        kinds += 1;
    }
    Box::pin(ends(&fixture)).await;
    kinds += 1;
    println!("promise: rows that were in force once: {kinds} ways to put one back: each named, and none that was not");
}

/// Has a table be what it was, though others refer to it.
async fn put_now(fixture: &Fixture, table: &str) {
    let (key, columns) = match table {
        "tokens" => ("id", "revoked_at = K.revoked_at, hash = K.hash, mac = K.mac"),
        "people" => ("id", "disabled_at = K.disabled_at, mac = K.mac"),
        "connections" => (
            "id",
            "version = K.version, users = K.users, deleted_at = K.deleted_at, deleted_by = K.deleted_by, deleted_reason = K.deleted_reason, mac = K.mac",
        ),
        _ => {
            run(fixture, format!("DELETE FROM {table}")).await;
            run(fixture, format!("INSERT INTO {table} SELECT * FROM now_{table}")).await;
            return;
        }
    };
    run(fixture, format!("UPDATE {table} SET {columns} FROM now_{table} K WHERE K.{key} = {table}.{key}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_put_back_is_named() {
    Box::pin(each_is_named(Fixture::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgres() {
    Box::pin(each_is_named(Fixture::on_postgres().await)).await;
}

/// A rotation signs every row anew; a row of before it is told from the one of now all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_the_keys_changes_no_row() {
    let fixture = Fixture::new().await;
    let before = begin(&fixture).await;
    let shell = Caller::shell();
    keys::renew_recovery_key(&fixture.app, &shell).await.expect("renewed");
    keys::rotate(&fixture.app, &shell).await.expect("begun");
    Rotation::to_the_end(&fixture.app).await.expect("rotated");
    all_hold(&fixture.app, "rotated").await;
    run(&fixture, "CREATE TABLE kept AS SELECT * FROM people_groups".to_owned()).await;
    end(&fixture, before).await;
    all_hold(&fixture.app, "ended").await;
    run(
        &fixture,
        "UPDATE people_groups SET members = K.members, mac = K.mac FROM kept K WHERE K.id = people_groups.id".to_owned(),
    )
    .await;
    assert_eq!(rows(&fixture.app).await.problems.len(), 1);
}

/// Writers of the same rows, on sessions that do not queue: the chain has their events in the order of their commits, whatever their times.
#[tokio::test(flavor = "multi_thread")]
async fn writers_that_meet_leave_what_the_last_event_tells() {
    let fixture = Fixture::on_postgres().await;
    let app = &fixture.app;
    begin(&fixture).await;
    let write = async |turn: usize| {
        let shell = Caller::shell();
        for round in 0..3 {
            let people = if (round + turn).is_multiple_of(2) { vec![ADA.to_owned()] } else { Vec::new() };
            // A change that meets another may be refused, and then leaves nothing.
            drop(groups::put(app, &shell, WORKSPACE, "finance", &people).await);
            drop(
                put_member(app, &shell, WORKSPACE, BOB, Roles::of(&[if people.is_empty() { Role::User } else { Role::Viewer }]))
                    .await,
            );
            drop(set_disabled(app, &shell, WORKSPACE, ADA, people.is_empty()).await);
        }
        drop(sessions::sign_in(app, &Device::default(), OWNER, &password()).await);
    };
    tokio::join!(write(0), write(1), write(2));
    assert!(activity::verify(app, &Caller::shell(), &[]).await.expect("walked").holds());
}

/// Clocks of nodes differ, and one may be set back: what was committed last is the last all the same.
#[tokio::test(flavor = "multi_thread")]
async fn no_time_of_an_event_tells_which_is_the_last() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    begin(&fixture).await;
    rows(app).await;
    for people in [vec![ADA.to_owned()], Vec::new(), vec![BOB.to_owned()]] {
        groups::put(app, &shell, WORKSPACE, "finance", &people).await.expect("changed");
        app.clock.advance(-3_600 * crate::clock::SECOND);
    }
    all_hold(app, "each an hour before the one before it").await;
}

/// Events that are kept no longer, and such as note nothing, say nothing against a row.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_event_tells_is_no_alarm() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let retention = Retention { change_days: Some(90), ..Retention::default() };
    settings::change(app, &shell, &Precondition::Any, retention).await.expect("saved");
    let before = begin(&fixture).await;
    run(&fixture, "CREATE TABLE kept AS SELECT * FROM people_groups".to_owned()).await;
    end(&fixture, before).await;
    run(
        &fixture,
        "UPDATE people_groups SET members = K.members, mac = K.mac FROM kept K WHERE K.id = people_groups.id".to_owned(),
    )
    .await;
    assert_eq!(rows(app).await.problems.len(), 1, "as long as the event is kept");
    app.clock.advance(100 * crate::clock::DAY);
    audit::expiry::expire(app, Some(audit::expiry::before(app.clock.now(), 90)), None).await.expect("dropped");
    let report = rows(app).await;
    assert!(report.problems.is_empty() && report.hold == 0 && report.untold > 5, "{report:?}");
}

//! What restoring and purging a version may not do, and what only this process can bring about: a clock that moves, rows of another build, changes
//! that meet.

mod gone;

use dataflow_model::Secret;
use serde_json::{Value, json};

use super::{Fixture, PASSWORD, WORKSPACE, draft, sample};
use crate::{
    clock::SECOND,
    error::{Error, Result},
    ops::{
        Caller, Role,
        connections::{self, Change, Connection, Precondition},
        credentials,
        history::{self, FieldChange, SecretDifference},
        keys::{self, rotation::Rotation},
        paging::Paging,
        rows::Sealed as _,
        second_look::CONFIRMED_FOR,
    },
    store::{self, VersionRow},
};

const ELSEWHERE: &str = "replica.example.org";

async fn edit(fixture: &Fixture, caller: &Caller, change: &Value) -> Result<Connection> {
    let change = Change { draft: draft(change), precondition: Precondition::Any, ..Default::default() };
    connections::edit(&fixture.app, caller, WORKSPACE, "sales", change).await
}

async fn restore(fixture: &Fixture, caller: &Caller, number: i64) -> Result<Connection> {
    history::restore(
        &fixture.app,
        caller,
        WORKSPACE,
        "sales",
        history::Restore { version: number, precondition: Precondition::Any, ..Default::default() },
    )
    .await
}

/// What clients get: the answer's fields, and the fingerprint.
async fn resolve(fixture: &Fixture) -> Result<(Value, String)> {
    let resolved = credentials::resolve(&fixture.app, &Caller::shell(), WORKSPACE, "sales", |_| false).await?;
    let body: Value = serde_json::from_str(resolved.body.expect("new to the client").expose_secret()).expect("JSON");
    Ok((body["fields"].clone(), resolved.fingerprint))
}

/// Three versions: as created, elsewhere with another password, and with another description.
async fn three(fixture: &Fixture) -> Connection {
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    edit(fixture, &shell, &json!({"host": ELSEWHERE, "password": "second"})).await.expect("saved");
    edit(fixture, &shell, &json!({"description": "The replica", "tags": ["eu"]})).await.expect("saved")
}

async fn numbers(fixture: &Fixture) -> Vec<i64> {
    let read = async |paging: Paging| history::list(&fixture.app, &Caller::shell(), WORKSPACE, "sales", &paging).await;
    Paging::all(read).await.expect("listed").iter().map(|entry| entry.version).collect()
}

/// The row of a version as it is stored.
async fn stored(fixture: &Fixture, connection: &Connection, number: i64) -> VersionRow {
    let mut read = fixture.app.store.read().await.expect("open");
    store::version(&mut read, &connection.row.id, number).await.expect("read").expect("there")
}

async fn put(fixture: &Fixture, row: VersionRow) {
    let mut write = fixture.app.store.write().await.expect("open");
    store::insert_version(&mut write, &row.sealed(&fixture.app.vault)).await.expect("inserted");
    write.commit().await.expect("committed");
}

async fn an_old_secret_goes_where_it_went_and_nowhere_else(fixture: Fixture) {
    let shell = Caller::shell();
    connections::create(&fixture.app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let first = resolve(&fixture).await.expect("it serves");
    edit(&fixture, &shell, &json!({"host": ELSEWHERE, "password": "second"})).await.expect("saved");
    let current = edit(&fixture, &shell, &json!({"description": "The replica", "tags": ["eu"]})).await.expect("saved");
    let editor = fixture.member("eve@example.org", &[Role::Editor]).await;

    let checked = "UPDATE connections SET checked_at = 1, check_status = 'ok', check_summary = 'Healthy', check_micros = 1";
    fixture.bend(checked).await;
    let restored = restore(&fixture, &editor, 1).await.expect("an editor may");
    assert_eq!(restored.row.check_status, None, "what was tested is another one");
    assert_eq!((restored.row.version, restored.row.description.as_str(), restored.tags.len()), (4, "", 0));
    assert_eq!(resolve(&fixture).await.expect("it serves"), first, "exactly the old credentials, under the old fingerprint");
    let (old, new) = (stored(&fixture, &current, 1).await, stored(&fixture, &current, 4).await);
    assert_eq!((new.restored_from, &new.secrets, &new.fingerprint), (Some(1), &old.secrets, &old.fingerprint));
    let diff = history::diff(&fixture.app, &shell, WORKSPACE, "sales", (Some(1), 4)).await.expect("told");
    assert!(diff.changes.is_empty() && !diff.changes_clients, "{diff:?}");

    // On from there it is guarded as if it had been typed there.
    for moved in
        [json!({"host": ELSEWHERE}), json!({"port": 6000}), json!({"tls": {"mode": "disable"}}), json!({"type": "redshift"})]
    {
        let refused = edit(&fixture, &editor, &moved).await;
        assert!(matches!(&refused, Err(Error::SecretReentry(paths)) if *paths == ["password"]), "{moved}: {refused:?}");
    }
    // And by a change of the store it opens nowhere: neither of the row as it is, nor with the newer version's address.
    let host = "UPDATE connection_versions SET fields = (SELECT v.fields FROM connection_versions v WHERE v.version = 2 AND \
                v.connection_id = connection_versions.connection_id) WHERE version = 4";
    fixture.bend(host).await;
    let refused = resolve(&fixture).await;
    assert!(matches!(refused, Err(Error::SecretUnreadable(_))), "{refused:?}");
    let bent = stored(&fixture, &current, 4).await.sealed(&fixture.app.vault);
    let mut write = fixture.app.store.write().await.expect("open");
    store::execute!(&mut write, "UPDATE connection_versions SET mac = $1 WHERE version = 4", &bent.mac).expect("written");
    write.commit().await.expect("committed");
    fixture.app.caches.forget_all();
    let refused = resolve(&fixture).await;
    assert!(
        matches!(refused, Err(Error::SecretUnreadable(_))),
        "under a sound MAC it is sealed for its own endpoint: {refused:?}"
    );
    let refused = restore(&fixture, &editor, 4).await;
    assert!(matches!(refused, Err(Error::SecretUnreadable(_))), "and what does not open is not restored: {refused:?}");
    println!("promise: a restored secret: 4 ways to send it elsewhere and 2 of a bent store: 0 uses");
}

#[tokio::test]
async fn an_old_secret_goes_where_it_went_and_nowhere_else_on_sqlite() {
    Box::pin(an_old_secret_goes_where_it_went_and_nowhere_else(Fixture::new().await)).await;
}

#[tokio::test]
async fn an_old_secret_goes_where_it_went_and_nowhere_else_on_postgres() {
    Box::pin(an_old_secret_goes_where_it_went_and_nowhere_else(Fixture::on_postgres().await)).await;
}

#[tokio::test]
async fn what_equals_the_current_version_makes_none_even_after_a_rotation() {
    let fixture = Fixture::new().await;
    let shell = Caller::shell();
    let current = three(&fixture).await;
    edit(&fixture, &shell, &json!({"description": "", "tags": []})).await.expect("saved");
    let tick = || async { store::tick(&mut fixture.app.store.read().await.expect("open")).await.expect("read") };
    let before = tick().await;
    for number in [4, 2] {
        assert_eq!(restore(&fixture, &shell, number).await.expect("nothing to do").row.version, 4);
    }
    keys::rotate(&fixture.app, &shell).await.expect("begun");
    Rotation::to_the_end(&fixture.app).await.expect("rotated");
    assert_ne!(stored(&fixture, &current, 2).await.secrets, stored(&fixture, &current, 4).await.secrets, "each is sealed anew");
    assert_eq!(restore(&fixture, &shell, 2).await.expect("nothing to do").row.version, 4);
    assert!(tick().await > before, "the rotation moved it");
    assert_eq!(numbers(&fixture).await, [4, 3, 2, 1]);
    assert_eq!(restore(&fixture, &shell, 1).await.expect("under the new key").row.version, 5);
    assert_eq!(resolve(&fixture).await.expect("it serves").0["password"], "planted");
}

#[tokio::test]
async fn fields_for_admins_take_an_admin_and_a_second_look() {
    let fixture = Fixture::new().await;
    let shell = Caller::shell();
    connections::create(&fixture.app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    edit(&fixture, &shell, &json!({"password": "planted", "extra": {"insecure_auth": "md5"}})).await.expect("saved");
    edit(&fixture, &shell, &json!({"password": "planted", "extra": {"insecure_auth": null}})).await.expect("saved");
    let editor = fixture.member("eve@example.org", &[Role::Editor]).await;
    let refused = restore(&fixture, &editor, 2).await;
    let is_told = |errors: &[dataflow_model::FieldError]| {
        errors.iter().map(|error| (error.field.as_str(), error.code.as_str())).eq([("extra.insecure_auth", "admin_only")])
    };
    assert!(matches!(&refused, Err(Error::Invalid(errors)) if is_told(errors)), "{refused:?}");
    let admin = fixture.member("ada@example.org", &[Role::Admin]).await;
    fixture.app.clock.advance(CONFIRMED_FOR + SECOND);
    let refused = restore(&fixture, &admin, 2).await;
    assert!(matches!(refused, Err(Error::SecondLook)), "{refused:?}");
    assert_eq!(numbers(&fixture).await, [3, 2, 1]);
    let looked = Caller { own_password: Some(std::sync::Arc::new(Secret::new(PASSWORD.to_owned()))), ..admin.clone() };
    restore(&fixture, &looked, 2).await.expect("it is he");
    // What it set before stays set, and may be taken back by whoever edits.
    fixture.describe("sales", "md5 still").await;
    restore(&fixture, &editor, 4).await.expect("it sets nothing new");
    restore(&fixture, &editor, 1).await.expect("it is stronger");
    let mut read = fixture.app.store.read().await.expect("open");
    let sql = "SELECT detail FROM audit_events WHERE action = 'connection.restore_version' ORDER BY nth";
    let details: Vec<(String,)> = store::fetch!(&mut read, fetch_all, (String,), sql).expect("read");
    let weak: Vec<_> = details.iter().map(|(detail,)| detail.contains("extra.insecure_auth=md5")).collect();
    assert_eq!(weak, [true, true, false], "{details:?}");
}

#[tokio::test]
async fn what_the_catalogue_no_longer_has_is_refused_in_words() {
    let fixture = Fixture::new().await;
    let shell = Caller::shell();
    let current = three(&fixture).await;
    let old = stored(&fixture, &current, 1).await;
    let with =
        |version: i64, type_id: &str, fields: String| VersionRow { version, type_id: type_id.to_owned(), fields, ..old.clone() };
    put(&fixture, with(101, "sybase", old.fields.clone())).await;
    put(&fixture, with(102, "postgres", old.fields.replace("\"port\"", "\"extra.gone\":\"x\",\"port\""))).await;
    put(&fixture, with(103, "postgres", old.fields.replace("verify-full", "prefer"))).await;
    put(&fixture, with(104, "sqlite", json!({"database": "shop.db"}).to_string())).await;
    for (number, field, code, words) in [
        (101, "type", "not_a_choice", "is “sybase” in that version, which there is none of any more"),
        (102, "extra.gone", "unknown_field", "is set in that version, and PostgreSQL no longer has such a field"),
        (103, "tls.mode", "not_a_choice", "must be one of: verify-full, verify-ca, require, disable"),
        (104, "password", "unknown_field", "is set in that version, and SQLite no longer has such a field"),
    ] {
        let refused = restore(&fixture, &shell, number).await;
        let Err(Error::Invalid(errors)) = refused else { panic!("{number}: {refused:?}") };
        let told: Vec<_> = errors.iter().map(|error| (&*error.field, &*error.code, &*error.message)).collect();
        assert_eq!(told, [(field, code, words)]);
    }
    // They are shown all the same.
    let diff = history::diff(&fixture.app, &shell, WORKSPACE, "sales", (Some(1), 102)).await.expect("told");
    assert_eq!((diff.changes.len(), diff.changes[0].label.as_str()), (1, "extra.gone"));
    let diff = history::diff(&fixture.app, &shell, WORKSPACE, "sales", (Some(1), 104)).await.expect("told");
    let labels: Vec<_> = diff.changes.iter().map(|change| change.label.as_str()).collect();
    assert_eq!(labels[..2], ["Database Type", "File"], "{labels:?}");
}

#[tokio::test]
async fn a_diff_tells_each_field_and_of_secrets_only_that() {
    let fixture = Fixture::new().await;
    let shell = Caller::shell();
    three(&fixture).await;
    edit(&fixture, &shell, &json!({"password": null})).await.expect("saved");
    edit(&fixture, &shell, &json!({"password": "fourth"})).await.expect("saved");
    let secrets = async |from, to| {
        let diff = history::diff(&fixture.app, &shell, WORKSPACE, "sales", (Some(from), to)).await.expect("told");
        let secret = diff.changes.iter().find_map(|change| match change.change {
            FieldChange::Secret(secret) => Some(secret),
            FieldChange::Public { .. } => None,
        });
        (secret, diff.changes.len(), diff.changes_clients)
    };
    assert_eq!(secrets(1, 2).await, (Some(SecretDifference::Changed), 2, true));
    assert_eq!(secrets(2, 3).await, (None, 2, false), "description and tags");
    assert_eq!(secrets(3, 4).await, (Some(SecretDifference::Cleared), 1, true));
    assert_eq!(secrets(4, 5).await, (Some(SecretDifference::Set), 1, true));
    assert_eq!(secrets(5, 1).await, (Some(SecretDifference::Changed), 4, true), "backwards, as a restore would");
    let told =
        format!("{:?}", history::list(&fixture.app, &shell, WORKSPACE, "sales", &Paging::largest(None)).await.expect("listed"));
    assert!(["planted", "second", "fourth"].iter().all(|secret| !told.contains(secret)), "{told}");
}

/// Of changes that meet, each is over what it was asked for, or refused.
async fn changes_that_meet(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    let mut current = three(&fixture).await;
    for round in 0..8 {
        let seen = Precondition::Tags(vec![current.etag()]);
        let change = json!({"description": format!("round {round}")});
        let change = Change { draft: draft(&change), precondition: seen.clone(), ..Default::default() };
        let number = 1 + round % 2;
        let (restored, edited) = tokio::join!(
            history::restore(
                app,
                &shell,
                WORKSPACE,
                "sales",
                history::Restore { version: number, precondition: seen, ..Default::default() }
            ),
            connections::edit(app, &shell, WORKSPACE, "sales", change),
        );
        let loses = |came_to: &Result<Connection>| matches!(came_to, Err(Error::VersionConflict));
        assert!(loses(&restored) != loses(&edited), "round {round}: {restored:?} {edited:?}");
        current = restored.or(edited).expect("one wins");
        let now = connections::show(app, &shell, WORKSPACE, "sales").await.expect("there");
        assert_eq!(now.etag(), current.etag());
        resolve(&fixture).await.expect("it serves");
    }
    let (purged, restored) =
        tokio::join!(history::purge(app, &shell, WORKSPACE, "sales", (1, Precondition::Any)), restore(&fixture, &shell, 1),);
    purged.expect("whichever comes first");
    assert!(matches!(restored, Ok(_) | Err(Error::NotFound("version"))), "{restored:?}");
    resolve(&fixture).await.expect("it serves");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_meet_on_sqlite() {
    Box::pin(changes_that_meet(Fixture::new().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_meet_on_postgres() {
    Box::pin(changes_that_meet(Fixture::on_postgres().await)).await;
}

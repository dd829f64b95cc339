//! Types of a workspace's own: what happens at the same instant, over time, and between two workspaces.

use std::sync::Arc;

use serde_json::json;

use super::{Fixture, Role, WORKSPACE, draft};
use crate::{
    app::{App, Workspace},
    error::{Error, Result},
    ops::{
        Caller, Roles,
        connections::{self, Change, Connection, Precondition},
        credentials,
        history::{self, Restore},
        keys::{self, rotation::Rotation},
        own_types::{self, OWN_TYPES_MAX, OwnType, catalogue_of},
        tokens::{self, NewToken},
        tombstones::{self, Removal},
        workspaces,
    },
};

fn definition(label: &str, more: &str) -> String {
    format!("extends = \"postgres\"\nlabel = \"{label}\"\n{more}")
}

fn with_zone(kind: &str) -> String {
    definition("Ours", &format!("[[fields]]\npath = \"extra.zone\"\nlabel = \"Zone\"\nkind = \"{kind}\"\n"))
}

async fn put(app: &App, definition: &str, replaces: Option<i64>) -> Result<OwnType> {
    own_types::put(app, &Caller::shell(), WORKSPACE, "ours", definition, replaces).await
}

async fn create(app: &App, name: &str, extra: serde_json::Value) -> Result<Connection> {
    let body =
        json!({"name": name, "type": "ours", "host": "db.example.org", "username": "u", "password": "planted", "extra": extra});
    connections::create(app, &Caller::shell(), WORKSPACE, draft(&body)).await
}

async fn workspace(app: &App) -> Arc<Workspace> {
    app.workspace(WORKSPACE).await.expect("read").expect("there")
}

fn members(result: Result<impl std::fmt::Debug>) -> Vec<String> {
    match result {
        Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
        other => panic!("not refused by member: {other:?}"),
    }
}

/// What is kept as a secret never becomes public by a definition, nor the other way round, in whichever version it is and by however many steps.
async fn what_is_secret_stays_so(fixture: Fixture) {
    let app = &fixture.app;
    put(app, &with_zone("password"), None).await.expect("defined");
    create(app, "ours", json!({"zone": "planted in extra"})).await.expect("created");
    let refused = put(app, &with_zone("text"), Some(1)).await;
    assert!(
        matches!(&refused, Err(Error::TypeInUse(text, _)) if text.contains("become public") && text.contains("“ours”")),
        "{refused:?}"
    );
    // Not by way of a definition that has no such field either.
    put(app, &definition("Ours", ""), Some(1)).await.expect("defined");
    assert!(matches!(put(app, &with_zone("text"), Some(2)).await, Err(Error::TypeInUse(..))));
    put(app, &with_zone("password"), Some(2)).await.expect("as it was");
    // Nor once the connection has it no more: its older version has.
    let cleared =
        Change { draft: draft(&json!({"extra": {"zone": null}})), precondition: Precondition::Any, ..Change::default() };
    connections::edit(app, &Caller::shell(), WORKSPACE, "ours", cleared).await.expect("cleared");
    assert!(matches!(put(app, &with_zone("text"), Some(3)).await, Err(Error::TypeInUse(..))));
    // A name that is none of another: the underscore is no wildcard.
    let other = definition("Ours", "[[fields]]\npath = \"extra.z_ne\"\nlabel = \"Zone\"\nkind = \"text\"\n");
    put(app, &other, Some(3)).await.expect("another field");
}

/// Its connections serve as they are; their next save goes by the definition of then.
async fn a_connection_goes_on_as_its_type_changes(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    put(app, &with_zone("text"), None).await.expect("defined");
    let before = create(app, "ours", json!({"zone": "north"})).await.expect("created").row;
    put(app, &with_zone("integer"), Some(1)).await.expect("defined");
    let resolved = credentials::resolve(app, &shell, WORKSPACE, "ours", |_| false).await.expect("it serves");
    assert!(resolved.fingerprint.ends_with("-t2"), "{}", resolved.fingerprint);
    assert!(resolved.body.expect("a body").expose_secret().contains("\"zone\":\"north\""));
    let edit = async |body: serde_json::Value| {
        let change = Change { draft: draft(&body), precondition: Precondition::Any, ..Change::default() };
        connections::edit(app, &shell, WORKSPACE, "ours", change).await
    };
    assert_eq!(members(edit(json!({"description": "x"})).await), ["extra.zone"], "what no longer fits is to be mended first");
    let saved = edit(json!({"extra": {"zone": 7}, "password": "planted again"})).await.expect("saved");
    assert_eq!(saved.row.version, before.version + 1);
    // The same once more makes no version of the type.
    assert_eq!(put(app, &with_zone("integer"), Some(2)).await.expect("so already").version, 2);
    put(app, &with_zone("text"), None).await.expect_err("there is one");
}

/// A type that comes back goes on where it was, so that no client takes the new one for the old one.
async fn versions_go_on_over_a_removal(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    put(app, &definition("Ours", ""), None).await.expect("defined");
    own_types::remove(app, &shell, WORKSPACE, "ours", 1).await.expect("removed");
    assert!(own_types::list(app, &shell, WORKSPACE).await.expect("listed").is_empty());
    assert!(matches!(own_types::show(app, &shell, WORKSPACE, "ours").await, Err(Error::NotFound(_))));
    assert_eq!(members(create(app, "ours", json!({})).await), ["type"]);
    assert!(matches!(put(app, &definition("Ours", ""), Some(2)).await, Err(Error::VersionConflict)));
    assert_eq!(put(app, &definition("Ours", ""), None).await.expect("back").version, 3);
    create(app, "ours", json!({})).await.expect("created");
    let removed = own_types::remove(app, &shell, WORKSPACE, "ours", 3).await;
    assert!(matches!(&removed, Err(Error::TypeInUse(text, _)) if text.contains("“ours”")), "{removed:?}");
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &shell, WORKSPACE, "ours", removal).await.expect("deleted");
    let removed = own_types::remove(app, &shell, WORKSPACE, "ours", 3).await;
    assert!(matches!(&removed, Err(Error::TypeInUse(text, _)) if text.contains("“ours” (deleted)")), "{removed:?}");
    tombstones::restore(app, &shell, WORKSPACE, "ours", &Precondition::Any).await.expect("it comes back as it was");
}

/// An older version of a type that is gone says so.
async fn an_older_version_of_a_type_that_is_gone_says_so(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    put(app, &definition("Ours", ""), None).await.expect("defined");
    create(app, "ours", json!({})).await.expect("created");
    let body = json!({"type": "postgres", "password": "planted anew"});
    let change = Change { draft: draft(&body), precondition: Precondition::Any, ..Change::default() };
    connections::edit(app, &shell, WORKSPACE, "ours", change).await.expect("of another type now");
    own_types::remove(app, &shell, WORKSPACE, "ours", 1).await.expect("nothing is of it");
    let wanted = Restore { version: 1, precondition: Precondition::Any, ..Restore::default() };
    assert_eq!(members(history::restore(app, &shell, WORKSPACE, "ours", wanted).await), ["type"]);
}

/// Whoever saves while an admin defines the type anew is told, and nothing of the two is lost.
async fn a_save_and_a_definition_at_the_same_instant(fixture: Fixture) {
    let app = &fixture.app;
    put(app, &definition("Ours", ""), None).await.expect("defined");
    let workspace = workspace(app).await;
    for round in 1..=10 {
        let (label, name) = (format!("Ours {round}"), format!("ours-{round}"));
        let text = definition(&label, "");
        let (defined, created) = tokio::join!(put(app, &text, Some(round)), create(app, &name, json!({})));
        defined.expect("the definition is saved");
        match created {
            Ok(created) => assert_eq!(created.row.name, name),
            Err(Error::Invalid(errors)) => assert!(errors.iter().all(|error| error.field == "type"), "{errors:?}"),
            Err(other) => panic!("{other:?}"),
        }
        let catalogue = catalogue_of(app, &workspace).await.expect("read");
        let kind = catalogue.get("ours").expect("there");
        assert_eq!((kind.label.as_str(), kind.own), (label.as_str(), Some(round + 1)), "what is remembered is what is there");
    }
}

/// A workspace's types are its own, as many as it may have, and told apart by their labels.
async fn types_are_of_one_workspace(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    put(app, &definition("Ours", ""), None).await.expect("defined");
    workspaces::create(app, &shell, "theirs").await.expect("made");
    let theirs =
        |id: &'static str, text: String| async move { own_types::put(app, &Caller::shell(), "theirs", id, &text, None).await };
    let body = json!({"name": "x", "type": "ours", "host": "h", "username": "u"});
    assert_eq!(members(connections::create(app, &shell, "theirs", draft(&body)).await), ["type"]);
    theirs("ours", definition("Ours", "")).await.expect("theirs may be called so, too");
    assert_eq!(members(theirs("other", definition("ours", "")).await), ["label"]);
    for bad in ["a\0b", "", "A", "a-b"] {
        assert_eq!(members(theirs(bad, definition("X", "")).await), ["id"], "{bad:?}");
        assert!(matches!(own_types::show(app, &shell, "theirs", bad).await, Err(Error::NotFound(_))), "{bad:?}");
    }
    for number in 1..OWN_TYPES_MAX {
        let id = format!("t{number}");
        own_types::put(app, &shell, "theirs", &id, &definition(&id, ""), None).await.expect("one more");
    }
    assert_eq!(members(theirs("last", definition("Last", "")).await), ["id"]);
    // A token that names some connections counts those alone, and defines nothing.
    create(app, "seen", json!({})).await.expect("created");
    create(app, "unseen", json!({})).await.expect("created");
    let roles = Roles::of(&[Role::Admin]);
    let new = NewToken { name: "narrow".into(), roles, expires_in_days: None, connections: Some(vec!["seen".into()]) };
    let token = tokens::create(app, &shell, WORKSPACE, new).await.expect("a token").0;
    let token = fixture.by_token(&token).await.expect("it lives");
    assert_eq!(own_types::show(app, &token, WORKSPACE, "ours").await.expect("seen").connections, 1);
    assert_eq!(own_types::show(app, &shell, WORKSPACE, "ours").await.expect("seen").connections, 2);
    let refused = own_types::put(app, &token, WORKSPACE, "mine", &definition("Mine", ""), None).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
}

/// Rows are sealed anew like all others, and a bent one is told by name.
async fn keys_are_rotated_and_what_is_bent_is_not_used(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    put(app, &definition("Ours", ""), None).await.expect("defined");
    create(app, "ours", json!({})).await.expect("created");
    keys::rotate(app, &shell).await.expect("begun");
    Rotation::to_the_end(app).await.expect("ended");
    app.caches.forget_all();
    credentials::resolve(app, &shell, WORKSPACE, "ours", |_| false).await.expect("it serves");
    fixture.bend("UPDATE own_types SET version = 7").await;
    let refused = credentials::resolve(app, &shell, WORKSPACE, "ours", |_| false).await.map(drop);
    assert!(matches!(&refused, Err(Error::TypeUnreadable(id, _)) if id == "ours"), "{refused:?}");
    let shown = own_types::show(app, &shell, WORKSPACE, "ours").await.expect("it is shown");
    assert!(shown.problem.is_some());
    fixture.bend("DELETE FROM own_types").await;
    let refused = credentials::resolve(app, &shell, WORKSPACE, "ours", |_| false).await.map(drop);
    assert!(matches!(&refused, Err(Error::TypeUnreadable(id, _)) if id == "ours"), "{refused:?}");
    connections::show(app, &shell, WORKSPACE, "ours").await.expect("what it is can still be seen");
    put(app, &definition("Ours", ""), None).await.expect("defined again");
    credentials::resolve(app, &shell, WORKSPACE, "ours", |_| false).await.expect("it serves again");
}

on_both_engines! {
    what_is_secret_stays_so as secrecy_on_sqlite, secrecy_on_postgres;
    a_connection_goes_on_as_its_type_changes as changes_on_sqlite, changes_on_postgres;
    versions_go_on_over_a_removal as removals_on_sqlite, removals_on_postgres;
    an_older_version_of_a_type_that_is_gone_says_so as older_on_sqlite, older_on_postgres;
    a_save_and_a_definition_at_the_same_instant as instant_on_sqlite, instant_on_postgres;
    types_are_of_one_workspace as workspaces_on_sqlite, workspaces_on_postgres;
    keys_are_rotated_and_what_is_bent_is_not_used as bent_on_sqlite, bent_on_postgres;
}

//! What a type of a workspace's own is over stays so by whatever way it is defined again, and what is remembered of its definition is what it says.

use std::sync::Arc;

use serde_json::json;

use super::{Fixture, WORKSPACE, draft};
use crate::{
    app::{App, Workspace},
    error::{Error, Result},
    ops::{
        Caller,
        connections::{self, Change, Precondition},
        credentials,
        own_types::{self, OwnType, catalogue_of},
        workspaces,
    },
};

fn over(base: &str, label: &str) -> String {
    format!("extends = \"{base}\"\nlabel = \"{label}\"\n")
}

async fn put(app: &App, definition: &str, replaces: Option<i64>) -> Result<OwnType> {
    own_types::put(app, &Caller::shell(), WORKSPACE, "ours", definition, replaces).await
}

async fn create(app: &App, workspace: &str, name: &str) {
    let body = json!({"name": name, "type": "ours", "host": "db.example.org", "username": "u", "password": "planted"});
    connections::create(app, &Caller::shell(), workspace, draft(&body)).await.expect("created");
}

async fn workspace(app: &App, name: &str) -> Arc<Workspace> {
    app.workspace(name).await.expect("read").expect("there")
}

fn refused_for_its_base(result: &Result<OwnType>, why: &str) {
    assert!(
        matches!(result, Err(Error::TypeInUse(text, _)) if text.contains("another base") && text.contains(why)),
        "{result:?}"
    );
}

/// A connection that is of another type by now has versions that are of this one, and each could be restored.
async fn older_versions_keep_the_base(fixture: Fixture) {
    let app = &fixture.app;
    put(app, &over("postgres", "Ours"), None).await.expect("defined");
    put(app, &over("mysql", "Ours"), Some(1)).await.expect("nothing is of it yet");
    put(app, &over("postgres", "Ours"), Some(2)).await.expect("nothing is of it yet");
    create(app, WORKSPACE, "sales").await;
    refused_for_its_base(&put(app, &over("mysql", "Ours"), Some(3)).await, "of it is “sales”");
    let body = json!({"type": "postgres", "password": "planted anew"});
    let change = Change { draft: draft(&body), precondition: Precondition::Any, ..Change::default() };
    connections::edit(app, &Caller::shell(), WORKSPACE, "sales", change).await.expect("of another type now");
    refused_for_its_base(&put(app, &over("mysql", "Ours"), Some(3)).await, "older versions are of it, of “sales”");
    own_types::remove(app, &Caller::shell(), WORKSPACE, "ours", 3).await.expect("nothing is of it now");
    refused_for_its_base(&put(app, &over("mysql", "Ours"), None).await, "“postgres”: older versions are of it, of “sales”");
    let back = put(app, &over("postgres", "Ours again"), None).await.expect("over the same base");
    assert_eq!(back.version, 5);
}

/// Of a type that cannot be used somebody could otherwise make any other one.
async fn a_bent_definition_keeps_the_base(fixture: Fixture) {
    let app = &fixture.app;
    let definition = over("postgres", "Ours");
    put(app, &definition, None).await.expect("defined");
    create(app, WORKSPACE, "sales").await;
    fixture.bend("UPDATE own_types SET saved_by = 'somebody else'").await;
    assert!(own_types::show(app, &Caller::shell(), WORKSPACE, "ours").await.expect("shown").problem.is_some());
    refused_for_its_base(&put(app, &over("mysql", "Ours"), Some(1)).await, "of it is “sales”");
    put(app, &over("postgres", "Theirs"), Some(1)).await.expect("over the same base");
    put(app, &definition, Some(2)).await.expect("as it was");
    // The base is no other one because somebody wrote so into the store, and what was there can always be saved again.
    fixture.bend("UPDATE own_types SET base = 'mysql', definition = replace(definition, 'postgres', 'mysql')").await;
    refused_for_its_base(&put(app, &over("sqlite", "Ours"), Some(3)).await, "of it is “sales”");
    assert_eq!(put(app, &definition, Some(3)).await.expect("what was sealed").version, 4);
    credentials::resolve(app, &Caller::shell(), WORKSPACE, "sales", |_| false).await.expect("it serves again");
}

/// Another node's change has everything asked again, and no definition read again. What a row says is held against its MAC each time.
async fn a_definition_is_read_once(fixture: Fixture) {
    let app = &fixture.app;
    put(app, &over("postgres", "Ours"), None).await.expect("defined");
    let workspace = workspace(app, WORKSPACE).await;
    let read = async || catalogue_of(app, &workspace).await.expect("read").shared("ours");
    let first = read().await.expect("there");
    app.caches.forget_all();
    assert!(Arc::ptr_eq(&first, &read().await.expect("there")), "it was read again");
    put(app, &over("postgres", "Ours too"), Some(1)).await.expect("defined");
    let second = read().await.expect("there");
    assert_eq!((second.label.as_str(), second.own), ("Ours too", Some(2)));
    fixture.bend("UPDATE own_types SET definition = replace(definition, 'too', 'two')").await;
    assert!(read().await.is_none(), "what is remembered does not stand for a bent row");
    fixture.bend("UPDATE own_types SET definition = replace(definition, 'two', 'too')").await;
    assert!(Arc::ptr_eq(&second, &read().await.expect("there")));
}

/// A workspace's definition is nothing to the others.
async fn a_definition_forgets_connections_of_its_workspace_alone(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    workspaces::create(app, &shell, "theirs").await.expect("made");
    let mut keys = Vec::new();
    for name in [WORKSPACE, "theirs"] {
        own_types::put(app, &shell, name, "ours", &over("postgres", "Ours"), None).await.expect("defined");
        create(app, name, "sales").await;
        keys.push((workspace(app, name).await.id, "sales".to_owned()));
    }
    for name in [WORKSPACE, "theirs"] {
        credentials::resolve(app, &shell, name, "sales", |_| false).await.expect("it serves");
    }
    let known = || keys.iter().map(|key| app.caches.connections.get(key).is_some()).collect::<Vec<_>>();
    assert_eq!(known(), [true, true]);
    put(app, &over("postgres", "Ours too"), Some(1)).await.expect("defined");
    assert_eq!(known(), [false, true]);
}

on_both_engines! {
    older_versions_keep_the_base as older_on_sqlite, older_on_postgres;
    a_bent_definition_keeps_the_base as bent_on_sqlite, bent_on_postgres;
    a_definition_is_read_once as read_once_on_sqlite, read_once_on_postgres;
    a_definition_forgets_connections_of_its_workspace_alone as forgets_on_sqlite, forgets_on_postgres;
}

//! Changes of one connection at the same instant.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_vault::SealContext;
use serde_json::json;

use super::{Fixture, WORKSPACE, draft, sample};
use crate::{
    clock::DAY,
    error::Error,
    jobs::purge::run_if_due,
    ops::{
        Caller,
        connections::{self, Change, Precondition},
        rows::{Sealed as _, VersionContent, uuid},
        settings::{self, Retention},
        tombstones::{self, Removal},
    },
    store,
};

#[tokio::test]
async fn a_change_is_made_over_what_is_there_when_it_is_made() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let edit = |change| {
        let change = Change { draft: draft(&change), precondition: Precondition::Any, ..Default::default() };
        connections::edit(app, &shell, WORKSPACE, "sales", change)
    };
    let (first, second) = tokio::join!(edit(json!({"description": "d"})), edit(json!({"tags": ["t"]})));
    let versions = [first.expect("saved").row.version, second.expect("saved, too").row.version];
    assert!(versions.contains(&2) && versions.contains(&3), "{versions:?}");
    let both = connections::show(app, &shell, WORKSPACE, "sales").await.expect("there");
    assert_eq!((both.row.description.as_str(), both.tags.len()), ("d", 1), "neither undid the other");

    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    let (edited, deleted) =
        tokio::join!(edit(json!({"description": "e"})), tombstones::delete(app, &shell, WORKSPACE, "sales", removal));
    deleted.expect("deleted, whichever came first");
    assert!(matches!(edited, Ok(_) | Err(Error::Deleted(_))));
}

/// The host and the password of a version, if it is as it was sealed.
async fn opened(fixture: &Fixture, id: &str, version: i64) -> (String, String) {
    let workspace = fixture.app.workspace(WORKSPACE).await.expect("read").expect("there");
    let row = store::version(&mut fixture.app.store.read().await.expect("open"), id, version).await.expect("read");
    let row = row.unwrap_or_else(|| panic!("version {version} is gone")).checked(&fixture.app.vault).expect("its MAC holds");
    let content = VersionContent::read(&row).expect("it parses");
    let sealed = &content.secrets["password"];
    let at = u64::try_from(sealed.version).expect("a version");
    let sealed_for =
        SealContext { connection: uuid(id).expect("an id"), version: at, field: "password", endpoint: &content.endpoint };
    let secret = workspace.key.open(&sealed_for, &BASE64.decode(&sealed.sealed).expect("base64")).expect("it opens");
    (content.public.text("host").expect("a host").to_owned(), secret.expose_secret().to_owned())
}

#[tokio::test]
async fn every_save_is_a_version_that_stays_as_it_was() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let id = connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created").row.id;
    for change in [
        json!({"description": "The secret is kept"}),
        json!({"password": "rotated"}),
        json!({"host": "replica.example.org", "password": "moved"}),
    ] {
        let change = Change { draft: draft(&change), precondition: Precondition::Any, ..Default::default() };
        connections::edit(app, &shell, WORKSPACE, "sales", change).await.expect("saved");
    }
    let retention = Retention { restore_days: None, ..Retention::default() };
    settings::change(app, &shell, &Precondition::Any, retention).await.expect("saved");
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &shell, WORKSPACE, "sales", removal).await.expect("deleted");
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("another of the name");
    app.clock.advance(400 * DAY);
    assert!(run_if_due(app).await.expect("purged"));
    for (version, host, password) in [
        (1, "db.example.org", "planted"),
        (2, "db.example.org", "planted"),
        (3, "db.example.org", "rotated"),
        (4, "replica.example.org", "moved"),
    ] {
        assert_eq!(opened(&fixture, &id, version).await, (host.to_owned(), password.to_owned()), "version {version}");
    }
}

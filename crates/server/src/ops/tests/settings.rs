//! The whole server's settings: who changes them, over what he saw, and that nobody else does.

use dataflow_connectors::{AddressLists, Cidr};
use dataflow_model::{PublicFields, SecretFields};

use super::{Fixture, WORKSPACE, sample};
use crate::{
    error::Error,
    ops::{
        Caller, Role, checks, connections,
        connections::Precondition,
        settings::{self, Retention, in_force},
    },
    tests::Fields,
};

fn ranges(list: &[&str]) -> Vec<Cidr> {
    list.iter().map(|text| text.parse().expect("a range")).collect()
}

fn denying(list: &[&str]) -> AddressLists {
    AddressLists { allow: Vec::new(), deny: ranges(list) }
}

#[tokio::test]
async fn an_owner_changes_what_he_saw_and_nobody_else_does() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let seen = settings::show::<AddressLists>(app, &shell).await.expect("shown");
    assert!(seen.is_sound && seen.value == AddressLists::default() && seen.updated_by == settings::NOBODY, "{seen:?}");
    let over = |etag: &str| Precondition::Tags(vec![etag.to_owned()]);
    let first = settings::change(app, &shell, &over(&seen.etag), denying(&["10.0.0.0/8"])).await.expect("saved");
    assert_ne!(first.etag, seen.etag);
    let late = settings::change(app, &shell, &over(&seen.etag), AddressLists::default()).await;
    assert!(matches!(late, Err(Error::VersionConflict)), "{late:?}");
    let blind = settings::change(app, &shell, &Precondition::Missing, AddressLists::default()).await;
    assert!(matches!(blind, Err(Error::PreconditionRequired)), "{blind:?}");
    let now = over(&first.etag);
    let (one, other) = tokio::join!(
        settings::change(app, &shell, &now, denying(&["11.0.0.0/8"])),
        settings::change(app, &shell, &now, denying(&["12.0.0.0/8"]))
    );
    assert!(one.is_ok() != other.is_ok(), "one of two over the same version: {one:?} {other:?}");

    let admin = fixture.member("admin@example.org", &[Role::Admin]).await;
    let refused = settings::show::<AddressLists>(app, &admin).await;
    assert!(matches!(refused, Err(Error::OwnersOnly(_))), "{refused:?}");
    let token = fixture.token(&shell, "admin", Role::Admin).await;
    let token = fixture.by_token(&token).await.expect("a token");
    settings::show::<Retention>(app, &token).await.expect("an admin's token reads");
    for caller in [&admin, &token] {
        let refused = settings::change(app, caller, &Precondition::Any, AddressLists::default()).await;
        assert!(matches!(refused, Err(Error::OwnersOnly(_))), "{refused:?}");
    }
    assert_eq!(in_force::<Retention>(app).await.expect("sound"), Retention::default(), "the other setting is another row");
}

#[tokio::test]
async fn what_is_no_setting_is_refused_at_its_field() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let many: Vec<_> = (0..=settings::RANGES_MAX).map(|_| "10.0.0.0/8".parse().expect("a range")).collect();
    let lists = AddressLists { allow: ranges(&["10.0.0.0/8", "169.254.0.0/16"]), deny: many };
    let Err(Error::Invalid(errors)) = settings::change(app, &shell, &Precondition::Any, lists).await else { panic!("taken") };
    let fields: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.code.as_str())).collect();
    assert_eq!(fields, [("deny", "too_long"), ("allow", "always_refused")]);
    for days in [0, -1, settings::RETENTION_DAYS_MAX + 1] {
        let retention = Retention {
            check_days: Some(1),
            version_days: Some(days),
            read_days: Some(settings::AUDIT_DAYS_MIN - 1),
            ..Retention::default()
        };
        let Err(Error::Invalid(errors)) = settings::change(app, &shell, &Precondition::Any, retention).await else {
            panic!("{days} was taken")
        };
        assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["version_days", "read_days"]);
    }
}

/// What a test of a stored connection, and one of unsaved values, comes to before it begins.
async fn plans(fixture: &Fixture) -> [Result<(), Error>; 2] {
    let (app, shell) = (&fixture.app, Caller::shell());
    let stored = checks::plan_stored(app, &shell, WORKSPACE, "sales").await;
    let unsaved = checks::plan_unsaved(app, &shell, WORKSPACE, None, sample("x")).await;
    [stored.map(drop), unsaved.map(drop)]
}

#[tokio::test]
async fn who_writes_the_store_widens_nothing() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let save = async || settings::change(app, &shell, &Precondition::Any, denying(&["10.0.0.0/8"])).await.expect("saved");
    assert!(plans(&fixture).await.iter().all(Result::is_ok));
    for bent in [
        "UPDATE settings SET value = '{\"allow\":[],\"deny\":[]}' WHERE name = 'addresses'",
        "UPDATE settings SET value = (SELECT value FROM settings WHERE name = 'retention'), \
         mac = (SELECT mac FROM settings WHERE name = 'retention') WHERE name = 'addresses'",
        "UPDATE settings SET version = version + 1 WHERE name = 'addresses'",
        "UPDATE settings SET mac = x'' WHERE name = 'addresses'",
        "DELETE FROM settings WHERE name = 'addresses'",
    ] {
        save().await;
        assert!(plans(&fixture).await.iter().all(Result::is_ok), "before {bent}");
        fixture.bend(bent).await;
        for plan in plans(&fixture).await {
            assert!(matches!(plan, Err(Error::SettingsUnreadable(_))), "after {bent}: {plan:?}");
        }
        let shown = settings::show::<AddressLists>(app, &shell).await.expect("shown");
        assert!(!shown.is_sound && shown.value == AddressLists::default(), "{bent}");
    }
    save().await;
    assert!(plans(&fixture).await.iter().all(Result::is_ok), "an owner has looked at it and saved it again");
    // Starting anew makes nothing good, and what the audit has of it is not asked: that may be gone, too.
    for gone in ["DELETE FROM settings", "DELETE FROM audit_events"] {
        fixture.bend(gone).await;
    }
    let app = fixture.app.again().await;
    let refused = in_force::<AddressLists>(&app).await;
    assert!(matches!(refused, Err(Error::SettingsUnreadable(_))), "{refused:?}");
}

/// One that waits for its place is under the rule of when it begins.
#[tokio::test]
async fn a_test_that_waited_is_under_no_older_rule() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let workspace = app.workspace(WORKSPACE).await.expect("read").expect("there");
    let mut places = Vec::new();
    for caller in ["ada", "ada", "bob", "bob"] {
        let fields = Fields { public: PublicFields::default(), secrets: SecretFields::default(), way: None };
        places.push(app.tests.plan((caller, workspace.id), "postgres", &app.clock, fields).await.expect("a place"));
    }
    let waiting = checks::plan_unsaved(app, &shell, WORKSPACE, None, sample("x"));
    let change = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        settings::change(app, &shell, &Precondition::Any, denying(&["10.0.0.0/8"])).await.expect("saved");
        places.clear();
    };
    let (planned, ()) = tokio::join!(waiting, change);
    assert_eq!(planned.expect("a place").test.policy().set, denying(&["10.0.0.0/8"]));
}

//! A stored secret that is kept although it will be sent elsewhere: an admin's act, after a second look.

use dataflow_model::Secret;
use serde_json::{Value, json};

use super::{Fixture, PASSWORD, WORKSPACE, draft, sample};
use crate::{
    clock::SECOND,
    error::{Error, Result},
    ops::{
        Caller, Role, Roles, checks,
        connections::{self, Change, Connection, Precondition},
        credentials,
        links::{self, LinkKind},
        people,
        second_look::CONFIRMED_FOR_ONE,
        sessions::Device,
    },
    store,
};

const ELSEWHERE: &str = "replica.example.org";

/// Saves a change of `sales`, over whatever is there.
async fn save(fixture: &Fixture, caller: &Caller, change: &Value, own_password: Option<&str>) -> Result<Connection> {
    let own_password = own_password.map(|text| Secret::new(text.to_owned()));
    let change = Change { draft: draft(change), precondition: Precondition::Any, own_password, ..Change::default() };
    connections::edit(&fixture.app, caller, WORKSPACE, "sales", change).await
}

async fn sales(fixture: &Fixture) {
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
}

async fn version(fixture: &Fixture) -> i64 {
    connections::show(&fixture.app, &Caller::shell(), WORKSPACE, "sales").await.expect("there").row.version
}

fn must_type_again<T>(came_to: &Result<T>) -> bool {
    matches!(came_to, Err(Error::SecretReentry(paths)) if *paths == ["password"])
}

/// Actor, action and detail of the events of changes since the connection was created.
async fn events(fixture: &Fixture) -> Vec<(String, String, Value)> {
    #[derive(sqlx::FromRow)]
    struct Row {
        actor: String,
        action: String,
        detail: String,
    }
    let sql =
        "SELECT actor, action, detail FROM audit_events WHERE object = 'sales' AND action <> 'connection.create' ORDER BY action";
    let mut read = fixture.app.store.read().await.expect("open");
    let rows: Vec<Row> = store::fetch!(&mut read, fetch_all, Row, sql).expect("read");
    rows.into_iter().map(|row| (row.actor, row.action, serde_json::from_str(&row.detail).expect("JSON"))).collect()
}

#[tokio::test]
async fn an_admin_keeps_the_secret_with_his_own_password() {
    let fixture = Fixture::new().await;
    sales(&fixture).await;
    let admin = fixture.member("ada@example.org", &[Role::Admin]).await;
    let moved = json!({"host": ELSEWHERE, "port": 6000, "description": "The replica"});
    assert!(must_type_again(&save(&fixture, &admin, &moved, None).await));
    for wrong in ["", "planted", "another long password"] {
        let refused = save(&fixture, &admin, &moved, Some(wrong)).await;
        assert!(matches!(refused, Err(Error::Invalid(errors)) if errors.len() == 1 && errors[0].field == "own_password"));
    }
    assert_eq!((version(&fixture).await, events(&fixture).await), (1, Vec::new()), "nothing has changed");

    save(&fixture, &admin, &moved, Some(PASSWORD)).await.expect("saved");
    let token = fixture.token(&Caller::shell(), "nightly", Role::User).await;
    let code = fixture.by_token(&token).await.expect("it lives");
    let resolved =
        credentials::resolve(&fixture.app, &code, WORKSPACE, "sales", |_| false).await.expect("it opens at its new place");
    let body: Value = serde_json::from_str(resolved.body.expect("new to the client").expose_secret()).expect("JSON");
    assert_eq!((&body["fields"]["password"], &body["fields"]["host"]), (&json!("planted"), &json!(ELSEWHERE)));
    let [(carrier, action, detail), (_, edit, _)] = &events(&fixture).await[..] else { panic!("two events") };
    assert_eq!([carrier, action, edit], ["ada@example.org", "connection.carry_secret", "connection.edit"]);
    let mut detail = detail.clone();
    crate::audit::rows::without(&mut detail);
    assert_eq!(detail, json!({"version": 2, "fields": ["host", "port"], "secrets": ["password"]}));
}

/// An admin who has no password, in a session that he has just begun.
async fn without_password(fixture: &Fixture) -> Caller {
    let shell = Caller::shell();
    people::put_member(&fixture.app, &shell, WORKSPACE, "grace@example.org", Roles::of(&[Role::Admin])).await.expect("added");
    let code = links::create_link(&fixture.app, &shell, "grace@example.org", LinkKind::SignIn).await.expect("a link").code;
    let cookie = links::follow_link(&fixture.app, &Device::default(), code.expose_secret(), None).await.expect("signed in");
    fixture.person(&cookie).await.expect("signed in")
}

#[tokio::test]
async fn who_has_no_password_carries_once_what_he_has_just_shown() {
    let fixture = Fixture::new().await;
    sales(&fixture).await;
    let (other, moved) = (json!({"host": "db.example.org"}), json!({"host": ELSEWHERE}));
    let grace = without_password(&fixture).await;
    assert!(must_type_again(&save(&fixture, &grace, &moved, None).await), "nobody chose it");
    let unmoved = save(&fixture, &grace, &json!({"description": "x"}), Some("")).await;
    unmoved.expect("what sends nothing elsewhere uses nothing up");
    save(&fixture, &grace, &moved, Some("")).await.expect("he has just shown it");
    // As one that came at the same instant finds it.
    let again = save(&fixture, &grace, &other, Some("")).await;
    assert!(matches!(again, Err(Error::SecondLook)), "{again:?}");
    assert_eq!(version(&fixture).await, 3);
    let [(carrier, action, _), ..] = &events(&fixture).await[..] else { panic!("an event") };
    assert_eq!([carrier, action], ["grace@example.org", "connection.carry_secret"]);

    let grace = without_password(&fixture).await;
    fixture.app.clock.advance(CONFIRMED_FOR_ONE + SECOND);
    let late = save(&fixture, &grace, &other, Some("")).await;
    assert!(matches!(late, Err(Error::SecondLook)), "{late:?}");
    let grace = without_password(&fixture).await;
    let typed = save(&fixture, &grace, &other, Some(PASSWORD)).await;
    typed.expect("whatever is typed, he has just shown it");
    // Who is no admin is not asked.
    people::put_member(&fixture.app, &Caller::shell(), WORKSPACE, "grace@example.org", Roles::of(&[Role::Editor]))
        .await
        .expect("changed");
    let code =
        links::create_link(&fixture.app, &Caller::shell(), "grace@example.org", LinkKind::SignIn).await.expect("a link").code;
    let cookie = links::follow_link(&fixture.app, &Device::default(), code.expose_secret(), None).await.expect("signed in");
    let editor = fixture.person(&cookie).await.expect("signed in");
    assert!(must_type_again(&save(&fixture, &editor, &moved, Some("")).await));
}

#[tokio::test]
async fn whoever_else_gives_a_password_is_refused_as_without_one() {
    let fixture = Fixture::new().await;
    sales(&fixture).await;
    let admin = fixture.member("ada@example.org", &[Role::Admin]).await;
    let token = fixture.token(&admin, "of an admin", Role::Admin).await;
    let editor = fixture.member("eve@example.org", &[Role::Editor, Role::User]).await;
    for caller in [editor, fixture.by_token(&token).await.expect("it lives"), Caller::shell()] {
        for own_password in [PASSWORD, "another long password"] {
            let refused = save(&fixture, &caller, &json!({"host": ELSEWHERE}), Some(own_password)).await;
            assert!(must_type_again(&refused), "{}: {refused:?}", caller.label());
        }
    }
    assert_eq!((version(&fixture).await, events(&fixture).await), (1, Vec::new()));
}

#[tokio::test]
async fn only_what_moves_is_carried_and_what_is_typed_or_cleared_is_not() {
    let fixture = Fixture::new().await;
    sales(&fixture).await;
    let admin = fixture.member("ada@example.org", &[Role::Admin]).await;
    for change in [
        json!({"description": "The same place"}),
        json!({"host": ELSEWHERE, "password": "typed"}),
        json!({"host": "db.example.org", "password": null}),
        json!({"host": ELSEWHERE}),
    ] {
        save(&fixture, &admin, &change, Some(PASSWORD)).await.expect("saved");
    }
    assert!(events(&fixture).await.iter().all(|(_, action, _)| action == "connection.edit"));
}

#[tokio::test]
async fn without_its_event_no_secret_is_carried() {
    let fixture = Fixture::new().await;
    sales(&fixture).await;
    let admin = fixture.member("ada@example.org", &[Role::Admin]).await;
    fixture
        .bend(
            "CREATE TRIGGER no_event BEFORE INSERT ON audit_events WHEN NEW.action = 'connection.carry_secret' \
             BEGIN SELECT RAISE(ABORT, 'none'); END",
        )
        .await;
    assert!(matches!(save(&fixture, &admin, &json!({"host": ELSEWHERE}), Some(PASSWORD)).await, Err(Error::Internal(_))));
    assert_eq!((version(&fixture).await, events(&fixture).await), (1, Vec::new()));
}

#[tokio::test]
async fn a_test_of_unsaved_values_carries_nothing() {
    let fixture = Fixture::new().await;
    sales(&fixture).await;
    let admin = fixture.member("ada@example.org", &[Role::Admin]).await;
    let planned = checks::plan_unsaved(&fixture.app, &admin, WORKSPACE, Some("sales"), draft(&json!({"host": ELSEWHERE}))).await;
    assert!(must_type_again(&planned.map(|_| ())));
}

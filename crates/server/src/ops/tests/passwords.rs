//! Passwords that are chosen anew, by a link or by their owner, and what the old ones opened.

use dataflow_model::Secret;

use super::{Fixture, OWNER, PASSWORD, WORKSPACE};
use crate::{
    error::{Error, Result},
    ops::{
        Caller, Role, Roles,
        links::{self, LinkKind, follow_link},
        people::{change_own_password, put_member, set_disabled, set_password},
        sessions::{Device, begin_session, sign_in},
        sign_in_failures::tell,
    },
    store,
};

const EMAIL: &str = "ada@example.org";
const NEW: &str = "another battery staple";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

async fn owner(fixture: &Fixture) -> Caller {
    let cookie = sign_in(&fixture.app, &Device::default(), OWNER, &secret(PASSWORD)).await.expect("signed in");
    fixture.person(&cookie).await.expect("signed in")
}

/// The new password opens the account, and nothing that was there before does; but tokens stay.
async fn only_the_new_one_opens(fixture: &Fixture, cookies: &[Secret], older: &[Secret], token: &Secret) {
    for cookie in cookies {
        assert!(matches!(fixture.person(cookie).await, Err(Error::Unauthenticated)));
    }
    for code in older {
        let followed = follow_link(&fixture.app, &Device::default(), code.expose_secret(), Some(&secret(PASSWORD))).await;
        assert!(matches!(followed, Err(Error::SetupDone)));
    }
    assert!(matches!(sign_in(&fixture.app, &Device::default(), EMAIL, &secret(PASSWORD)).await, Err(Error::Unauthenticated)));
    sign_in(&fixture.app, &Device::default(), EMAIL, &secret(NEW)).await.expect("the new password");
    fixture.by_token(token).await.expect("it lives");
}

#[tokio::test]
async fn a_new_link_replaces_a_password_and_all_that_it_opened() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let cookie = fixture.sign_up(EMAIL, &[Role::User]).await;
    let token = fixture.token(&fixture.person(&cookie).await.expect("signed in"), "own", Role::User).await;
    let older = [
        links::create_link(app, &shell, EMAIL, LinkKind::SignIn).await.expect("a link").code,
        links::create_link(app, &shell, EMAIL, LinkKind::Password).await.expect("a link").code,
    ];
    let link = links::create_link(app, &owner(&fixture).await, EMAIL, LinkKind::Password).await.expect("a link").code;
    fixture.person(&cookie).await.expect("a link that nobody follows ends nothing");
    let fresh = follow_link(app, &Device::default(), link.expose_secret(), Some(&secret(NEW))).await.expect("chosen");
    fixture.person(&fresh).await.expect("signed in");
    only_the_new_one_opens(&fixture, &[cookie], &older, &token).await;
}

#[tokio::test]
async fn a_lost_invitation_is_made_anew() {
    let fixture = Fixture::new().await;
    let lost = put_member(&fixture.app, &Caller::shell(), WORKSPACE, EMAIL, Roles::of(&[Role::Viewer])).await.expect("added");
    fixture.app.clock.advance(lost.expect("somebody new").expires_at - fixture.app.clock.now());
    let link = links::create_link(&fixture.app, &owner(&fixture).await, EMAIL, LinkKind::Password).await.expect("a link").code;
    follow_link(&fixture.app, &Device::default(), link.expose_secret(), Some(&secret(NEW))).await.expect("chosen");
}

#[tokio::test]
async fn an_admin_makes_no_link_and_nobody_one_for_an_owner() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let admin = fixture.member("admin@example.org", &[Role::Admin]).await;
    fixture.sign_up(EMAIL, &[Role::User]).await;
    let owner = owner(&fixture).await;
    let refused =
        async |caller, email, kind| links::create_link(app, caller, email, kind).await.expect_err("refused").describe().0;
    for (caller, email, kind) in [
        (&admin, EMAIL, LinkKind::Password),
        (&admin, "nobody@example.org", LinkKind::Password),
        (&owner, EMAIL, LinkKind::SignIn),
        (&owner, OWNER, LinkKind::Password),
    ] {
        assert_eq!(refused(caller, email, kind).await, 403, "{email}");
    }
    links::create_link(app, &Caller::shell(), OWNER, LinkKind::Password).await.expect("the shell may");
}

#[tokio::test]
async fn who_knows_his_password_changes_it() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let cookies = [
        fixture.sign_up(EMAIL, &[Role::User]).await,
        sign_in(app, &Device::default(), EMAIL, &secret(PASSWORD)).await.expect("signed in"),
    ];
    let [cookie, _] = &cookies;
    let person = fixture.person(cookie).await.expect("signed in");
    let token = fixture.token(&person, "own", Role::User).await;
    let older = [links::create_link(app, &Caller::shell(), EMAIL, LinkKind::Password).await.expect("a link").code];
    let change = async |own, new| change_own_password(app, &person, &Device::default(), (&secret(own), &secret(new))).await;
    let refused_at = |came_to: Result<Secret>, field: &str| {
        assert!(matches!(came_to, Err(Error::Invalid(errors)) if errors.iter().all(|error| error.field == field)), "{field}");
    };
    refused_at(change("not his own one", NEW).await, "own_password");
    refused_at(change(PASSWORD, "too short").await, "password");
    for cookie in &cookies {
        fixture.person(cookie).await.expect("nothing has changed");
    }
    let by_token = fixture.by_token(&token).await.expect("it lives");
    assert!(matches!(
        change_own_password(app, &by_token, &Device::default(), (&secret(PASSWORD), &secret(NEW))).await,
        Err(Error::Forbidden(_))
    ));
    let fresh = change(PASSWORD, NEW).await.expect("changed");
    fixture.person(&fresh).await.expect("this one goes on");
    only_the_new_one_opens(&fixture, &cookies, &older, &token).await;
}

#[tokio::test]
async fn a_sign_in_that_a_new_password_overtakes_opens_nothing() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let person = fixture.member(EMAIL, &[Role::User]).await;
    let as_read = store::person_by_email(&mut app.store.read().await.expect("open"), EMAIL).await.expect("read").expect("there");
    change_own_password(app, &person, &Device::default(), (&secret(PASSWORD), &secret(NEW))).await.expect("changed");
    let mut write = app.store.write().await.expect("free");
    assert!(matches!(begin_session(app, &mut write, &as_read, &Device::default()).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn a_password_over_another_one_that_was_chosen_meanwhile_is_a_conflict() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let read = store::person_by_email(&mut app.store.read().await.expect("open"), OWNER).await.expect("read").expect("there");
    let caller = owner(&fixture).await;
    change_own_password(app, &caller, &Device::default(), (&secret(PASSWORD), &secret(NEW))).await.expect("changed");
    let mut write = app.store.write().await.expect("open");
    let came_to = set_password(app, &mut write, None, read, String::new()).await;
    assert!(matches!(came_to, Err(Error::VersionConflict)), "no outage");
}

/// What the events of failed sign-ins say, oldest first.
async fn failures(fixture: &Fixture) -> Vec<(String, String)> {
    let sql = "SELECT object, detail FROM audit_events WHERE action = 'person.sign_in_failed' AND actor = 'server' ORDER BY at";
    store::fetch!(&mut fixture.app.store.read().await.expect("open"), fetch_all, (String, String), sql).expect("read")
}

/// One event a minute and account, whatever is tried, and none of an account that there is not.
#[tokio::test]
async fn failed_sign_ins_are_told_once_a_minute_and_of_accounts_alone() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    fixture.sign_up(EMAIL, &[Role::User]).await;
    let device = Device { address: "192.0.2.7".parse().ok(), agent: None };
    let fails = async |email: &str, times: usize| {
        for _ in 0..times {
            let refused = sign_in(app, &device, email, &secret(NEW)).await;
            assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
        }
        tell(app, false).await.expect("told");
    };
    let attempts = async || -> Vec<(String, i64)> {
        let of = |detail: &str| {
            serde_json::from_str::<serde_json::Value>(detail).expect("JSON")["attempts"].as_i64().expect("a number")
        };
        failures(&fixture).await.iter().map(|(email, detail)| (email.clone(), of(detail))).collect()
    };
    fails("nobody@example.org", 3).await;
    assert_eq!(attempts().await, []);
    // As it is typed, and told as it is called.
    fails(" ADA@example.org", 2).await;
    assert_eq!(attempts().await, [(EMAIL.to_owned(), 2)]);
    assert!(failures(&fixture).await[0].1.contains("\"address\":\"192.0.2.7\""));
    fails(EMAIL, 2).await;
    fails(OWNER, 1).await;
    assert_eq!(attempts().await, [(EMAIL.to_owned(), 2), (OWNER.to_owned(), 1)], "the others wait for the minute to end");
    app.clock.advance(60 * crate::clock::SECOND);
    tell(app, false).await.expect("told");
    let mut told = attempts().await;
    told.sort();
    assert_eq!(told, [(EMAIL.to_owned(), 2), (EMAIL.to_owned(), 2), (OWNER.to_owned(), 1)]);
    // Nor is he let in who is disabled, with whatever password.
    set_disabled(app, &Caller::shell(), WORKSPACE, EMAIL, true).await.expect("disabled");
    let refused = sign_in(app, &device, EMAIL, &secret(PASSWORD)).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    tell(app, true).await.expect("told");
    assert_eq!(attempts().await.len(), 4);
}

//! Sessions and one-time links end, and no bent row revives one.

use dataflow_model::Secret;

use super::{Fixture, OWNER, PASSWORD};
use crate::{
    clock::SECOND,
    error::Error,
    ops::{
        Caller, Role, Who,
        links::{self, LinkKind},
        rows::Sealed as _,
        sessions::{self, Device, SESSION_IDLE, SESSION_LONGEST, sign_in},
    },
    store::{self, SessionRow},
};

const EMAIL: &str = "ada@example.org";

#[tokio::test]
async fn an_idle_session_is_not_revived_by_a_bent_row() {
    let fixture = Fixture::new().await;
    let cookie = fixture.sign_up(EMAIL, &[Role::Viewer]).await;
    // The clock goes on by itself, too.
    fixture.app.clock.advance(SESSION_IDLE - 600 * SECOND);
    fixture.person(&cookie).await.expect("it is used in time");
    fixture.app.clock.advance(SESSION_IDLE - 600 * SECOND);
    fixture.person(&cookie).await.expect("its use was kept");
    fixture.app.clock.advance(SESSION_IDLE + SECOND);
    assert!(matches!(fixture.person(&cookie).await, Err(Error::Unauthenticated)));
    let mut write = fixture.app.store.write().await.expect("open");
    store::execute!(&mut write, "UPDATE sessions SET seen_at = $1", fixture.app.clock.now()).expect("bent");
    write.commit().await.expect("committed");
    assert!(matches!(fixture.person(&cookie).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_however_busy_it_is() {
    let fixture = Fixture::new().await;
    let cookie = fixture.sign_up(EMAIL, &[Role::Viewer]).await;
    let (twenty_minutes, twelve_hours) = (20 * 60 * SECOND, 12 * 3600 * SECOND);
    assert!(twenty_minutes < SESSION_IDLE && twelve_hours == SESSION_LONGEST);
    for _ in 1..twelve_hours / twenty_minutes {
        fixture.app.clock.advance(twenty_minutes);
        fixture.person(&cookie).await.expect("it is used in time, and not twelve hours old");
    }
    fixture.app.clock.advance(twenty_minutes);
    assert!(matches!(fixture.person(&cookie).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn a_link_that_was_used_leaves_nothing_behind() {
    let fixture = Fixture::new().await;
    fixture.sign_up(EMAIL, &[Role::Viewer]).await;
    let link = links::create_link(&fixture.app, &Caller::shell(), EMAIL, LinkKind::SignIn).await.expect("a link");
    let code = link.code.expose_secret();
    links::follow_link(&fixture.app, &Device::default(), code, None).await.expect("signed in");
    assert!(matches!(links::follow_link(&fixture.app, &Device::default(), code, None).await, Err(Error::SetupDone)));
    let hash = fixture.app.vault.token_hash(code);
    assert!(store::link(&mut fixture.app.store.read().await.expect("open"), &hash).await.expect("read").is_none());
}

#[tokio::test]
async fn who_signs_in_empties_no_nodes_memory() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let tick = async || store::tick(&mut app.store.read().await.expect("open")).await.expect("read");
    let before = tick().await;
    sign_in(app, &Device::default(), OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in");
    let link = links::create_link(app, &Caller::shell(), OWNER, LinkKind::SignIn).await.expect("a link");
    links::follow_link(app, &Device::default(), link.code.expose_secret(), None).await.expect("signed in");
    assert_eq!(tick().await, before);
}

#[tokio::test]
async fn a_person_sees_and_ends_his_own_sessions_alone() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let theirs = fixture.sign_up(EMAIL, &[Role::Viewer]).await;
    let at = |address: &str, agent: &str| Device { address: address.parse().ok(), agent: Some(agent.to_owned()) };
    let sign_in = async |device: Device| {
        app.clock.advance(SECOND);
        sign_in(app, &device, OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in")
    };
    let old = sign_in(at("192.0.2.1", "old\u{0}")).await;
    let (_, here) = (sign_in(at("192.0.2.2", &"x".repeat(5_000))).await, sign_in(at("192.0.2.3", "here")).await);
    let owner = fixture.person(&here).await.expect("signed in");
    let list = async || sessions::list(app, &owner, here.expose_secret()).await.expect("his own");

    let before = list().await;
    let shown: Vec<_> = before.iter().map(|one| (one.is_this, one.row.address.as_deref().unwrap_or_default())).collect();
    assert_eq!(shown, [(true, "192.0.2.3"), (false, "192.0.2.2"), (false, "192.0.2.1")]);
    let agents: Vec<_> = before.iter().map(|one| one.row.agent.as_deref().unwrap_or_default().len()).collect();
    assert_eq!(agents, [4, 300, 3]);

    let stranger = fixture.person(&theirs).await.expect("signed in");
    for id in ["", "00", "no hex"] {
        assert!(matches!(sessions::end(app, &stranger, id).await, Err(Error::NotFound("session"))), "{id}");
    }
    assert_eq!(sessions::end(app, &stranger, &before[2].id).await.ok(), Some(false));
    fixture.person(&old).await.expect("nobody else ends it");
    assert_eq!(sessions::end(app, &owner, &before[2].id).await.ok(), Some(true));
    assert!(matches!(fixture.person(&old).await, Err(Error::Unauthenticated)));

    assert_eq!(sessions::end_others(app, &owner, here.expose_secret()).await.expect("his own"), 1);
    assert_eq!(list().await.iter().map(|one| one.is_this).collect::<Vec<_>>(), [true]);
    fixture.person(&theirs).await.expect("of another person");
    assert!(matches!(sessions::list(app, &Caller::shell(), "").await, Err(Error::Forbidden(_))));
}

#[tokio::test]
async fn a_session_that_ended_by_itself_is_not_shown() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let cookie = fixture.sign_up(EMAIL, &[Role::Viewer]).await;
    let caller = fixture.person(&cookie).await.expect("signed in");
    assert_eq!(sessions::list(app, &caller, cookie.expose_secret()).await.expect("his own").len(), 1);
    app.clock.advance(SESSION_IDLE + SECOND);
    assert!(sessions::list(app, &caller, cookie.expose_secret()).await.expect("his own").is_empty());
}

/// When the caller last showed in his session that he is who he was.
fn confirmed_at(caller: &Caller) -> Option<i64> {
    let Who::Person(person) = &caller.who else { panic!("a person") };
    person.session.as_ref().expect("he asks in one").confirmed_at
}

#[tokio::test]
async fn who_signed_in_was_confirmed_then_whatever_is_written_since() {
    let fixture = Fixture::new().await;
    let before = fixture.app.clock.now();
    let cookie = fixture.sign_up(EMAIL, &[Role::Viewer]).await;
    let began = confirmed_at(&fixture.person(&cookie).await.expect("signed in"));
    assert!(began.is_some_and(|at| (before..=fixture.app.clock.now()).contains(&at)), "{began:?}");
    fixture.app.clock.advance(SESSION_IDLE - 600 * SECOND);
    fixture.person(&cookie).await.expect("seen, which is written");
    assert_eq!(confirmed_at(&fixture.person(&cookie).await.expect("signed in")), began);
    for bent in [Some(fixture.app.clock.now()), None] {
        let mut write = fixture.app.store.write().await.expect("open");
        store::execute!(&mut write, "UPDATE sessions SET confirmed_at = $1", bent).expect("bent");
        write.commit().await.expect("committed");
        assert!(matches!(fixture.person(&cookie).await, Err(Error::Unauthenticated)), "{bent:?}");
    }
}

#[tokio::test]
async fn a_session_of_before_goes_on_unconfirmed() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let cookie = fixture.sign_up(EMAIL, &[Role::Viewer]).await;
    let hash = app.vault.token_hash(cookie.expose_secret());
    let mut write = app.store.write().await.expect("open");
    let row = store::session(&mut write, &hash).await.expect("read").expect("there");
    let before = row.mac.clone();
    let row = SessionRow { confirmed_at: None, ..row }.sealed(&app.vault);
    assert!(store::update_session(&mut write, &row, &before).await.expect("written"));
    assert!(!store::update_session(&mut write, &row, &before).await.expect("read"), "it was another one by then");
    write.commit().await.expect("committed");
    assert_eq!(confirmed_at(&fixture.person(&cookie).await.expect("signed in still")), None);
}

//! Sessions and one-time links end, and no bent row revives one.

use dataflow_model::Secret;

use super::{Fixture, OWNER, PASSWORD};
use crate::{
    clock::SECOND,
    error::Error,
    ops::{
        Caller, Role,
        links::{self, LinkKind},
        sessions::{SESSION_IDLE, SESSION_LONGEST, sign_in},
    },
    store,
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
    links::follow_link(&fixture.app, code, None).await.expect("signed in");
    assert!(matches!(links::follow_link(&fixture.app, code, None).await, Err(Error::SetupDone)));
    let hash = fixture.app.vault.token_hash(code);
    assert!(store::link(&mut fixture.app.store.read().await.expect("open"), &hash).await.expect("read").is_none());
}

#[tokio::test]
async fn who_signs_in_empties_no_nodes_memory() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let tick = async || store::tick(&mut app.store.read().await.expect("open")).await.expect("read");
    let before = tick().await;
    sign_in(app, None, OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in");
    let link = links::create_link(app, &Caller::shell(), OWNER, LinkKind::SignIn).await.expect("a link");
    links::follow_link(app, link.code.expose_secret(), None).await.expect("signed in");
    assert_eq!(tick().await, before);
}

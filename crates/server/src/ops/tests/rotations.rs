//! Rotations of passwords that are not settled, beside what else happens to their rows. No process can be started here that speaks to a database,
//! so that each stays so.

use super::{Fixture, WORKSPACE, sample};
use crate::{
    clock::SECOND,
    error::Error,
    ops::{
        Caller,
        connections::{self, Precondition},
        keys::{self, rotation::Rotation},
        rotations::{self, State, candidate},
        rows::{Sealed as _, VersionContent},
        workspaces,
    },
    store::{self, RotationRow},
};

/// A rotation of the password of `sales` that waits to be settled.
async fn begun(fixture: &Fixture) -> RotationRow {
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    let rotated = rotations::rotate(app, &shell, WORKSPACE, "sales", &Precondition::Any).await.expect("it began");
    assert_eq!(rotated.state, State::Unsettled, "a process that broke may have done anything");
    row(fixture).await.expect("it waits")
}

async fn row(fixture: &Fixture) -> Option<RotationRow> {
    let mut read = fixture.app.store.read().await.expect("open");
    let rows = store::fetch!(&mut read, fetch_all, RotationRow, "SELECT * FROM rotations").expect("read");
    rows.into_iter().next()
}

/// The new password, in clear.
async fn candidate_of(fixture: &Fixture, row: &RotationRow) -> crate::error::Result<String> {
    let app = &fixture.app;
    let row = row.clone().checked(&app.vault)?;
    let version = store::version(&mut app.store.read().await?, &row.connection_id, row.base_version).await?.expect("there");
    let endpoint = VersionContent::read(&version)?.endpoint;
    app.caches.forget_all();
    let workspace = app.workspace(WORKSPACE).await?.expect("there");
    Ok(candidate::open(&workspace.key, &row, &endpoint)?.expose_secret().to_owned())
}

async fn a_new_password_is_sealed_anew_when_keys_rotate(fixture: &Fixture) {
    let before = begun(fixture).await;
    let password = candidate_of(fixture, &before).await.expect("it opens");
    assert_eq!((password.len(), before.key_version), (32, 1));
    keys::rotate(&fixture.app, &Caller::shell()).await.expect("begun");
    Rotation::to_the_end(&fixture.app).await.expect("done");
    let after = row(fixture).await.expect("it still waits");
    assert_eq!(after.key_version, 2, "or the old key could not have been retired");
    assert!(after.candidate != before.candidate && after.mac != before.mac);
    assert_eq!(candidate_of(fixture, &after).await.expect("it opens under the new key"), password);
    assert!(candidate_of(fixture, &before).await.is_err(), "what was of before opens no more");
}

#[tokio::test]
async fn a_new_password_is_sealed_anew_when_keys_rotate_on_sqlite() {
    a_new_password_is_sealed_anew_when_keys_rotate(&Fixture::new().await).await;
}

#[tokio::test]
async fn a_new_password_is_sealed_anew_when_keys_rotate_on_postgres() {
    a_new_password_is_sealed_anew_when_keys_rotate(&Fixture::on_postgres().await).await;
}

#[tokio::test]
async fn whoever_is_at_it_is_left_alone_and_it_is_tried_less_and_less_often() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let first = begun(&fixture).await;
    assert_eq!((first.tries, first.leased_until), (1, 0));
    assert_eq!(rotations::settle_due(app).await.expect("looked"), 0, "not yet");
    let mut pauses = Vec::new();
    for _ in 0..12 {
        app.clock.advance(row(&fixture).await.expect("there").next_at - app.clock.now());
        assert_eq!(rotations::settle_due(app).await.expect("looked"), 1);
        let row = row(&fixture).await.expect("there");
        pauses.push((row.next_at - row.tried_at.expect("tried")) / SECOND);
    }
    assert!(pauses.is_sorted() && pauses.first() < Some(&5) && pauses.last() >= Some(&299), "{pauses:?}");

    app.clock.advance(301 * SECOND);
    let now = app.clock.now();
    let mut write = app.store.write().await.expect("open");
    let other = store::RotationRow { owner: "another node".to_owned(), leased_until: now + 6 * SECOND, ..first.clone() };
    assert!(store::take_rotation(&mut write, &other, now).await.expect("free"));
    let late = store::RotationRow { leased_until: now + 7 * SECOND, ..first.clone() };
    assert!(!store::take_rotation(&mut write, &late, now).await.expect("asked"));
    // Whose lease ran out does not take back by telling that he is at it what another one took meanwhile.
    assert!(!store::lease_rotation(&mut write, &first.connection_id, &first.owner, now + 7 * SECOND).await.expect("asked"));
    assert!(store::lease_rotation(&mut write, &first.connection_id, "another node", now + 6 * SECOND).await.expect("asked"));
    write.commit_quietly().await.expect("kept");
    assert_eq!(rotations::settle_due(app).await.expect("looked"), 0, "another node is at it");
    let given_up = rotations::give_up(app, &Caller::shell(), WORKSPACE, "sales", &Precondition::Any).await;
    assert!(matches!(given_up, Err(Error::RotationUnderWay(_))), "{given_up:?}");
    app.clock.advance(6 * SECOND);
    assert_eq!(rotations::settle_due(app).await.expect("looked"), 1, "that node is gone");
}

/// Whoever can write the store cannot have a password of his own saved, or this one for another version.
#[tokio::test]
async fn a_bent_row_is_settled_by_nobody_and_can_be_given_up() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    begun(&fixture).await;
    fixture.bend("UPDATE rotations SET base_version = 0, next_at = 0").await;
    assert_eq!(rotations::settle_due(app).await.expect("looked"), 1);
    let shown = connections::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("there");
    assert_eq!(shown.row.version, 1);
    assert!(shown.rotation.is_some_and(|rotation| rotation.sentence().contains("does not open")));
    let early = rotations::give_up(app, &Caller::shell(), WORKSPACE, "sales", &Precondition::Any).await;
    assert!(matches!(early, Err(Error::RotationUnderWay(_))), "the database may still set the new password: {early:?}");
    app.clock.advance(21 * SECOND);
    rotations::give_up(app, &Caller::shell(), WORKSPACE, "sales", &Precondition::Any).await.expect("given up");
    assert!(row(&fixture).await.is_none());
}

#[tokio::test]
async fn the_end_of_a_workspace_is_the_end_of_its_rotations() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    workspaces::create(app, &Caller::shell(), "theirs").await.expect("made");
    begun(&fixture).await;
    workspaces::delete(app, &Caller::shell(), WORKSPACE, &Precondition::Any).await.expect("deleted");
    assert!(row(&fixture).await.is_none());
}

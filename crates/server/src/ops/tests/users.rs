//! Whoever can write the store gives a name of his own to what an admin narrows a connection to: it lets nobody in.

use super::{Fixture, WORKSPACE, sample};
use crate::{
    error::Error,
    ops::{
        Caller, Role,
        connections::{self, Precondition},
        groups,
        users::{self, Users},
    },
};

#[tokio::test]
async fn a_connection_is_narrowed_to_no_row_that_was_bent() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    fixture.member("eve@example.org", &[Role::User]).await;
    for name in ["nightly", "eves"] {
        fixture.token(&shell, name, Role::User).await;
    }
    for (name, people) in [("finance", Vec::new()), ("eves", vec!["eve@example.org".to_owned()])] {
        groups::put(app, &shell, WORKSPACE, name, &people).await.expect("made");
    }
    let narrow = async |users: Users| users::set(app, &shell, WORKSPACE, "sales", (Some(users), Precondition::Any)).await;
    let by_token = || Users { tokens: vec!["nightly".to_owned()], ..Users::default() };
    let by_group = || Users { groups: vec!["finance".to_owned()], ..Users::default() };
    narrow(by_token()).await.expect("narrowed");
    narrow(by_group()).await.expect("narrowed");

    for sql in [
        "UPDATE tokens SET name = 'away', name_key = 'away' WHERE name = 'nightly'",
        "UPDATE tokens SET name = 'nightly', name_key = 'nightly' WHERE name = 'eves'",
        "UPDATE people_groups SET name = 'away', name_key = 'away' WHERE name = 'finance'",
        "UPDATE people_groups SET name = 'finance', name_key = 'finance' WHERE name = 'eves'",
    ] {
        fixture.bend(sql).await;
    }
    for users in [by_token(), by_group()] {
        let refused = narrow(users.clone()).await;
        assert!(matches!(refused, Err(Error::SecretUnreadable(_))), "{users:?}: {refused:?}");
    }
    let shown = users::show(app, &shell, WORKSPACE, "sales").await.expect("shown");
    assert_eq!(shown.users, Some(Users::default()), "it is shown under no other's name");
}

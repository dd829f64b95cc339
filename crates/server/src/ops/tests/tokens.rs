//! Tokens end with who made them, and nobody brings one back.

use dataflow_model::Secret;
use serde_json::json;

use super::{Fixture, WORKSPACE, draft, sample};
use crate::{
    clock::{DAY, SECOND},
    error::{Error, Result},
    ops::{
        Caller, Role, Roles,
        connections::{self, Change, Precondition},
        people,
        rows::Sealed as _,
        tokens::{self, NewToken},
    },
    store::{self, TokenRow},
};

const EMAIL: &str = "ada@example.org";

fn ended(came_to: &Result<Caller>) -> bool {
    matches!(came_to, Err(Error::Unauthenticated))
}

async fn id_of(fixture: &Fixture, name: &str) -> String {
    let all = tokens::list_all(&fixture.app, &Caller::shell(), WORKSPACE).await.expect("listed");
    all.into_iter().find(|token| token.row.name == name).expect("listed").row.id
}

#[tokio::test]
async fn a_persons_tokens_end_when_he_is_removed() {
    let fixture = Fixture::new().await;
    let ada = fixture.member(EMAIL, &[Role::User]).await;
    let own = fixture.token(&ada, "own", Role::User).await;
    let by_token = fixture.by_token(&own).await.expect("it lives");
    let child = fixture.token(&by_token, "child", Role::User).await;
    let others = fixture.token(&Caller::shell(), "others", Role::User).await;
    for token in [&own, &child, &others] {
        fixture.by_token(token).await.expect("it lives");
    }
    people::remove_member(&fixture.app, &Caller::shell(), WORKSPACE, EMAIL).await.expect("removed");
    assert!(ended(&fixture.by_token(&own).await) && ended(&fixture.by_token(&child).await));
    fixture.by_token(&others).await.expect("another's lives");
    // Who was let in before that makes nothing any more.
    let new = |name: &str| NewToken {
        name: name.to_owned(),
        roles: Roles::of(&[Role::User]),
        expires_in_days: None,
        connections: None,
    };
    for late in [&ada, &by_token] {
        assert!(matches!(tokens::create(&fixture.app, late, WORKSPACE, new("late")).await, Err(Error::Unauthenticated)));
    }
}

#[tokio::test]
async fn a_token_never_may_more_than_the_person_behind_it_may_now() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let ada = fixture.member(EMAIL, &[Role::Editor]).await;
    let own = fixture.token(&ada, "own", Role::Editor).await;
    let child = fixture.token(&fixture.by_token(&own).await.expect("it lives"), "child", Role::Editor).await;
    let of_shell = fixture.token(&shell, "of the shell", Role::Editor).await;
    let edits = async |token: &Secret| {
        let caller = fixture.by_token(token).await.expect("it lives");
        let seen = connections::show(app, &caller, WORKSPACE, "sales").await.expect("seen").row.version;
        let change = Change {
            draft: draft(&json!({"description": seen.to_string()})),
            precondition: Precondition::Any,
            ..Default::default()
        };
        match connections::edit(app, &caller, WORKSPACE, "sales", change).await {
            Ok(saved) => saved.row.version == seen + 1,
            Err(Error::Forbidden(_)) => false,
            Err(other) => panic!("{other:?}"),
        }
    };
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    for (roles, may_edit) in [
        (&[Role::Editor][..], true),
        (&[Role::Viewer], false),
        (&[Role::User], false),
        (&[Role::Viewer, Role::Editor], true),
        (&[Role::Admin], true),
    ] {
        people::put_member(app, &shell, WORKSPACE, EMAIL, Roles::of(roles)).await.expect("put");
        for token in [&own, &child] {
            assert_eq!(edits(token).await, may_edit, "{roles:?}");
        }
        assert!(edits(&of_shell).await);
        let granted = fixture.by_token(&own).await.expect("it lives");
        let new =
            NewToken { name: format!("{roles:?}"), roles: Roles::of(&[Role::Editor]), expires_in_days: None, connections: None };
        assert_eq!(tokens::create(app, &granted, WORKSPACE, new).await.is_ok(), may_edit, "nor grants it more: {roles:?}");
    }
}

#[tokio::test]
async fn a_token_ends_at_its_time_whether_it_is_in_memory_or_not() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let new = NewToken { name: "short".to_owned(), roles: Roles::of(&[Role::User]), expires_in_days: Some(1), connections: None };
    let (token, about) = tokens::create(app, &Caller::shell(), WORKSPACE, new).await.expect("made");
    app.clock.advance(about.row.expires_at - app.clock.now() - 60 * SECOND);
    fixture.by_token(&token).await.expect("it has a minute left");
    app.clock.advance(61 * SECOND);
    assert!(ended(&fixture.by_token(&token).await), "from memory");
    app.caches.forget_all();
    assert!(ended(&fixture.by_token(&token).await), "from the store");
}

#[tokio::test]
async fn a_token_does_not_outlive_the_one_that_made_it() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let new = |name: &str, days| NewToken {
        name: name.to_owned(),
        roles: Roles::of(&[Role::User]),
        expires_in_days: days,
        connections: None,
    };
    let (maker, about) = tokens::create(app, &Caller::shell(), WORKSPACE, new("maker", Some(2))).await.expect("made");
    app.clock.advance(DAY / 2);
    let caller = fixture.by_token(&maker).await.expect("it lives");
    let (child, as_long) = tokens::create(app, &caller, WORKSPACE, new("as long", None)).await.expect("made");
    assert_eq!(as_long.row.expires_at, about.row.expires_at);
    assert!(tokens::create(app, &caller, WORKSPACE, new("shorter", Some(1))).await.is_ok());
    let longer = tokens::create(app, &caller, WORKSPACE, new("longer", Some(2))).await;
    assert!(matches!(longer, Err(Error::Invalid(errors)) if errors.iter().any(|error| error.field == "expires_in_days")));

    let caller = fixture.by_token(&child).await.expect("it lives");
    let grandchild = fixture.token(&caller, "grandchild", Role::User).await;
    tokens::revoke(app, &Caller::shell(), WORKSPACE, &about.row.id).await.expect("revoked");
    for token in [&maker, &child, &grandchild] {
        assert!(ended(&fixture.by_token(token).await));
    }
}

#[tokio::test]
async fn the_row_of_a_revoked_token_holds_nothing_to_bring_it_back_by() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let token = fixture.token(&Caller::shell(), "leaked", Role::User).await;
    let id = id_of(&fixture, "leaked").await;
    let workspace = app.workspace(WORKSPACE).await.expect("read").expect("there").id.to_string();
    let row =
        async || store::token(&mut app.store.read().await.expect("open"), &workspace, &id).await.expect("read").expect("there");
    let before = row().await;
    tokens::revoke(app, &Caller::shell(), WORKSPACE, &id).await.expect("revoked");
    let after = row().await;
    assert_ne!(before.hash, after.hash);
    let mut write = app.store.write().await.expect("open");
    store::execute!(&mut write, "UPDATE tokens SET revoked_at = NULL, mac = $1", &before.mac).expect("bent");
    write.commit().await.expect("committed");
    app.caches.forget_all();
    assert!(ended(&fixture.by_token(&token).await));
}

#[tokio::test]
async fn a_token_belongs_to_who_made_it_and_not_to_a_namesake() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let robot = fixture.token(&Caller::shell(), "robot", Role::Viewer).await;
    let robot = fixture.by_token(&robot).await.expect("it lives");
    fixture.token(&robot, "of the first", Role::Viewer).await;
    tokens::revoke(app, &Caller::shell(), WORKSPACE, &id_of(&fixture, "robot").await).await.expect("revoked");
    let namesake = fixture.token(&Caller::shell(), "robot", Role::Viewer).await;
    let namesake = fixture.by_token(&namesake).await.expect("it lives");
    assert_eq!(namesake.label(), robot.label());
    assert!(tokens::list_all(app, &namesake, WORKSPACE).await.expect("listed").is_empty());

    // A person has what his tokens made, and nobody else's.
    let ada = fixture.member(EMAIL, &[Role::Viewer]).await;
    let own = fixture.token(&ada, "own", Role::Viewer).await;
    fixture.token(&fixture.by_token(&own).await.expect("it lives"), "own child", Role::Viewer).await;
    let mut names: Vec<_> =
        tokens::list_all(app, &ada, WORKSPACE).await.expect("listed").into_iter().map(|token| token.row.name).collect();
    names.sort();
    assert_eq!(names, ["own", "own child"]);
    let id = id_of(&fixture, "own child").await;
    assert!(matches!(tokens::revoke(app, &namesake, WORKSPACE, &id).await, Err(Error::NotFound("token"))));
    tokens::revoke(app, &ada, WORKSPACE, &id).await.expect("his own");
}

#[tokio::test]
async fn the_maker_is_under_the_mac_and_tokens_of_before_have_none() {
    let fixture = Fixture::new().await;
    let ada = fixture.member(EMAIL, &[Role::User]).await;
    let token = fixture.token(&ada, "own", Role::User).await;
    for sql in [
        "UPDATE tokens SET person_id = NULL",
        "UPDATE tokens SET made_by = NULL",
        "UPDATE tokens SET made_by = NULL, person_id = NULL",
        "UPDATE tokens SET made_by = 'shell'",
    ] {
        fixture.bend("CREATE TABLE kept AS SELECT made_by, person_id FROM tokens").await;
        fixture.bend(sql).await;
        assert!(ended(&fixture.by_token(&token).await), "{sql}");
        fixture.bend("UPDATE tokens SET made_by = (SELECT made_by FROM kept), person_id = (SELECT person_id FROM kept)").await;
        fixture.bend("DROP TABLE kept").await;
    }
    fixture.by_token(&token).await.expect("it is as it was");

    let workspace = fixture.app.workspace(WORKSPACE).await.expect("read").expect("there").id.to_string();
    let hash = fixture.app.vault.token_hash(token.expose_secret());
    let mut write = fixture.app.store.write().await.expect("open");
    let row = store::token_by_hash(&mut write, &hash).await.expect("read").expect("there");
    store::execute!(&mut write, "DELETE FROM tokens").expect("deleted");
    let before = TokenRow { made_by: None, person_id: None, workspace_id: workspace, ..row }.sealed(&fixture.app.vault);
    store::insert_token(&mut write, &before).await.expect("inserted");
    write.commit().await.expect("committed");
    fixture.app.caches.forget_all();
    fixture.by_token(&token).await.expect("a token of before lives on");
    assert!(tokens::list_all(&fixture.app, &ada, WORKSPACE).await.expect("listed").is_empty(), "and is for admins to manage");
}

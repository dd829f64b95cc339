//! Accounts: who makes them, who joins them to a workspace, and how they are disabled and enabled again.

use std::sync::Arc;

use axum::http::StatusCode;
use dataflow_model::Secret;

use super::{Fixture, OWNER, PASSWORD, WORKSPACE, sample};
use crate::{
    error::{Error, Result},
    ops::{
        Caller, Role, Roles, Who,
        access::{OpenSession, Person},
        connections::{self, Precondition},
        groups,
        links::{self, LinkKind},
        paging::Paging,
        people::{NewPerson, enable_from_shell, insert_person, members, put_member, remove_member, set_disabled},
        sessions::{Device, as_caller, sign_in},
        users::{self, Users},
        workspaces,
    },
    store,
};

const EMAIL: &str = "ada@example.org";

#[tokio::test]
async fn who_is_disabled_is_out_at_once_with_all_his_tokens() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let password = Secret::new(PASSWORD.to_owned());
    let cookie = fixture.sign_up(EMAIL, &[Role::User]).await;
    let own = fixture.token(&fixture.person(&cookie).await.expect("signed in"), "own", Role::User).await;
    let child = fixture.token(&fixture.by_token(&own).await.expect("it lives"), "child", Role::User).await;
    fixture.by_token(&child).await.expect("it lives");
    let link = links::create_link(app, &shell, EMAIL, LinkKind::SignIn).await.expect("a link");

    set_disabled(app, &shell, WORKSPACE, EMAIL, true).await.expect("disabled");
    let listed = members(app, &shell, WORKSPACE, &Paging::default()).await.expect("listed").rows;
    assert!(listed.iter().any(|member| member.person.email == EMAIL && member.person.disabled_at.is_some()));
    for token in [&own, &child] {
        assert!(matches!(fixture.by_token(token).await, Err(Error::Unauthenticated)));
    }
    assert!(matches!(fixture.person(&cookie).await, Err(Error::Unauthenticated)));
    assert!(matches!(sign_in(app, &Device::default(), EMAIL, &password).await, Err(Error::Unauthenticated)));
    assert!(links::follow_link(app, &Device::default(), link.code.expose_secret(), None).await.is_err());

    set_disabled(app, &shell, WORKSPACE, EMAIL, false).await.expect("enabled");
    for token in [&own, &child] {
        fixture.by_token(token).await.expect("it lives again");
    }
    assert!(matches!(fixture.person(&cookie).await, Err(Error::Unauthenticated)), "the session ended for good");
    sign_in(app, &Device::default(), EMAIL, &password).await.expect("he signs in anew");
}

#[tokio::test]
async fn the_last_admin_is_neither_disabled_nor_removed() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let cookie = sign_in(app, &Device::default(), OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in");
    let owner = fixture.person(&cookie).await.expect("signed in");
    put_member(app, &shell, WORKSPACE, OWNER, Roles::of(&[Role::Admin])).await.expect("a member, too");
    for caller in [&shell, &owner] {
        assert!(matches!(set_disabled(app, caller, WORKSPACE, OWNER, true).await, Err(Error::LastAdmin)));
        assert!(matches!(remove_member(app, caller, WORKSPACE, OWNER).await, Err(Error::LastAdmin)));
    }
    fixture.person(&cookie).await.expect("nothing has changed");
}

/// Set-up makes one owner, and nothing another yet.
async fn second_owner(fixture: &Fixture, email: &str) -> Caller {
    let app = &fixture.app;
    let mut write = app.store.write().await.expect("the store is free");
    let new = NewPerson { email, password_hash: String::new(), is_owner: true };
    let row = insert_person(app, Some(&Caller::shell()), &mut write, new).await.expect("made");
    write.commit().await.expect("committed");
    let caller = as_caller(&row).expect("an id");
    let Who::Person(person) = &caller.who else { panic!("a person") };
    let session = OpenSession { hash: Vec::new(), confirmed_at: Some(app.clock.now()) };
    Caller::of(Who::Person(Arc::new(Person { session: Some(session), ..Person::clone(person) })))
}

#[tokio::test]
async fn of_two_owners_who_disable_each_other_one_stays() {
    let fixture = Fixture::on_postgres().await;
    let app = &fixture.app;
    let second = second_owner(&fixture, "second@example.org").await;
    let cookie = sign_in(app, &Device::default(), OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in");
    let first = fixture.person(&cookie).await.expect("signed in");
    // Both have read that there are two of them before either is written.
    let held = app.store.write_alone().await.expect("the store is free");
    let [one, other] = [(first, "second@example.org"), (second, OWNER)].map(|(caller, email)| {
        let app = Arc::clone(app);
        tokio::spawn(async move { set_disabled(&app, &caller, WORKSPACE, email, true).await })
    });
    app.until_waiting(2).await;
    drop(held);
    let came_to = [one.await.expect("no panic"), other.await.expect("no panic")];
    assert!(came_to.iter().any(Result::is_ok), "{came_to:?}");
    assert!(came_to.iter().any(|one| matches!(one, Err(Error::LastAdmin))), "{came_to:?}");
    let enabled = store::enabled_owners(&mut app.store.read().await.expect("open")).await.expect("read");
    assert_eq!(enabled.len(), 1);
}

#[tokio::test]
async fn a_shell_enables_who_nobody_else_may() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let admin = fixture.member("admin@example.org", &[Role::Admin]).await;
    fixture.sign_up(EMAIL, &[Role::User]).await;
    set_disabled(app, &shell, WORKSPACE, EMAIL, true).await.expect("disabled");
    remove_member(app, &shell, WORKSPACE, EMAIL).await.expect("he is in no workspace any more");
    assert!(matches!(enable_from_shell(app, &admin, EMAIL).await, Err(Error::OwnersOnly(_))));
    assert!(matches!(enable_from_shell(app, &shell, "nobody@example.org").await, Err(Error::NotFound("person"))));
    enable_from_shell(app, &shell, &EMAIL.to_uppercase()).await.expect("enabled");
    sign_in(app, &Device::default(), EMAIL, &Secret::new(PASSWORD.to_owned())).await.expect("he signs in anew");
}

#[tokio::test]
async fn it_takes_an_admin_of_all_that_the_person_is_in() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let admin = fixture.member("admin@example.org", &[Role::Admin]).await;
    fixture.sign_up(EMAIL, &[Role::User]).await;
    workspaces::create(app, &shell, "theirs").await.expect("made");
    let refused = async |email, words: &str| {
        let came_to = set_disabled(app, &admin, WORKSPACE, email, true).await;
        let (status, _, detail, _) = came_to.expect_err("refused").describe();
        assert!(status == StatusCode::FORBIDDEN && detail.contains(words), "{email}: {detail}");
    };
    put_member(app, &shell, "theirs", EMAIL, Roles::of(&[Role::Viewer])).await.expect("a member there, too");
    refused(EMAIL, "other workspaces").await;
    refused(OWNER, "Only an owner").await;
    refused("admin@example.org", "Nobody may disable himself").await;
    put_member(app, &shell, "theirs", "eve@example.org", Roles::of(&[Role::Viewer])).await.expect("a member there");
    for email in ["eve@example.org", "nobody@example.org", "no address"] {
        assert!(matches!(set_disabled(app, &admin, WORKSPACE, email, true).await, Err(Error::NotFound("person"))), "{email}");
    }
    remove_member(app, &shell, "theirs", EMAIL).await.expect("removed there");
    set_disabled(app, &admin, WORKSPACE, EMAIL, true).await.expect("in his hands alone");
}

#[tokio::test]
async fn an_admin_makes_no_account_and_takes_none_in() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let admin = fixture.member("admin@example.org", &[Role::Admin]).await;
    let token = fixture.by_token(&fixture.token(&admin, "own", Role::Admin).await).await.expect("it lives");
    let owners = owners_token(&fixture).await;
    fixture.sign_up(EMAIL, &[Role::User]).await;
    workspaces::create(app, &shell, "theirs").await.expect("made");
    put_member(app, &shell, "theirs", "eve@example.org", Roles::of(&[Role::Viewer])).await.expect("an account elsewhere");
    let put = async |caller, email| put_member(app, caller, WORKSPACE, email, Roles::of(&[Role::Editor])).await;
    for caller in [&admin, &token, &owners] {
        let mut told = Vec::new();
        for email in ["eve@example.org", "ceo@example.org"] {
            let refused = put(caller, email).await.expect_err("he is not here");
            told.push(serde_json::to_value(refused.problem()).expect("JSON"));
        }
        assert_eq!(told.first(), told.last(), "nobody learns who has an account elsewhere");
        assert!(told.iter().all(|problem| problem.get("status").is_some_and(|status| status == 403)), "{told:?}");
        assert!(put(caller, EMAIL).await.expect("other roles").is_none());
    }
    let listed = members(app, &shell, WORKSPACE, &Paging::default()).await.expect("listed").rows;
    let emails: Vec<_> = listed.iter().map(|member| (member.person.email.as_str(), member.roles)).collect();
    let editor = Roles::of(&[Role::Editor]);
    assert_eq!(emails, [(EMAIL, editor), ("admin@example.org", Roles::of(&[Role::Admin])), (OWNER, Roles::all())]);

    remove_member(app, &admin, WORKSPACE, EMAIL).await.expect("removed");
    assert!(matches!(put(&admin, EMAIL).await, Err(Error::OwnersOnly(_))), "who was removed comes back by an owner");
    let owner = fixture
        .person(&sign_in(app, &Device::default(), OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in"))
        .await
        .expect("he is");
    assert!(put(&owner, EMAIL).await.expect("joined").is_none());
    assert!(put(&owner, "new@example.org").await.expect("made").is_some());
}

#[tokio::test]
async fn of_an_account_elsewhere_no_more_is_read_than_of_none() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let admin = fixture.member("admin@example.org", &[Role::Admin]).await;
    let token = fixture.by_token(&fixture.token(&admin, "own", Role::Admin).await).await.expect("it lives");
    workspaces::create(app, &shell, "theirs").await.expect("made");
    put_member(app, &shell, "theirs", "eve@example.org", Roles::of(&[Role::Viewer])).await.expect("an account elsewhere");
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    // Whoever reads the row of that account, or holds it, fails at it.
    fixture.bend("UPDATE people SET mac = x'00' WHERE email = 'eve@example.org'").await;
    let held =
        "CREATE TRIGGER held BEFORE UPDATE ON people WHEN OLD.email = 'eve@example.org' BEGIN SELECT RAISE(ABORT, 'held'); END";
    fixture.bend(held).await;
    for caller in [&admin, &token] {
        let mut told = Vec::new();
        for email in ["eve@example.org", "ceo@example.org"] {
            let people = vec![email.to_owned()];
            let users = Some(Users { people: people.clone(), ..Users::default() });
            let refused = [
                put_member(app, caller, WORKSPACE, email, Roles::of(&[Role::Editor])).await.map(drop),
                put_member(app, caller, WORKSPACE, email, Roles::NONE).await.map(drop),
                remove_member(app, caller, WORKSPACE, email).await,
                set_disabled(app, caller, WORKSPACE, email, true).await,
                set_disabled(app, caller, WORKSPACE, email, false).await,
                groups::put(app, caller, WORKSPACE, "finance", &people).await.map(drop),
                users::set(app, caller, WORKSPACE, "sales", (users, Precondition::Any)).await.map(drop),
            ];
            let problem = |came_to: Result<()>| serde_json::to_string(&came_to.expect_err("he is not here").problem());
            told.push(refused.map(|came_to| problem(came_to).expect("JSON").replace(email, "EMAIL")));
        }
        assert_eq!(told.first(), told.last(), "nobody learns who has an account elsewhere");
    }
    // An owner may know.
    let put = put_member(app, &shell, WORKSPACE, "eve@example.org", Roles::of(&[Role::Viewer])).await;
    assert!(matches!(put, Err(Error::SecretUnreadable(_))), "{put:?}");
}

/// What a token of the owner's own stands for: its holder may be anybody.
async fn owners_token(fixture: &Fixture) -> Caller {
    let cookie = sign_in(&fixture.app, &Device::default(), OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in");
    let owner = fixture.person(&cookie).await.expect("signed in");
    fixture.by_token(&fixture.token(&owner, "the owner's", Role::Admin).await).await.expect("it lives")
}

#[tokio::test]
async fn an_owner_is_listed_with_all_that_he_may() {
    let fixture = Fixture::new().await;
    let (app, shell) = (&fixture.app, Caller::shell());
    put_member(app, &shell, WORKSPACE, OWNER, Roles::of(&[Role::Viewer])).await.expect("a viewer, on paper");
    let listed = members(app, &shell, WORKSPACE, &Paging::default()).await.expect("listed").rows;
    assert_eq!(listed.iter().map(|member| member.roles).collect::<Vec<_>>(), [Roles::all()]);
}

//! What no name gives to anybody, and names that many reach for at once.

use std::sync::Arc;

use super::{
    Fixture, Role, Roles, WORKSPACE, aliases, create, delete, draft, is_sound, read, remove, rename, rename_as, rename_away,
    repoint, restore, sample, use_it, user,
};
use crate::{
    error::Error,
    ops::{
        Caller, Who,
        access::TokenIdentity,
        connections::{self, Precondition},
        repoint as repointing,
        tokens::{self, NewToken},
        users::{self, Users},
    },
};

/// A token that is narrowed to these names.
async fn narrowed(fixture: &Fixture, name: &str, role: Role, names: &[&str]) -> Caller {
    let connections = Some(names.iter().map(|name| (*name).to_owned()).collect());
    let new = NewToken { name: name.to_owned(), roles: Roles::of(&[role]), expires_in_days: None, connections };
    let (secret, _) = tokens::create(&fixture.app, &Caller::shell(), WORKSPACE, new).await.expect("a token");
    fixture.by_token(&secret).await.expect("it lives")
}

/// The same token as its row is now.
async fn again(fixture: &Fixture, name: &str) -> Vec<String> {
    let all = tokens::list_all(&fixture.app, &Caller::shell(), WORKSPACE).await.expect("listed");
    let token = all.into_iter().find(|token| token.row.name == name).expect("there");
    assert!(!token.is_altered);
    token.connections.expect("narrowed")
}

async fn no_name_gives_anybody_more(fixture: Fixture) {
    let app = &fixture.app;
    for name in ["sales", "secret"] {
        create(&fixture, name).await;
    }
    let reader = narrowed(&fixture, "reader", Role::User, &["sales"]).await;
    let editor = narrowed(&fixture, "editor", Role::Editor, &["sales"]).await;
    // A rename leaves to a narrowed token what it had.
    rename(&fixture, "sales", "shop").await.expect("renamed");
    for token in ["reader", "editor"] {
        assert_eq!(again(&fixture, token).await, ["sales", "shop"]);
    }
    let as_now = |caller: &Caller, names: &[&str]| {
        let Who::Token(token) = &caller.who else { panic!("a token") };
        let connections = Some(names.iter().map(|name| (*name).to_owned()).collect());
        Caller::of(Who::Token(Arc::new(TokenIdentity { connections, ..(**token).clone() })))
    };
    let reader_now = as_now(&reader, &["sales", "shop"]);
    for name in ["sales", "shop"] {
        assert_eq!(read(&fixture, &reader_now, name).await.expect("resolved").0, "shop", "{name}");
    }
    // By a token that names the alias alone nothing is had, in memory or not.
    app.caches.forget_all();
    for _ in 0..2 {
        assert!(matches!(read(&fixture, &reader, "sales").await, Err(Error::NoRole(..))));
    }
    assert!(matches!(rename_as(&fixture, &reader_now, "sales", "x").await, Err(Error::Forbidden(_))));
    let editor_now = as_now(&editor, &["sales", "shop"]);
    assert!(matches!(rename_as(&fixture, &editor_now, "shop", "unseen").await, Err(Error::Forbidden(_))));

    // Nor by a name that is led to another connection.
    use_it(&fixture, &reader_now, "sales", "a.py").await;
    let known = repointing::impact(app, &Caller::shell(), WORKSPACE, "shop", "secret").await.expect("told");
    assert_eq!(known.repointing.as_ref().expect("told").lose, ["token reader"]);
    let refused = repointing::impact(app, &editor_now, WORKSPACE, "shop", "secret").await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "it sees no such connection: {refused:?}");
    repoint(&fixture, "shop", "secret", known.token).await.expect("led");
    for name in ["sales", "shop"] {
        assert!(matches!(read(&fixture, &reader_now, name).await, Err(Error::NoRole(..))), "{name}");
        let change = connections::Change {
            draft: draft(&serde_json::json!({"description": "mine"})),
            precondition: Precondition::Any,
            ..connections::Change::default()
        };
        let edited = connections::edit(app, &editor_now, WORKSPACE, name, change).await;
        assert!(matches!(edited, Err(Error::NoRole(..))), "{name}: {edited:?}");
        assert!(matches!(connections::show(app, &editor_now, WORKSPACE, name).await, Err(Error::NoRole(..))), "{name}");
        // Nor where the name was led elsewhere once the caller had been asked what he may.
        let workspace = app.workspace(WORKSPACE).await.expect("read").expect("there");
        let mut write = app.store.write().await.expect("begun");
        let held = connections::hold_current(app, &editor_now, &mut write, &workspace, name).await;
        assert!(matches!(held, Err(Error::NoRole(..))), "{name}: {held:?}");
    }

    // Nor does a connection come under a name that a token has.
    create(&fixture, "vault").await;
    narrowed(&fixture, "waiting", Role::User, &["free"]).await;
    let Err(Error::Invalid(errors)) = rename(&fixture, "vault", "free").await else { panic!("renamed") };
    assert!(errors[0].message.contains("“waiting”"), "{errors:?}");

    // Nor by whom a connection is narrowed to.
    create(&fixture, "open").await;
    let etl = user(&fixture, "etl").await;
    use_it(&fixture, &etl, "open", "b.py").await;
    users::set(app, &Caller::shell(), WORKSPACE, "vault", (Some(Users::default()), Precondition::Any)).await.expect("narrowed");
    let known = repointing::impact(app, &Caller::shell(), WORKSPACE, "open", "vault").await.expect("told");
    assert_eq!(known.repointing.as_ref().expect("told").lose, ["token etl"]);
    repoint(&fixture, "open", "vault", known.token).await.expect("led");
    assert!(matches!(read(&fixture, &etl, "open").await, Err(Error::NoRole(..))));
    is_sound(&fixture).await;
}

/// Who can write the store leads no name elsewhere.
#[tokio::test]
async fn a_bent_alias_leads_nowhere() {
    let fixture = Fixture::new().await;
    for name in ["sales", "secret"] {
        create(&fixture, name).await;
    }
    rename(&fixture, "sales", "shop").await.expect("renamed");
    let etl = user(&fixture, "etl").await;
    fixture.bend("UPDATE aliases SET connection_id = (SELECT id FROM connections WHERE name = 'secret')").await;
    fixture
        .bend("UPDATE live_names SET connection_id = (SELECT id FROM connections WHERE name = 'secret') WHERE name_key = 'sales'")
        .await;
    assert!(matches!(read(&fixture, &etl, "sales").await, Err(Error::SecretUnreadable(_))));
    let altered = aliases(&fixture, "secret").await.pop().expect("it is shown");
    assert!(altered.is_altered);
    remove(&fixture, "secret", "sales", altered.impact_token).await.expect("and can be taken away");
    assert!(matches!(read(&fixture, &etl, "sales").await, Err(Error::NotFound(_))));
}

/// Of all that reach for one name at once, one has it.
async fn of_many_at_once_one_has_the_name(fixture: Fixture) {
    let app = &fixture.app;
    for name in ["a", "b", "gone", "led", "to"] {
        create(&fixture, name).await;
    }
    rename(&fixture, "gone", "wanted").await.expect("renamed");
    delete(&fixture, "wanted", None).await.expect("deleted");
    for round in 0..10 {
        let shell = Caller::shell();
        let (made, first, second, back) = tokio::join!(
            connections::create(app, &shell, WORKSPACE, sample("wanted")),
            rename(&fixture, "a", "wanted"),
            rename(&fixture, "b", "Wanted"),
            restore(&fixture, "wanted"),
        );
        let came = [made, first, second, back];
        let won: Vec<_> = came.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "round {round}: {came:?}");
        assert!(came.iter().all(|result| matches!(result, Ok(_) | Err(Error::NameTaken(_)))), "round {round}: {came:?}");
        is_sound(&fixture).await;
        let name = won[0].row.name.clone();
        // As it was before.
        match won[0].row.created_at {
            _ if came[1].is_ok() || came[2].is_ok() => {
                let back = if came[1].is_ok() { "a" } else { "b" };
                rename_away(&fixture, &name, back, None).await.expect("renamed back");
            }
            _ => delete(&fixture, &name, None).await.expect("deleted"),
        }
    }
    // Two that lead to each other, and whoever deletes them meanwhile.
    for round in 0..5 {
        let (one, other) = (format!("one{round}"), format!("other{round}"));
        for name in [&one, &other] {
            create(&fixture, name).await;
        }
        let (there, back, gone) = tokio::join!(
            repoint(&fixture, &one, &other, None),
            repoint(&fixture, &other, &one, None),
            delete(&fixture, &one, None)
        );
        let done = [there.is_ok(), back.is_ok(), gone.is_ok()];
        let each = [there.map(drop), back.map(drop), gone];
        let is_refusal = |error: &Error| matches!(error, Error::Invalid(_) | Error::Deleted(_) | Error::NotFound(_));
        assert!(each.iter().all(|result| result.as_ref().err().is_none_or(is_refusal)), "round {round}: {each:?}");
        assert!(done.contains(&true), "round {round}");
        is_sound(&fixture).await;
    }
    println!("promise: names: 10 rounds of 4 and 5 of 3 that reach for one at once: 0 that lead to two connections");
}

on_both_engines! {
    no_name_gives_anybody_more as no_more_on_sqlite, no_more_on_postgres;
    of_many_at_once_one_has_the_name as at_once_on_sqlite, at_once_on_postgres;
}

//! The rules by themselves, for what no request from outside can bring about: a client that leaves at a given instant, a clock that moves, a
//! row that is bent under a running server.

/// Tests of either engine: each begins on a store of its own.
macro_rules! on_both_engines {
    ($($test:ident as $sqlite:ident, $postgres:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $sqlite() {
            $test(Fixture::new().await).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $postgres() {
            $test(Fixture::on_postgres().await).await;
        })*
    };
}

mod accounts;
mod carry;
mod changes;
mod compare;
mod dependents;
mod dropped;
mod ended_workspaces;
mod expiry;
mod health;
mod history;
mod hops;
mod keys;
mod lint;
mod lists;
mod names;
mod notices;
mod own_type_bases;
mod own_types;
mod passwords;
mod purge;
mod put_back;
mod races;
mod reads;
mod rotation_policies;
mod rotations;
mod search;
mod second_login;
mod second_look;
mod sessions;
mod settings;
mod tokens;
mod users;
mod uses;
mod verify;
mod workspaces;

use dataflow_model::{Draft, Secret};

use super::{
    Caller, Role, Roles, Who, connections, links, people,
    sessions::{Device, session, sign_in},
    setup,
    tokens::{NewToken, authenticate, create},
};
use crate::{error::Result, fixture::TestApp};

/// The workspace that set-up makes.
const WORKSPACE: &str = setup::DEFAULT_WORKSPACE;
const OWNER: &str = "owner@example.org";
const PASSWORD: &str = "correct horse battery";

/// An app that is set up, on a store of its own.
struct Fixture {
    app: TestApp,
}

impl Fixture {
    async fn new() -> Self {
        Self::set_up(TestApp::on_sqlite().await).await
    }

    async fn on_postgres() -> Self {
        Self::set_up(TestApp::on_postgres().await).await
    }

    async fn set_up(app: TestApp) -> Self {
        let password = Secret::new(PASSWORD.to_owned());
        setup::from_shell(&app, &Caller::shell(), OWNER, &password).await.expect("set up");
        Self { app }
    }

    /// A new member of the workspace with a password, and the cookie of his session.
    async fn sign_up(&self, email: &str, roles: &[Role]) -> Secret {
        let link = people::put_member(&self.app, &Caller::shell(), WORKSPACE, email, Roles::of(roles)).await.expect("added");
        let code = link.expect("somebody new").code;
        let password = Secret::new(PASSWORD.to_owned());
        links::follow_link(&self.app, &Device::default(), code.expose_secret(), Some(&password))
            .await
            .expect("he chose a password")
    }

    async fn person(&self, cookie: &Secret) -> Result<Caller> {
        Ok(Caller::of(Who::Person(session(&self.app, cookie.expose_secret()).await?)))
    }

    /// The owner's session of now.
    async fn owner(&self) -> Secret {
        sign_in(&self.app, &Device::default(), OWNER, &Secret::new(PASSWORD.to_owned())).await.expect("signed in")
    }

    /// A new member, signed in.
    async fn member(&self, email: &str, roles: &[Role]) -> Caller {
        let cookie = self.sign_up(email, roles).await;
        self.person(&cookie).await.expect("signed in")
    }

    /// A new token for `role`, made by `caller`.
    async fn token(&self, caller: &Caller, name: &str, role: Role) -> Secret {
        let new = NewToken { name: name.to_owned(), roles: Roles::of(&[role]), expires_in_days: None, connections: None };
        create(&self.app, caller, WORKSPACE, new).await.expect("a token").0
    }

    async fn by_token(&self, token: &Secret) -> Result<Caller> {
        Ok(Caller::of(Who::Token(authenticate(&self.app, token.expose_secret()).await?)))
    }

    /// Saves a version of a connection with another description.
    async fn describe(&self, name: &str, description: &str) {
        let change = connections::Change {
            draft: draft(&serde_json::json!({"description": description})),
            precondition: connections::Precondition::Any,
            ..Default::default()
        };
        connections::edit(&self.app, &Caller::shell(), WORKSPACE, name, change).await.expect("saved");
    }

    /// Runs SQL behind the program's back, and makes it forget what it read.
    async fn bend(&self, sql: &'static str) {
        let mut write = self.app.store.write().await.expect("the store is free");
        crate::store::execute!(&mut write, sql).expect("sound SQL");
        write.commit().await.expect("committed");
        self.app.caches.forget_all();
    }
}

fn draft(json: &serde_json::Value) -> Draft {
    serde_json::from_value(json.clone()).expect("a draft")
}

/// A connection of PostgreSQL's type.
fn sample(name: &str) -> Draft {
    draft(&serde_json::json!({
        "name": name, "type": "postgres", "host": "db.example.org", "database": "sales", "username": "analytics", "password": "planted"
    }))
}

//! Connections that go through another one: who gets that, and what becomes of them when it leads elsewhere.

use dataflow_connectors::hops::Way;
use dataflow_model::{Catalogue, FieldValue, PublicFields, SecretFields, endpoint::Endpoint, settle::THROUGH};
use dataflow_vault::EndpointDigest;
use serde_json::{Value, json};

use super::{super::versions::Sealing, Fixture, WORKSPACE, draft};
use crate::{
    error::{Error, Result},
    ops::{
        Caller, Role, checks,
        connections::{self, Change, Precondition},
        credentials, dependents,
        hops::{self, Pin},
        own_types,
        paging::Paging,
        rotations::stand_in,
        rows::VersionContent,
        tokens::{self, NewToken},
        tombstones::{self, Removal},
        users::{self, Users},
        versions::read_content,
    },
};

async fn create(fixture: &Fixture, body: &Value) -> Result<()> {
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, draft(body)).await.map(drop)
}

async fn edit(fixture: &Fixture, name: &str, change: &Value) -> Result<()> {
    let change = Change { draft: draft(change), precondition: Precondition::Any, ..Change::default() };
    connections::edit(&fixture.app, &Caller::shell(), WORKSPACE, name, change).await.map(drop)
}

fn bastion(host: &str) -> Value {
    json!({"name": "bastion", "type": "ssh", "host": host, "username": "ops", "password": "of the bastion"})
}

fn through(name: &str, hop: &str, tls: &str) -> Value {
    json!({
        "name": name, "type": "postgres", "host": "db.internal", "username": "analytics", "password": "planted",
        "tls": {"mode": tls}, "extra": {"through": hop}
    })
}

/// The answer to who resolves a name, and its fingerprint.
async fn read(fixture: &Fixture, caller: &Caller, name: &str) -> Result<(Value, String)> {
    let resolved = credentials::resolve(&fixture.app, caller, WORKSPACE, name, |_| false).await?;
    let body = serde_json::from_str(resolved.body.expect("new to the client").expose_secret()).expect("JSON");
    Ok((body, resolved.fingerprint))
}

#[track_caller]
fn leads_nowhere<T: std::fmt::Debug>(came_to: &Result<T>, words: &str) {
    assert!(matches!(came_to, Err(Error::HopUnavailable(told)) if told.contains(words)), "{came_to:?}");
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(came_to: &Result<T>, words: &str) {
    let Err(Error::Invalid(errors)) = came_to else { panic!("{came_to:?}") };
    assert!(errors.len() == 1 && errors[0].field == THROUGH && errors[0].message.contains(words), "{errors:?}");
}

async fn delete(fixture: &Fixture, name: &str) -> Result<()> {
    let (app, shell) = (&fixture.app, Caller::shell());
    let known = dependents::list(app, &shell, WORKSPACE, name, &Paging::default()).await?.impact;
    let removal = Removal { precondition: Precondition::Any, impact_token: known.token, ..Removal::default() };
    tombstones::delete(app, &shell, WORKSPACE, name, removal).await
}

async fn a_hop_that_leads_elsewhere_is_not_taken(fixture: Fixture) {
    let shell = Caller::shell();
    create(&fixture, &bastion("one.example.org")).await.expect("created");
    for (name, tls) in [("heard", "require"), ("sealed", "verify-full")] {
        create(&fixture, &through(name, "bastion", tls)).await.expect("created");
    }
    // Where something is asked in the clear, or by a URL that says itself what TLS is, TLS of the test is no reason.
    let clear = json!({
        "name": "clear", "type": "http", "host": "api.internal", "username": "analytics", "password": "planted",
        "extra": {"through": "bastion", "oauth_url": "http://localhost:8080/token"}
    });
    create(&fixture, &clear).await.expect("created");
    let definition = "extends = \"generic\"\nlabel = \"Exasol\"\nurl = \"exa+websocket://{username}:{password}@{host}:{port}\"\n";
    own_types::put(&fixture.app, &shell, WORKSPACE, "exasol", definition, None).await.expect("defined");
    let own = json!({
        "name": "own", "type": "exasol", "host": "db.internal", "port": 8563, "username": "analytics", "password": "planted",
        "tls": {"mode": "verify-full"}, "extra": {"through": "bastion"}
    });
    create(&fixture, &own).await.expect("created");
    let (body, first) = read(&fixture, &shell, "heard").await.expect("resolved");
    assert_eq!(body["hop"]["fields"]["password"], "of the bastion");
    assert_eq!(
        (&body["hop"]["name"], &body["hop"]["base"], &body["fingerprint"]),
        (&json!("bastion"), &json!("ssh"), &json!(first))
    );
    assert_eq!(body["hop"]["fingerprint"], first.split_once('-').expect("of two").1);
    assert!(body["fields"]["extra"]["through_pin"].as_str().expect("a text").starts_with("one.example.org:22 "), "{body}");
    let (_, sealed) = read(&fixture, &shell, "sealed").await.expect("resolved");

    // What directs nothing changes nothing.
    edit(&fixture, "bastion", &json!({"description": "The one in the office"})).await.expect("saved");
    assert_eq!(read(&fixture, &shell, "heard").await.expect("resolved").1, first);

    // Led elsewhere it gets what nobody could read there, and nothing else.
    edit(&fixture, "bastion", &json!({"host": "two.example.org", "password": "of the bastion"})).await.expect("saved");
    leads_nowhere(&read(&fixture, &shell, "heard").await, "leads to another place");
    leads_nowhere(&read(&fixture, &shell, "clear").await, "leads to another place");
    leads_nowhere(&read(&fixture, &shell, "own").await, "leads to another place");
    assert_ne!(read(&fixture, &shell, "sealed").await.expect("resolved").1, sealed, "another hop is another way");
    let described = edit(&fixture, "heard", &json!({"description": "x"})).await;
    assert!(matches!(described, Err(Error::SecretReentry(_))), "it would go there with the next save: {described:?}");
    let forged = json!({"description": "x", "extra": {"through_pin": "two.example.org:22 0000000000000000"}});
    assert!(matches!(edit(&fixture, "heard", &forged).await, Err(Error::SecretReentry(_))));
    edit(&fixture, "heard", &json!({"password": "planted"})).await.expect("who knows the password may send it there");
    read(&fixture, &shell, "heard").await.expect("resolved");

    // The same by another connection of the same name.
    delete(&fixture, "bastion").await.expect("deleted");
    leads_nowhere(&read(&fixture, &shell, "sealed").await, "“bastion”, which this one goes through, was deleted by");
    edit(&fixture, "heard", &json!({"description": "y"})).await.expect("what it goes through is not asked for");
    create(&fixture, &bastion("three.example.org")).await.expect("created");
    leads_nowhere(&read(&fixture, &shell, "heard").await, "leads to another place");
    read(&fixture, &shell, "sealed").await.expect("names bind");
    edit(&fixture, "bastion", &json!({"host": "two.example.org", "password": "another"})).await.expect("saved");
    read(&fixture, &shell, "heard").await.expect("it leads where it led");
}

async fn who_may_not_use_the_hop_gets_nothing_through_it(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(&fixture, &bastion("one.example.org")).await.expect("created");
    create(&fixture, &through("sales", "bastion", "verify-full")).await.expect("created");
    let mut narrowed = Vec::new();
    for (name, names) in [("one", &["sales"][..]), ("both", &["sales", "bastion"])] {
        let connections = Some(names.iter().map(|name| (*name).to_owned()).collect());
        let roles = crate::ops::Roles::of(&[Role::Editor, Role::User]);
        let new = NewToken { name: name.to_owned(), roles, expires_in_days: None, connections };
        let (secret, _) = tokens::create(app, &shell, WORKSPACE, new).await.expect("a token");
        narrowed.push(fixture.by_token(&secret).await.expect("it lives"));
    }
    let [one, both] = &narrowed[..] else { panic!("two") };
    let refused = read(&fixture, one, "sales").await;
    assert!(matches!(refused, Err(Error::NoRole(..))), "{refused:?}");
    assert!(matches!(checks::plan_stored(app, one, WORKSPACE, "sales").await.err(), Some(Error::NoRole(..))));
    read(&fixture, both, "sales").await.expect("it names both");
    // What it may not use it leaves as it is.
    let change = |json: Value| Change { draft: draft(&json), precondition: Precondition::Any, ..Change::default() };
    connections::edit(app, one, WORKSPACE, "sales", change(json!({"description": "x"}))).await.expect("saved");
    let own = connections::edit(app, one, WORKSPACE, "sales", change(json!({"extra": {"through": "Bastion"}}))).await;
    is_refused(&own, "names");
    let steered = json!({"host": "10.0.0.7", "password": "x", "extra": {"through": "bastion"}});
    is_refused(&connections::edit(app, one, WORKSPACE, "sales", change(steered.clone())).await, "that you may not use");
    let probed = checks::plan_unsaved(app, one, WORKSPACE, Some("sales"), draft(&steered)).await;
    is_refused(&probed.map(drop), "that you may not use");
    let same = json!({"host": "db.internal", "username": "other", "password": "x", "extra": {"through": "bastion"}});
    connections::edit(app, one, WORKSPACE, "sales", change(same)).await.expect("who signs in there is no other way");
    // What the server does by itself gives nobody anything.
    let workspace = app.workspace(WORKSPACE).await.expect("read").expect("there");
    let by_itself = stand_in(("token one", "token:one"), &workspace);
    let public = PublicFields(
        [(THROUGH.into(), FieldValue::Text("bastion".into())), ("tls.mode".into(), FieldValue::Text("verify-full".into()))]
            .into(),
    );
    let fields = hops::fields(app, &by_itself, &workspace, (public, SecretFields::default())).await.expect("found");
    assert!(matches!(fields.way.as_deref(), Some(Way::Through(_))), "a scheduled rotation goes the way, too");
    // Who is told of it is told of no connection that he does not see.
    let told = dependents::list(app, both, WORKSPACE, "bastion", &Paging::default()).await.expect("told").impact;
    assert_eq!((told.through, told.total), (vec!["sales".to_owned()], 1), "and whoever used the one used the other");

    let editor = fixture.member("eve@example.org", &[Role::Editor, Role::User]).await;
    users::set(app, &shell, WORKSPACE, "bastion", (Some(Users::default()), Precondition::Any)).await.expect("narrowed");
    assert!(matches!(read(&fixture, &editor, "sales").await, Err(Error::NoRole(..))));
    let mine = connections::create(app, &editor, WORKSPACE, draft(&through("mine", "bastion", "verify-full"))).await;
    is_refused(&mine, "that you may not use");
}

async fn what_is_no_hop_is_refused_where_it_is_named(fixture: Fixture) {
    create(&fixture, &bastion("one.example.org")).await.expect("created");
    create(&fixture, &through("sales", "bastion", "verify-full")).await.expect("created");
    is_refused(&create(&fixture, &through("x", "nobody", "verify-full")).await, "no connection of this workspace");
    is_refused(&create(&fixture, &through("x", "sales", "verify-full")).await, "nothing goes through");
    is_refused(&create(&fixture, &through("x", "no name", "verify-full")).await, "must be the name");
    // No hop goes through another one.
    let chained = json!({"name": "x", "type": "ssh", "host": "h", "username": "u", "extra": {"through": "bastion"}});
    assert!(matches!(create(&fixture, &chained).await, Err(Error::Invalid(_))));

    // What goes through it is told before it is deleted.
    let app = &fixture.app;
    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    let unknown = tombstones::delete(app, &Caller::shell(), WORKSPACE, "bastion", removal).await;
    let Err(Error::HasDependents(impact)) = unknown else { panic!("{unknown:?}") };
    assert_eq!(impact.through, ["sales"]);
    edit(&fixture, "sales", &json!({"password": "planted", "extra": {"through": null}})).await.expect("saved");
    let impact = dependents::list(app, &Caller::shell(), WORKSPACE, "bastion", &Paging::default()).await.expect("told").impact;
    assert_eq!((impact.through, impact.token), (Vec::new(), None));
    let (body, _) = read(&fixture, &Caller::shell(), "sales").await.expect("resolved");
    assert!(body.get("hop").is_none() && body["fields"]["extra"].get("through_pin").is_none(), "{body}");
}

on_both_engines! {
    a_hop_that_leads_elsewhere_is_not_taken as a_hop_that_leads_elsewhere_is_not_taken_on_sqlite, a_hop_that_leads_elsewhere_is_not_taken_on_postgres;
    who_may_not_use_the_hop_gets_nothing_through_it as who_may_not_use_the_hop_on_sqlite, who_may_not_use_the_hop_on_postgres;
    what_is_no_hop_is_refused_where_it_is_named as what_is_no_hop_on_sqlite, what_is_no_hop_on_postgres;
}

/// A type that was given one more field of the endpoint since a connection was saved.
#[tokio::test]
async fn a_field_that_a_type_was_given_asks_nobody_for_a_password() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let workspace = app.workspace(WORKSPACE).await.expect("read").expect("there");
    let (catalogue, id) = (Catalogue::built_in().expect("sound"), dataflow_vault::random_uuid());
    let today = catalogue.get("postgres").expect("known");
    let mut earlier = today.clone();
    earlier.fields.retain(|field| !field.path.as_str().starts_with(THROUGH));
    let body = json!({"type": "postgres", "host": "db.internal", "username": "analytics", "password": "planted"});
    let saved = read_content(draft(&body), &earlier, None, true, Pin::None).expect("settled");
    let sealed = Sealing { workspace: &workspace, id, version: 1, kept: None }.apply(&earlier, &saved.settled).expect("sealed");
    let (public, endpoint_paths) = (saved.settled.public, earlier.endpoint_paths());
    let endpoint = EndpointDigest::of(&Endpoint::of("postgres", &endpoint_paths, &public));
    let kept = VersionContent { public: public.clone(), endpoint_paths, secrets: sealed.secrets, endpoint };

    let sealing = Sealing { workspace: &workspace, id, version: 2, kept: Some(&kept) };
    let settle = |change: Value| {
        let content = today.settle(draft(&change).fields, Some(&public), true).expect("settled");
        sealing.clear(today, content)
    };
    let (_, SecretFields(clear)) = settle(json!({"extra": {"application_name": "x"}})).expect("it goes where it went");
    assert_eq!(clear.values().next().expect("kept").expose_secret(), "planted");
    assert!(matches!(settle(json!({"extra": {"through": "bastion"}})), Err(Error::SecretReentry(_))));
}

//! Other names of a connection: a rename, its alias, a name that is led elsewhere, and what each leaves to whom.

mod rights;

use dataflow_model::{FieldError, Workflow, WorkflowKind};

use super::{Fixture, Role, Roles, WORKSPACE, draft, sample};
use crate::{
    clock::SECOND,
    error::{Error, Result},
    ops::{
        Caller, activity,
        connections::{self, Connection, Precondition},
        credentials, dependents, history,
        list::{self, ListQuery},
        names::{self, ALIASES_MAX, Alias, IDLE},
        paging::Paging,
        rename::{self, Rename},
        repoint::{self, Repoint},
        tombstones::{self, Removal},
    },
};

async fn create(fixture: &Fixture, name: &str) -> Connection {
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample(name)).await.expect("created")
}

async fn rename_as(fixture: &Fixture, caller: &Caller, from: &str, to: &str) -> Result<Connection> {
    let asked = Rename { to: to.to_owned(), keep_alias: true, precondition: Precondition::Any, impact_token: None };
    rename::rename(&fixture.app, caller, WORKSPACE, from, asked).await
}

async fn rename(fixture: &Fixture, from: &str, to: &str) -> Result<Connection> {
    rename_as(fixture, &Caller::shell(), from, to).await
}

async fn rename_away(fixture: &Fixture, from: &str, to: &str, impact_token: Option<String>) -> Result<Connection> {
    let asked = Rename { to: to.to_owned(), keep_alias: false, precondition: Precondition::Any, impact_token };
    rename::rename(&fixture.app, &Caller::shell(), WORKSPACE, from, asked).await
}

async fn repoint(fixture: &Fixture, from: &str, to: &str, impact_token: Option<String>) -> Result<Connection> {
    let asked = Repoint { to: to.to_owned(), precondition: Precondition::Any, reason: None, impact_token };
    repoint::repoint(&fixture.app, &Caller::shell(), WORKSPACE, from, asked).await
}

async fn delete(fixture: &Fixture, name: &str, impact_token: Option<String>) -> Result<()> {
    let removal = Removal { precondition: Precondition::Any, impact_token, ..Removal::default() };
    tombstones::delete(&fixture.app, &Caller::shell(), WORKSPACE, name, removal).await
}

async fn restore(fixture: &Fixture, name: &str) -> Result<Connection> {
    tombstones::restore(&fixture.app, &Caller::shell(), WORKSPACE, name, &Precondition::Any).await
}

async fn remove(fixture: &Fixture, name: &str, alias: &str, impact_token: Option<String>) -> Result<()> {
    names::remove(&fixture.app, &Caller::shell(), WORKSPACE, name, (alias, impact_token)).await
}

async fn aliases(fixture: &Fixture, name: &str) -> Vec<Alias> {
    names::list(&fixture.app, &Caller::shell(), WORKSPACE, name).await.expect("listed")
}

async fn alias_names(fixture: &Fixture, name: &str) -> Vec<String> {
    aliases(fixture, name).await.into_iter().map(|alias| alias.row.name).collect()
}

/// Who a name leads to: the answer's own name and the version.
async fn read(fixture: &Fixture, caller: &Caller, name: &str) -> Result<(String, i64)> {
    let resolved = credentials::resolve(&fixture.app, caller, WORKSPACE, name, |_| false).await?;
    let body = resolved.body.expect("asked for");
    let body: serde_json::Value = serde_json::from_str(body.expose_secret()).expect("JSON");
    assert_eq!(body["fields"]["password"], "planted");
    Ok((body["name"].as_str().expect("a name").to_owned(), resolved.version))
}

async fn use_it(fixture: &Fixture, caller: &Caller, name: &str, workflow: &str) {
    let workflow = Workflow { kind: WorkflowKind::Script, name: workflow.to_owned(), run: None, host: None };
    let caller = Caller { workflow: Some(workflow), ..caller.clone() };
    read(fixture, &caller, name).await.expect("resolved");
}

async fn user(fixture: &Fixture, name: &str) -> Caller {
    fixture.by_token(&fixture.token(&Caller::shell(), name, Role::User).await).await.expect("it lives")
}

/// Each name that leads somewhere is of one connection, and each alias that does is of it.
async fn is_sound(fixture: &Fixture) {
    let mut read = fixture.app.store.read().await.expect("open");
    let sql = "SELECT count(*) FROM live_names n WHERE NOT EXISTS (SELECT 1 FROM connections c WHERE c.id = n.connection_id \
               AND c.deleted_at IS NULL AND (c.name_key = n.name_key OR EXISTS (SELECT 1 FROM aliases a \
               WHERE a.connection_id = c.id AND a.name_key = n.name_key)))";
    let (stray,): (i64,) = crate::store::fetch!(&mut read, fetch_one, (i64,), sql).expect("counted");
    let sql = "SELECT count(*) FROM connections c WHERE c.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM live_names n \
               WHERE n.workspace_id = c.workspace_id AND n.name_key = c.name_key AND n.connection_id = c.id)";
    let (without,): (i64,) = crate::store::fetch!(&mut read, fetch_one, (i64,), sql).expect("counted");
    assert_eq!((stray, without), (0, 0), "names that lead nowhere, connections whose name does not lead to them");
    drop(read);
    let report = activity::verify(&fixture.app, &Caller::shell(), &[]).await.expect("walked");
    assert!(report.holds(), "{report:?}");
}

async fn a_renamed_connection_is_found_by_both_names(fixture: Fixture) {
    let app = &fixture.app;
    let before = create(&fixture, "sales").await;
    let etl = user(&fixture, "etl").await;
    use_it(&fixture, &etl, "sales", "old.py").await;
    let held = credentials::resolve(app, &etl, WORKSPACE, "sales", |_| false).await.expect("resolved").fingerprint;
    let after = rename(&fixture, "sales", "warehouse").await.expect("renamed");
    assert_eq!((after.row.id.as_str(), after.row.version), (before.row.id.as_str(), 2));
    assert_eq!(read(&fixture, &etl, "warehouse").await.expect("by the new name"), ("warehouse".to_owned(), 2));
    assert_eq!(read(&fixture, &etl, "sales").await.expect("by the old name"), ("warehouse".to_owned(), 2));
    let unchanged =
        credentials::resolve(app, &etl, WORKSPACE, "sales", |fingerprint| fingerprint == held).await.expect("resolved");
    assert!(unchanged.body.is_none(), "no client notices");
    assert!(matches!(read(&fixture, &etl, "SALES").await, Err(Error::NotFound(_))), "a name is looked up exactly");

    // From memory it is the same, and every act finds it.
    fixture.describe("sales", "by the old name").await;
    assert_eq!(read(&fixture, &etl, "sales").await.expect("again").1, 3);
    assert_eq!(connections::show(app, &Caller::shell(), WORKSPACE, "sales").await.expect("shown").row.name, "warehouse");
    let versions = history::list(app, &Caller::shell(), WORKSPACE, "sales", &Paging::default()).await.expect("listed").rows;
    let renamed: Vec<_> = versions.iter().map(|entry| entry.changes.iter().any(|change| change.field == "name")).collect();
    assert_eq!(renamed, [false, true, false]);
    assert!(!versions[1].changes_clients);

    // The old name is nobody else's.
    for name in ["sales", "Sales", "WAREHOUSE"] {
        let taken = connections::create(app, &Caller::shell(), WORKSPACE, sample(name)).await;
        assert!(matches!(taken, Err(Error::NameTaken(_))), "{name}: {taken:?}");
    }
    create(&fixture, "other").await;
    assert!(matches!(rename(&fixture, "other", "sales").await, Err(Error::NameTaken(_))));
    assert!(matches!(rename(&fixture, "other", "warehouse").await, Err(Error::NameTaken(_))));
    let stale = Rename {
        to: "third".to_owned(),
        keep_alias: true,
        precondition: Precondition::Tags(vec![before.etag()]),
        impact_token: None,
    };
    assert!(matches!(rename::rename(app, &Caller::shell(), WORKSPACE, "sales", stale).await, Err(Error::VersionConflict)));
    // In a list it is found by its new name, with all that depend on it.
    app.uses.flush(&app.store).await.expect("written");
    let search = |text: &str| ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };
    let found = list::list(app, &Caller::shell(), WORKSPACE, &search("warehouse")).await.expect("listed").rows;
    assert_eq!(found.iter().map(|row| (row.name.as_str(), row.dependents)).collect::<Vec<_>>(), [("warehouse", 3)]);
    assert!(
        list::list(app, &Caller::shell(), WORKSPACE, &search("sales"))
            .await
            .expect("listed")
            .rows
            .iter()
            .all(|row| row.name != "sales")
    );
    is_sound(&fixture).await;

    // Back again, and under another spelling of itself.
    rename(&fixture, "warehouse", "sales").await.expect("renamed back");
    assert_eq!(alias_names(&fixture, "sales").await, ["warehouse"]);
    rename(&fixture, "sales", "Sales").await.expect("renamed");
    assert_eq!(alias_names(&fixture, "Sales").await, ["sales", "warehouse"]);
    for name in ["Sales", "sales", "warehouse"] {
        assert_eq!(read(&fixture, &etl, name).await.expect("resolved").0, "Sales", "{name}");
    }
    rename(&fixture, "sales", "sales").await.expect("renamed by an alias to that");
    assert_eq!(alias_names(&fixture, "sales").await, ["Sales", "warehouse"]);
    is_sound(&fixture).await;
    let app = fixture.app.again().await;
    let fixture = Fixture { app };
    assert_eq!(read(&fixture, &Caller::shell(), "warehouse").await.expect("by another process").0, "sales");
}

async fn who_still_uses_an_alias_is_told(fixture: Fixture) {
    let app = &fixture.app;
    create(&fixture, "sales").await;
    let etl = user(&fixture, "etl").await;
    for workflow in ["a.py", "b.py", "c.py"] {
        use_it(&fixture, &etl, "sales", workflow).await;
    }
    rename(&fixture, "sales", "warehouse").await.expect("renamed");
    use_it(&fixture, &etl, "warehouse", "new.py").await;
    let found = dependents::list(app, &Caller::shell(), WORKSPACE, "warehouse", &Paging::default()).await.expect("listed");
    let by: Vec<_> = found.page.rows.iter().map(|row| (row.name.as_str(), row.alias.as_deref())).collect();
    assert_eq!(by, [("new.py", None), ("c.py", Some("sales")), ("b.py", Some("sales")), ("a.py", Some("sales"))]);
    assert_eq!(found.impact.total, 4);
    assert_eq!(found.impact.aliases.iter().map(|alias| (alias.name.as_str(), alias.total)).collect::<Vec<_>>(), [("sales", 3)]);
    let all = Paging::all(|paging| {
        let paging = Paging { limit: Some(1), ..paging };
        async move { Ok(dependents::list(app, &Caller::shell(), WORKSPACE, "sales", &paging).await?.page) }
    });
    assert_eq!(all.await.expect("every page").len(), 4);

    let alias = aliases(&fixture, "warehouse").await.pop().expect("one");
    assert_eq!((alias.total, alias.live, alias.is_idle), (3, 3, false));
    let refused = remove(&fixture, "warehouse", "sales", None).await;
    let Err(Error::HasDependents(impact)) = refused else { panic!("{refused:?}") };
    assert_eq!((impact.total, impact.dependents.len(), &impact.token), (3, 3, &alias.impact_token));
    // What comes between is not known to whoever looked before.
    use_it(&fixture, &etl, "sales", "d.py").await;
    assert!(matches!(remove(&fixture, "warehouse", "sales", impact.token).await, Err(Error::HasDependents(_))));
    app.clock.advance(IDLE);
    let alias = aliases(&fixture, "warehouse").await.pop().expect("one");
    assert!(alias.is_idle);
    remove(&fixture, "warehouse", "sales", alias.impact_token).await.expect("removed");
    assert!(matches!(read(&fixture, &etl, "sales").await, Err(Error::NotFound(_))));
    assert!(matches!(remove(&fixture, "warehouse", "sales", None).await, Err(Error::NotFound("alias"))));
    is_sound(&fixture).await;
    create(&fixture, "sales").await;
    assert_eq!(read(&fixture, &etl, "sales").await.expect("a new one").0, "sales");
    let found = dependents::list(app, &Caller::shell(), WORKSPACE, "warehouse", &Paging::default()).await.expect("listed");
    assert_eq!(found.impact.total, 1, "they wait for a connection of their name");

    // Without an alias a rename breaks who uses the name, and says so first.
    let refused = rename_away(&fixture, "sales", "moved", None).await;
    let Err(Error::HasDependents(impact)) = refused else { panic!("{refused:?}") };
    assert_eq!(impact.total, 5);
    rename_away(&fixture, "sales", "moved", impact.token).await.expect("renamed");
    assert!(aliases(&fixture, "moved").await.is_empty());
    assert!(matches!(read(&fixture, &etl, "sales").await, Err(Error::NotFound(_))));
    is_sound(&fixture).await;
}

async fn a_name_is_led_to_another_connection(fixture: Fixture) {
    let app = &fixture.app;
    for name in ["sales", "warehouse"] {
        create(&fixture, name).await;
    }
    rename(&fixture, "sales", "shop").await.expect("renamed");
    let etl = user(&fixture, "etl").await;
    use_it(&fixture, &etl, "sales", "a.py").await;
    use_it(&fixture, &etl, "shop", "b.py").await;
    for (to, code) in [("shop", "invalid"), ("sales", "not_a_choice"), ("nowhere", "not_a_choice"), ("no name", "not_a_choice")] {
        let Err(Error::Invalid(errors)) = repoint(&fixture, "shop", to, None).await else { panic!("{to}") };
        assert_eq!(
            errors.iter().map(|error| (error.field.as_str(), error.code.as_str())).collect::<Vec<_>>(),
            [("to", code)],
            "{to}"
        );
    }
    let refused = repoint(&fixture, "shop", "warehouse", None).await;
    let Err(Error::HasDependents(impact)) = refused else { panic!("{refused:?}") };
    assert_eq!(impact.total, 2);
    assert_eq!(*impact, repoint::impact(app, &Caller::shell(), WORKSPACE, "shop", "warehouse").await.expect("told"));
    let deletes =
        dependents::list(app, &Caller::shell(), WORKSPACE, "shop", &Paging::default()).await.expect("listed").impact.token;
    assert_ne!(impact.token, deletes, "who knows what a delete breaks does not know this");
    // An edit of the other one is not what was looked at.
    fixture.describe("warehouse", "another").await;
    assert!(matches!(repoint(&fixture, "shop", "warehouse", impact.token).await, Err(Error::HasDependents(_))));
    let known = repoint::impact(app, &Caller::shell(), WORKSPACE, "shop", "warehouse").await.expect("told").token;
    repoint(&fixture, "shop", "warehouse", known).await.expect("led");
    for name in ["sales", "shop", "warehouse"] {
        assert_eq!(read(&fixture, &etl, name).await.expect("resolved").0, "warehouse", "{name}");
    }
    assert_eq!(alias_names(&fixture, "warehouse").await, ["sales", "shop"]);
    is_sound(&fixture).await;

    // What it was comes back once its name is free, and without the alias that is another's.
    assert!(matches!(restore(&fixture, "shop").await, Err(Error::NameTaken(_))));
    let token =
        aliases(&fixture, "warehouse").await.into_iter().find(|alias| alias.row.name == "shop").expect("there").impact_token;
    remove(&fixture, "warehouse", "shop", token).await.expect("removed");
    restore(&fixture, "shop").await.expect("back");
    assert_eq!(read(&fixture, &etl, "shop").await.expect("resolved").0, "shop");
    assert_eq!(read(&fixture, &etl, "sales").await.expect("resolved").0, "warehouse");
    assert_eq!(alias_names(&fixture, "shop").await, Vec::<String>::new());
    is_sound(&fixture).await;

    // Another driver is no detail.
    let other =
        serde_json::json!({"name": "shelf", "type": "mysql", "host": "db.example.org", "username": "u", "password": "planted"});
    connections::create(app, &Caller::shell(), WORKSPACE, draft(&other)).await.expect("created");
    create(&fixture, "unused").await;
    let Err(Error::HasDependents(impact)) = repoint(&fixture, "unused", "shelf", None).await else { panic!("led") };
    let types = impact.repointing.as_ref().expect("told").types.clone();
    assert_eq!((impact.total, types), (0, Some(["postgres".to_owned(), "mysql".to_owned()])));
    repoint(&fixture, "unused", "shelf", impact.token).await.expect("led");
    create(&fixture, "idle").await;
    repoint(&fixture, "idle", "shop", None).await.expect("nothing to be known");
    is_sound(&fixture).await;
}

async fn aliases_go_and_come_back_with_their_connection(fixture: Fixture) {
    let app = &fixture.app;
    create(&fixture, "first").await;
    for name in ["second", "third"] {
        rename(&fixture, "first", name).await.expect("renamed");
    }
    let etl = user(&fixture, "etl").await;
    use_it(&fixture, &etl, "first", "a.py").await;
    let refused = delete(&fixture, "third", None).await;
    let Err(Error::HasDependents(impact)) = refused else { panic!("{refused:?}") };
    assert_eq!(impact.total, 1, "who uses it by an alias fails, too");
    delete(&fixture, "third", impact.token).await.expect("deleted");
    for name in ["first", "second", "third"] {
        let gone = read(&fixture, &etl, name).await;
        let Err(Error::Deleted(tombstone)) = gone else { panic!("{name}: {gone:?}") };
        assert_eq!((tombstone.name.as_str(), tombstone.deleted_by.as_str()), (name, "shell"));
    }
    let found = dependents::list(app, &Caller::shell(), WORKSPACE, "third", &Paging::default()).await.expect("listed");
    assert_eq!(found.impact.total, 1);
    is_sound(&fixture).await;
    create(&fixture, "second").await;
    restore(&fixture, "third").await.expect("back");
    assert_eq!(alias_names(&fixture, "third").await, ["first"]);
    assert_eq!(read(&fixture, &etl, "first").await.expect("resolved").0, "third");
    assert_eq!(read(&fixture, &etl, "second").await.expect("resolved").0, "second");
    is_sound(&fixture).await;
    for number in 1..ALIASES_MAX {
        rename(&fixture, "first", &format!("name{number}")).await.expect("renamed");
    }
    let Err(Error::Invalid(errors)) = rename(&fixture, "first", "one_more").await else { panic!("renamed") };
    assert_eq!(errors.iter().map(|error: &FieldError| error.code.as_str()).collect::<Vec<_>>(), ["too_many"]);
    is_sound(&fixture).await;
}

/// And ends where another one had the name.
async fn what_happened_goes_on_under_a_new_name(fixture: Fixture) {
    create(&fixture, "warehouse").await;
    delete(&fixture, "warehouse", None).await.expect("deleted");
    create(&fixture, "sales").await;
    let caller = Caller::shell();
    use_it(&fixture, &caller, "sales", "old.py").await;
    rename(&fixture, "sales", "warehouse").await.expect("renamed");
    fixture.describe("warehouse", "of orders").await;
    rename(&fixture, "warehouse", "shop").await.expect("renamed");
    remove(&fixture, "shop", "warehouse", None).await.expect("removed");
    create(&fixture, "warehouse").await;
    fixture.describe("warehouse", "another one").await;
    let told = activity::last(&fixture.app, &caller, WORKSPACE, "shop", 50).await.expect("listed");
    let told: Vec<_> = told.iter().map(|entry| (entry.action.as_str(), entry.object.as_str())).collect();
    let all = [
        ("connection.rename", "warehouse"),
        ("connection.edit", "warehouse"),
        ("connection.rename", "sales"),
        ("workflow.first_used", "sales"),
        ("connection.create", "sales"),
    ];
    assert_eq!(told, all);
}

/// Of the oldest name that is followed it is told what happened while the connection had it.
#[tokio::test]
async fn activity_follows_many_names_each_for_its_time() {
    let fixture = Fixture::new().await;
    create(&fixture, "name0").await;
    create(&fixture, "name1").await;
    rename_away(&fixture, "name1", "other", None).await.expect("renamed");
    for count in 1..=21 {
        fixture.app.clock.advance(SECOND);
        rename_away(&fixture, &format!("name{}", count - 1), &format!("name{count}"), None).await.expect("renamed");
    }
    let told = activity::last(&fixture.app, &Caller::shell(), WORKSPACE, "name21", 50).await.expect("listed");
    assert!(told.iter().all(|entry| entry.action != "connection.create"), "another connection's: {told:?}");
    let renamed = told.iter().filter(|entry| entry.action == "connection.rename").count();
    assert_eq!(renamed, 20, "of the names that are followed");
}

on_both_engines! {
    what_happened_goes_on_under_a_new_name as goes_on_on_sqlite, goes_on_on_postgres;
    a_renamed_connection_is_found_by_both_names as rename_on_sqlite, rename_on_postgres;
    who_still_uses_an_alias_is_told as aliases_on_sqlite, aliases_on_postgres;
    a_name_is_led_to_another_connection as repoint_on_sqlite, repoint_on_postgres;
    aliases_go_and_come_back_with_their_connection as come_back_on_sqlite, come_back_on_postgres;
}

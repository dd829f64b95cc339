//! The lint: who learns that two passwords are equal, what is silenced, and that it stays right whatever is saved, renamed, deleted or sealed anew.

use std::collections::BTreeMap;

use dataflow_model::Secret;
use serde_json::json;

use super::{Fixture, Role, WORKSPACE, draft};
use crate::{
    app::App,
    clock::DAY,
    error::Error,
    ops::{
        Caller, Roles,
        connections::{self, Change, Precondition},
        credentials,
        keys::{self, rotation::Rotation},
        lint::{
            self, Finding, Wanted,
            rules::Severity,
            shared,
            silence::{self, NewSilence, Of},
        },
        paging::Paging,
        rename::{self, Rename},
        settings::{self, Retention},
        tokens::{self, NewToken},
        tombstones::{self, Removal},
        users::{self, Users},
    },
    store,
};

async fn create(app: &App, name: &str, username: &str, password: &str) {
    let body = json!({"name": name, "type": "postgres", "host": "db.example.org", "username": username, "password": password});
    connections::create(app, &Caller::shell(), WORKSPACE, draft(&body)).await.expect("created");
}

async fn edit(app: &App, name: &str, body: &serde_json::Value) {
    let change = Change { draft: draft(body), precondition: Precondition::Any, ..Change::default() };
    connections::edit(app, &Caller::shell(), WORKSPACE, name, change).await.expect("saved");
}

async fn found(app: &App, caller: &Caller, name: &str) -> Vec<Finding> {
    lint::of_connection(app, caller, WORKSPACE, name).await.expect("found")
}

/// Why the rule about shared passwords finds something of a connection; empty if it does not.
async fn shares(app: &App, caller: &Caller, name: &str) -> String {
    let found = found(app, caller, name).await;
    found
        .into_iter()
        .find(|finding| finding.found.rule.as_str() == "shared-password")
        .map(|finding| finding.found.reason)
        .unwrap_or_default()
}

fn new_silence(reason: &str, until: Option<i64>) -> (NewSilence, &'static Precondition) {
    (NewSilence { reason: reason.to_owned(), until }, &Precondition::Any)
}

/// Whoever may not use both learns nothing: not which, not how many, and not whether he guessed right.
async fn equal_passwords_are_told_to_who_may_use_both(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "sales", "reader", "planted in common").await;
    create(app, "crm", "writer", "planted in common").await;
    create(app, "same", "reader", "planted in common").await;
    create(app, "other", "writer", "planted alone").await;
    assert!(shares(app, &shell, "sales").await.contains("as “crm”, for another login"), "the same login is no other");
    assert!(
        shares(app, &shell, "crm").await.contains("“sales” and “same”")
            || shares(app, &shell, "crm").await.contains("“same” and “sales”")
    );
    assert_eq!(shares(app, &shell, "other").await, "");

    // An editor saves a guess, and looks whether it is one.
    let editor = fixture.member("editor@example.org", &[Role::Editor]).await;
    let guess =
        json!({"name": "guess", "type": "postgres", "host": "db.example.org", "username": "g", "password": "planted alone"});
    connections::create(app, &editor, WORKSPACE, draft(&guess)).await.expect("created");
    for name in ["guess", "other", "sales", "crm"] {
        assert_eq!(shares(app, &editor, name).await, "", "{name}");
    }
    let viewer = fixture.member("viewer@example.org", &[Role::Viewer]).await;
    assert_eq!(shares(app, &viewer, "sales").await, "");
    let user = fixture.member("user@example.org", &[Role::User]).await;
    assert!(shares(app, &user, "guess").await.contains("“other”"));

    // Of one that is narrowed to others he learns nothing, from either side.
    let only = Users { people: vec!["editor@example.org".to_owned()], ..Users::default() };
    users::set(app, &shell, WORKSPACE, "other", (Some(only), Precondition::Any)).await.expect("narrowed");
    assert_eq!((shares(app, &user, "guess").await, shares(app, &user, "other").await), (String::new(), String::new()));
    // Nor does a token that names one of the two alone.
    let new = NewToken {
        name: "narrow".into(),
        roles: Roles::of(&[Role::User]),
        expires_in_days: None,
        connections: Some(vec!["sales".into(), "same".into()]),
    };
    let token = tokens::create(app, &shell, WORKSPACE, new).await.expect("a token").0;
    let token = fixture.by_token(&token).await.expect("it lives");
    assert_eq!(shares(app, &token, "sales").await, "", "what it does not name is not even counted");
    let everything = lint::list(app, &token, WORKSPACE, Wanted::default(), &Paging::default()).await.expect("listed");
    assert!(everything.rows.iter().all(|finding| matches!(finding.connection.as_str(), "sales" | "same")), "{everything:?}");
    assert_eq!(everything.rows.len(), 2, "each was never tested: {everything:?}");
}

/// A mark is of the version that serves.
async fn marks_follow_what_serves(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "a", "a", "planted one").await;
    create(app, "b", "b", "planted two").await;
    assert_eq!(shares(app, &shell, "a").await, "");
    edit(app, "b", &json!({"password": "planted one"})).await;
    assert!(shares(app, &shell, "a").await.contains("“b”"));
    edit(app, "b", &json!({"description": "another"})).await;
    assert!(shares(app, &shell, "a").await.contains("“b”"), "a secret that is kept is the same");
    let to = Rename { to: "c".into(), keep_alias: true, precondition: Precondition::Any, impact_token: None };
    rename::rename(app, &shell, WORKSPACE, "b", to).await.expect("renamed");
    assert!(shares(app, &shell, "a").await.contains("“c”"));

    let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
    tombstones::delete(app, &shell, WORKSPACE, "c", removal).await.expect("deleted");
    assert_eq!(shares(app, &shell, "a").await, "");
    tombstones::restore(app, &shell, WORKSPACE, "c", &Precondition::Any).await.expect("back");
    assert!(shares(app, &shell, "a").await.contains("“c”"));

    // A store of before has none of them, and one whose marks are of older versions believes none.
    fixture.bend("UPDATE password_marks SET version = version - 1").await;
    assert_eq!(shares(app, &shell, "a").await, "");
    shared::note_all(app).await.expect("noted");
    assert!(shares(app, &shell, "a").await.contains("“c”"));
    fixture.bend("DELETE FROM password_marks").await;
    shared::note_all(app).await.expect("noted");
    assert!(shares(app, &shell, "a").await.contains("“c”"));
    edit(app, "c", &json!({"password": null})).await;
    assert_eq!(shares(app, &shell, "a").await, "");
    edit(app, "a", &json!({"password": null})).await;
    assert_eq!(shares(app, &shell, "a").await, "", "that two have none is nothing in common");
}

/// Rows and secrets are under other keys then; a mark outlives that, and goes on to meet those that are made later.
async fn keys_are_rotated(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "a", "a", "planted one").await;
    silence::set(app, &shell, WORKSPACE, (Of::All, "never-tested"), new_silence("kept", None)).await.expect("silenced");
    keys::rotate(app, &shell).await.expect("begun");
    Rotation::to_the_end(app).await.expect("ended");
    create(app, "b", "b", "planted one").await;
    assert!(shares(app, &shell, "a").await.contains("“b”"));
    let before = marks(app).await;
    fixture.bend("DELETE FROM password_marks").await;
    shared::note_all(app).await.expect("noted");
    assert_eq!(marks(app).await, before, "made anew it is the same");
    let found = found(app, &shell, "a").await;
    let never = found.iter().find(|finding| finding.found.rule.as_str() == "never-tested").expect("found");
    assert!(never.silenced.as_ref().is_some_and(|silence| silence.is_sound), "{never:?}");
}

async fn marks(app: &App) -> Vec<(String, Option<Vec<u8>>)> {
    let sql = "SELECT c.name, m.mark FROM password_marks m JOIN connections c ON c.id = m.connection_id ORDER BY c.name";
    store::fetch!(&mut app.store.read().await.expect("open"), fetch_all, (String, Option<Vec<u8>>), sql).expect("read")
}

async fn what_is_silenced_is_seen_and_can_be_lifted(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "a", "a", "planted one").await;
    create(app, "b", "b", "planted two").await;
    let listed = async |silenced| {
        let wanted = Wanted { severity: None, silenced };
        let page = lint::list(app, &shell, WORKSPACE, wanted, &Paging::default()).await.expect("listed");
        page.rows.iter().map(|finding| format!("{} {}", finding.connection, finding.found.rule.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(listed(false).await, ["a never-tested", "b never-tested"]);
    let of_a = (Of::Connection("a"), "never-tested");
    let set = silence::set(app, &shell, WORKSPACE, of_a, new_silence(" not yet ", None)).await.expect("silenced");
    assert_eq!((set.reason.as_str(), set.scope.text().as_str()), ("not yet", "connection:a"));
    assert_eq!((listed(false).await, listed(true).await.len()), (vec!["b never-tested".to_owned()], 2));
    let until = app.clock.now() + DAY;
    silence::set(app, &shell, WORKSPACE, (Of::All, "never-tested"), new_silence("a day", Some(until))).await.expect("silenced");
    assert_eq!(listed(false).await, [""; 0]);
    let silences = silence::list(app, &shell, WORKSPACE, &Paging::default()).await.expect("listed").rows;
    assert_eq!(silences.iter().map(|silence| silence.scope.text()).collect::<Vec<_>>(), ["all", "connection:a"]);

    // Of what was bent nothing is silenced.
    fixture.bend("UPDATE lint_silences SET rule = 'tls-unverified' WHERE scope <> ':all'").await;
    let told = found(app, &shell, "a").await;
    assert!(
        told.iter().all(|finding| finding.silenced.as_ref().is_some_and(|silence| silence.scope.text() == "all")),
        "{told:?}"
    );
    fixture.bend("UPDATE lint_silences SET rule = 'never-tested', reason = 'never mind' WHERE scope <> ':all'").await;
    assert!(
        silence::list(app, &shell, WORKSPACE, &Paging::default())
            .await
            .expect("listed")
            .rows
            .iter()
            .any(|silence| !silence.is_sound)
    );

    app.clock.advance(DAY);
    assert_eq!(listed(false).await, ["a never-tested", "b never-tested"], "its time is over, and the other one is bent");
    // Set again it counts, and lifted it does not.
    silence::set(app, &shell, WORKSPACE, of_a, new_silence("never mind", None)).await.expect("silenced");
    assert_eq!(listed(false).await, ["b never-tested"]);
    let stale = Precondition::Tags(vec![set.etag]);
    assert!(matches!(silence::lift(app, &shell, WORKSPACE, of_a, &stale).await, Err(Error::VersionConflict)));
    silence::lift(app, &shell, WORKSPACE, of_a, &Precondition::Any).await.expect("lifted");
    assert!(matches!(silence::lift(app, &shell, WORKSPACE, of_a, &Precondition::Any).await, Err(Error::NotFound(_))));
    assert_eq!(listed(false).await.len(), 2);

    for (reason, until, field) in [(" ", None, "reason"), ("a\u{0}b", None, "reason"), ("r", Some(app.clock.now()), "until")] {
        match silence::set(app, &shell, WORKSPACE, of_a, new_silence(reason, until)).await {
            Err(Error::Invalid(errors)) => assert_eq!(errors[0].field, field),
            other => panic!("{other:?}"),
        }
    }
    let none = silence::set(app, &shell, WORKSPACE, (Of::All, "no-such-rule"), new_silence("r", None)).await;
    assert!(matches!(none, Err(Error::NotFound(_))), "{none:?}");
    let editor = fixture.member("editor@example.org", &[Role::Editor]).await;
    silence::set(app, &editor, WORKSPACE, of_a, new_silence("an editor's", None)).await.expect("silenced");
    let all = silence::set(app, &editor, WORKSPACE, (Of::All, "never-tested"), new_silence("r", None)).await;
    assert!(matches!(all, Err(Error::Forbidden(_))), "{all:?}");
}

/// Each page goes on where the one before ended, within a connection too.
async fn pages_tell_each_finding_once(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    for number in 0..5 {
        let body = json!({
            "name": format!("c{number}"), "type": "postgres", "host": "db.example.org", "username": "u", "password": format!("planted {number}"),
            "tls": {"mode": "disable"}
        });
        connections::create(app, &shell, WORKSPACE, draft(&body)).await.expect("created");
    }
    for limit in [1, 2, 3, 7, 200] {
        let (mut told, mut cursor, mut pages) = (BTreeMap::new(), None, 0);
        loop {
            let paging = Paging { cursor, limit: Some(limit) };
            let page = lint::list(app, &shell, WORKSPACE, Wanted::default(), &paging).await.expect("listed");
            assert!(page.rows.len() <= limit, "{limit}");
            for finding in page.rows {
                *told.entry((finding.connection, finding.found.rule.as_str())).or_insert(0) += 1;
            }
            pages += 1;
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert!(told.len() == 10 && told.values().all(|times| *times == 1), "{limit}: {told:?}");
        assert!(pages <= 10_usize.div_ceil(limit) + 1, "{pages} pages of {limit}");
    }
    let errors = Wanted { severity: Some(Severity::Error), silenced: false };
    let page = lint::list(app, &shell, WORKSPACE, errors, &Paging::default()).await.expect("listed");
    assert!(page.rows.len() == 5 && page.rows.iter().all(|finding| finding.found.rule.as_str() == "tls-unverified"), "{page:?}");
}

/// Uses count, by an alias too, and where they are not kept for long nobody is told that there were none.
async fn what_is_used_is_known(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "used", "a", "planted one").await;
    create(app, "unused", "b", "planted two").await;
    let unused = async || {
        let page = lint::list(app, &shell, WORKSPACE, Wanted::default(), &Paging::default()).await.expect("listed");
        let of_rule = page.rows.into_iter().filter(|finding| finding.found.rule.as_str() == "unused-90-days");
        of_rule.map(|finding| finding.connection).collect::<Vec<_>>()
    };
    assert_eq!(unused().await, [""; 0]);
    app.clock.advance(91 * DAY);
    let to = Rename { to: "renamed".into(), keep_alias: true, precondition: Precondition::Any, impact_token: None };
    rename::rename(app, &shell, WORKSPACE, "used", to).await.expect("renamed");
    assert_eq!(unused().await, ["renamed", "unused"]);
    let token: Secret = fixture.token(&shell, "robot", Role::User).await;
    let robot = fixture.by_token(&token).await.expect("it lives");
    credentials::resolve(app, &robot, WORKSPACE, "used", |_| false).await.expect("given");
    assert_eq!(unused().await, ["unused"], "by its old name");
    app.clock.advance(89 * DAY);
    assert_eq!(unused().await, ["unused"]);
    let short = Retention { workflow_days: Some(30), ..Retention::default() };
    settings::change(app, &shell, &Precondition::Any, short).await.expect("set");
    assert_eq!(unused().await, [""; 0], "workflows are forgotten after thirty days");
}

/// A test of what serves tells; one of what served before does not.
async fn what_a_test_learned_is_of_what_serves(fixture: Fixture) {
    let (app, shell) = (&fixture.app, Caller::shell());
    create(app, "a", "a", "planted one").await;
    let report = |superuser: bool, at: i64| {
        json!({
            "status": "ok", "duration_ms": 1.0, "server_version": null, "checked_at": crate::clock::rfc3339(at), "from": "server", "steps": [],
            "error": null, "learned": {"is_superuser": superuser}
        })
        .to_string()
    };
    let keep = async |version: i64, status: &str, superuser: bool, ago: i64| {
        let row = connections::show(app, &shell, WORKSPACE, "a").await.expect("there").row;
        let at = app.clock.now() - ago;
        let check = store::CheckRow {
            id: dataflow_vault::random_uuid().to_string(),
            connection_id: row.id,
            version,
            status: status.to_owned(),
            report: report(superuser, at),
            checked_at: at,
            checked_by: "robot".to_owned(),
            took_micros: None,
            from_client: false,
        };
        let mut write = app.store.write().await.expect("open");
        store::insert_check(&mut write, &check).await.expect("inserted");
        write.commit_quietly().await.expect("committed");
    };
    let is_super = async || found(app, &shell, "a").await.iter().any(|finding| finding.found.rule.as_str() == "superuser-login");
    assert!(!is_super().await);
    keep(1, "ok", true, 9).await;
    assert!(is_super().await);
    edit(app, "a", &json!({"description": "text"})).await;
    assert!(is_super().await, "clients connect as before");
    keep(2, "failed", false, 8).await;
    assert!(is_super().await, "one that failed does not know");
    keep(2, "ok", false, 7).await;
    assert!(!is_super().await);
    keep(2, "ok", true, 6).await;
    edit(app, "a", &json!({"password": "planted other"})).await;
    assert!(!is_super().await, "of other credentials nothing is known");
}

on_both_engines! {
    equal_passwords_are_told_to_who_may_use_both as equal_on_sqlite, equal_on_postgres;
    marks_follow_what_serves as marks_on_sqlite, marks_on_postgres;
    keys_are_rotated as rotated_on_sqlite, rotated_on_postgres;
    what_is_silenced_is_seen_and_can_be_lifted as silenced_on_sqlite, silenced_on_postgres;
    pages_tell_each_finding_once as pages_on_sqlite, pages_on_postgres;
    what_is_used_is_known as used_on_sqlite, used_on_postgres;
    what_a_test_learned_is_of_what_serves as learned_on_sqlite, learned_on_postgres;
}

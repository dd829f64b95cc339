//! Who depends on a connection: what was seen and what was found, who may see it, and what a delete asks for.

use dataflow_model::{Certainty, Impact, Workflow, WorkflowKind};
use dataflow_vault::random_uuid;
use uuid::Uuid;

use super::{Fixture, WORKSPACE, sample};
use crate::{
    clock::{DAY, SECOND},
    error::Error,
    jobs::purge::{EVERY, run_if_due},
    ops::{
        Caller, Role,
        connections::{self, Precondition},
        credentials,
        dependents::{self, Dependents},
        list::{self, ListQuery},
        paging::Paging,
        scans::{self, Finding, Piece},
        settings::{self, Retention},
        tombstones::{self, Removal},
    },
};

async fn create(fixture: &Fixture, name: &str) {
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample(name)).await.expect("created");
}

/// A use of `name` by a workflow of a token.
async fn use_it(fixture: &Fixture, token: &Caller, name: &str, kind: WorkflowKind, workflow: &str) {
    let workflow = Workflow { kind, name: workflow.to_owned(), run: None, host: Some("worker-1".to_owned()) };
    let caller = Caller { workflow: Some(workflow), ..token.clone() };
    credentials::resolve(&fixture.app, &caller, WORKSPACE, name, |_| false).await.expect("resolved");
}

fn finding(connection: &str, kind: WorkflowKind, workflow: &str, file: &str, line: i64) -> Finding {
    Finding {
        connection: connection.to_owned(),
        kind,
        workflow: workflow.to_owned(),
        file: file.to_owned(),
        line,
        certainty: Certainty::Certain,
    }
}

fn whole(findings: Vec<Finding>) -> Piece {
    let total = i64::try_from(findings.len()).ok();
    Piece { scan: random_uuid(), revision: Some("0f3c9d1".to_owned()), files: 10, findings, total }
}

async fn listed(fixture: &Fixture, caller: &Caller, name: &str) -> Dependents {
    dependents::list(&fixture.app, caller, WORKSPACE, name, &Paging::default()).await.expect("listed")
}

fn names(found: &Dependents) -> Vec<&str> {
    found.page.rows.iter().map(|dependent| dependent.name.as_str()).collect()
}

async fn delete(fixture: &Fixture, name: &str, impact_token: Option<String>) -> Result<(), Error> {
    let removal = Removal { precondition: Precondition::Any, impact_token, ..Removal::default() };
    tombstones::delete(&fixture.app, &Caller::shell(), WORKSPACE, name, removal).await
}

async fn seen_and_found_are_one_where_they_are_one_program(fixture: Fixture) {
    let app = &fixture.app;
    create(&fixture, "sales").await;
    let token = fixture.by_token(&fixture.token(&Caller::shell(), "etl", Role::User).await).await.expect("a caller");
    use_it(&fixture, &token, "sales", WorkflowKind::Pipeline, "daily.load").await;
    app.clock.advance(SECOND);
    use_it(&fixture, &token, "sales", WorkflowKind::Script, "/srv/etl/once.py").await;
    app.clock.advance(SECOND);
    credentials::resolve(app, &token, WORKSPACE, "sales", |_| false).await.expect("resolved, by somebody who tells no workflow");
    let report = whole(vec![
        finding("sales", WorkflowKind::Pipeline, "daily", "dags/daily.py", 12),
        finding("sales", WorkflowKind::Pipeline, "daily", "dags/daily.py", 40),
        finding("Sales", WorkflowKind::Notebook, "churn.ipynb", "churn.ipynb", 3),
        finding("slaes", WorkflowKind::Script, "typo.py", "typo.py", 1),
    ]);
    let reported = scans::report(app, &token, WORKSPACE, "etl", report).await.expect("reported");
    assert_eq!((reported.scan.findings, reported.unknown.as_slice()), (4, ["Sales".to_owned(), "slaes".to_owned()].as_slice()));

    let found = listed(&fixture, &Caller::shell(), "sales").await;
    assert_eq!(names(&found), ["token etl", "/srv/etl/once.py", "daily.load", "churn.ipynb"]);
    let kinds: Vec<_> = found.page.rows.iter().map(|dependent| dependent.kind).collect();
    assert_eq!(kinds, [None, Some(WorkflowKind::Script), Some(WorkflowKind::Pipeline), Some(WorkflowKind::Notebook)]);
    let lines: Vec<Vec<i64>> =
        found.page.rows.iter().map(|dependent| dependent.found.iter().map(|place| place.line).collect()).collect();
    assert_eq!(lines, [vec![], vec![], vec![12, 40], vec![3]]);
    let Impact { total, found_only, live, hidden, .. } = found.impact;
    assert_eq!((total, found_only, live, hidden), (4, 1, 3, 0));

    // Page by page it is the same.
    let all = Paging::all(|paging| {
        let paging = Paging { limit: Some(1), ..paging };
        async move { Ok(dependents::list(app, &Caller::shell(), WORKSPACE, "sales", &paging).await?.page) }
    });
    let all: Vec<_> = all.await.expect("every page").into_iter().map(|dependent| dependent.name).collect();
    assert_eq!(all, names(&found));
    let rows = list::list(app, &Caller::shell(), WORKSPACE, &ListQuery::default()).await.expect("listed").rows;
    assert_eq!(rows.iter().map(|row| row.dependents).collect::<Vec<_>>(), [4]);

    // What is found is seen once it has run, and a scan without it forgets it.
    use_it(&fixture, &token, "sales", WorkflowKind::Notebook, "churn.ipynb").await;
    let found = listed(&fixture, &Caller::shell(), "sales").await;
    assert_eq!((found.impact.total, found.impact.found_only), (4, 0));
    let again = whole(vec![finding("sales", WorkflowKind::Script, "new.py", "new.py", 1)]);
    let reported = scans::report(app, &token, WORKSPACE, "etl", again).await.expect("reported");
    assert_eq!((reported.removed, reported.scan.findings), (4, 1));
    let found = listed(&fixture, &Caller::shell(), "sales").await;
    assert_eq!((found.impact.total, found.impact.found_only), (5, 1));
    assert!(found.page.rows.iter().filter(|dependent| dependent.seen.is_some()).all(|dependent| dependent.found.is_empty()));
    scans::forget(app, &Caller::shell(), WORKSPACE, "etl").await.expect("forgotten");
    assert_eq!(listed(&fixture, &Caller::shell(), "sales").await.impact.total, 4);
    assert!(matches!(scans::forget(app, &Caller::shell(), WORKSPACE, "etl").await, Err(Error::NotFound(_))));
}

async fn pieces_of_two_scans_do_not_pass_for_one(fixture: Fixture) {
    let app = &fixture.app;
    create(&fixture, "sales").await;
    let piece = |scan: Uuid, file: &str, total: Option<i64>| Piece {
        scan,
        revision: None,
        files: 2,
        findings: vec![finding("sales", WorkflowKind::Script, file, file, 1)],
        total,
    };
    let report = async |piece| scans::report(app, &Caller::shell(), WORKSPACE, "etl", piece).await;
    let (one, two) = (random_uuid(), random_uuid());
    report(piece(one, "a.py", None)).await.expect("a piece");
    assert_eq!(report(piece(one, "b.py", Some(2))).await.expect("the last").scan.findings, 2);
    report(piece(two, "c.py", None)).await.expect("a piece");
    assert_eq!(listed(&fixture, &Caller::shell(), "sales").await.impact.total, 3, "the old ones stay until the last piece came");
    report(whole(vec![finding("sales", WorkflowKind::Script, "d.py", "d.py", 1)])).await.expect("another scan");
    assert!(matches!(report(piece(two, "e.py", Some(2))).await, Err(Error::VersionConflict)), "its first piece is gone");
    assert_eq!(names(&listed(&fixture, &Caller::shell(), "sales").await), ["d.py"]);
}

async fn others_notebooks_are_counted_and_not_named(fixture: Fixture) {
    let app = &fixture.app;
    create(&fixture, "sales").await;
    let shell = Caller::shell();
    let mine = fixture.by_token(&fixture.token(&shell, "mine", Role::User).await).await.expect("a caller");
    let theirs = fixture.by_token(&fixture.token(&shell, "theirs", Role::User).await).await.expect("a caller");
    use_it(&fixture, &mine, "sales", WorkflowKind::Notebook, "mine.ipynb").await;
    use_it(&fixture, &theirs, "sales", WorkflowKind::Notebook, "salaries.ipynb").await;
    use_it(&fixture, &theirs, "sales", WorkflowKind::App, "board").await;
    let code = whole(vec![
        finding("sales", WorkflowKind::Script, "private.py", "private.py", 1),
        finding("sales", WorkflowKind::Pipeline, "nightly", "dags/nightly.py", 1),
    ]);
    scans::report(app, &theirs, WORKSPACE, "etl", code).await.expect("reported");
    let editor = fixture.member("eve@example.org", &[Role::Editor]).await;
    let viewer = fixture.member("vic@example.org", &[Role::Viewer]).await;
    for (caller, hidden, seen) in [
        (&editor, 0, vec!["board", "mine.ipynb", "nightly", "private.py", "salaries.ipynb"]),
        (&mine, 2, vec!["board", "mine.ipynb", "nightly"]),
        (&viewer, 3, vec!["board", "nightly"]),
    ] {
        let found = listed(&fixture, caller, "sales").await;
        let mut shown = names(&found);
        shown.sort_unstable();
        assert_eq!((shown, found.impact.hidden, found.impact.total), (seen, hidden, 5));
    }
    assert!(matches!(scans::forget(app, &theirs, WORKSPACE, "etl").await, Err(Error::Forbidden(_))));
}

async fn a_delete_says_what_it_breaks_first(fixture: Fixture) {
    let app = &fixture.app;
    create(&fixture, "unused").await;
    delete(&fixture, "unused", None).await.expect("nobody depends on it");
    create(&fixture, "sales").await;
    let token = fixture.by_token(&fixture.token(&Caller::shell(), "etl", Role::User).await).await.expect("a caller");
    use_it(&fixture, &token, "sales", WorkflowKind::Pipeline, "daily").await;
    let Err(Error::HasDependents(impact)) = delete(&fixture, "sales", None).await else { panic!("it was deleted") };
    assert_eq!((impact.total, impact.live, impact.dependents.len()), (1, 1, 1), "what was used just now counts");
    let known = impact.token.expect("a token");
    assert_eq!(listed(&fixture, &Caller::shell(), "sales").await.impact.token.as_ref(), Some(&known), "the dialog's is the same");

    // What is used once more is known; a workflow more is not, and neither is another version.
    use_it(&fixture, &token, "sales", WorkflowKind::Pipeline, "daily").await;
    assert_eq!(listed(&fixture, &Caller::shell(), "sales").await.impact.token.as_ref(), Some(&known));
    use_it(&fixture, &token, "sales", WorkflowKind::Notebook, "late.ipynb").await;
    let Err(Error::HasDependents(impact)) = delete(&fixture, "sales", Some(known)).await else { panic!("it was deleted") };
    let known = impact.token.expect("a token");
    fixture.describe("sales", "another version").await;
    let Err(Error::HasDependents(impact)) = delete(&fixture, "sales", Some(known)).await else { panic!("it was deleted") };
    delete(&fixture, "sales", impact.token).await.expect("deleted");

    // Its dependents wait for one of the same name.
    let found = listed(&fixture, &Caller::shell(), "sales").await;
    assert_eq!((found.impact.total, found.impact.token), (2, None));
    create(&fixture, "sales").await;
    let found = listed(&fixture, &Caller::shell(), "sales").await;
    assert_eq!(found.impact.total, 2, "a replacement inherits them");
    let versions = found.page.rows.iter().map(|dependent| dependent.seen.as_ref().and_then(|seen| seen.version));
    assert_eq!(versions.collect::<Vec<_>>(), [None, None], "none was given a version of this one");
    app.uses.flush(&app.store).await.expect("nothing is left");
}

async fn what_was_deleted_comes_back_as_it_was(fixture: Fixture) {
    let app = &fixture.app;
    let shell = Caller::shell();
    create(&fixture, "sales").await;
    create(&fixture, "warehouse").await;
    let token = fixture.by_token(&fixture.token(&shell, "etl", Role::User).await).await.expect("a caller");
    let resolve = async || credentials::resolve(app, &token, WORKSPACE, "sales", |_| false).await;
    let before = resolve().await.expect("resolved");
    let removal = |use_instead: &str| Removal {
        precondition: Precondition::Any,
        reason: Some("moved".to_owned()),
        use_instead: Some(use_instead.to_owned()),
        ..Removal::default()
    };
    let refused = tombstones::delete(app, &shell, WORKSPACE, "sales", removal("nothing")).await;
    assert!(matches!(refused, Err(Error::HasDependents(_))), "{refused:?}");
    let impact_token = listed(&fixture, &shell, "sales").await.impact.token;
    for other in ["nothing", "sales"] {
        let removal = Removal { impact_token: impact_token.clone(), ..removal(other) };
        let Err(Error::Invalid(errors)) = tombstones::delete(app, &shell, WORKSPACE, "sales", removal).await else {
            panic!("{other} was taken")
        };
        assert_eq!(errors[0].field, "use_instead");
    }
    let removal = Removal { impact_token, ..removal("warehouse") };
    tombstones::delete(app, &shell, WORKSPACE, "sales", removal).await.expect("deleted");
    let Err(Error::Deleted(gone)) = resolve().await.map(|_| ()) else { panic!("it serves") };
    assert_eq!((gone.reason.as_deref(), gone.use_instead.as_deref()), (Some("moved"), Some("warehouse")));

    let rows = tombstones::list(app, &shell, WORKSPACE, &Paging::default()).await.expect("listed").rows;
    let [deleted] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(deleted.until, deleted.row.deleted_at.map(|at| at + 30 * DAY));
    let old = Precondition::Tags(vec!["\"x.1\"".to_owned()]);
    let restore = async |precondition: &Precondition| tombstones::restore(app, &shell, WORKSPACE, "sales", precondition).await;
    assert!(matches!(restore(&Precondition::Missing).await, Err(Error::PreconditionRequired)));
    assert!(matches!(restore(&old).await, Err(Error::VersionConflict)));
    restore(&Precondition::Tags(vec![deleted.etag()])).await.expect("back");
    let after = resolve().await.expect("it serves at once");
    assert_eq!((after.fingerprint, after.version), (before.fingerprint, before.version));
    assert_eq!(
        after.body.as_ref().map(|body| body.expose_secret().to_owned()),
        before.body.map(|body| body.expose_secret().to_owned())
    );
    assert!(matches!(restore(&Precondition::Any).await, Err(Error::NameTaken(_))), "it is not deleted");
    let query = ListQuery { search: Some("sales".to_owned()), ..ListQuery::default() };
    assert_eq!(
        list::list(app, &shell, WORKSPACE, &query).await.expect("listed").rows.len(),
        2,
        "search finds it: its database, too"
    );

    // While another has the name, and once its time is over, it does not come back.
    let impact_token = listed(&fixture, &shell, "sales").await.impact.token;
    delete(&fixture, "sales", impact_token).await.expect("deleted");
    create(&fixture, "SALES").await;
    assert!(matches!(restore(&Precondition::Any).await, Err(Error::NameTaken(_))));
    let impact_token = listed(&fixture, &shell, "SALES").await.impact.token;
    delete(&fixture, "SALES", impact_token).await.expect("deleted");
    app.clock.advance(30 * DAY);
    assert!(matches!(restore(&Precondition::Any).await, Err(Error::NotRestorable(_))));
    app.clock.advance(EVERY);
    assert!(run_if_due(app).await.expect("purged"));
    let retention = Retention { restore_days: None, ..Retention::default() };
    settings::change(app, &shell, &Precondition::Any, retention).await.expect("saved");
    assert!(matches!(restore(&Precondition::Any).await, Err(Error::NotRestorable(_))), "nothing is left of it");
    let Err(Error::Deleted(gone)) = connections::show(app, &shell, WORKSPACE, "sales").await else { panic!("it is there") };
    assert_eq!(gone.name, "sales", "who asks still learns what became of it");
    // One that is kept for ever comes back after years.
    create(&fixture, "kept").await;
    delete(&fixture, "kept", None).await.expect("deleted");
    app.clock.advance(1_000 * DAY);
    assert!(run_if_due(app).await.expect("purged"));
    tombstones::restore(app, &shell, WORKSPACE, "kept", &Precondition::Any).await.expect("back");
}

async fn a_workflow_counts_as_long_as_an_owner_says(fixture: Fixture) {
    let app = &fixture.app;
    create(&fixture, "sales").await;
    let token = fixture.by_token(&fixture.token(&Caller::shell(), "etl", Role::User).await).await.expect("a caller");
    use_it(&fixture, &token, "sales", WorkflowKind::Script, "old.py").await;
    app.uses.flush(&app.store).await.expect("written");
    app.clock.advance(20 * DAY);
    use_it(&fixture, &token, "sales", WorkflowKind::Script, "new.py").await;
    let code = whole(vec![finding("sales", WorkflowKind::Script, "old.py", "old.py", 1)]);
    scans::report(app, &Caller::shell(), WORKSPACE, "etl", code).await.expect("reported");
    assert_eq!(names(&listed(&fixture, &Caller::shell(), "sales").await), ["new.py", "old.py"]);
    let retention = Retention { workflow_days: Some(10), ..Retention::default() };
    settings::change(app, &Caller::shell(), &Precondition::Any, retention).await.expect("saved");
    app.clock.advance(EVERY);
    assert!(run_if_due(app).await.expect("purged"));
    let found = listed(&fixture, &Caller::shell(), "sales").await;
    assert_eq!((names(&found), found.impact.found_only), (vec!["new.py", "old.py"], 1), "it is in the code still");
    assert!(found.page.rows[1].seen.is_none());
}

#[tokio::test]
async fn a_report_is_refused_at_its_fields() {
    let fixture = Fixture::new().await;
    let app = &fixture.app;
    let bad = Piece {
        scan: random_uuid(),
        revision: Some(String::new()),
        files: -1,
        findings: vec![finding("no name", WorkflowKind::Script, "a\nb", "", 0)],
        total: None,
    };
    let Err(Error::Invalid(errors)) = scans::report(app, &Caller::shell(), WORKSPACE, "-", bad).await else { panic!("taken") };
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        ["project", "commit", "findings.0.workflow", "findings.0.file", "findings.0.connection", "findings.0.line", "files"]
    );
    let many = (1..=501).map(|line| finding("sales", WorkflowKind::Script, "a.py", "a.py", line)).collect();
    assert!(matches!(scans::report(app, &Caller::shell(), WORKSPACE, "etl", whole(many)).await, Err(Error::Invalid(_))));
}

on_both_engines! {
    seen_and_found_are_one_where_they_are_one_program as seen_and_found_on_sqlite, seen_and_found_on_postgres;
    pieces_of_two_scans_do_not_pass_for_one as pieces_on_sqlite, pieces_on_postgres;
    others_notebooks_are_counted_and_not_named as visible_on_sqlite, visible_on_postgres;
    a_delete_says_what_it_breaks_first as delete_on_sqlite, delete_on_postgres;
    what_was_deleted_comes_back_as_it_was as restore_on_sqlite, restore_on_postgres;
    a_workflow_counts_as_long_as_an_owner_says as age_on_sqlite, age_on_postgres;
}

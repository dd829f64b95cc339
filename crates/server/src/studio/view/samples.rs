//! Every page with invented data, kept as snapshots: what a change of a template does to the pages is seen in its diff.

mod administration;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use dataflow_model::{
    Catalogue, Cause, ConnectionName, ConnectionType, FieldError, FieldPath, FieldValue, Impact, PublicFields, TestStatus,
    WorkspaceName, catalogue::Section, snippets,
};

use super::{
    Glyph, Shell, activity, connection, delete, deleted, dependents, entry,
    form::{self, Kept, Source, Values},
    gallery, list, names,
    parts::{Here, May, Pages, asset},
    rotation_policy,
    words::Status,
};
use crate::ops::workspaces::Contents;

/// Pages of all kinds hold these, to show that a text stays a text.
pub(super) const SHARP: &str = "a <b>sharp</b> \"name\" & 'more'";

pub(super) fn shell(title: &str, here: Here) -> Shell {
    Shell {
        title: title.to_owned(),
        here,
        workspace: Some("analytics".to_owned()),
        workspaces: vec!["analytics".to_owned(), "default".to_owned(), "finance".to_owned()],
        who: "you@example.org".to_owned(),
        role: "editor".to_owned(),
        may: May {
            edit: true,
            test: true,
            manage_tokens: true,
            manage_people: true,
            see_activity: true,
            narrow: true,
            manage_workspaces: true,
            change_settings: true,
            shows_at_provider: false,
        },
        connections: Some(14),
        notice: None,
    }
}

pub(super) fn catalogue() -> Catalogue {
    Catalogue::built_in().expect("sound")
}

/// Keeps a page under its name. Hashes of assets are left out: they change with every byte of the style sheet.
pub(super) fn keep(name: &str, page: &impl Template) {
    let mut html = page.render().expect("it renders");
    for file in ["favicon.svg", "studio.css", "form.css", "htmx.min.js", "test.js", "studio.js", "icons.svg"] {
        html = html.replace(&asset(file), &format!("/assets/{file}"));
    }
    assert!(!html.contains("<b>sharp") && !html.contains(" style="), "{name}");
    assert!(!html.contains("<script>") && !html.contains("javascript:") && !html.contains(" onclick"), "{name}");
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, html);
    });
}

fn row(name: &str, description: &str, type_id: &str, address: &str, checks: &[(TestStatus, f64)]) -> list::Row {
    let catalogue = catalogue();
    let kind = catalogue.get(type_id).expect("known");
    let last = checks.last();
    list::Row {
        name: name.to_owned(),
        description: description.to_owned(),
        tags: if name == "sales" { vec!["finance".to_owned(), "eu".to_owned()] } else { Vec::new() },
        type_label: kind.label.clone(),
        glyph: Glyph::from(kind),
        address: address.to_owned(),
        weak: if name == "events" { vec!["TLS not verified".to_owned(), "Weaker sign-in".to_owned()] } else { Vec::new() },
        is_rotating: false,
        status: last.map_or_else(Status::untested, |(status, _)| Status::of(*status, Some(Cause::CredentialsRefused))),
        detail: last.map(|(status, ms)| list::detail(*status, Some(*ms), "3 min ago")).unwrap_or_default(),
        checked_at: last.map(|_| "2026-11-22T16:00:00Z".to_owned()).unwrap_or_default(),
        spark: list::Spark::new(checks),
        dependents: if name == "new_one" { 0 } else { 9 },
    }
}

pub(super) fn steady(ms: f64) -> Vec<(TestStatus, f64)> {
    (0..20_u32).map(|place| (TestStatus::Ok, ms * (1.0 + f64::from(place * 7 % 5) / 9.0))).collect()
}

fn list_page() -> list::List {
    let mut failing = steady(40.0);
    failing.splice(17.., [(TestStatus::Failed, 18.0); 3]);
    list::List {
        shell: shell("Connections", Here::Connections),
        filter: list::Filter::default(),
        chips: vec![
            list::Chip { label: "All", value: "", count: 14, on: true },
            list::Chip { label: "Failing", value: "failed", count: 1, on: false },
            list::Chip { label: "Unproven", value: "unproven", count: 1, on: false },
            list::Chip { label: "Untested", value: "untested", count: 2, on: false },
        ],
        types: vec![list::Choice { value: "postgres".into(), label: "PostgreSQL (8)".into(), on: false }],
        tags: vec![list::Choice { value: "finance".into(), label: "finance (2)".into(), on: false }],
        steps: form::Waiting::all(),
        rows: vec![
            row("sales", "Orders and invoices, read replica", "postgres", "replica.sales.internal:5432 / sales", &steady(12.0)),
            row("crm", "Accounts and contacts", "mysql", "crm-db.internal:3306 / crm", &steady(18.0)),
            row("warehouse", "", "redshift", "xy12345.eu-west-1.redshift.amazonaws.com:5439 / analytics", &failing),
            row("events", SHARP, "mariadb", "events.internal:3306 / events", &[(TestStatus::Unproven, 7.0)]),
            row("exports", "Nightly drops for finance", "sqlite", "exports/finance.db", &steady(0.4)),
            row("new_one", "", "postgres", "db.example.org:5432", &[]),
        ],
        problem: None,
        pages: Pages::of("/w/analytics/connections", "", "", Some("eA")),
    }
}

#[test]
fn lists() {
    keep("list", &list_page());
    let shell = shell("Connections", Here::Connections);
    let empty = |filter: list::Filter, shell: Shell| list::List {
        shell,
        filter,
        rows: Vec::new(),
        pages: Pages::default(),
        ..list_page()
    };
    keep("list-empty", &empty(list::Filter::default(), Shell { connections: Some(0), ..shell.clone() }));
    keep("list-no-match", &empty(list::Filter { search: SHARP.to_owned(), ..list::Filter::default() }, shell.clone()));
    let viewer = Shell { may: May::default(), role: "viewer".into(), ..shell };
    let html = list::List { shell: viewer, ..list_page() }.render().expect("it renders");
    for act in ["/edit", "/delete\"", "data-test-row", "/new\"", "/tokens", "/access"] {
        assert!(!html.contains(act), "a viewer is not offered {act}");
    }
}

#[test]
fn galleries() {
    let catalogue = catalogue();
    // Some of them: a new type is one file, and not this page's snapshot.
    let some: Vec<_> = ["postgres", "mysql", "redshift", "sqlite"].iter().filter_map(|id| catalogue.get(id)).collect();
    let gallery = |search: &str, paste_error: Option<String>| gallery::Gallery {
        shell: shell("New Connection", Here::Connections),
        search: search.to_owned(),
        groups: gallery::Group::of(&some, search),
        paste_error,
    };
    keep("gallery", &gallery("", None));
    keep("gallery-paste-refused", &gallery("", Some(dataflow_model::PasteError::UnknownScheme.to_string())));
    keep("gallery-no-match", &gallery(SHARP, None));
    let found = |search: &str| gallery::Group::of(&catalogue.all(), search);
    let first = |search: &str| found(search).first().and_then(|group| group.types.first().map(|card| card.id.clone()));
    assert_eq!(found("maria data").first().map(|group| group.types.len()), Some(1));
    // By a tag, by the beginning of a name, by the category, by Airflow's word, in any order.
    for (search, id) in [
        ("aws redsh", "redshift"),
        ("postgres", "postgres"),
        ("My", "mysql"),
        ("warehouses amazon", "redshift"),
        ("embedded", "duckdb"),
    ] {
        assert_eq!(first(search).as_deref(), Some(id), "{search}");
    }
}

fn form_of(kind: &ConnectionType, purpose: form::Purpose, values: &Values, errors: Vec<FieldError>) -> form::Form {
    let workspace = WorkspaceName::new("analytics").expect("a name");
    let name = ConnectionName::new("sales").expect("a name");
    let controls = |section| form::controls(kind, section, values, &errors);
    form::Form {
        shell: shell("New Connection", Here::Connections),
        purpose,
        action: "/w/analytics/new/postgres".into(),
        test: "/w/analytics/test".into(),
        cancel: "/w/analytics/connections".into(),
        type_id: kind.id.clone(),
        type_label: kind.label.clone(),
        about: kind.into(),
        heading: form::Heading { name: "sales".into(), description: SHARP.into(), tags: "finance eu".into() },
        main: controls(Section::Main),
        security: controls(Section::Security),
        extra: controls(Section::Extra),
        errors,
        refusal: None,
        reported: None,
        pasted: None,
        snippets: snippets(kind, &workspace, &name, &PublicFields::default()),
        steps: form::Waiting::all(),
    }
}

fn stored() -> PublicFields {
    PublicFields(BTreeMap::from([
        (FieldPath::from("host"), FieldValue::Text("replica.sales.internal".into())),
        (FieldPath::from("port"), FieldValue::Integer(5432)),
        (FieldPath::from("database"), FieldValue::Text("sales".into())),
        (FieldPath::from("username"), FieldValue::Text("analytics".into())),
        (FieldPath::from("tls.mode"), FieldValue::Text("require".into())),
        (FieldPath::from("extra.application_name"), FieldValue::Text("dataflow".into())),
        (FieldPath::from("extra.connect_timeout"), FieldValue::Integer(5)),
        (FieldPath::from("extra.insecure_auth"), FieldValue::Text("md5".into())),
    ]))
}

#[test]
fn refusals_are_listed_as_they_come_on_the_page() {
    let catalogue = catalogue();
    let refused = ["tags", "elsewhere", "extra.connect_timeout", "port", "own_password", "host", "name"];
    let errors = refused.map(|field| FieldError::new(field, "invalid", "is not one")).to_vec();
    let form = form_of(catalogue.get("postgres").expect("known"), form::Purpose::New, &Values::new(true), errors);
    let listed: Vec<_> = form.in_order().into_iter().map(|error| error.field.as_str()).collect();
    assert_eq!(listed, ["name", "host", "port", "own_password", "extra.connect_timeout", "tags", "elsewhere"]);
}

#[test]
fn forms() {
    let catalogue = catalogue();
    let postgres = catalogue.get("postgres").expect("known");
    keep("form-new", &form_of(postgres, form::Purpose::New, &Values::new(true), Vec::new()));
    keep(
        "form-new-sqlite",
        &form_of(catalogue.get("sqlite").expect("known"), form::Purpose::New, &Values::new(false), Vec::new()),
    );

    let set = BTreeSet::from([FieldPath::from("password")]);
    let errors = vec![
        FieldError::new("name", "invalid", "is taken in this workspace"),
        FieldError::new("port", "out_of_range", "must be from 1 to 65535"),
        FieldError::new("password", "secret_reentry_required", "must be typed again"),
    ];
    let impact = Impact { total: 9, live: 2, ..Impact::default() };
    let (name, etag, shown) = ("sales".into(), "\"id.7\"".into(), vec![notebook(), found()]);
    let edit = form::Purpose::Edit(Box::new(form::Edited { name, etag, shown, impact, test_first: Some(true) }));
    keep("form-edit-refused", &form_of(postgres, edit.clone(), &Values::stored(&stored(), &set, false), errors));

    let mut values = Values::stored(&stored(), &set, true);
    values.kept.insert("password".into(), Kept::from(Source::Carried));
    let errors = vec![FieldError::new("own_password", "wrong", "is not the one that you sign in with")];
    keep("form-edit-carried", &form_of(postgres, edit, &values, errors));

    let mut values = Values::stored(&stored(), &BTreeSet::new(), true);
    values.kept.insert("password".into(), Kept::from(Source::Pasted));
    let pasted = form::PastedNotes { notes: vec![("“sslmode” would have allowed unverified TLS.".into(), true)] };
    keep("form-pasted", &form::Form { pasted: Some(pasted), ..form_of(postgres, form::Purpose::New, &values, Vec::new()) });
}

#[test]
fn every_type_has_a_form_whose_labels_are_tied_to_their_fields() {
    for kind in catalogue().all() {
        let html = form_of(kind, form::Purpose::New, &Values::new(true), Vec::new()).render().expect("it renders");
        for field in kind.fields.iter().filter(|field| !field.computed) {
            let id = format!("field-{}", field.path.as_str().replace(['.', '_'], "-"));
            assert!(html.contains(&format!("for=\"{id}\"")) && html.contains(&format!("id=\"{id}\"")), "{} {id}", kind.id);
        }
    }
}

#[test]
fn a_field_for_admins_is_absent_or_fixed_for_others() {
    let catalogue = catalogue();
    let postgres = catalogue.get("postgres").expect("known");
    let has = |values: &Values| {
        form::controls(postgres, Section::Security, values, &[]).iter().any(|c| c.path == "extra.insecure_auth")
    };
    assert!(has(&Values::new(true)) && !has(&Values::new(false)));
    let values = Values::stored(&stored(), &BTreeSet::new(), false);
    let controls = form::controls(postgres, Section::Security, &values, &[]);
    let fixed = controls.iter().find(|c| c.path == "extra.insecure_auth").expect("shown, since it is set");
    assert!(matches!(&fixed.input, form::Input::Fixed { value } if value == "MD5"));
}

#[test]
fn connections() {
    let catalogue = catalogue();
    let kind = catalogue.get("postgres").expect("known");
    let workspace = WorkspaceName::new("analytics").expect("a name");
    let name = ConnectionName::new("sales").expect("a name");
    let check = |status, cause, message: &str| connection::CheckLine {
        status: Status::of(status, cause),
        message: message.to_owned(),
        time: "48 ms".into(),
        ago: "3 min ago".into(),
        at: "2026-11-22T16:00:00Z".into(),
        by: "you@example.org".into(),
        host: cause.map(|_: Cause| SHARP.into()),
        version: 7,
    };
    let fact = |label: &str, value| connection::Fact { label: label.to_owned(), value };
    let page = connection::Connection {
        health: super::health::ScheduleFact { words: "Every 5 minutes".into(), problem: None },
        may_schedule: true,
        chart: None,
        lint: super::lint::tests::panel(),
        found: vec![connection::Found { label: "Certificate", words: "ends in 9 days".into(), is_weak: true }],
        shell: Shell { notice: Some("Saved as version 7.".into()), ..shell("sales", Here::Connections) },
        name: "sales".into(),
        description: SHARP.into(),
        tags: vec!["finance".into()],
        type_label: kind.label.clone(),
        is_own_type: false,
        status: Status::of(TestStatus::Ok, None),
        detail: "12 ms · 3 min ago".into(),
        facts: vec![
            fact("Host", connection::FactValue::Text("replica.sales.internal".into())),
            fact("Port", connection::FactValue::Text("5432".into())),
            fact("Through", connection::FactValue::Connection("bastion".into())),
            fact("Password", connection::FactValue::Secret(true)),
            fact("Client key", connection::FactValue::Secret(false)),
            fact("TLS", connection::FactValue::Weak("Encrypt, verify nothing".into())),
            fact("Server CA", connection::FactValue::Long("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----".into())),
        ],
        version: 7,
        saved: "saved 3 min ago by you@example.org".into(),
        snippets: snippets(kind, &workspace, &name, &stored()),
        steps: form::Waiting::all(),
        elsewhere: Some(SHARP.into()),
        checks: vec![
            check(TestStatus::Ok, None, "PostgreSQL 15.18"),
            check(TestStatus::Failed, Some(Cause::CredentialsRefused), "The server refused the password for “analytics”."),
        ],
        used_by: vec![notebook(), found()],
        impact: Impact { total: 3, found_only: 2, live: 1, hidden: 1, ..Impact::default() },
        activity: vec![happened("Connection edited", None), happened("Used for the first time", Some(("notebook", SHARP)))],
        failing: Some(connection::FailingNotice { words: "Version 7 fails for 2 workflows.".into(), good: Some(6) }),
        aliases: vec![alias("old_sales", "still used by 3 workflows, last 6 h ago", ""), alias("bent", SHARP, "warn")],
        narrowed: true,
        rotates: true,
        rotation: None,
        second_login: Some((SHARP.into(), Status { tone: "warn", words: SHARP.into() })),
        policy: Some(rotation_policy::PolicyFact { words: "Every 30 days".into(), problem: Some(SHARP.into()) }),
    };
    keep("connection", &page);
    let rotation = connection::Rotation { sentence: SHARP.into(), end: "It ends by itself.", may_give_up: true };
    let page = connection::Connection { rotation: Some(rotation), status: Status::rotating(true), ..page };
    keep("connection-rotating", &page);
    keep(
        "connection-new",
        &connection::Connection {
            checks: Vec::new(),
            used_by: Vec::new(),
            impact: Impact::default(),
            activity: Vec::new(),
            failing: None,
            aliases: Vec::new(),
            narrowed: false,
            rotates: false,
            rotation: None,
            second_login: None,
            policy: None,
            status: Status::untested(),
            detail: String::new(),
            ..page
        },
    );
}

fn happened(words: &str, workflow: Option<(&str, &str)>) -> activity::Line {
    activity::Line {
        at: "16:00:03".into(),
        instant: "2026-11-22T16:00:03Z".into(),
        actor: "you@example.org".into(),
        address: String::new(),
        words: words.into(),
        facts: "version 7".into(),
        object: "sales".into(),
        is_connection: true,
        is_bent: workflow.is_none(),
        workflow: workflow.map(|(kind, name)| (kind.into(), name.into())),
    }
}

fn pipeline() -> dependents::DependentLine {
    dependents::DependentLine {
        icon: "pipeline",
        kind: "pipeline",
        name: "nightly_finance".into(),
        seen: "last seen 6 h ago · version 7".into(),
        title: "2026-11-22T10:00:00Z, as token etl on worker-1".into(),
        tone: "",
        code: Some("etl: dags/nightly_finance.py, line 12".into()),
        more: 2,
        alias: Some("old_sales".into()),
    }
}

fn alias(name: &str, words: &str, tone: &'static str) -> names::AliasLine {
    names::AliasLine { name: name.into(), words: words.into(), tone }
}

fn notebook() -> dependents::DependentLine {
    dependents::DependentLine {
        icon: "notebook",
        kind: "notebook",
        name: SHARP.into(),
        seen: "in use now".into(),
        tone: "ok",
        code: None,
        more: 0,
        alias: None,
        ..pipeline()
    }
}

fn found() -> dependents::DependentLine {
    dependents::DependentLine { name: "monthly".into(), seen: String::new(), title: String::new(), more: 0, ..pipeline() }
}

#[test]
fn who_depends_and_what_was_deleted() {
    let page = |lines: Vec<dependents::DependentLine>, impact| dependents::Dependents {
        shell: shell("Who uses sales", Here::Connections),
        name: "sales".into(),
        lines,
        impact,
        pages: Pages::of("/w/analytics/connections/sales/dependents", "", "", Some("eA")),
    };
    let impact = Impact { total: 11, found_only: 3, live: 1, hidden: 2, ..Impact::default() };
    keep("dependents", &page(vec![pipeline(), notebook(), found()], impact));
    keep("dependents-none", &page(Vec::new(), Impact::default()));
    let line = deleted::DeletedLine {
        name: "sales".into(),
        etag: "\"id.7\"".into(),
        type_label: "PostgreSQL".into(),
        when: "3 h ago".into(),
        at: "22 Nov 2026, 10:00 UTC".into(),
        by: "ada@example.org".into(),
        reason: SHARP.into(),
        use_instead: Some("warehouse".into()),
        left: "Until 22 Dec 2026".into(),
    };
    let old = deleted::DeletedLine {
        name: "crm".into(),
        reason: String::new(),
        use_instead: None,
        left: String::new(),
        ..line.clone()
    };
    let page = |lines: Vec<deleted::DeletedLine>, refused: Option<&str>| deleted::DeletedPage {
        shell: shell("Deleted connections", Here::Connections),
        lines,
        may_restore: true,
        refused: refused.map(str::to_owned),
        pages: Pages::of("/w/analytics/deleted", "", "", None),
    };
    keep("deleted", &page(vec![line, old], Some("There is another connection “sales” now.")));
    keep("deleted-none", &page(Vec::new(), None));
}

#[test]
fn dialogs() {
    let page = |shown: Vec<dependents::DependentLine>, impact, error| delete::Delete {
        shell: shell("Delete sales", Here::Connections),
        name: "sales".into(),
        etag: "\"id.7\"".into(),
        shown,
        impact,
        not_retired: Some(SHARP.into()),
        restorable: Some(30),
        reason: SHARP.into(),
        use_instead: "warehouse".into(),
        error,
    };
    let known = Impact {
        total: 11,
        found_only: 4,
        live: 1,
        token: Some("3b0c".into()),
        channels: vec![SHARP.into()],
        ..Impact::default()
    };
    keep("delete", &page(vec![pipeline(), notebook(), found()], known, None));
    keep("delete-unused", &page(Vec::new(), Impact::default(), Some("The name does not match.".into())));
    let workspace = delete::DeleteWorkspace {
        shell: shell("Delete finance", Here::Workspaces),
        name: "finance".into(),
        contents: Contents { connections: 12, members: 1, tokens: 0 },
        is_default: false,
        error: None,
    };
    keep("delete-workspace", &workspace);
    let refused = delete::DeleteWorkspace { is_default: true, error: Some("The name does not match."), ..workspace };
    keep("delete-workspace-refused", &refused);
}

#[test]
fn dialogs_of_names() {
    let impact = || Impact { total: 11, live: 1, token: Some("3b0c".into()), ..Impact::default() };
    let rename = |keep_alias, shown, impact, error: Option<&str>| names::Rename {
        shell: shell("Rename sales", Here::Connections),
        name: "sales".into(),
        etag: "\"id.7\"".into(),
        new_name: SHARP.into(),
        keep_alias,
        shown,
        impact,
        error: error.map(str::to_owned),
    };
    keep("rename", &rename(true, Vec::new(), Impact::default(), Some(SHARP)));
    keep("rename-away", &rename(false, vec![pipeline(), notebook()], impact(), None));
    let remove = names::RemoveAlias {
        shell: shell("Remove old_sales", Here::Connections),
        name: "sales".into(),
        alias: "old_sales".into(),
        words: "still used by 11 workflows, last 6 h ago".into(),
        shown: vec![pipeline()],
        impact: impact(),
        error: None,
    };
    keep("remove-alias", &remove);
    let unused = names::RemoveAlias { shown: Vec::new(), impact: Impact::default(), error: Some(SHARP.into()), ..remove };
    keep("remove-alias-unused", &unused);
    let repoint = names::Repoint {
        shell: shell("Re-point sales", Here::Connections),
        name: "sales".into(),
        etag: "\"id.7\"".into(),
        to: "warehouse".into(),
        types: Some(["PostgreSQL".into(), "MySQL".into()]),
        failed: true,
        lose: vec!["token etl".into(), SHARP.into()],
        shown: vec![pipeline(), notebook()],
        impact: impact(),
        is_known: true,
        reason: SHARP.into(),
        error: Some(SHARP.into()),
    };
    keep("repoint", &repoint);
    let asked = names::Repoint { to: SHARP.into(), is_known: false, ..repoint };
    keep("repoint-asked", &asked);
}

#[test]
fn entries() {
    let refused = Some("E-mail or password is wrong.".into());
    keep("sign-in", &entry::SignIn { email: SHARP.into(), next: "/".into(), error: refused, provider: None });
    keep(
        "sign-in-provider",
        &entry::SignIn { provider: Some(SHARP.into()), next: "/a?b=c&d".into(), ..entry::SignIn::default() },
    );
    keep("confirmed", &entry::Confirmed);
    keep("onward", &entry::Onward { to: format!("/w/{SHARP}?q=a&b=\"") });
    keep("set-up", &entry::SetUp { code: "dfc_setup_x".into(), ..entry::SetUp::default() });
    keep("link", &entry::Link { code: "dfc_signin_x".into(), chooses_password: false, password_error: None });
    let refused = Some("must have from 10 to 1000 characters".into());
    keep("link-password", &entry::Link { code: "dfc_password_x".into(), chooses_password: true, password_error: refused });
    keep("recovery", &entry::Recovery { recovery_key: "ABCD-EFGH-IJKL".into() });
    let asked = entry::SecondLook {
        email: SHARP.into(),
        to: "/w/default/access".into(),
        back: "/w/default/access?cursor=x".into(),
        kept: vec![("email".into(), SHARP.into()), ("roles".into(), "user".into()), ("roles".into(), "editor".into())],
        has_password: true,
        error: None,
    };
    keep("second-look", &asked);
    let error = Some("That is not the password that you sign in with.".into());
    let wrong = entry::SecondLook { error, kept: Vec::new(), ..asked };
    keep("second-look-wrong", &wrong);
    keep("second-look-provider", &entry::SecondLook { has_password: false, error: None, ..wrong });
    let failure = entry::Failure {
        status: 404,
        title: "Not found".into(),
        text: "There is nothing at this address.".into(),
        hint: "It may have been renamed or deleted.".into(),
    };
    keep("error", &failure);
}

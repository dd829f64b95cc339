//! Pages of those who run a workspace.

use askama::Template;
use dataflow_model::FieldError;

use super::{SHARP, keep, shell};
use crate::{
    ops::people::Altered,
    studio::view::{
        Shell, activity, admin,
        parts::{Here, Pages},
        words::Status,
    },
};

#[test]
#[expect(clippy::too_many_lines, reason = "one sample after another")]
fn administration() {
    let shell = |title: &str, here| Shell { role: "admin".into(), ..shell(title, here) };
    let token = |name: &str, status: Status, live| admin::TokenLine {
        id: format!("id-{name}"),
        name: name.to_owned(),
        role: "user".into(),
        connections: if live { vec!["sales".into()] } else { Vec::new() },
        status,
        ends: "ends 20 Feb 2027".into(),
        used: "4 min ago".into(),
        created: "22 Nov 2026 by you@example.org".into(),
        live,
    };
    let page = admin::Tokens {
        shell: shell("Tokens", Here::Tokens),
        tokens: vec![
            token("nightly", Status { tone: "ok", words: "Live".into() }, true),
            token("old", Status { tone: "none", words: "Revoked".into() }, false),
        ],
        pages: Pages::of("/w/analytics/tokens", "", "eA", Some("eB")),
        here: "?cursor=eA".into(),
        fresh: Some(admin::FreshToken { name: SHARP.into(), clear: "dfc_user_0123".into() }),
        form: admin::TokenForm::default(),
        errors: vec![FieldError::new("name", "invalid", "must be one line of 1 to 250 characters")],
    };
    keep("tokens", &page);
    keep("tokens-empty", &admin::Tokens { tokens: Vec::new(), pages: Pages::default(), fresh: None, errors: Vec::new(), ..page });
    let person = |email: &str, role: &str, is_owner, is_self| admin::PersonLine {
        email: email.to_owned(),
        roles: vec![role.to_owned()],
        since: "account of 22 Nov 2026 by you@example.org".into(),
        is_owner,
        is_member: !is_owner,
        altered: None,
        is_self,
        is_disabled: false,
        is_pending: false,
        is_linked: false,
        claimed: String::new(),
        stays: false,
    };
    let people = admin::People {
        shell: shell("Access", Here::Access),
        people: vec![
            person("you@example.org", "admin", true, true),
            admin::PersonLine { is_pending: true, ..person("her@example.org", "editor", false, false) },
            admin::PersonLine { is_disabled: true, ..person("gone@example.org", "user", false, false) },
            admin::PersonLine {
                is_linked: true,
                claimed: "editor and user".into(),
                stays: true,
                ..person("linked@example.org", "viewer", false, false)
            },
            admin::PersonLine { altered: Some(Altered::Account), ..person("bent@example.org", "", false, false) },
            admin::PersonLine { altered: Some(Altered::Membership), ..person("bent-here@example.org", "", false, false) },
        ],
        pages: Pages::of("/w/analytics/access", "", "eA", None),
        here: "?cursor=eA".into(),
        may_add: true,
        provider: "Example".into(),
        link: Some(admin::FreshLink {
            email: "her@example.org".into(),
            url: "https://dataflow.example.org/link/dfc_password_x".into(),
            ends: "29 Nov 2026".into(),
        }),
        email: String::new(),
        roles: vec!["viewer".into()],
        errors: vec![FieldError::new("email", "invalid", "must be an e-mail address")],
    };
    keep("access", &people);
    let by_admin = admin::People { may_add: false, link: None, errors: Vec::new(), ..people };
    let html = by_admin.render().expect("it renders");
    assert!(!html.contains("New link") && !html.contains("id=\"person-email\"") && html.contains("an owner of it adds people"));
    let errors = vec![FieldError::new("own_password", "wrong", "is not the one that you sign in with")];
    let session = |is_this, program: &str, address: &str, seen: &str| admin::SessionLine {
        id: "0f".into(),
        is_this,
        program: program.into(),
        address: address.into(),
        began: "2 h ago".into(),
        seen: seen.into(),
    };
    let sessions =
        vec![session(true, "Firefox on Linux", "192.0.2.7", "now"), session(false, SHARP, "2001:db8::7", "25 min ago")];
    let provider = |is_linked| Some(admin::Provider { label: SHARP.into(), is_linked, is_there: true });
    let account =
        admin::Account { shell: shell("Your account", Here::Nowhere), errors, sessions, has_password: true, provider: None };
    keep("account", &account);
    let errors = vec![FieldError::new("provider_password", "wrong", "is not the one that you sign in with")];
    let account = admin::Account { errors, sessions: Vec::new(), provider: provider(false), ..account };
    keep("account-link", &account);
    let account = admin::Account { errors: Vec::new(), provider: provider(true), ..account };
    keep("account-linked", &account);
    keep("account-without-password", &admin::Account { has_password: false, ..account });
    let workspace = |name: &str| admin::WorkspaceLine { name: name.into(), role: "admin".into(), created: "22 Nov 2026".into() };
    let workspaces = admin::Workspaces {
        shell: shell("Workspaces", Here::Workspaces),
        list: ["analytics", "finance"].map(workspace).into(),
        name: String::new(),
        error: None,
    };
    keep("workspaces", &workspaces);
}

#[test]
fn who_may_use_a_connection() {
    let groups = admin::Groups {
        shell: shell("Groups", Here::Access),
        groups: vec![
            admin::GroupLine { name: "finance".into(), is_altered: false, people: vec!["you@example.org".into(), SHARP.into()] },
            admin::GroupLine { name: "nobody".into(), is_altered: false, people: Vec::new() },
            admin::GroupLine { name: "bent".into(), is_altered: true, people: Vec::new() },
        ],
        pages: Pages::default(),
        here: String::new(),
        name: SHARP.into(),
        people: SHARP.into(),
        errors: vec![FieldError::new("people", "not_found", "“eve@example.org” is not in this workspace")],
    };
    keep("groups", &groups);
    let users = admin::UsersForm {
        shell: shell("Users of sales", Here::Connections),
        connection: "sales".into(),
        etag: "\"0f\"".into(),
        narrowed: true,
        people: SHARP.into(),
        tokens: "nightly".into(),
        groups: "finance".into(),
        known: vec!["finance".into()],
        errors: vec![FieldError::new("groups", "not_found", SHARP)],
    };
    keep("users", &users);
}

#[test]
fn activity() {
    let line = |words: &str, facts: &str, object: &str, workflow: Option<(&str, &str)>| activity::Line {
        at: "22 Nov, 16:00:00".into(),
        instant: "2026-11-22T16:00:00Z".into(),
        actor: "you@example.org".into(),
        address: if workflow.is_some() { "192.0.2.7".into() } else { String::new() },
        words: words.into(),
        facts: facts.into(),
        object: object.into(),
        is_connection: workflow.is_some(),
        is_bent: facts == SHARP,
        workflow: workflow.map(|(kind, name)| (kind.to_owned(), name.to_owned())),
    };
    let page = activity::Activity {
        since: "Changes are kept since 3 Mar 2027.".into(),
        shell: Shell { role: "admin".into(), ..shell("Activity", Here::Activity) },
        asked: activity::Asked { actor: SHARP.into(), ..activity::Asked::default() },
        actions: vec![activity::Words { value: "connection.edit", label: "Connection edited", on: true }],
        lines: vec![
            line("Credentials given", "9 times · version 4", "sales", Some(("pipeline", SHARP))),
            line("Roles given", SHARP, "her@example.org", None),
        ],
        pages: Pages::of("/w/analytics/activity", "actor=you", "eA", Some("eB")),
        problem: None,
    };
    keep("activity", &page);
    let empty = activity::Activity { lines: Vec::new(), asked: activity::Asked::default(), pages: Pages::default(), ..page };
    keep("activity-empty", &empty);
}

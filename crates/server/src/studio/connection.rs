//! `/w/{workspace}/connections/{name}`: a connection's own page.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{
    ConnectionName, ConnectionType, Field, FieldKind, FieldValue, Learned, TestReport, TestStatus, WorkspaceName,
    report::OpenConnections, snippets,
};

use super::{
    activity::line,
    answer::{PageResult, go, page},
    dependents::first,
    fields::Fields,
    lint,
    list::last_status,
    names::alias_lines,
    second_login::standing,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        connection::{CheckLine, Connection, Fact, FactValue, FailingNotice, Found, Rotation},
        form::Waiting,
        health::{Chart, ScheduleFact},
        list::detail,
        parts::{Here, ago, day, duration, plural},
        rotation_policy::PolicyFact,
        words::Status,
    },
};
use crate::{
    api::{connections::millis, extract::Named},
    app::App,
    clock::{DAY, parse_rfc3339},
    jobs::purge::CHECKS_KEPT,
    ops::{
        Action, activity,
        checks::{self, ENDS_SOON_DAYS},
        connections, health,
        own_types::catalogue_of,
        paging::Paging,
    },
};

/// How many checks and dependents the page shows.
const SHOWN: usize = 20;
/// How much of what happened.
const TOLD: usize = 8;

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    RawQuery(asked): RawQuery,
) -> PageResult {
    let Place { mut shell, workspace, roles, .. } =
        inside(&app, &caller, &named.workspace, Here::Connections, &named.name).await?;
    let connection = connections::show(&app, &caller, &workspace.name, &named.name).await?;
    if connection.row.name != named.name {
        // An alias: its page is the connection's.
        return Ok(go(&headers, &format!("/w/{}/connections/{}", workspace.name, connection.row.name)));
    }
    let last = Paging { cursor: None, limit: Some(SHOWN) };
    let checks = checks::list(&app, &caller, &workspace.name, &named.name, &last).await?.rows;
    let [here, there] = checks::last_of_each(&app, &caller, &workspace.name, &named.name).await?;
    let health = health::show(&app, &caller, &workspace.name, &named.name).await?;
    let marks = health::marks(&app, &caller, &workspace.name, &named.name, CHECKS_KEPT).await?;
    let since = marks.last().map_or(i64::MAX, |mark| mark.at);
    let failures = health::failures_at_work(&app, &caller, &workspace.name, &named.name, since).await?;
    let (used_by, impact) = first(&app, &caller, &workspace.name, &named.name, SHOWN).await?;
    let now = app.clock.now();
    let activity = if Action::SeeActivity.allowed_to(roles) {
        activity::last(&app, &caller, &workspace.name, &named.name, TOLD).await?
    } else {
        Vec::new()
    };
    let row = &connection.row;
    let asked = Fields::parse(asked.unwrap_or_default().as_bytes());
    let catalogue = catalogue_of(&app, &workspace).await?;
    let lacks = lacking(catalogue.get(&row.type_id), &connection, &asked);
    shell.notice = match asked.text("done") {
        "copied" => Some(format!("Created as a copy.{lacks}")),
        "created" => Some("Saved. Code can use it by its name from now on.".to_owned()),
        "back" => Some("Brought back as it was. Code that names it works again.".to_owned()),
        "saved" => Some(format!("Saved as version {}.{lacks}", row.version)),
        "renamed" => Some("Renamed. Code finds it by this name from now on.".to_owned()),
        "unaliased" => Some("The alias is removed.".to_owned()),
        "planned" => Some("The rotation policy is saved.".to_owned()),
        "scheduled" => Some("The schedule of its tests is saved.".to_owned()),
        "unscheduled" => Some("The schedule of its tests is removed.".to_owned()),
        "unplanned" => Some("The rotation policy is removed.".to_owned()),
        "repointed" => Some("Whoever used the other name gets this connection from now on.".to_owned()),
        "restored" => Some(format!("Restored as version {}.", row.version)),
        other => lint::said_of_connection(other),
    };
    let kind = catalogue.get(&row.type_id);
    let valid = WorkspaceName::new(workspace.name.as_str()).ok().zip(ConnectionName::new(row.name.as_str()).ok());
    let page_view = Connection {
        type_label: kind.map_or_else(|| row.type_id.clone(), |kind| kind.label.clone()),
        is_own_type: kind.is_some_and(|kind| kind.own.is_some()),
        status: connection
            .rotation
            .as_ref()
            .map_or_else(|| last_status(&row.into()), |rotation| Status::rotating(rotation.is_stuck())),
        detail: match &connection.rotation {
            Some(rotation) => format!("begun {}", ago(now, rotation.begun_at)),
            None => row.checked_at.map(|at| status_detail(row, &ago(now, at))).unwrap_or_default(),
        },
        facts: kind.map(|kind| facts(kind, &connection)).unwrap_or_default(),
        version: row.version,
        saved: format!("saved {} by {}", ago(now, row.updated_at), row.updated_by),
        snippets: kind
            .zip(valid)
            .map(|(kind, (workspace, name))| snippets(kind, &workspace, &name, &connection.public))
            .unwrap_or_default(),
        steps: Waiting::all(),
        elsewhere: elsewhere(here.as_ref(), there.as_ref(), now),
        checks: checks.into_iter().map(|check| check_line(check, now)).collect(),
        used_by,
        impact,
        activity: activity.into_iter().map(|entry| line(entry, now)).collect(),
        failing: connection.failing.as_ref().map(|failing| FailingNotice {
            words: format!(
                "Version {} fails for {}: {} could not connect with it, the last time {}.",
                row.version,
                plural(failing.workflows, "workflow"),
                if failing.workflows == 1 { "it" } else { "they" },
                ago(now, failing.last_at)
            ),
            good: failing.good,
        }),
        aliases: alias_lines(&app, &caller, &workspace.name, &named.name).await?,
        narrowed: row.users.is_some(),
        rotates: shell.may.edit && app.tests.is_enabled() && can_rotate(kind, &connection),
        health: ScheduleFact::of(health.by.as_ref()),
        may_schedule: shell.may.edit && app.tests.is_enabled(),
        chart: Chart::of(&marks, &failures, now),
        found: here.as_ref().map(|check| found(&check.report, now)).unwrap_or_default(),
        lint: lint::panel(&app, &caller, &workspace.name, &row.name, shell.may.edit).await?,
        rotation: connection.rotation.as_ref().map(Rotation::from),
        second_login: connection.second_login.as_ref().map(|login| (login.username.clone(), standing(login))),
        policy: connection
            .rotation_policy
            .as_ref()
            .filter(|policy| policy.set.is_some() || can_rotate(kind, &connection))
            .map(|policy| PolicyFact::of(policy, now)),
        name: row.name.clone(),
        description: row.description.clone(),
        tags: connection.tags.iter().map(ToString::to_string).collect(),
        shell,
    };
    Ok(page(StatusCode::OK, &page_view))
}

/// Which secrets a copy still lacks, of those that its original has.
fn lacking(kind: Option<&ConnectionType>, connection: &connections::Connection, asked: &Fields) -> String {
    let is_unset = |field: &&Field| connection.secrets.get(&field.path) == Some(&false);
    let named = |field: &&Field| asked.all("missing").any(|path| path == field.path.as_str());
    let fields = kind.into_iter().flat_map(|kind| &kind.fields).filter(|field| is_unset(field) && named(field));
    let labels: Vec<_> = fields.map(|field| field.label.as_str()).collect();
    if labels.is_empty() {
        String::new()
    } else {
        format!(" It still lacks: {}. Type what is missing with Edit.", labels.join(", "))
    }
}

/// Whether it signs in with a password that its connector can set.
fn can_rotate(kind: Option<&ConnectionType>, connection: &connections::Connection) -> bool {
    kind.is_some_and(|kind| kind.rotates) && connection.secrets.get("password").copied().unwrap_or_default()
}

fn status_detail(row: &crate::store::ConnectionRow, ago: &str) -> String {
    let status = row.check_status.as_deref().and_then(dataflow_model::TestStatus::parse);
    detail(status.unwrap_or(dataflow_model::TestStatus::Ok), row.check_micros.map(millis), ago)
}

/// Every public field that is set and every secret, in the catalogue's order.
fn facts(kind: &ConnectionType, connection: &connections::Connection) -> Vec<Fact> {
    kind.fields
        .iter()
        .filter(|field| !field.computed)
        .filter_map(|field| Some(Fact { label: field.label.clone(), value: fact(kind, field, connection)? }))
        .collect()
}

fn fact(kind: &ConnectionType, field: &Field, connection: &connections::Connection) -> Option<FactValue> {
    if field.secret {
        return Some(FactValue::Secret(connection.secrets.get(&field.path).copied().unwrap_or_default()));
    }
    let value = connection.public.get(field.path.as_str())?;
    Some(match (field.kind, value) {
        (FieldKind::Certificate, value) => FactValue::Long(value.to_string()),
        (FieldKind::Connection, FieldValue::Text(name)) => FactValue::Connection(name.clone()),
        (_, FieldValue::Boolean(on)) => FactValue::Text(if *on { "On" } else { "Off" }.to_owned()),
        (FieldKind::Choice, FieldValue::Text(value)) => match field.choices.iter().find(|choice| choice.value == *value) {
            Some(choice) if kind.weakened(&connection.public).any(|(weak, _)| weak.path == field.path) => {
                FactValue::Weak(format!("{} (weak)", choice.label))
            }
            Some(choice) => FactValue::Text(choice.label.clone()),
            None => FactValue::Text(value.clone()),
        },
        (_, value) => FactValue::Text(field.unit.as_ref().map_or_else(|| value.to_string(), |unit| format!("{value} {unit}"))),
    })
}

/// What a test found out beside whether it works.
fn found(report: &TestReport, now: i64) -> Vec<Found> {
    let Learned { certificate_ends_at, password_ends_at, is_superuser, privileges, connections } = &report.learned;
    let ends = |label: &'static str, at: Option<&String>| {
        let at = at.and_then(|at| parse_rfc3339(at))?;
        let days = at.saturating_sub(now).div_euclid(DAY);
        let words = if at < now { format!("ended {}", ago(now, at)) } else { format!("ends in {}", plural(days, "day")) };
        Some(Found { label, words: format!("{words}, on {}", day(at)), is_weak: days < ENDS_SOON_DAYS })
    };
    let server = report.server_version.clone().map(|words| Found { label: "Server", words, is_weak: false });
    let rights = match (is_superuser, privileges.as_slice()) {
        (Some(true), _) => Some(("Superuser: it may do anything".to_owned(), true)),
        (Some(false), []) => Some(("No superuser".to_owned(), false)),
        (None, []) => None,
        (_, some) => Some((some.join(", "), false)),
    };
    let rights = rights.map(|(words, is_weak)| Found { label: "Login", words, is_weak });
    let sessions = connections.map(|OpenConnections { open, allowed }| Found {
        label: "Connections",
        words: format!("{open} open of {allowed}"),
        // Nine of ten.
        is_weak: u64::from(open) * 10 >= u64::from(allowed) * 9,
    });
    let (certificate, password) =
        (ends("Certificate", certificate_ends_at.as_ref()), ends("Password", password_ends_at.as_ref()));
    [server, certificate, password, rights, sessions].into_iter().flatten().collect()
}

/// What is to be said where the version that serves works on a client's machine and not from here, or the other way round.
fn elsewhere(here: Option<&checks::Check>, there: Option<&checks::Check>, now: i64) -> Option<String> {
    let (here, there) = (&here?.report, &there?.report);
    let place = there.host.as_ref().map_or_else(|| "where it was tested from".to_owned(), |host| format!("on {host}"));
    let told = |report: &TestReport| {
        let words = report.error.as_ref().map_or("healthy", |error| error.code.label());
        let ago = parse_rfc3339(&report.checked_at).map(|at| ago(now, at)).unwrap_or_default();
        format!("{words}, {ago}")
    };
    match (here.status, there.status) {
        (TestStatus::Failed, TestStatus::Ok) => {
            Some(format!("It works {place} ({}), and not from this server ({}).", told(there), told(here)))
        }
        (TestStatus::Ok, TestStatus::Failed) => {
            Some(format!("It works from this server ({}), and not {place} ({}).", told(here), told(there)))
        }
        _ => None,
    }
}

fn check_line(check: checks::Check, now: i64) -> CheckLine {
    let report = check.report;
    let (cause, message) = report.error.map(|error| (error.code, error.message)).unzip();
    CheckLine {
        status: Status::of(report.status, cause),
        message: message.or(report.server_version).unwrap_or_default(),
        time: duration(report.duration_ms),
        ago: parse_rfc3339(&report.checked_at).map(|at| ago(now, at)).unwrap_or_default(),
        at: report.checked_at,
        by: check.by,
        host: if report.from == "client" { Some(report.host.unwrap_or_else(|| "a client".to_owned())) } else { None },
        version: check.version,
    }
}

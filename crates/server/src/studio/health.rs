//! `/w/{workspace}/health` and the forms of schedules: tests that run by themselves.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::{Catalogue, FieldError, TestStatus};

use super::{
    answer::{PageResult, go, page},
    channels,
    fields::Fields,
    paging::AskedPage,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        health::{Health, HealthLine, ScheduleForm, ScheduleLine, lasting, rule, until},
        list::{Spark, detail},
        parts::{Here, Pages, ago, plural, rfc3339},
        words::Status,
    },
};
use crate::{
    api::{
        connections::millis,
        extract::{InWorkspace, Named},
        health::{minute_of, time_of},
    },
    app::App,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::Precondition,
        health::{
            self, Listed, State as HealthState,
            schedule::{self, Schedule, Scope, Standing, none_yet},
        },
        own_types::catalogue_of,
        paging::Paging,
    },
};

/// Unhealthy connections that stand above the list of all.
const FAILING: usize = 20;
/// Schedules that the page shows: all that there may be.
const SCHEDULES: usize = 100;
const FIELDS: [&str; 6] = ["every_seconds", "jitter_percent", "unhealthy_after", "healthy_after", "quiet_from", "quiet_to"];

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    RawQuery(query): RawQuery,
) -> PageResult {
    let Place { mut shell, workspace, roles, .. } = inside(&app, &caller, &asked.workspace, Here::Health, "Health").await?;
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    shell.notice = match query.text("done") {
        "scheduled" => Some("The schedule is saved. The first tests run within a minute.".to_owned()),
        "told" => Some("The channel is saved.".to_owned()),
        "untold" => Some("The channel is removed.".to_owned()),
        "tried" => Some("The message was taken. Look whether it got there.".to_owned()),
        "unscheduled" => Some("The schedule is removed.".to_owned()),
        _ => None,
    };
    let state = match query.text("state") {
        "unknown" => Some(HealthState::Unknown),
        word => Some(HealthState::parse(word)).filter(|state| *state != HealthState::Unknown),
    };
    let now = app.clock.now();
    let listed = health::list(&app, &caller, &workspace.name, state, &asked.paging()).await;
    let listed = AskedPage::found(listed)?;
    let is_first = asked.cursor.is_empty() && state.is_none();
    let first = Paging { cursor: None, limit: Some(FAILING) };
    let failing = if is_first {
        health::list(&app, &caller, &workspace.name, Some(HealthState::Unhealthy), &first).await?.rows
    } else {
        Vec::new()
    };
    let all = Paging { cursor: None, limit: Some(SCHEDULES) };
    let schedules = schedule::list(&app, &caller, &workspace.name, &all).await?.rows;
    let state = state.map_or("", HealthState::as_str);
    let of_state = if state.is_empty() { String::new() } else { format!("state={state}") };
    let pages = Pages::of(&shell.at("health"), &of_state, &asked.cursor, listed.next.as_deref());
    let catalogue = catalogue_of(&app, &workspace).await?;
    let line = |listed: Listed| line(&catalogue, listed, now);
    let may_tell = Action::SetChannels.allowed_to(roles);
    let view = Health {
        counts: health::count(&app, &caller, &workspace.name).await?,
        state: state.to_owned(),
        failing: failing.into_iter().map(line).collect(),
        lines: listed.rows.into_iter().map(line).collect(),
        pages,
        schedules: schedules.iter().map(|standing| schedule_line(standing, now)).collect(),
        ends: if is_first { channels::ending(&app, &caller, &workspace.name).await? } else { Vec::new() },
        channels: if may_tell { channels::lines(&app, &caller, &workspace.name).await? } else { Vec::new() },
        may_tell,
        may_schedule: Action::ScheduleTests.allowed_to(roles),
        tests: app.tests.is_enabled(),
        shell,
    };
    Ok(page(StatusCode::OK, &view))
}

fn line(catalogue: &Catalogue, Listed { row, scope, state }: Listed, now: i64) -> HealthLine {
    let checks: Vec<(TestStatus, f64)> = serde_json::from_str(&row.recent_checks).unwrap_or_default();
    let last = row.check_status.as_deref().and_then(TestStatus::parse);
    let status = match state {
        HealthState::Healthy if row.health.is_failing => Status { tone: "warn", words: "Healthy, last test failed".to_owned() },
        // What passed last may say more than that.
        HealthState::Healthy => match last.filter(|status| *status != TestStatus::Failed) {
            Some(status) => Status::last(status, row.check_summary.as_deref()),
            None => Status::of(TestStatus::Ok, None),
        },
        HealthState::Unhealthy if row.health.is_failing => Status { tone: "bad", words: "Unhealthy".to_owned() },
        HealthState::Unhealthy => Status { tone: "warn", words: "Unhealthy, last test passed".to_owned() },
        HealthState::Unknown => Status { tone: "none", words: "Not known yet".to_owned() },
    };
    let in_a_row =
        if row.health.is_failing { format!(", {} in a row", plural(row.health.streak, "failure")) } else { String::new() };
    HealthLine {
        type_label: catalogue.get(&row.type_id).map_or_else(|| row.type_id.clone(), |kind| kind.label.clone()),
        status,
        summary: row.check_summary.clone().filter(|_| last == Some(TestStatus::Failed)).unwrap_or_default(),
        since: format!("{}{in_a_row}", lasting(now, row.health.since)),
        since_at: rfc3339(row.health.since),
        changed: row.changed_version,
        spark: Spark::new(&checks),
        last: match (last, row.checked_at) {
            (Some(status), Some(at)) => detail(status, row.check_micros.map(millis), &ago(now, at)),
            _ => "not yet".to_owned(),
        },
        schedule: match &scope {
            Scope::Connection { .. } => "By a schedule of its own".to_owned(),
            Scope::Tag(tag) => format!("By the tag “{tag}”"),
            Scope::All => "As all".to_owned(),
        },
        next: until(now, row.health.next_at),
        name: row.name,
    }
}

fn schedule_line(standing: &Standing, now: i64) -> ScheduleLine {
    let (words, tag) = match &standing.scope {
        Scope::Tag(tag) => ("Tag".to_owned(), Some(tag.clone())),
        _ => ("All connections".to_owned(), None),
    };
    ScheduleLine {
        scope: standing.scope.text(),
        words,
        tag,
        rule: rule(&standing.schedule),
        set: standing.set.as_ref().map(|(at, by)| format!("{} by {by}", ago(now, *at))).unwrap_or_default(),
        is_sound: standing.is_sound,
    }
}

/// The form of the schedule that `?scope=` names; without it one for whichever tag is typed.
pub async fn show_schedule(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    RawQuery(query): RawQuery,
) -> PageResult {
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    let scope = Some(query.text("scope")).filter(|scope| !scope.is_empty());
    let scope = scope.map(Scope::of_many).transpose().map_err(|_| Error::NotFound("page"))?;
    Ok(page(StatusCode::OK, &form(&app, &caller, &workspace, scope).await?))
}

/// Saves or removes it, unless somebody else did since the form was opened.
pub async fn set_schedule(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let tag = fields.text("tag").trim();
    let text = if tag.is_empty() { "all".to_owned() } else { format!("tag:{tag}") };
    let is_there = !fields.text("etag").is_empty();
    let seen = match (is_there, Scope::of_many(&text)) {
        (true, _) => Precondition::Tags(vec![fields.text("etag").to_owned()]),
        (false, Ok(scope)) => none_yet(&scope),
        // What is refused of the tag is told before anything is looked at.
        (false, Err(_)) => Precondition::Any,
    };
    let came_to = if fields.text("remove") == "yes" {
        schedule::remove(&app, &caller, &workspace, &text, &seen).await.map(|()| "unscheduled")
    } else {
        match read(&fields) {
            Ok(asked) => schedule::set(&app, &caller, &workspace, &text, (asked, &seen)).await.map(|_| "scheduled"),
            Err(errors) => may(&app, &caller, &workspace, None).await.and(Err(Error::Invalid(errors))),
        }
    };
    let (status, errors) = match came_to {
        Ok(done) => return Ok(go(&headers, &format!("/w/{workspace}/health?done={done}"))),
        Err(error) => refused(error, is_there)?,
    };
    let scope = Scope::of_many(&text).ok().filter(|_| is_there);
    let now = form(&app, &caller, &workspace, scope).await?;
    Ok(page(status, &as_typed(now, &fields, errors)))
}

pub async fn show_own(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, named: Named) -> PageResult {
    Ok(page(StatusCode::OK, &own_form(&app, &caller, &named).await?))
}

/// The same of one connection.
pub async fn set_own(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    named: Named,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let seen = Precondition::Tags(vec![fields.text("etag").to_owned()]);
    let came_to = if fields.text("remove") == "yes" {
        schedule::remove_own(&app, &caller, &named.workspace, &named.name, &seen).await.map(|()| "unscheduled")
    } else {
        match read(&fields) {
            Ok(asked) => {
                schedule::set_own(&app, &caller, &named.workspace, &named.name, (asked, &seen)).await.map(|_| "scheduled")
            }
            Err(errors) => may(&app, &caller, &named.workspace, Some(&named.name)).await.and(Err(Error::Invalid(errors))),
        }
    };
    let (status, errors) = match came_to {
        Ok(done) => return Ok(go(&headers, &format!("/w/{}/connections/{}?done={done}", named.workspace, named.name))),
        Err(error) => refused(error, true)?,
    };
    Ok(page(status, &as_typed(own_form(&app, &caller, &named).await?, &fields, errors)))
}

/// What the form says of a refusal; what it cannot is a page of its own.
fn refused(error: Error, is_there: bool) -> Result<(StatusCode, Vec<FieldError>)> {
    match error {
        Error::Invalid(errors) => Ok((StatusCode::UNPROCESSABLE_ENTITY, errors)),
        Error::VersionConflict if is_there => {
            let text = "Somebody changed this meanwhile. What you typed still stands below; save again to put it in place.";
            Ok((StatusCode::PRECONDITION_FAILED, vec![FieldError::new("etag", "version_conflict", text)]))
        }
        Error::VersionConflict => {
            let text = "has a schedule already: change that one, on the page Health";
            Ok((StatusCode::PRECONDITION_FAILED, vec![FieldError::new("scope", "version_conflict", text)]))
        }
        other => Err(other),
    }
}

fn as_typed(now: ScheduleForm, fields: &Fields, errors: Vec<FieldError>) -> ScheduleForm {
    let [every_seconds, jitter_percent, unhealthy_after, healthy_after, quiet_from, quiet_to] =
        FIELDS.map(|name| fields.text(name).to_owned());
    let tag = fields.text("tag").trim().to_owned();
    ScheduleForm { tag, every_seconds, jitter_percent, unhealthy_after, healthy_after, quiet_from, quiet_to, errors, ..now }
}

fn read(fields: &Fields) -> std::result::Result<Schedule, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut number = |name: &str| {
        let read = fields.text(name).trim().parse::<i64>();
        read.unwrap_or_else(|_| {
            errors.push(FieldError::new(name, "invalid", "must be a whole number"));
            0
        })
    };
    let every_seconds = number("every_seconds");
    let (jitter_percent, unhealthy_after, healthy_after) =
        (number("jitter_percent"), number("unhealthy_after"), number("healthy_after"));
    let quiet = match (fields.text("quiet_from").trim(), fields.text("quiet_to").trim()) {
        ("", "") => None,
        (from, to) => {
            let quiet = minute_of(from).zip(minute_of(to));
            if quiet.is_none() {
                errors.push(FieldError::new("quiet_hours", "invalid", "must be two times of the day, as 22:00 and 06:00"));
            }
            quiet
        }
    };
    if errors.is_empty() {
        Ok(Schedule { every_seconds, jitter_percent, unhealthy_after, healthy_after, quiet })
    } else {
        Err(errors)
    }
}

/// Where the form stands, for those who may send it.
async fn may(app: &App, caller: &Caller, workspace: &str, connection: Option<&str>) -> Result<Place> {
    let (here, title, action) = match connection {
        Some(name) => (Here::Connections, format!("Tests of {name}"), Action::EditConnections),
        None => (Here::Health, "Tests by themselves".to_owned(), Action::ScheduleTests),
    };
    let place = inside(app, caller, workspace, here, &title).await?;
    if action.allowed_to(place.roles) { Ok(place) } else { Err(Error::Forbidden(action.words())) }
}

async fn form(app: &App, caller: &Caller, workspace: &str, scope: Option<Scope>) -> Result<ScheduleForm> {
    let place = may(app, caller, workspace, None).await?;
    let Some(scope) = scope else { return Ok(filled(app, place, None, None)) };
    let standing = schedule::show(app, caller, workspace, &scope.text()).await?;
    Ok(filled(app, place, None, Some(standing)))
}

async fn own_form(app: &App, caller: &Caller, named: &Named) -> Result<ScheduleForm> {
    let place = may(app, caller, &named.workspace, Some(&named.name)).await?;
    let own = health::show(app, caller, &named.workspace, &named.name).await?.own;
    Ok(filled(app, place, Some(named.name.clone()), Some(own)))
}

fn filled(app: &App, place: Place, connection: Option<String>, standing: Option<Standing>) -> ScheduleForm {
    let tag = match standing.as_ref().map(|standing| &standing.scope) {
        Some(Scope::Tag(tag)) => tag.clone(),
        _ => String::new(),
    };
    let schedule = standing.as_ref().map_or_else(Schedule::default, |standing| standing.schedule.clone());
    let quiet = |minute: Option<i64>| minute.map(time_of).unwrap_or_default();
    let (quiet_from, quiet_to) = schedule.quiet.unzip();
    let set = standing.as_ref().and_then(|standing| standing.set.as_ref());
    ScheduleForm {
        shell: place.shell,
        connection,
        tag,
        is_there: standing.is_some(),
        every_seconds: schedule.every_seconds.to_string(),
        jitter_percent: schedule.jitter_percent.to_string(),
        unhealthy_after: schedule.unhealthy_after.to_string(),
        healthy_after: schedule.healthy_after.to_string(),
        quiet_from: quiet(quiet_from),
        quiet_to: quiet(quiet_to),
        set: set.map(|(at, by)| format!("Set {} by {by}.", ago(app.clock.now(), *at))).unwrap_or_default(),
        is_sound: standing.as_ref().is_none_or(|standing| standing.is_sound),
        etag: standing.map(|standing| standing.etag).unwrap_or_default(),
        errors: Vec::new(),
    }
}

//! `/w/{workspace}/lint` and the forms that silence a rule: what is wrong with connections.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_model::FieldError;

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    paging::AskedPage,
    session::SignedIn,
    shell::{Place, inside},
    view::{
        lint::{FindingLine, Lint, LintPanel, SilenceForm, SilenceLine, silenced_words},
        parts::{Here, Pages, ago, rfc3339},
    },
};
use crate::{
    api::lint::{OfConnectionRule, OfRule},
    app::App,
    clock::parse_rfc3339,
    error::{Error, Result},
    ops::{
        Action, Caller,
        connections::Precondition,
        lint::{
            self, Finding, Wanted,
            rules::{Rule, Severity},
            silence::{self, NewSilence, Of, Scope, Silence},
        },
        paging::Paging,
    },
};

/// Silences that the page shows.
const SILENCES: usize = 100;

pub async fn show(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    asked: AskedPage,
    RawQuery(query): RawQuery,
) -> PageResult {
    let Place { mut shell, workspace, roles, .. } = inside(&app, &caller, &asked.workspace, Here::Health, "Lint").await?;
    let query = Fields::parse(query.unwrap_or_default().as_bytes());
    shell.notice = said(query.text("done"));
    let severity = Severity::parse(query.text("severity"));
    let wanted = Wanted { severity, silenced: false };
    let found = AskedPage::found(lint::list(&app, &caller, &workspace.name, wanted, &asked.paging()).await)?;
    let first = Paging { cursor: None, limit: Some(SILENCES) };
    let silences = silence::list(&app, &caller, &workspace.name, &first).await?;
    let now = app.clock.now();
    let severity = severity.map_or("", Severity::as_str);
    let of_severity = if severity.is_empty() { String::new() } else { format!("severity={severity}") };
    let view = Lint {
        pages: Pages::of(&shell.at("lint"), &of_severity, &asked.cursor, found.next.as_deref()),
        lines: found.rows.into_iter().map(|finding| line(finding, now)).collect(),
        severity: severity.to_owned(),
        has_more: silences.next.is_some(),
        silences: silences.rows.iter().map(|silence| silence_line(silence, now)).collect(),
        may_silence: shell.may.edit,
        may_silence_all: Action::SilenceLint.allowed_to(roles),
        rules: Rule::ALL.iter().map(|rule| (rule.as_str(), rule.title())).collect(),
        shell,
    };
    Ok(page(StatusCode::OK, &view))
}

/// What the page says of what was just done.
fn said(done: &str) -> Option<String> {
    match done {
        "silenced" => Some("The rule is silenced.".to_owned()),
        "lifted" => Some("The rule is in force again.".to_owned()),
        _ => None,
    }
}

/// The same on the page of a connection.
pub(super) fn said_of_connection(done: &str) -> Option<String> {
    said(done)
}

/// What the page of a connection shows.
pub(super) async fn panel(app: &App, caller: &Caller, workspace: &str, name: &str, may_silence: bool) -> Result<LintPanel> {
    let now = app.clock.now();
    let found = lint::of_connection(app, caller, workspace, name).await?;
    let (silenced, findings): (Vec<_>, Vec<_>) =
        found.into_iter().map(|finding| line(finding, now)).partition(|line| line.silenced.is_some());
    Ok(LintPanel { at: format!("/w/{workspace}/connections/{name}/lint"), findings, silenced, may_silence })
}

fn line(Finding { connection, found, silenced, .. }: Finding, now: i64) -> FindingLine {
    FindingLine {
        connection,
        rule: found.rule.as_str(),
        title: found.rule.title(),
        severity: found.severity,
        reason: found.reason,
        fix: found.fix,
        is_of_all: silenced.as_ref().is_some_and(|silence| silence.scope == Scope::All),
        silenced: silenced.map(|silence| format!("{}: {}", silenced_words(&silence, now), silence.reason)),
    }
}

fn silence_line(silence: &Silence, now: i64) -> SilenceLine {
    let known = Rule::parse(&silence.rule);
    SilenceLine {
        connection: match &silence.scope {
            Scope::All => None,
            Scope::Connection { name, .. } => Some(name.clone()),
        },
        title: known.map_or_else(|| silence.rule.clone(), |rule| rule.title().to_owned()),
        rule: silence.rule.clone(),
        is_known: known.is_some(),
        reason: silence.reason.clone(),
        words: silenced_words(silence, now),
        is_over: silence.is_over,
        is_sound: silence.is_sound,
    }
}

pub async fn ask(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, OfRule { workspace, rule }: OfRule) -> PageResult {
    Ok(page(StatusCode::OK, &form(&app, &caller, &workspace, (Of::All, &rule)).await?))
}

/// Silences a rule for all connections, or lifts that.
pub async fn set(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OfRule { workspace, rule }: OfRule,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    change(&app, &caller, &workspace, (Of::All, &rule), (&headers, &fields)).await
}

pub async fn ask_own(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OfConnectionRule { named, rule }: OfConnectionRule,
) -> PageResult {
    let of = (Of::Connection(named.name.as_str()), rule.as_str());
    Ok(page(StatusCode::OK, &form(&app, &caller, &named.workspace, of).await?))
}

/// The same for one connection.
pub async fn set_own(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    OfConnectionRule { named, rule }: OfConnectionRule,
    headers: HeaderMap,
    fields: Fields,
) -> PageResult {
    let of = (Of::Connection(named.name.as_str()), rule.as_str());
    change(&app, &caller, &named.workspace, of, (&headers, &fields)).await
}

async fn change(
    app: &App,
    caller: &Caller,
    workspace: &str,
    (of, rule): (Of<'_>, &str),
    (headers, fields): (&HeaderMap, &Fields),
) -> PageResult {
    let seen = Precondition::Tags(vec![fields.text("etag").to_owned()]);
    let came_to = if fields.text("lift") == "yes" {
        silence::lift(app, caller, workspace, (of, rule), &seen).await.map(|()| "lifted")
    } else {
        match read(fields) {
            Ok(asked) => silence::set(app, caller, workspace, (of, rule), (asked, &seen)).await.map(|_| "silenced"),
            Err(error) => may(app, caller, workspace, of).await.and(Err(Error::Invalid(vec![error]))),
        }
    };
    let (status, errors) = match came_to {
        Ok(done) => {
            let to = match of {
                Of::All => format!("/w/{workspace}/lint?done={done}"),
                Of::Connection(name) => format!("/w/{workspace}/connections/{name}?done={done}"),
            };
            return Ok(go(headers, &to));
        }
        Err(Error::Invalid(errors)) => (StatusCode::UNPROCESSABLE_ENTITY, errors),
        Err(Error::VersionConflict) => {
            let text = "Somebody changed this meanwhile. What you typed still stands below; save again to put it in place.";
            (StatusCode::PRECONDITION_FAILED, vec![FieldError::new("etag", "version_conflict", text)])
        }
        Err(other) => return Err(other.into()),
    };
    let now = form(app, caller, workspace, (of, rule)).await?;
    let typed = SilenceForm { reason: fields.text("reason").to_owned(), until: fields.text("until").to_owned(), errors, ..now };
    Ok(page(status, &typed))
}

fn read(fields: &Fields) -> std::result::Result<NewSilence, FieldError> {
    let until = match fields.text("until").trim() {
        "" => None,
        day => {
            let wrong = || FieldError::new("until", "invalid", "must be a day as 2027-03-01");
            Some(parse_rfc3339(&format!("{day}T00:00:00Z")).ok_or_else(wrong)?)
        }
    };
    // A form ends its lines otherwise.
    Ok(NewSilence { reason: fields.text("reason").replace("\r\n", "\n"), until })
}

/// Where the form stands, for those who may send it.
async fn may(app: &App, caller: &Caller, workspace: &str, of: Of<'_>) -> Result<Place> {
    let (here, title, action) = match of {
        Of::All => (Here::Health, "Silence a rule".to_owned(), Action::SilenceLint),
        Of::Connection(name) => (Here::Connections, format!("Lint of {name}"), Action::EditConnections),
    };
    let place = inside(app, caller, workspace, here, &title).await?;
    if action.allowed_to(place.roles) { Ok(place) } else { Err(Error::Forbidden(action.words())) }
}

async fn form(app: &App, caller: &Caller, workspace: &str, (of, rule): (Of<'_>, &str)) -> Result<SilenceForm> {
    let place = may(app, caller, workspace, of).await?;
    let (silence, etag) = silence::show(app, caller, workspace, of, rule).await?;
    let rule = silence::rule_of(rule)?;
    let (connection, found) = match of {
        Of::All => (None, None),
        Of::Connection(name) => {
            let found = lint::of_connection(app, caller, workspace, name).await?;
            (Some(name.to_owned()), found.into_iter().map(|finding| finding.found).find(|found| found.rule == rule))
        }
    };
    let until = silence.as_ref().and_then(|silence| silence.until).map(|at| rfc3339(at).chars().take(10).collect());
    Ok(SilenceForm {
        shell: place.shell,
        connection,
        rule: rule.as_str(),
        title: rule.title(),
        found: found.map(|found| found.reason),
        set: silence.as_ref().map(|silence| format!("Silenced {} by {}.", ago(app.clock.now(), silence.set_at), silence.set_by)),
        is_sound: silence.as_ref().is_none_or(|silence| silence.is_sound),
        reason: silence.map(|silence| silence.reason).unwrap_or_default(),
        until: until.unwrap_or_default(),
        etag,
        errors: Vec::new(),
    })
}

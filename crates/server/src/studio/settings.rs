//! `/settings`: what holds for the whole server, for its owners.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
};
use dataflow_connectors::{AddressLists, Cidr};
use dataflow_model::FieldError;

use super::{
    answer::{PageResult, go, page},
    fields::Fields,
    second_look::Sent,
    session::SignedIn,
    shell::outside,
    view::{
        parts::{Here, ago},
        settings::{Addresses, History, Settings},
    },
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        Caller,
        connections::Precondition,
        owners::OwnersAct,
        settings::{self, Current, RANGES_MAX, Retention, Setting},
    },
};

pub async fn show(State(app): State<Arc<App>>, SignedIn(caller): SignedIn, RawQuery(query): RawQuery) -> PageResult {
    let mut settings = view(&app, &caller).await?;
    settings.shell.notice = (query.as_deref() == Some("done=saved")).then(|| "Saved. It holds from now on.".to_owned());
    Ok(page(StatusCode::OK, &settings))
}

pub async fn set_addresses(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    let (mut errors, mut lists) = (Vec::new(), AddressLists::default());
    for (field, list) in [("allow", &mut lists.allow), ("deny", &mut lists.deny)] {
        match read_ranges(fields.text(field)) {
            Ok(ranges) => *list = ranges,
            Err(wrong) => errors.extend(wrong.into_iter().map(|text| FieldError::new(field, "invalid", text))),
        }
    }
    let saved = if errors.is_empty() { save(&app, &caller, fields, lists).await } else { refused(&caller, errors) };
    let (status, errors) = match saved {
        Ok(()) => return Ok(go(&headers, "/settings?done=saved")),
        Err(refusal) => shown(refusal).map_err(|error| sent.refused(&caller, error, &["etag", "allow", "deny"]))?,
    };
    let mut settings = view(&app, &caller).await?;
    fields.text("allow").clone_into(&mut settings.addresses.allow);
    fields.text("deny").clone_into(&mut settings.addresses.deny);
    settings.addresses.errors = errors;
    Ok(page(status, &settings))
}

pub async fn set_retention(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    sent: Sent,
) -> PageResult {
    let (caller, fields) = (sent.by(caller), &sent.fields);
    let days = |name: &str| match fields.text(name).trim() {
        "" => Ok(None),
        text => {
            text.parse().map(Some).map_err(|_| FieldError::new(name, "invalid", "must be a whole number of days, or nothing"))
        }
    };
    let (mut errors, mut retention) = (Vec::new(), Retention::default());
    let all = [
        ("check_days", &mut retention.check_days),
        ("version_days", &mut retention.version_days),
        ("change_days", &mut retention.change_days),
        ("read_days", &mut retention.read_days),
        ("restore_days", &mut retention.restore_days),
        ("workflow_days", &mut retention.workflow_days),
    ];
    for (name, kept) in all {
        match days(name) {
            Ok(days) => *kept = days,
            Err(error) => errors.push(error),
        }
    }
    let saved = if errors.is_empty() { save(&app, &caller, fields, retention).await } else { refused(&caller, errors) };
    let (status, errors) = match saved {
        Ok(()) => return Ok(go(&headers, "/settings?done=saved")),
        Err(refusal) => {
            let names = ["etag", "check_days", "version_days", "change_days", "read_days", "restore_days", "workflow_days"];
            shown(refusal).map_err(|error| sent.refused(&caller, error, &names))?
        }
    };
    let mut settings = view(&app, &caller).await?;
    fields.text("check_days").clone_into(&mut settings.history.check_days);
    fields.text("version_days").clone_into(&mut settings.history.version_days);
    fields.text("change_days").clone_into(&mut settings.history.change_days);
    fields.text("read_days").clone_into(&mut settings.history.read_days);
    fields.text("restore_days").clone_into(&mut settings.history.restore_days);
    fields.text("workflow_days").clone_into(&mut settings.history.workflow_days);
    settings.history.errors = errors;
    Ok(page(status, &settings))
}

async fn save<S: Setting>(app: &App, caller: &Caller, fields: &Fields, value: S) -> Result<()> {
    let precondition = Precondition::Tags(vec![fields.text("etag").to_owned()]);
    settings::change(app, caller, &precondition, value).await.map(drop)
}

/// What is wrong with a form is told to those who may send it.
fn refused(caller: &Caller, errors: Vec<FieldError>) -> Result<()> {
    OwnersAct::ChangeSettings.permit(caller)?;
    Err(Error::Invalid(errors))
}

/// What the form is shown again for.
fn shown(error: Error) -> Result<(StatusCode, Vec<FieldError>)> {
    match error {
        Error::Invalid(errors) => Ok((StatusCode::UNPROCESSABLE_ENTITY, errors)),
        Error::VersionConflict => {
            let text = "Somebody saved other settings since you opened the page, which hold now. What you typed stands below: look at both, \
                        then save again.";
            Ok((StatusCode::PRECONDITION_FAILED, vec![FieldError::new("etag", "version_conflict", text)]))
        }
        other => Err(other),
    }
}

/// One range on each line; commas part them too. What is wrong is told with its line.
fn read_ranges(text: &str) -> std::result::Result<Vec<Cidr>, Vec<String>> {
    let lines = text.lines().enumerate();
    let parts = lines.flat_map(|(line, text)| text.split(',').map(move |part| (line + 1, part.trim())));
    let read = parts.filter(|(_, part)| !part.is_empty()).map(|(line, part)| {
        // Short enough to be told again.
        let told: String = part.chars().take(50).collect();
        part.parse::<Cidr>()
            .map_err(|_| format!("has “{told}” on line {line}, which is no network such as 10.0.0.0/8 or fd00::/8"))
    });
    let (ranges, wrong): (Vec<_>, Vec<_>) = read.take(2 * RANGES_MAX).partition(std::result::Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(std::result::Result::err).take(5).collect();
    if wrong.is_empty() { Ok(ranges.into_iter().flatten().collect()) } else { Err(wrong) }
}

async fn view(app: &App, caller: &Caller) -> Result<Settings> {
    let addresses = settings::show::<AddressLists>(app, caller).await?;
    let retention = settings::show::<Retention>(app, caller).await?;
    let configured = app.tests.configured();
    let words = |days: Option<i64>| days.map(|days| days.to_string()).unwrap_or_default();
    let (addresses_saved, history_saved) = (saved(app, &addresses), saved(app, &retention));
    Ok(Settings {
        shell: outside(app, caller, Here::Settings, "Settings").await?,
        tests: app.tests.is_enabled(),
        configured_allow: written(&configured.configured.allow),
        configured_deny: written(&configured.configured.deny),
        loopback: configured.allow_loopback,
        addresses: Addresses {
            etag: addresses.etag,
            saved: addresses_saved,
            is_sound: addresses.is_sound,
            in_force_allow: written(&addresses.value.allow),
            in_force_deny: written(&addresses.value.deny),
            allow: written(&addresses.value.allow).join("\n"),
            deny: written(&addresses.value.deny).join("\n"),
            errors: Vec::new(),
        },
        history: History {
            etag: retention.etag,
            saved: history_saved,
            is_sound: retention.is_sound,
            check_days: words(retention.value.check_days),
            version_days: words(retention.value.version_days),
            change_days: words(retention.value.change_days),
            read_days: words(retention.value.read_days),
            restore_days: words(retention.value.restore_days),
            workflow_days: words(retention.value.workflow_days),
            errors: Vec::new(),
        },
    })
}

fn written(list: &[Cidr]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// `saved 3 min ago by ada@example.org`; empty where nobody did.
fn saved<S>(app: &App, current: &Current<S>) -> String {
    match current.updated_at {
        Some(at) if current.updated_by != settings::NOBODY => {
            format!("Saved {} by {}.", ago(app.clock.now(), at), current.updated_by)
        }
        _ => String::new(),
    }
}

//! `dataflow connections rotation-policy`: what new passwords are made of, and how often there is one.

use dataflow_client::{ApiRequest, Client};
use http::Method;
use serde_json::{Map, Value, json};

use super::{accepted, accepted_as, ask, path};
use crate::{
    args::{Output, RotationPolicy},
    output,
};

/// Shows the policy, after changing it where something was asked for.
pub(super) fn policy(client: &Client, form: Output, arguments: &RotationPolicy) -> anyhow::Result<()> {
    let RotationPolicy { name, every_days, at_hour, on_request, length, symbols, remove } = arguments;
    let path = format!("{}/rotation-policy", path(name));
    let answer = ask(client, &ApiRequest::new(Method::GET, &path))?;
    let etag = answer.etag.clone().unwrap_or_default();
    let before = accepted(&answer)?;
    if *remove {
        accepted(&ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", &etag))?)?;
        output::say(&format!("“{name}” has no rotation policy any more."));
        return Ok(());
    }
    let asked = [
        ("every_days", every_days.map(|days| json!(days))),
        ("at_hour", at_hour.map(|hour| json!(hour))),
        ("length", length.map(|length| json!(length))),
        ("symbols", symbols.as_ref().map(|symbols| json!(symbols))),
    ];
    if !on_request && asked.iter().all(|(_, value)| value.is_none()) {
        return show(form, name, &before);
    }
    // What is not asked for stays as it is.
    let mut body = Map::new();
    for (member, value) in asked {
        let is_dropped = *on_request && matches!(member, "every_days" | "at_hour");
        let kept = before.get(member).filter(|_| !is_dropped).cloned();
        body.insert(member.to_owned(), value.or(kept).unwrap_or_default());
    }
    let body = serde_json::to_vec(&body)?;
    let answer = ask(client, &ApiRequest::new(Method::PUT, &path).json(&body).header("If-Match", &etag))?;
    show(form, name, &accepted_as(&answer, flag)?)
}

/// What the shell calls a member of a policy.
fn flag(member: &str) -> String {
    match member {
        "every_days" | "at_hour" | "length" | "symbols" => format!("--{}", member.replace('_', "-")),
        other => other.to_owned(),
    }
}

fn show(form: Output, name: &str, policy: &Value) -> anyhow::Result<()> {
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(policy)?);
    }
    let text = |member: &str| policy.pointer(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |member: &str| policy.get(member).and_then(Value::as_i64);
    let when = match (number("every_days"), number("at_hour")) {
        (None, _) => "when somebody asks for it".to_owned(),
        (Some(days), None) => format!("every {days} days"),
        (Some(days), Some(hour)) => format!("every {days} days, at {hour:02}:00 UTC"),
    };
    let rows = [
        ("rotated", when),
        ("next", text("/next_at")),
        ("password", format!("{} characters", number("length").unwrap_or_default())),
        ("symbols", Some(text("/symbols")).filter(|symbols| !symbols.is_empty()).unwrap_or_else(|| "none".to_owned())),
        ("set", text("/set_at")),
        ("by", text("/set_by")),
        ("last tried in vain", text("/failed/at")),
        ("what stood in the way", format!("{} {}", text("/failed/message"), text("/failed/hint")).trim().to_owned()),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    output::data(&output::table(&["what", "value"], rows.map(|(what, value)| vec![what.to_owned(), value]).collect()))?;
    if policy.get("is_sound").and_then(Value::as_bool) == Some(false) {
        output::say(&format!(
            "The rotation policy of “{name}” was changed outside of this program, and nothing is rotated by it. Set it again, or remove it."
        ));
    } else if policy.get("is_set").and_then(Value::as_bool) == Some(false) {
        output::say(&format!("“{name}” has no rotation policy; this is what holds without one."));
    }
    Ok(())
}

//! `dataflow connections rotate`: a new password on the database and on the server.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use dataflow_client::{ApiRequest, Client};
use dataflow_model::TestReport;
use http::Method;
use serde_json::Value;

use super::{accepted, ask, path, read, second_login};
use crate::{
    args::{Output, Rotate},
    output,
};

/// Longer than a server takes to answer.
const WITHIN: Duration = Duration::from_secs(50);

pub(super) fn rotate(client: &Client, form: Output, arguments: &Rotate) -> anyhow::Result<ExitCode> {
    let name = &arguments.name;
    let (_, etag) = read(client, name)?;
    if arguments.give_up {
        let path = format!("{}/rotation", path(name));
        accepted(&ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", &etag))?)?;
        output::say(&format!("The rotation of “{name}” was given up. Test it, and save the password that the database has."));
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("{}/rotate", path(name));
    let send = || client.request(&ApiRequest::new(Method::POST, &path).header("If-Match", &etag).within(WITHIN));
    let answer = accepted(&output::waiting(&format!("Rotating the password of “{name}”"), send)?)?;
    let state = answer.get("state").and_then(Value::as_str).unwrap_or_default();
    if form == Output::Json {
        output::data(&serde_json::to_string_pretty(&answer)?)?;
    } else {
        for (member, title) in [("set", "Setting the new password"), ("test", "Testing with it")] {
            if let Some(report) = answer.get(member).filter(|report| !report.is_null()) {
                let report: TestReport = serde_json::from_value(report.clone()).context("read the server's report")?;
                output::data(&format!("{title}\n\n{}\n", output::report(&report)))?;
            }
        }
    }
    let version = answer.get("version").and_then(Value::as_i64).unwrap_or_default();
    let login = |member: &str| answer.get(member).and_then(Value::as_str);
    let switched = login("switched_to").zip(login("retires"));
    output::say(&match (state, switched) {
        ("rotated", Some((now, before))) => format!(
            "Rotated: version {version} of “{name}” signs in as “{now}”. “{before}” works on until every program has moved; “dataflow connections \
             second-login {name}” names those that have not."
        ),
        ("rotated", None) => format!("Rotated: version {version} of “{name}” has the new password, and the database takes it."),
        ("unchanged", _) => {
            let told = second_login::refused(client, name)?.map(|told| format!(" {told}")).unwrap_or_default();
            format!("The password of “{name}” was not changed.{told}")
        }
        _ => format!(
            "Whether the database has the new password of “{name}” is not known yet. The server finds out by itself; “dataflow connections show {name}” tells how that goes."
        ),
    });
    Ok(if state == "rotated" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

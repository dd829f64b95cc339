//! `dataflow connections second-login` and `retire`: the login that rotations switch over to, and the one that served before.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use dataflow_client::{ApiRequest, Client};
use dataflow_model::{Code, Laggards, TestReport};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{accepted, ask, path, read};
use crate::{
    args::{Output, Retire, SecondLogin},
    output,
};

/// Longer than a server takes to answer.
const WITHIN: Duration = Duration::from_secs(50);

#[derive(Debug, Deserialize)]
struct Told {
    username: String,
    state: String,
    since: String,
    by: String,
    message: String,
    laggards: Laggards,
}

pub(super) fn second_login(client: &Client, form: Output, arguments: &SecondLogin) -> anyhow::Result<()> {
    let SecondLogin { name, username, password_stdin, remove, anyway } = arguments;
    let path = format!("{}/second-login", path(name));
    if *remove {
        let (_, etag) = read(client, name)?;
        let path = format!("{path}?anyway={anyway}");
        let answer = ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", &etag))?;
        if answer.problem().code.as_deref().and_then(Code::parse) == Some(Code::LoginNotRetired) {
            if let Some(told) = refused(client, name)? {
                bail!("{told}");
            }
            bail!(
                "{} Whoever has its password still gets in: “dataflow connections retire {name}” ends that. To forget it all the same, say --anyway.",
                answer.problem().detail.unwrap_or_default()
            );
        }
        accepted(&answer)?;
        output::say(&format!(
            "The second login of “{name}” is removed. At the database it is still there, with the password that it has."
        ));
        return Ok(());
    }
    let Some(username) = username else {
        let answer = ask(client, &ApiRequest::new(Method::GET, &path))?;
        if answer.problem().code.as_deref().and_then(Code::parse) == Some(Code::NotFound) {
            // Or there is no such connection, and that is said.
            read(client, name)?;
            bail!(
                "“{name}” has no second login: a rotation changes the password of the login that it has. With “dataflow connections second-login {name} \
                 --username USER” it gets one."
            );
        }
        return show(&accepted(&answer)?, form);
    };
    let (_, etag) = read(client, name)?;
    let password = output::read_secret(&format!("Password of “{username}”:"), *password_stdin)?;
    let body = json!({"username": username, "password": password.expose_secret()});
    let body = Zeroizing::new(serde_json::to_vec(&body)?);
    let send = || client.request(&ApiRequest::new(Method::PUT, &path).json(&body).header("If-Match", &etag).within(WITHIN));
    let answer = output::waiting(&format!("Testing “{username}” from the server"), send)?;
    if answer.problem().code.as_deref().and_then(Code::parse) == Some(Code::TestFailed) {
        let problem: Value = serde_json::from_slice(&answer.body).context("read the server's answer")?;
        output::say(&output::report(&report(&problem, "report")?.context("the server sent no report")?));
        bail!("“{username}” did not pass the test of “{name}”; nothing was kept.");
    }
    let kept = accepted(&answer)?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&kept)?);
    }
    let told: Told = serde_json::from_value(kept).context("read the server's answer")?;
    output::say(&told.message);
    Ok(())
}

/// What there is to say of a second login that the database refuses with the password that is kept.
pub(super) fn refused(client: &Client, name: &str) -> anyhow::Result<Option<String>> {
    let answer = ask(client, &ApiRequest::new(Method::GET, &format!("{}/second-login", path(name))))?;
    if answer.problem().code.as_deref().and_then(Code::parse) == Some(Code::NotFound) {
        return Ok(None);
    }
    let login = accepted(&answer)?;
    let is_refused = login.get("refused").and_then(Value::as_bool) == Some(true);
    Ok(login.get("message").and_then(Value::as_str).filter(|_| is_refused).map(str::to_owned))
}

fn show(answer: &Value, form: Output) -> anyhow::Result<()> {
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(answer)?);
    }
    let told: Told = serde_json::from_value(answer.clone()).context("read the server's answer")?;
    let row = vec![told.username, told.state.replace('_', " "), told.since, told.by];
    output::data(&output::table(&["second login", "state", "since", "by"], vec![row]))?;
    if told.laggards.total > 0 {
        output::data(&laggards(&told.laggards))?;
    }
    output::say(&told.message);
    Ok(())
}

fn laggards(of: &Laggards) -> String {
    let rows = of.workflows.iter().map(|laggard| {
        let kind = laggard.kind.map(dataflow_model::WorkflowKind::as_str).unwrap_or_default();
        let host = laggard.host.clone().unwrap_or_default();
        let version = laggard.version.to_string();
        vec![kind.to_owned(), laggard.name.clone(), host, version, laggard.last_at.clone(), laggard.by.clone()]
    });
    output::table(&["kind", "lags behind", "host", "version", "given", "by"], rows.collect())
}

fn report(of: &Value, member: &str) -> anyhow::Result<Option<TestReport>> {
    let report = of.get(member).filter(|report| !report.is_null()).cloned();
    report.map(serde_json::from_value).transpose().context("read the server's report")
}

pub(super) fn retire(client: &Client, form: Output, Retire { name, anyway }: &Retire) -> anyhow::Result<ExitCode> {
    let (_, etag) = read(client, name)?;
    let path = format!("{}/second-login/retire?anyway={anyway}", path(name));
    let send = || client.request(&ApiRequest::new(Method::POST, &path).header("If-Match", &etag).within(WITHIN));
    let answer = accepted(&output::waiting(&format!("Retiring the former login of “{name}”"), send)?)?;
    let is_retired = answer.get("retired").and_then(Value::as_bool);
    if form == Output::Json {
        output::data(&serde_json::to_string_pretty(&answer)?)?;
    } else {
        for (member, title) in [("set", "Setting a password that nobody knows"), ("test", "Testing with it")] {
            if let Some(report) = report(&answer, member)? {
                output::data(&format!("{title}\n\n{}\n", output::report(&report)))?;
            }
        }
    }
    let login = answer.get("second_login").cloned().unwrap_or_default();
    let told: Told = serde_json::from_value(login).context("read the server's answer")?;
    output::say(&match is_retired {
        Some(false) => told.message,
        _ => format!("“{}” is retired: nobody knows its password, and the next rotation switches over to it.", told.username),
    });
    Ok(if is_retired == Some(false) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

//! `dataflow connections compare`, `copy`: two workspaces side by side, and a connection from one to the other.

use std::process::ExitCode;

use anyhow::bail;
use dataflow_client::{ApiRequest, Client, ClientError};
use dataflow_model::Secret;
use http::Method;
use serde_json::{Value, json};

use super::{ask, path, show, tried};
use crate::{
    args::{CompareWorkspaces, CopyConnection, OtherWorkspace, Output},
    output,
};

/// Has the token of the other workspace: each token is for one.
const OTHER_TOKEN: &str = "Dataflow-Other-Token";

fn other_token(other: &OtherWorkspace, workspace: &str) -> anyhow::Result<Secret> {
    match &other.token_file {
        Some(path) => output::read_secret_file(path),
        None if output::is_terminal() => output::read_secret(&format!("Token of the workspace “{workspace}” (dfc_…):"), false),
        None => match output::read_secret("", true) {
            Ok(token) => Ok(token),
            Err(_) => bail!(
                "This takes a token of “{workspace}”, too, besides the one in DATAFLOW_TOKEN or of “dataflow login”: name its file with --token-file, or give \
                 it on standard input. Nothing was changed."
            ),
        },
    }
}

/// Of two tokens, which one is not accepted: the client knows of its own alone.
fn of_which(client: &Client, workspace: &str, error: anyhow::Error) -> anyhow::Error {
    if !matches!(error.downcast_ref::<ClientError>(), Some(ClientError::Unauthenticated { .. })) {
        return error;
    }
    if let Err(own) = ask(client, &ApiRequest::new(Method::GET, "connections?limit=1")) {
        return own;
    }
    anyhow::anyhow!(
        "{} does not accept the token of “{workspace}”, which --token-file or standard input gave; the one of “{}” it does. It was mistyped, has expired or was \
         revoked.",
        client.config().url,
        client.config().workspace
    )
}

/// Exit 1 on drift where that was asked for.
pub(super) fn compare(client: &Client, form: Output, arguments: &CompareWorkspaces) -> anyhow::Result<ExitCode> {
    let token = other_token(&arguments.other, &arguments.with)?;
    let drift = (!arguments.all).then(|| "true".to_owned());
    let pairs = pairs(client, (&arguments.with, &token), &[("with", Some(arguments.with.clone())), ("drift", drift)])?;
    let has_drift = pairs.iter().any(|pair| text(pair, "state") != "same");
    if form == Output::Json {
        output::data(&serde_json::to_string_pretty(&pairs)?)?;
    } else if pairs.is_empty() && arguments.all {
        output::say("There is no connection in either.");
    } else if pairs.is_empty() {
        output::say(&format!("“{}” has what is here, and no more.", arguments.with));
    } else {
        let rows = pairs.iter().flat_map(|pair| lines(pair, &arguments.with)).collect();
        output::data(&output::table(&["name", "state", "field", "here", "there"], rows))?;
    }
    Ok(if has_drift && arguments.check { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A line for each member that differs; of what is on one side alone, one.
fn lines(pair: &Value, other: &str) -> Vec<Vec<String>> {
    let (name, state, elsewhere) = (text(pair, "name"), text(pair, "state"), text(pair, "elsewhere"));
    let words = match state.as_str() {
        "only_here" if !elsewhere.is_empty() => format!("in {other} under the name {elsewhere}"),
        "only_there" if !elsewhere.is_empty() => format!("here under the name {elsewhere}"),
        "only_here" => format!("not in {other}"),
        "only_there" => format!("only in {other}"),
        "altered" => "changed outside of this program".to_owned(),
        other => other.to_owned(),
    };
    let address = |side: &str| pair.get(side).map(|side| text(side, "address")).unwrap_or_default();
    let differences = differences(pair);
    if differences.is_empty() {
        return vec![vec![name, words, String::new(), address("here"), address("there")]];
    }
    let line = |difference: &Value| {
        let [here, there] = sides(difference);
        vec![name.clone(), words.clone(), text(difference, "field"), here, there]
    };
    differences.iter().map(line).collect()
}

pub(super) fn copy(client: &Client, form: Output, arguments: &CopyConnection) -> anyhow::Result<()> {
    let CopyConnection { name, to, .. } = arguments;
    let token = other_token(&arguments.other, to)?;
    let found = pairs(client, (to, &token), &[("with", Some(to.clone())), ("name", Some(name.clone()))])?;
    let Some(pair) = found.first() else { bail!("There is no connection “{name}” here.") };
    let (state, differences) = (text(pair, "state"), differences(pair));
    let elsewhere = text(pair, "elsewhere");
    if !elsewhere.is_empty() {
        bail!("“{name}” is there already: in one of the two it is another name of “{elsewhere}”. Nothing was changed.");
    }
    let is_public =
        |difference: &&Value| difference.get("secret").is_none_or(Value::is_null) && text(difference, "field") != "name";
    let copies = |difference: &&Value| {
        let directs = difference.get("directs").and_then(Value::as_bool).unwrap_or(true);
        is_public(difference) && (state == "only_here" || !directs)
    };
    let names = |of: &dyn Fn(&&Value) -> bool| differences.iter().filter(of).map(|one| text(one, "field")).collect::<Vec<_>>();
    let fields = match state.as_str() {
        "same" => {
            output::say(&format!("“{to}” has “{name}” as it is here. Nothing was changed."));
            return Ok(());
        }
        "only_there" => bail!("“{name}” is in “{to}” only. Nothing was changed."),
        "altered" => {
            bail!("A row of “{name}” was changed outside of this program. Look at the server's log. Nothing was changed.")
        }
        "only_here" if arguments.fields.is_empty() => None,
        _ if !arguments.fields.is_empty() => Some(arguments.fields.clone()),
        _ if arguments.all_fields => Some(names(&copies)),
        _ => {
            let rest = names(&|difference: &&Value| !copies(difference));
            let rest = if rest.is_empty() { String::new() } else { format!("\nNo copy changes: {}.", rest.join(", ")) };
            match names(&copies) {
                none if none.is_empty() => bail!("“{name}” is in “{to}” already, and nothing that differs can be copied.{rest}"),
                some => bail!(
                    "“{name}” is in “{to}” already. Say with --field what to copy, or --all-fields for: {}.{rest}",
                    some.join(", ")
                ),
            }
        }
    };
    if fields.as_ref().is_some_and(Vec::is_empty) {
        bail!("Nothing that differs can be copied: what says where “{name}” leads in “{to}”, and its secrets, are set there.");
    }
    let is_asked =
        |difference: &&Value| fields.as_ref().map_or_else(|| copies(difference), |all| all.contains(&text(difference, "field")));
    let rows: Vec<_> = differences.iter().filter(is_asked).map(row).collect();
    if rows.is_empty() {
        output::say(&format!("None of that differs in “{to}”. Nothing was changed."));
        return Ok(());
    }
    output::say(&output::table(&["field", "here", &format!("before in {to}")], rows));
    let body = serde_json::to_vec(&json!({"to": to, "fields": fields}))?;
    let path = format!("{}/copy?test={}", path(name), !arguments.no_test);
    let etag = pair.get("there").map(|there| text(there, "etag")).unwrap_or_default();
    let mut request = ApiRequest::new(Method::POST, &path).json(&body).header(OTHER_TOKEN, token.expose_secret());
    if !etag.is_empty() {
        request = request.header("If-Match", &etag);
    }
    let answer = tried(&ask(client, &request).map_err(|error| of_which(client, to, error))?)?;
    output::say(&if etag.is_empty() { format!("Created in “{to}”.") } else { format!("Saved in “{to}”.") });
    let missing = answer.get("missing_secrets").and_then(Value::as_array).cloned().unwrap_or_default();
    let missing: Vec<_> = missing.iter().filter_map(Value::as_str).collect();
    if !missing.is_empty() {
        let how = if missing == ["password"] {
            "--password-stdin".to_owned()
        } else {
            format!("--set-file {}=FILE", missing.join("=FILE --set-file "))
        };
        output::say(&format!(
            "It lacks what no copy takes along: {}. Set it with “dataflow connections --workspace {to} edit {name} {how}” and a token of “{to}”.",
            missing.join(", ")
        ));
    }
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&answer)?);
    }
    show(answer.get("connection").unwrap_or(&Value::Null), form)
}

fn row(difference: &Value) -> Vec<String> {
    let [here, there] = sides(difference);
    vec![text(difference, "field"), here, there]
}

/// Every pair of a comparison, page by page.
fn pairs(client: &Client, (workspace, token): (&str, &Secret), filters: &[(&str, Option<String>)]) -> anyhow::Result<Vec<Value>> {
    let found = super::items_with(client, "compare", filters, &[(OTHER_TOKEN, token.expose_secret())]);
    found.map_err(|error| of_which(client, workspace, error))
}

fn differences(pair: &Value) -> Vec<Value> {
    pair.get("differences").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// What a member is here and there.
fn sides(difference: &Value) -> [String; 2] {
    let set = |on: bool| if on { "(set)" } else { "(not set)" }.to_owned();
    match text(difference, "secret").as_str() {
        "" => ["here", "there"].map(|side| text(difference, side)),
        side => [set(side == "only_here"), set(side == "only_there")],
    }
}

fn text(value: &Value, member: &str) -> String {
    match value.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

//! `dataflow connections`: the Studio's work in a shell, over the server's API.

mod aliases;
mod compare;
mod dependents;
mod here;
mod rotation;
mod rotation_policy;
mod second_login;
mod versions;

use std::process::ExitCode;

use anyhow::{Context, bail};
use dataflow_client::{ApiAnswer, ApiRequest, Client, ClientConfig, Explicit};
use dataflow_model::{Code, ConnectionType, FieldKind, TestReport, TestStatus};
use http::Method;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    args::{ConnectionCommand, Connections, CreateConnection, EditConnection, Fields, Output, Restored},
    output, types,
};

pub fn run(arguments: Connections) -> anyhow::Result<ExitCode> {
    let explicit = Explicit { url: arguments.server.url, workspace: arguments.server.workspace, ..Explicit::default() };
    let client = Client::new(ClientConfig::discover(&explicit)?);
    let form = arguments.server.output;
    match arguments.command {
        ConnectionCommand::List { search, type_id, tag, status } => {
            list(&client, form, &[("search", search), ("type", type_id), ("tag", tag), ("status", status)])?;
        }
        ConnectionCommand::Show { name } => show(&read(&client, &name)?.0, form)?,
        ConnectionCommand::Create(arguments) => create(&client, form, &arguments)?,
        ConnectionCommand::Edit(arguments) => edit(&client, form, &arguments)?,
        ConnectionCommand::Test { name, here: true } => return here::test(&client, form, &name),
        ConnectionCommand::Test { name, here: false } => return test(&client, form, &name),
        ConnectionCommand::Rotate(arguments) => return rotation::rotate(&client, form, &arguments),
        ConnectionCommand::SecondLogin(arguments) => second_login::second_login(&client, form, &arguments)?,
        ConnectionCommand::Retire(arguments) => return second_login::retire(&client, form, &arguments),
        ConnectionCommand::RotationPolicy(arguments) => rotation_policy::policy(&client, form, &arguments)?,
        ConnectionCommand::Dependents { name } => dependents::list(&client, form, &name)?,
        ConnectionCommand::Versions { name } => versions::list(&client, form, &name)?,
        ConnectionCommand::Diff(arguments) => versions::diff(&client, form, &arguments)?,
        ConnectionCommand::Restore(Restored { name, version: None, .. }) => dependents::restore(&client, form, &name)?,
        ConnectionCommand::Restore(Restored { name, version: Some(version), no_test }) => {
            versions::restore(&client, form, &name, (version, !no_test))?;
        }
        ConnectionCommand::PurgeVersion(arguments) => versions::purge(&client, &arguments)?,
        ConnectionCommand::Rename(arguments) => aliases::rename(&client, form, &arguments)?,
        ConnectionCommand::Aliases { name } => aliases::list(&client, form, &name)?,
        ConnectionCommand::RemoveAlias(arguments) => aliases::remove(&client, &arguments)?,
        ConnectionCommand::Repoint(arguments) => aliases::repoint(&client, form, &arguments)?,
        ConnectionCommand::Compare(arguments) => return compare::compare(&client, form, &arguments),
        ConnectionCommand::Copy(arguments) => compare::copy(&client, form, &arguments)?,
        ConnectionCommand::Deleted => dependents::deleted(&client, form)?,
        ConnectionCommand::Delete { name, reason, use_instead, yes } => {
            let told = [("reason", reason), ("use_instead", use_instead)];
            delete(&client, &name, told, yes)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Every item of a list, page by page.
pub fn items(client: &Client, list: &str, filters: &[(&str, Option<String>)]) -> anyhow::Result<Vec<Value>> {
    items_with(client, list, filters, &[])
}

/// The same, with these headers.
fn items_with(
    client: &Client,
    list: &str,
    filters: &[(&str, Option<String>)],
    headers: &[(&'static str, &str)],
) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = url::form_urlencoded::Serializer::new(String::from("limit=200&"));
        for (key, value) in filters {
            if let Some(value) = value {
                query.append_pair(key, value);
            }
        }
        if let Some(cursor) = &cursor {
            query.append_pair("cursor", cursor);
        }
        let path = format!("{list}?{}", query.finish());
        let request =
            headers.iter().fold(ApiRequest::new(Method::GET, &path), |request, (name, value)| request.header(name, value));
        let page = accepted(&ask(client, &request)?)?;
        items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

fn list(client: &Client, form: Output, filters: &[(&str, Option<String>)]) -> anyhow::Result<()> {
    let items = items(client, "connections", filters)?;
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(&items)?);
    }
    if items.is_empty() && filters.iter().any(|(_, value)| value.is_some()) {
        output::say("No connection has all of what you asked for.");
        return Ok(());
    }
    if items.is_empty() {
        output::say("No connections. Make the first one with “dataflow connections create”, or in the Studio.");
        return Ok(());
    }
    let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = items
        .iter()
        .map(|item| {
            let status = item.get("last_check").map_or_else(String::new, |check| text(check, "status"));
            let status = if status.is_empty() { "untested".to_owned() } else { status };
            let rotates = item.get("rotating").and_then(Value::as_bool) == Some(true);
            let status = if rotates { "rotating".to_owned() } else { status };
            vec![text(item, "name"), text(item, "type"), text(item, "address"), status, text(item, "description")]
        })
        .collect();
    output::data(&output::table(&["name", "type", "host", "status", "description"], rows))
}

/// A connection and its entity tag.
fn read(client: &Client, name: &str) -> anyhow::Result<(Value, String)> {
    let answer = ask(client, &ApiRequest::new(Method::GET, &path(name)))?;
    if answer.problem().code.as_deref().and_then(Code::parse) == Some(Code::ConnectionDeleted) {
        bail!("{}", dependents::gone(name, &answer)?);
    }
    let etag = answer.etag.clone().unwrap_or_default();
    Ok((accepted(&answer)?, etag))
}

fn path(name: &str) -> String {
    format!("connections/{}", percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC))
}

fn show(connection: &Value, form: Output) -> anyhow::Result<()> {
    if form == Output::Json {
        return output::data(&serde_json::to_string_pretty(connection)?);
    }
    let mut rows = Vec::new();
    flatten("", connection, &mut rows);
    output::data(&output::table(&["field", "value"], rows))
}

fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(members) => match members.get("set").and_then(Value::as_bool) {
                Some(set) => rows.push(vec![path, if set { "(set)" } else { "(not set)" }.to_owned()]),
                None => flatten(&path, value, rows),
            },
            Value::Array(items) => rows.push(vec![path, items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")]),
            Value::Null => {}
            Value::String(text) => rows.push(vec![path, text.clone()]),
            other => rows.push(vec![path, other.to_string()]),
        }
    }
}

fn create(client: &Client, form: Output, arguments: &CreateConnection) -> anyhow::Result<()> {
    let kind = &*types::known(client, &arguments.type_id)?;
    let mut body = Body::default();
    body.put("name", json!(arguments.name));
    body.put("type", json!(kind.id));
    body.fill(kind, &arguments.fields)?;
    if output::is_terminal() {
        body.ask(kind)?;
    }
    let json = body.json()?;
    let connection = accepted(&ask(client, &ApiRequest::new(Method::POST, "connections").json(&json))?)?;
    output::say(&format!("Created. In Python: Dataflow().connection(\"{}\")", arguments.name));
    show(&connection, form)
}

fn edit(client: &Client, form: Output, arguments: &EditConnection) -> anyhow::Result<()> {
    let (before, etag) = read(client, &arguments.name)?;
    let kind = &*types::known(client, before.get("type").and_then(Value::as_str).unwrap_or_default())?;
    let mut body = Body::default();
    for field in &arguments.clear {
        body.put(field, Value::Null);
    }
    body.fill(kind, &arguments.fields)?;
    let save = |body: &Body| -> anyhow::Result<ApiAnswer> {
        let json = body.json()?;
        let path = format!("{}?test={}", path(&arguments.name), !arguments.no_test);
        ask(client, &ApiRequest::new(Method::PATCH, &path).json(&json).header("If-Match", &etag))
    };
    let mut answer = save(&body)?;
    if output::is_terminal() && body.ask_again(kind, &answer)? {
        answer = save(&body)?;
    }
    let connection = tried(&answer)?;
    let is_same = before.get("version") == connection.get("version");
    output::say(if is_same { "It is so already. Nothing was changed." } else { "Saved." });
    show(&connection, form)
}

/// The JSON of a change that was tested before it serves, if it passed.
fn tried(answer: &ApiAnswer) -> anyhow::Result<Value> {
    let code = answer.problem().code.as_deref().and_then(Code::parse);
    if code == Some(Code::TestFailed) {
        let problem: Value = serde_json::from_slice(&answer.body).context("read the server's answer")?;
        let report = problem.get("report").cloned().unwrap_or_default();
        let report: TestReport = serde_json::from_value(report).context("read the server's report")?;
        output::say(&output::report(&report));
        bail!("The change did not pass its test; nothing was saved. Correct it, or say --no-test to save it all the same.");
    }
    if code == Some(Code::TestsDisabled) {
        bail!("Tests of connections are switched off on this server; nothing was saved. Say --no-test to save it without one.");
    }
    accepted(answer)
}

fn delete(client: &Client, name: &str, told: [(&str, Option<String>); 2], yes: bool) -> anyhow::Result<()> {
    let (connection, etag) = read(client, name)?;
    // By an alias it is that connection all the same.
    let name = connection.get("name").and_then(Value::as_str).unwrap_or(name);
    let impact = dependents::impact(client, name)?;
    if impact.total > 0 || !impact.channels.is_empty() || !impact.through.is_empty() {
        output::say(&dependents::in_words(name, &impact));
    }
    let second = |member: &str| connection.pointer(&format!("/second_login/{member}")).and_then(Value::as_str);
    if let (Some("retiring"), Some(username)) = (second("state"), second("username")) {
        output::say(&format!(
            "A delete does not retire “{username}”, the login of before the last rotation: whoever has its password still gets in. “dataflow connections \
             retire {name}” does."
        ));
    }
    if !yes {
        if !output::is_terminal() {
            bail!("Nobody can be asked here. Say --yes to delete “{name}” without a question.");
        }
        let question =
            format!("Workflows that use “{name}” fail until a connection of the same name exists. Type the name to delete it:");
        let typed = output::answered(inquire::Text::new(&question).prompt())?;
        if typed != name {
            bail!("That is another name. Nothing was deleted.");
        }
    }
    let mut query = url::form_urlencoded::Serializer::new(String::from("?"));
    for (key, value) in told.into_iter().chain([("impact_token", impact.token)]) {
        if let Some(value) = value {
            query.append_pair(key, &value);
        }
    }
    let path = format!("{}{}", path(name), query.finish());
    let answer = ask(client, &ApiRequest::new(Method::DELETE, &path).header("If-Match", &etag))?;
    accepted(&answer)?;
    output::say(&format!("Deleted “{name}”. “dataflow connections restore {name}” brings it back."));
    Ok(())
}

fn test(client: &Client, form: Output, name: &str) -> anyhow::Result<ExitCode> {
    let path = format!("{}/test", path(name));
    let test = || client.request(&ApiRequest::new(Method::POST, &path));
    let json = accepted(&output::waiting(&format!("Testing “{name}” from the server"), test)?)?;
    let report: TestReport = serde_json::from_value(json).context("read the server's report")?;
    tell(form, &report)
}

fn tell(form: Output, report: &TestReport) -> anyhow::Result<ExitCode> {
    if form == Output::Json {
        output::data(&serde_json::to_string_pretty(report)?)?;
    } else {
        output::data(&output::report(report))?;
    }
    Ok(if report.status == TestStatus::Ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends it, with a sign of life until the answer is there.
pub fn ask(client: &Client, request: &ApiRequest<'_>) -> anyhow::Result<ApiAnswer> {
    Ok(output::waiting(&format!("Waiting for {}", client.config().url), || client.request(request))?)
}

/// The JSON of a success; a refusal as sentences.
pub fn accepted(answer: &ApiAnswer) -> anyhow::Result<Value> {
    accepted_as(answer, str::to_owned)
}

/// The same, where what the API calls a field has another name in the shell.
pub fn accepted_as(answer: &ApiAnswer, name: impl Fn(&str) -> String) -> anyhow::Result<Value> {
    if answer.is_success() {
        return if answer.body.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(&answer.body).context("read the server's answer")
        };
    }
    let problem = answer.problem();
    let lines: Vec<_> = errors(answer).iter().map(|(field, message)| format!("\n  {} {message}", name(field))).collect();
    // The API's hint speaks of its bodies.
    let hint = match problem.code.as_deref() {
        Some(SECRET_REENTRY) => {
            "\nGive each again with --password-stdin or --set-file FIELD=FILE, or remove it with --clear FIELD.".to_owned()
        }
        _ if !lines.is_empty() => String::new(),
        _ => format!(" {}", problem.hint.unwrap_or_default()),
    };
    bail!("{}{}{hint}", problem.detail.unwrap_or_default(), lines.concat())
}

/// The code of a change that would send a stored secret elsewhere.
const SECRET_REENTRY: &str = "secret_reentry_required";

/// The fields that were refused, and why.
fn errors(answer: &ApiAnswer) -> Vec<(String, String)> {
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let text = |error: &Value, key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let errors = body.get("errors").and_then(Value::as_array).into_iter().flatten();
    errors.map(|error| (text(error, "field"), text(error, "message"))).collect()
}

/// A connection being written: members by path.
#[derive(Default)]
struct Body(Map<String, Value>);

impl Body {
    fn put(&mut self, path: &str, value: Value) {
        match path.split_once('.') {
            None => {
                self.0.insert(path.to_owned(), value);
            }
            Some((group, key)) => {
                if let Value::Object(members) = self.0.entry(group).or_insert_with(|| Value::Object(Map::new())) {
                    members.insert(key.to_owned(), value);
                }
            }
        }
    }

    fn has(&self, path: &str) -> bool {
        match path.split_once('.') {
            None => self.0.contains_key(path),
            Some((group, key)) => self.0.get(group).is_some_and(|members| members.get(key).is_some()),
        }
    }

    fn fill(&mut self, kind: &ConnectionType, fields: &Fields) -> anyhow::Result<()> {
        for pair in &fields.set {
            let (path, value) = pair.split_once('=').context("--set takes PATH=VALUE")?;
            if kind.field(path).is_some_and(|field| field.secret) {
                bail!(
                    "“{path}” is a secret, and arguments can be seen by others on this machine. Use --password-stdin, --set-file, or the prompt."
                );
            }
            self.put(path, typed(kind, path, value));
        }
        for pair in &fields.set_file {
            let (path, file) = pair.split_once('=').context("--set-file takes PATH=FILE")?;
            let text = std::fs::read_to_string(file).with_context(|| format!("read {file}"))?;
            let one_line = kind.field(path).is_some_and(|field| field.kind == FieldKind::Password);
            self.put(path, json!(if one_line { text.trim_end_matches(['\n', '\r']) } else { &text }));
        }
        if fields.password_stdin {
            self.put("password", json!(output::read_secret("Password:", true)?.expose_secret()));
        }
        if let Some(description) = &fields.description {
            self.put("description", json!(description));
        }
        if !fields.tag.is_empty() {
            self.put("tags", json!(fields.tag));
        }
        Ok(())
    }

    /// Asks for what the main part of the form needs and was not given.
    fn ask(&mut self, kind: &ConnectionType) -> anyhow::Result<()> {
        let missing: Vec<_> = kind
            .fields
            .iter()
            .filter(|field| !self.has(field.path.as_str()) && (field.required || field.kind == FieldKind::Password))
            .collect();
        for field in missing {
            if field.secret {
                let typed = output::read_secret(&format!("{} (empty: none):", field.label), false)?;
                if !typed.is_empty() {
                    self.put(field.path.as_str(), json!(typed.expose_secret()));
                }
            } else {
                let mut prompt = inquire::Text::new(&field.label);
                prompt.help_message = field.help.as_deref();
                let value = output::answered(prompt.prompt())?;
                self.put(field.path.as_str(), typed(kind, field.path.as_str(), &value));
            }
        }
        Ok(())
    }

    /// Asks for the secrets that a refused change would send elsewhere. Whether it may be tried again: a secret of many lines cannot
    /// be typed.
    fn ask_again(&mut self, kind: &ConnectionType, answer: &ApiAnswer) -> anyhow::Result<bool> {
        if answer.is_success() || answer.problem().code.as_deref() != Some(SECRET_REENTRY) {
            return Ok(false);
        }
        let errors = errors(answer);
        let fields: Vec<_> = errors.iter().filter_map(|(path, _)| kind.field(path)).collect();
        if fields.len() < errors.len() || fields.iter().any(|field| field.kind != FieldKind::Password) {
            return Ok(false);
        }
        output::say("This would send the stored secret elsewhere, so it is asked for again.");
        for field in fields {
            let typed = output::read_secret(&format!("{}:", field.label), false)?;
            self.put(field.path.as_str(), json!(typed.expose_secret()));
        }
        Ok(true)
    }

    fn json(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        serde_json::to_vec(&self.0).map(Zeroizing::new).context("write the request")
    }
}

/// A typed value as the field's kind has it in JSON; what does not fit is sent as text, and the server says why not.
fn typed(kind: &ConnectionType, path: &str, value: &str) -> Value {
    match kind.field(path).map(|field| field.kind) {
        Some(FieldKind::Port | FieldKind::Integer) => value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number)),
        Some(FieldKind::Boolean) => value.parse::<bool>().map_or_else(|_| json!(value), |truth| json!(truth)),
        _ => json!(value),
    }
}

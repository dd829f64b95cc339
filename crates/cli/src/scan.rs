//! `dataflow scan`: finds where code names connections, and tells the server.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use dataflow_client::{ApiAnswer, ApiRequest, Client, ClientConfig, Explicit, config::commit_of_build};
use dataflow_model::ConnectionName;
use dataflow_scan::{Certainty, Checkout, Finding, Report};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    args::{Output, Scan},
    connections::{accepted, ask, items},
    output,
};

/// What a server takes of one project.
const FINDINGS_MAX: usize = 50_000;
/// Longest text of a finding, in characters; a longer path keeps its end.
const TEXT_MAX: usize = 500;
/// Messages of one sort that a person reads.
const SAID_MAX: usize = 20;
/// What one piece of a report has: the server takes 500 findings, and 64 KiB.
const PIECE_FINDINGS: usize = 500;
const PIECE_BYTES: usize = 60 * 1024;
/// For a piece, all pauses included.
const WITHIN: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_secs(1);
/// How often a report is sent that another one comes into.
const ATTEMPTS: u32 = 3;

/// What the server says of a report.
#[derive(Debug, Deserialize)]
struct Reported {
    #[serde(default)]
    unknown: BTreeSet<String>,
    #[serde(default)]
    removed: u64,
}

pub fn run(arguments: &Scan) -> anyhow::Result<ExitCode> {
    let client = if arguments.no_report { None } else { Some(client(arguments)?) };
    let folder = &arguments.folder;
    let mut report = output::waiting(&format!("Reading {}", folder.display()), || dataflow_scan::scan(folder))
        .with_context(|| format!("read the folder {}", folder.display()))?;
    let checkout = Checkout::of(folder);
    let project = arguments.project.clone().unwrap_or(checkout.project);
    let commit = arguments.commit.clone().or(checkout.commit).or_else(commit_of_build);
    let mut answer = Value::Null;
    if let Some(client) = &client {
        if report.has_patterns() {
            report.resolve(&names(client)?);
        }
        answer = tell(client, &project, commit.as_deref(), &report)?;
    }
    if arguments.server.output == Output::Json {
        let reported = client.is_some().then_some(&answer);
        let told = json!({"project": project, "commit": commit, "files": report.files, "findings": report.findings,
            "unresolved": report.unresolved, "unreadable": report.unreadable, "reported": reported});
        output::data(&serde_json::to_string_pretty(&told)?)?;
    } else if !report.findings.is_empty() {
        output::data(&table(&report.findings))?;
    }
    say_what_was_missed(&report);
    output::say(&summary(&report));
    if client.is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    let reported: Reported = serde_json::from_value(answer).context("read the server's answer")?;
    output::say(&told(&project, commit.as_deref(), &reported));
    let is_wrong = say_unknown(&report.findings, &reported.unknown);
    Ok(if arguments.check && is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Found before anything is read, so that nobody waits for a scan that leads nowhere.
fn client(arguments: &Scan) -> anyhow::Result<Client> {
    let (url, workspace) = (arguments.server.url.clone(), arguments.server.workspace.clone());
    let config = ClientConfig::discover(&Explicit { url, workspace, ..Explicit::default() });
    Ok(Client::new(config.context("There is no server to tell. Say --no-report to only see what is found.")?))
}

fn names(client: &Client) -> anyhow::Result<Vec<ConnectionName>> {
    let items = items(client, "connections", &[])?;
    Ok(items.iter().filter_map(|item| ConnectionName::new(item.get("name")?.as_str()?).ok()).collect())
}

/// Reports all, in the place of what was reported of this project before.
fn tell(client: &Client, project: &str, commit: Option<&str>, report: &Report) -> anyhow::Result<Value> {
    ConnectionName::new(project).map_err(|rule| {
        anyhow::anyhow!("“{project}” cannot be the name of a project: it {rule}. Give another with --project.")
    })?;
    let mut findings: Vec<_> = report.findings.iter().collect();
    if findings.len() > FINDINGS_MAX {
        findings.sort_by_key(|finding| finding.certainty);
        output::say(&format!(
            "{} places name connections; the server takes {FINDINGS_MAX} of a project, so some are left out. Scan parts of it as projects of their own.",
            findings.len()
        ));
        findings.truncate(FINDINGS_MAX);
    }
    let findings: Vec<_> = findings
        .into_iter()
        .map(|finding| {
            json!({"connection": finding.connection, "kind": finding.kind, "workflow": end_of(&finding.workflow),
                "file": end_of(&finding.file), "line": finding.line, "certainty": finding.certainty})
        })
        .collect();
    for attempt in 1.. {
        match tell_all(client, &format!("scans/{project}"), (commit, report.files), &findings) {
            // Another scan of the project came between.
            Ok(None) if attempt < ATTEMPTS => {}
            Ok(None) => bail!("Other scans of “{project}” go on at the same time. Let one end before the next begins."),
            Ok(Some(answer)) => return Ok(answer),
            Err(error) => return Err(error),
        }
    }
    Ok(Value::Null)
}

/// Sends a report piece by piece; nothing if another one of the project came between.
fn tell_all(
    client: &Client,
    path: &str,
    (commit, files): (Option<&str>, u32),
    findings: &[Value],
) -> anyhow::Result<Option<Value>> {
    let scan = uuid::Uuid::now_v7().to_string();
    let pieces = pieces(findings);
    let (mut unknown, mut last) = (BTreeSet::new(), Value::Null);
    for (at, piece) in pieces.iter().enumerate() {
        let is_last = at + 1 == pieces.len();
        let total = is_last.then_some(findings.len());
        let body = json!({"scan": scan, "commit": commit, "files": files, "findings": piece, "last": is_last, "total": total});
        let answer = send(client, path, &serde_json::to_vec(&body)?)?;
        if is_last && answer.status == 412 {
            return Ok(None);
        }
        last = accepted(&answer)?;
        let named = last.get("unknown").and_then(Value::as_array).into_iter().flatten();
        unknown.extend(named.filter_map(Value::as_str).map(str::to_owned));
    }
    if let Some(members) = last.as_object_mut() {
        members.insert("unknown".to_owned(), json!(unknown));
    }
    Ok(Some(last))
}

/// Parts a report so that each request is small; a report without findings is one piece, too.
fn pieces(findings: &[Value]) -> Vec<&[Value]> {
    let (mut pieces, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (at, finding) in findings.iter().enumerate() {
        let length = finding.to_string().len() + 1;
        if at - begin == PIECE_FINDINGS || (at > begin && bytes + length > PIECE_BYTES) {
            pieces.push(findings.get(begin..at).unwrap_or_default());
            (begin, bytes) = (at, 0);
        }
        bytes += length;
    }
    pieces.push(findings.get(begin..).unwrap_or_default());
    pieces
}

/// Sends a piece, and waits where the server says that it came too fast.
fn send(client: &Client, path: &str, body: &[u8]) -> anyhow::Result<ApiAnswer> {
    let begun = Instant::now();
    loop {
        let answer = ask(client, &ApiRequest::new(Method::PUT, path).json(body).within(WITHIN))?;
        if answer.status == 429 && begun.elapsed() < WITHIN {
            std::thread::sleep(PAUSE);
            continue;
        }
        if matches!(answer.status, 404 | 405) && answer.problem().code.is_none() {
            bail!(
                "{} does not take reports of scans: it is older than this program. Upgrade it, or say --no-report.",
                client.config().url
            );
        }
        return Ok(answer);
    }
}

fn end_of(text: &str) -> String {
    let length = text.chars().count();
    text.chars().skip(length.saturating_sub(TEXT_MAX)).collect()
}

/// By connection, then by place.
fn table(findings: &[Finding]) -> String {
    let mut sorted: Vec<_> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.connection.key());
    let rows = sorted
        .into_iter()
        .map(|finding| {
            let workflow =
                format!("{} {}", finding.kind.as_str(), if finding.workflow == finding.file { "" } else { &finding.workflow });
            let place = format!("{}:{}", finding.file, finding.line);
            vec![finding.connection.to_string(), finding.certainty.as_str().to_owned(), workflow.trim_end().to_owned(), place]
        })
        .collect();
    output::table(&["connection", "certainty", "workflow", "where"], rows)
}

fn say_what_was_missed(report: &Report) {
    let unreadable = report.unreadable.iter().map(|missed| format!("{} {}.", missed.file, missed.reason));
    say_some(unreadable, "could not be read");
    let open = report
        .unresolved
        .iter()
        .map(|open| format!("{}:{} asks for a connection by a name that is computed.", open.file, open.line));
    say_some(open, "ask for computed names");
}

fn say_some(lines: impl ExactSizeIterator<Item = String>, what: &str) {
    let more = lines.len().saturating_sub(SAID_MAX);
    lines.take(SAID_MAX).for_each(|line| output::say(&line));
    if more > 0 {
        output::say(&format!("{more} more {what}; --output json has all."));
    }
}

fn summary(report: &Report) -> String {
    let connections: BTreeSet<_> = report.findings.iter().map(|finding| finding.connection.key()).collect();
    let files = count(report.files, "file");
    match report.findings.len() {
        0 => format!("Read {files}. No connection is named."),
        places => format!("Read {files}. {} named at {}.", count(connections.len(), "connection"), count(places, "place")),
    }
}

fn told(project: &str, commit: Option<&str>, reported: &Reported) -> String {
    let commit = commit.map(|commit| format!(" at {}", commit.chars().take(12).collect::<String>())).unwrap_or_default();
    let gone = if reported.removed > 0 {
        format!(" {} of the report before gone.", count(reported.removed, "place"))
    } else {
        String::new()
    };
    format!("Reported as the project “{project}”{commit}.{gone}")
}

/// Says which names no connection has; whether code is sure to use one of them.
fn say_unknown(findings: &[Finding], unknown: &BTreeSet<String>) -> bool {
    let of = |certainty| {
        let places = findings.iter().filter(move |finding| finding.certainty == certainty);
        places.filter(|finding| unknown.contains(finding.connection.as_str())).collect::<Vec<_>>()
    };
    let (certain, maybe) = (of(Certainty::Certain), of(Certainty::Maybe));
    let line = |finding: &&Finding| format!("No connection is named “{}”: {}:{}", finding.connection, finding.file, finding.line);
    say_some(certain.iter().map(line), "name connections that there are not");
    if !maybe.is_empty() {
        output::say(&format!("Perhaps named, and not there: {}.", count(maybe.len(), "place")));
    }
    !certain.is_empty()
}

fn count(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

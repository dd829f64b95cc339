//! `dataflow connections test NAME --here`: the connector of the type, on this machine, as code here would connect.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use dataflow_client::{ApiRequest, Client, Resolved, Workflow, WorkflowKind};
use dataflow_connectors::{
    DialPolicy, Target,
    child::{self, DEADLINE, TestRequest},
    hops::{Hop, Way},
};
use dataflow_model::{ConnectionType, FieldValue, PublicFields, SecretFields, TestReport, TestStatus, credentials::ClearValue};
use dataflow_server::clock::Clock;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{accepted, ask, path, read, tell};
use crate::{args::Output, output, serve::runtime, types};

/// Steps that nobody reads: the report has them all.
const STEPS: usize = 16;

/// Tests with what code on this machine gets, and tells the server what came of it.
pub fn test(client: &Client, form: Output, name: &str) -> anyhow::Result<ExitCode> {
    let held = client.credentials_for(name, &workflow(client))?;
    let (connector, target) = known(&held, client)?;
    let way = held.hop().map(|hop| {
        let (connector, target) = known(&hop, client)?;
        anyhow::Ok(Arc::new(Way::Through(Box::new(Hop { name: hop.name().to_owned(), connector, target }))))
    });
    let request = TestRequest {
        connector,
        target: Target { way: way.transpose()?, ..target },
        // Whoever calls this may connect to whatever this machine does.
        policy: DialPolicy { allow_loopback: true, ..DialPolicy::default() },
        deadline: DEADLINE,
        from: "client".to_owned(),
        now: SystemTime::UNIX_EPOCH + Duration::from_micros(Clock::default().now().unsigned_abs()),
    };
    let (sender, _steps) = mpsc::channel(STEPS);
    let test = || Ok::<_, anyhow::Error>(runtime()?.block_on(child::run(request, sender)));
    let report = output::waiting(&format!("Testing “{name}” from here"), test)?;
    let report = TestReport { host: client.config().host.clone(), ..report };
    let code = tell(form, &report)?;
    if let Err(error) = compare(client, name, (&held, &report)) {
        output::say(&format!("The server was not told of it: {error:#}"));
    }
    Ok(code)
}

/// Who asks: whoever runs this, unless he says that it is a workflow of his.
fn workflow(client: &Client) -> Workflow {
    client.config().workflow.clone().unwrap_or_else(|| Workflow {
        kind: WorkflowKind::Cli,
        name: "dataflow connections test --here".to_owned(),
        run: None,
        host: None,
    })
}

/// The connector of what is held, and what that is given.
fn known(held: &Resolved, client: &Client) -> anyhow::Result<(String, Target)> {
    let kind = &*types::known(client, held.type_id())?;
    Ok((held.base().to_owned(), target(kind, held, client)))
}

/// The fields of the connection's type, each in its place.
fn target(kind: &ConnectionType, held: &Resolved, client: &Client) -> Target {
    let (mut public, mut secrets) = (PublicFields::default(), SecretFields::default());
    for field in &kind.fields {
        match held.value(field.path.as_str()) {
            Some(ClearValue::Text(text)) if field.secret => {
                secrets.0.insert(field.path.clone(), text.duplicate_secret());
            }
            Some(ClearValue::Text(text)) => {
                public.0.insert(field.path.clone(), FieldValue::Text(text.expose_secret().to_owned()));
            }
            Some(ClearValue::Integer(number)) => {
                public.0.insert(field.path.clone(), FieldValue::Integer(*number));
            }
            Some(ClearValue::Boolean(value)) => {
                public.0.insert(field.path.clone(), FieldValue::Boolean(*value));
            }
            Some(ClearValue::Unset | ClearValue::Group(_)) | None => {}
        }
    }
    Target { public, secrets, file_folder: client.config().sqlite_folder.clone(), ..Target::default() }
}

/// Tells the server, and says where the two differ.
fn compare(client: &Client, name: &str, (held, report): (&Resolved, &TestReport)) -> anyhow::Result<()> {
    let body = serde_json::to_vec(&json!({"version": held.version(), "report": report}))?;
    accepted(&ask(client, &ApiRequest::new(Method::POST, &format!("{}/checks", path(name))).json(&body))?)?;
    let (connection, _) = read(client, name)?;
    let last = |member: &str| connection.pointer(&format!("/last_check/{member}")).and_then(Value::as_str);
    let (Some(status), Some(at)) = (last("status"), last("checked_at")) else {
        output::say("From the server it was not tested yet.");
        return Ok(());
    };
    match (report.status, TestStatus::parse(status)) {
        (TestStatus::Ok, Some(TestStatus::Failed)) => {
            output::say(&format!("It works here, and not from the server ({}, {at}).", last("summary").unwrap_or("failed")));
        }
        (TestStatus::Failed, Some(TestStatus::Ok)) => {
            output::say(&format!("From the server it works ({at}), and not from here."));
        }
        _ => {}
    }
    Ok(())
}

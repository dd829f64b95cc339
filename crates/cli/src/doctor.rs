//! `dataflow doctor`

use std::process::ExitCode;

use dataflow_server::{
    clock::Clock,
    doctor::{Examination, Finding, Status, examine},
};

use crate::{
    args::{Doctor, Output},
    output,
    serve::{data_config, runtime},
};

/// Succeeds only if nothing is a problem.
pub fn run(arguments: Doctor) -> anyhow::Result<ExitCode> {
    let recovery_key = if arguments.recovery_key_stdin { Some(output::read_secret("Recovery key:", true)?) } else { None };
    let data = data_config(arguments.data)?;
    let asked = Examination {
        data: &data,
        recovery_key: recovery_key.as_ref(),
        tls: arguments.tls_cert.zip(arguments.tls_key),
        public_url: arguments.public_url,
        oidc: arguments.oidc,
        clock: Clock::default(),
    };
    let runtime = runtime()?;
    let findings = output::waiting("Looking", || runtime.block_on(examine(&asked)));
    output::data(&match arguments.output {
        Output::Json => serde_json::to_string_pretty(&findings)?,
        Output::Table => output::table(&["check", "status", "found"], findings.iter().map(row).collect()),
    })?;
    let has_problem = findings.iter().any(|finding| finding.status == Status::Problem);
    Ok(if has_problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn row(finding: &Finding) -> Vec<String> {
    let told = format!("{} {}", finding.found, finding.hint);
    vec![finding.check.to_owned(), finding.status.as_str().to_owned(), told.trim_end().to_owned()]
}

//! What people and programs read. The one place of this crate that prints.

use std::{
    fmt::Write as _,
    io::{ErrorKind, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use anyhow::Context;
use comfy_table::{Table, presets};
use dataflow_client::ClientError;
use dataflow_model::{Secret, StepStatus, TestReport, report::Certificate};
use dataflow_server::store::StoreError;
use inquire::InquireError;

/// Whoever read standard output has gone, as `head` does when it has seen enough. Nothing is to be said of it.
#[derive(Debug)]
pub struct ReaderGone;

impl ReaderGone {
    /// What a shell reports of a program that SIGPIPE ended, which is how others end here: 128 + 13.
    pub const STATUS: u8 = 141;
}

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Data, on standard output.
///
/// # Errors
/// [`ReaderGone`], or that it cannot be written.
pub fn data(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("write to standard output"),
    }
}

/// A message for the person at the shell, on standard error. Nobody reading it is no failure.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What went wrong: the sentence, then each cause in a line of its own.
pub fn complain(error: &anyhow::Error) {
    let causes: Vec<_> = error.chain().collect();
    // Why the store refuses is a sentence that needs no other before it.
    let refused = |cause: &&(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref::<StoreError>(), Some(StoreError::Refused { .. }))
    };
    let first = causes.iter().position(refused).unwrap_or_default();
    // So is why no server answers, and what the library below it says may quote what was sent.
    let whole = causes.iter().position(|cause| cause.is::<ClientError>()).map_or(causes.len(), |place| place + 1);
    let lines: Vec<_> = causes.iter().take(whole).skip(first).map(ToString::to_string).collect();
    say(&format!("dataflow: {}", lines.join("\n  because: ")));
}

/// A table without frames.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().map(|word| word.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

/// Logs of the server, on standard error; `RUST_LOG` sets how much.
pub fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    // It complains of what it cannot write where nobody reads, and panics at that.
    tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(std::io::stderr).init();
}

/// A secret: from standard input if `from_stdin`, else from a prompt without echo.
///
/// # Errors
/// If standard input is empty: whatever was to write there has failed, and an empty secret would be saved in its place.
pub fn read_secret(prompt: &str, from_stdin: bool) -> anyhow::Result<Secret> {
    if from_stdin || !std::io::stdin().is_terminal() {
        let mut text = zeroize::Zeroizing::new(String::new());
        std::io::stdin().lock().read_to_string(&mut text).context("read from standard input")?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            anyhow::bail!("Nothing came on standard input, where a secret was awaited. Nothing was changed.");
        }
        return Ok(Secret::new(text.to_owned()));
    }
    Ok(Secret::new(answered(inquire::Password::new(prompt).without_confirmation().prompt())?))
}

/// What was typed at a prompt.
///
/// # Errors
/// If Esc or Ctrl-C was pressed instead; all that a command asks, it asks before it changes something.
pub fn answered(typed: inquire::error::InquireResult<String>) -> anyhow::Result<String> {
    match typed {
        Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => {
            anyhow::bail!("The question was not answered. Nothing was changed.")
        }
        typed => typed.context("ask at the terminal"),
    }
}

/// A secret that lies in a file, without the line's end that editors put there.
pub fn read_secret_file(path: &Path) -> anyhow::Result<Secret> {
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?);
    Ok(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Whether somebody can be asked.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Does `work`, with a sign of life on standard error for as long as that takes; nothing where nobody looks.
pub fn waiting<T>(text: &str, work: impl FnOnce() -> T) -> T {
    let spinner = indicatif::ProgressBar::new_spinner().with_message(text.to_owned());
    spinner.tick();
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    let done = work();
    spinner.finish_and_clear();
    done
}

/// The report of a test: a line a step, then what went wrong and what to do.
pub fn report(report: &TestReport) -> String {
    let rows = report
        .steps
        .iter()
        .map(|step| {
            let status = match step.status {
                StepStatus::Ok => "ok",
                StepStatus::Failed => "failed",
                StepStatus::Skipped => "-",
            };
            let took = step.duration_ms.map(|took| format!("{took:.1} ms")).unwrap_or_default();
            vec![step.step.label().to_owned(), status.to_owned(), took, step.detail.clone().unwrap_or_default()]
        })
        .collect();
    let mut text = table(&["step", "status", "took", "detail"], rows);
    let _ = match (&report.error, &report.server_version) {
        (Some(error), _) => write!(text, "\n\n{}\n{}", error.message, error.hint),
        (None, Some(version)) => write!(text, "\n\n{version}, {:.1} ms in all", report.duration_ms),
        (None, None) => write!(text, "\n\n{:.1} ms in all", report.duration_ms),
    };
    for certificate in report.error.iter().flat_map(|error| &error.certificates) {
        let Certificate { subject, issuer, names, not_before, not_after, fingerprint, .. } = certificate;
        let names = if names.is_empty() { subject.clone() } else { names.join(", ") };
        let _ = write!(
            text,
            "\n\nCertificate for {names}\n  by {issuer}, valid {not_before} to {not_after}\n  SHA-256 {fingerprint}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use dataflow_model::{Cause, Learned, TestError, TestStatus};

    use super::*;

    #[test]
    fn a_refused_chain_is_told_leaf_first() {
        let certificate = |subject: &str, names: &[&str]| Certificate {
            subject: subject.to_owned(),
            issuer: "CN=root".to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            not_before: "2026-01-01T00:00:00Z".to_owned(),
            not_after: "2026-12-31T00:00:00Z".to_owned(),
            fingerprint: "0f:a1".to_owned(),
            pem: "the PEM".to_owned(),
            pinnable: false,
        };
        let error = TestError {
            code: Cause::CertificateUntrusted,
            message: "Not trusted.".to_owned(),
            hint: "Trust it.".to_owned(),
            field: None,
            certificates: vec![certificate("CN=db", &["db.internal", "10.0.0.1"]), certificate("CN=middle", &[])],
        };
        let told = report(&TestReport {
            status: TestStatus::Failed,
            duration_ms: 1.0,
            server_version: None,
            checked_at: "2026-11-02T09:00:00Z".to_owned(),
            from: "server".to_owned(),
            host: None,
            steps: Vec::new(),
            error: Some(error),
            learned: Learned::default(),
        });
        let valid = "by CN=root, valid 2026-01-01T00:00:00Z to 2026-12-31T00:00:00Z\n  SHA-256 0f:a1";
        let chain =
            format!("Trust it.\n\nCertificate for db.internal, 10.0.0.1\n  {valid}\n\nCertificate for CN=middle\n  {valid}");
        assert!(told.ends_with(&chain), "{told}");
    }
}

//! What people and programs read. The one place of this crate that prints.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Read as _, Write as _},
};

use anyhow::Context;
use comfy_table::{Table, presets};
use dataflow_model::{Secret, StepStatus, TestReport};

/// Data, on standard output.
pub fn data(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("write to standard output")
}

/// A message for the person at the shell, on standard error. Nobody reading it is no failure.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What went wrong: the sentence, then each cause in a line of its own.
pub fn complain(error: &anyhow::Error) {
    let mut text = format!("dataflow: {error}");
    for cause in error.chain().skip(1) {
        let _ = write!(text, "\n  because: {cause}");
    }
    say(&text);
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
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// A secret: from standard input if `from_stdin`, else from a prompt without echo.
pub fn read_secret(prompt: &str, from_stdin: bool) -> anyhow::Result<Secret> {
    if from_stdin || !std::io::stdin().is_terminal() {
        let mut text = zeroize::Zeroizing::new(String::new());
        std::io::stdin().lock().read_to_string(&mut text).context("read from standard input")?;
        return Ok(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    let typed = inquire::Password::new(prompt).without_confirmation().prompt().context("ask at the terminal")?;
    Ok(Secret::new(typed))
}

/// Whether somebody can be asked.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A sign of life on standard error while something is waited for; nothing where nobody looks.
pub fn spinner(text: &str) -> indicatif::ProgressBar {
    let spinner = indicatif::ProgressBar::new_spinner().with_message(text.to_owned());
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
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
    text
}

//! What people and programs read. The one place of this crate that prints.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Read as _, Write as _},
};

use anyhow::Context;
use comfy_table::{Table, presets};
use dataflow_model::Secret;

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
    table.load_preset(presets::NOTHING).set_header(head.iter().map(|word| word.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
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

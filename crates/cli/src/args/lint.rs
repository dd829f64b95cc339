//! `dataflow lint`

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::Server;

#[derive(Debug, Args)]
pub struct Lint {
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub found: LintList,
    #[command(subcommand)]
    pub command: Option<LintCommand>,
}

#[derive(Debug, Args)]
pub struct LintList {
    /// Only these connections; all of the workspace unless given
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// End with status 1 if anything as bad as this is found, or worse
    #[arg(long, value_enum, default_value = "error")]
    pub fail_on: LintSeverity,
    /// Show what is silenced, too; it never counts for the status
    #[arg(long)]
    pub show_silenced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LintSeverity {
    Note,
    Warning,
    Error,
}

#[derive(Debug, Subcommand)]
pub enum LintCommand {
    /// Silence a rule for a connection, or for all, with a reason
    Silence(SilenceRule),
    /// Have a rule that is silenced find again what it finds
    Lift(LiftRule),
    /// What is silenced, by whom, and why
    Silences,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true, group = ArgGroup::new("scope").required(true).args(["all", "name"]))]
pub struct SilenceRule {
    /// For this connection alone
    pub name: Option<String>,
    /// The rule, as `dataflow lint` names it
    pub rule: String,
    /// For all connections of the workspace
    #[arg(long)]
    pub all: bool,
    /// Why it is meant to be so
    #[arg(long)]
    pub reason: String,
    /// From which day on, in UTC, it is found again: 2027-03-01
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub until: Option<String>,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true, group = ArgGroup::new("scope").required(true).args(["all", "name"]))]
pub struct LiftRule {
    /// For this connection alone
    pub name: Option<String>,
    /// The rule
    pub rule: String,
    /// For all connections of the workspace
    #[arg(long)]
    pub all: bool,
}

/// The first moment of `2027-03-01`; whether there is such a day the server says.
fn day(text: &str) -> Result<String, String> {
    let is_day = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    if is_day { Ok(format!("{text}T00:00:00Z")) } else { Err("a day as 2027-03-01".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_its_first_moment() {
        assert_eq!(day("2027-03-01"), Ok("2027-03-01T00:00:00Z".into()));
        for wrong in ["", "2027-3-1", "01.03.2027", "2027-03-01T00:00:00Z", "2027/03/01"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }
}

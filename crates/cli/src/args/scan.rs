//! `dataflow scan`

use std::path::PathBuf;

use clap::Args;

use super::Server;

#[derive(Debug, Args)]
pub struct Scan {
    /// The folder; `.gitignore` and `.dataflowignore` say what is left out
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What the code is called; the repository's name unless given. What was reported of that project before is replaced
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// The commit; the one that is checked out unless given
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
    /// Only print what is found
    #[arg(long)]
    pub no_report: bool,
    /// Fail if code names a connection for certain that there is not
    #[arg(long, conflicts_with = "no_report")]
    pub check: bool,
    #[command(flatten)]
    pub server: Server,
}

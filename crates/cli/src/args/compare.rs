//! Two workspaces: `dataflow connections compare`, `copy`

use std::path::PathBuf;

use clap::Args;

/// How to get at the other workspace.
#[derive(Debug, Args)]
pub struct OtherWorkspace {
    /// A file with a token of the other workspace; asked for unless given, or read from standard input where nobody can be asked
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CompareWorkspaces {
    /// The other workspace
    #[arg(long, value_name = "WORKSPACE")]
    pub with: String,
    #[command(flatten)]
    pub other: OtherWorkspace,
    /// List what is the same on both sides, too
    #[arg(long)]
    pub all: bool,
    /// Exit 1 where something is missing or differs
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Args)]
pub struct CopyConnection {
    pub name: String,
    /// The other workspace
    #[arg(long, value_name = "WORKSPACE")]
    pub to: String,
    #[command(flatten)]
    pub other: OtherWorkspace,
    /// Copy this of it: description, tags, or a field as `compare` names it; may be given more than once. All unless given, if it is not there yet
    #[arg(long = "field", value_name = "PATH")]
    pub fields: Vec<String>,
    /// Copy all that differs of one that is there, but for what says where it leads and as whom
    #[arg(long, conflicts_with = "fields")]
    pub all_fields: bool,
    /// Copy over one that is there without a test: else what clients will connect with there is tested before it serves
    #[arg(long)]
    pub no_test: bool,
}

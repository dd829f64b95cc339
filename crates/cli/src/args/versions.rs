//! What connections were before: `dataflow connections versions`, `diff`, `restore`, `purge-version`

use clap::Args;

#[derive(Debug, Args)]
pub struct DiffVersions {
    pub name: String,
    /// From this version on; from the one before the current one unless given
    pub from: Option<i64>,
    /// Up to this version; the current one unless given
    pub to: Option<i64>,
}

#[derive(Debug, Args)]
pub struct Restored {
    pub name: String,
    /// The version that the new one will equal, its secrets included; without it the connection has to be a deleted one
    #[arg(long, value_name = "N")]
    pub version: Option<i64>,
    /// Restore the version without a test: else what clients will connect with is tested before it serves
    #[arg(long, requires = "version")]
    pub no_test: bool,
}

#[derive(Debug, Args)]
pub struct PurgeVersion {
    pub name: String,
    pub version: i64,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

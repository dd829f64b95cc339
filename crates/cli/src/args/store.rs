//! What keeps a store whole: backups, and a look at it.

use std::path::PathBuf;

use clap::Args;

use super::{DataArguments, Output};

#[derive(Debug, Args)]
pub struct Backup {
    #[command(flatten)]
    pub data: DataArguments,
    /// The file to write; nothing may have its name yet
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    pub data: DataArguments,
    /// A file that `dataflow backup` wrote, from whichever store
    pub file: PathBuf,
    /// Put a store that is there already aside
    #[arg(long)]
    pub replace: bool,
    /// Open the backup with its recovery key, typed at a prompt, and make a new key
    #[arg(long)]
    pub ask_recovery_key: bool,
    /// The same, from standard input
    #[arg(long, conflicts_with = "ask_recovery_key")]
    pub recovery_key_stdin: bool,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub data: DataArguments,
    /// Prove that the recovery key on standard input opens the store; it is not shown
    #[arg(long)]
    pub recovery_key_stdin: bool,
    /// The certificate chain that the server shows; a running one tells by itself
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The address that people open; a running server tells it by itself
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The file of the sign-in provider; a running server tells it by itself
    #[arg(long, value_name = "PATH")]
    pub oidc: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

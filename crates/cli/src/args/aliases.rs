//! Names of a connection: `dataflow connections rename`, `aliases`, `remove-alias`, `repoint`

use clap::Args;

#[derive(Debug, Args)]
pub struct RenameConnection {
    pub name: String,
    pub new_name: String,
    /// Do not keep the old name as an alias: who uses it fails from then on
    #[arg(long)]
    pub no_alias: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct RemoveAlias {
    pub alias: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct RepointConnection {
    pub name: String,
    /// The connection that its names will lead to
    #[arg(long, value_name = "NAME")]
    pub to: String,
    /// Why; kept with what is deleted
    #[arg(long)]
    pub reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

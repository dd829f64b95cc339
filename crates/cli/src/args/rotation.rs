//! `dataflow connections rotate`

use clap::Args;

#[derive(Debug, Args)]
pub struct Rotate {
    pub name: String,
    /// Give up a rotation that cannot be settled: the new password is forgotten, and the connection can be changed again
    #[arg(long)]
    pub give_up: bool,
}

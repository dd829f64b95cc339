//! `dataflow keys …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DataArguments, Output};

#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Show the slots of the key ring, the versions of the keys, and what is still under old ones
    Status {
        #[command(flatten)]
        data: DataArguments,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Give everything new keys, beside the running server or by itself; goes on with a rotation that was cut off
    Rotate {
        #[command(flatten)]
        data: DataArguments,
    },
    /// Add a key that opens the store; the others stay
    AddSlot {
        #[command(flatten)]
        data: DataArguments,
        #[command(flatten)]
        key: NewSlotArguments,
    },
    /// Remove a key by the number of its slot, which `status` shows; never the last one
    RemoveSlot {
        #[command(flatten)]
        data: DataArguments,
        #[arg(value_name = "SLOT")]
        id: u8,
    },
    /// Print a new recovery key on standard output, alone; the old one opens nothing any more
    Recovery {
        #[command(flatten)]
        data: DataArguments,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct NewSlotArguments {
    /// A key file on the server's machine; it is made if it is not there
    #[arg(long, value_name = "PATH")]
    pub new_key_file: Option<PathBuf>,
    /// The passphrase in this file; /dev/stdin is one too
    #[arg(long, value_name = "PATH")]
    pub new_passphrase_file: Option<PathBuf>,
    /// A passphrase typed at a prompt
    #[arg(long)]
    pub ask_new_passphrase: bool,
    /// The key of Vault's or OpenBao's Transit that this TOML file on the server's machine names
    #[arg(long, value_name = "PATH")]
    pub new_transit: Option<PathBuf>,
}

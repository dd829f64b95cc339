//! What can be typed.

mod aliases;
mod compare;
mod health;
mod keys;
mod lint;
mod people;
mod rotation;
mod scan;
mod store;
mod versions;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use dataflow_connectors::policy::Cidr;
use dataflow_server::{config::Limit, ops::Role};

pub use self::{
    aliases::{RemoveAlias, RenameConnection, RepointConnection},
    compare::{CompareWorkspaces, CopyConnection, OtherWorkspace},
    health::{Channel, Health, HealthCommand, Schedule},
    keys::{Keys, KeysCommand, NewSlotArguments},
    lint::{LiftRule, Lint, LintCommand, LintList, LintSeverity, SilenceRule},
    people::{AddMember, EnablePerson, People, PeopleCommand, Setup, SignInLink},
    rotation::{Retire, Rotate, RotationPolicy, SecondLogin},
    scan::Scan,
    store::{Backup, Doctor, Restore},
    versions::{DiffVersions, PurgeVersion, Restored},
};

/// Name a database once; every notebook, pipeline and app uses it by that name.
#[derive(Debug, Parser)]
#[command(name = "dataflow", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: Studio, API and everything else
    Serve(Serve),
    /// Make the first admin without a browser; prints the recovery key once
    Setup(Setup),
    /// Print a one-time link that signs a person in to the Studio
    SignInLink(SignInLink),
    /// Add a person to a workspace, or replace his roles there; prints a link for somebody new to choose a password with
    AddMember(AddMember),
    /// Let a person who was disabled sign in again
    EnablePerson(EnablePerson),
    /// Let somebody in again who is locked out
    People(People),
    /// Give a store whose key file or passphrase is lost a new one; reads the recovery key
    Recover(Recover),
    /// Write all there is into one file, beside a running server or without one; no key is in it
    Backup(Backup),
    /// Make a store from a backup: in an empty place, or in that of a store, which is kept aside
    Restore(Restore),
    /// Look at files, keys, database, clock, disk and server, and say what to do; changes nothing
    Doctor(Doctor),
    /// Show and change what opens the store, and rotate all keys, on the server's machine
    Keys(Keys),
    /// Make, list and revoke API tokens on the server's machine
    Token(Token),
    /// Make, list and delete workspaces on the server's machine
    Workspace(Workspace),
    /// Check that no audit event was changed, taken out or put in
    Audit(Audit),
    /// Keep a server's URL and a token for this user's shell and Python
    Login(Login),
    /// Work with connections, over the server's API
    Connections(Connections),
    /// Have connections be tested by themselves, and see how they stand
    Health(Health),
    /// Find what is wrong with connections: TLS, shared passwords, superusers, what nobody uses; for people and for CI
    Lint(Lint),
    /// Find where the code of a folder names connections, and tell the server
    Scan(Scan),
    /// List the connection types and their fields; define those of a workspace's own
    Types(Types),
}

/// Where the data is.
#[derive(Debug, Args)]
pub struct DataArguments {
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Keep the store in PostgreSQL, shared by many nodes: postgres://user@host:port/database
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// The same, read from a file: for a URL with a password, which the list of processes would show
    #[arg(long, value_name = "PATH", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// The key file; DIR.key beside the data folder unless named
    #[arg(long, value_name = "PATH")]
    pub key_file: Option<PathBuf>,
    /// Open the store with the passphrase in this file and no key file; /dev/stdin is one too
    #[arg(long, value_name = "PATH", conflicts_with = "key_file")]
    pub passphrase_file: Option<PathBuf>,
    /// Open the store with a passphrase typed at a prompt
    #[arg(long, conflicts_with_all = ["key_file", "passphrase_file"])]
    pub ask_passphrase: bool,
    /// Open the store with the key file that systemd hands over as this credential
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key_file", "passphrase_file", "ask_passphrase"])]
    pub key_credential: Option<String>,
    /// Open the store with the key of Vault's or OpenBao's Transit that this TOML file names
    #[arg(long, value_name = "PATH", conflicts_with_all = ["key_file", "passphrase_file", "ask_passphrase", "key_credential"])]
    pub transit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub data: DataArguments,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The address that people open, in links
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Serve TLS with this certificate chain (PEM); read again when it changes
    #[arg(long, value_name = "PATH", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "PATH", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The folder that SQLite files of connections live under
    #[arg(long, value_name = "DIR")]
    pub sqlite_folder: Option<PathBuf>,
    /// Let tests reach only these networks (CIDR); may be given more than once
    #[arg(long, value_name = "CIDR")]
    pub test_allow: Vec<Cidr>,
    /// Let tests never reach these networks (CIDR); may be given more than once
    #[arg(long, value_name = "CIDR")]
    pub test_deny: Vec<Cidr>,
    /// Give credentials only once the event of it is on disk, instead of up to 50 ms before
    #[arg(long)]
    pub audit_strict: bool,
    /// Append a line of JSON to this file each minute: where the audit's chains stand; keep it on another machine
    #[arg(long, value_name = "PATH")]
    pub audit_checkpoints: Option<PathBuf>,
    /// Send the same to the system's log
    #[arg(long, conflicts_with = "audit_checkpoints")]
    pub audit_syslog: bool,
    /// Believe this reverse proxy (CIDR) about whom it asks for, in X-Forwarded-For; may be given more than once
    #[arg(long, value_name = "CIDR")]
    pub trusted_proxy: Vec<Cidr>,
    /// Limit what comes in a second: KIND=RATE, KIND=RATE:BURST or KIND=off; KIND is requests, changes or tests (of a token or a person),
    /// strangers (requests without a valid sign-in, of an address) or address; may be given more than once
    #[arg(long, value_name = "KIND=RATE")]
    pub limit: Vec<Limit>,
    /// Let people sign in with the OpenID Connect provider that this TOML file names, too
    #[arg(long, value_name = "PATH")]
    pub oidc: Option<PathBuf>,
    /// Switch tests of connections off
    #[arg(long)]
    pub no_tests: bool,
}

#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    pub data: DataArguments,
    /// Read the recovery key from standard input instead of a prompt
    #[arg(long)]
    pub recovery_key_stdin: bool,
}

#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a new token on standard output, alone
    Create {
        #[command(flatten)]
        data: DataArguments,
        #[arg(long, default_value = "default")]
        workspace: String,
        /// May be given more than once
        #[arg(long, required = true, value_parser = Role::ALL.map(Role::as_str))]
        role: Vec<String>,
        #[arg(long)]
        name: String,
        /// Days until it expires, 1 to 366; 90 unless given
        #[arg(long)]
        days: Option<i64>,
        /// Narrow it to this connection; may be given more than once
        #[arg(long = "connection", value_name = "NAME")]
        connections: Vec<String>,
    },
    /// List the tokens of a workspace
    List {
        #[command(flatten)]
        data: DataArguments,
        #[arg(long, default_value = "default")]
        workspace: String,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Revoke a token by the id that `list` shows
    Revoke {
        #[command(flatten)]
        data: DataArguments,
        #[arg(long, default_value = "default")]
        workspace: String,
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct Workspace {
    #[command(subcommand)]
    pub command: WorkspaceCommand,
}

#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// Make a workspace; every admin of the server is its admin
    Create {
        #[command(flatten)]
        data: DataArguments,
        name: String,
    },
    /// List the workspaces
    List {
        #[command(flatten)]
        data: DataArguments,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Delete a workspace with its keys and all that is in it; nothing of it comes back but from a backup
    Delete {
        #[command(flatten)]
        data: DataArguments,
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct Audit {
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Walk every chain of events; exit 0 only if all hold, else name the first bad event of each
    Verify {
        #[command(flatten)]
        data: DataArguments,
        /// Hold the newest checkpoints in this file against them, too: the file of --audit-checkpoints, or a system's log
        #[arg(long, value_name = "PATH")]
        checkpoints: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub struct Login {
    #[arg(long)]
    pub url: String,
    #[arg(long)]
    pub workspace: Option<String>,
    /// Read the token from standard input instead of a prompt
    #[arg(long)]
    pub token_stdin: bool,
}

#[derive(Debug, Args)]
pub struct Types {
    #[command(flatten)]
    pub server: Server,
    /// Show one type with its fields
    pub id: Option<String>,
    #[command(subcommand)]
    pub command: Option<TypesCommand>,
}

#[derive(Debug, Subcommand)]
pub enum TypesCommand {
    /// Define a type of the workspace's own, or change it, by a file in TOML
    Set {
        /// What connections name it by: a-z, 0-9 and _, the first a letter
        id: String,
        /// The file; - for standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove a type of the workspace's own that no connection is of
    Remove { id: String },
    /// Show one type with its fields
    Show {
        id: String,
        /// The TOML that defines it, to be changed and set again
        #[arg(long)]
        definition: bool,
    },
}

/// Which server; found like the SDK finds it unless given.
#[derive(Debug, Args)]
pub struct Server {
    /// The server; the one of `dataflow login` unless given
    #[arg(long, global = true)]
    pub url: Option<String>,
    /// The workspace; `default` unless given
    #[arg(long, global = true)]
    pub workspace: Option<String>,
    #[arg(long, value_enum, default_value_t = Output::Table, global = true)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Connections {
    #[command(flatten)]
    pub server: Server,
    #[command(subcommand)]
    pub command: ConnectionCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    /// List connections
    List {
        /// Words that name, host, type, tags or description begin with
        #[arg(long)]
        search: Option<String>,
        #[arg(long = "type", value_name = "ID")]
        type_id: Option<String>,
        #[arg(long)]
        tag: Option<String>,
        /// ok, failed, unproven or untested
        #[arg(long)]
        status: Option<String>,
    },
    /// Show one connection; of its secrets only whether they are set
    Show { name: String },
    /// Create a connection; asks for what is missing where there is a terminal
    Create(CreateConnection),
    /// Change a connection
    Edit(EditConnection),
    /// Test a connection and show each step; exit 0 only if it passed
    Test {
        name: String,
        /// From this machine, with the credentials that code here gets, and not from the server
        #[arg(long)]
        here: bool,
    },
    /// Set a new password on the database, test it and save it; exit 0 only if it was rotated
    Rotate(Rotate),
    /// Show the login that rotations switch over to and who lags behind, or give or remove it
    SecondLogin(SecondLogin),
    /// Retire the login that served before the last switch now; exit 0 only if it is retired
    Retire(Retire),
    /// Show or change how often a password is rotated by itself, and what new ones are made of
    RotationPolicy(RotationPolicy),
    /// List who depends on a connection: seen using it, or found in code by a scan
    Dependents { name: String },
    /// List the versions of a connection, the newest first, with what each changed
    Versions { name: String },
    /// Show what changed between two versions, field by field; of secrets only that they did
    Diff(DiffVersions),
    /// Bring a deleted connection back as it was, or make a new version that equals an older one
    Restore(Restored),
    /// Delete an older version with its secrets, for good; for admins
    PurgeVersion(PurgeVersion),
    /// Give a connection another name; the old one goes on working, as an alias
    Rename(RenameConnection),
    /// List the other names of a connection, with who uses each
    Aliases { name: String },
    /// Remove an alias, after showing who uses it; they fail until a connection has that name
    RemoveAlias(RemoveAlias),
    /// Delete a connection and have its names lead to another one, after showing what that does
    Repoint(RepointConnection),
    /// Compare with another workspace by name: what is missing on a side, and what has drifted apart
    Compare(CompareWorkspaces),
    /// Copy a connection's definition into another workspace under its name, without its secrets
    Copy(CopyConnection),
    /// List deleted connections
    Deleted,
    /// Delete a connection, after showing who uses it; they fail until one of the same name exists
    Delete {
        name: String,
        /// Told to those who still use the name
        #[arg(long)]
        reason: Option<String>,
        /// The connection that they are told to use
        #[arg(long, value_name = "NAME")]
        use_instead: Option<String>,
        /// Do not ask, whoever uses it
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct CreateConnection {
    /// What code will call it: letters, digits, `_`, `.`, `-`
    pub name: String,
    /// One of `dataflow types`
    #[arg(long = "type", value_name = "ID")]
    pub type_id: String,
    #[command(flatten)]
    pub fields: Fields,
}

#[derive(Debug, Args)]
pub struct EditConnection {
    pub name: String,
    /// Clear a field: back to its default; of a secret: remove it
    #[arg(long, value_name = "PATH")]
    pub clear: Vec<String>,
    /// Save without a test: else what clients will connect with is tested before it serves
    #[arg(long)]
    pub no_test: bool,
    #[command(flatten)]
    pub fields: Fields,
}

#[derive(Debug, Args)]
pub struct Fields {
    /// Set a public field: --set host=db.example.org --set tls.mode=verify-ca
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Set a field from a file: --set-file tls.ca=ca.pem; for secrets too
    #[arg(long, value_name = "PATH=FILE")]
    pub set_file: Vec<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
    #[arg(long)]
    pub description: Option<String>,
    /// May be given more than once
    #[arg(long)]
    pub tag: Vec<String>,
}

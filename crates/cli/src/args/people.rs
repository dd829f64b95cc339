//! What makes accounts, opens them and lets people in again: `dataflow setup`, `sign-in-link`, `add-member`, `enable-person`, `people …`

use clap::{Args, Subcommand};
use dataflow_server::ops::Role;

use super::DataArguments;

#[derive(Debug, Args)]
pub struct Setup {
    #[command(flatten)]
    pub data: DataArguments,
    #[arg(long)]
    pub email: String,
    /// Read the password from standard input instead of a prompt
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Debug, Args)]
pub struct SignInLink {
    #[command(flatten)]
    pub data: DataArguments,
    #[arg(long)]
    pub email: String,
    /// The address that people open
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// A link that lets the person choose a new password; it ends his sessions and older links, not his tokens
    #[arg(long)]
    pub new_password: bool,
}

#[derive(Debug, Args)]
pub struct AddMember {
    #[command(flatten)]
    pub data: DataArguments,
    #[arg(long)]
    pub email: String,
    #[arg(long, default_value = "default")]
    pub workspace: String,
    /// May be given more than once
    #[arg(long, required = true, value_parser = Role::ALL.map(Role::as_str))]
    pub role: Vec<String>,
    /// The address that people open
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
}

#[derive(Debug, Args)]
pub struct EnablePerson {
    #[command(flatten)]
    pub data: DataArguments,
    #[arg(long)]
    pub email: String,
}

#[derive(Debug, Args)]
pub struct People {
    #[command(subcommand)]
    pub command: PeopleCommand,
}

#[derive(Debug, Subcommand)]
pub enum PeopleCommand {
    /// Set a new password; ends the person's sessions and links, and the wait after failed attempts
    Reset {
        #[command(flatten)]
        data: DataArguments,
        #[arg(long)]
        email: String,
        /// Read the new password from standard input instead of a prompt
        #[arg(long)]
        password_stdin: bool,
        /// Let the person in again if he was disabled
        #[arg(long)]
        enable: bool,
    },
}

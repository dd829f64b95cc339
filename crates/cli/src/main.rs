//! `dataflow`, the one binary: the server, and everything that a shell needs.
//!
//! stdout is data, stderr is messages, exit 0 only on success. Secrets come from standard input, a prompt or a file.

mod admin;
mod args;
mod audit;
mod backup;
mod channels;
mod connections;
mod doctor;
mod health;
mod keys;
mod lint;
mod login;
mod output;
mod scan;
mod serve;
mod types;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};

fn main() -> ExitCode {
    dataflow_connectors::child::enter();
    let arguments = Arguments::parse();
    output::log_to_stderr();
    dataflow_server::dumps::forbid();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        output::complain(&anyhow::anyhow!("another TLS provider was installed first"));
        return ExitCode::FAILURE;
    }
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) if error.is::<output::ReaderGone>() => ExitCode::from(output::ReaderGone::STATUS),
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Setup(arguments) => admin::setup(arguments).map(|()| ExitCode::SUCCESS),
        Command::SignInLink(arguments) => admin::sign_in_link(arguments).map(|()| ExitCode::SUCCESS),
        Command::AddMember(arguments) => admin::add_member(arguments).map(|()| ExitCode::SUCCESS),
        Command::EnablePerson(arguments) => admin::enable_person(arguments).map(|()| ExitCode::SUCCESS),
        Command::People(arguments) => admin::people(arguments).map(|()| ExitCode::SUCCESS),
        Command::Recover(arguments) => admin::recover(arguments).map(|()| ExitCode::SUCCESS),
        Command::Backup(arguments) => backup::backup(arguments).map(|()| ExitCode::SUCCESS),
        Command::Restore(arguments) => backup::restore(arguments).map(|()| ExitCode::SUCCESS),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Keys(arguments) => keys::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Token(arguments) => admin::token(arguments).map(|()| ExitCode::SUCCESS),
        Command::Workspace(arguments) => admin::workspace(arguments).map(|()| ExitCode::SUCCESS),
        Command::Audit(arguments) => audit::run(arguments),
        Command::Login(arguments) => login::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Connections(arguments) => connections::run(arguments),
        Command::Health(arguments) => health::run(arguments),
        Command::Lint(arguments) => lint::run(arguments),
        Command::Scan(arguments) => scan::run(&arguments),
        Command::Types(arguments) => types::run(arguments).map(|()| ExitCode::SUCCESS),
    }
}

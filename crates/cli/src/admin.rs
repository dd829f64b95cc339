//! Commands on the server's machine: through the running server's socket, else with the data in hand.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use dataflow_server::{
    admin::{self, AdminAnswer, AdminRequest, Clear},
    app::{App, AppConfig},
    config::{AuditConfig, DataConfig, RateConfig, TestConfig},
    keys::KeySource,
    ops::keys::rotation::Rotation,
    serve::{Locks, lock},
    store::Location,
};

use crate::{
    args::{
        AddMember, DataArguments, EnablePerson, Output, People, PeopleCommand, Recover, Setup, SignInLink, Token, TokenCommand,
        Workspace, WorkspaceCommand,
    },
    output,
    serve::{data_config, runtime},
};

pub fn setup(arguments: Setup) -> anyhow::Result<()> {
    let password = output::read_secret("Password (at least 10 characters):", arguments.password_stdin)?;
    match ask(arguments.data, AdminRequest::Setup { email: arguments.email, password: Clear(password) })? {
        AdminAnswer::RecoveryKey(key) => {
            output::say(
                "The server is set up. This recovery key opens the store if the key file is lost. It is shown this once; keep it somewhere else:",
            );
            output::data(key.0.expose_secret())
        }
        _ => Err(unexpected()),
    }
}

pub fn sign_in_link(arguments: SignInLink) -> anyhow::Result<()> {
    let request = AdminRequest::SignInLink { email: arguments.email, new_password: arguments.new_password };
    match ask(arguments.data, request)? {
        AdminAnswer::Link(code) => print_link(&arguments.url, &code),
        _ => Err(unexpected()),
    }
}

pub fn add_member(arguments: AddMember) -> anyhow::Result<()> {
    let AddMember { data, email, workspace, role, url } = arguments;
    match ask(data, AdminRequest::AddMember { workspace, email, roles: role.join(",") })? {
        AdminAnswer::Link(code) => print_link(&url, &code),
        AdminAnswer::Done => {
            output::say("Done. The account was there already; its password stays.");
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

pub fn enable_person(arguments: EnablePerson) -> anyhow::Result<()> {
    match ask(arguments.data, AdminRequest::EnablePerson { email: arguments.email })? {
        AdminAnswer::Done => {
            output::say("Enabled. He signs in anew; his tokens that have not expired work again.");
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

pub fn people(arguments: People) -> anyhow::Result<()> {
    let PeopleCommand::Reset { data, email, password_stdin, enable } = arguments.command;
    let password = Clear(output::read_secret("New password (at least 10 characters):", password_stdin)?);
    match ask(data, AdminRequest::ResetPerson { email, password, enable })? {
        AdminAnswer::Done => {
            output::say(
                "The new password is set, and what the old one had opened is closed: sessions and one-time links. Tokens stay.",
            );
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

fn print_link(url: &str, code: &Clear) -> anyhow::Result<()> {
    output::data(&format!("{}/link/{}", url.trim_end_matches('/'), code.0.expose_secret()))
}

pub fn recover(arguments: Recover) -> anyhow::Result<()> {
    let recovery_key = output::read_secret("Recovery key:", arguments.recovery_key_stdin)?;
    let (runtime, data) = (runtime()?, data_config(arguments.data)?);
    let recover = || runtime.block_on(dataflow_server::recover::recover(&data, &recovery_key));
    let key = output::waiting("Opening the store with the recovery key", recover)?;
    let opens = match key {
        KeySource::File(path) => {
            format!(
                "The new key file is {}. Keep a copy of it elsewhere, and give it to every node of this store.",
                path.display()
            )
        }
        KeySource::Passphrase(_) => "It opens with the passphrase now. Give that to every node of this store.".to_owned(),
        KeySource::Credential { name, .. } => {
            format!("It opens with the credential {name} now. Give that to every node of this store.")
        }
        KeySource::Transit(_) => "It opens with the Transit key now. Name that to every node of this store.".to_owned(),
    };
    output::say(&format!(
        "The recovery key opened the store. {opens} Every secret opens as before, and the recovery key stays good."
    ));
    Ok(())
}

pub fn token(arguments: Token) -> anyhow::Result<()> {
    match arguments.command {
        TokenCommand::Create { data, workspace, role, name, days, connections } => {
            let connections = (!connections.is_empty()).then_some(connections);
            match ask(data, AdminRequest::CreateToken { workspace, roles: role.join(","), name, days, connections })? {
                AdminAnswer::Token(token) => output::data(token.0.expose_secret()),
                _ => Err(unexpected()),
            }
        }
        TokenCommand::List { data, workspace, output } => match ask(data, AdminRequest::ListTokens { workspace })? {
            AdminAnswer::Tokens(tokens) if output == Output::Json => output::data(&serde_json::to_string_pretty(&tokens)?),
            AdminAnswer::Tokens(tokens) => {
                let rows = tokens
                    .into_iter()
                    .map(|token| {
                        vec![
                            token.id,
                            token.name,
                            token.roles,
                            token.state,
                            token.expires_at,
                            token.last_used_at.unwrap_or_else(|| "never".to_owned()),
                            token.created_by,
                        ]
                    })
                    .collect();
                output::data(&output::table(&["id", "name", "roles", "state", "expires", "last used", "made by"], rows))
            }
            _ => Err(unexpected()),
        },
        TokenCommand::Revoke { data, workspace, id } => match ask(data, AdminRequest::RevokeToken { workspace, id })? {
            AdminAnswer::Done => {
                output::say("Revoked.");
                Ok(())
            }
            _ => Err(unexpected()),
        },
    }
}

pub fn workspace(arguments: Workspace) -> anyhow::Result<()> {
    match arguments.command {
        WorkspaceCommand::Create { data, name } => match ask(data, AdminRequest::CreateWorkspace { name })? {
            AdminAnswer::Done => {
                output::say("The workspace is made.");
                Ok(())
            }
            _ => Err(unexpected()),
        },
        WorkspaceCommand::List { data, output } => match ask(data, AdminRequest::ListWorkspaces)? {
            AdminAnswer::Workspaces(names) if output == Output::Json => output::data(&serde_json::to_string_pretty(&names)?),
            AdminAnswer::Workspaces(names) => {
                output::data(&output::table(&["name"], names.into_iter().map(|name| vec![name]).collect()))
            }
            _ => Err(unexpected()),
        },
        WorkspaceCommand::Delete { data, name, yes } => delete_workspace(&data_config(data)?, &name, yes),
    }
}

fn delete_workspace(data: &DataConfig, name: &str, yes: bool) -> anyhow::Result<()> {
    let AdminAnswer::Contents(seen) = ask_at(data, AdminRequest::WorkspaceContents { name: name.to_owned() })? else {
        return Err(unexpected());
    };
    if !yes {
        if !output::is_terminal() {
            bail!("Nobody can be asked here. Say --yes to delete “{name}” without a question.");
        }
        let counted = |count: i64, noun: &str| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
        let question = format!(
            "{}, {} and {} go with “{name}”, and its keys: nothing of it comes back but from a backup. Type the name to delete it:",
            counted(seen.connections, "connection"),
            counted(seen.members, "member"),
            counted(seen.tokens, "token"),
        );
        if output::answered(inquire::Text::new(&question).prompt())? != name {
            bail!("That is another name. Nothing was deleted.");
        }
    }
    match ask_at(data, AdminRequest::DeleteWorkspace { name: name.to_owned(), seen })? {
        AdminAnswer::Done => {
            output::say(&format!("Deleted “{name}”."));
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

pub fn unexpected() -> anyhow::Error {
    anyhow!("the server gave another answer than was asked for; use the same version for server and shell")
}

/// The store, with the locks that a server would hold.
pub async fn open(data: &DataConfig) -> anyhow::Result<(Arc<App>, Locks)> {
    if let Location::Sqlite(path) = data.location()
        && !path.exists()
    {
        bail!(
            "There is no store in {}. Check --data; “dataflow serve” or “dataflow setup” makes a new one.",
            data.folder.display()
        );
    }
    make(data).await
}

/// The same, and it is made if there is none.
async fn make(data: &DataConfig) -> anyhow::Result<(Arc<App>, Locks)> {
    let locks = lock(data)?;
    let node_folder = locks.node_folder.clone();
    Ok((
        App::open(&AppConfig {
            data: data.clone(),
            tests: TestConfig::default(),
            rates: RateConfig::default(),
            node_folder,
            audit: AuditConfig::default(),
            oidc: None,
        })
        .await?,
        locks,
    ))
}

/// Asks the running server, else does it here under the store's lock.
pub fn ask(data: DataArguments, request: AdminRequest) -> anyhow::Result<AdminAnswer> {
    ask_at(&data_config(data)?, request)
}

/// The same for a command that asks more than once: a passphrase is read once.
pub fn ask_at(data: &DataConfig, request: AdminRequest) -> anyhow::Result<AdminAnswer> {
    let runtime = runtime()?;
    let work = async {
        if let Some(answer) = admin::ask(data, &request).await? {
            return anyhow::Ok(answer);
        }
        let begins_rotation = matches!(request, AdminRequest::RotateKeys);
        let (app, _locks) = match request {
            AdminRequest::Setup { .. } => make(data).await?,
            _ => open(data).await?,
        };
        let answer = admin::handle(&app, request).await;
        if begins_rotation && matches!(answer, AdminAnswer::Rotating(_)) {
            // Nobody else would carry it on.
            Rotation::to_the_end(&app).await.map_err(|error| anyhow!("{} Run it again to go on.", error.describe().2))?;
        }
        app.store.close().await;
        Ok(answer)
    };
    match output::waiting("Waiting for the store", || runtime.block_on(work))? {
        AdminAnswer::Refused(problem) => {
            let fields: Vec<_> = problem.errors.iter().map(|error| format!("\n  {} {}", error.field, error.message)).collect();
            bail!("{} {}{}", problem.detail, problem.hint, fields.concat())
        }
        answer => Ok(answer),
    }
}

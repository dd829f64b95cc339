//! Commands on the server's machine: through the running server's socket, else with the data in hand.

use anyhow::{anyhow, bail};
use dataflow_server::{
    admin::{self, AdminAnswer, AdminRequest, Clear},
    app::{App, AppConfig},
    config::TestConfig,
    serve::lock,
};

use crate::{
    args::{DataArguments, Output, Recover, Setup, SignInLink, Token, TokenCommand},
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
    match ask(arguments.data, AdminRequest::SignInLink { email: arguments.email })? {
        AdminAnswer::Link(code) => {
            output::data(&format!("{}/link/{}", arguments.url.trim_end_matches('/'), code.0.expose_secret()))
        }
        _ => Err(unexpected()),
    }
}

pub fn recover(arguments: Recover) -> anyhow::Result<()> {
    let recovery_key = output::read_secret("Recovery key:", arguments.recovery_key_stdin)?;
    let path = runtime()?.block_on(dataflow_server::recover::recover(&data_config(arguments.data)?, &recovery_key))?;
    output::say(&format!(
        "The recovery key opened the store. The new key file is {}; every secret opens with it as before. \
         Keep a copy of it elsewhere, and give it to every node of this store. The recovery key stays good.",
        path.display()
    ));
    Ok(())
}

pub fn token(arguments: Token) -> anyhow::Result<()> {
    match arguments.command {
        TokenCommand::Create { data, workspace, role, name, days, connections } => {
            let roles: Vec<_> = role.into_iter().map(crate::args::Role::as_str).collect();
            let connections = (!connections.is_empty()).then_some(connections);
            match ask(data, AdminRequest::CreateToken { workspace, roles: roles.join(","), name, days, connections })? {
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

fn unexpected() -> anyhow::Error {
    anyhow!("the server gave another answer than was asked for; use the same version for server and shell")
}

/// Asks the running server, else does it here under the store's lock.
fn ask(data: DataArguments, request: AdminRequest) -> anyhow::Result<AdminAnswer> {
    let data = data_config(data)?;
    let answer = runtime()?.block_on(async {
        if let Some(answer) = admin::ask(&data.socket(), &request).await? {
            return anyhow::Ok(answer);
        }
        let locks = lock(&data)?;
        let app =
            App::open(&AppConfig { data: data.clone(), tests: TestConfig::default(), node_folder: locks.node_folder.clone() })
                .await?;
        let answer = admin::handle(&app, request).await;
        app.store.close().await;
        Ok(answer)
    });
    match answer? {
        AdminAnswer::Refused(problem) => {
            let fields: Vec<_> = problem.errors.iter().map(|error| format!("\n  {} {}", error.field, error.message)).collect();
            bail!("{} {}{}", problem.detail, problem.hint, fields.concat())
        }
        answer => Ok(answer),
    }
}

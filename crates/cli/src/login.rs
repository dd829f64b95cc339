//! `dataflow login`

use anyhow::{Context, bail};
use dataflow_client::config::{Environment, ServerUrl, SignIn, save_user_file};
use dataflow_client::{ApiRequest, Client, ClientConfig, Explicit};

use crate::{args::Login, output};

/// Proves that the token is good, then keeps it for this user.
pub fn run(arguments: Login) -> anyhow::Result<()> {
    let url = ServerUrl::parse(&arguments.url)?;
    let token = output::read_secret("Token (dfc_…):", arguments.token_stdin)?;
    let explicit = Explicit {
        url: Some(arguments.url),
        token: Some(token.duplicate_secret()),
        workspace: arguments.workspace.clone(),
        ..Explicit::default()
    };
    let config = ClientConfig::discover(&explicit)?;
    let workspace = config.workspace.to_string();
    let client = Client::new(config);
    let request = ApiRequest::new(http::Method::GET, "connections?limit=1");
    let answer = output::waiting(&format!("Signing in to {url}"), || client.request(&request))?;
    if !answer.is_success() {
        let problem = answer.problem();
        bail!(
            "The server refused the sign-in to the workspace “{workspace}”: {} {}",
            problem.detail.unwrap_or_default(),
            problem.hint.unwrap_or_default()
        );
    }
    let path =
        Environment::read().user_file().context("find this user's config folder: neither XDG_CONFIG_HOME nor HOME is set")?;
    let sign_in = SignIn { path, url, token: Some(token), workspace: Some(workspace.clone()), sqlite_folder: None };
    let path = sign_in.path.display();
    save_user_file(&sign_in).with_context(|| format!("write {path}"))?;
    output::say(&format!("Signed in to the workspace “{workspace}”. Shell and Python of this user find it in {path}."));
    Ok(())
}

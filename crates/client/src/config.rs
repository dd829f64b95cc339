//! Where the server is and who asks: the only place that reads the environment and the files that a sign-in leaves.
//!
//! Each value is taken from the first that has it: what the caller passes; `DATAFLOW_URL`, `DATAFLOW_TOKEN`,
//! `DATAFLOW_WORKSPACE`, `DATAFLOW_WORKFLOW`; the user's `dataflow/config.toml` that `dataflow login` writes; the
//! `dataflow.toml` in the prefix of a virtual environment that `make run` made. A file's token goes only to that file's URL.
//! `DATAFLOW_SQLITE_DIR` and `DATAFLOW_FRESH_FOR` say what is this machine's own.

mod discovery;
mod environment;
mod file;
mod url;

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use dataflow_model::{Secret, Workflow, WorkflowKind, WorkspaceName};

use self::discovery::is_same_token;
pub use self::{
    discovery::Discovery,
    environment::{Environment, commit_of_build},
    file::{SignIn, save_user_file},
    url::ServerUrl,
};
use crate::{ClientError, TokenOrigin};

const DEFAULT_WORKSPACE: &str = "default";
/// What `DATAFLOW_FRESH_FOR` may say, in seconds: from a request for nearly every use to a rotation that takes minutes to arrive.
const FRESH_FOR: RangeInclusive<f64> = 0.1..=300.0;

/// How long things take and last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// An answer this young is served without asking.
    pub fresh: Duration,
    /// An answer this young is served while the server is away.
    pub usable: Duration,
    /// Longest time to connect.
    pub connect: Duration,
    /// Longest time for one answer, retries included.
    pub whole: Duration,
    /// The pause after the first failure; it doubles with each.
    pub first_pause: Duration,
    /// The longest pause between two requests to a server that is away.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(5),
            usable: Duration::from_hours(1),
            connect: Duration::from_secs(2),
            whole: Duration::from_secs(5),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// All that a [`crate::Client`] needs.
#[derive(Debug)]
pub struct ClientConfig {
    pub url: ServerUrl,
    pub token: Secret,
    pub token_origin: TokenOrigin,
    pub workspace: WorkspaceName,
    /// Told with each request, unless the request names another.
    pub workflow: Option<Workflow>,
    /// This machine's name, told with each workflow that does not name another.
    pub host: Option<String>,
    /// This machine's folder for SQLite files.
    pub sqlite_folder: Option<PathBuf>,
    pub timing: Timing,
}

/// What a caller says itself; it comes before all that is found.
#[derive(Debug, Default)]
pub struct Explicit {
    pub url: Option<String>,
    pub token: Option<Secret>,
    pub workspace: Option<String>,
    /// As [`parse_workflow`] reads it.
    pub workflow: Option<String>,
    /// The prefix of the virtual environment that the program runs in.
    pub prefix: Option<PathBuf>,
}

impl Explicit {
    /// Where settings may be written down.
    fn files(&self, environment: &Environment) -> impl Iterator<Item = PathBuf> {
        [environment.user_file(), self.local_file()].into_iter().flatten()
    }

    fn local_file(&self) -> Option<PathBuf> {
        self.prefix.as_ref().map(|prefix| prefix.join("dataflow.toml"))
    }

    fn is(&self, other: &Self) -> bool {
        let Self { url, token, workspace, workflow, prefix } = self;
        (url, workspace, workflow, prefix) == (&other.url, &other.workspace, &other.workflow, &other.prefix)
            && is_same_token(token.as_ref(), other.token.as_ref())
    }
}

impl ClientConfig {
    /// Finds the settings as the module's documentation says.
    ///
    /// # Errors
    /// [`ClientError::NotSignedIn`] if no URL or no token is found, [`ClientError::NotAToken`] if what was found could not even be
    /// sent, [`ClientError::InvalidConfig`] if a setting or a file cannot be used.
    pub fn discover(explicit: &Explicit) -> Result<Self, ClientError> {
        Self::find(explicit, &Environment::read())
    }

    /// As [`ClientConfig::discover`], from a given environment.
    ///
    /// # Errors
    /// As [`ClientConfig::discover`].
    pub fn find(explicit: &Explicit, environment: &Environment) -> Result<Self, ClientError> {
        let timing = environment.fresh_for.as_deref().map_or(Ok(Timing::default()), timing)?;
        let user = environment.user_file().map(|path| SignIn::read(&path)).transpose()?.flatten();
        let local = explicit.local_file().map(|path| SignIn::read(&path)).transpose()?.flatten();
        let sqlite_folder = (environment.sqlite_folder.clone())
            .or_else(|| [&user, &local].into_iter().flatten().find_map(|file| file.sqlite_folder.clone()));

        let url = (explicit.url.as_ref()).or(environment.url.as_ref()).map(|url| ServerUrl::parse(url)).transpose()?;
        let file = [user, local].into_iter().flatten().find(|file| url.as_ref().is_none_or(|url| file.url == *url));
        let (file_url, file_token, file_workspace) = file.map_or((None, None, None), |file| {
            let token = file.token.map(|token| (token, TokenOrigin::File(file.path)));
            (Some(file.url), token, file.workspace)
        });

        let workspace = (explicit.workspace.as_ref()).or(environment.workspace.as_ref()).cloned().or(file_workspace);
        let workspace = workspace.unwrap_or_else(|| DEFAULT_WORKSPACE.to_owned());
        let url = url.or(file_url).ok_or(ClientError::NotSignedIn { missing: "no server is named" })?;
        let (token, token_origin) = (explicit.token.as_ref().map(|token| (copy(token), TokenOrigin::Caller)))
            .or_else(|| Some((copy(environment.token.as_ref()?), TokenOrigin::Environment)))
            .or(file_token)
            .filter(|(token, _)| !token.is_empty())
            .ok_or(ClientError::NotSignedIn { missing: "there is no token for it" })?;
        if !token.expose_secret().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(ClientError::NotAToken { origin: token_origin });
        }
        Ok(Self {
            url,
            token,
            token_origin,
            workspace: WorkspaceName::new(workspace).map_err(|rule| ClientError::InvalidConfig {
                origin: "The name of the workspace".to_owned(),
                problem: format!("{rule}."),
            })?,
            workflow: (explicit.workflow.as_ref()).or(environment.workflow.as_ref()).and_then(|text| parse_workflow(text)),
            host: environment.host.clone(),
            sqlite_folder,
            timing,
        })
    }
}

fn copy(token: &Secret) -> Secret {
    Secret::new(token.expose_secret().to_owned())
}

fn timing(fresh_for: &str) -> Result<Timing, ClientError> {
    let seconds = fresh_for.trim().parse().ok().filter(|seconds| FRESH_FOR.contains(seconds));
    let seconds = seconds.ok_or_else(|| ClientError::InvalidConfig {
        origin: "DATAFLOW_FRESH_FOR".to_owned(),
        problem: format!("is not a number of seconds from {} to {}.", FRESH_FOR.start(), FRESH_FOR.end()),
    })?;
    Ok(Timing { fresh: Duration::from_secs_f64(seconds), ..Timing::default() })
}

/// Reads a workflow as a person names it: `pipeline:nightly`, a bare name, which is a script's, or the header's whole form
/// `kind=pipeline; name="nightly"; run="7"`. `None` if it is blank.
pub fn parse_workflow(text: &str) -> Option<Workflow> {
    Workflow::parse(text).or_else(|| of_a_kind(text)).or_else(|| named(WorkflowKind::Script, text))
}

fn of_a_kind(text: &str) -> Option<Workflow> {
    let (kind, name) = text.split_once(':')?;
    named(WorkflowKind::parse(kind.trim())?, name)
}

fn named(kind: WorkflowKind, name: &str) -> Option<Workflow> {
    let name = name.trim();
    (!name.is_empty()).then(|| Workflow::new(kind, name))
}

#[cfg(test)]
mod tests;

//! The variables that the client looks at.

use std::path::PathBuf;

use dataflow_model::Secret;

use super::discovery::is_same_token;

/// The environment as it was when it was read. An empty variable counts as one that is not set.
#[derive(Debug, Default)]
pub struct Environment {
    /// `DATAFLOW_URL`
    pub url: Option<String>,
    /// `DATAFLOW_TOKEN`
    pub token: Option<Secret>,
    /// `DATAFLOW_WORKSPACE`
    pub workspace: Option<String>,
    /// `DATAFLOW_WORKFLOW`
    pub workflow: Option<String>,
    /// `DATAFLOW_SQLITE_DIR`
    pub sqlite_folder: Option<PathBuf>,
    /// `DATAFLOW_FRESH_FOR`
    pub fresh_for: Option<String>,
    /// `XDG_CONFIG_HOME`
    pub config_home: Option<PathBuf>,
    /// `HOME`
    pub home: Option<PathBuf>,
    /// The machine's own name.
    pub host: Option<String>,
}

impl Environment {
    #[must_use]
    pub fn read() -> Self {
        Self {
            url: text("DATAFLOW_URL"),
            token: token(),
            workspace: text("DATAFLOW_WORKSPACE"),
            workflow: text("DATAFLOW_WORKFLOW"),
            sqlite_folder: text("DATAFLOW_SQLITE_DIR").map(PathBuf::from),
            fresh_for: text("DATAFLOW_FRESH_FOR"),
            config_home: text("XDG_CONFIG_HOME").map(PathBuf::from),
            home: text("HOME").map(PathBuf::from),
            host: host(),
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        let Self { url, token, workspace, workflow, sqlite_folder, fresh_for, config_home, home, host } = self;
        (url, workspace, workflow, sqlite_folder, fresh_for, config_home, home, host)
            == (
                &other.url,
                &other.workspace,
                &other.workflow,
                &other.sqlite_folder,
                &other.fresh_for,
                &other.config_home,
                &other.home,
                &other.host,
            )
            && is_same_token(token.as_ref(), other.token.as_ref())
    }

    /// The file that `dataflow login` writes; `None` on a machine that gives no home.
    #[must_use]
    pub fn user_file(&self) -> Option<PathBuf> {
        let folder = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(folder.join("dataflow").join("config.toml"))
    }
}

/// The commit that a build server says it works on, where git's files do not: GitHub, GitLab, Jenkins, Azure, Buildkite, Circle,
/// Bitbucket.
#[must_use]
pub fn commit_of_build() -> Option<String> {
    ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILD_SOURCEVERSION", "BUILDKITE_COMMIT", "CIRCLE_SHA1", "BITBUCKET_COMMIT"]
        .into_iter()
        .find_map(text)
}

/// What is there, even if it is no text: it is refused by its name, not passed over.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
fn token() -> Option<Secret> {
    let token = std::env::var_os("DATAFLOW_TOKEN")?.to_string_lossy().into_owned();
    (!token.trim().is_empty()).then(|| Secret::new(token))
}

#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(unix)]
fn host() -> Option<String> {
    let names = rustix::system::uname();
    let name = names.nodename().to_string_lossy().trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// Windows keeps it in the environment.
#[cfg(not(unix))]
fn host() -> Option<String> {
    text("COMPUTERNAME")
}

//! Settings that a program asks for again and again: looked at each time, and read again when something has changed.

use std::{
    fs::{self, Metadata},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use dataflow_model::Secret;

use super::{ClientConfig, Environment, Explicit};
use crate::ClientError;

/// A file that was changed this lately may be changed once more without its times telling: their ticks are up to 10 ms long.
const DOUBTFUL: Duration = Duration::from_secs(1);

/// Finds the settings as [`ClientConfig::discover`] does. As long as what the caller says, the environment and the files are what
/// they were, the answer is the one that was given before.
#[derive(Debug, Default)]
pub struct Discovery {
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    explicit: Explicit,
    environment: Environment,
    files: Vec<(PathBuf, State)>,
    config: Arc<ClientConfig>,
}

impl Discovery {
    /// # Errors
    /// As [`ClientConfig::discover`].
    pub fn discover(&self, explicit: Explicit) -> Result<Arc<ClientConfig>, ClientError> {
        self.find(explicit, Environment::read())
    }

    /// As [`Discovery::discover`], from a given environment.
    ///
    /// # Errors
    /// As [`ClientConfig::discover`].
    pub fn find(&self, explicit: Explicit, environment: Environment) -> Result<Arc<ClientConfig>, ClientError> {
        // Who finds it locked reads for himself: in a forked child it may be locked for ever.
        let mut held = self.last.try_lock().ok();
        if let Some(last) = held.as_deref().and_then(Option::as_ref)
            && last.explicit.is(&explicit)
            && last.environment.is(&environment)
            && last.files.iter().all(|(path, state)| State::of(path).as_ref() == Some(state))
        {
            return Ok(Arc::clone(&last.config));
        }
        // Before they are read: what changes from here on is seen the next time.
        let files = explicit.files(&environment).map(|path| State::of(&path).map(|state| (path, state)));
        let files: Option<Vec<_>> = files.collect();
        let config = Arc::new(ClientConfig::find(&explicit, &environment)?);
        if let Some(held) = held.as_deref_mut() {
            *held = files.map(|files| Last { explicit, environment, files, config: Arc::clone(&config) });
        }
        Ok(config)
    }
}

/// What tells one content of a file from another without reading it.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Absent,
    Present(Times),
}

impl State {
    /// `None` if that cannot be told.
    fn of(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(metadata) => times(&metadata).filter(|times| is_settled(times.changed)).map(Self::Present),
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory).then_some(Self::Absent),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Times {
    size: u64,
    changed: SystemTime,
    place: (u64, u64),
    mode: u32,
}

#[cfg(unix)]
fn times(metadata: &Metadata) -> Option<Times> {
    use std::os::unix::fs::MetadataExt as _;
    // Unlike the time of modification, nobody can set it.
    let since = Duration::new(u64::try_from(metadata.ctime()).ok()?, u32::try_from(metadata.ctime_nsec()).ok()?);
    let changed = SystemTime::UNIX_EPOCH.checked_add(since)?;
    Some(Times { size: metadata.len(), changed, place: (metadata.dev(), metadata.ino()), mode: metadata.mode() })
}

#[cfg(not(unix))]
fn times(metadata: &Metadata) -> Option<Times> {
    Some(Times { size: metadata.len(), changed: metadata.modified().ok()?, place: (0, 0), mode: 0 })
}

#[expect(clippy::disallowed_methods, reason = "compared with a file's time, which is this clock's")]
fn is_settled(changed: SystemTime) -> bool {
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > DOUBTFUL)
}

/// Whether two tokens of this process are the same.
pub(super) fn is_same_token(one: Option<&Secret>, other: Option<&Secret>) -> bool {
    one.map(Secret::expose_secret) == other.map(Secret::expose_secret)
}

//! What goes through the pipes: one request in, JSON lines out.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use dataflow_model::{FieldPath, Learned, PublicFields, Secret, SecretFields, Step, TestError, TestStatus};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::TestRequest;
use crate::{
    DialPolicy, Target,
    hops::{Hop, Way},
    message::Message,
};

/// Goes before a request: how many bytes it has, most significant first.
pub(super) type Length = [u8; 4];
/// Most bytes of a request. A connection's body has at most 64 KiB, JSON escapes at most sixfold, and it may come with another one.
pub(super) const REQUEST_MAX: usize = 1024 * 1024;
/// Most bytes that a child may say: eight certificates of 16 KiB, twice over.
pub(super) const ANSWER_MAX: u64 = 256 * 1024;

#[derive(Serialize)]
struct Written<'a> {
    connector: &'a str,
    public: &'a PublicFields,
    secrets: BTreeMap<&'a str, &'a str>,
    new_password: Option<&'a str>,
    change_by: Option<SystemTime>,
    message: Option<&'a Message>,
    file_folder: Option<&'a Path>,
    way: Option<WrittenWay<'a>>,
    policy: &'a DialPolicy,
    deadline: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum WrittenWay<'a> {
    Through { name: &'a str, connector: &'a str, public: &'a PublicFields, secrets: BTreeMap<&'a str, &'a str> },
    Closed(&'a TestError),
}

fn exposed(secrets: &SecretFields) -> BTreeMap<&str, &str> {
    secrets.0.iter().map(|(path, secret)| (path.as_str(), secret.expose_secret())).collect()
}

impl<'a> WrittenWay<'a> {
    fn of(way: &'a Way) -> Self {
        match way {
            Way::Closed(error) => Self::Closed(error),
            Way::Through(hop) => {
                let Hop { name, connector, target } = &**hop;
                Self::Through { name, connector, public: &target.public, secrets: exposed(&target.secrets) }
            }
        }
    }
}

/// The way of a connection as the child reads it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AskedWay {
    Through { name: String, connector: String, public: PublicFields, secrets: BTreeMap<FieldPath, Secret> },
    Closed(TestError),
}

impl From<AskedWay> for Way {
    fn from(asked: AskedWay) -> Self {
        match asked {
            AskedWay::Closed(error) => Self::Closed(error),
            AskedWay::Through { name, connector, public, secrets } => {
                let target = Target { public, secrets: SecretFields(secrets), ..Target::default() };
                Self::Through(Box::new(Hop { name, connector, target }))
            }
        }
    }
}

/// The request as the child reads it.
#[derive(Deserialize)]
pub(super) struct Asked {
    pub connector: String,
    pub public: PublicFields,
    pub secrets: BTreeMap<FieldPath, Secret>,
    pub new_password: Option<Secret>,
    pub change_by: Option<SystemTime>,
    pub message: Option<Message>,
    pub file_folder: Option<PathBuf>,
    pub way: Option<AskedWay>,
    pub policy: DialPolicy,
    pub deadline: Duration,
}

/// The request in bytes, its length before it; they are wiped when dropped.
pub(super) fn write(request: &TestRequest) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let target = &request.target;
    let written = Written {
        connector: &request.connector,
        public: &target.public,
        secrets: exposed(&target.secrets),
        new_password: target.new_password.as_ref().map(Secret::expose_secret),
        change_by: target.change_by,
        message: target.message.as_ref(),
        file_folder: target.file_folder.as_deref(),
        way: target.way.as_deref().map(WrittenWay::of),
        policy: &request.policy,
        deadline: request.deadline,
    };
    let mut count = Count(0);
    serde_json::to_writer(&mut count, &written)?;
    let length = Length::from(u32::try_from(count.0).unwrap_or(u32::MAX).to_be_bytes());
    // As large as it will get, so that it never moves and leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.len() + count.0));
    bytes.extend_from_slice(&length);
    serde_json::to_writer(&mut *bytes, &written)?;
    Ok(bytes)
}

/// Counts what is written.
struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One line of a child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Step(Step),
    End(End),
}

/// How a test ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub status: TestStatus,
    pub server_version: Option<String>,
    pub error: Option<TestError>,
    #[serde(default)]
    pub learned: Learned,
}

impl End {
    pub(super) fn failed(error: TestError) -> Self {
        Self { status: TestStatus::Failed, server_version: None, error: Some(error), learned: Learned::default() }
    }
}

//! Shell commands with `--data`: they reach a running server's rules through `DIR/admin.sock`, else build the same [`App`].
//!
//! One JSON line in, one JSON line out. The socket is for the user who runs the server, and root. Of many nodes that serve one data folder
//! the first has that name, and each other one `DIR/nodes/N/admin.sock`; a shell asks the first that listens.

pub mod backup;
mod slot;

use std::{
    fs::Permissions,
    net::SocketAddr,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use dataflow_connectors::policy::DialPolicy;
use dataflow_model::Secret;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

pub use self::slot::NewSlot;
use crate::{
    app::App,
    audit::{checkpoint::Checkpoint, verify::Report},
    clock::rfc3339,
    config::{DataConfig, NODES_MAX},
    error::{Error, Problem, Result},
    ops::{
        Caller, Roles, activity,
        backup::Taken,
        connections::Precondition,
        keys::{self, KeysStatus},
        links::{self, LinkKind},
        people, setup, tokens,
        workspaces::{self, Contents},
    },
};

/// Longest request line, in bytes.
const LINE_MAX: u64 = 64 * 1024;

/// What a shell can ask. Secrets travel over the socket alone, which other users cannot open.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum AdminRequest {
    Setup {
        email: String,
        password: Clear,
    },
    SignInLink {
        email: String,
        new_password: bool,
    },
    AddMember {
        workspace: String,
        email: String,
        roles: String,
    },
    EnablePerson {
        email: String,
    },
    ResetPerson {
        email: String,
        password: Clear,
        enable: bool,
    },
    CreateToken {
        workspace: String,
        roles: String,
        name: String,
        days: Option<i64>,
        connections: Option<Vec<String>>,
    },
    ListTokens {
        workspace: String,
    },
    RevokeToken {
        workspace: String,
        id: String,
    },
    CreateWorkspace {
        name: String,
    },
    ListWorkspaces,
    /// What would go with it.
    WorkspaceContents {
        name: String,
    },
    /// `seen` is what the shell's user was told would go with it.
    DeleteWorkspace {
        name: String,
        seen: Contents,
    },
    /// What the server says of itself.
    Status,
    /// Answered in another form: see [`backup`].
    Backup,
    /// The newest checkpoint of each chain, as far as the shell was given some.
    VerifyAudit {
        checkpoints: Vec<Checkpoint>,
    },
    KeysStatus,
    RotateKeys,
    AddSlot {
        key: NewSlot,
    },
    RemoveSlot {
        id: u8,
    },
    RenewRecoveryKey,
}

/// What it gets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminAnswer {
    Done,
    /// Shown once.
    RecoveryKey(Clear),
    /// The code of a one-time link, for `/link/CODE`.
    Link(Clear),
    Token(Clear),
    Tokens(Vec<TokenLine>),
    /// Their names.
    Workspaces(Vec<String>),
    Contents(Contents),
    /// Its pieces come next.
    BackupFollows,
    BackedUp(Taken),
    Running(Box<Running>),
    Audit(Report),
    Keys(Box<KeysStatus>),
    /// The version of the root key that all comes to lie under.
    Rotating(u32),
    /// The id of a new slot.
    Slot(u8),
    Refused(Box<Problem>),
}

/// A running server, as it was told to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    pub version: String,
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    /// Certificate and key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The file that says with whom people may sign in besides.
    #[serde(default)]
    pub oidc: Option<PathBuf>,
    /// Whether connections can be tested, and what tests may reach.
    pub tests: bool,
    pub policy: DialPolicy,
    /// Whether a read of credentials is on disk before its answer.
    #[serde(default)]
    pub audit_is_strict: bool,
}

/// One token in a shell's table.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenLine {
    pub id: String,
    pub name: String,
    pub roles: String,
    pub created_by: String,
    pub expires_at: String,
    pub last_used_at: Option<String>,
    pub state: String,
}

/// A secret on its way over the admin socket: the one place where a secret is serialised on purpose.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Clear(pub Secret);

impl Serialize for Clear {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

/// Carries one request out, as the shell.
pub async fn handle(app: &App, request: AdminRequest) -> AdminAnswer {
    let _under_way = app.under_way.begin();
    act(app, request).await.unwrap_or_else(|error| AdminAnswer::Refused(Box::new(error.problem())))
}

async fn act(app: &App, request: AdminRequest) -> Result<AdminAnswer> {
    let caller = Caller::shell();
    Ok(match request {
        AdminRequest::Setup { email, password } => {
            let recovery = setup::from_shell(app, &caller, &email, &password.0).await?;
            AdminAnswer::RecoveryKey(Clear(recovery.to_text()))
        }
        AdminRequest::SignInLink { email, new_password } => {
            let kind = if new_password { LinkKind::Password } else { LinkKind::SignIn };
            AdminAnswer::Link(Clear(links::create_link(app, &caller, &email, kind).await?.code))
        }
        AdminRequest::AddMember { workspace, email, roles } => {
            let link = people::put_member(app, &caller, &workspace, &email, Roles::parse(&roles)).await?;
            link.map_or(AdminAnswer::Done, |link| AdminAnswer::Link(Clear(link.code)))
        }
        AdminRequest::EnablePerson { email } => {
            people::enable_from_shell(app, &caller, &email).await?;
            AdminAnswer::Done
        }
        AdminRequest::ResetPerson { email, password, enable } => {
            people::reset(app, &caller, &email, &password.0, enable).await?;
            AdminAnswer::Done
        }
        AdminRequest::CreateToken { workspace, roles, name, days, connections } => {
            let new = tokens::NewToken { name, roles: Roles::parse(&roles), expires_in_days: days, connections };
            AdminAnswer::Token(Clear(tokens::create(app, &caller, &workspace, new).await?.0))
        }
        AdminRequest::ListTokens { workspace } => {
            let now = app.clock.now();
            AdminAnswer::Tokens(
                tokens::list_all(app, &caller, &workspace).await?.into_iter().map(|token| line(token, now)).collect(),
            )
        }
        AdminRequest::RevokeToken { workspace, id } => {
            tokens::revoke(app, &caller, &workspace, &id).await?;
            AdminAnswer::Done
        }
        AdminRequest::VerifyAudit { checkpoints } => AdminAnswer::Audit(activity::verify(app, &caller, &checkpoints).await?),
        AdminRequest::CreateWorkspace { name } => {
            workspaces::create(app, &caller, &name).await?;
            AdminAnswer::Done
        }
        AdminRequest::ListWorkspaces => {
            AdminAnswer::Workspaces(workspaces::list_all(app, &caller).await?.into_iter().map(|row| row.name).collect())
        }
        AdminRequest::WorkspaceContents { name } => AdminAnswer::Contents(workspaces::contents(app, &caller, &name).await?),
        AdminRequest::DeleteWorkspace { name, seen } => {
            workspaces::delete(app, &caller, &name, &Precondition::Tags(vec![seen.etag()])).await?;
            AdminAnswer::Done
        }
        AdminRequest::Status => {
            // Whoever asks wants to know whether it can do its work.
            app.store.tick_since(None).await?;
            let running = app.running.get().cloned().ok_or(Error::Malformed("No server runs here."))?;
            AdminAnswer::Running(Box::new(running))
        }
        AdminRequest::Backup => return Err(Error::Malformed("A backup comes in pieces, not in one answer.")),
        AdminRequest::KeysStatus => AdminAnswer::Keys(Box::new(keys::status(app, &caller).await?)),
        AdminRequest::RotateKeys => AdminAnswer::Rotating(keys::rotate(app, &caller).await?),
        AdminRequest::AddSlot { key } => AdminAnswer::Slot(keys::add_slot(app, &caller, &key.source()?).await?),
        AdminRequest::RemoveSlot { id } => {
            keys::remove_slot(app, &caller, id).await?;
            AdminAnswer::Done
        }
        AdminRequest::RenewRecoveryKey => {
            AdminAnswer::RecoveryKey(Clear(keys::renew_recovery_key(app, &caller).await?.to_text()))
        }
    })
}

fn line(token: tokens::Token, now: i64) -> TokenLine {
    let state = match token.row.revoked_at {
        _ if token.is_altered => "altered",
        Some(_) => "revoked",
        None if token.row.expires_at <= now => "expired",
        None => "live",
    };
    TokenLine {
        id: token.row.id,
        name: token.row.name,
        roles: token.roles.to_string(),
        created_by: token.row.created_by,
        expires_at: rfc3339(token.row.expires_at),
        last_used_at: token.row.last_used_at.map(rfc3339),
        state: state.to_owned(),
    }
}

/// Listens on the socket until the task is dropped. Whoever calls this holds the lock of the node whose socket it is: nobody listens there.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("remove the socket of an earlier run, {}", path.display()))?;
    }
    let (short, _folder) = short_path(path)?;
    let listener = UnixListener::bind(short).with_context(|| format!("open the admin socket {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).context("close the admin socket to others")?;
    Ok(listener)
}

/// Answers shells on the socket, one task each.
pub async fn serve(app: Arc<App>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(&app, stream).await {
                        tracing::warn!(error.cause = format!("{error:#}"), "a shell at the admin socket was not answered");
                    }
                });
            }
            Err(error) => {
                tracing::error!(error.cause = %error, "the admin socket failed");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(app: &App, stream: UnixStream) -> anyhow::Result<()> {
    let peer = stream.peer_cred().context("ask who is there")?.uid();
    let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").context("ask who we are")?);
    if peer != own && peer != 0 {
        bail!("user {peer} is neither root nor the server's user");
    }
    let (reader, mut writer) = stream.into_split();
    let mut line = zeroize::Zeroizing::new(String::new());
    BufReader::new(reader.take(LINE_MAX)).read_line(&mut line).await.context("read the request")?;
    let answer = match serde_json::from_str(&line) {
        Ok(AdminRequest::Backup) => return backup::answer(app, &mut writer).await,
        Ok(request) => handle(app, request).await,
        Err(_) => AdminAnswer::Refused(Box::new(
            Error::Malformed("The server does not know this command. Use the same version for server and shell.").problem(),
        )),
    };
    write_line(&mut writer, &answer).await.context("send the answer")
}

async fn write_line(writer: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> anyhow::Result<()> {
    let mut line = zeroize::Zeroizing::new(serde_json::to_string(message)?);
    line.push('\n');
    Ok(writer.write_all(line.as_bytes()).await?)
}

/// Sends one request to a server that runs on the data folder; `None` if none listens.
pub async fn ask(data: &DataConfig, request: &AdminRequest) -> anyhow::Result<Option<AdminAnswer>> {
    for node in 1..=NODES_MAX {
        if let Some(answer) = ask_at(&data.socket(node), request).await? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

async fn ask_at(path: &Path, request: &AdminRequest) -> anyhow::Result<Option<AdminAnswer>> {
    let Some(stream) = connect(path).await? else { return Ok(None) };
    let (reader, mut writer) = stream.into_split();
    write_line(&mut writer, request).await?;
    let mut answer = zeroize::Zeroizing::new(String::new());
    BufReader::new(reader).read_line(&mut answer).await?;
    serde_json::from_str(&answer).map(Some).context("read the server's answer")
}

/// Reaches the server that listens on this socket; `None` if none does.
#[expect(clippy::disallowed_methods, reason = "a socket of this machine, whose path is the operator's")]
async fn connect(path: &Path) -> anyhow::Result<Option<UnixStream>> {
    let (short, _folder) = match short_path(path) {
        Ok(found) => found,
        Err(_) if !path.exists() => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(short).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reach the server at {}", path.display())),
    }
}

/// A socket's path has at most 107 bytes (unix(7)); through its folder's descriptor every path is short. The descriptor must
/// live as long as the path is used.
fn short_path(path: &Path) -> anyhow::Result<(PathBuf, std::fs::File)> {
    let folder = path.parent().context("a socket stands in a folder")?;
    let file = std::fs::File::open(folder).with_context(|| format!("open the folder {}", folder.display()))?;
    let name = path.file_name().context("a socket has a name")?;
    Ok((Path::new("/proc/self/fd").join(file.as_raw_fd().to_string()).join(name), file))
}

//! Running a server: locks, the app, jobs, the admin socket, the listener, and an orderly end.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};

use crate::{
    admin::{self, Running},
    app::{App, AppConfig},
    audit::chain,
    config::{AuditConfig, DataConfig, NODES_MAX, PublicConfig, RateConfig, TestConfig},
    error::Error,
    jobs::{self, follow_changes},
    listen::{self, ListenConfig, Tls, TlsFiles},
    oidc::{Oidc, OidcConfig},
    ops::{keys, setup, sign_in_failures},
    router, store,
};

/// Everything that `dataflow serve` is told.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub data: DataConfig,
    pub public: PublicConfig,
    pub tests: TestConfig,
    pub audit: AuditConfig,
    pub rates: RateConfig,
    /// The file that says with whom people may sign in besides.
    pub oidc: Option<PathBuf>,
}

/// The locks that make this process the one that it says it is. Given back when dropped.
#[derive(Debug)]
pub struct Locks {
    _store: Option<File>,
    _node: File,
    /// Which of the folder's nodes this is.
    pub node: usize,
    pub node_folder: PathBuf,
}

/// Takes the store's lock (SQLite has one server) and the first free node folder.
pub fn lock(data: &DataConfig) -> anyhow::Result<Locks> {
    let folder = &data.folder;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("make the data folder {}", folder.display()))?;
    let store = match data.database_url {
        Some(_) => None,
        None => Some(try_lock(&folder.join("lock"))?.ok_or_else(|| {
            anyhow!("Another server runs on the data folder {}. Stop it first, or use another folder.", folder.display())
        })?),
    };
    for number in 1..=NODES_MAX {
        let node_folder = data.node_folder(number);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&node_folder)
            .with_context(|| format!("make the folder {}", node_folder.display()))?;
        if let Some(held) = try_lock(&node_folder.join("lock"))? {
            return Ok(Locks { _store: store, _node: held, node: number, node_folder });
        }
    }
    bail!("{NODES_MAX} servers run on the data folder {} already. Give this one a folder of its own.", folder.display())
}

/// Takes the store's lock and those of all nodes of the folder: for who puts something else in the place of what they stand on.
pub fn lock_whole(data: &DataConfig) -> anyhow::Result<Vec<Locks>> {
    let first = lock(data)?;
    let mut all = Vec::new();
    for number in (1..=NODES_MAX).filter(|number| *number != first.node) {
        let node_folder = data.node_folder(number);
        if node_folder.exists() {
            let held = try_lock(&node_folder.join("lock"))?.ok_or_else(|| {
                anyhow!("Another server runs on the data folder {}. Stop it first, or use another folder.", data.folder.display())
            })?;
            all.push(Locks { _store: None, _node: held, node: number, node_folder });
        }
    }
    all.push(first);
    Ok(all)
}

fn try_lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open the lock {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("take the lock {}", path.display())),
    }
}

/// Serves until `shutdown` ends. `tell` gets lines for the person at the shell: where the Studio is, the set-up link.
pub async fn serve(config: ServeConfig, shutdown: impl Future<Output = ()>, tell: impl Fn(&str)) -> anyhow::Result<()> {
    refuse_clear_text(&config.public)?;
    if let Some(folder) = &config.tests.sqlite_folder {
        look_into(folder)?;
    }
    let tls = match config.public.tls.clone() {
        Some((certificate, key)) => Some(Tls::load(TlsFiles::new(certificate, key))?),
        None => None,
    };
    let oidc = config.oidc.as_deref().map(|path| provider(path, &config.public)).transpose()?;
    let listener = listen::bind(config.public.listen).await?;
    let address = listener.local_addr().context("ask for the listening address")?;
    let locks = lock(&config.data)?;
    let mut tests = config.tests.clone();
    // Whoever reaches a listener on loopback is on this machine, and reaches its other services without our help; but for the proxy
    // that a public address stands for, which brings everybody.
    tests.policy.allow_loopback |= address.ip().is_loopback() && config.public.public_url.is_none();
    let running = Running {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        listen: address,
        public_url: config.public.public_url.clone(),
        tls: config.public.tls.clone().map(|(certificate, key)| (absolute(&certificate), absolute(&key))),
        oidc: config.oidc.as_deref().map(absolute),
        tests: tests.enabled,
        policy: tests.policy.clone(),
        audit_is_strict: config.audit.is_strict,
    };
    let app = App::open(&AppConfig {
        data: config.data.clone(),
        tests,
        rates: config.rates,
        node_folder: locks.node_folder.clone(),
        audit: config.audit,
        oidc,
    })
    .await?;
    app.running.get_or_init(|| running);

    if app.store.is_shared() {
        // From here on no key is used that this node does not know; what came before it told of itself, it looks for now.
        follow_changes::beat(&app, 0).await.context("tell the other nodes of this one")?;
        keys::adopt(&app).await.map_err(why)?;
    }
    // Asked before anybody is told that it is ready: a damaged store may show only here.
    let is_new = setup::is_needed(&app).await.map_err(why)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = config.public.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    let socket = config.data.socket(locks.node);
    let admin_socket = admin::listen(&socket)?;
    app.tests.warm();
    let admin = tokio::spawn(admin::serve(app.clone(), admin_socket));
    let jobs = jobs::start(&app);
    tell(&format!("Dataflow Connections is ready at {url}"));
    if is_new {
        let link = setup::create_link(&app).await.map_err(why)?;
        tell(&format!(
            "Nobody has an account yet. Make the first one here, within a day: {url}/link/{}",
            link.code.expose_secret()
        ));
    }
    let router = router::router(app.clone(), Some(&config.public));
    let trusted_proxies = config.public.trusted_proxies.clone();
    listen::serve(listener, ListenConfig { tls, trusted_proxies, ..ListenConfig::default() }, router, shutdown).await;
    admin.abort();
    jobs.end().await;
    if app.store.is_shared() {
        leave(&app).await;
    }
    let flushed = app.uses.flush(&app.store).await;
    let told = sign_in_failures::tell(&app, true).await;
    let chained = chain::advance(&app).await;
    app.store.close().await;
    let _ = std::fs::remove_file(socket);
    drop(locks);
    chained.context("bring the audit's chains up to the end")?;
    told.map_err(|error| anyhow!(error.describe().2)).context("tell of failed sign-ins")?;
    flushed.context("write the last use counts")
}

/// What stopped the start, for who starts it: of what has a cause that one.
fn why(error: Error) -> anyhow::Error {
    let text = error.describe().2;
    match error {
        Error::Internal(cause) | Error::Unavailable(cause) | Error::SecretUnreadable(cause) => cause,
        _ => anyhow!(text),
    }
}

/// The provider, which leads people back to where they open this server.
fn provider(path: &Path, public: &PublicConfig) -> anyhow::Result<Arc<Oidc>> {
    let config = OidcConfig::read(path)?;
    let base = match &public.public_url {
        Some(url) => url.clone(),
        None if public.listen.ip().is_loopback() && public.listen.port() != 0 => {
            let scheme = if public.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", public.listen)
        }
        None => bail!("The provider of --oidc has to know where to lead people back to. Give --public-url, too."),
    };
    Ok(Arc::new(Oidc::new(config, &base)))
}

/// A shell may stand in another folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Tells the other nodes that this one ends. If it cannot, they wait for it a little and find out.
async fn leave(app: &App) {
    let left = async {
        let mut write = app.store.write().await?;
        store::remove_node(&mut write, &app.node, None).await?;
        write.commit_quietly().await
    };
    if let Err(error) = left.await {
        tracing::warn!(error.cause = format!("{:#}", anyhow!(error)), "the other nodes were not told of this one's end");
    }
}

/// A folder for SQLite files that is not there would be told to each user, at each test; it is the operator who can mend it.
fn look_into(folder: &Path) -> anyhow::Result<()> {
    std::fs::read_dir(folder).map(drop).map_err(|error| {
        let (folder, mend) = (folder.display(), "or name another with --sqlite-folder");
        match error.kind() {
            ErrorKind::NotFound => anyhow!("There is no folder {folder} for SQLite files. Make it, {mend}."),
            ErrorKind::NotADirectory => {
                anyhow!("{folder} is a file, and SQLite files lie in a folder. Name a folder with --sqlite-folder.")
            }
            ErrorKind::PermissionDenied => {
                anyhow!("The folder {folder} for SQLite files may not be read by this user. Give it the right to, {mend}.")
            }
            _ => anyhow!("The folder {folder} for SQLite files cannot be read ({error}). Mend it, {mend}."),
        }
    })
}

/// Passwords cross this listener: in the clear only on loopback, or behind a proxy that the operator names.
fn refuse_clear_text(public: &PublicConfig) -> anyhow::Result<()> {
    if public.listen.ip().is_loopback() || public.is_https() {
        return Ok(());
    }
    bail!(
        "Listening on {} would send passwords over the network in the clear. Give --tls-cert and --tls-key, or put a proxy with TLS in front and name it with --public-url https://….",
        public.listen
    )
}

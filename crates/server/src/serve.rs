//! Running a server: locks, the app, jobs, the admin socket, the listener, and an orderly end.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};

use crate::{
    admin,
    app::{App, AppConfig},
    config::{DataConfig, PublicConfig, TestConfig},
    hosts::{self, HostAllowlist},
    listen::{self, ListenConfig, Tls, TlsFiles},
    ops::{idempotency, setup},
    router, store,
};

/// Most nodes that one data folder serves.
const NODES_MAX: usize = 64;

/// Everything that `dataflow serve` is told.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub data: DataConfig,
    pub public: PublicConfig,
    pub tests: TestConfig,
}

/// The locks that make this process the one that it says it is. Given back when dropped.
#[derive(Debug)]
pub struct Locks {
    _store: Option<File>,
    _node: File,
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
        let node_folder = folder.join("nodes").join(number.to_string());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&node_folder)
            .with_context(|| format!("make the folder {}", node_folder.display()))?;
        if let Some(node) = try_lock(&node_folder.join("lock"))? {
            return Ok(Locks { _store: store, _node: node, node_folder });
        }
    }
    bail!("{NODES_MAX} servers run on the data folder {} already. Give this one a folder of its own.", folder.display())
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
    let tls = match config.public.tls.clone() {
        Some((certificate, key)) => Some(Tls::load(TlsFiles::new(certificate, key))?),
        None => None,
    };
    let listener = listen::bind(config.public.listen).await?;
    let address = listener.local_addr().context("ask for the listening address")?;
    let locks = lock(&config.data)?;
    let mut tests = config.tests.clone();
    // Whoever reaches a listener on loopback is on this machine, and reaches its other services without our help.
    tests.policy.allow_loopback |= address.ip().is_loopback();
    let app = App::open(&AppConfig { data: config.data.clone(), tests, node_folder: locks.node_folder.clone() }).await?;

    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = config.public.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    let admin_socket = admin::listen(&config.data.socket())?;
    app.tests.warm();
    let jobs = [
        tokio::spawn(admin::serve(app.clone(), admin_socket)),
        tokio::spawn(flush_uses(app.clone())),
        tokio::spawn(follow_changes(app.clone())),
        tokio::spawn(purge(app.clone())),
    ];
    tell(&format!("Dataflow Connections is ready at {url}"));
    if setup::is_needed(&app).await.map_err(|error| anyhow!(error.describe().2))? {
        let link = setup::create_link(&app).await.map_err(|error| anyhow!(error.describe().2))?;
        tell(&format!(
            "Nobody has an account yet. Make the first one here, within a day: {url}/link/{}",
            link.code.expose_secret()
        ));
    }
    let hosts = axum::middleware::from_fn_with_state(HostAllowlist::of(&config.public), hosts::allow);
    let router = router::router(app.clone()).layer(hosts);
    listen::serve(listener, ListenConfig { tls, ..ListenConfig::default() }, router, shutdown).await;
    for job in jobs {
        job.abort();
    }
    let flushed = app.uses.flush(&app.store).await;
    app.use_log.sync()?;
    app.store.close().await;
    let _ = std::fs::remove_file(config.data.socket());
    drop(locks);
    flushed.context("write the last use counts")
}

/// Passwords cross this listener: in the clear only on loopback, or behind a proxy that the operator names.
fn refuse_clear_text(public: &PublicConfig) -> anyhow::Result<()> {
    let behind_tls = public.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    if public.listen.ip().is_loopback() || public.tls.is_some() || behind_tls {
        return Ok(());
    }
    bail!(
        "Listening on {} would send passwords over the network in the clear. Give --tls-cert and --tls-key, or put a proxy with TLS in front and name it with --public-url https://….",
        public.listen
    )
}

/// Forgets what is no longer needed, once an hour.
async fn purge(app: Arc<App>) {
    loop {
        let purged = async {
            let mut write = app.store.write().await?;
            store::purge_keys(&mut write, app.clock.now() - idempotency::REMEMBERED).await?;
            write.commit_quietly().await
        };
        if let Err(error) = purged.await {
            tracing::warn!(error.cause = format!("{:#}", anyhow!(error)), "old rows could not be purged");
        }
        tokio::time::sleep(Duration::from_hours(1)).await;
    }
}

async fn flush_uses(app: Arc<App>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = app.uses.flush(&app.store).await {
            tracing::warn!(error.cause = format!("{:#}", anyhow!(error)), "use counts of the last second were lost");
        }
    }
}

/// Drops what this node cached when the store was changed: by another node, or by a change of this one whose client left while it was
/// being committed. A store that does not answer drops it too.
async fn follow_changes(app: Arc<App>) {
    let mut known = None;
    loop {
        let tick = async { store::tick(&mut app.store.read().await?).await }.await.ok();
        if tick.is_none() || tick != known {
            app.caches.forget_all();
            known = tick;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

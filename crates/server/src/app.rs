//! The application: everything a request needs, built once and passed down. There are no process globals.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use dataflow_model::{Catalogue, ConnectionType, WorkspaceName};
use dataflow_vault::{Vault, WorkspaceKey};
use uuid::Uuid;

use crate::{
    admin::Running,
    attempts::Attempts,
    audit::{UseLog, checkpoint},
    clock::Clock,
    config::{AuditConfig, DataConfig, RateConfig, TestConfig},
    error::Result,
    firsts, keys,
    metrics::Metrics,
    oidc::Oidc,
    ops::{
        access::TokenIdentity, counts::KnownCounts, credentials::Servable, rows::Sealed as _, sign_in_failures::SignInFailures,
    },
    passwords::Passwords,
    store::{self, Store, Write},
    tests::TestRunner,
    throttle::Throttle,
    turns::Turns,
    under_way::UnderWay,
    uses::Uses,
};

/// A workspace with its key in hand.
#[derive(Debug)]
pub struct Workspace {
    pub id: Uuid,
    pub name: String,
    pub key: WorkspaceKey,
}

pub struct App {
    /// This process among the nodes of a shared store.
    pub node: String,
    pub store: Store,
    pub vault: Vault,
    /// The types that are built in. Where a workspace is known, ask [`crate::ops::own_types::catalogue_of`].
    pub catalogue: Arc<Catalogue>,
    pub clock: Clock,
    pub caches: Arc<Caches>,
    pub counts: KnownCounts,
    pub use_log: Arc<UseLog>,
    pub uses: Uses,
    pub(crate) turns: Turns,
    pub under_way: UnderWay,
    pub tests: TestRunner,
    pub passwords: Passwords,
    pub attempts: Attempts,
    pub sign_in_failures: SignInFailures,
    pub throttle: Throttle,
    pub metrics: Arc<Metrics>,
    /// Where the folders of this machine's nodes are.
    pub data_folder: std::path::PathBuf,
    /// When this process began.
    pub started_at: i64,
    /// Wakes whoever settles rotations of passwords.
    pub settle_rotations: tokio::sync::Notify,
    /// What a server says of itself; nothing in a shell.
    pub running: OnceLock<Running>,
    /// Where the audit's checkpoints go, if anywhere.
    pub checkpoints: Option<checkpoint::Sink>,
    /// With whom people may sign in besides.
    pub oidc: Option<Arc<Oidc>>,
}

/// What to build an [`App`] from.
#[derive(Debug, Clone)]
pub struct AppConfig {
    pub data: DataConfig,
    pub tests: TestConfig,
    pub rates: RateConfig,
    /// This node's folder for its own state.
    pub node_folder: std::path::PathBuf,
    pub audit: AuditConfig,
    pub oidc: Option<Arc<Oidc>>,
}

impl App {
    /// Opens the store and its key ring, or makes both where the store is empty.
    pub async fn open(config: &AppConfig) -> anyhow::Result<Arc<Self>> {
        // Boxed: it is done once, and its many states would be moved about with whatever waits for it.
        Box::pin(Self::build(config)).await
    }

    async fn build(config: &AppConfig) -> anyhow::Result<Arc<Self>> {
        let store = Store::open(&config.data.location()).await.context("open the store")?;
        let clock = Clock::default();
        let started_at = clock.now();
        let vault = keys::open_vault(&store, &config.data.key(), &clock).await?;
        if (1..firsts::SINCE).contains(&store.came_from) {
            let mut write = store.write().await?;
            firsts::begin(&mut write, &vault, clock.now()).await.context("bring the store up to this version")?;
            write.commit_quietly().await?;
        }
        let metrics = Arc::new(Metrics::new().context("prepare the metrics")?);
        let use_log = UseLog::open(&config.node_folder, &vault, config.audit.clone(), !store.is_shared(), metrics.clone())?;
        let app = Self {
            node: dataflow_vault::random_uuid().to_string(),
            store,
            vault,
            catalogue: Arc::new(Catalogue::built_in().context("read the catalogue")?),
            clock,
            caches: Arc::default(),
            counts: KnownCounts::default(),
            use_log,
            uses: Uses::new(!config.audit.without_uses),
            turns: Turns::default(),
            under_way: UnderWay::default(),
            tests: TestRunner::new(config.tests.clone(), metrics.clone()),
            passwords: Passwords::default(),
            attempts: Attempts::default(),
            sign_in_failures: SignInFailures::default(),
            throttle: Throttle::new(config.rates.clone(), metrics.clone()),
            metrics,
            data_folder: config.data.folder.clone(),
            started_at,
            settle_rotations: tokio::sync::Notify::new(),
            running: OnceLock::new(),
            checkpoints: config.audit.checkpoints.clone(),
            oidc: config.oidc.clone(),
        };
        Ok(Arc::new(app))
    }

    /// The workspace of exactly this name, from memory where it was read before.
    pub async fn workspace(&self, name: &str) -> Result<Option<Arc<Workspace>>> {
        match self.caches.workspaces.get(name) {
            Some(found) => Ok(Some(found)),
            // Boxed: it is rare, and its many states would be moved about with every request.
            None => Box::pin(self.load_workspace(name)).await,
        }
    }

    /// The workspace with its keys as they are stored now, where `known` has none of this version: a rotation has gone on.
    pub async fn workspace_of_now(&self, known: &Workspace, key_version: u32) -> Result<Option<Arc<Workspace>>> {
        if key_version <= known.key.newest() {
            return Ok(None);
        }
        Box::pin(self.load_workspace(&known.name)).await
    }

    async fn load_workspace(&self, name: &str) -> Result<Option<Arc<Workspace>>> {
        // PostgreSQL fails at a text with NUL, so what cannot be a name is not looked for.
        if WorkspaceName::new(name).is_err() {
            return Ok(None);
        }
        let generation = self.caches.generation();
        let Some(row) = store::workspace_by_name(&mut self.store.read().await?, name).await? else { return Ok(None) };
        let row = row.checked(&self.vault)?;
        let id = crate::ops::rows::uuid(&row.id)?;
        let key = self
            .vault
            .open_workspace_key(id, &row.wrapped_key)
            .context("open a workspace's key")
            .map_err(crate::error::Error::SecretUnreadable)?;
        let workspace = Arc::new(Workspace { id, name: row.name, key });
        self.caches.put(generation, || self.caches.workspaces.put(name.to_owned(), workspace.clone()));
        Ok(Some(workspace))
    }
}

/// What was read from the store and may be answered again. A change drops what it touches; a load that began before
/// the change cannot put back what it read.
#[derive(Default)]
pub struct Caches {
    generation: AtomicU64,
    gate: RwLock<()>,
    pub workspaces: Cache<String, Arc<Workspace>>,
    /// By token hash.
    pub tokens: Cache<[u8; 32], Arc<TokenIdentity>>,
    /// By workspace id and the connection's own name.
    pub connections: Cache<(Uuid, String), Arc<Servable>>,
    /// By workspace id and alias.
    pub aliases: Cache<(Uuid, String), Arc<Led>>,
    /// By workspace id: the types that are built in and its own.
    pub catalogues: Cache<Uuid, Arc<Catalogue>>,
    pub kinds: Kinds,
}

/// Types of workspaces' own by workspace id and id, as what was read of their definitions. What the store says of one is asked each time; this says
/// what that comes to, and stays when the rest is forgotten.
pub type Kinds = Cache<(String, String), Arc<Kind>>;

/// What a definition comes to.
#[derive(Debug)]
pub struct Kind {
    /// The version of the row and its MAC: there is one text that has both.
    pub version: i64,
    pub mac: Vec<u8>,
    pub kind: Arc<ConnectionType>,
}

/// Where an alias leads.
#[derive(Debug)]
pub struct Led {
    /// The connection's id: another one may have its name by now.
    pub id: Uuid,
    pub name: String,
}

impl Caches {
    /// Read this before the store is read; give it to [`Caches::put`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Runs `put` unless something was dropped since `generation`.
    pub fn put(&self, generation: u64, put: impl FnOnce()) {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if self.generation() == generation {
            put();
        }
    }

    fn drop_with(&self, act: impl FnOnce()) {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::AcqRel);
        act();
    }

    /// Forgets a connection once `write` is committed.
    pub fn forget_connection(self: &Arc<Self>, write: &mut Write, workspace_id: Uuid, name: &str) {
        let (caches, key) = (self.clone(), (workspace_id, name.to_owned()));
        write.once_committed(move || caches.drop_with(|| caches.connections.remove(&key)));
    }

    /// Forgets where every alias leads once `write` is committed.
    pub fn forget_aliases(self: &Arc<Self>, write: &mut Write) {
        let caches = self.clone();
        write.once_committed(move || caches.drop_with(|| caches.aliases.clear()));
    }

    /// Forgets every connection once `write` is committed.
    pub fn forget_connections(self: &Arc<Self>, write: &mut Write) {
        let caches = self.clone();
        write.once_committed(move || caches.drop_with(|| caches.connections.clear()));
    }

    /// Forgets the types of a workspace once `write` is committed, and its connections: what is served says how its URL is built.
    pub fn forget_types(self: &Arc<Self>, write: &mut Write, workspace_id: Uuid) {
        let caches = self.clone();
        write.once_committed(move || {
            caches.drop_with(|| {
                caches.catalogues.remove(&workspace_id);
                caches.connections.retain(|(workspace, _)| *workspace != workspace_id);
            });
        });
    }

    /// Forgets every token once `write` is committed.
    pub fn forget_tokens(self: &Arc<Self>, write: &mut Write) {
        let caches = self.clone();
        write.once_committed(move || caches.drop_with(|| caches.tokens.clear()));
    }

    pub fn forget_all(&self) {
        self.drop_with(|| {
            self.workspaces.clear();
            self.tokens.clear();
            self.connections.clear();
            self.aliases.clear();
            self.catalogues.clear();
        });
    }
}

/// Most entries of one cache; a full one is emptied.
const CACHE_MAX: usize = 200_000;

/// A map behind a lock, for values that are cheap to share.
pub struct Cache<K, V>(RwLock<HashMap<K, V>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(RwLock::new(HashMap::new()))
    }
}

impl<K: std::hash::Hash + Eq, V: Clone> Cache<K, V> {
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// For what cannot be out of date; all else goes by way of [`Caches::put`].
    pub fn put(&self, key: K, value: V) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= CACHE_MAX {
            map.clear();
        }
        map.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn retain(&self, is_kept: impl Fn(&K) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|key, _| is_kept(key));
    }

    fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Caches {
    pub fn put_token(&self, generation: u64, hash: [u8; 32], identity: Arc<TokenIdentity>) {
        self.put(generation, || self.tokens.put(hash, identity));
    }

    pub fn put_alias(&self, generation: u64, key: (Uuid, String), led: Arc<Led>) {
        self.put(generation, || self.aliases.put(key, led));
    }

    pub fn put_catalogue(&self, generation: u64, workspace_id: Uuid, catalogue: Arc<Catalogue>) {
        self.put(generation, || self.catalogues.put(workspace_id, catalogue));
    }

    pub fn put_connection(&self, generation: u64, key: (Uuid, String), connection: Arc<Servable>) {
        self.put(generation, || self.connections.put(key, connection));
    }
}

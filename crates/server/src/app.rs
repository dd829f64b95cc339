//! The application: everything a request needs, built once and passed down. There are no process globals.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, bail};
use dataflow_model::{Catalogue, WorkspaceName};
use dataflow_vault::{KeyFile, KeyRing, Vault, WorkspaceKey};
use uuid::Uuid;

use crate::{
    audit::UseLog,
    clock::Clock,
    config::{DataConfig, TestConfig},
    error::Result,
    ops::{access::TokenIdentity, credentials::Servable, rows::Sealed as _},
    passwords::Passwords,
    store::{self, Store},
    tests::TestRunner,
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
    pub store: Store,
    pub vault: Vault,
    pub catalogue: Catalogue,
    pub clock: Clock,
    pub caches: Caches,
    pub use_log: Arc<UseLog>,
    pub uses: Uses,
    pub tests: TestRunner,
    pub passwords: Passwords,
}

/// What to build an [`App`] from.
#[derive(Debug, Clone)]
pub struct AppConfig {
    pub data: DataConfig,
    pub tests: TestConfig,
    /// This node's folder for its own state.
    pub node_folder: std::path::PathBuf,
}

impl App {
    /// Opens the store and its key ring, or makes both where the store is empty.
    pub async fn open(config: &AppConfig) -> anyhow::Result<Arc<Self>> {
        let store = Store::open(&config.data.location()).await.context("open the store")?;
        let clock = Clock::default();
        let vault = open_vault(&store, &config.data, &clock).await?;
        let use_log = Arc::new(UseLog::open(&config.node_folder)?);
        let weak = Arc::downgrade(&use_log);
        std::thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || UseLog::sync_forever(&weak))
            .context("start the audit thread")?;
        let app = Self {
            store,
            vault,
            catalogue: Catalogue::built_in().context("read the catalogue")?,
            clock,
            caches: Caches::default(),
            use_log,
            uses: Uses::default(),
            tests: TestRunner::new(config.tests.clone()),
            passwords: Passwords::default(),
        };
        Ok(Arc::new(app))
    }

    /// The workspace of exactly this name, from memory where it was read before.
    pub async fn workspace(&self, name: &str) -> Result<Option<Arc<Workspace>>> {
        if let Some(found) = self.caches.workspaces.get(name) {
            return Ok(Some(found));
        }
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

async fn open_vault(store: &Store, data: &DataConfig, clock: &Clock) -> anyhow::Result<Vault> {
    let path = data.key_path();
    let existing = store::instance(&mut store.read().await?).await?;
    if let Some(instance) = existing {
        let ring = KeyRing::from_bytes(&instance.key_ring).context("read the key ring")?;
        if !path.exists() {
            bail!(
                "The store is encrypted and its key file {} is not there. Put it back, name it with --key-file, or recover with “dataflow recover”.",
                path.display()
            );
        }
        let key = KeyFile::read(&path).with_context(|| format!("read the key file {}", path.display()))?;
        let vault =
            Vault::open(&ring, &key).with_context(|| format!("open the key ring with the key file {}", path.display()))?;
        return Ok(vault);
    }
    let is_new = !path.exists();
    let key = if is_new { KeyFile::create(&path) } else { KeyFile::read(&path) };
    let key = key.with_context(|| format!("make the key file {}", path.display()))?;
    let instance = dataflow_vault::random_uuid();
    // The recovery key of the first ring is let go: set-up makes the one that somebody sees.
    let (vault, ring, _) = Vault::create(instance, &key).context("make the key ring")?;
    let mut write = store.write_alone().await?;
    if store::instance(&mut write).await?.is_some() {
        if is_new {
            std::fs::remove_file(&path)
                .with_context(|| format!("remove the key file {}, which opens nothing", path.display()))?;
        }
        bail!("Another node set the store up at this moment. Start this one again, with that node's key file.");
    }
    store::insert_instance(&mut write, &instance.to_string(), &ring.to_bytes(), clock.now()).await?;
    write.commit().await?;
    Ok(vault)
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
    /// By workspace id and connection name.
    pub connections: Cache<(Uuid, String), Arc<Servable>>,
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

    pub fn forget_connection(&self, workspace_id: Uuid, name: &str) {
        self.drop_with(|| self.connections.remove(&(workspace_id, name.to_owned())));
    }

    pub fn forget_tokens(&self) {
        self.drop_with(|| self.tokens.clear());
    }

    pub fn forget_all(&self) {
        self.drop_with(|| {
            self.workspaces.clear();
            self.tokens.clear();
            self.connections.clear();
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

    fn put(&self, key: K, value: V) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= CACHE_MAX {
            map.clear();
        }
        map.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Caches {
    pub fn put_token(&self, generation: u64, hash: [u8; 32], identity: Arc<TokenIdentity>) {
        self.put(generation, || self.tokens.put(hash, identity));
    }

    pub fn put_connection(&self, generation: u64, key: (Uuid, String), connection: Arc<Servable>) {
        self.put(generation, || self.connections.put(key, connection));
    }
}

//! The key that opens the store's key ring: which one the operator named, and the ring's first making. What a key is and how it
//! opens a ring is the vault's.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
pub use dataflow_vault::Passphrase;
use dataflow_vault::{Kek, KekProvider, KeyFile, KeyRing, SlotKind, Vault, VaultError};

use crate::{
    clock::Clock,
    firsts,
    store::{self, Store, StoreError},
    transit::Transit,
};

/// A key for one more slot of a ring.
pub struct NewKey {
    pub kind: SlotKind,
    pub enrolled: (Kek, Vec<u8>),
    /// Whether its key file was made for it.
    pub is_made: bool,
}

/// Where the key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file of this machine; made with an empty store.
    File(PathBuf),
    /// A key file that the service manager hands over at each start, by its credential's name.
    Credential { name: String, path: PathBuf },
    /// What the operator typed, or a service manager handed over, for this start.
    Passphrase(Arc<Passphrase>),
    /// A key service, asked at each start.
    Transit(Arc<Transit>),
}

impl KeySource {
    /// Opens an existing ring.
    ///
    /// # Errors
    /// One sentence for the operator if the ring opens with the other kind of key, or the key file is not there.
    pub(crate) fn open(&self, ring: &KeyRing) -> anyhow::Result<Vault> {
        let opens_with = |kind| ring.slots().iter().any(|slot| slot.kind() == kind);
        match self {
            Self::File(path) if path.exists() => {
                Vault::open(ring, &read(path)?).with_context(|| format!("open the key ring with the key file {}", path.display()))
            }
            Self::File(_) if opens_with(SlotKind::Passphrase) => {
                bail!("The store opens with a passphrase. Give it with --passphrase-file, or type it with --ask-passphrase.")
            }
            Self::File(path) => bail!(
                "The store is encrypted and its key file {} is not there. Put it back, name it with --key-file, or recover with “dataflow recover”.",
                path.display()
            ),
            Self::Passphrase(_) if !opens_with(SlotKind::Passphrase) => {
                bail!("The store opens with a key file and not with a passphrase. Start it without one.")
            }
            Self::Passphrase(passphrase) => {
                Vault::open(ring, passphrase.as_ref()).context("open the key ring with the passphrase")
            }
            Self::Credential { name, path } => Vault::open(ring, &handed_over(name, path)?)
                .with_context(|| format!("open the key ring with the credential {name}")),
            Self::Transit(_) if !opens_with(SlotKind::Transit) => {
                bail!(
                    "The store has no slot for a Transit key. Start it as before, and add one with “dataflow keys add-slot --new-transit”."
                )
            }
            Self::Transit(transit) => Vault::open(ring, transit.as_ref()).context("open the key ring with the Transit key"),
        }
    }

    /// Its key for one more slot; a key file that is not there is made. Stretching a passphrase takes its time, on a thread of its own.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub async fn enroll_new(&self) -> anyhow::Result<NewKey> {
        let source = self.clone();
        let enroll = move || {
            let (provider, is_made): (Box<dyn KekProvider>, bool) = match source {
                Self::File(path) if path.exists() => (Box::new(read(&path)?), false),
                Self::File(path) => (Box::new(KeyFile::create(&path).context("make the new key file")?), true),
                Self::Credential { name, path } => (Box::new(handed_over(&name, &path)?), false),
                Self::Passphrase(passphrase) => return Ok(NewKey::of(passphrase.as_ref(), false)?),
                Self::Transit(transit) => return Ok(NewKey::of(transit.as_ref(), false)?),
            };
            Ok(NewKey::of(provider.as_ref(), is_made)?)
        };
        tokio::task::spawn_blocking(enroll).await.context("prepare the new key")?
    }

    /// The ring with a slot for this key, which is made if it is a file.
    ///
    /// # Errors
    /// If anything lies in the key file's place.
    pub fn enroll(&self, vault: &Vault, ring: &KeyRing) -> anyhow::Result<KeyRing> {
        let enrolled = match self {
            Self::File(path) => vault.rewrap(ring, &KeyFile::create(path).context("make the new key file")?),
            Self::Credential { name, path } => vault.rewrap(ring, &handed_over(name, path)?),
            Self::Passphrase(passphrase) => vault.rewrap(ring, passphrase.as_ref()),
            Self::Transit(transit) => vault.rewrap(ring, transit.as_ref()),
        };
        enrolled.context("put the new key into the key ring")
    }

    /// Takes back what [`KeySource::enroll`] made, if the ring could not be saved: the key opens nothing, and its file would stand
    /// in the way of the next try.
    pub fn discard(&self) {
        if let Self::File(path) = self {
            let _ = std::fs::remove_file(path);
        }
    }

    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Credential { .. } => "key file",
            Self::Passphrase(_) => "passphrase",
            Self::Transit(_) => "Transit key",
        }
    }
}

impl NewKey {
    fn of(provider: &dyn KekProvider, is_made: bool) -> Result<Self, VaultError> {
        Ok(Self { kind: provider.kind(), enrolled: provider.enroll()?, is_made })
    }
}

/// Opens the store's key ring, or makes it where the store is empty. Where rows are left and the ring is gone, none is made: what is sealed
/// under the old one would be lost for good.
pub async fn open_vault(store: &Store, source: &KeySource, clock: &Clock) -> anyhow::Result<Vault> {
    let mut session = store.read().await?;
    // Asked first: another node that sets the store up at this moment brings the ring with all else.
    let is_new = store::is_new(&mut session).await?;
    let existing = store::instance(&mut session).await?;
    drop(session);
    if let Some(instance) = existing {
        let ring = KeyRing::from_bytes(&instance.key_ring).map_err(unreadable)?;
        // Stretching a passphrase and asking a key service take their time.
        let source = source.clone();
        return tokio::task::spawn_blocking(move || source.open(&ring)).await.context("open the key ring")?;
    }
    if !is_new {
        bail!(
            "The store is in use and its key ring is gone: it was damaged, or changed outside of this program. No new key is made over \
             what lies under the old one. Restore a backup with “dataflow restore --replace”."
        );
    }
    let fresh = match source {
        KeySource::File(path) if !path.exists() => Some(path),
        _ => None,
    };
    let instance = dataflow_vault::random_uuid();
    // The recovery key of the first ring is let go: set-up makes the one that somebody sees.
    let (vault, ring, _) = match source {
        KeySource::Credential { name, path } => Vault::create(instance, &handed_over(name, path)?),
        KeySource::Passphrase(passphrase) => Vault::create(instance, passphrase.as_ref()),
        KeySource::Transit(transit) => Vault::create(instance, transit.as_ref()),
        KeySource::File(path) if path.exists() => Vault::create(instance, &read(path)?),
        KeySource::File(path) => {
            let key = KeyFile::create(path).with_context(|| format!("make the key file {}", path.display()))?;
            Vault::create(instance, &key)
        }
    }
    .context("make the key ring")?;
    let mut write = store.write_alone().await?;
    if store::instance(&mut write).await?.is_some() {
        if let Some(path) = fresh {
            std::fs::remove_file(path).with_context(|| format!("remove the key file {}, which opens nothing", path.display()))?;
        }
        bail!("Another node set the store up at this moment. Start this one again, with that node's key.");
    }
    store::insert_instance(&mut write, &instance.to_string(), &ring.to_bytes(), clock.now()).await?;
    firsts::begin(&mut write, &vault, clock.now()).await?;
    write.commit().await?;
    Ok(vault)
}

/// Bytes that are no ring say what to do, as any other damage of the store does.
fn unreadable(error: VaultError) -> anyhow::Error {
    match error {
        VaultError::Damaged { .. } => StoreError::damaged(error).into(),
        error => anyhow::Error::new(error).context("read the key ring"),
    }
}

/// A credential is never made here: nobody would find it at the next start.
fn handed_over(name: &str, path: &Path) -> anyhow::Result<KeyFile> {
    if !path.exists() {
        bail!(
            "The service manager gave no credential “{name}”. Add LoadCredentialEncrypted={name} or LoadCredential={name}:PATH to the unit."
        );
    }
    KeyFile::read_credential(path).with_context(|| format!("read the credential {name}"))
}

fn read(path: &Path) -> anyhow::Result<KeyFile> {
    KeyFile::read(path).with_context(|| format!("read the key file {}", path.display()))
}

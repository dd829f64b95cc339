//! The key that opens the store's key ring: which one the operator named, and the ring's first making. What a key is and how it
//! opens a ring is the vault's.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
pub use dataflow_vault::Passphrase;
use dataflow_vault::{KeyFile, KeyRing, SlotKind, Vault};

use crate::{
    clock::Clock,
    store::{self, Store},
};

/// Where the key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file of this machine; made with an empty store.
    File(PathBuf),
    /// What the operator typed, or a service manager handed over, for this start.
    Passphrase(Arc<Passphrase>),
}

impl KeySource {
    /// Opens an existing ring.
    ///
    /// # Errors
    /// One sentence for the operator if the ring opens with the other kind of key, or the key file is not there.
    fn open(&self, ring: &KeyRing) -> anyhow::Result<Vault> {
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
        }
    }

    /// The ring with a slot for this key, which is made if it is a file.
    ///
    /// # Errors
    /// If anything lies in the key file's place.
    pub fn enroll(&self, vault: &Vault, ring: &KeyRing) -> anyhow::Result<KeyRing> {
        let enrolled = match self {
            Self::File(path) => vault.rewrap(ring, &KeyFile::create(path).context("make the new key file")?),
            Self::Passphrase(passphrase) => vault.rewrap(ring, passphrase.as_ref()),
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
            Self::File(_) => "key file",
            Self::Passphrase(_) => "passphrase",
        }
    }
}

/// Opens the store's key ring, or makes it where the store is empty.
pub async fn open_vault(store: &Store, source: &KeySource, clock: &Clock) -> anyhow::Result<Vault> {
    let existing = store::instance(&mut store.read().await?).await?;
    if let Some(instance) = existing {
        let ring = KeyRing::from_bytes(&instance.key_ring).context("read the key ring")?;
        return source.open(&ring);
    }
    let fresh = match source {
        KeySource::File(path) if !path.exists() => Some(path),
        _ => None,
    };
    let instance = dataflow_vault::random_uuid();
    // The recovery key of the first ring is let go: set-up makes the one that somebody sees.
    let (vault, ring, _) = match source {
        KeySource::Passphrase(passphrase) => Vault::create(instance, passphrase.as_ref()),
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
    write.commit().await?;
    Ok(vault)
}

fn read(path: &Path) -> anyhow::Result<KeyFile> {
    KeyFile::read(path).with_context(|| format!("read the key file {}", path.display()))
}

//! After the key file is lost, or the passphrase: the recovery key opens the ring, and a new one takes the place of the old.

use anyhow::{Context, bail};
use dataflow_model::Secret;
use dataflow_vault::{KeyRing, RecoveryKey, Vault};

use crate::{
    audit::{self, Event},
    clock::Clock,
    config::DataConfig,
    keys::KeySource,
    ops::Caller,
    serve::lock,
    store::{self, Location, Store},
};

/// Gives an existing store a new key file, or the passphrase of `data`, and says which. The root key stays, so every secret opens
/// as before; a copy of the old ring keeps opening with the old key.
///
/// Refuses where a server runs on the folder, where there is no store, where the recovery key is another one, and where
/// anything lies in the key file's place.
pub async fn recover(data: &DataConfig, recovery_key: &Secret) -> anyhow::Result<KeySource> {
    if let Location::Sqlite(path) = data.location()
        && !path.exists()
    {
        bail!("There is no store at {}. Put the copy of it there, then recover.", path.display());
    }
    let recovery_key = RecoveryKey::parse(recovery_key.expose_secret()).context("read the recovery key")?;
    let source = data.key();
    let _locks = lock(data)?;
    let store = Store::open(&data.location()).await.context("open the store")?;
    let mut write = store.write_alone().await?;
    let instance = store::instance(&mut write).await?.context("the store is new: it has no key ring and nothing to recover")?;
    let ring = KeyRing::from_bytes(&instance.key_ring).context("read the key ring")?;
    let vault = Vault::open(&ring, &recovery_key).context("open the key ring with the recovery key")?;
    let ring = source.enroll(&vault, &ring)?;
    let saved = async {
        store::replace_key_ring(&mut write, &ring.to_bytes()).await?;
        let event = Event {
            at: Clock::default().now(),
            workspace_id: None,
            action: "keys.recover",
            object: source.kind(),
            detail: serde_json::json!({}),
        };
        audit::record(&mut write, &vault, &Caller::shell(), event).await?;
        anyhow::Ok(write.commit().await?)
    };
    if let Err(error) = saved.await {
        source.discard();
        return Err(error.context("save the key ring"));
    }
    store.close().await;
    Ok(source)
}

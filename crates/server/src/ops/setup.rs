//! The first admin and the first workspace.

use anyhow::Context;
use dataflow_model::{Secret, WorkspaceName};
use dataflow_vault::{KeyRing, RecoveryKey};

use super::{
    access::Caller,
    links::{LinkKind, OneTimeLink, find, insert_link, look_at_link},
    people::{NewPerson, check_password, insert_person, read_email},
    workspaces,
};
use crate::{
    app::App,
    error::{Error, Result},
    store::{self, Write},
};

/// The workspace that set-up makes.
pub const DEFAULT_WORKSPACE: &str = "default";

/// Whether nobody has an account yet.
pub async fn is_needed(app: &App) -> Result<bool> {
    Ok(store::people(&mut app.store.read().await?).await?.is_empty())
}

/// A link that makes the first admin. From the server's own start alone.
pub async fn create_link(app: &App) -> Result<OneTimeLink> {
    let mut write = app.store.write().await?;
    let link = insert_link(app, &mut write, LinkKind::Setup, None).await?;
    write.commit_quietly().await?;
    Ok(link)
}

/// Makes the first admin, an owner, and the default workspace, from a shell with the data in hand. The recovery key is given here and
/// never again.
pub async fn from_shell(app: &App, caller: &Caller, email: &str, password: &Secret) -> Result<RecoveryKey> {
    if !matches!(caller.who, super::Who::Shell) {
        return Err(Error::Forbidden("set the server up"));
    }
    let admin = FirstAdmin::read(app, email, password).await?;
    let mut write = app.store.write_alone().await?;
    let recovery = first_admin(app, caller, &mut write, admin).await?;
    write.commit().await?;
    Ok(recovery)
}

/// The same by the one-time link that the server printed. Two at the same instant: one wins.
pub async fn from_link(app: &App, code: &str, email: &str, password: &Secret) -> Result<RecoveryKey> {
    if look_at_link(app, code).await? != LinkKind::Setup {
        return Err(Error::SetupDone);
    }
    let admin = FirstAdmin::read(app, email, password).await?;
    let mut write = app.store.write_alone().await?;
    let recovery = first_admin(app, &Caller::shell(), &mut write, admin).await?;
    let link = find(app, &mut write, code).await?;
    if !store::use_link(&mut write, &link.hash).await? {
        return Err(Error::SetupDone);
    }
    write.commit().await?;
    Ok(recovery)
}

/// Who is to be the first admin; checked and hashed before the store is held.
struct FirstAdmin {
    email: String,
    password_hash: String,
}

impl FirstAdmin {
    async fn read(app: &App, email: &str, password: &Secret) -> Result<Self> {
        if !is_needed(app).await? {
            return Err(Error::HasAdmin);
        }
        let email = read_email(email)?;
        check_password(password)?;
        Ok(Self { email, password_hash: app.passwords.hash(password).await? })
    }
}

async fn first_admin(app: &App, caller: &Caller, write: &mut Write, admin: FirstAdmin) -> Result<RecoveryKey> {
    if !store::people(write).await?.is_empty() {
        return Err(Error::HasAdmin);
    }
    let person = NewPerson { email: &admin.email, password_hash: admin.password_hash, is_owner: true };
    insert_person(app, Some(caller), write, person).await?;
    let name = WorkspaceName::new(DEFAULT_WORKSPACE).map_err(|error| Error::Internal(error.into()))?;
    workspaces::insert(app, caller, write, &name).await?;
    new_recovery_key(app, write).await
}

/// Replaces the key ring's recovery slot by a new one: only the key that somebody saw opens it.
async fn new_recovery_key(app: &App, write: &mut Write) -> Result<RecoveryKey> {
    let instance = store::instance(write).await?.context("the store has no key ring").map_err(Error::Internal)?;
    let recovery = RecoveryKey::generate();
    let ring = KeyRing::from_bytes(&instance.key_ring).and_then(|ring| app.vault.rewrap(&ring, &recovery));
    let ring = ring.context("make the recovery key").map_err(Error::Internal)?;
    store::replace_key_ring(write, &ring.to_bytes()).await?;
    Ok(recovery)
}

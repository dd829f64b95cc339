//! What an owner sets for the whole server: which addresses tests may reach, and how long history and the audit are kept.

use anyhow::{Context, anyhow};
use dataflow_connectors::{AddressLists, DialPolicy};
use dataflow_model::FieldError;
use dataflow_vault::Vault;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    access::{Action, Caller, Who},
    connections::Precondition,
    idempotency::begin as begin_change,
    owners::{OwnersAct, authorise_owner},
    rows::Sealed as _,
};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    store::{self, SettingRow, Write},
};

/// Most ranges of one list of addresses.
pub const RANGES_MAX: usize = 500;
/// Most days that history is kept for, where its age counts at all: ten years.
pub const RETENTION_DAYS_MAX: i64 = 3_660;
/// Fewest days that the audit is kept: who does wrong cannot have it forgotten before anybody looks. PCI DSS 4.0, 10.5.1, wants the last three
/// months at hand, and a year kept.
pub const AUDIT_DAYS_MIN: i64 = 90;

/// Who left a setting that no owner has saved yet.
pub const NOBODY: &str = "server";
/// The action of the events that changes leave.
const CHANGED: &str = "settings.change";

/// One of them: its name in the store, and what of it is refused.
pub trait Setting: Default + Serialize + DeserializeOwned {
    const NAME: &'static str;

    fn errors(&self) -> Vec<FieldError>;
}

impl Setting for AddressLists {
    const NAME: &'static str = "addresses";

    fn errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (field, list) in [("allow", &self.allow), ("deny", &self.deny)] {
            if list.len() > RANGES_MAX {
                errors.push(FieldError::new(field, "too_long", format!("must have at most {RANGES_MAX} ranges")));
            }
        }
        for cidr in self.allow.iter().filter(|cidr| cidr.is_always_refused()) {
            let text = format!("has {cidr}, which is refused whatever stands here; take it out");
            errors.push(FieldError::new("allow", "always_refused", text));
        }
        errors
    }
}

/// How long history is kept. `None`: its age does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days that a check is kept, of those that are not beyond the newest of its connection.
    pub check_days: Option<i64>,
    /// Days that a version is kept once another has replaced it.
    pub version_days: Option<i64>,
    /// Days that an event of a change, and one of a read by a machine, is kept in the audit.
    #[serde(default)]
    pub change_days: Option<i64>,
    #[serde(default)]
    pub read_days: Option<i64>,
    /// Days within which a deleted connection can be brought back. After them its versions are gone, with their secrets.
    #[serde(default = "restore_days")]
    pub restore_days: Option<i64>,
    /// Days that a workflow is kept once it was last seen.
    #[serde(default)]
    pub workflow_days: Option<i64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of a setting that can be switched off")]
fn restore_days() -> Option<i64> {
    Some(30)
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            check_days: None,
            version_days: None,
            change_days: None,
            read_days: None,
            restore_days: restore_days(),
            workflow_days: None,
        }
    }
}

impl Setting for Retention {
    const NAME: &'static str = "retention";

    fn errors(&self) -> Vec<FieldError> {
        let days = [
            ("check_days", self.check_days, 1),
            ("version_days", self.version_days, 1),
            ("change_days", self.change_days, AUDIT_DAYS_MIN),
            ("read_days", self.read_days, AUDIT_DAYS_MIN),
            ("restore_days", self.restore_days, 1),
            ("workflow_days", self.workflow_days, 1),
        ];
        let wrong =
            days.into_iter().filter(|(_, days, least)| days.is_some_and(|days| !(*least..=RETENTION_DAYS_MAX).contains(&days)));
        let text = |least: i64| format!("must be from {least} to {RETENTION_DAYS_MAX} days, or nothing");
        wrong.map(|(field, _, least)| FieldError::new(field, "out_of_range", text(least))).collect()
    }
}

/// A setting as it stands.
#[derive(Debug)]
pub struct Current<S> {
    /// The default where it is not sound.
    pub value: S,
    pub etag: String,
    pub updated_at: Option<i64>,
    pub updated_by: String,
    /// Whether it is what an owner left. If not, what depends on it is refused until one saves it again.
    pub is_sound: bool,
}

fn etag(name: &str, row: Option<&SettingRow>) -> String {
    format!("\"{name}.{}\"", row.map_or(0, |row| row.version))
}

/// Puts the settings into a store that has never had them.
pub async fn begin(write: &mut Write, vault: &Vault, now: i64) -> anyhow::Result<()> {
    store::begin_setting(write, &row(vault, now, &AddressLists::default(), 1, NOBODY)?).await?;
    store::begin_setting(write, &row(vault, now, &Retention::default(), 1, NOBODY)?).await?;
    Ok(())
}

fn row<S: Setting>(vault: &Vault, now: i64, value: &S, version: i64, by: &str) -> anyhow::Result<SettingRow> {
    let value = serde_json::to_string(value).context("write a setting as JSON")?;
    let row =
        SettingRow { name: S::NAME.to_owned(), value, version, updated_at: now, updated_by: by.to_owned(), mac: Vec::new() };
    Ok(row.sealed(vault))
}

/// The setting that holds now. It is read each time: a change counts at once, on every node.
///
/// # Errors
/// `SettingsUnreadable` where the row is gone or is not what an owner left.
pub async fn in_force<S: Setting>(app: &App) -> Result<S> {
    let row = store::setting(&mut app.store.read().await?, S::NAME).await?;
    read(app, row)
}

fn read<S: Setting>(app: &App, row: Option<SettingRow>) -> Result<S> {
    let row = row.ok_or_else(|| Error::SettingsUnreadable(anyhow!("the setting {} is gone from the store", S::NAME)))?;
    let row = row.checked(&app.vault).map_err(|error| match error {
        Error::SecretUnreadable(cause) => Error::SettingsUnreadable(cause),
        other => other,
    })?;
    if row.name != S::NAME {
        return Err(Error::SettingsUnreadable(anyhow!("the setting {} holds another", S::NAME)));
    }
    serde_json::from_str(&row.value)
        .with_context(|| format!("the setting {} does not parse", S::NAME))
        .map_err(Error::SettingsUnreadable)
}

/// Which addresses tests may reach, all told.
///
/// # Errors
/// Those of [`in_force`].
pub async fn policy(app: &App) -> Result<DialPolicy> {
    let set = in_force::<AddressLists>(app).await?;
    Ok(DialPolicy { set, ..app.tests.configured().clone() })
}

/// A setting, for owners; and for a token of an admin, who is asked why a test is refused.
pub async fn show<S: Setting>(app: &App, caller: &Caller) -> Result<Current<S>> {
    authorise(caller)?;
    let row = store::setting(&mut app.store.read().await?, S::NAME).await?;
    Ok(current(app, row))
}

fn current<S: Setting>(app: &App, row: Option<SettingRow>) -> Current<S> {
    let etag = etag(S::NAME, row.as_ref());
    let (updated_at, updated_by) = row.as_ref().map(|row| (row.updated_at, row.updated_by.clone())).unzip();
    let (value, is_sound) = match read(app, row) {
        Ok(value) => (value, true),
        Err(error) => {
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            tracing::error!(setting.name = S::NAME, error.cause = cause, "a setting was refused");
            (S::default(), false)
        }
    };
    Current { value, etag, updated_at, updated_by: updated_by.unwrap_or_default(), is_sound }
}

fn authorise(caller: &Caller) -> Result<()> {
    let may = match &caller.who {
        Who::Person(_) | Who::Shell => caller.is_owner(),
        Who::Token(token) => caller.may(Action::SeeSettings, token.workspace_id),
    };
    if may { Ok(()) } else { Err(Error::OwnersOnly(Action::SeeSettings.words())) }
}

/// Replaces a setting. For owners; a token is for one workspace, and this is the whole server's.
pub async fn change<S: Setting>(app: &App, caller: &Caller, precondition: &Precondition, value: S) -> Result<Current<S>> {
    authorise_owner(app, caller, OwnersAct::ChangeSettings).await?;
    let errors = value.errors();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let mut write = begin_change(app, caller).await?;
    let found = store::setting(&mut write, S::NAME).await?;
    precondition.holds(&etag(S::NAME, found.as_ref()))?;
    let version = found.as_ref().map_or(0, |row| row.version).max(0) + 1;
    let row = row(&app.vault, app.clock.now(), &value, version, &caller.label()).map_err(Error::Internal)?;
    if !store::put_setting(&mut write, &row).await? {
        return Err(Error::VersionConflict);
    }
    let detail = serde_json::to_value(&value).context("write a setting as JSON").map_err(Error::Internal)?;
    let event = Event { at: row.updated_at, workspace_id: None, action: CHANGED, object: S::NAME, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    Ok(current(app, Some(row)))
}

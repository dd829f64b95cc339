//! Rows that every store has from its beginning: the end of the chain of changes, and the settings. None is ever put in again: where one is
//! gone, somebody took it out, and what depends on it says so.

use dataflow_vault::Vault;

use crate::{audit::chain, ops::settings, store::Write};

/// The step of the tables that has brought the last of them.
pub const SINCE: i64 = 7;

/// Puts them into a store that is new, or that comes from before [`SINCE`].
pub async fn begin(write: &mut Write, vault: &Vault, now: i64) -> anyhow::Result<()> {
    chain::begin(write, vault).await?;
    settings::begin(write, vault, now).await
}

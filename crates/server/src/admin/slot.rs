//! A key for one more slot of the key ring, as a shell names it.

use std::{path::PathBuf, sync::Arc};

use dataflow_model::FieldError;
use serde::{Deserialize, Serialize};

use super::Clear;
use crate::{
    error::{Error, Result},
    keys::{KeySource, Passphrase},
    transit::Transit,
};

/// A key for one more slot of the key ring.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewSlot {
    /// An absolute path on the server's machine.
    KeyFile(PathBuf),
    Passphrase(Clear),
    /// The file that says which Transit key, an absolute path on the server's machine.
    Transit(PathBuf),
}

impl NewSlot {
    pub(super) fn source(self) -> Result<KeySource> {
        Ok(match self {
            Self::KeyFile(path) => KeySource::File(path),
            Self::Passphrase(Clear(text)) => {
                let refused = |error: dataflow_vault::VaultError| {
                    Error::Invalid(vec![FieldError::new("passphrase", "invalid", error.to_string())])
                };
                KeySource::Passphrase(Arc::new(Passphrase::new(text).map_err(refused)?))
            }
            Self::Transit(path) => {
                let refused =
                    |error: anyhow::Error| Error::Invalid(vec![FieldError::new("transit", "invalid", format!("{error:#}"))]);
                KeySource::Transit(Arc::new(Transit::read(&path).map_err(refused)?))
            }
        })
    }
}

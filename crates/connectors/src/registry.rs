//! The one list of connectors.

use crate::{Connector, mysql::MySql, postgres::Postgres, sqlite::Sqlite};

/// Every connector. Catalogue entries name one of these.
pub const ALL: &[&dyn Connector] = &[&MySql, &Postgres, &Sqlite];

/// The connector called `name`, as in a catalogue entry's `connector`.
#[must_use]
pub fn connector(name: &str) -> Option<&'static dyn Connector> {
    ALL.iter().copied().find(|connector| connector.name() == name)
}

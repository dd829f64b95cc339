//! The categories of connection types, in the order in which they are shown everywhere.

use serde::{Deserialize, Serialize};

/// What a type is for. In a catalogue file in snake case: `category = "search_and_nosql"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Databases,
    Warehouses,
    SearchAndNosql,
    ObjectStores,
    Files,
    Messaging,
    Mail,
    HttpAndSaas,
    Clouds,
    MachineAccess,
}

impl Category {
    pub const ALL: [Self; 10] = [
        Self::Databases,
        Self::Warehouses,
        Self::SearchAndNosql,
        Self::ObjectStores,
        Self::Files,
        Self::Messaging,
        Self::Mail,
        Self::HttpAndSaas,
        Self::Clouds,
        Self::MachineAccess,
    ];

    /// As people read it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Databases => "Databases",
            Self::Warehouses => "Warehouses",
            Self::SearchAndNosql => "Search and NoSQL",
            Self::ObjectStores => "Object stores",
            Self::Files => "Files",
            Self::Messaging => "Messaging",
            Self::Mail => "Mail",
            Self::HttpAndSaas => "HTTP and SaaS",
            Self::Clouds => "Clouds",
            Self::MachineAccess => "Machine access",
        }
    }

    /// The end of an address that leads to it on a page: `search-and-nosql`.
    #[must_use]
    pub fn anchor(self) -> String {
        self.label().to_lowercase().replace(' ', "-")
    }
}

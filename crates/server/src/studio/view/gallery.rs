//! The gallery of types, and the box for a pasted URL.

use askama::Template;
use dataflow_model::{Category, ConnectionType, paste::PASTE_MAX};

use super::{Glyph, Shell};

/// The first page of New Connection: paste a URL, or choose a type.
#[derive(Debug, Template)]
#[template(path = "gallery.html")]
pub struct Gallery {
    pub shell: Shell,
    pub search: String,
    pub groups: Vec<Group>,
    /// What was wrong with a pasted text.
    pub paste_error: Option<String>,
}

/// Types of one category.
#[derive(Debug)]
pub struct Group {
    pub category: Category,
    pub types: Vec<Card>,
}

#[derive(Debug)]
pub struct Card {
    pub id: String,
    pub label: String,
    pub summary: String,
    /// What to know of how it was tested, if anything.
    pub caveat: Option<String>,
    /// Of this workspace.
    pub is_own: bool,
    pub glyph: Glyph,
}

impl Group {
    /// The types that have every word of `search`, by category; those whose name begins with it come first.
    #[must_use]
    pub fn of(types: &[&ConnectionType], search: &str) -> Vec<Self> {
        let name = search.trim().to_lowercase();
        let group = |category| {
            let mut found: Vec<_> =
                types.iter().filter(|kind| kind.category == category && kind.is_found_by(search)).copied().collect();
            found.sort_by_key(|kind| !(kind.label.to_lowercase().starts_with(&name) || kind.id.starts_with(&name)));
            Self { category, types: found.into_iter().map(Card::of).collect() }
        };
        Category::ALL.into_iter().map(group).filter(|group| !group.types.is_empty()).collect()
    }
}

impl Card {
    fn of(kind: &ConnectionType) -> Self {
        Self {
            id: kind.id.clone(),
            label: kind.label.clone(),
            summary: kind.summary.clone(),
            caveat: kind.tested.caveat(),
            is_own: kind.own.is_some(),
            glyph: Glyph::from(kind),
        }
    }
}

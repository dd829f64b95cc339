//! The gallery of types, and the box for a pasted URL.

use std::collections::BTreeMap;

use askama::Template;
use dataflow_model::{ConnectionType, paste::PASTE_MAX};

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
    pub category: String,
    pub types: Vec<Card>,
}

#[derive(Debug)]
pub struct Card {
    pub id: String,
    pub label: String,
    pub summary: String,
    pub glyph: Glyph,
}

impl Group {
    /// The types whose label, id, summary or category has every word of `search`, by category.
    #[must_use]
    pub fn of(types: &[&ConnectionType], search: &str) -> Vec<Self> {
        let words: Vec<_> = search.to_lowercase().split_whitespace().map(ToOwned::to_owned).collect();
        let mut groups = BTreeMap::<String, Vec<Card>>::new();
        for kind in types {
            let text = format!("{} {} {} {}", kind.label, kind.id, kind.summary, kind.category).to_lowercase();
            if words.iter().all(|word| text.contains(word)) {
                groups.entry(kind.category.clone()).or_default().push(Card {
                    id: kind.id.clone(),
                    label: kind.label.clone(),
                    summary: kind.summary.clone(),
                    glyph: Glyph::from(*kind),
                });
            }
        }
        groups.into_iter().map(|(category, types)| Self { category, types }).collect()
    }
}

//! The list: search words and pages.

use std::collections::BTreeSet;

use anyhow::Context;
use dataflow_model::{Catalogue, ConnectionType, FieldError, PublicFields, Tag, name::TAG_MAX, settle::THROUGH};
use dataflow_vault::Vault;

use super::{
    access::{Action, Caller, authorise},
    hops, own_types,
    paging::{Page, Paging, Place, bad_cursor},
};
use crate::{
    app::App,
    error::{Error, Result},
    store::{self, Begins, ConnectionRow, ListSort, ListedRow, LiveRow, PageQuery, Read, TERMS, Value, Way, Write},
};

/// Longest search, in characters: the longest name fits.
pub const SEARCH_MAX: usize = 250;
/// Longest id of a type to filter by, in characters.
pub const TYPE_MAX: usize = 50;
/// Most characters of a word that count.
const WORD_MAX: usize = 64;
/// Most distinct words of one connection that are searched.
const WORDS_MAX: usize = 40;
/// Fewer connections than this are sorted: some milliseconds, where a walk may pass all.
const FEW: i64 = 2_000;
/// How far the connections that have a term are counted, to find the rarest.
const COUNTED: i64 = 20_000;
/// Most words that a beginning may stand for where each is read by itself.
const WORDS_EACH: usize = 8;
/// Sorts after every name, which are ASCII.
const AFTER_EVERY_NAME: &str = "\u{10FFFF}";

/// What the words begin with that name a setting by which a connection's secret is less well protected.
const WEAK: &str = ":weak:";

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Words that the connection's name, host, description, type or tags begin with.
    pub search: Option<String>,
    pub type_id: Option<String>,
    pub tag: Option<String>,
    /// `ok`, `failed`, `unproven`, or `untested`.
    pub status: Option<String>,
    pub sort: ListSort,
    /// From the page before.
    pub cursor: Option<String>,
    pub limit: Option<usize>,
}

/// One page of live connections. Rows are for display: nothing in them directs a connection.
pub async fn list(app: &App, caller: &Caller, workspace: &str, query: &ListQuery) -> Result<Page<ListedRow>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let paging = Paging { cursor: query.cursor.clone(), limit: query.limit };
    let limit = paging.rows_to_read()?;
    check_filters(query)?;
    let terms = query_terms(query)?;
    let after = paging.after()?;
    let workspace_id = workspace.id.to_string();
    // A page as it stands is a range of an index; what is searched for may be anywhere.
    let _turn = if terms.is_empty() { None } else { Some(app.turns.take(&caller.identity()).await?) };
    let mut read = app.store.read().await?;
    let rows = match caller.narrowed_to() {
        Some(names) => named_rows(&mut read, (&workspace_id, names), query.sort, &terms, after.as_ref()).await?,
        None => Search::new(&mut read, workspace_id, query.sort, terms).await?.page(&mut read, after.as_ref(), limit).await?,
    };
    paging.page(rows, |row| place_of(row, query.sort))
}

/// The settings by which the secrets of these rows of a list are less well protected, by name and path.
pub async fn weakened(app: &App, caller: &Caller, workspace: &str, rows: &[ListedRow]) -> Result<BTreeSet<(String, String)>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let keys: Vec<_> = rows.iter().map(|row| row.name_key.as_str()).collect();
    let words = Begins::with(WEAK);
    let found = store::words_among(&mut app.store.read().await?, &workspace.id.to_string(), &keys, &words).await?;
    let path = |word: &str| word.strip_prefix(WEAK).unwrap_or_default().to_owned();
    Ok(found.into_iter().map(|(key, word)| (key, path(&word))).collect())
}

/// What a narrowed token sees of the list, after a place. Its names are few and the workspace is large: each is looked up.
async fn named_rows(
    read: &mut Read,
    (workspace_id, names): (&str, &[String]),
    sort: ListSort,
    terms: &[Begins],
    after: Option<&Place>,
) -> Result<Vec<ListedRow>> {
    let order = |row: &ListedRow| match sort {
        ListSort::Name | ListSort::NameDescending => (0, row.name_key.clone()),
        ListSort::Updated => (row.updated_at, row.id.clone()),
    };
    let after = match (sort, after) {
        (_, None) => None,
        (ListSort::Name | ListSort::NameDescending, Some((key, _))) => Some((0, key.clone())),
        (ListSort::Updated, Some((at, id))) => Some((at.parse().map_err(|_| bad_cursor())?, id.clone())),
    };
    let follows = |row: &ListedRow| {
        let order = order(row);
        after.as_ref().is_none_or(|after| if sort == ListSort::Name { order > *after } else { order < *after })
    };
    let mut rows = Vec::new();
    for name in names.iter().collect::<BTreeSet<_>>() {
        let row = store::newest_connection(read, workspace_id, name, &name.to_ascii_lowercase()).await?;
        let Some(row) = row.filter(|row| row.deleted_at.is_none()) else { continue };
        let words = if terms.is_empty() { Vec::new() } else { store::words_of(read, &row).await? };
        let depend = store::dependents(read, (workspace_id, &row.name_key)).await?;
        let by_aliases = store::count_by_aliases(read, (&row.id, &row.name_key)).await?;
        let rotation_tries = store::rotation(read, &row.id).await?.map(|rotation| rotation.tries);
        let dependents = depend.seen + depend.found + by_aliases;
        let listed = ListedRow { dependents, rotation_tries, ..ListedRow::from(&row) };
        if follows(&listed) && terms.iter().all(|term| words.iter().any(|word| term.takes(word))) {
            rows.push(listed);
        }
    }
    rows.sort_by_cached_key(order);
    if sort != ListSort::Name {
        rows.reverse();
    }
    Ok(rows)
}

pub(super) fn place_of(row: &ListedRow, sort: ListSort) -> Place {
    match sort {
        ListSort::Name | ListSort::NameDescending => (row.name_key.clone(), String::new()),
        ListSort::Updated => (row.updated_at.to_string(), row.id.clone()),
    }
}

/// What a list is read by: its order, its terms, the rarest first, and the way to its pages.
#[derive(Debug, Clone)]
pub(super) struct Search {
    workspace_id: String,
    sort: ListSort,
    terms: Vec<Begins>,
    pub(super) way: Way,
    /// The words that the first term stands for, if each is read by itself.
    each: Vec<Begins>,
}

impl Search {
    pub(super) async fn new(read: &mut Read, workspace_id: String, sort: ListSort, terms: Vec<Begins>) -> Result<Self> {
        let mut search = Self { workspace_id, sort, terms, way: Way::Walk, each: Vec::new() };
        let by_name = sort != ListSort::Updated;
        if search.terms.is_empty() || (by_name && search.terms.len() == 1 && search.read_each_word(read, 0).await?) {
            return Ok(search);
        }
        let few = search.put_rarest_first(read).await? < FEW;
        if few {
            search.way = Way::Sort;
        }
        for place in (0..search.terms.len()).take(if few { 1 } else { TERMS }) {
            if by_name && search.read_each_word(read, place).await? {
                break;
            }
        }
        Ok(search)
    }

    /// Orders the terms by how many words of connections they take; how many the first does. Counts far only where all take many.
    async fn put_rarest_first(&mut self, read: &mut Read) -> Result<i64> {
        let mut rarest = 0;
        for most in [FEW, COUNTED] {
            let mut counted = Vec::with_capacity(self.terms.len());
            for term in self.terms.drain(..) {
                counted.push((store::count_up_to(read, &self.workspace_id, &term, most).await?, term));
            }
            counted.sort_by_key(|(count, _)| *count);
            rarest = counted.first().map_or(0, |(count, _)| *count);
            self.terms = counted.into_iter().map(|(_, term)| term).collect();
            if rarest < most {
                break;
            }
        }
        Ok(rarest)
    }

    /// Reads the words that the term at `place` stands for one after the other, if they are not many; whether it does.
    async fn read_each_word(&mut self, read: &mut Read, place: usize) -> Result<bool> {
        let Some(term) = self.terms.get(place) else { return Ok(false) };
        let most = i64::try_from(WORDS_EACH + 1).unwrap_or(i64::MAX);
        let words = store::first_words(read, &self.workspace_id, term, most).await?;
        let are_few = words.len() <= WORDS_EACH;
        if are_few {
            self.way = Way::Word;
            self.terms.swap(0, place);
            self.each = words.iter().map(|word| Begins::and_ends(word)).collect();
        }
        Ok(are_few)
    }

    pub(super) async fn page(&self, read: &mut Read, after: Option<&Place>, limit: i64) -> Result<Vec<ListedRow>> {
        if self.way != Way::Word {
            return self.page_of(read, &self.terms, after, limit).await;
        }
        let mut page = Vec::new();
        let mut terms = self.terms.clone();
        for word in &self.each {
            terms.splice(..1, [word.clone()]);
            page.extend(self.page_of(read, &terms, after, limit).await?);
        }
        page.sort_by(|one, other| match self.sort {
            ListSort::NameDescending => other.name_key.cmp(&one.name_key),
            ListSort::Name | ListSort::Updated => one.name_key.cmp(&other.name_key),
        });
        page.dedup_by(|one, other| one.id == other.id);
        page.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(page)
    }

    async fn page_of(&self, read: &mut Read, terms: &[Begins], after: Option<&Place>, limit: i64) -> Result<Vec<ListedRow>> {
        let query = PageQuery { workspace_id: &self.workspace_id, terms, way: self.way, limit };
        let page = match self.sort {
            ListSort::Name => store::list_by_name(read, &query, after.map_or("", |(key, _)| key)).await?,
            ListSort::NameDescending => {
                store::list_by_name_descending(read, &query, after.map_or(AFTER_EVERY_NAME, |(key, _)| key)).await?
            }
            ListSort::Updated => {
                let before = match after {
                    None => (i64::MAX, ""),
                    Some((at, id)) => (at.parse().map_err(|_| bad_cursor())?, id.as_str()),
                };
                store::list_by_updated(read, &query, before).await?
            }
        };
        Ok(page)
    }
}

/// A search or filter that no connection could have is refused; PostgreSQL would fail at a filter with NUL.
fn check_filters(query: &ListQuery) -> Result<()> {
    let too_long = [("search", &query.search, SEARCH_MAX), ("tag", &query.tag, TAG_MAX), ("type", &query.type_id, TYPE_MAX)]
        .into_iter()
        .filter(|(_, value, max)| value.as_deref().is_some_and(|value| value.chars().count() > *max))
        .map(|(field, _, max)| FieldError::new(field, "too_long", format!("must have at most {max} characters")));
    let with_control = [("tag", &query.tag), ("type", &query.type_id), ("status", &query.status)]
        .into_iter()
        .filter(|(_, value)| value.as_deref().is_some_and(|value| value.contains(char::is_control)))
        .map(|(field, _)| FieldError::new(field, "invalid", "must hold no control characters"));
    let errors: Vec<_> = too_long.chain(with_control).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// The terms of a query; none: all connections.
pub(super) fn query_terms(query: &ListQuery) -> Result<Vec<Begins>> {
    let words = query.search.as_deref().map(words).unwrap_or_default();
    let mut terms: Vec<_> = words.iter().map(|word| Begins::with(word)).collect();
    terms.extend(query.tag.as_ref().map(|tag| Begins::and_ends(&format!(":tag:{}", tag.to_lowercase()))));
    terms.extend(query.status.as_ref().map(|status| Begins::and_ends(&format!(":status:{status}"))));
    terms.extend(query.type_id.as_ref().map(|id| Begins::and_ends(&format!(":type:{id}"))));
    if terms.len() > TERMS {
        let message = format!("takes at most {TERMS} words and filters together");
        return Err(Error::Invalid(vec![FieldError::new("search", "too_long", message)]));
    }
    Ok(terms)
}

/// Lower-case words of a text, in order, without repeats.
fn words(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_MAX).collect::<String>())
        .filter(|word| seen.insert(word.clone()))
        .collect()
}

/// The words that a connection is found by, and those that its row in the list is marked by. A type that this build no longer has is found by
/// its id.
pub(super) fn search_words(kind: Option<&ConnectionType>, row: &ConnectionRow, public: &PublicFields) -> Vec<String> {
    let label = kind.map_or(row.type_id.as_str(), |kind| kind.label.as_str());
    let tags: Vec<Tag> = serde_json::from_str(&row.tags).unwrap_or_default();
    let mut text = format!("{} {} {}", row.name, row.address, label);
    for part in tags.iter().map(Tag::as_str).chain(public.text("username")).chain([row.description.as_str()]) {
        text.push(' ');
        text.push_str(part);
    }
    let mut found: BTreeSet<_> = words(&text).into_iter().take(WORDS_MAX).collect();
    found.insert(format!(":type:{}", row.type_id));
    found.insert(status_word(row.check_status.as_deref()));
    found.extend(tags.iter().map(|tag| format!(":tag:{}", tag.key())));
    found.extend(public.text(THROUGH).map(hops::word));
    let weakened = kind.into_iter().flat_map(|kind| kind.weakened(public));
    found.extend(weakened.map(|(field, _)| format!("{WEAK}{}", field.path.as_str())));
    found.into_iter().collect()
}

/// Live connections that are indexed at a time.
const INDEXED: i64 = 1_000;

/// Makes the search words of a store that has none yet.
pub(crate) async fn index_all(write: &mut Write, vault: &Vault, built_in: &Catalogue) -> anyhow::Result<()> {
    let own = own_types::all_catalogues(write, vault, built_in).await?;
    let mut after = (String::new(), String::new());
    loop {
        let page = store::live_connections(write, (&after.0, &after.1), INDEXED).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.row.workspace_id.clone(), last.row.name_key.clone());
        let mut all = Vec::new();
        for LiveRow { row, fields } in &page {
            let public = serde_json::from_str(fields).context("a version's fields do not parse")?;
            let catalogue = own.get(&row.workspace_id).unwrap_or(built_in);
            let words = search_words(catalogue.get(&row.type_id), row, &public).into_iter();
            all.extend(
                words.map(|word| [&row.workspace_id, &row.name_key, &word].map(|text| Value::Text(Some(text.clone()))).to_vec()),
            );
        }
        store::put_all_words(write, &all).await?;
    }
}

pub(super) fn status_word(status: Option<&str>) -> String {
    format!(":status:{}", status.unwrap_or("untested"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_words_and_filters() {
        let query = ListQuery {
            search: Some("Sales_EU  sales".into()),
            type_id: Some("postgres".into()),
            tag: Some("Fin".into()),
            ..ListQuery::default()
        };
        let terms = [Begins::with("sales"), Begins::with("eu"), Begins::and_ends(":tag:fin"), Begins::and_ends(":type:postgres")];
        assert_eq!(query_terms(&query).ok(), Some(terms.to_vec()));
        let long = ListQuery { search: Some("a b c d e f g".into()), ..ListQuery::default() };
        assert!(query_terms(&long).is_err());
    }
}

//! The list: search terms, pages, counts.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use dataflow_model::{ConnectionType, FieldError, PublicFields, Tag};

use super::access::{Action, Caller, authorise};
use crate::{
    app::App,
    error::{Error, Result},
    store::{self, ConnectionRow, ListSort, NamePage, OTHER_TERMS, Read, UpdatedPage},
};

/// Longest beginning of a word that is a term, in characters.
const PREFIX_MAX: usize = 24;
/// Most distinct words of one connection that are searched.
const WORDS_MAX: usize = 40;
/// Rows of a page unless asked otherwise, and at most.
pub const PAGE_DEFAULT: usize = 50;
pub const PAGE_MAX: usize = 200;

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

/// A page, and the cursor of the next one.
#[derive(Debug)]
pub struct Page {
    pub rows: Vec<ConnectionRow>,
    pub next: Option<String>,
}

/// How many connections there are, by status, type and tag; for the chips and filters of the list.
#[derive(Debug, Default)]
pub struct Counts {
    pub all: i64,
    pub failed: i64,
    pub unproven: i64,
    pub untested: i64,
    pub types: Vec<(String, i64)>,
    pub tags: Vec<(String, i64)>,
}

/// One page of live connections. Rows are for display: nothing in them directs a connection.
pub async fn list(app: &App, caller: &Caller, workspace: &str, query: &ListQuery) -> Result<Page> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > PAGE_MAX {
        return Err(Error::Invalid(vec![FieldError::new("limit", "out_of_range", format!("must be from 1 to {PAGE_MAX}"))]));
    }
    check_filters(query)?;
    let terms = query_terms(query)?;
    let mut slots = [""; OTHER_TERMS + 1];
    for (slot, term) in slots.iter_mut().zip(&terms) {
        *slot = term;
    }
    let workspace_id = workspace.id.to_string();
    let mut read = app.store.read().await?;
    let mut place = query.cursor.as_deref().map(read_cursor).transpose()?;
    let mut rows = Vec::new();
    // A narrowed token sees few of many rows; no place of a row that it does not see may stand in a cursor.
    while rows.len() <= limit {
        let batch = if caller.is_narrowed() { PAGE_MAX } else { limit } + 1;
        let page = read_page(&mut read, query.sort, (&workspace_id, slots), place.as_ref(), batch).await?;
        let Some(last) = page.last() else { break };
        place = Some(place_of(last, query.sort));
        let whole = page.len() == batch;
        rows.extend(page.into_iter().filter(|row| caller.may_see_name(&row.name)));
        if !whole {
            break;
        }
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| write_cursor(&place_of(last, query.sort)));
    Ok(Page { rows, next })
}

/// Where a row stands in the order of a list: the place that the next page begins after.
type Place = (String, String);

fn place_of(row: &ConnectionRow, sort: ListSort) -> Place {
    match sort {
        ListSort::Name | ListSort::NameDescending => (row.name_key.clone(), String::new()),
        ListSort::Updated => (row.updated_at.to_string(), row.id.clone()),
    }
}

/// The counts of a workspace's live connections.
pub async fn counts(app: &App, caller: &Caller, workspace: &str) -> Result<Counts> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let id = workspace.id.to_string();
    let mut read = app.store.read().await?;
    let strip = |terms: Vec<(String, i64)>| {
        terms
            .into_iter()
            .map(|(term, count)| (term.split_once(':').map_or_else(String::new, |(_, value)| value.to_owned()), count))
            .collect()
    };
    Ok(Counts {
        all: store::count_term(&mut read, &id, "").await?,
        failed: store::count_term(&mut read, &id, "status:failed").await?,
        unproven: store::count_term(&mut read, &id, "status:unproven").await?,
        untested: store::count_term(&mut read, &id, "status:untested").await?,
        types: strip(store::types_in_use(&mut read, &id).await?),
        tags: strip(store::tags_in_use(&mut read, &id).await?),
    })
}

async fn read_page(
    read: &mut Read,
    sort: ListSort,
    scope: (&str, [&str; OTHER_TERMS + 1]),
    after: Option<&Place>,
    rows: usize,
) -> Result<Vec<ConnectionRow>> {
    let (workspace_id, terms) = scope;
    let limit = i64::try_from(rows).unwrap_or(i64::MAX);
    Ok(match sort {
        ListSort::Name | ListSort::NameDescending => {
            let after = after.map_or("", |(key, _)| key.as_str());
            let page = NamePage { workspace_id, terms, after, descending: sort == ListSort::NameDescending, limit };
            store::list_by_name(read, &page).await?
        }
        ListSort::Updated => {
            let before = match after {
                None => (i64::MAX, ""),
                Some((at, id)) => (at.parse().map_err(|_| bad_cursor())?, id.as_str()),
            };
            store::list_by_updated(read, &UpdatedPage { workspace_id, terms, before, limit }).await?
        }
    })
}

fn bad_cursor() -> Error {
    Error::Invalid(vec![FieldError::new("cursor", "invalid", "is not from an earlier page of this list")])
}

fn write_cursor((first, second): &Place) -> String {
    BASE64.encode(format!("{first}\n{second}"))
}

fn read_cursor(text: &str) -> Result<Place> {
    let bytes = BASE64.decode(text).map_err(|_| bad_cursor())?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(bad_cursor)?;
    text.split_once('\n').map(|(first, second)| (first.to_owned(), second.to_owned())).ok_or_else(bad_cursor)
}

/// A filter that no connection could have is refused; PostgreSQL would fail at one with NUL.
fn check_filters(query: &ListQuery) -> Result<()> {
    let refused = [("tag", &query.tag), ("type", &query.type_id), ("status", &query.status)]
        .into_iter()
        .find(|(_, value)| value.as_deref().is_some_and(|value| value.contains(char::is_control)));
    refused.map_or(Ok(()), |(field, _)| {
        Err(Error::Invalid(vec![FieldError::new(field, "invalid", "must hold no control characters")]))
    })
}

/// The terms of a query, the rarest kind first; the first drives the search, empty: all.
fn query_terms(query: &ListQuery) -> Result<Vec<String>> {
    let mut words = query.search.as_deref().map(words).unwrap_or_default();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut terms: Vec<String> = words.iter().map(|word| word.chars().take(PREFIX_MAX).collect()).collect();
    terms.extend(query.tag.as_ref().map(|tag| format!("tag:{}", tag.to_lowercase())));
    terms.extend(query.status.as_ref().map(|status| format!("status:{status}")));
    terms.extend(query.type_id.as_ref().map(|id| format!("type:{id}")));
    if terms.len() > OTHER_TERMS + 1 {
        return Err(Error::Invalid(vec![FieldError::new(
            "search",
            "too_long",
            format!("takes at most {} words and filters together", OTHER_TERMS + 1),
        )]));
    }
    Ok(terms)
}

/// Lower-case words of a text, in order, without repeats.
fn words(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .filter(|word| seen.insert((*word).to_owned()))
        .map(str::to_owned)
        .collect()
}

/// The terms that a connection is found by.
pub(super) fn search_terms(kind: &ConnectionType, row: &ConnectionRow, public: &PublicFields) -> Vec<String> {
    let tags: Vec<Tag> = serde_json::from_str(&row.tags).unwrap_or_default();
    let mut text = format!("{} {} {}", row.name, row.address, kind.label);
    for part in tags.iter().map(Tag::as_str).chain(public.text("username")).chain([row.description.as_str()]) {
        text.push(' ');
        text.push_str(part);
    }
    let mut terms = BTreeSet::from([String::new(), format!("type:{}", row.type_id)]);
    terms.insert(status_term(row.check_status.as_deref()));
    terms.extend(tags.iter().map(|tag| format!("tag:{}", tag.key())));
    for word in words(&text).into_iter().take(WORDS_MAX) {
        let mut prefix = String::new();
        for character in word.chars().take(PREFIX_MAX) {
            prefix.push(character);
            terms.insert(prefix.clone());
        }
    }
    terms.into_iter().collect()
}

pub(super) fn status_term(status: Option<&str>) -> String {
    format!("status:{}", status.unwrap_or("untested"))
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
        assert_eq!(query_terms(&query).ok(), Some(vec!["sales".into(), "eu".into(), "tag:fin".into(), "type:postgres".into()]));
        let long = ListQuery { search: Some("a b c d e f g".into()), ..ListQuery::default() };
        assert!(query_terms(&long).is_err());
    }

    #[test]
    fn a_cursor_reads_back() {
        assert_eq!(read_cursor(&write_cursor(&("k".into(), "v".into()))).ok(), Some(("k".into(), "v".into())));
        assert!(read_cursor("?").is_err() && read_cursor("QQ").is_err());
    }
}

//! Pages of a list: how many rows, and the place that the next page begins after.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use dataflow_model::FieldError;

use crate::error::{Error, Result};

/// Rows of a page unless asked otherwise, and at most.
pub const PAGE_DEFAULT: usize = 50;
pub const PAGE_MAX: usize = 200;

/// Which page is asked for.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    /// From the page before.
    pub cursor: Option<String>,
    pub limit: Option<usize>,
}

/// A page, and the cursor of the next one.
#[derive(Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next: Option<String>,
}

/// Where a row stands in the order of a list: its key, and what tells rows of the same key apart.
pub type Place = (String, String);

impl Paging {
    /// A page of the most rows, after the one that `cursor` came from.
    #[must_use]
    pub fn largest(cursor: Option<String>) -> Self {
        Self { cursor, limit: Some(PAGE_MAX) }
    }

    /// Every row of a list, whose pages `read` gives.
    pub async fn all<T, P: Future<Output = Result<Page<T>>>>(read: impl Fn(Self) -> P) -> Result<Vec<T>> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let Page { rows, next } = read(Self::largest(cursor)).await?;
            all.extend(rows);
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    pub fn limit(&self) -> Result<usize> {
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        if limit == 0 || limit > PAGE_MAX {
            return Err(Error::Invalid(vec![FieldError::new("limit", "out_of_range", format!("must be from 1 to {PAGE_MAX}"))]));
        }
        Ok(limit)
    }

    /// The rows to read: one more than the page has tells whether another follows.
    pub fn rows_to_read(&self) -> Result<i64> {
        Ok(i64::try_from(self.limit()? + 1).unwrap_or(i64::MAX))
    }

    /// The place that the page begins after; nothing for the first.
    pub fn after(&self) -> Result<Option<Place>> {
        self.cursor.as_deref().map(read_cursor).transpose()
    }

    /// The same in a list by time, newest first: the time and id that the page begins before.
    pub fn before(&self) -> Result<(i64, String)> {
        match self.after()? {
            None => Ok((i64::MAX, String::new())),
            Some((at, id)) => Ok((at.parse().map_err(|_| bad_cursor())?, id)),
        }
    }

    /// Makes the page of the rows that were read.
    pub fn page<T>(&self, mut rows: Vec<T>, place: impl Fn(&T) -> Place) -> Result<Page<T>> {
        let limit = self.limit()?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| write_cursor(&place(last)));
        Ok(Page { rows, next })
    }
}

impl<T> Page<T> {
    /// The same page with each row as something else.
    pub fn map<U>(self, to: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(to).collect(), next: self.next }
    }
}

pub(super) fn bad_cursor() -> Error {
    Error::Invalid(vec![FieldError::new("cursor", "invalid", "is not from an earlier page of this list")])
}

pub(super) fn write_cursor((first, second): &Place) -> String {
    BASE64.encode(format!("{first}\n{second}"))
}

/// PostgreSQL fails at a text with NUL, so a cursor with one is none of ours.
fn read_cursor(text: &str) -> Result<Place> {
    let bytes = BASE64.decode(text).map_err(|_| bad_cursor())?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(bad_cursor)?;
    text.split_once('\n').map(|(first, second)| (first.to_owned(), second.to_owned())).ok_or_else(bad_cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        assert_eq!(read_cursor(&write_cursor(&("k".into(), "v".into()))).ok(), Some(("k".into(), "v".into())));
        assert!(read_cursor("?").is_err() && read_cursor("QQ").is_err());
    }

    #[test]
    fn fuzz_cursors() {
        let sound = write_cursor(&("2026-11-29".into(), "sales".into()));
        dataflow_fuzz::fuzz(&[sound.as_bytes()], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(place) = read_cursor(&text) {
                assert!(!place.0.contains('\0') && !place.1.contains('\0'), "PostgreSQL fails at it");
            }
        });
    }
}

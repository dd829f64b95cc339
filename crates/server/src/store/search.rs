//! The list page, over `search_words`. Every filter is a range of words, so one text serves every combination.

use super::{ConnectionRow, Handle, ListedRow, Result, Write, execute, fetch};

/// In which order a page of the list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListSort {
    #[default]
    Name,
    NameDescending,
    /// Newest change first.
    Updated,
}

/// Most terms of a query.
pub const TERMS: usize = 6;

/// Words that one statement writes.
const BATCH: usize = 24;

pub async fn put_words(write: &mut Write, row: &ConnectionRow, words: &[String]) -> Result<()> {
    for batch in words.chunks(BATCH) {
        let mut slots = [None; BATCH];
        for (slot, word) in slots.iter_mut().zip(batch) {
            *slot = Some(word.as_str());
        }
        execute!(
            write,
            "INSERT INTO search_words (workspace_id, name_key, word) SELECT $1, $2, column1 FROM (VALUES \
             ($3), ($4), ($5), ($6), ($7), ($8), ($9), ($10), ($11), ($12), ($13), ($14), \
             ($15), ($16), ($17), ($18), ($19), ($20), ($21), ($22), ($23), ($24), ($25), ($26)) batch WHERE column1 IS NOT NULL",
            &row.workspace_id,
            &row.name_key;
            slots
        )?;
    }
    Ok(())
}

pub async fn remove_words(write: &mut Write, row: &ConnectionRow) -> Result<()> {
    execute!(write, "DELETE FROM search_words WHERE workspace_id = $1 AND name_key = $2", &row.workspace_id, &row.name_key)?;
    Ok(())
}

pub async fn remove_word(write: &mut Write, row: &ConnectionRow, word: &str) -> Result<()> {
    execute!(
        write,
        "DELETE FROM search_words WHERE workspace_id = $1 AND name_key = $2 AND word = $3",
        &row.workspace_id,
        &row.name_key,
        word
    )?;
    Ok(())
}

/// Every word that a live connection is found by.
pub async fn words_of(handle: &mut impl Handle, row: &ConnectionRow) -> Result<Vec<String>> {
    let words = fetch!(
        handle,
        fetch_all,
        (String,),
        "SELECT word FROM search_words WHERE workspace_id = $1 AND name_key = $2 ORDER BY word",
        &row.workspace_id,
        &row.name_key
    )?;
    Ok(words.into_iter().map(|(word,)| word).collect())
}

/// Name keys that one statement takes: as many as a page of the Studio has rows.
const AMONG: usize = 50;

/// The words of a range that connections with these name keys have.
pub async fn words_among(
    handle: &mut impl Handle,
    workspace_id: &str,
    name_keys: &[&str],
    range: &Begins,
) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for batch in name_keys.chunks(AMONG) {
        let mut slots = [None; AMONG];
        for (slot, key) in slots.iter_mut().zip(batch) {
            *slot = Some(*key);
        }
        found.extend(fetch!(
            handle,
            fetch_all,
            (String, String),
            "SELECT name_key, word FROM search_words WHERE workspace_id = $1 AND word >= $2 AND word < $3 AND name_key IN \
             ($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, \
             $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, \
             $49, $50, $51, $52, $53)",
            workspace_id,
            &range.from,
            &range.to;
            slots;
        )?);
    }
    Ok(found)
}

/// Names of live connections that have this word, at most `most`, in their order.
pub async fn names_with_word(handle: &mut impl Handle, workspace_id: &str, word: &str, most: i64) -> Result<Vec<String>> {
    let names = fetch!(
        handle,
        fetch_all,
        (String,),
        "SELECT c.name FROM search_words w JOIN connections c ON c.workspace_id = w.workspace_id AND c.name_key = w.name_key \
         WHERE w.workspace_id = $1 AND w.word = $2 AND c.deleted_at IS NULL ORDER BY w.name_key LIMIT $3",
        workspace_id,
        word,
        most
    )?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// Replaces a connection's one `:status:…` word.
pub async fn replace_status(write: &mut Write, row: &ConnectionRow, status: &str) -> Result<()> {
    execute!(
        write,
        "DELETE FROM search_words WHERE workspace_id = $1 AND name_key = $2 AND word >= ':status:' AND word < ':status;'",
        &row.workspace_id,
        &row.name_key
    )?;
    put_words(write, row, &[status.to_owned()]).await
}

/// A range of words: from the first, up to and without the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begins {
    from: String,
    to: String,
}

impl Begins {
    /// All words that begin so.
    #[must_use]
    pub fn with(beginning: &str) -> Self {
        Self { from: beginning.to_owned(), to: format!("{beginning}\u{10FFFF}") }
    }

    /// This word alone. No word holds control characters.
    #[must_use]
    pub fn and_ends(word: &str) -> Self {
        Self { from: word.to_owned(), to: format!("{word}\u{1}") }
    }

    /// Whether a word is in the range.
    #[must_use]
    pub fn takes(&self, word: &str) -> bool {
        self.from.as_str() <= word && word < self.to.as_str()
    }
}

/// How many words of live connections are in a range; counting ends at `most`, so that it costs little where there are many.
pub async fn count_up_to(handle: &mut impl Handle, workspace_id: &str, range: &Begins, most: i64) -> Result<i64> {
    let (count,) = fetch!(
        handle,
        fetch_one,
        (i64,),
        "SELECT count(*) FROM (SELECT 1 FROM search_words WHERE workspace_id = $1 AND word >= $2 AND word < $3 LIMIT $4) found",
        workspace_id,
        &range.from,
        &range.to,
        most
    )?;
    Ok(count)
}

/// The first words of a range, at most `most`: found one by one, however many connections have each.
pub async fn first_words(handle: &mut impl Handle, workspace_id: &str, range: &Begins, most: i64) -> Result<Vec<String>> {
    let words = fetch!(
        handle,
        fetch_all,
        (String,),
        "WITH RECURSIVE found (word) AS ( \
         SELECT min(word) FROM search_words WHERE workspace_id = $1 AND word >= $2 AND word < $3 \
         UNION ALL \
         SELECT (SELECT min(w.word) FROM search_words w WHERE w.workspace_id = $1 AND w.word > found.word AND w.word < $3) \
         FROM found WHERE found.word IS NOT NULL) \
         SELECT word FROM found WHERE word IS NOT NULL LIMIT $4",
        workspace_id,
        &range.from,
        &range.to,
        most
    )?;
    Ok(words.into_iter().map(|(word,)| word).collect())
}

/// What follows `:kind:` in the words of a workspace (`type`, `tag`, `status`), with how many live connections have each. Reads a row of
/// the index for each of them.
pub async fn words_in_use(handle: &mut impl Handle, workspace_id: &str, kind: &str) -> Result<Vec<(String, i64)>> {
    let prefix = format!(":{kind}:");
    let found = fetch!(
        handle,
        fetch_all,
        (String, i64),
        "SELECT word, count(*) FROM search_words WHERE workspace_id = $1 AND word >= $2 AND word < $3 GROUP BY word ORDER BY word",
        workspace_id,
        &prefix,
        format!(":{kind};")
    )?;
    Ok(found.into_iter().map(|(word, count)| (word.strip_prefix(&prefix).unwrap_or_default().to_owned(), count)).collect())
}

/// How a page is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Connections are walked in the page's order until enough of them match: quick where most do.
    Walk,
    /// All that have a word of the first range are taken and sorted: quick where few do.
    Sort,
    /// The first range is one word, whose connections stand in the order of their names. For pages by name.
    Word,
}

/// Which connections a page is of: live ones of the workspace that have a word in every range.
#[derive(Debug)]
pub struct PageQuery<'q> {
    pub workspace_id: &'q str,
    /// At most [`TERMS`].
    pub terms: &'q [Begins],
    pub way: Way,
    pub limit: i64,
}

impl PageQuery<'_> {
    /// The bounds of every range; empty ones are no condition.
    fn bounds(&self) -> [&str; 2 * TERMS] {
        let mut bounds = [""; 2 * TERMS];
        let given = self.terms.iter().flat_map(|range| [range.from.as_str(), range.to.as_str()]);
        bounds.iter_mut().zip(given).for_each(|(bound, given)| *bound = given);
        bounds
    }
}

/// “And `$row`'s connection has a word from `$from` to `$to`, unless that is empty.”
macro_rules! has {
    ($row:literal, $from:literal, $to:literal) => {
        concat!(
            " AND (",
            $from,
            " = '' OR EXISTS (SELECT 1 FROM search_words w WHERE w.workspace_id = $1 AND w.name_key = ",
            $row,
            ".name_key AND w.word >= ",
            $from,
            " AND w.word < ",
            $to,
            "))"
        )
    };
}

/// The text of every list page. The first range gives the rows `$row`, with the condition `$first`; `$after` is where the page begins. Dependents
/// are counted for its rows alone, and not for all that were sorted; `$order` is the same order twice, of `$row` and of the page.
macro_rules! page {
    ($handle:expr, $query:expr, $row:literal of $from:literal, ($($first:tt)*), $after:literal, ($order:literal, $of_page:literal),
     ($($place:expr),*)) => {
        fetch!(
            $handle,
            fetch_all,
            ListedRow,
            concat!(
                "SELECT c.*, COALESCE((SELECT d.seen + d.found FROM dependents d WHERE d.workspace_id = $1 AND d.name_key = c.name_key), 0) \
                 + COALESCE((SELECT CAST(sum(a.seen + a.found) AS BIGINT) FROM live_names n JOIN dependents a ON a.workspace_id = n.workspace_id \
                 AND a.name_key = n.name_key WHERE n.connection_id = c.id AND n.name_key <> c.name_key), 0) AS dependents, \
                 (SELECT r.tries FROM rotations r WHERE r.connection_id = c.id) AS rotation_tries \
                 FROM (SELECT c.id, c.name, c.name_key, c.version, c.type, c.description, c.tags, c.address, c.updated_at, c.updated_by, \
                 c.checked_at, c.check_status, c.check_summary, c.check_micros, c.recent_checks FROM ",
                $from, " WHERE ", $row, ".workspace_id = $1 AND c.deleted_at IS NULL", $($first)*,
                has!($row, "$4", "$5"), has!($row, "$6", "$7"), has!($row, "$8", "$9"), has!($row, "$10", "$11"), has!($row, "$12", "$13"),
                " AND ", $after, " ORDER BY ", $order, " LIMIT $14) c ORDER BY ", $of_page
            ),
            $query.workspace_id;
            $query.bounds();
            $query.limit $(, $place)*
        )
    };
    (walk $handle:expr, $query:expr, $after:literal, $order:literal, $place:tt) => {
        page!($handle, $query, "c" of "connections c", (has!("c", "$2", "$3")), $after, ($order, $order), $place)
    };
    // A connection that has many words of the range counts with the first of them.
    (sort $handle:expr, $query:expr, $after:literal, $order:literal, $place:tt) => {
        page!(found $handle, $query, (" AND f.word >= $2 AND f.word < $3 AND NOT EXISTS (SELECT 1 FROM search_words g \
            WHERE g.workspace_id = $1 AND g.name_key = f.name_key AND g.word >= $2 AND g.word < f.word)"), $after, ($order, $order), $place)
    };
    (word $handle:expr, $query:expr, $after:literal, $orders:tt, $place:tt) => {
        page!(found $handle, $query, (" AND f.word = $2"), $after, $orders, $place)
    };
    // SQLite reads the tables of a `CROSS JOIN` in the order in which they are written. Joined by name it would carry the bound of a page
    // over to `connections` and look at every later name for each row (half a second of 100,000), so they are joined by id.
    (found $handle:expr, $query:expr, ($($first:tt)*), $after:literal, $orders:tt, $place:tt) => {
        page!(
            $handle,
            $query,
            "f" of "search_words f CROSS JOIN connections c",
            (" AND c.id = (SELECT i.id FROM connections i WHERE i.workspace_id = $1 AND i.name_key = f.name_key AND i.deleted_at IS NULL)",
             $($first)*),
            $after,
            $orders,
            $place
        )
    };
}

/// A page by name: after the name key `after`.
pub async fn list_by_name(handle: &mut impl Handle, query: &PageQuery<'_>, after: &str) -> Result<Vec<ListedRow>> {
    match query.way {
        Way::Walk => page!(walk handle, query, "c.name_key > $15", "c.name_key", (after)),
        Way::Sort => page!(sort handle, query, "c.name_key > $15", "c.name_key", (after)),
        Way::Word => page!(word handle, query, "f.name_key > $15", ("f.name_key", "c.name_key"), (after)),
    }
}

/// A page by name from the end: before the name key `before`.
pub async fn list_by_name_descending(handle: &mut impl Handle, query: &PageQuery<'_>, before: &str) -> Result<Vec<ListedRow>> {
    match query.way {
        Way::Walk => page!(walk handle, query, "c.name_key < $15", "c.name_key DESC", (before)),
        Way::Sort => page!(sort handle, query, "c.name_key < $15", "c.name_key DESC", (before)),
        Way::Word => page!(word handle, query, "f.name_key < $15", ("f.name_key DESC", "c.name_key DESC"), (before)),
    }
}

/// A page by time of the last change, newest first: before the place of a row, its `updated_at` and id.
pub async fn list_by_updated(handle: &mut impl Handle, query: &PageQuery<'_>, (at, id): (i64, &str)) -> Result<Vec<ListedRow>> {
    match query.way {
        Way::Walk | Way::Word => {
            page!(walk handle, query, "(c.updated_at, c.id) < ($15, $16)", "c.updated_at DESC, c.id DESC", (at, id))
        }
        Way::Sort => page!(sort handle, query, "(c.updated_at, c.id) < ($15, $16)", "c.updated_at DESC, c.id DESC", (at, id)),
    }
}

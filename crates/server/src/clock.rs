//! The app's clock. Nothing else asks the system for the time, so that a test can set it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;

/// Tells the time as integer microseconds UTC.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Added to the system's time; tests move it.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// Microseconds since 1970, UTC.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX) + self.offset.load(Ordering::Relaxed)
    }

    /// Moves the clock ahead, for tests of expiry.
    pub fn advance(&self, micros: i64) {
        self.offset.fetch_add(micros, Ordering::Relaxed);
    }
}

/// RFC 3339 in UTC, for answers and pages. Always six digits of a second: as text, times sort as they went by.
#[must_use]
pub fn rfc3339(micros: i64) -> String {
    let digits = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|time| time.format(digits).ok())
        .unwrap_or_default()
}

/// `3 Mar 2027, 04:05 UTC`: for sentences, which people read.
#[must_use]
pub fn minute(micros: i64) -> String {
    let format = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_default()
}

/// Reads RFC 3339 with any offset.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_text() {
        let micros = [0, 1, 10, 999_999, SECOND, SECOND + 460_000, SECOND + 461_000, DAY, 1_763_829_693 * SECOND];
        let texts = micros.map(rfc3339);
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[5], "1970-01-01T00:00:01.460000Z");
        assert_eq!(texts.map(|text| parse_rfc3339(&text)), micros.map(Some));
    }
}

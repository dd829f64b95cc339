//! A text of which only parts are known.

use std::fmt;

use dataflow_model::{ConnectionName, name::NAME_MAX};

/// Fewer letters and digits than this, and too many names fit by accident.
const TELLING_MIN: usize = 2;
/// Nobody builds a name from more parts than this.
const PIECES_MAX: usize = 16;

/// What is known of a text: between two pieces stands something unknown. One piece alone is the whole text.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<String>,
}

/// It comes from a file, so it is not shown.
impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pattern").finish_non_exhaustive()
    }
}

impl Pattern {
    pub fn text(text: &str) -> Self {
        Self { pieces: vec![cut(text)] }
    }

    pub fn anything() -> Self {
        Self { pieces: vec![String::new(), String::new()] }
    }

    /// This and then `other`.
    pub fn then(mut self, other: &Self) -> Self {
        let mut rest = other.pieces.iter();
        if let (Some(last), Some(first)) = (self.pieces.last_mut(), rest.next()) {
            *last = cut(&format!("{last}{first}"));
        }
        for piece in rest {
            if self.pieces.len() >= PIECES_MAX {
                // From here on it may be anything.
                self.pieces.last_mut().map(String::clear);
                break;
            }
            self.pieces.push(piece.clone());
        }
        self
    }

    /// The whole text, if it is known.
    pub fn whole(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    /// The whole text as a name, if it is one.
    pub fn name(&self) -> Option<ConnectionName> {
        ConnectionName::new(self.whole()?).ok()
    }

    /// Whether some name could fit, and not just any.
    pub fn says_something(&self) -> bool {
        let all = || self.pieces.iter().flat_map(|piece| piece.chars());
        all().filter(char::is_ascii_alphanumeric).count() >= TELLING_MIN
            && all().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-'))
    }

    pub fn fits(&self, name: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.whole() == Some(name);
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        for piece in middle {
            let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
            rest = after;
        }
        true
    }
}

/// What is longer than any name is as good as one letter longer.
fn cut(text: &str) -> String {
    text.chars().take(NAME_MAX + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_what_it_could_have_come_from() {
        let sales = Pattern::text("sales_").then(&Pattern::anything());
        let both = sales.clone().then(&Pattern::text("_eu")).then(&Pattern::anything()).then(&Pattern::text("x"));
        for (pattern, name, fits) in [
            (&sales, "sales_", true),
            (&sales, "sales_eu", true),
            (&sales, "sale", false),
            (&sales, "my_sales_eu", false),
            (&both, "sales_1_eu_2x", true),
            (&both, "sales__eux", true),
            (&both, "sales_eux", false),
            (&Pattern::text("a"), "a", true),
            (&Pattern::text("a"), "aa", false),
        ] {
            assert_eq!(pattern.fits(name), fits, "{name}");
        }
        assert!(
            !Pattern::text("aa").then(&Pattern::anything()).then(&Pattern::text("aa")).fits("aaa"),
            "each letter counts once"
        );
    }

    #[test]
    fn what_is_nearly_anything_says_nothing() {
        let any = Pattern::anything;
        assert!(!any().says_something() && !any().then(&Pattern::text("_")).then(&any()).says_something());
        assert!(!Pattern::text("postgres://db").then(&any()).says_something());
        assert!(Pattern::text("db").then(&any()).says_something());
    }

    #[test]
    fn growing_without_end_stays_small() {
        let mut pattern = Pattern::text("a").then(&Pattern::anything());
        for _ in 0..40 {
            pattern = pattern.clone().then(&pattern);
        }
        assert!(pattern.pieces.len() <= PIECES_MAX && pattern.name().is_none());
        assert!(Pattern::text(&"a".repeat(500)).name().is_none());
    }
}

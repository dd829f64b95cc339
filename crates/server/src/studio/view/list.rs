//! The list of connections.

use askama::Template;
use dataflow_model::TestStatus;

use super::{
    Glyph, Shell,
    form::Waiting,
    parts::{Pages, duration, plural},
    words::Status,
};
use crate::ops::list::SEARCH_MAX;

/// How many checks a row draws.
pub const SPARK_CHECKS: usize = 20;

#[derive(Debug, Template)]
#[template(path = "list.html")]
pub struct List {
    pub shell: Shell,
    pub filter: Filter,
    pub chips: Vec<Chip>,
    /// Types and tags that connections of the workspace have.
    pub types: Vec<Choice>,
    pub tags: Vec<Choice>,
    /// The words for what a test has done.
    pub steps: Vec<Waiting>,
    pub rows: Vec<Row>,
    /// Why there can be no rows, for example too many words.
    pub problem: Option<String>,
    pub pages: Pages,
}

/// The list's state, as it stands in the address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub search: String,
    pub status: String,
    pub type_id: String,
    pub tag: String,
    pub sort: String,
}

impl Filter {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { sort: self.sort.clone(), ..Self::default() }
    }

    /// The address of the list in this state; parameters that say nothing are left out.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("q", &self.search), ("status", &self.status), ("type", &self.type_id), ("tag", &self.tag), ("sort", &self.sort)]
        {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

#[derive(Debug, Clone)]
pub struct Chip {
    pub label: &'static str,
    /// The `status` parameter that it stands for.
    pub value: &'static str,
    pub count: i64,
    pub on: bool,
}

#[derive(Debug, Clone)]
pub struct Choice {
    pub value: String,
    pub label: String,
    pub on: bool,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    pub type_label: String,
    pub glyph: Glyph,
    pub address: String,
    /// By what its secret is less well protected on its way, in words.
    pub weak: Vec<String>,
    pub status: Status,
    /// Nothing else changes it meanwhile.
    pub is_rotating: bool,
    /// `12 ms · 3 min ago`; empty before the first check.
    pub detail: String,
    /// The instant of the last check.
    pub checked_at: String,
    pub spark: Spark,
    /// How many workflows depend on it.
    pub dependents: i64,
}

/// The last checks as bars, oldest first.
#[derive(Debug, Clone, Template)]
#[template(path = "spark.html")]
pub struct Spark {
    strokes: Vec<Stroke>,
    label: String,
}

impl askama::filters::HtmlSafe for Spark {}

/// All bars of one tone, as an SVG path: a page has a thousand of them. What is missing is one dashed line.
#[derive(Debug, Clone)]
struct Stroke {
    tone: &'static str,
    path: String,
}

impl Spark {
    /// Status and milliseconds of each check, oldest first. A failed one takes the whole height; the others stand in the
    /// proportion of their times, so that a slow one is seen.
    #[must_use]
    pub fn new(checks: &[(TestStatus, f64)]) -> Self {
        let checks = checks.get(checks.len().saturating_sub(SPARK_CHECKS)..).unwrap_or_default();
        let slowest = checks.iter().filter(|(status, _)| *status != TestStatus::Failed).map(|(_, ms)| *ms).fold(1.0, f64::max);
        let missing = SPARK_CHECKS - checks.len();
        let drawn = checks.iter().map(|(status, ms)| match status {
            TestStatus::Ok => ("ok", in_proportion(ms / slowest)),
            TestStatus::Unproven => ("warn", in_proportion(ms / slowest)),
            TestStatus::Failed => ("bad", 180),
        });
        let mut strokes = Vec::new();
        if let Some(none) = (missing * 46).checked_sub(14) {
            strokes.push(Stroke { tone: "none", path: format!("M0 19h{}", Tenths(none)) });
        }
        for ((tone, height), place) in drawn.zip(missing..) {
            let bar = format!("M{} 20v-{}", Tenths(place * 46 + 16), Tenths(height));
            match strokes.iter_mut().find(|stroke| stroke.tone == tone) {
                Some(stroke) => stroke.path.push_str(&bar),
                None => strokes.push(Stroke { tone, path: bar }),
            }
        }
        let failed = checks.iter().filter(|(status, _)| *status == TestStatus::Failed).count();
        let label = match (checks.len(), failed) {
            (0, _) => "No checks yet".to_owned(),
            (all, failed) => {
                let all = plural(i64::try_from(all).unwrap_or(i64::MAX), "check");
                if failed == 0 { format!("Last {all}, none failed") } else { format!("Last {all}, {failed} failed") }
            }
        };
        Self { strokes, label }
    }
}

/// The height of a bar for this share of the slowest check's time, in tenths.
fn in_proportion(share: f64) -> usize {
    (40..130_u8).find(|height| f64::from(*height) >= 40.0 + 90.0 * share).map_or(130, usize::from)
}

/// A number of tenths, written out.
struct Tenths(usize);

impl std::fmt::Display for Tenths {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0 / 10)?;
        if self.0.is_multiple_of(10) { Ok(()) } else { write!(formatter, ".{}", self.0 % 10) }
    }
}

/// The line under a status.
#[must_use]
pub fn detail(status: TestStatus, ms: Option<f64>, ago: &str) -> String {
    let time = ms.filter(|_| status != TestStatus::Failed).map_or_else(|| "—".to_owned(), duration);
    format!("{time} · {ago}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spark_says_what_it_draws() {
        let strokes = |checks: &[_]| {
            let spark = Spark::new(checks);
            (spark.label, spark.strokes.into_iter().map(|stroke| (stroke.tone, stroke.path)).collect::<Vec<_>>())
        };
        let (label, drawn) = strokes(&[(TestStatus::Ok, 5.0), (TestStatus::Failed, 9.0), (TestStatus::Ok, 10.0)]);
        assert_eq!(label, "Last 3 checks, 1 failed");
        let expected = [("none", "M0 19h76.8"), ("ok", "M79.8 20v-8.5M89 20v-13"), ("bad", "M84.4 20v-18")];
        assert_eq!(drawn, expected.map(|(tone, path)| (tone, path.to_owned())));
        let (_, full) = strokes(&[(TestStatus::Ok, 5.0); 30]);
        assert_eq!(
            full.iter().map(|(tone, path)| (*tone, path.matches('M').count())).collect::<Vec<_>>(),
            [("ok", SPARK_CHECKS)]
        );
        assert_eq!(Spark::new(&[]).label, "No checks yet");
    }

    #[test]
    fn the_address_holds_what_is_chosen_and_no_more() {
        assert_eq!(Filter::default().query(), "");
        let filter = Filter { search: "a&b c".into(), tag: "finance".into(), ..Filter::default() };
        assert_eq!(filter.query(), "q=a%26b+c&tag=finance");
        assert!(!filter.is_empty() && Filter { sort: "updated".into(), ..Filter::default() }.is_empty());
    }
}

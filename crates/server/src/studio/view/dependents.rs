//! Who depends on a connection.

use askama::Template;
use dataflow_model::Impact;

use super::{
    Shell,
    parts::{Pages, plural},
};

#[derive(Debug, Template)]
#[template(path = "dependents.html")]
pub struct Dependents {
    pub shell: Shell,
    pub name: String,
    pub lines: Vec<DependentLine>,
    pub impact: Impact,
    pub pages: Pages,
}

/// A workflow that depends on the connection.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "dependent.html")]
pub struct DependentLine {
    /// The name of its drawing.
    pub icon: &'static str,
    /// `pipeline`, `notebook`, `app`, `script`, `cli`, or that it tells none.
    pub kind: &'static str,
    pub name: String,
    /// `last seen 6 h ago · version 3`; empty of one that was found in code alone.
    pub seen: String,
    /// When exactly, as whom and where.
    pub title: String,
    /// `ok` of one in use now, `bad` of one that could not connect, or nothing.
    pub tone: &'static str,
    /// The first place in code: `etl: dags/daily.py, line 12`.
    pub code: Option<String>,
    /// How many more places there are.
    pub more: usize,
    /// The alias that it uses.
    pub alias: Option<String>,
}

impl askama::filters::HtmlSafe for DependentLine {}

/// `11 workflows, 2 in use now, 3 found only in code, 4 by “old_sales”, 1 that you may not see`.
#[must_use]
pub fn summary(impact: &Impact) -> String {
    let mut parts = vec![plural(impact.total, "workflow")];
    if impact.live > 0 {
        parts.push(format!("{} in use now", impact.live));
    }
    if impact.found_only > 0 {
        parts.push(format!("{} found only in code", impact.found_only));
    }
    parts.extend(impact.aliases.iter().map(|alias| format!("{} by “{}”", alias.total, alias.name)));
    if impact.hidden > 0 {
        parts.push(format!("{} that you may not see", impact.hidden));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_there_is_and_no_more() {
        let impact = |total, live, found_only, hidden| Impact { total, live, found_only, hidden, ..Impact::default() };
        assert_eq!(summary(&impact(1, 0, 0, 0)), "1 workflow");
        assert_eq!(summary(&impact(11, 2, 3, 1)), "11 workflows, 2 in use now, 3 found only in code, 1 that you may not see");
    }
}

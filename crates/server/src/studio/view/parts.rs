//! The parts that every page is made of: the shell around it, icons, glyphs, times.

use std::fmt;

use askama::Template;
use dataflow_model::ConnectionType;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

pub use crate::clock::minute;

/// What stands around a page.
#[derive(Debug, Clone)]
pub struct Shell {
    pub title: String,
    /// Which item of the sidebar is lit.
    pub here: Here,
    /// The workspace that is open; `None` on pages above workspaces.
    pub workspace: Option<String>,
    /// Every workspace that the person may open, by name.
    pub workspaces: Vec<String>,
    pub who: String,
    /// The person's role in the open workspace, as words: `admin`, `editor and user`.
    pub role: String,
    pub may: May,
    /// How many connections the workspace has.
    pub connections: Option<i64>,
    /// Said once, on top of the page.
    pub notice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    Connections,
    Health,
    Tokens,
    Access,
    Activity,
    Workspaces,
    Settings,
    Nowhere,
}

/// What the person may do; what he may not is absent from the page. The rule itself stands in `ops`.
#[expect(clippy::struct_excessive_bools, reason = "one flag per act that a page can offer")]
#[derive(Debug, Clone, Copy, Default)]
pub struct May {
    pub edit: bool,
    pub test: bool,
    pub manage_tokens: bool,
    pub manage_people: bool,
    pub see_activity: bool,
    pub narrow: bool,
    pub manage_workspaces: bool,
    pub change_settings: bool,
    /// He has no password, and shows there who he is.
    pub shows_at_provider: bool,
}

impl Shell {
    /// The address of a page of the open workspace; of the list of workspaces where none is open.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        self.workspace.as_ref().map_or_else(|| "/workspaces".to_owned(), |workspace| format!("/w/{workspace}/{path}"))
    }

    #[must_use]
    pub fn is(&self, here: &str) -> bool {
        let name = match self.here {
            Here::Connections => "connections",
            Here::Health => "health",
            Here::Tokens => "tokens",
            Here::Access => "access",
            Here::Activity => "activity",
            Here::Workspaces => "workspaces",
            Here::Settings => "settings",
            Here::Nowhere => "",
        };
        name == here
    }
}

/// The address of an embedded file.
#[must_use]
pub fn asset(name: &str) -> String {
    super::super::assets::url(name)
}

/// One drawing of the sprite; beside a text, so hidden from screen readers.
#[derive(Debug, Clone, Copy)]
pub struct Icon(pub &'static str);

#[must_use]
pub fn icon(name: &'static str) -> Icon {
    Icon(name)
}

impl fmt::Display for Icon {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sprite = asset("icons.svg");
        write!(formatter, "<svg class=\"ico\" aria-hidden=\"true\"><use href=\"{sprite}#{}\"/></svg>", self.0)
    }
}

impl askama::filters::HtmlSafe for Icon {}

/// A type's two letters on its colour; the colour is an attribute, because the policy forbids styles.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<svg class="glyph" viewBox="0 0 24 24" aria-hidden="true"><rect width="24" height="24" rx="6" fill="{{ color }}"/><text x="12" y="12.5">{{ text }}</text></svg>"#,
    ext = "html"
)]
pub struct Glyph {
    pub text: String,
    pub color: String,
}

impl askama::filters::HtmlSafe for Glyph {}

impl From<&ConnectionType> for Glyph {
    fn from(kind: &ConnectionType) -> Self {
        Self { text: kind.glyph.text.clone(), color: kind.glyph.color.clone() }
    }
}

/// The ways to the neighbouring pages of a list.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "pages.html")]
pub struct Pages {
    /// The address of the first page, where this is a later one.
    pub first: Option<String>,
    pub next: Option<String>,
}

impl askama::filters::HtmlSafe for Pages {}

impl Pages {
    /// Of the list at `address`, whose state but for the page is `query`; `cursor` names this page and is empty on the first.
    #[must_use]
    pub fn of(address: &str, query: &str, cursor: &str, next: Option<&str>) -> Self {
        let first = if query.is_empty() { address.to_owned() } else { format!("{address}?{query}") };
        let mark = if query.is_empty() { '?' } else { '&' };
        Self { next: next.map(|next| format!("{first}{mark}cursor={next}")), first: Some(first).filter(|_| !cursor.is_empty()) }
    }
}

/// How long ago, in the unit that tells most; times are microseconds UTC.
#[must_use]
pub fn ago(now: i64, then: i64) -> String {
    let seconds = now.saturating_sub(then) / 1_000_000;
    match seconds {
        ..10 => "just now".to_owned(),
        10..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400..5_184_000 => plural(seconds / 86_400, "day") + " ago",
        _ => day(then),
    }
}

/// `3 Mar 2027`.
#[must_use]
pub fn day(micros: i64) -> String {
    instant(micros)
        .and_then(|at| at.format(format_description!("[day padding:none] [month repr:short] [year]")).ok())
        .unwrap_or_default()
}

/// `3 Mar, 04:05:06`; with the year where it is another than that of `now`. UTC.
#[must_use]
pub fn second(now: i64, micros: i64) -> String {
    let (Some(now), Some(at)) = (instant(now), instant(micros)) else { return String::new() };
    let told = if now.year() == at.year() {
        at.format(format_description!("[day padding:none] [month repr:short], [hour]:[minute]:[second]"))
    } else {
        at.format(format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second]"))
    };
    told.unwrap_or_default()
}

/// The whole instant, for `title` and `datetime`.
#[must_use]
pub fn rfc3339(micros: i64) -> String {
    instant(micros).and_then(|at| at.replace_nanosecond(0).ok()).and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn instant(micros: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros).checked_mul(1_000)?).ok()
}

/// `12 ms`, `0.4 ms`, `2.1 s`, `< 0.1 ms`.
#[must_use]
pub fn duration(ms: f64) -> String {
    match ms {
        ..0.05 => "< 0.1 ms".to_owned(),
        ..1.0 => format!("{ms:.1} ms"),
        ..1_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}

#[must_use]
pub fn plural(count: i64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_tells_most() {
        let now = 1_800_000_000_000_000;
        for (seconds, words) in
            [(-5, "just now"), (3, "just now"), (42, "42 s ago"), (200, "3 min ago"), (7_300, "2 h ago"), (86_400, "1 day ago")]
        {
            assert_eq!(ago(now, now - seconds * 1_000_000), words);
        }
        assert_eq!(ago(now, now - 100 * 86_400_000_000), "7 Oct 2026");
        assert_eq!(ago(now, i64::MIN), "");
        assert_eq!(minute(now), "15 Jan 2027, 08:00 UTC");
        assert_eq!((second(now, now), second(now, 0)), ("15 Jan, 08:00:00".into(), "1 Jan 1970, 00:00:00".into()));
        assert_eq!((duration(0.42), duration(48.1), duration(2_130.0)), ("0.4 ms".into(), "48 ms".into(), "2.1 s".into()));
    }

    #[test]
    fn pages_keep_the_state_of_their_list() {
        let pages = Pages::of("/w/a/list", "", "", None);
        assert!(pages.first.is_none() && pages.next.is_none() && !pages.to_string().contains("<nav"));
        let pages = Pages::of("/w/a/list", "q=x", "c", Some("d"));
        assert_eq!((pages.first.as_deref(), pages.next.as_deref()), (Some("/w/a/list?q=x"), Some("/w/a/list?q=x&cursor=d")));
        assert_eq!(Pages::of("/l", "", "", Some("d")).next.as_deref(), Some("/l?cursor=d"));
    }

    #[test]
    fn a_glyph_escapes_its_letters() {
        let glyph = Glyph { text: "<b>".into(), color: "\"".into() };
        assert!(!glyph.to_string().contains("<b>"));
    }
}

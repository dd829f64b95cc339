//! Whom a workspace tells what becomes of its connections: in the page Health, and as a form; and what ends soon.

use askama::Template;
use dataflow_model::FieldError;

use super::{
    Shell,
    parts::{ago, day},
};
use crate::{
    clock::DAY,
    ops::notices::{
        Tells,
        channel::{ADDRESSES_MAX, Channel, Standing},
    },
    store::EndOfRow,
};

/// A channel in the list.
#[derive(Debug)]
pub struct ChannelLine {
    pub name: String,
    pub connection: String,
    pub addresses: Vec<String>,
    /// `What becomes unhealthy, and what ends; with the tag “finance”`.
    pub of: String,
    /// `Last message 3 min ago`.
    pub told: String,
    pub problem: Option<String>,
}

impl ChannelLine {
    #[must_use]
    pub fn of(standing: Standing, now: i64) -> Self {
        let Standing { name, channel, is_sound, told_at, problem, .. } = standing;
        let Channel { connection, addresses, tag, tells } = channel;
        let of = match tells {
            Tells::All => "What becomes unhealthy, healthy again, and what ends",
            Tells::Health => "What becomes unhealthy, and healthy again",
            Tells::Ends => "What ends",
        };
        let tag = tag.map(|tag| format!("; of connections with the tag “{tag}”")).unwrap_or_default();
        let bent = "It was changed outside of this program, and tells nothing until somebody sets it again.";
        Self {
            name,
            connection,
            addresses,
            of: format!("{of}{tag}"),
            told: told_at.map_or_else(|| "No message yet".to_owned(), |at| format!("Last message {}", ago(now, at))),
            problem: if is_sound { problem } else { Some(bent.to_owned()) },
        }
    }
}

/// What ends soon, or has ended.
#[derive(Debug)]
pub struct EndLine {
    pub name: String,
    pub type_label: String,
    /// `Certificate` or `Password`.
    pub what: &'static str,
    /// `in 9 days`, or `ended 2 days ago`.
    pub when: String,
    pub on: String,
    pub has_ended: bool,
}

impl EndLine {
    #[must_use]
    pub fn of(row: EndOfRow, type_label: String, now: i64) -> Self {
        let ends_at = row.end.ends_at;
        let left = ends_at.saturating_sub(now);
        let when = match left.div_euclid(DAY) {
            ..0 => format!("ended {}", ago(now, ends_at)),
            0 => "within a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        Self {
            name: row.name,
            type_label,
            what: if row.end.about == "certificate" { "Certificate" } else { "Password" },
            when,
            on: day(ends_at),
            has_ended: left < 0,
        }
    }
}

/// The form of a channel.
#[derive(Debug, Template)]
#[template(path = "channel.html")]
pub struct ChannelForm {
    pub shell: Shell,
    /// As typed.
    pub name: String,
    pub connection: String,
    pub addresses: String,
    pub tag: String,
    pub tells: String,
    /// Whether the name is given by the address, and cannot be another one.
    pub is_there: bool,
    /// Connections that messages go through.
    pub offered: Vec<String>,
    pub etag: String,
    /// `Set 3 days ago by ada@example.org.`; empty where none is.
    pub set: String,
    pub is_sound: bool,
    /// What a trial came to, if it failed: what happened, and what to do.
    pub tried: Option<(String, String)>,
    pub errors: Vec<FieldError>,
}

const TELLS: [(&str, &str); 3] = [
    ("all", "What becomes unhealthy, healthy again, and what ends"),
    ("health", "What becomes unhealthy, and healthy again"),
    ("ends", "Certificates and passwords that end"),
];

impl ChannelForm {
    fn fault(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            parts::Here,
            samples::{SHARP, keep, shell},
        },
        *,
    };
    use crate::store::EndRow;

    #[test]
    fn an_end_is_told_in_days() {
        let when = |ends_at: i64| {
            let end = EndRow {
                connection_id: "c".into(),
                about: "certificate".into(),
                workspace_id: "w".into(),
                ends_at,
                next_at: None,
                told_at: None,
            };
            let line =
                EndLine::of(EndOfRow { end, name: "sales".into(), type_id: "postgres".into() }, "PostgreSQL".into(), 100 * DAY);
            (line.when, line.has_ended)
        };
        assert_eq!(when(109 * DAY + 5), ("in 9 days".to_owned(), false));
        assert_eq!(when(101 * DAY), ("in 1 day".to_owned(), false));
        assert_eq!(when(100 * DAY + 5), ("within a day".to_owned(), false));
        assert_eq!(when(98 * DAY), ("ended 2 days ago".to_owned(), true));
    }

    #[test]
    fn forms() {
        let form = ChannelForm {
            shell: shell("Channel oncall", Here::Health),
            name: "oncall".into(),
            connection: SHARP.into(),
            addresses: SHARP.into(),
            tag: SHARP.into(),
            tells: "health".into(),
            is_there: true,
            offered: vec!["mail".into()],
            etag: "\"oncall.7\"".into(),
            set: "Set 3 min ago by you@example.org.".into(),
            is_sound: false,
            tried: Some((SHARP.into(), SHARP.into())),
            errors: vec![FieldError::new("addresses", "invalid", "must be empty")],
        };
        keep("channel", &form);
        let new = ChannelForm { is_there: false, set: String::new(), is_sound: true, tried: None, errors: Vec::new(), ..form };
        let html = new.render().expect("it renders");
        assert!(!html.contains("Remove"), "there is none to remove: {html}");
        assert!(!html.contains("Send a message"), "what is not saved cannot be tried: {html}");
    }
}

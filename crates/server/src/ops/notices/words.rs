//! What a channel says.

use dataflow_model::Catalogue;
use std::fmt::Write as _;

use dataflow_connectors::Message;
use dataflow_vault::random_uuid;
use serde_json::{Value, json};

use super::About;
use crate::{
    app::App,
    clock::{DAY, SECOND, rfc3339},
    store::{NoticeOfRow, NoticeRow},
};

/// Changes that a message tells one by one; of the rest, how many there are.
pub const TOLD_ONE_BY_ONE: usize = 50;

/// Where a connection is looked at; nothing where nobody knows under which address this server is reached.
fn page(app: &App, workspace: &str, name: &str) -> Option<String> {
    let base = app.running.get()?.public_url.as_deref()?;
    Some(format!("{}/w/{workspace}/connections/{name}", base.trim_end_matches('/')))
}

/// Foreign words, which no chat is to take for mark-up, or for a mention of anybody: what would be one is parted by a mark that takes no room.
fn plain(words: &str) -> String {
    words.replace('<', "‹").replace('>', "›").replace('@', "@\u{2060}").replace(['\r', '\n'], " ")
}

/// The day, as people write it: `2026-11-30`.
fn day(at: i64) -> String {
    rfc3339(at).split('T').next().unwrap_or_default().to_owned()
}

/// What became of one connection, as it follows its name: ` is unhealthy: …`, or `: its certificate ends …`.
fn happened(notice: &NoticeRow, now: i64) -> String {
    let what = match About::parse(&notice.about) {
        Some(About::Certificate) => "certificate",
        Some(About::Password) => "password",
        _ if notice.state == "unhealthy" => {
            let cause = notice.cause.as_deref().map(|cause| format!(": {cause}.")).unwrap_or_default();
            let message = notice.message.as_deref().map(|message| format!(" {}", plain(message))).unwrap_or_default();
            return format!(" is unhealthy{cause}{message}");
        }
        _ => return " is healthy again.".to_owned(),
    };
    let Some(ends_at) = notice.ends_at else { return format!(": its {what} ends.") };
    let on = day(ends_at);
    match ends_at.saturating_sub(now) {
        ..=0 => format!(": its {what} has ended, on {on}."),
        // What is told when a day is reached has a moment less of it left.
        left => match left.saturating_add(DAY / 2).div_euclid(DAY) {
            0 => format!(": its {what} ends within a day, on {on}."),
            1 => format!(": its {what} ends in 1 day, on {on}."),
            days => format!(": its {what} ends in {days} days, on {on}."),
        },
    }
}

fn counted(count: usize, one: &str, many: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 connection {one}")),
        _ => Some(format!("{count} connections {many}")),
    }
}

/// What stands above: the one thing that happened, or how many of each.
fn subject(rows: &[NoticeOfRow], count: usize, workspace: &str, now: i64) -> String {
    if let ([row], 1) = (rows, count) {
        let what = match About::parse(&row.notice.about) {
            Some(About::Health) if row.notice.state == "unhealthy" => " is unhealthy".to_owned(),
            _ => happened(&row.notice, now).trim_end_matches('.').to_owned(),
        };
        return format!("{}{what} ({workspace})", row.name);
    }
    if count > rows.len() {
        return format!("{count} changes of connections ({workspace})");
    }
    let health =
        |state: &str| rows.iter().filter(|row| row.notice.about == About::Health.as_str() && row.notice.state == state).count();
    let (unhealthy, healthy) = (health("unhealthy"), health("healthy"));
    let parts = [
        counted(unhealthy, "is unhealthy", "are unhealthy"),
        counted(healthy, "is healthy again", "are healthy again"),
        counted(rows.len() - unhealthy - healthy, "has something that ends", "have something that ends"),
    ];
    format!("{} ({workspace})", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// The message that tells `rows`, of `count` in all.
pub(super) fn message(
    app: &App,
    (workspace, catalogue): (&str, &Catalogue),
    (rows, count): (&[NoticeOfRow], usize),
    now: i64,
) -> Message {
    let line = |row: &NoticeOfRow| {
        let label = catalogue.get(&row.type_id).map_or(row.type_id.as_str(), |kind| kind.label.as_str());
        let link = page(app, workspace, &row.name).map(|page| format!("\n  {page}")).unwrap_or_default();
        format!("{} ({label}){}{link}", row.name, happened(&row.notice, now))
    };
    let mut lines: Vec<_> = rows.iter().map(line).collect();
    if count > rows.len() {
        lines.push(format!("And {} more: see the page Health.", count - rows.len()));
    }
    let event = |row: &NoticeOfRow| -> Value {
        let NoticeRow { about, state, at, cause, message, ends_at, .. } = &row.notice;
        json!({
            "connection": row.name, "type": row.type_id, "about": about, "state": state, "at": rfc3339(*at), "cause": cause,
            "message": message, "ends_at": ends_at.map(rfc3339), "url": page(app, workspace, &row.name)
        })
    };
    Message {
        id: id(app, rows, count),
        at: now.div_euclid(SECOND),
        to: Vec::new(),
        from: String::new(),
        subject: subject(rows, count, workspace, now),
        text: lines.join("\n"),
        events: json!({"workspace": workspace, "more": count.saturating_sub(rows.len()), "changes": rows.iter().map(event).collect::<Vec<_>>()}),
    }
}

/// The same of what is told once more.
fn id(app: &App, rows: &[NoticeOfRow], count: usize) -> String {
    let mut told = count.to_string();
    for NoticeOfRow { notice, .. } in rows {
        let NoticeRow { channel_id, connection_id, about, state, at, .. } = notice;
        let _ = write!(told, "\n{channel_id} {connection_id} {about} {state} {at}");
    }
    let mac = app.vault.row_mac("notices", &[told.as_bytes()]);
    mac.iter().rev().take(16).fold(String::new(), |id, byte| format!("{id}{byte:02x}"))
}

/// What is sent to try a channel.
pub(super) fn trial(app: &App, workspace: &str, (channel, by): (&str, &str)) -> Message {
    let now = app.clock.now();
    Message {
        id: random_uuid().to_string(),
        at: now.div_euclid(SECOND),
        to: Vec::new(),
        from: String::new(),
        subject: format!("A trial of the channel {channel} ({workspace})"),
        text: format!("{by} tried whether messages of Dataflow get here. They do, and nothing else has happened."),
        events: json!({"workspace": workspace, "more": 0, "changes": []}),
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn row(name: &str, about: &str, state: &str, ends_at: Option<i64>) -> NoticeOfRow {
        NoticeOfRow {
            notice: NoticeRow {
                channel_id: "h".into(),
                connection_id: name.into(),
                about: about.into(),
                was: String::new(),
                state: state.into(),
                at: 0,
                cause: (state == "unhealthy").then(|| "Sign-in refused".to_owned()),
                message: (state == "unhealthy").then(|| "The server said <!channel> *now*.".to_owned()),
                ends_at,
                taken_at: None,
                taken_state: None,
            },
            name: name.into(),
            type_id: "postgres".into(),
        }
    }

    #[test]
    fn one_change_is_told_in_the_subject_and_many_are_counted() {
        let (unhealthy, healthy) = (row("sales", "health", "unhealthy", None), row("hr", "health", "healthy", None));
        let ends = row("crm", "certificate", "ends", Some(7 * DAY));
        let of = |rows: &[NoticeOfRow], count| subject(rows, count, "default", 0);
        assert_eq!(of(from_ref(&unhealthy), 1), "sales is unhealthy (default)");
        assert_eq!(of(from_ref(&healthy), 1), "hr is healthy again (default)");
        assert_eq!(of(from_ref(&ends), 1), "crm: its certificate ends in 7 days, on 1970-01-08 (default)");
        let all = [unhealthy.clone(), unhealthy, healthy, ends];
        assert_eq!(
            of(&all, 4),
            "2 connections are unhealthy, 1 connection is healthy again, 1 connection has something that ends (default)"
        );
        assert_eq!(of(&all, 900), "900 changes of connections (default)");
    }

    #[test]
    fn foreign_words_mark_nothing_up() {
        let said = happened(&row("sales", "health", "unhealthy", None).notice, 0);
        assert_eq!(said, " is unhealthy: Sign-in refused. The server said ‹!channel› *now*.");
    }

    #[test]
    fn how_long_it_is_to_an_end() {
        for (ends_at, words) in [
            (30 * DAY - 1, ": its password ends in 30 days, on 1970-01-30."),
            (DAY - 1, ": its password ends in 1 day, on 1970-01-01."),
            (DAY / 3, ": its password ends within a day, on 1970-01-01."),
            (0, ": its password has ended, on 1970-01-01."),
        ] {
            assert_eq!(happened(&row("sales", "password", "ends", Some(ends_at)).notice, 0), words);
        }
    }
}

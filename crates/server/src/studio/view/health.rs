//! How connections stand by the tests that run by themselves: the page Health, a connection's chart, and the form of a schedule.

use askama::Template;
use dataflow_model::{FieldError, TestStatus};

use super::{
    Shell,
    channels::{ChannelLine, EndLine},
    list::Spark,
    parts::{Pages, ago, duration, plural, second},
    words::Status,
};
use crate::{
    api::{connections::millis, health::time_of},
    clock::SECOND,
    ops::health::{
        Counts, Mark,
        schedule::{AFTER_MAX, JITTER_MAX, Schedule, Scope, Standing},
    },
};

/// A connection that a schedule is for.
#[derive(Debug)]
pub struct HealthLine {
    pub name: String,
    pub type_label: String,
    pub status: Status,
    /// `Nothing listens at …` or the like, of the last test; empty where it passed.
    pub summary: String,
    /// `for 3 h, 12 failures in a row`.
    pub since: String,
    pub since_at: String,
    /// The version that was saved between the last test that passed and the first that failed.
    pub changed: Option<i64>,
    pub spark: Spark,
    /// `12 ms · 3 min ago`, of the last test.
    pub last: String,
    /// `every 5 min, all` and `next in 2 min`.
    pub schedule: String,
    pub next: String,
}

/// A schedule of more than one connection.
#[derive(Debug)]
pub struct ScheduleLine {
    /// As an address has it.
    pub scope: String,
    /// `All connections`, or the tag.
    pub words: String,
    pub tag: Option<String>,
    /// `Every 5 minutes, unhealthy after 2 failures`.
    pub rule: String,
    pub set: String,
    pub is_sound: bool,
}

#[derive(Debug, Template)]
#[template(path = "health.html")]
pub struct Health {
    pub shell: Shell,
    pub counts: Counts,
    /// The one that is asked for; empty for all.
    pub state: String,
    pub failing: Vec<HealthLine>,
    pub lines: Vec<HealthLine>,
    pub pages: Pages,
    pub schedules: Vec<ScheduleLine>,
    pub ends: Vec<EndLine>,
    pub channels: Vec<ChannelLine>,
    /// Whether the person decides whom to tell.
    pub may_tell: bool,
    /// Whether the person decides how often many are tested.
    pub may_schedule: bool,
    pub tests: bool,
}

impl Health {
    fn is_none_scheduled(&self) -> bool {
        self.counts.healthy + self.counts.unhealthy + self.counts.unknown == 0
    }

    fn summary(&self) -> String {
        let Counts { unhealthy, healthy, unknown, unscheduled } = self.counts;
        let parts = [
            (unhealthy, "unhealthy"),
            (healthy, "healthy"),
            (unknown, "not known yet"),
            (unscheduled, "not tested by themselves"),
        ];
        let told: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
        told.join(" · ")
    }
}

/// `5 minutes`, `1 hour`, `90 seconds`: in the largest unit that takes no fraction.
#[must_use]
pub fn interval(seconds: i64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let fits = units.into_iter().find(|(length, _)| seconds % length == 0);
    fits.map_or_else(String::new, |(length, unit)| plural(seconds / length, unit))
}

/// `Every 5 minutes; unhealthy after 2 failures in a row, healthy after 1 success; not from 22:00 to 06:00 UTC`.
#[must_use]
pub fn rule(schedule: &Schedule) -> String {
    let Schedule { every_seconds, unhealthy_after, healthy_after, quiet, .. } = schedule;
    let every = interval(*every_seconds);
    let every = every.strip_prefix("1 ").unwrap_or(&every);
    let failures =
        if *unhealthy_after == 1 { "the first failure".to_owned() } else { format!("{unhealthy_after} failures in a row") };
    let passes = if *healthy_after == 1 { "the first success".to_owned() } else { format!("{healthy_after} successes in a row") };
    let quiet = quiet.map(|(from, to)| format!("; not from {} to {} UTC", time_of(from), time_of(to))).unwrap_or_default();
    format!("Every {every}; unhealthy after {failures}, healthy after {passes}{quiet}")
}

/// By which schedule a connection is tested, on its own page.
#[derive(Debug)]
pub struct ScheduleFact {
    pub words: String,
    pub problem: Option<&'static str>,
}

impl ScheduleFact {
    #[must_use]
    pub fn of(by: Option<&Standing>) -> Self {
        let Some(by) = by else { return Self { words: "Only when somebody tests it".to_owned(), problem: None } };
        let whose = match &by.scope {
            Scope::All => " (as all connections)".to_owned(),
            Scope::Tag(tag) => format!(" (by the tag “{tag}”)"),
            Scope::Connection { .. } => String::new(),
        };
        let problem = "The schedule was changed outside of this program. Nothing is tested by it until somebody sets it again.";
        Self { words: format!("{}{whose}", rule(&by.schedule)), problem: (!by.is_sound).then_some(problem) }
    }
}

/// The form of a schedule.
#[derive(Debug, Template)]
#[template(path = "health_schedule.html")]
pub struct ScheduleForm {
    pub shell: Shell,
    /// Of one connection its name; else it is for those with the tag, or for all.
    pub connection: Option<String>,
    /// As typed.
    pub tag: String,
    /// Whether the tag is given by the address, and cannot be another one.
    pub is_there: bool,
    pub every_seconds: String,
    pub jitter_percent: String,
    pub unhealthy_after: String,
    pub healthy_after: String,
    pub quiet_from: String,
    pub quiet_to: String,
    pub etag: String,
    /// `Set 3 days ago by ada@example.org.`; empty where none is.
    pub set: String,
    pub is_sound: bool,
    pub errors: Vec<FieldError>,
}

struct Choice {
    value: String,
    label: String,
    is_chosen: bool,
}

/// What the form offers, in seconds.
const INTERVALS: [i64; 9] = [30, 60, 300, 600, 900, 1_800, 3_600, 21_600, 86_400];

impl ScheduleForm {
    fn action(&self) -> String {
        match &self.connection {
            Some(name) => self.shell.at(&format!("connections/{name}/health-schedule")),
            None => self.shell.at("health/schedule"),
        }
    }

    fn back(&self) -> String {
        match &self.connection {
            Some(name) => self.shell.at(&format!("connections/{name}")),
            None => self.shell.at("health"),
        }
    }

    /// The usual ones, and the one that is set.
    fn intervals(&self) -> Vec<Choice> {
        let set = self.every_seconds.parse::<i64>().ok();
        let mut all: Vec<_> = INTERVALS.into_iter().chain(set).collect();
        all.sort_unstable();
        all.dedup();
        let choice =
            |seconds: i64| Choice { value: seconds.to_string(), label: interval(seconds), is_chosen: set == Some(seconds) };
        all.into_iter().map(choice).collect()
    }

    fn fault(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == field).map(|error| error.message.as_str())
    }
}

/// The last tests of a connection over time: how long each took, and which failed.
#[derive(Debug, Template)]
#[template(path = "chart.html")]
pub struct Chart {
    strokes: Vec<(&'static str, String)>,
    label: String,
    /// What the top of the chart stands for.
    most: String,
    from: String,
    to: String,
}

impl askama::filters::HtmlSafe for Chart {}

const WIDTH: i64 = 720;
const HEIGHT: i64 = 96;
/// How far what stands for a workflow that could not connect reaches down.
const AT_WORK: i64 = 22;
/// A test that took next to nothing is seen, too.
const LEAST: i64 = 3;

impl Chart {
    /// Of these, newest first, and of when work could not connect meanwhile; nothing where there are fewer than two tests.
    #[must_use]
    pub fn of(marks: &[Mark], at_work: &[i64], now: i64) -> Option<Self> {
        let (newest, oldest) = (marks.first()?, marks.last()?);
        let latest = at_work.iter().copied().max().unwrap_or_default().max(newest.at);
        let span = latest.saturating_sub(oldest.at);
        if span <= 0 {
            return None;
        }
        let took = |mark: &Mark| mark.took_micros.unwrap_or_default();
        let passed: Vec<_> = marks.iter().filter(|mark| mark.status != TestStatus::Failed).collect();
        let slowest = passed.iter().map(|mark| took(mark)).max().unwrap_or_default().max(1);
        let mut times: Vec<_> = passed.iter().map(|mark| took(mark)).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        let mut strokes: Vec<(&'static str, String)> = Vec::new();
        for mark in marks.iter().rev() {
            let (tone, height) = match mark.status {
                TestStatus::Ok => ("ok", in_proportion(took(mark), slowest)),
                TestStatus::Unproven => ("warn", in_proportion(took(mark), slowest)),
                TestStatus::Failed => ("bad", HEIGHT),
            };
            let x = 2 + scaled(mark.at.saturating_sub(oldest.at), WIDTH - 4, span);
            let bar = format!("M{x} {HEIGHT}v-{height}");
            match strokes.iter_mut().find(|(known, _)| *known == tone) {
                Some((_, path)) => path.push_str(&bar),
                None => strokes.push((tone, bar)),
            }
        }
        // Work hangs from the top, so that no test hides it.
        let work: Vec<_> = at_work.iter().filter(|at| **at >= oldest.at).collect();
        if !work.is_empty() {
            let bar = |at: &&i64| format!("M{} 0v{AT_WORK}", 2 + scaled(at.saturating_sub(oldest.at), WIDTH - 4, span));
            strokes.push(("work", work.iter().map(bar).collect()));
        }
        // What failed is drawn last: nothing that passed in the same moment hides it.
        strokes.sort_by_key(|(tone, _)| matches!(*tone, "bad" | "work"));
        let failed = marks.len() - passed.len();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let tests = plural(count(marks.len()), "test");
        let times = format!("took up to {}, the slowest {}", duration(millis(middle)), duration(millis(slowest)));
        let label = match (failed, passed.len()) {
            (0, _) => format!("{tests}, none failed; half {times}"),
            (_, 0) => format!("{tests}, all failed"),
            _ => format!("{tests}, {failed} failed; half of the others {times}"),
        };
        let label = match count(work.len()) {
            0 => label,
            failed => format!("{label}; {} could not connect", plural(failed, "workflow")),
        };
        // Where all failed, no height stands for a time.
        let most = if passed.is_empty() { String::new() } else { duration(millis(slowest)) };
        Some(Self { strokes, label, most, from: second(now, oldest.at), to: second(now, latest) })
    }
}

fn in_proportion(took: i64, slowest: i64) -> i64 {
    LEAST + scaled(took, HEIGHT - 14 - LEAST, slowest)
}

/// So much of `whole` as `part` is of `all`.
fn scaled(part: i64, whole: i64, all: i64) -> i64 {
    let scaled = i128::from(part) * i128::from(whole) / i128::from(all.max(1));
    i64::try_from(scaled).unwrap_or(whole)
}

/// `for 3 min`.
#[must_use]
pub fn lasting(now: i64, since: i64) -> String {
    let ago = ago(now, since);
    ago.strip_suffix(" ago").map_or_else(|| format!("since {ago}"), |length| format!("for {length}"))
}

/// `in 3 min`, `now`.
#[must_use]
pub fn until(now: i64, at: i64) -> String {
    match at.saturating_sub(now) / SECOND {
        ..=0 => "now".to_owned(),
        seconds @ 1..60 => format!("in {seconds} s"),
        seconds @ 60..3_600 => format!("in {} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("in {} h", seconds / 3_600),
        seconds => format!("in {}", plural(seconds / 86_400, "day")),
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

    const NOW: i64 = 1_800_000_000_000_000;

    fn line(name: &str, status: Status) -> HealthLine {
        HealthLine {
            name: name.into(),
            type_label: "PostgreSQL".into(),
            status,
            summary: String::new(),
            since: "for 3 h".into(),
            since_at: "2027-01-15T05:00:00Z".into(),
            changed: None,
            spark: Spark::new(&[(TestStatus::Ok, 12.0)]),
            last: "12 ms · 3 min ago".into(),
            schedule: "Every 5 minutes".into(),
            next: "in 2 min".into(),
        }
    }

    fn page() -> Health {
        let bad = Status { tone: "bad", words: "Unhealthy".into() };
        let failing = HealthLine { summary: "Sign-in refused".into(), changed: Some(4), ..line("sales", bad) };
        Health {
            shell: shell("Health", Here::Health),
            counts: Counts { unhealthy: 1, healthy: 1, unknown: 0, unscheduled: 3 },
            state: String::new(),
            failing: vec![failing],
            lines: vec![line("crm", Status { tone: "ok", words: "Healthy".into() })],
            pages: Pages::default(),
            ends: vec![EndLine {
                name: "crm".into(),
                type_label: "PostgreSQL".into(),
                what: "Certificate",
                when: "in 9 days".into(),
                on: "24 Jan 2027".into(),
                has_ended: false,
            }],
            channels: vec![ChannelLine {
                name: "oncall".into(),
                connection: "mail".into(),
                addresses: vec![SHARP.into()],
                of: "What ends".into(),
                told: "No message yet".into(),
                problem: Some(SHARP.into()),
            }],
            may_tell: true,
            schedules: vec![ScheduleLine {
                scope: "tag:finance".into(),
                words: "Tag".into(),
                tag: Some("finance".into()),
                rule: "Every 5 minutes".into(),
                set: "3 days ago by you@example.org".into(),
                is_sound: true,
            }],
            may_schedule: true,
            tests: true,
        }
    }

    #[test]
    fn pages_of_health() {
        keep("health", &page());
        let reader = Health { may_schedule: false, ..page() };
        let html = reader.render().expect("it renders");
        assert!(!html.contains("health/schedule?"), "who may not schedule is offered nothing: {html}");
        let none =
            Health { counts: Counts { unscheduled: 3, ..Counts::default() }, failing: Vec::new(), lines: Vec::new(), ..page() };
        assert!(none.render().expect("it renders").contains("Nothing is tested by itself yet"));
    }

    #[test]
    fn forms() {
        let form = ScheduleForm {
            shell: shell("Tests by themselves", Here::Health),
            connection: None,
            tag: SHARP.into(),
            is_there: false,
            every_seconds: "90".into(),
            jitter_percent: SHARP.into(),
            unhealthy_after: "2".into(),
            healthy_after: "1".into(),
            quiet_from: SHARP.into(),
            quiet_to: "06:00".into(),
            etag: "\"all.7\"".into(),
            set: "Set 3 min ago by you@example.org.".into(),
            is_sound: true,
            errors: vec![FieldError::new("quiet_hours", "invalid", "must be two times of the day")],
        };
        keep("health-schedule", &form);
        let own = ScheduleForm { connection: Some("sales".into()), set: String::new(), errors: Vec::new(), ..form };
        let html = own.render().expect("it renders");
        assert!(
            !html.contains("Remove") && !html.contains("name=\"tag\""),
            "it is of one connection, and there is none yet: {html}"
        );
        let bent = ScheduleForm { is_sound: false, ..own }.render().expect("it renders");
        assert!(bent.contains("outside of this program"), "{bent}");
    }

    #[test]
    fn a_rule_is_one_sentence() {
        assert_eq!(
            rule(&Schedule::default()),
            "Every 5 minutes; unhealthy after 2 failures in a row, healthy after the first success"
        );
        let night = Schedule {
            every_seconds: 3_600,
            unhealthy_after: 1,
            healthy_after: 3,
            quiet: Some((22 * 60, 6 * 60)),
            ..Schedule::default()
        };
        let words =
            "Every hour; unhealthy after the first failure, healthy after 3 successes in a row; not from 22:00 to 06:00 UTC";
        assert_eq!(rule(&night), words);
        assert_eq!(
            [30, 60, 90, 7_200, 86_400, 172_800].map(interval),
            ["30 seconds", "1 minute", "90 seconds", "2 hours", "1 day", "2 days"]
        );
    }

    #[test]
    fn a_chart_draws_each_test_where_it_was() {
        let mark = |minutes: i64, status, took| Mark { at: NOW - minutes * 60 * SECOND, status, took_micros: Some(took) };
        let marks = [mark(0, TestStatus::Ok, 20_000), mark(5, TestStatus::Failed, 10_000_000), mark(10, TestStatus::Ok, 10_000)];
        let chart = Chart::of(&marks, &[], NOW).expect("a chart");
        assert_eq!(chart.most, "20 ms");
        let paths: Vec<_> = chart.strokes.iter().map(|(tone, path)| (*tone, path.as_str())).collect();
        assert_eq!(paths, [("ok", "M2 96v-42M718 96v-82"), ("bad", "M360 96v-96")]);
        assert_eq!(chart.label, "3 tests, 1 failed; half of the others took up to 20 ms, the slowest 20 ms");
        assert!(Chart::of(&marks[..1], &[], NOW).is_none() && Chart::of(&[], &[], NOW).is_none());
        let dead = Chart::of(&[marks[1], mark(9, TestStatus::Failed, 1)], &[], NOW).expect("a chart");
        assert_eq!((dead.label.as_str(), dead.most.as_str()), ("2 tests, all failed", ""));
        // Of work that failed, what was before the first test has no place.
        let minutes = [20, 10, 0].map(|minutes| NOW - minutes * 60 * SECOND);
        let at_work = Chart::of(&marks[1..], &minutes, NOW).expect("a chart");
        assert_eq!(at_work.strokes.last(), Some(&("work", "M2 0v22M718 0v22".to_owned())));
        assert_eq!(
            at_work.label,
            "2 tests, 1 failed; half of the others took up to 10 ms, the slowest 10 ms; 2 workflows could not connect"
        );
    }
}

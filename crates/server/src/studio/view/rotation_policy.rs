//! What new passwords of a connection are made of, and how often there is one: in words, and as a form.

use askama::Template;
use dataflow_model::FieldError;

use super::{
    Shell,
    parts::{ago, minute, plural},
};
use crate::ops::rotations::{
    policy::{Failure, Standing},
    rules::{LENGTH_MAX, LENGTH_MIN, SYMBOLS},
};

/// A policy on its connection's page.
#[derive(Debug)]
pub struct PolicyFact {
    /// `Every 30 days at 03:00 UTC, next on 2 Dec 2026, 03:04 UTC; passwords of 32 characters`.
    pub words: String,
    /// What stood in the way the last time, or that it was changed in the store.
    pub problem: Option<String>,
}

impl PolicyFact {
    #[must_use]
    pub fn of(standing: &Standing, now: i64) -> Self {
        let words = if standing.set.is_some() { in_words(standing) } else { "Only when somebody asks for it".to_owned() };
        let problem = match &standing.failed {
            _ if !standing.is_sound => Some(
                "The policy was changed outside of this program. No password is made until somebody sets one again.".to_owned(),
            ),
            Some((at, Failure { message, .. })) => Some(format!("Tried in vain {}: {message}", ago(now, *at))),
            None => None,
        };
        Self { words, problem }
    }
}

fn in_words(standing: &Standing) -> String {
    let policy = &standing.policy;
    let when = match (policy.every_days, policy.at_hour) {
        (None, _) => "Only when somebody asks for it".to_owned(),
        (Some(1), None) => "Every day".to_owned(),
        (Some(days), None) => format!("Every {days} days"),
        (Some(1), Some(hour)) => format!("Every day at {hour:02}:00 UTC"),
        (Some(days), Some(hour)) => format!("Every {days} days at {hour:02}:00 UTC"),
    };
    let next = standing.next_at.map(|at| format!(", next on {}", minute(at))).unwrap_or_default();
    format!("{when}{next}; passwords of {}", plural(policy.rules.length, "character"))
}

#[derive(Debug, Template)]
#[template(path = "rotation_policy.html")]
pub struct RotationPolicyForm {
    pub shell: Shell,
    pub connection: String,
    pub etag: String,
    /// As typed.
    pub every_days: String,
    pub at_hour: String,
    pub length: String,
    pub symbols: String,
    /// `Set 3 days ago by ada@example.org.`; empty where none is.
    pub set: String,
    pub is_sound: bool,
    pub errors: Vec<FieldError>,
}

fn length_help() -> String {
    format!("From {LENGTH_MIN} to {LENGTH_MAX}; the fewer symbols there are, the more it takes.")
}

struct Hour {
    value: String,
    label: String,
    is_chosen: bool,
}

impl RotationPolicyForm {
    fn hours(&self) -> Vec<Hour> {
        let hour = |hour: u8| {
            let value = hour.to_string();
            Hour { label: format!("{hour:02}:00 UTC"), is_chosen: value == self.at_hour, value }
        };
        (0..24).map(hour).collect()
    }

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
    use crate::ops::rotations::policy::Policy;

    const NOW: i64 = 1_800_000_000_000_000;

    fn standing(every_days: Option<i64>, at_hour: Option<i64>) -> Standing {
        Standing {
            policy: Policy { every_days, at_hour, ..Policy::default() },
            set: Some((NOW, "you@example.org".into())),
            is_sound: true,
            next_at: every_days.map(|days| NOW + days * 86_400_000_000),
            failed: None,
            etag: String::new(),
        }
    }

    #[test]
    fn a_policy_is_one_sentence() {
        for (every_days, at_hour, words) in [
            (None, None, "Only when somebody asks for it; passwords of 32 characters"),
            (Some(30), Some(3), "Every 30 days at 03:00 UTC, next on 14 Feb 2027, 08:00 UTC; passwords of 32 characters"),
            (Some(1), Some(23), "Every day at 23:00 UTC, next on 16 Jan 2027, 08:00 UTC; passwords of 32 characters"),
            (Some(1), None, "Every day, next on 16 Jan 2027, 08:00 UTC; passwords of 32 characters"),
            (Some(7), None, "Every 7 days, next on 22 Jan 2027, 08:00 UTC; passwords of 32 characters"),
        ] {
            let fact = PolicyFact::of(&standing(every_days, at_hour), NOW);
            assert_eq!((fact.words.as_str(), fact.problem), (words, None));
        }
        let none = PolicyFact::of(&Standing { set: None, ..standing(None, None) }, NOW);
        assert_eq!(none.words, "Only when somebody asks for it");
        let failure = Failure { message: "Nothing listens there.".into(), hint: String::new() };
        let failed = Standing { failed: Some((NOW - 200_000_000, failure)), ..standing(Some(1), None) };
        assert_eq!(PolicyFact::of(&failed, NOW).problem.as_deref(), Some("Tried in vain 3 min ago: Nothing listens there."));
        let bent = PolicyFact::of(&Standing { is_sound: false, ..failed }, NOW);
        assert!(bent.problem.is_some_and(|problem| problem.contains("outside of this program")));
    }

    #[test]
    fn forms() {
        let form = RotationPolicyForm {
            shell: shell("Rotation of sales", Here::Connections),
            connection: "sales".into(),
            etag: "\"id.policy.7\"".into(),
            every_days: "30".into(),
            at_hour: "3".into(),
            length: SHARP.into(),
            symbols: SHARP.into(),
            set: "Set 3 min ago by you@example.org.".into(),
            is_sound: true,
            errors: vec![FieldError::new("symbols", "invalid", "has a character twice")],
        };
        keep("rotation-policy", &form);
        let new = RotationPolicyForm { set: String::new(), errors: Vec::new(), ..form };
        let html = new.render().expect("it renders");
        assert!(!html.contains("Remove"), "there is none to remove: {html}");
        let bent = RotationPolicyForm { is_sound: false, ..new }.render().expect("it renders");
        assert!(bent.contains("outside of this program"), "{bent}");
    }
}

//! What follows from what is known of a name, at instants that these tests make up: none depends on how fast they run.

use super::*;

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

/// A name, and a clock that stands wherever a test says, in milliseconds since the beginning.
struct Story {
    slot: Slot,
    timing: Timing,
    begun: Instant,
}

impl Story {
    fn new() -> Self {
        let timing = Timing {
            fresh: Duration::from_secs(5),
            usable: Duration::from_hours(1),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(5),
            ..Timing::default()
        };
        Self { slot: Slot::default(), timing, begun: Instant::now() }
    }

    /// One whose server has answered with “first” at 0.
    fn warm() -> Self {
        let mut story = Self::new();
        assert_eq!((story.look(0), story.hear(0, new("first"))), ("asks".to_owned(), "first".to_owned()));
        story
    }

    fn at(&self, millis: u64) -> Instant {
        self.begun + Duration::from_millis(millis)
    }

    /// What a caller gets who wants what is fresh.
    fn look(&mut self, millis: u64) -> String {
        self.decide(Want::Fresh, millis, millis)
    }

    /// The same for a workflow.
    fn look_for(&mut self, workflow: &str, asked: u64, now: u64) -> String {
        let teller = Some((WorkflowKind::App, workflow.to_owned()));
        let at = (self.at(asked), self.at(now));
        said(self.slot.decide(Want::Fresh, &teller, at, &self.timing))
    }

    fn hear_for(&mut self, workflow: &str, millis: u64, said: Said) -> String {
        let teller = Some((WorkflowKind::App, workflow.to_owned()));
        let at = (self.at(millis), self.at(millis));
        told(&self.slot.settle(said, teller, at, &self.timing))
    }

    fn refresh(&mut self, millis: u64) -> String {
        self.decide(Want::Now, millis, millis)
    }

    /// The same for one who came at `asked`.
    fn decide(&mut self, want: Want, asked: u64, now: u64) -> String {
        let at = (self.at(asked), self.at(now));
        said(self.slot.decide(want, &None, at, &self.timing))
    }

    /// What a caller gets whose request the server has answered at once.
    fn hear(&mut self, millis: u64, said: Said) -> String {
        self.hear_late(millis, millis, said)
    }

    fn hear_late(&mut self, began: u64, ended: u64, said: Said) -> String {
        let (began, ended) = (self.at(began), self.at(ended));
        told(&self.slot.settle(said, None, (began, ended), &self.timing))
    }

    /// The server confirms what is held.
    fn same(&self) -> Said {
        Said::Same(Arc::clone(&self.slot.held.as_ref().expect("it is held").0))
    }

    fn is_fresh(&self, millis: u64) -> bool {
        self.slot.fresh(self.at(millis), &self.timing).is_some()
    }
}

fn said(decision: Decision) -> String {
    match decision {
        Decision::Settled(outcome) => told(&outcome),
        Decision::Ask(None) => "asks".to_owned(),
        Decision::Ask(Some(held)) => format!("asks, holding {}", told(&Ok(held))),
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Ok(resolved) => resolved.expose_text("password").expect("a password").to_owned(),
        Err(error) if error.is_outage() => "away".to_owned(),
        Err(_) => "refused".to_owned(),
    }
}

fn new(password: &str) -> Said {
    let body = format!(
        r#"{{"name":"sales","type":"postgres","base":"postgres","sqlalchemy":"postgresql","fields":{{"password":"{password}"}},
        "fingerprint":"{password}","version":1}}"#
    );
    Said::New(Resolved::read("http://127.0.0.1:1", body.as_bytes()).expect("sound"))
}

fn away() -> Said {
    away_for(None)
}

fn away_for(seconds: Option<u64>) -> Said {
    let error = ClientError::Unavailable { url: String::new(), reason: String::new(), source: None };
    Said::Away { error, retry_after: seconds.map(Duration::from_secs) }
}

fn refused() -> Said {
    Said::Refused(ClientError::NotFound { name: String::new(), workspace: String::new(), url: String::new() })
}

#[test]
fn an_answer_is_served_while_it_is_fresh_and_then_asked_for() {
    let mut story = Story::new();
    assert!(!story.is_fresh(0));
    assert_eq!((story.look(0), story.hear_late(0, 900, new("first"))), ("asks".to_owned(), "first".to_owned()));
    for (millis, fresh, expected) in [
        (901, true, "first"),
        (5 * SECOND - 1, true, "first"),
        // Since the request began, not since its answer came.
        (5 * SECOND, false, "asks, holding first"),
    ] {
        assert_eq!((story.is_fresh(millis), story.look(millis).as_str()), (fresh, expected), "at {millis}");
    }
    let same = story.same();
    assert_eq!(story.hear(5 * SECOND, same), "first");
    for (millis, expected) in [(10 * SECOND - 1, "first"), (10 * SECOND, "asks, holding first")] {
        assert_eq!(story.look(millis), expected, "at {millis}");
    }
    assert_eq!((story.hear(10 * SECOND, new("second")), story.look(12 * SECOND)), ("second".to_owned(), "second".to_owned()));
}

#[test]
fn an_outage_is_asked_about_ever_more_seldom_while_the_last_good_answer_serves() {
    let mut story = Story::warm();
    let mut now = 5 * SECOND;
    for pause in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000] {
        assert_eq!(story.look(now), "asks, holding first");
        assert_eq!(story.hear(now, away()), "first");
        // A random half of the pause may be left out.
        for millis in [1, pause / 2 - 1] {
            assert_eq!(story.look(now + millis), "first", "{millis} ms into a pause of {pause} ms");
            assert_eq!(story.refresh(now + millis), "first", "{millis} ms into a pause of {pause} ms");
        }
        now += pause;
    }
    // The server is back: the next outage begins with the shortest pause again.
    assert_eq!((story.look(now), story.hear(now, new("second"))), ("asks, holding first".to_owned(), "second".to_owned()));
    now += 5 * SECOND;
    assert_eq!((story.hear(now, away()), story.look(now + 250)), ("second".to_owned(), "asks, holding second".to_owned()));
}

#[test]
fn an_answer_serves_through_an_outage_no_longer_than_it_may() {
    let mut story = Story::warm();
    assert_eq!((story.look(HOUR - 1), story.hear(HOUR - 1, away())), ("asks, holding first".to_owned(), "first".to_owned()));
    let mut story = Story::warm();
    assert_eq!((story.look(HOUR), story.hear(HOUR, away())), ("asks, holding first".to_owned(), "away".to_owned()));
    // Until the pause is over the others are told the same, and then the server is asked for the whole answer.
    assert_eq!((story.look(HOUR + 1), story.look(HOUR + 250)), ("away".to_owned(), "asks".to_owned()));
    // The age counts from what the server has said last.
    let mut story = Story::warm();
    let same = story.same();
    story.hear(HOUR / 2, same);
    assert_eq!((story.hear(HOUR + 1, away()), story.hear(HOUR * 3 / 2, away())), ("first".to_owned(), "away".to_owned()));
}

#[test]
fn a_refusal_leaves_nothing() {
    for outage in [false, true] {
        let mut story = Story::warm();
        if outage {
            assert_eq!(story.hear(5 * SECOND, away()), "first");
        }
        assert_eq!(
            (story.look(6 * SECOND), story.hear(6 * SECOND, refused())),
            ("asks, holding first".to_owned(), "refused".to_owned())
        );
        assert!(!story.is_fresh(6 * SECOND));
        assert_eq!((story.look(6 * SECOND + 1), story.hear(6 * SECOND + 1, away())), ("asks".to_owned(), "away".to_owned()));
    }
}

#[test]
fn the_servers_own_pause_is_kept_to_as_far_as_is_sensible() {
    for (said, kept) in [(1, 1_000), (4, 4_000), (5, 5_000), (6, 5_000), (3_600, 5_000)] {
        let mut story = Story::warm();
        assert_eq!(story.hear(5 * SECOND, away_for(Some(said))), "first");
        assert_eq!(story.look(5 * SECOND + kept - 1), "first", "{said} s");
        assert_eq!(story.look(5 * SECOND + kept), "asks, holding first", "{said} s");
    }
    // It makes no pause shorter.
    let mut story = Story::warm();
    for turn in 0..9 {
        story.hear(5 * SECOND + turn, away_for(Some(0)));
    }
    assert_eq!(story.look(7 * SECOND), "first");
}

#[test]
fn a_refresh_asks_although_the_answer_is_fresh_but_not_without_limit() {
    let mut story = Story::warm();
    for window in [1, 6] {
        for turn in 1..=5 {
            let now = window * SECOND + turn;
            assert_eq!(
                (story.refresh(now), story.hear(now, new("first"))),
                ("asks, holding first".to_owned(), "first".to_owned())
            );
        }
        for now in [window * SECOND + 6, (window + 5) * SECOND] {
            assert_eq!(story.refresh(now), "first", "at {now}");
        }
    }
    // Where nothing is held, there is nothing to serve.
    let mut story = Story::new();
    for turn in 0..20 {
        assert_eq!((story.refresh(turn), story.hear(turn, refused())), ("asks".to_owned(), "refused".to_owned()));
    }
}

#[test]
fn who_comes_while_the_server_is_asked_shares_its_answer() {
    for said in [new("first"), refused(), away()] {
        let mut story = Story::new();
        let outcome = story.hear_late(1_000, 3_000, said);
        for asked in [500, 1_000, 2_000, 3_000] {
            assert_eq!(story.decide(Want::Fresh, asked, 3_500), outcome, "came at {asked}");
        }
    }
    let mut story = Story::new();
    story.hear_late(1_000, 3_000, refused());
    assert_eq!(story.decide(Want::Fresh, 3_001, 3_500), "asks", "who comes afterwards asks anew");
    // What a database refused may be what the request before has brought: only one that began later says more.
    let mut story = Story::new();
    story.hear_late(1_000, 3_000, new("first"));
    assert_eq!(story.decide(Want::Now, 1_000, 3_500), "first");
    assert_eq!(story.decide(Want::Now, 1_001, 3_500), "asks, holding first");
}

#[test]
fn each_workflow_of_a_process_is_told() {
    let mut story = Story::new();
    assert_eq!((story.look_for("a", 0, 0), story.hear_for("a", 0, new("first"))), ("asks".to_owned(), "first".to_owned()));
    assert_eq!(story.look_for("a", 1, 1), "first");
    assert_eq!(story.look_for("b", 1_000, 1_000), "asks, holding first", "the server does not know of it");
    let same = story.same();
    assert_eq!(story.hear_for("b", 1_000, same), "first");
    assert_eq!(story.look_for("b", 1_001, 1_001), "first");
    assert_eq!(story.look_for("a", 4_999, 4_999), "first");
    assert_eq!(story.look_for("a", 5_000, 5_000), "asks, holding first", "as if it were alone in its process");
    assert_eq!(story.look_for("b", 5_999, 5_999), "first");
    // Who waits shares what was asked for his own workflow.
    let same = story.same();
    story.hear_for("a", 7_000, same);
    assert_eq!(story.look_for("a", 6_500, 7_001), "first");
    assert_eq!(story.look_for("b", 6_500, 7_001), "asks, holding first");
    // While the server is away nobody is told, and all have what is held.
    assert_eq!(story.hear_for("b", 7_001, away()), "first");
    assert_eq!(story.look_for("c", 7_002, 7_002), "first");
}

#[test]
fn who_has_many_workflows_fills_no_memory() {
    let mut story = Story::warm();
    for count in 0..3 * u64::try_from(TELLERS).expect("small") {
        let same = story.same();
        story.hear_for(&count.to_string(), count, same);
        assert!(story.slot.told.len() <= TELLERS);
    }
}

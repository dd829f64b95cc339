//! What was acknowledged is there after `kill -9`, however many were saving, and what was not is whole or absent. On both stores. And a
//! database that stands still holds nobody up.

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    environment::soak,
    stored::{Engine, Stored, sample},
    writers::Writers,
};
use rstest::rstest;

const WRITERS: usize = 32;
/// How long a server may take until it is ready again.
const READY: Duration = Duration::from_secs(2);

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn nothing_that_was_acknowledged_is_lost_at_kill_9(#[case] engine: Engine) {
    let (kills, changes) = if soak() { (100, 500) } else { (3, 60) };
    let mut stored = Stored::start(engine);
    let (writers, mut slowest) = (Writers::default(), Duration::ZERO);
    for kill in 1..=kills {
        let (port, admin, writers) = (stored.server.port(), stored.admin.clone(), &writers);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let admin = &admin;
                scope.spawn(move || writers.write(port, admin, &format!("of-{kill}-{writer}")));
            }
            let begun = Instant::now();
            while writers.count() < kill * changes && begun.elapsed() < Duration::from_mins(1) {
                thread::sleep(Duration::from_millis(1));
            }
            stored.server.process().kill();
        });
        let begun = Instant::now();
        stored.server.restart();
        slowest = slowest.max(begun.elapsed());
    }
    assert!(writers.count() >= kills * changes, "too few were saved");
    assert_eq!(writers.lost(|sql| stored.sql(sql)), 0);
    stored.create("afterwards", "x");
    println!(
        "promise: kill -9 under {WRITERS} writers, {engine:?}: {kills} kills, 0 of {} acknowledged changes lost; ready again within {:.2} s",
        writers.count(),
        slowest.as_secs_f64()
    );
    assert!(slowest < READY, "{slowest:?}");
}

#[test]
fn a_database_that_stands_still_holds_nobody_up_for_long() {
    let stored = Stored::start(Engine::Postgres);
    stored.create("sales", "planted");
    let stopped = stored.stop_database();
    let begun = Instant::now();
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |method: &'static str| {
            let stored = &stored;
            scope.spawn(move || match method {
                "POST" => stored.admin("POST", "/connections").json(&sample("next", "x")).send(),
                _ => stored.admin("GET", "/connections").send(),
            })
        };
        let asked: Vec<_> = ["GET", "POST", "GET", "POST"].map(ask).into();
        asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
    });
    let waited = begun.elapsed();
    for answer in &answers {
        answer.refused(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    }
    assert!(waited < Duration::from_secs(15), "{waited:?}");
    let ready = dataflow_tests::http::Request::new(stored.server.port(), "GET", "/readyz").send();
    assert_eq!(ready.status, 503, "{}", ready.text());
    drop(stopped);
    let begun = Instant::now();
    while stored.admin("GET", "/connections").send().status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not find the database again");
        thread::sleep(Duration::from_millis(50));
    }
    let healed = begun.elapsed();
    // What was refused took effect not at all, or as a whole: PostgreSQL may have had it before it stood still.
    let left = stored.sql(
        "SELECT (SELECT count(*) FROM connections), (SELECT count(*) FROM connection_versions), \
                           (SELECT count(*) FROM audit_events WHERE action = 'connection.create')",
    );
    assert!(["1|1|1", "2|2|2"].contains(&left.as_str()), "{left}");
    println!(
        "promise: PostgreSQL stopped: 503 with Retry-After after {:.1} s at most, by itself well again {:.1} s after it went on",
        waited.as_secs_f64(),
        healed.as_secs_f64()
    );
}

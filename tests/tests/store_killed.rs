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

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_store_of_many_connections_is_ready_in_time(#[case] engine: Engine) {
    let count = if soak() { 100_000 } else { 10_000 };
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    stored.server.process().stop();
    stored.multiply(count);
    let restart = |stored: &mut Stored| {
        let begun = Instant::now();
        stored.server.restart();
        begun.elapsed()
    };
    let mut killed: Vec<_> = (0..3)
        .map(|kill| {
            restart(&mut stored);
            stored.credentials("sales").expect(200);
            // Somebody is saving at that moment.
            let (port, admin, writers) = (stored.server.port(), stored.admin.clone(), Writers::default());
            thread::scope(|scope| {
                for writer in 0..4 {
                    let (writers, admin) = (&writers, &admin);
                    scope.spawn(move || writers.write(port, admin, &format!("of-{kill}-{writer}")));
                }
                let begun = Instant::now();
                while writers.count() < 20 && begun.elapsed() < Duration::from_mins(1) {
                    thread::sleep(Duration::from_millis(1));
                }
                stored.server.process().kill();
            });
            restart(&mut stored)
        })
        .collect();
    stored.credentials("sales").expect(200);
    stored.server.process().stop();
    let orderly = restart(&mut stored);
    killed.sort_unstable();
    println!(
        "promise: restart with {count} connections, {engine:?}: ready within {:.2} s, after kill -9 within {:.2}, {:.2} and {:.2} s",
        orderly.as_secs_f64(),
        killed[0].as_secs_f64(),
        killed[1].as_secs_f64(),
        killed[2].as_secs_f64()
    );
    assert!(killed[1] < READY && orderly < READY, "{killed:?} {orderly:?}");
}

/// Somebody rebuilds a table, or forgets to end a transaction.
#[test]
fn tables_that_somebody_keeps_to_himself_hold_nobody_up_for_long() {
    const SOME: &str = "connections, connection_versions, tokens, people, members, audit_events, search_words, checks";
    let stored = Stored::start(Engine::Postgres);
    stored.create("sales", "planted");
    stored.create("unread", "planted");
    let all = stored.sql("SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = current_schema()");
    let mut longest = Duration::ZERO;
    for (tables, goes_on) in [(SOME, true), (all.as_str(), false)] {
        stored.credentials("sales").expect(200);
        let locked = stored.lock_tables(tables);
        let begun = Instant::now();
        let refused: Vec<_> = thread::scope(|scope| {
            let stored = &stored;
            let ask = |what: &'static str| {
                scope.spawn(move || match what {
                    "save" => stored.admin("POST", "/connections").json(&sample("next", "x")).send(),
                    "list" => stored.admin("GET", "/connections").send(),
                    _ => stored.credentials("unread"),
                })
            };
            let asked: Vec<_> = ["save", "save", "list", "read"].map(ask).into();
            // What this node has in memory it gives, as long as it learns of what others change.
            let mut given = 0;
            while begun.elapsed() < Duration::from_secs(4) {
                let answer = stored.credentials("sales");
                if answer.status == 200 {
                    given += 1;
                } else {
                    answer.refused(503, "unavailable");
                    assert!(!goes_on && begun.elapsed() > Duration::from_secs(1), "{goes_on}: {:?}", begun.elapsed());
                }
            }
            assert!(given > 20, "{given} reads");
            asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
        });
        longest = longest.max(begun.elapsed());
        for answer in &refused {
            answer.refused(503, "unavailable");
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        }
        let read = stored.credentials("sales");
        assert_eq!(read.status, if goes_on { 200 } else { 503 }, "{}", read.text());
        drop(locked);
        let begun = Instant::now();
        while stored.admin("POST", "/connections").json(&sample("after", "x")).send().status >= 500 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not come at its tables again");
            thread::sleep(Duration::from_millis(50));
        }
        stored.delete("after").expect(204);
    }
    assert_eq!(stored.sql("SELECT count(*) FROM connections WHERE name = 'next'"), "0", "what was refused took no effect");
    assert!(longest < Duration::from_secs(15), "{longest:?}");
    println!(
        "promise: PostgreSQL's tables locked: 503 with Retry-After after {:.1} s at most; what is in memory is read",
        longest.as_secs_f64()
    );
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

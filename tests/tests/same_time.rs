//! What a caller may not see and what is not there are refused in the same time.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use dataflow_tests::{
    environment::soak,
    stored::{Engine, Stored},
};
use rstest::rstest;

/// A connection that is kept, so that nothing but the answer is timed.
struct Line(BufReader<TcpStream>);

impl Line {
    #[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// How long a request takes that must be refused with 404.
    fn time(&mut self, request: &str) -> Duration {
        let began = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).expect("it reads");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        let took = began.elapsed();
        assert!(line.starts_with("HTTP/1.1 404"), "{line}");
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).expect("a head");
            if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.trim().parse().expect("a number");
            }
        }
        self.0.read_exact(&mut vec![0; length]).expect("a body");
        took
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_is_hidden_takes_as_long_as_what_is_absent(#[case] engine: Engine) {
    let rounds = if soak() { 5_000 } else { 300 };
    let stored = Stored::start_with(engine, &["--limit", "changes=off"]);
    stored.create("sales", "planted");
    stored.create_workspace("theirs");
    let outsider = stored.server.token("theirs", "admin", "outsider");
    let narrowed = stored.token("narrowed", "admin", Some(&["other"]));
    let viewer = stored.token("viewer", "viewer", None);
    let id = stored.sql("SELECT id FROM tokens WHERE name = 'narrowed'");
    let mut line = Line::open(stored.server.port());
    // Hidden and absent are written with as many letters.
    for (what, token, method, hidden, absent) in [
        ("another workspace", &outsider, "GET", "default/connections", "defaunt/connections"),
        (
            "a connection of another workspace",
            &outsider,
            "GET",
            "default/connections/sales/credentials",
            "defaunt/connections/sales/credentials",
        ),
        ("a connection that the token is not for", &narrowed, "GET", "default/connections/sales", "default/connections/salex"),
        ("its credentials", &narrowed, "GET", "default/connections/sales/credentials", "default/connections/salex/credentials"),
        (
            "somebody else's token",
            &viewer,
            "DELETE",
            &*format!("default/tokens/{id}"),
            "default/tokens/01939a1e-5b7c-7d40-9f0a-2f6c1b7a9e55",
        ),
    ] {
        assert_eq!(hidden.len(), absent.len());
        let request = |path: &str| {
            format!("{method} /api/v1/workspaces/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n")
        };
        let (hidden, absent) = (request(hidden), request(absent));
        for _ in 0..20 {
            line.time(&hidden);
            line.time(&absent);
        }
        let (mut of_hidden, mut of_absent, mut slower) = (Vec::new(), Vec::new(), 0);
        for round in 0..rounds {
            // One after another, each first in turn, so that whatever else the machine does falls on both.
            let (first, second) = if round % 2 == 0 { (&hidden, &absent) } else { (&absent, &hidden) };
            let (one, two) = (line.time(first), line.time(second));
            let (of_this, of_that) = if round % 2 == 0 { (one, two) } else { (two, one) };
            slower += usize::from(of_this > of_that);
            of_hidden.push(of_this);
            of_absent.push(of_that);
        }
        let share = f64::from(u32::try_from(slower).expect("small")) / f64::from(u32::try_from(rounds).expect("small"));
        let (of_hidden, of_absent) = (median(&mut of_hidden), median(&mut of_absent));
        println!(
            "promise: 404 in the same time, {engine:?}: {what}: {} against {} µs at the median of {rounds}, slower in {:.0} %",
            of_hidden.as_micros(),
            of_absent.as_micros(),
            share * 100.0
        );
        // Of equals half are slower, give or take 3 % (one standard deviation of 300 tosses).
        assert!((0.35..0.65).contains(&share), "{what} can be told from what is absent by the time it takes");
    }
}

//! What comes too fast is refused at once, and slows nobody else down.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    environment,
    http::{Answer, Request},
    postgres::{Postgres, PostgresOptions},
    server::{TestServer, TestServerOptions},
    session::Session,
    stored::sample,
};
use serde_json::json;

const CONNECTIONS: &str = "/api/v1/workspaces/default/connections";
/// So long a refusal may take on a machine that does nothing else; a busy one has some tries.
const AT_ONCE: Duration = Duration::from_millis(100);

fn start(arguments: &[&str]) -> TestServer {
    let arguments = arguments.iter().map(ToString::to_string).collect();
    TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() })
}

/// A refusal for speed, with the seconds to wait.
fn too_fast(answer: &Answer) -> u64 {
    answer.refused(429, "too_many_requests");
    let seconds = answer.header("retry-after").parse().expect("seconds");
    assert!(seconds >= 1, "{answer:?}");
    seconds
}

/// The shortest of some tries of what is refused for its speed.
fn refused_within(ask: impl Fn() -> Answer) -> Duration {
    let time = |_| {
        let began = Instant::now();
        too_fast(&ask());
        began.elapsed()
    };
    (0..10).map(time).min().expect("ten tries")
}

fn create(server: &TestServer, token: &str, name: &str) -> Answer {
    server.request(token, "POST", CONNECTIONS).json(&sample(name, "planted")).send()
}

fn limited(server: &TestServer, token: &str, kind: &str) -> u64 {
    let text = server.request(token, "GET", "/metrics").send().expect(200).text();
    let line = format!("dataflow_rate_limited_total{{kind=\"{kind}\"}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)).expect("it is counted").parse().expect("a number")
}

#[test]
fn changes_of_a_token_and_of_a_person_have_their_limits_and_reads_none() {
    let server = start(&["--limit", "changes=1:4"]);
    let [fast, other] = ["fast", "other"].map(|name| server.token("default", "admin", name));
    let mut made = 0;
    while create(&server, &fast, &format!("c{made}")).status == 201 {
        made += 1;
        assert!(made < 40, "nothing ends it");
    }
    assert!(made >= 4, "{made} in a full bucket");
    let list = || server.request(&fast, "GET", CONNECTIONS).send().expect(200).json()["items"].as_array().map(Vec::len);
    assert_eq!(list(), Some(made), "what is refused changes nothing, and reads go on");
    for _ in 0..50 {
        server.request(&fast, "GET", &format!("{CONNECTIONS}/c0/credentials")).send().expect(200);
    }
    let refused = || server.request(&fast, "DELETE", &format!("{CONNECTIONS}/c0")).header("if-match", "*").send();
    let mut took = Duration::MAX;
    for _ in 0..10 {
        let began = Instant::now();
        if refused().status == 429 {
            took = took.min(began.elapsed());
        }
    }
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(create(&server, &other, "others").status, 201, "another token has its own");
    let ada = Session::start(&server);
    let token = |number: usize| ada.submit("/w/default/tokens", &format!("name=t{number}&role=user&days=1"));
    assert_eq!(token(0).status, 201, "so has a person");
    let page = (1..40).map(token).find(|answer| answer.status != 201).expect("he has an end, too");
    assert!(page.expect(429).text().contains("than may come in a time") && !page.header("retry-after").is_empty(), "{page:?}");
    assert!(limited(&server, &other, "changes") >= 2);
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(create(&server, &fast, "later").status, 201, "a second later one more");
}

#[test]
fn tests_and_requests_have_their_limits() {
    let server = start(&["--limit", "tests=1:3", "--limit", "requests=5:40"]);
    let [fast, other] = ["fast", "other"].map(|name| server.token("default", "admin", name));
    let test = |token: &str| {
        let unsaved = json!({"type": "sqlite", "database": "none.db"});
        server.request(token, "POST", &format!("{CONNECTIONS}/test")).json(&unsaved).send()
    };
    let tested = (0..20).take_while(|_| test(&fast).status == 200).count();
    assert!((3..20).contains(&tested), "{tested}");
    let ada = Session::start(&server);
    let form = || ada.submit("/w/default/new/sqlite/test", "database=none.db");
    let refused = (0..20).map(|_| form()).find(|answer| answer.status != 200).expect("a form has the same end");
    assert!(
        refused.expect(429).json()["code"] == "too_many_requests" && !refused.header("retry-after").is_empty(),
        "{refused:?}"
    );
    let list = |token: &str| server.request(token, "GET", CONNECTIONS).send();
    let read = (0..200).take_while(|_| list(&fast).status == 200).count();
    assert!(read < 200, "{read}");
    list(&other).expect(200);
    assert!(limited(&server, &other, "tests") >= 1 && limited(&server, &other, "requests") >= 1);
}

/// A request as a reverse proxy on this machine passes it on.
fn from(server: &TestServer, address: &str, token: &str) -> Answer {
    server.request(token, "GET", CONNECTIONS).header("x-forwarded-for", address).send()
}

#[test]
fn an_address_that_brings_strangers_is_refused_without_a_look_at_the_store() {
    let mut postgres = Postgres::start(&PostgresOptions::default());
    let elsewhere = start(&[]);
    // As well formed as one can be.
    let unknown = elsewhere.token("default", "admin", "elsewhere");
    let arguments = ["--trusted-proxy", "127.0.0.1", "--limit", "strangers=1:5"].map(ToOwned::to_owned).to_vec();
    let server = TestServer::start(TestServerOptions {
        database_url: Some(postgres.url("postgres")),
        arguments,
        ..TestServerOptions::default()
    });
    let known = server.token("default", "admin", "known");
    from(&server, "203.0.113.7", &known).expect(200);
    let flood = |address: &str, token: &str| {
        (0..30).map(|_| from(&server, address, token).status).take_while(|status| *status == 401).count()
    };
    for (address, token) in [("203.0.113.7", unknown.as_str()), ("203.0.113.8", ""), ("2001:db8:1:2::1", "nonsense")] {
        let let_through = flood(address, token);
        assert!((5..30).contains(&let_through), "{address}: {let_through}");
        too_fast(&from(&server, address, token));
    }
    let looked = Request::new(server.port(), "GET", "/link/nonsense")
        .header("x-forwarded-for", "203.0.113.7")
        .header("accept", "text/html");
    looked.send().expect(429);
    from(&server, "203.0.113.7", &known).expect(200);
    assert_eq!(from(&server, "203.0.113.9", &unknown).status, 401, "another address");
    assert_eq!(from(&server, "6.6.6.6, 203.0.113.10", &unknown).status, 401);
    too_fast(&from(&server, "203.0.113.10, 203.0.113.7", &unknown));
    too_fast(&from(&server, "2001:db8:1:2:ffff::3", &unknown));
    assert!(limited(&server, &known, "strangers") >= 6);
    // Whoever does not come through a proxy that is trusted cannot say who he is.
    let audited = server.request(&known, "POST", CONNECTIONS).json(&sample("sales", "planted")).send();
    audited.expect(201);
    let read =
        server.request(&known, "GET", &format!("{CONNECTIONS}/sales/credentials")).header("x-forwarded-for", "203.0.113.44");
    read.send().expect(200);
    let uses = server.uses();
    assert_eq!(uses.last().map(|event| &event["address"]), Some(&json!("203.0.113.44")), "{uses:?}");

    postgres.process().stop();
    let took = refused_within(|| from(&server, "203.0.113.7", &unknown));
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn nobody_is_believed_about_whom_he_asks_for_unless_the_operator_says_so() {
    let server = start(&["--limit", "strangers=1:2", "--limit", "address=1:2"]);
    let token = server.token("default", "admin", "known");
    for _ in 0..20 {
        assert_eq!(from(&server, "203.0.113.7", "nonsense").status, 401, "this machine is no address");
        from(&server, "203.0.113.7", &token).expect(200);
    }
    let server = start(&["--trusted-proxy", "127.0.0.1", "--limit", "address=1:2"]);
    let token = server.token("default", "admin", "known");
    let read = (0..20).take_while(|_| from(&server, "203.0.113.7", &token).status == 200).count();
    assert!((2..20).contains(&read), "{read}");
    too_fast(&from(&server, "203.0.113.7", &token));
    from(&server, "203.0.113.8", &token).expect(200);
}

/// Changes that a token makes at most in the test of honest users: fewer than its bucket holds.
const OF_A_TOKEN: usize = 80;

/// How long honest changes take, sorted.
fn honest(server: &TestServer, tokens: &[String], round: &str, count: usize) -> Vec<Duration> {
    let mut took: Vec<_> = (0..count)
        .map(|number| {
            let began = Instant::now();
            create(server, &tokens[number / OF_A_TOKEN], &format!("{round}-{number}")).expect(201);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

/// Of those sorted, the one that 99 of 100 do not exceed.
fn p99(took: &[Duration]) -> Duration {
    took[(took.len() * 99).div_ceil(100) - 1]
}

#[test]
fn honest_users_keep_their_latency_beside_a_token_that_floods() {
    let (count, writers): (usize, usize) = if environment::soak() { (2_000, 32) } else { (150, 4) };
    let server = start(&["--limit", "changes=5:100"]);
    let flood = server.token("default", "editor", "flood");
    let tokens = |who: &str| -> Vec<_> {
        (0..count.div_ceil(OF_A_TOKEN)).map(|number| server.token("default", "editor", &format!("{who}-{number}"))).collect()
    };
    let (ada, bob) = (tokens("ada"), tokens("bob"));
    honest(&server, &[server.token("default", "editor", "warm")], "warm", 20);
    let alone = honest(&server, &ada, "alone", count);
    let (over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let beside = thread::scope(|scope| {
        for writer in 0..writers {
            let (server, flood, over, refused) = (&server, &flood, &over, &refused);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    if create(server, flood, &format!("f{writer}-{number}")).status == 429 {
                        refused.fetch_add(1, Ordering::SeqCst);
                        // Whoever floods has a machine of his own; this one is the server's, too.
                        thread::sleep(Duration::from_millis(25));
                    }
                }
            });
        }
        // The flood has what was in its bucket.
        let began = Instant::now();
        while refused.load(Ordering::SeqCst) < 20 && began.elapsed() < Duration::from_mins(1) {
            thread::sleep(Duration::from_millis(10));
        }
        let beside = honest(&server, &bob, "beside", count);
        over.store(true, Ordering::SeqCst);
        beside
    });
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    println!(
        "promise: a flooding token ({writers} writers, {} refusals): honest changes p99 {:.1} ms alone, {:.1} ms beside (medians {:.1} and {:.1}, N = {count})",
        refused.into_inner(),
        ms(p99(&alone)),
        ms(p99(&beside)),
        ms(alone[count / 2]),
        ms(beside[count / 2])
    );
    // On a machine that does much else only the quick ones tell of the server: without the limit each change waits for those of all writers.
    let (quick, of_beside) = (alone[count / 10], beside[count / 10]);
    assert!(of_beside <= 2 * quick + Duration::from_millis(10), "the quickest tenth {quick:?} and {of_beside:?}");
    if environment::soak() {
        let (alone, beside) = (p99(&alone), p99(&beside));
        assert!(beside <= 2 * alone + Duration::from_millis(1), "{alone:?} and {beside:?}");
    }
}

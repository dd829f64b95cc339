//! Malformed requests by chance, at every route of the API's description: none makes the server fail, panic or tell a secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    chance::Chance,
    environment,
    http::Request,
    malformed::{Bent, SENT, Target, bend},
    openapi::Operation,
    server::{TestServer, TestServerOptions},
    stored::sample,
};
use serde_json::json;

/// In the store, and with somebody who may not see it.
const STORED: &str = "Zq7XstoredZq7X";
const SEED: u64 = 20_261_129;
const THREADS: usize = 6;
/// So long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long a server may wait for the rest of what has none.
const MORE: Duration = Duration::from_millis(25);

/// Sends it and reads all that comes. A server that waits for more is told after a while that there is none.
#[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
fn send(port: u16, bent: &Bent) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let is_whole =
        !["length", "chunks", "cut", "pipelined", "version", "header bytes"].iter().any(|kind| bent.harm.contains(kind));
    stream.set_read_timeout(Some(if is_whole { PATIENCE } else { MORE })).expect("a socket");
    // A server that refuses early closes before all is sent.
    let _ = stream.write_all(&bent.bytes);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer)
        && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
    {
        assert!(!is_whole, "no end of the answer to {}", shown(&bent.bytes));
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let ended = stream.read_to_end(&mut answer).err().is_none_or(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(ended, "no end of the answer to {}", shown(&bent.bytes));
    }
    answer
}

fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(1_500)];
    start.escape_ascii().to_string()
}

/// The statuses of what came back.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let heads = text.split("HTTP/1.1 ").skip(1);
    heads.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[derive(Default)]
struct Tally {
    statuses: BTreeMap<u16, usize>,
    operations: BTreeMap<String, usize>,
    harms: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        other.statuses.into_iter().for_each(|(key, count)| *self.statuses.entry(key).or_default() += count);
        other.operations.into_iter().for_each(|(key, count)| *self.operations.entry(key).or_default() += count);
        other.harms.into_iter().for_each(|(key, count)| *self.harms.entry(key).or_default() += count);
    }
}

fn bombard(target: &Target, seed: u64, count: usize) -> Tally {
    let (mut chance, mut tally) = (Chance::new(seed), Tally::default());
    for number in 0..count {
        let bent = bend(target, &mut chance);
        let answer = send(target.port, &bent);
        let told = || format!("request {number} of seed {seed}, {:?}: {}\n{}", bent.harm, shown(&bent.bytes), shown(&answer));
        for status in statuses(&answer) {
            assert!(status < 500, "{}", told());
            *tally.statuses.entry(status).or_default() += 1;
        }
        for secret in [STORED, SENT, &target.admin, &target.viewer] {
            assert!(!holds(&answer, secret) || bent.may_hold_a_secret, "{secret} came back: {}", told());
        }
        *tally.operations.entry(bent.id).or_default() += 1;
        bent.harm.into_iter().for_each(|kind| *tally.harms.entry(kind).or_default() += 1);
    }
    tally
}

#[test]
fn malformed_requests_make_nothing_fail_and_tell_nothing() {
    let count: usize = if environment::soak() { 100_000 } else { 3_000 };
    let arguments = ["--limit", "changes=off", "--limit", "tests=off"].map(ToOwned::to_owned).to_vec();
    let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
    let (admin, viewer) = (server.token("default", "admin", "admin"), server.token("default", "viewer", "viewer"));
    for name in ["sales", "crm"] {
        let mut connection = sample(name, STORED);
        connection["host"] = json!("127.0.0.1");
        connection["port"] = json!(1);
        server.request(&admin, "POST", "/api/v1/workspaces/default/connections").json(&connection).send().expect(201);
    }
    let document = Request::new(server.port(), "GET", "/api/v1/openapi.json").send().expect(200).json();
    let target = Target { port: server.port(), admin, viewer, operations: Operation::all(&document) };
    let began = Instant::now();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let target = &target;
        let seeds = (0..THREADS).map(|thread| SEED + u64::try_from(thread).expect("small"));
        let all: Vec<_> = seeds.map(|seed| scope.spawn(move || bombard(target, seed, count.div_ceil(THREADS)))).collect();
        for thread in all {
            tally.add(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    let took = began.elapsed();
    let asked: usize = tally.operations.values().sum();
    println!(
        "promise: malformed requests: {asked} at {} routes (seed {SEED}, {:.0} s): 0 panics, 0 answers 5xx, 0 planted secrets; answers {:?}",
        tally.operations.len(),
        took.as_secs_f64(),
        tally.statuses
    );
    let known: BTreeSet<_> = target.operations.iter().map(|operation| operation.id.clone()).collect();
    assert_eq!(tally.operations.keys().cloned().collect::<BTreeSet<_>>(), known, "a route was left out");
    assert!(tally.harms.len() >= 30, "{:?}", tally.harms);
    for status in [200, 400, 401, 403, 404, 405, 413, 415, 422, 428, 431] {
        assert!(tally.statuses.contains_key(&status), "nobody was answered {status}: {:?}", tally.statuses);
    }
    let refused: usize = tally.statuses.range(400..500).map(|(_, count)| count).sum();
    assert!(refused * 2 > asked, "most of it is malformed: {:?}", tally.statuses);

    let metrics = server.request(&target.admin, "GET", "/metrics").send().expect(200).text();
    assert!(!metrics.contains("status=\"5"), "{metrics}");
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    for secret in [STORED, SENT, target.admin.as_str(), target.viewer.as_str()] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{secret} is in the log or the metrics");
    }
    Request::new(server.port(), "GET", "/readyz").send().expect(200);
}

//! A dead host never slows anything else: tests that hang take only so many places, and what finds none is told to come again.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    net::TcpStream,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    folder::TempDir,
    http::{Answer, Request},
    postgres::{Postgres, PostgresOptions, SUPERUSER, SUPERUSER_PASSWORD},
    process::{Spawn, Stop},
    server::{TestServer, TestServerOptions},
    shell::Shell,
    silent::{OpenConnections, Silent},
};
use serde_json::{Value, json};

/// A test of a dead host ends after ten seconds; one of a database that answers must not wait for that.
const PROMPT: Duration = Duration::from_secs(5);
/// As docs/operations.md says.
const AT_ONE_ADDRESS: usize = 4;
const SWIFT_AND_SLOW: usize = 4 + 12;
const OF_ONE_CALLER: usize = 8;
/// What is refused is so within that, at the median: a busy machine lets some wait.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Callers; all but the last are of one workspace.
const EVE: usize = 0;
const MALLORY: usize = 1;
const ADA: usize = 2;
const THEIRS: usize = 3;

/// A server with workspaces `default` and `theirs`, a SQLite file, and a PostgreSQL.
struct House {
    server: TestServer,
    callers: [(&'static str, String); 4],
    database: Postgres,
    _files: TempDir,
}

impl House {
    fn start() -> Self {
        let (files, database) = (TempDir::new(), Postgres::start(&PostgresOptions::default()));
        Spawn::new("/usr/bin/sqlite3", Stop::Kill).arg(files.join("sales.db")).arg("CREATE TABLE orders (id INTEGER)").run();
        let arguments = vec!["--sqlite-folder".to_owned(), files.path().display().to_string()];
        let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
        let data = server.data().display().to_string();
        Shell::new(["workspace", "create", "--data", &data, "theirs"]).run().stdout();
        let callers = [("default", "eve"), ("default", "mallory"), ("default", "ada"), ("theirs", "theirs")]
            .map(|(workspace, name)| (workspace, server.token(workspace, "editor", name)));
        Self { server, callers, database, _files: files }
    }

    fn test(&self, caller: usize, values: &Value) -> Request {
        let (workspace, token) = &self.callers[caller];
        self.server.request(token, "POST", &format!("/api/v1/workspaces/{workspace}/connections/test")).json(values)
    }

    /// Begins tests of silent hosts.
    fn hang<'h>(&self, caller: usize, hosts: impl IntoIterator<Item = &'h Silent>) -> Vec<TcpStream> {
        hosts.into_iter().map(|host| self.test(caller, &silent(host)).begin()).collect()
    }

    /// Both databases answer promptly to a caller's tests; gives the time of the slower one.
    fn is_prompt(&self, caller: usize) -> Duration {
        let postgres = json!({"type": "postgres", "host": "127.0.0.1", "port": self.database.port(), "username": SUPERUSER,
                              "password": SUPERUSER_PASSWORD, "database": "postgres"});
        let took = [sqlite(), postgres].map(|values| {
            let began = Instant::now();
            let report = self.test(caller, &values).send().expect(200).json();
            assert_eq!(report["status"], "ok", "{report}");
            assert!(began.elapsed() < PROMPT, "{}: {:?}", values["type"], began.elapsed());
            began.elapsed()
        });
        took[0].max(took[1])
    }

    /// Each of some tests is refused for `why`, at once; gives the median time of the refusals.
    fn refuses(&self, caller: usize, values: &Value, why: &str) -> Duration {
        let mut took: Vec<_> = (0..15)
            .map(|_| {
                let began = Instant::now();
                is_refusal(&self.test(caller, values).send(), why);
                began.elapsed()
            })
            .collect();
        took.sort_unstable();
        assert!(took[7] < AT_ONCE, "{took:?}");
        took[7]
    }
}

fn is_refusal(answer: &Answer, why: &str) {
    let problem = answer.refused(429, "too_many_requests");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{problem}");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
}

fn sqlite() -> Value {
    json!({"type": "sqlite", "database": "sales.db"})
}

fn silent(host: &Silent) -> Value {
    json!({"type": "postgres", "host": "127.0.0.1", "port": host.port(), "username": "u", "password": "planted"})
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(9), "{what}: not before the first of them end by themselves");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn eight_dead_hosts_of_one_caller_hold_up_nobody_else() {
    let (house, open) = (House::start(), OpenConnections::default());
    let alone = house.is_prompt(ADA);
    let dead: Vec<_> = (0..OF_ONE_CALLER).map(|_| Silent::start(&open)).collect();
    let hanging = house.hang(EVE, &dead);
    // At this moment some wait for a place, and some hang.
    let beside = house.is_prompt(ADA);
    wait_until("all eight are under way", || open.now() == OF_ONE_CALLER);
    let refused = house.refuses(EVE, &sqlite(), "token or account");
    let beside = beside.max(house.is_prompt(ADA));
    assert!(open.now() >= 4, "they were under way meanwhile: {}", open.now());
    drop(hanging);
    wait_until("all eight are cancelled", || open.now() == 0);
    house.is_prompt(EVE);
    println!(
        "promise: overload of tests: a caller with more than his share is refused in {} ms; others take {} ms alone, {} ms beside",
        refused.as_millis(),
        alone.as_millis(),
        beside.as_millis()
    );
}

#[test]
fn a_dead_host_gets_its_share_and_what_finds_no_place_is_told_so() {
    let (house, open) = (House::start(), OpenConnections::default());
    let dead = Silent::start(&open);
    let (tell, answers) = mpsc::channel();
    for caller in [EVE, MALLORY] {
        for _ in 0..OF_ONE_CALLER {
            let (request, tell) = (house.test(caller, &silent(&dead)), tell.clone());
            // Whoever is still waiting at the end of this test ends with the server.
            thread::spawn(move || {
                let began = Instant::now();
                request.try_send().map(|answer| tell.send((answer, began.elapsed())))
            });
        }
    }
    // Four run. That they hang is known when the last of them has run for a second, and they begin two by two at most.
    for _ in AT_ONE_ADDRESS..2 * OF_ONE_CALLER {
        let (answer, after) = answers.recv_timeout(Duration::from_secs(9)).expect("an answer before the first of them end");
        is_refusal(&answer, "host and port");
        assert!(after < PROMPT, "{after:?}");
    }
    assert_eq!(open.now(), AT_ONE_ADDRESS);
    house.refuses(ADA, &silent(&dead), "host and port");
    house.is_prompt(ADA);
    for _ in 0..AT_ONE_ADDRESS {
        let (answer, _) = answers.recv_timeout(Duration::from_secs(25)).expect("the end of a test");
        assert_eq!(answer.expect(200).json()["error"]["code"], "timed_out", "{}", answer.text());
    }
    assert_eq!(open.most(), AT_ONE_ADDRESS);
}

#[test]
fn a_workspace_full_of_dead_hosts_is_full_for_itself_alone() {
    let (house, open) = (House::start(), OpenConnections::default());
    let dead: Vec<_> = (0..SWIFT_AND_SLOW).map(|_| Silent::start(&open)).collect();
    let (eve, mallory) = dead.split_at(OF_ONE_CALLER);
    let hanging = [house.hang(EVE, eve), house.hang(MALLORY, mallory)];
    wait_until("as many as may are under way", || open.now() == SWIFT_AND_SLOW);
    // Longer than a test keeps its first place, if there is room among the slow.
    thread::sleep(Duration::from_millis(1_500));
    let refused = house.refuses(ADA, &sqlite(), "of connections");
    let beside = house.is_prompt(THEIRS);
    assert_eq!(open.most(), SWIFT_AND_SLOW, "the bound holds");
    drop(hanging);
    wait_until("all are cancelled", || open.now() == 0);
    house.is_prompt(ADA);
    println!(
        "promise: overload of tests: a full workspace is refused in {} ms; another takes {} ms beside",
        refused.as_millis(),
        beside.as_millis()
    );
}

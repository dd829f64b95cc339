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

/// A server with workspaces `default` and `theirs`, a SQLite file, and a PostgreSQL.
struct House {
    server: TestServer,
    tokens: [(&'static str, String); 2],
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
        let tokens = ["default", "theirs"].map(|workspace| (workspace, server.token(workspace, "editor", workspace)));
        Self { server, tokens, database, _files: files }
    }

    fn test(&self, place: usize, values: &Value) -> Request {
        let (workspace, token) = &self.tokens[place];
        self.server.request(token, "POST", &format!("/api/v1/workspaces/{workspace}/connections/test")).json(values)
    }

    /// Begins tests of a silent host, one for each port.
    fn hang(&self, ports: impl IntoIterator<Item = u16>) -> Vec<TcpStream> {
        ports.into_iter().map(|port| self.test(0, &silent(port)).begin()).collect()
    }

    /// Both databases answer promptly to a workspace's tests.
    fn is_prompt(&self, place: usize) {
        let postgres = json!({"type": "postgres", "host": "127.0.0.1", "port": self.database.port(), "username": SUPERUSER,
                              "password": SUPERUSER_PASSWORD, "database": "postgres"});
        for values in [json!({"type": "sqlite", "database": "sales.db"}), postgres] {
            let began = Instant::now();
            let report = self.test(place, &values).send().expect(200).json();
            assert_eq!(report["status"], "ok", "{report}");
            assert!(began.elapsed() < PROMPT, "{}: {:?}", values["type"], began.elapsed());
        }
    }
}

fn silent(port: u16) -> Value {
    json!({"type": "postgres", "host": "127.0.0.1", "port": port, "username": "u", "password": "planted"})
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(9), "{what}: not before the first of them end by themselves");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn eight_dead_hosts_hold_up_no_test_of_a_living_one() {
    let (house, open) = (House::start(), OpenConnections::default());
    let dead: Vec<_> = (0..8).map(|_| Silent::start(&open)).collect();
    let hanging = house.hang(dead.iter().map(Silent::port));
    wait_until("all eight are under way", || open.now() == 8);
    house.is_prompt(0);
    assert!(open.now() >= 4, "they were under way meanwhile: {}", open.now());
    drop(hanging);
    wait_until("all eight are cancelled", || open.now() == 0);
}

#[test]
fn a_dead_host_gets_its_share_and_what_waits_for_it_is_told_to_come_again() {
    let (house, open) = (House::start(), OpenConnections::default());
    let dead = Silent::start(&open);
    let (asked, answers) = (3 * AT_ONE_ADDRESS, mpsc::channel::<Answer>());
    for _ in 0..asked {
        let (request, answer) = (house.test(0, &silent(dead.port())), answers.0.clone());
        // Whoever is still waiting at the end of this test ends with the server.
        thread::spawn(move || request.try_send().map(|told| answer.send(told)));
    }
    wait_until("as many as may are under way", || open.now() == AT_ONE_ADDRESS);
    house.is_prompt(0);
    // Four run, four follow when they have ended, and the time of the last four is up before.
    let mut refused = 0;
    while refused < asked - 2 * AT_ONE_ADDRESS {
        let answer = answers.1.recv_timeout(Duration::from_secs(25)).expect("an answer, at the latest after two tests' time");
        if answer.status == 200 {
            assert_eq!(answer.json()["error"]["code"], "timed_out", "{}", answer.text());
            continue;
        }
        answer.refused(429, "too_many_requests");
        assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
        refused += 1;
    }
    house.is_prompt(0);
    assert_eq!(open.most(), AT_ONE_ADDRESS);
}

#[test]
fn a_workspace_full_of_dead_hosts_is_full_for_itself_alone() {
    let (house, open) = (House::start(), OpenConnections::default());
    let dead: Vec<_> = (0..SWIFT_AND_SLOW + 4).map(|_| Silent::start(&open)).collect();
    let hanging = house.hang(dead.iter().map(Silent::port));
    wait_until("as many as may are under way", || open.now() == SWIFT_AND_SLOW);
    // Longer than a test keeps its first place, if there is room among the slow.
    thread::sleep(Duration::from_millis(1_500));
    house.is_prompt(1);
    assert_eq!(open.most(), SWIFT_AND_SLOW, "the bound holds");
    drop(hanging);
    wait_until("all are cancelled", || open.now() == 0);
    house.is_prompt(0);
}

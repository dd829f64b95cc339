//! Many nodes on one PostgreSQL: what one of them does to the others, and what its line to the database does to it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    folder::TempDir,
    http::{Answer, Request},
    nodes::{Remote, serve},
    port::Port,
    shell::Shell,
    stored::{Engine, Stored},
};

#[test]
fn every_node_forgets_a_deleted_workspace() {
    let stored = Stored::start(Engine::Postgres);
    stored.create_workspace("theirs");
    let token = stored.server.token("theirs", "admin", "robot");
    let connections = "/workspaces/theirs/connections";
    let sample = dataflow_tests::stored::sample("sales", "planted");
    stored.request(&token, "POST", connections).json(&sample).send().expect(201);
    let node = Remote::start(&stored);
    let port = node.port.number();
    let ask = |path: &str| Request::new(port, "GET", format!("/api/v1{connections}/sales{path}")).token(&token).send();
    ask("/credentials").expect(200);

    Shell::new(["workspace", "delete", "theirs", "--yes"]).args(stored.data_arguments()).run().stdout();
    let deleted = Instant::now();
    let own = stored.request(&token, "GET", &format!("{connections}/sales/credentials")).send();
    own.refused(401, "unauthenticated");
    while ask("/credentials").status != 401 {
        assert!(deleted.elapsed() < Duration::from_secs(5), "still served {:?} after it was deleted", deleted.elapsed());
        thread::sleep(Duration::from_millis(50));
    }
    // Another one of its name knows nothing of it.
    stored.create_workspace("theirs");
    ask("").refused(401, "unauthenticated");
    let stranger = stored.server.token("theirs", "admin", "robot");
    stored.request(&stranger, "GET", &format!("{connections}/sales/credentials")).send().refused(404, "not_found");
}

#[test]
fn a_node_that_the_database_left_serves_no_secret_to_a_revoked_token() {
    let stored = Stored::start(Engine::Postgres);
    stored.create("sales", "planted");
    let token = stored.token("robot", "user", None);
    let mut node = Remote::start(&stored);
    let path = "/api/v1/workspaces/default/connections/sales/credentials";
    let port = node.port.number();
    let ask = || -> Answer { Request::new(port, "GET", path).token(&token).send() };
    ask().expect(200);

    node.cable.cut();
    let id = stored.sql("SELECT id FROM tokens WHERE name = 'robot'");
    stored.admin("DELETE", &format!("/tokens/{id}")).send().expect(204);
    let revoked = Instant::now();
    loop {
        let asked = Instant::now();
        let answer = ask();
        if answer.status != 200 {
            answer.refused(503, "unavailable");
            assert!(!answer.text().contains("planted"));
            break;
        }
        assert!(asked - revoked < Duration::from_secs(5), "still served {:?} after it was revoked", asked - revoked);
        thread::sleep(Duration::from_millis(50));
    }

    // Nor does it hang at its end.
    let stopping = Instant::now();
    let pid = node.process.id().to_string();
    let signalled = std::process::Command::new("/bin/kill").args(["-s", "TERM", "--", &pid]).status().expect("kill runs");
    assert!(signalled.success());
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(stopping.elapsed() < Duration::from_mins(1), "it hangs at its end:\n{}", node.process.log());
        thread::sleep(Duration::from_millis(50));
    }
    node.process.stop();
}

#[test]
fn a_node_finds_its_database_again() {
    let stored = Stored::start(Engine::Postgres);
    stored.create("sales", "planted");
    let node = Remote::start(&stored);
    let path = "/api/v1/workspaces/default/connections";
    let ask = || Request::new(node.port.number(), "GET", path).token(&stored.admin).send();
    ask().expect(200);
    node.cable.cut();
    ask().refused(503, "unavailable");
    node.cable.mend();
    let mended = Instant::now();
    while ask().status != 200 {
        assert!(mended.elapsed() < Duration::from_secs(30), "it does not find the database again");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn nodes_of_one_folder_leave_each_other_the_admin_socket() {
    let mut stored = Stored::start(Engine::Postgres);
    let (data, url) = (stored.server.data(), stored.database_url().expect("on PostgreSQL"));
    let (folder, port) = (TempDir::new(), Port::free());
    let start = || serve(&data, &url, &port, &folder.join("log"));
    // The key tells who answered: a shell that does it itself has none to open the store with.
    let ask = |name: &str| {
        let words = ["token", "create", "--role", "viewer", "--name", name, "--key-file"];
        Shell::new(words).arg(folder.join("absent.key")).args(stored.data_arguments()).run()
    };
    let mut second = start();
    assert!(ask("both run").succeeded);
    second.stop();
    let ran = ask("the first runs");
    assert!(ran.succeeded, "the first lost its socket to the second: {}", ran.stderr);

    let mut second = start();
    let first = stored.server.process().id();
    assert_ne!(first, second.id());
    stored.server.process().stop();
    let ask = |name: &str| {
        let words = ["token", "create", "--role", "viewer", "--name", name, "--key-file"];
        Shell::new(words).arg(folder.join("absent.key")).args(stored.data_arguments()).run()
    };
    let ran = ask("the second runs");
    assert!(ran.succeeded, "the second lost its socket to the first: {}", ran.stderr);
    second.stop();
    assert!(!ask("none runs").succeeded, "nobody is left to answer");
}

/// Each node's reads are in the store, too: its loss takes none along, and another node verifies them.
#[test]
fn the_reads_of_a_lost_node_are_verified_by_another() {
    let stored = Stored::start(Engine::Postgres);
    stored.create("sales", "planted");
    let mut node = Remote::start(&stored);
    for port in [stored.server.port(), node.port.number()] {
        let path = "/api/v1/workspaces/default/connections/sales/credentials";
        Request::new(port, "GET", path).token(&stored.admin).send().expect(200);
    }
    node.process.stop();
    drop(node);
    let verify = || Shell::new(["audit", "verify", "--output", "json"]).args(stored.data_arguments()).run();
    let report: serde_json::Value = serde_json::from_str(&verify().stdout).expect("JSON");
    let chains = report["chains"].as_array().expect("a list");
    assert_eq!(chains.len(), 3, "{report}");
    assert!(chains.iter().all(|chain| chain["problem"].is_null()), "{report}");
    assert_eq!(chains.iter().filter(|chain| chain["events"] == 2).count(), 2, "a beginning and a read of each: {report}");
    stored.sql("UPDATE audit_lines SET lines = decode(replace(encode(lines, 'escape'), 'sales', 'other'), 'escape')");
    let ran = verify();
    assert!(!ran.succeeded && ran.stdout.contains("line 2 is not what followed line 1"), "{} {}", ran.stdout, ran.stderr);
}

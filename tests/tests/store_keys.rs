//! Keys that change under running programs: rotation, on both stores, with one server and with two, with processes that are killed on the way;
//! and slots that come and go.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    binary::dataflow_bin,
    folder::TempDir,
    http::Request,
    port::Port,
    process::{Process, Spawn, Stop},
    session::Session,
    shell::{Ran, Shell},
    stored::{Engine, Stored, sample},
};
use serde_json::{Value, json};

/// `dataflow keys …` beside the running server, or in its place.
fn keys(stored: &Stored, words: &[&str]) -> Ran {
    Shell::new(["keys"]).args(words).args(stored.data_arguments()).run()
}

fn status(stored: &Stored) -> Value {
    serde_json::from_str(keys(stored, &["status", "--output", "json"]).stdout()).expect("JSON")
}

/// The kinds of the slots, by their numbers.
fn slots(stored: &Stored) -> Vec<(u64, String)> {
    let status = status(stored);
    let slots = status["slots"].as_array().expect("a list").iter();
    slots.map(|slot| (slot["id"].as_u64().expect("a number"), slot["kind"].as_str().expect("a kind").to_owned())).collect()
}

fn is_all_new(stored: &Stored, version: u64) {
    let status = status(stored);
    assert_eq!(status["rotating"], false, "{status}");
    assert_eq!(status["root_key"], json!({"newest": version, "active": version, "rows_from": version}));
    assert_eq!(status["rows_under_older_keys"], 0);
    for workspace in status["workspaces"].as_array().expect("a list") {
        for place in ["oldest", "active", "newest"] {
            assert_eq!(workspace[place], version, "{status}");
        }
        assert_eq!(workspace["versions_under_older_keys"], 0);
    }
}

/// Another `dataflow serve` on the same store, with its own key.
fn serve(folder: &TempDir, port: &Port, arguments: &[String]) -> Process {
    let mut process = Spawn::new(dataflow_bin(), Stop::Terminate)
        .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number())])
        .args(arguments)
        .start(&folder.join("log"));
    process.wait_until("another server", |process| process.log().contains("is ready at"));
    process
}

const PATH: &str = "/api/v1/workspaces/default/connections";

/// Reads and saves that go on until they are told to end, at each of these ports. One that fails is seen.
struct Traffic {
    goes_on: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Traffic {
    fn start(stored: &Stored, ports: &[u16]) -> Self {
        let (goes_on, done) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
        let reader = stored.token("reader", "user", None);
        let session = Session::start(&stored.server);
        let mut acts: Vec<Box<dyn FnMut(u32) + Send>> = Vec::new();
        for (number, port) in ports.iter().copied().enumerate() {
            for reader in [reader.clone(), stored.admin.clone()] {
                let mut fingerprint = String::new();
                acts.push(Box::new(move |_| {
                    let answer = Request::new(port, "GET", format!("{PATH}/sales/credentials")).token(&reader).send();
                    assert_eq!(answer.expect(200).json()["fields"]["password"], "planted");
                    let found = answer.header("etag").to_owned();
                    assert!(fingerprint.is_empty() || fingerprint == found, "a rotation is no new credentials");
                    fingerprint = found;
                }));
            }
            let admin = stored.admin.clone();
            let name = format!("saved{number}");
            acts.push(Box::new(move |round| {
                let (path, method) = if round == 0 { (PATH.to_owned(), "POST") } else { (format!("{PATH}/{name}"), "PATCH") };
                let body = match round {
                    0 => sample(&name, "0"),
                    _ if round % 3 == 0 => json!({"description": round.to_string()}),
                    _ => json!({"password": round.to_string()}),
                };
                let saved = Request::new(port, method, path).token(&admin).header("if-match", "*").json(&body).send();
                assert!(matches!(saved.status, 200 | 201), "{}", saved.text());
                let typed = if round % 3 == 0 { round.saturating_sub(1) } else { round };
                let read = Request::new(port, "GET", format!("{PATH}/{name}/credentials")).token(&admin).send();
                assert_eq!(read.expect(200).json()["fields"]["password"], typed.to_string());
            }));
        }
        acts.push(Box::new(move |_| {
            session.get("/w/default/connections").expect(200);
        }));
        let threads = acts.into_iter().map(|mut act| {
            let (goes_on, done) = (goes_on.clone(), done.clone());
            thread::spawn(move || {
                let mut round = 0;
                while goes_on.load(Ordering::Relaxed) {
                    act(round);
                    round += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                    // Each change empties what the other server remembers, so that reads reach the store.
                    thread::sleep(Duration::from_millis(15));
                }
            })
        });
        let threads = threads.collect();
        Self { goes_on, done, threads }
    }

    /// How many acts there were; none failed. `logs` are what the servers said, for when one did.
    fn end(self, logs: impl FnOnce() -> String) -> u32 {
        self.goes_on.store(false, Ordering::Relaxed);
        let failed = self.threads.into_iter().filter_map(|thread| thread.join().err()).count();
        assert!(failed == 0, "{failed} loops failed:\n{}", logs());
        self.done.load(Ordering::Relaxed)
    }
}

#[test]
fn nobody_notices_a_rotation() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let traffic = Traffic::start(&stored, &[stored.server.port()]);
    for version in 2..=3 {
        assert_eq!(keys(&stored, &["rotate"]).stdout(), "");
        is_all_new(&stored, version);
    }
    let acts = traffic.end(|| stored.server.log());
    println!("promise: rotation of keys: {acts} reads, saves and pages beside 2 rotations: 0 failures");
    assert!(acts > 50, "{acts}");
    // Each event was signed and chained under the key of its time.
    assert!(Shell::new(["audit", "verify"]).args(stored.data_arguments()).run().succeeded);
}

#[test]
fn nobody_notices_a_rotation_of_two_servers_on_one_database() {
    let stored = Stored::start(Engine::Postgres);
    stored.create("sales", "planted");
    let (folder, port) = (TempDir::new(), Port::free());
    // The other server has a key of its own.
    let key = folder.join("data.key").display().to_string();
    assert_eq!(keys(&stored, &["add-slot", "--new-key-file", &key]).stdout(), "");
    let url = stored.database_url().expect("on PostgreSQL");
    let arguments = ["--data".to_owned(), folder.join("data").display().to_string(), "--database-url".to_owned(), url];
    let mut second = serve(&folder, &port, &arguments);
    let in_use = keys(&stored, &["remove-slot", "3"]);
    assert!(in_use.failure().contains("another node was started with"), "{}", in_use.stderr);
    let traffic = Traffic::start(&stored, &[stored.server.port(), port.number()]);
    assert_eq!(stored.sql("SELECT count(*) FROM nodes"), "2");
    assert_eq!(keys(&stored, &["rotate"]).stdout(), "");
    is_all_new(&stored, 2);
    let acts = traffic.end(|| format!("{}\n{}", stored.server.log(), second.log()));
    println!("promise: rotation of keys: {acts} reads, saves and pages on two servers beside a rotation: 0 failures");
    assert!(acts > 50, "{acts}");

    // One that is gone without a word holds it up for a while, and not for ever; it has what it needs when it comes back.
    second.kill();
    assert_eq!(stored.sql("SELECT count(*) FROM nodes"), "2");
    assert_eq!(keys(&stored, &["rotate"]).stdout(), "");
    assert_eq!(stored.sql("SELECT count(*) FROM nodes"), "1");
    let mut second = serve(&folder, &port, &arguments);
    let read = Request::new(port.number(), "GET", format!("{PATH}/sales/credentials")).token(&stored.admin).send();
    assert_eq!(read.expect(200).json()["fields"]["password"], "planted");
    assert_eq!(stored.sql("SELECT count(*) FROM nodes"), "2");
    second.stop();
    assert_eq!(stored.sql("SELECT count(*) FROM nodes"), "1", "who ends says so");
    assert_eq!(keys(&stored, &["remove-slot", "3"]).stdout(), "");
}

/// How often a rotation's process is killed.
fn kills() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "which length of this test is meant")]
    let soak = std::env::var_os("DATAFLOW_SOAK").is_some();
    if soak { 100 } else { 8 }
}

#[test]
fn a_rotation_whose_process_is_killed_goes_on_after_a_restart() {
    let mut stored = Stored::start(Engine::Sqlite);
    let names: Vec<_> = (0..150).map(|number| format!("c{number}")).collect();
    for name in &names {
        stored.create(name, name);
    }
    let log = TempDir::new();
    let (mut killed, mut cut_off) = (0, 0);
    for number in 0..kills() {
        // With a server that carries it out, and by itself.
        let beside = number % 2 == 0;
        if !beside {
            stored.server.process().stop();
        }
        let mut shell = Spawn::new(dataflow_bin(), Stop::Kill)
            .args(["keys", "rotate"])
            .args(stored.data_arguments())
            .start(&log.join("shell.log"));
        thread::sleep(Duration::from_millis(40 + 67 * u64::from(number % 8)));
        if beside {
            stored.server.process().kill();
        }
        shell.kill();
        killed += 1;
        cut_off += u32::from(
            stored.sql(
                "SELECT count(*) FROM change_clock WHERE rows_from < (SELECT max(v) FROM (SELECT \
            max(key_version) AS v FROM connection_versions WHERE key_version < 4294967295))",
            ) == "1",
        );
        stored.server.restart();
        for name in names.iter().step_by(29) {
            assert_eq!(stored.credentials(name).expect(200).json()["fields"]["password"], name.as_str());
        }
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    while status(&stored)["rotating"] == true {
        assert!(Instant::now() < deadline, "the rotation does not end: {}", status(&stored));
        thread::sleep(Duration::from_millis(100));
    }
    let version = status(&stored)["root_key"]["active"].as_u64().expect("a number");
    is_all_new(&stored, version);
    for name in &names {
        assert_eq!(stored.credentials(name).expect(200).json()["fields"]["password"], name.as_str());
    }
    let verified = Shell::new(["audit", "verify"]).args(stored.data_arguments()).run();
    assert!(verified.succeeded, "{}{}", verified.stdout, verified.stderr);
    println!(
        "promise: rotation of keys: {killed} kills, {cut_off} of them while secrets were being sealed anew: 0 of {} secrets lost",
        names.len()
    );
    assert!(version > 1);
}

#[test]
fn a_key_file_gives_way_to_another_with_no_moment_without() {
    let mut stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let own = [(1, "key file".to_owned()), (2, "recovery key".to_owned())];
    assert_eq!(slots(&stored), own);
    for (id, says) in [("1", "started with"), ("2", "dataflow keys recovery"), ("9", "has no slot 9")] {
        let ran = keys(&stored, &["remove-slot", id]);
        assert!(ran.failure().contains(says), "{}", ran.stderr);
    }
    let folder = TempDir::new();
    let new_key = folder.join("new.key");
    let text = new_key.display().to_string();
    assert_eq!(keys(&stored, &["add-slot", "--new-key-file", &text]).stdout(), "");
    assert!(new_key.exists(), "it is made");
    let too_short = Shell::new(["keys", "add-slot", "--new-passphrase-file", "/dev/stdin"]).args(stored.data_arguments());
    assert!(too_short.input("short").run().failure().contains("at least 12 characters"));
    let passphrase = Shell::new(["keys", "add-slot", "--new-passphrase-file", "/dev/stdin"]).args(stored.data_arguments());
    assert_eq!(passphrase.input("correct horse battery staple").run().stdout(), "");
    let all: Vec<_> = own.iter().cloned().chain([(3, "key file".to_owned()), (4, "passphrase".to_owned())]).collect();
    assert_eq!(slots(&stored), all);

    // With the new one, the old one may go; what it opened stays open, and opens with the rest.
    stored.server.process().stop();
    let port = Port::free();
    let with = |key: &[&str]| -> Vec<String> {
        stored.data_arguments().into_iter().chain(key.iter().map(|word| (*word).to_owned())).collect()
    };
    let mut server = serve(&folder, &port, &with(&["--key-file", &text]));
    assert_eq!(keys(&stored, &["remove-slot", "1"]).stdout(), "");
    assert_eq!(keys(&stored, &["rotate"]).stdout(), "");
    is_all_new(&stored, 2);
    server.stop();
    let old_key = stored.server.data().with_extension("key").display().to_string();
    let refused = Shell::new(["serve", "--listen", "127.0.0.1:0"]).args(with(&["--key-file", &old_key])).run();
    assert!(refused.failure().contains("under another key"), "{}", refused.stderr);
    let read = |port: u16| Request::new(port, "GET", format!("{PATH}/sales/credentials")).token(&stored.admin).send();
    let secret = folder.join("passphrase");
    fs::write(&secret, "correct horse battery staple").expect("own folder");
    for key in [["--key-file", &text], ["--passphrase-file", &secret.display().to_string()]] {
        let mut server = serve(&folder, &port, &with(&key));
        assert_eq!(read(port.number()).expect(200).json()["fields"]["password"], "planted");
        server.stop();
    }
    let by_itself = Shell::new(["keys", "remove-slot", "4"]).args(with(&["--key-file", &text])).run();
    assert_eq!(by_itself.stdout(), "");
    let last = Shell::new(["keys", "remove-slot", "3"]).args(with(&["--key-file", &text])).run();
    assert!(last.failure().contains("started with"), "{}", last.stderr);
}

#[test]
fn a_new_recovery_key_takes_the_place_of_the_old_one() {
    let mut stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let ran = keys(&stored, &["recovery"]);
    let new = ran.stdout().trim().to_owned();
    assert_eq!((new.len(), new.lines().count()), (69, 1));
    assert!(!ran.stderr.contains(&new) && !stored.server.log().contains(&new));
    assert_eq!(keys(&stored, &["rotate"]).stdout(), "");
    let old = stored.server.recovery_key().to_owned();
    stored.server.process().stop();
    let key_file = stored.server.data().with_extension("key");
    fs::remove_file(&key_file).expect("it lies beside the folder");
    let recover = |key: &str| Shell::new(["recover", "--recovery-key-stdin"]).args(stored.data_arguments()).input(key).run();
    assert!(recover(&old).failure().contains("under another key"));
    assert_eq!(recover(&new).stdout(), "");
    assert!(Path::new(&key_file).exists());
    stored.server.restart();
    assert_eq!(stored.credentials("sales").expect(200).json()["fields"]["password"], "planted");
    let actions = stored.events("SELECT actor, action, object, detail FROM audit_events WHERE action LIKE 'keys.%' ORDER BY at");
    let expected = [
        "shell|keys.recovery|recovery key|{}",
        "shell|keys.rotate|root key|{\"version\":2}",
        "shell|keys.end_rotation|root key|{\"version\":2}",
        "shell|keys.recover|key file|{}",
    ];
    assert_eq!(actions.lines().collect::<Vec<_>>(), expected);
}

//! Disks that fail at any write, are full, or lose what was not synced; and files that are damaged. For the embedded store: PostgreSQL looks
//! after its own.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    disk::{Disk, EIO, ENOSPC, Prepared, Shim, is_up},
    environment::soak,
    http::Request,
    port::Port,
    shell::Shell,
    stored::{Engine, Stored, sample},
    writers::Writers,
};
use serde_json::json;

const API: &str = "/api/v1/workspaces/default";

fn sql(data: &Path, sql: &str) -> String {
    let done = Command::new("sqlite3").arg("-bail").arg(data.join("store.db")).arg(sql).output();
    let done = done.expect("sqlite3 runs; `make deps`");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

/// Changes of every kind; gives what must be true of the store for each one that was acknowledged.
fn change(port: &Port, admin: &str) -> Vec<&'static str> {
    let ask = |method: &str, path: &str| {
        Request::new(port.number(), method, format!("{API}{path}")).token(admin).header("if-match", "*")
    };
    let steps: [(Request, u16, &'static str); 6] = [
        (ask("POST", "/connections").json(&sample("new", "x")), 201, "EXISTS (SELECT 1 FROM connections WHERE name = 'new')"),
        (
            ask("PATCH", "/connections/sales").json(&json!({"password": "second"})),
            200,
            "EXISTS (SELECT 1 FROM connection_versions WHERE name = 'sales' AND version = 2)",
        ),
        (
            ask("PATCH", "/connections/sales").json(&json!({"description": "third"})),
            200,
            "EXISTS (SELECT 1 FROM connections WHERE description = 'third')",
        ),
        (
            ask("DELETE", "/connections/new"),
            204,
            "EXISTS (SELECT 1 FROM connections WHERE name = 'new' AND deleted_at IS NOT NULL)",
        ),
        (
            ask("POST", "/tokens").json(&json!({"name": "robot", "roles": ["user"]})),
            201,
            "EXISTS (SELECT 1 FROM tokens WHERE name = 'robot')",
        ),
        (ask("GET", "/connections/sales/credentials"), 200, "1"),
    ];
    let mut true_now = Vec::new();
    for (request, status, truth) in steps {
        match request.try_send() {
            Ok(answer) if answer.status == status => true_now.push(truth),
            Ok(answer) => assert!(answer.status >= 500 || answer.status == 404, "{}: {}", answer.status, answer.text()),
            Err(_) => {}
        }
    }
    true_now
}

/// After it has ended, a server on a sound disk finds all that was acknowledged, and nothing half.
fn holds(data: &Path, true_now: &[&str], what: &str) {
    for truth in true_now {
        assert_eq!(sql(data, &format!("SELECT {truth}")), "1", "{what}: {truth}");
    }
    let half = "SELECT (SELECT count(*) FROM connections c WHERE version <> \
                (SELECT max(version) FROM connection_versions v WHERE v.connection_id = c.id)), \
                (SELECT count(*) FROM connection_versions) - (SELECT count(*) FROM audit_events \
                 WHERE action IN ('connection.create', 'connection.edit')), \
                (SELECT count(*) FROM connections WHERE deleted_at IS NOT NULL) - (SELECT count(*) FROM audit_events \
                 WHERE action = 'connection.delete'), (SELECT count(*) FROM tokens) - (SELECT count(*) FROM audit_events \
                 WHERE action = 'token.create')";
    assert_eq!(sql(data, half), "0|0|0|0", "{what}: half of a change");
    assert_eq!(sql(data, "PRAGMA integrity_check"), "ok", "{what}");
    let listed = Shell::new(["token", "list", "--data"]).arg(data).run();
    assert!(listed.stdout().contains("admin"), "{what}: {}", listed.stderr);
}

#[test]
fn whichever_write_or_sync_fails_nothing_acknowledged_is_lost() {
    let (prepared, shim, port) = (Prepared::new(), Shim::build(), Port::free());
    let run = |disk: &Disk, what: &str| {
        let (_folder, data) = prepared.copy();
        let mut process = shim.serve(&data, &port, disk);
        let true_now = if is_up(&mut process, &port) { change(&port, &prepared.admin) } else { Vec::new() };
        process.kill();
        holds(&data, &true_now, what);
        true_now.len()
    };
    assert_eq!(run(&Disk::default(), "a sound disk"), 6);
    let writes = shim.count();
    assert!(writes > 20, "the shim counts {writes} writes");
    // In steps that meet every kind of write in time; a soak takes them all.
    let (step, mut tried, mut refused) = if soak() { (1, 0, 0) } else { (7, 0, 0) };
    for at in (1..=writes).step_by(step) {
        for (stays, error) in [(false, EIO), (true, ENOSPC)] {
            if stays && !soak() && tried % 4 != 0 {
                tried += 1;
                continue;
            }
            let disk = Disk { fails_at: Some((at, error)), stays, ..Disk::default() };
            refused +=
                6 - run(&disk, &format!("write {at} of {writes} fails with error {error}, and all from there on: {stays}"));
            tried += 1;
        }
    }
    assert!(refused > 0, "no failure was noticed");
    println!(
        "promise: failing disk: {tried} runs over {writes} writes and syncs, {refused} changes not acknowledged, 0 acknowledged lost, 0 half"
    );
}

#[test]
fn a_full_disk_refuses_changes_and_heals_by_itself() {
    let (prepared, shim, port) = (Prepared::new(), Shim::build(), Port::free());
    let (folder, data) = prepared.copy();
    let full = folder.join("full");
    let disk = Disk { fails_at: Some((1, ENOSPC)), stays: true, only_while: Some(full.clone()), ..Disk::default() };
    let mut process = shim.serve(&data, &port, &disk);
    assert!(is_up(&mut process, &port), "{}", process.log());
    let ask = |method: &str, path: &str| Request::new(port.number(), method, format!("{API}{path}")).token(&prepared.admin);
    for round in 0..3 {
        fs::write(&full, "").expect("own folder");
        for _ in 0..3 {
            let answer = ask("POST", "/connections").json(&sample(&format!("refused-{round}"), "x")).send();
            assert_eq!(answer.status, 503, "{}\n{}", answer.text(), process.log());
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            ask("GET", "/connections/sales/credentials").send().refused(503, "unavailable");
            ask("GET", "/connections/sales").send().expect(200);
        }
        fs::remove_file(&full).expect("own file");
        let answer = ask("POST", "/connections").json(&sample(&format!("saved-{round}"), "x")).send();
        assert_eq!(answer.status, 201, "{}\n{}", answer.text(), process.log());
        ask("GET", "/connections/sales/credentials").send().expect(200);
    }
    process.kill();
    let saved = ["0", "1", "2"].map(|round| format!("EXISTS (SELECT 1 FROM connections WHERE name = 'saved-{round}')"));
    holds(&data, &saved.each_ref().map(String::as_str), "a full disk");
    assert_eq!(sql(&data, "SELECT count(*) FROM connections WHERE name LIKE 'refused%'"), "0");
}

/// Cuts the power under writers `cuts` times; gives how many changes were acknowledged, and how many of them are lost.
fn cut_power(prepared: &Prepared, shim: &Shim, cuts: usize, changes: usize, lies: Option<&'static str>) -> (usize, usize) {
    let (port, mut all, mut lost) = (Port::free(), 0, 0);
    for cut in 0..cuts {
        let (folder, data) = prepared.copy();
        let synced = folder.join("synced");
        fs::create_dir(&synced).expect("own folder");
        // It was there, and durable, before.
        fs::copy(data.join("store.db"), synced.join("store.db")).expect("a copy");
        let disk = Disk { synced: Some(synced.clone()), lies, ..Disk::default() };
        let mut process = shim.serve(&data, &port, &disk);
        assert!(is_up(&mut process, &port), "{}", process.log());
        let writers = Writers::default();
        thread::scope(|scope| {
            for writer in 0..8 {
                let (writers, port, admin) = (&writers, port.number(), &prepared.admin);
                scope.spawn(move || writers.write(port, admin, &format!("of-{cut}-{writer}")));
            }
            let begun = Instant::now();
            while writers.count() < changes && begun.elapsed() < Duration::from_mins(1) {
                thread::sleep(Duration::from_millis(1));
            }
            process.kill();
        });
        // The next start finds what was synced, and nothing else.
        for name in ["store.db", "store.db-wal", "store.db-shm"] {
            let _ = fs::remove_file(data.join(name));
            if synced.join(name).exists() {
                fs::rename(synced.join(name), data.join(name)).expect("one disk");
            }
        }
        let ran = Shell::new(["workspace", "list", "--data"]).arg(&data).run();
        assert!(ran.stdout().contains("default"), "{}", ran.stderr);
        let prepared_ones = |text: &str| text.lines().filter(|line| !line.starts_with("sales|")).collect::<Vec<_>>().join("\n");
        lost += writers.lost(|text| prepared_ones(&sql(&data, text)));
        all += writers.count();
    }
    (all, lost)
}

#[test]
fn nothing_that_was_acknowledged_is_lost_at_a_power_cut() {
    let (cuts, changes) = if soak() { (100, 200) } else { (3, 50) };
    let (prepared, shim) = (Prepared::new(), Shim::build());
    let (all, lost) = cut_power(&prepared, &shim, cuts, changes, None);
    println!("promise: simulated power loss: {cuts} cuts, {lost} of {all} acknowledged changes lost");
    assert_eq!(lost, 0);
    // Where the log's syncs are not what they say, this test notices.
    let (_, lost) = cut_power(&prepared, &shim, 1, changes, Some("store.db-wal"));
    assert!(lost > 0, "a disk that lies loses changes");
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let ran = Shell::new(["serve", "--listen", "127.0.0.1:0"]).args(stored.data_arguments()).run();
    assert!(ran.failure().contains("Another server runs on the data folder"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Stop it first, or use another folder"), "{}", ran.stderr);
    stored.credentials("sales").expect(200);
    stored.create("billing", "planted");
}

#[test]
fn a_damaged_file_is_refused_and_never_served_half() {
    let prepared = Prepared::new();
    let port = Port::free();
    let original = fs::read(prepared.folder.join("data/store.db")).expect("there");
    let pages = original.len() / 4096;
    let (mut served, mut refused) = (0, 0);
    // Each page in turn, all of it or its second half; the first one holds what SQLite reads before all others.
    let pages: Vec<_> = (0..pages).step_by(if soak() { 1 } else { 6 }).collect();
    for page in &pages {
        let (folder, data) = prepared.copy();
        let mut bent = original.clone();
        bent[page * 4096 + if page % 2 == 0 { 0 } else { 2048 }..(page + 1) * 4096].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(data.join("store.db"), &bent).expect("own folder");
        let mut process = Shim::plain(&data, &port, &folder.join("log"));
        if is_up(&mut process, &port) {
            for (path, sound) in [("/connections/sales", "db.example.org"), ("/connections/sales/credentials", "first")] {
                let answer = Request::new(port.number(), "GET", format!("{API}{path}")).token(&prepared.admin).send();
                match answer.status {
                    200 => assert!(answer.text().contains(sound), "page {page}: {}", answer.text()),
                    401 | 404 | 500 | 503 => refused += 1,
                    other => panic!("page {page}: {other}: {}", answer.text()),
                }
            }
            served += 1;
        } else {
            let log = process.log();
            assert!(log.contains("damaged") && log.contains("dataflow restore --replace"), "page {page}: {log}");
            refused += 1;
        }
        process.kill();
    }
    assert!(refused > 0 && served > 0, "{refused} {served}");
    println!("promise: damaged pages: {} bent one at a time, {refused} refusals with what to do, 0 served half", pages.len());
}

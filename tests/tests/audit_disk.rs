//! What of the audit's reads a power cut or a failing disk can take: nothing in strict mode, the last moment in the other one.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    disk::{Disk, EIO, Prepared, Shim, is_up},
    environment::soak,
    http::Request,
    port::Port,
    shell::Shell,
};
use serde_json::Value;

const READ: &str = "/api/v1/workspaces/default/connections/sales/credentials";
const STRICT: &str = "--audit-strict";

/// A read whose event can be told from all others.
fn read(port: &Port, admin: &str, run: &str) -> Request {
    let workflow = format!("kind=script; name=\"reader\"; run=\"{run}\"");
    Request::new(port.number(), "GET", READ).token(admin).header("dataflow-workflow", &workflow)
}

/// Leaves of a data folder what was synced of it, and starts nothing; gives the runs whose events are there.
fn cut(data: &Path, synced: &Path) -> BTreeSet<String> {
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(data.join(name));
        let _ = fs::rename(synced.join(name), data.join(name));
    }
    let mut runs = BTreeSet::new();
    for entry in fs::read_dir(data.join("nodes/1/audit")).expect("own folder") {
        let path = entry.expect("own folder").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        // A name is durable from the start, its bytes are not.
        let kept = fs::read(synced.join(format!("nodes-1-audit-{name}"))).unwrap_or_default();
        for line in String::from_utf8_lossy(&kept).lines() {
            let event: Value = line.split('\t').next().and_then(|event| serde_json::from_str(event).ok()).expect("an event");
            runs.extend(event["workflow"]["run"].as_str().map(ToOwned::to_owned));
        }
        fs::write(&path, kept).expect("own folder");
    }
    let verified = Shell::new(["audit", "verify", "--data"]).arg(data).run();
    assert!(verified.succeeded, "{} {}", verified.stdout, verified.stderr);
    runs
}

/// Reads from eight sides until the power is cut; gives the answered ones that have no event then, each with how long before the cut it was
/// answered, and how many were answered.
fn lost_at_a_cut(prepared: &Prepared, shim: &Shim, more: &[&str]) -> (Vec<Duration>, usize) {
    let port = Port::free();
    let (folder, data) = prepared.copy();
    let synced = folder.join("synced");
    fs::create_dir(&synced).expect("own folder");
    fs::copy(data.join("store.db"), synced.join("store.db")).expect("a copy");
    let disk = Disk { synced: Some(synced.clone()), slow: Some(20), ..Disk::default() };
    let mut process = shim.serve_with(&data, &port, &disk, more);
    assert!(is_up(&mut process, &port), "{}", process.log());
    let (answered, cut_at) = thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|reader| {
                let (port, admin) = (&port, &prepared.admin);
                scope.spawn(move || {
                    let mut answered = Vec::new();
                    for round in 0.. {
                        let run = format!("{reader}-{round}");
                        match read(port, admin, &run).try_send() {
                            Ok(answer) if answer.status == 200 => answered.push((run, Instant::now())),
                            _ => break,
                        }
                    }
                    answered
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(400));
        let cut_at = Instant::now();
        process.kill();
        let answered: Vec<_> = readers.into_iter().flat_map(|reader| reader.join().expect("it ends")).collect();
        (answered, cut_at)
    });
    let kept = cut(&data, &synced);
    let lost = answered.iter().filter(|(run, _)| !kept.contains(run));
    (lost.map(|(_, at)| cut_at.saturating_duration_since(*at)).collect(), answered.len())
}

#[test]
fn a_power_cut_takes_no_read_in_strict_mode_and_the_last_moment_otherwise() {
    let cuts = if soak() { 100 } else { 3 };
    let (prepared, shim) = (Prepared::new(), Shim::build());
    let (mut strict, mut grouped) = ((Vec::new(), 0), (Vec::new(), 0));
    for _ in 0..cuts {
        for (more, (lost, all)) in [(&[STRICT][..], &mut strict), (&[][..], &mut grouped)] {
            let (newly, answered) = lost_at_a_cut(&prepared, &shim, more);
            lost.extend(newly);
            *all += answered;
        }
    }
    let longest = grouped.0.iter().max().copied().unwrap_or_default();
    println!(
        "promise: power cut under reads: {cuts} cuts each, strict: {} of {} answers without their event, otherwise: {} of {}, none older than {} ms",
        strict.0.len(),
        strict.1,
        grouped.0.len(),
        grouped.1,
        longest.as_millis()
    );
    assert!(strict.1 > 20 && strict.0.is_empty(), "{strict:?}");
    // 50 ms, two syncs of 20 ms, and what a busy machine adds.
    assert!(!grouped.0.is_empty(), "the cut is sharp enough to take some");
    assert!(longest < Duration::from_secs(1), "{grouped:?}");
}

/// A sync that failed is not made good by one that succeeds: what it was to write is gone from the file.
#[test]
fn no_secret_is_given_whose_event_could_not_be_synced() {
    let (prepared, shim) = (Prepared::new(), Shim::build());
    for more in [&[STRICT][..], &[][..]] {
        let port = Port::free();
        let (folder, data) = prepared.copy();
        let (failing, synced) = (folder.join("failing"), folder.join("synced"));
        fs::create_dir(&synced).expect("own folder");
        fs::copy(data.join("store.db"), synced.join("store.db")).expect("a copy");
        let disk = Disk {
            fails_at: Some((1, EIO)),
            stays: true,
            only_while: Some(failing.clone()),
            syncs_of: Some("/audit/"),
            synced: Some(synced.clone()),
            ..Disk::default()
        };
        let mut process = shim.serve_with(&data, &port, &disk, more);
        assert!(is_up(&mut process, &port), "{}", process.log());
        let (mut answered, mut refused) = (Vec::new(), 0);
        for round in 0..3 {
            for number in 0..4 {
                let run = format!("{round}-{number}");
                read(&port, &prepared.admin, &run).send().expect(200);
                answered.push(run);
            }
            fs::write(&failing, "").expect("own folder");
            for number in 4..8 {
                let run = format!("{round}-{number}");
                let answer = read(&port, &prepared.admin, &run).send();
                if answer.status == 200 {
                    answered.push(run);
                } else {
                    answer.refused(503, "unavailable");
                    assert!(!answer.text().contains("first"), "{}", answer.text());
                    refused += 1;
                }
                thread::sleep(Duration::from_millis(60));
            }
            fs::remove_file(&failing).expect("own file");
            let run = format!("{round}-8");
            let healed = (0..40).any(|_| {
                thread::sleep(Duration::from_millis(100));
                read(&port, &prepared.admin, &run).send().status == 200
            });
            assert!(healed, "{}", process.log());
            answered.push(run);
        }
        if !more.is_empty() {
            assert_eq!(refused, 12, "no answer in strict mode while the disk fails");
        }
        thread::sleep(Duration::from_millis(if more.is_empty() { 500 } else { 0 }));
        process.kill();
        let kept = cut(&data, &synced);
        let lost: Vec<_> = answered.iter().filter(|run| !kept.contains(*run)).collect();
        assert!(lost.is_empty(), "{more:?}: {lost:?} of {} answers have no event", answered.len());
    }
}

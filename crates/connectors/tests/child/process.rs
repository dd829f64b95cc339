//! The child itself: confined, cancelled, broken, started ahead.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use dataflow_connectors::child::{Pool, TestRequest};
use dataflow_model::{Cause, StepName};
use libtest_mimic::Trial;
use tokio::{
    io::AsyncWriteExt as _,
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    peer::{Peer, serve},
    postgres::{authentication, message},
    run::{PLANTED, SHORT, assert_failed, fields, nowhere, request, run_in, secrets, trial},
};

/// The processes that the calling thread started and that are still there.
fn children() -> Vec<String> {
    fs::read_to_string("/proc/thread-self/children").expect("proc").split_whitespace().map(str::to_owned).collect()
}

async fn only_child() -> String {
    eventually("there is one child", || children().len() == 1).await;
    children().remove(0)
}

/// The one child, once it has read what it needs and waits for its request.
pub async fn waiting_child() -> String {
    let child = only_child().await;
    let mut asleep = 0;
    let mut seen = 0;
    eventually("it waits for its request", || {
        let status = fs::read_to_string(format!("/proc/{child}/status")).expect("it runs");
        let peak = peak_in(&status).expect("its peak");
        asleep = if status.contains("State:\tS") && peak == seen { asleep + 1 } else { 0 };
        seen = peak;
        asleep > 10
    })
    .await;
    child
}

/// Waits until `holds`, for 30 s at most.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.expect(what);
}

/// The most memory that a process had, in MiB, from its `/proc/PID/status`. One that has ended has none.
pub fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_waiting_child_is_confined", async {
            let pool = Pool::default();
            pool.warm();
            let child = waiting_child().await;
            let status = fs::read_to_string(format!("/proc/{child}/status")).expect("it runs");
            assert!(status.contains("NoNewPrivs:\t1"), "{status}");
            let limits = fs::read_to_string(format!("/proc/{child}/limits")).expect("its limits");
            for (name, most) in [("Max data size", "67108864"), ("Max cpu time", "12"), ("Max core file size", "0")] {
                let line = limits.lines().find(|line| line.starts_with(name)).expect("a limit");
                assert_eq!(line.trim_start_matches(name).split_whitespace().take(2).collect::<Vec<_>>(), [most, most], "{name}");
            }
            // A process that is not dumpable hides both from all but root.
            if let Ok(environment) = fs::read(format!("/proc/{child}/environ")) {
                assert!(environment.is_empty(), "{}", String::from_utf8_lossy(&environment));
                for entry in fs::read_dir(format!("/proc/{child}/fd")).expect("root may look") {
                    let target = fs::read_link(entry.expect("an entry").path()).expect("a link").display().to_string();
                    let is_own = target.starts_with("pipe:") || target == "/dev/null" || target.starts_with("anon_inode:");
                    assert!(is_own || target.starts_with("socket:"), "it inherited {target}");
                }
            }
        }),
        trial("a_waiting_child_leaves_when_its_parent_lets_go", async {
            let pool = Pool::default();
            pool.warm();
            let child = only_child().await;
            drop(pool);
            eventually("it is gone", || !children().contains(&child)).await;
        }),
        trial("each_child_is_used_once_and_replaced", async {
            let pool = Pool::default();
            pool.warm();
            let first = only_child().await;
            let (port, _) = serve(|peer: Peer| async move { drop(peer) }).await;
            run_in(&pool, request("postgres", fields(port, &[]), secrets(&[]))).await;
            eventually("another one waits", || !children().is_empty() && !children().contains(&first)).await;
        }),
        trial("a_dropped_test_ends_its_child_at_once", async {
            let (gone, mut seen) = mpsc::channel(1);
            let (port, _) = serve(move |mut peer: Peer| {
                let gone = gone.clone();
                async move {
                    peer.hear_all().await;
                    let _ = gone.send(()).await;
                }
            })
            .await;
            let asked = request("postgres", fields(port, &[("tls.mode", "disable")]), secrets(&[("password", PLANTED)]));
            let asked = TestRequest { deadline: Duration::from_mins(1), ..asked };
            let (steps, mut told) = mpsc::channel(6);
            let running = tokio::spawn(async move { Pool::default().run(asked, steps, ()).await });
            while told.recv().await.expect("it runs").step != StepName::Secure {}
            running.abort();
            timeout(Duration::from_secs(30), seen.recv()).await.expect("the connection is closed");
        }),
        trial("a_child_that_breaks_says_nothing_about_the_database", async {
            for binary in [nowhere(), PathBuf::from("/bin/true"), PathBuf::from("/usr/bin/yes"), PathBuf::from("/bin/cat")] {
                let report =
                    run_in(&Pool::new(binary), request("postgres", fields(1, &[]), secrets(&[("password", PLANTED)]))).await;
                assert_failed(&report, Cause::TestBroken, StepName::Resolve, None);
            }
        }),
        trial("a_child_that_hangs_is_killed_at_the_deadline", child_that_hangs()),
        trial("a_hostile_stream_takes_less_than_32_mib", hostile_stream()),
    ]
}

/// One that keeps no deadline of its own.
async fn child_that_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (writing, binary) = (folder.path().join("writing"), folder.path().join("hangs"));
    fs::write(&writing, "#!/bin/sh\nexec sleep 600\n").expect("own folder");
    fs::set_permissions(&writing, fs::Permissions::from_mode(0o755)).expect("own file");
    fs::rename(writing, &binary).expect("own file");
    let asked = request("postgres", fields(1, &[]), secrets(&[("password", PLANTED)]));
    let (steps, _told) = mpsc::channel(6);
    let report = Pool::new(binary).run(TestRequest { deadline: SHORT, ..asked }, steps, ()).await;
    assert_failed(&report, Cause::TimedOut, StepName::Resolve, Some("host"));
    let sleeps = |child: &String| fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sleep");
    assert!(!children().iter().any(sleeps), "it goes on");
}

async fn hostile_stream() {
    let (port, _) = serve(|mut peer: Peer| async move {
        peer.hear().await;
        peer.say(&authentication(0, &[])).await;
        // The longest message that is read, again and again.
        let longest = message(b'S', &b"x".repeat(65_536));
        while peer.stream.write_all(&longest).await.is_ok() {}
    })
    .await;
    let pool = Pool::default();
    pool.warm();
    let status = format!("/proc/{}/status", waiting_child().await);
    let before = fs::read_to_string(&status).ok().and_then(|status| peak_in(&status)).expect("it waits");
    let asked = request("postgres", fields(port, &[("tls.mode", "disable")]), secrets(&[("password", PLANTED)]));
    let asked = TestRequest { deadline: SHORT, ..asked };
    let (steps, mut told) = mpsc::channel(6);
    let running = tokio::spawn(async move { pool.run(asked, steps, ()).await });
    let mut most = before;
    while !running.is_finished() {
        let now = fs::read_to_string(&status).ok().and_then(|status| peak_in(&status));
        most = most.max(now.unwrap_or_default());
        sleep(Duration::from_millis(1)).await;
    }
    while told.try_recv().is_ok() {}
    let report = running.await.expect("no panic");
    assert_failed(&report, Cause::TimedOut, StepName::OpenDatabase, None);
    assert!(most < before + 32, "from {before} to {most} MiB");
}

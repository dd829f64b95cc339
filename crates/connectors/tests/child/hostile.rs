//! Every behaviour of `tests/servers/hostile.json` against each connector that has it. The SDK's drivers are held to the same list
//! by `python/tests/test_hostile.py`.
//!
//! | in a script | does |
//! |---|---|
//! | `hear`, `drink` | waits for the client's next message, or for any bytes |
//! | `say`, `message`, `packet`, `greet`, `error` … | says that, in the protocol's frame where it has one |
//! | `forever`, `drip` | says it again and again, or byte by byte, with a pause in milliseconds |
//! | `trap` | listens; the client has nothing to say here |
//! | `tls` | goes on inside TLS, with a certificate of that shape |
//! | `close`, `close one half` | does that; a script that ends without it listens until the client goes |

#![expect(clippy::panic, reason = "a list that cannot be read fails the test")]
#![expect(clippy::print_stdout, reason = "a promise is printed with what was run for it")]

mod words;

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataflow_connectors::child::{self, Pool, TestRequest};
use dataflow_model::{PublicFields, TestReport};
use libtest_mimic::Trial;
use postgres_protocol::authentication::md5_hash;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    certificates::{Authority, Identity, expired, self_signed, server},
    peer::{Heard, Peer, serve},
    process::{peak_in, waiting_child},
    run::{PLANTED, fields, request, run_in, secrets},
};
use words::{Conversation, Protocol, Stage};

/// Where the list stands, from the folder of this crate.
const LIST: &str = "../../tests/servers/hostile.json";
/// What no test may take longer than.
const LONGEST: Duration = Duration::from_secs(11);
/// The memory by which a test's child may grow, in MiB.
pub const MEMORY: u64 = 32;
/// Tests at a time: most of them wait for the deadline, and with so many it is waited for once.
const AT_A_TIME: usize = 24;
/// What stands in a file that a server asks for.
const IN_A_FILE: &str = "planted-line-of-a-file";

#[derive(Deserialize)]
struct Behaviour {
    name: String,
    #[serde(flatten)]
    by_connector: BTreeMap<String, Value>,
}

/// What a server does, and the code (or the status) that the connector's report has then.
#[derive(Deserialize, Clone)]
struct Case {
    ends: String,
    #[serde(default = "without_tls")]
    mode: String,
    script: Vec<Value>,
}

fn without_tls() -> String {
    "disable".to_owned()
}

/// One behaviour against one connector.
struct Run {
    name: String,
    connector: &'static str,
    protocol: Protocol,
    case: Case,
}

/// What a run was seen to take.
#[derive(Debug)]
pub struct Taken {
    pub time: Duration,
    pub memory: u64,
}

/// Those that wait for the deadline first.
fn runs(behaviours: &[Behaviour]) -> VecDeque<Run> {
    let mut runs = Vec::new();
    for behaviour in behaviours {
        for (connector, protocol) in [("postgres", Protocol::Postgres), ("mysql", Protocol::MySql)] {
            let Some(case) = behaviour.by_connector.get(connector) else { continue };
            let case = serde_json::from_value(case.clone()).unwrap_or_else(|error| panic!("{}: {error}", behaviour.name));
            runs.push(Run { name: behaviour.name.clone(), connector, protocol, case });
        }
    }
    runs.sort_by_key(|run| run.case.ends != "timed_out");
    runs.into()
}

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("hostile_servers_learn_nothing_and_hold_nothing_up", || {
        all();
        Ok(())
    })]
}

fn all() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
    let behaviours: Vec<Behaviour> = serde_json::from_slice(&fs::read(list).expect("the list")).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Arc::new(stage(&folder.path().join("file")));
    let queue = Mutex::new(runs(&behaviours));
    let count = queue.lock().expect("not poisoned").len();
    let (taken, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(run) = { queue.lock().expect("not poisoned").pop_front() } {
                    let what = format!("“{}” against {}", run.name, run.connector);
                    let stage = Arc::clone(&stage);
                    // A thread of its own: its children in `/proc` are this test's.
                    match thread::spawn(move || one(&run, &stage)).join() {
                        Ok(one) => taken.lock().expect("not poisoned").push(one),
                        Err(_) => failures.lock().expect("not poisoned").push(what),
                    }
                }
            });
        }
    });
    let (taken, failures) = (taken.into_inner().expect("joined"), failures.into_inner().expect("joined"));
    assert!(failures.is_empty(), "see above: {failures:#?}");
    assert!(behaviours.len() >= 24 && taken.len() == count, "{} behaviours, {count} runs", behaviours.len());
    let time = taken.iter().map(|taken| taken.time).max().unwrap_or_default();
    let memory = taken.iter().map(|taken| taken.memory).max().unwrap_or_default();
    println!(
        "promise: hostile servers: {} behaviours in {count} runs against the connectors: 0 clear passwords, 0 file bytes, \
         longest {:.1} s, memory +{memory} MiB",
        behaviours.len(),
        time.as_secs_f64()
    );
}

/// What all scripts share.
fn stage(file: &Path) -> Stage {
    fs::write(file, IN_A_FILE).expect("own folder");
    let root = Authority::root("a root");
    let good = server(&["localhost"]);
    let identities: Vec<(&str, Identity)> = vec![
        ("signed by itself", self_signed(&good)),
        ("under an unknown authority", Authority::root("a root").issue(&good)),
        ("for another host", root.issue(&server(&["db.example.org"]))),
        ("expired", root.issue(&expired(good))),
    ];
    Stage { file: file.display().to_string(), authority: root.pem(), identities: identities.into_iter().collect() }
}

fn one(run: &Run, stage: &Arc<Stage>) -> Taken {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let (elsewhere, heard_elsewhere) = serve(|mut peer: Peer| async move { peer.hear_all().await }).await;
        let trapped = Heard::default();
        let (port, heard) = {
            let (stage, script, protocol, trapped) = (Arc::clone(stage), run.case.script.clone(), run.protocol, trapped.clone());
            serve(move |peer: Peer| {
                let (stage, script, trapped) = (Arc::clone(&stage), script.clone(), trapped.clone());
                async move {
                    let mut conversation = Conversation::new(peer, protocol, stage, elsewhere, trapped);
                    // A client that goes in the middle of it is what is hoped for.
                    let _ = conversation.play(&script).await;
                }
            })
            .await
        };
        let (report, taken) = tested(run.connector, target(run, stage, port)).await;
        let reported = serde_json::to_value(&report).expect("JSON");
        let ends = reported.pointer("/error/code").or_else(|| reported.get("status")).and_then(Value::as_str);
        assert_eq!(ends, Some(run.case.ends.as_str()), "{report:#?}");
        let text = reported.to_string();
        assert!(!text.contains(IN_A_FILE) && !text.contains("\\u00") && text.len() < 16_384, "{text}");
        assert!(heard_elsewhere.is_empty(), "it went elsewhere");
        assert!(trapped.is_empty(), "it answered: {trapped:?}");
        for secret in forms(PLANTED) {
            assert!(!heard.contains(&secret), "the server heard {secret}");
        }
        assert!(!heard.contains(IN_A_FILE), "the server heard a file");
        assert!(taken.time < LONGEST, "it took {:?}", taken.time);
        assert!(taken.memory < MEMORY, "its child grew by {} MiB", taken.memory);
        taken
    })
}

fn target(run: &Run, stage: &Stage, port: u16) -> PublicFields {
    let verified = [("host", "localhost"), ("tls.ca", stage.authority.as_str())];
    let mut more = vec![("tls.mode", run.case.mode.as_str()), ("database", "")];
    if run.case.mode.starts_with("verify") {
        more.extend(verified);
    }
    fields(port, &more)
}

/// Runs the test, with a look at its child's memory.
async fn tested(connector: &str, public: PublicFields) -> (TestReport, Taken) {
    tested_within(child::DEADLINE, connector, public).await
}

pub async fn tested_within(deadline: Duration, connector: &str, public: PublicFields) -> (TestReport, Taken) {
    let pool = Pool::default();
    pool.warm();
    let status = format!("/proc/{}/status", waiting_child().await);
    let peak = || fs::read_to_string(&status).ok().and_then(|status| peak_in(&status));
    let before = peak().expect("it waits");
    let mut most = before;
    let begun = Instant::now();
    let asked = TestRequest { deadline, ..request(connector, public, secrets(&[("password", PLANTED)])) };
    let report = {
        let watch = async {
            loop {
                most = most.max(peak().unwrap_or_default());
                sleep(Duration::from_millis(if begun.elapsed() < Duration::from_millis(200) { 2 } else { 20 })).await;
            }
        };
        tokio::select! {
            report = run_in(&pool, asked) => report,
            () = watch => unreachable!("it goes on"),
        }
    };
    (report, Taken { time: begun.elapsed(), memory: most - before })
}

/// How a password could be heard: as it is, hashed by MD5, in base64 wherever it begins, and in hexadecimal.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)];
    forms.push(md5_hash(b"analytics", secret.as_bytes(), *b"salt"));
    for shift in 0..3 {
        let encoded = STANDARD.encode(["x".repeat(shift).as_bytes(), secret.as_bytes()].concat());
        // Less what the neighbours change.
        forms.push(encoded.get(4..encoded.len() - 4).unwrap_or_default().to_owned());
    }
    forms
}

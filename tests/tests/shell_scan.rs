//! `dataflow scan`: what it prints, what it tells a server, and how it ends.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};

use dataflow_tests::{
    binary::dataflow_bin,
    folder::TempDir,
    planted::Planted,
    process::{Spawn, Stop},
    scripted::Scripted,
    scripted_http::{Asked, read_request, send_answer},
    shell::{Home, Ran, Shell, says},
    stored::{Engine, Stored},
};
use serde_json::{Value, json};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "dfc_user_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A checkout with a DAG, a script that computes a name, a notebook that is none, and settings with a password.
fn checkout() -> TempDir {
    let folder = TempDir::new();
    for (name, text) in [
        (".git/HEAD", "ref: refs/heads/main\n"),
        (".git/refs/heads/main", COMMIT),
        (".git/config", "[remote \"origin\"]\n\turl = https://git.example.org/data/etl.git\n"),
        (
            "dags/daily.py",
            "from airflow import DAG\nwith DAG(\"daily_sales\"):\n    PostgresOperator(task_id=\"load\", postgres_conn_id=\"sales\")\n",
        ),
        (
            "jobs/run.py",
            "from dataflow.dataflow import Dataflow\nDataflow().connection(f\"sales_{region}\")\nDataflow().connection(\"slaes\")\n",
        ),
        ("prod.env", "OPS_CONN_ID=ops\nAIRFLOW_CONN_OLD=postgres://ada:planted-password-of-env@db/old\n"),
        ("broken.ipynb", "{\"cells\": \"dataflow.connection(\""),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("own folder");
        fs::write(path, text).expect("own folder");
    }
    folder
}

/// A server that takes one answer for reports, and knows two connections. What it was asked is kept.
struct Fake {
    scripted: Scripted,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    fn start(status: &'static str, answer: Value) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        let scripted = Scripted::start(move |peer| {
            let request = read_request(peer)?;
            let is_list = request.target.starts_with("/api/v1/workspaces/default/connections?");
            kept.lock().expect("not poisoned").push(request);
            if is_list {
                let items = ["sales", "sales_eu", "other"].map(|name| json!({"name": name}));
                return send_answer(peer, "200 OK", &[], &json!({"items": items, "next": null}).to_string());
            }
            send_answer(peer, status, &[], &if answer.is_null() { String::new() } else { answer.to_string() })
        });
        Self { scripted, asked }
    }

    fn taking(unknown: &[&str]) -> Self {
        Self::start(
            "200 OK",
            json!({"project": "etl", "commit": COMMIT, "findings": 4, "connections": 4, "unknown": unknown, "removed": 3}),
        )
    }

    fn scan(&self, folder: &TempDir, words: &[&str]) -> Ran {
        let shell = Shell::new(["scan"]).arg(folder.path()).args(words.iter().copied());
        shell
            .variable("DATAFLOW_URL", format!("http://127.0.0.1:{}", self.scripted.port()))
            .variable("DATAFLOW_TOKEN", TOKEN)
            .run()
    }

    /// The report that was sent, and where to.
    fn reported(&self) -> (String, Value) {
        let asked = self.asked.lock().expect("not poisoned");
        let report = asked.iter().find(|asked| asked.target.contains("/scans/")).expect("a report was sent");
        assert_eq!(report.header("authorization"), format!("Bearer {TOKEN}"));
        (report.target.clone(), serde_json::from_slice(&report.body).expect("JSON"))
    }
}

#[test]
fn what_is_found_is_printed_with_its_places() {
    let folder = checkout();
    let ran = Shell::new(["scan", "--no-report"]).arg(folder.path()).run();
    let lines: Vec<Vec<_>> = ran.stdout().lines().map(|line| line.split_whitespace().collect()).collect();
    let wanted = [
        "CONNECTION CERTAINTY WORKFLOW WHERE",
        "old maybe script prod.env:2",
        "ops certain script prod.env:1",
        "sales certain pipeline daily_sales dags/daily.py:3",
        "slaes certain script jobs/run.py:3",
    ];
    assert_eq!(lines, wanted.map(|line| line.split_whitespace().collect::<Vec<_>>()));
    for said in [
        "broken.ipynb is not a notebook of version 4.\n",
        "jobs/run.py:2 asks for a connection by a name that is computed.\n",
        "Read 4 files. 4 connections named at 4 places.\n",
    ] {
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    let ran = Shell::new(["scan", "--no-report", "--output", "json"]).arg(folder.path()).run();
    let json: Value = serde_json::from_str(ran.stdout()).expect("JSON alone");
    assert_eq!((&json["project"], &json["commit"], &json["files"]), (&json!("etl"), &json!(COMMIT), &json!(4)));
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(4));
    let computed = json!([{"kind": "script", "workflow": "jobs/run.py", "file": "jobs/run.py", "line": 2}]);
    assert_eq!((&json["unresolved"], &json["reported"]), (&computed, &Value::Null));
    assert_eq!(json["unreadable"], json!([{"file": "broken.ipynb", "reason": "is not a notebook of version 4"}]));
}

#[test]
fn a_report_has_all_of_a_project_and_nothing_secret() {
    let (folder, server) = (checkout(), Fake::taking(&["slaes", "ops", "old"]));
    let ran = server.scan(&folder, &[]);
    let (target, report) = server.reported();
    assert_eq!(target, "/api/v1/workspaces/default/scans/etl");
    let finding = |connection: &str, kind: &str, workflow: &str, place: (&str, u32), certainty: &str| json!({"connection": connection, "kind": kind, "workflow": workflow, "file": place.0, "line": place.1, "certainty": certainty});
    let findings = [
        finding("sales", "pipeline", "daily_sales", ("dags/daily.py", 3), "certain"),
        finding("sales_eu", "script", "jobs/run.py", ("jobs/run.py", 2), "maybe"),
        finding("slaes", "script", "jobs/run.py", ("jobs/run.py", 3), "certain"),
        finding("ops", "script", "prod.env", ("prod.env", 1), "certain"),
        finding("old", "script", "prod.env", ("prod.env", 2), "maybe"),
    ];
    let scan = report["scan"].as_str().expect("an id").to_owned();
    assert_eq!(scan.len(), 36);
    let whole = json!({"scan": scan, "commit": COMMIT, "files": 4, "findings": findings, "last": true, "total": 5});
    assert_eq!(report, whole);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for said in [
        "Reported as the project “etl” at 0123456789ab. 3 places of the report before gone.\n",
        "No connection is named “slaes”: jobs/run.py:3\n",
        "No connection is named “ops”: prod.env:1\n",
        "Perhaps named, and not there: 1 place.\n",
    ] {
        assert!(ran.stderr.contains(said), "“{said}” is not in: {}", ran.stderr);
    }
    let mut planted = Planted::default();
    planted.plant("a password", "planted-password-of-env", &[]);
    planted.search("a report", &server.scripted.heard());
    planted.search("standard output", ran.stdout.as_bytes());
    planted.search("standard error", ran.stderr.as_bytes());
    let logs = Shell::new(["scan", "--no-report"]).arg(folder.path()).variable("RUST_LOG", "trace").run();
    planted.search("the log", logs.stderr.as_bytes());
}

#[test]
fn a_check_fails_for_what_is_sure_to_be_missing_alone() {
    let folder = checkout();
    assert_eq!(Fake::taking(&["slaes"]).scan(&folder, &["--check"]).status, Some(1));
    assert_eq!(Fake::taking(&["old"]).scan(&folder, &["--check"]).status, Some(0));
    assert_eq!(Fake::taking(&[]).scan(&folder, &["--check"]).status, Some(0));
}

#[test]
fn project_and_commit_are_the_ones_that_are_given_or_that_the_build_knows() {
    let (folder, server) = (checkout(), Fake::taking(&[]));
    server.scan(&folder, &["--project", "nightly", "--commit", "abc"]).stdout();
    let (target, report) = server.reported();
    assert_eq!((target.as_str(), &report["commit"]), ("/api/v1/workspaces/default/scans/nightly", &json!("abc")));
    fs::remove_dir_all(folder.join(".git")).expect("own folder");
    let json = |shell: Shell| -> Value {
        let ran = shell.args(["scan", "--no-report", "--output", "json"]).arg(folder.path()).run();
        serde_json::from_str(ran.stdout()).expect("JSON")
    };
    let alone = json(Shell::new(Vec::<&str>::new()));
    let name = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!((&alone["project"], &alone["commit"]), (&json!(name), &Value::Null));
    assert_eq!(json(Shell::new(Vec::<&str>::new()).variable("CI_COMMIT_SHA", COMMIT))["commit"], json!(COMMIT));
}

#[test]
fn what_does_not_work_is_said_in_one_sentence() {
    let (folder, home) = (checkout(), Home::default());
    let path = folder.path().display().to_string();
    says(&home.run(&["scan", &path], ""), &["--no-report", "dataflow login"]);
    says(&home.run(&["scan", &format!("{path}/absent"), "--no-report"], ""), &["absent"]);
    says(&home.run(&["scan", &format!("{path}/prod.env"), "--no-report"], ""), &["prod.env"]);
    let old = Fake::start("404 Not Found", Value::Null);
    says(&old.scan(&folder, &[]), &["does not take reports of scans", "older"]);
    let refusing = Fake::start(
        "403 Forbidden",
        json!({"code": "forbidden", "detail": "This token may not do that.", "hint": "Ask an admin."}),
    );
    says(&refusing.scan(&folder, &[]), &["This token may not do that. Ask an admin."]);
    says(&refusing.scan(&folder, &["--project", "a b"]), &["“a b”", "--project"]);
}

#[test]
fn a_folder_that_may_not_be_read_is_listed() {
    let folder = checkout();
    for (name, mode) in [("jobs", 0o000), ("prod.env", 0o000)] {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).expect("own file");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("own folder");
    let scan = Spawn::new(dataflow_bin(), Stop::Kill).unprivileged().args(["scan", "--no-report", "--output", "json"]);
    let json: Value = serde_json::from_str(&scan.arg(folder.path()).run()).expect("JSON");
    let listed: Vec<_> =
        json["unreadable"].as_array().expect("a list").iter().map(|file| (&file["file"], &file["reason"])).collect();
    let (jobs, env, reason) = (json!("jobs"), json!("prod.env"), json!("may not be read"));
    assert!(listed.contains(&(&jobs, &reason)) && listed.contains(&(&env, &reason)), "{listed:?}");
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(1), "the others are read");
    fs::set_permissions(folder.join("jobs"), fs::Permissions::from_mode(0o755)).expect("own folder");
}

/// Many findings come in pieces; a rescan forgets what is gone; what a name breaks is known before it is deleted.
#[test]
fn a_real_server_knows_who_names_a_connection() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let folder = TempDir::new();
    let long = format!("{}.py", "a".repeat(200));
    let lines = "dataflow.connection(\"sales\")\n".repeat(700);
    fs::write(folder.join(&long), format!("from dataflow import Dataflow\ndataflow = Dataflow()\n{lines}")).expect("own folder");
    fs::write(folder.join("gone.py"), "from dataflow import Dataflow\nDataflow().connection(\"other\")\n").expect("own folder");
    let scan = || {
        let shell = Shell::new(["scan", "--project", "etl"]).arg(folder.path());
        shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", stored.admin.clone()).run()
    };
    let ran = scan();
    assert!(ran.stderr.contains("No connection is named “other”: gone.py:2"), "{}", ran.stderr);
    let project = || stored.admin("GET", "/scans").send().expect(200).json()["items"][0].clone();
    assert_eq!(project()["findings"], 701);
    let of = |name: &str| stored.admin("GET", &format!("/connections/{name}/dependents")).send().expect(200).json();
    let sales = of("sales");
    assert_eq!((&sales["total"], &sales["found_only"], &sales["items"][0]["name"]), (&json!(1), &json!(1), &json!(long)));
    assert_eq!(sales["items"][0]["found"].as_array().map(Vec::len), Some(20), "so many places are told");
    stored.admin("DELETE", "/connections/sales").header("if-match", "*").send().refused(409, "has_dependents");

    fs::remove_file(folder.join("gone.py")).expect("own folder");
    fs::write(folder.join(&long), "from dataflow import Dataflow\nDataflow().connection(\"sales\")\n").expect("own folder");
    let ran = scan();
    assert!(ran.stderr.contains("701 places of the report before gone."), "{}", ran.stderr);
    assert_eq!(project()["findings"], 1);
}

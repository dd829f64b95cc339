//! Tests of connections through the API: what they answer, what they stream, how they are cancelled, and what the operator allows.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    http::{Answer, Request},
    postgres::{Postgres, PostgresOptions},
    server::{TestServer, TestServerOptions},
    session::Session,
    shell::{Shell, says},
    silent::{OpenConnections, Silent},
    stored::sample,
};
use rstest::rstest;
use serde_json::{Value, json};

const CONNECTIONS: &str = "/api/v1/workspaces/default/connections";
const STEPS: [&str; 6] = ["resolve", "reach", "secure", "sign_in", "open_database", "read"];
const PASSWORD: &str = "planted-secret-51d0";
/// Far below the ten seconds after which a test ends by itself.
const SOON: Duration = Duration::from_secs(5);

/// A server, and the token of an editor.
struct Tested {
    server: TestServer,
    editor: String,
}

impl Tested {
    fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
        let editor = server.token("default", "editor", "editor");
        Self { server, editor }
    }

    fn post(&self, path: &str) -> Request {
        self.server.request(&self.editor, "POST", &format!("{CONNECTIONS}{path}"))
    }

    fn create(&self, name: &str, port: u16) {
        self.post("").json(&connection(name, port)).send().expect(201);
    }

    /// The events of a streamed test, by name, and the same test's answer in one piece.
    fn both(&self, name: &str) -> (Vec<(String, Value)>, Value) {
        let path = format!("/{name}/test");
        let streamed = self.post(&path).header("accept", "text/event-stream").send();
        assert_eq!(streamed.expect(200).header("content-type"), "text/event-stream");
        let whole = self.post(&path).send();
        assert_eq!(whole.expect(200).header("content-type"), "application/json");
        (events(&streamed), whole.json())
    }
}

fn connection(name: &str, port: u16) -> Value {
    json!({"name": name, "type": "postgres", "host": "127.0.0.1", "port": port, "username": "anna", "password": PASSWORD,
           "database": "sales", "tls": {"mode": "disable"}})
}

/// Server-sent events, each of one line of data.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let event = |block: &str| {
        let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).expect("each event has both").trim();
        (line("event:").to_owned(), serde_json::from_str(line("data:")).expect("JSON"))
    };
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(event).collect()
}

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().map(|members| members.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// A report less what differs from run to run: how long things took and when.
fn form(report: &Value) -> Value {
    let mut form = report.clone();
    form["duration_ms"] = json!(form["duration_ms"].is_f64());
    form["checked_at"] = json!(form["checked_at"].as_str().map(str::len));
    for step in form["steps"].as_array_mut().into_iter().flatten() {
        if let Some(duration) = step.get_mut("duration_ms") {
            *duration = json!(duration.is_f64());
        }
    }
    form
}

#[test]
fn the_stream_has_each_step_in_order_and_then_the_answer() {
    let database = Postgres::start(&PostgresOptions::default());
    database.create_role("anna", PASSWORD);
    database.create_database("sales", "anna");
    let tested = Tested::start(&[]);
    tested.create("sales", database.port());
    let mut wrong = connection("wrong", database.port());
    wrong["password"] = json!("another");
    tested.post("").json(&wrong).send().expect(201);

    for (name, status, said) in
        [("sales", "ok", ["ok"; 6]), ("wrong", "failed", ["ok", "ok", "ok", "failed", "skipped", "skipped"])]
    {
        let (events, answer) = tested.both(name);
        let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["step", "step", "step", "step", "step", "step", "report"], "{events:?}");
        let (steps, report) = (&events[..6], &events[6].1);
        let streamed: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
        assert_eq!(report["steps"], json!(streamed), "the report repeats what was streamed");
        assert_eq!(form(report), form(&answer), "stream and answer say the same in the same form");

        let mut all = BTreeSet::from(["checked_at", "duration_ms", "error", "from", "server_version", "status", "steps"]);
        // Only where something was found out.
        all.extend((status == "ok").then_some("learned"));
        assert_eq!(members(&answer), all);
        assert_eq!((&answer["status"], &answer["from"]), (&json!(status), &json!("server")));
        assert!(answer["duration_ms"].as_f64().is_some_and(|took| took > 0.0), "{answer}");
        let at = answer["checked_at"].as_str().expect("a time");
        assert!(at.len() == "2026-11-29T01:09:18.123Z".len() && at.contains('T') && at.ends_with('Z'), "{at}");
        for (step, (name, said)) in streamed.iter().zip(STEPS.into_iter().zip(said)) {
            // A plain connection has nothing to secure.
            let said = if name == "secure" { "skipped" } else { said };
            assert_eq!((&step["step"], &step["status"]), (&json!(name), &json!(said)), "{step}");
            assert_eq!(step["duration_ms"].is_f64(), said != "skipped", "{step}");
            assert!(members(step).iter().all(|member| ["step", "status", "duration_ms", "detail"].contains(member)), "{step}");
        }
        assert_eq!(streamed[0]["detail"], "127.0.0.1");
        if status == "ok" {
            assert!(answer["server_version"].as_str().is_some_and(|version| version.starts_with("PostgreSQL ")), "{answer}");
            assert_eq!(answer["error"], Value::Null);
        } else {
            let error = &answer["error"];
            assert_eq!(members(error), BTreeSet::from(["code", "field", "hint", "message"]));
            assert_eq!((&error["code"], &error["field"]), (&json!("credentials_refused"), &json!("password")));
            for text in ["message", "hint"] {
                assert!(error[text].as_str().is_some_and(|text| text.ends_with('.')), "{error}");
            }
        }
    }
}

#[test]
fn unsaved_values_stream_like_stored_ones() {
    let tested = Tested::start(&[]);
    tested.create("sales", 1);
    let bodies = [("/test", connection("fresh", 1)), ("/sales/test", json!({"description": "other"}))];
    for (path, body) in bodies {
        let streamed = tested.post(path).header("accept", "text/event-stream").json(&body).send();
        let events = events(streamed.expect(200));
        assert_eq!(events.iter().filter(|(name, _)| name == "step").count(), 6, "{events:?}");
        let (name, report) = events.last().expect("seven");
        assert_eq!((name.as_str(), &report["error"]["code"]), ("report", &json!("port_closed")));
        let whole = tested.post(path).json(&body).send();
        assert_eq!(form(report), form(&whole.expect(200).json()));
    }
    // A refusal is a problem document, whatever was asked for.
    let refused = tested.post("/test").header("accept", "text/event-stream").json(&json!({"type": "postgres"})).send();
    refused.refused(422, "invalid_fields");
}

/// Reads until the answer holds `text`.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let found = String::from_utf8_lossy(&read).into_owned();
        if found.contains(text) {
            return found;
        }
        match stream.read(&mut buffer) {
            Ok(0) => panic!("“{text}” never came: {found}"),
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}: {found}"),
        }
    }
}

fn wait_until(what: &str, longest: Duration, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < longest, "{what}: not within {longest:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[rstest]
#[case::a_stream("text/event-stream")]
#[case::one_answer("application/json")]
fn who_hangs_up_cancels_the_test(#[case] accept: &str) {
    let (tested, open) = (Tested::start(&[]), OpenConnections::default());
    let silent = Silent::start(&open);
    tested.create("silent", silent.port());
    let mut stream = tested.post("/silent/test").header("accept", accept).begin();
    wait_until("the test reaches the silent host", SOON, || open.now() == 1);
    if accept.contains("stream") {
        // Steps are told as they happen, not with the report.
        let told = read_until(&mut stream, "\"reach\"");
        assert!(told.contains("event: step\ndata: {\"step\":\"resolve\"") && !told.contains("event: report"), "{told}");
    }
    drop(stream);
    wait_until("the silent host is hung up on", SOON, || open.now() == 0);
    let checks = tested.server.request(&tested.editor, "GET", &format!("{CONNECTIONS}/silent/checks")).send();
    assert_eq!(checks.expect(200).json()["items"], json!([]), "a cancelled test is no check");
}

/// What offers a test, on the list, on a connection's page, and in both forms.
const PAGES: [(&str, &str); 5] = [
    ("/w/default/connections", "data-test-row"),
    ("/w/default/connections", "data-test-selected"),
    ("/w/default/connections/sales", "data-test-stored"),
    ("/w/default/connections/sales/edit", "data-test-form"),
    ("/w/default/new/postgres", "data-test-form"),
];

#[test]
fn switched_off_no_test_runs_and_no_page_offers_one() {
    let (on, off) = (Tested::start(&[]), Tested::start(&["--no-tests"]));
    let open = OpenConnections::default();
    let silent = Silent::start(&open);
    let sessions = [&on, &off].map(|tested| {
        tested.create("sales", silent.port());
        Session::start(&tested.server)
    });
    for (page, offer) in PAGES {
        let [with, without] = sessions.each_ref().map(|session| session.get(page).expect(200).text());
        assert!(with.contains(offer), "{page} does not offer a test: {with}");
        for word in [offer, "Test Connection", "data-test-panel"] {
            assert!(!without.contains(word), "{page} has {word}: {without}");
        }
    }
    for (path, body) in [
        ("/sales/test", None),
        ("/sales/test", Some(json!({"description": "x"}))),
        ("/test", Some(connection("fresh", silent.port()))),
    ] {
        let request = off.post(path);
        let request = body.iter().fold(request, Request::json);
        let problem = request.send().refused(403, "tests_disabled");
        assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("--no-tests")), "{problem}");
    }
    let form =
        format!("name=fresh&host=127.0.0.1&port={}&username=u&tls.mode=disable&password=x&keep%3Apassword=set", silent.port());
    for (path, body) in [
        ("/w/default/connections/sales/test", ""),
        ("/w/default/connections/sales/try", form.as_str()),
        ("/w/default/new/postgres/test", form.as_str()),
    ] {
        sessions[1].submit(path, body).refused(403, "tests_disabled");
    }
    assert_eq!(open.ever(), 0, "nothing was dialled");
    assert_eq!(off.server.uses(), Vec::<Value>::new(), "no secret was used, so no event says so");
}

#[rstest]
#[case::denied(&["--test-deny", "127.0.0.0/8"], "address_not_allowed")]
#[case::denied_although_allowed(&["--test-allow", "127.0.0.0/8", "--test-deny", "10.0.0.0/8", "--test-deny", "127.0.0.1"], "address_not_allowed")]
#[case::others_are_allowed(&["--test-allow", "10.0.0.0/8", "--test-allow", "fd00::/8"], "address_not_allowed")]
#[case::allowed(&["--test-allow", "10.0.0.0/8", "--test-allow", "127.0.0.0/8"], "port_closed")]
#[case::others_are_denied(&["--test-deny", "10.0.0.0/8"], "port_closed")]
fn tests_reach_what_the_operator_lets_them(#[case] arguments: &[&str], #[case] code: &str) {
    let tested = Tested::start(arguments);
    let open = OpenConnections::default();
    let silent = Silent::start(&open);
    let refused = code == "address_not_allowed";
    // Where nothing may be dialled, there is something that would notice.
    tested.create("sales", if refused { silent.port() } else { 1 });
    let report = tested.post("/sales/test").send().expect(200).json();
    assert_eq!(report["error"]["code"], code, "{report}");
    let failed = report["steps"].as_array().into_iter().flatten().find(|step| step["status"] == "failed");
    assert_eq!(failed.map(|step| &step["step"]), Some(&json!(if refused { "resolve" } else { "reach" })), "{report}");
    if refused {
        let mut named = sample("named", PASSWORD);
        named["host"] = json!("localhost");
        named["port"] = json!(silent.port());
        let report = tested.post("/test").json(&named).send().expect(200).json();
        assert_eq!(report["error"]["code"], code, "{report}");
    }
    assert_eq!(open.ever(), 0, "nothing was dialled");
}

#[test]
fn a_network_that_is_none_is_refused_at_the_start() {
    for (option, value) in [("--test-deny", "nonsense"), ("--test-allow", "10.0.0.0/33"), ("--test-deny", "db.example.org")] {
        let ran = Shell::new(["serve", "--data", "/nonexistent/dataflow", option, value]).run();
        says(&ran, &[option, value, "10.0.0.0/8"]);
    }
}

//! Connections that go through an SSH server or a proxy, which is a connection of its own: tested, used, rotated and watched through it.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use dataflow_tests::{
    fake_services::{PASSWORD as HOP_PASSWORD, USER},
    postgres::{Postgres, PostgresOptions},
    scripted::{Peer, Scripted},
    shell::Shell,
    stored::{Engine, Stored},
    wires::{self, PLAIN, Wires},
};
use serde_json::{Value, json};

const PASSWORD: &str = "planted for what lies beyond";
const STEPS: [&str; 7] = ["hop", "resolve", "reach", "secure", "sign_in", "open_database", "read"];

/// The three kinds of hops, each under the name of its type.
fn hops(shell: &Wires, http: &Wires, socks: &Wires) -> [Value; 3] {
    let hop = |kind: &str, server: &Wires, more: Value| {
        let mut body = json!({
            "name": kind, "type": kind, "host": "127.0.0.1", "port": server.port(PLAIN), "username": USER, "password": HOP_PASSWORD
        });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    [
        hop("ssh", shell, json!({"extra": {"host_key": shell.file("host.pub").trim()}})),
        hop("http_proxy", http, json!({"tls": {"mode": "disable"}})),
        hop("socks_proxy", socks, json!({"tls": {"mode": "disable"}})),
    ]
}

fn sales(name: &str, hop: &str, port: u16) -> Value {
    json!({
        "name": name, "type": "postgres", "host": "127.0.0.1", "port": port, "database": "postgres", "username": "anna",
        "password": PASSWORD, "tls": {"mode": "disable"}, "extra": {"through": hop}
    })
}

fn create(stored: &Stored, body: &Value) {
    stored.admin("POST", "/connections").json(body).send().expect(201);
}

fn test(stored: &Stored, name: &str) -> Value {
    stored.post(name, "test", &json!({})).expect(200).json()
}

fn steps<'r>(report: &'r Value, status: &str) -> Vec<&'r str> {
    let steps = report["steps"].as_array().expect("steps").iter().filter(|step| step["status"] == status);
    steps.map(|step| step["step"].as_str().expect("a name")).collect()
}

#[track_caller]
fn failed_at(report: &Value, step: &str, code: &str, words: &str) {
    assert_eq!((steps(report, "failed"), &report["error"]["code"]), (vec![step], &json!(code)), "{report}");
    let message = report["error"]["message"].as_str().expect("a text");
    assert!(message.contains(words), "{message}");
    for secret in [PASSWORD, HOP_PASSWORD] {
        assert!(!report.to_string().contains(secret), "{report}");
    }
}

#[test]
fn a_database_is_tested_and_rotated_through_each_kind_of_hop() {
    let (shell, http, socks) = (wires::asyncssh(), wires::tinyproxy(), wires::microsocks());
    let (stored, postgres) = (Stored::start(Engine::Sqlite), Postgres::start(&PostgresOptions::default()));
    postgres.create_role("anna", PASSWORD);
    for hop in hops(&shell, &http, &socks) {
        create(&stored, &hop);
        let kind = hop["name"].as_str().expect("a text");
        let name = format!("by_{kind}");
        create(&stored, &sales(&name, kind, postgres.port()));
        let passed = test(&stored, &name);
        assert_eq!(passed["status"], "ok", "{passed}");
        let told: Vec<_> = passed["steps"].as_array().expect("steps").iter().map(|step| &step["step"]).collect();
        assert_eq!(told, STEPS, "{passed}");
        assert_eq!((&passed["steps"][0]["detail"], steps(&passed, "skipped")), (&json!(kind), vec!["resolve", "secure"]));
        assert!(passed["steps"][0]["duration_ms"].is_number(), "the hop is a step that takes its time: {passed}");

        // A password that the database refuses is no fault of the hop.
        let wrong = json!({"password": "another", "extra": {"through": kind}});
        failed_at(&stored.post(&name, "test", &wrong).expect(200).json(), "sign_in", "credentials_refused", "anna");
        let nowhere = json!({"host": "dataflow-test.invalid", "password": PASSWORD});
        failed_at(
            &stored.post(&name, "test", &nowhere).expect(200).json(),
            "reach",
            "host_unreachable",
            "cannot be reached from",
        );
        let metadata = json!({"host": "169.254.169.254", "password": PASSWORD});
        failed_at(&stored.post(&name, "test", &metadata).expect(200).json(), "reach", "address_not_allowed", "169.254.169.254");

        // What the code gets has all that it takes to go the same way.
        let answer = stored.credentials(&name);
        let body = answer.expect(200).json();
        assert_eq!((&body["hop"]["base"], &body["hop"]["fields"]["password"]), (&json!(kind), &json!(HOP_PASSWORD)), "{body}");
        assert_eq!(answer.header("etag"), format!("\"{}\"", body["fingerprint"].as_str().expect("a text")));

        // Nor is a password that the hop refuses the database's.
        stored.edit(kind, &json!({"password": "another"})).expect(200);
        failed_at(&test(&stored, &name), "hop", "hop_refused", &format!("On the way, at “{kind}”"));
        assert_ne!(stored.credentials(&name).header("etag"), answer.header("etag"), "another hop is another way");
        stored.edit(kind, &json!({"password": HOP_PASSWORD})).expect(200);
    }
    let wrong_key = json!({"extra": {"host_key": wires::asyncssh().file("host.pub").trim()}, "password": HOP_PASSWORD});
    stored.edit("ssh", &wrong_key).expect(200);
    failed_at(&test(&stored, "by_ssh"), "hop", "hop_changed", "leads to another place");
    stored.edit("by_ssh", &json!({"password": PASSWORD})).expect(200);
    failed_at(&test(&stored, "by_ssh"), "hop", "hop_failed", "host key");
    let host_key = json!({"extra": {"host_key": shell.file("host.pub").trim()}, "password": HOP_PASSWORD});
    stored.edit("ssh", &host_key).expect(200);
    stored.edit("by_ssh", &json!({"password": PASSWORD})).expect(200);

    // Its password is changed the same way, and nobody sees it.
    let rotated = stored.admin("POST", "/connections/by_ssh/rotate").header("if-match", "*").send().expect(200).json();
    assert_eq!((&rotated["state"], steps(&rotated["set"], "ok").first()), (&json!("rotated"), Some(&"hop")), "{rotated}");
    assert_eq!(test(&stored, "by_ssh")["status"], "ok");
    failed_at(&test(&stored, "by_socks_proxy"), "sign_in", "credentials_refused", "anna");
}

#[test]
fn what_a_hop_says_in_the_name_of_the_database_tells_no_secret_of_its_own() {
    // A proxy that answers itself, with what it was told, in the words of PostgreSQL.
    let proxy = Scripted::start(|peer: &mut Peer| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(peer.receive::<1>()?);
        }
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
        peer.receive::<8>()?;
        let words = format!("SFATAL\0C28000\0Mno, {HOP_PASSWORD}, not with {PASSWORD}\0\0");
        let length = u32::try_from(words.len() + 4).expect("short").to_be_bytes();
        peer.send(&[b"E", &length[..], words.as_bytes()].concat())?;
        peer.listen()
    });
    let stored = Stored::start(Engine::Sqlite);
    create(
        &stored,
        &json!({
            "name": "proxy", "type": "http_proxy", "host": "127.0.0.1", "port": proxy.port(), "username": USER, "password": HOP_PASSWORD,
            "tls": {"mode": "disable"}
        }),
    );
    create(&stored, &sales("sales", "proxy", 5432));
    failed_at(&test(&stored, "sales"), "sign_in", "credentials_refused", "");
}

/// Over a hop “this machine” is another one: what is let go in the clear to the one is not to the other.
#[test]
fn this_machine_is_another_one_beyond_a_hop() {
    let (shell, http) = (wires::asyncssh(), wires::tinyproxy());
    let (stored, redis) = (Stored::start(Engine::Sqlite), wires::redis());
    let [ssh, proxy, _] = hops(&shell, &http, &http);
    for hop in [&ssh, &proxy] {
        create(&stored, hop);
    }
    let body = |name: &str, hop: Value| {
        json!({
            "name": name, "type": "redis", "host": "127.0.0.1", "port": redis.port(PLAIN), "password": HOP_PASSWORD, "tls": {"mode": "disable"},
            "username": USER, "extra": {"through": hop}
        })
    };
    for (name, hop) in [("here", Value::Null), ("there", json!("ssh"))] {
        create(&stored, &body(name, hop));
        assert_eq!(test(&stored, name)["status"], "ok", "{name}: the way to it is sealed");
    }
    create(&stored, &body("heard", json!("http_proxy")));
    failed_at(&test(&stored, "heard"), "sign_in", "insecure_authentication_refused", "");
    // A new one begins with TLS there.
    let mut defaults = sales("defaults", "ssh", 5432);
    defaults.as_object_mut().expect("an object").remove("tls");
    create(&stored, &defaults);
    assert_eq!(stored.show("defaults").json()["tls"]["mode"], "verify-full");
}

#[test]
fn a_shell_tests_through_a_hop_from_where_it_is() {
    let shell = wires::asyncssh();
    let (stored, postgres) = (Stored::start(Engine::Sqlite), Postgres::start(&PostgresOptions::default()));
    postgres.create_role("anna", PASSWORD);
    let [ssh, ..] = hops(&shell, &shell, &shell);
    create(&stored, &ssh);
    create(&stored, &sales("sales", "ssh", postgres.port()));
    let run = |words: &[&str]| {
        let shell = Shell::new(["connections"]).args(words.iter().copied()).variable("HOME", "/nonexistent");
        shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", &stored.admin).run()
    };
    let here = run(&["test", "sales", "--here", "--output", "json"]);
    let report: Value = serde_json::from_str(&here.stdout).unwrap_or_else(|_| panic!("{here:?}"));
    assert_eq!(
        (&report["status"], &report["from"], &report["steps"][0]["step"]),
        (&json!("ok"), &json!("client"), &json!("hop"))
    );
    let kept = stored.admin("GET", "/connections/sales/checks").send().expect(200).json();
    assert_eq!(
        (&kept["items"][0]["report"]["from"], &kept["items"][0]["report"]["steps"][0]["step"]),
        (&json!("client"), &json!("hop"))
    );
    let told = run(&["dependents", "ssh"]);
    assert!(told.stderr.contains("Connections go through it, and lead nowhere without it: sales."), "{told:?}");
}

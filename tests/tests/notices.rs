//! Whom a workspace tells what becomes of its connections: by webhook, mail and Slack, once of each change, and of what ends.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    fake_services::{FakeService, PASSWORD as MAIL_PASSWORD, Reply, USER},
    port::Port,
    postgres::{Postgres, PostgresOptions},
    scripted::Scripted,
    session::Session,
    shell::{Ran, Shell},
    stored::{Engine, Stored},
    wires::{self, PLAIN},
};
use rstest::rstest;
use serde_json::{Value, json};

const PASSWORD: &str = "planted for notices";
const PATIENCE: Duration = Duration::from_secs(30);
/// What follows the path of the webhook: as good as a password.
const SECRET_PATH: &str = "T0/planted-path";

/// A webhook that keeps what is posted to it, and answers as it is told.
struct Hook {
    service: FakeService,
    posted: Arc<Mutex<Vec<(String, Value)>>>,
    status: Arc<Mutex<u16>>,
}

impl Hook {
    fn start() -> Self {
        let (posted, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(200)));
        let (kept, answered) = (posted.clone(), status.clone());
        let service = FakeService::start(None, move |asked| {
            let status = *answered.lock().expect("not poisoned");
            if asked.method == "POST" && status == 200 {
                let body = serde_json::from_slice(&asked.body).expect("JSON");
                kept.lock().expect("not poisoned").push((asked.target.clone(), body));
            }
            Reply::new(status, "").with("location", format!("/elsewhere{}", asked.target))
        });
        Self { service, posted, status }
    }

    fn posted(&self) -> Vec<(String, Value)> {
        self.posted.lock().expect("not poisoned").clone()
    }

    fn answer(&self, status: u16) {
        *self.status.lock().expect("not poisoned") = status;
    }

    fn connect(&self, stored: &Stored) {
        let hook = json!({
            "name": "hook", "type": "webhook", "host": "127.0.0.1", "port": self.service.port(), "tls": {"mode": "disable"},
            "extra": {"path": "/hooks"}, "password": SECRET_PATH
        });
        stored.admin("POST", "/connections").json(&hook).send().expect(201);
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn channel(stored: &Stored, name: &str, body: &Value) -> Value {
    let path = format!("/notification-channels/{name}");
    stored.admin("PUT", &path).header("if-match", "*").json(body).send().expect(200).json()
}

fn shown(stored: &Stored, name: &str) -> Value {
    stored.admin("GET", &format!("/notification-channels/{name}")).send().expect(200).json()
}

fn create(stored: &Stored, name: &str, port: u16, tags: &[&str]) {
    let body = json!({
        "name": name, "type": "postgres", "host": "127.0.0.1", "port": port, "database": "postgres", "username": "anna",
        "password": PASSWORD, "tags": tags
    });
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    let daily = json!({"every_seconds": 86_400, "unhealthy_after": 1});
    stored.admin("PUT", &format!("/connections/{name}/health-schedule")).header("if-match", "*").json(&daily).send().expect(200);
}

fn state(stored: &Stored, name: &str) -> Value {
    stored.admin("GET", &format!("/connections/{name}/health")).send().expect(200).json()["state"].clone()
}

/// Tests it until it stands so.
fn becomes(stored: &Stored, name: &str, wanted: &str) {
    until(&format!("{name} does not become {wanted}"), || {
        if state(stored, name) == wanted {
            return Some(());
        }
        stored.admin("POST", &format!("/connections/{name}/test")).send().expect(200);
        None
    });
}

/// Has what is to be told be told now.
fn hurry(stored: &Stored) {
    stored.sql("UPDATE channels SET next_at = 0");
}

fn waiting(stored: &Stored) -> String {
    stored.sql("SELECT count(*) FROM notices").trim().to_owned()
}

fn shell(stored: &Stored, words: &[&str]) -> Ran {
    let shell = Shell::new(["health"]).args(words.iter().copied()).variable("HOME", "/nonexistent");
    shell.variable("DATAFLOW_URL", stored.server.url()).variable("DATAFLOW_TOKEN", &stored.admin).run()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn each_change_is_told_once(#[case] engine: Engine) {
    let (stored, hook) = (Stored::start(engine), Hook::start());
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    hook.connect(&stored);
    let set = channel(&stored, "oncall", &json!({"connection": "hook", "tag": "Finance"}));
    assert_eq!((&set["tag"], &set["tells"], &set["told_at"]), (&json!("finance"), &json!("all"), &Value::Null), "{set}");
    create(&stored, "sales", postgres.port(), &["finance"]);
    create(&stored, "other", postgres.port(), &[]);
    for name in ["sales", "other"] {
        becomes(&stored, name, "healthy");
    }
    assert_eq!(waiting(&stored), "0", "that one stands well of which nothing was known is no news");

    postgres.psql("ALTER ROLE anna PASSWORD 'another'");
    for name in ["sales", "other"] {
        becomes(&stored, name, "unhealthy");
    }
    assert_eq!(waiting(&stored), "1", "the other one has not the tag");
    assert!(hook.posted().is_empty(), "it waits for what else there may be");
    hurry(&stored);
    let (target, body) = until("nothing is posted", || hook.posted().into_iter().next());
    assert_eq!(target, format!("/hooks/{SECRET_PATH}"));
    let text = body["text"].as_str().expect("a text");
    assert!(text.starts_with("sales is unhealthy (default)\nsales (PostgreSQL) is unhealthy: Sign-in refused."), "{text}");
    let change = &body["events"]["changes"][0];
    assert_eq!(
        (&change["connection"], &change["about"], &change["state"]),
        (&json!("sales"), &json!("health"), &json!("unhealthy"))
    );
    assert!(!body.to_string().contains("planted"), "{body}");
    let told = until("it is not written down", || Some(shown(&stored, "oncall")).filter(|shown| !shown["told_at"].is_null()));
    assert_eq!((&told["problem"], waiting(&stored).as_str()), (&Value::Null, "0"), "{told}");

    // One more failure is no change, and neither is what is as it was before it is told.
    stored.admin("POST", "/connections/sales/test").send().expect(200);
    let rests = stored.sql("SELECT next_at - told_at FROM channels");
    assert_eq!(rests.trim(), "60000000", "it rests for a minute");
    stored.sql("UPDATE channels SET next_at = 9000000000000000");
    for (password, state) in [(PASSWORD, "healthy"), ("another", "unhealthy"), (PASSWORD, "healthy"), ("another", "unhealthy")] {
        postgres.psql(&format!("ALTER ROLE anna PASSWORD '{password}'"));
        becomes(&stored, "sales", state);
    }
    assert_eq!(waiting(&stored), "0", "it is as it was told");
    postgres.psql(&format!("ALTER ROLE anna PASSWORD '{PASSWORD}'"));
    becomes(&stored, "sales", "healthy");
    hurry(&stored);
    let (_, body) = until("nothing is posted", || hook.posted().into_iter().nth(1));
    assert!(body["text"].as_str().is_some_and(|text| text.starts_with("sales is healthy again (default)\n")), "{body}");
    assert_ne!(body["id"], hook.posted()[0].1["id"]);

    // The secret path was used, in the name of who set the channel.
    let activity = until("both uses are not told", || {
        let told = stored.admin("GET", "/activity?connection=hook&action=connection.message").send().expect(200).json();
        let uses = told["items"].as_array().map(|items| items.iter().filter_map(|item| item["count"].as_i64()).sum::<i64>());
        (uses == Some(2)).then_some(told)
    });
    assert!(
        activity["items"][0]["actor"].as_str().is_some_and(|actor| actor.starts_with("channel oncall (set by ")),
        "{activity}"
    );
    let dialog = Session::start(&stored.server).get("/w/default/connections/hook/delete").expect(200).text();
    assert!(dialog.contains("<b>oncall</b> will tell nothing any more"), "{dialog}");
    let told = stored.admin("GET", "/connections/hook/dependents").send().expect(200).json();
    assert_eq!(told["channels"], json!(["oncall"]));
}

/// Much that breaks at once is one message, and what a channel cannot tell is tried again and not lost.
#[test]
fn a_storm_is_one_message_and_an_outage_loses_none() {
    let (stored, hook, closed) = (Stored::start(Engine::Sqlite), Hook::start(), Port::free());
    hook.connect(&stored);
    channel(&stored, "oncall", &json!({"connection": "hook", "tells": "health"}));
    stored.sql("UPDATE channels SET next_at = 9000000000000000");
    for number in 0..60 {
        create(&stored, &format!("dead{number:02}"), closed.number(), &[]);
    }
    stored.sql("UPDATE health SET next_at = 0");
    until("not all of them fail", || (waiting(&stored) == "60").then_some(()));
    // Where it leads elsewhere is not told: that may have the secret path in it.
    hook.answer(302);
    hurry(&stored);
    let led = until("it is not told", || Some(shown(&stored, "oncall")).filter(|shown| !shown["problem"].is_null()));
    assert!(led["problem"].as_str().is_some_and(|problem| problem.contains("302") && !problem.contains("hooks")), "{led}");
    channel(&stored, "oncall", &json!({"connection": "hook", "tells": "health"}));
    hook.answer(500);
    hurry(&stored);
    let failed = until("it is not told", || Some(shown(&stored, "oncall")).filter(|shown| !shown["problem"].is_null()));
    assert!(failed["problem"].as_str().is_some_and(|problem| problem.contains("500")), "{failed}");
    let page = Session::start(&stored.server).get("/w/default/health").expect(200).text();
    assert!(page.contains("Who is told") && page.contains(failed["problem"].as_str().unwrap_or_default()), "{page}");
    assert_eq!(waiting(&stored), "60");
    hook.answer(200);
    hurry(&stored);
    until("it is not told", || Some(shown(&stored, "oncall")).filter(|shown| shown["problem"].is_null()));
    assert_eq!(waiting(&stored), "0");
    let posted = hook.posted();
    let [(_, body)] = &posted[..] else { panic!("one message: {posted:?}") };
    let text = body["text"].as_str().expect("a text");
    assert!(text.starts_with("60 changes of connections (default)\ndead00 (PostgreSQL) is unhealthy: "), "{text}");
    assert!(text.ends_with("And 10 more: see the page Health.") && body["events"]["more"] == 10, "{text}");
    assert_eq!(body["events"]["changes"].as_array().map(Vec::len), Some(50));

    // What a node had taken when it died is told by the next one.
    stored.sql("UPDATE health SET next_at = 9000000000000000");
    stored.sql("UPDATE channels SET next_at = 9000000000000000");
    let sql = "INSERT INTO notices (channel_id, connection_id, about, was, state, at, taken_at) SELECT h.id, c.id, 'health', 'unhealthy', \
               'healthy', 1, 1 FROM channels h, connections c WHERE c.name = 'dead00'";
    stored.sql(sql);
    hurry(&stored);
    let (_, body) = until("nothing is posted", || hook.posted().into_iter().nth(1));
    assert!(body["text"].as_str().is_some_and(|text| text.starts_with("dead00 is healthy again")), "{body}");

    // A channel that somebody changed in the store tells nothing.
    stored.sql(sql);
    stored.sql("UPDATE channels SET connection = 'dead01', next_at = 0");
    until("it is not refused", || Some(shown(&stored, "oncall")).filter(|shown| !shown["problem"].is_null()));
    let bent = shown(&stored, "oncall");
    assert_eq!(
        (&bent["is_sound"], bent["problem"].as_str()),
        (&json!(false), Some("It was changed outside of this program. Set it again."))
    );
    assert_eq!(hook.posted().len(), 2);
}

#[test]
fn mail_is_handed_in() {
    let (stored, server) = (Stored::start(Engine::Sqlite), wires::aiosmtpd());
    let mail = json!({
        "name": "mail", "type": "smtp", "host": "127.0.0.1", "port": server.port(PLAIN), "username": USER, "password": MAIL_PASSWORD,
        "tls": {"mode": "disable"}
    });
    stored.admin("POST", "/connections").json(&mail).send().expect(201);
    let put = |body: Value| stored.admin("PUT", "/notification-channels/oncall").header("if-match", "*").json(&body).send();
    let refused = put(json!({"connection": "mail", "addresses": ["ada@example.org"]})).expect(422).json();
    assert_eq!(refused["errors"][0]["field"], "connection", "it has no sender: {refused}");
    stored.edit("mail", &json!({"extra": {"from_email": "alerts@example.org"}})).expect(200);
    for addresses in [json!([]), json!(["ada@example.org\r\nBcc: eve@example.org"]), json!(["nobody"])] {
        let refused = put(json!({"connection": "mail", "addresses": addresses})).expect(422).json();
        assert_eq!(refused["errors"][0]["field"], "addresses", "{refused}");
    }
    put(json!({"connection": "nothing", "addresses": ["ada@example.org"]})).expect(422);
    let set =
        shell(&stored, &["channel", "oncall", "--through", "mail", "--to", "ada@example.org", "--to", "nobody@example.org"]);
    assert!(set.succeeded && set.stdout().contains("ada@example.org, nobody@example.org"), "{set:?}");

    let tried = stored.admin("POST", "/notification-channels/oncall/test").send().expect(200).json();
    let step = tried["steps"].as_array().and_then(|steps| steps.last()).cloned().expect("steps");
    assert_eq!((&tried["status"], &step["step"]), (&json!("ok"), &json!("send")), "{tried}");
    assert_eq!(step["detail"], "not to nobody@example.org: the server refused");
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!((&mails[0]["from"], &mails[0]["to"]), (&json!("alerts@example.org"), &json!(["ada@example.org"])), "{mails:?}");
    let text = mails[0]["text"].as_str().expect("a mail");
    for line in [
        "Subject: A trial of the channel oncall (default)",
        "Auto-Submitted: auto-generated",
        "From: Dataflow <alerts@example.org>",
    ] {
        assert!(text.lines().any(|found| found == line), "“{line}” is not in\n{text}");
    }

    // Where nobody is taken, and where the password is wrong, it says so.
    let trial = || shell(&stored, &["channel", "oncall", "--try"]);
    assert!(trial().succeeded);
    assert!(shell(&stored, &["channel", "oncall", "--to", "nobody@example.org"]).succeeded);
    let refused = trial();
    assert!(!refused.succeeded && refused.stderr.contains("takes no mail for any of the addresses"), "{refused:?}");
    stored.edit("mail", &json!({"password": "planted and wrong"})).expect(200);
    let refused = trial();
    assert!(!refused.succeeded && refused.stderr.contains("refused the password"), "{refused:?}");
    assert!(!refused.stderr.contains("planted"), "{refused:?}");
    assert_eq!(server.mails().len(), 2);
    let listed = shell(&stored, &["channels"]);
    assert!(listed.succeeded && listed.stdout().contains("nobody@example.org"), "{listed:?}");
    assert!(shell(&stored, &["channel", "oncall", "--remove"]).succeeded);
    assert!(!shell(&stored, &["channel", "oncall"]).succeeded);
}

/// Whether a server that takes all of a mail and is not heard of again has it is not known: it is sent again, under the same name, and not soon.
#[test]
fn a_server_that_is_silent_in_the_end_gets_the_same_mail_again() {
    let stored = Stored::start(Engine::Sqlite);
    let server = Scripted::start(|peer| {
        peer.send(b"220 here\r\n")?;
        for answer in ["250-here\r\n250 SIZE 1000000", "250 sender", "250 recipient", "354 go on"] {
            while peer.receive::<1>()? != *b"\n" {}
            peer.send(format!("{answer}\r\n").as_bytes())?;
        }
        let mut end = Vec::new();
        while !end.ends_with(b"\r\n.\r\n") {
            end.extend(peer.receive::<1>()?);
        }
        Ok(())
    });
    let mail = json!({
        "name": "mail", "type": "smtp", "host": "127.0.0.1", "port": server.port(), "tls": {"mode": "disable"},
        "extra": {"from_email": "Alerts <alerts@example.org>"}
    });
    stored.admin("POST", "/connections").json(&mail).send().expect(201);
    create(&stored, "sales", 1, &[]);
    channel(&stored, "oncall", &json!({"connection": "mail", "addresses": ["ada@example.org"]}));
    stored.sql("UPDATE channels SET next_at = 9000000000000000");
    becomes(&stored, "sales", "unhealthy");
    hurry(&stored);
    until("it is not tried", || (!shown(&stored, "oncall")["problem"].is_null()).then_some(()));
    assert_eq!((waiting(&stored).as_str(), &shown(&stored, "oncall")["told_at"]), ("1", &Value::Null));
    let problem = shown(&stored, "oncall")["problem"].as_str().unwrap_or_default().to_owned();
    assert!(problem.contains("while the message was being handed over"), "{problem}");
    assert_eq!(stored.sql("SELECT next_at - failing_since FROM channels").trim(), "900000000");
    hurry(&stored);
    until("it is not tried again", || (stored.sql("SELECT tries FROM channels").trim() == "2").then_some(()));
    let heard = String::from_utf8(server.heard()).expect("text");
    let names: Vec<_> = heard.lines().filter(|line| line.starts_with("Message-ID: <")).collect();
    assert!(names.len() == 2 && names[0] == names[1] && names[0].ends_with("@example.org>"), "{names:?}");
}

#[test]
fn slack_is_posted_to() {
    let stored = Stored::start(Engine::Sqlite);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    // <https://docs.slack.dev/reference/methods/chat.postMessage>
    let slack = FakeService::start(None, move |asked| {
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let answer = if !asked.is_token("Bearer") {
            json!({"ok": false, "error": "invalid_auth"})
        } else if asked.path() != "/api/chat.postMessage" || asked.header("content-type") != "application/json; charset=utf-8" {
            json!({"ok": false, "error": "unknown_method"})
        } else if body["channel"] != "#alerts" {
            json!({"ok": false, "error": "channel_not_found"})
        } else {
            kept.lock().expect("not poisoned").push(body);
            json!({"ok": true, "channel": "C1", "ts": "1.2"})
        };
        Reply::json(200, &answer)
    });
    let connection = json!({
        "name": "chat", "type": "slack", "host": "127.0.0.1", "port": slack.port(), "password": MAIL_PASSWORD, "tls": {"mode": "disable"}
    });
    stored.admin("POST", "/connections").json(&connection).send().expect(201);
    let trial = || stored.admin("POST", "/notification-channels/oncall/test").send().expect(200).json();
    channel(&stored, "oncall", &json!({"connection": "chat", "addresses": ["#alerts"]}));
    assert_eq!(trial()["status"], "ok", "{}", trial());
    assert!(asked.lock().expect("not poisoned")[0]["text"].as_str().is_some_and(|text| text.starts_with("*A trial of")));
    channel(&stored, "oncall", &json!({"connection": "chat", "addresses": ["#nowhere"]}));
    let refused = trial();
    assert!(refused["error"]["message"].as_str().is_some_and(|message| message.contains("“#nowhere”")), "{refused}");
    stored.edit("chat", &json!({"password": "xoxb-planted-wrong"})).expect(200);
    let refused = trial();
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["field"]),
        (&json!("credentials_refused"), &json!("password")),
        "{refused}"
    );
    // A database sends no messages.
    stored.create("sales", "planted");
    let body = json!({"connection": "sales"});
    let refused =
        stored.admin("PUT", "/notification-channels/oncall").header("if-match", "*").json(&body).send().expect(422).json();
    assert_eq!(refused["errors"][0]["field"], "connection", "{refused}");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_ends_is_told_before(#[case] engine: Engine) {
    let (stored, hook) = (Stored::start(engine), Hook::start());
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    postgres.psql("ALTER ROLE anna VALID UNTIL 'tomorrow'");
    hook.connect(&stored);
    channel(&stored, "oncall", &json!({"connection": "hook", "tells": "ends"}));
    create(&stored, "sales", postgres.port(), &[]);
    becomes(&stored, "sales", "healthy");
    let ends = || stored.admin("GET", "/ends").send().expect(200).json();
    let end = until("nothing ends", || ends()["items"].get(0).cloned());
    assert_eq!((&end["connection"], &end["about"]), (&json!("sales"), &json!("password")), "{end}");
    until("it is not noted", || (waiting(&stored) == "1").then_some(()));
    hurry(&stored);
    let (_, body) = until("nothing is posted", || hook.posted().into_iter().next());
    let text = body["text"].as_str().expect("a text");
    assert!(text.starts_with("sales: its password ends "), "{text}");
    assert!(!body["events"]["changes"][0]["ends_at"].is_null(), "{body}");
    let page = Session::start(&stored.server).get("/w/default/health").expect(200).text();
    assert!(page.contains("Ends soon") && page.contains("within a day"), "{page}");
    let listed = shell(&stored, &["ends"]);
    assert!(listed.succeeded && listed.stdout().contains("password"), "{listed:?}");

    // The same end is told again only when it is nearer, and what is put off is forgotten.
    stored.admin("POST", "/connections/sales/test").send().expect(200);
    let next = stored.sql("SELECT next_at = ends_at FROM ends");
    assert!(["1", "t"].contains(&next.trim()), "once it has ended: {next}");
    stored.sql("UPDATE ends SET next_at = 1");
    until("it is not noted", || (waiting(&stored) == "1").then_some(()));
    postgres.psql("ALTER ROLE anna VALID UNTIL 'infinity'");
    stored.admin("POST", "/connections/sales/test").send().expect(200);
    until("it is not forgotten", || ends()["items"].as_array().is_some_and(Vec::is_empty).then_some(()));
}

/// What the SDK tells of work that could not connect stands on the line of the tests.
#[test]
fn failures_at_work_stand_beside_the_tests() {
    let stored = Stored::start(Engine::Sqlite);
    let postgres = Postgres::start(&PostgresOptions::default());
    postgres.create_role("anna", PASSWORD);
    create(&stored, "sales", postgres.port(), &[]);
    for _ in 0..2 {
        stored.admin("POST", "/connections/sales/test").send().expect(200);
    }
    let held = stored.credentials("sales").expect(200).header("etag").to_owned();
    let told =
        stored.admin("GET", "/connections/sales/credentials").header("dataflow-workflow", "kind=pipeline; name=\"nightly.load\"");
    told.header("if-none-match", &held).header("dataflow-failed", "?1").send().expect(304);
    let health = || stored.admin("GET", "/connections/sales/health").send().expect(200).json();
    until("it is not told", || (health()["failures_at_work"].as_array().map(Vec::len) == Some(1)).then_some(()));
    let page = || Session::start(&stored.server).get("/w/default/connections/sales").expect(200).text();
    let page = until("it is not drawn", || Some(page()).filter(|page| page.contains("class=\"work\"")));
    assert!(page.contains("; 1 workflow could not connect"), "{page}");
}

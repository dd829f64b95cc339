//! A change that is tested before it serves, against a real database: what fails is not saved, and nobody notices it.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    cable::Cable,
    http::Answer,
    postgres::{Postgres, PostgresOptions},
    server::ADMIN_PASSWORD,
    session::Session,
    shell::{Home, Shell},
    silent::{OpenConnections, Silent},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

/// A connection to a real database, over a line that can be cut: then a test of it hangs, and goes on once it is mended.
struct Sales {
    stored: Stored,
    cable: Cable,
    _postgres: Postgres,
}

impl Sales {
    fn start(engine: Engine) -> Self {
        let postgres = Postgres::start(&PostgresOptions::default());
        postgres.create_role("anna", "first");
        postgres.create_role("bert", "second");
        postgres.create_database("sales", "anna");
        let sales = Self { stored: Stored::start(engine), cable: Cable::to(postgres.port()), _postgres: postgres };
        sales.create("sales");
        sales
    }

    fn create(&self, name: &str) {
        let body = json!({"name": name, "type": "postgres", "host": "127.0.0.1", "port": self.cable.port(), "username": "anna",
            "password": "first", "database": "sales", "tls": {"mode": "disable"}});
        self.stored.admin("POST", "/connections").json(&body).send().expect(201);
    }

    fn change_by(&self, token: &str, (tag, test): (&str, bool), change: &Value) -> Answer {
        let path = format!("/workspaces/default/connections/sales?test={test}");
        self.stored.request(token, "PATCH", &path).header("if-match", tag).json(change).send()
    }

    fn change(&self, change: &Value, test: bool) -> Answer {
        self.change_by(&self.stored.admin, ("*", test), change)
    }

    fn restore(&self, version: i64, test: bool) -> Answer {
        let path = format!("/connections/sales/versions/{version}/restore?test={test}");
        self.stored.admin("POST", &path).header("if-match", "*").send()
    }

    /// The version that serves, and its password.
    fn serves(&self) -> (i64, String) {
        let answer = self.stored.credentials("sales").expect(200).json();
        (answer["version"].as_i64().expect("a number"), answer["fields"]["password"].as_str().expect("a text").to_owned())
    }

    /// Version and outcome of each test that is kept, the newest first.
    fn tests(&self) -> Vec<(i64, String)> {
        let checks = self.stored.admin("GET", "/connections/sales/checks").send().expect(200).json();
        let check = |check: &Value| {
            (check["version"].as_i64().expect("a number"), check["report"]["status"].as_str().expect("a text").to_owned())
        };
        checks["items"].as_array().expect("a list").iter().map(check).collect()
    }

    fn etag(&self) -> String {
        self.stored.show("sales").header("etag").to_owned()
    }

    /// Sends a change whose test hangs, does something else meanwhile, and lets the test go on.
    fn meanwhile(&self, change: impl FnOnce() -> Answer + Send, act: impl FnOnce() -> Answer) -> Answer {
        let before = self.cable.taken();
        self.cable.cut();
        thread::scope(|both| {
            let changed = both.spawn(change);
            until("the test begins", || self.cable.taken() > before);
            let acted = act().status;
            self.cable.mend();
            assert!((200..300).contains(&acted), "{acted}");
            changed.join().expect("no panic")
        })
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_does_not_pass_its_test_is_not_saved(#[case] engine: Engine) {
    let sales = Sales::start(engine);
    let refused = sales.change(&json!({"password": "wrong"}), true);
    refused.refused(409, "test_failed");
    let problem = refused.json();
    assert_eq!(
        (&problem["report"]["status"], &problem["report"]["error"]["code"]),
        (&json!("failed"), &json!("credentials_refused"))
    );
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("nothing was saved")), "{problem}");
    assert!(!refused.text().contains("wrong"), "{}", refused.text());
    assert_eq!((sales.serves(), sales.tests()), ((1, "first".to_owned()), Vec::new()));

    // What clients do not connect with is saved without a test, and what nobody would save is not tested.
    let before = sales.cable.taken();
    assert_eq!(sales.change(&json!({"description": "Orders"}), true).expect(200).json()["version"], 2);
    sales.change(&json!({"port": 70_000, "password": "x"}), true).refused_field("invalid_fields", "port");
    sales.change(&json!({"name": "other", "password": "x"}), true).refused_field("invalid_fields", "name");
    sales.change_by(&sales.stored.admin, ("\"other.1\"", true), &json!({"password": "x"})).refused(412, "version_conflict");
    assert_eq!((sales.cable.taken(), sales.tests()), (before, Vec::new()));

    // What was tested is a check of the version from its first moment.
    let moved = json!({"username": "bert", "password": "second", "database": "postgres"});
    assert_eq!(sales.change(&moved, true).expect(200).json()["version"], 3);
    assert_eq!((sales.serves(), sales.tests()), ((3, "second".to_owned()), vec![(3, "ok".to_owned())]));
    let list = sales.stored.admin("GET", "/connections?status=ok").send().expect(200).json();
    assert_eq!(list["items"][0]["last_check"]["status"], "ok", "{list}");

    // Whoever says so saves it all the same.
    assert_eq!(sales.change(&json!({"password": "wrong"}), false).expect(200).json()["version"], 4);
    // A restore is tested alike.
    sales.restore(1, false).expect(200);
    sales.restore(4, true).refused(409, "test_failed");
    assert_eq!((sales.serves().0, sales.tests().len()), (5, 1));
    assert_eq!(sales.restore(3, true).expect(200).json()["version"], 6);
    assert_eq!((sales.serves(), sales.tests()[0].clone()), ((6, "second".to_owned()), (6, "ok".to_owned())));
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_serves_is_what_was_tested_whatever_happens_meanwhile(#[case] engine: Engine) {
    let sales = Sales::start(engine);
    let admin = sales.stored.admin.clone();
    let second = json!({"username": "bert", "password": "second"});

    // Somebody else saves meanwhile: who named the version that he saw is refused.
    let seen = sales.etag();
    let change = || sales.change_by(&admin, (&seen, true), &second);
    sales.meanwhile(change, || sales.change(&json!({"description": "Orders"}), false)).refused(412, "version_conflict");
    assert_eq!(sales.serves(), (2, "first".to_owned()));
    // Who did not loses nothing by a description, for clients connect with what was tested.
    let any = || sales.change(&second, true);
    let saved = sales.meanwhile(any, || sales.change(&json!({"description": "Sales"}), false));
    assert_eq!(saved.expect(200).json()["description"], "Sales");
    assert_eq!(sales.serves(), (4, "second".to_owned()));
    // Over another database it would be something else that nobody has tested.
    let first = || sales.change(&json!({"username": "anna", "password": "first"}), true);
    let elsewhere = json!({"database": "postgres", "password": "second"});
    sales.meanwhile(first, || sales.change(&elsewhere, false)).refused(412, "version_conflict");
    assert_eq!(sales.serves(), (5, "second".to_owned()));
    let restore = || sales.restore(1, true);
    assert_eq!(sales.meanwhile(restore, || sales.change(&elsewhere, false)).expect(200).json()["restored_from"], Value::Null);
    let (version, password) = sales.serves();
    assert_eq!((version, password.as_str()), (7, "first"));

    // Who loses his token meanwhile has lost his right to save.
    let token = sales.stored.token("leaving", "editor", None);
    let tokens = sales.stored.admin("GET", "/tokens").send().expect(200).json();
    let of_his = |token: &&Value| token["name"] == "leaving";
    let id = tokens["items"].as_array().and_then(|all| all.iter().find(of_his)).expect("listed")["id"].as_str().expect("a text");
    let change = || sales.change_by(&token, ("*", true), &second);
    let revoke = || sales.stored.admin("DELETE", &format!("/tokens/{id}")).send();
    sales.meanwhile(change, revoke).refused(401, "unauthenticated");
    // Who hangs up has changed his mind.
    sales.cable.cut();
    let before = sales.cable.taken();
    let gone = sales.stored.admin("PATCH", "/connections/sales?test=true").header("if-match", "*").json(&second).begin();
    until("the test begins", || sales.cable.taken() > before);
    gone.shutdown(Shutdown::Both).expect("open");
    drop(gone);
    thread::sleep(Duration::from_millis(300));
    sales.cable.mend();
    // Longer than a test takes that goes on.
    thread::sleep(Duration::from_millis(700));
    assert_eq!(sales.serves(), (7, "first".to_owned()));

    // Sent twice at one instant and once more later, it takes effect once.
    let once = |key: &str| {
        let request = sales.stored.admin("PATCH", "/connections/sales?test=true").header("if-match", "*");
        request.header("idempotency-key", key).json(&second).send()
    };
    let both = thread::scope(|both| [(); 2].map(|()| both.spawn(|| once("k1"))).map(|sent| sent.join().expect("no panic")));
    for answer in both.iter().chain([&once("k1")]) {
        assert_eq!(answer.expect(200).json()["version"], 8);
    }
    // A refused one may be repeated under its key.
    sales.change(&json!({"username": "anna", "password": "first", "database": "sales"}), true).expect(200);
    let wrong = json!({"password": "wrong"});
    let keyed = || {
        let request = sales.stored.admin("PATCH", "/connections/sales?test=true").header("if-match", "*");
        request.header("idempotency-key", "k2").json(&wrong).send()
    };
    keyed().refused(409, "test_failed");
    keyed().refused(409, "test_failed");
    assert_eq!(sales.serves().0, 9);
    println!("promise: safe change, {engine:?}: saves meanwhile, a revoked token, a client that hangs up: 0 saved untested");
}

/// A test before a save sends a kept secret nowhere where a save would not.
#[test]
fn a_kept_secret_is_not_sent_elsewhere_by_the_test_of_a_change() {
    let sales = Sales::start(Engine::Sqlite);
    let open = OpenConnections::default();
    let elsewhere = Silent::start(&open);
    let editor = sales.stored.token("editor", "editor", None);
    for token in [&editor, &sales.stored.admin] {
        for change in [json!({"port": elsewhere.port()}), json!({"username": "bert"}), json!({"host": "localhost"})] {
            let before = sales.cable.taken();
            sales.change_by(token, ("*", true), &change).refused(422, "secret_reentry_required");
            assert_eq!((open.ever(), sales.cable.taken()), (0, before), "{change}");
        }
    }
    println!("promise: safe change: 6 changes of where a kept secret goes: sent nowhere by their tests");
    // Whom an admin has not named as a user does not use it by a test either; he may still say what it is for.
    sales
        .stored
        .admin("PUT", "/connections/sales/users")
        .header("if-match", "*")
        .json(&json!({"narrowed": true}))
        .send()
        .expect(200);
    let before = sales.cable.taken();
    sales.change_by(&editor, ("*", true), &json!({"extra": {"application_name": "x"}})).refused(403, "forbidden");
    sales.change_by(&editor, ("*", true), &json!({"description": "x"})).expect(200);
    assert_eq!(sales.cable.taken(), before);

    // An admin who decides so by his password has it sent by the test, too, and the audit says it whatever that comes to.
    let session = Session::start(&sales.stored.server);
    let words = ["add-member", "--email", "eve@example.org", "--role", "editor"];
    Shell::new(words).args(sales.stored.data_arguments()).run().stdout();
    let link = session.submit("/w/default/access/link", "email=eve%40example.org").expect(201).text();
    let code = link.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link");
    let nobody = Session::nobody(&sales.stored.server);
    nobody.submit("/link", &format!("code={code}&password=another+long+password")).expect(303);
    let eve = Session::of(&sales.stored.server, "eve@example.org", "another long password");
    for (who, offered) in [(&eve, false), (&session, true)] {
        let page = who.get("/w/default/connections/sales/edit").expect(200).text();
        assert_eq!(page.contains("test_first"), offered, "{page}");
    }
    let move_to = |database: &str| {
        let etag = sales.etag().replace('"', "%22");
        let own = ADMIN_PASSWORD.replace(' ', "+");
        let form = format!(
            "etag={etag}&name=sales&host=127.0.0.1&port={}&database={database}&username=anna&tls.mode=disable&keep%3Apassword=carry&own_password={own}&test_first=on",
            sales.cable.port()
        );
        session.submit("/w/default/connections/sales/edit", &form)
    };
    let events = || {
        let sql = "SELECT action, detail FROM audit_events WHERE action IN ('connection.carry_secret', 'connection.edit') ORDER BY at, action";
        sales.stored.events(sql).lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let tried = "connection.carry_secret|{\"test\":true,\"fields\":[\"database\"],\"secrets\":[\"password\"]}";
    let refused = move_to("absent");
    assert!(refused.expect(409).text().contains("did not pass its test"), "{}", refused.text());
    assert_eq!((sales.serves().0, events()), (2, vec![tried.to_owned()]));
    move_to("postgres").expect(303);
    assert_eq!(sales.serves(), (3, "first".to_owned()));
    let [first, second, carried, edited] = &events()[..] else { panic!("{:?}", events()) };
    assert_eq!([first, second], [tried, tried]);
    assert!(carried.contains("\"version\":3") && edited.starts_with("connection.edit|"), "{carried} {edited}");
}

/// Ten seconds are the most that anybody waits for a host that says nothing, and nobody else waits for it.
#[test]
fn a_test_that_hangs_ends_and_holds_up_nobody() {
    let sales = Sales::start(Engine::Sqlite);
    let open = OpenConnections::default();
    let silent = Silent::start(&open);
    let hangs = json!({"port": silent.port(), "password": "typed"});
    let begun = Instant::now();
    thread::scope(|both| {
        let refused = both.spawn(|| sales.change(&hangs, true));
        until("the test begins", || open.now() > 0);
        let meanwhile = Instant::now();
        sales.change(&json!({"description": "Orders"}), true).expect(200);
        sales.change(&json!({"extra": {"application_name": "nightly"}}), true).expect(200);
        assert!(meanwhile.elapsed() < Duration::from_secs(5), "{:?}", meanwhile.elapsed());
        refused.join().expect("no panic").refused(409, "test_failed");
    });
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!((sales.serves().0, open.now()), (3, 0));
}

/// More than there are places for at once: each is saved tested, or refused with the time to come again, and is as it was.
#[test]
fn of_twenty_changes_at_once_none_is_saved_untested() {
    let sales = Sales::start(Engine::Sqlite);
    let names: Vec<_> = (0..20).map(|number| format!("sales_{number}")).collect();
    for name in &names {
        sales.create(name);
    }
    let change = |name: &str| {
        let path = format!("/connections/{name}?test=true");
        sales.stored.admin("PATCH", &path).header("if-match", "*").json(&json!({"extra": {"application_name": "x"}})).send()
    };
    let answers = thread::scope(|all| {
        let sent: Vec<_> = names.iter().map(|name| all.spawn(move || change(name))).collect();
        sent.into_iter().map(|sent| sent.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut saved = 0;
    for (name, answer) in names.iter().zip(answers) {
        let shown = sales.stored.show(name).json();
        let tests = sales.stored.admin("GET", &format!("/connections/{name}/checks")).send().expect(200).json();
        let tests = tests["items"].as_array().expect("a list").len();
        if answer.status == 200 {
            saved += 1;
            assert_eq!((&shown["version"], tests), (&json!(2), 1), "{name}");
        } else {
            answer.refused(429, "too_many_requests");
            assert!(answer.header("retry-after").parse::<u32>().is_ok());
            assert_eq!((&shown["version"], tests), (&json!(1), 0), "{name}");
        }
    }
    println!(
        "promise: safe change: of 20 at once {saved} were saved, each after its test, and {} were told to come again",
        20 - saved
    );
    assert!(saved >= 4, "{saved}");
}

#[test]
fn where_no_tests_run_nothing_is_promised() {
    let stored = Stored::start_with(Engine::Sqlite, &["--no-tests"]);
    stored.create("sales", "before");
    let change =
        |change: &Value| stored.admin("PATCH", "/connections/sales?test=true").header("if-match", "*").json(change).send();
    change(&json!({"password": "after"})).refused(403, "tests_disabled");
    assert_eq!(change(&json!({"description": "Orders"})).expect(200).json()["version"], 2);
    let page = Session::start(&stored.server).get("/w/default/connections/sales/edit").expect(200).text();
    assert!(!page.contains("test_first"), "{page}");
    let home = Home::signed_in(&stored.server);
    let ran = home.run(&["connections", "edit", "sales", "--password-stdin"], "after");
    assert!(ran.status == Some(1) && ran.stderr.contains("--no-test"), "{}", ran.stderr);
    home.run(&["connections", "edit", "sales", "--password-stdin", "--no-test"], "after").stdout();
}

/// Who brings back a version of before a rotation is told why it fails, and what to do instead.
#[test]
fn an_older_version_whose_password_was_rotated_says_so() {
    let sales = Sales::start(Engine::Sqlite);
    sales.change(&json!({"description": "Orders"}), false).expect(200);
    let rotated = sales.stored.admin("POST", "/connections/sales/rotate").header("if-match", "*").send().expect(200).json();
    assert_eq!((&rotated["state"], &rotated["version"]), (&json!("rotated"), &json!(3)), "{rotated}");
    let refused = sales.restore(1, true).refused(409, "test_failed");
    let error = &refused["report"]["error"];
    let hint = error["hint"].as_str().expect("a hint");
    assert_eq!((&error["code"], &error["field"]), (&json!("credentials_refused"), &json!("password")), "{refused}");
    for words in [" UTC by version 3, and version 1 has the one of before", "edit the connection", "connections diff sales 3 1”"]
    {
        assert!(hint.contains(words), "{words}: {hint}");
    }
    let owner = Session::start(&sales.stored.server);
    let form = format!("etag={}&test_first=on", sales.etag().replace('"', "%22"));
    let page = owner.submit("/w/default/connections/sales/versions/1/restore", &form).expect(409).text();
    assert!(page.contains("by version 3, and version 1 has the one of before"), "{page}");
    // What is wrong with a version of the same password is another matter.
    sales.change(&json!({"password": "wrong"}), false).expect(200);
    sales.change(&json!({"database": "postgres", "password": "wrong"}), false).expect(200);
    let refused = sales.restore(4, true).refused(409, "test_failed");
    let hint = refused["report"]["error"]["hint"].as_str().expect("a hint").to_owned();
    assert!(hint.contains("by version 5, and version 4 has the one of before"), "{refused}");
    sales.change(&json!({"description": "the same"}), false).expect(200);
    let refused = sales.restore(5, true);
    assert!(refused.status == 200, "it changes nothing that clients connect with: {}", refused.text());
}

#[test]
fn the_form_and_the_shell_test_it_first() {
    let sales = Sales::start(Engine::Sqlite);
    let session = Session::start(&sales.stored.server);
    let page = session.get("/w/default/connections/sales/edit").expect(200).text();
    assert!(
        page.contains("name=\"test_first\" value=\"on\" checked") && page.contains("No workflow is known to use it."),
        "{page}"
    );
    let form = |password: &str, more: &str| {
        let (etag, port) = (sales.etag().replace('"', "%22"), sales.cable.port());
        let fields = "name=sales&host=127.0.0.1&database=sales&username=anna&tls.mode=disable";
        session
            .submit("/w/default/connections/sales/edit", &format!("etag={etag}&{fields}&port={port}&password={password}{more}"))
    };
    let refused = form("wrong", "&test_first=on");
    let text = refused.expect(409).text();
    assert!(text.contains("Nothing was saved") && text.contains("untick “Test before it serves”"), "{text}");
    assert!(text.contains("data-reported=\"{&#34;status&#34;:&#34;failed&#34;"), "{text}");
    assert!(!text.contains("wrong"), "a typed secret is in no answer");
    assert_eq!(sales.serves(), (1, "first".to_owned()));
    form("wrong", "").expect(303);
    assert_eq!(sales.serves(), (2, "wrong".to_owned()));

    // It fails for a workflow: the page says so, and offers what is not the same.
    let code = |method: &str| {
        let request = sales.stored.admin(method, "/connections/sales/credentials");
        request.header("dataflow-workflow", "kind=pipeline; name=\"nightly\"")
    };
    let held = code("GET").send().expect(200).header("etag").to_owned();
    code("GET").header("if-none-match", &held).header("dataflow-failed", "?1").send().expect(304);
    let failing = &sales.stored.show("sales").expect(200).json()["failing"];
    assert_eq!((&failing["workflows"], &failing["good_version"]), (&json!(1), &json!(1)), "{failing}");
    let page = session.get("/w/default/connections/sales").expect(200).text();
    assert!(
        page.contains("Version 2 fails for 1 workflow") && page.contains("/versions/1/restore\">Restore version 1"),
        "{page}"
    );
    let page = session.get("/w/default/connections/sales/edit").expect(200).text();
    assert!(page.contains("2 workflows use it, 2 of them now.") && page.contains("nightly"), "{page}");
    let dialog = "/w/default/connections/sales/versions/1/restore";
    let page = session.get(dialog).expect(200).text();
    assert!(page.contains("name=\"test_first\" value=\"on\" checked"), "{page}");
    let etag = sales.etag().replace('"', "%22");
    session.submit(dialog, &format!("etag={etag}&test_first=on")).expect(303);
    assert_eq!((sales.serves(), sales.tests()), ((3, "first".to_owned()), vec![(3, "ok".to_owned())]));
    let page = session.get("/w/default/connections/sales").expect(200).text();
    assert!(!page.contains("fails for"), "{page}");
    assert_eq!(sales.stored.show("sales").expect(200).json()["failing"], Value::Null);
    let etag = sales.etag().replace('"', "%22");
    let refused = session.submit("/w/default/connections/sales/versions/2/restore", &format!("etag={etag}&test_first=on"));
    assert!(refused.expect(409).text().contains("It did not pass its test."), "{}", refused.text());

    let home = Home::signed_in(&sales.stored.server);
    let edit = |words: &[&str], password: &str| {
        home.run(&[&["connections", "edit", "sales", "--password-stdin"], words].concat(), password)
    };
    let ran = edit(&[], "another");
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("refused the password") && ran.stderr.contains("--no-test"), "{}", ran.stderr);
    assert_eq!(sales.serves().0, 3);
    edit(&["--no-test"], "another").stdout();
    assert_eq!(sales.serves(), (4, "another".to_owned()));
    let restore = |words: &[&str]| home.run(&[&["connections", "restore", "sales", "--version"], words].concat(), "");
    assert!(restore(&["2"]).stderr.contains("did not pass its test"));
    restore(&["3"]).stdout();
    restore(&["2", "--no-test"]).stdout();
    assert_eq!(sales.serves(), (6, "wrong".to_owned()));
}

//! Every kind of secret that there is, planted in a server at its most talkative, and searched for in all that it says and leaves
//! behind: answers, headers, pages, metrics, logs, the store, files, and what `/proc` shows of it and its children. On both stores.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{fs, path::PathBuf, thread, time::Duration};

use dataflow_tests::{
    binary::dataflow_bin,
    folder::TempDir,
    http::{Answer, Request},
    planted::Planted,
    port::Port,
    postgres::{Postgres, PostgresOptions},
    process::{Process, Spawn, Stop},
    scripted::Scripted,
    shell::{Ran, Shell},
    stored::{Engine, sample},
    tls::Authority,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rstest::rstest;
use serde_json::{Value, json};

const ADMIN: &str = "admin@example.org";
const CONNECTIONS: &str = "/api/v1/workspaces/default/connections";

/// A server from its first start on, and all that was said to it in secret.
struct Walk {
    planted: Planted,
    // Ends before the folder that it writes to, and before its database.
    server: Process,
    port: Port,
    postgres: Option<Postgres>,
    store: Vec<String>,
    folder: TempDir,
    cookie: String,
    token: String,
}

/// One with every byte that somebody could forget to escape.
fn secret(what: &str) -> String {
    format!("Pl4nted \"{what}\" <&'\\%41+> {what}")
}

impl Walk {
    fn start(engine: Engine) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let mut planted = Planted::default();
        let mut store = vec!["--data".to_owned(), folder.join("data").display().to_string()];
        let postgres = (engine == Engine::Postgres).then(|| {
            let postgres = Postgres::start(&PostgresOptions::default());
            let password = secret("the store's own password");
            planted.plant("the password of the store's URL", &password, &[]);
            postgres.create_role("keeper", &password);
            postgres.create_database("kept", "keeper");
            let password = utf8_percent_encode(&password, NON_ALPHANUMERIC);
            let url = format!("postgres://keeper:{password}@127.0.0.1:{}/kept", postgres.port());
            store.extend(["--database-url-file".to_owned(), folder.write_private("url", &url).display().to_string()]);
            postgres
        });
        let mut server = Spawn::new(dataflow_bin(), Stop::Terminate)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number())])
            .args(&store)
            .variable("RUST_LOG", "trace")
            .start(&folder.join("log"));
        server.wait_until("`dataflow serve`", |server| server.log().contains("/link/"));
        Self { planted, server, port, postgres, store, folder, cookie: String::new(), token: String::new() }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Sends it, and searches the answer with its headers.
    fn send(&mut self, place: &str, request: &Request, status: u16) -> Answer {
        let answer = request.send();
        let head = format!("{:?}\n", answer.headers);
        self.planted.search(place, &[head.as_bytes(), &answer.body].concat());
        assert_eq!(answer.status, status, "{place}: {}", answer.text());
        answer
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.port.number(), method, path)
    }

    fn api(&mut self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Answer {
        let request = self.request(method, path).token(&self.token).header("if-match", "*");
        let request = body.map_or(request.clone(), |body| request.json(body));
        self.send(&format!("{method} {path}"), &request, status)
    }

    fn page(&mut self, path: &str) -> Answer {
        let request = self.request("GET", path).header("cookie", &self.cookie).header("accept", "text/html");
        self.send(&format!("page {path}"), &request, 200)
    }

    fn form(&mut self, path: &str, fields: &[(&str, &str)], status: u16) -> Answer {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let request = self.request("POST", path).header("origin", "http://127.0.0.1").header("cookie", &self.cookie);
        let request = request.body("application/x-www-form-urlencoded", pairs.join("&"));
        self.send(&format!("form {path}"), &request, status)
    }

    fn shell(&mut self, words: &[&str], input: &str) -> Ran {
        let place = format!("shell {}", words[..2].join(" "));
        let home = self.folder.path().to_owned();
        let ran = Shell::new(words).variable("HOME", home).variable("RUST_LOG", "trace").input(input).run();
        self.planted.search(&place, format!("{}\n{}", ran.stdout, ran.stderr).as_bytes());
        ran
    }

    /// A command on the server's machine, beside the running server.
    fn beside(&mut self, words: &[&str], input: &str) -> String {
        let store = self.store.clone();
        let words: Vec<&str> = words.iter().copied().chain(store.iter().map(String::as_str)).collect();
        self.shell(&words, input).stdout().to_owned()
    }
}

/// What stands between `before` and the next of `ends` in a text.
fn between<'a>(text: &'a str, before: &str, ends: &[char]) -> &'a str {
    text.split_once(before).and_then(|(_, rest)| rest.split(ends).next()).unwrap_or_else(|| panic!("no {before} in {text}"))
}

fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().expect("a cookie").to_owned()
}

/// The value of a cookie.
fn value(cookie: &str) -> &str {
    cookie.split_once('=').expect("a name and a value").1
}

fn set_up(walk: &mut Walk) {
    let log = walk.server.log();
    let code = between(&log, "/link/", &['\n', ' ', '"']).to_owned();
    walk.planted.plant("the set-up link", &code, &["the log", "page /link", "page /link/CODE"]);
    let look = walk.request("GET", &format!("/link/{code}"));
    walk.send("page /link/CODE", &look, 200);
    let password = secret("the first admin's password");
    walk.planted.plant("the first admin's password", &password, &[]);
    let done = walk.request("POST", "/link").header("origin", "http://127.0.0.1").body(
        "application/x-www-form-urlencoded",
        format!("code={code}&email={ADMIN}&password={}", utf8_percent_encode(&password, NON_ALPHANUMERIC)),
    );
    let done = done.send();
    let recovery = between(&done.expect(200).text(), "id=\"recovery-key\">", &['<']).to_owned();
    walk.planted.plant("the recovery key", &recovery, &[]);
    walk.cookie = cookie(&done);
    walk.planted.plant("the cookie of the first session", value(&walk.cookie), &[]);
    let key_file = fs::read_to_string(walk.data().with_extension("key")).expect("it lies beside the folder");
    walk.planted.plant("the key of the key file", key_file.split(':').max_by_key(|part| part.len()).expect("its digits"), &[]);
    let wrong = secret("a mistyped password");
    walk.planted.plant("a mistyped password", &wrong, &[]);
    walk.form("/sign-in", &[("email", ADMIN), ("password", &wrong)], 401);
    let signed_in = walk.request("POST", "/sign-in").header("origin", "http://127.0.0.1").body(
        "application/x-www-form-urlencoded",
        format!("email={ADMIN}&password={}", utf8_percent_encode(&password, NON_ALPHANUMERIC)),
    );
    let again = cookie(signed_in.send().expect(303));
    walk.planted.plant("the cookie of another session", value(&again), &[]);
}

fn tokens_and_people(walk: &mut Walk) {
    walk.token = walk.beside(&["token", "create", "--role", "admin", "--role", "user", "--name", "shell"], "");
    walk.planted.plant("a token made in a shell", &walk.token.clone(), &[]);
    let by_api = walk.api("POST", "/api/v1/workspaces/default/tokens", Some(&json!({"name": "api", "roles": ["user"]})), 201);
    walk.planted.plant("a token made by the API", by_api.json()["token"].as_str().expect("a token"), &[]);
    let shown = walk.form("/w/default/tokens", &[("name", "studio"), ("role", "user"), ("days", "30")], 201).text();
    walk.planted.plant("a token made in the Studio", &format!("dfc_{}", between(&shown, "dfc_", &['<', '"', ' '])), &[]);
    let revoked = walk.beside(&["token", "create", "--role", "viewer", "--name", "revoked"], "");
    walk.planted.plant("a token that was revoked", &revoked, &[]);
    let listed = walk.api("GET", "/api/v1/workspaces/default/tokens", None, 200).json();
    let id = listed["items"].as_array().into_iter().flatten().find(|token| token["name"] == "revoked");
    let id = id.and_then(|token| token["id"].as_str()).expect("it is listed").to_owned();
    walk.beside(&["token", "revoke", &id], "");
    walk.send("a revoked token", &walk.request("GET", CONNECTIONS).token(&revoked), 401);
    let unknown = format!("dfc_user_{}", "q7".repeat(22));
    walk.planted.plant("a token that nobody made", &unknown, &[]);
    walk.send("an unknown token", &walk.request("GET", CONNECTIONS).token(&unknown), 401);

    let link = walk.beside(&["add-member", "--email", "ada@example.org", "--role", "user"], "");
    let code = link.rsplit('/').next().expect("an address").to_owned();
    walk.planted.plant("the link of an invitation", &code, &[]);
    let password = secret("a second person's password");
    walk.planted.plant("a second person's password", &password, &[]);
    let own = std::mem::take(&mut walk.cookie);
    walk.form("/link", &[("code", &code), ("password", &password)], 303);
    walk.cookie = own;
    let link = walk.beside(&["sign-in-link", "--email", "ada@example.org"], "");
    walk.planted.plant("a link that signs in", link.rsplit('/').next().expect("an address"), &[]);
}

/// On the database that there is, beside the store.
fn a_rotation(walk: &mut Walk, body: &Value, rotated: &str) {
    if let Some(port) = walk.postgres.as_ref().map(|postgres| {
        postgres.create_role("rotating", rotated);
        postgres.port()
    }) {
        let mut real = body.clone();
        (real["name"], real["port"], real["username"], real["database"]) =
            (json!("real"), json!(port), json!("rotating"), json!("kept"));
        real["password"] = json!(rotated);
        walk.api("POST", CONNECTIONS, Some(&real), 201);
        let answer = walk.api("POST", &format!("{CONNECTIONS}/real/rotate"), None, 200);
        assert_eq!(answer.json()["state"], "rotated", "{}", answer.text());
        let resolved = walk.request("GET", &format!("{CONNECTIONS}/real/credentials")).token(&walk.token);
        let made = resolved.send().expect(200).json()["fields"]["password"].as_str().expect("a password").to_owned();
        assert!(!answer.text().contains(&made));
        walk.planted.plant("a password that a rotation made", &made, &["the credentials"]);
        walk.page("/w/default/connections/real/rotate");
        a_second_login(walk);
    }
}

/// Given, switched over to, and retired.
fn a_second_login(walk: &mut Walk) {
    let given = secret("a second login's password");
    walk.planted.plant("a second login's password", &given, &[]);
    walk.postgres.as_ref().expect("it was there").create_role("second", &given);
    let body = json!({"username": "second", "password": given});
    walk.api("PUT", &format!("{CONNECTIONS}/real/second-login"), Some(&body), 200);
    let answer = walk.api("POST", &format!("{CONNECTIONS}/real/rotate"), None, 200);
    assert_eq!(answer.json()["retires"], "rotating", "{}", answer.text());
    walk.page("/w/default/connections/real/second-login");
    let retired = walk.api("POST", &format!("{CONNECTIONS}/real/second-login/retire?anyway=true"), None, 200);
    assert_eq!(retired.json()["retired"], true, "{}", retired.text());
    let resolved = walk.request("GET", &format!("{CONNECTIONS}/real/credentials")).token(&walk.token);
    let made = resolved.send().expect(200).json()["fields"]["password"].as_str().expect("a password").to_owned();
    walk.planted.plant("a password that a switch made", &made, &["the credentials"]);
}

fn connections(walk: &mut Walk) {
    let plant = |walk: &mut Walk, what: &'static str| {
        let text = secret(what);
        walk.planted.plant(what, &text, &["the credentials"]);
        text
    };
    let password = plant(walk, "a connection's password");
    // One that repeats what it is told, as a hostile server may.
    let echo = {
        let said = format!("wrong password: {password}");
        Scripted::start(move |peer| {
            let [.., length] = peer.receive::<4>()?;
            peer.fill(&mut vec![0; usize::from(length) - 4])?;
            let body = format!("SFATAL\0CXX000\0M{said}\0\0");
            let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
            peer.send(&[b"E", length.as_slice(), body.as_bytes()].concat())
        })
    };
    let mut body = sample("sales", &password);
    (body["host"], body["port"], body["tls"]) = (json!("127.0.0.1"), json!(echo.port()), json!({"mode": "disable"}));
    let key = plant(walk, "an idempotency key").replace(['"', '<', '&', '\\', '>', '\''], "-");
    walk.planted.plant("an idempotency key, as it can be sent", &key, &[]);
    let create = walk.request("POST", CONNECTIONS).token(&walk.token).header("idempotency-key", &key).json(&body);
    walk.send("create", &create, 201);
    walk.send("create again", &create, 201);
    walk.api("POST", &format!("{CONNECTIONS}/sales/test"), None, 200);
    let streamed = walk.request("POST", &format!("{CONNECTIONS}/sales/test")).token(&walk.token);
    walk.send("streamed test", &streamed.header("accept", "text/event-stream"), 200);
    let unsaved = plant(walk, "a password of a test without a connection");
    let mut other = body.clone();
    (other["password"], other["port"]) = (json!(unsaved), json!(1));
    walk.api("POST", &format!("{CONNECTIONS}/test"), Some(&other), 200);

    let rotated = plant(walk, "a password that replaced another");
    let client = Authority::new().client("analytics");
    let line = client.key.lines().nth(1).expect("PEM");
    walk.planted.plant("a client's private key", line, &["the credentials"]);
    let tls = json!({"mode": "verify-full", "cert": client.certificates, "key": client.key});
    walk.api("PATCH", &format!("{CONNECTIONS}/sales"), Some(&json!({"password": rotated, "tls": tls})), 200);
    let resolved = walk.request("GET", &format!("{CONNECTIONS}/sales/credentials")).token(&walk.token);
    let fields = walk.send("the credentials", &resolved, 200).json()["fields"].clone();
    assert_eq!((&fields["password"], &fields["tls"]["key"]), (&json!(rotated), &json!(client.key)));

    for path in ["", "/1", "/2/diff", "/1/diff?from=2"] {
        walk.api("GET", &format!("{CONNECTIONS}/sales/versions{path}"), None, 200);
    }
    for path in ["", "?from=1&to=2", "/1/restore", "/1/purge"] {
        walk.page(&format!("/w/default/connections/sales/versions{path}"));
    }
    for number in [1, 2] {
        walk.api("POST", &format!("{CONNECTIONS}/sales/versions/{number}/restore"), None, 200);
    }
    walk.api("DELETE", &format!("{CONNECTIONS}/sales/versions/3"), None, 204);

    a_rotation(walk, &body, &rotated);
    let misplaced = plant(walk, "a secret in the wrong field");
    for change in [
        json!({"port": misplaced}),
        json!({"tls": {"mode": misplaced}}),
        json!({"type": misplaced}),
        json!({"colour": misplaced}),
    ] {
        walk.api("PATCH", &format!("{CONNECTIONS}/sales"), Some(&change), 422);
    }
    let broken =
        walk.request("POST", CONNECTIONS).token(&walk.token).body("application/json", format!("{{\"host\": {misplaced} oops"));
    walk.send("broken", &broken, 400);
    walk.send(
        "in an address",
        &walk.request("GET", &format!("{CONNECTIONS}/{}", utf8_percent_encode(&misplaced, NON_ALPHANUMERIC))).token(&walk.token),
        404,
    );

    let typed = plant(walk, "a password typed in the Studio");
    let fields = [
        ("name", "crm"),
        ("host", "127.0.0.1"),
        ("port", "1"),
        ("username", "u"),
        ("password", typed.as_str()),
        ("tls.mode", "disable"),
    ];
    walk.form("/w/default/new/mysql/test", &fields, 200);
    walk.form("/w/default/new/mysql", &[fields.as_slice(), &[("extra.connect_timeout", "soon")]].concat(), 422);
    walk.form("/w/default/new/mysql", &fields, 303);
    let pasted = plant(walk, "a password in a URL that was pasted");
    let url = format!("postgresql://u:{}@127.0.0.1/d", utf8_percent_encode(&pasted, NON_ALPHANUMERIC));
    walk.form("/w/default/paste", &[("pasted", &url)], 200);

    let piped = plant(walk, "a password piped to a shell");
    let address = format!("http://127.0.0.1:{}", walk.port.number());
    let token = walk.token.clone();
    walk.shell(&["login", "--url", &address, "--token-stdin"], &token).stdout();
    let create = ["connections", "create", "ledger", "--type", "postgres", "--set", "host=127.0.0.1", "--set", "port=1"];
    let create = [create.as_slice(), &["--set", "username=u", "--password-stdin"]].concat();
    walk.shell(&create, &piped).stdout();
    walk.shell(&["connections", "create", "refused", "--type", "postgres", "--password-stdin"], &piped).failure();
    for words in [
        ["connections", "list"].as_slice(),
        &["connections", "show", "ledger"],
        &["connections", "test", "ledger"],
        &["connections", "versions", "sales"],
        &["connections", "diff", "sales", "1", "2"],
    ] {
        walk.shell(words, "");
    }
}

fn look_everywhere(walk: &mut Walk) {
    for path in [
        "/connections",
        "/connections/sales",
        "/connections/sales/checks",
        "/tokens",
        "/members",
        "/activity",
        "/activity/export",
    ] {
        walk.api("GET", &format!("/api/v1/workspaces/default{path}"), None, 200);
    }
    for path in ["/api/v1/types", "/api/v1/openapi.json", "/metrics", "/healthz", "/readyz"] {
        walk.api("GET", path, None, 200);
    }
    let below =
        ["connections", "connections/sales", "connections/sales/edit", "connections/sales/duplicate", "connections/crm/edit"];
    for path in
        [&below[..], &["connections/sales/delete", "new", "new/postgres", "tokens", "access", "groups", "activity"]].concat()
    {
        walk.page(&format!("/w/default/{path}"));
    }
    for path in ["/account", "/workspaces", "/sign-in"] {
        walk.page(path);
    }
    walk.api("DELETE", &format!("{CONNECTIONS}/crm"), None, 204);
    walk.page("/w/default/connections");

    let mut processes = vec![walk.server.id().to_string()];
    let children = fs::read_dir(format!("/proc/{}/task", walk.server.id())).expect("it runs").flatten();
    let children = children.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    processes.extend(children.flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()));
    assert!(processes.len() > 1, "a child waits for the next test");
    for process in processes {
        for file in ["cmdline", "environ", "status"] {
            // What is not dumpable hides its environment from all but root.
            let bytes = fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
            walk.planted.search(&format!("/proc/PID/{file}"), &bytes);
        }
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "a crash leaves no memory behind: {limits}");
    }
}

/// What is left once it has ended.
fn look_behind(walk: &mut Walk) {
    // What is written behind an answer.
    thread::sleep(Duration::from_secs(1));
    walk.server.stop();
    let log = walk.server.log();
    assert!(log.contains("DEBUG") && log.contains("TRACE"), "it was at its most talkative");
    walk.planted.search("the log", log.as_bytes());
    let data = walk.data();
    walk.planted.search_files(&data);
    if let Some(postgres) = &walk.postgres {
        let tables = postgres.psql_in("kept", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let rows: Vec<_> =
            tables.lines().map(|table| postgres.psql_in("kept", &format!("SELECT kept::text FROM {table} AS kept"))).collect();
        assert!(rows.iter().any(|rows| rows.contains("sales")), "the store is read");
        walk.planted.search("the tables of the store", rows.join("\n").as_bytes());
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_secret_comes_to_light(#[case] engine: Engine) {
    let mut walk = Walk::start(engine);
    set_up(&mut walk);
    tokens_and_people(&mut walk);
    connections(&mut walk);
    look_everywhere(&mut walk);
    look_behind(&mut walk);
    assert!(walk.planted.count() >= 20);
    println!("promise: planted secrets: {} in {} places ({engine:?}): 0 found", walk.planted.count(), walk.planted.searched());
}

//! The binary at a shell: data on standard output, messages on standard error, and no secret in an argument.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use dataflow_tests::{
    folder::TempDir,
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    shell::{Ran, Shell},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

fn says(ran: &Ran, parts: &[&str]) {
    let text = ran.failure();
    for part in parts {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn serve(folder: &TempDir) -> Shell {
    Shell::new(["serve", "--data"]).arg(folder.join("data"))
}

#[test]
fn serve_refuses_what_it_cannot_do_in_one_clear_sentence() {
    let folder = TempDir::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        says(
            &serve(&folder).args(["--listen", address]).run(),
            &[address, "in the clear", "--tls-cert", "--public-url https://"],
        );
    }
    says(&serve(&folder).args(["--listen", "0.0.0.0:0", "--public-url", "http://df.example.org"]).run(), &["in the clear"]);
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("bound");
    let busy = format!("Port {} on 127.0.0.1 is taken by another program", address.port());
    says(&serve(&folder).args(["--listen", &address.to_string()]).run(), &[&busy, "--listen"]);
    says(
        &serve(&folder).args(["--listen", "127.0.0.1:0", "--tls-cert", "/absent.pem", "--tls-key", "/absent.key"]).run(),
        &["/absent."],
    );
    says(&serve(&folder).args(["--listen", "127.0.0.1:0", "--database-url", "mysql://x"]).run(), &["postgres://"]);
    says(&serve(&folder).args(["--listen", "nonsense"]).run(), &["nonsense"]);
    assert!(!folder.join("data").join("store.db").exists() && !folder.join("data.key").exists(), "a refusal makes nothing");
}

#[test]
fn one_folder_has_one_server_and_one_key() {
    let mut stored = Stored::start(Engine::Sqlite);
    let data = stored.server.data();
    let folder = data.display().to_string();
    let again = Shell::new(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    says(&again.run(), &["Another server runs on the data folder", &folder]);
    stored.server.process().stop();

    let (key, kept) = (data.with_extension("key"), data.with_extension("kept"));
    let text = fs::read_to_string(&key).expect("the key file");
    assert_eq!(fs::metadata(&key).expect("there").permissions().mode() & 0o777, 0o600);
    fs::rename(&key, &kept).expect("own folder");
    says(&again.run(), &[&key.display().to_string(), "not there", "--key-file", "dataflow recover"]);
    assert!(!key.exists(), "no new key over existing ciphertext");
    // Another store's key, a bent one, one that others can read, none at all.
    let other = Stored::start(Engine::Sqlite);
    let foreign = other.server.data().with_extension("key");
    says(
        &Shell::new(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data).arg("--key-file").arg(&foreign).run(),
        &[&foreign.display().to_string(), "another key"],
    );
    for (content, mode, problem) in
        [(text.replacen(':', ":0", 2), 0o600, "damaged"), (text.clone(), 0o644, "chmod 600"), (String::new(), 0o600, "damaged")]
    {
        fs::write(&key, content).expect("own folder");
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("own file");
        let ran = again.run();
        says(&ran, &[&key.display().to_string(), problem]);
        assert!(!ran.stderr.contains(text.trim()), "the key is in the message");
    }
    fs::remove_file(&key).expect("own file");
    fs::rename(&kept, &key).expect("own folder");
    stored.server.restart();
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn tokens_and_set_up_beside_a_server_and_without_one(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    let data = stored.data_arguments();
    let run = |words: &[&str], input: &str| Shell::new(words).args(&data).input(input).run();
    for running in [true, false] {
        if !running {
            stored.server.process().stop();
        }
        let name = if running { "beside" } else { "alone" };
        let token = run(&["token", "create", "--role", "user", "--role", "editor", "--name", name, "--days", "7"], "")
            .stdout()
            .to_owned();
        assert!(token.starts_with("dfc_") && !token.contains(char::is_whitespace), "one token, alone: {token}");
        let list = run(&["token", "list", "--output", "json"], "");
        let list: Value = serde_json::from_str(list.stdout()).expect("JSON alone");
        let line = list.as_array().and_then(|tokens| tokens.iter().find(|token| token["name"] == name)).expect("listed").clone();
        assert_eq!(
            (&line["roles"], &line["state"], &line["created_by"]),
            (&json!("user,editor"), &json!("live"), &json!("shell"))
        );
        assert!(!list.to_string().contains(&token), "a token is shown once");
        let table = run(&["token", "list"], "");
        assert!(table.stdout().contains("STATE") && table.stdout().contains(name), "{}", table.stdout);
        let id = line["id"].as_str().expect("an id");
        let revoked = run(&["token", "revoke", id], "");
        assert_eq!((revoked.stdout(), revoked.stderr.trim()), ("", "Revoked."));
        says(&run(&["token", "revoke", id], ""), &["no such token"]);
        let list: Value = serde_json::from_str(run(&["token", "list", "--output", "json"], "").stdout()).expect("JSON");
        assert!(
            list.as_array().is_some_and(|tokens| tokens.iter().any(|token| token["id"] == id && token["state"] == "revoked"))
        );

        says(&run(&["token", "create", "--role", "user", "--name", "admin"], ""), &["taken"]);
        says(&run(&["token", "create", "--role", "user", "--name", "x", "--workspace", "absent"], ""), &["no such workspace"]);
        says(&run(&["token", "create", "--role", "user", "--name", "x", "--days", "367"], ""), &["expires_in_days", "366"]);
        says(&run(&["token", "create", "--role", "owner", "--name", "x"], ""), &["owner", "admin"]);
        says(&run(&["setup", "--email", "eve@example.org", "--password-stdin"], ADMIN_PASSWORD), &["is set up already"]);
        let link = run(&["sign-in-link", "--email", ADMIN_EMAIL, "--url", "https://df.example.org/"], "");
        assert!(link.stdout().starts_with("https://df.example.org/link/dfc_"), "{}", link.stdout);
        says(&run(&["sign-in-link", "--email", "nobody@example.org"], ""), &["no such person"]);
    }
    assert_eq!(stored.sql("SELECT count(*) FROM people"), "1");
}

#[test]
fn set_up_refuses_a_weak_password_and_prints_the_recovery_key_alone() {
    let folder = TempDir::new();
    let setup = |email: &str, password: &str| {
        Shell::new(["setup", "--password-stdin", "--email", email, "--data"]).arg(folder.join("data")).input(password).run()
    };
    says(&setup("ada@example.org", "short"), &["password", "10"]);
    says(&setup("nobody", ADMIN_PASSWORD), &["email"]);
    let done = setup("ada@example.org", ADMIN_PASSWORD);
    assert_eq!((done.stdout().len(), done.stdout().lines().count()), (14 * 5 - 1, 1), "{}", done.stdout);
    assert!(done.stderr.contains("shown this once") && !done.stderr.contains(done.stdout()), "{}", done.stderr);
}

/// A shell of somebody who signed in.
struct Home(TempDir);

impl Home {
    fn run(&self, words: &[&str], input: &str) -> Ran {
        Shell::new(words).variable("HOME", self.0.path()).input(input).run()
    }
}

#[test]
fn sign_in_is_kept_for_this_user_alone() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home(TempDir::new());
    says(&home.run(&["connections", "list"], ""), &["dataflow login"]);
    let url = stored.server.url();
    for bad in ["nonsense", "dfc_admin_00000000000000000000000000000000000000000000000000"] {
        let ran = home.run(&["login", "--url", &url, "--token-stdin"], bad);
        says(&ran, &["refused the token"]);
        assert!(!ran.stderr.contains(bad), "{}", ran.stderr);
    }
    says(&home.run(&["login", "--url", &url, "--workspace", "absent", "--token-stdin"], &stored.admin), &["absent"]);
    let done = home.run(&["login", "--url", &url, "--token-stdin"], &stored.admin);
    assert_eq!(done.stdout(), "");
    assert!(!done.stderr.contains(&stored.admin), "{}", done.stderr);
    let files: Vec<_> = done.stderr.split_whitespace().filter_map(|word| word.strip_prefix('/')).collect();
    let file = format!("/{}", files.last().expect("the message names the file").trim_end_matches('.'));
    let kept = fs::metadata(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).expect("own file").contains(&stored.admin));
    let folder = std::path::Path::new(&file).parent().expect("in a folder");
    assert_eq!(fs::metadata(folder).expect("there").permissions().mode() & 0o077, 0, "others may not look into the folder");
    home.run(&["login", "--url", &url, "--token-stdin"], &stored.admin).stdout();
    // A token that others could read is not used.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("own file");
    says(&home.run(&["connections", "list"], ""), &[&file, "other users can read it", "chmod 600"]);
}

#[test]
fn connections_in_a_shell() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home(TempDir::new());
    home.run(&["login", "--url", &stored.server.url(), "--token-stdin"], &stored.admin).stdout();
    let run = |words: &[&str], input: &str| home.run(&[&["connections"], words].concat(), input);
    let json = |ran: &Ran| serde_json::from_str::<Value>(ran.stdout()).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout));

    let empty = run(&["list"], "");
    assert_eq!(empty.stdout(), "");
    assert!(empty.stderr.contains("dataflow connections create"), "{}", empty.stderr);
    assert_eq!(json(&run(&["list", "--output", "json"], "")), json!([]));

    let create =
        ["create", "sales", "--type", "postgres", "--set", "host=db.example.org", "--set", "port=5433", "--set", "username=u"];
    let more =
        ["--set", "tls.mode=verify-ca", "--tag", "finance", "--description", "Sales", "--password-stdin", "--output", "json"];
    let made = run(&[create.as_slice(), &more].concat(), "hunter2\n");
    let body = json(&made);
    assert_eq!(
        (&body["port"], &body["tls"]["mode"], &body["password"]),
        (&json!(5433), &json!("verify-ca"), &json!({"set": true}))
    );
    assert!(made.stderr.contains("Dataflow().connection(\"sales\")"), "{}", made.stderr);
    assert_eq!(stored.credentials("sales").json()["fields"]["password"], "hunter2");
    says(&run(&[create.as_slice(), &["--password-stdin"]].concat(), "x"), &["“sales” is taken"]);

    for argument in ["password=hunter2", "tls.key=hunter2"] {
        let ran = run(&["create", "leaky", "--type", "postgres", "--set", argument], "");
        says(&ran, &["is a secret", "--password-stdin"]);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    says(&run(&["create", "x", "--type", "postgres", "--set", "host=a b"], ""), &["host must be", "username is needed"]);
    says(&run(&["create", "x", "--type", "oracle9"], ""), &["oracle9", "dataflow types"]);

    let shown = run(&["show", "sales"], "");
    assert!(shown.stdout().contains("(set)") && !shown.stdout().contains("hunter2"), "{}", shown.stdout);
    assert_eq!(json(&run(&["show", "sales", "--output", "json"], ""))["name"], "sales");
    says(&run(&["show", "Sales"], ""), &["no such connection"]);
    let edited = run(
        &["edit", "sales", "--description", "All sales", "--clear", "tls.mode", "--password-stdin", "--output", "json"],
        "new",
    );
    assert_eq!((&json(&edited)["description"], &json(&edited)["tls"]["mode"]), (&json!("All sales"), &json!("verify-full")));
    says(&run(&["edit", "sales", "--set", "host=elsewhere"], ""), &["stored secret elsewhere", "password must be typed again"]);
    let list = run(&["list", "--search", "all", "--tag", "finance", "--type", "postgres", "--status", "untested"], "");
    assert!(list.stdout().contains("sales") && list.stdout().contains("db.example.org:5433"), "{}", list.stdout);
    assert_eq!(json(&run(&["list", "--search", "none", "--output", "json"], "")), json!([]));

    says(&run(&["delete", "sales"], ""), &["--yes", "sales"]);
    assert_eq!(run(&["delete", "sales", "--yes", "--reason", "moved"], "").stdout(), "");
    says(&run(&["show", "sales"], ""), &["was deleted by token admin", "same name"]);

    // The types come from the binary itself.
    let types = json(&home.run(&["types", "--output", "json"], ""));
    assert!(types.to_string().contains("postgres"), "{types}");
    assert!(home.run(&["types", "mysql"], "").stdout().contains("port"));
    says(&home.run(&["types", "oracle9"], ""), &["oracle9"]);
}

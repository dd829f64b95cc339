//! The binary at a shell: data on standard output, messages on standard error, and no secret in an argument.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use dataflow_tests::{
    folder::TempDir,
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    shell::{Home, Ran, Shell, says},
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

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
    fs::write(folder.join("file"), "").expect("own folder");
    for (name, problem) in [("absent", "There is no folder"), ("file", "is a file")] {
        let path = folder.join(name).display().to_string();
        says(
            &serve(&folder).args(["--listen", "127.0.0.1:0", "--sqlite-folder", &path]).run(),
            &[problem, &path, "--sqlite-folder"],
        );
    }
    assert!(!folder.join("data").join("store.db").exists() && !folder.join("data.key").exists(), "a refusal makes nothing");
}

#[test]
fn a_reader_that_has_gone_is_no_failure_to_speak_of() {
    const SIGPIPE: i32 = 128 + 13;
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::default();
    home.run(&["login", "--url", &stored.server.url(), "--token-stdin"], &stored.admin).stdout();
    stored.create("sales", "secret");
    let data = stored.data_arguments();
    let mut commands: Vec<_> = [
        &["connections", "list"][..],
        &["connections", "list", "--output", "json"],
        &["connections", "show", "sales"],
        &["types"],
        &["types", "postgres", "--output", "json"],
    ]
    .into_iter()
    .map(|words| Shell::new(words).variable("HOME", home.path()))
    .collect();
    for words in [&["token", "create", "--role", "user", "--name", "x"][..], &["token", "list"], &["workspace", "list"]] {
        commands.push(Shell::new(words).args(&data));
    }
    for command in commands {
        let ran = command.run_unread();
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(SIGPIPE), ""), "{command:?}");
    }
    for help in [&["--help"][..], &["--version"], &["connections", "--help"]] {
        assert_eq!(Shell::new(help).run_unread().stderr, "", "{help:?}");
    }
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
    let socket = std::fs::metadata(stored.server.data().join("admin.sock")).expect("it listens");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&socket.permissions()) & 0o777, 0o600, "other users cannot open it");
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
        let link = run(&["sign-in-link", "--new-password", "--email", ADMIN_EMAIL, "--url", "https://df.example.org"], "");
        assert!(link.stdout().starts_with("https://df.example.org/link/dfc_password_"), "{}", link.stdout);
        for command in [&["sign-in-link"][..], &["sign-in-link", "--new-password"]] {
            says(&run(&[command, &["--email", "nobody@example.org"]].concat(), ""), &["no such person"]);
        }
        let email = format!("{name}@example.org");
        let add = ["add-member", "--email", &email, "--role", "viewer", "--url", "https://df.example.org"];
        assert!(run(&add, "").stdout().starts_with("https://df.example.org/link/dfc_password_"));
        let again = run(&add, "");
        assert_eq!((again.stdout(), again.stderr.trim()), ("", "Done. The account was there already; its password stays."));
        says(&run(&["add-member", "--email", "nobody", "--role", "viewer"], ""), &["e-mail address"]);
        if name == "beside" {
            stored.admin("POST", &format!("/members/{email}/disable")).send().expect(204);
        }
        let enabled = run(&["enable-person", "--email", &email], "");
        assert_eq!(enabled.stdout(), "");
        assert!(enabled.stderr.starts_with("Enabled. "), "{}", enabled.stderr);
        assert_eq!(stored.sql("SELECT count(*) FROM people WHERE disabled_at IS NOT NULL"), "0");
        says(&run(&["enable-person", "--email", "nobody@example.org"], ""), &["no such person"]);
    }
    assert_eq!(stored.sql("SELECT count(*) FROM people"), "3");
}

#[test]
fn workspaces_beside_a_server_and_without_one() {
    let mut stored = Stored::start(Engine::Sqlite);
    let data = stored.data_arguments();
    let run = |words: &[&str]| Shell::new(words).args(&data).run();
    for (running, name) in [(true, "beside"), (false, "alone")] {
        if !running {
            stored.server.process().stop();
        }
        let made = run(&["workspace", "create", name]);
        assert_eq!((made.stdout(), made.stderr.trim()), ("", "The workspace is made."));
        says(&run(&["workspace", "create", name]), &[name, "taken"]);
        says(&run(&["workspace", "create", "no spaces"]), &["name"]);
        assert!(run(&["token", "create", "--role", "user", "--name", name, "--workspace", name]).succeeded);
    }
    let listed = run(&["workspace", "list", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(listed.stdout()).expect("JSON alone"), json!(["alone", "beside", "default"]));
    assert_eq!(
        run(&["workspace", "list"]).stdout().split_whitespace().collect::<Vec<_>>(),
        ["NAME", "alone", "beside", "default"]
    );
    says(&run(&["workspace", "delete", "absent", "--yes"]), &["no such workspace"]);
    says(&run(&["workspace", "delete", "alone"]), &["Nobody can be asked here", "--yes"]);
    for (running, name) in [(false, "alone"), (true, "beside")] {
        if running {
            stored.server.restart();
        }
        let deleted = run(&["workspace", "delete", name, "--yes"]);
        assert_eq!((deleted.stdout(), deleted.stderr.trim().to_owned()), ("", format!("Deleted “{name}”.")));
    }
    says(&run(&["workspace", "delete", "default", "--yes"]), &["the only workspace", "Make another one first"]);
    assert_eq!(stored.sql("SELECT name FROM workspaces"), "default");
}

#[test]
fn a_mistyped_folder_is_no_new_store() {
    let folder = TempDir::new();
    for words in [&["token", "list"][..], &["sign-in-link", "--email", ADMIN_EMAIL], &["workspace", "list"]] {
        says(&Shell::new(words).arg("--data").arg(folder.join("typo")).run(), &["There is no store in", "typo", "--data"]);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("own folder").count(), 0, "nothing was made");
}

#[test]
fn the_store_is_for_its_user_alone_in_an_open_folder_too() {
    let folder = TempDir::new();
    fs::create_dir(folder.join("data")).expect("own folder");
    fs::set_permissions(folder.join("data"), fs::Permissions::from_mode(0o755)).expect("own folder");
    let setup = Shell::new(["setup", "--email", ADMIN_EMAIL, "--password-stdin", "--data"]).arg(folder.join("data"));
    assert!(setup.input(ADMIN_PASSWORD).run().succeeded);
    let mode = fs::metadata(folder.join("data").join("store.db")).expect("the store").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_passphrase_opens_a_store_that_has_no_key_file() {
    let folder = TempDir::new();
    let (data, kept) = (folder.join("data"), folder.join("passphrase"));
    fs::write(&kept, "correct horse battery\n").expect("own folder");
    let by_file = ["--passphrase-file".to_owned(), kept.display().to_string()];
    let run =
        |words: &[&str], key: &[String], input: &str| Shell::new(words).arg("--data").arg(&data).args(key).input(input).run();
    let setup = ["setup", "--email", ADMIN_EMAIL, "--password-stdin"];
    fs::write(folder.join("short"), "too short").expect("own folder");
    let short = ["--passphrase-file".to_owned(), folder.join("short").display().to_string()];
    says(&run(&setup, &short, ADMIN_PASSWORD), &["passphrase", "12 characters"]);
    let recovery_key = run(&setup, &by_file, ADMIN_PASSWORD).stdout().to_owned();
    assert!(!folder.join("data.key").exists(), "no key lies on this machine");

    let token = ["token", "create", "--role", "user", "--name"];
    let create = |name: &str, key: &[String], input: &str| run(&[&token[..], &[name]].concat(), key, input);
    assert!(create("first", &by_file, "").stdout().starts_with("dfc_"));
    assert!(create("piped", &["--passphrase-file".to_owned(), "/dev/stdin".to_owned()], "correct horse battery").succeeded);
    assert!(create("asked", &["--ask-passphrase".to_owned()], "correct horse battery").succeeded);
    says(&create("x", &["--ask-passphrase".to_owned()], "correct horse batterz"), &["passphrase", "another key"]);
    says(&create("x", &[], ""), &["opens with a passphrase", "--passphrase-file", "--ask-passphrase"]);
    let both = [&by_file[..], &["--key-file".to_owned(), "x".to_owned()]].concat();
    says(&create("x", &both, ""), &["--passphrase-file", "cannot be used with"]);
    assert!(!folder.join("data.key").exists(), "no key file over existing ciphertext");

    // Forgotten: the recovery key gives it another passphrase, or a key file.
    let recover = |key: &[String]| run(&["recover", "--recovery-key-stdin"], key, &recovery_key);
    fs::write(&kept, "another horse and battery").expect("own folder");
    says(&create("x", &by_file, ""), &["passphrase"]);
    let recovered = recover(&by_file);
    assert!(recovered.succeeded && recovered.stderr.contains("opens with the passphrase now"), "{}", recovered.stderr);
    assert!(create("second", &by_file, "").succeeded);
    assert!(recover(&[]).succeeded && folder.join("data.key").exists());
    assert!(create("third", &[], "").succeeded);
}

#[test]
fn a_store_with_a_key_file_wants_no_passphrase() {
    let mut stored = Stored::start(Engine::Sqlite);
    stored.server.process().stop();
    let create =
        Shell::new(["token", "create", "--role", "user", "--name", "x", "--ask-passphrase"]).args(stored.data_arguments());
    says(&create.input("correct horse battery").run(), &["opens with a key file"]);
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

#[test]
fn connections_in_a_shell() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::default();
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
        &[
            "edit",
            "sales",
            "--description",
            "All sales",
            "--clear",
            "tls.mode",
            "--password-stdin",
            "--no-test",
            "--output",
            "json",
        ],
        "new",
    );
    assert_eq!((&json(&edited)["description"], &json(&edited)["tls"]["mode"]), (&json!("All sales"), &json!("verify-full")));
    let refused = run(&["edit", "sales", "--set", "host=elsewhere"], "");
    says(&refused, &["stored secret elsewhere", "password must be typed again", "--password-stdin", "--clear FIELD"]);
    assert!(!refused.stderr.contains("errors"), "the shell speaks of its own arguments: {}", refused.stderr);
    // What was to write the new password has failed.
    says(&run(&["edit", "sales", "--password-stdin"], ""), &["Nothing came on standard input"]);
    assert_eq!(stored.credentials("sales").json()["fields"]["password"], "new");
    says(&run(&["create", "empty", "--type", "postgres", "--password-stdin"], "\n"), &["Nothing came on standard input"]);
    assert!(run(&["list", "--search", "none"], "").stderr.contains("all of what you asked for"));
    let list = run(&["list", "--search", "all", "--tag", "finance", "--type", "postgres", "--status", "untested"], "");
    assert!(list.stdout().contains("sales") && list.stdout().contains("db.example.org:5433"), "{}", list.stdout);
    assert_eq!(json(&run(&["list", "--search", "none", "--output", "json"], "")), json!([]));

    says(&run(&["delete", "sales"], ""), &["--yes", "sales"]);
    stored.create("warehouse", "planted");
    let words = ["delete", "sales", "--yes", "--reason", "moved", "--use-instead", "warehouse"];
    assert_eq!(run(&words, "").stdout(), "");
    let gone = run(&["show", "sales"], "");
    let restores = "“dataflow connections restore sales” brings it back";
    let told = ["was deleted by token admin on ", " UTC. Why: moved. Use “warehouse” instead.", restores, "same name"];
    says(&gone, &told);
    says(&run(&["edit", "sales", "--description", "x"], ""), &told);

    // The types come from the binary itself.
    let types = json(&home.run(&["types", "--output", "json"], ""));
    assert!(types.to_string().contains("postgres"), "{types}");
    assert!(home.run(&["types", "mysql"], "").stdout().contains("port"));
    says(&home.run(&["types", "oracle9"], ""), &["oracle9"]);
}

//! At a terminal: what is asked, what is not shown of the answers, and a sign of life where there is waiting.

use dataflow_tests::{
    folder::TempDir,
    scripted::{Peer, Scripted},
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    shell::{Home, Shell},
    stored::{Engine, Stored},
    terminal::{CTRL_C, Terminal},
};

const PLANTED: &str = "Planted-5ecret/of ours";

/// `dataflow connections …`, as whoever is signed in in this home.
fn connections(home: &Home, words: &[&str]) -> Terminal {
    Shell::new(["connections"]).args(words).variable("HOME", home.path()).at_a_terminal()
}

/// Waits until it ends with `status`, without having shown the secret that was typed.
fn ends(terminal: Terminal, status: i32) {
    let ended = terminal.end();
    assert_eq!(ended.status, Some(status), "{}", ended.text);
    assert!(!ended.text.contains("Planted"), "{}", ended.text);
}

#[test]
fn creating_asks_for_what_is_missing() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::signed_in(&stored.server);
    let mut terminal = connections(&home, &["create", "sales", "--type", "postgres"]);
    for (prompt, answer) in [("Host", "db.example.org"), ("Username", "analytics"), ("Password (empty: none):", PLANTED)] {
        terminal.shows(prompt);
        terminal.types(answer);
    }
    terminal.shows("Dataflow().connection(\"sales\")");
    ends(terminal, 0);
    let fields = stored.credentials("sales").json()["fields"].clone();
    for (field, value) in [("host", "db.example.org"), ("username", "analytics"), ("password", PLANTED)] {
        assert_eq!(fields[field], value, "{field}");
    }

    // What was given is not asked for, and a secret may be left out.
    let given = ["create", "other", "--type", "postgres", "--set", "host=db.example.org", "--set", "username=analytics"];
    let mut terminal = connections(&home, &given);
    terminal.shows("Password (empty: none):");
    terminal.types("");
    let ended = terminal.end();
    assert!(ended.status == Some(0) && !ended.text.contains("Host "), "{}", ended.text);
    assert_eq!(stored.show("other").json()["password"]["set"], false);
}

#[test]
fn a_change_of_where_a_secret_goes_asks_for_it_again() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::signed_in(&stored.server);
    stored.create("sales", "before");
    let mut terminal = connections(&home, &["edit", "sales", "--no-test", "--set", "host=elsewhere.example.org"]);
    terminal.shows("would send the stored secret elsewhere");
    terminal.shows("Password:");
    terminal.types(PLANTED);
    terminal.shows("Saved.");
    ends(terminal, 0);
    let fields = stored.credentials("sales").json()["fields"].clone();
    assert_eq!((fields["host"].as_str(), fields["password"].as_str()), (Some("elsewhere.example.org"), Some(PLANTED)));
}

#[test]
fn deleting_a_workspace_says_what_goes_and_asks_for_the_name() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create_workspace("theirs");
    let words = ["token", "create", "--role", "user", "--name", "robot", "--workspace", "theirs"];
    Shell::new(words).args(stored.data_arguments()).run().stdout();
    let ask = || Shell::new(["workspace", "delete", "theirs"]).args(stored.data_arguments()).at_a_terminal();
    for (keys, words) in [("default\r", "That is another name. Nothing was deleted."), (CTRL_C, "Nothing was changed.")] {
        let mut terminal = ask();
        terminal.shows("0 connections, 0 members and 1 token go with");
        terminal.presses(keys);
        terminal.shows(words);
        ends(terminal, 1);
        assert_eq!(stored.sql("SELECT count(*) FROM workspaces"), "2");
    }
    let mut terminal = ask();
    terminal.shows("Type the name to delete it:");
    terminal.types("theirs");
    terminal.shows("Deleted “theirs”.");
    ends(terminal, 0);
    assert_eq!(stored.sql("SELECT count(*) FROM workspaces"), "1");
}

#[test]
fn deleting_asks_for_the_name() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::signed_in(&stored.server);
    stored.create("sales", "secret");
    for (keys, words) in [("Sales\r", "That is another name. Nothing was deleted."), (CTRL_C, "Nothing was changed.")] {
        let mut terminal = connections(&home, &["delete", "sales"]);
        terminal.shows("Type the name to delete it:");
        terminal.presses(keys);
        terminal.shows(words);
        ends(terminal, 1);
        assert_eq!(stored.show("sales").status, 200);
    }
    let mut terminal = connections(&home, &["delete", "sales"]);
    terminal.shows("Type the name to delete it:");
    terminal.types("sales");
    terminal.shows("Deleted “sales”.");
    ends(terminal, 0);
    assert_eq!(stored.show("sales").status, 410);
}

#[test]
fn set_up_and_sign_in_ask_for_their_secrets() {
    let folder = TempDir::new();
    let mut terminal = Shell::new(["setup", "--email", ADMIN_EMAIL, "--data"]).arg(folder.join("data")).at_a_terminal();
    terminal.shows("Password (at least 10 characters):");
    terminal.types(ADMIN_PASSWORD);
    terminal.shows("The server is set up.");
    let ended = terminal.end();
    assert!(ended.status == Some(0) && !ended.text.contains(ADMIN_PASSWORD), "{}", ended.text);

    let stored = Stored::start(Engine::Sqlite);
    let home = Home::default();
    let mut terminal = Shell::new(["login", "--url", &stored.server.url()]).variable("HOME", home.path()).at_a_terminal();
    terminal.shows("Token (dfc_…):");
    terminal.types(&stored.admin);
    terminal.shows("Signed in to the workspace “default”.");
    let ended = terminal.end();
    assert!(ended.status == Some(0) && !ended.text.contains(&stored.admin), "{}", ended.text);
    assert!(home.run(&["connections", "list"], "").succeeded);
}

/// Its sign of life moves while it waits, and is gone at its end.
fn moves(terminal: &mut Terminal, words: &str) {
    for _ in 0..3 {
        terminal.shows(words);
    }
    assert!(terminal.is_running(), "{:?}", terminal.raw());
    let shown = terminal.raw();
    let frames: Vec<_> = shown.split(words).filter_map(|before| before.trim_end().chars().last()).collect();
    assert!(frames[..3].windows(2).any(|pair| pair[0] != pair[1]), "it stands still: {shown:?}");
}

#[test]
fn where_there_is_waiting_there_is_a_sign_of_life() {
    let silent = Scripted::start(Peer::listen);
    let away = format!("http://127.0.0.1:{}", silent.port());
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::signed_in(&stored.server);
    let asking = |words: &[&str]| {
        Shell::new(words)
            .args(["--url", &away])
            .variable("HOME", home.path())
            .variable("DATAFLOW_TOKEN", &stored.admin)
            .at_a_terminal()
    };
    moves(&mut asking(&["connections", "list"]), &format!("Waiting for {away}"));
    moves(&mut asking(&["connections", "test", "sales"]), "Testing “sales” from the server");
    let mut terminal = asking(&["login"]);
    terminal.shows("Token (dfc_…):");
    terminal.types(&stored.admin);
    moves(&mut terminal, &format!("Signing in to {away}"));

    // Where the answer comes, the line is cleared (ECMA-48, 8.3.41: EL with 2) before it.
    let mut terminal = connections(&home, &["list"]);
    terminal.shows("No connections.");
    let shown = terminal.raw();
    let after = shown.rsplit("Waiting for").next().unwrap_or_default();
    assert!(shown.contains("Waiting for") && after.contains("\x1b[2K"), "{shown:?}");
    ends(terminal, 0);

    let mut recover = Shell::new(["recover"]).args(stored.data_arguments()).at_a_terminal();
    recover.shows("Recovery key:");
    recover.types(&"ABCD-".repeat(14));
    recover.shows("Opening the store with the recovery key");
    ends(recover, 1);
}

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::*;

fn write(path: &Path, mode: u32, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

fn home(folder: &Path) -> Environment {
    Environment { home: Some(folder.to_owned()), ..Environment::default() }
}

const USER: &str = ".config/dataflow/config.toml";

#[test]
fn explicit_comes_before_environment_before_user_before_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let prefix = folder.path().join("venv");
    write(&prefix.join("dataflow.toml"), 0o600, "url = 'http://127.0.0.1:1'\ntoken = 'local'\nsqlite_folder = '/data'\n");
    let explicit = || Explicit { prefix: Some(prefix.clone()), ..Explicit::default() };

    let found = ClientConfig::find(&explicit(), &home(folder.path())).expect("the local file");
    assert_eq!((found.url.as_str(), found.token.expose_secret()), ("http://127.0.0.1:1", "local"));
    assert_eq!((found.workspace.as_str(), found.sqlite_folder), ("default", Some("/data".into())));

    write(&folder.path().join(USER), 0o600, "url = 'https://user.example'\ntoken = 'user'\nworkspace = 'lab'\n");
    let found = ClientConfig::find(&explicit(), &home(folder.path())).expect("the user's file");
    assert_eq!(
        (found.url.as_str(), found.token.expose_secret(), found.workspace.as_str()),
        ("https://user.example", "user", "lab")
    );

    let environment = || Environment {
        url: Some("https://environment.example/".to_owned()),
        token: Some(Secret::new("environment".to_owned())),
        workspace: Some("other".to_owned()),
        ..home(folder.path())
    };
    let found = ClientConfig::find(&explicit(), &environment()).expect("the environment");
    assert_eq!(
        (found.url.as_str(), found.token.expose_secret(), found.workspace.as_str()),
        ("https://environment.example", "environment", "other")
    );

    let said =
        Explicit { url: Some("https://said.example".to_owned()), token: Some(Secret::new("said".to_owned())), ..explicit() };
    let found = ClientConfig::find(&said, &environment()).expect("what was said");
    assert_eq!((found.url.as_str(), found.token.expose_secret()), ("https://said.example", "said"));
}

#[test]
fn a_files_token_goes_to_that_files_server_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join(USER), 0o600, "url = 'https://user.example'\ntoken = 'user'\n");
    let elsewhere = Explicit { url: Some("https://elsewhere.example".to_owned()), ..Explicit::default() };
    assert!(matches!(ClientConfig::find(&elsewhere, &home(folder.path())), Err(ClientError::NotSignedIn { .. })));
    let same = Explicit { url: Some("https://user.example/".to_owned()), ..Explicit::default() };
    assert!(ClientConfig::find(&same, &home(folder.path())).is_ok());
}

#[test]
fn without_a_sign_in_the_error_names_both_ways() {
    let error = ClientConfig::find(&Explicit::default(), &Environment::default()).expect_err("nothing is there").to_string();
    for way in ["DATAFLOW_URL", "DATAFLOW_TOKEN", "dataflow login --url URL"] {
        assert!(error.contains(way), "{error}");
    }
}

#[test]
fn a_file_that_others_can_read_is_refused_and_its_token_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(USER);
    for (mode, text) in
        [(0o644, "url = 'https://user.example'\ntoken = 'planted'\n"), (0o600, "token = 'planted'\nurl = 'https://u\n")]
    {
        write(&file, mode, text);
        let error = ClientConfig::find(&Explicit::default(), &home(folder.path())).expect_err("refused");
        assert!(matches!(error, ClientError::InvalidConfig { .. }));
        assert!(!format!("{error} {error:?}").contains("planted"));
    }
}

#[test]
fn what_is_saved_is_found_and_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(USER);
    let sign_in = SignIn {
        path: file.clone(),
        url: ServerUrl::parse("https://user.example").expect("a URL"),
        token: Some(Secret::new("quote\" back\\slash".to_owned())),
        workspace: Some("lab".to_owned()),
        sqlite_folder: None,
    };
    write(&file, 0o644, "old");
    save_user_file(&sign_in).expect("saved");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let found = ClientConfig::find(&Explicit::default(), &home(folder.path())).expect("found");
    assert_eq!(found.token.expose_secret(), "quote\" back\\slash");
}

#[test]
fn plain_http_is_for_loopback_alone() {
    for good in
        ["https://dataflow.example.org", "https://a:8443/base/", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"]
    {
        assert!(ServerUrl::parse(good).is_ok(), "{good}");
    }
    for bad in
        ["http://dataflow.example.org", "http://10.0.0.1", "ftp://a", "a", "", "https://u:p@a", "https://a/?token=p", "https://"]
    {
        let error = ServerUrl::parse(bad).expect_err(bad).to_string();
        assert!(!error.contains("u:p"), "{error}");
    }
}

#[test]
fn a_workflow_is_a_name_with_or_without_its_kind_or_the_whole_form() {
    let read = |text: &str| parse_workflow(text).map(|workflow| workflow.header());
    for (text, header) in [
        ("nightly", r#"kind=script; name="nightly""#),
        ("pipeline:nightly", r#"kind=pipeline; name="nightly""#),
        (" app : churn: the board ", r#"kind=app; name="churn: the board""#),
        ("notebook:reports/churn.ipynb", r#"kind=notebook; name="reports/churn.ipynb""#),
        ("nightly:load", r#"kind=script; name="nightly:load""#),
        ("pipeline:", r#"kind=script; name="pipeline:""#),
        ("C:\\etl.py", r#"kind=script; name="C:%5Cetl.py""#),
    ] {
        assert_eq!(read(text).as_deref(), Some(header), "{text}");
    }
    let whole = r#"kind=pipeline; name="nightly"; run="7"; host="worker-1""#;
    assert_eq!(read(whole).as_deref(), Some(whole));
    assert_eq!(read("  "), None);
}

#[test]
fn the_machine_has_a_name() {
    let told = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(Environment::read().host.as_deref(), Some(told.trim()));
}

#[test]
fn the_freshness_time_is_this_machines_choice_within_limits() {
    let with = |text: &str| {
        let environment = Environment {
            url: Some("https://a".to_owned()),
            token: Some(Secret::new("t".to_owned())),
            fresh_for: Some(text.to_owned()),
            ..Environment::default()
        };
        ClientConfig::find(&Explicit::default(), &environment).map(|config| config.timing.fresh)
    };
    assert_eq!(with(" 0.5 ").expect("a number"), Duration::from_millis(500));
    assert_eq!(with("300").expect("the longest"), Duration::from_mins(5));
    for bad in ["0.09", "300.1", "-1", "NaN", "inf", "5s", "soon"] {
        let error = with(bad).expect_err(bad).to_string();
        assert!(error.contains("DATAFLOW_FRESH_FOR") && error.contains("0.1 to 300"), "{error}");
    }
}

#[test]
fn what_cannot_be_a_token_is_refused_with_the_place_it_was_read_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(USER);
    for bad in ["dfc_user_one\ndfc_user_two", "dfc_user_x\n", "dfc_user_\u{e9}", "dfc_user_\u{fffd}", "\0", "dfc_\tuser"] {
        let secret = || Some(Secret::new(bad.to_owned()));
        let environment = Environment { token: secret(), ..home(folder.path()) };
        let url = || Some("https://a".to_owned());
        let explicit = Explicit { url: url(), ..Explicit::default() };
        write(&file, 0o600, &format!("url = 'https://a'\ntoken = {}\n", toml::Value::String(bad.to_owned())));
        for (found, place) in [
            (ClientConfig::find(&explicit, &environment), "in DATAFLOW_TOKEN".to_owned()),
            (
                ClientConfig::find(&Explicit { url: url(), token: secret(), ..Explicit::default() }, &home(folder.path())),
                "that was given".to_owned(),
            ),
            (ClientConfig::find(&Explicit::default(), &home(folder.path())), format!("in {}", file.display())),
        ] {
            let error = found.expect_err(bad).to_string();
            assert!(error.starts_with(&format!("The token {place} is not a Dataflow token")), "{error}");
            assert!(!error.contains("dfc_user"), "{error}");
        }
    }
}

#[test]
fn settings_are_read_again_only_when_something_has_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(USER);
    write(&file, 0o600, "url = 'https://one.example'\ntoken = 'one'\n");
    let discovery = Discovery::default();
    let discover = |explicit, environment| discovery.find(explicit, environment);
    let found = || discover(Explicit::default(), home(folder.path())).expect("the user's file");
    assert_eq!(found().url.as_str(), "https://one.example");
    // Of the same length, and at once: the file's times may not tell.
    write(&file, 0o600, "url = 'https://two.example'\ntoken = 'two'\n");
    assert_eq!((found().url.as_str(), found().token.expose_secret()), ("https://two.example", "two"));

    std::thread::sleep(std::time::Duration::from_millis(1100));
    let held = found();
    assert!(std::sync::Arc::ptr_eq(&held, &found()), "what has not changed was read again");
    write(&file, 0o600, "url = 'https://six.example'\ntoken = 'six'\n");
    assert_eq!(found().url.as_str(), "https://six.example");

    let said = || Explicit { workspace: Some("lab".to_owned()), ..Explicit::default() };
    assert_eq!(discover(said(), home(folder.path())).expect("said").workspace.as_str(), "lab");
    let set = Environment { token: Some(Secret::new("environment".to_owned())), ..home(folder.path()) };
    assert_eq!(discover(said(), set).expect("set").token.expose_secret(), "environment");
    assert_eq!(found().workspace.as_str(), "default");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("opened to others");
    assert!(matches!(discover(Explicit::default(), home(folder.path())), Err(ClientError::InvalidConfig { .. })));
    fs::remove_file(&file).expect("removed");
    assert!(matches!(discover(Explicit::default(), home(folder.path())), Err(ClientError::NotSignedIn { .. })));
}

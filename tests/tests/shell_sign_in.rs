//! Whom a shell speaks for: the token that `dataflow login` keeps, or that the environment holds.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
};

use dataflow_tests::{
    folder::TempDir,
    shell::{Home, Shell, says},
    stored::{Engine, Stored},
};

#[test]
fn sign_in_is_kept_for_this_user_alone() {
    let stored = Stored::start(Engine::Sqlite);
    let home = Home::default();
    says(&home.run(&["connections", "list"], ""), &["dataflow login"]);
    let url = stored.server.url();
    for bad in ["nonsense", "dfc_admin_00000000000000000000000000000000000000000000000000"] {
        let ran = home.run(&["login", "--url", &url, "--token-stdin"], bad);
        says(&ran, &["The token that was given is not a Dataflow token", "dfc_"]);
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
fn a_token_that_is_none_is_told_with_its_place() {
    let stored = Stored::start(Engine::Sqlite);
    let folder = TempDir::new();
    let with = |token: &OsStr| {
        let list =
            Shell::new(["connections", "list"]).variable("HOME", folder.path()).variable("DATAFLOW_URL", stored.server.url());
        list.variable("DATAFLOW_TOKEN", token).run()
    };
    let cut = &stored.admin[..stored.admin.len() - 1];
    let prefix = stored.admin.replacen("dfc_", "ghp_", 1);
    for bad in [
        OsStr::new(&format!("{}\n{}", stored.admin, stored.admin)),
        OsStr::new(&format!("{}\n", stored.admin)),
        OsStr::new("dfc_user_plantedé"),
        OsStr::from_bytes(b"dfc_user_planted\xff"),
        OsStr::new("planted"),
        OsStr::new(&prefix),
        OsStr::new(cut),
    ] {
        let ran = with(bad);
        says(&ran, &["The token in DATAFLOW_TOKEN is not a Dataflow token", "“dfc_”", "dataflow login"]);
        assert!(!ran.stderr.contains("header") && !ran.stderr.contains("planted") && !ran.stderr.contains(cut), "{}", ran.stderr);
    }
    // Its last character is part of the checksum.
    let last = if stored.admin.ends_with('0') { '1' } else { '0' };
    let ran = with(OsStr::new(&format!("{cut}{last}")));
    says(&ran, &["does not accept the token in DATAFLOW_TOKEN", "mistyped", "dataflow login"]);
    assert!(!ran.stderr.contains(cut), "{}", ran.stderr);
    assert!(with(OsStr::new(&stored.admin)).succeeded);
}

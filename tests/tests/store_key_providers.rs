//! Where the store's key may come from besides a key file beside it: a systemd credential, and Transit of Vault or OpenBao, which is a fake here.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use dataflow_tests::{
    binary::dataflow_bin,
    fake_transit::{FakeTransit, KEY, Mood, TOKEN},
    folder::TempDir,
    http::Request,
    port::Port,
    process::{Spawn, Stop},
    shell::{Ran, Shell},
    stored::{Engine, Stored},
    tls::{Authority, Shape},
};
use serde_json::Value;

fn set_up(data: &Path, arguments: &[&str]) -> Shell {
    let words = ["setup", "--email", "ada@example.org", "--password-stdin", "--data"];
    Shell::new(words).arg(data).args(arguments.iter().copied()).input("correct horse battery staple")
}

fn status(data: &Path, arguments: &[&str]) -> Shell {
    Shell::new(["keys", "status", "--output", "json", "--data"]).arg(data).args(arguments.iter().copied())
}

/// The kinds of the slots, by their numbers.
fn kinds(ran: &Ran) -> Vec<String> {
    let status: Value = serde_json::from_str(ran.stdout()).expect("JSON");
    let slots = status["slots"].as_array().expect("a list").iter();
    slots.map(|slot| slot["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[test]
fn a_store_opens_with_a_key_file_that_systemd_hands_over() {
    let folder = TempDir::new();
    let (data, credentials) = (folder.join("data"), folder.join("credentials"));
    fs::create_dir(&credentials).expect("own folder");
    let with = ["--key-credential", "dataflow.key"];
    let nowhere = set_up(&data, &with).run();
    assert!(nowhere.failure().contains("CREDENTIALS_DIRECTORY"), "{}", nowhere.stderr);
    let absent = set_up(&data, &with).variable("CREDENTIALS_DIRECTORY", &credentials).run();
    assert!(absent.failure().contains("LoadCredential=dataflow.key:PATH"), "{}", absent.stderr);
    assert!(!credentials.join("dataflow.key").exists() && !folder.join("data.key").exists(), "a credential is never made here");
    let outside = set_up(&data, &["--key-credential", "../data.key"]).variable("CREDENTIALS_DIRECTORY", &credentials).run();
    assert!(outside.failure().contains("cannot be the name of a credential"), "{}", outside.stderr);

    // A key file of another store is as good as any: it has the form.
    let other = folder.join("other");
    set_up(&other, &[]).run().stdout();
    let credential = credentials.join("dataflow.key");
    fs::copy(folder.join("other.key"), &credential).expect("a copy");
    // As systemd leaves it for the user of a service: an ACL's mask stands where the group's rights do.
    fs::set_permissions(&credential, Permissions::from_mode(0o440)).expect("own file");
    set_up(&data, &with).variable("CREDENTIALS_DIRECTORY", &credentials).run().stdout();
    let ran = status(&data, &with).variable("CREDENTIALS_DIRECTORY", &credentials).run();
    assert_eq!(kinds(&ran), ["key file", "recovery key"]);
    fs::set_permissions(&credential, Permissions::from_mode(0o444)).expect("own file");
    let exposed = status(&data, &with).variable("CREDENTIALS_DIRECTORY", &credentials).run();
    assert!(exposed.failure().contains("can be read by others"), "{}", exposed.stderr);
}

/// A file that names a Transit, with a token beside it.
fn transit_file(folder: &TempDir, name: &str, transit: &FakeTransit, more: &str) -> String {
    let token = folder.join("token");
    fs::write(&token, format!("{TOKEN}\n")).expect("own folder");
    fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("own file");
    let text = format!("url = \"{}\"\nkey = \"{KEY}\"\ntoken_file = \"{}\"\n{more}", transit.url(), token.display());
    fs::write(folder.join(name), text).expect("own folder");
    folder.join(name).display().to_string()
}

#[test]
fn a_store_opens_with_a_key_of_a_fake_transit() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let (folder, authority) = (TempDir::new(), Authority::new());
    let transit = FakeTransit::start(Some(authority.server(Shape::Good)));
    let ca = folder.join("ca.pem");
    fs::write(&ca, authority.pem()).expect("own folder");
    let file = transit_file(&folder, "transit.toml", &transit, &format!("ca_file = \"{}\"\n", ca.display()));
    let add = |file: &str| Shell::new(["keys", "add-slot", "--new-transit", file]).args(stored.data_arguments()).run();
    assert_eq!(add(&file).stdout(), "");
    assert_eq!(transit.decrypted(), 0);
    let ran = Shell::new(["keys", "status", "--output", "json"]).args(stored.data_arguments()).run();
    assert_eq!(kinds(&ran), ["key file", "recovery key", "Transit key"]);
    // Its key is given another root key without being asked for.
    assert_eq!(Shell::new(["keys", "rotate"]).args(stored.data_arguments()).run().stdout(), "");
    assert_eq!(transit.decrypted(), 0);

    let mut stored = stored;
    stored.server.process().stop();
    let port = Port::free();
    let mut server = Spawn::new(dataflow_bin(), Stop::Terminate)
        .args(["serve", "--listen", &format!("127.0.0.1:{}", port.number()), "--transit", &file])
        .args(stored.data_arguments())
        .start(&folder.join("log"));
    server.wait_until("the server", |process| process.log().contains("is ready at"));
    let path = "/api/v1/workspaces/default/connections/sales/credentials";
    let read = Request::new(port.number(), "GET", path).token(&stored.admin).send();
    assert_eq!(read.expect(200).json()["fields"]["password"], "planted");
    assert_eq!(transit.decrypted(), 1, "it is asked once, at the start");
    // That it has no key in memory which a second rotation needs is no reason to ask again.
    assert_eq!(Shell::new(["keys", "rotate"]).args(stored.data_arguments()).run().stdout(), "");
    assert_eq!(Shell::new(["keys", "remove-slot", "1"]).args(stored.data_arguments()).run().stdout(), "");
    assert_eq!(transit.decrypted(), 1);
    server.stop();
    assert!(!server.log().contains(TOKEN), "{}", server.log());

    let untrusted = transit_file(&folder, "untrusted.toml", &transit, "");
    let refused = status(&stored.server.data(), &["--transit", &untrusted]).run();
    assert!(refused.failure().contains("ca_file"), "{}", refused.stderr);
}

#[test]
fn what_is_wrong_with_a_transit_is_said_with_what_to_do() {
    let folder = TempDir::new();
    let data = folder.join("data");
    let transit = FakeTransit::start(None);
    let file = transit_file(&folder, "transit.toml", &transit, "");
    set_up(&data, &["--transit", &file]).run().stdout();
    assert!(!folder.join("data.key").exists());
    let ask = |file: &str| status(&data, &["--transit", file]).run();
    assert_eq!(kinds(&ask(&file)), ["Transit key", "recovery key"]);
    let complains = |file: &str, says: &[&str]| {
        let ran = ask(file);
        for word in says {
            assert!(ran.failure().contains(word), "{word}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains(TOKEN) && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    };
    for (mood, says) in [
        (Mood::Sealed, ["sealed", "Unseal it"]),
        (Mood::SomethingElse, ["no Transit", "Check the url"]),
        (Mood::Forgetful, ["encryption key not found", "neither deleted nor trimmed"]),
        (Mood::Lying, ["open the key ring with the Transit key", "under another key"]),
        (Mood::Silent, ["did not answer", "Check the url"]),
    ] {
        transit.is_now(mood);
        let asked = Instant::now();
        complains(&file, &says);
        assert!(asked.elapsed() < Duration::from_secs(10), "{mood:?}: {:?}", asked.elapsed());
    }
    transit.is_now(Mood::Well);

    let (token, text) = (folder.join("token"), fs::read_to_string(&file).expect("own file"));
    fs::write(&token, "s.another").expect("own file");
    complains(&file, &["refused the token", "“update” on transit/encrypt/dataflow"]);
    fs::set_permissions(&token, Permissions::from_mode(0o604)).expect("own file");
    complains(&file, &["open to every user", "chmod o="]);
    fs::remove_file(&token).expect("own file");
    complains(&file, &["cannot be read", "Put a token there"]);

    let with = |from: &str, to: &str| {
        let changed = folder.join("changed.toml");
        fs::write(&changed, text.replace(from, to)).expect("own folder");
        changed.display().to_string()
    };
    complains(&with("key = \"transit/dataflow\"", "key = \"dataflow\""), &["MOUNT/NAME"]);
    complains(&with("key = \"transit/dataflow\"", "key = \"transit/../sys/x\""), &["MOUNT/NAME"]);
    complains(&with("http://127.0.0.1", "http://vault.example.org"), &["in the clear", "https://"]);
    complains(&with("url = ", "address = "), &["has to say url, key, token_file"]);
    complains(&with("transit/dataflow", "transit/other"), &["was made with the Transit key transit/dataflow", "Name that one"]);
    complains(&folder.join("absent.toml").display().to_string(), &["read the Transit file"]);
    let port = transit.url().rsplit(':').next().expect("a port").to_owned();
    let free = Port::free();
    fs::write(&token, TOKEN).expect("own folder");
    fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("own file");
    complains(&with(&format!(":{port}"), &format!(":{}", free.number())), &["did not answer", "can be reached from here"]);

    // No request went where the store alone said.
    assert!(!transit.has_heard("/v1/transit/decrypt/other"));
    assert_eq!(kinds(&ask(&file)), ["Transit key", "recovery key"]);
    // A store of another kind of key says so.
    let other = folder.join("other");
    set_up(&other, &[]).run().stdout();
    let refused = status(&other, &["--transit", &file]).run();
    assert!(refused.failure().contains("has no slot for a Transit key"), "{}", refused.stderr);
}

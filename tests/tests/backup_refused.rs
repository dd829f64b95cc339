//! What is not restored, each with the live store as it was and a sentence that says what to do; and backups that are not taken.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use dataflow_tests::{
    binary::dataflow_bin,
    environment::soak,
    folder::TempDir,
    shell::{Ran, Shell, says},
    stored::{Engine, Stored},
};
use rstest::rstest;

/// A backup, with the key file and the recovery key that open it.
struct Backup {
    bytes: Vec<u8>,
    key: PathBuf,
    recovery_key: String,
    /// Where to put a bent one.
    folder: TempDir,
}

impl Backup {
    fn take() -> Self {
        let stored = Stored::start(Engine::Sqlite);
        for name in ["sales", "billing", "stock"] {
            stored.create(name, "planted");
        }
        Self::of(&stored)
    }

    fn of(stored: &Stored) -> Self {
        let folder = TempDir::new();
        let (file, key) = (folder.join("good"), folder.join("good.key"));
        Shell::new(["backup"]).arg(&file).args(stored.data_arguments()).run().stdout();
        fs::copy(stored.server.data().with_extension("key"), &key).expect("a copy");
        let recovery_key = stored.server.recovery_key().to_owned();
        Self { bytes: fs::read(file).expect("there"), key, recovery_key, folder }
    }

    fn bent(&self, bytes: &[u8]) -> PathBuf {
        let file = self.folder.join("bent");
        fs::write(&file, bytes).expect("own folder");
        file
    }
}

/// All that a refused restore could have changed.
fn state(stored: &Stored) -> String {
    let mut names: Vec<_> = fs::read_dir(stored.server.data().parent().expect("a folder"))
        .into_iter()
        .chain(fs::read_dir(stored.server.data()))
        .flatten()
        .map(|entry| entry.expect("own").file_name().to_string_lossy().into_owned())
        // SQLite's own come and go with who has it open.
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    names.sort();
    format!("{names:?} {} {:?}", stored.state(), stored.server.uses())
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_cannot_be_restored_changes_nothing(#[case] engine: Engine) {
    let backup = Backup::take();
    let mut live = Stored::start(engine);
    live.create("own", "planted");
    live.credentials("own").expect(200);
    let good = backup.bent(&backup.bytes);
    let data = live.data_arguments();
    let run = |words: &[&str], file: &Path, input: &str| -> Ran {
        Shell::new(["restore"]).arg(file).args(words).args(data.clone()).input(input).run()
    };
    let key = backup.key.display().to_string();
    let with_key = ["--replace", "--key-file", &key];
    let before = state(&live);
    says(&run(&with_key, &good, ""), &["nothing was changed", "Another server runs on the data folder", "Stop"]);
    if let Some(url) = live.database_url() {
        let elsewhere = backup.folder.join("elsewhere").display().to_string();
        let ran = Shell::new(["restore"]).arg(&good).args(with_key).args(["--data", &elsewhere, "--database-url", &url]).run();
        says(&ran, &["nothing was changed", "Servers run on this database", "Stop every one of them"]);
    }
    assert_eq!(state(&live), before);
    live.server.process().stop();
    let before = state(&live);
    let mut tried = 1;
    let mut refused = |ran: Ran, parts: &[&str]| {
        says(&ran, &[&["nothing was changed"], parts].concat());
        assert_eq!(state(&live), before, "{}", ran.stderr);
        tried += 1;
    };
    refused(run(&with_key[1..], &good, ""), &["There is a store in", "--replace"]);
    // The key that lies there is another instance's, as is its recovery key.
    let instance = "It is of the instance";
    refused(run(&["--replace"], &good, ""), &["The key file does not open it", instance, "recovery key"]);
    let recovery = ["--replace", "--recovery-key-stdin"];
    refused(run(&recovery, &good, live.server.recovery_key()), &["The recovery key does not open it", instance]);
    refused(run(&recovery, &good, "ABCD"), &["4 characters"]);
    // The right one, and in the new key file's place lies a key of another store.
    refused(run(&recovery, &good, &backup.recovery_key), &["already exists"]);
    let absent = backup.folder.join("absent.key").display().to_string();
    refused(run(&["--replace", "--key-file", &absent], &good, ""), &[&absent, "--recovery-key-stdin"]);

    let bytes = &backup.bytes;
    for at in (0..bytes.len()).step_by(bytes.len() / 25).chain([bytes.len() - 2]) {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        refused(run(&with_key, &backup.bent(&bent), ""), &["It"]);
    }
    for length in [0, 10, 18, 100, bytes.len() / 2, bytes.len() - 80, bytes.len() - 1] {
        refused(run(&with_key, &backup.bent(&bytes[..length]), ""), &["It"]);
    }
    let longer = [bytes.as_slice(), b"more\n"].concat();
    refused(run(&with_key, &backup.bent(&longer), ""), &["It is damaged", "another copy"]);
    let half = &bytes[..bytes.len() / 2];
    refused(run(&with_key, &backup.bent(half), ""), &["It ends too early", "earlier backup"]);
    let newer = [b"dataflow-backup 2\n", &bytes[18..]].concat();
    refused(run(&with_key, &backup.bent(&newer), ""), &["Its format is 2", "later"]);
    refused(run(&with_key, Path::new("/proc/self/exe"), ""), &["no backup of Dataflow Connections"]);
    refused(run(&with_key, &backup.folder.join("absent"), ""), &["open the file", "No such file"]);
    println!("promise: refused restores into {engine:?}: {tried} tried, live data untouched by all");

    // What was refused forty times is good after all, and the live store serves still.
    live.server.restart();
    live.credentials("own").expect(200);
    live.server.process().stop();
    run(&with_key, &backup.bent(&backup.bytes), "").stdout();
    assert_eq!(live.sql("SELECT count(*) FROM connections"), "3");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_restore_that_is_killed_leaves_the_old_store_or_the_new_one(#[case] engine: Engine) {
    let kills = if soak() { 60 } else { 6 };
    let mut live = Stored::start(engine);
    live.create("own", "planted");
    live.server.process().stop();
    let (first, second) = (Backup::of(&live), Backup::take());
    let restore = |backup: &Backup| {
        let key = ["--replace", "--key-file", &backup.key.display().to_string()].map(ToOwned::to_owned);
        let file = backup.bent(&backup.bytes).display().to_string();
        [vec![file], live.data_arguments(), key.to_vec()].concat()
    };
    let names = || live.sql("SELECT name FROM connections ORDER BY name").replace('\n', " ");
    let mut took = Duration::from_millis(1200);
    let (mut old, mut new) = (0, 0);
    for number in 1..=kills {
        // Always the other one, so that each kill could leave a half of both.
        let before = names();
        let other = if before == "own" { &second } else { &first };
        let mut command = std::process::Command::new(dataflow_bin());
        command.arg("restore").args(restore(other)).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        let begun = std::time::Instant::now();
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        std::thread::sleep(took * number / kills);
        if child.try_wait().expect("own child").is_some() {
            took = begun.elapsed();
        }
        // Nothing happens to one that has ended.
        let _ = child.kill();
        let ended = child.wait_with_output().expect("own child");
        assert_ne!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
        let after = names();
        assert!(["own", "billing sales stock"].contains(&after.as_str()), "neither the old store nor the new one: {after:?}");
        *(if after == before { &mut old } else { &mut new }) += 1;
    }
    println!(
        "promise: killed restores into {engine:?}: {kills}, of which {old} left the old store and {new} the new one: 0 half"
    );
    // Twice within a second, for what is kept aside bears the time.
    for _ in 0..2 {
        Shell::new(["restore"]).args(restore(&second)).run().stdout();
    }
    let key = second.key.display().to_string();
    Shell::new(["workspace", "list", "--key-file", &key]).args(live.data_arguments()).run().stdout();
    assert_eq!(names(), "billing sales stock");
    assert!(!live.server.data().join("restoring").exists(), "what killed ones left is gone");
}

#[test]
fn one_backup_does_not_replace_another() {
    let stored = Stored::start(Engine::Sqlite);
    let folder = TempDir::new();
    let file = folder.join("backup");
    fs::write(&file, "an older one").expect("own folder");
    let run = |file: &Path| Shell::new(["backup"]).arg(file).args(stored.data_arguments()).run();
    says(&run(&file), &["is there already", "Name another file", "Nothing was written"]);
    assert_eq!(fs::read_to_string(&file).expect("there"), "an older one");
    says(&run(&folder.join("absent/backup")), &["absent/backup", "No such file"]);
    // What a run left that was killed stands in nobody's way.
    fs::write(folder.join("next.part"), "half").expect("own folder");
    run(&folder.join("next")).stdout();
    assert!(!folder.join("next.part").exists());
    let ran = Shell::new(["backup"]).arg(folder.join("none")).arg("--data").arg(folder.join("nowhere")).run();
    says(&ran, &["There is no store in"]);
    assert!(!folder.join("none").exists() && !folder.join("none.part").exists() && !folder.join("nowhere").exists());
}

/// A server that ends while it sends.
#[test]
fn a_backup_that_ends_early_leaves_no_file() {
    for sent in [&b""[..], b"\"backup_follows\"\n", b"\"backup_follows\"\n\0\0\0\x04half", b"\"backup_follows\"\n\0\0\0\0"] {
        let folder = TempDir::new();
        fs::create_dir(folder.join("data")).expect("own folder");
        let listener = UnixListener::bind(folder.join("data/admin.sock")).expect("a short path");
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("a shell");
            peer.write_all(sent).expect("it listens");
            peer.shutdown(std::net::Shutdown::Write).expect("open");
            let _ = peer.read_to_end(&mut Vec::new());
        });
        let ran = Shell::new(["backup"]).arg(folder.join("backup")).arg("--data").arg(folder.join("data")).run();
        server.join().expect("no panic");
        says(&ran, &["did not send the whole backup"]);
        assert!(!folder.join("backup").exists() && !folder.join("backup.part").exists(), "{}", ran.stderr);
    }
}

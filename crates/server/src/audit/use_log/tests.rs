use std::fs::{self, OpenOptions};

use dataflow_vault::KeyFile;

use super::{
    super::{
        segment::AGE,
        segments::{Flow, Step, Walk},
    },
    *,
};

fn vault(folder: &Path) -> Vault {
    let key = KeyFile::create(&folder.join("key")).expect("a key");
    Vault::create(random_uuid(), &key).expect("a vault").0
}

fn open(folder: &Path, vault: &Vault, is_strict: bool) -> Arc<UseLog> {
    let config = AuditConfig { is_strict, ..AuditConfig::default() };
    UseLog::open(folder, vault, config, true, Arc::new(Metrics::new().expect("metrics"))).expect("it opens")
}

fn event(at: i64) -> UseEvent<'static> {
    UseEvent {
        at,
        action: "credentials.read",
        workspace: "default",
        workspace_id: uuid::Uuid::nil(),
        connection: "sales",
        version: 1,
        actor: "robot",
        actor_id: "token 1",
        address: None,
        workflow: None,
    }
}

/// All lines of a folder's segments, if they are one chain.
fn chain(folder: &Path, vault: &Vault) -> Vec<String> {
    let folder = folder.join("audit");
    let (mut walk, mut lines) = (Walk::new(vault), Vec::new());
    for segment in segments::list(&folder).expect("own folder") {
        segments::read(&segments::path(&folder, segment), 0, |line, _| {
            assert!(!matches!(walk.step(line), Step::Breaks), "{lines:?} then {}", String::from_utf8_lossy(line));
            lines.push(String::from_utf8_lossy(line).into_owned());
            Ok(Flow::On)
        })
        .expect("own file");
    }
    lines
}

#[tokio::test]
async fn a_chain_goes_on_after_a_torn_line_and_in_a_new_segment() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = vault(folder.path());
    let first = segments::path(&folder.path().join("audit"), 1);
    let mut lines = 1;
    for torn in ["", "{\"at\":1", "{\"at\":1,\"ac"] {
        if lines > 1 {
            let text = fs::read_to_string(&first).expect("there");
            fs::write(&first, text + torn).expect("own folder");
        }
        let log = open(folder.path(), &vault, false);
        log.append(&vault, &event(1)).await.expect("appended");
        lines += 1;
        assert_eq!(chain(folder.path(), &vault).len(), lines, "after “{torn}”");
    }
    let log = open(folder.path(), &vault, false);
    log.append(&vault, &event(1 + AGE)).await.expect("appended");
    assert_eq!(chain(folder.path(), &vault).len(), lines + 2, "a beginning and an event");
    let all = segments::list(&folder.path().join("audit")).expect("own folder");
    assert_eq!(all, [1, 5]);
    let id = log.chain().to_owned();
    drop(log);
    // The next one was made and has no line yet.
    fs::write(segments::path(&folder.path().join("audit"), 7), "").expect("own folder");
    let log = open(folder.path(), &vault, false);
    assert_eq!(log.chain(), id);
    log.append(&vault, &event(2 + AGE)).await.expect("appended");
    assert_eq!(chain(folder.path(), &vault).len(), lines + 4);
    assert_eq!(log.sync().await.expect("synced"), 8);
}

#[tokio::test]
async fn what_does_not_follow_is_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = vault(folder.path());
    let path = segments::path(&folder.path().join("audit"), 1);
    let log = open(folder.path(), &vault, false);
    for at in 1..4 {
        log.append(&vault, &event(at)).await.expect("appended");
    }
    drop(log);
    let text = fs::read_to_string(&path).expect("there");
    fs::write(&path, text.replace("\"at\":2", "\"at\":9")).expect("own folder");
    let log = open(folder.path(), &vault, false);
    log.append(&vault, &event(4)).await.expect("appended");
    assert_eq!(chain(folder.path(), &vault).len(), 3, "a beginning, the first event and the new one");
    let aside = fs::read_dir(folder.path().join("audit")).expect("own folder");
    let aside: Vec<_> = aside.map(|entry| entry.expect("own folder").path()).filter(|found| *found != path).collect();
    assert!(
        matches!(aside.as_slice(), [one] if fs::read_to_string(one).is_ok_and(|kept| kept.contains("\"at\":9"))),
        "{aside:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_written_is_an_error_and_the_next_line_follows_the_last_that_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = vault(folder.path());
    let log = open(folder.path(), &vault, false);
    log.append(&vault, &event(1)).await.expect("appended");
    log.sync().await.expect("synced");
    let full = Arc::new(OpenOptions::new().append(true).open("/dev/full").expect("a device"));
    let file = std::mem::replace(&mut log.state().segment.file, full);
    log.append(&vault, &event(2)).await.expect_err("the disk is full");
    log.state().segment.file = file;
    log.append(&vault, &event(3)).await.expect("appended");
    let lines = chain(folder.path(), &vault);
    assert!(lines.len() == 3 && lines[2].contains("\"at\":3"), "{lines:?}");
}

/// Each sync takes along all that wait for one, and none waits for a later one than the next.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_strict_log_share_syncs() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = Arc::new(vault(folder.path()));
    let log = open(folder.path(), &vault, true);
    let readers = (0..64).map(|_| {
        let (log, vault) = (log.clone(), vault.clone());
        tokio::spawn(async move {
            for at in 1..=20 {
                log.append(&vault, &event(at)).await.expect("appended");
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.expect("it ends");
    }
    assert_eq!(log.progress.borrow().synced, 64 * 20 + 1, "all is on disk before the last one is answered");
    let text = log.metrics.render();
    let syncs = text.lines().find_map(|line| line.strip_prefix("dataflow_audit_sync_duration_seconds_count "));
    let syncs: usize = syncs.and_then(|count| count.parse().ok()).expect("it is counted");
    assert!((20..=64 * 20 / 2).contains(&syncs), "{syncs} syncs for 1,280 events");
}

/// It takes every byte, and cannot be synced: the kernel keeps nothing.
#[tokio::test]
async fn a_file_that_could_not_be_synced_is_written_anew() {
    for is_strict in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = vault(folder.path());
        let log = open(folder.path(), &vault, is_strict);
        log.append(&vault, &event(1)).await.expect("appended");
        log.sync().await.expect("synced");
        let null = Arc::new(OpenOptions::new().append(true).open("/dev/null").expect("a device"));
        log.state().segment.file = null;
        let appended = log.append(&vault, &event(2)).await;
        assert_eq!(appended.is_err(), is_strict, "{appended:?}");
        // Where nobody waits the thread may have done it already.
        let failed = log.sync().await.is_err() || log.progress.borrow().failures > 0;
        assert!(failed, "strict: {is_strict}");
        log.append(&vault, &event(3)).await.expect("it was written anew");
        log.sync().await.expect("synced");
        let lines = chain(folder.path(), &vault);
        assert!(lines.len() == 4 && lines[2].contains("\"at\":2") && lines[3].contains("\"at\":3"), "{lines:?}");
        assert!(!folder.path().join("audit.new").exists());
    }
}

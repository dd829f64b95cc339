//! A rotation of the keys that ends at any of its commits, and changes that it meets on their way.

use dataflow_model::Secret;
use dataflow_vault::{KeyRing, RecoveryKey, Vault};
use serde_json::{Value, json};

use super::{Fixture, OWNER, PASSWORD, WORKSPACE, draft, sample};
use crate::{
    error::Error,
    fixture::TestApp,
    ops::{
        Caller, Role, Who,
        connections::{self, Change, Precondition},
        credentials, history,
        keys::{
            self,
            rotation::{Rotation, Step},
        },
        links::{self, LinkKind},
        sessions,
        tokens::authenticate,
        tombstones::{self, Removal},
    },
    store::{self, CrashAt, MAC_TABLES, StoreError},
};

/// What was given out before the rotation and has to stay good.
struct Given {
    token: Secret,
    cookie: Secret,
    code: Secret,
    recovery: RecoveryKey,
    fingerprint: String,
}

impl Given {
    async fn of(fixture: &Fixture) -> Self {
        let app = &fixture.app;
        let shell = Caller::shell();
        for name in ["sales", "gone"] {
            connections::create(app, &shell, WORKSPACE, sample(name)).await.expect("created");
        }
        save(app, json!({"password": "second", "description": "x"})).await.expect("saved");
        let removal = Removal { precondition: Precondition::Any, ..Removal::default() };
        tombstones::delete(app, &shell, WORKSPACE, "gone", removal).await.expect("deleted");
        let token = fixture.token(&shell, "robot", Role::Admin).await;
        let cookie = fixture.sign_up("ada@example.org", &[Role::Viewer]).await;
        let code = links::create_link(app, &shell, OWNER, LinkKind::SignIn).await.expect("a link").code;
        let recovery = keys::renew_recovery_key(app, &shell).await.expect("renewed");
        let fingerprint = resolve(app, &token).await.0;
        Self { token, cookie, code, recovery, fingerprint }
    }

    /// Everything opens, and can be changed, as long as it likes.
    async fn is_good(&self, app: &TestApp, at: &str) {
        let (fingerprint, body) = resolve(app, &self.token).await;
        assert_eq!(fingerprint, self.fingerprint, "{at}: a rotation is no new credentials");
        assert_eq!(body["fields"]["password"], "second", "{at}");
        let first = history::restore(
            app,
            &Caller::shell(),
            WORKSPACE,
            "sales",
            history::Restore { version: 1, precondition: Precondition::Any, ..Default::default() },
        )
        .await;
        first.unwrap_or_else(|error| panic!("{at}: a version of before: {error:?}"));
        assert_eq!(resolve(app, &self.token).await.1["fields"]["password"], "planted", "{at}");
        let person = sessions::session(app, self.cookie.expose_secret()).await;
        assert!(person.is_ok_and(|person| person.email == "ada@example.org"), "{at}: the session");
        assert!(matches!(links::look_at_link(app, self.code.expose_secret()).await, Ok(LinkKind::SignIn)), "{at}: the link");
        save(app, json!({"description": at})).await.expect("a change that keeps the secret");
        save(app, json!({"password": "second", "description": "typed anew"})).await.expect("a change that brings it");
        let ring = stored_ring(app).await;
        Vault::open(&ring, &self.recovery).expect("the recovery key opens at every instant");
    }
}

async fn save(app: &TestApp, change: Value) -> crate::error::Result<()> {
    let change = Change { draft: draft(&change), precondition: Precondition::Any, ..Default::default() };
    connections::edit(app, &Caller::shell(), WORKSPACE, "sales", change).await.map(drop)
}

async fn resolve(app: &TestApp, token: &Secret) -> (String, Value) {
    let caller = Caller::of(Who::Token(authenticate(app, token.expose_secret()).await.expect("a token")));
    let resolved = credentials::resolve(app, &caller, WORKSPACE, "sales", |_| false).await.expect("it resolves");
    let body = resolved.body.expect("it was not held");
    (resolved.fingerprint, serde_json::from_str(body.expose_secret()).expect("JSON"))
}

async fn stored_ring(app: &TestApp) -> KeyRing {
    let instance = store::instance(&mut app.store.read().await.expect("open")).await.expect("read").expect("there");
    KeyRing::from_bytes(&instance.key_ring).expect("a ring")
}

/// Whether every event's MAC is of the root key of its time.
async fn events_are_sound(app: &TestApp) {
    type Row = (String, i64, Option<String>, String, String, String, String, Option<String>, Vec<u8>);
    let sql = "SELECT id, at, workspace_id, actor, action, object, detail, actor_id, mac FROM audit_events";
    let mut read = app.store.read().await.expect("open");
    let rows: Vec<Row> = store::fetch!(&mut read, fetch_all, Row, sql).expect("read");
    assert!(rows.len() > 10);
    for (id, at, workspace, actor, action, object, detail, actor_id, mac) in rows {
        let event = json!([id, at, workspace, actor, action, object, detail, actor_id]).to_string();
        assert!(app.vault.audit_mac_holds(event.as_bytes(), &mac), "{action}");
    }
}

async fn all_is_new(app: &TestApp, root: u32) {
    let status = keys::status(app, &Caller::shell()).await.expect("told");
    assert!(!status.rotating && status.rows_under_older_keys == 0, "{status:?}");
    assert_eq!((status.root_key.newest, status.root_key.active, status.root_key.rows_from), (root, root, root));
    for workspace in &status.workspaces {
        let versions = (workspace.oldest, workspace.active, workspace.newest, workspace.versions_under_older_keys);
        assert_eq!(versions, (root, root, root, 0), "{status:?}");
    }
    // Not only as it counts itself.
    let mut read = app.store.read().await.expect("open");
    let rows: Vec<(String,)> =
        store::fetch!(&mut read, fetch_all, (String,), "SELECT secrets FROM connection_versions").expect("read");
    for (secrets,) in rows {
        let secrets = serde_json::from_str(&secrets).expect("JSON");
        assert_eq!(crate::ops::rows::oldest_key(&secrets), i64::from(root), "{secrets:?}");
    }
}

#[tokio::test]
async fn a_process_that_ends_at_any_commit_of_a_rotation_leaves_everything_readable() {
    Box::pin(crash_at_every_commit(Fixture::new().await, &[CrashAt::Before, CrashAt::After])).await;
}

#[tokio::test]
async fn the_same_on_postgres() {
    #[expect(clippy::disallowed_methods, reason = "which length of this test is meant")]
    let soak = std::env::var_os("DATAFLOW_SOAK").is_some();
    // A start takes ten times as long there; what is lost before a commit is the same on both.
    let ends: &[CrashAt] = if soak { &[CrashAt::Before, CrashAt::After] } else { &[CrashAt::After] };
    Box::pin(crash_at_every_commit(Fixture::on_postgres().await, ends)).await;
}

async fn crash_at_every_commit(fixture: Fixture, ends: &[CrashAt]) {
    let last = if ends.len() > 1 { 3 } else { 2 };
    let given = Given::of(&fixture).await;
    let mut app = fixture.app;
    let (mut crashes, mut root) = (0, 2);
    keys::rotate(&app, &Caller::shell()).await.expect("begun");
    loop {
        let mut ended = false;
        for &at in ends {
            app.store.crash.after(0, at);
            ended = Rotation::to_the_end(&app).await.is_ok();
            if ended {
                break;
            }
            crashes += 1;
            app = app.again().await;
            given.is_good(&app, &format!("crash {crashes}, {at:?} its commit")).await;
        }
        if ended && root == last {
            break;
        }
        if ended {
            all_is_new(&app, root).await;
            // A second one, and its first commit, too.
            root = 3;
            let refused = keys::rotate(&app, &Caller::shell()).await;
            assert!(app.store.crash.is_ahead() || refused.is_err());
            app = app.again().await;
            given.is_good(&app, "before the second rotation").await;
            keys::rotate(&app, &Caller::shell()).await.expect("begun");
        }
    }
    assert!(crashes > 10, "{crashes}");
    app = app.again().await;
    given.is_good(&app, "at the end").await;
    let password = Secret::new(PASSWORD.to_owned());
    sessions::sign_in(&app, &sessions::Device::default(), OWNER, &password).await.expect("a new session");
    all_is_new(&app, last).await;
    events_are_sound(&app).await;
    println!("promise: rotation of keys: {crashes} crashes at its commits: every secret, token, session and link opens");
}

#[tokio::test]
async fn a_change_that_a_rotation_overtakes_fails_and_leaves_nothing() {
    let fixture = Fixture::on_postgres().await;
    let given = Given::of(&fixture).await;
    let app = &fixture.app;
    // Two changes as they are just before their commits: one has sealed a row, the other has copied a secret.
    let mut sealed = app.store.write().await.expect("open");
    let link = links::insert_link(app, &mut sealed, LinkKind::SignIn, None).await.expect("inserted");
    let mut copied = app.store.write().await.expect("open");
    let mut read = app.store.read().await.expect("open");
    let workspace = app.workspace(WORKSPACE).await.expect("read").expect("there").id.to_string();
    let row = store::newest_connection(&mut read, &workspace, "sales", "sales").await.expect("read").expect("there");
    let old = store::version(&mut read, &row.id, row.version).await.expect("read").expect("there");
    drop(read);

    keys::rotate(app, &Caller::shell()).await.expect("begun");
    Rotation::to_the_end(app).await.expect("it does not wait for them");
    all_is_new(app, 2).await;
    // Its own MAC is of now, so that the copied secret alone is what is too old.
    let version = crate::ops::rows::Sealed::sealed(store::VersionRow { version: 1000, ..old }, &app.vault);
    store::insert_version(&mut copied, &version).await.expect("inserted");
    assert!(matches!(copied.commit().await, Err(StoreError::KeyEnded)));
    assert!(matches!(sealed.commit_quietly().await, Err(StoreError::KeyEnded)));
    assert!(matches!(links::look_at_link(app, link.code.expose_secret()).await, Err(Error::SetupDone)), "nothing is left of it");
    given.is_good(app, "after it").await;
}

#[tokio::test]
async fn a_key_neither_begins_nor_ends_under_a_request_that_knows_another() {
    let fixture = Fixture::new().await;
    Given::of(&fixture).await;
    let app = &fixture.app;
    keys::rotate(app, &Caller::shell()).await.expect("begun");
    let mut rotation = Rotation::default();
    let mut waited = 0;
    loop {
        let request = app.under_way.begin();
        match rotation.step(app).await.expect("it goes on") {
            Step::Done => break,
            Step::More => {}
            Step::Waits => {
                waited += 1;
                for _ in 0..3 {
                    assert_eq!(rotation.step(app).await.expect("it goes on"), Step::Waits);
                }
                // What begins now knows what this node knows.
                let later = app.under_way.begin();
                drop(request);
                assert_eq!(rotation.step(app).await.expect("it goes on"), Step::More);
                drop(later);
            }
        }
    }
    // Before the root key and the workspace's seal, and before what was sealed and signed under the old ones ends.
    assert_eq!(waited, 4);
    all_is_new(app, 2).await;
}

#[tokio::test]
async fn what_was_bent_keeps_its_old_key_and_holds_up_nothing_else() {
    let fixture = Fixture::new().await;
    let given = Given::of(&fixture).await;
    fixture.bend("UPDATE connection_versions SET fields = replace(fields, '5432', '5433') WHERE version = 1").await;
    fixture.bend("UPDATE members SET roles = 'admin'").await;
    let app = &fixture.app;
    keys::rotate(app, &Caller::shell()).await.expect("begun");
    Rotation::to_the_end(app).await.expect("it ends");
    let status = keys::status(app, &Caller::shell()).await.expect("told");
    assert_eq!((status.rotating, status.root_key.rows_from), (false, 2));
    // Version 1 of two connections, and the one member.
    assert_eq!(status.rows_under_older_keys, 3, "{status:?}");
    let workspace = &status.workspaces[0];
    assert_eq!((workspace.oldest, workspace.active, workspace.versions_under_older_keys), (1, 2, 2));
    let refused = sessions::session(app, given.cookie.expose_secret()).await;
    assert!(matches!(refused, Err(Error::SecretUnreadable(_))), "a bent row is no better for it: {refused:?}");
    assert_eq!(resolve(app, &given.token).await.1["fields"]["password"], "second");
}

#[tokio::test]
async fn every_table_with_macs_takes_part() {
    let fixture = Fixture::new().await;
    let mut read = fixture.app.store.read().await.expect("open");
    let sql = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'mac' ORDER BY 1";
    let tables: Vec<(String,)> = store::fetch!(&mut read, fetch_all, (String,), sql).expect("read");
    let mut known = MAC_TABLES.to_vec();
    // Events keep the key of their time.
    known.push("audit_events");
    known.sort_unstable();
    let tables: Vec<_> = tables.iter().map(|(name,)| name.as_str()).collect();
    assert_eq!(tables, known, "a table with MACs has to stand in `mac_tables!` and `over_tables!`");
}

#[tokio::test]
async fn nobody_but_a_shell_changes_the_keys() {
    let fixture = Fixture::new().await;
    let admin = fixture.member("eve@example.org", &[Role::Admin]).await;
    let app = &fixture.app;
    let refused = [
        keys::rotate(app, &admin).await.err(),
        keys::status(app, &admin).await.err(),
        keys::remove_slot(app, &admin, 1).await.err(),
        keys::renew_recovery_key(app, &admin).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(Error::OwnersOnly(_))), "{error:?}");
    }
}

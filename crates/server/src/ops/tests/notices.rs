//! What channels still have to tell, whatever happens while they tell it.

use super::{Fixture, WORKSPACE, draft, sample};
use crate::{
    clock::{DAY, SECOND, rfc3339},
    ops::{
        Caller,
        connections::{self, Precondition},
        notices::{
            Tells,
            channel::{self, Channel},
            ends,
        },
    },
    store::{self, ChannelRow, ConnectionRow, NoticeRow},
};
use dataflow_model::{Learned, TestReport, TestStatus};

struct Told {
    fixture: Fixture,
    channel: ChannelRow,
    connection: ConnectionRow,
}

impl Told {
    async fn begin(fixture: Fixture) -> Self {
        let (app, shell) = (&fixture.app, Caller::shell());
        let hook = draft(&serde_json::json!({"name": "hook", "type": "webhook", "host": "hooks.example.org"}));
        connections::create(app, &shell, WORKSPACE, hook).await.expect("created");
        connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
        let oncall = Channel { connection: "hook".to_owned(), addresses: Vec::new(), tag: None, tells: Tells::All };
        channel::set(app, &shell, WORKSPACE, "oncall", (oncall, &Precondition::Any)).await.expect("set");
        let connection = connections::show(app, &shell, WORKSPACE, "sales").await.expect("there").row;
        let channel = Self::channel(&fixture, &connection.workspace_id).await;
        Self { fixture, channel, connection }
    }

    async fn channel(fixture: &Fixture, workspace_id: &str) -> ChannelRow {
        let mut read = fixture.app.store.read().await.expect("open");
        store::channel(&mut read, workspace_id, "oncall").await.expect("read").expect("there")
    }

    async fn note(&self, about: &str, was: &str, state: &str) {
        let now = self.fixture.app.clock.now();
        let notice = NoticeRow {
            channel_id: self.channel.id.clone(),
            connection_id: self.connection.id.clone(),
            about: about.to_owned(),
            was: was.to_owned(),
            state: state.to_owned(),
            at: now,
            cause: None,
            message: None,
            ends_at: None,
            taken_at: None,
            taken_state: None,
        };
        let mut write = self.fixture.app.store.write().await.expect("open");
        store::note(&mut write, &notice, now).await.expect("noted");
        write.commit_quietly().await.expect("committed");
    }

    /// Takes what there is to tell; when.
    async fn take(&self) -> i64 {
        self.fixture.app.clock.advance(SECOND);
        let now = self.fixture.app.clock.now();
        let row = Self::channel(&self.fixture, &self.connection.workspace_id).await;
        let mut write = self.fixture.app.store.write().await.expect("open");
        assert!(store::take_notices(&mut write, &row, now, now + 90 * SECOND).await.expect("asked"), "nobody else has it");
        write.commit_quietly().await.expect("committed");
        self.fixture.app.clock.advance(SECOND);
        now
    }

    async fn end(&self, taken_at: i64, is_told: bool) {
        let mut write = self.fixture.app.store.write().await.expect("open");
        if is_told {
            store::drop_told(&mut write, &self.channel.id, taken_at).await.expect("dropped");
        } else {
            assert_eq!(store::give_back(&mut write, &self.channel.id, taken_at, i64::MIN).await.expect("given back"), 0);
        }
        write.commit_quietly().await.expect("committed");
    }

    /// What is still to be told: how it was when that was told last, and how it is.
    async fn waits(&self) -> Vec<(String, String)> {
        let mut read = self.fixture.app.store.read().await.expect("open");
        let sql = "SELECT was, state FROM notices WHERE taken_at IS NULL ORDER BY about";
        store::fetch!(&mut read, fetch_all, (String, String), sql).expect("read")
    }
}

fn pair(was: &str, state: &str) -> Vec<(String, String)> {
    vec![(was.to_owned(), state.to_owned())]
}

async fn what_changes_while_it_is_told_is_told_rightly(fixture: Fixture) {
    let told = Told::begin(fixture).await;
    // Told, and it recovered meanwhile: people know the failure, and are to learn of the end of it.
    told.note("health", "healthy", "unhealthy").await;
    let taken = told.take().await;
    told.note("health", "unhealthy", "healthy").await;
    told.end(taken, true).await;
    assert_eq!(told.waits().await, pair("unhealthy", "healthy"));
    let taken = told.take().await;
    told.end(taken, true).await;
    assert_eq!(told.waits().await, []);

    // Not told, and it recovered meanwhile: nobody knew, and there is nothing to say.
    told.note("health", "healthy", "unhealthy").await;
    let taken = told.take().await;
    told.note("health", "unhealthy", "healthy").await;
    told.end(taken, false).await;
    assert_eq!(told.waits().await, []);

    // Not told, and it recovered and fell again: that it fell is still to be told.
    told.note("health", "healthy", "unhealthy").await;
    let taken = told.take().await;
    told.note("health", "unhealthy", "healthy").await;
    told.note("health", "healthy", "unhealthy").await;
    told.end(taken, false).await;
    assert_eq!(told.waits().await, pair("healthy", "unhealthy"));
    // A node took it and died: the next one tells it.
    told.take().await;
    let taken = told.take().await;
    told.end(taken, true).await;
    assert_eq!(told.waits().await, []);

    // Another end that is learnt while one is told is told, too.
    told.note("certificate", "", "ends").await;
    let taken = told.take().await;
    told.note("certificate", "", "ends").await;
    told.end(taken, true).await;
    assert_eq!(told.waits().await, pair("", "ends"));
}

async fn a_channel_that_is_set_while_it_tells_tells_once(fixture: Fixture) {
    let told = Told::begin(fixture).await;
    let (app, shell) = (&told.fixture.app, Caller::shell());
    told.note("health", "healthy", "unhealthy").await;
    told.take().await;
    let other = Channel { connection: "hook".to_owned(), addresses: Vec::new(), tag: None, tells: Tells::Health };
    channel::set(app, &shell, WORKSPACE, "oncall", (other, &Precondition::Any)).await.expect("set");
    let due = store::channels_due(&mut app.store.read().await.expect("open"), app.clock.now(), 9).await.expect("read");
    assert!(due.is_empty(), "whoever is at it has it: {due:?}");
    // A store that is filled from a backup tells nobody anything, until somebody sets the channel.
    let mut write = app.store.write().await.expect("open");
    assert_eq!(store::rest_channels(&mut write, "restored").await.expect("they rest"), 1);
    write.commit_quietly().await.expect("committed");
    told.note("health", "healthy", "unhealthy").await;
    app.clock.advance(30 * DAY);
    let due = async || store::channels_due(&mut app.store.read().await.expect("open"), app.clock.now(), 9).await.expect("read");
    assert!(due().await.is_empty());
    let again = Channel { connection: "hook".to_owned(), addresses: Vec::new(), tag: None, tells: Tells::All };
    let set = channel::set(app, &shell, WORKSPACE, "oncall", (again, &Precondition::Any)).await.expect("set");
    assert_eq!((due().await.len(), set.problem), (1, None));
}

async fn an_end_is_kept_as_long_as_nothing_else_is_known(fixture: Fixture) {
    let told = Told::begin(fixture).await;
    let (app, now) = (&told.fixture.app, told.fixture.app.clock.now());
    let learn = async |learned: Learned| {
        let report = TestReport {
            status: TestStatus::Ok,
            duration_ms: 1.0,
            server_version: None,
            checked_at: rfc3339(now),
            from: "server".to_owned(),
            host: None,
            steps: Vec::new(),
            error: None,
            learned,
        };
        let mut write = app.store.write().await.expect("open");
        ends::follow(&mut write, &told.connection, &report, app.clock.now()).await.expect("followed");
        write.commit_quietly().await.expect("committed");
    };
    let known = |at: i64| Learned { password_ends_at: Some(rfc3339(at)), is_superuser: Some(false), ..Learned::default() };
    let soon = now - now % SECOND + 5 * DAY;
    learn(known(soon)).await;
    assert!(!ends::tell_due(app).await.expect("told"));
    assert_eq!(told.waits().await.len(), 1);
    // What was cut off says nothing; that there is no end any more takes back what was to be told of it.
    learn(Learned::default()).await;
    assert_eq!(told.waits().await.len(), 1);
    learn(Learned { is_superuser: Some(false), ..Learned::default() }).await;
    assert_eq!(told.waits().await, []);
    // The same end once more within a day is no news yet.
    learn(known(soon)).await;
    ends::tell_due(app).await.expect("told");
    assert_eq!(told.waits().await, []);
    app.clock.advance(DAY + SECOND);
    ends::tell_due(app).await.expect("told");
    assert_eq!(told.waits().await.len(), 1);
    // One that is far away is none to tell.
    learn(known(now + 400 * DAY)).await;
    assert_eq!(told.waits().await, []);
}

on_both_engines! {
    what_changes_while_it_is_told_is_told_rightly as changes_while_telling_on_sqlite, changes_while_telling_on_postgres;
    a_channel_that_is_set_while_it_tells_tells_once as set_while_telling_on_sqlite, set_while_telling_on_postgres;
    an_end_is_kept_as_long_as_nothing_else_is_known as an_end_is_kept_on_sqlite, an_end_is_kept_on_postgres;
}

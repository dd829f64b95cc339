//! The second look: every act that takes one, in a session whose person gave his password too long ago and in one where he just did.

use std::{collections::BTreeSet, sync::Arc};

use dataflow_connectors::AddressLists;
use dataflow_model::Secret;
use serde_json::json;

use super::{Fixture, OWNER, PASSWORD, WORKSPACE, draft, sample};
use crate::{
    audit,
    clock::{DAY, SECOND},
    error::{Error, Result},
    ops::{
        Action, Caller, Role, Roles,
        access::{Look, TABLE},
        connections::{self, Change, Precondition},
        groups, history,
        links::{self, LinkKind},
        notices::{
            Tells,
            channel::{self, Channel},
        },
        own_types,
        owners::{OWNERS, OwnersAct},
        people,
        rotations::{
            self,
            policy::{self, Policy},
            second_login::{self, planted},
        },
        second_look::CONFIRMED_FOR,
        sessions::SESSION_LONGEST,
        settings,
        tokens::{self, NewToken},
        users::{self, Users},
        workspaces,
    },
    store,
};

const EMAIL: &str = "ada@example.org";

/// What an act stands under in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Under {
    Table(Action),
    Owners(OwnersAct),
}
use Under::{Owners, Table};

/// Every act that takes a second look, in an order in which each can be done once.
const ACTS: &[(&str, Under)] = &[
    ("make a token", Table(Action::CreateOwnTokens)),
    ("change roles", Table(Action::ManagePeople)),
    ("invite", Table(Action::ManagePeople)),
    ("disable", Table(Action::ManagePeople)),
    ("enable", Table(Action::ManagePeople)),
    ("make a group", Table(Action::ManagePeople)),
    ("narrow", Table(Action::NarrowConnections)),
    ("widen", Table(Action::NarrowConnections)),
    ("remove a group", Table(Action::ManagePeople)),
    ("create with insecure_auth", Table(Action::SetAdminFields)),
    ("set insecure_auth", Table(Action::SetAdminFields)),
    ("restore insecure_auth", Table(Action::SetAdminFields)),
    ("purge a version", Table(Action::PurgeVersions)),
    ("rotate a password", Table(Action::RotatePasswords)),
    ("give a rotation up", Table(Action::RotatePasswords)),
    ("retire a login", Table(Action::RotatePasswords)),
    ("edit over to the second login", Table(Action::RotatePasswords)),
    ("remove a second login", Table(Action::RotatePasswords)),
    ("plan rotations", Table(Action::RotatePasswords)),
    ("remove the plan of rotations", Table(Action::RotatePasswords)),
    ("set a channel", Table(Action::SetChannels)),
    ("remove a channel", Table(Action::SetChannels)),
    ("define a type", Table(Action::DefineTypes)),
    ("change a type", Table(Action::DefineTypes)),
    ("remove a type", Table(Action::DefineTypes)),
    ("make a link", Owners(OwnersAct::MakeLinks)),
    ("delete a workspace", Owners(OwnersAct::DeleteWorkspaces)),
    ("change settings", Owners(OwnersAct::ChangeSettings)),
    ("remove a member", Table(Action::ManagePeople)),
];

/// Events whose acts take none, and why.
const FREE: &[(&str, &str)] = &[
    ("credentials.read", "a token's, which was made after one"),
    ("credentials.unchanged", "a token's, which was made after one"),
    ("connection.test", "sends a stored secret where it goes anyway"),
    ("connection.message", "follows from a channel, which was set after one"),
    ("connection.carry_secret", "takes the password each time"),
    ("connection.rotated", "ends what took one"),
    (
        "connection.second_login_set",
        "takes one, as the rotation for which it is given; `studio` has it, since it takes a database",
    ),
    ("connection.login_retired", "ends what took one"),
    ("connection.delete", "takes away, and sends nothing anywhere"),
    ("connection.restore", "brings back what its editors may make anew"),
    ("connection.health_schedule_set", "sends a stored secret where it goes anyway"),
    ("connection.health_schedule_removed", "takes away"),
    ("health_schedule.set", "sends stored secrets where they go anyway"),
    ("health_schedule.removed", "takes away"),
    ("connection.lint_silenced", "hides what is found, and is seen itself"),
    ("connection.lint_lifted", "takes away"),
    ("lint.silenced", "hides what is found, and is seen itself"),
    ("lint.lifted", "takes away"),
    ("connection.rename", "gives nobody anything: who named it by the old name had it"),
    ("connection.repoint", "gives nobody anything: who may use the other one is decided there"),
    ("alias.remove", "takes away"),
    ("scan.report", "tells what code names, and gives nobody anything"),
    ("scan.forget", "takes away"),
    ("token.revoke", "takes away"),
    ("person.sign_in", "is one"),
    ("person.sign_out", "takes away"),
    ("person.confirm", "is one"),
    ("person.confirm_failed", "is one"),
    ("person.end_sessions", "takes away"),
    ("person.link_provider", "takes the password each time, or is a sign-in"),
    ("person.unlink_provider", "takes the password each time"),
    ("member.claims", "the provider's, as somebody signs in"),
    ("person.password", "takes the password each time, or a link"),
    ("workspace.create", "gives nobody anything that is there"),
    ("keys.recover", "a shell's"),
    ("keys.rotate", "a shell's"),
    ("keys.end_rotation", "a shell's"),
    ("keys.add_slot", "a shell's"),
    ("keys.remove_slot", "a shell's"),
    ("keys.recovery", "a shell's"),
    ("audit.begin", "the server's own"),
    ("person.sign_in_failed", "nobody's who is signed in"),
    ("audit.expired", "the server's own, by a setting that took one"),
    ("backup.take", "a shell's"),
    ("backup.restore", "a shell's"),
];

fn weak() -> serde_json::Value {
    json!({"password": "typed", "extra": {"insecure_auth": "md5"}})
}

async fn act(fixture: &Fixture, caller: &Caller, name: &str) -> Result<()> {
    let app = &fixture.app;
    let put = async |email, role| people::put_member(app, caller, WORKSPACE, email, Roles::of(&[role])).await.map(drop);
    let narrow = async |users| users::set(app, caller, WORKSPACE, "sales", (users, Precondition::Any)).await.map(drop);
    let define = async |label, before| {
        let definition = format!("extends = \"postgres\"\nlabel = \"{label}\"\n");
        let replaces = Some(before).filter(|before| *before > 0);
        own_types::put(app, caller, WORKSPACE, "ours", &definition, replaces).await.map(drop)
    };
    match name {
        "make a token" => {
            let roles = Roles::of(&[Role::User]);
            let new = NewToken { name: "nightly".into(), roles, expires_in_days: None, connections: None };
            tokens::create(app, caller, WORKSPACE, new).await.map(drop)
        }
        "change roles" => put(EMAIL, Role::Editor).await,
        "invite" => put("new@example.org", Role::Viewer).await,
        "disable" => people::set_disabled(app, caller, WORKSPACE, EMAIL, true).await,
        "enable" => people::set_disabled(app, caller, WORKSPACE, EMAIL, false).await,
        "make a group" => groups::put(app, caller, WORKSPACE, "finance", &[EMAIL.to_owned()]).await.map(drop),
        "narrow" => narrow(Some(Users { groups: vec!["finance".into()], ..Users::default() })).await,
        "widen" => narrow(None).await,
        "remove a group" => groups::remove(app, caller, WORKSPACE, "finance").await,
        "create with insecure_auth" => {
            let new = json!({"name": "crm", "type": "postgres", "host": "h", "username": "u", "extra": {"insecure_auth": "md5"}});
            connections::create(app, caller, WORKSPACE, draft(&new)).await.map(drop)
        }
        "set insecure_auth" => {
            let change = Change { draft: draft(&weak()), precondition: Precondition::Any, ..Default::default() };
            connections::edit(app, caller, WORKSPACE, "sales", change).await.map(drop)
        }
        "restore insecure_auth" => history::restore(
            app,
            caller,
            WORKSPACE,
            "sales",
            history::Restore { version: 2, precondition: Precondition::Any, ..Default::default() },
        )
        .await
        .map(drop),
        "purge a version" => history::purge(app, caller, WORKSPACE, "sales", (1, Precondition::Any)).await,
        "rotate a password" => rotations::rotate(app, caller, WORKSPACE, "sales", &Precondition::Any).await.map(drop),
        "give a rotation up" => {
            // By then the database has done what it was asked for, or does not.
            app.clock.advance(21 * SECOND);
            rotations::give_up(app, caller, WORKSPACE, "sales", &Precondition::Any).await.map(drop)
        }
        "retire a login" => {
            // There is no act by which one comes here without a database.
            planted::plant(app, WORKSPACE, "sales", ("bert", Some(2))).await;
            second_login::retire(app, caller, WORKSPACE, "sales", (true, &Precondition::Any)).await.map(drop)
        }
        "edit over to the second login" => {
            planted::plant(app, WORKSPACE, "sales", ("bert", None)).await;
            let change = json!({"username": "bert", "password": "planted for bert"});
            let change = Change { draft: draft(&change), precondition: Precondition::Any, ..Default::default() };
            connections::edit(app, caller, WORKSPACE, "sales", change).await.map(drop)
        }
        "remove a second login" => {
            // What could not be retired stands in hand for no longer than its lease.
            second_login::remove(app, caller, WORKSPACE, "sales", (true, &Precondition::Any)).await
        }
        "plan rotations" => {
            let policy = Policy { every_days: Some(30), ..Policy::default() };
            policy::set(app, caller, WORKSPACE, "sales", (policy, &Precondition::Any)).await.map(drop)
        }
        "remove the plan of rotations" => policy::remove(app, caller, WORKSPACE, "sales", &Precondition::Any).await,
        "set a channel" => {
            let channel = Channel { connection: "hook".to_owned(), addresses: Vec::new(), tag: None, tells: Tells::All };
            channel::set(app, caller, WORKSPACE, "oncall", (channel, &Precondition::Any)).await.map(drop)
        }
        "remove a channel" => channel::remove(app, caller, WORKSPACE, "oncall", &Precondition::Any).await,
        "define a type" => define("Ours", 0).await,
        "change a type" => define("Ours too", 1).await,
        "remove a type" => own_types::remove(app, caller, WORKSPACE, "ours", 2).await,
        "make a link" => links::create_link(app, caller, EMAIL, LinkKind::Password).await.map(drop),
        "delete a workspace" => workspaces::delete(app, caller, "theirs", &Precondition::Any).await.map(drop),
        "change settings" => settings::change(app, caller, &Precondition::Any, AddressLists::default()).await.map(drop),
        "remove a member" => people::remove_member(app, caller, WORKSPACE, EMAIL).await,
        other => panic!("no act is called “{other}”"),
    }
}

/// What an act could change, and the events that there are.
async fn state(fixture: &Fixture) -> (i64, i64, Vec<String>) {
    let mut read = fixture.app.store.read().await.expect("open");
    let sql = "SELECT (SELECT tick FROM change_clock), (SELECT count(*) FROM links)";
    let (tick, links): (i64, i64) = store::fetch!(&mut read, fetch_one, (i64, i64), sql).expect("read");
    let sql = "SELECT action FROM audit_events ORDER BY at, action";
    let events: Vec<(String,)> = store::fetch!(&mut read, fetch_all, (String,), sql).expect("read");
    (tick, links, events.into_iter().map(|(action,)| action).collect())
}

fn with_password(caller: &Caller, text: &str) -> Caller {
    Caller { own_password: Some(Arc::new(Secret::new(text.to_owned()))), ..caller.clone() }
}

/// An owner whose session is too old, and another one's that is not.
async fn owners(fixture: &Fixture) -> (Caller, Caller) {
    fixture.sign_up(EMAIL, &[Role::User]).await;
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    for insecure_auth in [json!("password"), json!(null)] {
        let change = draft(&json!({"password": "typed", "extra": {"insecure_auth": insecure_auth}}));
        let change = Change { draft: change, precondition: Precondition::Any, ..Default::default() };
        connections::edit(&fixture.app, &Caller::shell(), WORKSPACE, "sales", change).await.expect("saved");
    }
    let hook = draft(&json!({"name": "hook", "type": "webhook", "host": "hooks.example.org"}));
    connections::create(&fixture.app, &Caller::shell(), WORKSPACE, hook).await.expect("created");
    workspaces::create(&fixture.app, &Caller::shell(), "theirs").await.expect("made");
    let old = fixture.owner().await;
    fixture.app.clock.advance(CONFIRMED_FOR + SECOND);
    let new = fixture.owner().await;
    (fixture.person(&old).await.expect("signed in"), fixture.person(&new).await.expect("signed in"))
}

async fn each_marked_act_is_refused_to_an_old_session(fixture: &Fixture, store: &str) {
    let (old, new) = owners(fixture).await;
    let mut left = BTreeSet::new();
    for (name, under) in ACTS {
        let before = state(fixture).await;
        let refused = act(fixture, &old, name).await;
        assert!(matches!(refused, Err(Error::SecondLook)), "{name}, {under:?}: {refused:?}");
        assert_eq!(state(fixture).await, before, "{name} was refused");
        act(fixture, &new, name).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let after = state(fixture).await;
        assert_ne!(after, before, "{name} was done");
        left.extend(after.2.into_iter().skip(before.2.len()));
    }
    let marked = TABLE.iter().filter(|(.., look)| *look == Look::Lately).map(|(action, ..)| Table(*action));
    let marked: Vec<_> =
        marked.chain(OWNERS.iter().filter(|(_, look)| *look == Look::Lately).map(|(act, _)| Owners(*act))).collect();
    for under in &marked {
        assert!(ACTS.iter().any(|(_, of)| of == under), "{under:?} takes a second look: its act belongs into ACTS");
    }
    assert!(ACTS.iter().all(|(_, under)| marked.contains(under)));
    println!("promise: second look, {store}: {} acts in a session that was confirmed too long ago: 0 done", ACTS.len());
    for (event, words) in audit::ACTIONS {
        let is_free = FREE.iter().any(|(free, _)| free == event);
        assert!(
            is_free != left.contains(*event),
            "“{words}”: the act of {event} takes a second look, and belongs into ACTS, or into FREE"
        );
    }
}

#[tokio::test]
async fn each_marked_act_is_refused_to_an_old_session_on_sqlite() {
    each_marked_act_is_refused_to_an_old_session(&Fixture::new().await, "SQLite").await;
}

#[tokio::test]
async fn each_marked_act_is_refused_to_an_old_session_on_postgres() {
    each_marked_act_is_refused_to_an_old_session(&Fixture::on_postgres().await, "PostgreSQL").await;
}

async fn a_password_opens_its_own_session_for_ten_minutes(fixture: &Fixture) {
    fixture.sign_up(EMAIL, &[Role::User]).await;
    let (here, elsewhere) = (fixture.owner().await, fixture.owner().await);
    let change = async |caller: &Caller| act(fixture, caller, "change roles").await;
    let person = async |cookie| fixture.person(cookie).await.expect("signed in");
    // The clock goes on by itself, too.
    fixture.app.clock.advance(CONFIRMED_FOR - 120 * SECOND);
    change(&person(&here).await).await.expect("two minutes are left");
    fixture.app.clock.advance(121 * SECOND);
    let before = state(fixture).await;
    for wrong in ["", "another long password"] {
        let refused = change(&with_password(&person(&here).await, wrong)).await;
        assert!(matches!(refused, Err(Error::WrongOwnPassword)), "{refused:?}");
    }
    let (tick, _, events) = state(fixture).await;
    assert_eq!(
        (tick, &events[events.len() - 2..]),
        (before.0, &["person.confirm_failed", "person.confirm_failed"].map(String::from)[..])
    );
    assert_eq!(events.len(), before.2.len() + 2);

    change(&with_password(&person(&here).await, PASSWORD)).await.expect("it is he");
    change(&person(&here).await).await.expect("it was he");
    assert!(matches!(change(&person(&elsewhere).await).await, Err(Error::SecondLook)), "the other session");
    let (.., events) = state(fixture).await;
    assert_eq!(events.iter().filter(|event| *event == "person.confirm").count(), 1, "{events:?}");
    fixture.app.clock.advance(CONFIRMED_FOR + SECOND);
    assert!(matches!(change(&person(&here).await).await, Err(Error::SecondLook)));
}

#[tokio::test]
async fn a_password_opens_its_own_session_for_ten_minutes_on_sqlite() {
    a_password_opens_its_own_session_for_ten_minutes(&Fixture::new().await).await;
}

#[tokio::test]
async fn a_password_opens_its_own_session_for_ten_minutes_on_postgres() {
    a_password_opens_its_own_session_for_ten_minutes(&Fixture::on_postgres().await).await;
}

#[tokio::test]
async fn who_guesses_in_an_open_session_waits_as_one_who_signs_in() {
    let fixture = Fixture::new().await;
    let (old, new) = owners(&fixture).await;
    let at = |caller: &Caller, address: &str| Caller { address: address.parse().ok(), ..caller.clone() };
    let here = at(&old, "203.0.113.7");
    for number in 0..5 {
        let refused = act(&fixture, &with_password(&here, &format!("guess number {number}")), "change roles").await;
        assert!(matches!(refused, Err(Error::WrongOwnPassword)), "{refused:?}");
    }
    let waits = act(&fixture, &with_password(&here, PASSWORD), "change roles").await;
    assert!(matches!(waits, Err(Error::TooManyAttempts(1))), "{waits:?}");
    act(&fixture, &with_password(&at(&old, "203.0.113.8"), PASSWORD), "change roles").await.expect("he is elsewhere");
    act(&fixture, &at(&new, "203.0.113.7"), "change roles").await.expect("nobody asks him");
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_is_not_opened_by_its_password() {
    let fixture = Fixture::new().await;
    let (old, new) = owners(&fixture).await;
    fixture.bend("DELETE FROM sessions").await;
    let refused = act(&fixture, &with_password(&old, PASSWORD), "change roles").await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    act(&fixture, &new, "change roles").await.expect("his request had begun");
}

#[tokio::test]
async fn who_may_not_is_not_asked_and_tokens_and_shells_never_are() {
    let fixture = Fixture::new().await;
    let (_, new) = owners(&fixture).await;
    let cookie = fixture.sign_up("eve@example.org", &[Role::Viewer]).await;
    let token = fixture.token(&new, "admin", Role::Admin).await;
    fixture.app.clock.advance(SESSION_LONGEST.min(DAY) / 36);
    let viewer = fixture.person(&cookie).await.expect("signed in");
    assert!(matches!(act(&fixture, &viewer, "change roles").await, Err(Error::Forbidden(_))));
    assert!(matches!(act(&fixture, &viewer, "make a link").await, Err(Error::OwnersOnly(_))));
    assert!(matches!(act(&fixture, &viewer, "make a token").await, Err(Error::SecondLook)));
    for caller in [fixture.by_token(&token).await.expect("it lives"), Caller::shell()] {
        act(&fixture, &caller, "change roles").await.expect("it has no session");
    }
}

#[tokio::test]
async fn only_a_field_for_admins_that_changes_takes_one() {
    let fixture = Fixture::new().await;
    let (old, new) = owners(&fixture).await;
    let app = &fixture.app;
    let save = async |caller: &Caller, change: &serde_json::Value| {
        let change = Change { draft: draft(change), precondition: Precondition::Any, ..Default::default() };
        connections::edit(app, caller, WORKSPACE, "sales", change).await.map(drop)
    };
    save(&old, &json!({"description": "x", "password": "typed"})).await.expect("nothing for admins");
    act(&fixture, &new, "set insecure_auth").await.expect("he just signed in");
    save(&old, &json!({"description": "y", "extra": {"insecure_auth": "md5"}})).await.expect("it stays as it is");
    save(&old, &json!({"password": "typed", "extra": {"insecure_auth": null}})).await.expect("it is taken back");
    let right = with_password(&old, PASSWORD);
    assert!(matches!(save(&with_password(&old, "wrong"), &weak()).await, Err(Error::WrongOwnPassword)));
    save(&right, &weak()).await.expect("it is he");
    assert_eq!(old.label(), OWNER);
}

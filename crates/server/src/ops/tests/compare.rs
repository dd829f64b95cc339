//! Two workspaces side by side over thousands of names; what is bent between them; copies at the same instant.

use dataflow_vault::random_uuid;
use serde_json::json;

use super::{Fixture, WORKSPACE, draft, sample};
use crate::{
    clock::SECOND,
    error::Error,
    ops::{
        Caller, Role,
        compare::{self, Callers, LOOKED_THROUGH, Pair, State},
        connections::{self, Change, Precondition},
        paging::Paging,
        people,
        promote::{self, Copied, Order},
        rows::Sealed as _,
        safe_change::Trial,
        second_look::CONFIRMED_FOR,
        workspaces,
    },
    store::{self, Value},
};

const THERE: &str = "prod";
const NAMES: usize = 2_500;

fn shell() -> Callers {
    Callers::both(Caller::shell())
}

async fn with_prod(fixture: &Fixture) -> String {
    workspaces::create(&fixture.app, &Caller::shell(), THERE).await.expect("made").id
}

/// Puts `NAMES` connections here, and all but some of them there, as a restore does: each save by itself would sync the disk.
async fn fill(fixture: &Fixture, there: &str) {
    let app = &fixture.app;
    connections::create(app, &Caller::shell(), WORKSPACE, sample("n")).await.expect("created");
    let here = app.workspace(WORKSPACE).await.expect("read").expect("there").id.to_string();
    let (row, version) =
        store::serving(&mut app.store.read().await.expect("open"), &here, "n").await.expect("read").expect("there");
    let (mut rows, mut versions) = (Vec::new(), Vec::new());
    for number in 0..NAMES {
        for workspace_id in [here.as_str(), there] {
            // Every hundredth is missing there; every fiftieth has another description there.
            let (is_other, is_there) = (number % 50 == 25, workspace_id == there);
            if number % 100 == 0 && is_there {
                continue;
            }
            let (id, name) = (random_uuid().to_string(), format!("n{number:05}"));
            let description = if is_other && is_there { "other" } else { "" };
            let mut row = row.clone();
            (row.id, row.workspace_id, row.name_key, row.name) =
                (id.clone(), workspace_id.to_owned(), name.clone(), name.clone());
            row.description = description.to_owned();
            let row = row.sealed(&app.vault);
            let mut version = version.clone();
            (version.connection_id, version.name, version.description) = (id, name, description.to_owned());
            let version = version.sealed(&app.vault);
            let texts = [&row.id, &row.workspace_id, &row.name, &row.name_key, &row.type_id, &row.description, &row.tags];
            let more = [&row.address, &row.created_by, &row.updated_by, &row.recent_checks];
            let numbers = [row.version, row.created_at, row.updated_at];
            rows.push(values(texts.into_iter().chain(more), &numbers, &row.mac));
            let texts = [&version.connection_id, &version.name, &version.type_id, &version.description, &version.tags];
            let more = [&version.fields, &version.endpoint_paths, &version.secrets, &version.fingerprint, &version.saved_by];
            let numbers = [version.version, version.saved_at, version.key_version];
            versions.push(values(texts.into_iter().chain(more), &numbers, &version.mac));
        }
    }
    let columns = [
        "id",
        "workspace_id",
        "name",
        "name_key",
        "type",
        "description",
        "tags",
        "address",
        "created_by",
        "updated_by",
        "recent_checks",
        "version",
        "created_at",
        "updated_at",
        "mac",
    ];
    let of_versions = [
        "connection_id",
        "name",
        "type",
        "description",
        "tags",
        "fields",
        "endpoint_paths",
        "secrets",
        "fingerprint",
        "saved_by",
        "version",
        "saved_at",
        "key_version",
        "mac",
    ];
    let mut write = app.store.write().await.expect("the store is free");
    store::put_rows(&mut write, "connections", &columns, &rows).await.expect("written");
    store::put_rows(&mut write, store::VERSIONS, &of_versions, &versions).await.expect("written");
    write.commit_quietly().await.expect("committed");
}

fn values<'t>(texts: impl Iterator<Item = &'t String>, numbers: &[i64], mac: &[u8]) -> Vec<Value> {
    let numbers = numbers.iter().map(|number| Value::Number(Some(*number)));
    texts.map(|text| Value::Text(Some(text.clone()))).chain(numbers).chain([Value::Bytes(Some(mac.to_vec()))]).collect()
}

/// Every page, and how many there were.
async fn walk(fixture: &Fixture, drift_only: bool, limit: usize) -> (Vec<Pair>, Vec<usize>) {
    let (mut pairs, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let paging = Paging { cursor, limit: Some(limit) };
        let page = compare::compare(&fixture.app, &shell(), (WORKSPACE, THERE), drift_only, &paging).await.expect("a page");
        sizes.push(page.rows.len());
        pairs.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            return (pairs, sizes);
        }
    }
}

async fn every_name_once(fixture: Fixture) {
    let there = with_prod(&fixture).await;
    fill(&fixture, &there).await;
    let (pairs, sizes) = walk(&fixture, false, 200).await;
    let names: Vec<_> = pairs.iter().map(|pair| pair.name.clone()).collect();
    let expected: Vec<_> = ["n".to_owned()].into_iter().chain((0..NAMES).map(|number| format!("n{number:05}"))).collect();
    assert_eq!(names, expected, "each once, in their order");
    assert_eq!((sizes.len(), sizes.last()), (13, Some(&101)));
    let of = |state| pairs.iter().filter(|pair| pair.state == state).count();
    let counts = [State::OnlyHere, State::OnlyThere, State::Differs, State::Same, State::Altered].map(of);
    assert_eq!(counts, [NAMES / 100 + 1, 0, NAMES / 50, NAMES - NAMES / 100 - NAMES / 50, 0]);

    let (drift, sizes) = walk(&fixture, true, 50).await;
    let all: Vec<_> = pairs.iter().filter(|pair| pair.state != State::Same).map(|pair| &pair.name).collect();
    assert_eq!(drift.iter().map(|pair| &pair.name).collect::<Vec<_>>(), all);
    // 30 of a thousand names differ: a request ends at the thousandth, before its page is full.
    assert_eq!(sizes, [31, 30, 15]);
    assert_eq!(LOOKED_THROUGH, 1_000);
    let exactly = walk(&fixture, true, 31).await.1;
    assert_eq!(exactly.iter().sum::<usize>(), all.len());
}

fn order(fields: Option<&[&str]>, precondition: Precondition) -> Order {
    let fields = fields.map(|fields| fields.iter().map(ToString::to_string).collect());
    Order { to: THERE.to_owned(), fields, precondition, trial: Trial::None }
}

async fn copy(fixture: &Fixture, fields: Option<&[&str]>, precondition: Precondition) -> Result<Copied, Error> {
    promote::copy(&fixture.app, &shell(), WORKSPACE, "sales", &order(fields, precondition)).await
}

async fn two_copies_at_once(fixture: Fixture) {
    with_prod(&fixture).await;
    let app = &fixture.app;
    connections::create(app, &Caller::shell(), WORKSPACE, sample("sales")).await.expect("created");
    let (one, other) = tokio::join!(copy(&fixture, None, Precondition::Missing), copy(&fixture, None, Precondition::Missing));
    let (made, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    assert!(made.expect("one of them").is_new);
    // The other one found it there, before it wrote or as it did.
    match refused {
        Err(Error::NameTaken(name)) => assert_eq!(name, "sales"),
        Err(Error::Invalid(errors)) => assert_eq!(errors[0].field, "fields"),
        other => panic!("{other:?}"),
    }

    fixture.describe("sales", "Orders").await;
    let seen = connections::show(app, &Caller::shell(), THERE, "sales").await.expect("there");
    let seen = || Precondition::Tags(vec![seen.etag()]);
    let (one, other) =
        tokio::join!(copy(&fixture, Some(&["description"]), seen()), copy(&fixture, Some(&["description"]), seen()));
    let kept = [&one, &other].into_iter().filter(|copied| copied.is_ok()).count();
    assert_eq!(kept, 1, "{one:?} {other:?}");
    assert!(matches!([one, other].into_iter().find_map(Result::err), Some(Error::VersionConflict)));
    let now = connections::show(app, &Caller::shell(), THERE, "sales").await.expect("there");
    assert_eq!((now.row.description.as_str(), now.row.version), ("Orders", 2));
}

/// Whatever is there when the copy is made: it never changes where a connection leads that is there.
async fn what_directs_is_never_copied(fixture: Fixture) {
    with_prod(&fixture).await;
    let (app, shell) = (&fixture.app, Caller::shell());
    let all = json!({"host": "dev.example.org", "port": 5433, "username": "dev", "tls": {"mode": "verify-ca"}, "extra": {"insecure_auth": "md5"}, "password": "x"});
    connections::create(app, &shell, WORKSPACE, sample("sales")).await.expect("created");
    connections::create(app, &shell, THERE, sample("sales")).await.expect("created");
    let change = Change { draft: draft(&all), precondition: Precondition::Any, ..Default::default() };
    connections::edit(app, &shell, WORKSPACE, "sales", change).await.expect("saved");
    let before = connections::show(app, &shell, THERE, "sales").await.expect("there");
    let kind = app.catalogue.get("postgres").expect("known");
    let directing: Vec<_> = kind.endpoint_paths().iter().map(|path| path.as_str().to_owned()).collect();
    let mut tried = 0;
    for set in [true, false] {
        if !set {
            // Without a secret there it is the same.
            let change =
                Change { draft: draft(&json!({"password": null})), precondition: Precondition::Any, ..Default::default() };
            connections::edit(app, &shell, THERE, "sales", change).await.expect("saved");
        }
        for path in &directing {
            let found = copy(&fixture, Some(&[path]), Precondition::Any).await;
            let is_other = matches!(path.as_str(), "host" | "port" | "username" | "tls.mode" | "extra.insecure_auth");
            match found {
                Err(Error::Invalid(errors)) if is_other => assert_eq!(errors[0].field, *path),
                Ok(copied) if !is_other => assert!(!copied.is_new),
                other => panic!("{path}: {other:?}"),
            }
            tried += 1;
        }
    }
    assert!(tried >= 16, "{tried}");
    let after = connections::show(app, &shell, THERE, "sales").await.expect("there");
    assert_eq!((&after.public, after.row.version), (&before.public, 2));
    println!(
        "promise: promotion, {}: {tried} copies over what is there: 0 changes of where a secret goes",
        app.store.engine_name()
    );
}

async fn a_bent_row_is_said_to_be_one(fixture: Fixture) {
    with_prod(&fixture).await;
    let (app, shell_caller) = (&fixture.app, Caller::shell());
    for name in ["crm", "sales"] {
        connections::create(app, &shell_caller, WORKSPACE, sample(name)).await.expect("created");
        connections::create(app, &shell_caller, THERE, sample(name)).await.expect("created");
    }
    fixture
        .bend(
            "UPDATE connection_versions SET fields = replace(fields, 'db.example.org', 'evil.example.org') WHERE name = 'sales'",
        )
        .await;
    let (pairs, _) = walk(&fixture, false, 50).await;
    assert_eq!(pairs.iter().map(|pair| pair.state).collect::<Vec<_>>(), [State::Same, State::Altered]);
    assert!(pairs.iter().all(|pair| pair.drifts.is_empty()));
    assert!(matches!(copy(&fixture, Some(&["description"]), Precondition::Any).await, Err(Error::SecretUnreadable(_))));
}

/// A person is who he is on both sides: his roles there count there, and so does the second look.
#[tokio::test]
async fn fields_for_admins_take_an_admin_there_and_a_second_look() {
    let fixture = Fixture::new().await;
    with_prod(&fixture).await;
    let app = &fixture.app;
    let new = json!({"name": "sales", "type": "postgres", "host": "h", "username": "u", "extra": {"insecure_auth": "md5"}});
    connections::create(app, &Caller::shell(), WORKSPACE, draft(&new)).await.expect("created");
    let cookie = fixture.sign_up("eve@example.org", &[Role::Admin]).await;
    let of = |caller: Caller| async move {
        promote::copy(app, &Callers::both(caller), WORKSPACE, "sales", &order(None, Precondition::Missing)).await
    };
    let eve = fixture.person(&cookie).await.expect("signed in");
    assert!(matches!(of(eve).await, Err(Error::NotFound("workspace"))), "she is not in it");
    for (role, refused) in [(Role::Viewer, "create connections"), (Role::Editor, "")] {
        let roles = crate::ops::Roles::of(&[role]);
        people::put_member(app, &Caller::shell(), THERE, "eve@example.org", roles).await.expect("added");
        app.caches.forget_all();
        let eve = fixture.person(&cookie).await.expect("signed in");
        match of(eve).await {
            Err(Error::Forbidden(words)) => assert_eq!(words, refused),
            Err(Error::Invalid(errors)) => {
                assert_eq!((errors[0].field.as_str(), errors[0].code.as_str()), ("extra.insecure_auth", "admin_only"));
            }
            other => panic!("{role:?}: {other:?}"),
        }
    }
    let owner = fixture.owner().await;
    app.clock.advance(CONFIRMED_FOR + SECOND);
    let old = fixture.person(&owner).await.expect("signed in");
    assert!(matches!(of(old).await, Err(Error::SecondLook)));
    let new = fixture.owner().await;
    let copied = of(fixture.person(&new).await.expect("signed in")).await.expect("copied");
    assert_eq!(copied.connection.public.text("extra.insecure_auth"), Some("md5"));
}

on_both_engines! {
    every_name_once as every_name_on_sqlite, every_name_on_postgres;
    two_copies_at_once as two_copies_on_sqlite, two_copies_on_postgres;
    what_directs_is_never_copied as what_directs_on_sqlite, what_directs_on_postgres;
    a_bent_row_is_said_to_be_one as a_bent_row_on_sqlite, a_bent_row_on_postgres;
}

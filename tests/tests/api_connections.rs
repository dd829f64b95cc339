//! The life of a connection over the API, on both stores.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    http::Request,
    stored::{Engine, Stored, sample},
};
use rstest::rstest;
use serde_json::{Value, json};

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().expect("a list").iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

fn found(stored: &Stored, query: &str) -> Vec<String> {
    names(&stored.admin("GET", &format!("/connections?{query}")).send().expect(200).json())
}

/// Every page of a list, each of at most `limit`.
fn pages(stored: &Stored, token: &str, query: &str, limit: usize) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/workspaces/default/connections?{query}&limit={limit}{cursor}");
        let page = stored.request(token, "GET", &path).send().expect(200).json();
        let names = names(&page);
        assert!(names.len() <= limit && !names.is_empty(), "{page}");
        all.extend(names);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_connection_lives_dies_and_lives_again(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let mut body = sample("sales", "planted");
    body["description"] = json!("The sales of Europe");
    body["tags"] = json!(["finance", "EU"]);
    let created = stored.admin("POST", "/connections").json(&body).send();
    assert_eq!(created.expect(201).header("location"), "/api/v1/workspaces/default/connections/sales");
    let made = created.json();
    assert_eq!(
        (&made["version"], &made["created_by"], &made["tags"]),
        (&json!(1), &json!("token admin"), &json!(["EU", "finance"]))
    );
    assert_eq!((&made["port"], &made["tls"]["mode"]), (&json!(5432), &json!("verify-full")), "defaults are filled in");
    assert_eq!((&made["password"], &made["tls"]["key"]), (&json!({"set": true}), &json!({"set": false})));

    let shown = stored.show("sales");
    assert_eq!(shown.expect(200).json(), made);
    assert_eq!(shown.header("etag"), created.header("etag"));
    stored.show("SALES").refused(404, "not_found");
    stored.admin("POST", "/connections").json(&sample("Sales", "x")).send().refused(409, "name_taken");

    let edited = stored.edit("sales", &json!({"description": "All sales", "extra": {"application_name": "reports"}}));
    let now = edited.expect(200).json();
    assert_eq!((&now["version"], &now["description"], &now["host"]), (&json!(2), &json!("All sales"), &made["host"]));
    assert_eq!(now["extra"]["application_name"], "reports");
    let cleared = stored.edit("sales", &json!({"description": null, "tags": null, "extra": {"application_name": null}}));
    let cleared = cleared.expect(200).json();
    assert_eq!(
        (&cleared["description"], &cleared["tags"], cleared["extra"].get("application_name")),
        (&json!(""), &json!([]), None)
    );
    // What was read can be sent back whole.
    assert_eq!(stored.edit("sales", &cleared).expect(200).json(), cleared);

    let gone = stored.admin("DELETE", "/connections/sales?reason=moved%20to%20%E2%80%9Corders%E2%80%9D").header("if-match", "*");
    gone.send().expect(204);
    for method in ["GET", "PATCH", "DELETE"] {
        let request = stored.admin(method, "/connections/sales").header("if-match", "*").json(&json!({"description": "x"}));
        let problem = request.send().refused(410, "connection_deleted");
        assert_eq!((&problem["deleted_by"], &problem["reason"]), (&json!("token admin"), &json!("moved to “orders”")));
        assert!(problem["deleted_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{problem}");
    }
    stored.credentials("sales").refused(410, "connection_deleted");
    assert_eq!(found(&stored, ""), Vec::<String>::new());

    // The new one has the name, and nothing else of the old one.
    let again = stored.create("sales", "other");
    assert_ne!(again, created.header("etag"));
    assert_eq!(stored.show("sales").expect(200).json()["version"], 1);
    assert_eq!(stored.credentials("sales").expect(200).json()["fields"]["password"], "other");
    // Its earlier self is no precondition that holds, although both are at version 1.
    let stale = stored.admin("PATCH", "/connections/sales").header("if-match", created.header("etag"));
    stale.json(&json!({"description": "x"})).send().refused(412, "version_conflict");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_change_names_the_version_that_it_changes(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let first = stored.create("sales", "planted");
    let change = json!({"description": "x"});
    stored.admin("PATCH", "/connections/sales").json(&change).send().refused(428, "precondition_required");
    stored.admin("DELETE", "/connections/sales").send().refused(428, "precondition_required");
    let second = stored.admin("PATCH", "/connections/sales").header("if-match", &first).json(&change).send();
    let second = second.expect(200).header("etag").to_owned();
    assert_ne!(first, second);
    let weak = format!("W/{second}");
    let list = format!("{first}, {weak}");
    for stale in [first.as_str(), "\"nonsense\"", "\"é\"", "W/\"1\"", &weak, &list] {
        let request = stored.admin("PATCH", "/connections/sales").header("if-match", stale).json(&change);
        request.send().refused(412, "version_conflict");
        stored.admin("DELETE", "/connections/sales").header("if-match", stale).send().refused(412, "version_conflict");
    }
    // What cannot be read is not taken for none at all.
    for malformed in ["", "nonsense", "é", "\"nonsense", &format!("*, {second}"), second.trim_matches('"')] {
        let request = stored.admin("PATCH", "/connections/sales").header("if-match", malformed).json(&change);
        request.send().refused(400, "malformed_request");
        stored.admin("DELETE", "/connections/sales").header("if-match", malformed).send().refused(400, "malformed_request");
    }
    assert_eq!(stored.show("sales").header("etag"), second);
    let change = stored.admin("PATCH", "/connections/sales").header("if-match", &format!("{first}, {second}"));
    let third = change.json(&json!({"description": "y"})).send().expect(200).header("etag").to_owned();
    let request = stored.admin("DELETE", "/connections/sales").header("if-match", "\"other\"").header("if-match", &third);
    request.send().expect(204);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_change_of_nothing_makes_no_version(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let etag = stored.create("sales", "planted");
    let before = stored.show("sales").expect(200).json();
    let kept = || {
        stored.sql(
            "SELECT version, updated_at FROM connections; SELECT count(*) FROM connection_versions; SELECT count(*) FROM audit_events; \
             SELECT tick FROM change_clock",
        )
    };
    let rows = kept();
    let empty = json!({});
    let same = json!({"host": before["host"], "port": null, "tags": [], "password": {"set": true}, "tls": {"key": null}});
    for (key, nothing) in [("empty", &empty), ("same", &same), ("before", &before)] {
        let request = stored.admin("PATCH", "/connections/sales").json(nothing);
        request.clone().send().refused(428, "precondition_required");
        request.clone().header("if-match", "\"other\"").send().refused(412, "version_conflict");
        for number in 0..2 {
            // A repeat is told the same, and the key is spent.
            let answer = request.clone().header("if-match", &etag).header("idempotency-key", key).send();
            assert_eq!(
                (answer.expect(200).json(), answer.header("etag")),
                (before.clone(), etag.as_str()),
                "{number}: {nothing}"
            );
        }
        let other = stored.admin("PATCH", "/connections/sales").header("if-match", "*").json(&json!({"description": "x"}));
        other.header("idempotency-key", key).send().refused(409, "idempotency_conflict");
    }
    assert_eq!(kept(), rows);
    // The same password typed again is a change: whether it is the same is nobody's to learn.
    assert_eq!(stored.edit("sales", &json!({"password": "planted"})).expect(200).json()["version"], 2);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_connection_may_be_called_test(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let etag = stored.create("test", "planted");
    assert_eq!(stored.show("test").expect(200).header("etag"), etag);
    assert_eq!(stored.edit("test", &json!({"description": "mine"})).expect(200).json()["description"], "mine");
    assert_eq!(stored.credentials("test").expect(200).json()["name"], "test");
    stored.admin("GET", "/connections/test/checks").send().expect(200);
    // A body under POST is a test of unsaved values, and saves nothing.
    let unsaved = json!({"type": "postgres", "host": "127.0.0.1", "port": 1, "username": "u"});
    let report = stored.admin("POST", "/connections/test").json(&unsaved).send();
    assert_eq!(report.expect(200).json()["status"], "failed");
    stored.delete("test").expect(204);
    stored.show("test").refused(410, "connection_deleted");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn of_sixteen_at_once_one_gets_the_name(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    for round in 0..3 {
        let statuses = sixteen_at_once(|number| {
            // Names that differ by case only are the same name here.
            let name = if number.is_multiple_of(2) { format!("race{round}") } else { format!("Race{round}") };
            stored.admin("POST", "/connections").json(&sample(&name, "planted"))
        });
        assert_eq!(statuses, [vec![201], vec![409; 15]].concat());
    }
    assert_eq!(found(&stored, "").len(), 3);

    // The same for changes of one version: one is saved, the others learn that they were late.
    let etag = stored.create("edited", "planted");
    let statuses = sixteen_at_once(|number| {
        let change = json!({"description": format!("by {number}")});
        stored.admin("PATCH", "/connections/edited").header("if-match", &etag).json(&change)
    });
    assert_eq!(statuses, [vec![200], vec![412; 15]].concat());
    assert_eq!(stored.show("edited").json()["version"], 2);

    // Who asks for any version gets his turn: all are saved, one after the other.
    let statuses = sixteen_at_once(|number| {
        let change = json!({"description": format!("in turn, by {number}")});
        stored.admin("PATCH", "/connections/edited").header("if-match", "*").json(&change)
    });
    assert_eq!(statuses, [200; 16]);
    assert_eq!(stored.show("edited").json()["version"], 18);
    let statuses = sixteen_at_once(|_| stored.admin("DELETE", "/connections/edited").header("if-match", "*"));
    assert_eq!(statuses, [vec![204], vec![410; 15]].concat());
}

/// The statuses, in order, of sixteen requests that are sent at one instant.
fn sixteen_at_once(request: impl Fn(u8) -> Request) -> Vec<u16> {
    let start = Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|number| {
            let (request, start) = (request(number), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                request.send().status
            })
        })
        .collect();
    let mut statuses: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    statuses.sort_unstable();
    statuses
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_list_is_searched_sorted_and_paged(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let mut made = Vec::new();
    for number in 0..120 {
        let name = format!("{}-{:03}", if number % 2 == 0 { "Lake" } else { "warehouse" }, number * 7 % 120);
        let mut body = sample(&name, "planted");
        body["host"] = json!(format!("db{number}.example.org"));
        body["tags"] = if number % 3 == 0 { json!(["Third", "x"]) } else { json!([]) };
        if number % 4 == 0 {
            body["type"] = json!("mysql");
        }
        stored.admin("POST", "/connections").json(&body).send().expect(201);
        made.push(name);
    }
    let mut by_name = made.clone();
    by_name.sort_by_key(|name| name.to_lowercase());
    assert_eq!(pages(&stored, &stored.admin, "", 7), by_name);
    assert_eq!(pages(&stored, &stored.admin, "sort=name", 120), by_name);
    by_name.reverse();
    assert_eq!(pages(&stored, &stored.admin, "sort=-name", 7), by_name);
    let mut by_time = made.clone();
    by_time.reverse();
    assert_eq!(pages(&stored, &stored.admin, "sort=-updated", 7), by_time);
    assert_eq!(found(&stored, "").len(), 50, "the limit unless asked otherwise");
    // A change moves it to the top, and a page boundary still shows nothing twice.
    stored.edit(&made[60], &json!({"description": "Freshly painted"})).expect(200);
    let updated = pages(&stored, &stored.admin, "sort=-updated", 7);
    assert_eq!((updated[0].as_str(), updated.len()), (made[60].as_str(), 120));
    assert_eq!(updated.iter().collect::<BTreeSet<_>>().len(), 120);

    let count = |query: &str| pages(&stored, &stored.admin, query, 50).len();
    assert_eq!(count("search=lak"), 60, "beginnings of words, in any case");
    assert_eq!(found(&stored, "search=house"), Vec::<String>::new(), "beginnings only");
    assert_eq!(found(&stored, "search=fresh%20PAINT"), [made[60].as_str()], "every word counts, the description's too");
    assert_eq!(found(&stored, "search=db77"), [made[77].as_str()], "the host's words");
    assert_eq!((count("tag=third"), count("tag=THIRD"), found(&stored, "tag=t").len()), (40, 40, 0), "a tag is whole");
    assert_eq!((count("type=mysql"), count("type=postgres"), found(&stored, "type=sqlite").len()), (30, 90, 0));
    assert_eq!((count("status=untested"), found(&stored, "status=ok").len()), (120, 0));
    assert_eq!(count("search=ware&tag=third&type=postgres&sort=-updated"), count("search=ware&tag=third&type=postgres"));
    let item = &stored.admin("GET", "/connections?search=db77").send().json()["items"][0];
    assert_eq!((&item["address"], &item["last_check"]), (&json!("db77.example.org:5432 / sales"), &Value::Null));

    // A deleted one is in no list, and what was found by it is not found.
    stored.delete(&made[60]).expect(204);
    assert_eq!((pages(&stored, &stored.admin, "", 7).len(), found(&stored, "search=painted").len()), (119, 0));

    // A narrowed token sees its own in order, wherever they stand, and no cursor tells it of another.
    let (first, last) = (&by_name[119], &by_name[0]);
    let narrowed = stored.token("narrowed", "viewer", Some(&[first, last, "absent"]));
    for sort in ["sort=name", "sort=-name", "sort=-updated"] {
        let seen: BTreeSet<_> = pages(&stored, &narrowed, sort, 1).into_iter().collect();
        assert_eq!(seen, BTreeSet::from([first.clone(), last.clone()]), "{sort}");
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_was_tested_is_what_is_shown_as_tested(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let mut body = sample("sales", "planted");
    (body["host"], body["port"]) = (json!("127.0.0.1"), json!(1));
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    let report = stored.admin("POST", "/connections/sales/test").json(&json!({})).send().expect(200).json();
    assert_eq!(report["error"]["code"], "port_closed", "{report}");
    let last_check = || stored.show("sales").expect(200).json()["last_check"]["status"].clone();
    // A check is kept after the answer.
    let begun = Instant::now();
    while last_check().is_null() && begun.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((last_check(), found(&stored, "status=failed")), (json!("failed"), vec!["sales".to_owned()]));
    stored.edit("sales", &json!({"description": "the same place"})).expect(200);
    assert_eq!((last_check(), found(&stored, "status=failed")), (json!("failed"), vec!["sales".to_owned()]));
    stored.edit("sales", &json!({"port": 2, "password": "planted"})).expect(200);
    assert_eq!((last_check(), found(&stored, "status=untested")), (json!(null), vec!["sales".to_owned()]));
    assert!(found(&stored, "status=failed").is_empty());
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn fields_for_admins_are_set_by_admins(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let editor = stored.token("editor", "editor", None);
    let mut body = sample("weak", "planted");
    body["extra"] = json!({"insecure_auth": "md5"});
    let by = |token: &str| stored.request(token, "POST", "/workspaces/default/connections").json(&body).send();
    let problem = by(&editor).refused_field("invalid_fields", "extra.insecure_auth");
    assert_eq!(problem["errors"][0]["code"], "admin_only");
    by(&stored.admin).expect(201);
    // What an admin set stays when an editor changes something else.
    let edit = stored.request(&editor, "PATCH", "/workspaces/default/connections/weak").header("if-match", "*");
    let edited = edit.json(&json!({"description": "x"})).send().expect(200).json();
    assert_eq!(edited["extra"]["insecure_auth"], "md5");
}

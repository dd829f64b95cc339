//! Every change and every answer with a secret leaves an event, before the answer. On both stores.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, process::Command};

use dataflow_tests::{
    environment,
    fake_oidc::{FakeOidc, Trip},
    folder::TempDir,
    postgres::{Postgres, PostgresOptions},
    session::Session,
    shell::Shell,
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn every_change_has_its_event(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", "planted");
    stored.edit("sales", &json!({"description": "x", "password": "other", "extra": {"timezone": "UTC"}})).expect(200);
    stored.edit("sales", &json!({"host": "elsewhere"})).expect(422);
    stored.delete("sales").expect(204);
    stored.admin("POST", "/connections/sales/restore").header("if-match", "*").send().expect(200);
    stored.admin("PUT", "/scans/etl").json(&scan()).send().expect(200);
    stored.admin("DELETE", "/scans/etl").send().expect(204);
    let made = stored.admin("POST", "/tokens").json(&json!({"name": "reader", "roles": ["user"]})).send().expect(201).json();
    stored.admin("DELETE", &format!("/tokens/{}", made["id"].as_str().expect("an id"))).send().expect(204);
    stored.add_member("eve@example.org");
    stored.admin("PUT", "/members/eve@example.org").json(&json!({"roles": ["viewer"]})).send().expect(200);
    stored.admin("DELETE", "/members/eve@example.org").send().expect(204);
    stored.create_workspace("theirs");
    Shell::new(["workspace", "delete", "--yes", "theirs"]).args(stored.data_arguments()).run().stdout();
    let rows = stored.sql("SELECT actor, action, object FROM audit_events ORDER BY at, id");
    let expected = [
        "shell|person.create|admin@example.org",
        "shell|workspace.create|default",
        "shell|token.create|admin",
        "token admin|connection.create|sales",
        "token admin|connection.edit|sales",
        "token admin|connection.delete|sales",
        "token admin|connection.restore|sales",
        "token admin|scan.report|etl",
        "token admin|scan.forget|etl",
        "token admin|token.create|reader",
        "token admin|token.revoke|reader",
        "shell|person.create|eve@example.org",
        "shell|member.put|eve@example.org",
        "token admin|member.put|eve@example.org",
        "token admin|member.remove|eve@example.org",
        "shell|workspace.create|theirs",
        "shell|workspace.delete|theirs",
    ];
    let (mut rows, mut expected): (Vec<_>, _) = (rows.lines().collect(), expected);
    // Events of one transaction share their time.
    rows.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rows, expected);
    let detail = stored.sql("SELECT detail FROM audit_events WHERE action = 'connection.edit'");
    let mut detail: Value = serde_json::from_str(&detail).expect("JSON");
    let rows = detail.as_object_mut().and_then(|members| members.remove("rows"));
    assert!(rows.is_some_and(|rows| rows[0][0] == "connections"), "it notes the row that it left");
    assert_eq!(detail, json!({"version": 2, "fields": ["extra.timezone", "password"]}));
    assert_eq!(stored.sql("SELECT count(*) FROM audit_events WHERE length(mac) <> 32 OR workspace_id = ''"), "0");
}

/// A report of a project whose code names nothing.
fn scan() -> Value {
    json!({"scan": "5c1f0f0e-3f63-4c39-8a0b-51a8f7f0a1c2", "commit": null, "files": 1, "findings": [], "last": true})
}

/// A save that leaves the protection of a secret weak says so, each time.
#[test]
fn what_weakens_a_connection_is_in_its_events() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    let of = |name: &str| -> Vec<Value> {
        let list = stored.admin("GET", &format!("/activity?connection={name}")).send().expect(200).json();
        list["items"].as_array().expect("a list").iter().map(|entry| entry["detail"]["weak"].clone()).collect()
    };
    let weak = json!({"tls": {"mode": "require"}, "extra": {"insecure_auth": "md5"}, "password": "planted"});
    stored.edit("sales", &weak).expect(200);
    stored.edit("sales", &json!({"description": "x"})).expect(200);
    stored
        .edit("sales", &json!({"tls": {"mode": "verify-full"}, "extra": {"insecure_auth": null}, "password": "planted"}))
        .expect(200);
    let both = json!(["tls.mode=require", "extra.insecure_auth=md5"]);
    let none = Value::Null;
    let told = of("sales");
    assert_eq!(told, [none.clone(), both.clone(), both, none.clone()], "newest first");
    let page = Session::start(&stored.server).get("/w/default/activity").expect(200).text();
    assert_eq!(page.matches("weak: tls.mode=require, extra.insecure_auth=md5").count(), 2, "{page}");
    for (name, host, weak) in [("far", "db.example.org", json!(["tls.mode=disable"])), ("near", "127.0.0.1", none)] {
        let mut body = dataflow_tests::stored::sample(name, "planted");
        body["host"] = json!(host);
        body["tls"] = json!({"mode": "disable"});
        stored.admin("POST", "/connections").json(&body).send().expect(201);
        assert_eq!(of(name), [weak], "{name}");
    }
}

/// Words like `person.disable` in the rules: those of events, and nothing else.
fn actions_in_the_source(path: &Path, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("the source").filter(|_| !path.ends_with("tests")) {
            actions_in_the_source(&entry.expect("the source").path(), found);
        }
        return;
    }
    let source = fs::read_to_string(path).expect("the source");
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_action = |text: &&str| {
        let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        // A field of a connection is no event.
        let is_of_event = |noun: &str| word(noun) && !matches!(noun, "extra" | "tls");
        text.split_once('.').is_some_and(|(noun, verb)| is_of_event(noun) && word(verb))
    };
    found.extend(code.split('"').filter(is_action).map(ToOwned::to_owned));
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn each_kind_of_event_comes_of_its_act(#[case] engine: Engine) {
    let provider = FakeOidc::start();
    let mut stored = Stored::start_with(engine, &["--oidc", &provider.file(&[("groups", "engineers", "default", &["viewer"])])]);
    let data = stored.data_arguments();
    stored.add_member("eve@example.org");
    for act in ["disable", "enable"] {
        stored.admin("POST", &format!("/members/eve@example.org/{act}")).send().expect(204);
    }
    let owner = Session::start(&stored.server);
    let page = owner.submit("/w/default/access/link", "email=eve%40example.org").expect(201).text();
    let code = page.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link");
    Session::nobody(&stored.server).submit("/link", &format!("code={code}&password=another+long+password")).expect(303);
    Shell::new(["sign-in-link", "--email", "admin@example.org"]).args(&data).run().stdout();
    let people = stored.events(
        "SELECT actor, action, object, detail FROM audit_events WHERE action LIKE 'person.%' AND action <> 'person.create' ORDER BY at, action",
    );
    let expected = [
        "token admin|person.disable|eve@example.org|{}",
        "token admin|person.enable|eve@example.org|{}",
        "admin@example.org|person.sign_in|admin@example.org|{}",
        "admin@example.org|person.link|eve@example.org|{\"kind\":\"password\"}",
        "eve@example.org|person.password|eve@example.org|{}",
        "eve@example.org|person.sign_in|eve@example.org|{}",
        "shell|person.link|admin@example.org|{\"kind\":\"signin\"}",
    ];
    assert_eq!(people.lines().collect::<Vec<_>>(), expected);
    Session::nobody(&stored.server).submit("/sign-in", "email=eve%40example.org&password=not+the+right+one").expect(401);
    let leaving = Session::start(&stored.server);
    owner.submit("/account/end-others", "").expect(303);
    assert_eq!(leaving.submit("/sign-out", "").expect(303).header("location"), "/sign-in");
    Session::start(&stored.server).submit("/sign-out", "").expect(303);
    let ends =
        "SELECT action, object, detail FROM audit_events WHERE action IN ('person.end_sessions', 'person.sign_out') ORDER BY at";
    let ends = stored.events(ends);
    assert_eq!(ends, "person.end_sessions|admin@example.org|{\"sessions\":1}\nperson.sign_out|admin@example.org|{}");

    let own = "provider_password=correct+horse+battery+staple";
    provider.says(json!({"groups": ["engineers"]}));
    Trip::of(&owner.submit("/account/link", own), Session::nobody(&stored.server)).end_in(&owner).expect(200);
    owner.submit("/account/unlink", own).expect(303);
    let claims = "SELECT object, detail FROM audit_events WHERE action = 'member.claims' ORDER BY at";
    let given = ["{\"roles\":\"viewer\",\"before\":\"\"}", "{\"roles\":\"\",\"before\":\"viewer\"}"];
    assert_eq!(stored.events(claims), given.map(|detail| format!("admin@example.org|{detail}")).join("\n"));

    stored.create_workspace("theirs");
    owner.submit("/workspaces/theirs/delete", "confirm=theirs&etag=%220.0.0%22").expect(303);

    owner.submit("/settings/retention", "etag=%22retention.1%22&check_days=90&restore_days=60").expect(303);
    let settings = stored.events("SELECT actor, object, detail FROM audit_events WHERE action = 'settings.change'");
    assert_eq!(
        settings,
        "admin@example.org|retention|{\"check_days\":90,\"version_days\":null,\"change_days\":null,\"read_days\":null,\"restore_days\":60,\"workflow_days\":null}"
    );

    stored.create("sales", "planted");
    stored.edit("sales", &json!({"description": "x"})).expect(200);
    stored.admin("POST", "/connections/sales/versions/1/restore").header("if-match", "*").send().expect(200);
    let database = Postgres::start(&PostgresOptions::default());
    database.create_role("anna", "planted");
    let mut rotated = dataflow_tests::stored::sample("rotated", "planted");
    for (field, value) in [
        ("host", json!("127.0.0.1")),
        ("port", json!(database.port())),
        ("database", json!("postgres")),
        ("username", json!("anna")),
    ] {
        rotated[field] = value;
    }
    stored.admin("POST", "/connections").json(&rotated).send().expect(201);
    for state in ["rotated", "unchanged"] {
        let answer = stored.admin("POST", "/connections/rotated/rotate").header("if-match", "*").send().expect(200).json();
        assert_eq!(answer["state"], state, "{answer}");
        database.psql("ALTER ROLE anna PASSWORD 'another'");
    }
    second_login(&stored, &database);
    let policy = |method| stored.admin(method, "/connections/sales/rotation-policy").header("if-match", "*");
    policy("PUT").json(&json!({"every_days": 30, "at_hour": 3})).send().expect(200);
    policy("DELETE").send().expect(204);
    let policies = "SELECT action, object, detail FROM audit_events WHERE action LIKE 'connection.rotation_policy%' ORDER BY at";
    let expected = [
        "connection.rotation_policy_set|sales|{\"every_days\":30,\"at_hour\":3,\"length\":32,\"symbols\":\"-_\"}",
        "connection.rotation_policy_removed|sales|{}",
    ];
    assert_eq!(stored.events(policies).lines().collect::<Vec<_>>(), expected);
    for path in ["/connections/sales/health-schedule", "/health-schedules/tag:finance"] {
        let schedule = |method| stored.admin(method, path).header("if-match", "*");
        schedule("PUT")
            .json(&json!({"every_seconds": 86_400, "quiet_hours": {"from": "22:00", "to": "06:00"}}))
            .send()
            .expect(200);
        schedule("DELETE").send().expect(204);
    }
    let schedules = "SELECT action, object, detail FROM audit_events WHERE action LIKE '%health_schedule%' ORDER BY at";
    let detail = "{\"every_seconds\":86400,\"jitter_percent\":10,\"unhealthy_after\":2,\"healthy_after\":1,\"quiet_from\":1320,\"quiet_to\":360}";
    let expected = [
        format!("connection.health_schedule_set|sales|{detail}"),
        "connection.health_schedule_removed|sales|{}".to_owned(),
        format!("health_schedule.set|tag:finance|{detail}"),
        "health_schedule.removed|tag:finance|{}".to_owned(),
    ];
    assert_eq!(stored.events(schedules).lines().collect::<Vec<_>>(), expected);
    let hook = json!({"name": "hook", "type": "webhook", "host": "127.0.0.1", "port": 1, "tls": {"mode": "disable"}});
    stored.admin("POST", "/connections").json(&hook).send().expect(201);
    let channel =
        |method, act: &str| stored.admin(method, &format!("/notification-channels/oncall{act}")).header("if-match", "*");
    channel("PUT", "").json(&json!({"connection": "hook", "tag": "finance"})).send().expect(200);
    channel("POST", "/test").send().expect(200);
    channel("DELETE", "").send().expect(204);
    let channels = "SELECT action, object, detail FROM audit_events WHERE action LIKE 'channel.%' ORDER BY at";
    let expected = [
        "channel.set|oncall|{\"connection\":\"hook\",\"addresses\":[],\"tag\":\"finance\",\"tells\":\"all\"}",
        "channel.remove|oncall|{\"connection\":\"hook\"}",
    ];
    assert_eq!(stored.events(channels).lines().collect::<Vec<_>>(), expected);
    let own_type = |method, condition: (&str, &str)| stored.admin(method, "/types/ours").header(condition.0, condition.1);
    for (label, condition) in [("Ours", ("if-none-match", "*")), ("Ours too", ("if-match", "*"))] {
        let definition = format!("extends = \"generic\"\nlabel = \"{label}\"\nurl = \"ours://{{host}}\"\n");
        own_type("PUT", condition).json(&json!({"definition": definition})).send().expect(200);
    }
    own_type("DELETE", ("if-match", "*")).send().expect(204);
    let types = "SELECT action, object, detail FROM audit_events WHERE action LIKE 'type.%' ORDER BY at";
    let expected = [
        "type.create|ours|{\"version\":1,\"extends\":\"generic\",\"url\":{\"drivername\":\"ours\",\"host\":\"{host}\"}}",
        "type.update|ours|{\"version\":2,\"extends\":\"generic\"}",
        "type.remove|ours|{\"version\":3}",
    ];
    assert_eq!(stored.events(types).lines().collect::<Vec<_>>(), expected);
    for path in ["/connections/sales/lint-silences/never-tested", "/lint-silences/never-tested"] {
        let silence = |method| stored.admin(method, path).header("if-match", "*");
        silence("PUT").json(&json!({"reason": "meant so", "until": "2100-01-01T00:00:00Z"})).send().expect(200);
        silence("DELETE").send().expect(204);
    }
    let silences = "SELECT action, object, detail FROM audit_events WHERE action LIKE '%lint%' ORDER BY at";
    let detail = "{\"rule\":\"never-tested\",\"reason\":\"meant so\",\"until\":\"2100-01-01T00:00:00.000000Z\"}";
    let expected = [
        format!("connection.lint_silenced|sales|{detail}"),
        "connection.lint_lifted|sales|{\"rule\":\"never-tested\"}".to_owned(),
        format!("lint.silenced|never-tested|{detail}"),
        "lint.lifted|never-tested|{\"rule\":\"never-tested\"}".to_owned(),
    ];
    assert_eq!(stored.events(silences).lines().collect::<Vec<_>>(), expected);
    stored.admin("DELETE", "/connections/sales/versions/2").header("if-match", "*").send().expect(204);
    stored.admin("PUT", "/groups/finance").json(&json!({"people": ["eve@example.org"]})).send().expect(200);
    let narrowed = json!({"narrowed": true, "groups": ["finance"]});
    stored.admin("PUT", "/connections/sales/users").header("if-match", "*").json(&narrowed).send().expect(200);
    stored.admin("DELETE", "/groups/finance").send().expect(204);
    let read = stored.admin("GET", "/connections/sales/credentials");
    read.clone().header("if-none-match", read.send().expect(200).header("etag")).send().expect(304);
    stored.admin("POST", "/connections/sales/test").json(&json!({"description": "x"})).send().expect(200);
    let etag = stored.show("sales").header("etag").replace('"', "%22");
    let carried = "name=sales&host=elsewhere.example.org&port=5432&database=sales&username=analytics&tls.mode=verify-full&password=\
                   &keep%3Apassword=carry&own_password=correct+horse+battery+staple";
    owner.submit("/w/default/connections/sales/edit", &format!("etag={etag}&{carried}")).expect(303);
    owner.submit("/account", "own_password=not+his+own&password=another+long+password").expect(422);
    let confirmed = stored.sql("SELECT action, object FROM audit_events WHERE action LIKE 'person.confirm%' ORDER BY at");
    assert_eq!(confirmed, "person.confirm|admin@example.org\nperson.confirm_failed|admin@example.org");
    stored.delete("sales").expect(204);
    stored.admin("POST", "/connections/sales/restore").header("if-match", "*").send().expect(200);
    stored.create("stock", "planted");
    stored.post("stock", "rename", &json!({"name": "shelf"})).expect(200);
    stored.admin("DELETE", "/connections/shelf/aliases/stock").send().expect(204);
    stored.post("shelf", "repoint", &json!({"to": "sales"})).expect(200);
    let names = stored.events(
        "SELECT action, object, detail FROM audit_events WHERE action IN ('connection.rename', 'alias.remove', 'connection.repoint') ORDER BY at",
    );
    let expected = [
        "connection.rename|stock|{\"version\":2,\"to\":\"shelf\",\"alias\":true}",
        "alias.remove|stock|{\"connection\":\"shelf\",\"dependents\":0}",
        "connection.repoint|shelf|{\"version\":2,\"to\":\"sales\",\"names\":[\"shelf\"],\"dependents\":0}",
    ];
    assert_eq!(names.lines().collect::<Vec<_>>(), expected);
    stored.admin("PUT", "/scans/etl").json(&scan()).send().expect(200);
    stored.admin("DELETE", "/scans/etl").send().expect(204);
    let made = stored.admin("POST", "/tokens").json(&json!({"name": "reader", "roles": ["user"]})).send().expect(201).json();
    stored.admin("DELETE", &format!("/tokens/{}", made["id"].as_str().expect("an id"))).send().expect(204);
    stored.admin("DELETE", "/members/eve@example.org").send().expect(204);
    let keys = |words: &[&str]| Shell::new(["keys"]).args(words).args(&data).run().stdout().trim().to_owned();
    let folder = TempDir::new();
    keys(&["add-slot", "--new-key-file", &folder.join("new.key").display().to_string()]);
    keys(&["remove-slot", "3"]);
    keys(&["rotate"]);
    let (used, recovery_key) = (stored.server.uses(), keys(&["recovery"]));
    let machine = TempDir::new();
    Shell::new(["backup"]).arg(folder.join("backup")).args(&data).run().stdout();
    stored.server.process().stop();
    fs::remove_file(stored.server.data().with_extension("key")).expect("it lies beside the folder");
    Shell::new(["recover", "--recovery-key-stdin"]).args(&data).input(&recovery_key).run().stdout();

    let mut left: BTreeSet<_> = stored.sql("SELECT action FROM audit_events").lines().map(ToOwned::to_owned).collect();
    // What a restore leaves is in the store that it makes.
    let restored =
        Shell::new(["restore", "--recovery-key-stdin"]).arg(folder.join("backup")).arg("--data").arg(machine.join("data"));
    restored.input(&recovery_key).run().stdout();
    let events = Command::new("sqlite3").arg(machine.join("data/store.db")).arg("SELECT action FROM audit_events").output();
    let events = String::from_utf8(events.expect("sqlite3 runs; `make deps`").stdout).expect("text");
    left.extend(events.lines().map(ToOwned::to_owned));
    left.extend(used.iter().filter_map(|event| event["action"].as_str().map(ToOwned::to_owned)));
    // It takes 90 days; ops::tests::expiry has them go by.
    left.insert("audit.expired".to_owned());
    let mut known = BTreeSet::new();
    for place in ["ops", "audit/chain.rs", "audit/expiry.rs", "audit/rows.rs", "backup/restore.rs", "recover.rs"] {
        actions_in_the_source(&environment::repository().join("crates/server/src").join(place), &mut known);
    }
    assert_eq!(left, known, "an act that leaves a new kind of event belongs into this test");
    stored.server.restart();
    let page = Session::start(&stored.server).get("/w/default/activity").expect(200).text();
    let offered = page.split("<option value=\"").skip(2).filter_map(|rest| rest.split('"').next());
    let offered: BTreeSet<_> = offered.map(ToOwned::to_owned).collect();
    assert_eq!(offered, known, "the Activity page has words for each kind of event: audit::ACTIONS");
    assert_eq!(stored.sql("SELECT count(*) FROM audit_events WHERE length(mac) <> 32"), "0");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_answer_with_a_secret_is_without_its_event(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    let read = stored.admin("GET", "/connections/sales/credentials");
    let workflow = "kind=notebook; name=\"churn.ipynb\"; run=\"7\"";
    let first = read.clone().header("dataflow-workflow", workflow).send();
    let lines = stored.server.uses();
    assert_eq!(lines.len(), 1);
    let event = &lines[0];
    for (member, value) in [
        ("action", json!("credentials.read")),
        ("workspace", json!("default")),
        ("connection", json!("sales")),
        ("version", json!(1)),
        ("actor", json!("token admin")),
        ("address", json!("127.0.0.1")),
        ("workflow", json!({"kind": "notebook", "name": "churn.ipynb", "run": "7"})),
    ] {
        assert_eq!(event[member], value, "{member} of {event}");
    }
    read.clone().header("if-none-match", first.expect(200).header("etag")).send().expect(304);
    assert_eq!((stored.server.uses().len(), &stored.server.uses()[1]["action"]), (2, &json!("credentials.unchanged")));
    stored.admin("POST", "/connections/sales/test").json(&json!({"description": "x"})).send().expect(200);
    assert_eq!((stored.server.uses().len(), &stored.server.uses()[2]["action"]), (3, &json!("connection.test")));
    // What gives no secret is no use of it.
    let viewer = stored.token("viewer", "viewer", None);
    stored.request(&viewer, "GET", "/workspaces/default/connections/sales/credentials").send().expect(403);
    stored.credentials("absent").expect(404);
    stored.show("sales").expect(200);
    assert_eq!(stored.server.uses().len(), 3);

    // A use that cannot be written down does not happen.
    stored.server.process().stop();
    let segment = stored.server.segments().join("000000000001.jsonl");
    fs::remove_file(&segment).expect("own folder");
    symlink("/dev/full", &segment).expect("own folder");
    stored.server.restart();
    for request in [read.clone(), read.clone().header("if-none-match", first.header("etag"))] {
        let answer = request.send();
        answer.refused(503, "unavailable");
        assert!(!answer.text().contains("planted") && answer.header("etag").is_empty(), "{answer:?}");
        assert_eq!(answer.header("retry-after"), "2");
    }
    stored.admin("POST", "/connections/sales/test").send().refused(503, "unavailable");
    stored.show("sales").expect(200);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn uses_are_counted_for_each_workflow(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    let read = stored.admin("GET", "/connections/sales/credentials");
    for (workflow, times) in [("kind=app; name=\"shop\"", 3), ("kind=pipeline; name=\"nightly\"", 1), ("nonsense", 2)] {
        for _ in 0..times {
            read.clone().header("dataflow-workflow", workflow).send().expect(200);
        }
    }
    // A clean end writes what was counted since the last second.
    stored.server.process().stop();
    let rows = stored.sql("SELECT kind, workflow, uses, version, used_by FROM sightings ORDER BY kind");
    assert_eq!(rows, "|token admin|2|1|token admin\napp|shop|3|1|token admin\npipeline|nightly|1|1|token admin");
    assert_eq!(stored.sql("SELECT count(*) FROM tokens WHERE last_used_at IS NOT NULL"), "1");
}

/// A second login that is given, could not be retired at first, is, and is removed.
fn second_login(stored: &Stored, database: &Postgres) {
    database.psql("ALTER ROLE anna PASSWORD 'planted'");
    database.create_role("bert", "given");
    stored.edit("rotated", &json!({"password": "planted"})).expect(200);
    let of = |method: &str, act: &str| stored.admin(method, &format!("/connections/rotated/{act}")).header("if-match", "*");
    of("PUT", "second-login").json(&json!({"username": "bert", "password": "given"})).send().expect(200);
    assert_eq!(of("POST", "rotate").send().expect(200).json()["state"], "rotated");
    for (alter, retired) in [("NOLOGIN", false), ("LOGIN", true)] {
        database.psql(&format!("ALTER ROLE anna {alter}"));
        let answer = of("POST", "second-login/retire").send().expect(200).json();
        assert_eq!(answer["retired"], retired, "{answer}");
    }
    of("DELETE", "second-login").send().expect(204);
}

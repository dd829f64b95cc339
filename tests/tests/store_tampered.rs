//! Somebody can write the store and has no key: no row that he bends or moves gives a secret or a right. On both stores.

use dataflow_tests::{
    http::Request,
    session::Session,
    stored::{Engine, Stored, sample},
};
use rstest::rstest;
use serde_json::json;

const PLANTED: &str = "Zq7XplantedZq7X";

/// Changes rows while the server is stopped: it caches.
fn tamper(stored: &mut Stored, sql: &str) {
    stored.server.process().stop();
    stored.sql(sql);
    stored.server.restart();
}

fn unreadable(stored: &Stored, name: &str, how: &str) {
    for path in [format!("/connections/{name}/credentials"), format!("/connections/{name}/test")] {
        let method = if path.ends_with("/test") { "POST" } else { "GET" };
        let answer = stored.admin(method, &path).send();
        assert_eq!(answer.status, 500, "{how}: {}", answer.text());
        let problem = answer.refused(500, "secret_unreadable");
        assert!(!answer.text().contains(PLANTED), "{how}");
        // The operator finds the cause by what the client was told.
        let id = answer.header("request-id");
        assert!(id.len() == 36 && problem.get("request_id").is_some_and(|told| told == id), "{how}: {problem}");
        let route = format!("/api/v1/workspaces/{{workspace}}{}", path.replace(name, "{name}"));
        let log = stored.server.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(id)).collect();
        assert!(matches!(lines.as_slice(), [line] if line.contains(&route) && line.contains(method)), "{how}: {log}");
    }
    let test = stored.admin("POST", &format!("/connections/{name}/test")).json(&json!({"description": "x"})).send();
    assert_eq!(test.status, 500, "{how}: {}", test.text());
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_bent_or_moved_row_gives_no_secret(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    // One connection for each way, so that the server is stopped once.
    let ways: Vec<(&str, String)> = [
        ("host", "UPDATE connection_versions SET fields = replace(fields, 'db.example.org', 'attacker.example.org')"),
        ("tls", "UPDATE connection_versions SET fields = replace(fields, 'verify-full', 'disable')"),
        ("paths", "UPDATE connection_versions SET endpoint_paths = '[]'"),
        ("type", "UPDATE connection_versions SET type = 'redshift'"),
        ("fingerprint", "UPDATE connection_versions SET fingerprint = 'AAAA'"),
        ("name", "UPDATE connection_versions SET name = 'other'"),
        ("sealed", "UPDATE connection_versions SET secrets = replace(secrets, '\"version\":1', '\"version\":2')"),
        ("stripped", "UPDATE connection_versions SET secrets = '{}'"),
    ]
    .into_iter()
    .map(|(way, sql)| (way, format!("{sql} WHERE connection_id = (SELECT id FROM connections WHERE name = '{way}')")))
    .chain([
        ("pointer", "UPDATE connections SET version = 1 WHERE name = 'pointer'".to_owned()),
        ("kind", "UPDATE connections SET type = 'redshift' WHERE name = 'kind'".to_owned()),
    ])
    .collect();
    for (way, _) in &ways {
        stored.create(way, PLANTED);
    }
    stored.edit("pointer", &json!({"password": "rotated"})).expect(200);
    for name in ["left", "right", "whole", "revived"] {
        stored.create(name, if name == "right" { "other" } else { PLANTED });
    }
    stored.delete("revived").expect(204);
    let moved = "UPDATE connection_versions SET secrets = (SELECT v.secrets FROM connection_versions v JOIN connections c \
                 ON c.id = v.connection_id WHERE c.name = 'left') WHERE connection_id = (SELECT id FROM connections WHERE name = 'right')";
    let revived = "UPDATE connections SET deleted_at = NULL, deleted_by = NULL, deleted_reason = NULL WHERE name = 'revived'";
    let all: Vec<_> = ways.iter().map(|(_, sql)| sql.as_str()).chain([moved, revived]).collect();
    tamper(&mut stored, &all.join(";"));
    for (way, _) in &ways {
        unreadable(&stored, way, way);
    }
    unreadable(&stored, "right", "a secret from another connection");
    unreadable(&stored, "revived", "a deletion that was taken back");
    assert_eq!(stored.credentials("whole").expect(200).json()["fields"]["password"], PLANTED);
    assert!(!stored.server.log().contains(PLANTED));

    // A whole row under another connection's id, its MAC with it, and a connection in another workspace.
    stored.create_workspace("theirs");
    let swap = "UPDATE connection_versions SET connection_id = 'x' WHERE connection_id = (SELECT id FROM connections WHERE name = 'left'); \
                UPDATE connection_versions SET connection_id = (SELECT id FROM connections WHERE name = 'left') \
                WHERE connection_id = (SELECT id FROM connections WHERE name = 'whole')";
    let moved = "UPDATE connections SET workspace_id = (SELECT id FROM workspaces WHERE name = 'theirs') WHERE name = 'whole'";
    let lenient = match engine {
        Engine::Sqlite => "",
        Engine::Postgres => "SET session_replication_role = replica;",
    };
    tamper(&mut stored, &format!("{lenient}{swap};{moved}"));
    unreadable(&stored, "left", "another connection's version");
    let outsider = stored.server.token("theirs", "admin", "outsider");
    let stolen = stored.request(&outsider, "GET", "/workspaces/theirs/connections/whole/credentials").send();
    stolen.refused(500, "secret_unreadable");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_bent_row_gives_no_right(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", PLANTED);
    let names = ["roles", "wider", "expiry", "revoked", "moved", "whole"];
    let mut tokens = Vec::new();
    for name in names {
        let connections = (name == "wider").then_some(["other"].as_slice());
        tokens.push((name, stored.token(name, "viewer", connections)));
    }
    let list = stored.admin("GET", "/tokens").send().expect(200).json();
    let id = list["items"].as_array().and_then(|all| all.iter().find(|token| token["name"] == "revoked"));
    let id = id.and_then(|token| token["id"].as_str()).expect("listed");
    stored.admin("DELETE", &format!("/tokens/{id}")).send().expect(204);
    stored.create_workspace("theirs");
    tamper(
        &mut stored,
        "UPDATE tokens SET roles = 'viewer,user,editor,admin' WHERE name = 'roles'; UPDATE tokens SET connections = NULL WHERE name = 'wider'; \
         UPDATE tokens SET expires_at = expires_at + 1 WHERE name = 'expiry'; UPDATE tokens SET revoked_at = NULL WHERE name = 'revoked'; \
         UPDATE tokens SET workspace_id = (SELECT id FROM workspaces WHERE name = 'theirs') WHERE name = 'moved'",
    );
    for (name, token) in &tokens {
        for path in ["/types", "/workspaces/default/connections", "/workspaces/theirs/connections"] {
            let answer = stored.request(token, "GET", path).send();
            if *name == "whole" {
                assert!(matches!(answer.status, 200 | 404), "{}", answer.text());
            } else {
                assert_eq!(answer.status, 401, "{name} at {path}: {}", answer.text());
            }
        }
    }
    // The operator learns of it, by the row's id and not by the token.
    let log = stored.server.log();
    assert!(log.contains("a token was refused") && tokens.iter().all(|(_, token)| !log.contains(token.as_str())), "{log}");

    // A workspace under another's name has another's key.
    tamper(
        &mut stored,
        "UPDATE workspaces SET name = 'x', name_key = 'x' WHERE name = 'default'; \
         UPDATE workspaces SET name = 'default', name_key = 'default' WHERE name = 'theirs'",
    );
    let answer = stored.admin("POST", "/connections").json(&sample("fresh", "planted")).send();
    answer.refused(500, "secret_unreadable");
    let open = Request::new(stored.server.port(), "GET", "/healthz").send();
    assert_eq!(open.expect(200).header("request-id"), "", "what is no failure bears none");
}

/// The entries of a list, each with whether it is marked, by a member that names them.
fn marked(stored: &Stored, path: &str, name: &str) -> Vec<(String, bool)> {
    let list = stored.admin("GET", path).send().expect(200).json();
    let entries = list["items"].as_array().expect("a list").iter().map(|entry| {
        if entry["altered"] == true {
            for grants in ["roles", "claimed_roles", "people", "owner"] {
                let granted = &entry[grants];
                assert!(granted.is_null() || *granted == json!([]) || *granted == false, "it grants nothing: {entry}");
            }
        }
        (entry[name].as_str().unwrap_or_default().to_owned(), entry["altered"] == true)
    });
    entries.collect()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_was_bent_is_marked_and_can_be_taken_away(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", PLANTED);
    let [ada, bob, eve] = ["ada@example.org", "bob@example.org", "eve@example.org"];
    for email in [ada, bob, eve] {
        stored.add_member(email);
    }
    stored.token("nightly", "viewer", None);
    stored.admin("PUT", "/groups/finance").json(&json!({"people": [ada]})).send().expect(200);
    let users = json!({"narrowed": true, "people": [ada, eve], "tokens": ["nightly"], "groups": ["finance"]});
    stored.admin("PUT", "/connections/sales/users").header("if-match", "*").json(&users).send().expect(200);
    // Eve makes herself an owner, Bob an admin, and so on.
    tamper(
        &mut stored,
        "UPDATE people SET is_owner = TRUE WHERE email = 'eve@example.org'; UPDATE tokens SET roles = 'admin' WHERE name = 'nightly'; \
         UPDATE members SET roles = 'admin' WHERE person_id = (SELECT id FROM people WHERE email = 'bob@example.org'); \
         UPDATE people_groups SET members = '[\"x\"]' WHERE name = 'finance'",
    );
    let owner = "admin@example.org";
    let is = |name: &str, marked: bool| (name.to_owned(), marked);
    assert_eq!(marked(&stored, "/members", "email"), [is(ada, false), is(owner, false), is(bob, true), is(eve, true)]);
    assert_eq!(marked(&stored, "/tokens", "name"), [is("nightly", true), is("admin", false)]);
    assert_eq!(marked(&stored, "/groups", "name"), [is("finance", true)]);
    let shown = stored.admin("GET", "/connections/sales/users").send().expect(200).json();
    assert_eq!(shown, json!({"narrowed": true, "people": [ada], "tokens": [], "groups": []}));
    assert_eq!(stored.credentials("sales").expect(200).json()["fields"]["password"], PLANTED);
    let session = Session::start(&stored.server);
    for page in ["access", "tokens", "groups"] {
        let text = session.get(&format!("/w/default/{page}")).expect(200).text();
        assert!(text.contains("Changed outside of this program"), "{page}: {text}");
    }

    // What gives something asks for a sound row; what takes away does not.
    stored.admin("PUT", &format!("/members/{bob}")).json(&json!({"roles": ["user"]})).send().refused(500, "secret_unreadable");
    stored.admin("PUT", "/groups/finance").json(&json!({"people": [ada]})).send().refused(500, "secret_unreadable");
    stored.admin("POST", &format!("/members/{eve}/enable")).send().refused(500, "secret_unreadable");
    stored.admin("POST", &format!("/members/{eve}/disable")).send().refused(403, "forbidden");
    let id = stored.sql("SELECT id FROM tokens WHERE name = 'nightly'");
    for path in [format!("/members/{bob}"), format!("/tokens/{id}"), "/groups/finance".to_owned()] {
        stored.admin("DELETE", &path).send().expect(204);
    }
    session.submit("/w/default/access/disable", "email=eve%40example.org").expect(303);
    assert_eq!(marked(&stored, "/members", "email"), [is(ada, false), is(owner, false)], "she is in no workspace any more");
    assert_eq!(stored.sql("SELECT count(*) FROM people WHERE is_owner"), "1");

    // Both come back as anybody else.
    stored.admin("PUT", "/groups/finance").json(&json!({"people": [ada]})).send().expect(200);
    for email in [bob, eve] {
        session.submit("/w/default/access", &format!("email={}&roles=user", email.replace('@', "%40"))).expect(303);
    }
    stored.admin("POST", &format!("/members/{eve}/enable")).send().expect(204);
    assert_eq!(marked(&stored, "/members", "email"), [ada, owner, bob, eve].map(|email| is(email, false)));
    assert_eq!(stored.sql("SELECT count(*) FROM people WHERE is_owner"), "1");
    println!(
        "promise: bent rows, {engine:?}: an account, a membership, a token and a group: they grant nothing, are marked, and were taken away"
    );
}

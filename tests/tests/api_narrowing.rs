//! A connection that only some may use: people, tokens, groups, and admins. On both stores.

use dataflow_tests::{
    http::Request,
    session::Session,
    stored::{Engine, Stored},
};
use rstest::rstest;
use serde_json::{Value, json};

const USERS: &str = "/connections/sales/users";

fn narrow(stored: &Stored, to: &Value) -> Value {
    stored.admin("PUT", USERS).header("if-match", "*").json(to).send().expect(200).json()
}

/// Whether each of them may use it: reads its credentials, tests it, tests other values with its secret. All of them see it.
fn may_use(stored: &Stored, token: &str) -> bool {
    let path = "/workspaces/default/connections/sales";
    let ask = |method: &str, rest: &str| stored.request(token, method, &format!("{path}{rest}"));
    ask("GET", "").send().expect(200);
    let read = ask("GET", "/credentials").send();
    let tested = ask("POST", "/test").send();
    assert_eq!(read.status, tested.status, "{} {}", read.text(), tested.text());
    if read.status != 200 {
        for answer in [read, tested] {
            let problem = answer.refused(403, "forbidden");
            assert!(problem["detail"].as_str().is_some_and(|text| text.contains("whom an admin")), "{problem}");
            assert!(!answer.text().contains("planted"), "{}", answer.text());
        }
        return false;
    }
    true
}

/// A person with a role and a token of his own.
fn person(stored: &Stored, email: &str) -> String {
    stored.add_member(email);
    stored.admin("PUT", &format!("/members/{email}")).json(&json!({"roles": ["user", "editor"]})).send().expect(200);
    let owner = Session::start(&stored.server);
    let page = owner.submit("/w/default/access/link", &format!("email={}", email.replace('@', "%40"))).expect(201).text();
    let code = page.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link").to_owned();
    Session::nobody(&stored.server).submit("/link", &format!("code={code}&password=another+long+password")).expect(303);
    let own = Session::of(&stored.server, email, "another long password");
    let made =
        own.submit("/w/default/tokens", "name=of+SELF&role=user&days=30".replace("SELF", &email.replace('@', ".")).as_str());
    let text = made.expect(201).text();
    text.split("id=\"fresh-token\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a token").to_owned()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn only_those_who_are_named_use_it(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    stored.create("sales", "planted");
    let [ada, eve] = ["ada@example.org", "eve@example.org"].map(|email| person(&stored, email));
    let (robot, other) = (stored.token("robot", "user", None), stored.token("other", "user", None));
    let who = |stored: &Stored| [&ada, &eve, &robot, &other].map(|token| may_use(stored, token));
    assert_eq!(who(&stored), [true; 4], "whoever has the role");

    let shown = narrow(&stored, &json!({"narrowed": true, "people": ["ada@example.org"], "tokens": ["robot"]}));
    assert_eq!(shown, json!({"narrowed": true, "people": ["ada@example.org"], "tokens": ["robot"], "groups": []}));
    assert_eq!(who(&stored), [true, false, true, false]);
    assert!(may_use(&stored, &stored.admin), "an admin may always");
    // Who is not named, and edits: he does not get the stored secret by a test of other values either.
    let editor = stored.token("editor", "editor", None);
    let path = "/workspaces/default/connections/sales/test";
    stored.request(&editor, "POST", path).json(&json!({"description": "x"})).send().refused(403, "forbidden");
    stored.edit("sales", &json!({"description": "another"})).expect(200);
    assert_eq!(who(&stored), [true, false, true, false], "an edit changes nothing of it");

    stored.admin("PUT", "/groups/finance").json(&json!({"people": ["eve@example.org"]})).send().expect(200);
    narrow(&stored, &json!({"narrowed": true, "groups": ["finance"]}));
    assert_eq!(who(&stored), [false, true, false, false]);
    stored.admin("PUT", "/groups/finance").json(&json!({"people": ["ada@example.org"]})).send().expect(200);
    assert_eq!(who(&stored), [true, false, false, false], "who is in the group now");
    stored.admin("DELETE", "/groups/finance").send().expect(204);
    assert_eq!(who(&stored), [false; 4], "it stays narrowed");

    // Who leaves the workspace and comes again is nobody's user.
    narrow(&stored, &json!({"narrowed": true, "people": ["eve@example.org"]}));
    stored.admin("DELETE", "/members/eve@example.org").send().expect(204);
    stored.add_member("eve@example.org");
    let users = stored.admin("GET", USERS).send().expect(200).json();
    assert_eq!(users, json!({"narrowed": true, "people": [], "tokens": [], "groups": []}));

    // A token of the same name is another one.
    narrow(&stored, &json!({"narrowed": true, "tokens": ["robot"]}));
    let tokens = stored.admin("GET", "/tokens").send().expect(200).json();
    let id = tokens["items"].as_array().and_then(|all| all.iter().find(|token| token["name"] == "robot")).expect("listed");
    stored.admin("DELETE", &format!("/tokens/{}", id["id"].as_str().expect("an id"))).send().expect(204);
    let again = stored.token("robot", "user", None);
    assert!(!may_use(&stored, &again));

    // Who can write the store opens nothing by it.
    stored.server.process().stop();
    stored.sql("UPDATE connections SET users = NULL");
    stored.server.restart();
    stored.request(&other, "GET", "/workspaces/default/connections/sales/credentials").send().refused(500, "secret_unreadable");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn what_is_not_there_is_told_and_no_change_is_lost(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", "planted");
    stored.add_member("ada@example.org");
    let put = |body: &Value| stored.admin("PUT", USERS).header("if-match", "*").json(body).send();
    for (field, name) in
        [("people", "nobody@example.org"), ("people", "ada"), ("tokens", "absent"), ("tokens", "ADMIN"), ("groups", "a\u{0}")]
    {
        let place = format!("{field}.0");
        put(&json!({"narrowed": true, (field): [name]})).refused_field("invalid_fields", &place);
    }
    put(&json!({"narrowed": true, "people": vec!["ada@example.org"; 501]})).refused_field("invalid_fields", "people");
    let group =
        |name: &str, people: Value| stored.admin("PUT", &format!("/groups/{name}")).json(&json!({"people": people})).send();
    group("finance", json!(["nobody@example.org"])).refused_field("invalid_fields", "people.0");
    group("-", json!([])).refused_field("invalid_fields", "name");
    group("finance", json!(["ada@example.org", "ADA@example.org"])).expect(200);
    group("Finance", json!([])).refused(409, "name_taken");
    stored.admin("DELETE", "/groups/Finance").send().refused(404, "not_found");
    let groups = stored.admin("GET", "/groups").send().expect(200).json();
    assert_eq!(groups["items"], json!([{"name": "finance", "people": ["ada@example.org"], "altered": false}]));

    let read = stored.admin("GET", USERS).send();
    let etag = read.expect(200).header("etag").to_owned();
    let change = |etag: &str| {
        let request: Request = stored.admin("PUT", USERS).header("if-match", etag);
        request.json(&json!({"narrowed": true, "groups": ["finance"]})).send()
    };
    stored.admin("PUT", USERS).json(&json!({"narrowed": false})).send().refused(428, "precondition_required");
    assert_ne!(change(&etag).expect(200).header("etag"), etag);
    change(&etag).refused(412, "version_conflict");
    let page = Session::start(&stored.server).get("/w/default/connections/sales").expect(200).text();
    assert!(page.contains("Only those whom an admin named"), "{page}");
}

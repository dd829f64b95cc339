//! Who may do what: every route of the API by every kind of caller. On both stores.

#![expect(clippy::indexing_slicing, reason = "answers are read by name; what is absent is null and fails the test")]

use std::collections::BTreeSet;

use dataflow_tests::{
    http::{Answer, Request},
    openapi::Operation,
    shell::Shell,
    shim::Clock,
    stored::{Engine, Stored, sample},
};
use rstest::rstest;
use serde_json::{Value, json};

/// What each role gets: viewer, user, editor, admin.
struct Route {
    id: &'static str,
    by_role: [u16; 4],
    /// The same as an admin whose token names another connection only.
    narrowed: u16,
    /// Without a workspace in its address.
    open: bool,
}

const fn route(id: &'static str, by_role: [u16; 4], narrowed: u16) -> Route {
    Route { id, by_role, narrowed, open: false }
}

/// By somebody who may use, edit and see, and whom the connection is narrowed away from: what sends its secret or plans to is refused, and nothing else.
const USES: [&str; 10] = [
    "resolve_credentials",
    "rotate_password",
    "set_rotation_policy",
    "remove_rotation_policy",
    "put_connection_schedule",
    "remove_connection_schedule",
    "put_second_login",
    "retire_login",
    "test_connection",
    "report_check",
];

/// Every route. Requests are complete and would succeed, so that nothing but the right is missing.
const ROUTES: &[Route] = &[
    route("list_connections", [200, 200, 200, 200], 200),
    route("create_connection", [403, 403, 201, 201], 403),
    route("show_connection", [200, 200, 200, 200], 404),
    route("edit_connection", [403, 403, 200, 200], 404),
    route("delete_connection", [403, 403, 204, 204], 404),
    // With a token of an admin there: what is asked here is to see it.
    route("copy_connection", [201, 201, 201, 201], 404),
    route("compare_workspaces", [200, 200, 200, 200], 200),
    route("rotate_password", [403, 403, 200, 200], 404),
    // There is none to give up.
    route("give_up_rotation", [403, 403, 404, 404], 404),
    // There is none yet, and its test does not reach the database.
    route("show_second_login", [404, 404, 404, 404], 404),
    route("put_second_login", [403, 403, 409, 409], 404),
    route("remove_second_login", [403, 403, 404, 404], 404),
    route("retire_login", [403, 403, 404, 404], 404),
    route("show_rotation_policy", [200, 200, 200, 200], 404),
    route("set_rotation_policy", [403, 403, 200, 200], 404),
    route("remove_rotation_policy", [403, 403, 204, 204], 404),
    route("list_health", [200, 200, 200, 200], 200),
    route("list_health_schedules", [200, 200, 200, 200], 200),
    route("show_health_schedule", [200, 200, 200, 200], 200),
    route("put_health_schedule", [403, 403, 403, 200], 403),
    route("remove_health_schedule", [403, 403, 403, 204], 403),
    route("list_channels", [403, 403, 403, 200], 403),
    route("show_channel", [403, 403, 403, 200], 403),
    route("put_channel", [403, 403, 403, 200], 403),
    route("remove_channel", [403, 403, 403, 204], 403),
    route("test_channel", [403, 403, 403, 200], 403),
    route("list_ends", [200, 200, 200, 200], 200),
    route("show_connection_health", [200, 200, 200, 200], 404),
    route("put_connection_schedule", [403, 403, 200, 200], 404),
    route("remove_connection_schedule", [403, 403, 204, 204], 404),
    route("list_lint", [200, 200, 200, 200], 200),
    route("show_connection_lint", [200, 200, 200, 200], 404),
    route("list_lint_silences", [200, 200, 200, 200], 200),
    route("put_lint_silence", [403, 403, 403, 200], 403),
    route("lift_lint_silence", [403, 403, 403, 204], 403),
    route("put_connection_silence", [403, 403, 200, 200], 404),
    route("lift_connection_silence", [403, 403, 204, 204], 404),
    route("list_versions", [200, 200, 200, 200], 404),
    route("show_version", [200, 200, 200, 200], 404),
    route("diff_versions", [200, 200, 200, 200], 404),
    route("restore_version", [403, 403, 200, 200], 404),
    route("purge_version", [403, 403, 403, 204], 404),
    route("test_unsaved_connection", [403, 403, 200, 200], 200),
    route("test_connection", [403, 200, 200, 200], 404),
    route("list_checks", [200, 200, 200, 200], 404),
    route("report_check", [403, 412, 403, 412], 404),
    route("resolve_credentials", [403, 200, 403, 200], 404),
    route("list_dependents", [200, 200, 200, 200], 404),
    route("list_aliases", [200, 200, 200, 200], 404),
    route("remove_alias", [403, 403, 204, 204], 404),
    route("rename_connection", [403, 403, 200, 200], 404),
    route("show_repointing", [403, 403, 200, 200], 404),
    route("repoint_connection", [403, 403, 200, 200], 404),
    route("restore_connection", [403, 403, 200, 200], 404),
    route("list_tombstones", [200, 200, 200, 200], 200),
    route("list_scans", [200, 200, 200, 200], 200),
    route("report_scan", [403, 200, 200, 200], 403),
    route("forget_scan", [403, 403, 204, 204], 403),
    route("list_tokens", [200, 200, 200, 200], 200),
    route("create_token", [201, 201, 201, 201], 403),
    // Of somebody else's token nobody but an admin learns that it exists.
    route("revoke_token", [404, 404, 404, 204], 404),
    route("list_members", [403, 403, 403, 200], 403),
    // Of who is here. Somebody else is added by no token.
    route("put_member", [403, 403, 403, 200], 403),
    route("remove_member", [403, 403, 403, 204], 403),
    route("disable_person", [403, 403, 403, 204], 403),
    route("enable_person", [403, 403, 403, 204], 403),
    route("show_users", [403, 403, 403, 200], 404),
    route("set_users", [403, 403, 403, 200], 404),
    route("list_groups", [403, 403, 403, 200], 403),
    route("put_group", [403, 403, 403, 200], 403),
    route("remove_group", [403, 403, 403, 204], 403),
    route("list_activity", [403, 403, 403, 200], 403),
    route("export_activity", [403, 403, 403, 200], 403),
    Route { id: "list_workspaces", by_role: [200; 4], narrowed: 200, open: true },
    Route { id: "show_settings", by_role: [403, 403, 403, 200], narrowed: 403, open: true },
    route("list_workspace_types", [200; 4], 200),
    route("show_type", [200; 4], 200),
    route("put_type", [403, 403, 403, 200], 403),
    route("remove_type", [403, 403, 403, 204], 403),
    Route { id: "list_types", by_role: [200; 4], narrowed: 200, open: true },
];

struct Table<'t> {
    stored: &'t Stored,
    /// Of an admin of the workspace `copies`.
    other: String,
    operations: Vec<Operation>,
    /// Makes every name of a request its own.
    count: std::cell::Cell<usize>,
    checked: std::cell::Cell<usize>,
}

impl Table<'_> {
    fn fresh(&self, word: &str) -> String {
        self.count.set(self.count.get() + 1);
        format!("{word}{}", self.count.get())
    }

    /// A request that lacks nothing but a token, and what it needs to be there.
    fn request(&self, id: &str, workspace: &str) -> Request {
        self.request_of(id, workspace, &self.name(id))
    }

    /// The name of what is there for a request.
    fn name(&self, id: &str) -> String {
        let stored = self.stored;
        match id {
            "revoke_token" => self.foreign_token(),
            "put_member" | "remove_member" | "disable_person" | "enable_person" => {
                let email = format!("{}@example.org", self.fresh("old"));
                stored.add_member(&email);
                email
            }
            "put_group" => self.fresh("group"),
            "remove_group" => {
                let name = self.fresh("group");
                stored.admin("PUT", &format!("/groups/{name}")).json(&json!({"people": []})).send().expect(200);
                name
            }
            "forget_scan" => {
                let name = self.fresh("project");
                stored.admin("PUT", &format!("/scans/{name}")).json(&scan()).send().expect(200);
                name
            }
            "restore_connection" => {
                let name = self.fresh("deleted");
                stored.create(&name, "planted");
                stored.delete(&name).expect(204);
                name
            }
            "remove_alias" => {
                let name = self.fresh("renamed");
                let before = format!("{name}.before");
                stored.create(&before, "planted");
                let body = json!({"name": name});
                stored
                    .admin("POST", &format!("/connections/{before}/rename"))
                    .header("if-match", "*")
                    .json(&body)
                    .send()
                    .expect(200);
                name
            }
            "delete_connection" | "rename_connection" | "repoint_connection" => {
                let name = self.fresh("doomed");
                stored.create(&name, "planted");
                name
            }
            "remove_rotation_policy" => {
                let name = self.fresh("planned");
                stored.create(&name, "planted");
                let path = format!("/connections/{name}/rotation-policy");
                stored.admin("PUT", &path).header("if-match", "*").json(&json!({"every_days": 30})).send().expect(200);
                name
            }
            "remove_connection_schedule" => {
                let name = self.fresh("scheduled");
                stored.create(&name, "planted");
                let path = format!("/connections/{name}/health-schedule");
                stored.admin("PUT", &path).header("if-match", "*").json(&json!({})).send().expect(200);
                name
            }
            "lift_connection_silence" => {
                let name = self.fresh("silenced");
                stored.create(&name, "planted");
                let path = format!("/connections/{name}/lint-silences/never-tested");
                stored.admin("PUT", &path).header("if-match", "*").json(&json!({"reason": "r"})).send().expect(200);
                name
            }
            "copy_connection" => {
                let name = self.fresh("copied");
                stored.create(&name, "planted");
                name
            }
            "purge_version" => {
                let name = self.fresh("purged");
                stored.create(&name, "planted");
                stored.edit(&name, &json!({"description": "x"})).expect(200);
                name
            }
            _ => "sales".to_owned(),
        }
    }

    fn request_of(&self, id: &str, workspace: &str, name: &str) -> Request {
        let stored = self.stored;
        let operation = self.operations.iter().find(|operation| operation.id == id).expect("in the description");
        let path = operation.path.replace("{workspace}", workspace).replace("{name}", name);
        let path = path.replace("{version}", "1").replace("{alias}", &format!("{name}.before"));
        let path = path.replace("{scope}", &self.scope(id)).replace("{channel}", &self.channel(id));
        let path = path.replace("{rule}", "never-tested").replace("{type}", &self.own_type(id));
        if id == "lift_lint_silence" {
            let silenced = stored.admin("PUT", "/lint-silences/never-tested").header("if-match", "*");
            silenced.json(&json!({"reason": "r"})).send().expect(200);
        }
        let path = if id == "show_repointing" { path + "?to=closed" } else { path };
        let path = if id == "compare_workspaces" { format!("{path}?with=copies") } else { path };
        let request = Request::new(stored.server.port(), &operation.method, path);
        let unsaved = json!({"type": "postgres", "host": "127.0.0.1", "port": 1, "username": "u"});
        match id {
            "create_connection" => request.json(&sample(&self.fresh("made"), "planted")),
            "edit_connection" => request.header("if-match", "*").json(&json!({"description": self.fresh("text")})),
            "delete_connection"
            | "restore_connection"
            | "restore_version"
            | "purge_version"
            | "rotate_password"
            | "give_up_rotation"
            | "remove_second_login"
            | "retire_login"
            | "remove_connection_schedule"
            | "remove_channel"
            | "remove_type"
            | "remove_health_schedule"
            | "lift_lint_silence"
            | "lift_connection_silence"
            | "remove_rotation_policy" => request.header("if-match", "*"),
            "put_health_schedule" | "put_connection_schedule" => {
                request.header("if-match", "*").json(&json!({"every_seconds": 86_400}))
            }
            "put_channel" => request.header("if-match", "*").json(&json!({"connection": "hook"})),
            "put_type" => request.header("if-none-match", "*").json(&json!({"definition": self.definition()})),
            "put_lint_silence" | "put_connection_silence" => request.header("if-match", "*").json(&json!({"reason": "meant so"})),
            "put_second_login" => request.header("if-match", "*").json(&json!({"username": "second", "password": "planted"})),
            "set_rotation_policy" => request.header("if-match", "*").json(&json!({"every_days": 30, "at_hour": 3})),
            "rename_connection" => request.header("if-match", "*").json(&json!({"name": self.fresh("another")})),
            "repoint_connection" => request.header("if-match", "*").json(&json!({"to": "sales"})),
            "compare_workspaces" => request.header("dataflow-other-token", &self.other),
            "copy_connection" => request.header("dataflow-other-token", &self.other).json(&json!({"to": "copies"})),
            "report_scan" => request.json(&scan()),
            // Of a version that there is not.
            "report_check" => request.json(&json!({"version": 1_000_000, "report": report()})),
            "test_unsaved_connection" => request.json(&unsaved),
            "create_token" => request.json(&json!({"name": self.fresh("token"), "roles": ["viewer"]})),
            "put_group" => request.json(&json!({"people": []})),
            "set_users" => request.header("if-match", "*").json(&json!({"narrowed": false})),
            "put_member" => request.json(&json!({"roles": ["viewer"]})),
            _ => request,
        }
    }

    /// Of which channel a request is; it is there, unless it is to be made.
    fn channel(&self, id: &str) -> String {
        let name = if id == "put_channel" { "made" } else { "kept" };
        if matches!(id, "show_channel" | "remove_channel" | "test_channel") {
            let path = format!("/notification-channels/{name}");
            self.stored.admin("PUT", &path).header("if-match", "*").json(&json!({"connection": "hook"})).send().expect(200);
        }
        name.to_owned()
    }

    /// Of which type of the workspace's own a request is; it is there, unless it is to be made.
    fn own_type(&self, id: &str) -> String {
        let name = self.fresh("type");
        if matches!(id, "show_type" | "remove_type") {
            let defined = self.stored.admin("PUT", &format!("/types/{name}")).header("if-none-match", "*");
            defined.json(&json!({"definition": self.definition()})).send().expect(200);
        }
        name
    }

    fn definition(&self) -> String {
        format!("extends = \"generic\"\nlabel = \"{}\"\n", self.fresh("Label "))
    }

    /// Of whose schedule a request is; that which is to be removed is set before.
    fn scope(&self, id: &str) -> String {
        let scope = format!("tag:{}", self.fresh("tag"));
        if id == "remove_health_schedule" {
            let path = format!("/health-schedules/{scope}");
            self.stored.admin("PUT", &path).header("if-match", "*").json(&json!({})).send().expect(200);
        }
        scope
    }

    /// What is not there: whoever may learn that gets 404, and everybody else what he gets of what is there.
    fn absent(&self, route: &Route, roles: &[(&str, String)]) {
        let makes = matches!(route.id, "put_group" | "put_member" | "report_scan");
        if makes || !self.operations.iter().any(|operation| operation.id == route.id && operation.path.contains("{name}")) {
            return;
        }
        for ((role, token), present) in roles.iter().zip(route.by_role) {
            let request = self.request_of(route.id, "default", &self.name_of_nothing(route.id)).token(token);
            let expected = if present == 403 { 403 } else { 404 };
            self.check(&format!("{role}, of what is absent,"), route.id, &request.send(), expected);
        }
    }

    fn name_of_nothing(&self, id: &str) -> String {
        match id {
            "revoke_token" => "01939a1e-5b7c-7d40-9f0a-2f6c1b7a9e55".to_owned(),
            "remove_member" | "disable_person" | "enable_person" => "nobody@example.org".to_owned(),
            _ => self.fresh("absent"),
        }
    }

    fn foreign_token(&self) -> String {
        let name = self.fresh("foreign");
        self.stored.token(&name, "viewer", None);
        let tokens = self.stored.admin("GET", "/tokens").send().expect(200).json();
        let token = tokens["items"].as_array().and_then(|tokens| tokens.iter().find(|token| token["name"] == name));
        token.and_then(|token| token["id"].as_str()).expect("listed").to_owned()
    }

    fn check(&self, who: &str, id: &str, answer: &Answer, expected: u16) {
        self.checked.set(self.checked.get() + 1);
        assert_eq!(answer.status, expected, "{who} at {id}: {}", answer.text());
        if answer.status >= 400 {
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            answer.refused(expected, &code);
        }
        let operation = self.operations.iter().find(|operation| operation.id == id).expect("in the description");
        let documented = operation.description["responses"].get(answer.status.to_string());
        assert!(documented.is_some(), "{id} answers {} and its description does not say so", answer.status);
    }
}

fn scan() -> Value {
    let finding =
        json!({"connection": "other", "kind": "script", "workflow": "a.py", "file": "a.py", "line": 1, "certainty": "certain"});
    let scan = "5c1f0f0e-3f63-4c39-8a0b-51a8f7f0a1c2";
    json!({"scan": scan, "commit": null, "files": 1, "findings": [finding], "last": true})
}

fn report() -> Value {
    let steps = ["resolve", "reach", "secure", "sign_in", "open_database", "read"];
    let steps = steps.map(|step| json!({"step": step, "status": "ok", "duration_ms": 0.1}));
    json!({"status": "ok", "duration_ms": 1.0, "server_version": null, "checked_at": "", "from": "client", "steps": steps, "error": null})
}

fn description(stored: &Stored) -> Value {
    Request::new(stored.server.port(), "GET", "/api/v1/openapi.json").send().expect(200).json()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn every_route_by_every_caller(#[case] engine: Engine) {
    let mut stored = Stored::start(engine);
    let expired = expired(&mut stored);
    let operations = Operation::all(&description(&stored));
    let described: BTreeSet<_> = operations.iter().map(|operation| operation.id.as_str()).collect();
    let listed: BTreeSet<_> = ROUTES.iter().map(|route| route.id).collect();
    assert_eq!(described, listed, "a route is missing in the table of this test, or gone from the API: add or remove its line");
    let mut body = sample("sales", "planted");
    body["host"] = json!("127.0.0.1");
    body["port"] = json!(1);
    stored.admin("POST", "/connections").json(&body).send().expect(201);
    let hook = json!({"name": "hook", "type": "webhook", "host": "127.0.0.1", "port": 1, "tls": {"mode": "disable"}});
    stored.admin("POST", "/connections").json(&hook).send().expect(201);
    stored.create_workspace("copies");
    let other = stored.server.token("copies", "admin", "copies");
    let table =
        Table { stored: &stored, other, operations, count: std::cell::Cell::default(), checked: std::cell::Cell::default() };

    let roles = ["viewer", "user", "editor", "admin"].map(|role| (role, stored.token(&format!("a {role}"), role, None)));
    let narrowed = stored.token("narrowed", "admin", Some(&["other"]));
    let left_out = left_out(&stored);
    let outsider = other_workspace(&stored);
    let revoked = revoked(&stored);
    for route in ROUTES {
        for token in [None, Some(""), Some("nonsense"), Some(revoked.as_str()), Some(expired.as_str())] {
            let request = table.request(route.id, "default");
            let request = token.map_or_else(|| request.clone(), |token| request.clone().token(token));
            table.check("nobody", route.id, &request.send(), 401);
        }
        for ((role, token), expected) in roles.iter().zip(route.by_role) {
            table.check(role, route.id, &table.request(route.id, "default").token(token).send(), expected);
        }
        table.check("narrowed", route.id, &table.request(route.id, "default").token(&narrowed).send(), route.narrowed);
        if USES.contains(&route.id) {
            let request = table.request_of(route.id, "default", "closed");
            table.check("left out", route.id, &request.token(&left_out).send(), 403);
        } else if matches!(route.id, "show_connection" | "edit_connection" | "list_checks" | "list_dependents") {
            let request = table.request_of(route.id, "default", "closed");
            table.check("left out", route.id, &request.token(&left_out).send(), 200);
        }
        table.absent(route, &roles);
        if !route.open {
            // A workspace of others looks like one that is not.
            let foreign = table.request(route.id, "default").token(&outsider).send();
            table.check("outsider", route.id, &foreign, 404);
            let absent = table.request(route.id, "absent").token(&outsider).send();
            assert_eq!(told(&foreign), told(&absent), "{}", route.id);
        }
    }
    let basic = table.request("list_types", "default").header("authorization", "Basic YWRtaW46YWRtaW4=").send();
    basic.refused(401, "unauthenticated");
    let (routes, checked) = (ROUTES.len(), table.checked.get());
    println!(
        "promise: authorisation of the API, {engine:?}: {routes} routes, {checked} answers over own, foreign and absent: 0 unauthorised"
    );
    nothing_of_others_is_seen(&stored, &outsider);
    no_token_grants_more_than_it_has(&stored, &narrowed);
}

/// All of an answer but the time that it was given at.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.clone().into_iter().filter(|(name, _)| name != "date").collect();
    (answer.status, headers, answer.text())
}

/// A token of an admin that lived for a day, two days ago.
fn expired(stored: &mut Stored) -> String {
    stored.server.process().stop();
    let (clock, mut mint) =
        (Clock::build(), Shell::new(["token", "create", "--role", "admin", "--name", "expired", "--days", "1"]));
    for (name, value) in clock.behind(2) {
        mint = mint.variable(&name, value);
    }
    let token = mint.args(stored.data_arguments()).run().stdout().to_owned();
    stored.server.restart();
    token
}

/// A token of a user and editor, and the connection `closed`, which is narrowed to nobody.
fn left_out(stored: &Stored) -> String {
    stored.create("closed", "planted");
    stored.admin("PUT", "/connections/closed/users").header("if-match", "*").json(&json!({"narrowed": true})).send().expect(200);
    let body = json!({"name": "left out", "roles": ["user", "editor"]});
    let made = stored.admin("POST", "/tokens").json(&body).send().expect(201).json();
    made["token"].as_str().expect("a token").to_owned()
}

fn revoked(stored: &Stored) -> String {
    let token = stored.token("revoked", "admin", None);
    stored.request(&token, "GET", "/types").send().expect(200);
    let tokens = stored.admin("GET", "/tokens").send().expect(200).json();
    let id = tokens["items"].as_array().and_then(|tokens| tokens.iter().find(|token| token["name"] == "revoked"));
    let path = format!("/tokens/{}", id.and_then(|token| token["id"].as_str()).expect("listed"));
    stored.admin("DELETE", &path).send().expect(204);
    // At once, although the server had it in memory.
    stored.request(&token, "GET", "/types").send().refused(401, "unauthenticated");
    stored.admin("DELETE", &path).send().refused(404, "not_found");
    token
}

/// The token of an admin of the workspace `theirs`.
fn other_workspace(stored: &Stored) -> String {
    stored.create_workspace("theirs");
    stored.server.token("theirs", "admin", "outsider")
}

fn nothing_of_others_is_seen(stored: &Stored, outsider: &str) {
    let workspaces = stored.request(outsider, "GET", "/workspaces").send().expect(200).json();
    let names: Vec<_> = workspaces["items"].as_array().into_iter().flatten().map(|workspace| &workspace["name"]).collect();
    assert_eq!(names, ["theirs"]);
    let theirs = stored.request(outsider, "GET", "/workspaces/theirs/connections").send().expect(200).json();
    assert_eq!(theirs["items"], json!([]));
    // The same name in another workspace is another connection.
    stored.request(outsider, "POST", "/workspaces/theirs/connections").json(&sample("sales", "theirs")).send().expect(201);
    let resolved = stored.request(outsider, "GET", "/workspaces/theirs/connections/sales/credentials").send().expect(200).json();
    assert_eq!(resolved["fields"]["password"], "theirs");
    assert_eq!(stored.credentials("sales").json()["fields"]["password"], "planted");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn tokens_end_with_the_token_that_made_them(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let ask = |token: &str, body: Value| stored.request(token, "POST", "/workspaces/default/tokens").json(&body).send();
    let text = |answer: &Value, member: &str| answer[member].as_str().expect("a text").to_owned();
    let short = json!({"name": "short", "roles": ["user"], "expires_in_days": 1});
    let maker = ask(&stored.admin, short).expect(201).json();
    let own = text(&maker, "token");
    let child = ask(&own, json!({"name": "child", "roles": ["user"]})).expect(201).json();
    assert_eq!(child["expires_at"], maker["expires_at"]);
    ask(&own, json!({"name": "longer", "roles": ["user"], "expires_in_days": 2}))
        .refused_field("invalid_fields", "expires_in_days");
    let grandchild = ask(&text(&child, "token"), json!({"name": "grandchild", "roles": ["user"]})).expect(201).json();
    stored.request(&text(&grandchild, "token"), "GET", "/types").send().expect(200);
    stored.admin("DELETE", &format!("/tokens/{}", text(&maker, "id"))).send().expect(204);
    for token in [&maker, &child, &grandchild] {
        stored.request(&text(token, "token"), "GET", "/types").send().refused(401, "unauthenticated");
    }
    assert_eq!(stored.sql("SELECT count(*) FROM tokens WHERE revoked_at IS NOT NULL"), "3");
    assert_eq!(stored.sql("SELECT count(*) FROM audit_events WHERE action = 'token.revoke' AND actor_id LIKE 'token %'"), "3");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn a_person_is_disabled_and_enabled_again(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let path = "/members/ada@example.org";
    stored.add_member("ada@example.org");
    let disabled = || {
        let list = stored.admin("GET", "/members").send().expect(200).json();
        let ada = list["items"].as_array().and_then(|all| all.iter().find(|member| member["email"] == "ada@example.org"));
        ada.expect("listed")["disabled"].clone()
    };
    assert_eq!(disabled(), json!(false));
    for _ in 0..2 {
        stored.admin("POST", &format!("{path}/disable")).send().expect(204);
        assert_eq!(disabled(), json!(true));
    }
    stored.admin("POST", &format!("{path}/enable")).send().expect(204);
    assert_eq!(disabled(), json!(false));
    stored.admin("DELETE", path).send().expect(204);
    stored.admin("POST", &format!("{path}/disable")).send().refused(404, "not_found");
    // The owner, by a token of an admin, and gone from the workspace altogether.
    stored.admin("POST", "/members/admin@example.org/disable").send().refused(403, "forbidden");
    stored.admin("DELETE", "/members/admin@example.org").send().refused(409, "last_admin");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_token_adds_somebody(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    let outsider = other_workspace(&stored);
    stored.add_member("ada@example.org");
    let put = |token: &str, workspace: &str, email: &str| {
        let path = format!("/workspaces/{workspace}/members/{email}");
        stored.request(token, "PUT", &path).json(&json!({"roles": ["editor"]})).send()
    };
    let (elsewhere, nowhere) = ("ada@example.org", "eve@example.org");
    for email in [elsewhere, nowhere] {
        put(&outsider, "theirs", email).refused(403, "forbidden");
    }
    assert_eq!(
        told(&put(&outsider, "theirs", elsewhere)),
        told(&put(&outsider, "theirs", nowhere)),
        "who has an account is not told"
    );
    assert_eq!(stored.sql("SELECT count(*) FROM people"), "2");

    put(&stored.admin, "default", elsewhere).expect(200);
    let list = stored.admin("GET", "/members").send().expect(200).json();
    let shown = json!({"email": elsewhere, "roles": ["editor"], "claimed_roles": [], "owner": false, "disabled": false, "pending": true, "altered": false, "created_by": "shell"});
    assert_eq!(list["items"][0], shown);
    assert_eq!(list["items"][1]["pending"], json!(false), "the first admin chose his");
}

fn no_token_grants_more_than_it_has(stored: &Stored, narrowed: &str) {
    let ask = |token: &str, body: Value| stored.request(token, "POST", "/workspaces/default/tokens").json(&body).send();
    ask(narrowed, json!({"name": "for nothing", "roles": ["viewer"], "connections": []}))
        .refused_field("invalid_fields", "connections");
    for connections in [json!(null), json!(["sales"]), json!(["other", "sales"])] {
        let body = json!({"name": format!("wider {connections}"), "roles": ["viewer"], "connections": connections});
        ask(narrowed, body).refused(403, "forbidden");
    }
    let child = ask(narrowed, json!({"name": "child", "roles": ["user"], "connections": ["other"]})).expect(201).json();
    let child = child["token"].as_str().expect("a token");
    stored.request(child, "GET", "/workspaces/default/connections/sales").send().refused(404, "not_found");
    stored.create("other", "planted");
    stored.request(child, "GET", "/workspaces/default/connections/other/credentials").send().expect(200);
    let list = stored.request(child, "GET", "/workspaces/default/connections").send().expect(200).json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));

    for (role, refused) in
        [("viewer", ["user", "editor", "admin"]), ("user", ["editor", "admin", "admin"]), ("editor", ["user", "admin", "admin"])]
    {
        let own = stored.token(&format!("granting {role}"), role, None);
        for more in refused {
            ask(&own, json!({"name": format!("{role} to {more}"), "roles": [role, more]})).refused(403, "forbidden");
        }
        ask(&own, json!({"name": format!("{role} to {role}"), "roles": [role]})).expect(201);
        // Its own, and those alone.
        let list = stored.request(&own, "GET", "/workspaces/default/tokens").send().expect(200).json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    }
}

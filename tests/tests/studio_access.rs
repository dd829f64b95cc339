//! Who may do what in the Studio: every route by every kind of caller, over what is theirs, what is others' and what is absent.

use std::{collections::BTreeSet, fs};

use dataflow_tests::{
    environment,
    http::Answer,
    server::TestServer,
    session::Session,
    shell::Shell,
    stored::{Engine, Stored},
};

/// What each gets for an empty form: viewer, user, editor, admin, owner.
struct Route {
    method: &'static str,
    path: &'static str,
    by_role: [u16; 5],
    /// Whether the script of a page reads the answer: it is no way to the sign-in page then.
    by_script: bool,
}

const fn page(method: &'static str, path: &'static str, by_role: [u16; 5]) -> Route {
    Route { method, path, by_role, by_script: false }
}

const fn script(path: &'static str, by_role: [u16; 5]) -> Route {
    Route { method: "POST", path, by_role, by_script: true }
}

/// Every route that needs a session. 412 and 422: he may, and the form is no good.
const ROUTES: &[Route] = &[
    page("GET", "/w/{workspace}/connections", [200; 5]),
    page("GET", "/w/{workspace}/connections/{name}", [200; 5]),
    page("GET", "/w/{workspace}/connections/{name}/edit", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/edit", [403, 403, 412, 412, 412]),
    script("/w/{workspace}/connections/{name}/try", [403, 403, 200, 200, 200]),
    script("/w/{workspace}/connections/{name}/test", [403, 200, 200, 200, 200]),
    page("GET", "/w/{workspace}/connections/{name}/duplicate", [403, 403, 200, 200, 200]),
    page("GET", "/w/{workspace}/connections/{name}/delete", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/delete", [403, 403, 422, 422, 422]),
    page("GET", "/w/{workspace}/connections/{name}/rotate", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/rotate", [403, 403, 412, 412, 412]),
    page("GET", "/w/{workspace}/connections/{name}/second-login", [200; 5]),
    page("POST", "/w/{workspace}/connections/{name}/second-login", [403, 403, 412, 412, 412]),
    page("POST", "/w/{workspace}/connections/{name}/second-login/remove", [403, 403, 412, 412, 412]),
    page("POST", "/w/{workspace}/connections/{name}/second-login/retire", [403, 403, 412, 412, 412]),
    page("GET", "/w/{workspace}/connections/{name}/rotation-policy", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/rotation-policy", [403, 403, 412, 412, 412]),
    page("GET", "/w/{workspace}/connections/{name}/health-schedule", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/health-schedule", [403, 403, 422, 422, 422]),
    page("GET", "/w/{workspace}/health", [200; 5]),
    page("GET", "/w/{workspace}/health/schedule", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/health/schedule", [403, 403, 403, 422, 422]),
    page("GET", "/w/{workspace}/health/channel", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/health/channel", [403, 403, 403, 422, 422]),
    page("POST", "/w/{workspace}/health/channel/try", [403, 403, 403, 404, 404]),
    page("GET", "/w/{workspace}/connections/{name}/lint/{rule}", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/lint/{rule}", [403, 403, 412, 412, 412]),
    page("GET", "/w/{workspace}/lint", [200; 5]),
    page("GET", "/w/{workspace}/lint/{rule}", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/lint/{rule}", [403, 403, 403, 412, 412]),
    page("GET", "/w/{workspace}/connections/{name}/rename", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/rename", [403, 403, 422, 422, 422]),
    page("GET", "/w/{workspace}/connections/{name}/repoint", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/repoint", [403, 403, 422, 422, 422]),
    page("GET", "/w/{workspace}/connections/{name}/aliases/{alias}/remove", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/aliases/{alias}/remove", [403, 403, 422, 422, 422]),
    page("GET", "/w/{workspace}/connections/{name}/dependents", [200; 5]),
    page("GET", "/w/{workspace}/compare", [200; 5]),
    // Without the other workspace, which an address or form has to name.
    page("GET", "/w/{workspace}/connections/{name}/copy", [404; 5]),
    page("POST", "/w/{workspace}/connections/{name}/copy", [404; 5]),
    page("GET", "/w/{workspace}/deleted", [200; 5]),
    page("POST", "/w/{workspace}/deleted", [403, 403, 404, 404, 404]),
    page("GET", "/w/{workspace}/connections/{name}/versions", [200; 5]),
    page("GET", "/w/{workspace}/connections/{name}/versions/{version}/restore", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/versions/{version}/restore", [403, 403, 412, 412, 412]),
    page("GET", "/w/{workspace}/connections/{name}/versions/{version}/purge", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/versions/{version}/purge", [403, 403, 403, 422, 422]),
    page("GET", "/w/{workspace}/connections/{name}/users", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/connections/{name}/users", [403, 403, 403, 412, 412]),
    page("GET", "/w/{workspace}/new", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/paste", [403, 403, 422, 422, 422]),
    page("GET", "/w/{workspace}/new/{type}", [403, 403, 200, 200, 200]),
    page("POST", "/w/{workspace}/new/{type}", [403, 403, 422, 422, 422]),
    script("/w/{workspace}/new/{type}/test", [403, 403, 422, 422, 422]),
    page("GET", "/w/{workspace}/types", [200; 5]),
    page("GET", "/w/{workspace}/types/new", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/types/new", [403, 403, 403, 422, 422]),
    page("GET", "/w/{workspace}/types/{own_type}/edit", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/types/{own_type}/edit", [403, 403, 403, 412, 412]),
    page("GET", "/w/{workspace}/types/{own_type}/remove", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/types/{own_type}/remove", [403, 403, 403, 422, 422]),
    page("GET", "/w/{workspace}/tokens", [200; 5]),
    page("POST", "/w/{workspace}/tokens", [422; 5]),
    // Of somebody else's token nobody but an admin learns that it exists.
    page("POST", "/w/{workspace}/tokens/{id}/revoke", [404, 404, 404, 303, 303]),
    page("GET", "/w/{workspace}/access", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/access", [403, 403, 403, 422, 422]),
    page("POST", "/w/{workspace}/access/remove", [403, 403, 403, 404, 404]),
    page("POST", "/w/{workspace}/access/disable", [403, 403, 403, 404, 404]),
    page("POST", "/w/{workspace}/access/enable", [403, 403, 403, 404, 404]),
    // An owner's alone.
    page("POST", "/w/{workspace}/access/link", [403, 403, 403, 403, 404]),
    page("GET", "/w/{workspace}/groups", [403, 403, 403, 200, 200]),
    page("POST", "/w/{workspace}/groups", [403, 403, 403, 422, 422]),
    page("POST", "/w/{workspace}/groups/remove", [403, 403, 403, 404, 404]),
    page("GET", "/w/{workspace}/activity", [403, 403, 403, 200, 200]),
    page("GET", "/w/{workspace}/activity/export", [403, 403, 403, 200, 200]),
    page("GET", "/", [303; 5]),
    page("GET", "/account", [200; 5]),
    page("POST", "/account", [422; 5]),
    // This server has no sign-in provider. A link of before may go.
    page("POST", "/account/link", [404; 5]),
    page("POST", "/account/unlink", [422; 5]),
    page("GET", "/sign-in/again", [403; 5]),
    page("POST", "/account/end", [404; 5]),
    page("POST", "/account/end-others", [303; 5]),
    page("GET", "/workspaces", [200; 5]),
    page("POST", "/workspaces", [403, 403, 403, 403, 422]),
    page("GET", "/workspaces/{workspace}/delete", [403, 403, 403, 403, 200]),
    page("POST", "/workspaces/{workspace}/delete", [403, 403, 403, 403, 422]),
    page("GET", "/settings", [403, 403, 403, 403, 200]),
    page("POST", "/settings/addresses", [403, 403, 403, 403, 412]),
    page("POST", "/settings/retention", [403, 403, 403, 403, 412]),
];

/// What is there for whoever comes.
const OPEN: [&str; 8] = [
    "GET /sign-in",
    "POST /sign-in",
    "GET /sign-in/provider",
    "GET /sign-in/callback",
    "POST /sign-out",
    "POST /link",
    "GET /link/{code}",
    "GET /assets/{file}",
];

/// Method and path of every route in `studio.rs`.
fn in_the_source() -> BTreeSet<String> {
    let source = fs::read_to_string(environment::repository().join("crates/server/src/studio.rs")).expect("the source");
    let calls = source.split(".route(").skip(1).filter_map(|call| call.split_once('"')?.1.split_once('"'));
    let methods = calls.flat_map(|(path, rest)| {
        let handlers = rest.split('\n').next().unwrap_or_default();
        let has = |word: &str| handlers.contains(&format!("{word}("));
        ["get", "post"].into_iter().filter(move |word| has(word)).map(move |word| format!("{} {path}", word.to_uppercase()))
    });
    methods.collect()
}

#[test]
fn every_route_of_the_studio_says_who_may() {
    let named = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path));
    let here: BTreeSet<_> = named.chain(OPEN.map(ToOwned::to_owned)).collect();
    assert_eq!(
        in_the_source(),
        here,
        "a route of the Studio needs a line in ROUTES of this file, which says what each role gets"
    );
}

/// A member with one role, signed in.
fn member(server: &TestServer, workspace: &str, role: &str) -> Session {
    let email = format!("{role}@{workspace}.example.org");
    let words = ["add-member", "--workspace", workspace, "--email", &email, "--role", role, "--data"];
    let told = Shell::new(words).arg(server.data()).run().stdout().to_owned();
    let code = told.rsplit('/').next().expect("a link");
    Session::nobody(server).submit("/link", &format!("code={code}&password=another+long+password")).expect(303);
    Session::of(server, &email, "another long password")
}

struct House {
    stored: Stored,
    made: std::cell::Cell<usize>,
}

impl House {
    /// The address of a route; a token that is there is another one's, and new each time.
    fn address(&self, route: &Route, workspace: &str, name: &str) -> String {
        let path = route.path.replace("{workspace}", workspace).replace("{name}", name).replace("{type}", "postgres");
        let path = path
            .replace("{version}", "1")
            .replace("{alias}", "before")
            .replace("{rule}", "never-tested")
            .replace("{own_type}", "own");
        if !path.contains("{id}") {
            return path;
        }
        self.made.set(self.made.get() + 1);
        let token = format!("of-the-shell-{}", self.made.get());
        self.stored.token(&token, "viewer", None);
        path.replace("{id}", &self.stored.sql(&format!("SELECT id FROM tokens WHERE name = '{token}'")))
    }

    fn ask(&self, who: &Session, route: &Route, (workspace, name): (&str, &str)) -> Answer {
        let address = self.address(route, workspace, name);
        if route.method == "GET" { who.get(&address) } else { who.submit(&address, "") }
    }
}

#[test]
fn every_page_by_every_caller() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("before", "planted");
    stored.post("before", "rename", &serde_json::json!({"name": "sales"})).expect(200);
    stored.create_workspace("theirs");
    let own = "label=Own&summary=Ours&category=databases&extends=generic";
    Session::start(&stored.server).submit("/w/default/types/new", own).expect(303);
    let (server, nobody) = (&stored.server, Session::nobody(&stored.server));
    let ended = member(server, "default", "viewer");
    ended.submit("/sign-out", "").expect(303);
    let again = || Session::of(server, "viewer@default.example.org", "another long password");
    let others = ["user", "editor", "admin"].map(|role| member(server, "default", role));
    let outsider = member(server, "theirs", "admin");
    let who: Vec<_> = [again()].into_iter().chain(others).chain([Session::start(server)]).collect();
    let house = House { stored, made: std::cell::Cell::default() };
    let here = ("default", "sales");
    let mut asked = 0;
    for route in ROUTES {
        let what = format!("{} {}", route.method, route.path);
        for (caller, who) in [("nobody", &nobody), ("a session that has ended", &ended)] {
            let answer = house.ask(who, route, here);
            let refused = if route.by_script { answer.status == 401 } else { answer.header("location").starts_with("/sign-in") };
            assert!(refused, "{caller} at {what}: {} {}", answer.status, answer.text());
            asked += 1;
        }
        for (place, (who, expected)) in who.iter().zip(route.by_role).enumerate() {
            let answer = house.ask(who, route, here);
            assert_eq!(answer.status, expected, "{place} at {what}: {}", answer.text());
            assert!(!answer.header("location").starts_with("/sign-in"), "{place} at {what}");
            asked += 1;
            if route.path.contains("{name}") {
                let absent = house.ask(who, route, ("default", "absent"));
                assert!(absent.status == 404 || absent.status == 403 && expected == 403, "{place} at {what}: {}", absent.status);
                asked += 1;
            }
        }
        if route.path.starts_with("/w/") {
            // A workspace of others looks like one that is not.
            let (foreign, absent) = (house.ask(&outsider, route, here), house.ask(&outsider, route, ("absent", "sales")));
            assert_eq!((foreign.status, foreign.text()), (404, absent.text()), "{what}");
            asked += 2;
        }
    }
    let routes = ROUTES.len();
    println!(
        "promise: authorisation of the Studio: {routes} routes, {asked} answers over own, foreign and absent: 0 unauthorised"
    );
}

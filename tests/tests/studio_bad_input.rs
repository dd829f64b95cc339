//! What no browser sends to the Studio: each thing is refused, is no failure of ours, and changes nothing. On both stores.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use dataflow_tests::{
    environment,
    fake_oidc::{FakeOidc, Trip},
    http::Answer,
    postgres::{Postgres, PostgresOptions},
    session::Session,
    stored::{Engine, Stored},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rstest::rstest;
use serde_json::json;

const FORM: &str = "application/x-www-form-urlencoded";
/// Largest body, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// Longer than any field may be.
const LONG: usize = 5_000;

/// A route that takes POST, and a form that it takes.
struct Route {
    path: &'static str,
    /// Where bad forms go. For a route that reads no form this leads to nothing, since whatever comes there is a whole request.
    at: &'static str,
    /// Names, and values of a form that is taken. `{etag}` stands for the one of `sales`, or of `logins` where it is sent there, `{first}` for the one
    /// of its first version, `{users}` for the one of its users.
    fields: &'static [(&'static str, &'static str)],
    /// Fields that take any text, so that only a form without the others is refused.
    free: &'static [&'static str],
    /// What a good form gets.
    taken: u16,
}

const fn route(path: &'static str, at: &'static str, fields: &'static [(&'static str, &'static str)], taken: u16) -> Route {
    Route { path, at, fields, free: &[], taken }
}

const SALES: &[(&str, &str)] = &[
    ("name", "fresh"),
    ("description", "d"),
    ("tags", "a b"),
    ("host", "127.0.0.1"),
    ("port", "1"),
    ("username", "u"),
    ("password", "p"),
    ("tls.mode", "disable"),
    ("extra.application_name", "x"),
    ("extra.connect_timeout", "5"),
];
const EDITED: &[(&str, &str)] = &[
    ("name", "sales"),
    ("etag", "{etag}"),
    ("description", "d"),
    ("tags", "a"),
    ("host", "127.0.0.1"),
    ("port", "1"),
    ("username", "u"),
    ("password", "p"),
    ("keep:password", "set"),
    ("tls.mode", "disable"),
];
const OWN_TYPE: &[(&str, &str)] = &[
    ("act", "save"),
    ("view", "form"),
    ("id", "exasol"),
    ("label", "Exasol"),
    ("summary", "d"),
    ("category", "warehouses"),
    ("extends", "generic"),
    ("tags", "sql"),
    ("docs", "https://docs.example.org/"),
    ("port", "8563"),
    ("glyph_text", "Ex"),
    ("glyph_color", "#155e75"),
    ("url", "exa://{username}@{host}?E={extra.encryption}"),
    ("remove", "extra.extra"),
    ("fields.0.path", "encryption"),
    ("fields.0.label", "Encryption"),
    ("fields.0.kind", "choice"),
    ("fields.0.section", "extra"),
    ("fields.0.required", ""),
    ("fields.0.default", "yes"),
    ("fields.0.placeholder", "yes"),
    ("fields.0.help", "h"),
    ("fields.0.choices", "yes"),
];
const DEFINITION: &str = "extends = \"generic\"\nlabel = \"Exasol\"\nsummary = \"d\"\ncategory = \"warehouses\"\n";
const ADA: &[(&str, &str)] = &[("email", "ada@example.org")];
const OWN: &[(&str, &str)] = &[("own_password", "correct horse battery staple"), ("password", "another long password")];

/// Whatever is wrong as a password counts as an attempt to guess it, so no more of these are tried here than must be.
const LINKED: &[(&str, &str)] = &[("provider_password", "correct horse battery staple")];

/// What the id of a session looks like; nobody has this one.
const NO_SESSION: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Every route of the Studio that takes POST, in an order in which each form is good once.
const ROUTES: &[Route] = &[
    route("/w/{workspace}/paste", "/w/default/paste", &[("pasted", "postgresql://u@h/d")], 200),
    Route { free: &["name"], ..route("/w/{workspace}/new/{type}/test", "/w/default/new/postgres/test", SALES, 200) },
    route("/w/{workspace}/new/{type}", "/w/default/new/postgres", SALES, 303),
    Route {
        free: &["etag", "name", "keep:password"],
        ..route("/w/{workspace}/connections/{name}/try", "/w/default/connections/sales/try", EDITED, 200)
    },
    Route {
        free: &["name", "keep:password"],
        ..route("/w/{workspace}/connections/{name}/edit", "/w/default/connections/sales/edit", EDITED, 303)
    },
    route(
        "/w/{workspace}/connections/{name}/versions/{version}/restore",
        "/w/default/connections/sales/versions/1/restore",
        &[("etag", "{etag}")],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/versions/{version}/purge",
        "/w/default/connections/sales/versions/1/purge",
        &[("confirm", "1"), ("etag", "{first}")],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/copy",
        "/w/default/connections/sales/copy",
        &[("to", "copies"), ("etag", ""), ("field", "host"), ("field", "username")],
        303,
    ),
    route("/w/{workspace}/connections/{name}/test", "/w/default/connections/absent/test", &[], 200),
    route("/w/{workspace}/connections/{name}/rotate", "/w/default/connections/sales/rotate", &[("etag", "{etag}")], 200),
    route(
        "/w/{workspace}/connections/{name}/second-login",
        "/w/default/connections/logins/second-login",
        &[("etag", "{etag}"), ("username", "second"), ("password", "planted")],
        303,
    ),
    // Once a rotation has switched over to it.
    route(
        "/w/{workspace}/connections/{name}/second-login/retire",
        "/w/default/connections/logins/second-login/retire",
        &[("etag", "{etag}")],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/second-login/remove",
        "/w/default/connections/logins/second-login/remove",
        &[("etag", "{etag}")],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/rotation-policy",
        "/w/default/connections/sales/rotation-policy",
        &[("etag", "{policy}"), ("every_days", "30"), ("at_hour", "3"), ("length", "40"), ("symbols", "-_")],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/health-schedule",
        "/w/default/connections/sales/health-schedule",
        &[
            ("etag", "{health}"),
            ("every_seconds", "86400"),
            ("jitter_percent", "10"),
            ("unhealthy_after", "2"),
            ("healthy_after", "1"),
            ("quiet_from", "22:00"),
            ("quiet_to", "06:00"),
        ],
        303,
    ),
    route(
        "/w/{workspace}/health/channel",
        "/w/default/health/channel",
        &[("name", "oncall"), ("connection", "hook"), ("addresses", ""), ("tag", "finance"), ("tells", "all")],
        303,
    ),
    route("/w/{workspace}/health/channel/try", "/w/default/health/channel/try", &[("name", "oncall")], 200),
    route(
        "/w/{workspace}/health/schedule",
        "/w/default/health/schedule",
        &[
            ("tag", "finance"),
            ("every_seconds", "86400"),
            ("jitter_percent", "10"),
            ("unhealthy_after", "2"),
            ("healthy_after", "1"),
            ("quiet_from", "22:00"),
            ("quiet_to", "06:00"),
        ],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/lint/{rule}",
        "/w/default/connections/sales/lint/never-tested",
        &[("etag", "{silence}"), ("reason", "meant so"), ("until", "2100-01-01")],
        303,
    ),
    route(
        "/w/{workspace}/lint/{rule}",
        "/w/default/lint/never-tested",
        &[("etag", "\"all.never-tested.0\""), ("reason", "meant so"), ("until", "2100-01-01")],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/users",
        "/w/default/connections/sales/users",
        &[("etag", "{users}"), ("narrowed", "some"), ("people", "ada@example.org")],
        303,
    ),
    route("/w/{workspace}/types/new", "/w/default/types/new", OWN_TYPE, 303),
    route(
        "/w/{workspace}/types/{own_type}/edit",
        "/w/default/types/exasol/edit",
        &[("act", "save"), ("version", "1"), ("view", "toml"), ("definition", DEFINITION)],
        303,
    ),
    route("/w/{workspace}/types/{own_type}/remove", "/w/default/types/exasol/remove", &[("version", "2")], 303),
    route("/w/{workspace}/groups", "/w/default/groups", &[("name", "finance"), ("people", "ada@example.org")], 303),
    route("/w/{workspace}/groups/remove", "/w/default/groups/remove", &[("name", "finance")], 303),
    route(
        "/w/{workspace}/connections/{name}/delete",
        "/w/default/connections/sales/delete",
        &[("confirm", "sales"), ("etag", "{etag}"), ("impact", "{impact}"), ("reason", "r")],
        303,
    ),
    // Brings it back.
    route("/w/{workspace}/deleted", "/w/default/deleted", &[("name", "sales"), ("etag", "{etag}")], 303),
    route(
        "/w/{workspace}/connections/{name}/aliases/{alias}/remove",
        "/w/default/connections/other/aliases/before/remove",
        &[("confirm", "before")],
        303,
    ),
    route(
        "/w/{workspace}/connections/{name}/rename",
        "/w/default/connections/other/rename",
        &[("name", "another"), ("etag", "{other}"), ("keep_alias", "yes")],
        303,
    ),
    // By the alias that it has now.
    route(
        "/w/{workspace}/connections/{name}/repoint",
        "/w/default/connections/other/repoint",
        &[("to", "sales"), ("etag", "{other}"), ("confirm", "other"), ("reason", "r")],
        303,
    ),
    route(
        "/w/{workspace}/tokens",
        "/w/default/tokens",
        &[("name", "t"), ("role", "user"), ("days", "30"), ("connections", "a b")],
        201,
    ),
    route("/w/{workspace}/tokens/{id}/revoke", "/w/default/tokens/absent/revoke", &[], 303),
    route("/w/{workspace}/access", "/w/default/access", &[("email", "eve@example.org"), ("roles", "viewer")], 201),
    route("/w/{workspace}/access/disable", "/w/default/access/disable", ADA, 303),
    route("/w/{workspace}/access/enable", "/w/default/access/enable", ADA, 303),
    route("/w/{workspace}/access/link", "/w/default/access/link", ADA, 201),
    route("/w/{workspace}/access/remove", "/w/default/access/remove", ADA, 303),
    route("/workspaces", "/workspaces", &[("name", "finance")], 303),
    route("/workspaces/{workspace}/delete", "/workspaces/theirs/delete", &[("confirm", "theirs"), ("etag", "\"0.0.0\"")], 303),
    route(
        "/settings/addresses",
        "/settings/addresses",
        &[("allow", "0.0.0.0/0"), ("deny", "10.0.0.0/8"), ("etag", "\"addresses.1\"")],
        303,
    ),
    route(
        "/settings/retention",
        "/settings/retention",
        &[("check_days", "90"), ("version_days", "365"), ("change_days", "400"), ("read_days", ""), ("etag", "\"retention.1\"")],
        303,
    ),
    route("/link", "/link", &[("code", "{code}"), ("password", "another long password")], 303),
    Route {
        free: &["next"],
        ..route(
            "/sign-in",
            "/sign-in",
            &[("email", "admin@example.org"), ("password", "correct horse battery staple"), ("next", "/account")],
            303,
        )
    },
    route("/sign-out", "/sign-out", &[], 303),
    Route { free: &["provider_password"], ..route("/account/link", "/account/link", LINKED, 200) },
    Route { free: &["provider_password"], ..route("/account/unlink", "/account/unlink", LINKED, 303) },
    route("/account/end", "/account/end", &[("id", NO_SESSION)], 303),
    route("/account/end-others", "/account/end-others", &[], 303),
    route("/account", "/account", OWN, 200),
];

/// Values for every field. What is longer than it may be is longer than `LONG` allows.
fn bad_values(route: &Route, name: &str) -> Vec<String> {
    let mut all = vec!["a%00b".to_owned(), "%00".to_owned(), "%5B".repeat(LONG), "9".repeat(LONG), "%F0%9F%92%A9".repeat(LONG)];
    let more: &[&str] = match name {
        "port"
        | "days"
        | "check_days"
        | "version_days"
        | "change_days"
        | "read_days"
        | "extra.connect_timeout"
        | "every_days"
        | "at_hour"
        | "length" => &["-1", "1.5", "0x10", "1e9", "NaN", "99999999999999999999", "%5B1%5D", "true"],
        "tls.mode" | "role" | "roles" => &["nonsense", "VIEWER", "%5B%22viewer%22%5D", "1"],
        "email" => &["", "nobody", "@", "a%40b%40c", "a%0D%0ABcc%3A%40b"],
        "allow" => &["10.0.0.0/33", "10.0.0/8", "localhost", "169.254.169.254", "10.0.0.0/8%0Anonsense", "::/129"],
        "deny" => &["10.0.0.0/33", "10.0.0/8", "localhost", "%5B::1%5D", "10.0.0.0%20-%2010.1.0.0"],
        // A token may be called anything.
        "name" if route.path.ends_with("/tokens") => &[""],
        "name" | "confirm" | "code" | "to" => &["", "-x", "a%2Fb", "..%2F..", "%E2%80%AEx"],
        _ => &[],
    };
    all.extend(more.iter().map(ToString::to_string));
    all
}

/// What could stand in an address where a name is expected.
const BAD_NAMES: [&str; 9] =
    ["%FF", "%00", "%ED%A0%80", "a%2Fb", "..%2F..%2Fetc", "%F0%9F%92%A9", "%", "%zz", "'%22--%3Cscript%3E"];

struct Case<'c> {
    route: &'c Route,
    session: &'c Session,
    etag: &'c str,
    other: &'c str,
    users: &'c str,
    impact: &'c str,
    code: &'c str,
}

impl Case<'_> {
    fn encoded(&self, value: &str) -> String {
        let first = self.etag.rsplit_once('.').map(|(id, _)| format!("{id}.1\"")).unwrap_or_default();
        let policy = self.etag.rsplit_once('.').map(|(id, _)| format!("{id}.policy.0\"")).unwrap_or_default();
        let id = self.etag.rsplit_once('.').map(|(id, _)| id.trim_matches('"')).unwrap_or_default();
        let health = format!("\"connection.{id}.0\"");
        let value = value
            .replace("{first}", &first)
            .replace("{policy}", &policy)
            .replace("{health}", &health)
            .replace("{silence}", &format!("\"connection.{id}.never-tested.0\""))
            .replace("{etag}", self.etag)
            .replace("{other}", self.other)
            .replace("{users}", self.users)
            .replace("{impact}", self.impact)
            .replace("{code}", self.code);
        utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string()
    }

    /// The good form, with the field `name` written as `value`, which is encoded already.
    fn with(&self, name: &str, value: &str) -> String {
        let pair = |(field, good): &(&str, &str)| {
            let value = if *field == name { value.to_owned() } else { self.encoded(good) };
            format!("{}={value}", self.encoded(field))
        };
        self.route.fields.iter().map(pair).collect::<Vec<_>>().join("&")
    }

    fn good(&self) -> String {
        self.with("", "")
    }

    fn refused(&self, what: &str, answer: &Answer, with: impl Fn(u16) -> bool) {
        let start: String = what.chars().take(60).collect();
        assert!(with(answer.status), "{} {start}: {} {}", self.route.path, answer.status, answer.text());
    }

    /// A form that lacks fields. A test of stored values runs over what is stored of them, and that changes nothing.
    fn submit_part(&self, body: &str) {
        let answer = self.session.submit(self.route.at, body);
        if !(answer.status == 200 && self.route.path.ends_with("/try")) {
            self.refuses(body, &answer);
        }
    }

    fn submit(&self, body: &str) {
        self.refuses(body, &self.session.submit(self.route.at, body));
    }

    /// Refused, or led back to where one signs in.
    fn refuses(&self, body: &str, answer: &Answer) {
        self.refused(body, answer, |status| (400..500).contains(&status) || (self.route.fields.is_empty() && status == 303));
    }

    fn all(&self) {
        let reads_form = !self.route.fields.is_empty();
        for body in ["", "=", "&&&", "%", "%zz=%zz", "\u{0}", "{\"name\":\"x\"}"] {
            self.submit_part(body);
        }
        self.submit_part(&"[".repeat(10_000));
        self.submit_part(&"a=b&".repeat(10_000));
        let as_it_is = |media: &str, body: &[u8]| self.session.post(self.route.at).body(media, body).send();
        for body in [b"\xff\xfe".as_slice(), b"name=\xed\xa0\x80", b"\x00\x01\x02=\xc3\x28"] {
            let answer = as_it_is(FORM, body);
            self.refused("bytes", &answer, |status| if reads_form { status == 400 } else { (300..500).contains(&status) });
        }
        let good = self.good();
        let json = json!({"name": "x", "email": "ada@example.org"}).to_string();
        for (media, body) in
            [("application/json", &json), ("text/plain", &good), ("multipart/form-data; boundary=x", &good), ("", &good)]
        {
            let answer = as_it_is(media, body.as_bytes());
            self.refused(media, &answer, |status| if reads_form { status == 415 } else { (300..500).contains(&status) });
        }
        for size in [BODY_MAX + 1, 1 << 20] {
            let answer = as_it_is(FORM, format!("{good}&more={}", "x".repeat(size)).as_bytes());
            self.refused("a large body", &answer, |status| if reads_form { status == 413 } else { (300..500).contains(&status) });
        }
        for (name, _) in self.route.fields {
            self.field(name);
        }
        self.addresses();
    }

    fn field(&self, name: &str) {
        // What is no UTF-8 would be stored as something else.
        for value in ["%FF", "a%C3", "%ED%A0%80"] {
            let answer = self.session.submit(self.route.at, &self.with(name, value));
            self.refused(&format!("{name}={value}"), &answer, |status| status == 400);
        }
        let is_free = self.route.free.contains(&name);
        for value in bad_values(self.route, name) {
            if !is_free {
                self.submit(&self.with(name, &value));
            }
            if self.route.fields.len() > 1 {
                self.submit_part(&format!("{}={value}", self.encoded(name)));
            }
        }
        // Of a field that stands twice the first counts, or all.
        if let Some((field, good)) = self.route.fields.iter().find(|(field, _)| *field == name && !is_free) {
            self.submit(&format!("{}&{}={}", self.with(name, "a%00b"), self.encoded(field), self.encoded(good)));
        }
    }

    fn addresses(&self) {
        let body = self.good();
        if self.route.taken == 201 {
            // What is shown once needs a page to be shown on.
            let answer = self.session.submit(&format!("{}?cursor=QQ", self.route.at), &body);
            self.refused("?cursor=QQ", &answer, |status| status == 404);
        }
        for (open, _) in self.route.path.match_indices('{') {
            let close = self.route.path[open..].find('}').expect("as axum writes them") + open + 1;
            for name in BAD_NAMES.into_iter().map(ToOwned::to_owned).chain(["n".repeat(LONG)]) {
                let place = format!("{}{name}{}", &self.route.path[..open], &self.route.path[close..]);
                let others = [
                    ("{workspace}", "default"),
                    ("{name}", "sales"),
                    ("{type}", "postgres"),
                    ("{id}", "absent"),
                    ("{version}", "1"),
                    ("{alias}", "before"),
                    ("{rule}", "never-tested"),
                    ("{own_type}", "exasol"),
                ];
                let place = others.iter().fold(place, |place, (part, value)| place.replace(part, value));
                let answer = self.session.submit(&place, &body);
                self.refused(&place, &answer, |status| (400..500).contains(&status));
            }
        }
    }
}

/// The paths in `studio.rs` that take POST.
fn in_the_source() -> BTreeSet<String> {
    let source = fs::read_to_string(environment::repository().join("crates/server/src/studio.rs")).expect("the source");
    let routes = source.split(".route(").skip(1).filter_map(|call| {
        let (path, handlers) = call.split_once('"')?.1.split_once('"')?;
        handlers.contains("post(").then(|| path.to_owned())
    });
    routes.collect()
}

#[test]
fn every_route_that_takes_a_form_has_its_bad_ones() {
    let here: BTreeSet<_> = ROUTES.iter().map(|route| route.path.to_owned()).collect();
    assert_eq!(in_the_source(), here, "a route that takes POST needs a line in ROUTES of this file, with a form that it takes");
}

/// All that a refused request could have changed; that somebody gave a wrong password is kept.
fn state(stored: &Stored) -> String {
    let mut all = stored.sql(
        "SELECT id, version, description, updated_at, deleted_at, checked_at FROM connections ORDER BY id; SELECT count(*) FROM checks; \
         SELECT count(*) FROM connection_versions; SELECT id, revoked_at FROM tokens ORDER BY id; SELECT count(*) FROM sessions; \
         SELECT count(*) FROM links; SELECT email, password_hash, disabled_at FROM people ORDER BY id; SELECT name FROM workspaces; \
         SELECT workspace_id, person_id, roles FROM members ORDER BY 1, 2; SELECT name, members FROM people_groups ORDER BY 1; SELECT count(*) FROM audit_events WHERE action <> 'person.confirm_failed' AND actor <> 'server'; SELECT name, value FROM settings ORDER BY 1; SELECT tick FROM change_clock",
    );
    let _ = write!(all, "{}{}", stored.admin("GET", "/connections").send().text(), stored.credentials("sales").text());
    all
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn no_form_is_a_failure_and_a_refused_one_changes_nothing(#[case] engine: Engine) {
    let provider = FakeOidc::start();
    let stored = Stored::start_with(engine, &["--oidc", &provider.file(&[])]);
    let sales = json!({"name": "sales", "type": "postgres", "host": "127.0.0.1", "port": 1, "username": "u", "password": "p"});
    let etag = stored.admin("POST", "/connections").json(&sales).send().expect(201).header("etag").to_owned();
    let database = Postgres::start(&PostgresOptions::default());
    for role in ["first", "second"] {
        database.create_role(role, "planted");
    }
    let logins = json!({
        "name": "logins", "type": "postgres", "host": "127.0.0.1", "port": database.port(), "database": "postgres", "username": "first",
        "password": "planted"
    });
    stored.admin("POST", "/connections").json(&logins).send().expect(201);
    let hook = json!({"name": "hook", "type": "webhook", "host": "127.0.0.1", "port": 1, "tls": {"mode": "disable"}});
    stored.admin("POST", "/connections").json(&hook).send().expect(201);
    stored.create("before", "planted");
    let renamed = stored.admin("POST", "/connections/before/rename").header("if-match", "*").json(&json!({"name": "other"}));
    let other = renamed.send().expect(200).header("etag").to_owned();
    stored.add_member("ada@example.org");
    stored.create_workspace("theirs");
    stored.create_workspace("copies");
    let session = Session::start(&stored.server);
    let link = session.submit("/w/default/access", "email=bob%40example.org&roles=viewer").expect(201).text();
    let code = link.split("/link/").nth(1).and_then(|rest| rest.split('<').next()).expect("a link").to_owned();
    stored.credentials("sales").expect(200);
    let (users, impact) = (users_of_sales(&stored), impact_of_sales(&stored));
    let of_logins = stored.show("logins").header("etag").to_owned();
    let case = |route: &'static Route| {
        let etag = if route.at.contains("/logins/") { &of_logins } else { &etag };
        Case { route, session: &session, etag, other: &other, users: &users, impact: &impact, code: &code }
    };
    let (before, nobody) = (state(&stored), Session::nobody(&stored.server));
    for route in ROUTES {
        // Whatever comes from somebody signed in signs him out.
        let session = if route.path == "/sign-out" { &nobody } else { &session };
        Case { session, ..case(route) }.all();
        assert_eq!(state(&stored), before, "{} changed something", route.path);
    }
    good_forms(&stored, &session, &code);
    let log = stored.server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

/// The entity tag of who may use the connection; empty once that is deleted.
fn users_of_sales(stored: &Stored) -> String {
    stored.admin("GET", "/connections/sales/users").send().header("etag").to_owned()
}

/// The token of what its deletion breaks.
fn impact_of_sales(stored: &Stored) -> String {
    let found = stored.admin("GET", "/connections/sales/dependents").send().expect(200).json();
    found["impact_token"].as_str().unwrap_or_default().to_owned()
}

/// The entity tag of the connection, or of what is left of it.
fn etag_of_sales(stored: &Stored) -> String {
    let shown = stored.show("sales");
    if shown.status == 200 {
        return shown.header("etag").to_owned();
    }
    let deleted = stored.admin("GET", "/tombstones").send().expect(200).json();
    deleted["items"][0]["etag"].as_str().expect("a tombstone").to_owned()
}

/// One step from what is refused stands what is taken.
fn good_forms(stored: &Stored, session: &Session, code: &str) {
    let leaving = Session::start(&stored.server);
    let _elsewhere = [Session::start(&stored.server), Session::start(&stored.server)];
    for route in ROUTES {
        let effect = || {
            stored.sql(
                "SELECT tick FROM change_clock; SELECT count(*) FROM sessions; SELECT count(*) FROM links; \
                 SELECT count(*), count(retires_from) FROM second_logins; SELECT count(*) FROM rotation_policies; \
                 SELECT count(*) FROM health_schedules; SELECT count(*) FROM channels; SELECT count(*) FROM lint_silences",
            )
        };
        let (mut etag, mut before) = (etag_of_sales(stored), effect());
        let (users, impact) = (users_of_sales(stored), impact_of_sales(stored));
        let other = stored.show("other").header("etag").to_owned();
        if route.at.ends_with("/logins/second-login/retire") {
            let rotated = stored.admin("POST", "/connections/logins/rotate").header("if-match", "*").send().expect(200).json();
            assert_eq!(rotated["state"], "rotated", "{rotated}");
            before = effect();
        }
        if route.at.contains("/logins/") {
            stored.show("logins").header("etag").clone_into(&mut etag);
        }
        let token = stored.sql("SELECT id FROM tokens WHERE name = 't'");
        let place = route.at.replace("absent/test", "fresh/test").replace("absent/revoke", &format!("{token}/revoke"));
        let session = if route.path == "/sign-out" { &leaving } else { session };
        let mut form = Case { route, session, etag: &etag, other: &other, users: &users, impact: &impact, code }.good();
        if form.contains(NO_SESSION) {
            let account = session.get("/account").text();
            let id =
                account.split("name=\"id\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("another session");
            form = form.replace(NO_SESSION, id);
        }
        if route.path == "/account/unlink" {
            Trip::of(&session.submit("/account/link", &form), Session::nobody(&stored.server)).end_in(session).expect(200);
            before = effect();
        }
        let answer = session.submit(&place, &form);
        assert_eq!(answer.status, route.taken, "{place}: {}", answer.text());
        if route.taken != 200 {
            assert_ne!(effect(), before, "{place} took no effect");
        }
    }
}

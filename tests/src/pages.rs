//! Every page of the Studio that an address leads to: what the walks open, each over connections in several states.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::{
    browser::Browser,
    session::Session,
    studio::{PASSWORD, Studio},
};

/// Stands for the code of a link that lets somebody choose a password.
const CODE: &str = "{code}";

/// The route as the server's source writes it, and the addresses by which the walks take it.
pub const PAGES: [(&str, &[&str]); 44] = [
    ("/", &["/"]),
    ("/sign-in", &["/sign-in"]),
    ("/sign-in/callback", &["/sign-in/callback"]),
    ("/link/{code}", &["/link/{code}"]),
    ("/account", &["/account"]),
    ("/workspaces", &["/workspaces"]),
    ("/workspaces/{workspace}/delete", &["/workspaces/default/delete", "/workspaces/empty/delete"]),
    ("/settings", &["/settings"]),
    ("/w/{workspace}/connections", &["/w/default/connections", "/w/default/connections?q=nothing", "/w/empty/connections"]),
    (
        "/w/{workspace}/connections/{name}",
        &["/w/default/connections/shop", "/w/default/connections/crm", "/w/default/connections/never"],
    ),
    ("/w/{workspace}/connections/{name}/edit", &["/w/default/connections/crm/edit"]),
    ("/w/{workspace}/connections/{name}/duplicate", &["/w/default/connections/crm/duplicate"]),
    ("/w/{workspace}/connections/{name}/rotate", &["/w/default/connections/crm/rotate"]),
    ("/w/{workspace}/connections/{name}/second-login", &["/w/default/connections/crm/second-login"]),
    ("/w/{workspace}/connections/{name}/rotation-policy", &["/w/default/connections/crm/rotation-policy"]),
    ("/w/{workspace}/connections/{name}/health-schedule", &["/w/default/connections/crm/health-schedule"]),
    ("/w/{workspace}/health", &["/w/default/health", "/w/default/health?state=unhealthy", "/w/empty/health"]),
    ("/w/{workspace}/health/channel", &["/w/default/health/channel", "/w/default/health/channel?name=oncall"]),
    ("/w/{workspace}/health/schedule", &["/w/default/health/schedule", "/w/default/health/schedule?scope=all"]),
    ("/w/{workspace}/connections/{name}/lint/{rule}", &["/w/default/connections/crm/lint/tls-unverified"]),
    ("/w/{workspace}/lint", &["/w/default/lint", "/w/default/lint?severity=error", "/w/empty/lint"]),
    ("/w/{workspace}/lint/{rule}", &["/w/default/lint/never-tested"]),
    ("/w/{workspace}/connections/{name}/delete", &["/w/default/connections/crm/delete"]),
    ("/w/{workspace}/connections/{name}/rename", &["/w/default/connections/crm/rename"]),
    (
        "/w/{workspace}/connections/{name}/repoint",
        &[
            "/w/default/connections/crm/repoint",
            "/w/default/connections/crm/repoint?to=never",
            "/w/default/connections/crm/repoint?to=nothing",
        ],
    ),
    ("/w/{workspace}/connections/{name}/aliases/{alias}/remove", &["/w/default/connections/crm/aliases/customers/remove"]),
    (
        "/w/{workspace}/connections/{name}/dependents",
        &["/w/default/connections/crm/dependents", "/w/default/connections/never/dependents"],
    ),
    (
        "/w/{workspace}/compare",
        &["/w/default/compare?with=prod", "/w/default/compare?with=prod&all=1", "/w/prod/compare?with=empty", "/w/empty/compare"],
    ),
    (
        "/w/{workspace}/connections/{name}/copy",
        &["/w/default/connections/crm/copy?to=prod", "/w/default/connections/crm/copy?to=empty"],
    ),
    ("/w/{workspace}/deleted", &["/w/default/deleted", "/w/empty/deleted"]),
    (
        "/w/{workspace}/connections/{name}/versions",
        &[
            "/w/default/connections/crm/versions",
            "/w/default/connections/crm/versions?from=1&to=5",
            "/w/default/connections/crm/versions?from=9&to=1",
            "/w/default/connections/never/versions",
        ],
    ),
    ("/w/{workspace}/connections/{name}/versions/{version}/restore", &["/w/default/connections/crm/versions/1/restore"]),
    ("/w/{workspace}/connections/{name}/versions/{version}/purge", &["/w/default/connections/crm/versions/2/purge"]),
    ("/w/{workspace}/new", &["/w/default/new", "/w/default/new?q=nothing"]),
    (
        "/w/{workspace}/new/{type}",
        &[
            "/w/default/new/postgres",
            "/w/default/new/mysql",
            "/w/default/new/mariadb",
            "/w/default/new/redshift",
            "/w/default/new/sqlite",
            "/w/default/new/exasol",
        ],
    ),
    ("/w/{workspace}/types", &["/w/default/types", "/w/empty/types"]),
    ("/w/{workspace}/types/new", &["/w/default/types/new"]),
    // By hand, so that it is shown as TOML alone; and as a form.
    ("/w/{workspace}/types/{own_type}/edit", &["/w/default/types/by_hand/edit", "/w/default/types/exasol/edit"]),
    ("/w/{workspace}/types/{own_type}/remove", &["/w/default/types/exasol/remove", "/w/default/types/by_hand/remove"]),
    ("/w/{workspace}/tokens", &["/w/default/tokens"]),
    ("/w/{workspace}/access", &["/w/default/access"]),
    ("/w/{workspace}/connections/{name}/users", &["/w/default/connections/shop/users"]),
    ("/w/{workspace}/groups", &["/w/default/groups"]),
    ("/w/{workspace}/activity", &["/w/default/activity", "/w/default/activity?connection=nothing"]),
];

/// An address where nothing is.
const NOWHERE: &str = "/w/default/nowhere";

/// Makes what the pages show; gives every address.
///
/// # Panics
/// If the server refuses it.
pub fn addresses(studio: &Studio) -> Vec<String> {
    studio.create(&json!({"name": "shop", "type": "sqlite", "description": "Orders", "tags": ["eu"], "database": "sales.db"}));
    studio.create(
        &json!({"name": "customers", "type": "postgres", "host": "nowhere.invalid", "username": "u", "password": PASSWORD}),
    );
    studio.create(&json!({"name": "never", "type": "mysql", "host": "old.example.org", "username": "u"}));
    studio.request("POST", "/customers/rename").header("if-match", "*").json(&json!({"name": "crm"})).send().expect(200);
    for change in [
        json!({"host": "127.0.0.1", "port": 1, "password": PASSWORD}),
        json!({"description": "Accounts and contacts", "tags": ["eu", "finance"], "extra": {"connect_timeout": 5}}),
        json!({"host": "nowhere.invalid", "port": 5432, "username": "analytics", "password": PASSWORD, "extra": {"connect_timeout": null}}),
    ] {
        studio.edit("crm", &change);
    }
    studio.create(&json!({"name": "hook", "type": "webhook", "host": "127.0.0.1", "port": 1, "tls": {"mode": "disable"}}));
    studio.test("shop");
    studio.test("crm");
    depend(studio);
    let admin = Session::start(&studio.server);
    for name in ["empty", "prod"] {
        admin.submit("/workspaces", &format!("name={name}")).expect(303);
    }
    promote(studio);
    own_types(&admin);
    studio.create(&json!({"name": "cube", "type": "exasol", "host": "exa.example.org", "port": 8563}));
    admin.submit("/w/default/health/channel", "name=oncall&connection=hook&tells=all").expect(303);
    admin.submit("/w/default/groups", "name=finance&people=admin%40example.org").expect(303);
    let etag = admin.get("/w/default/connections/shop/users").expect(200).text();
    let etag = etag
        .split("name=\"etag\" value=\"&#34;")
        .nth(1)
        .and_then(|rest| rest.split('&').next())
        .expect("an entity tag")
        .to_owned();
    admin.submit("/w/default/connections/shop/users", &format!("etag=%22{etag}%22&narrowed=some&groups=finance")).expect(303);
    let code = studio.link_code(&admin, "guest@example.org");
    let pages = PAGES.iter().flat_map(|(_, addresses)| *addresses).chain([&NOWHERE]);
    pages.map(|address| address.replace(CODE, &code)).collect()
}

/// Defines a type in the form, with a field, and one in TOML that the form cannot show.
///
/// # Panics
/// If the server refuses one.
pub fn own_types(admin: &Session) {
    let exasol = "label=Exasol&summary=The+analytics+database&category=warehouses&extends=generic&remove=extra.extra\
                  &url=exa%2Bwebsocket%3A%2F%2F%7Busername%7D%3A%7Bpassword%7D%40%7Bhost%7D%3A%7Bport%7D%3FENCRYPTION%3D%7Bextra.encryption%7D\
                  &fields.0.path=encryption&fields.0.label=Encryption&fields.0.kind=choice&fields.0.section=extra\
                  &fields.0.choices=yes+%3D+On%0D%0Ano+%3D+Off";
    admin.submit("/w/default/types/new", exasol).expect(303);
    let by_hand = "extends = \"postgres\"\nlabel = \"By hand\"\nsummary = \"Ours\"\ncategory = \"databases\"\n\n[[fields]]\npath = \"port\"\nhelp = \"Of the pooler\"\n";
    let by_hand = utf8_percent_encode(by_hand, NON_ALPHANUMERIC);
    admin.submit("/w/default/types/new", &format!("view=toml&id=by_hand&definition={by_hand}")).expect(303);
}

/// Puts into `prod` what is as it is here, what differs, and what is not here.
fn promote(studio: &Studio) {
    let token = studio.server.token("prod", "admin", "fixture");
    let crm = json!({"name": "crm", "type": "postgres", "host": "prod.example.org", "username": "u", "tags": ["eu"], "password": PASSWORD});
    for connection in [
        crm,
        json!({"name": "events", "type": "mysql", "host": "events.example.org", "username": "u"}),
        json!({"name": "never", "type": "mysql", "host": "old.example.org", "username": "u"}),
    ] {
        studio.server.request(&token, "POST", "/api/v1/workspaces/prod/connections").json(&connection).send().expect(201);
    }
}

/// Has workflows of each kind use `crm` and code name it; deletes another connection, and points to it.
fn depend(studio: &Studio) {
    let user = studio.server.token("default", "user", "worker");
    let at = "/api/v1/workspaces/default";
    let read = || studio.server.request(&user, "GET", &format!("{at}/connections/crm/credentials"));
    let held = read().send().expect(200).header("etag").to_owned();
    for (kind, name) in
        [("pipeline", "nightly_finance.load"), ("notebook", "notebooks/a-name-that-goes-on-for-a-while.ipynb"), ("app", "board")]
    {
        let told = format!("kind={kind}; name=\"{name}\"; run=\"7\"; host=\"worker-1\"");
        read().header("dataflow-workflow", &told).send().expect(200);
    }
    let by_alias = studio.server.request(&user, "GET", &format!("{at}/connections/customers/credentials"));
    by_alias.header("dataflow-workflow", "kind=app; name=\"till\"").send().expect(200);
    let fails = read().header("dataflow-workflow", "kind=script; name=\"/srv/jobs/invoice.py\"").header("if-none-match", &held);
    fails.header("dataflow-failed", "?1").send().expect(304);
    let finding = |kind: &str, workflow: &str, line: u32| json!({"connection": "crm", "kind": kind, "workflow": workflow, "file": "dags/nightly_finance.py", "line": line, "certainty": "maybe"});
    let findings = [
        finding("pipeline", "nightly_finance", 12),
        finding("pipeline", "nightly_finance", 40),
        finding("script", "monthly.py", 3),
    ];
    let scan = json!({"scan": "5c1f0f0e-3f63-4c39-8a0b-51a8f7f0a1c2", "commit": "0f3c9d1", "files": 9, "findings": findings, "last": true});
    studio.server.request(&user, "PUT", &format!("{at}/scans/etl")).json(&scan).send().expect(200);
    studio.create(&json!({"name": "old_crm", "type": "mysql", "host": "old.example.org", "username": "u"}));
    studio.request("DELETE", "/old_crm?reason=moved&use_instead=crm").header("if-match", "*").send().expect(204);
}

/// Opens a page, and waits until it is there.
pub async fn open(browser: &Browser, address: &str) {
    browser.open(address).await;
    browser.until("document.readyState === 'complete'").await;
}

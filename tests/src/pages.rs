//! Every page of the Studio that an address leads to: what the walks open, each over connections in several states.

use serde_json::json;

use crate::{
    browser::Browser,
    session::Session,
    studio::{PASSWORD, Studio},
};

/// Stands for the code of a link that lets somebody choose a password.
const CODE: &str = "{code}";

/// The route as the server's source writes it, and the addresses by which the walks take it.
pub const PAGES: [(&str, &[&str]); 20] = [
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
    ("/w/{workspace}/connections/{name}/delete", &["/w/default/connections/crm/delete"]),
    ("/w/{workspace}/new", &["/w/default/new", "/w/default/new?q=nothing"]),
    (
        "/w/{workspace}/new/{type}",
        &[
            "/w/default/new/postgres",
            "/w/default/new/mysql",
            "/w/default/new/mariadb",
            "/w/default/new/redshift",
            "/w/default/new/sqlite",
        ],
    ),
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
    studio.create(&json!({"name": "crm", "type": "postgres", "host": "nowhere.invalid", "username": "u", "password": PASSWORD}));
    studio.create(&json!({"name": "never", "type": "mysql", "host": "old.example.org", "username": "u"}));
    studio.test("shop");
    studio.test("crm");
    let admin = Session::start(&studio.server);
    admin.submit("/workspaces", "name=empty").expect(303);
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

/// Opens a page, and waits until it is there.
pub async fn open(browser: &Browser, address: &str) {
    browser.open(address).await;
    browser.until("document.readyState === 'complete'").await;
}

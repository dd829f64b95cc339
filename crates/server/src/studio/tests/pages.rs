//! Tokens and Access, page by page: the page stands in the address, and a change leads back to it. And the reader's own account.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use super::{Browser, EMAIL, PASSWORD};
use crate::{
    ops::{
        Caller, Role, Roles,
        paging::PAGE_DEFAULT,
        people,
        tokens::{self, NewToken},
    },
    store,
};

const WORKSPACE: &str = "default";

/// What stands between `begin` and `end`, each time.
fn all_between(html: &str, begin: &str, end: char) -> Vec<String> {
    html.split(begin).skip(1).filter_map(|rest| rest.split_once(end)).map(|(found, _)| found.to_owned()).collect()
}

/// Every page of a list: its address and the names on it.
async fn walk(browser: &mut Browser, list: &str, name: &str) -> Vec<(String, Vec<String>)> {
    let (mut pages, mut address) = (Vec::new(), list.to_owned());
    loop {
        let page = browser.get(&address).await;
        assert_eq!(page.status, StatusCode::OK, "{address}");
        assert_eq!(page.html.contains("First page"), !pages.is_empty(), "{address}");
        pages.push((address, all_between(&page.html, name, '<')));
        let next = page.value("rel=\"next\"", "href");
        if next.is_empty() {
            return pages;
        }
        address = next;
    }
}

fn sizes_and_names(pages: &[(String, Vec<String>)]) -> (Vec<usize>, BTreeSet<&str>) {
    let names = pages.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
    (pages.iter().map(|(_, names)| names.len()).collect(), names)
}

#[tokio::test]
async fn tokens_come_page_by_page() {
    let mut browser = Browser::signed_in().await;
    for number in 0..PAGE_DEFAULT + 3 {
        let new =
            NewToken { name: format!("t{number}"), roles: Roles::of(&[Role::User]), expires_in_days: None, connections: None };
        tokens::create(&browser.app, &Caller::shell(), WORKSPACE, new).await.expect("a token");
    }
    let pages = walk(&mut browser, "/w/default/tokens", "<span class=\"name\">").await;
    let (sizes, names) = sizes_and_names(&pages);
    assert_eq!((sizes, names.len()), (vec![PAGE_DEFAULT, 3], PAGE_DEFAULT + 3));

    let (second, _) = pages.last().expect("two pages");
    let page = browser.get(second).await;
    let revoke = all_between(&page.html, "action=\"", '"').into_iter().find(|to| to.contains("/revoke")).expect("a live token");
    let revoked = browser.post(&revoke, &[]).await;
    assert_eq!((revoked.status, revoked.location()), (StatusCode::SEE_OTHER, second.as_str()));
    assert!(browser.get(second).await.html.contains("Revoked"));
    let made = browser.post("/w/default/tokens", &[("name", "newest"), ("role", "user"), ("days", "1")]).await;
    assert!(made.html.contains("<span class=\"name\">newest<"), "a new one stands on the first page");
    assert_eq!(browser.get("/w/default/tokens?cursor=nonsense").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn people_come_page_by_page() {
    let mut browser = Browser::signed_in().await;
    for number in 0..=PAGE_DEFAULT {
        let email = format!("p{number:02}@example.org");
        people::put_member(&browser.app, &Caller::shell(), WORKSPACE, &email, Roles::of(&[Role::User])).await.expect("added");
    }
    let pages = walk(&mut browser, "/w/default/access", "<span class=\"name\">").await;
    let (sizes, names) = sizes_and_names(&pages);
    assert_eq!((sizes, names.len()), (vec![PAGE_DEFAULT, 2], PAGE_DEFAULT + 2), "and the owner");

    let (second, last) = pages.last().expect("two pages");
    let page = browser.get(second).await;
    let acts: BTreeSet<_> = all_between(&page.html, "action=\"", '"')
        .into_iter()
        .filter(|to| to.contains("/access") && !to.contains("/access/link"))
        .collect();
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        acts.into_iter().partition(|to| to.ends_with(second.split_once('?').expect("a query").1));
    assert_eq!((here.len(), elsewhere), (3, vec!["/w/default/access".to_owned()]), "who is new is added to no page");
    for to in here {
        let done = browser.post(&to, &[("email", &last[0]), ("roles", "viewer")]).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, second.as_str()), "{to}");
    }
    for email in last {
        people::remove_member(&browser.app, &Caller::shell(), WORKSPACE, email).await.expect("removed");
    }
    let empty = browser.get(second).await;
    assert!(empty.html.contains("No more people") && empty.html.contains("First page"), "{}", empty.html);
    assert_eq!(browser.get("/w/default/access?cursor=nonsense").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_owner_makes_new_links_and_an_admin_is_told_whom_to_ask() {
    let mut browser = Browser::signed_in().await;
    let admin = "admin@example.org";
    let added = browser.post("/w/default/access", &[("email", admin), ("roles", "admin")]).await;
    assert!(added.status == StatusCode::CREATED && added.html.contains("No password chosen yet"), "{}", added.html);
    let made = browser.post("/w/default/access/link", &[("email", admin)]).await;
    let url = all_between(&made.html, "id=\"fresh-link\">", '<').pop().expect("a link");
    let code = url.rsplit('/').next().unwrap_or_default().to_owned();
    assert_eq!(browser.post("/link", &[("code", &code), ("password", PASSWORD)]).await.status, StatusCode::SEE_OTHER);
    let access = browser.get("/w/default/access").await;
    assert!(access.html.contains("an owner of it adds people") && !access.html.contains("New link"), "{}", access.html);
    assert!(!access.html.contains("No password chosen yet"));
    let refused = browser.post("/w/default/access", &[("email", "ceo@example.org"), ("roles", "viewer")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.html.contains("Only an owner of this server may add somebody"), "{}", refused.html);
    assert_eq!(browser.post("/w/default/access/link", &[("email", admin)]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_person_changes_his_own_password() {
    let mut browser = Browser::signed_in().await;
    let new = "another battery staple";
    assert!(browser.get("/w/default/access").await.html.contains("href=\"/account\""));
    let wrong = browser.post("/account", &[("own_password", "not his own"), ("password", new)]).await;
    assert_eq!(
        (wrong.status, wrong.value("id=\"own_password\"", "aria-invalid").as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "true")
    );
    let short = browser.post("/account", &[("own_password", PASSWORD), ("password", "short")]).await;
    assert_eq!(
        (short.status, short.value("id=\"password\"", "aria-invalid").as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "true")
    );
    let old = browser.cookie.clone();
    let changed = browser.post("/account", &[("own_password", PASSWORD), ("password", new)]).await;
    assert!(changed.status == StatusCode::OK && changed.html.contains("Your password is changed"), "{}", changed.html);
    assert!(!changed.html.contains(PASSWORD) && !changed.html.contains(new));
    assert_eq!(browser.get("/account").await.status, StatusCode::OK, "this browser goes on");
    browser.cookie = old;
    assert_eq!(browser.get("/account").await.location(), "/sign-in?next=%2Faccount");
}

#[tokio::test]
async fn a_person_signs_out_where_he_left_a_browser_open() {
    let mut browser = Browser::signed_in().await;
    let here = browser.cookie.clone();
    let mut elsewhere = Vec::new();
    for peer in ["192.0.2.8:1", "192.0.2.9:1"] {
        browser.peer = peer.parse().ok();
        browser.post("/sign-in", &[("email", EMAIL), ("password", PASSWORD)]).await;
        elsewhere.push(browser.cookie.clone());
    }
    browser.cookie = here.clone();
    let account = browser.get("/account").await.html;
    assert!(account.contains("192.0.2.8") && account.contains("192.0.2.9"), "{account}");
    assert_eq!((account.matches("This browser").count(), account.matches("action=\"/account/end\"").count()), (1, 2));

    // The newest comes first.
    let newest = browser.get("/account").await.value("name=\"id\"", "value");
    assert_eq!(browser.post("/account/end", &[("id", &newest)]).await.location(), "/account#sessions");
    assert_eq!(browser.post("/account/end", &[("id", &newest)]).await.location(), "/account#sessions", "it has ended already");
    let is_signed_in = async |browser: &mut Browser, cookie: &Option<String>| {
        browser.cookie.clone_from(cookie);
        browser.get("/account").await.status == StatusCode::OK
    };
    let mut open = Vec::new();
    for cookie in [&elsewhere[0], &elsewhere[1], &here] {
        open.push(is_signed_in(&mut browser, cookie).await);
    }
    assert_eq!(open, [true, false, true]);

    browser.post("/account/end-others", &[]).await;
    let account = browser.get("/account").await.html;
    assert!(!account.contains("Sign out everywhere else") && account.contains("This browser"), "{account}");
    assert!(!is_signed_in(&mut browser, &elsewhere[0]).await);
}

#[tokio::test]
async fn what_weakens_a_connection_is_marked_unless_it_stays_on_this_machine() {
    let mut browser = Browser::signed_in().await;
    for (name, host, shown) in [("near", "127.0.0.1", "No TLS<"), ("far", "db.internal", "No TLS (weak)<")] {
        let fields = [("name", name), ("host", host), ("username", "u"), ("password", "x"), ("tls.mode", "disable")];
        browser.post("/w/default/new/postgres", &fields).await;
        let page = browser.get(&format!("/w/default/connections/{name}")).await.html;
        assert!(page.contains(shown), "{name}: {page}");
    }
    let require = [("name", "open"), ("host", "db.internal"), ("username", "u"), ("password", "x"), ("tls.mode", "require")];
    let weak = [("name", "md5"), ("host", "db.internal"), ("username", "u"), ("password", "x"), ("extra.insecure_auth", "md5")];
    for fields in [require, weak] {
        browser.post("/w/default/new/postgres", &fields).await;
    }
    // A form with each says so beside the choice, and below it.
    let form = browser.get("/w/default/connections/open/edit").await.html;
    assert!(
        form.contains("Encrypt, verify nothing (weak)") && form.contains("No TLS (weak)") && form.contains("MD5 (weak)"),
        "{form}"
    );
    assert!(form.contains("TLS not verified") && form.contains("Weak: somebody on the way"), "{form}");
    let listed = async |browser: &mut Browser, path: &str| {
        let page = browser.get(path).await.html;
        let row = |name: &str| {
            let row = page.split(&format!("data-name=\"{name}\"")).nth(1).and_then(|rest| rest.split("</tr>").next());
            row.unwrap_or_default().matches("class=\"desc warn\">").count()
        };
        ["near", "far", "open", "md5"].map(row)
    };
    for path in ["/w/default/connections", "/w/default/connections?sort=-updated", "/w/default/connections?q=db"] {
        assert_eq!(listed(&mut browser, path).await, [0, 1, 1, 1], "{path}");
    }
    // Once it is verified, its mark is gone.
    let etag = browser.get("/w/default/connections/open/edit").await.value("name=\"etag\"", "value");
    let verified = [
        ("etag", etag.as_str()),
        ("name", "open"),
        ("host", "db.internal"),
        ("port", "5432"),
        ("username", "u"),
        ("tls.mode", "verify-full"),
        ("keep:password", "set"),
        ("password", "y"),
    ];
    let saved = browser.post("/w/default/connections/open/edit", &verified).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.html);
    assert_eq!(listed(&mut browser, "/w/default/connections").await, [0, 1, 0, 1]);
    // As of before: the words are made anew by what brings a store up to this version.
    let before = listed(&mut browser, "/w/default/connections").await;
    let mut write = browser.app.store.write().await.expect("open");
    let gone = store::execute!(&mut write, "DELETE FROM search_words WHERE word LIKE ':weak:%'").expect("deleted");
    assert_eq!(gone, 2);
    for sql in
        include_str!("../../../../../migrations/sqlite/0012_weak_words.sql").split(';').filter(|sql| sql.contains("INSERT"))
    {
        store::execute!(&mut write, sql).expect("written");
    }
    write.commit().await.expect("committed");
    assert_eq!(listed(&mut browser, "/w/default/connections").await, before);
}

#[tokio::test]
async fn settings_are_for_owners() {
    let mut browser = Browser::signed_in().await;
    let page = browser.get("/w/default/connections").await.html;
    assert!(page.contains("href=\"/settings\""), "{page}");
    let settings = browser.get("/settings").await;
    assert!(settings.status == StatusCode::OK && settings.html.contains("What tests may reach now"), "{}", settings.html);
    let etag = settings.value("name=\"etag\"", "value").replace("&#34;", "\"");
    assert_eq!(etag, "\"addresses.1\"");

    let admin = "admin@example.org";
    browser.post("/w/default/access", &[("email", admin), ("roles", "admin")]).await;
    let made = browser.post("/w/default/access/link", &[("email", admin)]).await;
    let url = all_between(&made.html, "id=\"fresh-link\">", '<').pop().expect("a link");
    let code = url.rsplit('/').next().unwrap_or_default().to_owned();
    assert_eq!(browser.post("/link", &[("code", &code), ("password", PASSWORD)]).await.status, StatusCode::SEE_OTHER);
    assert!(!browser.get("/w/default/connections").await.html.contains("/settings"));
    let refused = browser.get("/settings").await;
    assert!(
        refused.status == StatusCode::FORBIDDEN && refused.html.contains("Only an owner of this server may see"),
        "{}",
        refused.html
    );
    for (path, fields) in [
        ("/settings/addresses", [("etag", etag.as_str()), ("deny", "10.0.0.0/8")]),
        ("/settings/addresses", [("etag", etag.as_str()), ("deny", "nonsense")]),
        ("/settings/retention", [("etag", "\"retention.1\""), ("check_days", "soon")]),
        ("/settings/retention", [("etag", "\"retention.1\""), ("check_days", "1")]),
    ] {
        assert_eq!(browser.post(path, &fields).await.status, StatusCode::FORBIDDEN, "{path} {fields:?}");
    }
}

//! The list in a real browser: what is chosen finds the connections that are meant, and stands in the address.

use dataflow_tests::{
    browser::Browser,
    postgres::{Postgres, PostgresOptions},
    studio::{LIST, PASSWORD, Studio},
};
use serde_json::json;

/// The list is at this address, shows these names in this order, and its filters show what is chosen: type, tag, sort, status.
async fn shows(browser: &Browser, query: &str, names: &[&str]) {
    browser.arrives(&format!("{LIST}{query}")).await;
    browser.until(&format!("JSON.stringify(shown('[data-row]').map(said)) === JSON.stringify({})", json!(names))).await;
    let chosen = "['q', 'status', 'type', 'tag', 'sort'].every((name) => \
                  new FormData(document.getElementById('filters')).get(name) === (new URLSearchParams(location.search).get(name) ?? ''))";
    browser.until(chosen).await;
}

#[tokio::test]
async fn browser_filters() {
    let studio = Studio::start();
    let database = Postgres::start(&PostgresOptions {
        hba: vec!["host all trusted 127.0.0.1/32 trust".to_owned()],
        ..PostgresOptions::default()
    });
    database.create_role("trusted", PASSWORD);
    database.create_database("trusted", "trusted");
    studio.create(&json!({"name": "shop", "type": "sqlite", "tags": ["eu", "finance"], "database": "sales.db"}));
    studio.create(&json!({"name": "crm", "type": "postgres", "tags": ["finance"], "host": "nowhere.invalid", "username": "u",
                          "password": PASSWORD}));
    studio.create(&json!({"name": "old", "type": "mysql", "tags": ["archive"], "host": "old.example.org", "username": "u"}));
    studio.create(&json!({"name": "desk", "type": "postgres", "tags": ["eu"], "host": "localhost", "port": database.port(),
                          "username": "trusted", "password": PASSWORD, "tls": {"mode": "disable"}}));
    studio.request("PATCH", "/shop").header("if-match", "*").json(&json!({"description": "Orders"})).send().expect(200);
    for name in ["shop", "crm", "desk"] {
        studio.test(name);
    }
    let browser = studio.browser().await;
    each_alone(&browser).await;
    together(&browser).await;
    browser.finish(&[]).await;
}

/// Each sort, type, tag and status, and back to none.
async fn each_alone(browser: &Browser) {
    shows(browser, "", &["crm", "desk", "old", "shop"]).await;
    for (list, option, query, names) in [
        ("Sort", "Z to A", "?sort=-name", ["shop", "old", "desk", "crm"].as_slice()),
        ("Sort", "Last changed", "?sort=-updated", &["shop", "desk", "old", "crm"]),
        ("Sort", "A to Z", "", &["crm", "desk", "old", "shop"]),
        ("Type", "PostgreSQL (2)", "?type=postgres", &["crm", "desk"]),
        ("Type", "SQLite (1)", "?type=sqlite", &["shop"]),
        ("Type", "MySQL (1)", "?type=mysql", &["old"]),
        ("Type", "Type: any", "", &["crm", "desk", "old", "shop"]),
        ("Tag", "eu (2)", "?tag=eu", &["desk", "shop"]),
        ("Tag", "finance (2)", "?tag=finance", &["crm", "shop"]),
        ("Tag", "archive (1)", "?tag=archive", &["old"]),
        ("Tag", "Tag: any", "", &["crm", "desk", "old", "shop"]),
    ] {
        browser.choose(list, option).await;
        shows(browser, query, names).await;
    }
    for (chip, query, names) in [
        ("Failing 1", "?status=failed", ["crm"].as_slice()),
        ("Not proven 1", "?status=unproven", &["desk"]),
        ("Not tested 1", "?status=untested", &["old"]),
        ("All 4", "", &["crm", "desk", "old", "shop"]),
    ] {
        browser.click(chip).await;
        shows(browser, query, names).await;
    }
}

/// What is chosen adds up; it survives a reload, is gone through backwards, and is taken back at once.
async fn together(browser: &Browser) {
    browser.choose("Type", "PostgreSQL").await;
    shows(browser, "?type=postgres", &["crm", "desk"]).await;
    browser.choose("Sort", "Z to A").await;
    shows(browser, "?type=postgres&sort=-name", &["desk", "crm"]).await;
    browser.choose("Tag", "finance").await;
    shows(browser, "?type=postgres&tag=finance&sort=-name", &["crm"]).await;
    browser.fill("Search by name", "cr").await;
    shows(browser, "?q=cr&type=postgres&tag=finance&sort=-name", &["crm"]).await;
    browser.driver().refresh().await.expect("it loads again");
    shows(browser, "?q=cr&type=postgres&tag=finance&sort=-name", &["crm"]).await;
    browser.click("Not proven 1").await;
    shows(browser, "?q=cr&status=unproven&type=postgres&tag=finance&sort=-name", &[]).await;
    browser.sees("No match").await;
    browser.driver().back().await.expect("the page before");
    shows(browser, "?q=cr&type=postgres&tag=finance&sort=-name", &["crm"]).await;
    browser.driver().back().await.expect("the page before");
    shows(browser, "?type=postgres&tag=finance&sort=-name", &["crm"]).await;
    browser.driver().forward().await.expect("the page after");
    shows(browser, "?q=cr&type=postgres&tag=finance&sort=-name", &["crm"]).await;
    browser.click("Not tested 1").await;
    browser.click("Show all").await;
    shows(browser, "", &["crm", "desk", "old", "shop"]).await;
}

/// A list of more than a page goes on under the same filters, in the same order; another choice begins at its first page.
#[tokio::test]
async fn browser_pages_of_the_list() {
    let studio = Studio::start();
    let names: Vec<_> = (0..60).map(|number| format!("row_{number:02}")).collect();
    for name in &names {
        studio.create(&json!({"name": name, "type": "sqlite", "tags": ["many"], "database": "sales.db"}));
    }
    studio.create(&json!({"name": "row_other", "type": "sqlite", "database": "sales.db"}));
    let browser = studio.browser().await;
    browser.choose("Tag", "many (60)").await;
    shows(&browser, "?tag=many", &names.iter().map(String::as_str).take(50).collect::<Vec<_>>()).await;
    browser.choose("Sort", "Z to A").await;
    let backwards: Vec<_> = names.iter().rev().map(String::as_str).collect();
    shows(&browser, "?tag=many&sort=-name", &backwards[..50]).await;
    browser.click("Next page").await;
    browser.until("location.search.startsWith('?tag=many&sort=-name&cursor=')").await;
    let second = browser.run("return location.search").await;
    let second = second.as_str().expect("a text");
    shows(&browser, second, &backwards[50..]).await;
    browser.until("!shown('a').some((link) => said(link) === 'Next page')").await;
    browser.driver().refresh().await.expect("it loads again");
    shows(&browser, second, &backwards[50..]).await;
    browser.choose("Sort", "A to Z").await;
    shows(&browser, "?tag=many", &names.iter().map(String::as_str).take(50).collect::<Vec<_>>()).await;
    browser.driver().back().await.expect("the page before");
    shows(&browser, second, &backwards[50..]).await;
    browser.click("First page").await;
    shows(&browser, "?tag=many&sort=-name", &backwards[..50]).await;
    browser.finish(&[]).await;
}

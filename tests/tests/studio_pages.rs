//! How the Studio's pages look to those who cannot see them well.

use dataflow_tests::{
    accessibility,
    browser::Browser,
    studio::{LIST, PASSWORD, Studio},
};
use serde_json::json;

#[tokio::test]
async fn browser_every_page_is_accessible() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "description": "Orders", "tags": ["eu"], "database": "sales.db"}));
    studio.create(&json!({"name": "crm", "type": "postgres", "host": "nowhere.invalid", "username": "u", "password": PASSWORD}));
    studio.create(&json!({"name": "old", "type": "mysql", "host": "old.example.org", "username": "u"}));
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    for page in [
        LIST,
        "/w/default/connections?q=nothing",
        "/w/default/new",
        "/w/default/new?q=nothing",
        "/w/default/new/postgres",
        "/w/default/new/sqlite",
        "/w/default/connections/old",
        "/w/default/connections/crm/edit",
        "/w/default/connections/crm/delete",
        "/w/default/tokens",
        "/w/default/access",
        "/workspaces",
        "/account",
        "/w/default/nowhere",
    ] {
        browser.open(page).await;
        accessibility::check(&browser, page).await;
    }
    states(&browser).await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    accessibility::check(&browser, "sign in").await;

    // What looks for faults finds them: in both schemes, and what is 1,000 px wide on the telephone only.
    browser.run("document.body.append(new Image()); document.getElementById('page').style.minWidth = '1000px'").await;
    let faults = accessibility::faults(&browser, "broken").await;
    let of = |what: &str| faults.iter().filter(|fault| fault.contains(what)).count();
    assert_eq!((of("image-alt"), of("390 px, dark: the page is"), of("the page is")), (4, 1, 2), "{faults:#?}");
    browser.finish(&["404", "422"]).await;
}

/// What a page becomes while it is used.
async fn states(browser: &Browser) {
    browser.open("/w/default/connections/shop").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    accessibility::check(browser, "a test in order").await;
    browser.open("/w/default/connections/crm/edit").await;
    browser.click("Test Connection").await;
    browser.sees("Stopped at the name").await;
    accessibility::check(browser, "a test that failed").await;
    browser.fill("Host", "").await;
    browser.click("Replace").await;
    browser.click("Save").await;
    browser.sees("Nothing was saved").await;
    accessibility::check(browser, "a refused form").await;
    browser.open(LIST).await;
    browser.sees("Healthy").await;
    accessibility::check(browser, "a list with results").await;
    browser.click("Delete crm").await;
    browser.sees("Delete “crm”?").await;
    accessibility::check(browser, "the delete dialog").await;
    browser.open("/w/default/new").await;
    browser.fill("Connection URL", &format!("mysql://u:{PASSWORD}@db.example.org/x?unknown=1")).await;
    browser.click("Fill in the form").await;
    browser.sees("From the pasted URL").await;
    accessibility::check(browser, "a pasted form").await;
    browser.open("/w/default/tokens").await;
    browser.fill("Name", "nightly").await;
    browser.click("Create token").await;
    browser.sees("Copy it now").await;
    accessibility::check(browser, "a fresh token").await;
    browser.open("/w/default/access").await;
    browser.fill("E-mail", "ada@example.org").await;
    browser.click("Add").await;
    browser.sees("Link for ada@example.org").await;
    accessibility::check(browser, "a fresh link").await;
}

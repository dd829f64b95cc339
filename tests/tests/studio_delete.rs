//! A delete is asked for with what it breaks in view, and leaves word of who did it and when.

use std::time::Instant;

use dataflow_tests::{
    browser::Browser,
    server::ADMIN_EMAIL,
    studio::{LIST, PASSWORD, Studio},
};
use serde_json::{Value, json};
use thirtyfour::Key;

/// Resolves a connection as a workflow of this kind and name does.
fn used_by(studio: &Studio, token: &str, connection: &str, (kind, name): (&str, &str)) -> u16 {
    let path = format!("/api/v1/workspaces/default/connections/{connection}/credentials");
    let workflow = format!("kind={kind}; name=\"{name}\"; run=\"1\"");
    studio.server.request(token, "GET", &path).header("dataflow-workflow", &workflow).send().status
}

/// Loads a page until it shows a text: uses are written within a second.
async fn shows_in_time(browser: &Browser, page: &str, text: &str) {
    let begun = Instant::now();
    loop {
        browser.open(page).await;
        let shown = browser.text().await;
        if shown.contains(text) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 30, "{page} does not show “{text}”: {shown}");
    }
}

/// An expression: whether a text of the open dialog is like this.
fn dialog_says(pattern: &str) -> String {
    format!("place !== document && /{pattern}/.test(flat(place.textContent))")
}

/// When a workflow was seen last, in a pattern.
const SEEN: &str = "(in use now|last seen \\d+ min ago) · version 1";

const SLEEPS: &str = "document.querySelector('dialog [data-wakes]').disabled";

#[tokio::test]
async fn browser_a_delete_names_what_it_breaks_and_who_did_it() {
    let studio = Studio::start();
    for name in ["shop", "crm"] {
        studio.create(&json!({"name": name, "type": "sqlite", "database": "sales.db"}));
    }
    let user = studio.server.token("default", "user", "worker");
    assert_eq!(used_by(&studio, &user, "shop", ("pipeline", "nightly")), 200);
    for name in ["one", "two", "three", "four", "five", "six"] {
        assert_eq!(used_by(&studio, &user, "crm", ("notebook", name)), 200);
    }
    let browser = studio.browser().await;
    shows_in_time(&browser, "/w/default/connections/crm", "six · notebook").await;
    shows_in_time(&browser, "/w/default/connections/shop", "nightly · pipeline").await;

    // Of many, those that were seen last are named and the others counted.
    browser.open(LIST).await;
    browser.click("Delete crm").await;
    browser.until(&dialog_says("6 workflows use it\\. They will fail from their next run")).await;
    browser.until(&dialog_says(&format!("six · notebook ?{SEEN}.*two · notebook ?{SEEN} ?1 more"))).await;
    browser.press(Key::Escape + "").await;
    browser.until("place === document").await;

    browser.click("Delete shop").await;
    browser.until(&dialog_says("1 workflow uses it\\. It will fail from its next run")).await;
    browser.until(&dialog_says(&format!("nightly · pipeline ?{SEEN}"))).await;
    wrong_names(&browser).await;
    newer_version(&browser, &studio).await;

    browser.click("Delete").await;
    browser.arrives(&format!("{LIST}?done=deleted")).await;
    browser.sees("Deleted. Code that names it now fails, and says so.").await;
    browser.until("JSON.stringify(shown('[data-row]').map(said)) === '[\"crm\"]'").await;
    assert_eq!(used_by(&studio, &user, "shop", ("pipeline", "nightly")), 410);
    assert_eq!(used_by(&studio, &user, "crm", ("notebook", "one")), 200);
    let problem = studio.request("GET", "/shop").send().expect(410).json();
    gone(&browser, &problem["deleted_at"]).await;
    browser.finish(&["410", "412"]).await;
}

/// Another name does not wake the button, and the key that sends forms sends nothing.
async fn wrong_names(browser: &Browser) {
    for wrong in ["crm", "Shop", " shop", "shop "] {
        browser.fill("Type shop", wrong).await;
        browser.press(Key::Enter + "").await;
        browser
            .until(&format!("place !== document && {SLEEPS} && document.getElementById('confirm').value === {}", json!(wrong)))
            .await;
    }
    browser.fill("Type shop", "shop").await;
    browser.until(&format!("!{SLEEPS}")).await;
}

/// What somebody saves while the dialog is open is looked at first; the name is typed again.
async fn newer_version(browser: &Browser, studio: &Studio) {
    studio.request("PATCH", "/shop").header("if-match", "*").json(&json!({"description": "Orders"})).send().expect(200);
    browser.click("Delete").await;
    browser.sees("Somebody saved another version meanwhile").await;
    browser.until(&format!("{SLEEPS} && document.activeElement.id === 'confirm'")).await;
    browser.until(&dialog_says("nightly · pipeline")).await;
    studio.request("GET", "/shop").send().expect(200);
    browser.fill("Type shop", "shop").await;
    browser.fill("Why", "the shop has closed").await;
}

/// The page of what was deleted answers that it is gone, by whom, since when and why, each once.
async fn gone(browser: &Browser, deleted_at: &Value) {
    browser.open("/w/default/connections/shop").await;
    let status = browser.run("return performance.getEntriesByType('navigation')[0].responseStatus").await;
    assert_eq!(status, json!(410));
    let text = browser.text().await;
    let script = format!(
        "const [, day, month, year, time] = new Date({deleted_at}).toUTCString().split(' '); \
                          return `${{Number(day)}} ${{month}} ${{year}}, ${{time.slice(0, 5)}} UTC`"
    );
    let when = browser.run(&script).await;
    let when = when.as_str().expect("a text");
    let words = format!("The connection “shop” was deleted by {ADMIN_EMAIL} on {when}. Reason: the shop has closed");
    assert!(text.contains(&words), "“{words}” is not in “{text}”");
    assert_eq!(text.matches(ADMIN_EMAIL).count(), 1, "{text}");
    assert!(text.contains("create a connection of the same name"), "{text}");
}

/// Asked on a page of its own, the question that is drawn anew takes the place of the one before.
#[tokio::test]
async fn browser_a_page_that_asks_asks_once() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    let browser = studio.browser().await;
    browser.open("/w/default/connections/shop/delete").await;
    browser.fill("Type shop", "shop").await;
    studio.request("PATCH", "/shop").header("if-match", "*").json(&json!({"description": "Orders"})).send().expect(200);
    browser.click("Delete").await;
    browser.sees("Somebody saved another version meanwhile").await;
    browser.until(&format!("{SLEEPS} && document.activeElement.id === 'confirm'")).await;
    browser.until("document.querySelectorAll('dialog').length === 1").await;
    browser.click("Cancel").await;
    browser.arrives("/w/default/connections/shop").await;
    browser.finish(&["412"]).await;
}

/// Whoever may only look sees what uses a connection and no way to delete it, on the list and on its own page.
#[tokio::test]
async fn browser_a_viewer_is_offered_no_delete() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    let browser = studio.browser().await;
    browser.open("/w/default/access").await;
    browser.fill("E-mail", "viewer@example.org").await;
    browser.click("Add").await;
    browser.sees("Link for viewer@example.org").await;
    let link = browser.run("return document.getElementById('fresh-link').textContent").await;
    browser.open(LIST).await;
    browser.sees("Delete").await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    browser.open(link.as_str().expect("a text")).await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Save and sign in").await;
    for page in [LIST, "/w/default/connections/shop"] {
        browser.open(page).await;
        browser.sees("viewer@example.org · viewer").await;
        browser.sees("shop").await;
        let text = browser.text().await.replace("Deleted connections", "");
        assert!(!text.contains("Delete") && !text.contains("Edit"), "{page}: {text}");
    }
    browser.open("/w/default/connections/shop/delete").await;
    let status = browser.run("return performance.getEntriesByType('navigation')[0].responseStatus").await;
    assert_eq!(status, json!(403));
    browser.until("!document.querySelector('dialog, [data-wakes], form')").await;
    browser.finish(&["403"]).await;
}

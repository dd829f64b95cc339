//! What the Studio offers to copy is in the clipboard; where a browser forbids that, it is selected, and that is said.

use dataflow_tests::{
    browser::Browser,
    server::NewServer,
    studio::{PASSWORD, Studio},
};
use serde_json::json;

/// Clicks the only button “Copy”, and holds what became of it against the text of the element that `source` selects.
async fn copies(browser: &Browser, source: &str) -> String {
    let text = browser.run(&format!("return document.querySelector({}).textContent", json!(source))).await;
    let text = text.as_str().expect("a text").to_owned();
    assert!(text.len() > 10, "{text}");
    browser.permit_copying(true).await;
    browser.click("Copy").await;
    browser.until("shown('button').some((button) => said(button) === 'Copied')").await;
    heard(browser, "Copied.").await;
    assert_eq!(browser.clipboard().await, text, "{source}");
    // The button says so for a moment, then offers it again.
    browser.until("shown('button').some((button) => said(button) === 'Copy')").await;

    browser.permit_copying(false).await;
    browser.run("getSelection().removeAllRanges()").await;
    browser.click("Copy").await;
    browser.until("shown('button').some((button) => said(button) === 'Selected')").await;
    browser.until(&format!("getSelection().toString().trim() === {}.trim()", json!(text))).await;
    heard(browser, "The text is selected: copy it with the keyboard.").await;
    browser.until("shown('button').some((button) => said(button) === 'Copy')").await;
    text
}

/// What a screen reader is told.
async fn heard(browser: &Browser, words: &str) {
    let told = "[...document.querySelectorAll('[aria-live=polite]')].map((place) => place.textContent).join(' ')";
    browser.until(&format!("{told}.endsWith({})", json!(words))).await;
}

#[tokio::test]
async fn browser_copy_what_is_shown_once() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    browser.open("/w/default/tokens").await;
    browser.fill("Name", "nightly").await;
    browser.click("Create token").await;
    browser.sees("Copy it now").await;
    let token = copies(&browser, "#fresh-token").await;
    let list = studio.server.request(&token, "GET", "/api/v1/workspaces/default/connections").send();
    assert_eq!(list.status, 200, "what was copied is a token that works");
    browser.open("/w/default/access").await;
    browser.fill("E-mail", "ada@example.org").await;
    browser.click("Add").await;
    browser.sees("Link for ada@example.org").await;
    let link = copies(&browser, "#fresh-link").await;
    browser.open(&link).await;
    browser.sees("Choose a password").await;
    browser.finish(&[]).await;
}

#[tokio::test]
async fn browser_copy_snippets() {
    let studio = Studio::start();
    studio
        .create(&json!({"name": "crm", "type": "postgres", "host": "db.example.org", "username": "anna", "password": PASSWORD}));
    let browser = studio.browser().await;
    browser.open("/w/default/connections/crm").await;
    for (label, part) in [
        ("Python", "Dataflow().connection(\"crm\")"),
        ("pandas", "crm"),
        ("polars", "crm"),
        ("SQLAlchemy URL", "postgresql+psycopg://anna@db.example.org"),
        ("Shell", "dataflow connections test crm"),
    ] {
        browser.click(label).await;
        let text = copies(&browser, &format!("pre[aria-label=\"{label}\"]")).await;
        assert!(text.contains(part) && !text.contains(PASSWORD), "{label}: {text}");
    }
    // In the form of a new one they hold the name that is being typed.
    browser.open("/w/default/new/sqlite").await;
    browser.fill("Connection Name", "ledger").await;
    let text = copies(&browser, "pre[aria-label=Python]").await;
    assert!(text.contains("Dataflow().connection(\"ledger\")"), "{text}");
    browser.finish(&[]).await;
}

/// The page of the recovery key stands alone, without what is around the others.
#[tokio::test]
async fn browser_copy_the_recovery_key() {
    let server = NewServer::start();
    let browser = Browser::start(&server.url(), &[PASSWORD]).await;
    browser.open(server.link()).await;
    browser.fill("E-mail", "ada@example.org").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Create the first admin").await;
    browser.sees("Keep this recovery key").await;
    let key = copies(&browser, "#recovery-key").await;
    assert!(key.len() > 30, "{key}");
    browser.click("I have stored it").await;
    browser.sees("No connections yet").await;
    browser.finish(&[]).await;
}

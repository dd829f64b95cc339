//! A version is looked at, restored and purged from the page of a connection's history.

use dataflow_tests::studio::Studio;
use serde_json::json;

/// An expression: whether the open dialog, or the page where none is, says something like this.
fn says(pattern: &str) -> String {
    format!("/{pattern}/.test(flat((place === document ? document.body : place).textContent))")
}

const SLEEPS: &str = "document.querySelector('dialog [data-wakes]').disabled";
const HISTORY: &str = "/w/default/connections/shop/versions";

#[tokio::test]
async fn browser_a_version_is_compared_restored_and_purged() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    studio.edit("shop", &json!({"description": "Orders", "tags": ["eu"]}));
    let browser = studio.browser().await;
    browser.open("/w/default/connections/shop").await;
    browser.click("Version 2").await;
    browser.arrives(HISTORY).await;
    browser.until(&says("2 Serves ?Description ?not set →, now Orders ?Tags ?not set →, now eu")).await;
    browser.fill("From version", "2").await;
    browser.fill("To version", "1").await;
    browser.click("Compare").await;
    browser
        .until(&says("From version 2 to version 1 ?Clients notice nothing of it\\. ?Description ?Orders →, now not set"))
        .await;

    browser.click("Restore version 1").await;
    browser.until(&says("^ ?Restore version 1 of “shop”\\? .*Description ?Orders →, now not set")).await;
    // What somebody saves meanwhile is looked at first.
    studio.edit("shop", &json!({"description": "Orders and invoices"}));
    browser.click("Restore").await;
    browser.until(&says("Somebody saved another version meanwhile.*Orders and invoices →, now not set")).await;
    browser.click("Restore").await;
    browser.arrives("/w/default/connections/shop?done=restored").await;
    browser.sees("Restored as version 4.").await;

    browser.click("Version 4").await;
    browser.until(&says("4 Serves ?restored from 1")).await;
    browser.click("Purge version 3").await;
    browser.until(&format!("{} && {SLEEPS}", says("^ ?Purge version 3 of “shop”\\?"))).await;
    browser.fill("Type 3", "2").await;
    browser.until(SLEEPS).await;
    browser.fill("Type 3", "3").await;
    browser.until(&format!("!{SLEEPS}")).await;
    browser.click("Purge").await;
    browser.arrives(&format!("{HISTORY}?done=purged")).await;
    browser.sees("Purged. It is gone for good.").await;
    browser.until("!document.querySelector('[aria-label=\"Purge version 3\"]')").await;
    browser.finish(&["412"]).await;
}

//! What the Studio says when it cannot do what was asked, and what becomes of what was typed.

use dataflow_tests::{
    accessibility,
    browser::{Browser, WIDE},
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    studio::{LIST, PASSWORD, Studio},
};
use serde_json::json;
use thirtyfour::Key;

/// An expression: whether the browser would ask before it leaves the page, be it by a link, a reload or Back.
const GUARDED: &str = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))";

#[tokio::test]
async fn browser_unsaved_changes_are_guarded_after_a_refusal_too() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    browser.open("/w/default/new/sqlite").await;
    browser.until(&format!("!({GUARDED})")).await;
    browser.fill("Connection Name", "not a name").await;
    browser.fill("File", "sales.db").await;
    browser.until(GUARDED).await;
    browser.click("Save").await;
    browser.sees("Nothing was saved").await;
    browser.until(GUARDED).await;
    browser.click("Cancel").await;
    browser.answer("Leave without saving?", false).await;
    browser.until("labelled('File').value === 'sales.db'").await;
    browser.fill("Connection Name", "shop").await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/shop?done=created").await;
    browser.open("/w/default/connections/shop/edit").await;
    browser.until(&format!("!({GUARDED})")).await;
    browser.fill("File", "../sales.db").await;
    browser.click("Save").await;
    browser.sees("Nothing was saved").await;
    browser.click("Cancel").await;
    browser.answer("Leave without saving?", true).await;
    browser.arrives("/w/default/connections/shop").await;
    browser.finish(&["422"]).await;
}

/// Signs out in a second tab, and comes back.
async fn sign_out_elsewhere(browser: &Browser) {
    let driver = browser.driver();
    let here = driver.window().await.expect("a tab");
    let other = driver.new_tab().await.expect("a second tab");
    driver.switch_to_window(other).await.expect("it is there");
    browser.look(WIDE, "light").await;
    browser.open(LIST).await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    driver.close_window().await.expect("it closes");
    driver.switch_to_window(here).await.expect("it is still there");
}

async fn sign_in(browser: &Browser) {
    browser.fill("E-mail", ADMIN_EMAIL).await;
    browser.fill("Password", ADMIN_PASSWORD).await;
    browser.click("Sign in").await;
}

#[tokio::test]
async fn browser_an_ended_session_leads_to_sign_in_and_back() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    let filtered = format!("{LIST}?q=sho");

    browser.open(&filtered).await;
    sign_out_elsewhere(&browser).await;
    browser.click("Test shop").await;
    browser.arrives("/sign-in?next=%2Fw%2Fdefault%2Fconnections%3Fq%3Dsho").await;
    sign_in(&browser).await;
    browser.arrives(&filtered).await;
    browser.until("labelled('Search by name').value === 'sho'").await;

    // What was asked for is there after the sign-in: by a chip, and by a page that is opened.
    sign_out_elsewhere(&browser).await;
    browser.click("Failing 0").await;
    browser.arrives("/sign-in?next=%2Fw%2Fdefault%2Fconnections%3Fq%3Dsho%26status%3Dfailed").await;
    sign_in(&browser).await;
    browser.arrives(&format!("{filtered}&status=failed")).await;
    browser.sees("No match").await;
    sign_out_elsewhere(&browser).await;
    browser.driver().refresh().await.expect("it loads again");
    browser.sees("Sign in").await;
    sign_in(&browser).await;
    browser.arrives(&format!("{filtered}&status=failed")).await;

    form_is_kept(&browser).await;

    // Never to another server.
    for elsewhere in ["%2F%2Fevil.example.org", "%2F%5Cevil.example.org", "https%3A%2F%2Fevil.example.org"] {
        browser.open(&format!("/sign-in?next={elsewhere}")).await;
        sign_in(&browser).await;
        browser.arrives(LIST).await;
    }
    browser.finish(&["401", "422"]).await;
}

/// A form with changes stays, with the way to sign in beside it.
async fn form_is_kept(browser: &Browser) {
    browser.open("/w/default/new/sqlite").await;
    browser.fill("Connection Name", "second").await;
    browser.fill("File", "sales.db").await;
    sign_out_elsewhere(browser).await;
    browser.click("Save").await;
    browser
        .until("document.querySelector('#page > .notice.bad[role=alert]').textContent.startsWith('You are signed out.')")
        .await;
    browser.click("Test Connection").await;
    browser.until("document.querySelector('[data-outcome]').textContent.startsWith('You are signed out.')").await;
    accessibility::check(browser, "a form whose session has ended").await;
    let driver = browser.driver();
    let here = driver.window().await.expect("a tab");
    browser.click("Sign in in a new tab").await;
    let tabs = driver.windows().await.expect("two tabs");
    let other = tabs.into_iter().find(|tab| *tab != here).expect("a second tab");
    driver.switch_to_window(other).await.expect("it is there");
    browser.arrives("/sign-in?next=%2Fw%2Fdefault%2Fnew%2Fsqlite").await;
    sign_in(browser).await;
    browser.arrives("/w/default/new/sqlite").await;
    driver.close_window().await.expect("it closes");
    driver.switch_to_window(here).await.expect("it is still there");
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/second?done=created").await;
}

/// Copies a text in a field that is there for that alone, and pastes it into another.
async fn paste(browser: &Browser, text: &str, label: &str) {
    let driver = browser.driver();
    browser
        .run(&format!(
            "const source = Object.assign(document.createElement('textarea'), {{ id: 'source', value: {} }});
             document.body.append(source); source.focus(); source.select();",
            json!(text)
        ))
        .await;
    driver.active_element().await.expect("the source").send_keys(Key::Control + "c").await.expect("it is copied");
    browser.run(&format!("document.getElementById('source').remove(); labelled({}).focus()", json!(label))).await;
    driver.active_element().await.expect("the field").send_keys(Key::Control + "v").await.expect("it is pasted");
}

#[tokio::test]
async fn browser_what_is_too_long_or_gone_is_told() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    let admin = studio.server.token("default", "admin", "deletes");
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;

    // A text that is longer than its field is refused there, and not cut.
    browser.open("/w/default/new/postgres").await;
    let bundle = format!("-----BEGIN CERTIFICATE-----\n{}", "MII+".repeat(17_920));
    paste(&browser, &bundle[..71_680], "Server CA").await;
    let words = "Nothing was pasted: it has 71,680 characters, and at most 16,384 fit here. Of a bundle, paste the one certificate that is needed.";
    browser.sees(words).await;
    let at_field = "labelled('Server CA').value === '' && labelled('Server CA').getAttribute('aria-invalid') === 'true' && \
                    document.getElementById(labelled('Server CA').getAttribute('aria-describedby').split(' ').at(-1)).textContent";
    browser.until(&format!("{at_field} === {}", json!(words))).await;
    accessibility::check(&browser, "a text that is too long to paste").await;
    paste(&browser, &bundle[..16_384], "Server CA").await;
    browser.until("labelled('Server CA').value.length === 16384 && !labelled('Server CA').hasAttribute('aria-invalid')").await;

    // So is a password of several lines; the end of the line that it was copied with goes.
    paste(&browser, "correct\nhorse", "Password").await;
    browser.sees("Nothing was pasted: it has several lines, and this is one line.").await;
    paste(&browser, "correct horse\n", "Password").await;
    browser.until("labelled('Password').value === 'correct horse' && !labelled('Password').hasAttribute('aria-invalid')").await;

    // Fields that are too long together.
    browser
        .run("for (const name of ['tls.cert', 'tls.key']) document.querySelector(`[name=\"${name}\"]`).value = '+'.repeat(16384)")
        .await;
    browser.click("Test Connection").await;
    let told = "The form holds more than 64 KiB; nothing was changed.";
    browser.until(&format!("document.querySelector('[data-outcome] b')?.textContent === {}", json!(told))).await;
    browser.click("Save").await;
    let told = format!("{told} Shorten its longest texts: of a bundle of certificates, keep the one that is needed.");
    browser.until(&format!("document.querySelector('#page > .notice.bad')?.textContent === {}", json!(told))).await;
    browser.until(GUARDED).await;
    browser.until("labelled('Server CA').value.length === 16384").await;

    // What somebody else has deleted meanwhile.
    browser.run("document.querySelector('[data-guarded]').remove()").await;
    browser.open("/w/default/connections/shop/edit").await;
    browser.fill("Description", "Orders").await;
    let gone = studio.server.request(&admin, "DELETE", "/api/v1/workspaces/default/connections/shop").header("if-match", "*");
    gone.send().expect(204);
    browser.click("Test Connection").await;
    browser.sees("was deleted by").await;
    browser.sees("create a connection of the same name").await;
    browser.click("Save").await;
    let notice = "document.querySelector('#page > .notice.bad')?.textContent";
    browser.until(&format!("/was deleted by.*create a connection of the same name/.test({notice})")).await;
    assert!(!browser.text().await.contains(PASSWORD));
    browser.finish(&["410", "413"]).await;
}

//! Tokens, people and workspaces in a real browser.

use dataflow_tests::{
    browser::Browser,
    server::{ADMIN_EMAIL, ADMIN_PASSWORD, TestServer},
    studio::{LIST, PASSWORD, Studio, WRONG_PASSWORD},
};

#[tokio::test]
async fn browser_tokens_and_access() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    tokens(&browser, &studio.server).await;
    people(&browser).await;
    workspaces(&browser).await;
    passwords(&browser).await;
    browser.finish(&["401", "404", "410", "422"]).await;
}

/// A token is shown once, works, and is refused as soon as it is revoked.
async fn tokens(browser: &Browser, server: &TestServer) {
    browser.click("Tokens").await;
    browser.arrives("/w/default/tokens").await;
    browser.fill("Ends after", "soon").await;
    browser.click("Create token").await;
    browser.sees("must be a whole number of days").await;
    browser.fill("Name", "nightly").await;
    browser.fill("Ends after", "30").await;
    browser.choose("Role", "User").await;
    browser.click("Create token").await;
    browser.sees("Copy it now").await;
    let token = browser.run("return document.getElementById('fresh-token').textContent").await;
    let token = token.as_str().expect("a text");
    let list = || server.request(token, "GET", "/api/v1/workspaces/default/connections").send().status;
    assert_eq!(list(), 200);
    browser.open("/w/default/tokens").await;
    browser.sees("nightly").await;
    assert!(!browser.driver().source().await.expect("a page").contains(token), "a token is shown once");
    browser.click("Revoke nightly").await;
    browser.answer("Revoke “nightly”?", false).await;
    assert_eq!(list(), 200);
    browser.click("Revoke nightly").await;
    browser.answer("Revoke “nightly”?", true).await;
    browser.sees("Revoked").await;
    assert_eq!(list(), 401);
}

/// Somebody new gets a link that works once, and may do what the roles say.
async fn people(browser: &Browser) {
    browser.click("Access").await;
    browser.arrives("/w/default/access").await;
    browser.fill("E-mail", "ada@example.org").await;
    browser.click("Editor").await;
    browser.click("Add").await;
    browser.sees("Link for ada@example.org").await;
    let link = browser.run("return document.getElementById('fresh-link').textContent").await;
    let link = link.as_str().expect("a text");
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    browser.open(link).await;
    browser.fill("Password", "short").await;
    browser.click("Save and sign in").await;
    browser.until("labelled('Password').getAttribute('aria-invalid') === 'true'").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Save and sign in").await;
    browser.arrives(LIST).await;
    browser.sees("ada@example.org · viewer and editor").await;
    browser.until("!shown('nav a').some((link) => said(link) === 'Access')").await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    browser.open(link).await;
    browser.until("!labelled('Password')").await;
}

/// An owner makes a workspace and goes back and forth.
async fn workspaces(browser: &Browser) {
    browser.open("/workspaces").await;
    browser.arrives("/sign-in?next=%2Fworkspaces").await;
    browser.fill("E-mail", ADMIN_EMAIL).await;
    browser.fill("Password", WRONG_PASSWORD).await;
    browser.click("Sign in").await;
    browser.sees("The e-mail address or the password is not right").await;
    browser.fill("Password", ADMIN_PASSWORD).await;
    browser.click("Sign in").await;
    browser.arrives("/workspaces").await;
    browser.fill("Name", "finance").await;
    browser.click("Create workspace").await;
    browser.arrives("/w/finance/connections").await;
    browser.click("Workspace: finance").await;
    browser.click("default").await;
    browser.arrives(LIST).await;

    // And takes it away again, with its name typed below what goes with it.
    browser.open("/workspaces").await;
    browser.click("Delete finance").await;
    browser.sees("Delete the workspace “finance”?").await;
    browser.until("/0 connections.*0 members.*0 tokens/.test(flat(place.textContent))").await;
    browser.until("document.querySelector('dialog [data-wakes]').disabled").await;
    browser.fill("Type finance to confirm", "finance").await;
    browser.click("Delete workspace").await;
    browser.arrives("/workspaces?done=deleted").await;
    browser.sees("Deleted, with its keys and all that was in it.").await;
    browser.until("!shown('a').some((link) => said(link) === 'Delete default')").await;
    browser.open(LIST).await;
}

/// A person's lost password is made anew by an owner; a known one by its person.
async fn passwords(browser: &Browser) {
    browser.click("Access").await;
    browser.arrives("/w/default/access").await;
    browser.click("New link for ada@example.org").await;
    browser.sees("Link for ada@example.org").await;
    let link = browser.run("return document.getElementById('fresh-link').textContent").await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    browser.open(link.as_str().expect("a text")).await;
    browser.fill("Password", WRONG_PASSWORD).await;
    browser.click("Save and sign in").await;
    browser.arrives(LIST).await;
    browser.click("ada@example.org").await;
    browser.arrives("/account").await;
    browser.fill("Password now", PASSWORD).await;
    browser.fill("New password", PASSWORD).await;
    browser.click("Change password").await;
    browser.sees("is not the one that you sign in with").await;
    browser.fill("Password now", WRONG_PASSWORD).await;
    browser.fill("New password", PASSWORD).await;
    browser.click("Change password").await;
    browser.sees("Your password is changed").await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
}

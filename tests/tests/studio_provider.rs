//! Signing in with a real provider, in a real browser.

use dataflow_tests::{
    accessibility,
    browser::Browser,
    fake_oidc::Mapping,
    oidc_provider::OidcProvider,
    server::{ADMIN_EMAIL, ADMIN_PASSWORD, TestServer, TestServerOptions},
};
use rstest::rstest;
use serde_json::json;

const MAPPINGS: &[Mapping<'_>] = &[("groups", "engineers", "default", &["editor"])];
const LIST: &str = "/w/default/connections?q=a";

/// Somebody at the provider's own form.
async fn goes_in(browser: &Browser, who: &str) {
    browser.sees("Who are you?").await;
    browser.fill("Who are you?", who).await;
    browser.click("Go in").await;
}

async fn signs_out(browser: &Browser) {
    browser.open("/account").await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
}

/// What takes a second look takes one at the provider, in a tab of its own, and nothing that was typed is lost.
async fn shows_again_who_he_is(browser: &Browser) {
    browser.open("/w/default/tokens").await;
    browser.fill("Name", "made after a second look").await;
    browser.choose("Role", "Editor").await;
    browser.click("Create token").await;
    browser.sees("Is it you?").await;
    accessibility::prepare(browser).await;
    accessibility::check(browser, "is it you").await;
    browser.click("Show it at the sign-in provider").await;
    let tabs = browser.driver().windows().await.expect("two tabs");
    browser.driver().switch_to_window(tabs.last().expect("a second").clone()).await.expect("the second tab");
    // It asks again, though he is signed in there.
    goes_in(browser, "grace").await;
    browser.sees("Close this tab, and go on in the one that asked.").await;
    browser.driver().close_window().await.expect("the second tab");
    browser.driver().switch_to_window(tabs[0].clone()).await.expect("the first tab");
    browser.click("Go on").await;
    browser.sees("made after a second look").await;
    assert_ne!(browser.run("return document.getElementById('fresh-token')?.textContent ?? ''").await, json!(""));
}

#[rstest]
#[case::claims_are_asked_for("RS256", false)]
#[case::claims_in_the_token("EdDSA", true)]
#[tokio::test]
async fn browser_a_person_of_the_provider(#[case] algorithm: &str, #[case] claims_in_token: bool) {
    let mut provider = OidcProvider::reserve();
    let arguments = vec!["--oidc".to_owned(), provider.file(MAPPINGS)];
    let server = TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() });
    let grace = json!({"email": "grace@example.org", "email_verified": true, "groups": ["engineers"]});
    let admin = json!({"email": ADMIN_EMAIL, "email_verified": true, "groups": []});
    provider.knows(&json!({"grace": grace, "boss": admin}));
    let mut browser = Browser::start(&server.url(), &[ADMIN_PASSWORD, "plantedClientSecret", "pl4nted"]).await;
    browser.may_visit(&provider.issuer());

    // Before it runs.
    browser.open("/sign-in").await;
    browser.click("Sign in with Example").await;
    browser.sees("The sign-in provider does not answer.").await;
    provider.start(&server.url(), (algorithm, claims_in_token));

    // To the page that was asked for, with the cookie that no request from another site brings along.
    browser.open(LIST).await;
    browser.click("Sign in with Example").await;
    goes_in(&browser, "grace").await;
    browser.arrives(LIST).await;
    browser.sees("New Connection").await;
    browser.sees("grace@example.org · editor").await;
    browser.open("/account").await;
    browser.sees("You sign in with Example and have no password here.").await;
    assert_eq!(browser.run("return shown('[type=password]').length").await, json!(0), "there is no password to change");

    shows_again_who_he_is(&browser).await;

    // Whoever has lost his groups has lost his roles at the next sign-in.
    signs_out(&browser).await;
    provider.knows(&json!({"grace": {"email": "grace@example.org", "email_verified": true}, "boss": admin}));
    browser.click("Sign in with Example").await;
    browser.sees("nobody has given you access to this server").await;
    accessibility::prepare(&browser).await;
    accessibility::check(&browser, "not let in").await;

    // Whoever does not go in there, does not come in here.
    browser.driver().delete_all_cookies().await.expect("the provider forgets, too");
    browser.open("/sign-in").await;
    browser.click("Sign in with Example").await;
    browser.sees("Who are you?").await;
    browser.click("Do not go in").await;
    browser.sees("nobody signed in there, or that this was not permitted").await;

    // An account with a password is linked after it.
    browser.click("Sign in with Example").await;
    goes_in(&browser, "boss").await;
    browser.sees("and it has a password").await;
    browser.fill("E-mail", ADMIN_EMAIL).await;
    browser.fill("Password", ADMIN_PASSWORD).await;
    browser.click("Sign in").await;
    browser.arrives("/w/default/connections").await;
    browser.open("/account").await;
    browser.fill("Your password", "not the right one").await;
    browser.click("Link").await;
    browser.sees("is not the one that you sign in with").await;
    browser.fill("Your password", ADMIN_PASSWORD).await;
    browser.click("Link").await;
    browser.arrives("/account").await;
    browser.sees("Your account is linked").await;
    signs_out(&browser).await;
    browser.click("Sign in with Example").await;
    browser.arrives("/w/default/connections").await;
    browser.sees(ADMIN_EMAIL).await;
    browser.finish(&["400", "403", "404", "422", "503"]).await;
}

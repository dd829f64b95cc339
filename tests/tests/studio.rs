//! The Studio in a real browser, walked as people walk it.

use std::net::TcpListener;

use dataflow_tests::{
    accessibility,
    binary::dataflow_bin,
    browser::Browser,
    folder::TempDir,
    port::Port,
    postgres::{Postgres, PostgresOptions},
    process::{Process, Spawn, Stop},
    server::{ADMIN_EMAIL, ADMIN_PASSWORD, TestServer},
    studio::{LIST, PASSWORD, Studio, WRONG_PASSWORD},
};
use thirtyfour::Key;

fn serve_empty(folder: &TempDir, port: &Port) -> (Process, String) {
    let mut process = Spawn::new(dataflow_bin(), Stop::Terminate)
        .args(["serve".to_owned(), "--listen".to_owned(), format!("127.0.0.1:{}", port.number()), "--data".to_owned()])
        .arg(folder.join("data"))
        .start(&folder.join("log"));
    process.wait_until("`dataflow serve`", |process| process.log().contains("/link/"));
    let log = process.log();
    let link = log.split_whitespace().find(|word| word.contains("/link/")).expect("it was seen").to_owned();
    (process, link)
}

#[tokio::test]
async fn browser_first_admin() {
    let (folder, port) = (TempDir::new(), Port::free());
    let (_process, link) = serve_empty(&folder, &port);
    let browser = Browser::start(&format!("http://127.0.0.1:{}", port.number()), &[PASSWORD]).await;
    accessibility::prepare(&browser).await;

    browser.open(&link).await;
    browser.sees("You become the first admin").await;
    accessibility::check(&browser, "set up").await;
    browser.fill("E-mail", "ada@example.org").await;
    browser.fill("Password", "short").await;
    browser.click("Create the first admin").await;
    browser.until("labelled('Password').getAttribute('aria-invalid') === 'true'").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Create the first admin").await;

    browser.sees("Keep this recovery key").await;
    let key = browser.run("return document.getElementById('recovery-key').textContent").await;
    let key = key.as_str().expect("a text").to_owned();
    assert!(key.len() > 30, "{key}");
    accessibility::check(&browser, "recovery key").await;
    browser.click("I have stored it").await;

    browser.arrives(LIST).await;
    browser.sees("No connections yet").await;
    browser.sees("Dataflow().connection(\"sales\")").await;
    accessibility::check(&browser, "empty list").await;
    browser.open(&link).await;
    let source = browser.driver().source().await.expect("a page");
    assert!(!source.contains(&key) && !source.contains("Create the first admin"), "the link works once");
    browser.open(LIST).await;
    browser.click("New Connection").await;
    browser.arrives("/w/default/new").await;
    browser.finish(&["404", "410", "422"]).await;
}

#[tokio::test]
async fn browser_life_of_a_connection() {
    let studio = Studio::start();
    let database = Postgres::start(&PostgresOptions::default());
    database.create_role("anna", PASSWORD);
    database.create_database("anna", "anna");
    let browser = studio.browser().await;

    create_sqlite(&browser).await;
    list_and_keys(&browser).await;
    edit_with_guard(&browser).await;
    cancel_a_test(&browser).await;
    keep_a_secret(&browser, &database).await;
    duplicate_and_snippets(&browser).await;
    delete(&browser).await;
    browser.finish(&["409", "410", "422"]).await;
}

/// The gallery is searched, a bad name is refused at its field, unsaved values are tested, and the connection is saved.
async fn create_sqlite(browser: &Browser) {
    browser.click("New Connection").await;
    browser.arrives("/w/default/new").await;
    browser.fill("Search types", "sqlite").await;
    browser.arrives("/w/default/new?q=sqlite").await;
    browser.until("shown('[data-row]').length === 1").await;
    browser.press(Key::Down + "").await;
    browser.press(Key::Enter + "").await;
    browser.arrives("/w/default/new/sqlite").await;

    browser.fill("Connection Name", "not a name").await;
    browser.fill("File", "sales.db").await;
    browser.click("Save").await;
    browser.sees("Nothing was saved").await;
    browser.until("document.activeElement.id === 'summary'").await;
    let at_field = "labelled('Connection Name').getAttribute('aria-invalid') === 'true' && \
                    labelled('Connection Name').getAttribute('aria-describedby').split(' ').includes('field-name-error') && \
                    document.getElementById('field-name-error').checkVisibility()";
    browser.until(at_field).await;
    browser.until("labelled('File').value === 'sales.db'").await;
    browser.fill("Connection Name", "shop").await;
    browser.fill("Description", "Orders of the shop").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    browser.sees("SQLite 3.").await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/shop?done=created").await;
    browser.sees("No check has run yet").await;
}

/// The list searches, keeps its search in the address, and is walked by keys.
async fn list_and_keys(browser: &Browser) {
    browser.open(LIST).await;
    browser.sees("Orders of the shop").await;
    browser.press("/").await;
    browser.until("document.activeElement.id === 'search'").await;
    browser.press("nothing").await;
    browser.arrives(&format!("{LIST}?q=nothing")).await;
    browser.sees("No match").await;
    browser.press(Key::Escape + "").await;
    browser.sees("Orders of the shop").await;
    browser.press("sho").await;
    browser.arrives(&format!("{LIST}?q=sho")).await;
    browser.driver().refresh().await.expect("it loads again");
    browser.until("labelled('Search by name').value === 'sho' && shown('[data-row]').length === 1").await;
    browser.click("Test shop").await;
    browser.until("flat(document.querySelector('[data-status]').textContent) === 'Healthy'").await;
    browser.press("n").await;
    browser.arrives("/w/default/new").await;
}

/// A form with changes is not left by accident, and a save makes the next version.
async fn edit_with_guard(browser: &Browser) {
    browser.open("/w/default/connections/shop").await;
    browser.sees("Healthy").await;
    browser.press("e").await;
    browser.arrives("/w/default/connections/shop/edit").await;
    browser.until("labelled('Connection Name').readOnly").await;
    browser.fill("Description", "Orders of both shops").await;
    browser.click("Cancel").await;
    browser.answer("Leave without saving?", false).await;
    browser.until("labelled('Description').value === 'Orders of both shops'").await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/shop?done=saved").await;
    browser.sees("Orders of both shops").await;
    browser.click("Edit").await;
    browser.arrives("/w/default/connections/shop/edit").await;
    browser.click("Cancel").await;
    browser.arrives("/w/default/connections/shop").await;
}

/// Steps appear as they happen: a server that is silent after it was reached shows so, and the test can be stopped.
async fn cancel_a_test(browser: &Browser) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    browser.open("/w/default/new/postgres").await;
    browser.fill("Host", "127.0.0.1").await;
    browser.until("labelled('TLS').value === 'disable'").await;
    browser.fill("Port", &port.to_string()).await;
    browser.fill("Username", "anna").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Test Connection").await;
    let step = |name: &str, icon: &str| {
        format!("document.querySelector('[data-step={name}] use').getAttribute('href').endsWith('#{icon}')")
    };
    browser.until(&format!("{} && {}", step("reach", "check"), step("sign_in", "spin"))).await;
    browser.sees("Running").await;
    browser.click("Cancel the test").await;
    browser.sees("Cancelled").await;
}

/// A stored secret is never shown: it is kept, replaced or cleared, and typed again where it would go elsewhere.
async fn keep_a_secret(browser: &Browser, database: &Postgres) {
    browser.open("/w/default/new/postgres").await;
    browser.fill("Connection Name", "crm").await;
    browser.fill("Host", "127.0.0.1").await;
    browser.fill("Port", &database.port().to_string()).await;
    browser.fill("Username", "anna").await;
    browser.fill("Password", WRONG_PASSWORD).await;
    browser.click("Test Connection").await;
    browser.sees("Stopped at sign-in").await;
    browser.until("labelled('Password').getAttribute('aria-invalid') === 'true'").await;
    browser.fill("Password", PASSWORD).await;
    browser.until("labelled('Password').getAttribute('aria-invalid') !== 'true'").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/crm?done=created").await;
    browser.click("Test Connection").await;
    browser.sees("PostgreSQL 1").await;

    browser.open("/w/default/connections/crm/edit").await;
    browser.until("shown('[name=\"keep:password\"]').length + shown('.seg label').length >= 3").await;
    browser.until("document.querySelector('[name=\"keep:password\"]:checked').value === 'keep'").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    browser.click("Clear").await;
    browser.sees("Is removed when you save").await;
    browser.click("Set").await;
    browser.fill("Host", "localhost").await;
    browser.sees("Where it is sent has changed").await;
    browser.click("Save").await;
    browser.sees("must be typed again").await;
    browser.click("Replace").await;
    browser.fill("New Password", PASSWORD).await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/crm?done=saved").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
}

/// A duplicate takes the fields along and the secret not; the snippets name the connection.
async fn duplicate_and_snippets(browser: &Browser) {
    browser.open("/w/default/connections/crm").await;
    browser.sees("db = Dataflow().connection(\"crm\")").await;
    browser.click("Shell").await;
    browser.sees("dataflow connections test crm").await;
    browser.click("Duplicate").await;
    browser.arrives("/w/default/connections/crm/duplicate").await;
    browser.until("labelled('Connection Name').value === 'crm_copy' && labelled('Username').value === 'anna'").await;
    browser.until("labelled('Password').value === '' && !document.querySelector('[name=\"keep:password\"]')").await;
    browser.fill("Connection Name", "crm").await;
    browser.click("Save").await;
    browser.sees("is taken in this workspace").await;
    browser.fill("Connection Name", "crm_copy").await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/crm_copy?done=created").await;
}

/// The button wakes when the name is typed; what is deleted is gone from the list and says so where it was.
async fn delete(browser: &Browser) {
    browser.open("/w/default/connections/shop").await;
    browser.click("Delete").await;
    browser.sees("Delete “shop”?").await;
    browser.until("place !== document && document.querySelector('[data-wakes]').disabled").await;
    browser.fill("Type shop", "sho").await;
    browser.until("document.querySelector('[data-wakes]').disabled").await;
    browser.press(Key::Escape + "").await;
    browser.until("place === document && said(document.activeElement) === 'Delete'").await;
    browser.click("Delete").await;
    browser.fill("Type shop", "shop").await;
    browser.fill("Why", "the shop has closed").await;
    browser.click("Delete").await;
    browser.arrives(&format!("{LIST}?done=deleted")).await;
    browser.until("!shown('[data-row]').some((row) => said(row) === 'shop')").await;
    browser.open("/w/default/connections/shop").await;
    browser.sees("was deleted by").await;
}

#[tokio::test]
async fn browser_paste() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    let urls = [
        format!("postgresql+psycopg2://anna:{PASSWORD}@db.example.org:5433/crm?sslmode=verify-ca"),
        format!("jdbc:postgresql://db.example.org:5433/crm?user=anna&password={PASSWORD}&sslmode=verify-ca"),
        format!("host=db.example.org port=5433 dbname=crm user=anna password={PASSWORD} sslmode=verify-ca"),
    ];
    for (place, url) in urls.iter().enumerate() {
        browser.open("/w/default/new").await;
        browser.fill("Connection URL", url).await;
        browser.click("Fill in the form").await;
        browser.sees("From the pasted URL").await;
        let fields =
            "[['Host', 'db.example.org'], ['Port', '5433'], ['Database', 'crm'], ['Username', 'anna'], ['TLS', 'verify-ca']]";
        browser.until(&format!("{fields}.every(([label, value]) => labelled(label).value === value)")).await;
        browser.until("document.querySelector('[name=\"keep:password\"]:checked').value === 'pasted'").await;
        let name = format!("pasted{place}");
        browser.fill("Connection Name", &name).await;
        browser.click("Save").await;
        browser.arrives(&format!("/w/default/connections/{name}?done=created")).await;
        let token = studio.server.token("default", "user", &name);
        let path = format!("/api/v1/workspaces/default/connections/{name}/credentials");
        let (status, credentials) = studio.server.call("GET", &path, &token, "");
        assert!(status == 200 && credentials.contains(PASSWORD), "{status} {credentials}");
    }
    browser.open("/w/default/new").await;
    browser.fill("Connection URL", "gopher://nowhere").await;
    browser.click("Fill in the form").await;
    browser.until("labelled('Connection URL').getAttribute('aria-invalid') === 'true'").await;
    browser.until("labelled('Connection URL').value === 'gopher://nowhere'").await;
    browser.finish(&["422"]).await;
}

#[tokio::test]
async fn browser_tokens_and_access() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    tokens(&browser, &studio.server).await;
    people(&browser).await;
    workspaces(&browser).await;
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
    let list = || server.call("GET", "/api/v1/workspaces/default/connections", token, "").0;
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
}

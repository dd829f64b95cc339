//! The Studio in a real browser, walked as people walk it.

use std::net::TcpListener;

use dataflow_tests::{
    accessibility,
    browser::Browser,
    postgres::{Postgres, PostgresOptions},
    server::{ADMIN_PASSWORD, NewServer},
    studio::{LIST, PASSWORD, Studio, WRONG_PASSWORD},
    tls::{Authority, ServerTls, Shape},
};
use serde_json::json;
use thirtyfour::Key;

#[tokio::test]
async fn browser_first_admin() {
    let server = NewServer::start();
    let link = server.link();
    let browser = Browser::start(&server.url(), &[PASSWORD]).await;
    accessibility::prepare(&browser).await;

    browser.open(link).await;
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
    browser.open(link).await;
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

/// The id follows the label until somebody types one; a field comes without a script; the Enter key saves.
#[tokio::test]
async fn browser_a_type_of_ones_own() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    browser.open("/w/default/new").await;
    browser.click("Own types").await;
    browser.arrives("/w/default/types").await;
    browser.click("New type").await;
    browser.arrives("/w/default/types/new").await;
    browser.fill("Label", "Exasol 8").await;
    browser.until("labelled('Id').value === 'exasol_8'").await;
    browser.fill("Id", "exasol").await;
    browser.fill("Label", "Exasol").await;
    browser.until("labelled('Id').value === 'exasol'").await;
    browser.click("Add a field").await;
    browser.until("location.hash === '#row-0' && labelled('Id').value === 'exasol'").await;
    browser.fill("Name, after", "encryption").await;
    let choices = "document.getElementById('field-fields-0-choices').checkVisibility()";
    browser.until(&format!("!{choices}")).await;
    browser.choose("Kind", "One of a list").await;
    browser.until(choices).await;
    browser.fill("Choices", "yes = On").await;
    browser.click("Cancel").await;
    browser.answer("Leave without saving?", false).await;

    browser.fill("Label", "Exasol").await;
    browser.press(Key::Enter + "").await;
    browser.sees("Nothing was saved").await;
    browser.until("document.activeElement.id === 'summary' && labelled('Choices').value === 'yes = On'").await;
    accessibility::check(&browser, "the form of a type, refused").await;
    browser.run("document.getElementById('field-fields-0-label').value = 'Encryption'").await;
    browser.click("As TOML").await;
    browser.until("labelled('Definition in TOML').value.includes('label = \"Encryption\"')").await;
    accessibility::check(&browser, "a type as TOML").await;
    browser.click("Save").await;
    browser.arrives("/w/default/types?done=saved").await;
    browser.click("New connection of Exasol").await;
    browser.arrives("/w/default/new/exasol").await;
    browser.sees("it stays unproven").await;
    browser.until("[...document.querySelectorAll('label')].some((label) => label.textContent === 'Encryption')").await;
    browser.finish(&["422"]).await;
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
    browser.until("flat(document.querySelector('[data-own-status]').textContent) === 'Healthy'").await;
    browser.until("document.querySelectorAll('#checks tbody tr').length === 1").await;

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

/// A certificate that no authority signed is shown and pinned; one that another authority signed is shown, and pinning is not offered.
#[tokio::test]
async fn browser_pin_a_certificate() {
    let (studio, authority) = (Studio::start(), Authority::new());
    let identity = authority.server(Shape::UnknownAuthority);
    let tls = Some(ServerTls::new(identity));
    let mut database = Postgres::start(&PostgresOptions { tls, ..PostgresOptions::default() });
    database.create_role("anna", PASSWORD);
    database.create_database("anna", "anna");
    let browser = studio.browser().await;
    browser.open("/w/default/new/postgres").await;
    browser.fill("Connection Name", "crm").await;
    browser.fill("Host", "localhost").await;
    browser.fill("Port", &database.port().to_string()).await;
    browser.fill("Username", "anna").await;
    browser.fill("Password", PASSWORD).await;
    browser.choose("TLS", "Verify server and host name").await;
    browser.click("Test Connection").await;
    browser.sees("certificate is not trusted").await;
    let tls = json!({"mode": "verify-full"});
    let unsaved = json!({"type": "postgres", "host": "localhost", "port": database.port(), "username": "anna", "password": PASSWORD, "tls": tls});
    let report = studio.request("POST", "/test").json(&unsaved).send().expect(200).json();
    let chain = report.pointer("/error/certificates").and_then(serde_json::Value::as_array).expect("a chain");
    assert!(!chain.is_empty(), "{report}");
    for fingerprint in chain.iter().map(|certificate| certificate.get("fingerprint").and_then(serde_json::Value::as_str)) {
        browser.sees(fingerprint.expect("a text")).await;
    }
    browser.until("!shown('button').some((button) => said(button) === 'Pin this certificate')").await;

    database.replace_certificate(&authority.server(Shape::SelfSigned));
    browser.click("Test Connection").await;
    browser.click("Pin this certificate").await;
    browser.until("labelled('Server CA').value.includes('BEGIN CERTIFICATE')").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/crm?done=created").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    browser.finish(&[]).await;
}

/// An admin keeps a stored secret that will be sent elsewhere: with his own password, and with nothing else.
#[tokio::test]
async fn browser_carry_a_secret() {
    let studio = Studio::start();
    studio
        .create(&json!({"name": "crm", "type": "postgres", "host": "old.example.org", "username": "anna", "password": PASSWORD}));
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    browser.open("/w/default/connections/crm/edit").await;
    browser.fill("Host", "new.example.org").await;
    browser.click("Save").await;
    browser.sees("must be typed again").await;
    browser.until("!labelled('Your own password')").await;
    browser.click("Keep the stored secret").await;
    accessibility::check(&browser, "a secret to be kept").await;
    browser.fill("Your own password", WRONG_PASSWORD).await;
    browser.click("Save").await;
    let at_field = "labelled('Your own password').getAttribute('aria-invalid') === 'true' && \
                    document.querySelector('[value=carry]').checked && labelled('Host').value === 'new.example.org'";
    browser.until(at_field).await;
    browser.sees("is not the one that you sign in with").await;
    accessibility::check(&browser, "a wrong password of one's own").await;
    browser.click("Test Connection").await;
    browser.sees("must be typed again").await;
    // It is tested before it serves, and has not moved.
    browser.fill("Your own password", ADMIN_PASSWORD).await;
    browser.click("Save").await;
    browser.sees("It did not pass its test.").await;
    browser.sees("Stopped at the name").await;
    browser
        .until("labelled('Host').getAttribute('aria-invalid') === 'true' && document.querySelector('[value=carry]').checked")
        .await;
    accessibility::check(&browser, "a change that did not pass its test").await;
    browser.click("Test before it serves").await;
    browser.fill("Your own password", ADMIN_PASSWORD).await;
    browser.click("Save").await;
    browser.arrives("/w/default/connections/crm?done=saved").await;
    browser.sees("new.example.org").await;
    let token = studio.server.token("default", "user", "nightly");
    let credentials = studio.server.request(&token, "GET", "/api/v1/workspaces/default/connections/crm/credentials").send();
    let fields = credentials.expect(200).json()["fields"].clone();
    assert_eq!((&fields["host"], &fields["password"]), (&json!("new.example.org"), &json!(PASSWORD)));
    browser.finish(&["422", "409"]).await;
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
        let credentials = studio.server.request(&token, "GET", &path).send();
        assert_eq!(credentials.expect(200).json()["fields"]["password"], PASSWORD);
    }
    browser.open("/w/default/new").await;
    browser.fill("Connection URL", "gopher://nowhere").await;
    browser.click("Fill in the form").await;
    browser.until("labelled('Connection URL').getAttribute('aria-invalid') === 'true'").await;
    browser.until("labelled('Connection URL').value === 'gopher://nowhere'").await;
    browser.finish(&["422"]).await;
}

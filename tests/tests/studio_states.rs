//! What the Studio's pages become: refused forms, ended links, tests in each of their outcomes, lists with a past, open menus. Each is
//! looked at in both colour schemes, in a wide window and on a telephone.

use std::net::TcpListener;

use dataflow_tests::{
    accessibility::{self, NARROW},
    browser::{Browser, WIDE},
    postgres::{Postgres, PostgresOptions},
    server::ADMIN_EMAIL,
    session::Session,
    studio::{LIST, PASSWORD, Studio, WRONG_PASSWORD},
    tls::{Authority, ServerTls, Shape},
};
use serde_json::json;

/// More than a page of a list holds.
const MANY: usize = 53;

/// Waits until the field is marked, with a text at it.
async fn marked(browser: &Browser, label: &str) {
    let field = format!("labelled({})", json!(label));
    let told = format!(
        "({field}.getAttribute('aria-describedby') ?? '').split(' ')\
         .some((id) => document.querySelector(`#${{id}}.fault, #${{id}} .fault`))"
    );
    browser.until(&format!("{field}?.getAttribute('aria-invalid') === 'true' && {told}")).await;
}

#[tokio::test]
async fn browser_settings_that_are_refused_and_saved_are_accessible() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    browser.open(LIST).await;
    browser.click("Settings").await;
    browser.arrives("/settings").await;
    browser.fill("Only these networks", "10.0.0.0/8\nnonsense").await;
    browser.fill("Never these networks", "fe80::/129").await;
    browser.click("Save addresses").await;
    for label in ["Only these networks", "Never these networks"] {
        marked(&browser, label).await;
    }
    browser.sees("has “nonsense” on line 2").await;
    accessibility::check(&browser, "addresses that were refused").await;
    browser.fill("Checks", "soon").await;
    browser.click("Save history").await;
    marked(&browser, "Checks").await;
    browser.fill("Checks", "90").await;
    browser.click("Save history").await;
    browser.arrives("/settings?done=saved").await;
    browser.sees("Saved just now by").await;
    browser.fill("Only these networks", "127.0.0.0/8").await;
    browser.click("Save addresses").await;
    browser.sees("It holds from now on").await;
    accessibility::check(&browser, "settings that were saved").await;
    browser.finish(&["422"]).await;
}

#[tokio::test]
async fn browser_refused_forms_of_connections_are_accessible() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;

    browser.open("/w/default/new/mysql").await;
    browser.fill("Connection Name", "not a name").await;
    browser.fill("Port", "99999").await;
    browser.click("Save").await;
    browser.sees("Nothing was saved").await;
    for label in ["Connection Name", "Host", "Port"] {
        marked(&browser, label).await;
    }
    accessibility::check(&browser, "a new connection that was refused").await;
    browser.run("document.querySelector('[data-guarded]').remove()").await;

    browser.open("/w/default/new").await;
    browser.fill("Connection URL", "gopher://nowhere").await;
    browser.click("Fill in the form").await;
    marked(&browser, "Connection URL").await;
    accessibility::check(&browser, "a pasted text that is no URL").await;

    browser.open("/w/default/connections/shop").await;
    browser.click("Delete").await;
    browser.fill("Type shop", "shop").await;
    // Typed right, then sent otherwise: as by somebody without scripts.
    browser.run("document.getElementById('confirm').value = 'ship'").await;
    browser.click("Delete").await;
    browser.sees("What was typed is not the name").await;
    marked(&browser, "Type shop").await;
    accessibility::check(&browser, "a wrong name in the delete dialog").await;
    browser.finish(&["422"]).await;
}

#[tokio::test]
async fn browser_refused_forms_of_people_are_accessible() {
    let studio = Studio::start();
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;

    browser.open("/w/default/tokens").await;
    browser.fill("Ends after", "9999").await;
    browser.fill("Only these connections", "not/one").await;
    browser.click("Create token").await;
    for label in ["Name", "Ends after", "Only these connections"] {
        marked(&browser, label).await;
    }
    browser.sees("must be names of connections").await;
    accessibility::check(&browser, "a token that was refused").await;

    browser.open("/w/default/access").await;
    browser.fill("E-mail", "nobody").await;
    browser.click("Viewer").await;
    browser.click("Add").await;
    marked(&browser, "E-mail").await;
    accessibility::check(&browser, "a person who was refused").await;

    browser.open("/workspaces").await;
    browser.fill("Name", "not a name").await;
    browser.click("Create workspace").await;
    marked(&browser, "Name").await;
    accessibility::check(&browser, "a workspace that was refused").await;

    browser.open("/account").await;
    browser.fill("Password now", WRONG_PASSWORD).await;
    browser.fill("New password", PASSWORD).await;
    browser.click("Change password").await;
    marked(&browser, "Password now").await;
    accessibility::check(&browser, "a password that was not changed").await;

    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    browser.fill("E-mail", ADMIN_EMAIL).await;
    browser.fill("Password", WRONG_PASSWORD).await;
    browser.click("Sign in").await;
    browser.sees("The e-mail address or the password is not right").await;
    accessibility::check(&browser, "a sign-in that was refused").await;
    browser.finish(&["401", "422"]).await;
}

#[tokio::test]
async fn browser_links_and_what_is_gone_are_accessible() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "database": "sales.db"}));
    let session = Session::start(&studio.server);
    let code = studio.link_code(&session, "ada@example.org");
    let link = format!("/link/{code}");
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;

    browser.open("/w/default/connections/shop/delete").await;
    browser.fill("Type shop", "shop").await;
    browser.fill("Why", "The reports moved to the warehouse, which has them since March").await;
    browser.click("Delete").await;
    browser.arrives(&format!("{LIST}?done=deleted")).await;
    accessibility::check(&browser, "a list after a deletion").await;
    browser.open("/w/default/connections/shop").await;
    // Once, and in words for people.
    let told = format!(
        "/^The connection “shop” was deleted by {ADMIN_EMAIL} on \\d+ \\w+ \\d+, \\d\\d:\\d\\d UTC\\. Reason: The reports moved .*$/"
    );
    browser.until(&format!("{told}.test(flat(document.querySelector('main .sub').textContent))")).await;
    accessibility::check(&browser, "a connection that was deleted").await;

    browser.open(&link).await;
    browser.sees("Choose a password").await;
    browser.fill("Password", "short").await;
    browser.click("Save and sign in").await;
    marked(&browser, "Password").await;
    accessibility::check(&browser, "a password that is too short").await;
    browser.fill("Password", PASSWORD).await;
    browser.click("Save and sign in").await;
    browser.arrives(LIST).await;
    accessibility::check(&browser, "the empty list of a viewer").await;
    browser.open("/w/default/access").await;
    accessibility::check(&browser, "a page that one may not see").await;
    browser.open(&link).await;
    browser.until("!labelled('Password')").await;
    accessibility::check(&browser, "a link that was used").await;
    browser.finish(&["403", "410", "422"]).await;
}

/// Fills in the form of a new PostgreSQL connection to this machine.
async fn fill_postgres(browser: &Browser, host: &str, port: u16, user: &str) {
    browser.open("/w/default/new/postgres").await;
    browser.fill("Host", host).await;
    browser.until("labelled('TLS').value === 'disable'").await;
    browser.fill("Port", &port.to_string()).await;
    browser.fill("Username", user).await;
    browser.fill("Password", PASSWORD).await;
}

#[tokio::test]
async fn browser_outcomes_of_tests_are_accessible() {
    let (studio, authority) = (Studio::start(), Authority::new());
    let database = Postgres::start(&PostgresOptions {
        tls: Some(ServerTls::new(authority.server(Shape::SelfSigned))),
        hba: vec!["host all trusted 127.0.0.1/32 trust".to_owned()],
        ..PostgresOptions::default()
    });
    database.create_role("trusted", PASSWORD);
    database.create_database("trusted", "trusted");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    studio
        .create(&json!({"name": "desk", "type": "postgres", "host": "localhost", "port": database.port(), "username": "trusted",
                          "password": PASSWORD, "tls": {"mode": "disable"}}));
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;

    fill_postgres(&browser, "localhost", database.port(), "trusted").await;
    browser.choose("TLS", "Verify server and host name").await;
    browser.click("Test Connection").await;
    browser.sees("certificate is not trusted").await;
    browser.until("shown('button').some((button) => said(button) === 'Pin this certificate')").await;
    accessibility::check(&browser, "a refused certificate").await;
    browser.run("document.querySelector('[data-guarded]').remove()").await;

    fill_postgres(&browser, "127.0.0.1", silent.local_addr().expect("an address").port(), "anna").await;
    browser.click("Test Connection").await;
    let signs_in = "document.querySelector('[data-step=sign_in] use').getAttribute('href').endsWith('#spin')";
    browser.until(signs_in).await;
    browser.click("Cancel the test").await;
    browser.sees("Cancelled").await;
    accessibility::check(&browser, "a test that was cancelled").await;
    browser.run("document.querySelector('[data-guarded]').remove()").await;

    browser.look(NARROW, "light").await;
    browser.open("/w/default/connections/desk").await;
    browser.click("Test Connection").await;
    browser.sees("Nothing there checked the password").await;
    // Not green, and on a telephone not out of sight either.
    browser
        .until("document.querySelector('[data-outcome] .callout.warn') && !document.querySelector('[data-outcome] .okk')")
        .await;
    browser.until("document.querySelector('[data-headline]').getBoundingClientRect().top < innerHeight").await;
    accessibility::check(&browser, "a test that proves nothing").await;
    browser.open("/w/default/connections/desk").await;
    browser.sees("Reached, not proven").await;
    accessibility::check(&browser, "a connection whose test proved nothing").await;
    browser.finish(&[]).await;
}

#[tokio::test]
async fn browser_lists_with_a_past_are_accessible() {
    let studio = Studio::start();
    for number in 0..MANY {
        let tags = ["finance", "eu", "a-tag-that-is-rather-long-for-what-it-says"];
        studio.create(&json!({"name": format!("c{number:02}-a-name-that-goes-on-for-quite-a-while-and-longer"), "type": "postgres", "tags": tags,
                              "description": "What the reports are made from, every night but on Sundays", "username": "u", "password": PASSWORD,
                              "host": "a-host-with-a-name-of-its-own.warehouse.internal.example.org"}));
    }
    let admin = studio.server.token("default", "admin", "tokens");
    for (name, days) in [("nightly", 60), ("soon", 3), ("revoked", 60)] {
        let token = json!({"name": name, "roles": ["user"], "expires_in_days": days, "connections": (name == "nightly").then_some(["sales", "crm"])});
        studio.server.request(&admin, "POST", "/api/v1/workspaces/default/tokens").json(&token).send().expect(201);
    }
    let session = Session::start(&studio.server);
    studio.link_code(&session, "pending@example.org");
    studio.link_code(&session, "somebody.with.a.rather.long.address@department.example.org");
    session.submit("/w/default/access/disable", "email=somebody.with.a.rather.long.address%40department.example.org").expect(303);
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;

    browser.click("Next page").await;
    browser.sees("First page").await;
    accessibility::check(&browser, "the second page of a list").await;

    browser.open("/w/default/tokens").await;
    browser.click("Revoke revoked").await;
    browser.answer("Revoke “revoked”?", true).await;
    for state in ["Live", "Ends soon", "Revoked"] {
        browser.sees(state).await;
    }
    accessibility::check(&browser, "tokens that are live, end soon and are revoked").await;

    browser.open("/w/default/access").await;
    browser.sees("Disabled").await;
    browser.sees("No password chosen yet").await;
    accessibility::check(&browser, "people who are disabled and who have no password").await;
    browser.finish(&[]).await;
}

#[tokio::test]
async fn browser_open_menus_are_accessible() {
    let studio = Studio::start();
    let session = Session::start(&studio.server);
    for name in ["finance", "a-workspace-with-a-name-that-does-not-fit-into-one-line-of-the-menu"] {
        session.submit("/workspaces", &format!("name={name}")).expect(303);
    }
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    browser.click("Workspace: default").await;
    browser.sees("All workspaces").await;
    accessibility::check_at(&browser, "the menu of workspaces", &[WIDE]).await;

    browser.open(LIST).await;
    browser.look(NARROW, "light").await;
    browser.click("Menu").await;
    browser.until("document.getElementById('side').matches(':popover-open')").await;
    accessibility::check_at(&browser, "the menu on a telephone", &[NARROW]).await;
    browser.until("document.getElementById('side').matches(':popover-open')").await;
    browser.look(NARROW, "light").await;
    browser.click("Workspace: default").await;
    browser.sees("All workspaces").await;
    accessibility::check_at(&browser, "the menu of workspaces on a telephone", &[NARROW]).await;
    browser
        .until("document.querySelector('details.space').open && document.getElementById('side').matches(':popover-open')")
        .await;

    browser.look(NARROW, "light").await;
    browser.open("/w/a-workspace-with-a-name-that-does-not-fit-into-one-line-of-the-menu/connections").await;
    browser.sees("No connections yet").await;
    accessibility::check(&browser, "a workspace with a long name").await;
    browser.finish(&[]).await;
}

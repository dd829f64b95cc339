//! Tests of connections from the list: of one row, and of those that are ticked. They are seen as they happen, and can be stopped.

use std::{
    io::{ErrorKind, Read as _},
    net::TcpListener,
    time::Duration,
};

use dataflow_tests::{
    accessibility,
    browser::Browser,
    studio::{LIST, PASSWORD, Studio},
};
use serde_json::json;
use thirtyfour::{By, Key};

/// Longest wait for the end of a connection whose test was stopped. A test that goes on keeps it for up to 10 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// Accepts connections and says nothing.
struct Silent(TcpListener);

impl Silent {
    fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// How many connections there were since the last look; each was ended by the other side.
    fn ended(&self) -> usize {
        self.0.set_nonblocking(true).expect("own socket");
        let mut ended = 0;
        loop {
            let mut stream = match self.0.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return ended,
                Err(error) => panic!("{error}"),
            };
            stream.set_nonblocking(false).expect("own socket");
            stream.set_read_timeout(Some(PATIENCE)).expect("own socket");
            stream.read_to_end(&mut Vec::new()).expect("the other side has closed it");
            ended += 1;
        }
    }
}

/// An expression: whether the row shows this status and, under it, a line that ends with this.
fn shows(name: &str, status: &str, detail: &str) -> String {
    let row = format!("document.querySelector('tr[data-name={name}]')");
    let text = |part: &str| format!("{row}?.querySelector('[{part}]').textContent");
    format!("({} === {} && {}.endsWith({}))", text("data-words"), json!(status), text("data-detail"), json!(detail))
}

fn button(name: &str) -> String {
    format!("shown('button').some((button) => said(button) === {} && !button.disabled)", json!(name))
}

async fn tick(browser: &Browser, name: &str) {
    let box_of = By::Css(format!("[aria-label='Select {name}']"));
    browser.driver().find(box_of).await.expect("it is there").click().await.expect("it can be ticked");
}

fn checks(studio: &Studio, token: &str, name: &str) -> usize {
    let path = format!("/api/v1/workspaces/default/connections/{name}/checks");
    let list = studio.server.request(token, "GET", &path).send().expect(200).json();
    list["items"].as_array().expect("a list").len()
}

#[tokio::test]
async fn browser_rows_are_tested_live_and_can_be_stopped() {
    let (studio, silent) = (Studio::start(), [Silent::start(), Silent::start()]);
    studio.create(&json!({"name": "good", "type": "sqlite", "database": "sales.db"}));
    // Five and the good one: two more than a workspace tests at a time.
    let quiet = ["quiet1", "quiet2", "quiet3", "quiet4", "quiet5"];
    for (name, silent) in quiet.into_iter().zip(silent.iter().cycle()) {
        studio.create(&json!({"name": name, "type": "postgres", "host": "127.0.0.1", "port": silent.port(), "username": "anna",
                              "password": PASSWORD, "tls": {"mode": "disable"}}));
    }
    let token = studio.server.token("default", "viewer", "checks");
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;

    // One row: its button stops what it started, by the keyboard too.
    browser.click("Test quiet1").await;
    browser.until(&shows("quiet1", "Testing", "Host reached")).await;
    browser
        .until("said(document.activeElement) === 'Cancel the test of quiet1' && document.activeElement.innerText === 'Cancel'")
        .await;
    browser.press(Key::Enter + "").await;
    browser.until(&shows("quiet1", "Cancelled", "just now")).await;
    browser.until("said(document.activeElement) === 'Test quiet1' && document.activeElement.innerText === 'Test'").await;
    browser.until("document.getElementById('said').textContent === 'quiet1: Cancelled'").await;
    assert_eq!(silent.each_ref().map(Silent::ended), [1, 0]);

    // Those that are ticked.
    tick(&browser, "good").await;
    browser.until(&button("Test 1 selected")).await;
    for name in quiet {
        tick(&browser, name).await;
    }
    browser.click("Test 6 selected").await;
    browser.until(&shows("good", "Healthy", "just now")).await;
    for name in &quiet[..4] {
        browser.until(&shows(name, "Testing", "Host reached")).await;
    }
    browser.until(&shows("quiet5", "Waiting", "for its turn")).await;
    // What is ticked meanwhile starts nothing, and what is searched meanwhile shows what goes on.
    tick(&browser, "good").await;
    browser.until(&button("Cancel the tests")).await;
    browser.fill("Search by name", "quiet").await;
    browser.arrives(&format!("{LIST}?q=quiet")).await;
    browser.until("!document.querySelector('tr[data-name=good]')").await;
    browser.until(&format!("{} && {}", shows("quiet1", "Testing", "Host reached"), button("Cancel the test of quiet1"))).await;
    browser.click("Cancel the tests").await;
    for name in quiet {
        browser.until(&shows(name, "Cancelled", "just now")).await;
        browser.until(&button(&format!("Test {name}"))).await;
    }
    browser.until("document.getElementById('said').textContent === 'Cancelled: tested 1 of 6 connections, 1 healthy.'").await;
    browser.until("said(document.querySelector('[data-test-selected]')) === 'Test selected'").await;
    assert_eq!(silent.each_ref().map(Silent::ended), [2, 2], "the one that waited was never begun");
    assert_eq!(checks(&studio, &token, "good"), 1);
    for name in quiet {
        assert_eq!(checks(&studio, &token, name), 0, "{name}");
    }
    accessibility::check(&browser, "tests that were stopped").await;
    browser.finish(&[]).await;
}

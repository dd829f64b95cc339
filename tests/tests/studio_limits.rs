//! The limits of what is typed into the Studio, and of what its clients say of themselves: what is as long as can be is taken, one step
//! past it is refused in words.

use dataflow_tests::{
    http::{Answer, Request},
    server::{ADMIN_EMAIL, ADMIN_PASSWORD},
    stored::{Engine, Stored},
};
use serde_json::json;

/// Largest body, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// A person at the Studio, without a browser.
struct Visitor<'s> {
    stored: &'s Stored,
    cookie: String,
}

impl<'s> Visitor<'s> {
    fn sign_in(stored: &'s Stored) -> Self {
        let mut visitor = Self { stored, cookie: String::new() };
        let answer = visitor.post("/sign-in", &[("email", ADMIN_EMAIL), ("password", ADMIN_PASSWORD)]);
        visitor.go_on(&answer);
        visitor
    }

    /// Takes the cookie of an answer that begins a session.
    fn go_on(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default();
        assert!(!cookie.is_empty(), "{} {}", answer.status, answer.text());
        cookie.clone_into(&mut self.cookie);
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        self.post_body(path, body.join("&"))
    }

    fn post_body(&self, path: &str, body: String) -> Answer {
        let request = Request::new(self.stored.server.port(), "POST", path).header("cookie", &self.cookie);
        request.header("origin", "http://127.0.0.1").body("application/x-www-form-urlencoded", body).send()
    }

    /// A form that is shown again because of `text`, and has changed nothing.
    fn refused(&self, path: &str, fields: &[(&str, &str)], text: &str) {
        let before = self.stored.state();
        let answer = self.post(path, fields);
        assert!(answer.expect(422).text().contains(text), "{path} does not say “{text}”: {}", answer.text());
        assert_eq!(self.stored.state(), before, "{path}");
    }
}

#[test]
fn every_limit_of_a_form_holds_one_step_past_it() {
    let stored = Stored::start(Engine::Sqlite);
    let etag = stored.create("sales", "planted");
    let mut visitor = Visitor::sign_in(&stored);

    let name = |length: usize| "w".repeat(length);
    visitor.refused("/workspaces", &[("name", &name(251))], "must have at most 250 characters");
    visitor.post("/workspaces", &[("name", &name(250))]).expect(303);

    // Characters, not bytes.
    let email = |length: usize| format!("{}@example.org", "ß".repeat(length - "@example.org".len()));
    visitor.refused("/w/default/access", &[("email", &email(255)), ("roles", "viewer")], "must have at most 254 characters");
    visitor.post("/w/default/access", &[("email", &email(254)), ("roles", "viewer")]).expect(201);

    // A URL that holds nothing but a long password is refused for its length alone.
    let url = |length: usize| {
        let (head, tail) = ("postgresql://u:", "@db.example.org/sales");
        format!("{head}{}{tail}", "p".repeat(length - head.len() - tail.len()))
    };
    visitor.refused("/w/default/paste", &[("pasted", &url(16_385))], "longer than a connection URL can be");
    assert!(!visitor.post("/w/default/paste", &[("pasted", &url(16_384))]).text().contains("longer than a connection URL"));

    let delete = "/w/default/connections/sales/delete";
    visitor.refused(delete, &[("confirm", "sales"), ("etag", &etag), ("reason", &"r".repeat(501))], "at most 500 characters");
    visitor.post(delete, &[("confirm", "sales"), ("etag", &etag), ("reason", &"r".repeat(500))]).expect(303);

    let password = |length: usize| "ß".repeat(length);
    for wrong in [9, 1001] {
        let password = password(wrong);
        let fields = [("own_password", ADMIN_PASSWORD), ("password", password.as_str())];
        visitor.refused("/account", &fields, "must have from 10 to 1000 characters");
    }
    let mut own = ADMIN_PASSWORD.to_owned();
    for right in [10, 1000] {
        let answer = visitor.post("/account", &[("own_password", &own), ("password", &password(right))]);
        visitor.go_on(answer.expect(200));
        own = password(right);
    }

    let form = |size: usize| format!("name={}", "x".repeat(size - "name=".len()));
    let new = "/w/default/new/postgres";
    visitor.post_body(new, form(BODY_MAX)).expect(422);
    let answer = visitor.post_body(new, form(BODY_MAX + 1));
    assert!(answer.expect(413).text().contains("holds more than 64 KiB"), "{}", answer.text());
}

/// Who asks is told, not proven: a name that is too long is cut, and costs nothing else.
#[test]
fn the_name_of_a_workflow_is_cut_one_step_past_its_limit() {
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    for length in [250, 251] {
        let workflow = format!("kind=app; name=\"{0}\"; run=\"{0}\"", "é".repeat(length));
        let encoded = percent_encoding::utf8_percent_encode(&workflow, percent_encoding::CONTROLS).to_string();
        let request = stored.admin("GET", "/connections/sales/credentials").header("dataflow-workflow", &encoded);
        request.send().expect(200);
        let event = stored.server.uses().pop().expect("an event");
        let kept = "é".repeat(250);
        assert_eq!((&event["workflow"]["name"], &event["workflow"]["run"]), (&json!(kept), &json!(kept)), "{length}");
    }
}

//! The client against a server that follows a script: what SECURITY.md section 6 promises, one test each.

mod support;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dataflow_client::{
    ApiRequest, Client, ClientConfig, ClientError, Explicit, Secret, ServerUrl, Timing, Workflow, WorkflowKind, config,
};
use support::{Reply, Server};
use ureq::http::Method;

/// As by default, with pauses short enough to wait for.
fn quick() -> Timing {
    Timing {
        fresh: Duration::from_millis(200),
        usable: Duration::from_secs(2),
        connect: Duration::from_millis(500),
        whole: Duration::from_millis(800),
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_millis(200),
    }
}

fn client(server: &Server, timing: Timing) -> Client {
    let explicit =
        Explicit { url: Some(server.url()), token: Some(Secret::new("dfc_user_planted".to_owned())), ..Explicit::default() };
    let mut config = ClientConfig::find(explicit, config::Environment::default()).expect("complete");
    config.timing = timing;
    config.workflow = Some(Workflow { kind: WorkflowKind::Script, name: "a \"b\"".to_owned(), run: None });
    Client::new(config)
}

fn password(resolved: &dataflow_client::Resolved) -> &str {
    resolved.expose_text("password").expect("a password")
}

#[test]
fn asks_once_while_fresh_and_then_only_whether_it_still_holds() {
    let server = Server::start([Reply::credentials("one", "first"), Reply::status(304), Reply::credentials("two", "second")]);
    let client = client(&server, quick());
    for _ in 0..3 {
        assert_eq!(password(&client.credentials("sales").expect("there")), "first");
    }
    thread::sleep(Duration::from_millis(250));
    assert_eq!(password(&client.credentials("sales").expect("there")), "first");
    thread::sleep(Duration::from_millis(250));
    assert_eq!(password(&client.credentials("sales").expect("there")), "second");

    let seen = server.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].starts_with("GET /api/v1/workspaces/default/connections/sales/credentials HTTP/1.1"));
    assert!(seen[0].contains("\r\nauthorization: Bearer dfc_user_planted\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("\r\ndataflow-workflow: kind=script; name=\"a %22b%22\"\r\n"), "{}", seen[0]);
    assert!(!seen[0].contains("if-none-match"));
    assert!(seen[1].contains("\r\nif-none-match: \"one\"\r\n"));
    assert!(seen[2].contains("\r\nif-none-match: \"one\"\r\n"));
}

#[test]
fn every_field_is_read_and_none_is_printed() {
    let server = Server::start([Reply::credentials("one", "planted")]);
    let resolved = client(&server, quick()).credentials("sales").expect("there");
    assert_eq!((resolved.type_id(), resolved.base(), resolved.dialect()), ("redshift", "postgres", Some("postgresql")));
    assert_eq!((resolved.integer("port"), resolved.expose_text("tls.mode")), (Some(5432), Some("verify-full")));
    assert!(resolved.expose_text("tls.cert").is_none());
    assert!(!format!("{resolved:?}").contains("planted"));
}

#[test]
fn the_last_good_answer_serves_through_an_outage_and_no_longer_than_it_may() {
    let server = Server::start([
        Reply::credentials("one", "first"),
        Reply::status(500),
        Reply::status(503),
        Reply::RESET,
        Reply::RESET,
        Reply::status(429),
    ]);
    let timing = Timing { usable: Duration::from_millis(900), ..quick() };
    let client = client(&server, timing);
    client.credentials("sales").expect("there");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        assert_eq!(password(&client.credentials("sales").expect("still served")), "first");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(300));
    assert!(matches!(client.credentials("sales"), Err(ClientError::Unavailable { .. })));
    // 70 calls, and a request only as often as the pauses allow.
    assert!((3..=12).contains(&server.requests().len()), "{}", server.requests().len());
}

#[test]
fn it_recovers_when_the_server_does() {
    let server = Server::start([Reply::credentials("one", "first"), Reply::status(500), Reply::credentials("two", "second")]);
    let client = client(&server, quick());
    client.credentials("sales").expect("there");
    thread::sleep(Duration::from_millis(210));
    assert_eq!(password(&client.credentials("sales").expect("served")), "first");
    thread::sleep(Duration::from_millis(210));
    assert_eq!(password(&client.credentials("sales").expect("anew")), "second");
}

#[test]
fn a_refusal_purges_at_once() {
    for status in [401, 403, 404, 410] {
        let server = Server::start([Reply::credentials("one", "first"), Reply::status(status), Reply::status(500)]);
        let client = client(&server, quick());
        client.credentials("sales").expect("there");
        thread::sleep(Duration::from_millis(210));
        let refused = client.credentials("sales").expect_err("refused");
        assert!(!refused.is_outage(), "{refused}");
        let away = client.credentials("sales").expect_err("nothing is held any more");
        assert!(away.is_outage(), "{away}");
    }
}

#[test]
fn a_deleted_name_says_who_when_and_why_and_works_again_once_it_exists() {
    let gone = r#"{"status":410,"code":"connection_deleted","deleted_by":"ann@example.org","deleted_at":"2026-11-22T10:00:00Z","reason":"moved"}"#;
    let server = Server::start([Reply::json(410, gone), Reply::credentials("two", "second")]);
    let client = client(&server, quick());
    let error = client.credentials("sales").expect_err("deleted");
    let ClientError::Deleted { name, tombstone } = &error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), tombstone.deleted_by.as_deref()), ("sales", Some("ann@example.org")));
    assert_eq!(
        error.to_string(),
        "The connection “sales” was deleted by ann@example.org on 2026-11-22T10:00:00Z (moved). Create a connection named “sales” \
         again, and this program works without a change."
    );
    assert_eq!(password(&client.credentials("sales").expect("there again")), "second");
}

#[test]
fn many_threads_make_one_request() {
    let server = Server::start([Reply::credentials("one", "first").after(Duration::from_millis(200))]);
    let client = Arc::new(client(&server, Timing { fresh: Duration::from_secs(5), ..quick() }));
    let threads: Vec<_> = (0..50)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || client.credentials("sales").map(|resolved| password(&resolved).to_owned()))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("no panic").expect("there"), "first");
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn many_threads_share_one_failure_too() {
    let server = Server::start([Reply::status(404).after(Duration::from_millis(200))]);
    let client = Arc::new(client(&server, quick()));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || client.credentials("sales").is_err())
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().expect("no panic")));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_deadline_holds_against_silence_and_against_a_trickle() {
    for slow in [Reply::SILENCE, Reply::TRICKLED_HEAD, Reply::TRICKLED_BODY] {
        let server = Server::start([slow]);
        let began = Instant::now();
        let error = client(&server, quick()).credentials("sales").expect_err("too slow");
        let took = began.elapsed();
        assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
        assert!((700..1200).contains(&took.as_millis()), "{took:?}");
    }
}

#[test]
fn a_cold_start_survives_a_connection_that_breaks() {
    let server = Server::start([Reply::RESET, Reply::RESET, Reply::credentials("one", "first")]);
    assert_eq!(password(&client(&server, quick()).credentials("sales").expect("at the third try")), "first");
}

#[test]
fn retry_after_is_kept_to_as_far_as_is_sensible() {
    let server = Server::start([
        Reply::credentials("one", "first"),
        Reply::status(429).header("Retry-After: 3600"),
        Reply::credentials("two", "second"),
    ]);
    let client = client(&server, quick());
    client.credentials("sales").expect("there");
    thread::sleep(Duration::from_millis(210));
    for _ in 0..5 {
        assert_eq!(password(&client.credentials("sales").expect("served")), "first");
    }
    assert_eq!(server.requests().len(), 2);
    thread::sleep(Duration::from_millis(250));
    assert_eq!(password(&client.credentials("sales").expect("asked again")), "second");
}

#[test]
fn a_refresh_asks_although_the_answer_is_fresh_but_not_without_limit() {
    let replies = (0..20).map(|turn| Reply::credentials(&format!("f{turn}"), &format!("p{turn}")));
    let server = Server::start(replies);
    let client = client(&server, Timing { fresh: Duration::from_secs(5), ..quick() });
    assert_eq!(password(&client.credentials("sales").expect("there")), "p0");
    assert_eq!(password(&client.refresh("sales").expect("asked")), "p1");
    assert_eq!(password(&client.credentials("sales").expect("the new one")), "p1");
    for _ in 0..20 {
        client.refresh("sales").expect("asked or served");
    }
    assert_eq!(server.requests().len(), 1 + 5);
}

#[test]
fn what_is_fresh_can_be_had_without_waiting() {
    let server = Server::start([Reply::credentials("one", "first"), Reply::SILENCE]);
    let client = client(&server, quick());
    assert!(client.fresh("sales").is_none());
    client.credentials("sales").expect("there");
    assert!(client.fresh("sales").is_some());
    thread::sleep(Duration::from_millis(210));
    assert!(client.fresh("sales").is_none());
    thread::scope(|scope| {
        scope.spawn(|| client.credentials("sales").map(drop));
        thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        assert!(client.fresh("sales").is_none());
        assert!(began.elapsed() < Duration::from_millis(50));
    });
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_is_not_dataflow_is_not_believed() {
    for reply in [Reply::json(200, "<html>planted</html>"), Reply::status(302).header("Location: http://127.0.0.1:1/")] {
        let server = Server::start([reply]);
        let error = client(&server, quick()).credentials("sales").expect_err("no");
        assert!(matches!(error, ClientError::NotDataflow { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("planted"));
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let url = Server::start([]).url();
    let mut config = ClientConfig::find(
        Explicit { url: Some(url.clone()), token: Some(Secret::new("planted".to_owned())), ..Explicit::default() },
        config::Environment::default(),
    )
    .expect("complete");
    config.timing = quick();
    let client = Client::new(config);
    let error = client.credentials("sales").expect_err("nobody listens");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(!format!("{error} {error:?} {client:?}").contains("planted"));
}

#[test]
fn a_name_that_no_connection_can_have_is_not_asked_for() {
    let server = Server::start([]);
    let client = client(&server, quick());
    for bad in ["", "../x", "a b", "_a", &"a".repeat(251)] {
        assert!(matches!(client.credentials(bad), Err(ClientError::InvalidName { .. })), "{bad}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn any_other_request_of_the_api_is_sent_as_it_is() {
    let server = Server::start([Reply::json(412, r#"{"code":"version_conflict","detail":"Somebody saved in between."}"#)]);
    let client = client(&server, quick());
    let request = ApiRequest::new(Method::PATCH, "connections/sales").json(br#"{"description":"x"}"#).header("If-Match", "\"3\"");
    let answer = client.request(&request).expect("answered");
    assert!(!answer.is_success());
    assert_eq!((answer.status, answer.problem().code.as_deref()), (412, Some("version_conflict")));
    let seen = server.requests();
    assert!(seen[0].starts_with("PATCH /api/v1/workspaces/default/connections/sales HTTP/1.1"));
    assert!(seen[0].contains("\r\nif-match: \"3\"\r\n") && seen[0].ends_with(r#"{"description":"x"}"#), "{}", seen[0]);
}

#[test]
fn one_url_is_one_url() {
    assert_eq!(ServerUrl::parse("http://localhost:1/").expect("good"), ServerUrl::parse(" http://localhost:1 ").expect("good"));
}

//! The client against a server that follows a script: what SECURITY.md section 6 promises, one test each.

mod support;

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

use dataflow_client::{
    ApiRequest, Client, ClientConfig, ClientError, Explicit, Secret, ServerUrl, Timing, Workflow, WorkflowKind, config,
};
use support::{Gate, Reply, Server, until};
use tokio::net::TcpSocket;
use ureq::http::Method;

/// Longer than a test lasts, on whatever machine.
const LONG: Duration = Duration::from_hours(1);

/// Asks each time, and waits for the answer as long as a busy machine needs. How long an answer is fresh or usable and how long the
/// pauses are is tested beside `cache`, on made-up instants: here each is nothing, or longer than the test.
fn eager() -> Timing {
    Timing {
        fresh: Duration::ZERO,
        usable: LONG,
        connect: Duration::from_secs(30),
        whole: Duration::from_secs(30),
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
    }
}

/// As [`eager`], but an answer stays fresh.
fn lasting() -> Timing {
    Timing { fresh: LONG, ..eager() }
}

fn client(server: &Server, timing: Timing) -> Client {
    let explicit =
        Explicit { url: Some(server.url()), token: Some(Secret::new("dfc_user_planted".to_owned())), ..Explicit::default() };
    let mut config = ClientConfig::find(&explicit, &config::Environment::default()).expect("complete");
    config.timing = timing;
    config.workflow = Some(Workflow::new(WorkflowKind::Script, "a \"b\""));
    config.host = Some("worker \"1\"".to_owned());
    Client::new(config)
}

fn password(resolved: &dataflow_client::Resolved) -> &str {
    resolved.expose_text("password").expect("a password")
}

#[test]
fn asks_once_while_fresh_and_then_only_whether_it_still_holds() {
    let server = Server::start([Reply::credentials("one", "first")]);
    let warm = client(&server, lasting());
    for _ in 0..3 {
        assert_eq!(password(&warm.credentials("sales").expect("there")), "first");
    }
    assert_eq!(server.requests().len(), 1);

    let server = Server::start([Reply::credentials("one", "first"), Reply::status(304), Reply::credentials("two", "second")]);
    let client = client(&server, eager());
    for expected in ["first", "first", "second"] {
        assert_eq!(password(&client.credentials("sales").expect("there")), expected);
    }

    let seen = server.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].starts_with("GET /api/v1/workspaces/default/connections/sales/credentials HTTP/1.1"));
    assert!(seen[0].contains("\r\nauthorization: Bearer dfc_user_planted\r\n"), "{}", seen[0]);
    assert!(
        seen[0].contains("\r\ndataflow-workflow: kind=script; name=\"a %22b%22\"; host=\"worker %221%22\"\r\n"),
        "{}",
        seen[0]
    );
    assert!(!seen[0].contains("if-none-match"));
    assert!(seen[1].contains("\r\nif-none-match: \"one\"\r\n"));
    assert!(seen[2].contains("\r\nif-none-match: \"one\"\r\n"));
}

#[test]
fn a_workflow_that_names_its_host_keeps_it() {
    let server = Server::start([Reply::credentials("one", "first")]);
    let elsewhere = Workflow { host: Some("worker-2".to_owned()), ..Workflow::new(WorkflowKind::App, "shop") };
    client(&server, eager()).credentials_for("sales", &elsewhere).expect("there");
    let seen = server.requests();
    assert!(seen[0].contains("\r\ndataflow-workflow: kind=app; name=\"shop\"; host=\"worker-2\"\r\n"), "{}", seen[0]);
}

#[test]
fn a_version_that_changed_no_credentials_is_known_all_the_same() {
    let later = Reply::status(304).header("Dataflow-Connection-Version: 5");
    let server = Server::start([Reply::credentials("one", "first"), later, Reply::status(304)]);
    let client = client(&server, eager());
    for version in [3, 5, 5] {
        let resolved = client.credentials("sales").expect("there");
        assert_eq!((resolved.version(), password(&resolved)), (version, "first"));
    }
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn every_field_is_read_and_none_is_printed() {
    let server = Server::start([Reply::credentials("one", "planted")]);
    let resolved = client(&server, eager()).credentials("sales").expect("there");
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
    let through = client(&server, eager());
    // Each answer in turn; a connection that breaks is tried once more.
    for _ in 0..5 {
        assert_eq!(password(&through.credentials("sales").expect("still served")), "first");
    }
    assert_eq!(server.requests().len(), 6);

    let server = Server::start([Reply::credentials("one", "first"), Reply::status(500)]);
    let forgetful = client(&server, Timing { usable: Duration::ZERO, ..eager() });
    forgetful.credentials("sales").expect("there");
    assert!(matches!(forgetful.credentials("sales"), Err(ClientError::Unavailable { .. })));

    let server = Server::start([Reply::credentials("one", "first"), Reply::status(500)]);
    let pausing = client(&server, Timing { first_pause: LONG, longest_pause: LONG, ..eager() });
    for _ in 0..20 {
        assert_eq!(password(&pausing.credentials("sales").expect("still served")), "first");
    }
    assert_eq!(server.requests().len(), 2, "a request only as often as the pauses allow");
}

#[test]
fn it_recovers_when_the_server_does() {
    let server = Server::start([Reply::credentials("one", "first"), Reply::status(500), Reply::credentials("two", "second")]);
    let client = client(&server, eager());
    client.credentials("sales").expect("there");
    assert_eq!(password(&client.credentials("sales").expect("served")), "first");
    assert_eq!(password(&client.credentials("sales").expect("anew")), "second");
}

#[test]
fn a_refusal_purges_at_once() {
    for status in [401, 403, 404, 410] {
        let server = Server::start([Reply::credentials("one", "first"), Reply::status(status), Reply::status(500)]);
        let client = client(&server, eager());
        client.credentials("sales").expect("there");
        let refused = client.credentials("sales").expect_err("refused");
        assert!(!refused.is_outage(), "{refused}");
        let away = client.credentials("sales").expect_err("nothing is held any more");
        assert!(away.is_outage(), "{away}");
    }
}

#[test]
fn a_page_of_a_proxy_is_no_refusal() {
    for status in [400, 401, 403, 404, 410] {
        let page = Reply::json(status, "<html>nginx</html>");
        let server = Server::start([Reply::credentials("one", "first"), page, Reply::credentials("two", "second")]);
        let client = client(&server, eager());
        client.credentials("sales").expect("there");
        assert_eq!(password(&client.credentials("sales").expect("served")), "first", "{status}");
    }
}

#[test]
fn a_deleted_name_says_who_when_and_why_and_works_again_once_it_exists() {
    let gone = r#"{"status":410,"code":"connection_deleted","deleted_by":"ann@example.org","deleted_at":"2026-11-22T10:00:00Z","reason":"moved"}"#;
    let server = Server::start([Reply::json(410, gone), Reply::credentials("two", "second")]);
    let client = client(&server, eager());
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

/// So many threads ask for the same name; the server answers once all of them wait.
fn ask_at_once(reply: Reply, timing: Timing, count: usize) -> (Server, Vec<Result<String, ClientError>>) {
    let gate = Gate::default();
    let server = Server::start([reply.behind(&gate)]);
    let client = client(&server, timing);
    let (together, callers) = (Barrier::new(count), Mutex::new(Vec::new()));
    let outcomes = thread::scope(|scope| {
        let ask = || {
            together.wait();
            callers.lock().expect("not poisoned").push(fs::read_link("/proc/thread-self").expect("Linux"));
            client.credentials("sales").map(|resolved| password(&resolved).to_owned())
        };
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
        let all_wait = || {
            let callers = callers.lock().expect("not poisoned");
            callers.len() == count && callers.iter().all(|thread| is_asleep(thread))
        };
        until("every thread waits for the answer", || {
            // On its way there a thread may sleep too, for less than this.
            (0..5).all(|_| {
                thread::sleep(Duration::from_millis(20));
                all_wait()
            })
        });
        gate.open();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    (server, outcomes)
}

/// Whether a thread of this process waits for something; `thread` is as in proc(5): `1234/task/1235`.
fn is_asleep(thread: &Path) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(thread).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
}

#[test]
fn many_threads_make_one_request() {
    let (server, outcomes) = ask_at_once(Reply::credentials("one", "first"), lasting(), 50);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|password| password == "first")), "{outcomes:?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn many_threads_share_one_failure_too() {
    let (server, outcomes) = ask_at_once(Reply::status(404), eager(), 20);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(ClientError::NotFound { .. }))), "{outcomes:?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_deadline_holds_against_silence_and_against_a_trickle() {
    let timing = Timing { whole: Duration::from_secs(2), ..eager() };
    thread::scope(|scope| {
        for slow in [Reply::SILENCE, Reply::TRICKLED_HEAD, Reply::TRICKLED_BODY] {
            scope.spawn(move || {
                let server = Server::start([slow]);
                let began = Instant::now();
                let error = client(&server, timing).credentials("sales").expect_err("too slow");
                let took = began.elapsed();
                assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
                // The server would go on for a minute.
                assert!((1_500..20_000).contains(&took.as_millis()), "{took:?}");
            });
        }
    });
}

#[test]
fn a_cold_start_survives_a_connection_that_breaks() {
    let server = Server::start([Reply::RESET, Reply::RESET, Reply::credentials("one", "first")]);
    assert_eq!(password(&client(&server, eager()).credentials("sales").expect("at the third try")), "first");
}

#[test]
fn retry_after_is_kept_to_as_far_as_is_sensible() {
    for (longest_pause, expected, requests) in [(LONG, "first", 2), (Duration::ZERO, "second", 3)] {
        let server = Server::start([
            Reply::credentials("one", "first"),
            Reply::status(429).header("Retry-After: 3600"),
            Reply::credentials("two", "second"),
            Reply::status(304),
        ]);
        let client = client(&server, Timing { longest_pause, ..eager() });
        for expected in ["first", "first", expected] {
            assert_eq!(password(&client.credentials("sales").expect("served")), expected);
        }
        assert_eq!(server.requests().len(), requests);
    }
}

#[test]
fn a_refresh_asks_although_the_answer_is_fresh_but_not_without_limit() {
    let replies = (0..20).map(|turn| Reply::credentials(&format!("f{turn}"), &format!("p{turn}")));
    let server = Server::start(replies);
    let client = client(&server, lasting());
    assert_eq!(password(&client.credentials("sales").expect("there")), "p0");
    assert_eq!(password(&client.refresh("sales").expect("asked")), "p1");
    assert_eq!(password(&client.credentials("sales").expect("the new one")), "p1");
    for _ in 0..20 {
        client.refresh("sales").expect("asked or served");
    }
    // Five in 5 s: all of them only where they take longer than 15 s.
    assert!((1 + 5..1 + 20).contains(&server.requests().len()), "{}", server.requests().len());
}

#[test]
fn what_is_fresh_can_be_had_without_waiting() {
    let server = Server::start([Reply::credentials("one", "first")]);
    let warm = client(&server, lasting());
    assert!(warm.fresh("sales").is_none());
    assert!(!warm.is_current("sales", "one"));
    warm.credentials("sales").expect("there");
    assert!(warm.fresh("sales").is_some());
    assert!(warm.is_current("sales", "one") && !warm.is_current("sales", "two"));
    assert_eq!(server.requests().len(), 1);

    let gate = Gate::default();
    let server = Server::start([Reply::credentials("one", "first"), Reply::status(304).behind(&gate)]);
    let client = client(&server, eager());
    client.credentials("sales").expect("there");
    assert!(client.fresh("sales").is_none());
    thread::scope(|scope| {
        scope.spawn(|| client.credentials("sales").map(drop));
        until("the server is asked again", || server.requests().len() == 2);
        let began = Instant::now();
        assert!(client.fresh("sales").is_none());
        // The answer is waited for far longer.
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        gate.open();
    });
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_is_not_dataflow_is_not_believed() {
    for reply in [Reply::json(200, "<html>planted</html>"), Reply::status(302).header("Location: http://127.0.0.1:1/")] {
        let server = Server::start([reply]);
        let error = client(&server, eager()).credentials("sales").expect_err("no");
        assert!(matches!(error, ClientError::NotDataflow { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("planted"));
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    // As long as it is bound, nobody else listens there.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let url = format!("http://{}", closed.local_addr().expect("bound"));
    let mut config = ClientConfig::find(
        &Explicit { url: Some(url.clone()), token: Some(Secret::new("planted".to_owned())), ..Explicit::default() },
        &config::Environment::default(),
    )
    .expect("complete");
    config.timing = eager();
    let client = Client::new(config);
    let error = client.credentials("sales").expect_err("nobody listens");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(!format!("{error} {error:?} {client:?}").contains("planted"));
}

#[test]
fn a_name_that_no_connection_can_have_is_not_asked_for() {
    let server = Server::start([]);
    let client = client(&server, eager());
    for bad in ["", "../x", "a b", "_a", &"a".repeat(251)] {
        assert!(matches!(client.credentials(bad), Err(ClientError::InvalidName { .. })), "{bad}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn any_other_request_of_the_api_is_sent_as_it_is() {
    let server = Server::start([Reply::json(412, r#"{"code":"version_conflict","detail":"Somebody saved in between."}"#)]);
    let client = client(&server, eager());
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

//! Servers that speak HTTP badly, or without an end.

use std::time::Duration;

use dataflow_connectors::child::DEADLINE;
use dataflow_model::{Cause, StepName, TestReport};
use libtest_mimic::Trial;
use tokio::time::sleep;

use crate::{
    hostile::{MEMORY, tested_within},
    peer::{Heard, Peer, serve},
    run::{PLANTED, SHORT, assert_failed, fields, trial},
};

/// Says `start` to each request, then `more` again and again, with a pause.
fn endless(
    name: &'static str,
    (start, more, pause): (&'static [u8], &'static [u8], u64),
    cause: Cause,
    field: Option<&'static str>,
) -> Trial {
    trial(format!("http_{name}"), async move {
        let script = move |mut peer: Peer| async move {
            peer.hear().await;
            peer.say(start).await;
            for _ in 0..4_000_000 / more.len().max(1) {
                peer.say(more).await;
                sleep(Duration::from_millis(pause)).await;
            }
            peer.hear_all().await;
        };
        let (report, heard) = run(if cause == Cause::TimedOut { SHORT } else { DEADLINE }, "elasticsearch", script).await;
        assert_failed(&report, cause, StepName::SignIn, field);
        assert!(!heard.contains(PLANTED));
    })
}

async fn run<F, R>(deadline: Duration, connector: &'static str, script: F) -> (TestReport, Heard)
where
    F: Fn(Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (port, heard) = serve(script).await;
    let (report, taken) = tested_within(deadline, connector, fields(port, &[("tls.mode", "disable")])).await;
    assert!(taken.time < deadline + Duration::from_secs(1) && taken.memory < MEMORY, "{taken:?}");
    (report, heard)
}

/// An answer that is as deep, or as wide, as fits into what is read.
fn json(name: &'static str, bytes: &'static [u8]) -> Trial {
    trial(format!("http_{name}"), async move {
        let script = move |mut peer: Peer| async move {
            while !peer.hear().await.is_empty() {
                let body = bytes.repeat(250_000 / bytes.len());
                peer.say(
                    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())
                        .as_bytes(),
                )
                .await;
                peer.say(&body).await;
            }
        };
        let (report, _) = run(DEADLINE, "elasticsearch", script).await;
        assert_failed(&report, Cause::NotThatDatabase, StepName::SignIn, Some("port"));
    })
}

pub fn trials() -> Vec<Trial> {
    vec![
        endless("silent", (b"", b"", 10_000), Cause::TimedOut, Some("port")),
        endless(
            "endless_head",
            (b"HTTP/1.1 200 OK\r\n", b"x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 0),
            Cause::ServerError,
            None,
        ),
        endless("endless_line", (b"HTTP/1.1 200 OK\r\nx-filler: ", &[b'y'; 1024], 0), Cause::ServerError, None),
        endless("dripping_head", (b"HTTP/1.1 200 OK\r\nx-filler: ", b"y", 20), Cause::TimedOut, Some("port")),
        endless("dripping_body", (b"HTTP/1.1 200 OK\r\n\r\n", b"y", 20), Cause::TimedOut, Some("port")),
        endless("endless_body", (b"HTTP/1.1 200 OK\r\n\r\n", &[b'y'; 4096], 0), Cause::NotThatDatabase, Some("port")),
        endless("interim_answers", (b"", b"HTTP/1.1 102 Processing\r\n\r\n", 1), Cause::TimedOut, Some("port")),
        endless("no_http", (b"", b"hello\r\n", 5), Cause::NotThatDatabase, Some("port")),
        endless(
            "http_2",
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80", b"\0\0\0\x04\x01\0\0\0\0", 5),
            Cause::NotThatDatabase,
            Some("port"),
        ),
        json("deep_json", b"["),
        json("wide_json", b"[[],[],[],[],"),
        trial("http_lost", async {
            let (report, _) = run(DEADLINE, "elasticsearch", |mut peer: Peer| async move {
                peer.hear().await;
            })
            .await;
            assert_failed(&report, Cause::ConnectionLost, StepName::SignIn, None);
        }),
        trial("http_a_query_without_an_end", async {
            let script = |mut peer: Peer| async move {
                loop {
                    let asked = peer.hear().await;
                    let (status, body) = if asked.is_empty() {
                        return;
                    } else if asked.starts_with(b"POST /v1/statement") && asked.ends_with(b"\r\n\r\n") {
                        ("400 Bad Request", "SQL statement is empty".to_owned())
                    } else {
                        ("200 OK", r#"{"id":"1","stats":{},"nextUri":"https://elsewhere.example.org/v1/statement/1"}"#.to_owned())
                    };
                    peer.say(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
                }
            };
            let (report, heard) = run(SHORT, "trino", script).await;
            assert_failed(&report, Cause::TimedOut, StepName::OpenDatabase, None);
            assert!(heard.contains("GET /v1/statement/1 "), "no URL of the server's is followed but to the same host");
        }),
    ]
}

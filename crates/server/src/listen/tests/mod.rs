//! The accept loop as clients meet it: real sockets on loopback, with limits shortened to fractions of a second.

mod fixture;
mod tls;

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Limits, ListenConfig, ListenError, bind};
use fixture::{Client, GET, Running, ended_within, millis};

/// Far below the limits that a test does not shorten, and far above what a busy machine adds to those it does.
const SOON: Duration = Duration::from_mins(1);

/// Every limit far away but the one that a test shortens.
fn limits() -> Limits {
    let far = Duration::from_mins(10);
    Limits { handshake: far, head: far, body: far, idle: far, write: far }
}

fn with(limits: Limits) -> ListenConfig {
    ListenConfig { limits, ..ListenConfig::default() }
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other_on_one_connection() {
    let server = Running::start(ListenConfig::default()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        assert_eq!(client.ask(GET).await, ("200".to_owned(), "hello".to_owned()));
    }
    let own_address = client.local_address();
    assert_eq!(client.ask("GET /peer HTTP/1.1\r\nhost: x\r\n\r\n").await.1, own_address);
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_one_clear_sentence() {
    let server = Running::start(ListenConfig::default()).await;
    let error = bind(server.address).await.expect_err("the port is in use");
    let port = server.address.port();
    assert_eq!(
        error.to_string(),
        format!("Port {port} on 127.0.0.1 is taken by another program. Stop it, or choose another with --listen.")
    );
    let error = bind("203.0.113.1:0".parse().expect("an address")).await.expect_err("no such address here");
    assert!(matches!(error, ListenError::NotOurAddress(_)), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let server = Running::start(with(Limits { head: millis(300), ..limits() })).await;
    let dripping = async {
        let mut client = server.connect().await;
        for byte in GET.as_bytes().iter().cycle().take_while(|byte| **byte != b'\r').cycle() {
            if client.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(millis(20)).await;
        }
    };
    ended_within(millis(250)..SOON, dripping).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_like_a_slow_head() {
    let server = Running::start(with(Limits { head: millis(300), ..limits() })).await;
    ended_within(millis(250)..SOON, async { server.connect().await.closed().await }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_head_on_a_connection_kept_alive_has_the_same_deadline() {
    let server = Running::start(with(Limits { head: millis(2_000), ..limits() })).await;
    let mut client = server.connect().await;
    client.ask(GET).await;
    tokio::time::sleep(millis(3_000)).await;
    assert_eq!(client.ask(GET).await.0, "200", "idle time is no part of a head's time");
    let half_a_head = async {
        client.send("GET / HT").await;
        client.closed().await;
    };
    ended_within(millis(1_900)..SOON, half_a_head).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off() {
    let server = Running::start(with(Limits { body: millis(300), ..limits() })).await;
    let dripping = async {
        let mut client = server.connect().await;
        client.send("POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n").await;
        while client.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(millis(20)).await;
        }
    };
    ended_within(millis(250)..SOON, dripping).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_in_time_leaves_the_handler_all_the_time_it_takes() {
    let limit = millis(3_000);
    let server = Running::start(with(Limits { head: limit, body: limit, idle: limit, ..limits() })).await;
    let (mut with_body, mut without) = (server.connect().await, server.connect().await);
    with_body.send("POST /gated/length HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab").await;
    server.gate.entered().await;
    with_body.send("cd").await;
    without.send("GET /gated HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.gate.entered().await;
    tokio::time::sleep(limit + millis(1_000)).await;
    server.gate.open();
    assert_eq!((with_body.receive().await.1, without.receive().await.1), ("4".to_owned(), "gated".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Running::start(with(Limits { idle: millis(300), ..limits() })).await;
    let asking_once = async {
        let mut client = server.connect().await;
        client.ask(GET).await;
        client.closed().await;
    };
    ended_within(millis(250)..SOON, asking_once).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off_and_one_that_takes_it_slowly_is_not() {
    let limit = millis(5_000);
    let shortened = with(Limits { write: limit, idle: limit, ..limits() });
    let server = Running::start(ListenConfig { connections_from_loopback: 1, ..shortened }).await;
    let mut stalled = server.connect().await;
    stalled.send("GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut slow = server.connect_from("127.0.0.2").await;
    slow.send("GET /big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    // The buffers of both ends hold up to 10 MB: what is left is taken in eleven rests, longer than the limit together.
    let taken = slow.take_slowly(millis(600)).await;
    assert!(taken > fixture::BIG, "the whole answer, over a time longer than any limit: {taken}");
    server.wait_for_room().await;
    assert!(stalled.take_all().await < fixture::BIG, "an answer cut off");
    server.stop().await;
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let server = Running::start(ListenConfig::default()).await;
    let mut client = server.connect().await;
    let of_length = |length| format!("GET / HTTP/1.1\r\nhost: x\r\nx-filler: {}\r\n\r\n", "x".repeat(length));
    assert_eq!(client.ask(&of_length(32_000)).await.0, "200");
    assert_eq!(client.ask(&of_length(33_000)).await.0, "431");
    server.stop().await;
}

#[tokio::test]
async fn an_address_has_its_share_and_others_do_not_suffer() {
    let server = Running::start(ListenConfig { connections_from_loopback: 2, ..ListenConfig::default() }).await;
    let mut held = [server.connect().await, server.connect().await];
    for client in &mut held {
        client.ask(GET).await;
    }
    ended_within(millis(0)..SOON, server.connect().await.closed()).await;
    assert_eq!(server.connect_from("127.0.0.2").await.ask(GET).await.0, "200");
    drop(held);
    server.wait_for_room().await;
    server.stop().await;
}

#[tokio::test]
async fn many_slow_connections_are_bounded_and_leave_room() {
    let of = |limits| ListenConfig { connections: 60, connections_from_loopback: 50, ..with(limits) };
    let server = Running::start(of(limits())).await;
    let slow = slow_ones(&server, 200).await;
    assert_eq!(server.connect_from("127.0.0.2").await.ask(GET).await.0, "200", "an honest client is served meanwhile");
    let mut open = 0;
    for client in &slow {
        open += usize::from(!client.is_closed());
    }
    assert_eq!(open, 50, "of 200 only the share of one address");
    drop(slow);
    server.stop().await;

    let server = Running::start(of(Limits { head: millis(300), ..limits() })).await;
    for client in slow_ones(&server, 50).await {
        tokio::time::timeout(SOON, client.closed()).await.expect("every slow one is cut off");
    }
    server.wait_for_room().await;
    server.stop().await;
}

async fn slow_ones(server: &Running, count: usize) -> Vec<Client> {
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut client = server.connect().await;
        client.stream.write_all(b"GET / HT").await.ok();
        slow.push(client);
    }
    slow
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let server = Running::start_apart(ListenConfig { drain: Duration::from_mins(10), ..with(limits()) }).await;
    let (mut busy, mut idle, fresh) = (server.connect().await, server.connect().await, server.connect().await);
    idle.ask(GET).await;
    busy.send("GET /gated HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.gate.entered().await;
    let (address, gate) = (server.address, server.gate.clone());
    let stopping = tokio::spawn(server.stop());
    ended_within(millis(0)..SOON, async { tokio::join!(idle.closed(), fresh.closed()) }).await;
    let refused = Client::try_connect(address).await.err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::ConnectionRefused), "the port is closed");
    gate.open();
    assert_eq!(busy.receive().await.1, "gated", "the request in flight has its answer");
    ended_within(millis(0)..SOON, busy.closed()).await;
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn a_shutdown_leaves_no_answer_half_sent() {
    let server = Running::start(ListenConfig::default()).await;
    let mut slow = server.connect().await;
    slow.send("GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // All of the answer is with the loop by now, which waits for the client to take some.
    tokio::time::sleep(millis(500)).await;
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(millis(100)).await;
    assert!(slow.take_all().await > fixture::BIG, "the whole answer");
    ended_within(millis(0)..SOON, stopping).await.expect("stopped");
}

#[tokio::test]
async fn a_shutdown_cuts_off_what_takes_too_long() {
    let server = Running::start(ListenConfig { drain: millis(200), ..ListenConfig::default() }).await;
    let mut client = server.connect().await;
    client.send("GET /gated HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.gate.entered().await;
    ended_within(millis(150)..SOON, server.stop()).await;
    ended_within(millis(0)..SOON, client.closed()).await;
}

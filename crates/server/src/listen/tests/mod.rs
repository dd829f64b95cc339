//! The accept loop as clients meet it: real sockets on loopback, with limits shortened to fractions of a second.

mod fixture;
mod tls;

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Limits, ListenConfig, ListenError, bind};
use fixture::{Client, GET, Running, ended_within, millis};

/// Far below the limits that a test does not shorten, and far above what a busy machine adds to those it does.
const SOON: Duration = Duration::from_secs(10);

/// Every limit far away but the one that a test shortens.
fn limits() -> Limits {
    let far = Duration::from_mins(1);
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
    let mut client = server.connect().await;
    let dripping = async {
        for byte in GET.as_bytes().iter().cycle().take_while(|byte| **byte != b'\r').cycle() {
            if client.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(millis(20)).await;
        }
    };
    ended_within(millis(50)..SOON, dripping).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_like_a_slow_head() {
    let server = Running::start(with(Limits { head: millis(300), ..limits() })).await;
    let client = server.connect().await;
    ended_within(millis(50)..SOON, client.closed()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_head_on_a_connection_kept_alive_has_the_same_deadline() {
    let server = Running::start(with(Limits { head: millis(300), ..limits() })).await;
    let mut client = server.connect().await;
    client.ask(GET).await;
    tokio::time::sleep(millis(600)).await;
    assert_eq!(client.ask(GET).await.0, "200", "idle time is no part of a head's time");
    client.send("GET / HT").await;
    ended_within(millis(50)..SOON, client.closed()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off() {
    let server = Running::start(with(Limits { body: millis(300), ..limits() })).await;
    let mut client = server.connect().await;
    client.send("POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n").await;
    let dripping = async {
        while client.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(millis(20)).await;
        }
    };
    ended_within(millis(50)..SOON, dripping).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_in_time_leaves_the_handler_all_the_time_it_takes() {
    let server = Running::start(with(Limits { head: millis(500), body: millis(500), idle: millis(500), ..limits() })).await;
    let mut client = server.connect().await;
    client.send("POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab").await;
    tokio::time::sleep(millis(100)).await;
    assert_eq!(client.ask("cd").await.1, "4");
    assert_eq!(client.ask("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.1, "slow");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Running::start(with(Limits { idle: millis(300), ..limits() })).await;
    let mut client = server.connect().await;
    client.ask(GET).await;
    ended_within(millis(50)..SOON, client.closed()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off_and_one_that_takes_it_slowly_is_not() {
    let server = Running::start(with(Limits { write: millis(1_000), idle: millis(1_000), ..limits() })).await;
    let mut stalled = server.connect().await;
    stalled.send("GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut slow = server.connect().await;
    slow.send("GET /big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(slow.take_slowly().await > fixture::BIG, "the whole answer, over a time longer than any limit");
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
    let config =
        ListenConfig { connections: 60, connections_from_loopback: 50, ..with(Limits { head: millis(2_000), ..limits() }) };
    let server = Running::start(config).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = server.connect().await;
        client.stream.write_all(b"GET / HT").await.ok();
        slow.push(client);
    }
    assert_eq!(server.connect_from("127.0.0.2").await.ask(GET).await.0, "200", "an honest client is served meanwhile");
    let mut open = 0;
    for client in &slow {
        open += usize::from(!client.is_closed());
    }
    assert_eq!(open, 50, "of 200 only the share of one address");
    for client in slow {
        tokio::time::timeout(SOON, client.closed()).await.expect("every slow one is cut off");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let server = Running::start(ListenConfig::default()).await;
    let (mut busy, mut idle, fresh) = (server.connect().await, server.connect().await, server.connect().await);
    idle.ask(GET).await;
    busy.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(millis(100)).await;
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    ended_within(millis(0)..millis(700), async { tokio::join!(idle.closed(), fresh.closed()) }).await;
    assert!(Client::try_connect(address).await.is_err(), "the port is closed");
    assert_eq!(busy.receive().await.1, "slow", "the request in flight has its answer");
    ended_within(millis(0)..SOON, busy.closed()).await;
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn a_shutdown_cuts_off_what_takes_too_long() {
    let server = Running::start(ListenConfig { drain: millis(200), ..ListenConfig::default() }).await;
    let mut client = server.connect().await;
    client.send("GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(millis(100)).await;
    ended_within(millis(150)..SOON, server.stop()).await;
    ended_within(millis(0)..SOON, client.closed()).await;
}

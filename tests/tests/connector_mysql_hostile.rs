//! The connector `mysql` against servers that lie, pry, stall or speak something else: each ends with its cause, and none hears
//! the password.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use dataflow_model::{Cause, StepName};
use dataflow_tests::{
    connection::{Connection, Tested},
    postgres::{Postgres, PostgresOptions},
    scripted::{Peer, Scripted},
    tls::{Authority, Identity, Shape},
};
use rstest::rstest;

const PASSWORD: &str = "planted-secret-7f3a";
const NONCE: &[u8; 20] = b"ABCDEFGHIJKLMNOPQRST";
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const TLS: u32 = 1 << 11;

fn frame(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = u32::try_from(payload.len()).expect("short").to_le_bytes();
    [&[low, middle, high, sequence], payload].concat()
}

/// The greeting of a server that has TLS.
fn greeting(plugin: &str) -> Vec<u8> {
    let capabilities = 0x0008_a201 | TLS;
    let [a, b, c, d] = capabilities.to_le_bytes();
    let mut payload = b"\x0a9.7.1\0\x08\0\0\0".to_vec();
    payload.extend_from_slice(&NONCE[..8]);
    payload.extend_from_slice(&[0, a, b, 255, 2, 0, c, d, 21]);
    payload.extend_from_slice(&[0; 10]);
    payload.extend_from_slice(&NONCE[8..]);
    payload.push(0);
    payload.extend_from_slice(plugin.as_bytes());
    payload.push(0);
    frame(0, &payload)
}

fn error(code: u16, message: &str) -> Vec<u8> {
    [&[0xff][..], &code.to_le_bytes(), b"#HY000", message.as_bytes()].concat()
}

fn switch(plugin: &str, data: &[u8]) -> Vec<u8> {
    [&[0xfe][..], plugin.as_bytes(), &[0], data].concat()
}

/// One packet of the client's: its sequence number and payload.
fn packet(peer: &mut Peer) -> io::Result<(u8, Vec<u8>)> {
    let [low, middle, _, sequence] = peer.receive()?;
    let mut payload = vec![0; usize::from(u16::from_le_bytes([low, middle]))];
    peer.fill(&mut payload)?;
    Ok((sequence, payload))
}

/// Reads a packet and answers it.
fn answer(peer: &mut Peer, payload: &[u8]) -> io::Result<()> {
    let (sequence, _) = packet(peer)?;
    peer.send(&frame(sequence + 1, payload))
}

/// Greets, then answers each packet of the client with the next of `answers`, then listens.
fn conversation(answers: Vec<Vec<u8>>) -> Scripted {
    Scripted::start(move |peer| {
        peer.send(&greeting("caching_sha2_password"))?;
        for next in &answers {
            answer(peer, next)?;
        }
        peer.listen()
    })
}

/// The same inside TLS.
fn conversation_inside_tls(identity: Identity, answers: Vec<Vec<u8>>) -> Scripted {
    Scripted::start(move |peer| {
        peer.send(&greeting("sha256_password"))?;
        packet(peer)?;
        peer.begin_tls(&identity)?;
        for next in &answers {
            answer(peer, next)?;
        }
        peer.listen()
    })
}

fn connection(server: &Scripted) -> Connection {
    Connection::new("mysql", server.port()).user("anna", PASSWORD)
}

#[track_caller]
fn refused(tested: &Tested, cause: Cause, step: StepName) {
    let error = tested.error(PASSWORD);
    assert_eq!((error.code, tested.failed_step()), (cause, Some(step)), "{error:?}");
}

#[rstest]
#[case::clear("mysql_clear_password", b"", Cause::InsecureAuthenticationRefused)]
#[case::sha256("sha256_password", NONCE, Cause::InsecureAuthenticationRefused)]
#[case::old("mysql_old_password", b"ABCDEFGH\0", Cause::ProtocolTooOld)]
#[case::dialog("dialog", b"\x04Password: ", Cause::ServerError)]
#[case::kerberos("authentication_kerberos_client", b"x", Cause::ServerError)]
#[case::no_name("", b"", Cause::ServerError)]
// A challenge of another length is no challenge.
#[case::short_challenge("mysql_native_password", b"A\0", Cause::NotThatDatabase)]
#[case::no_challenge("caching_sha2_password", b"", Cause::NotThatDatabase)]
#[case::long_challenge("client_ed25519", &[7; 64], Cause::NotThatDatabase)]
#[tokio::test]
async fn the_password_is_not_told_by_whatever_plugin_it_is_asked(
    #[case] plugin: &str,
    #[case] data: &[u8],
    #[case] cause: Cause,
    #[values("disable", "require")] mode: &str,
) {
    let answers = vec![switch(plugin, data), OK.to_vec()];
    let server = match mode {
        "require" => conversation_inside_tls(Authority::new().server(Shape::SelfSigned), answers),
        _ => conversation(answers),
    };
    let tested = connection(&server).set("tls.mode", mode).test().await;
    refused(&tested, cause, StepName::SignIn);
    assert!(server.has_heard("anna") && !server.has_heard(PASSWORD));
}

#[rstest]
#[case::the_switch_of_before_4_1(vec![vec![0xfe]], Cause::ProtocolTooOld)]
#[case::in_full(vec![vec![1, 4]], Cause::InsecureAuthenticationRefused)]
#[case::a_key_nobody_asked_for(vec![b"\x01-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n".to_vec()], Cause::NotThatDatabase)]
#[case::endless(vec![vec![1, 3]; 12], Cause::NotThatDatabase)]
#[case::nonsense(vec![vec![0x42; 300]], Cause::NotThatDatabase)]
#[tokio::test]
async fn a_bent_sign_in_tells_nothing(#[case] answers: Vec<Vec<u8>>, #[case] cause: Cause) {
    let server = Scripted::start(move |peer| {
        peer.send(&greeting("caching_sha2_password"))?;
        let (mut sequence, _) = packet(peer)?;
        for next in &answers {
            sequence += 1;
            peer.send(&frame(sequence, next))?;
        }
        peer.listen()
    });
    refused(&connection(&server).test().await, cause, StepName::SignIn);
    assert!(!server.has_heard(PASSWORD));
}

#[rstest]
#[case::no_pem(b"\x01no key")]
#[case::no_base64(b"\x01-----BEGIN PUBLIC KEY-----\n****\n-----END PUBLIC KEY-----\n")]
#[case::no_der(b"\x01-----BEGIN PUBLIC KEY-----\nAAECAwQ=\n-----END PUBLIC KEY-----\n")]
#[tokio::test]
async fn even_where_it_is_allowed_a_bent_key_gets_nothing(#[case] key: &[u8]) {
    let server = conversation(vec![vec![1, 4], key.to_vec()]);
    let tested = connection(&server).set("extra.insecure_auth", "mysql_rsa").test().await;
    refused(&tested, Cause::NotThatDatabase, StepName::SignIn);
    assert!(!server.has_heard(PASSWORD));
}

/// Answers `SELECT 1` with one row, which holds `value`.
fn answer_with_row(peer: &mut Peer, value: u8) -> io::Result<()> {
    const END: &[u8] = &[0xfe, 0, 0, 2, 0];
    packet(peer)?;
    for (sequence, next) in (1..).zip([&[1][..], &[3], END, &[1, value], END]) {
        peer.send(&frame(sequence, next))?;
    }
    peer.listen()
}

#[tokio::test]
async fn inside_verified_tls_a_clear_password_is_told() {
    let authority = Authority::new();
    let server = Scripted::start({
        let identity = authority.server(Shape::Good);
        move |peer| {
            peer.send(&greeting("sha256_password"))?;
            packet(peer)?;
            peer.begin_tls(&identity)?;
            answer(peer, &switch("mysql_clear_password", b""))?;
            answer(peer, OK)?;
            answer_with_row(peer, b'1')
        }
    });
    let tested = connection(&server).verified(&authority.pem()).test().await;
    assert_eq!(tested.outcome().server_version.as_deref(), Some("MySQL 9.7.1"));
    assert!(server.has_heard(&format!("{PASSWORD}\0")));

    let stranger = connection(&server).verified(&Authority::new().pem()).test().await;
    refused(&stranger, Cause::CertificateUntrusted, StepName::Secure);
    assert_eq!(stranger.error(PASSWORD).certificates.len(), 1);
}

#[tokio::test]
async fn no_file_is_ever_given() {
    let server = conversation(vec![OK.to_vec(), b"\xfb/etc/passwd".to_vec(), OK.to_vec()]);
    refused(&connection(&server).test().await, Cause::ServerError, StepName::Read);
    assert!(!server.has_heard("root:"));
}

#[tokio::test]
async fn the_servers_words_are_shown_without_the_password() {
    let server = conversation(vec![error(9_999, &format!("no entry for {PASSWORD}\x1b[31m"))]);
    let tested = connection(&server).test().await;
    refused(&tested, Cause::ServerError, StepName::SignIn);
    let message = &tested.error(PASSWORD).message;
    assert!(message.contains("no entry for (withheld)") && !message.contains('\u{1b}'), "{message}");
}

#[rstest]
#[case(1040, Cause::TooManyConnections)]
#[case(1129, Cause::AddressNotPermitted)]
#[case(1130, Cause::AddressNotPermitted)]
#[case(1053, Cause::ServerStarting)]
#[tokio::test]
async fn an_error_in_place_of_a_greeting_is_a_refused_sign_in(
    #[case] code: u16,
    #[case] cause: Cause,
    #[values("disable", "verify-full")] mode: &str,
) {
    let server = Scripted::start(move |peer| {
        peer.send(&frame(0, &error(code, "no")))?;
        peer.listen()
    });
    refused(&connection(&server).set("tls.mode", mode).test().await, cause, StepName::SignIn);
}

#[rstest]
#[case(1203, Cause::TooManyConnections)]
#[case(1226, Cause::TooManyConnections)]
#[case(1251, Cause::ProtocolTooOld)]
#[case(1275, Cause::ProtocolTooOld)]
#[case(1698, Cause::CredentialsRefused)]
#[case(1820, Cause::CredentialsRefused)]
#[case(3032, Cause::ServerStarting)]
#[case(3118, Cause::CredentialsRefused)]
#[case(4151, Cause::CredentialsRefused)]
#[case(3159, Cause::InvalidSettings)]
#[tokio::test]
async fn an_error_of_the_sign_in_has_its_cause(#[case] code: u16, #[case] cause: Cause) {
    let server = conversation(vec![error(code, "no")]);
    refused(&connection(&server).test().await, cause, StepName::SignIn);
}

#[tokio::test]
async fn errors_after_the_sign_in_have_their_causes() {
    let joining = conversation(vec![OK.to_vec(), error(1047, "WSREP has not yet prepared node for application use")]);
    refused(&connection(&joining).set("database", "sales").test().await, Cause::ServerStarting, StepName::OpenDatabase);
    let denied = conversation(vec![OK.to_vec(), error(1142, "SELECT command denied")]);
    refused(&connection(&denied).test().await, Cause::ReadRefused, StepName::Read);
    let two = conversation(vec![OK.to_vec(), vec![2]]);
    refused(&connection(&two).test().await, Cause::NotThatDatabase, StepName::Read);
    let wrong_row = Scripted::start(|peer| {
        peer.send(&greeting("caching_sha2_password"))?;
        answer(peer, OK)?;
        answer_with_row(peer, b'2')
    });
    refused(&connection(&wrong_row).test().await, Cause::NotThatDatabase, StepName::Read);
}

#[rstest]
#[case::ssh(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Cause::NotThatDatabase)]
#[case::smtp(b"220 mail.example.org ESMTP\r\n", Cause::NotThatDatabase)]
#[case::mysql_x(b"\x05\0\0\0\x0b\x08\x05\x1a\0", Cause::NotThatDatabase)]
#[case::oversized(b"\xff\xff\xff\0\x0a", Cause::NotThatDatabase)]
#[case::protocol_9(b"\x10\0\0\0\x093.20.32a-log\0xx", Cause::ProtocolTooOld)]
#[case::mysql_4_0(b"\x17\0\0\0\x0a4.0.30\0\x08\0\0\0ABCDEFGH\0\x2c\x20", Cause::ProtocolTooOld)]
#[tokio::test]
async fn another_service_is_found_out_by_its_first_words(#[case] words: &'static [u8], #[case] cause: Cause) {
    let server = Scripted::start(move |peer| {
        peer.send(words)?;
        peer.listen()
    });
    refused(&connection(&server).test().await, cause, StepName::SignIn);
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn a_service_that_waits_for_its_client_is_found_out_too() {
    let http = Scripted::start(|peer| {
        peer.receive::<12>()?;
        peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    });
    let tested = connection(&http).test().await;
    refused(&tested, Cause::NotThatDatabase, StepName::SignIn);
    assert!(!format!("{tested:?}").contains("HTTP"), "what it is, is not told");

    let postgres = Postgres::start(&PostgresOptions::default());
    let tested = Connection::new("mysql", postgres.port()).user("anna", PASSWORD).set("tls.mode", "verify-full").test().await;
    refused(&tested, Cause::NotThatDatabase, StepName::Secure);
    // Not by the deadline, which is 10 s.
    assert!(tested.duration < Duration::from_secs(9));
}

#[tokio::test]
async fn a_slow_database_is_waited_for_and_a_silent_one_ends_in_time() {
    // As behind slow name servers: the first client waits for its greeting, later ones do not.
    let clients = AtomicUsize::new(0);
    let slow = Scripted::start(move |peer| {
        if clients.fetch_add(1, Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_secs(3));
        }
        peer.send(&greeting("mysql_native_password"))?;
        answer(peer, &error(1045, "no"))
    });
    refused(&connection(&slow).test().await, Cause::CredentialsRefused, StepName::SignIn);

    let silent = Scripted::start(Peer::listen);
    let begun = Instant::now();
    refused(&connection(&silent).number("extra.connect_timeout", 1).test().await, Cause::TimedOut, StepName::SignIn);
    // The whole test would have 10 s.
    assert!(begun.elapsed() < Duration::from_secs(8));

    let stalled = conversation(vec![OK.to_vec()]);
    refused(&connection(&stalled).number("extra.read_timeout", 1).test().await, Cause::TimedOut, StepName::Read);
}

#[tokio::test]
async fn a_closed_connection_is_told_with_its_step() {
    let closes_at_once = Scripted::start(|_| Ok(()));
    refused(&connection(&closes_at_once).test().await, Cause::ConnectionLost, StepName::SignIn);
    let closes_after_greeting = Scripted::start(|peer| {
        peer.send(&greeting("caching_sha2_password"))?;
        packet(peer).map(|_| ())
    });
    refused(&connection(&closes_after_greeting).test().await, Cause::ConnectionLost, StepName::SignIn);
    let tls = connection(&closes_after_greeting).set("tls.mode", "require").test().await;
    refused(&tls, Cause::ConnectionLost, StepName::Secure);
}

#[tokio::test]
async fn what_is_slipped_in_before_tls_is_never_believed() {
    let server = Scripted::start(|peer| {
        let early = frame(2, OK);
        peer.send(&[greeting("caching_sha2_password"), early].concat())?;
        peer.listen()
    });
    for mode in ["require", "verify-full"] {
        let tested = connection(&server).set("tls.mode", mode).test().await;
        refused(&tested, Cause::NotThatDatabase, StepName::Secure);
    }
    assert!(!server.has_heard("anna"));
}

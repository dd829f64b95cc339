//! Servers that are something else, or worse.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use dataflow_model::{Cause, StepName};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    scripted::{Peer, Scripted},
    tls::{Authority, Shape},
};
use futures_util::future::join_all;

use crate::common::{is_refused, line, speaks_first};

pub const ALL: [&str; 12] =
    ["redis", "smtp", "imap", "ftp", "nats", "mqtt", "ldap", "rabbitmq", "mongo", "cassandra", "kafka", "mssql"];

fn to(connector: &'static str, server: &Scripted) -> Connection {
    Connection::new(connector, server.port()).user(USER, PASSWORD)
}

/// Waits for its client, as a web server does.
fn web_server(peer: &mut Peer) -> io::Result<()> {
    peer.receive::<4>()?;
    peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn another_service_is_told_by_its_name_and_with_tls_too() {
    let strangers = [
        ("web server", Scripted::start(web_server)),
        ("SSH server", speaks_first(b"SSH-2.0-OpenSSH_9.2\r\n")),
        ("MySQL", speaks_first(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0ABCDEFGH\0\xff\xff\xff\x02\0\xff\xdf\x15")),
    ];
    let tests = strangers.iter().flat_map(|(words, server)| {
        ALL.iter().flat_map(move |connector| {
            [("disable", ""), ("require", "at_once"), ("require", "request")].map(|(mode, start)| async move {
                let tested = to(connector, server).set("tls.mode", mode).set("extra.tls_start", start).test().await;
                let error = tested.error(PASSWORD);
                let what = format!("{connector}, {mode} {start}, {words}: {error:?}");
                assert_eq!((error.code, error.field.as_deref()), (Cause::NotThatDatabase, Some("port")), "{what}");
                assert!(error.message.contains(words), "{what}");
            })
        })
    });
    join_all(tests).await;
}

#[tokio::test]
async fn a_certificate_for_another_host_ends_the_test() {
    let authority = Authority::new();
    let identity = authority.server(Shape::WrongHost);
    let server = Scripted::start(move |peer| {
        peer.begin_tls(&identity)?;
        peer.listen()
    });
    for connector in ALL.into_iter().filter(|connector| *connector != "nats") {
        let tested = to(connector, &server).verified(&authority.pem()).set("extra.tls_start", "at_once").test().await;
        is_refused(&tested, Cause::CertificateWrongHost, StepName::Secure, Some("host"));
    }
    assert!(server.heard().is_empty());
}

/// What each says before TLS begins on request: a line or message for each that is asked.
fn before_tls(connector: &str) -> Vec<&'static [u8]> {
    match connector {
        "smtp" => vec![b"220 mail\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"220 go\r\n"],
        "imap" => vec![b"* OK x\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n", b"a2 OK go\r\n"],
        "ftp" => vec![b"220 x\r\n", b"234 go\r\n"],
        "nats" => vec![b"INFO {\"tls_required\":true}\r\n"],
        _ => vec![b"", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0"],
    }
}

const ON_REQUEST: [&str; 5] = ["smtp", "imap", "ftp", "nats", "ldap"];

fn says(connector: &'static str, last: &'static [u8], identity: Option<dataflow_tests::tls::Identity>) -> Scripted {
    Scripted::start(move |peer| {
        let said = before_tls(connector);
        for (number, words) in said.iter().enumerate() {
            match connector {
                "ldap" if number > 0 => drop(peer.receive::<31>()?),
                _ if number > 0 => drop(line(peer)?),
                _ => {}
            }
            let is_last = number + 1 == said.len();
            peer.send(&if is_last { [words, last].concat() } else { words.to_vec() })?;
        }
        if let Some(identity) = &identity {
            peer.begin_tls(identity)?;
        }
        peer.listen()
    })
}

/// What comes before the encryption could be taken for what comes inside it.
#[tokio::test]
async fn what_is_slipped_in_before_tls_is_refused() {
    let authority = Authority::new();
    for connector in ON_REQUEST {
        let server = says(connector, b"+OK 250 235 a3 OK\r\n", Some(authority.server(Shape::Good)));
        let tested = to(connector, &server).verified(&authority.pem()).set("extra.tls_start", "request").test().await;
        let error = tested.error(PASSWORD);
        assert_eq!((error.code, tested.failed_step()), (Cause::ServerError, Some(StepName::Secure)), "{connector}: {error:?}");
        assert!(error.message.contains("before the encryption began"), "{connector}: {error:?}");
        assert!(!server.has_heard(PASSWORD));
    }
}

#[tokio::test]
async fn a_certificate_is_looked_at_on_request_too() {
    let authority = Authority::new();
    for connector in ON_REQUEST {
        let server = says(connector, b"", Some(authority.server(Shape::WrongHost)));
        let tested = to(connector, &server).verified(&authority.pem()).set("extra.tls_start", "request").test().await;
        is_refused(&tested, Cause::CertificateWrongHost, StepName::Secure, Some("host"));
    }
}

/// Who takes the offer of TLS away on the way gets nothing for it.
#[tokio::test]
async fn tls_that_is_demanded_is_not_stripped() {
    for (connector, said) in [
        ("smtp", vec![&b"220 mail\r\n"[..], b"250-mail\r\n250 AUTH PLAIN\r\n"]),
        ("imap", vec![b"* OK x\r\n", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na1 OK done\r\n"]),
        ("imap", vec![b"* PREAUTH x\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n"]),
        ("ftp", vec![b"220 x\r\n", b"502 no\r\n"]),
        ("nats", vec![b"INFO {}\r\n"]),
    ] {
        let server = Scripted::start(move |peer| {
            for (number, words) in said.iter().enumerate() {
                if number > 0 {
                    line(peer)?;
                }
                peer.send(words)?;
            }
            peer.listen()
        });
        let tested = to(connector, &server).set("tls.mode", "require").set("extra.tls_start", "request").test().await;
        is_refused(&tested, Cause::TlsNotOffered, StepName::Secure, Some("tls.mode"));
        assert!(!server.has_heard(PASSWORD) && !server.has_heard("AUTH PLAIN") && !server.has_heard("PASS"));
    }
}

/// Who waits for the handshake may ask meanwhile what answers there; that TLS does, is no reason to give it up.
#[tokio::test]
async fn a_slow_handshake_is_waited_for() {
    // Longer than the silence after which that is asked.
    const SLOW: Duration = Duration::from_secs(3);
    let authority = Authority::new();
    let tests = [("redis", "at_once"), ("smtp", "at_once"), ("smtp", "request"), ("ldap", "request")];
    let tests = tests.map(|(connector, start)| {
        let (identity, authority) = (authority.server(Shape::WrongHost), authority.pem());
        async move {
            let is_known = AtomicBool::new(false);
            let server = Scripted::start(move |peer| {
                let is_first = !is_known.swap(true, Ordering::Relaxed);
                let said = if start == "request" { before_tls(connector) } else { Vec::new() };
                for (number, words) in said.iter().enumerate() {
                    match connector {
                        "ldap" if number > 0 => drop(peer.receive::<31>()?),
                        _ if number > 0 => drop(line(peer)?),
                        _ => {}
                    }
                    peer.send(words)?;
                }
                if is_first {
                    thread::sleep(SLOW);
                    peer.begin_tls(&identity)?;
                } else {
                    // What a server of TLS says to whoever speaks something else.
                    peer.receive::<4>()?;
                    peer.send(b"\x15\x03\x03\0\x02\x02\x32")?;
                }
                peer.listen()
            });
            let tested = to(connector, &server).verified(&authority).set("extra.tls_start", start).test().await;
            is_refused(&tested, Cause::CertificateWrongHost, StepName::Secure, Some("host"));
        }
    });
    join_all(tests).await;
}

/// What each goes on with for ever, after its first words.
fn endless() -> Vec<(&'static str, &'static [u8], Vec<u8>)> {
    let filler = || vec![b'x'; 4096];
    let long_line = [&b"* "[..], &[b'x'; 8000], b"\r\n"].concat();
    let long_literal = [&b"* X {60000}\r\n"[..], &vec![b'x'; 60_000], b"\r\n"].concat();
    vec![
        ("redis", b"$99999999\r\n", filler()),
        ("redis", b"+", filler()),
        ("mqtt", b"\x20\xff\xff\xff\x7f", filler()),
        ("ldap", b"\x30\x84\x7f\xff\xff\xff", filler()),
        // Entries, each for the first question.
        ("ldap", b"", b"\x30\x09\x02\x01\x01\x64\x04\x04\0\x30\0".to_vec()),
        ("rabbitmq", b"\x01\0\0\x7f\xff\xff\xff", filler()),
        // Heartbeats.
        ("rabbitmq", b"", b"\x08\0\0\0\0\0\0\xce".to_vec()),
        ("mongo", b"\xff\xff\xff\x7f", filler()),
        ("mongo", b"\0\x80\0\0\x01\0\0\0\x01\0\0\0\xdd\x07\0\0", filler()),
        ("cassandra", b"\x84\0\0\0\x06\x7f\xff\xff\xff", filler()),
        ("cassandra", b"\x84\0\0\0\x06\0\0\x80\0", filler()),
        ("kafka", b"\x7f\xff\xff\xff", filler()),
        ("kafka", b"\0\0\x80\0dflw\0\0\xff\xff\xff\xff", filler()),
        ("mssql", b"\x04\0\xff\xff\0\0\0\0", filler()),
        // Packets of one byte, none of which is the last.
        ("mssql", b"", b"\x04\0\0\x09\0\0\0\0x".to_vec()),
        ("nats", b"INFO {\"version\":\"", filler()),
        ("nats", b"INFO {}\r\n", b"+OK\r\n".to_vec()),
        ("smtp", b"220-", filler()),
        ("smtp", b"", b"220-x\r\n".to_vec()),
        ("ftp", b"220-", filler()),
        ("ftp", b"", b"220-x\r\n".to_vec()),
        ("imap", b"* OK ", filler()),
        ("imap", b"* OK x\r\n* CAPABILITY ", filler()),
        ("imap", b"* OK x\r\n* CAPABILITY {99999999}\r\n", filler()),
        ("imap", b"* OK x\r\n* CAPABILITY {18446744073709551615}\r\n", filler()),
        ("imap", b"* OK x\r\n* CAPABILITY", b" {1}\r\nx".to_vec()),
        ("imap", b"* OK x\r\n", b"* x\r\n".to_vec()),
        ("imap", b"* OK x\r\n", long_line),
        ("imap", b"* OK x\r\n", long_literal),
    ]
}

/// No line, no frame and no answer is longer than any that belongs there, and none of it is waited for.
#[tokio::test]
async fn what_has_no_end_is_given_up() {
    /// More than the buffers on the way hold.
    const MOST: usize = 16 * 1024 * 1024;
    let without: Vec<_> = ALL.iter().filter(|connector| !endless().iter().any(|(one, ..)| one == *connector)).collect();
    assert!(without.is_empty(), "{without:?}");
    let tests = endless().into_iter().map(|(connector, first, on)| async move {
        let what = format!("{connector}, {} {}", first.escape_ascii(), on.get(..12).unwrap_or(&on).escape_ascii());
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let server = Scripted::start(move |peer| {
            peer.send(first)?;
            loop {
                peer.send(&on)?;
                count.fetch_add(on.len(), Ordering::Relaxed);
            }
        });
        let tested = to(connector, &server).test().await;
        let error = tested.error(PASSWORD);
        assert_eq!(tested.failed_step(), Some(StepName::SignIn), "{what}: {error:?}");
        assert_eq!(error.code, Cause::NotThatDatabase, "{what}: {error:?}");
        assert!(sent.load(Ordering::Relaxed) < MOST, "{what}");
    });
    join_all(tests).await;
}

//! Servers that are something else, or worse.

use std::io;

use dataflow_model::{Cause, StepName};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    scripted::{Peer, Scripted},
    tls::{Authority, Shape},
};
use futures_util::future::join_all;

use crate::common::is_refused;

const ALL: [&str; 8] = ["redis", "smtp", "imap", "ftp", "nats", "mqtt", "ldap", "rabbitmq"];

fn to(connector: &'static str, server: &Scripted) -> Connection {
    Connection::new(connector, server.port()).user(USER, PASSWORD)
}

/// Waits for its client, as a web server does.
fn web_server(peer: &mut Peer) -> io::Result<()> {
    peer.receive::<4>()?;
    peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
}

fn speaks_first(words: &'static [u8]) -> impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static {
    move |peer| {
        peer.send(words)?;
        peer.listen()
    }
}

#[tokio::test]
async fn another_service_is_told_by_its_name_and_with_tls_too() {
    let strangers = [
        ("web server", Scripted::start(web_server)),
        ("SSH server", Scripted::start(speaks_first(b"SSH-2.0-OpenSSH_9.2\r\n"))),
        ("MySQL", Scripted::start(speaks_first(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0ABCDEFGH\0\xff\xff\xff\x02\0\xff\xdf\x15"))),
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

/// A line of the client's.
fn line(peer: &mut Peer) -> io::Result<()> {
    while peer.receive::<1>()? != *b"\n" {}
    Ok(())
}

const ON_REQUEST: [&str; 5] = ["smtp", "imap", "ftp", "nats", "ldap"];

fn says(connector: &'static str, last: &'static [u8], identity: Option<dataflow_tests::tls::Identity>) -> Scripted {
    Scripted::start(move |peer| {
        let said = before_tls(connector);
        for (number, words) in said.iter().enumerate() {
            match connector {
                "ldap" if number > 0 => drop(peer.receive::<31>()?),
                _ if number > 0 => line(peer)?,
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

/// No line and no frame is longer than any that belongs there, and none of it is waited for.
#[tokio::test]
async fn what_has_no_end_is_given_up() {
    let tests = ALL.map(|connector| async move {
        let server = Scripted::start(move |peer| {
            let first: &[u8] = match connector {
                "redis" => b"$99999999\r\n",
                "mqtt" => b"\x20\xff\xff\xff\x7f",
                "ldap" => b"\x30\x84\x7f\xff\xff\xff",
                "rabbitmq" => b"\x01\0\0\x7f\xff\xff\xff",
                "imap" => b"* OK {99999999}",
                "nats" => b"INFO {\"version\":\"",
                _ => b"220-",
            };
            peer.send(first)?;
            loop {
                peer.send(&[b'x'; 4096])?;
            }
        });
        let tested = to(connector, &server).test().await;
        let error = tested.error(PASSWORD);
        assert_eq!(tested.failed_step(), Some(StepName::SignIn), "{connector}: {error:?}");
        assert_eq!(error.code, Cause::NotThatDatabase, "{connector}: {error:?}");
    });
    join_all(tests).await;
}

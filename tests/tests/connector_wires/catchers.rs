//! Servers that say yes to whoever comes, and servers that are slow to say no.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dataflow_model::{StepName, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{PASSWORD, USER},
    scripted::{Peer, Scripted},
    tls::{Authority, Identity, Shape},
};

use crate::common::converses;

const ALL: [&str; 4] = ["smtp", "imap", "ftp", "rabbitmq"];

/// One for tries, as developers have them: it takes any password. It counts the sign-ins.
fn catcher(connector: &'static str, identity: Option<Identity>) -> (Scripted, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let signed_in = Arc::clone(&count);
    let once_more = move |words: &str| {
        signed_in.fetch_add(1, Ordering::Relaxed);
        words.to_owned()
    };
    let server = match connector {
        "smtp" => converses(identity, "220 mail\r\n", move |line| {
            Some(match line.split(' ').next() {
                Some("EHLO") => "250-mail\r\n250 AUTH PLAIN\r\n".to_owned(),
                Some("AUTH") => once_more("235 in\r\n"),
                _ => "250 ok\r\n".to_owned(),
            })
        }),
        "imap" => converses(identity, "* OK ready\r\n", move |line| {
            let (tag, command) = line.split_once(' ').unwrap_or((line, ""));
            Some(match command.split(' ').next() {
                Some("CAPABILITY") => format!("* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\n{tag} OK done\r\n"),
                Some("AUTHENTICATE") => once_more(&format!("{tag} OK in\r\n")),
                _ => format!("{tag} OK done\r\n"),
            })
        }),
        "ftp" => converses(identity, "220 files\r\n", move |line| {
            Some(match line.split(' ').next() {
                Some("USER") => "331 password\r\n".to_owned(),
                Some("PASS") => once_more("230 in\r\n"),
                _ => "257 \"/\" is where you are\r\n".to_owned(),
            })
        }),
        _ => Scripted::start(move |peer| {
            if let Some(identity) = &identity {
                peer.begin_tls(identity)?;
            }
            peer.receive::<8>()?;
            peer.send(&frame(0, b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US"))?;
            read_frame(peer)?;
            once_more("");
            peer.send(&frame(0, b"\0\x0a\0\x1e\x07\xff\0\x02\0\0\0\x3c"))?;
            read_frame(peer)?;
            read_frame(peer)?;
            peer.send(&frame(0, b"\0\x0a\0\x29\0"))?;
            read_frame(peer)?;
            peer.send(&frame(1, b"\0\x14\0\x0b\0\0\0\0"))?;
            peer.listen()
        }),
    };
    (server, count)
}

fn frame(channel: u8, method: &[u8]) -> Vec<u8> {
    let length = u8::try_from(method.len()).expect("short");
    [&[1, 0, channel, 0, 0, 0, length][..], method, &[0xce]].concat()
}

fn read_frame(peer: &mut Peer) -> io::Result<()> {
    let [_, _, _, length @ ..] = peer.receive::<7>()?;
    peer.fill(&mut vec![0; usize::try_from(u32::from_be_bytes(length)).expect("64 bits") + 1])
}

#[track_caller]
fn is_unproven(tested: &Tested, why: &str) {
    assert_eq!(tested.outcome().status, TestStatus::Unproven, "{:?}", tested.steps);
    let signed_in = tested.steps.iter().find(|step| step.step == StepName::SignIn).expect("a step");
    assert_eq!(signed_in.detail.as_deref(), Some(why));
}

#[tokio::test]
async fn who_takes_any_password_is_found_out_but_where_tls_is_verified() {
    const WHY: &str = "The server takes any other password, too";
    let authority = Authority::new();
    for connector in ALL {
        let (server, count) = catcher(connector, None);
        is_unproven(&Connection::new(connector, server.port()).user(USER, PASSWORD).test().await, WHY);
        assert_eq!(count.load(Ordering::Relaxed), 2, "{connector}");

        let (server, count) = catcher(connector, Some(authority.server(Shape::Good)));
        let secured = || Connection::new(connector, server.port()).user(USER, PASSWORD).verified(&authority.pem());
        let at_once = || secured().set("extra.tls_start", "at_once");
        is_unproven(&at_once().set("tls.mode", "require").test().await, WHY);
        assert_eq!(count.load(Ordering::Relaxed), 2, "{connector}");
        // Servers that count wrong passwords, and lock out who has them, see none.
        let tested = at_once().test().await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{connector}: {:?}", tested.steps);
        assert_eq!(count.load(Ordering::Relaxed), 3, "{connector}");
    }
}

/// That nobody answers to a wrong password takes nothing from a connection that works.
#[tokio::test]
async fn a_wrong_password_that_is_never_answered_is_not_waited_for() {
    let count = AtomicUsize::new(0);
    let server = converses(None, "220 mail\r\n", move |line| match line.split(' ').next() {
        Some("EHLO") => Some("250-mail\r\n250 AUTH PLAIN\r\n".to_owned()),
        Some("AUTH") if count.fetch_add(1, Ordering::Relaxed) > 0 => None,
        Some("AUTH") => Some("235 in\r\n".to_owned()),
        _ => Some("250 ok\r\n".to_owned()),
    });
    // What its programs may take to connect is over before.
    let connection = Connection::new("smtp", server.port()).user(USER, PASSWORD).number("extra.connect_timeout", 1);
    let tested = connection.test().await;
    is_unproven(&tested, "Whether the server checks the password could not be found out");
    assert!(tested.duration < Duration::from_secs(6), "{:?}", tested.duration);
}

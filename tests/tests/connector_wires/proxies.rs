//! Proxies, and what goes through them and through SSH servers.

use dataflow_model::{Catalogue, Cause, StepName, TestError, TestStatus};
use dataflow_tests::{
    connection::Connection,
    fake_services::{PASSWORD, USER},
    port::Port,
    scripted::{Peer, Scripted},
    wires::{self, OPEN, PLAIN, Wires},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::{is_refused, is_unproven, speaks_first};

/// Looks at passwords, keeps them from whoever listens, and lets everybody in through its open door.
async fn holds(connector: &'static str, server: &Wires, says: &str) {
    let to = |door: &str, password: &str| Connection::new(connector, server.port(door)).user(USER, password);
    let right = to(PLAIN, PASSWORD).test().await;
    assert_eq!(right.outcome().status, TestStatus::Ok, "{:?}", right.steps);
    assert!(right.outcome().server_version.as_deref().unwrap_or_default().starts_with(says), "{right:?}");
    for wrong in ["another-password", &format!("{PASSWORD}x"), ""] {
        is_refused(&to(PLAIN, wrong).test().await, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    }
    let nobody = Connection::new(connector, server.port(PLAIN)).test().await;
    is_refused(&nobody, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    is_unproven(&to(OPEN, PASSWORD).test().await);
    is_unproven(&Connection::new(connector, server.port(OPEN)).test().await);

    let elsewhere = || to(PLAIN, PASSWORD).set("host", "127.1");
    is_refused(&elsewhere().test().await, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("tls.mode"));
    let allowed = elsewhere().set("extra.insecure_auth", "password").test().await;
    assert_eq!(allowed.outcome().status, TestStatus::Ok, "{:?}", allowed.steps);
    let secured = to(PLAIN, PASSWORD).set("tls.mode", "require").test().await;
    assert_eq!(
        (secured.error(PASSWORD).code, secured.failed_step()),
        (Cause::TlsNotOffered, Some(StepName::Secure)),
        "{secured:?}"
    );
}

#[tokio::test]
async fn proxies_look_at_passwords() {
    let (socks, http) = (wires::microsocks(), wires::tinyproxy());
    holds("socks_proxy", &socks, "").await;
    holds("http_proxy", &http, "tinyproxy 1.11").await;
    let catalogue = Catalogue::built_in().expect("sound");
    let words = catalogue.get("http_proxy").expect("there").tested_words();
    let told = words.trim_end_matches('.').rsplit(' ').next().expect("a word");
    assert!(wires::tinyproxy_version().starts_with(told), "“{words}”, and it is {}", wires::tinyproxy_version());
}

#[tokio::test]
async fn what_is_no_proxy_is_told() {
    for connector in ["socks_proxy", "http_proxy"] {
        for words in
            [&b"220 mail.example.org ESMTP\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 405 Method Not Allowed\r\n\r\n"]
        {
            let server = speaks_first(words);
            let tested = Connection::new(connector, server.port()).user(USER, PASSWORD).test().await;
            is_refused(&tested, Cause::NotThatDatabase, StepName::SignIn, Some("port"));
        }
    }
}

/// Speaks first, and answers with what it is told.
fn beyond() -> Scripted {
    Scripted::start(|peer: &mut Peer| {
        peer.send(b"220 beyond\r\n")?;
        let told = peer.receive::<4>()?;
        peer.send(&told)?;
        peer.listen()
    })
}

async fn leads(hop: &Connection, port: u16) {
    let mut stream = hop.lead_to("127.0.0.1", port).await.unwrap_or_else(|error| panic!("{error:?}"));
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).await.expect("it speaks first");
    assert_eq!(&greeting, b"220 beyond\r\n");
    stream.write_all(b"ping").await.expect("it listens");
    stream.flush().await.expect("it listens");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.expect("it answers");
    assert_eq!(&answer, b"ping");
}

#[track_caller]
fn is_told(refused: Option<TestError>, cause: Cause, words: &str) {
    let refused = refused.expect("it leads nowhere");
    assert_eq!(refused.code, cause, "{refused:?}");
    assert!(refused.message.contains(words) && !refused.message.contains(PASSWORD), "{refused:?}");
}

#[tokio::test]
async fn a_hop_leads_to_what_lies_beyond_it() {
    let (socks, http, shell) = (wires::microsocks(), wires::tinyproxy(), wires::asyncssh());
    let (openssh, user) = wires::openssh();
    let to = |connector, server: &Wires| Connection::new(connector, server.port(PLAIN)).user(USER, PASSWORD);
    let (host_key, key) = (openssh.file("host.pub"), openssh.file("user.key"));
    let by_key = Connection::new("ssh", openssh.port(wires::KEYS)).set("extra.host_key", host_key.trim()).set("username", &user);
    let hops = [
        to("socks_proxy", &socks),
        to("http_proxy", &http),
        to("ssh", &shell).set("extra.host_key", shell.file("host.pub").trim()),
        by_key.secret("extra.private_key", &key).secret("extra.passphrase", PASSWORD),
    ];
    let (closed, there) = (Port::free(), beyond());
    for hop in &hops {
        leads(hop, there.port()).await;
        let refused = hop.lead_to("127.0.0.1", closed.number()).await.err().expect("nobody listens there");
        assert!(matches!(refused.code, Cause::PortClosed | Cause::HostUnreachable), "{refused:?}");
        is_told(hop.lead_to("dataflow-test.invalid", 5432).await.err(), Cause::HostUnreachable, "dataflow-test.invalid");
        // Where clouds hand out credentials nobody is led.
        for metadata in ["169.254.169.254", "[fd00:ec2::254]"] {
            is_told(hop.lead_to(metadata, 80).await.err(), Cause::AddressNotAllowed, metadata);
        }
        let wide = hop.lead_to("１６９.２５４.１６９.２５４", 80).await.err();
        is_told(wide, Cause::InvalidSettings, "holds a character");
    }
}

#[tokio::test]
async fn a_hop_that_leads_nowhere_is_told() {
    let (socks, http, shell) = (wires::microsocks(), wires::tinyproxy(), wires::asyncssh());
    let there = beyond();
    let open = Connection::new("http_proxy", http.port(OPEN));
    is_told(open.lead_to("127.0.0.1", there.port()).await.err(), Cause::AddressNotAllowed, "127.0.0.1");
    let host_key = shell.file("host.pub");
    let ssh = || Connection::new("ssh", shell.port(PLAIN)).user(USER, PASSWORD);
    let pinned = || ssh().set("extra.host_key", host_key.trim());
    is_told(pinned().lead_to("prohibited.example.org", 1).await.err(), Cause::AddressNotAllowed, "prohibited.example.org");
    // Nothing goes through a server of which it is not known who it is.
    is_told(ssh().lead_to("127.0.0.1", there.port()).await.err(), Cause::HopFailed, "no host key");
    for hop in [
        Connection::new("socks_proxy", socks.port(PLAIN)).user(USER, "another-password"),
        Connection::new("http_proxy", http.port(PLAIN)).user(USER, "another-password"),
        pinned().secret("password", "another-password"),
    ] {
        is_told(hop.lead_to("127.0.0.1", there.port()).await.err(), Cause::HopRefused, "On the way, at “bastion”");
    }
    is_told(Connection::new("redis", 1).lead_to("127.0.0.1", there.port()).await.err(), Cause::HopFailed, "redis");
    assert!(there.heard().is_empty(), "nobody came through");
}

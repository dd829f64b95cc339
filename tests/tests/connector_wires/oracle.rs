//! Oracle Database, against a fake of ours.

use std::time::Duration;

use dataflow_model::{Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_oracle::{FakeOracle, OracleOptions, Quirk, SERVICE, VERSION},
    fake_services::{PASSWORD, USER},
    scripted::{Peer, Scripted},
    tls::{Authority, Shape},
};

use crate::common::{is_refused, said, speaks_first};

fn at(port: u16) -> Connection {
    Connection::new("oracle", port).user(USER, PASSWORD).set("database", SERVICE)
}

async fn with(options: OracleOptions) -> Tested {
    at(FakeOracle::start(options).port()).test().await
}

fn options() -> OracleOptions {
    OracleOptions::default()
}

#[track_caller]
fn is_well(tested: &Tested) {
    let outcome = tested.outcome();
    assert_eq!((outcome.status, outcome.server_version.as_deref()), (TestStatus::Ok, Some(VERSION)), "{:?}", tested.steps);
}

#[tokio::test]
async fn a_user_signs_in_with_tls_and_without_and_a_wrong_one_never() {
    let authority = Authority::new();
    for (identity, breaks_off) in [(None, false), (None, true), (Some(authority.server(Shape::Good)), true)] {
        let has_tls = identity.is_some();
        let server = FakeOracle::start(OracleOptions { identity, breaks_off, ..options() });
        let connection = || if has_tls { at(server.port()).verified(&authority.pem()) } else { at(server.port()) };
        let right = connection().test().await;
        is_well(&right);
        let opened = right.steps.iter().find(|step| step.step == StepName::OpenDatabase).expect("a step");
        assert_eq!(opened.detail, Some(SERVICE.to_lowercase()));
        for wrong in ["another-password", &format!("{PASSWORD}x"), &PASSWORD.to_uppercase(), ""] {
            let wrong = connection().secret("password", wrong).test().await;
            is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        }
        let nobody = connection().user("nobody", PASSWORD).test().await;
        is_refused(&nobody, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        // Nothing that was said is the password, in whatever form.
        assert!(!server.has_heard(PASSWORD));
        let missing = connection().set("database", "NOWHERE").test().await;
        is_refused(&missing, Cause::DatabaseMissing, StepName::SignIn, Some("database"));
    }
}

#[tokio::test]
async fn a_server_of_another_version_is_spoken_to_as_it_speaks() {
    for (fields, version) in [(24, VERSION), (8, "Oracle Database 19.0.0.0.0")] {
        let tested = with(OracleOptions { fields: Some(fields), ..options() }).await;
        assert_eq!(tested.outcome().server_version.as_deref(), Some(version), "{fields}");
    }
    let tested = with(OracleOptions { fields: Some(6), ..options() }).await;
    is_refused(&tested, Cause::ProtocolTooOld, StepName::SignIn, None);
}

#[tokio::test]
async fn a_certificate_is_looked_at_once_and_again() {
    let authority = Authority::new();
    for quirk in [None, Some(Quirk::Deaf)] {
        let identity = Some(authority.server(Shape::Good));
        let server = FakeOracle::start(OracleOptions { identity, quirk, ..options() });
        is_well(&at(server.port()).verified(&authority.pem()).test().await);
        let other = at(server.port()).verified(&Authority::new().pem()).test().await;
        is_refused(&other, Cause::CertificateUntrusted, StepName::Secure, Some("tls.ca"));
        // Whoever waits for TLS is not spoken to without it.
        is_refused(&at(server.port()).test().await, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
    }
    is_well(&with(OracleOptions { quirk: Some(Quirk::Deaf), ..options() }).await);
    let identity = Some(authority.server(Shape::WrongHost));
    let server = FakeOracle::start(OracleOptions { identity, ..options() });
    let tested = at(server.port()).verified(&authority.pem()).test().await;
    is_refused(&tested, Cause::CertificateWrongHost, StepName::Secure, Some("host"));
    let plain = FakeOracle::start(options());
    let tested = at(plain.port()).verified(&authority.pem()).test().await;
    let error = tested.error(PASSWORD);
    assert_eq!((error.code, tested.failed_step()), (Cause::TlsNotOffered, Some(StepName::Secure)), "{error:?}");
}

#[tokio::test]
async fn a_listener_that_sends_on_is_followed_once() {
    let authority = Authority::new();
    let end = FakeOracle::start(options());
    let to = |port: u16| FakeOracle::start(OracleOptions { redirects: Some(("127.0.0.1".to_owned(), port)), ..options() });
    let listener = to(end.port());
    is_well(&at(listener.port()).test().await);
    let tested = at(to(listener.port()).port()).test().await;
    assert_eq!(tested.error(PASSWORD).code, Cause::ServerError, "{tested:?}");
    // With TLS whoever is there is verified, too.
    let identity = |shape: Shape| Some(authority.server(shape));
    for (shape, cause) in [(Shape::Good, None), (Shape::WrongHost, Some(Cause::CertificateWrongHost))] {
        let end = FakeOracle::start(OracleOptions { identity: identity(shape), ..options() });
        let redirects = Some(("localhost".to_owned(), end.port()));
        let listener = FakeOracle::start(OracleOptions { identity: identity(Shape::Good), redirects, ..options() });
        let tested = at(listener.port()).verified(&authority.pem()).test().await;
        assert_eq!(tested.result.as_ref().err().map(|error| error.code), cause, "{tested:?}");
    }
    // From this machine nothing goes elsewhere in the clear.
    let away = Some(("169.254.169.254".to_owned(), 80));
    let tested = with(OracleOptions { redirects: away.clone(), ..options() }).await;
    is_refused(&tested, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("host"));
    // The rules for addresses hold there as well.
    let listener = FakeOracle::start(OracleOptions { identity: identity(Shape::Good), redirects: away, ..options() });
    let tested = at(listener.port()).verified(&authority.pem()).test().await;
    is_refused(&tested, Cause::AddressNotAllowed, StepName::SignIn, Some("host"));
}

#[tokio::test]
async fn each_refusal_has_its_cause() {
    for (number, cause, field) in [
        (12_514, Cause::DatabaseMissing, Some("database")),
        (12_505, Cause::DatabaseMissing, Some("extra.sid")),
        (12_516, Cause::TooManyConnections, None),
        (12_528, Cause::ServerStarting, None),
        (12_506, Cause::AddressNotPermitted, None),
        (12_537, Cause::ServerError, None),
    ] {
        let tested = with(OracleOptions { refuses: Some(number), ..options() }).await;
        is_refused(&tested, cause, StepName::SignIn, field);
    }
    for (number, cause, field) in [
        (1017, Cause::CredentialsRefused, Some("password")),
        (28_000, Cause::CredentialsRefused, Some("username")),
        (28_001, Cause::CredentialsRefused, Some("password")),
        (1045, Cause::NoRightToConnect, Some("username")),
        (1033, Cause::ServerStarting, None),
        (18, Cause::TooManyConnections, None),
        (604, Cause::ServerError, None),
    ] {
        let says = Some((number, format!("ORA-{number:05}: not for {PASSWORD}\nhelp")));
        let tested = with(OracleOptions { says, breaks_off: true, ..options() }).await;
        is_refused(&tested, cause, StepName::SignIn, field);
    }
    let says = Some((604, "ORA-00604: in a trigger".to_owned()));
    assert!(said(&with(OracleOptions { says, ..options() }).await).contains("in a trigger"));
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_not_green() {
    let tested = with(OracleOptions { quirk: Some(Quirk::Impostor), ..options() }).await;
    is_refused(&tested, Cause::InsecureAuthenticationRefused, StepName::SignIn, None);
    let tested = with(OracleOptions { quirk: Some(Quirk::OwnEncryption), ..options() }).await;
    is_refused(&tested, Cause::InvalidSettings, StepName::SignIn, None);
    let tested = with(OracleOptions { verifier: Some(0xb152), ..options() }).await;
    is_refused(&tested, Cause::ProtocolTooOld, StepName::SignIn, Some("username"));
    let tested = with(OracleOptions { rounds: Some(1), ..options() }).await;
    is_refused(&tested, Cause::InsecureAuthenticationRefused, StepName::SignIn, None);
    let tested = with(OracleOptions { rounds: Some(4_000_000_000), ..options() }).await;
    is_refused(&tested, Cause::ServerError, StepName::SignIn, None);
    assert!(tested.duration < Duration::from_secs(2), "{tested:?}");
}

#[tokio::test]
async fn a_password_that_ends_soon_is_told() {
    let tested = with(OracleOptions { days_left: Some(7), ..options() }).await;
    is_well(&tested);
    assert!(tested.learned.password_ends_at.is_some());
    assert!(with(options()).await.learned.password_ends_at.is_none());
}

#[tokio::test]
async fn a_name_is_no_part_of_a_descriptor() {
    let server = FakeOracle::start(options());
    for (field, name) in [("database", "x)(HOST=evil"), ("database", "a b"), ("extra.sid", "X=Y")] {
        let tested = at(server.port()).set(field, name).test().await;
        assert_eq!(tested.error(PASSWORD).field.as_deref(), Some(field), "{tested:?}");
    }
    let tested = at(server.port()).set("database", "").test().await;
    assert_eq!(tested.error(PASSWORD).code, Cause::InvalidSettings);
    // One of an instance is asked for as that.
    let tested = at(server.port()).set("database", "").set("extra.sid", "ORCL").test().await;
    assert!(server.has_heard("(SID=ORCL)") && tested.result.is_err(), "{tested:?}");
}

#[tokio::test]
async fn what_is_no_oracle_is_told_as_what_it_is() {
    let web = Scripted::start(|peer| {
        peer.receive::<4>()?;
        peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    });
    for (words, server) in [
        ("web server", web),
        ("SSH server", speaks_first(b"SSH-2.0-OpenSSH_9.2\r\n")),
        ("MySQL", speaks_first(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0ABCDEFGH\0\xff\xff\xff\x02\0\xff\xdf\x15")),
        ("Oracle", speaks_first(b"\0\0\0\0\0\0\0\0\0\0")),
    ] {
        for mode in ["disable", "require"] {
            let tested = at(server.port()).set("tls.mode", mode).test().await;
            let error = tested.error(PASSWORD);
            assert!(error.message.contains(words), "{words} {mode}: {error:?}");
        }
    }
    // An acceptance that is shorter than its own head.
    let tested = at(speaks_first(b"\0\x07\0\0\x02\0\0\0").port()).test().await;
    assert_eq!(tested.error(PASSWORD).code, Cause::NotThatDatabase, "{tested:?}");
}

/// None of what a server may go on with for ever is waited for.
#[tokio::test]
async fn what_has_no_end_is_given_up() {
    let accepted =
        b"\0\x2d\0\0\x02\0\0\0\x01\x3e\0\0\x20\0\x7f\xff\x01\0\0\0\0\x2d\x04\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0\0";
    let empty: &[u8] = b"\0\0\0\x0a\x06\0\0\0\0\0";
    let marker: &[u8] = b"\0\0\0\x0b\x0c\0\0\0\x01\0\x02";
    let resend: &[u8] = b"\0\x08\0\0\x0b\0\0\0";
    for (first, on) in [(&accepted[..], empty), (&accepted[..], marker), (b"", resend)] {
        let server = Scripted::start(move |peer: &mut Peer| {
            peer.send(first)?;
            loop {
                peer.send(on)?;
            }
        });
        let tested = at(server.port()).test().await;
        assert_eq!(tested.failed_step(), Some(StepName::SignIn), "{on:?}: {tested:?}");
        assert!(tested.duration < Duration::from_secs(5), "{tested:?}");
    }
    let silent = Scripted::start(Peer::listen);
    let tested = at(silent.port()).number("extra.connect_timeout", 1).test().await;
    assert_eq!(tested.error(PASSWORD).code, Cause::TimedOut, "{tested:?}");
    let skipped = tested.steps.iter().filter(|step| step.status == StepStatus::Skipped).count();
    assert!(skipped >= 2, "{tested:?}");
}

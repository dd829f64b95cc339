//! SQL Server, against a fake of ours.

use std::time::Duration;

use dataflow_model::{Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{PASSWORD, USER},
    fake_sql_server::{Answers, DATABASE, Encryption, Facts, FakeSqlServer, VERSION},
    scripted::Scripted,
    tls::{Authority, Shape},
};

use crate::common::{is_refused, said};

fn to(server: &FakeSqlServer) -> Connection {
    Connection::new("mssql", server.port()).user(USER, PASSWORD).set("extra.tls_start", "request")
}

fn refusing(number: u32, words: &str) -> FakeSqlServer {
    FakeSqlServer::answering(Encryption::NotSupported, Answers::Refusing(vec![(number, words.to_owned())]))
}

/// What a step said of itself.
fn detail(tested: &Tested, step: StepName) -> &str {
    tested.steps.iter().find(|one| one.step == step).and_then(|one| one.detail.as_deref()).unwrap_or_default()
}

#[tokio::test]
async fn a_login_signs_in_whenever_tls_begins_and_a_wrong_one_never() {
    let authority = Authority::new();
    let identity = || authority.server(Shape::Good);
    let (plain, offered) = (Encryption::NotSupported, Encryption::Offered(identity()));
    for (encryption, start, secured) in [
        (plain, "request", ""),
        (offered.clone(), "request", ""),
        (offered, "request", "TLS 1.2"),
        (Encryption::Required(identity()), "request", "TLS 1.2"),
        (Encryption::Strict(identity()), "at_once", "TLS 1.3"),
    ] {
        let server = FakeSqlServer::start(encryption.clone());
        let connection = || {
            let connection = to(&server).set("extra.tls_start", start);
            if secured.is_empty() { connection } else { connection.verified(&authority.pem()).set("extra.tls_start", start) }
        };
        for (database, opened) in [("", "master"), (DATABASE, DATABASE)] {
            let right = connection().set("database", database).test().await;
            let outcome = right.outcome();
            assert_eq!((outcome.status, outcome.server_version.as_deref()), (TestStatus::Ok, Some(VERSION)), "{encryption:?}");
            assert!(detail(&right, StepName::Secure).starts_with(secured), "{right:?}");
            assert_eq!(detail(&right, StepName::OpenDatabase), opened);
        }
        for wrong in ["another-password", &format!("{PASSWORD}x"), &PASSWORD.to_uppercase(), ""] {
            let wrong = connection().secret("password", wrong).test().await;
            is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        }
        let missing = connection().set("database", "nowhere").test().await;
        is_refused(&missing, Cause::NoRightToConnect, StepName::OpenDatabase, Some("database"));
        let signed_in = missing.steps.iter().find(|step| step.step == StepName::SignIn).expect("a step");
        assert_eq!(signed_in.status, StepStatus::Ok);
    }
}

#[tokio::test]
async fn a_password_is_kept_from_whoever_listens() {
    let authority = Authority::new();
    for (encryption, mode) in
        [(Encryption::NotSupported, "disable"), (Encryption::Required(authority.server(Shape::Good)), "require")]
    {
        let server = FakeSqlServer::start(encryption);
        let elsewhere = || to(&server).set("host", "127.1").set("tls.mode", mode);
        is_refused(&elsewhere().test().await, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("tls.mode"));
        assert!(!server.has_heard_password());
        let allowed = elsewhere().set("extra.insecure_auth", "password").test().await;
        assert_eq!(allowed.outcome().status, TestStatus::Ok, "{:?}", allowed.steps);
        assert!(server.has_heard_password());
    }
}

#[tokio::test]
async fn both_ends_have_to_agree_on_tls() {
    let authority = Authority::new();
    let identity = || authority.server(Shape::Good);
    let of = |encryption: Encryption, mode: &'static str, start: &'static str| {
        let (server, authority) = (FakeSqlServer::start(encryption), authority.pem());
        async move {
            let connection = to(&server).verified(&authority).set("extra.tls_start", start);
            let connection = connection.set("tls.mode", mode);
            let tested = if mode == "disable" { connection.set("host", "127.0.0.1") } else { connection }.test().await;
            assert!(!server.has_heard_password());
            tested
        }
    };
    let secure = StepName::Secure;
    let tested = of(Encryption::NotSupported, "verify-full", "request").await;
    is_refused(&tested, Cause::TlsNotOffered, secure, Some("tls.mode"));
    let tested = of(Encryption::Required(identity()), "disable", "request").await;
    is_refused(&tested, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
    let tested = of(Encryption::Required(identity()), "verify-full", "at_once").await;
    is_refused(&tested, Cause::TlsNotOffered, secure, Some("extra.tls_start"));
    let tested = of(Encryption::Strict(identity()), "verify-full", "request").await;
    is_refused(&tested, Cause::InvalidSettings, secure, Some("extra.tls_start"));
    let tested = of(Encryption::Strict(identity()), "disable", "request").await;
    is_refused(&tested, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
}

#[tokio::test]
async fn a_certificate_is_looked_at_inside_of_the_packets_too() {
    let authority = Authority::new();
    for (shape, cause, field) in [
        (Shape::WrongHost, Cause::CertificateWrongHost, Some("host")),
        (Shape::UnknownAuthority, Cause::CertificateUntrusted, Some("tls.ca")),
        (Shape::Expired, Cause::CertificateExpired, None),
    ] {
        for (encryption, start) in
            [(Encryption::Required(authority.server(shape)), "request"), (Encryption::Strict(authority.server(shape)), "at_once")]
        {
            let server = FakeSqlServer::start(encryption);
            let tested = to(&server).verified(&authority.pem()).set("extra.tls_start", start).test().await;
            is_refused(&tested, cause, StepName::Secure, field);
            assert!(!server.has_heard_password());
        }
    }
}

/// What a server says to PRELOGIN that has TLS.
const OFFER: &[u8] = b"\x04\x01\0\x1a\0\0\0\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x10\0\x10\x45\0\0\x01";

#[tokio::test]
async fn nothing_comes_between_the_offer_of_tls_and_its_handshake() {
    for (more, cause) in [(&b"\x04\x01\0\x15\0\0\0\0"[..], Cause::ServerError), (b"", Cause::ConnectionLost)] {
        let server = Scripted::start(move |peer| {
            peer.receive::<26>()?;
            peer.send(&[OFFER, more].concat())?;
            // Instead of a handshake.
            peer.receive::<8>()?;
            peer.send(b"\x04\x01\0\x15\0\0\0\0\xfd\0\0\0\0\0\0\0\0\0\0\0\0")?;
            peer.listen()
        });
        let connection = Connection::new("mssql", server.port()).user(USER, PASSWORD).set("extra.tls_start", "request");
        is_refused(&connection.set("tls.mode", "require").test().await, cause, StepName::Secure, None);
    }
}

#[tokio::test]
async fn each_refusal_has_its_cause() {
    let (sign_in, open) = (StepName::SignIn, StepName::OpenDatabase);
    for (number, cause, step, field) in [
        (18_456, Cause::CredentialsRefused, sign_in, Some("password")),
        (18_452, Cause::CredentialsRefused, sign_in, Some("username")),
        (18_470, Cause::CredentialsRefused, sign_in, Some("username")),
        (18_486, Cause::CredentialsRefused, sign_in, Some("username")),
        (18_487, Cause::CredentialsRefused, sign_in, Some("password")),
        (18_488, Cause::CredentialsRefused, sign_in, Some("password")),
        (4060, Cause::NoRightToConnect, open, Some("database")),
        (4064, Cause::NoRightToConnect, open, Some("database")),
        (40_532, Cause::DatabaseMissing, sign_in, Some("host")),
        (40_615, Cause::AddressNotPermitted, sign_in, None),
        (40_613, Cause::ServerStarting, sign_in, None),
        (18_401, Cause::ServerStarting, sign_in, None),
        (10_928, Cause::TooManyConnections, sign_in, None),
        (17_809, Cause::TooManyConnections, sign_in, None),
        (4, Cause::ServerError, sign_in, None),
    ] {
        let tested = to(&refusing(number, "No.")).test().await;
        let error = tested.error(PASSWORD);
        let told = (error.code, tested.failed_step(), error.field.as_deref());
        assert_eq!(told, (cause, Some(step), field), "{number}: {error:?}");
    }
    let words = "Client with IP address '203.0.113.7' is not allowed to access the server.";
    assert!(said(&to(&refusing(40_615, words)).test().await).contains("203.0.113.7"));
    // The reason is what comes beside the refusal that is always the same.
    let reasons = vec![(18_456, "Login failed.".to_owned()), (18_470, "Disabled.".to_owned())];
    let server = FakeSqlServer::answering(Encryption::NotSupported, Answers::Refusing(reasons));
    is_refused(&to(&server).test().await, Cause::CredentialsRefused, sign_in, Some("username"));
}

#[tokio::test]
async fn a_server_that_repeats_the_password_is_not_repeated() {
    let tested = to(&refusing(50_000, &format!("who says {PASSWORD} here?"))).test().await;
    assert!(said(&tested).contains("who says"), "{tested:?}");
    tested.error(PASSWORD);
}

/// A yes is one only if nothing speaks against it and the answer ends well.
#[tokio::test]
async fn a_yes_beside_an_error_is_none() {
    let plain = || Encryption::NotSupported;
    let server = FakeSqlServer::answering(plain(), Answers::ContradictingItself);
    is_refused(&to(&server).test().await, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
    for more in [
        &b""[..],
        // An end with an error, one that says that more comes, what is no token, and one that is cut off.
        b"\xfd\x02\0\0\0\0\0\0\0\0\0\0\0",
        b"\xfd\x01\0\0\0\0\0\0\0\0\0\0\0",
        b"\x00",
        b"\xfd\0\0",
        b"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\xe3\xff\xff",
    ] {
        let server = FakeSqlServer::answering(plain(), Answers::Then(more.to_vec()));
        let tested = to(&server).test().await;
        let error = tested.error(PASSWORD);
        assert_eq!((error.code, tested.failed_step()), (Cause::NotThatDatabase, Some(StepName::SignIn)), "{more:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_password_goes_along_to_the_same_place_only_and_once() {
    let authority = Authority::new();
    let required = || Encryption::Required(authority.server(Shape::Good));
    let routing = |host: &str, port: u16| FakeSqlServer::answering(required(), Answers::Routing(host.to_owned(), port));
    let verified = |server: &FakeSqlServer| to(server).verified(&authority.pem()).set("extra.tls_start", "request");
    let is_kept = |tested: &Tested| is_refused(tested, Cause::ServerError, StepName::SignIn, Some("host"));

    let end = FakeSqlServer::start(required());
    let tested = verified(&routing("localhost", end.port())).set("database", DATABASE).test().await;
    assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
    assert_eq!(detail(&tested, StepName::OpenDatabase), DATABASE);

    let elsewhere = FakeSqlServer::start(required());
    is_kept(&verified(&routing("127.0.0.1", elsewhere.port())).test().await);
    // Nor where the name is not verified.
    is_kept(&verified(&routing("localhost", elsewhere.port())).set("tls.mode", "verify-ca").test().await);
    is_kept(&verified(&routing("localhost", routing("localhost", elsewhere.port()).port())).test().await);
    assert!(!elsewhere.has_heard_password());

    // Whoever is there has to be verified, too.
    let other = FakeSqlServer::start(Encryption::Required(authority.server(Shape::WrongHost)));
    let tested = verified(&routing("localhost", other.port())).test().await;
    is_refused(&tested, Cause::CertificateWrongHost, StepName::SignIn, Some("host"));
    assert!(!other.has_heard_password());
    let plain = FakeSqlServer::start(Encryption::NotSupported);
    let tested = verified(&routing("localhost", plain.port())).test().await;
    is_refused(&tested, Cause::TlsNotOffered, StepName::SignIn, Some("tls.mode"));
}

#[tokio::test]
async fn what_the_login_may_do_is_learnt() {
    let learnt = async |numbers: [Option<i32>; 6]| {
        let server = FakeSqlServer::with(Encryption::NotSupported, Answers::Truly, Facts { numbers });
        let tested = to(&server).test().await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
        tested.learned
    };
    let reader = learnt([Some(0), Some(0), Some(1), Some(0), Some(0), Some(20_800)]).await;
    assert_eq!((reader.is_superuser, reader.privileges), (Some(false), vec!["reads all tables".to_owned()]));
    assert_eq!(reader.password_ends_at.as_deref(), Some("2026-12-13T00:00:00Z"));
    assert!(reader.connections.is_none());
    let administrator = learnt([Some(1), Some(1), Some(1), Some(1), Some(1), None]).await;
    assert_eq!((administrator.is_superuser, administrator.privileges.len()), (Some(true), 0));
    let connections = administrator.connections.expect("who sees all is told");
    assert_eq!((connections.open, connections.allowed), (12, 32_767));
    assert_eq!(administrator.password_ends_at, None);
    assert_eq!(learnt([None; 6]).await.is_superuser, None, "Azure says nothing");
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_when_the_connection_says_so() {
    let server = Scripted::start(dataflow_tests::scripted::Peer::listen);
    for mode in ["disable", "require"] {
        let connection = Connection::new("mssql", server.port()).user(USER, PASSWORD).set("tls.mode", mode);
        let tested = connection.set("extra.tls_start", "request").number("extra.connect_timeout", 1).test().await;
        assert_eq!(tested.error(PASSWORD).code, Cause::TimedOut, "{tested:?}");
        assert!(tested.duration < Duration::from_secs(4), "{tested:?}");
    }
}

#[tokio::test]
async fn an_old_server_is_told_as_one() {
    let server = Scripted::start(|peer| {
        peer.receive::<26>()?;
        peer.send(b"\x04\x01\0\x1a\0\0\0\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x08\0\x07\xf7\0\0\x02")?;
        peer.listen()
    });
    let connection = Connection::new("mssql", server.port()).user(USER, PASSWORD);
    is_refused(&connection.test().await, Cause::ProtocolTooOld, StepName::SignIn, None);
}

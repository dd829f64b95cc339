//! What has to be so for each of them.

use std::io;

use dataflow_model::{Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::PASSWORD,
    scripted::{Peer, Scripted},
    tls::{Authority, Identity},
    wires::{AT_ONCE, Doors, ON_REQUEST, PLAIN},
};

/// One service and whom it knows.
pub struct Known<'a> {
    pub connector: &'static str,
    pub server: &'a dyn Doors,
    pub user: &'a str,
    /// What it says that it is, without TLS, as far as that is known.
    pub says: &'a str,
    /// Its door without TLS begins TLS on request.
    pub begins_on_request: bool,
}

#[track_caller]
pub fn is_refused(tested: &Tested, cause: Cause, step: StepName, field: Option<&str>) {
    let error = tested.error(PASSWORD);
    assert_eq!((error.code, tested.failed_step(), error.field.as_deref()), (cause, Some(step), field), "{error:?}");
}

#[track_caller]
pub fn is_unproven(tested: &Tested) {
    assert_eq!(tested.outcome().status, TestStatus::Unproven, "{:?}", tested.steps);
}

/// Everything that a report says of a failure.
pub fn said(tested: &Tested) -> String {
    let error = tested.result.as_ref().expect_err("this test must fail");
    let details = tested.steps.iter().filter_map(|step| step.detail.as_deref());
    [error.message.as_str(), &error.hint].into_iter().chain(details).collect::<Vec<_>>().join("\n")
}

/// A line of the client's, without its end.
pub fn line(peer: &mut Peer) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match peer.receive::<1>()? {
            [b'\n'] => return Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            [byte] => line.push(byte),
        }
    }
}

/// Greets, and answers each line; where there is no answer, it only listens from then on.
pub fn converses(
    identity: Option<Identity>,
    greeting: &'static str,
    answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |peer| {
        if let Some(identity) = &identity {
            peer.begin_tls(identity)?;
        }
        peer.send(greeting.as_bytes())?;
        while let Some(words) = answer(&line(peer)?) {
            peer.send(words.as_bytes())?;
        }
        peer.listen()
    })
}

pub fn speaks_first(words: &'static [u8]) -> Scripted {
    Scripted::start(move |peer| {
        peer.send(words)?;
        peer.listen()
    })
}

impl Known<'_> {
    /// A connection through a door that looks at passwords, with the right one.
    pub fn through(&self, door: &str) -> Connection {
        let port = if self.server.has(door) { door } else { PLAIN };
        let connection = Connection::new(self.connector, self.server.port(port)).user(self.user, PASSWORD);
        match door {
            PLAIN => connection,
            AT_ONCE => connection.verified(self.server.authority()).set("extra.tls_start", "at_once"),
            _ => connection.verified(self.server.authority()).set("extra.tls_start", "request"),
        }
    }

    fn doors(&self) -> Vec<&'static str> {
        let is_there = |door: &&str| self.server.has(door) || (*door == ON_REQUEST && self.begins_on_request);
        [PLAIN, AT_ONCE, ON_REQUEST].into_iter().filter(is_there).collect()
    }

    pub async fn holds(&self) {
        self.signs_in().await;
        self.is_kept_from_whoever_listens().await;
        self.has_tls_where_it_should().await;
    }

    /// The right password is taken, and a wrong one refused.
    pub async fn signs_in(&self) {
        let doors = self.doors();
        assert!(doors.len() > 1, "a door without TLS and one with it");
        for door in doors {
            let right = self.through(door).test().await;
            assert_eq!(right.outcome().status, TestStatus::Ok, "{} {door}: {:?}", self.connector, right.steps);
            let secured = right.steps.iter().find(|step| step.step == StepName::Secure).expect("a step");
            if door == PLAIN {
                let version = right.outcome().server_version.as_deref().unwrap_or_default();
                assert!(version.starts_with(self.says), "{version}");
                assert_eq!(secured.status, StepStatus::Skipped);
            } else {
                assert!(secured.detail.as_deref().is_some_and(|detail| detail.starts_with("TLS 1.")), "{secured:?}");
                let other = self.through(door).set("tls.ca", &Authority::new().pem()).test().await;
                is_refused(&other, Cause::CertificateUntrusted, StepName::Secure, Some("tls.ca"));
            }
            for wrong in ["another-password", &format!("{PASSWORD}x"), ""] {
                let wrong = self.through(door).secret("password", wrong).test().await;
                is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
            }
        }
    }

    /// A password goes over no line that is not verified, but to this machine or where an admin allows it.
    async fn is_kept_from_whoever_listens(&self) {
        let elsewhere = || self.through(PLAIN).set("host", "127.1");
        let kept = elsewhere().test().await;
        is_refused(&kept, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("tls.mode"));
        let allowed = elsewhere().set("extra.insecure_auth", "password").test().await;
        assert_eq!(allowed.outcome().status, TestStatus::Ok, "{:?}", allowed.steps);
        for door in self.doors().into_iter().filter(|door| *door != PLAIN) {
            let unverified = self.through(door).set("host", "127.1").set("tls.mode", "require").test().await;
            is_refused(&unverified, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("tls.mode"));
        }
    }

    /// TLS where there is none, and none where there is TLS.
    pub async fn has_tls_where_it_should(&self) {
        let plain = self.through(PLAIN).verified(self.server.authority());
        let tested = plain.set("extra.tls_start", "at_once").test().await;
        let error = tested.error(PASSWORD);
        assert_eq!((error.code, tested.failed_step()), (Cause::TlsNotOffered, Some(StepName::Secure)), "{error:?}");
        if self.server.has(AT_ONCE) {
            let port = i64::from(self.server.port(AT_ONCE));
            let tested = self.through(PLAIN).number("port", port).test().await;
            is_refused(&tested, Cause::InvalidSettings, StepName::SignIn, Some("tls.mode"));
        }
    }
}

//! SSH, and files over it.

use dataflow_model::{Catalogue, Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{PASSWORD, USER},
    scripted::Scripted,
    wires::{self, ASYNCSSH, KEYS, OPEN, PLAIN, RSA},
};
use rcgen::KeyPair;

use crate::common::{is_refused, is_unproven};

const BOTH: [&str; 2] = ["ssh", "sftp"];
/// The public half of a key that no server here has.
const ANOTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPApGIAA9gkzmRUZqvWRnjarmvkGRfzRQ1LVod0TZfv8";
/// Likewise of other kinds, and one that has lost its end.
const ANOTHER_ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEieyXslP53XilS/cKH37/d25AvewZMUQrgEsvlG5jWW+6BzPbZiVt6xIKDGzi/BVd72Jb6FPZWyzVuYbz/Zz/M=";
const ANOTHER_RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDEHufrzxLI0kMJm+RlTlpwyPMx3z3+iUmHyfyST61acbW8Dixkg8mzcej5BJIFn3wxXGzHeays6eVytOl4ONmzjKuu+IFWR/QlcB+yI+V+vnS7/jxtcUvEGQhiHT4DLRwv7DMddH+eSe2s24vpiGEh8DNR2xfp4WDD9PTSmtlj15qWwnM08ajKtktDnXtqPwXGwh7rMWLb7qxZbAUNy06R57l4qMaFqQV0NpVcN5lghZtltMQxqshxJmeOoPClHbSQzO5netMe6J7k0qKaqxMhsxLU+vYXNjHdDnGkoQY/YxoJNMxr7y4mFp7xUOR059ORI1mtq7uvDJ0jxdu3Kf63";
const CUT: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGJTBKWW7VTwaNhOJVmjGi1vQZlp";

fn detail(tested: &Tested, step: StepName) -> &str {
    let step = tested.steps.iter().find(|told| told.step == step).expect("told");
    step.detail.as_deref().unwrap_or_default()
}

#[track_caller]
fn is_ok(tested: &Tested, says: &str) {
    assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
    assert!(tested.outcome().server_version.as_deref().is_some_and(|version| version.starts_with(says)), "{tested:?}");
    assert!(detail(tested, StepName::Secure).starts_with("SHA256:"));
}

#[tokio::test]
async fn ssh_and_sftp_look_at_passwords_and_keys() {
    let server = wires::asyncssh();
    let (host_key, user_key) = (server.file("host.pub"), server.file("user.key"));
    for connector in BOTH {
        let pinned = |door: &str| Connection::new(connector, server.port(door)).set("extra.host_key", host_key.trim());
        for door in [PLAIN, "asks"] {
            let right = pinned(door).user(USER, PASSWORD).test().await;
            is_ok(&right, "AsyncSSH 2.24");
            assert_eq!(detail(&right, StepName::Read).starts_with('/'), connector == "sftp", "{:?}", right.steps);
            for wrong in ["another-password", &format!("{PASSWORD}x"), ""] {
                let wrong = pinned(door).user(USER, wrong).test().await;
                is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
            }
        }
        is_unproven(&pinned(OPEN).user(USER, PASSWORD).test().await);
        let none = pinned(KEYS).user(USER, PASSWORD).test().await;
        is_refused(&none, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        assert!(none.error(PASSWORD).message.contains("offers publickey"), "{none:?}");
        let factors = pinned("factors").user(USER, PASSWORD).test().await;
        is_refused(&factors, Cause::ServerError, StepName::SignIn, None);

        let by_key = |key: &str| pinned(KEYS).set("username", USER).secret("extra.private_key", key);
        let right = by_key(&user_key).secret("extra.passphrase", PASSWORD).test().await;
        is_ok(&right, "AsyncSSH 2.24");
        for passphrase in ["another-passphrase", ""] {
            let wrong = by_key(&user_key).secret("extra.passphrase", passphrase).test().await;
            is_refused(&wrong, Cause::InvalidSettings, StepName::SignIn, Some("extra.passphrase"));
        }
        let another = KeyPair::generate().expect("a key can be made").serialize_pem();
        let wrong = by_key(&another).test().await;
        is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("extra.private_key"));
        let bent = by_key("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n").test().await;
        is_refused(&bent, Cause::InvalidSettings, StepName::SignIn, Some("extra.private_key"));
    }
}

#[tokio::test]
async fn a_server_is_who_its_host_key_says() {
    let server = wires::asyncssh();
    let host_key = server.file("host.pub");
    let line = host_key.trim();
    for connector in BOTH {
        let unknown = || Connection::new(connector, server.port(PLAIN)).user(USER, PASSWORD);
        // Nobody is signed in at a server of which it is not known who it is.
        let elsewhere = unknown().set("host", "127.1").test().await;
        is_unproven(&elsewhere);
        let sign_in = elsewhere.steps.iter().find(|step| step.step == StepName::SignIn).expect("told");
        assert_eq!(sign_in.status, StepStatus::Skipped);
        assert!(detail(&elsewhere, StepName::SignIn).contains("nothing was sent"));
        // What is shown is what is pasted.
        let shown = detail(&elsewhere, StepName::Secure);
        assert!(!shown.is_empty() && line.starts_with(shown), "{shown}");
        is_ok(&unknown().set("host", "127.1").set("extra.host_key", shown).test().await, "AsyncSSH");
        is_ok(&unknown().set("extra.host_key", &format!("[127.0.0.1]:22 {line} of the bastion")).test().await, "AsyncSSH");

        // To this machine, and where an admin allows it, a password goes; a “yes” is no proof.
        for allowed in [unknown(), unknown().set("host", "127.1").set("extra.insecure_auth", "password")] {
            let told = allowed.test().await;
            is_unproven(&told);
            assert!(detail(&told, StepName::SignIn).contains("anybody may have said yes"), "{:?}", told.steps);
            let wrong = allowed.secret("password", "another-password").test().await;
            is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        }

        for another in [ANOTHER, ANOTHER_ECDSA] {
            let other = unknown().set("extra.host_key", another).test().await;
            is_refused(&other, Cause::CertificateUntrusted, StepName::Secure, Some("extra.host_key"));
        }
        for bent in [CUT, ANOTHER_RSA, "bastion.example.org", "SHA256:RXQo+x8Fva0nycacyBWGdKsFLZNpn8XSS2O6dVLyw3o"] {
            let bent = unknown().set("extra.host_key", bent).test().await;
            is_refused(&bent, Cause::InvalidSettings, StepName::Resolve, Some("extra.host_key"));
        }
    }
}

#[tokio::test]
async fn openssh_lets_in_by_keys() {
    let (server, user) = wires::openssh();
    let (host_key, user_key) = (server.file("host.pub"), server.file("user.key"));
    for connector in BOTH {
        let pinned =
            || Connection::new(connector, server.port(KEYS)).set("extra.host_key", host_key.trim()).set("username", &user);
        let right = pinned().secret("extra.private_key", &user_key).secret("extra.passphrase", PASSWORD).test().await;
        is_ok(&right, "OpenSSH 9.2");
        assert_eq!(detail(&right, StepName::Read).starts_with('/'), connector == "sftp", "{:?}", right.steps);
        let another = KeyPair::generate().expect("a key can be made").serialize_pem();
        let wrong = pinned().secret("extra.private_key", &another).test().await;
        is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("extra.private_key"));
        let wrong = pinned().secret("password", PASSWORD).test().await;
        is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"));

        let old = || Connection::new(connector, server.port(RSA)).user(&user, PASSWORD);
        is_refused(&old().test().await, Cause::ProtocolTooOld, StepName::Secure, None);
        let old = old().set("extra.host_key", ANOTHER).test().await;
        is_refused(&old, Cause::CertificateUntrusted, StepName::Secure, Some("extra.host_key"));
    }
}

#[tokio::test]
async fn what_is_no_ssh_server_is_told_by_its_name() {
    for (words, said) in [
        ("web server", &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]),
        ("MySQL", b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0ABCDEFGH\0\xff\xff\xff\x02\0\xff\xdf\x15"),
        ("mail", b"220 mail.example.org ESMTP\r\n"),
        ("not SSH", b"hello\r\n"),
    ] {
        let server = Scripted::start(move |peer| peer.send(said));
        let tested = Connection::new("ssh", server.port()).user(USER, PASSWORD).set("extra.host_key", ANOTHER).test().await;
        is_refused(&tested, Cause::NotThatDatabase, StepName::Secure, Some("port"));
        assert!(tested.error(PASSWORD).message.contains(words), "{tested:?}");
        assert!(!server.has_heard(PASSWORD));
    }
    for said in [&b"SSH-1.5-old\r\n"[..], b"SSH-2.0-broken\r\nhello, who is there, and what is it that you want of me?\r\n"] {
        let server = Scripted::start(move |peer| peer.send(said));
        let tested = Connection::new("ssh", server.port()).user(USER, PASSWORD).test().await;
        assert_eq!(tested.failed_step(), Some(StepName::Secure), "{tested:?}");
        assert!(!server.has_heard(PASSWORD));
    }
    let silent = Scripted::start(dataflow_tests::scripted::Peer::listen);
    let connection = Connection::new("ssh", silent.port()).user(USER, PASSWORD).within(std::time::Duration::from_secs(1));
    is_refused(&connection.test().await, Cause::TimedOut, StepName::Secure, Some("port"));
}

#[test]
fn the_catalogue_names_the_version_that_was_tested() {
    let catalogue = Catalogue::built_in().expect("sound");
    for id in BOTH {
        let words = catalogue.get(id).expect("there").tested_words();
        let told = words.trim_end_matches('.').rsplit(' ').next().expect("a word");
        assert!(!words.contains("not against") && ASYNCSSH.starts_with(told), "{id}: “{words}”");
    }
}

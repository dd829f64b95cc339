//! Servers that speak PostgreSQL badly, or something else, without TLS.

use std::time::Duration;

use dataflow_connectors::child::{self, TestRequest};
use dataflow_model::{Cause, FieldValue, StepName, StepStatus, TestReport, TestStatus};
use libtest_mimic::Trial;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::{
    peer::{Heard, Peer, serve},
    run::{PLANTED, SHORT, assert_failed, fields, request, run, secrets, trial},
};

/// A message of the server.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[tag], length.as_slice(), body].concat()
}

/// An authentication message.
pub fn authentication(code: u32, body: &[u8]) -> Vec<u8> {
    message(b'R', &[code.to_be_bytes().as_slice(), body].concat())
}

/// An error message.
pub fn error(code: &str, text: &str, routine: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0R{routine}\0\0").as_bytes())
}

/// Without TLS, against a server that plays `script`.
async fn test<F, R>(script: F, more: &[(&str, &str)]) -> (TestReport, Heard)
where
    F: Fn(Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    test_within(child::DEADLINE, script, more).await
}

async fn test_within<F, R>(deadline: Duration, script: F, more: &[(&str, &str)]) -> (TestReport, Heard)
where
    F: Fn(Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (port, heard) = serve(script).await;
    let more = [&[("tls.mode", "disable")], more].concat();
    let asked = request("postgres", fields(port, &more), secrets(&[("password", PLANTED)]));
    (run(TestRequest { deadline, ..asked }).await, heard)
}

/// A server that answers the start-up message with `bytes` must give `cause`, and never hear the password.
fn answers(name: &str, bytes: Vec<u8>, cause: Cause, step: StepName, field: Option<&'static str>) -> Trial {
    trial(format!("postgres_{name}"), async move {
        let script = move |mut peer: Peer| {
            let bytes = bytes.clone();
            async move {
                peer.hear().await;
                peer.say(&bytes).await;
                peer.hear_all().await;
            }
        };
        let (report, heard) = test(script, &[("extra.timezone", "Mars/Olympus")]).await;
        assert_failed(&report, cause, step, field);
        assert!(heard.contains("analytics") && !heard.contains(PLANTED));
    })
}

/// A service that speaks first.
fn greets(name: &str, bytes: &'static [u8]) -> [Trial; 2] {
    [("verify-full", StepName::Secure), ("disable", StepName::SignIn)].map(|(mode, step)| {
        trial(format!("postgres_{name}_{mode}"), async move {
            let script = move |mut peer: Peer| async move {
                peer.say(bytes).await;
                peer.hear_all().await;
            };
            let (report, heard) = test(script, &[("tls.mode", mode)]).await;
            assert_failed(&report, Cause::NotThatDatabase, step, Some("port"));
            let shown = serde_json::to_string(&report).expect("JSON");
            assert!(!shown.contains("OpenSSH") && !shown.contains("nginx") && !shown.contains("8.0.36"), "{shown}");
            assert!(!heard.contains(PLANTED));
        })
    })
}

fn answering_trials() -> Vec<Trial> {
    use Cause as C;
    use StepName::{OpenDatabase, SignIn};
    let after_sign_in = |bytes: Vec<u8>| [authentication(0, &[]), bytes].concat();
    let no_entry = "no pg_hba.conf entry for host \"127.0.0.1\", user \"analytics\", database \"sales\", no encryption";
    vec![
        answers("http_answer", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), C::NotThatDatabase, SignIn, Some("port")),
        answers("oversized_first_frame", b"R\x7f\xff\xff\xff".to_vec(), C::NotThatDatabase, SignIn, Some("port")),
        answers("frame_shorter_than_its_length", b"R\0\0\0\x01".to_vec(), C::NotThatDatabase, SignIn, Some("port")),
        answers("clear_text_request", authentication(3, &[]), C::InsecureAuthenticationRefused, SignIn, Some("tls.mode")),
        answers("md5_request", authentication(5, b"salt"), C::InsecureAuthenticationRefused, SignIn, Some("tls.mode")),
        answers("gssapi_request", authentication(7, &[]), C::ServerError, SignIn, None),
        answers("unknown_sasl", authentication(10, b"PLAIN\0\0"), C::ServerError, SignIn, None),
        answers("wrong_password", error("28P01", "nein", "auth_failed"), C::CredentialsRefused, SignIn, Some("password")),
        answers("role_missing", error("28000", "role", "Initialize"), C::CredentialsRefused, SignIn, Some("username")),
        answers(
            "no_hba_entry",
            error("28000", no_entry, "ClientAuthentication"),
            C::AddressNotPermitted,
            SignIn,
            Some("tls.mode"),
        ),
        answers(
            "no_hba_entry_in_german",
            error("28000", "kein", "ClientAuthentication"),
            C::AddressNotPermitted,
            SignIn,
            Some("tls.mode"),
        ),
        answers("starting", error("57P03", "the database system is starting up", ""), C::ServerStarting, SignIn, None),
        answers("too_many", error("53300", "sorry, too many clients already", ""), C::TooManyConnections, SignIn, None),
        answers("protocol_refused", error("0A000", "unsupported frontend protocol", ""), C::ProtocolTooOld, SignIn, None),
        answers("protocol_2", b"EFATAL:  unsupported frontend protocol\n\0".to_vec(), C::ProtocolTooOld, SignIn, None),
        answers(
            "client_certificate",
            error("28000", "connection requires a valid client certificate", ""),
            C::ClientCertificateRefused,
            SignIn,
            Some("tls.cert"),
        ),
        answers("database_missing", after_sign_in(error("3D000", "", "")), C::DatabaseMissing, OpenDatabase, Some("database")),
        answers("no_right", after_sign_in(error("42501", "", "")), C::NoRightToConnect, OpenDatabase, Some("username")),
        answers(
            "role_limit",
            after_sign_in(error("53300", "too many connections for role", "")),
            C::TooManyConnections,
            OpenDatabase,
            None,
        ),
        answers(
            "wrong_setting",
            after_sign_in(error("22023", "invalid value for parameter \"TimeZone\"", "")),
            C::InvalidSettings,
            OpenDatabase,
            Some("extra.timezone"),
        ),
        answers(
            "pgbouncer_database",
            error("08P01", "no such database: sales", ""),
            C::DatabaseMissing,
            SignIn,
            Some("database"),
        ),
        answers("oversized_later_frame", after_sign_in(b"S\x40\0\0\0".to_vec()), C::ServerError, OpenDatabase, None),
        answers("nonsense_after_sign_in", after_sign_in(message(b'G', &[])), C::NotThatDatabase, OpenDatabase, Some("port")),
    ]
}

fn hanging_trials() -> Vec<Trial> {
    vec![
        trial("postgres_silent_after_connecting", async {
            let silent = |mut peer: Peer| async move { peer.hear_all().await };
            let (report, _) = test_within(SHORT, silent, &[]).await;
            assert_failed(&report, Cause::TimedOut, StepName::SignIn, Some("port"));
            let (report, heard) = test_within(SHORT, silent, &[("tls.mode", "verify-full")]).await;
            assert_failed(&report, Cause::TimedOut, StepName::Secure, Some("port"));
            assert!(!heard.contains("analytics"), "not even the name goes out before TLS");
        }),
        trial("postgres_slow_trickle", async {
            let script = |mut peer: Peer| async move {
                for byte in authentication(0, &[0; 9000]) {
                    peer.say(&[byte]).await;
                    sleep(Duration::from_millis(20)).await;
                }
            };
            assert_failed(&test_within(SHORT, script, &[]).await.0, Cause::TimedOut, StepName::SignIn, Some("port"));
        }),
        trial("postgres_flood_of_notices", async {
            let script = |mut peer: Peer| async move {
                let notices = message(b'N', &b"x".repeat(20_000)).repeat(16);
                while peer.stream.write_all(&notices).await.is_ok() {}
            };
            assert_failed(&test_within(SHORT, script, &[]).await.0, Cause::TimedOut, StepName::SignIn, Some("port"));
        }),
        trial("postgres_closed_at_once", async {
            let (report, _) = test(|peer: Peer| async move { drop(peer) }, &[]).await;
            assert_failed(&report, Cause::ConnectionLost, StepName::SignIn, None);
            let (report, _) = test(|peer: Peer| async move { drop(peer) }, &[("tls.mode", "require")]).await;
            assert_failed(&report, Cause::ConnectionLost, StepName::Secure, None);
        }),
        trial("postgres_own_connect_timeout_is_for_connecting_alone", async {
            // A row that takes its time is none of its business: the work would wait for it, too.
            let script = |mut peer: Peer| async move {
                peer.hear().await;
                peer.say(&[authentication(0, &[]), message(b'Z', b"I")].concat()).await;
                peer.hear().await;
                sleep(Duration::from_secs(2)).await;
                peer.say(&[message(b'T', &[0, 0]), message(b'D', &[0, 0]), message(b'Z', b"I")].concat()).await;
                peer.hear_all().await;
            };
            let (port, _) = serve(script).await;
            let mut public = fields(port, &[("tls.mode", "disable")]);
            public.0.insert("extra.connect_timeout".into(), FieldValue::Integer(1));
            assert_eq!(run(request("postgres", public, secrets(&[]))).await.status, TestStatus::Ok);
        }),
        trial("postgres_own_connect_timeout", async {
            let (port, _) = serve(|mut peer: Peer| async move { peer.hear_all().await }).await;
            let mut public = fields(port, &[("tls.mode", "disable")]);
            public.0.insert("extra.connect_timeout".into(), FieldValue::Integer(1));
            let asked = request("postgres", public, secrets(&[]));
            let report = run(TestRequest { deadline: Duration::from_secs(30), ..asked }).await;
            assert_failed(&report, Cause::TimedOut, StepName::SignIn, Some("extra.connect_timeout"));
            assert!(report.duration_ms < 20_000.0, "well before the deadline: {report:?}");
        }),
    ]
}

/// The server's first SCRAM message to a client that sent `heard`, asking for `rounds`.
fn scram_first(heard: &[u8], rounds: u64) -> Vec<u8> {
    let text = String::from_utf8_lossy(heard);
    let nonce = text.split_once("r=").unwrap_or_default().1;
    authentication(11, format!("r={nonce}server,s=c2FsdHNhbHQ=,i={rounds}").as_bytes())
}

fn scram_trials() -> Vec<Trial> {
    let cases = [
        ("bomb", 20_000_000, None, Cause::ServerError),
        ("one_round_too_many", 100_001, None, Cause::ServerError),
        ("number_too_long", u64::MAX, None, Cause::ServerError),
        // Let in without the proof that the server knows the password.
        ("proof_left_out", 4096, Some(authentication(0, &[])), Cause::InsecureAuthenticationRefused),
        ("proof_wrong", 4096, Some(authentication(12, b"v=AAAA")), Cause::InsecureAuthenticationRefused),
        ("password_wrong", 4096, Some(error("28P01", "", "auth_failed")), Cause::CredentialsRefused),
    ];
    cases
        .map(|(name, rounds, last, cause)| {
            trial(format!("postgres_scram_{name}"), async move {
                let script = move |mut peer: Peer| {
                    let last = last.clone();
                    async move {
                        peer.hear().await;
                        peer.say(&authentication(10, b"SCRAM-SHA-256\0\0")).await;
                        let first = scram_first(&peer.hear().await, rounds);
                        peer.say(&first).await;
                        peer.hear().await;
                        peer.say(&last.unwrap_or_default()).await;
                        peer.hear_all().await;
                    }
                };
                let (report, heard) = test(script, &[]).await;
                let field = (cause == Cause::CredentialsRefused).then_some("password");
                assert_failed(&report, cause, StepName::SignIn, field);
                assert!(report.duration_ms < 9_000.0, "20 million rounds take longer: {report:?}");
                assert!(!heard.contains(PLANTED));
            })
        })
        .into()
}

/// The rest of an honest conversation, once signed in.
async fn be_open(peer: &mut Peer) {
    let ready = message(b'Z', b"I");
    let status = message(b'S', b"server_version\x0015.18 (Debian 15.18-0)\0");
    peer.say(&[authentication(0, &[]), status, message(b'K', &[0; 8]), ready.clone()].concat()).await;
    peer.hear().await;
    peer.say(&[message(b'T', &[0, 0]), message(b'D', &[0, 0]), message(b'C', b"SELECT 1\0"), ready].concat()).await;
    peer.hear_all().await;
}

fn signing_in_trials() -> Vec<Trial> {
    vec![
        trial("postgres_that_asks_for_no_password_is_unproven", async {
            let script = |mut peer: Peer| async move {
                peer.hear().await;
                be_open(&mut peer).await;
            };
            let (report, heard) = test(script, &[]).await;
            assert_eq!((report.status, report.server_version.as_deref()), (TestStatus::Unproven, Some("PostgreSQL 15.18")));
            assert!(report.error.is_none() && !heard.contains(PLANTED));
            assert_eq!(report.steps.iter().filter(|step| step.status == StepStatus::Ok).count(), 5);

            let (port, _) = serve(script).await;
            let report = run(request("postgres", fields(port, &[("tls.mode", "disable")]), secrets(&[]))).await;
            assert_eq!(report.status, TestStatus::Ok, "there is no password to prove");
        }),
        trial("postgres_that_refuses_to_read", async {
            for answer in [error("57014", "canceling statement due to statement timeout", ""), message(b'Z', b"I")] {
                let script = move |mut peer: Peer| {
                    let answer = answer.clone();
                    async move {
                        peer.hear().await;
                        peer.say(&[authentication(0, &[]), message(b'Z', b"I")].concat()).await;
                        peer.hear().await;
                        peer.say(&answer).await;
                        peer.hear_all().await;
                    }
                };
                assert_failed(&test(script, &[]).await.0, Cause::ReadRefused, StepName::Read, None);
            }
        }),
        trial("postgres_password_in_clear_goes_out_only_by_leave", async {
            let script = |mut peer: Peer| async move {
                peer.hear().await;
                peer.say(&authentication(3, &[])).await;
                peer.hear().await;
                be_open(&mut peer).await;
            };
            let (report, heard) = test(script, &[("extra.insecure_auth", "md5")]).await;
            assert_failed(&report, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("tls.mode"));
            assert!(!heard.contains(PLANTED), "leave for MD5 is none for clear text");
            let (report, heard) = test(script, &[("extra.insecure_auth", "password")]).await;
            assert_eq!(report.status, TestStatus::Ok);
            assert!(heard.contains(PLANTED), "this is what all others must not hear");
        }),
        trial("postgres_md5_goes_out_only_by_leave", async {
            let script = |mut peer: Peer| async move {
                peer.hear().await;
                peer.say(&authentication(5, b"salt")).await;
                peer.hear().await;
                be_open(&mut peer).await;
            };
            let (report, heard) = test(script, &[("extra.insecure_auth", "md5")]).await;
            assert_eq!(report.status, TestStatus::Ok);
            assert!(heard.contains("md5") && !heard.contains(PLANTED));
        }),
        trial("postgres_that_repeats_the_password_is_scrubbed", async {
            let script = |mut peer: Peer| async move {
                peer.hear().await;
                peer.say(&authentication(3, &[])).await;
                peer.hear().await;
                peer.say(&error("XX000", &format!("wrong: {PLANTED} \u{1b}[31m"), "")).await;
                peer.hear_all().await;
            };
            let (report, _) = test(script, &[("extra.insecure_auth", "password")]).await;
            assert_failed(&report, Cause::ServerError, StepName::SignIn, None);
            let message = &report.error.as_ref().expect("failed").message;
            assert!(message.contains("wrong: (withheld)") && !message.contains('\u{1b}'), "{message}");
        }),
        trial("postgres_that_asks_for_a_password_that_is_not_set", async {
            let (port, _) = serve(|mut peer: Peer| async move {
                peer.hear().await;
                peer.say(&authentication(10, b"SCRAM-SHA-256\0\0")).await;
                peer.hear_all().await;
            })
            .await;
            let report = run(request("postgres", fields(port, &[("tls.mode", "disable")]), secrets(&[]))).await;
            assert_failed(&report, Cause::CredentialsRefused, StepName::SignIn, Some("password"));
        }),
    ]
}

pub fn trials() -> Vec<Trial> {
    let mut trials = answering_trials();
    trials.extend(greets("ssh_banner", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"));
    trials.extend(greets("http_banner", b"HTTP/1.0 408 Timeout\r\nServer: nginx\r\n\r\n"));
    trials.extend(greets("mysql_greeting", b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xf7"));
    trials.extend(greets("mysql_greeting_that_begins_like_an_answer", b"\x53\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xf7"));
    trials.extend(hanging_trials());
    trials.extend(scram_trials());
    trials.extend(signing_in_trials());
    trials
}

//! TLS: certificates of every shape in every mode, and servers that do it wrong.

use std::{sync::Arc, time::Duration};

use dataflow_connectors::child::{self, TestRequest};
use dataflow_model::{Cause, SecretFields, StepName, TestReport};
use libtest_mimic::Trial;
use rustls::{
    RootCertStore, ServerConfig,
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    certificates::{
        Authority, Identity, as_authority, common_name_only, expired, for_clients, not_yet_valid, self_signed, server,
    },
    peer::{Heard, Peer, Tap, serve},
    postgres::{authentication, error},
    run::{PLANTED, SHORT, assert_failed, fields, request, run, secrets, trial},
};

const MODES: [&str; 3] = ["verify-full", "verify-ca", "require"];

/// The server's side of TLS with `identity`; it asks for a certificate of `client_ca` if there is one.
pub fn acceptor(identity: &Identity, client_ca: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().expect("versions");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).expect("a root");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = provider.key_provider.load_private_key(identity.private_key()).expect("a key");
    // Unchecked: rustls reads no certificate of version 1.
    let certified = SingleCertAndKey::from(CertifiedKey::new(identity.chain.clone(), key));
    let config = builder.with_cert_resolver(Arc::new(certified));
    TlsAcceptor::from(Arc::new(config))
}

/// A PostgreSQL that takes TLS up with `identity`, and then answers the start-up message with `answer`.
async fn secure_server(identity: &Identity, client_ca: Option<&Authority>, answer: Vec<u8>) -> (u16, Heard) {
    let acceptor = acceptor(identity, client_ca);
    serve(move |mut peer: Peer| {
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        async move {
            peer.hear().await;
            peer.say(b"S").await;
            let heard = peer.heard.clone();
            if let Ok(stream) = acceptor.accept(Tap(peer.stream, heard.clone())).await {
                let mut inside = Peer { stream, heard };
                inside.hear().await;
                inside.say(&answer).await;
                inside.hear_all().await;
            }
        }
    })
    .await
}

/// An answer that shows that TLS was set up.
fn starting() -> Vec<u8> {
    error("57P03", "the database system is starting up", "")
}

async fn test(port: u16, more: &[(&str, &str)], secrets: SecretFields) -> TestReport {
    test_within(child::DEADLINE, port, more, secrets).await
}

async fn test_within(deadline: Duration, port: u16, more: &[(&str, &str)], secrets: SecretFields) -> TestReport {
    let more = [&[("host", "localhost")], more].concat();
    let asked = request("postgres", fields(port, &more), secrets);
    run(TestRequest { deadline, ..asked }).await
}

/// One shape of certificate: what each of the three modes says, where `None` is that TLS is set up.
fn shape(name: &'static str, make: fn() -> (Identity, String), host: &'static str, verdicts: [Option<Cause>; 3]) -> Trial {
    trial(format!("certificate_{name}"), async move {
        let (identity, ca) = make();
        let (port, heard) = secure_server(&identity, None, starting()).await;
        for (mode, verdict) in MODES.into_iter().zip(verdicts) {
            let report =
                test(port, &[("tls.mode", mode), ("tls.ca", &ca), ("host", host)], secrets(&[("password", PLANTED)])).await;
            let Some(cause) = verdict else {
                assert_failed(&report, Cause::ServerStarting, StepName::SignIn, None);
                continue;
            };
            let field = match cause {
                Cause::CertificateUntrusted => Some("tls.ca"),
                Cause::CertificateWrongHost => Some("host"),
                _ => None,
            };
            assert_failed(&report, cause, StepName::Secure, field);
            let shown = report.error.expect("failed").certificates;
            assert_eq!(shown.len(), identity.chain.len(), "the chain is shown");
            let leaf = shown.first().expect("a leaf");
            assert_eq!(leaf.pem.replace(['\r', '\n'], ""), identity.pem.replace(['\r', '\n'], ""));
            assert_eq!(leaf.fingerprint.len(), 95);
            assert!(leaf.not_after.ends_with('Z') && leaf.subject.starts_with("CN="));
        }
        assert!(!heard.contains(PLANTED));
    })
}

const UNTRUSTED: Option<Cause> = Some(Cause::CertificateUntrusted);
const WRONG_HOST: Option<Cause> = Some(Cause::CertificateWrongHost);
const EXPIRED: Option<Cause> = Some(Cause::CertificateExpired);

fn issued(params: &rcgen::CertificateParams) -> (Identity, String) {
    let root = Authority::root("a root");
    (root.issue(params), root.pem())
}
fn issued_version_1(params: &rcgen::CertificateParams) -> (Identity, String) {
    let root = Authority::root("a root");
    (root.issue_version_1(params), root.pem())
}
fn pinned(params: &rcgen::CertificateParams) -> (Identity, String) {
    let identity = self_signed(params);
    let pem = identity.pem.clone();
    (identity, pem)
}
/// Root, intermediate, and a leaf that the intermediate signed.
fn tower() -> (Authority, Authority, Identity) {
    let root = Authority::root("a root");
    let middle = root.intermediate("an intermediate");
    let leaf = middle.issue(&server(&["localhost"]));
    (root, middle, leaf)
}

/// Certificates that end at once in a root, or in themselves.
fn shape_trials() -> Vec<Trial> {
    vec![
        shape("issued", || issued(&server(&["localhost"])), "localhost", [None; 3]),
        shape("issued_for_an_address", || issued(&server(&["127.0.0.1"])), "127.0.0.1", [None; 3]),
        shape("issued_for_another_address", || issued(&server(&["127.0.0.2"])), "127.0.0.1", [WRONG_HOST, None, None]),
        shape("issued_for_another_host", || issued(&server(&["db.example.org"])), "localhost", [WRONG_HOST, None, None]),
        shape("issued_with_common_name", || issued(&common_name_only("localhost")), "localhost", [None; 3]),
        shape("issued_with_another_common_name", || issued(&common_name_only("db")), "localhost", [WRONG_HOST, None, None]),
        shape("expired", || issued(&expired(server(&["localhost"]))), "localhost", [EXPIRED, EXPIRED, None]),
        shape("not_yet_valid", || issued(&not_yet_valid(server(&["localhost"]))), "localhost", [EXPIRED, EXPIRED, None]),
        shape("for_clients_only", || issued(&for_clients(server(&["localhost"]))), "localhost", [UNTRUSTED, UNTRUSTED, None]),
        shape("issued_and_calls_itself_an_authority", || issued(&as_authority(server(&["localhost"]))), "localhost", [None; 3]),
        shape("version_1", || issued_version_1(&common_name_only("localhost")), "localhost", [None; 3]),
        shape("version_1_for_another_host", || issued_version_1(&common_name_only("db")), "localhost", [WRONG_HOST, None, None]),
        shape(
            "version_1_expired",
            || issued_version_1(&expired(common_name_only("localhost"))),
            "localhost",
            [EXPIRED, EXPIRED, None],
        ),
        shape(
            "version_1_by_another_authority",
            || (issued_version_1(&common_name_only("localhost")).0, Authority::root("a root").pem()),
            "localhost",
            [UNTRUSTED, UNTRUSTED, None],
        ),
    ]
}

/// Chains, and authorities that may not sign.
fn chain_trials() -> Vec<Trial> {
    vec![
        shape(
            "issued_by_an_authority_that_expired",
            || {
                let root = Authority::expired_root("a root");
                (root.issue(&server(&["localhost"])), root.pem())
            },
            "localhost",
            [EXPIRED, EXPIRED, None],
        ),
        shape(
            "issued_by_another_authority_of_the_same_name",
            || (issued(&server(&["localhost"])).0, Authority::root("a root").pem()),
            "localhost",
            [UNTRUSTED, UNTRUSTED, None],
        ),
        shape("self_signed", || (self_signed(&server(&["localhost"])), String::new()), "localhost", [UNTRUSTED, UNTRUSTED, None]),
        shape("self_signed_and_pinned", || pinned(&server(&["localhost"])), "localhost", [None; 3]),
        shape("self_signed_authority_and_pinned", || pinned(&as_authority(server(&["localhost"]))), "localhost", [None; 3]),
        shape("self_signed_pinned_other_host", || pinned(&server(&["db"])), "localhost", [WRONG_HOST, None, None]),
        shape("self_signed_pinned_expired", || pinned(&expired(server(&["localhost"]))), "localhost", [EXPIRED, EXPIRED, None]),
        shape(
            "issued_and_the_leaf_pinned",
            || {
                let identity = issued(&server(&["localhost"])).0;
                let pem = identity.pem.clone();
                (identity, pem)
            },
            "localhost",
            [UNTRUSTED, UNTRUSTED, None],
        ),
        shape(
            "intermediate_sent",
            || {
                let (root, middle, mut leaf) = tower();
                leaf.chain.push(middle.der());
                (leaf, root.pem())
            },
            "localhost",
            [None; 3],
        ),
        shape(
            "intermediate_not_sent",
            || {
                let (root, _, leaf) = tower();
                (leaf, root.pem())
            },
            "localhost",
            [UNTRUSTED, UNTRUSTED, None],
        ),
        shape(
            "intermediate_pasted_beside_its_root",
            || {
                let (root, middle, leaf) = tower();
                (leaf, root.pem() + &middle.pem())
            },
            "localhost",
            [None; 3],
        ),
        shape(
            "intermediate_pasted_alone",
            || {
                let (_, middle, leaf) = tower();
                (leaf, middle.pem())
            },
            "localhost",
            [UNTRUSTED, UNTRUSTED, None],
        ),
    ]
}

fn client_certificate_trials() -> Vec<Trial> {
    vec![trial("client_certificate", async {
        let (root, clients) = (Authority::root("a root"), Authority::root("clients"));
        let identity = root.issue(&server(&["localhost"]));
        let (port, heard) = secure_server(&identity, Some(&clients), starting()).await;
        let ca = root.pem();

        let report = test(port, &[("tls.ca", &ca)], secrets(&[])).await;
        let step = report.steps.iter().find(|step| step.duration_ms.is_some() && step.detail.is_none()).expect("one failed").step;
        assert_failed(&report, Cause::ClientCertificateRefused, step, Some("tls.cert"));

        let good = clients.issue(&for_clients(server(&[])));
        let bad = Authority::root("others").issue(&for_clients(server(&[])));
        for (one, cause, field) in
            [(&good, Cause::ServerStarting, None), (&bad, Cause::ClientCertificateRefused, Some("tls.cert"))]
        {
            let key = one.key.serialize_pem();
            let report = test(port, &[("tls.ca", &ca), ("tls.cert", &one.pem)], secrets(&[("tls.key", &key)])).await;
            assert_failed(&report, cause, StepName::SignIn, field);
        }

        let report = test(port, &[("tls.ca", &ca), ("tls.cert", &good.pem)], secrets(&[])).await;
        assert_failed(&report, Cause::InvalidSettings, StepName::Secure, Some("tls.key"));
        let other = bad.key.serialize_pem();
        let report = test(port, &[("tls.ca", &ca), ("tls.cert", &good.pem)], secrets(&[("tls.key", &other)])).await;
        assert_failed(&report, Cause::InvalidSettings, StepName::Secure, Some("tls.key"));
        let report = test(port, &[("tls.ca", "not a certificate")], secrets(&[])).await;
        assert_failed(&report, Cause::InvalidSettings, StepName::Secure, Some("tls.ca"));
        assert!(!heard.is_empty());
    })]
}

/// A server that answers the request for TLS with `bytes`.
fn answers(name: &str, bytes: &'static [u8], cause: Cause, field: Option<&'static str>) -> Trial {
    trial(format!("tls_{name}"), async move {
        for mode in MODES {
            let (port, heard) = serve(move |mut peer: Peer| async move {
                peer.hear().await;
                peer.say(bytes).await;
                peer.hear_all().await;
            })
            .await;
            let report = test(port, &[("tls.mode", mode)], secrets(&[("password", PLANTED)])).await;
            assert_failed(&report, cause, StepName::Secure, field);
            assert!(!heard.contains("analytics") && !heard.contains(PLANTED), "nothing goes out without TLS");
        }
    })
}

fn sign_in_trials() -> Vec<Trial> {
    let bound = trial("tls_binds_scram_to_the_channel", async {
        let identity = self_signed(&server(&["localhost"]));
        for (offer, said) in [
            ("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", ["SCRAM-SHA-256-PLUS\0", "p=tls-server-end-point,,n=,r="]),
            // We could bind, and say so: a server that had offered it would now know that somebody took the offer away.
            ("SCRAM-SHA-256\0\0", ["SCRAM-SHA-256\0", "y,,n=,r="]),
        ] {
            let (port, heard) = secure_server(&identity, None, authentication(10, offer.as_bytes())).await;
            let more = [("tls.ca", identity.pem.as_str())];
            test(port, &more, secrets(&[("password", PLANTED)])).await;
            assert!(said.iter().all(|part| heard.contains(part)), "{offer}");
        }
    });
    let clear = trial("tls_password_in_clear_goes_out_only_to_a_verified_server", async {
        let identity = self_signed(&server(&["localhost"]));
        for answer in [authentication(3, &[]), authentication(5, b"salt")] {
            let (port, _) = secure_server(&identity, None, answer.clone()).await;
            let report = test(port, &[("tls.mode", "require")], secrets(&[("password", PLANTED)])).await;
            assert_failed(&report, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("tls.mode"));
            for mode in ["verify-ca", "verify-full"] {
                let more = [("tls.mode", mode), ("tls.ca", identity.pem.as_str())];
                // The scripted server says nothing more: the answer went out, and the time passed.
                let report = test_within(SHORT, port, &more, secrets(&[("password", PLANTED)])).await;
                assert_failed(&report, Cause::TimedOut, StepName::SignIn, Some("port"));
            }
        }
    });
    vec![bound, clear]
}

pub fn trials() -> Vec<Trial> {
    let mut trials = shape_trials();
    trials.extend(chain_trials());
    trials.extend(client_certificate_trials());
    trials.extend(sign_in_trials());
    trials.push(answers("refused", b"N", Cause::TlsNotOffered, Some("tls.mode")));
    trials.push(answers("error_before_tls", b"E\0\0\0\x10SFATAL\0\0", Cause::TlsNotOffered, Some("tls.mode")));
    trials.push(answers("protocol_2_error", b"EFATAL: unsupported", Cause::ProtocolTooOld, None));
    trials.push(answers("early_bytes", b"SE\0\0\0\x08early", Cause::ServerError, None));
    trials.push(answers("early_bytes_after_a_refusal", b"NR\0\0\0\x08\0\0\0\0", Cause::NotThatDatabase, Some("port")));
    trials.push(answers("error_of_another_service", b"ERROR\r\n", Cause::NotThatDatabase, Some("port")));
    trials
}

//! TLS at the accept loop: the handshake, its deadline, and certificates that change under a running server.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::fixture::{GET, Running, ended_within, millis, receive, until};
use super::{SOON, limits, with};
use crate::listen::{Limits, ListenConfig, ListenError, Tls, TlsFiles};

/// A folder with `cert.pem` and `key.pem`.
struct Pair {
    folder: TempDir,
}

impl Pair {
    /// Writes a first pair; returns the certificate that a client is to trust.
    fn new() -> (Self, CertificateDer<'static>) {
        let pair = Self { folder: TempDir::new().expect("a folder") };
        let certificate = pair.renew();
        (pair, certificate)
    }

    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("generated");
        self.write("cert.pem", &cert.pem());
        self.write("key.pem", &signing_key.serialize_pem());
        cert.der().clone()
    }

    /// As a new file in the old one's place: one written over within the same tick, at the same length, would look unchanged.
    fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, self.path(name)).expect("renamed");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { look_every: millis(50), ..TlsFiles::new(self.path("cert.pem"), self.path("key.pem")) }
    }

    fn load(&self) -> Tls {
        Tls::load(self.files()).expect("a sound pair")
    }
}

/// Whether a client that trusts only `certificate` gets an answer.
async fn answers(server: &Running, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, server.connect().await.stream).await else {
        return false;
    };
    stream.write_all(GET.as_bytes()).await.expect("open");
    receive(&mut stream).await.is_some_and(|(status, body)| (status.as_str(), body.as_str()) == ("200", "hello"))
}

async fn answers_soon(server: &Running, certificate: &CertificateDer<'static>) {
    until("the new certificate was not shown", async || answers(server, certificate).await).await;
}

/// What this thread logs, and with it the server of a test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn follow(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(move || log.clone()).finish())
    }

    /// How often a new pair was refused.
    fn refusals(&self) -> usize {
        String::from_utf8_lossy(&self.0.lock().expect("sound")).matches("The new TLS certificate is not used").count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("sound").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_new_pair_is_taken_up_while_running() {
    let (pair, first) = Pair::new();
    let server = Running::start(ListenConfig { tls: Some(pair.load()), ..ListenConfig::default() }).await;
    assert!(answers(&server, &first).await);
    let second = pair.renew();
    answers_soon(&server, &second).await;
    assert!(!answers(&server, &first).await, "the old certificate is out of use");
    server.stop().await;
}

#[tokio::test]
async fn a_broken_new_pair_keeps_the_old_one_until_it_is_mended() {
    let log = Log::default();
    let _followed = log.follow();
    let (pair, first) = Pair::new();
    let server = Running::start(ListenConfig { tls: Some(pair.load()), ..ListenConfig::default() }).await;
    pair.write("cert.pem", "no certificate");
    until("a file that is no certificate was not told", async || log.refusals() == 1).await;
    assert!(answers(&server, &first).await);
    let other = generate_simple_self_signed(["localhost".to_owned()]).expect("generated");
    pair.write("cert.pem", &other.cert.pem());
    until("a certificate without its key was not told", async || log.refusals() == 2).await;
    assert!(answers(&server, &first).await, "a certificate without its key is not taken up");
    let mended = pair.renew();
    answers_soon(&server, &mended).await;
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut_off() {
    let (pair, _) = Pair::new();
    let tls = Some(pair.load());
    let server = Running::start(ListenConfig { tls, ..with(Limits { handshake: millis(300), ..limits() }) }).await;
    ended_within(millis(250)..SOON, async { server.connect().await.closed().await }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_handshake() {
    let (pair, _) = Pair::new();
    let server = Running::start(ListenConfig { tls: Some(pair.load()), ..with(limits()) }).await;
    let _client = server.connect().await;
    ended_within(millis(0)..SOON, server.stop()).await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (pair, _) = Pair::new();
    let load = |certificate: &Path, key: &Path| {
        Tls::load(TlsFiles::new(certificate.to_owned(), key.to_owned())).expect_err("cannot be used")
    };
    let (certificate, key, absent) = (pair.path("cert.pem"), pair.path("key.pem"), pair.path("absent.pem"));

    let error = load(&absent, &key);
    assert!(matches!(&error, ListenError::TlsFile { option: "--tls-cert", path, .. } if *path == absent), "{error}");
    let error = load(&certificate, &certificate);
    assert_eq!(
        error.to_string(),
        format!("{} holds no private key. Name a PEM file that holds one with --tls-key.", certificate.display())
    );
    let error = load(&key, &key);
    assert!(matches!(error, ListenError::TlsContent { what: "certificate", .. }), "{error}");
    let other = generate_simple_self_signed(["localhost".to_owned()]).expect("generated");
    pair.write("other.pem", &other.cert.pem());
    let error = load(&pair.path("other.pem"), &key);
    assert!(matches!(error, ListenError::TlsPair { .. }), "{error}");
}

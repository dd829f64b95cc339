//! The server's own certificate: read from two PEM files, and read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ListenError;

/// Where certificate and key lie.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate and its intermediates, the server's own first.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// How often to look whether the files changed. A change is read when two looks in a row saw the same, so that a pair that is
    /// being replaced, one file after the other, is not read in between.
    pub look_every: Duration,
}

impl TlsFiles {
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key, look_every: Duration::from_secs(2) }
    }

    fn stamps(&self) -> Stamps {
        Stamps { certificate: Stamp::of(&self.certificate), key: Stamp::of(&self.key) }
    }

    fn read(&self) -> Result<ServerConfig, ListenError> {
        let certificate = |problem| unusable(problem, "--tls-cert", "certificate", &self.certificate);
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(certificate)?;
        if chain.is_empty() {
            return Err(certificate(PemError::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|problem| unusable(problem, "--tls-key", "private key", &self.key))?;
        let pair = |source| ListenError::TlsPair { certificate: self.certificate.clone(), key: self.key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn unusable(problem: PemError, option: &'static str, what: &'static str, path: &Path) -> ListenError {
    let path = path.to_owned();
    match problem {
        PemError::Io(source) => ListenError::TlsFile { option, path, source },
        _ => ListenError::TlsContent { option, what, path },
    }
}

/// Tells one state of a file from another, also when it was replaced by a file of the same age (`mv`, a moved symbolic link).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamps {
    certificate: Option<Stamp>,
    key: Option<Stamp>,
}

/// A usable certificate. New connections take the newest; open ones keep theirs.
#[derive(Debug, Clone)]
pub struct Tls {
    files: TlsFiles,
    loaded: Stamps,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files, on the calling thread.
    ///
    /// # Errors
    /// Names the file and what is wrong with it, or says that the two do not belong together.
    pub fn load(files: TlsFiles) -> Result<Self, ListenError> {
        let loaded = files.stamps();
        let config = files.read()?;
        Ok(Self { files, loaded, current: Arc::new(RwLock::new(Arc::new(config))) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }

    /// Reads the files again whenever they have changed; keeps the certificate that it has when the new pair cannot be used.
    pub(super) async fn follow_files(self) {
        let (mut loaded, mut seen) = (self.loaded, self.loaded);
        loop {
            tokio::time::sleep(self.files.look_every).await;
            let before = std::mem::replace(&mut seen, self.files.stamps());
            if seen == loaded || seen != before {
                continue;
            }
            loaded = seen;
            match self.files.read() {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    tracing::info!(tls.certificate = %self.files.certificate.display(), "the new TLS certificate is in use");
                }
                Err(error) => tracing::error!("The new TLS certificate is not used, the one before stays. {error}"),
            }
        }
    }
}

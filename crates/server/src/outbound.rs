//! HTTP to the services that the operator names, a key service and a sign-in provider: within a deadline, without redirects, never to
//! where clouds hand out credentials.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use dataflow_connectors::policy::DialPolicy;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use ureq::{
    Agent, Body,
    config::Config,
    http::{Response, Uri},
    tls::{Certificate, RootCerts, TlsConfig, TlsProvider},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};
use url::{Host, Url};
use zeroize::Zeroizing;

/// What connecting may take, and a whole exchange.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Largest answer that is read.
pub const ANSWER_MAX: u64 = 64 * 1024;

/// Whether nobody on the network reads along: https, or http to this machine itself.
pub fn is_private(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

/// For requests that are all over at `deadline`.
pub fn agent(tls: TlsConfig, deadline: Instant) -> Agent {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let config = Agent::config_builder()
        .user_agent(concat!("dataflow/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_connect(Some(CONNECT_WITHIN.min(left)))
        .timeout_global(Some(left))
        .tls_config(tls)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Guarded::default())
}

/// Status and body, which may hold a secret, of what was sent with an [`agent`].
pub fn read(sent: Result<Response<Body>, ureq::Error>) -> Result<(u16, Zeroizing<Vec<u8>>), ureq::Error> {
    let mut answer = sent?;
    let body = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_vec()?;
    Ok((answer.status().as_u16(), Zeroizing::new(body)))
}

/// Whether it was the certificate of the service that was refused.
pub fn is_certificate(error: &ureq::Error) -> bool {
    error.to_string().contains("certificate")
}

/// Knows no address that is refused whatever an operator says: link-local, and the clouds' metadata.
#[derive(Debug, Default)]
struct Guarded(DefaultResolver);

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let policy = DialPolicy { allow_loopback: true, ..DialPolicy::default() };
        let found = self.0.resolve(uri, config, timeout)?;
        let mut permitted = self.empty();
        for address in found.iter().filter(|address| policy.permits(address.ip())) {
            permitted.push(*address);
        }
        if permitted.is_empty() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "its address is one that is never dialled").into());
        }
        Ok(permitted)
    }
}

/// Why a file with a secret gives none.
#[derive(Debug)]
pub enum SecretFileError {
    Unread(io::Error),
    /// Its mode.
    OpenToAll(u32),
}

/// The secret in a file of the server's user, without the line's end. Read when it is needed, so that an agent may renew it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let mode = fs::metadata(path).map_err(SecretFileError::Unread)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(SecretFileError::OpenToAll(mode));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(SecretFileError::Unread)?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// TLS under the machine's authorities, or those of one file.
pub fn tls(ca_file: Option<&Path>) -> anyhow::Result<TlsConfig> {
    let certificates: Vec<CertificateDer<'static>> = match ca_file {
        Some(path) => {
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let read = read.with_context(|| format!("read the ca_file {}", path.display()))?;
            if read.is_empty() {
                bail!("The ca_file {} holds no certificate.", path.display());
            }
            read
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    let roots = certificates.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hands_out_credentials_is_not_dialled() {
        let agent = agent(tls(None).expect("the machine's"), Instant::now() + ANSWER_WITHIN);
        for host in ["169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "[::ffff:169.254.169.254]", "0.0.0.0"] {
            let refused = agent.get(format!("http://{host}/")).call().expect_err("never dialled");
            assert!(refused.to_string().contains("never dialled"), "{host}: {refused}");
        }
    }

    #[test]
    fn clear_http_is_for_this_machine_alone() {
        let of = |text: &str| is_private(&Url::parse(text).expect("a URL"));
        for url in ["https://id.example.org", "http://localhost:1", "http://127.0.0.1", "http://[::1]:8"] {
            assert!(of(url), "{url}");
        }
        for url in ["http://id.example.org", "http://localhost.example.org", "http://10.0.0.1", "ftp://127.0.0.1", "file:///etc"]
        {
            assert!(!of(url), "{url}");
        }
    }
}

//! The TLS fields of a connection, read into what rustls needs.

use std::sync::Arc;

use dataflow_model::TestError;
use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, danger::ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{
    SystemRoots, provider,
    verifier::{Trust, Verifier},
};
use crate::{Target, causes};

/// How much of the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    VerifyFull,
    VerifyCa,
    Require,
    Disable,
}

impl TlsMode {
    /// Whether the server has to show a certificate of an authority that is trusted.
    #[must_use]
    pub fn checks_chain(self) -> bool {
        matches!(self, Self::VerifyFull | Self::VerifyCa)
    }
}

/// What a protocol itself demands of TLS.
#[derive(Debug, Clone, Copy, Default)]
pub enum Demand {
    #[default]
    Nothing,
    /// TLS 1.2 and no later one.
    Tls12,
    /// To say which protocol comes inside (RFC 7301).
    Protocol(&'static [u8]),
}

/// `tls.mode`, `tls.ca`, `tls.cert` and `tls.key` of a connection.
#[derive(Debug)]
pub struct TlsSettings<'a> {
    mode: TlsMode,
    target: &'a Target,
    demand: Demand,
}

impl<'a> TlsSettings<'a> {
    /// A mode that is absent or unknown is the strictest.
    #[must_use]
    pub fn of(target: &'a Target) -> Self {
        let mode = match target.text("tls.mode") {
            "disable" => TlsMode::Disable,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            _ => TlsMode::VerifyFull,
        };
        Self { mode, target, demand: Demand::Nothing }
    }

    /// The same, with what the protocol demands.
    #[must_use]
    pub fn demanding(self, demand: Demand) -> Self {
        Self { demand, ..self }
    }

    #[must_use]
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// Whether a third party on the way is kept out: only then may a password be sent as it is. A certificate of an authority that all the
    /// world trusts, for whichever name, everybody can have; libpq refuses to take that for verified, too (its `sslrootcert=system`).
    #[must_use]
    pub fn is_verified(&self) -> bool {
        match self.mode {
            TlsMode::VerifyFull => true,
            TlsMode::VerifyCa => !self.target.text("tls.ca").is_empty(),
            TlsMode::Require | TlsMode::Disable => false,
        }
    }

    #[must_use]
    pub fn has_client_certificate(&self) -> bool {
        !self.target.text("tls.cert").is_empty()
    }

    /// The configuration for one connection, and the verifier in it, which can be asked afterwards what it refused.
    ///
    /// # Errors
    /// A pasted certificate or key cannot be used.
    pub fn client_config(&self, roots: &SystemRoots) -> Result<(Arc<ClientConfig>, Arc<Verifier>), TestError> {
        let provider = provider();
        let verifier = Arc::new(Verifier::new(self.mode, self.trust(roots)?, provider.signature_verification_algorithms));
        let shared: Arc<dyn ServerCertVerifier> = Arc::<Verifier>::clone(&verifier);
        let versions = match self.demand {
            Demand::Tls12 => &[&rustls::version::TLS12][..],
            Demand::Nothing | Demand::Protocol(_) => rustls::DEFAULT_VERSIONS,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|_| causes::test_broken("TLS cannot be set up"))?
            .dangerous()
            .with_custom_certificate_verifier(shared);
        let mut config = match self.client_certificate()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|_| {
                causes::invalid_tls_material("tls.key", "The client key does not belong to the client certificate.")
            })?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        if let Demand::Protocol(name) = self.demand {
            config.alpn_protocols = vec![name.to_vec()];
        }
        Ok((Arc::new(config), verifier))
    }

    /// What is trusted: the pasted CA alone if there is one, else what the machine trusts. A mode that verifies nothing needs none.
    fn trust(&self, roots: &SystemRoots) -> Result<Trust, TestError> {
        let pasted = self.target.text("tls.ca");
        if !self.mode.checks_chain() {
            return Ok(Trust::of_the_system(RootCertStore::empty()));
        }
        if pasted.is_empty() {
            return Ok(Trust::of_the_system(roots.store()));
        }
        Trust::pasted(certificates("tls.ca", pasted)?)
            .ok_or_else(|| causes::invalid_tls_material("tls.ca", "The server CA holds a certificate that cannot be read."))
    }

    fn client_certificate(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TestError> {
        if !self.has_client_certificate() {
            return Ok(None);
        }
        let chain = certificates("tls.cert", self.target.text("tls.cert"))?;
        let key = self.target.expose_secret("tls.key");
        if key.is_empty() {
            return Err(causes::invalid_tls_material("tls.key", "There is a client certificate, but no client key."));
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
            causes::invalid_tls_material("tls.key", "The client key cannot be read. An encrypted key must be decrypted first.")
        })?;
        Ok(Some((chain, key)))
    }
}

fn certificates(field: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TestError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(causes::invalid_tls_material(field, "The certificate cannot be read.")),
    }
}

#[cfg(test)]
mod tests {
    use dataflow_model::{FieldValue, PublicFields};

    use super::*;

    #[test]
    fn who_has_any_certificate_at_all_is_not_verified() {
        let is_verified = |mode: &str, authority: &str| {
            let fields = [("tls.mode", mode), ("tls.ca", authority)]
                .map(|(path, value)| (path.into(), FieldValue::Text(value.to_owned())));
            let target = Target { public: PublicFields(fields.into()), ..Target::default() };
            TlsSettings::of(&target).is_verified()
        };
        for (mode, with_system, with_pasted) in [
            ("verify-full", true, true),
            ("", true, true),
            ("verify-ca", false, true),
            ("require", false, false),
            ("disable", false, false),
        ] {
            assert_eq!((is_verified(mode, ""), is_verified(mode, "pasted")), (with_system, with_pasted), "{mode}");
        }
    }
}

//! The causes that are about TLS and certificates.

use dataflow_model::{Cause, TestError, report::Certificate};

use super::{at, because};

pub fn tls_not_offered() -> TestError {
    at(
        "tls.mode",
        Cause::TlsNotOffered,
        "The server does not offer TLS.",
        "Switch TLS on at the server. Without it, anyone on the way can read what is sent; an internal network that you trust may use the mode “No TLS”.",
    )
}

pub fn tls_too_old() -> TestError {
    at(
        "tls.mode",
        Cause::TlsNotOffered,
        "The server offers TLS only in versions or ciphers that are no longer safe.",
        "Let the server offer TLS 1.2 or 1.3; for that, its TLS library or its settings must be brought up to date.",
    )
}

/// Bytes stood in the clear before encryption began; what comes after could be forged (CVE-2021-23222).
pub fn early_bytes() -> TestError {
    because(
        Cause::ServerError,
        "The server sent data before the encryption began. The connection was given up, and nothing was sent.",
        "Somebody on the way may be tampering with the connection, or a proxy is broken. Ask who runs the network between here and the server.",
    )
}

pub fn certificate_untrusted(chain: Vec<Certificate>, custom_ca: bool) -> TestError {
    let hint = if custom_ca {
        "Paste the CA certificate that signed it into “Server CA”. A certificate may be pinned there itself only if it is self-signed; compare its fingerprint with the server's administrator first."
    } else {
        "It is signed by no authority that this machine knows. Paste the CA certificate that signed it into “Server CA”, or pin it if it is self-signed; compare its fingerprint with the server's administrator first."
    };
    let error = at("tls.ca", Cause::CertificateUntrusted, "The server's certificate is not trusted.", hint);
    TestError { certificates: chain, ..error }
}

/// `when` says it in words: `since 2024-05-01`, `before 2027-01-01`.
pub fn certificate_expired(chain: Vec<Certificate>, when: &str) -> TestError {
    let error = because(
        Cause::CertificateExpired,
        format!("The server's certificate, or the CA that signed it, is not valid {when}."),
        "The server needs a new certificate, or “Server CA” the authority's new one. If the dates look right, check the clock of the machine that runs the test.",
    );
    TestError { certificates: chain, ..error }
}

/// `names` are those that the certificate is made for.
pub fn certificate_wrong_host(chain: Vec<Certificate>, host: &str, names: &[String]) -> TestError {
    let made_for = match names {
        [] => "no name at all".to_owned(),
        [one] => format!("“{one}”"),
        [first, rest @ ..] => format!("“{first}” and {} more", rest.len()),
    };
    let error = at(
        "host",
        Cause::CertificateWrongHost,
        format!("The server's certificate is made for {made_for}, not for “{host}”."),
        "Use a name that the certificate has as the host. If the server's name cannot match, “Verify server, any host name” checks the certificate without its name.",
    );
    TestError { certificates: chain, ..error }
}

pub fn client_certificate_missing() -> TestError {
    at(
        "tls.cert",
        Cause::ClientCertificateRefused,
        "The server demands a client certificate, and none is set.",
        "Paste the client certificate and its key that the server's administrator gave you.",
    )
}

pub fn client_certificate_refused() -> TestError {
    at(
        "tls.cert",
        Cause::ClientCertificateRefused,
        "The server refused the client certificate.",
        "Check that it has not expired, is signed by the authority that the server expects, and is made for this username.",
    )
}

/// A certificate or key that was pasted cannot be used. `what` says why, in words.
pub fn invalid_tls_material(field: &str, what: &str) -> TestError {
    at(field, Cause::InvalidSettings, what, "Paste it in PEM form, from -----BEGIN to -----END, with every line.")
}

//! What a client says to each shape of server certificate under each TLS mode: one verdict a row, for the connectors and for
//! every driver of the SDK.
//!
//! The client dials `localhost`, and its `tls.ca` is what the row trusts.

use dataflow_model::Cause;

use crate::tls::Shape;

/// What is pasted as `tls.ca`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trusts {
    /// The authority's certificate.
    TheAuthority,
    /// The server's own certificate, pinned.
    TheServer,
}

/// One row of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The server's certificate; `None` if it offers no TLS.
    pub server: Option<Shape>,
    pub trusts: Trusts,
    /// What each mode of [`MODES`] ends with: `None` is a connection that works.
    pub verdicts: [Option<Cause>; 4],
}

/// The modes, in the order of a row's verdicts.
pub const MODES: [&str; 4] = ["verify-full", "verify-ca", "require", "disable"];

const fn row(server: Shape, verify_full: Option<Cause>, verify_ca: Option<Cause>) -> Row {
    Row { server: Some(server), trusts: Trusts::TheAuthority, verdicts: [verify_full, verify_ca, None, None] }
}

const UNTRUSTED: Option<Cause> = Some(Cause::CertificateUntrusted);
const EXPIRED: Option<Cause> = Some(Cause::CertificateExpired);
const WRONG_HOST: Option<Cause> = Some(Cause::CertificateWrongHost);
const NOT_OFFERED: Option<Cause> = Some(Cause::TlsNotOffered);

/// Every shape under every mode.
#[rustfmt::skip]
pub const MATRIX: &[Row] = &[
    //   certificate                verify-full  verify-ca
    row(Shape::Good,                None,        None),
    row(Shape::Intermediate,        None,        None),
    // libpq and OpenSSL take the common name where there are no other names (RFC 6125, section 6.4.4); so do the connectors.
    row(Shape::CommonNameOnly,      None,        None),
    row(Shape::WrongHost,           WRONG_HOST,  None),
    row(Shape::Expired,             EXPIRED,     EXPIRED),
    row(Shape::SelfSigned,          UNTRUSTED,   UNTRUSTED),
    row(Shape::UnknownAuthority,    UNTRUSTED,   UNTRUSTED),
    Row { server: Some(Shape::SelfSigned), trusts: Trusts::TheServer, verdicts: [None, None, None, None] },
    Row { server: None, trusts: Trusts::TheAuthority, verdicts: [NOT_OFFERED, NOT_OFFERED, NOT_OFFERED, None] },
];

impl Row {
    /// The certificate to paste as `tls.ca`, for a server that was started with `server` made by `authority`.
    pub fn trusted<'a>(&self, authority: &'a str, server: &'a str) -> &'a str {
        match self.trusts {
            Trusts::TheAuthority => authority,
            Trusts::TheServer => server,
        }
    }
}

//! Certificates of every shape that a server may show.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// What is right or wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Made by the authority, for `localhost` and 127.0.0.1.
    Good,
    /// The same, under an intermediate authority that the server sends along.
    Intermediate,
    /// Signed by itself.
    SelfSigned,
    /// Made by another authority of the same name.
    UnknownAuthority,
    /// Valid until 2021.
    Expired,
    /// For `db.example.org` alone.
    WrongHost,
    /// `localhost` as common name, and no subject alternative name.
    CommonNameOnly,
}

impl Shape {
    /// The shape by its name in `docs/certificates.md`.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn named(name: &str) -> Self {
        match name {
            "valid" => Self::Good,
            "under an intermediate" => Self::Intermediate,
            "signed by itself" => Self::SelfSigned,
            "under an unknown authority" => Self::UnknownAuthority,
            "expired" => Self::Expired,
            "for another host" => Self::WrongHost,
            "common name only" => Self::CommonNameOnly,
            other => panic!("“{other}” is no shape of a certificate"),
        }
    }
}

/// A certificate (with what must be sent along, leaf first) and its key, in PEM form.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificates: String,
    pub key: String,
}

/// What a server under test is given.
#[derive(Debug, Clone)]
pub struct ServerTls {
    pub identity: Identity,
    /// Whose client certificates it takes; `None` asks for none.
    pub client_authority: Option<String>,
}

impl ServerTls {
    pub fn new(identity: Identity) -> Self {
        Self { identity, client_authority: None }
    }
}

/// A certificate authority of one test.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// # Panics
    /// Never: the parameters are fixed.
    pub fn new() -> Self {
        let issuer = CertifiedIssuer::self_signed(authority("Test authority"), new_key()).expect("fixed parameters");
        Self { issuer }
    }

    /// Its certificate in PEM form: what a client pastes as `tls.ca`.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate of the given shape, as seen by a client that trusts this authority and dials `localhost`.
    ///
    /// # Panics
    /// Never: the parameters are fixed.
    pub fn server(&self, shape: Shape) -> Identity {
        let names = match shape {
            Shape::WrongHost => vec!["db.example.org".to_owned()],
            Shape::CommonNameOnly => Vec::new(),
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let common_name = if shape == Shape::WrongHost { "db.example.org" } else { "localhost" };
        let mut leaf = leaf(common_name, names, ExtendedKeyUsagePurpose::ServerAuth);
        match shape {
            Shape::SelfSigned => {
                let key = new_key();
                let certificate = leaf.self_signed(&key).expect("fixed parameters");
                Identity { certificates: certificate.pem(), key: key.serialize_pem() }
            }
            Shape::UnknownAuthority => issue(&leaf, &Self::new().issuer),
            Shape::Intermediate => {
                let middle = CertifiedIssuer::signed_by(authority("Test intermediate"), new_key(), &self.issuer)
                    .expect("fixed parameters");
                let mut identity = issue(&leaf, &middle);
                identity.certificates.push_str(&middle.pem());
                identity
            }
            Shape::Expired => {
                leaf.not_before = date_time_ymd(2020, 1, 1);
                leaf.not_after = date_time_ymd(2021, 1, 1);
                issue(&leaf, &self.issuer)
            }
            Shape::Good | Shape::WrongHost | Shape::CommonNameOnly => issue(&leaf, &self.issuer),
        }
    }

    /// A client's certificate for the user `common_name`.
    pub fn client(&self, common_name: &str) -> Identity {
        issue(&leaf(common_name, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth), &self.issuer)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// ECDSA on P-256: made in under a millisecond, and every driver under test takes it.
fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn leaf(common_name: &str, names: Vec<String>, purpose: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("names are plain ASCII");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    params
}

fn issue(leaf: &CertificateParams, issuer: &CertifiedIssuer<'static, KeyPair>) -> Identity {
    let key = new_key();
    let certificate = leaf.signed_by(&key, issuer).expect("fixed parameters");
    Identity { certificates: certificate.pem(), key: key.serialize_pem() }
}

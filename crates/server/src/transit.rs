//! Transit of Vault or OpenBao as the keeper of a key. It seals a fresh KEK for a slot of the key ring and opens it at each start; its own
//! key never leaves it. <https://openbao.org/api-docs/secret/transit/>

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dataflow_model::Secret;
use dataflow_vault::{Kek, KekProvider, SlotKind, TransitParameters, VaultError};
use serde::{Deserialize, Serialize};
use ureq::tls::TlsConfig;
use url::Url;
use zeroize::Zeroizing;

use crate::outbound::{self, ANSWER_WITHIN, SecretFileError};

/// What `--transit` names: a TOML file of these members.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransitFile {
    url: String,
    key: String,
    token_file: PathBuf,
    ca_file: Option<PathBuf>,
}

/// One key of a Transit, and how to reach it.
#[derive(Clone)]
pub struct Transit {
    url: Url,
    mount: String,
    name: String,
    token_file: PathBuf,
    tls: TlsConfig,
}

impl fmt::Debug for Transit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transit").field("url", &self.url.as_str()).field("key", &self.key()).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct ToEncrypt<'a> {
    plaintext: &'a str,
}

#[derive(Serialize)]
struct ToDecrypt<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Answer<D> {
    data: D,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: Secret,
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<String>,
}

impl Transit {
    /// Reads what a TOML file says of it.
    ///
    /// # Errors
    /// One sentence for the operator, who can mend the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let place = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("read the Transit file {place}"))?;
        let file: TransitFile = toml::from_str(&text)
            .with_context(|| format!("The Transit file {place} has to say url, key, token_file and, if need be, ca_file"))?;
        let url = Url::parse(&file.url).with_context(|| format!("the url in {place} is none"))?;
        if !outbound::is_private(&url) {
            bail!("The url in {place} would send the token and the key over the network in the clear. Use https://….");
        }
        let is_word = |text: &str| {
            !text.is_empty()
                && !text.starts_with('.')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let (mount, name) = file
            .key
            .rsplit_once('/')
            .filter(|(mount, name)| mount.split('/').all(is_word) && is_word(name))
            .with_context(|| format!("The key in {place} has to be MOUNT/NAME, for example transit/dataflow"))?;
        Ok(Self {
            url,
            mount: mount.to_owned(),
            name: name.to_owned(),
            token_file: file.token_file,
            tls: outbound::tls(file.ca_file.as_deref())?,
        })
    }

    fn key(&self) -> String {
        format!("{}/{}", self.mount, self.name)
    }

    fn problem(text: String) -> VaultError {
        VaultError::KeyService { problem: text }
    }

    fn token(&self) -> Result<Zeroizing<String>, VaultError> {
        let path = self.token_file.display();
        outbound::read_secret(&self.token_file).map_err(|error| {
            let key = self.key();
            Self::problem(match error {
                SecretFileError::Unread(error) => format!(
                    "The Transit token file {path} cannot be read ({error}). Put a token there that may encrypt and decrypt with {key}."
                ),
                SecretFileError::OpenToAll(mode) => {
                    format!("The Transit token file {path} is open to every user (mode {mode:03o}). Run: chmod o= {path}")
                }
            })
        })
    }

    fn ask<A: for<'de> Deserialize<'de>>(&self, act: &str, body: &impl Serialize) -> Result<A, VaultError> {
        let base = self.url.as_str().trim_end_matches('/');
        let address = format!("{base}/v1/{}/{act}/{}", self.mount, self.name);
        let body = Zeroizing::new(
            serde_json::to_string(body).map_err(|_| Self::problem("The request to Transit cannot be written.".to_owned()))?,
        );
        let token = self.token()?;
        let agent = outbound::agent(self.tls.clone(), Instant::now() + ANSWER_WITHIN);
        let sent = agent
            .post(&address)
            .header("x-vault-token", token.as_str())
            .header("x-vault-request", "true")
            .content_type("application/json")
            .send(body.as_bytes());
        let (status, text) = outbound::read(sent).map_err(|error| self.unreached(&error))?;
        if status != 200 {
            return Err(self.refused(status, act, &text));
        }
        let answer: Answer<A> = serde_json::from_slice(&text).map_err(|_| {
            Self::problem(format!("What answers at {} is no Transit of Vault or OpenBao. Check the url.", self.url))
        })?;
        Ok(answer.data)
    }

    fn unreached(&self, error: &ureq::Error) -> VaultError {
        let url = &self.url;
        let cause = error.to_string();
        Self::problem(if outbound::is_certificate(error) {
            format!("The certificate of {url} was refused ({cause}). Name the file of its authority as ca_file.")
        } else {
            format!(
                "Transit at {url} did not answer ({cause}). Check the url, and that the service runs and can be reached from here."
            )
        })
    }

    fn refused(&self, status: u16, act: &str, body: &[u8]) -> VaultError {
        let (url, key, mount, name) = (&self.url, self.key(), &self.mount, &self.name);
        let said = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.errors.join("; ")).unwrap_or_default();
        let said: String = said.chars().filter(|character| !character.is_control()).take(200).collect();
        Self::problem(match status {
            401 | 403 => format!(
                "Transit at {url} refused the token (status {status}). Put one into {} whose policy allows “update” on {mount}/encrypt/{name} and \
                 {mount}/decrypt/{name}, and that has not expired.",
                self.token_file.display()
            ),
            404 => format!("Transit at {url} has no “{mount}” (status 404). Check the mount in the key {key}."),
            400 => format!(
                "Transit at {url} could not {act} with {key} (status 400: {said}). Check that the key is the one that the slot was made with, and is neither deleted nor trimmed."
            ),
            429 => format!("Transit at {url} answers too many requests (status 429). Start again in a while."),
            503 => format!("Transit at {url} is sealed or in maintenance (status 503). Unseal it, then start again."),
            _ => format!("Transit at {url} answered with status {status} ({said}). Its log has the reason."),
        })
    }
}

impl KekProvider for Transit {
    fn kind(&self) -> SlotKind {
        SlotKind::Transit
    }

    fn enroll(&self) -> Result<(Kek, Vec<u8>), VaultError> {
        let (kek, bytes) = Kek::random();
        let plaintext = Zeroizing::new(BASE64.encode(bytes.as_slice()));
        let sealed: Encrypted = self.ask("encrypt", &ToEncrypt { plaintext: &plaintext })?;
        let parameters = TransitParameters { key: self.key(), ciphertext: sealed.ciphertext };
        Ok((kek, parameters.to_bytes()))
    }

    fn unlock(&self, parameters: &[u8]) -> Result<Kek, VaultError> {
        let TransitParameters { key, ciphertext } = TransitParameters::from_bytes(parameters)?;
        // What the store says is proven only once the slot is open: it directs no request.
        if key != self.key() {
            let text = format!(
                "The key ring's slot was made with the Transit key {key}, and the server is to use {}. Name that one.",
                self.key()
            );
            return Err(Self::problem(text));
        }
        let opened: Decrypted = self.ask("decrypt", &ToDecrypt { ciphertext: &ciphertext })?;
        let bytes = BASE64.decode(opened.plaintext.expose_secret()).map(Zeroizing::new).ok();
        let kek = bytes.and_then(|bytes| Kek::copied(&bytes));
        kek.ok_or_else(|| Self::problem(format!("Transit at {} gave back another thing than the key that it sealed.", self.url)))
    }
}

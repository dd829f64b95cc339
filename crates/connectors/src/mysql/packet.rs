//! The few packets of the connection phase, and errors. Written here because the reader of `mysql_common` 0.37 overflows on a greeting
//! whose length field is 0x80.
//!
//! Source: MySQL Internals, "Connection Phase", and MariaDB's "Connecting".

use zeroize::Zeroizing;

/// Bytes of a challenge.
pub const NONCE: usize = 20;

/// The collation `utf8mb4_general_ci`, known since MySQL 5.5: names and passwords are sent in UTF-8 whatever the session uses.
const UTF8MB4: u8 = 45;

/// The server's capabilities that matter here, and the client's that are claimed.
mod capability {
    pub const LONG_PASSWORD: u32 = 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const TLS: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH: u32 = 1 << 19;

    /// What this client can do. `LOCAL_FILES` is not among it: no server is ever sent a file.
    pub const CLAIMED: u32 = LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
}

/// What a server says first.
#[derive(Debug, PartialEq, Eq)]
pub enum Hello {
    Greeting(Greeting),
    /// It takes nobody now, or not us.
    Refused(ServerError),
    /// A protocol from before MySQL 4.1.
    TooOld,
}

/// A server's greeting.
#[derive(Debug, PartialEq, Eq)]
pub struct Greeting {
    pub version: String,
    /// The number that the server has given the connection, its lower half.
    pub connection: u32,
    pub nonce: [u8; NONCE],
    /// How most of its users sign in; empty where the server is older than plugins.
    pub plugin: String,
    capabilities: u32,
}

impl Greeting {
    pub fn offers_tls(&self) -> bool {
        self.capabilities & capability::TLS != 0
    }
}

/// An error packet. `message` is foreign and not yet scrubbed.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerError {
    pub code: u16,
    pub message: String,
}

/// Reads the first packet; `None` if it is not of this protocol.
pub fn hello(mut bytes: &[u8]) -> Option<Hello> {
    match *bytes.split_off_first()? {
        0xff => server_error(bytes).map(Hello::Refused),
        10 => greeting(bytes),
        8 | 9 => Some(Hello::TooOld),
        _ => None,
    }
}

fn greeting(mut bytes: &[u8]) -> Option<Hello> {
    let version = text(until_nul(&mut bytes)?);
    let connection = u32::from_le_bytes(*bytes.split_off(..4)?.first_chunk()?);
    let first = bytes.split_off(..8)?;
    bytes.split_off(..1)?; // always 0
    let low = word(&mut bytes)?;
    if bytes.is_empty() {
        return Some(Hello::TooOld);
    }
    bytes.split_off(..3)?; // collation and status
    let high = word(&mut bytes)?;
    let length = usize::from(*bytes.split_off_first()?);
    bytes.split_off(..10)?; // reserved
    let capabilities = u32::from(high) << 16 | u32::from(low);
    if capabilities & capability::PROTOCOL_41 == 0 || capabilities & capability::SECURE_CONNECTION == 0 {
        return Some(Hello::TooOld);
    }
    let second = bytes.split_off(..length.saturating_sub(8).max(13))?;
    let nonce = [first, second.get(..NONCE - 8)?].concat().try_into().ok()?;
    let plugin = if capabilities & capability::PLUGIN_AUTH == 0 { String::new() } else { text(until_nul_or_end(bytes)) };
    Some(Hello::Greeting(Greeting { version, connection, nonce, plugin, capabilities }))
}

/// Reads an error packet behind its first byte.
pub fn server_error(mut bytes: &[u8]) -> Option<ServerError> {
    let code = word(&mut bytes)?;
    // `#` and five characters of SQLSTATE; absent before the sign-in.
    if bytes.first() == Some(&b'#') {
        bytes.split_off(..6)?;
    }
    Some(ServerError { code, message: text(bytes) })
}

/// The server's request to sign in by another plugin, behind its first byte: the plugin's name and its data.
pub fn switch(mut bytes: &[u8]) -> Option<(String, &[u8])> {
    Some((text(until_nul(&mut bytes)?), bytes))
}

/// Asks the server to begin TLS.
pub fn tls_request() -> Vec<u8> {
    head(capability::CLAIMED | capability::TLS)
}

/// The answer to a greeting.
pub struct SignIn<'a> {
    pub tls: bool,
    pub username: &'a str,
    pub plugin: &'a str,
    /// At most 255 bytes.
    pub proof: &'a [u8],
}

impl SignIn<'_> {
    pub fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let tls = if self.tls { capability::TLS } else { 0 };
        let mut out = Zeroizing::new(head(capability::CLAIMED | tls));
        out.extend_from_slice(self.username.as_bytes());
        out.push(0);
        out.push(u8::try_from(self.proof.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.proof);
        out.extend_from_slice(self.plugin.as_bytes());
        out.push(0);
        out
    }
}

fn head(capabilities: u32) -> Vec<u8> {
    let mut out = capabilities.to_le_bytes().to_vec();
    out.extend_from_slice(&(1_u32 << 24).to_le_bytes()); // largest packet
    out.push(UTF8MB4);
    out.extend_from_slice(&[0; 23]);
    out
}

fn word(bytes: &mut &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.split_off(..2)?.try_into().ok()?))
}

fn until_nul<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let found = bytes.split_off(..end)?;
    bytes.split_off_first()?;
    Some(found)
}

/// Some servers forget the end of the last text.
fn until_nul_or_end(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greeting of a MySQL 9.7.1.
    fn mysql() -> Vec<u8> {
        let mut bytes = b"\x0a9.7.1\0\x08\0\0\0ABCDEFGH\0\xff\xff\xff\x02\0\xff\xdf\x15".to_vec();
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(b"IJKLMNOPQRST\0caching_sha2_password\0");
        bytes
    }

    #[test]
    fn a_greeting_is_read() {
        let Some(Hello::Greeting(greeting)) = hello(&mysql()) else { panic!("a greeting") };
        assert_eq!((greeting.version.as_str(), &greeting.nonce), ("9.7.1", b"ABCDEFGHIJKLMNOPQRST"));
        assert_eq!((greeting.plugin.as_str(), greeting.offers_tls()), ("caching_sha2_password", true));
    }

    #[test]
    fn a_greeting_that_is_cut_or_bent_is_never_more_than_refused() {
        let whole = mysql();
        for end in 0..whole.len() {
            hello(&whole[..end]);
            for bit in 0..8 {
                let mut bent = whole.clone();
                bent[end] ^= 1 << bit;
                hello(&bent);
            }
        }
        assert_eq!(hello(&whole[..40]), None);
    }

    #[test]
    fn servers_from_before_4_1_are_known() {
        assert_eq!(hello(b"\x093.20.32\0rest"), Some(Hello::TooOld));
        assert_eq!(hello(b"\x0a4.0.30\0\x08\0\0\0ABCDEFGH\0\x2c\x20"), Some(Hello::TooOld));
        let mut no_41 = mysql();
        no_41[7 + 13 + 1] &= !0x02;
        assert_eq!(hello(&no_41), Some(Hello::TooOld));
    }

    #[test]
    fn an_error_is_read_with_and_without_sqlstate() {
        let error = |message: &str| ServerError { code: 1040, message: message.to_owned() };
        assert_eq!(hello(b"\xff\x10\x04Too many"), Some(Hello::Refused(error("Too many"))));
        assert_eq!(server_error(b"\x10\x04#08004Too many"), Some(error("Too many")));
        assert_eq!(server_error(b"\x10\x04#08"), None);
    }
}

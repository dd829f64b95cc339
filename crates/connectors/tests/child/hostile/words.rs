//! What the scripts of hostile servers are made of.

#![expect(clippy::panic, reason = "a script that nobody can play fails its test")]

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::sleep,
};

use crate::{
    certificates::Identity,
    peer::{Heard, Peer},
    postgres::{authentication, error, message},
    tls::acceptor,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Postgres,
    MySql,
}

/// What all scripts share.
pub struct Stage {
    /// The path of a file that a server may ask for.
    pub file: String,
    /// The certificate of the authority that clients trust.
    pub authority: String,
    pub identities: HashMap<&'static str, Identity>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

const NONCE: &str = "ABCDEFGHIJKLMNOPQRST";
const TLS: u32 = 1 << 11;
const END: &[u8] = &[0xfe, 0, 0, 2, 0];
/// The definition of a column with a number.
const COLUMN: &[u8] = b"\x03def\0\0\0\x01x\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
/// Nobody has its other half.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END PUBLIC KEY-----\n";

/// One client, as a script leads it on.
pub struct Conversation {
    stream: Box<dyn Stream>,
    protocol: Protocol,
    stage: Arc<Stage>,
    elsewhere: u16,
    heard: Heard,
    trapped: Heard,
    /// The client's last message.
    last: Vec<u8>,
    /// PostgreSQL: whether the client's messages have tags by now.
    has_tags: bool,
    /// MySQL: the next packet's number.
    sequence: u8,
}

impl Conversation {
    pub fn new(peer: Peer, protocol: Protocol, stage: Arc<Stage>, elsewhere: u16, trapped: Heard) -> Self {
        Self {
            stream: Box::new(peer.stream),
            protocol,
            stage,
            elsewhere,
            heard: peer.heard,
            trapped,
            last: Vec::new(),
            has_tags: false,
            sequence: 0,
        }
    }

    pub async fn play(&mut self, script: &[Value]) -> io::Result<()> {
        for turn in script {
            let (word, arguments) = parted(turn);
            match (word, arguments) {
                ("close", []) => return Ok(()),
                ("close one half", []) => self.stream.shutdown().await?,
                ("hear", []) => self.hear().await?,
                ("drink", []) => drop(self.drink().await?),
                ("trap", []) => {
                    while let Some(bytes) = self.drink().await? {
                        self.trapped.keep(&bytes);
                    }
                }
                ("tls", [shape]) => self.begin_tls(text(shape)).await?,
                ("sign in", []) => self.sign_in().await?,
                ("forever", [pause, said]) => loop {
                    self.say(said).await?;
                    sleep(Duration::from_millis(number(pause))).await;
                },
                ("drip", [pause, said]) => {
                    for byte in self.bytes(said) {
                        self.send(&[byte]).await?;
                        sleep(Duration::from_millis(number(pause))).await;
                    }
                }
                _ => self.say(turn).await?,
            }
        }
        while self.drink().await?.is_some() {}
        Ok(())
    }

    async fn sign_in(&mut self) -> io::Result<()> {
        match self.protocol {
            Protocol::Postgres => {
                self.hear().await?;
                let version = message(b'S', b"server_version\x0015.18\0");
                self.send(&[authentication(0, &[]), version, message(b'Z', b"I")].concat()).await
            }
            Protocol::MySql => {
                let greeting = self.greeting("9.7.1", "caching_sha2_password", TLS);
                self.send(&greeting).await?;
                self.hear().await?;
                let ok = self.packet(&[0, 0, 0, 2, 0, 0, 0]);
                self.send(&ok).await
            }
        }
    }

    async fn begin_tls(&mut self, shape: &str) -> io::Result<()> {
        let stage = Arc::clone(&self.stage);
        let identity = stage.identities.get(shape).unwrap_or_else(|| panic!("“{shape}” is no shape of a certificate"));
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = Box::new(acceptor(identity, None).accept(plain).await?);
        Ok(())
    }

    /// What comes next, up to 4 KiB; `None` at the end.
    async fn drink(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 4096];
        let length = self.stream.read(&mut buffer).await?;
        buffer.truncate(length);
        self.heard.keep(&buffer);
        Ok((length > 0).then_some(buffer))
    }

    /// The client's next message, whole.
    async fn hear(&mut self) -> io::Result<()> {
        let mut head = vec![0; if self.has_tags { 5 } else { 4 }];
        self.stream.read_exact(&mut head).await?;
        let length = match (self.protocol, head.as_slice()) {
            (Protocol::Postgres, [.., a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).saturating_sub(4),
            (Protocol::MySql, [low, middle, high, sequence]) => {
                self.sequence = sequence.wrapping_add(1);
                u32::from_le_bytes([*low, *middle, *high, 0])
            }
            _ => unreachable!("four bytes at least"),
        };
        let mut body = vec![0; usize::try_from(length).expect("64 bit")];
        self.stream.read_exact(&mut body).await?;
        self.heard.keep(&head);
        self.heard.keep(&body);
        // All but the request for TLS.
        self.has_tags |= self.protocol == Protocol::Postgres && body != [0x04, 0xd2, 0x16, 0x2f];
        self.last = body;
        Ok(())
    }

    async fn say(&mut self, said: &Value) -> io::Result<()> {
        let bytes = self.bytes(said);
        self.send(&bytes).await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    fn bytes(&mut self, said: &Value) -> Vec<u8> {
        let is_postgres = self.protocol == Protocol::Postgres;
        let (word, arguments) = parted(said);
        match (word, arguments) {
            ("say", [bytes]) => self.filled(bytes),
            ("message", [tag, body]) => message(*self.filled(tag).first().expect("a tag"), &self.filled(body)),
            ("authentication", [code, body]) => authentication(u32::try_from(number(code)).expect("short"), &self.filled(body)),
            ("ready", []) => message(b'Z', b"I"),
            ("error", [code, words]) if is_postgres => error(text(code), &String::from_utf8_lossy(&self.filled(words)), ""),
            ("row", []) if is_postgres => {
                let row = message(b'D', b"\0\x01\0\0\0\x011");
                [message(b'T', b"\0\0"), row, message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
            }
            ("packet", [body]) => {
                let body = self.filled(body);
                self.packet(&body)
            }
            ("error", [code, words]) => {
                let code = u16::try_from(number(code)).expect("short").to_le_bytes();
                let words = self.filled(words);
                self.packet(&[&[0xff][..], &code, b"#HY000", &words].concat())
            }
            ("greet", [plugin]) => self.greeting("9.7.1", text(plugin), TLS),
            ("greet without TLS", [plugin]) => self.greeting("9.7.1", text(plugin), 0),
            ("greet as", [version]) => {
                let version = String::from_utf8(self.filled(version)).expect("ASCII");
                self.greeting(&version, "caching_sha2_password", TLS)
            }
            ("greet and switch", [plugin]) => {
                let greeting = self.greeting("9.7.1", "caching_sha2_password", TLS);
                self.sequence = 2;
                let switch = self.packet(&[b"\xfe", text(plugin).as_bytes(), b"\0"].concat());
                [greeting, switch].concat()
            }
            ("switch", [plugin, data]) => {
                let data = self.filled(data);
                self.packet(&[b"\xfe", text(plugin).as_bytes(), b"\0", &data].concat())
            }
            ("ok", []) => self.packet(&[0, 0, 0, 2, 0, 0, 0]),
            ("redirect", []) => self.redirect(),
            ("row", []) => [b"\x01", COLUMN, END, b"\x011", END].map(|body| self.packet(body)).concat(),
            _ => panic!("nobody knows how to {said}"),
        }
    }

    /// As bytes, each character one, with what stands in braces filled in.
    fn filled(&self, template: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, part) in text(template).split(['{', '}']).enumerate() {
            let heard = String::from_utf8_lossy(&self.last);
            match (index % 2, part) {
                (0, plain) => bytes.extend(plain.chars().map(|one| u8::try_from(one).expect("one byte"))),
                (_, "nonce") => bytes.extend_from_slice(heard.split_once("r=").unwrap_or_default().1.as_bytes()),
                (_, "secret") => bytes.extend_from_slice(crate::run::PLANTED.as_bytes()),
                (_, "file") => bytes.extend_from_slice(self.stage.file.as_bytes()),
                (_, "key") => bytes.extend_from_slice(KEY.as_bytes()),
                (_, "elsewhere") => bytes.extend_from_slice(self.elsewhere.to_string().as_bytes()),
                (_, fill) => {
                    let count = fill.strip_prefix("fill:").unwrap_or_else(|| panic!("nobody knows {{{fill}}}"));
                    bytes.resize(bytes.len() + count.parse::<usize>().expect("a number"), b'x');
                }
            }
        }
        bytes
    }

    fn packet(&mut self, body: &[u8]) -> Vec<u8> {
        let [low, middle, high, _] = u32::try_from(body.len()).expect("short").to_le_bytes();
        let number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        [&[low, middle, high, number], body].concat()
    }

    fn greeting(&mut self, version: &str, plugin: &str, tls: u32) -> Vec<u8> {
        let [a, b, c, d] = (0x0088_a281 | tls).to_le_bytes();
        let (first, second) = NONCE.split_at(8);
        let text = [
            b"\x0a",
            version.as_bytes(),
            b"\0\x08\0\0\0",
            first.as_bytes(),
            &[0, a, b, 45, 2, 0, c, d, 21],
            &[0; 10],
            second.as_bytes(),
            b"\0",
            plugin.as_bytes(),
            b"\0",
        ];
        self.sequence = 0;
        self.packet(&text.concat())
    }

    /// MariaDB's way to send a client elsewhere: the session variable `redirect_url`, told with the sign-in's OK.
    fn redirect(&mut self) -> Vec<u8> {
        let name = b"redirect_url";
        let url = format!("mariadb://analytics@127.0.0.1:{}/?ttl=0", self.elsewhere);
        let counted = |text: &[u8]| [&[u8::try_from(text.len()).expect("short")], text].concat();
        let change = [counted(name), counted(url.as_bytes())].concat();
        let state = [&[0][..], &counted(&change)].concat();
        self.packet(&[&[0, 0, 0, 2, 0x40, 0, 0, 0], counted(&state).as_slice()].concat())
    }
}

/// A turn is a word, or a list of a word and what belongs to it.
fn parted(turn: &Value) -> (&str, &[Value]) {
    match turn {
        Value::Array(parts) => parts.split_first().map(|(word, rest)| (text(word), rest)).expect("a word"),
        word => (text(word), &[]),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

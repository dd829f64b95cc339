//! A SQL Server of which everything but the database is here: MS-TDS, sections 2.2 and 3.3, by versions 7.4 and 8.0,
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/>. It knows one login and one database, and lets go of whoever strays from
//! the protocol. It was tried with the drivers python-tds 1.17 and pymssql 2.4.

mod messages;

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use self::messages::{Login, change, done, error, login_ack, prelogin, rows, sql, text};
use crate::{
    fake_services::{PASSWORD, USER},
    scripted::{Peer, Scripted},
    tls::Identity,
};

pub use self::messages::Cell;

/// The database that the login may open beside its own, which is `master`.
pub const DATABASE: &str = "sales";
/// What the server says that it is.
pub const VERSION: &str = "Microsoft SQL Server 2022 (RTM-CU16) (KB5048033) - 16.0.4165.4 (X64)";

/// Types of packets (2.2.3.1.1).
const BATCH: u8 = 0x01;
const RESULT: u8 = 0x04;
const LOGIN: u8 = 0x10;
const PRELOGIN: u8 = 0x12;
/// Longest packet, as both sides begin (2.2.3.1.3).
const PACKET: usize = 4096;
const HEAD: usize = 8;

/// What the server will have of TLS (2.2.6.5), with what it is.
#[derive(Debug, Clone)]
pub enum Encryption {
    NotSupported,
    /// There for who asks.
    Offered(Identity),
    /// “Force Encryption”.
    Required(Identity),
    /// “Force Strict Encryption”: TDS 8.0 alone.
    Strict(Identity),
}

/// How a sign-in is answered.
#[derive(Debug, Clone)]
pub enum Answers {
    /// Whoever is known is let in.
    Truly,
    /// Nobody, for these reasons: number and words.
    Refusing(Vec<(u32, String)>),
    /// Everybody whose password is right, with these errors beside the yes.
    ContradictingItself,
    /// Whoever is right is sent to another place.
    Routing(String, u16),
    /// Whoever is right, with this after the yes and no end of it.
    Then(Vec<u8>),
}

/// What is known of the login.
#[derive(Debug, Clone)]
pub struct Facts {
    /// By `IS_SRVROLEMEMBER('sysadmin')`, `IS_MEMBER` of `db_owner`, `db_datareader` and `db_datawriter`, the right to see all sessions, and the
    /// day since 1970 on which the password ends.
    pub numbers: [Option<i32>; 6],
}

impl Default for Facts {
    fn default() -> Self {
        Self { numbers: [Some(0), Some(0), Some(1), Some(0), Some(0), None] }
    }
}

/// A listening fake.
#[derive(Debug)]
pub struct FakeSqlServer(Scripted);

impl FakeSqlServer {
    /// # Panics
    /// If no port is free.
    pub fn start(encryption: Encryption) -> Self {
        Self::answering(encryption, Answers::Truly)
    }

    /// # Panics
    /// If no port is free.
    pub fn answering(encryption: Encryption, answers: Answers) -> Self {
        Self::with(encryption, answers, Facts::default())
    }

    /// # Panics
    /// If no port is free.
    pub fn with(encryption: Encryption, answers: Answers, facts: Facts) -> Self {
        Self(Scripted::start(move |peer| serve(peer, &encryption, &answers, &facts)))
    }

    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// Whether any client has told the password, which is on the wire as LOGIN7 hides it.
    pub fn has_heard_password(&self) -> bool {
        let hidden: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_le_bytes).map(|byte| byte.rotate_left(4) ^ 0xa5).collect();
        self.0.heard().windows(hidden.len()).any(|window| window == hidden)
    }
}

fn stray() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn serve(peer: &mut Peer, encryption: &Encryption, answers: &Answers, facts: &Facts) -> io::Result<()> {
    let is_strict = matches!(encryption, Encryption::Strict(_));
    if let Encryption::Strict(identity) = encryption {
        peer.begin_tls_of(identity, b"tds/8.0")?;
    }
    let asked = prelogin(&receive(peer, PRELOGIN)?).ok_or_else(stray)?;
    // 2.2.6.5: what is asked for (off, on, none) and what there is make what is answered; 3 is “required”.
    let (told, identity) = match (asked, encryption) {
        (0..=2, Encryption::NotSupported) | (2, Encryption::Strict(_) | Encryption::Offered(_)) => (2, None),
        (0 | 2, Encryption::Required(_)) => (3, None),
        (1, Encryption::Required(identity) | Encryption::Offered(identity)) => (1, Some(identity)),
        _ => return Err(stray()),
    };
    // Version 16.0.4165, the encryption, and that there is no other way to have results than one after the other.
    let options = b"\0\0\x10\0\x06\x01\0\x16\0\x01\x04\0\x17\0\x01\xff\x10\0\x10\x45\0\0".to_vec();
    send(peer, &[options, vec![told, 0]].concat())?;
    if told == 3 || (asked == 1 && told == 2) {
        return Ok(());
    }
    if let Some(identity) = identity {
        let is_over = Arc::new(AtomicBool::new(false));
        peer.begin_tls_within(identity, |stream| Envelope { stream, is_over: Arc::clone(&is_over), left: 0 })?;
        is_over.store(true, Ordering::Release);
    }
    let login = Login::read(&receive(peer, LOGIN)?, is_strict).ok_or_else(stray)?;
    let Some(database) = admit(peer, &login, answers, is_strict)? else { return Ok(()) };
    loop {
        let asked = sql(&receive(peer, BATCH)?).ok_or_else(stray)?;
        send(peer, &answer(&asked, &database, facts))?;
    }
}

/// Answers a sign-in; gives the database that is open then.
fn admit(peer: &mut Peer, login: &Login, answers: &Answers, is_strict: bool) -> io::Result<Option<String>> {
    let failed = error(18_456, 14, &format!("Login failed for user '{}'.", login.username));
    let is_known = login.username.eq_ignore_ascii_case(USER) && login.password == PASSWORD;
    let refused = match answers {
        Answers::Refusing(reasons) => reasons.iter().flat_map(|(number, words)| error(*number, 14, words)).collect(),
        _ if !is_known => failed,
        _ if !["", "master", DATABASE].iter().any(|name| name.eq_ignore_ascii_case(&login.database)) => {
            let words = format!("Cannot open database \"{}\" requested by the login. The login failed.", login.database);
            [error(4060, 11, &words), failed].concat()
        }
        _ => Vec::new(),
    };
    if !refused.is_empty() {
        send(peer, &[refused, done(2)].concat())?;
        return Ok(None);
    }
    let database = if login.database.is_empty() { "master" } else { &login.database };
    let moved = change(1, &text(database), &text("master"));
    let mut yes = [moved, login_ack(is_strict)].concat();
    match answers {
        Answers::ContradictingItself => yes = [error(18_456, 14, "Login failed."), yes].concat(),
        Answers::Routing(host, port) => yes.extend(messages::route(host, *port)),
        _ => {}
    }
    yes.extend(change(4, &text("4096"), &text("4096")));
    match answers {
        Answers::Then(more) => yes.extend(more),
        _ => yes.extend(done(0)),
    }
    send(peer, &yes)?;
    Ok(Some(database.to_owned()))
}

fn answer(asked: &str, database: &str, facts: &Facts) -> Vec<u8> {
    let rows_of = |cells: &[Cell]| [rows(cells), done(0x10)].concat();
    match asked {
        "SELECT 1" => rows_of(&[Cell::One]),
        "SELECT CAST(DB_NAME() AS nvarchar(128))" => rows_of(&[Cell::Text(database.to_owned())]),
        "SELECT 1, CAST(@@VERSION AS nvarchar(300))" => {
            let version = format!("{VERSION} \n\tNov  6 2024 12:40:37 \n\tDeveloper Edition (64-bit) on Linux");
            rows_of(&[Cell::One, Cell::Text(version)])
        }
        "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1" if facts.numbers[4] == Some(1) => {
            rows_of(&[Cell::Number(Some(12))])
        }
        _ if asked.starts_with("SELECT IS_SRVROLEMEMBER(N'sysadmin'), ") && asked.ends_with(", @@MAX_CONNECTIONS") => {
            let mut cells: Vec<_> = facts.numbers.iter().map(|number| Cell::Number(*number)).collect();
            cells.push(Cell::Number(Some(32_767)));
            rows_of(&cells)
        }
        // What drivers say of their session.
        _ if asked.to_uppercase().trim_start().starts_with("SET ") => done(0),
        _ => [error(102, 15, &format!("Incorrect syntax near '{}'.", asked.get(..20).unwrap_or(asked))), done(2)].concat(),
    }
}

/// A message of one kind, of packets that are not too long.
fn receive(peer: &mut Peer, wanted: u8) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    for _ in 0..16 {
        // Some clients number the packets of a message, others all of them: servers do not look (2.2.3.1.5).
        let [kind, status, high, low, _, _, _, window] = peer.receive::<HEAD>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != wanted || status > 1 || window != 0 || !(HEAD..=PACKET).contains(&length) {
            return Err(stray());
        }
        let mut part = vec![0; length - HEAD];
        peer.fill(&mut part)?;
        message.extend(part);
        if status == 1 {
            return Ok(message);
        }
    }
    Err(stray())
}

fn send(peer: &mut Peer, message: &[u8]) -> io::Result<()> {
    let count = message.chunks(PACKET - HEAD).len();
    for (number, part) in message.chunks(PACKET - HEAD).enumerate() {
        peer.send(&packet(RESULT, number + 1 == count, number, part))?;
    }
    Ok(())
}

fn packet(kind: u8, is_last: bool, number: usize, part: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(HEAD + part.len()).expect("short").to_be_bytes();
    let number = u8::try_from(number + 1).expect("few");
    [&[kind, u8::from(is_last), high, low, 0, 51, number, 0][..], part].concat()
}

/// The handshake of TLS within packets of PRELOGIN, as 2.2.6.5 has it.
struct Envelope {
    stream: TcpStream,
    is_over: Arc<AtomicBool>,
    /// Of the packet that is being read.
    left: usize,
}

impl Read for Envelope {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            if self.is_over.load(Ordering::Acquire) {
                return self.stream.read(into);
            }
            let mut head = [0; HEAD];
            self.stream.read_exact(&mut head)?;
            let [PRELOGIN, _, high, low, ..] = head else { return Err(stray()) };
            self.left = usize::from(u16::from_be_bytes([high, low])).checked_sub(HEAD).ok_or_else(stray)?;
        }
        let most = self.left.min(into.len());
        let count = self.stream.read(into.get_mut(..most).unwrap_or_default())?;
        self.left -= count;
        Ok(count)
    }
}

impl Write for Envelope {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_over.load(Ordering::Acquire) {
            return self.stream.write(bytes);
        }
        let part = bytes.get(..PACKET - HEAD).unwrap_or(bytes);
        self.stream.write_all(&packet(PRELOGIN, true, 0, part))?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

//! What the messages hold: LOGIN7 and PRELOGIN as they are read (2.2.6), tokens as they are written (2.2.7).

/// The encryption that PRELOGIN asks for. Each option is held to where it says that it is (2.2.6.5).
pub fn prelogin(message: &[u8]) -> Option<u8> {
    let (mut rest, mut encryption, mut has_version) = (message, None, false);
    loop {
        let (kind, behind) = rest.split_first()?;
        if *kind == 0xff {
            return encryption.filter(|_| has_version);
        }
        let (place, behind) = behind.split_first_chunk::<2>()?;
        let (length, behind) = behind.split_first_chunk::<2>()?;
        let value = message.get(usize::from(u16::from_be_bytes(*place))..)?;
        let value = value.get(..usize::from(u16::from_be_bytes(*length)))?;
        match (kind, value) {
            // The version comes first.
            (0, [_, _, _, _, _, _]) if rest.len() == message.len() => has_version = true,
            (1, [byte]) => encryption = Some(*byte),
            // Instance, thread, whether several results may be had at once, trace, and who federates.
            (2..=7, _) => {}
            _ => return None,
        }
        rest = behind;
    }
}

/// LOGIN7 (2.2.6.4).
#[derive(Debug)]
pub struct Login {
    pub username: String,
    pub password: String,
    pub database: String,
}

impl Login {
    pub fn read(message: &[u8], is_strict: bool) -> Option<Self> {
        /// What comes before the texts.
        const FIXED: usize = 94;
        let number = |place: usize| message.get(place..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        if usize::try_from(number(0)?).ok()? != message.len() || message.len() < FIXED {
            return None;
        }
        let version = number(4)?;
        if version != if is_strict { 0x0800_0000 } else { 0x7400_0004 } {
            return None;
        }
        // Integrated security and a new password are none of this server's.
        if message.get(25)? & 0x80 != 0 || message.get(27)? & 1 != 0 {
            return None;
        }
        let half = |place: usize| {
            let bytes = message.get(place..)?.first_chunk::<2>()?;
            Some(usize::from(u16::from_le_bytes(*bytes)))
        };
        let field = |place: usize| {
            let (start, length) = (half(place)?, half(place + 2)?);
            if length > 128 || (length > 0 && start < FIXED) {
                return None;
            }
            message.get(start..)?.get(..length * 2)
        };
        // Every text is where it says: host, user, password, program, server, library, language, database.
        for place in [36, 40, 44, 48, 52, 60, 64, 68] {
            field(place)?;
        }
        let shown: Vec<u8> = field(44)?.iter().map(|byte| (byte ^ 0xa5).rotate_left(4)).collect();
        Some(Self { username: utf_16(field(40)?), password: utf_16(&shown), database: utf_16(field(68)?) })
    }
}

/// The SQL of a batch, behind the headers that it has to have (2.2.5.3).
pub fn sql(message: &[u8]) -> Option<String> {
    let (headers, text) = message.split_at_checked(22)?;
    // In all, then one: a transaction, which is none, and one request.
    let is_sound = headers.starts_with(&[22, 0, 0, 0, 18, 0, 0, 0, 2, 0]) && headers.ends_with(&[1, 0, 0, 0]);
    (is_sound && text.len() % 2 == 0).then(|| utf_16(text))
}

fn utf_16(bytes: &[u8]) -> String {
    let units: Vec<_> = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16_lossy(&units)
}

/// As tokens have texts.
pub fn text(words: &str) -> Vec<u8> {
    words.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn after_length(token: u8, body: &[u8]) -> Vec<u8> {
    [&[token][..], &u16::try_from(body.len()).expect("short").to_le_bytes(), body].concat()
}

fn byte_long(words: &[u8]) -> Vec<u8> {
    [&[u8::try_from(words.len() / 2).expect("short")], words].concat()
}

/// ERROR (2.2.7.10).
pub fn error(number: u32, class: u8, words: &str) -> Vec<u8> {
    let words = text(words);
    let length = u16::try_from(words.len() / 2).expect("short").to_le_bytes();
    let server = byte_long(&text("fake"));
    let body = [&number.to_le_bytes()[..], &[1, class], &length, &words, &server, &byte_long(b""), &[1, 0, 0, 0]].concat();
    after_length(0xaa, &body)
}

/// LOGINACK (2.2.7.14): SQL of TDS 7.4 or 8.0, by Microsoft SQL Server 16.0.4165.
pub fn login_ack(is_strict: bool) -> Vec<u8> {
    let version: &[u8] = if is_strict { &[8, 0, 0, 0] } else { &[0x74, 0, 0, 4] };
    let name = byte_long(&text("Microsoft SQL Server\0\0"));
    after_length(0xad, &[&[1][..], version, &name, &[16, 0, 0x10, 0x45]].concat())
}

/// ENVCHANGE of a text (2.2.7.9).
pub fn change(kind: u8, new: &[u8], old: &[u8]) -> Vec<u8> {
    after_length(0xe3, &[&[kind][..], &byte_long(new), &byte_long(old)].concat())
}

/// ENVCHANGE of the place.
pub fn route(host: &str, port: u16) -> Vec<u8> {
    let host = text(host);
    let length = u16::try_from(host.len() / 2).expect("short").to_le_bytes();
    let place = [&[0][..], &port.to_le_bytes(), &length, &host].concat();
    let size = u16::try_from(place.len()).expect("short").to_le_bytes();
    after_length(0xe3, &[&[20][..], &size, &place, &[0, 0]].concat())
}

/// DONE (2.2.7.6).
pub fn done(status: u16) -> Vec<u8> {
    [&[0xfd][..], &status.to_le_bytes(), &[0xc1, 0], &1_u64.to_le_bytes()].concat()
}

/// A value of a row.
#[derive(Debug, Clone)]
pub enum Cell {
    /// An INT that cannot be NULL.
    One,
    /// One that can.
    Number(Option<i32>),
    Text(String),
}

/// COLMETADATA and one ROW (2.2.7.4, 2.2.7.19).
pub fn rows(cells: &[Cell]) -> Vec<u8> {
    let count = u16::try_from(cells.len()).expect("few").to_le_bytes();
    let (mut head, mut row) = ([&[0x81][..], &count].concat(), vec![0xd1]);
    for cell in cells {
        head.extend([0; 6]);
        match cell {
            Cell::One => {
                head.push(0x38);
                row.extend(1_i32.to_le_bytes());
            }
            Cell::Number(number) => {
                head.extend([0x26, 4]);
                match number {
                    Some(number) => row.extend([&[4][..], &number.to_le_bytes()].concat()),
                    None => row.push(0),
                }
            }
            Cell::Text(words) => {
                // Its longest, and a collation.
                head.extend([0xe7, 0x58, 0x02, 0x09, 0x04, 0xd0, 0x00, 0x34]);
                let words = text(words);
                row.extend(u16::try_from(words.len()).expect("short").to_le_bytes());
                row.extend(words);
            }
        }
        head.push(0);
    }
    [head, row].concat()
}

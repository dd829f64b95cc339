//! The stream of tokens that a server answers with (2.2.7), as far as a sign-in and our own statements have them.

/// Most errors that are kept, rows that are read, and columns of one.
const ERRORS: usize = 16;
const ROWS: usize = 64;
const COLUMNS: usize = 64;

/// A row as text; `None` is NULL.
pub(super) type Row = Vec<Option<String>>;

/// What the server said in one message.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// In order.
    pub(super) errors: Vec<Said>,
    /// The server's name and version, if it let us in.
    pub(super) acknowledged: Option<String>,
    /// Where it sends us instead.
    pub(super) route: Option<Route>,
    pub(super) rows: Vec<Row>,
    /// It ended, and the end is no error's.
    pub(super) is_well: bool,
}

/// An error: <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) number: i32,
    pub(super) words: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) host: String,
    pub(super) port: u16,
}

/// How a value of a column is written.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Of this many bytes.
    Fixed(usize),
    /// After its length in one byte; 0 is NULL.
    Integer,
    /// After its length in two bytes; 0xffff is NULL.
    Text,
}

/// `None` if it is no such stream. Of a stream that breaks off nothing is kept.
pub(super) fn read(bytes: &[u8]) -> Option<Answer> {
    let (mut rest, mut answer, mut columns) = (Bytes(bytes), Answer::default(), Vec::new());
    while let Some(token) = rest.byte() {
        // Nothing comes after the end.
        answer.is_well = false;
        match token {
            // COLMETADATA
            0x81 => columns = described(&mut rest)?,
            // ROW
            0xd1 => {
                let mut row = Row::new();
                for kind in &columns {
                    value(&mut rest, *kind, &mut row)?;
                }
                keep(&mut answer, row)?;
            }
            // NBCROW: a bit for each column says whether it is NULL.
            0xd2 => {
                let nulls = rest.take(columns.len().div_ceil(8))?;
                let mut row = Row::new();
                for (number, kind) in columns.iter().enumerate() {
                    let is_null = nulls.get(number / 8)? >> (number % 8) & 1 == 1;
                    if is_null {
                        row.push(None);
                    } else {
                        value(&mut rest, *kind, &mut row)?;
                    }
                }
                keep(&mut answer, row)?;
            }
            // ERROR, INFO
            0xaa | 0xab => {
                let mut said = rest.after_u16()?;
                if token == 0xaa && answer.errors.len() < ERRORS {
                    answer.errors.push(error(&mut said)?);
                }
            }
            // LOGINACK
            0xad => answer.acknowledged = Some(acknowledged(&mut rest.after_u16()?)?),
            // ENVCHANGE
            0xe3 => changed(&mut rest.after_u16()?, &mut answer)?,
            // DONE, DONEPROC, DONEINPROC: its last and least bit says that more comes, the next that there was an error.
            0xfd..=0xff => {
                let status = rest.u16()?;
                rest.take(10)?;
                answer.is_well = token != 0xff && status % 4 == 0;
            }
            // RETURNSTATUS
            0x79 => drop(rest.take(4)?),
            // ORDER, TABNAME, COLINFO, SSPI
            0xa9 | 0xa4 | 0xa5 | 0xed => {
                rest.after_u16()?;
            }
            // SESSIONSTATE, FEDAUTHINFO
            0xe4 | 0xee => {
                let length = rest.u32()?;
                rest.take(usize::try_from(length).ok()?)?;
            }
            // FEATUREEXTACK: features, each after its length.
            0xae => {
                while rest.byte()? != 0xff {
                    let length = rest.u32()?;
                    rest.take(usize::try_from(length).ok()?)?;
                }
            }
            _ => return None,
        }
    }
    Some(answer)
}

fn keep(answer: &mut Answer, row: Row) -> Option<()> {
    if row.is_empty() || answer.rows.len() == ROWS {
        return None;
    }
    answer.rows.push(row);
    Some(())
}

fn described(rest: &mut Bytes<'_>) -> Option<Vec<Kind>> {
    let count = rest.u16()?;
    if usize::from(count) > COLUMNS {
        return None;
    }
    let mut columns = Vec::new();
    for _ in 0..count {
        // User type and flags.
        rest.take(6)?;
        columns.push(match rest.byte()? {
            0x30 => Kind::Fixed(1),
            0x34 => Kind::Fixed(2),
            0x38 => Kind::Fixed(4),
            0x7f => Kind::Fixed(8),
            0x26 => {
                rest.byte()?;
                Kind::Integer
            }
            // NVARCHAR, with its length and collation.
            0xe7 => {
                rest.take(7)?;
                Kind::Text
            }
            _ => return None,
        });
        let name = usize::from(rest.byte()?);
        rest.take(name * 2)?;
    }
    Some(columns)
}

fn value(rest: &mut Bytes<'_>, kind: Kind, row: &mut Row) -> Option<()> {
    row.push(match kind {
        Kind::Fixed(length) => Some(integer(rest.take(length)?)?),
        Kind::Integer => match rest.byte()? {
            0 => None,
            length => Some(integer(rest.take(usize::from(length))?)?),
        },
        Kind::Text => match rest.u16()? {
            0xffff => None,
            length => Some(text(rest.take(usize::from(length))?)),
        },
    });
    Some(())
}

fn integer(bytes: &[u8]) -> Option<String> {
    Some(match bytes.len() {
        // TINYINT has no sign.
        1 => bytes.first()?.to_string(),
        2 => i16::from_le_bytes(*bytes.first_chunk()?).to_string(),
        4 => i32::from_le_bytes(*bytes.first_chunk()?).to_string(),
        8 => i64::from_le_bytes(*bytes.first_chunk()?).to_string(),
        _ => return None,
    })
}

fn error(said: &mut Bytes<'_>) -> Option<Said> {
    let number = said.u32()?.cast_signed();
    // State and class.
    said.take(2)?;
    let length = usize::from(said.u16()?);
    Some(Said { number, words: text(said.take(length * 2)?) })
}

fn acknowledged(said: &mut Bytes<'_>) -> Option<String> {
    // Interface and version of TDS.
    said.take(5)?;
    let length = usize::from(said.byte()?);
    let name = text(said.take(length * 2)?);
    let [major, minor, high, low] = *said.take(4)?.first_chunk()?;
    let build = u16::from_be_bytes([high, low]);
    Some(format!("{} {major}.{minor}.{build}", name.trim_end_matches(['\0', ' '])))
}

/// Of all that may change, the place is all that matters (2.2.7.9, type 20).
fn changed(said: &mut Bytes<'_>, answer: &mut Answer) -> Option<()> {
    if said.byte()? != 20 {
        return Some(());
    }
    let mut route = said.after_u16()?;
    // TCP is the one protocol there is.
    if route.byte()? != 0 {
        return None;
    }
    let port = route.u16()?;
    let length = usize::from(route.u16()?);
    let host = text(route.take(length * 2)?);
    answer.route = Some(Route { host, port }).filter(|route| route.port != 0 && !route.host.is_empty());
    answer.route.is_some().then_some(())
}

fn text(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        self.0.split_off(..length)
    }

    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(*self.take(2)?.first_chunk()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    /// What comes after its length in two bytes.
    fn after_u16(&mut self) -> Option<Self> {
        let length = usize::from(self.u16()?);
        self.take(length).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: &[u8] = b"\xfd\0\0\0\0\0\0\0\0\0\0\0\0";

    fn utf_16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_yes_counts_only_at_the_end() {
        let ack = [&b"\xad\x10\0\x01\x74\0\0\x04\x03"[..], &utf_16("SQL"), &[16, 0, 0x10, 0x27]].concat();
        let read = |parts: &[&[u8]]| read(&parts.concat()).map(|answer| (answer.acknowledged, answer.is_well));
        assert_eq!(read(&[&ack, DONE]), Some((Some("SQL 16.0.4135".to_owned()), true)));
        assert_eq!(read(&[&ack]), Some((Some("SQL 16.0.4135".to_owned()), false)));
        assert_eq!(read(&[&ack, b"\xfd\x02\0\0\0\0\0\0\0\0\0\0\0"]).map(|answer| answer.1), Some(false), "an error");
        assert_eq!(read(&[&ack, b"\xfd\x01\0\0\0\0\0\0\0\0\0\0\0"]).map(|answer| answer.1), Some(false), "more is to come");
        assert_eq!(read(&[&ack, DONE, b"\xab\0\0"]).map(|answer| answer.1), Some(false), "more came");
        assert_eq!(read(&[&ack, b"\xfd\0\0"]), None, "cut off");
        assert_eq!(read(&[b"\0"]), None);
    }

    #[test]
    fn a_place_is_read() {
        let route = [&b"\xe3\x12\0\x14\x0d\0\0\x0b\x2b\x04\0"[..], &utf_16("db.x"), &[0, 0]].concat();
        let answer = read(&route).expect("sound");
        assert_eq!(answer.route, Some(Route { host: "db.x".to_owned(), port: 11_019 }));
    }

    #[test]
    fn rows_are_read_with_what_is_null() {
        let head = b"\x81\x02\0\0\0\0\0\0\0\x38\0\0\0\0\0\0\0\xe7\x10\0\0\0\0\0\0\0";
        let row = [&b"\xd1\x07\0\0\0\x02\0"[..], &utf_16("x")].concat();
        let answer = read(&[&head[..], &row, b"\xd2\x02\x08\0\0\0", DONE].concat()).expect("sound");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(answer.rows, [vec![text("7"), text("x")], vec![text("8"), None]]);
        assert_eq!(read(b"\xd1").map(|_| ()), None, "a row of nothing");
    }
}

//! The part of BSON (<https://bsonspec.org/spec.html>) that commands of MongoDB and their answers have.

/// A document that is being written.
#[derive(Debug)]
pub(super) struct Draft(Vec<u8>);

impl Draft {
    /// A command, whose name comes first, and the database that it is for.
    pub(super) fn command(name: &str, database: &str) -> Self {
        Self(Vec::new()).integer(name, 1).text("$db", database)
    }

    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    fn element(mut self, kind: u8, name: &str, value: &[u8]) -> Self {
        self.0.push(kind);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn integer(self, name: &str, value: i32) -> Self {
        self.element(0x10, name, &value.to_le_bytes())
    }

    pub(super) fn flag(self, name: &str, value: bool) -> Self {
        self.element(0x08, name, &[u8::from(value)])
    }

    pub(super) fn text(self, name: &str, value: &str) -> Self {
        let text = [&length(value.len() + 1)[..], value.as_bytes(), &[0]].concat();
        self.element(0x02, name, &text)
    }

    /// Bytes of no special kind.
    pub(super) fn binary(self, name: &str, value: &[u8]) -> Self {
        let bytes = [&length(value.len())[..], &[0], value].concat();
        self.element(0x05, name, &bytes)
    }

    pub(super) fn document(self, name: &str, value: Self) -> Self {
        let bytes = value.bytes();
        self.element(0x03, name, &bytes)
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        [&length(self.0.len() + 5)[..], &self.0, &[0]].concat()
    }
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// A document that was read. What is malformed in it, and all that comes after that, is not there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a>(&'a [u8]);

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Double(f64),
    Integer(i64),
    Flag(bool),
    Text(&'a str),
    Binary(&'a [u8]),
    /// An array is one, too, whose names are numbers.
    Document(Document<'a>),
    Other,
}

impl<'a> Document<'a> {
    /// `bytes` from its length to its end.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let is_whole = usize::try_from(u32::from_le_bytes(*length)).ok()? == bytes.len();
        rest.strip_suffix(&[0]).filter(|_| is_whole).map(Self)
    }

    pub(super) fn elements(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, value, after) = element(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    fn get(self, name: &str) -> Option<Value<'a>> {
        self.elements().find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value)
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer(self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn binary(self, name: &str) -> Option<&'a [u8]> {
        match self.get(name)? {
            Value::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether it says yes: servers have 1, 1.0 and true for that.
    pub(super) fn says_yes(self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Double(value)) => value > 0.5,
            Some(Value::Integer(value)) => value > 0,
            Some(Value::Flag(value)) => value,
            _ => false,
        }
    }

    /// The texts of an array.
    pub(super) fn texts(self, name: &str) -> Option<Vec<&'a str>> {
        let Value::Document(array) = self.get(name)? else { return None };
        let text = |(_, value)| if let Value::Text(text) = value { Some(text) } else { None };
        Some(array.elements().filter_map(text).collect())
    }
}

/// The first element, and what comes after it.
fn element(bytes: &[u8]) -> Option<(&[u8], Value<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (name, rest) = word(rest)?;
    let (value, rest) = match kind {
        0x01 => rest.split_first_chunk::<8>().map(|(value, rest)| (Value::Double(f64::from_le_bytes(*value)), rest))?,
        0x02 => sized(rest, 0).map(|(text, rest)| (written(text), rest))?,
        0x03 | 0x04 => {
            let (length, _) = rest.split_first_chunk::<4>()?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            (Value::Document(Document::read(bytes)?), rest)
        }
        0x05 => sized(rest, 1).map(|(bytes, rest)| (Value::Binary(bytes.get(1..).unwrap_or_default()), rest))?,
        0x08 => rest.split_first().map(|(value, rest)| (Value::Flag(*value != 0), rest))?,
        0x10 => rest.split_first_chunk::<4>().map(|(value, rest)| (Value::Integer(i32::from_le_bytes(*value).into()), rest))?,
        0x12 => rest.split_first_chunk::<8>().map(|(value, rest)| (Value::Integer(i64::from_le_bytes(*value)), rest))?,
        // Of no use here, and passed over: nothing, ids, times, code, decimal numbers.
        0x06 | 0x0a | 0x7f | 0xff => (Value::Other, rest),
        0x07 => (Value::Other, rest.split_at_checked(12)?.1),
        0x09 | 0x11 => (Value::Other, rest.split_at_checked(8)?.1),
        0x0b => (Value::Other, word(word(rest)?.1)?.1),
        0x0d | 0x0e => (Value::Other, sized(rest, 0)?.1),
        0x13 => (Value::Other, rest.split_at_checked(16)?.1),
        _ => return None,
    };
    Some((name, value, rest))
}

/// Up to a zero, which ends it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (word, rest) = bytes.split_at_checked(end)?;
    Some((word, rest.get(1..)?))
}

/// After its length, which does not count the first `more` bytes.
fn sized(bytes: &[u8], more: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(more)?)
}

fn written(text: &[u8]) -> Value<'_> {
    text.strip_suffix(&[0]).and_then(|text| std::str::from_utf8(text).ok()).map_or(Value::Other, Value::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first example of the specification.
    #[test]
    fn a_document_is_as_the_specification_has_it() {
        let bytes = Draft::new().text("hello", "world").bytes();
        assert_eq!(bytes, b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0");
        assert_eq!(Document::read(&bytes).and_then(|document| document.text("hello")), Some("world"));
    }

    #[test]
    fn what_is_passed_over_hides_nothing_after_it() {
        let all = b"\x01d\0\0\0\0\0\0\0\xf0\x3f\x07o\0abcdefghijkl\x09t\0abcdefgh\x0an\0\x0br\0a\0b\0\x11s\0abcdefgh\x13m\0abcdefghijklmnop";
        let array = b"\x04a\0\x18\0\0\0\x020\0\x02\0\0\0x\0\x021\0\x03\0\0\0yz\0\0";
        let last = b"\x12l\0\x07\0\0\0\0\0\0\0\x08f\0\x01\x05b\0\x02\0\0\0\0hi";
        let elements = [&all[..], array, last].concat();
        let bytes = [&length(elements.len() + 5)[..], &elements, &[0]].concat();
        let document = Document::read(&bytes).expect("whole");
        assert!(document.says_yes("d") && document.says_yes("f") && document.says_yes("l") && !document.says_yes("n"));
        assert_eq!(document.texts("a"), Some(vec!["x", "yz"]));
        assert_eq!((document.integer("l"), document.binary("b")), (Some(7), Some(&b"hi"[..])));
        for cut in 0..bytes.len() {
            assert!(Document::read(bytes.get(..cut).expect("shorter")).is_none(), "{cut}");
        }
    }
}

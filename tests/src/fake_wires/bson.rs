//! BSON (<https://bsonspec.org/spec.html>), as far as commands and their answers have it.

use std::io;

use super::unknown;

#[derive(Debug, Clone, PartialEq)]
pub enum Bson {
    Double(f64),
    Text(String),
    Document(Fields),
    Array(Vec<Bson>),
    Binary(Vec<u8>),
    Flag(bool),
    Int(i32),
    /// What no command here needs.
    Other,
}

pub type Fields = Vec<(String, Bson)>;

pub fn read(bytes: &[u8]) -> io::Result<Fields> {
    let (fields, rest) = document(bytes).ok_or_else(|| unknown("no document"))?;
    if rest.is_empty() { Ok(fields) } else { Err(unknown("more than a document")) }
}

fn document(bytes: &[u8]) -> Option<(Fields, &[u8])> {
    let length = usize::try_from(i32::from_le_bytes(*bytes.first_chunk::<4>()?)).ok()?;
    let (own, rest) = bytes.split_at_checked(length)?;
    let mut own = own.get(4..)?.strip_suffix(&[0])?;
    let mut fields = Vec::new();
    while let [kind, named @ ..] = own {
        let end = named.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8(named.get(..end)?.to_vec()).ok()?;
        let (value, after) = value(*kind, named.get(end + 1..)?)?;
        fields.push((name, value));
        own = after;
    }
    Some((fields, rest))
}

fn value(kind: u8, bytes: &[u8]) -> Option<(Bson, &[u8])> {
    let length = || usize::try_from(i32::from_le_bytes(*bytes.first_chunk::<4>()?)).ok();
    let passed = |length: usize| bytes.get(length..).map(|rest| (Bson::Other, rest));
    match kind {
        0x01 => bytes.split_first_chunk().map(|(value, rest)| (Bson::Double(f64::from_le_bytes(*value)), rest)),
        0x02 => {
            let (text, rest) = bytes.get(4..)?.split_at_checked(length()?)?;
            Some((Bson::Text(String::from_utf8(text.strip_suffix(&[0])?.to_vec()).ok()?), rest))
        }
        0x03 => document(bytes).map(|(fields, rest)| (Bson::Document(fields), rest)),
        0x04 => document(bytes).map(|(fields, rest)| (Bson::Array(fields.into_iter().map(|(_, value)| value).collect()), rest)),
        0x05 => {
            let (value, rest) = bytes.get(5..)?.split_at_checked(length()?)?;
            Some((Bson::Binary(value.to_vec()), rest))
        }
        0x08 => match bytes {
            [flag @ (0 | 1), rest @ ..] => Some((Bson::Flag(*flag == 1), rest)),
            _ => None,
        },
        0x0a => passed(0),
        0x07 => passed(12),
        0x09 | 0x11 | 0x12 => passed(8),
        0x10 => bytes.split_first_chunk().map(|(value, rest)| (Bson::Int(i32::from_le_bytes(*value)), rest)),
        _ => None,
    }
}

pub fn write(fields: &[(String, Bson)]) -> Vec<u8> {
    let mut out = vec![0; 4];
    for (name, value) in fields {
        let (kind, bytes) = match value {
            Bson::Double(value) => (0x01, value.to_le_bytes().to_vec()),
            Bson::Text(text) => (0x02, [&length(text.len() + 1)[..], text.as_bytes(), &[0]].concat()),
            Bson::Document(fields) => (0x03, write(fields)),
            Bson::Array(values) => {
                let numbered = values.iter().enumerate().map(|(number, value)| (number.to_string(), value.clone()));
                (0x04, write(&numbered.collect::<Vec<_>>()))
            }
            Bson::Binary(bytes) => (0x05, [&length(bytes.len())[..], &[0], bytes].concat()),
            Bson::Flag(flag) => (0x08, vec![u8::from(*flag)]),
            Bson::Int(value) => (0x10, value.to_le_bytes().to_vec()),
            Bson::Other => (0x0a, Vec::new()),
        };
        out.push(kind);
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend(bytes);
    }
    out.push(0);
    let whole = length(out.len());
    out.splice(..4, whole);
    out
}

fn length(length: usize) -> [u8; 4] {
    i32::try_from(length).expect("short").to_le_bytes()
}

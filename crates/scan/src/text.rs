//! Bytes as text. Names of connections are ASCII, so of an encoding it matters only whether ASCII is itself in it.

use std::borrow::Cow;

use memchr::memchr;

use crate::report::Reason;

/// Encodings in which a byte below 0x80 may be part of another letter, or which are none of text.
const NOT_ASCII: [&str; 14] =
    ["utf-16", "utf16", "utf-32", "utf32", "utf-7", "utf7", "shift", "sjis", "cp932", "gb", "big5", "iso-2022", "hz", "johab"];

/// # Errors
/// [`Reason::Binary`], [`Reason::NotUtf8`] or [`Reason::UnknownEncoding`].
pub fn decode(bytes: &[u8], is_python: bool) -> Result<Cow<'_, str>, Reason> {
    if let Some(text) = utf16(bytes) {
        return text.map(Cow::Owned);
    }
    if memchr(0, bytes).is_some() {
        return Err(Reason::Binary);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => match cookie(bytes).filter(|_| is_python) {
            None => Err(Reason::NotUtf8),
            Some(name) if name.starts_with("utf-8") || name == "utf8" || name == "ascii" || name == "us-ascii" => {
                Err(Reason::NotUtf8)
            }
            Some(name) if NOT_ASCII.iter().any(|other| name.starts_with(other)) => Err(Reason::UnknownEncoding),
            Some(_) => Ok(Cow::Owned(bytes.iter().copied().map(char::from).collect())),
        },
    }
}

/// A text behind a mark of UTF-16: some editors write `.env` files so.
fn utf16(bytes: &[u8]) -> Option<Result<String, Reason>> {
    let (units, read): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        _ => return None,
    };
    let (pairs, rest) = units.as_chunks::<2>();
    let units = pairs.iter().map(|pair| read(*pair));
    let text = char::decode_utf16(units).collect::<Result<String, _>>().ok().filter(|_| rest.is_empty());
    Some(text.ok_or(Reason::UnknownEncoding))
}

/// The encoding that the first or second line names: <https://peps.python.org/pep-0263/>.
fn cookie(bytes: &[u8]) -> Option<String> {
    bytes.split(|byte| *byte == b'\n').take(2).find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let comment = line.trim_start_matches([' ', '\t', '\x0c']).strip_prefix('#')?;
        let after = comment.split_once("coding").and_then(|(_, after)| after.strip_prefix([':', '=']))?;
        let name = after.trim_start_matches([' ', '\t']);
        let end =
            name.find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_' | '.')).unwrap_or(name.len());
        name.get(..end).filter(|name| !name.is_empty()).map(|name| name.to_ascii_lowercase().replace('_', "-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_holds_ascii_is_read() {
        let read = |bytes: &[u8]| decode(bytes, true).map(Cow::into_owned);
        assert_eq!(read(b"\xef\xbb\xbfa = 1"), Ok("a = 1".to_owned()));
        assert_eq!(
            read(b"#!/usr/bin/python\n# -*- coding: latin-1 -*-\n# \xe9"),
            Ok("#!/usr/bin/python\n# -*- coding: latin-1 -*-\n# é".to_owned())
        );
        assert_eq!(
            read(b"# vim: set fileencoding=ISO_8859-15 :\n\xa4"),
            Ok("# vim: set fileencoding=ISO_8859-15 :\n¤".to_owned())
        );
        assert_eq!(read(b"\xff\xfeA\x00=\x00"), Ok("A=".to_owned()));
        assert_eq!(read(b"\xfe\xff\x00A"), Ok("A".to_owned()));
        assert_eq!(read(b"\xff\xfeA"), Err(Reason::UnknownEncoding));
        assert_eq!(read(b"\xe9"), Err(Reason::NotUtf8));
        assert_eq!(read(b"# coding: utf-8\n\xe9"), Err(Reason::NotUtf8));
        assert_eq!(read(b"# coding: shift_jis\n\x83\x5c"), Err(Reason::UnknownEncoding));
        assert_eq!(read(b"x\n\n# coding: latin-1\n\xe9"), Err(Reason::NotUtf8), "the third line is too late");
        assert_eq!(read(b"a\x00b"), Err(Reason::Binary));
        assert_eq!(decode(b"# coding: latin-1\n\xe9", false), Err(Reason::NotUtf8), "only Python says it so");
    }
}

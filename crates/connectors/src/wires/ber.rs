//! The part of BER (X.690) that LDAP has: tag, length, value, each of a known end.

/// One value after its tag and length.
pub(super) fn wrapped(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short @ ..=0x7f) => bytes.push(short),
        Ok(one) => bytes.extend([0x81, one]),
        Err(_) => {
            let length = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
            bytes.push(0x84);
            bytes.extend_from_slice(&length);
        }
    }
    bytes.extend_from_slice(value);
    bytes
}

pub(super) fn sequence(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    wrapped(tag, &parts.concat())
}

pub(super) fn integer(tag: u8, value: u8) -> Vec<u8> {
    wrapped(tag, &[value])
}

/// Reads one value after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next value with its tag; `None` at the end and where what follows is none.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ ..=0x7f => (usize::from(short), rest),
            // No value here needs more.
            long @ 0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, value))
    }

    /// The next value, which must have this tag.
    pub(super) fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, value)| value)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        self.expect(0x04).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 70_000] {
            let value = vec![7; length];
            let bytes = wrapped(0x04, &value);
            let mut reader = Reader(&bytes);
            assert_eq!(reader.expect(0x04), Some(&value[..]), "{length}");
            assert_eq!(reader.next(), None);
        }
        for bent in [&[0x04][..], &[0x04, 2, 1], &[0x04, 0x80, 0, 0], &[0x04, 0x85, 0, 0, 0, 0, 0], &[0x04, 0x82, 0xff]] {
            assert_eq!(Reader(bent).next(), None, "{bent:?}");
        }
    }
}

//! Bytes as text: hex, Crockford's base32, base62, and the CRC-32 of tokens.

use zeroize::Zeroizing;

const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn digit(alphabet: &[u8], value: impl Into<usize>) -> char {
    alphabet.get(value.into()).copied().map(char::from).expect("a digit is smaller than the alphabet")
}

/// The bytes of a hex text in either case; `None` if it is not one. Never moved while they are read, so that no copy of a key stays
/// behind.
pub(crate) fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Crockford's base32 of a whole number of 5-byte groups, most significant first.
pub(crate) fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() / 5 * 8));
    for group in bytes.chunks_exact(5) {
        let number = group.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let value = u8::try_from(number >> (5 * place) & 31).expect("five bits");
            text.push(digit(BASE32, value));
        }
    }
    text
}

/// The value of one base32 character in either case; `I` and `L` are read as 1, `O` as 0.
pub(crate) fn base32_value(character: char) -> Option<u8> {
    let character = match character.to_ascii_uppercase() {
        'I' | 'L' => '1',
        'O' => '0',
        other => other,
    };
    BASE32.iter().position(|digit| char::from(*digit) == character).and_then(|at| u8::try_from(at).ok())
}

/// The bytes of base32 values, in whole groups of eight.
pub(crate) fn unbase32(values: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(values.len() / 8 * 5));
    for group in values.chunks_exact(8) {
        let number = group.iter().fold(0_u64, |number, value| number << 5 | u64::from(*value));
        bytes.extend_from_slice(number.to_be_bytes().split_at(3).1);
    }
    bytes
}

/// The base62 digit that a random byte stands for; `None` for the eight bytes that would make some digits likelier.
pub(crate) fn base62_from_random(byte: u8) -> Option<char> {
    (byte < 248).then(|| digit(BASE62, byte % 62))
}

/// A 32-bit number as six base62 digits, most significant first.
pub(crate) fn base62_of(mut number: u32) -> [char; 6] {
    let mut digits = ['0'; 6];
    for place in digits.iter_mut().rev() {
        *place = digit(BASE62, u8::try_from(number % 62).expect("below 62"));
        number /= 62;
    }
    digits
}

/// The CRC-24 of RFC 4880, section 6.1. It finds every error within 24 bits in a row, so any one mistyped character of five
/// bits and any two neighbours that were swapped.
pub(crate) fn crc24(bytes: &[u8]) -> [u8; 3] {
    let sum = bytes.iter().fold(0x00B7_04CE_u32, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 16), |sum, _| (sum << 1) ^ (0x0186_4CFB & ((sum >> 23) & 1).wrapping_neg()))
    });
    let [_, sum @ ..] = sum.to_be_bytes();
    sum
}

/// CRC-32 as in zip and Ethernet (reflected, polynomial 0xEDB88320).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_check_values_hold() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc24(b"123456789"), [0x21, 0xCF, 0x02]);
        assert_eq!(base32(b"\x00\x44\x32\x14\xc7").as_str(), "01234567");
        assert_eq!(base62_of(0).iter().collect::<String>(), "000000");
        assert_eq!(base62_of(u32::MAX).iter().collect::<String>(), "4gfFC3");
    }

    #[test]
    fn hex_and_base32_round_trip_and_refuse_what_is_not() {
        let bytes: Vec<u8> = (0..=255).chain(0..=4).collect();
        let text = base32(&bytes[..255]);
        let values: Vec<u8> = text.chars().filter_map(base32_value).collect();
        assert_eq!(unbase32(&values).as_slice(), &bytes[..255]);
        assert_eq!(unhex(&hex::encode(&bytes)).as_deref(), Some(&bytes));
        assert!(unhex("0").is_none() && unhex("0g").is_none() && unhex("é").is_none());
        assert_eq!((base32_value('l'), base32_value('O'), base32_value('u')), (Some(1), Some(0), None));
    }

    #[test]
    fn every_base62_digit_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for character in (0..=255).filter_map(base62_from_random) {
            *counts.entry(character).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|count| *count == 4));
    }
}

//! Numbers and texts as TTC writes them.

/// Why something could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// More has to come.
    Short,
    /// It is nothing that belongs here.
    Bent,
}

/// Says that what follows comes in pieces, each after its length, the last one empty.
const PIECES: u8 = 0xfe;
const NULL: u8 = 0xff;
/// Longest text that goes after its length in one byte.
const SHORTEST_LONG: usize = 253;

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Unread> {
        self.0.split_off(..length).ok_or(Unread::Short)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unread> {
        self.0.split_off_first().copied().ok_or(Unread::Short)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Unread> {
        Ok(u16::from_be_bytes(*self.take(2)?.first_chunk().ok_or(Unread::Short)?))
    }

    pub(super) fn u16_le(&mut self) -> Result<u16, Unread> {
        self.u16().map(u16::swap_bytes)
    }

    /// A number of at most `most` bytes, after how many it has. The sign, which is told beside, is not needed.
    pub(super) fn number(&mut self, most: u8) -> Result<u64, Unread> {
        let length = self.byte()? & 0x7f;
        if length > most {
            return Err(Unread::Bent);
        }
        Ok(self.take(usize::from(length))?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The same, of four bytes.
    pub(super) fn ub4(&mut self) -> Result<u32, Unread> {
        u32::try_from(self.number(4)?).map_err(|_| Unread::Bent)
    }

    /// What comes after its own length.
    pub(super) fn counted(&mut self) -> Result<Vec<u8>, Unread> {
        match self.byte()? {
            0 | NULL => Ok(Vec::new()),
            PIECES => {
                let mut all = Vec::new();
                loop {
                    let length = usize::try_from(self.ub4()?).map_err(|_| Unread::Bent)?;
                    if length == 0 {
                        return Ok(all);
                    }
                    all.extend_from_slice(self.take(length)?);
                }
            }
            length => self.take(usize::from(length)).map(<[u8]>::to_vec),
        }
    }

    /// The same after its length as a number, if that is not 0.
    pub(super) fn announced(&mut self) -> Result<Vec<u8>, Unread> {
        if self.ub4()? == 0 { Ok(Vec::new()) } else { self.counted() }
    }

    pub(super) fn text(&mut self) -> Result<String, Unread> {
        self.announced().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

pub(super) fn write_number(out: &mut Vec<u8>, number: u32) {
    let bytes = number.to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(skipped..).unwrap_or_default();
    // Of three bytes there is no form.
    let filled = if bytes.len() == 3 { 4 } else { bytes.len() };
    out.push(u8::try_from(filled).unwrap_or_default());
    out.resize(out.len() + filled - bytes.len(), 0);
    out.extend_from_slice(bytes);
}

pub(super) fn write_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) if bytes.len() < SHORTEST_LONG => {
            out.push(length);
            out.extend_from_slice(bytes);
        }
        _ => {
            out.push(PIECES);
            for piece in bytes.chunks(32_767) {
                write_number(out, u32::try_from(piece.len()).unwrap_or_default());
                out.extend_from_slice(piece);
            }
            out.push(0);
        }
    }
}

pub(super) fn write_announced(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, u32::try_from(bytes.len()).unwrap_or_default());
    if !bytes.is_empty() {
        write_counted(out, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for number in [0, 1, 255, 256, 65_535, 65_536, 0x0100_0000, u32::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            let mut rest = Bytes(&out);
            assert_eq!((rest.ub4(), rest.0), (Ok(number), &[][..]), "{out:?}");
        }
        for length in [0, 1, 252, 253, 255, 40_000] {
            let (bytes, mut out) = (vec![7; length], Vec::new());
            write_announced(&mut out, &bytes);
            assert_eq!(Bytes(&out).announced(), Ok(bytes));
            assert!(length == 0 || Bytes(&out[..out.len() - 1]).announced() == Err(Unread::Short));
        }
        assert_eq!(Bytes(&[5, 0, 0, 0, 0, 1]).ub4(), Err(Unread::Bent));
    }
}

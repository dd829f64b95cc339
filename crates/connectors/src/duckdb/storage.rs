//! The form of a DuckDB file, as far as it is read: <https://duckdb.org/docs/stable/internals/storage>, and `MainHeader`, `DatabaseHeader`
//! and `Checksum` in DuckDB's sources.
//!
//! Three headers of 4 KiB come first: what the file is, and two of the database, of which the one that was written last counts. Blocks of one
//! size follow. Each header and each block begins with a checksum of its rest.

use std::io::{Read, Seek, SeekFrom};

const HEADER: usize = 4096;
const MAGIC: &[u8] = b"DUCK";
/// Those that DuckDB from 0.9 to 2.0 writes.
const KNOWN: [u64; 6] = [64, 65, 66, 67, 68, 999];
const OLDEST: u64 = 64;
/// In the first of the flags.
const ENCRYPTED: u64 = 1;
/// That of a file in which the header says none.
const USUAL_BLOCK: u64 = 256 * 1024;
const SMALLEST_BLOCK: u64 = 16 * 1024;
/// A pointer that leads nowhere.
const NOWHERE: u64 = u64::MAX;
/// The part of a pointer that is the number of a block; the rest is a place in it.
const BLOCK_NUMBER: u64 = (1 << 56) - 1;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is something else.
    Another,
    Old(u64),
    Damaged,
    Encrypted,
}

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Main {
    pub(super) version: u64,
    /// `v2.0.1`.
    pub(super) made_by: String,
}

impl Main {
    pub(super) fn is_known(&self) -> bool {
        KNOWN.contains(&self.version)
    }
}

/// The state of a database.
#[derive(Debug)]
pub(super) struct Database {
    written: u64,
    catalogue: u64,
    blocks: u64,
    block_size: u64,
}

/// Reads what the file is.
pub(super) fn main(file: &mut (impl Read + Seek)) -> Result<Main, Fault> {
    // What is too short for it is no such file: not even an empty database is.
    let header = bytes(file, 0, HEADER).ok_or(Fault::Another)?;
    if header.get(8..12) != Some(MAGIC) {
        return Err(Fault::Another);
    }
    let version = number(&header, 12).ok_or(Fault::Another)?;
    if version < OLDEST {
        return Err(Fault::Old(version));
    }
    let made_by = header.get(52..84).unwrap_or_default();
    let made_by = made_by.split(|byte| *byte == 0).next().unwrap_or_default();
    let main = Main { version, made_by: String::from_utf8_lossy(made_by).into_owned() };
    if !main.is_known() {
        return Ok(main);
    }
    if !is_sound(&header) {
        return Err(Fault::Damaged);
    }
    match number(&header, 20) {
        Some(flags) if flags & ENCRYPTED != 0 => Err(Fault::Encrypted),
        _ => Ok(main),
    }
}

/// Reads both headers of the database, which are sound both or the file is not opened by anybody; gives the one that counts.
pub(super) fn database(file: &mut (impl Read + Seek)) -> Result<Database, Fault> {
    let mut header = |place: usize| {
        let header = bytes(file, u64::try_from(place).ok()?, HEADER).filter(|header| is_sound(header))?;
        let at = |at| number(&header, at);
        let block_size = Some(at(40)?).filter(|size| *size != 0).unwrap_or(USUAL_BLOCK);
        Some(Database { written: at(8)?, catalogue: at(16)?, blocks: at(32)?, block_size })
    };
    let (first, second) = (header(HEADER).ok_or(Fault::Damaged)?, header(2 * HEADER).ok_or(Fault::Damaged)?);
    let counts = if first.written > second.written { first } else { second };
    let is_size = counts.block_size.is_power_of_two() && (SMALLEST_BLOCK..=USUAL_BLOCK).contains(&counts.block_size);
    if is_size { Ok(counts) } else { Err(Fault::Damaged) }
}

/// Reads the block in which the catalogue begins; whether there is one.
pub(super) fn catalogue(file: &mut (impl Read + Seek), database: &Database) -> Result<bool, Fault> {
    if database.catalogue == NOWHERE {
        return Ok(false);
    }
    let number = database.catalogue & BLOCK_NUMBER;
    let place = Some(number).filter(|number| *number < database.blocks);
    let place = place.and_then(|number| number.checked_mul(database.block_size)?.checked_add(3 * 4096));
    let length = usize::try_from(database.block_size).ok();
    let block = place.zip(length).and_then(|(place, length)| bytes(file, place, length));
    if block.is_some_and(|block| is_sound(&block)) { Ok(true) } else { Err(Fault::Damaged) }
}

fn bytes(file: &mut (impl Read + Seek), place: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(place)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn number(bytes: &[u8], place: usize) -> Option<u64> {
    bytes.get(place..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Whether it has the checksum that it begins with.
fn is_sound(bytes: &[u8]) -> bool {
    const FIRST: u64 = 5381;
    const FACTOR: u64 = 0xbf58_476d_1ce4_e5b9;
    let (words, _) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.next() == Some(words.fold(FIRST, |sum, word| sum ^ word.wrapping_mul(FACTOR)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use dataflow_fuzz::fuzz;

    use super::*;

    /// A file of one small block, with sound checksums.
    fn file(version: u64, catalogue: u64) -> Vec<u8> {
        let part = |length: usize, values: &[(usize, u64)], text: &[u8]| {
            let mut part = vec![0; length];
            for (place, value) in values {
                part[*place..*place + 8].copy_from_slice(&value.to_le_bytes());
            }
            part[52..52 + text.len()].copy_from_slice(text);
            if !text.is_empty() {
                part[8..12].copy_from_slice(MAGIC);
            }
            sum(&mut part);
            part
        };
        let header = |written: u64, catalogue: u64| {
            part(HEADER, &[(8, written), (16, catalogue), (24, NOWHERE), (32, 1), (40, SMALLEST_BLOCK), (48, 2048)], b"")
        };
        let block = part(usize::try_from(SMALLEST_BLOCK).expect("small"), &[(80, 1)], b"");
        [part(HEADER, &[(12, version)], b"v2.0.1"), header(7, catalogue), header(6, NOWHERE), block].concat()
    }

    /// Writes the checksum, as in DuckDB's `checksum.cpp`.
    fn sum(part: &mut [u8]) {
        let words = part[8..].chunks(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
        let sum = words.fold(5381_u64, |sum, word| sum ^ word.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        part[..8].copy_from_slice(&sum.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Result<bool, Fault> {
        let mut file = Cursor::new(bytes);
        main(&mut file)?;
        let database = database(&mut file)?;
        catalogue(&mut file, &database)
    }

    #[test]
    fn the_header_that_was_written_last_counts() {
        assert_eq!(read(&file(64, 2 << 56)), Ok(true), "a place in the first block");
        assert_eq!(read(&file(64, NOWHERE)), Ok(false));
        assert_eq!(read(&file(64, 1)), Err(Fault::Damaged), "a block that is not there");
        assert_eq!(read(&file(63, 0)), Err(Fault::Old(63)));
        let unknown = main(&mut Cursor::new(&file(1000, 0))).expect("it is one");
        assert_eq!((unknown.is_known(), unknown.made_by.as_str()), (false, "v2.0.1"));
    }

    #[test]
    fn any_bit_that_is_bent_is_found() {
        let sound = file(999, 0);
        // Of the magic word it is another file's, of the version one of another version.
        for place in (0..sound.len()).step_by(7).filter(|place| !(8..20).contains(place)) {
            let mut bent = sound.clone();
            bent[place] ^= 0x10;
            assert_eq!(read(&bent), Err(Fault::Damaged), "{place}");
        }
        for length in [0, 100, 4096, 9000, 12_288, 20_000] {
            assert!(read(sound.split_at(length).0).is_err(), "{length}");
        }
    }

    #[test]
    fn fuzz_files() {
        fuzz(&[&file(64, 0), &file(999, NOWHERE)], |bytes| drop(read(bytes)));
        // What has sound checksums is bent as well.
        fuzz(&[&file(64, 0)], |bytes| {
            let mut bytes = bytes.to_vec();
            bytes.chunks_mut(HEADER).take(3).filter(|part| part.len() == HEADER).for_each(sum);
            drop(read(&bytes));
        });
    }
}

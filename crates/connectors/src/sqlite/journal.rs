//! What a rollback journal may make SQLite do: one that was left behind is played back by whoever opens the database next, and the
//! super-journal that it names is deleted then, whatever file that is and wherever it lies.
//!
//! Source: <https://www.sqlite.org/fileformat2.html#the_rollback_journal>, and `pager_delsuper` in SQLite's `pager.c`.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// Length of the name, its checksum, the magic bytes.
const TAIL: usize = 16;
/// SQLite's own limit is 512 (`SQLITE_MAX_PATHLEN`).
const LONGEST: usize = 4096;

/// Whether the journal of the database at `path` names a super-journal outside of the database's folder. Whoever may put a journal
/// into that folder may delete what lies in it anyway.
pub(super) fn leads_elsewhere(path: &Path) -> bool {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    match super_journal(Path::new(&journal)) {
        Ok(named) => named.is_some_and(|named| !lies_beside(&named, path)),
        // What cannot be read here SQLite cannot read either.
        Err(_) => false,
    }
}

fn lies_beside(named: &Path, path: &Path) -> bool {
    let in_folder = named.parent().and_then(|folder| folder.canonicalize().ok());
    in_folder.as_deref() == path.parent() && named.file_name().is_some()
}

/// The file that the journal names as the one above it.
fn super_journal(journal: &Path) -> io::Result<Option<PathBuf>> {
    if !journal.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(journal)?;
    let length = file.seek(SeekFrom::End(0))?;
    let most = u64::try_from(TAIL + LONGEST).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut end = Vec::new();
    file.take(most).read_to_end(&mut end)?;
    Ok(named_in(&end))
}

fn named_in(end: &[u8]) -> Option<PathBuf> {
    let (before, tail) = end.split_last_chunk::<TAIL>()?;
    let (length, magic) = (tail.first_chunk::<4>()?, tail.last_chunk::<8>()?);
    if magic != &MAGIC {
        return None;
    }
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let name = before.get(before.len().checked_sub(length)?..)?;
    (!name.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stands_at_the_end() {
        let journal = |length: u32| [b"pages/srv/a".as_slice(), &length.to_be_bytes(), &[0; 4], &MAGIC].concat();
        assert_eq!(named_in(&journal(6)), Some(PathBuf::from("/srv/a")));
        assert_eq!(named_in(&journal(0)), None);
        assert_eq!(named_in(&journal(12)), None, "longer than what is there");
        assert_eq!(named_in(&MAGIC), None);
        assert_eq!(named_in(b"pages/srv/a and no magic bytes"), None);
    }

    #[test]
    fn fuzz_journals() {
        let journal = [b"pages/srv/a".as_slice(), &6_u32.to_be_bytes(), &[0; 4], &MAGIC].concat();
        dataflow_fuzz::fuzz(&[&journal], |bytes| drop(named_in(bytes)));
    }
}

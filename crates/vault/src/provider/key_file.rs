//! A key in a file of its own, outside the data directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{
    Kek, KekProvider, SlotKind, VaultError, encoding,
    format::{FORMAT, KEY_FILE_WORD},
    key::{self, Key},
};

/// More than any key file has; what is longer is another file.
const LENGTH_MAX: u64 = 1024;
const SUM_LENGTH: usize = 4;

/// The key of a key file, in memory.
#[derive(Debug)]
pub struct KeyFile(Key);

impl KeyFile {
    /// Makes a new key in a new file (0600). When it returns, file and folder are on disk.
    ///
    /// # Errors
    /// `KeyFileExists` if there is anything at `path`, which is left as it is; `KeyFile` if the disk refuses.
    pub fn create(path: &Path) -> Result<Self, VaultError> {
        let key = Key::random();
        let failed = |doing| move |source| VaultError::KeyFile { path: path.to_owned(), doing, source };
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(VaultError::KeyFileExists { path: path.to_owned() });
            }
            Err(error) => return Err(failed("making it")(error)),
        };
        let written = file
            .write_all(line(&key).as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(folder(path))?.sync_all());
        if let Err(error) = written {
            // The half-written file is this call's own; left behind, it would stand in the way of the next try.
            let _ = fs::remove_file(path);
            return Err(failed("writing it")(error));
        }
        Ok(Self(key))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// `KeyFileExposed` if group or others have any right to it, `KeyFileDamaged` if its checksum does not match,
    /// `UnknownFormat` if a newer version wrote it, `KeyFile` if it cannot be read, for example because it is absent.
    pub fn read(path: &Path) -> Result<Self, VaultError> {
        Self::read_unless(path, 0o077)
    }

    /// Reads one that a service manager hands over. Its folder keeps others out, and the right of the service's user may stand where the
    /// group's does (systemd grants it by an ACL, whose mask that is).
    ///
    /// # Errors
    /// Those of [`KeyFile::read`]; `KeyFileExposed` only if every user may read it.
    pub fn read_credential(path: &Path) -> Result<Self, VaultError> {
        Self::read_unless(path, 0o007)
    }

    fn read_unless(path: &Path, exposed: u32) -> Result<Self, VaultError> {
        let failed = |source| VaultError::KeyFile { path: path.to_owned(), doing: "reading it", source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & exposed != 0 {
            return Err(VaultError::KeyFileExposed { path: path.to_owned(), mode });
        }
        let mut content = Zeroizing::new(Vec::with_capacity(2048));
        file.take(LENGTH_MAX + 1).read_to_end(&mut content).map_err(failed)?;
        let damaged = |problem| VaultError::KeyFileDamaged { path: path.to_owned(), problem };
        let text = str::from_utf8(&content).map_err(|_| damaged("it is not text"))?;
        let (head, sum) = text.trim_end().rsplit_once(':').ok_or_else(|| damaged("it is not of the form of a key file"))?;
        let numbered = head.strip_prefix(KEY_FILE_WORD).and_then(|rest| rest.split_once(':'));
        let (number, digits) = numbered.ok_or_else(|| damaged("it does not begin as a key file does"))?;
        if sum != hex::encode(key::sum::<SUM_LENGTH>(head.as_bytes())) {
            return Err(damaged("its checksum does not match"));
        }
        match number.parse() {
            Ok(FORMAT) => {}
            Ok(found) => return Err(VaultError::UnknownFormat { what: "the key file", found }),
            Err(_) => return Err(damaged("its format is not a number")),
        }
        let bytes = encoding::unhex(digits).ok_or_else(|| damaged("its key is not hex"))?;
        Key::copied(&bytes).map(Self).ok_or_else(|| damaged("its key has another length"))
    }
}

impl KekProvider for KeyFile {
    fn kind(&self) -> SlotKind {
        SlotKind::KeyFile
    }

    fn enroll(&self) -> Result<(Kek, Vec<u8>), VaultError> {
        Ok((self.unlock(&[])?, Vec::new()))
    }

    fn unlock(&self, _parameters: &[u8]) -> Result<Kek, VaultError> {
        Ok(Kek(self.0.duplicate()))
    }
}

fn line(key: &Key) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(128));
    line.push_str(KEY_FILE_WORD);
    line.push_str(&FORMAT.to_string());
    line.push(':');
    line.push_str(&Zeroizing::new(hex::encode(key.expose())));
    let sum = hex::encode(key::sum::<SUM_LENGTH>(line.as_bytes()));
    line.push(':');
    line.push_str(&sum);
    line.push('\n');
    line
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

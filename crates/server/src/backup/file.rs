//! The file that a shell writes a backup to: under a name of its own until all of it is on disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// Dropped before [`BackupFile::finish`] is called it leaves nothing behind.
#[derive(Debug)]
pub struct BackupFile {
    path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
}

impl BackupFile {
    /// # Errors
    /// If anything has the name already: one backup does not replace another.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        refuse_other(path)?;
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // What is there was left by a run that was killed.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}, which an earlier run left", part.display()));
            }
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.with_context(|| format!("make the file {}", part.display()))?;
        Ok(Self { path: path.to_owned(), part, file: Some(BufWriter::new(file)) })
    }

    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let file = self.file.as_mut().context("a backup's file was written after its end")?;
        file.write_all(bytes).with_context(|| format!("write {}", self.part.display()))
    }

    /// Makes it durable under its name.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let file = self.file.take().context("a backup's file has two ends")?;
        let written = file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        written.with_context(|| format!("write {}", self.part.display()))?;
        refuse_other(&self.path)?;
        let named = fs::rename(&self.part, &self.path).and_then(|()| File::open(folder(&self.path))?.sync_all());
        named.with_context(|| format!("write {}", self.path.display()))
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

fn refuse_other(path: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        bail!("{} is there already. Name another file, or move that one away. Nothing was written.", path.display());
    }
    Ok(())
}

/// The folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

//! Putting what was restored in the place of what was there, which is kept.

use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{file::folder, segments};
use crate::{config::DataConfig, store};

/// What a killed restore leaves is here, in the data folder.
const UNFINISHED: &str = "restoring";

/// A folder beside the live files, on the same disk, that is gone when dropped.
#[derive(Debug)]
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    pub(super) fn make(data: &DataConfig) -> anyhow::Result<Self> {
        let folder = data.folder.join(UNFINISHED);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}, which an earlier run left", folder.display()));
            }
            _ => {}
        }
        make(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn store(&self) -> PathBuf {
        self.0.join("store.db")
    }

    /// Where a node's segment file is written to.
    pub(super) fn segment(&self, node: &str, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.join("nodes").join(node).join(name);
        make(folder(&path))?;
        Ok(path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Puts the new store file in the old one's place. At every instant there is a whole one; the old one has a second name before.
pub(super) async fn put_store(data: &DataConfig, new: &Unfinished, aside: &Path) -> anyhow::Result<()> {
    let live = data.folder.join("store.db");
    if live.exists() {
        make(aside)?;
        if store::fold_log(&live).await.is_err() {
            tracing::warn!("the old store cannot be opened; its files are kept as they are");
        }
        let kept = aside.join("store.db");
        // Not every file system has links.
        fs::hard_link(&live, &kept).or_else(|_| fs::copy(&live, &kept).map(drop)).context("keep the old store aside")?;
        sync(&kept)?;
        // A log that stayed belongs to the old file, and would be read into the new one.
        for log in ["store.db-wal", "store.db-shm"] {
            move_if_there(&data.folder.join(log), &aside.join(log))?;
        }
        sync(aside)?;
    }
    fs::rename(new.store(), &live).context("put the new store in its place")?;
    sync(&data.folder)
}

/// Puts the segment files of a backup in place; those of before go to `aside`.
pub(super) fn put_segments(data: &DataConfig, new: &Unfinished, aside: &Path) -> anyhow::Result<()> {
    for (node, name, path) in segments(&data.folder).context("look for segment files")? {
        let kept = aside.join("nodes").join(node).join(name);
        make(folder(&kept))?;
        move_if_there(&path, &kept)?;
    }
    for (node, name, path) in segments(&new.0).context("look for restored segment files")? {
        let live = data.folder.join("nodes").join(node).join(name);
        make(folder(&live))?;
        move_if_there(&path, &live)?;
        sync(folder(&live))?;
    }
    Ok(())
}

fn move_if_there(from: &Path, to: &Path) -> anyhow::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        moved => moved.with_context(|| format!("move {} to {}", from.display(), to.display())),
    }
}

fn make(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("make the folder {}", folder.display()))
}

pub(super) fn sync(path: &Path) -> anyhow::Result<()> {
    File::open(path).and_then(|file| file.sync_all()).with_context(|| format!("make {} durable", path.display()))
}

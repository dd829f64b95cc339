//! Putting what was restored in the place of what was there, which is kept.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind},
    iter,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
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
        keep(&live, &kept).context("keep the old store aside")?;
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

/// Gives the old store a second name. Not every file system has links; but what bears that name already may be this very file, which a copy
/// over it would empty.
fn keep(live: &Path, kept: &Path) -> io::Result<()> {
    match fs::hard_link(live, kept) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(kept)?;
            io::copy(&mut File::open(live)?, &mut copy).map(drop)
        }
        linked => linked,
    }
}

/// A path in `folder` that nothing has: this one, or the first of `name-2`, `name-3` and so on. A restore that was killed has left its own.
pub(super) fn unused(folder: &Path, name: &str) -> PathBuf {
    let names = iter::once(name.to_owned()).chain((2..).map(|number: u64| format!("{name}-{number}")));
    let mut paths = names.map(|name| folder.join(name));
    paths.find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| folder.join(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A restore that is killed once the old store has its second name leaves a link; the next one, in the same second, must not copy over it.
    #[tokio::test]
    async fn a_killed_restore_and_the_next_one_leave_the_old_store_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataConfig { folder: folder.path().to_owned(), database_url: None, key: None };
        let (live, name) = (folder.path().join("store.db"), "before-20261129T120000");
        fs::write(&live, "the old store").expect("written");
        let first = unused(folder.path(), name);
        make(&first).expect("made");
        keep(&live, &first.join("store.db")).expect("kept");
        assert_eq!(first, folder.path().join(name));

        assert!(keep(&live, &first.join("store.db")).is_err(), "it has that name already");
        assert_eq!(fs::read_to_string(&live).expect("there"), "the old store");
        let second = unused(folder.path(), name);
        assert_eq!(second, folder.path().join(format!("{name}-2")));
        let new = Unfinished::make(&data).expect("made");
        fs::write(new.store(), "the new store").expect("written");
        put_store(&data, &new, &second).await.expect("in its place");
        let of = |path: &Path| fs::read_to_string(path).expect("there");
        assert_eq!(of(&live), "the new store");
        assert_eq!([of(&first.join("store.db")), of(&second.join("store.db"))], ["the old store", "the old store"]);
    }
}

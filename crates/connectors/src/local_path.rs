//! A file or a folder, in the folder that this machine keeps for files.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use dataflow_model::{StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;

use crate::{Connector, Dialer, Outcome, Steps, Target, causes, connector::Farewell, files, scrub::printable};

const PATH: &str = "extra.path";

/// The connector of local paths.
pub struct LocalPath;

impl Connector for LocalPath {
    fn name(&self) -> &'static str {
        "fs"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        _dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            test(target, steps)?;
            let farewell: Farewell<'t> = Box::pin(async {});
            Ok((Outcome { status: TestStatus::Ok, server_version: None }, farewell))
        })
    }
}

fn test(target: &Target, steps: &mut Steps) -> Result<(), TestError> {
    // Without a path it is the folder for files itself.
    let named = Some(target.text(PATH)).filter(|named| !named.is_empty()).unwrap_or(".");
    steps.begin(StepName::Resolve);
    let path = files::find(PATH, named, target.file_folder.as_deref())?;
    steps.done(path.file_name().map(|name| printable(&name.to_string_lossy())));

    steps.begin(StepName::Reach);
    let kind = path.metadata().map_err(|_| causes::path_unreadable(PATH, named))?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        // To open a pipe would wait for whoever writes to it.
        return Err(causes::path_of_another_kind(PATH, named));
    }
    steps.done((if kind.is_dir() { "a folder" } else { "a file" }).to_owned());
    steps.skip(StepName::Secure, "A file is not on a network".to_owned());
    steps.skip(StepName::SignIn, "A file has no password".to_owned());
    steps.skip(StepName::OpenDatabase, None);

    steps.begin(StepName::Read);
    let found = read(&path, kind.is_dir()).map_err(|_| causes::path_unreadable(PATH, named))?;
    steps.done((!found).then(|| "It is empty".to_owned()));
    Ok(())
}

/// Reads one entry, or one byte; whether there is one.
fn read(path: &Path, is_folder: bool) -> io::Result<bool> {
    if is_folder {
        return fs::read_dir(path)?.next().transpose().map(|entry| entry.is_some());
    }
    File::open(path)?.read(&mut [0]).map(|length| length == 1)
}

//! DuckDB: one file, in the folder that this machine keeps for such files.
//!
//! No driver is linked, so nothing of the file is run. What is read is what every DuckDB reads when it opens one, in [`storage`]: the headers, and
//! the block in which the catalogue begins.

mod storage;

use std::{fs::OpenOptions, path::Path};

use dataflow_model::{StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use self::storage::Fault;
use crate::{Connector, Dialer, Outcome, Steps, Target, causes, connector::Farewell, files, scrub::printable};

/// The connector of DuckDB.
pub struct DuckDb;

impl Connector for DuckDb {
    fn name(&self) -> &'static str {
        "duckdb"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        _dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            let outcome = test(target, steps)?;
            let farewell: Farewell<'t> = Box::pin(async {});
            Ok((outcome, farewell))
        })
    }
}

fn test(target: &Target, steps: &mut Steps) -> Result<Outcome, TestError> {
    let named = target.text(causes::DATABASE);
    steps.begin(StepName::Resolve);
    let path = files::find_database(named, target.file_folder.as_deref())?;
    steps.done(path.file_name().map(|name| printable(&name.to_string_lossy())));

    steps.begin(StepName::Reach);
    let mut file = open(&path, named)?;
    steps.done(None);
    steps.skip(StepName::Secure, "A file is not on a network".to_owned());
    steps.skip(StepName::SignIn, "A file has no password".to_owned());

    steps.begin(StepName::OpenDatabase);
    let fault = |fault| match fault {
        Fault::Another => causes::file_not_a_database(named, "a DuckDB"),
        Fault::Old(version) => causes::file_of_old_form(named, version),
        Fault::Damaged => causes::file_damaged(named),
        Fault::Encrypted => causes::file_encrypted(named),
    };
    let main = storage::main(&mut file).map_err(fault)?;
    let server_version = Some(printable(&main.made_by)).filter(|version| !version.is_empty());
    let server_version = server_version.map(|version| format!("DuckDB {}", version.trim_start_matches('v')));
    if !main.is_known() {
        let unknown = format!("Storage version {} is not known here, so that nothing else of the file was read", main.version);
        steps.done(unknown);
        return Ok(Outcome { status: TestStatus::Unproven, server_version });
    }
    let database = storage::database(&mut file).map_err(fault)?;
    steps.done(format!("storage version {}", main.version));

    steps.begin(StepName::Read);
    let is_written = storage::catalogue(&mut file, &database).map_err(fault)?;
    steps.done((!is_written).then(|| "Nothing has been written to the file yet".to_owned()));
    Ok(Outcome { status: TestStatus::Ok, server_version })
}

/// As DuckDB opens it: to read and write, and where no other program has it.
fn open(path: &Path, named: &str) -> Result<std::fs::File, TestError> {
    let unreadable = |_| causes::file_unreadable(causes::DATABASE, named);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(unreadable)?;
    // <https://duckdb.org/docs/stable/connect/concurrency>: a lock on the whole file, by fcntl(2). It is looked for, and never taken.
    match fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)) {
        Ok(Some(held)) if held.typ != FlockType::Unlocked => Err(causes::file_of_one_program(named)),
        _ => Ok(file),
    }
}

//! Libraries in C that are preloaded into the program under test, and the one that sets its clock.

use std::{path::Path, process::Command};

use crate::{environment, folder::TempDir};

/// Compiles `tests/shim/NAME.c` to this library.
pub(crate) fn compile(name: &str, library: &Path) {
    let source = environment::repository().join(format!("tests/shim/{name}.c"));
    let mut compiler = Command::new("cc");
    let done = compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(library).arg(source).arg("-ldl").output();
    let done = done.expect("cc runs; a C compiler is needed to build anything here");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A clock that is ahead, or behind.
#[derive(Debug)]
pub struct Clock {
    folder: TempDir,
}

impl Clock {
    /// # Panics
    /// If there is no C compiler.
    pub fn build() -> Self {
        let folder = TempDir::new();
        compile("clock", &folder.join("clock.so"));
        Self { folder }
    }

    /// The environment of a program for which so many days have gone by.
    pub fn ahead(&self, days: i64) -> Vec<(String, String)> {
        let library = self.folder.join("clock.so").display().to_string();
        vec![("LD_PRELOAD".to_owned(), library), ("CLOCK_AHEAD".to_owned(), (days * 86_400).to_string())]
    }

    /// The environment of a program for which so many days are still to come.
    pub fn behind(&self, days: i64) -> Vec<(String, String)> {
        self.ahead(-days)
    }
}

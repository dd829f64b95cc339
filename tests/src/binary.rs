//! The product's own binary.

use std::path::PathBuf;

use crate::environment;

/// The built `dataflow`: `DATAFLOW_BIN`, or the one in the target folder that this test was built into.
///
/// # Panics
/// If it has not been built.
pub fn dataflow_bin() -> PathBuf {
    if let Some(named) = environment::binary_override() {
        assert!(named.is_file(), "DATAFLOW_BIN names {}, which is no file", named.display());
        return named;
    }
    // target/debug/deps/TEST-HASH -> target/debug/dataflow
    let test = std::env::current_exe().expect("this test has a path");
    let built = test.ancestors().skip(1).take(2).map(|folder| folder.join("dataflow")).find(|path| path.is_file());
    built.unwrap_or_else(|| panic!("`dataflow` is not built beside {}; run `cargo build --bin dataflow`", test.display()))
}

//! The product's own binary, and its examples.

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
    built("dataflow")
}

/// A built example of the workspace: `postgres_by_name`.
///
/// # Panics
/// If it has not been built.
pub fn example_bin(name: &str) -> PathBuf {
    built(&format!("examples/{name}"))
}

/// From `target/debug/deps/TEST-HASH` to `target/debug/NAME`.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built beside {}; run `cargo build --workspace --all-targets`", test.display()))
}

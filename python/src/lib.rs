//! `dataflow._native`: the Rust client as Python sees it. Private; the face is the Python package around it.
//!
//! What belongs here: handing values over, releasing the GIL around I/O, and the one map of errors. What does not: anything that
//! knows a database driver or `SQLAlchemy`.

mod client;
mod credentials;
mod error;

/// The native part of the SDK. See `_native.pyi`, which a test compares with this module.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        client::{Client, Config, Discovery, parse_workflow},
        credentials::Credentials,
    };
}

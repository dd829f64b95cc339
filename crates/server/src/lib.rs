//! The server: rules (`ops`), their two faces (`api`, `studio`), the store, jobs, and the accept loop.

pub mod store;

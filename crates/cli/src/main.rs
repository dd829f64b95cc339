//! dataflow-cli
fn main() {}

//! dataflow-tests

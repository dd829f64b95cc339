//! dataflow-client

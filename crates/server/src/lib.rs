//! dataflow-server

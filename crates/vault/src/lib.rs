//! dataflow-vault

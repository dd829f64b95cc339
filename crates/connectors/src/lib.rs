//! dataflow-connectors

//! dataflow-bench

//! dataflow-python

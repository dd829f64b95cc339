//! The one map from the client's errors to the classes of `dataflow.errors`.

use dataflow_client::ClientError;
use pyo3::{
    PyErr, PyResult, Python,
    types::{PyAnyMethods as _, PyDict, PyDictMethods as _},
};

/// The exception for an error, with its public text and, where the class has them, its attributes.
pub(crate) fn raise(py: Python<'_>, error: &ClientError) -> PyErr {
    build(py, error).unwrap_or_else(|broken| broken)
}

fn build(py: Python<'_>, error: &ClientError) -> PyResult<PyErr> {
    let attributes = PyDict::new(py);
    let class = match error {
        ClientError::NotSignedIn { .. } => "NotSignedIn",
        ClientError::InvalidConfig { .. } => "InvalidConfiguration",
        ClientError::InvalidName { .. } => "InvalidName",
        ClientError::Unauthenticated { .. } | ClientError::NotAToken { .. } => "TokenRefused",
        ClientError::Forbidden { .. } => "AccessDenied",
        ClientError::NotFound { name, .. } => {
            attributes.set_item("name", name)?;
            "ConnectionNotFound"
        }
        ClientError::Deleted { name, tombstone } => {
            attributes.set_item("name", name)?;
            attributes.set_item("deleted_by", &tombstone.deleted_by)?;
            attributes.set_item("deleted_at", &tombstone.deleted_at)?;
            attributes.set_item("reason", &tombstone.reason)?;
            attributes.set_item("use_instead", &tombstone.use_instead)?;
            "ConnectionDeleted"
        }
        ClientError::Unavailable { .. } | ClientError::CertificateRefused { .. } | ClientError::NotDataflow { .. } => {
            "ServerUnavailable"
        }
        _ => "DataflowError",
    };
    let class = py.import("dataflow.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((error.to_string(),), Some(&attributes))?))
}

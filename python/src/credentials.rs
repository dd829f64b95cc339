//! What a name resolves to, for the drivers' modules alone.

use std::{collections::BTreeMap, sync::Arc};

use dataflow_client::{ClearValue, Resolved};
use pyo3::{
    Bound, IntoPyObject as _, IntoPyObjectExt as _, Py, PyAny, PyResult, Python, pyclass, pymethods,
    types::{PyDict, PyDictMethods as _},
};

/// Credentials at one fingerprint. Has no `__dict__`, cannot be pickled, and its `repr` shows no field.
#[pyclass(frozen, module = "dataflow._native")]
pub(crate) struct Credentials(Arc<Resolved>);

impl From<Arc<Resolved>> for Credentials {
    fn from(resolved: Arc<Resolved>) -> Self {
        Self(resolved)
    }
}

#[pymethods]
impl Credentials {
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    #[getter]
    fn r#type(&self) -> &str {
        self.0.type_id()
    }

    #[getter]
    fn base(&self) -> &str {
        self.0.base()
    }

    #[getter]
    fn dialect(&self) -> Option<&str> {
        self.0.dialect()
    }

    #[getter]
    fn fingerprint(&self) -> &str {
        self.0.fingerprint()
    }

    #[getter]
    fn version(&self) -> u64 {
        self.0.version()
    }

    /// The text at a path such as `tls.mode`, in clear; `None` if it is unset or no text.
    fn expose_text(&self, path: &str) -> Option<&str> {
        self.0.expose_text(path)
    }

    /// The whole number at a path such as `port`.
    fn integer(&self, path: &str) -> Option<i64> {
        self.0.integer(path)
    }

    /// The boolean at a path such as `extra.read_only`.
    fn boolean(&self, path: &str) -> Option<bool> {
        match self.0.value(path)? {
            ClearValue::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The fields that are set below a group (`tls`, `extra`), in clear.
    fn expose_group<'py>(&self, py: Python<'py>, group: &str) -> PyResult<Bound<'py, PyDict>> {
        match self.0.value(group) {
            Some(ClearValue::Group(members)) => to_dict(py, members),
            _ => Ok(PyDict::new(py)),
        }
    }

    /// What the connection goes through to reach its host, as credentials of their own.
    #[getter]
    fn hop(&self) -> Option<Self> {
        self.0.hop().map(|hop| Self(Arc::new(hop)))
    }

    /// The parts of the URL of an own type, with placeholders for fields.
    #[getter]
    fn url_template<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.0.url().map(|parts| to_dict(py, parts)).transpose()
    }

    fn __repr__(&self) -> String {
        format!("<Credentials of “{}”, {}, version {}>", self.0.name(), self.0.type_id(), self.0.version())
    }
}

fn to_dict<'py>(py: Python<'py>, members: &BTreeMap<String, ClearValue>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in members {
        let value: Py<PyAny> = match value {
            ClearValue::Unset => continue,
            ClearValue::Boolean(value) => value.into_py_any(py)?,
            ClearValue::Integer(value) => value.into_py_any(py)?,
            ClearValue::Text(text) => text.expose_secret().into_py_any(py)?,
            ClearValue::Group(members) => to_dict(py, members)?.into_pyobject(py)?.into_any().unbind(),
        };
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

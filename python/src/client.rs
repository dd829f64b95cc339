//! Configuration and client. Every call that may reach the network releases the GIL.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use dataflow_client::{ClientConfig, ClientError, Explicit, Resolved, Secret, Workflow, WorkflowKind, config};
use pyo3::{Py, PyResult, Python, exceptions::PyValueError, pyclass, pyfunction, pymethods};

use crate::{credentials::Credentials, error::raise};

/// A workflow as Python gives it: kind, name, run.
type Told = (String, String, Option<String>);

/// Where the server is and who asks. Equal to another that would reach the same server in the same role, so that it can be a key.
#[pyclass(frozen, module = "dataflow._native")]
pub(crate) struct Config(Arc<ClientConfig>);

/// Finds the settings of programs in one virtual environment. As long as nothing that they come from has changed, it gives the same object again.
#[pyclass(frozen, module = "dataflow._native")]
pub(crate) struct Discovery {
    prefix: PathBuf,
    settings: config::Discovery,
    last: Mutex<Option<Py<Config>>>,
}

#[pymethods]
impl Discovery {
    #[new]
    fn new(prefix: PathBuf) -> Self {
        Self { prefix, settings: config::Discovery::default(), last: Mutex::default() }
    }

    /// The settings: what is given, the environment, the user's file, the file in the prefix.
    #[pyo3(signature = (url=None, token=None, workspace=None))]
    fn discover(
        &self,
        py: Python<'_>,
        url: Option<String>,
        token: Option<String>,
        workspace: Option<String>,
    ) -> PyResult<Py<Config>> {
        let prefix = Some(self.prefix.clone());
        let explicit = Explicit { url, token: token.map(Secret::new), workspace, prefix, workflow: None };
        let found = self.settings.discover(explicit).map_err(|error| raise(py, &error))?;
        // In a forked child it may be locked for ever.
        let mut last = self.last.try_lock().ok();
        if let Some(config) = last.as_deref().and_then(Option::as_ref)
            && Arc::ptr_eq(&config.get().0, &found)
        {
            return Ok(config.clone_ref(py));
        }
        let config = Py::new(py, Config(found))?;
        if let Some(last) = last.as_deref_mut() {
            *last = Some(config.clone_ref(py));
        }
        Ok(config)
    }
}

#[pymethods]
impl Config {
    #[getter]
    fn url(&self) -> &str {
        self.0.url.as_str()
    }

    #[getter]
    fn workspace(&self) -> &str {
        self.0.workspace.as_str()
    }

    /// The workflow that the environment names.
    #[getter]
    fn workflow(&self) -> Option<Told> {
        self.0.workflow.clone().map(tell)
    }

    #[getter]
    fn sqlite_folder(&self) -> Option<PathBuf> {
        self.0.sqlite_folder.clone()
    }

    fn __eq__(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        a.url == b.url
            && a.workspace == b.workspace
            && a.sqlite_folder == b.sqlite_folder
            && a.workflow == b.workflow
            && a.timing == b.timing
            && a.token.expose_secret() == b.token.expose_secret()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.url(), self.workspace()).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("<Config of {}, workspace “{}”>", self.url(), self.workspace())
    }
}

/// Resolves names: caches, asks again, survives an outage, safe across threads and fork.
#[pyclass(frozen, module = "dataflow._native")]
pub(crate) struct Client(dataflow_client::Client);

#[pymethods]
impl Client {
    #[new]
    fn new(py: Python<'_>, config: &Config) -> Self {
        let config = Arc::clone(&config.0);
        Self(py.detach(|| dataflow_client::Client::new(config)))
    }

    /// What the name resolves to, no older than the freshness time.
    fn credentials(&self, py: Python<'_>, name: &str, workflow: Option<Told>) -> PyResult<Credentials> {
        self.look_up(py, workflow, |client, workflow| match workflow {
            Some(workflow) => client.credentials_for(name, workflow),
            None => client.credentials(name),
        })
    }

    /// What is held, if it is fresh; never waits.
    fn fresh(&self, name: &str) -> Option<Credentials> {
        self.0.fresh(name).map(Credentials::from)
    }

    /// Whether what is held is fresh and of this fingerprint; never waits.
    fn is_current(&self, name: &str, fingerprint: &str) -> bool {
        self.0.is_current(name, fingerprint)
    }

    /// The same, and the server knows that this workflow uses it.
    fn is_current_for(&self, name: &str, fingerprint: &str, workflow: Told) -> PyResult<bool> {
        Ok(self.0.is_current_for(name, fingerprint, &read_told(workflow)?))
    }

    /// What the name resolves to, after the server was asked: for a database that has just refused what is held.
    fn refresh(&self, py: Python<'_>, name: &str, workflow: Option<Told>) -> PyResult<Credentials> {
        self.look_up(py, workflow, |client, workflow| match workflow {
            Some(workflow) => client.refresh_for(name, workflow),
            None => client.refresh(name),
        })
    }

    fn __repr__(&self) -> String {
        format!("<Client of {}, workspace “{}”>", self.0.config().url, self.0.config().workspace)
    }
}

impl Client {
    fn look_up(
        &self,
        py: Python<'_>,
        workflow: Option<Told>,
        ask: impl FnOnce(&dataflow_client::Client, Option<&Workflow>) -> Result<Arc<Resolved>, ClientError> + Send,
    ) -> PyResult<Credentials> {
        let workflow = workflow.map(read_told).transpose()?;
        py.detach(|| ask(&self.0, workflow.as_ref())).map(Credentials::from).map_err(|error| raise(py, &error))
    }
}

/// Reads a workflow as a person names it: `pipeline:nightly`, a bare name, or `kind=pipeline; name="nightly"; run="7"`.
#[pyfunction]
pub(crate) fn parse_workflow(text: &str) -> Option<Told> {
    config::parse_workflow(text).map(tell)
}

fn tell(workflow: Workflow) -> Told {
    (workflow.kind.as_str().to_owned(), workflow.name, workflow.run)
}

fn read_told((kind, name, run): Told) -> PyResult<Workflow> {
    let kind = WorkflowKind::parse(&kind).ok_or_else(|| PyValueError::new_err("no such kind of workflow"))?;
    Ok(Workflow { run, ..Workflow::new(kind, name) })
}

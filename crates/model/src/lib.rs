//! The words of Dataflow Connections: names, fields, catalogue, bodies, error codes, secret types, URL forms.
//!
//! What belongs here is shared by server, connectors and clients and does no I/O. What does not: ciphers (vault), SQL and
//! rules (server), anything that opens a socket (connectors, client).

pub mod catalogue;
pub mod code;
pub mod credentials;
pub mod dependents;
pub mod draft;
pub mod endpoint;
pub mod field;
#[cfg(test)]
mod fuzz;
pub mod name;
pub mod own_type;
pub mod paste;
pub mod report;
pub mod secret;
pub mod settle;
pub mod snippets;
pub mod workflow;

pub use catalogue::{Catalogue, Category, ConnectionType, Connector, Field, FieldKind};
pub use code::Code;
pub use credentials::Credentials;
pub use dependents::{ByAlias, Certainty, Dependent, Found, Impact, Laggard, Laggards, Repointing, Seen};
pub use draft::{Draft, FieldError, FieldInput};
pub use field::{FieldPath, FieldValue, PublicFields, SecretFields};
pub use name::{ConnectionName, NameError, Tag, WorkspaceName};
pub use paste::{PasteError, Pasted};
pub use report::{Cause, Learned, Step, StepName, StepStatus, TestError, TestReport, TestStatus};
pub use secret::Secret;
pub use snippets::{Snippet, snippets};
pub use workflow::{Workflow, WorkflowKind};

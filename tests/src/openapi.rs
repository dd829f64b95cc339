//! The API's description, read as a list of operations.

use serde_json::Value;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// One method at one address.
#[derive(Debug, Clone)]
pub struct Operation {
    pub id: String,
    /// In upper case.
    pub method: String,
    /// With names in braces: `/api/v1/workspaces/{workspace}/connections`.
    pub path: String,
    pub description: Value,
}

impl Operation {
    /// Every operation of the document.
    ///
    /// # Panics
    /// If one has no id.
    pub fn all(document: &Value) -> Vec<Self> {
        let mut all = Vec::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                let Some(description) = methods.get(method) else { continue };
                let id = description["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no operation id"));
                all.push(Self {
                    id: id.to_owned(),
                    method: method.to_uppercase(),
                    path: path.clone(),
                    description: description.clone(),
                });
            }
        }
        all
    }
}

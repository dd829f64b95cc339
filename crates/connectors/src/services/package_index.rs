//! A Python package index: <https://packaging.python.org/en/latest/specifications/simple-repository-api/>.

use dataflow_model::{StepName, TestError};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use crate::{
    Target,
    http::{Access, Answer, Credentials, Request, Service, joined, secret},
    scrub::percent,
};

pub(super) const PRODUCT: &str = "a Python package index";

const FORMATS: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

pub(crate) struct PackageIndex;

pub(super) fn is_its(answer: &Answer) -> bool {
    answer.header(CONTENT_TYPE.as_str()).contains("vnd.pypi.simple")
}

impl Service for PackageIndex {
    fn name(&self) -> &'static str {
        "package_index"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        true
    }

    fn credentials(&self, target: &Target, access: Access) -> Result<Credentials, TestError> {
        match secret(target, access) {
            "" => Ok(Credentials::default()),
            // Indexes that take tokens take them as the password of this user.
            password => {
                let user = Some(target.text("username")).filter(|user| !user.is_empty()).unwrap_or("__token__");
                Credentials::basic(user, password)
            }
        }
    }

    /// The list of all projects may be long, that of one project's files is not.
    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let path = match target.text("extra.project") {
            "" => "/".to_owned(),
            project => format!("/{}/", &*percent(normalised(project).as_bytes(), false)),
        };
        Ok(Request::get(joined(target, &path)).header(ACCEPT, HeaderValue::from_static(FORMATS)))
    }

    /// JSON with the version of the API, or a page that is nothing but links.
    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        if answer.header(CONTENT_TYPE.as_str()).contains("json") {
            let start = answer.text();
            return answer.json().is_some_and(|json| json.pointer("/meta/api-version").is_some())
                || (answer.is_cut && is_its(answer) && start.contains("api-version"));
        }
        let text = answer.text().to_ascii_lowercase();
        answer.is_page() && (is_its(answer) || (is_list(&text) && !text.contains("<form")))
    }
}

/// A page of an index: its title, the mark of its version, or links to folders; an index without projects has none.
fn is_list(text: &str) -> bool {
    ["simple index", "pypi:repository-version", "<title>links for", "simple list"].iter().any(|mark| text.contains(mark))
}

/// A project's name as it stands in a URL.
fn normalised(project: &str) -> String {
    let mut out = String::with_capacity(project.len());
    for character in project.chars() {
        match character {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            other => out.extend(other.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the specification's section “Project names”.
    #[test]
    fn a_name_is_normalised() {
        for name in ["Friendly-Bard", "FRIENDLY-BARD", "friendly.bard", "friendly_bard", "Friendly-._.-BARD"] {
            assert_eq!(normalised(name), "friendly-bard", "{name}");
        }
    }
}

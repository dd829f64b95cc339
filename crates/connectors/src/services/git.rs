//! A repository of git over HTTP: its branches are listed as a clone begins (<https://git-scm.com/docs/http-protocol#_smart_clients>).

use dataflow_model::{StepName, TestError};
use hyper::{StatusCode, header::CONTENT_TYPE};

use crate::{
    Target, causes,
    http::{Answer, Asked, Client, Entered, Judged, Request, Service},
};

const PATH: &str = "extra.path";
const TYPE: &str = "application/x-git-upload-pack-advertisement";

pub(crate) struct Git;

impl Service for Git {
    fn name(&self) -> &'static str {
        "git"
    }

    fn product(&self) -> &'static str {
        "a git repository"
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        true
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let path = target.text(PATH).trim_matches('/');
        Ok(Request::get(format!("/{path}/info/refs?service=git-upload-pack")))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.header(CONTENT_TYPE.as_str()) == TYPE && answer.body.starts_with(b"001e# service=git-upload-pack\n")
    }

    /// Some hosts say so of a repository that is there, and not for whoever asks.
    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        (answer.status == StatusCode::NOT_FOUND).then(|| {
            let path = asked.target.text(PATH);
            Judged::Failed(causes::missing(PATH, "repository", path))
        })
    }

    /// The repository is what was asked for already.
    async fn open(&self, client: &mut Client<'_>, _entered: &Entered) -> Result<Option<String>, TestError> {
        Ok(Some(client.target.text(PATH).to_owned()))
    }
}

//! Where messages are posted to: a webhook of any kind, and Slack's. Nothing is posted by a test, so that it can be reached is all that is
//! found out, and its path, which is as good as a password, is not sent.

use dataflow_model::{StepName, TestError};
use hyper::Method;

use crate::{
    Target,
    http::{Access, Answer, Client, Credentials, Entered, Proof, Request, Service},
};

pub(crate) struct Webhook;

impl Service for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn product(&self) -> &'static str {
        "a webhook"
    }

    /// None that a test would send.
    fn has_sign_in(&self, _target: &Target) -> bool {
        false
    }

    fn credentials(&self, _target: &Target, _access: Access) -> Result<Credentials, TestError> {
        Ok(Credentials::default())
    }

    fn question(&self, _target: &Target) -> Result<Request, TestError> {
        Ok(Request::of(Method::HEAD, "/"))
    }

    /// Any answer shows that HTTP is spoken there.
    fn accepts(&self, _step: StepName, _answer: &Answer) -> bool {
        true
    }

    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        client.ask(&self.question(client.target)?).await?;
        let proof = Proof::Nothing("Nothing can be tried without a message");
        Ok(Entered { credentials: Credentials::default(), proof, version: None })
    }

    fn can_be_read(&self) -> bool {
        false
    }
}

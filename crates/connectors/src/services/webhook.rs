//! Where messages are posted to: a webhook of any kind, and Slack's. Nothing is posted by a test, so that it can be reached is all that is
//! found out, and its path, which is as good as a password, is not sent.

use dataflow_model::{StepName, TestError};
use hyper::Method;

use crate::{
    Addressing, Message, Target, causes,
    connector::PASSWORD,
    http::{Access, Answer, Asked, Client, Credentials, Entered, Judged, Proof, Request, Service, joined},
};

/// A message as webhooks get it. Those of chats read `text`.
#[derive(serde::Serialize)]
struct Posted<'a> {
    text: String,
    id: &'a str,
    events: &'a serde_json::Value,
}

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

    fn addressing(&self) -> Option<Addressing> {
        Some(Addressing::Fixed)
    }

    fn handing(&self, target: &Target, message: &Message) -> Result<Request, TestError> {
        let text = format!("{}\n{}", message.subject, message.text);
        let posted = Posted { text, id: &message.id, events: &message.events };
        let body = serde_json::to_vec(&posted).map_err(|_| causes::test_broken("a message cannot be written"))?;
        let path = match target.expose_secret(PASSWORD).trim_start_matches('/') {
            "" => joined(target, ""),
            secret => joined(target, &format!("/{secret}")),
        };
        Ok(Request::post(if path.is_empty() { "/".to_owned() } else { path }, "application/json", body))
    }

    /// What it says is not told, where it leads neither, and not the path that was asked for: each may have that in it.
    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let status = answer.status;
        if asked.step != StepName::Send || status.is_success() {
            return None;
        }
        Some(Judged::Failed(match status.as_u16() {
            429 => causes::too_many_requests(),
            code if status.is_server_error() => causes::foreign_error(self.product(), code),
            code => causes::webhook_refused(code),
        }))
    }
}

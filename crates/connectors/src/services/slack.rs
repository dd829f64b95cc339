//! Slack's API with the token of an application: it is asked whose the token is (<https://docs.slack.dev/reference/methods/auth.test>).

use dataflow_model::{StepName, TestError};
use serde_json::Value;

use crate::{
    Addressing, Message, Target, causes,
    http::{Access, Answer, Asked, Client, Entered, Judged, Request, Service, at, joined},
};

pub(crate) struct Slack;

fn is_ok(answer: &Answer) -> Option<bool> {
    answer.json()?.get("ok")?.as_bool()
}

impl Service for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn product(&self) -> &'static str {
        "Slack"
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        false
    }

    fn place(&self, target: &Target) -> Result<Option<Target>, TestError> {
        Ok(target.text("host").is_empty().then(|| at(target, "slack.com")))
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(Request::post(joined(target, "/api/auth.test"), "application/x-www-form-urlencoded", ""))
    }

    fn addressing(&self) -> Option<Addressing> {
        Some(Addressing::Chat)
    }

    /// <https://docs.slack.dev/reference/methods/chat.postMessage>
    fn handing(&self, target: &Target, message: &Message) -> Result<Request, TestError> {
        let channel = message.to.first().map(String::as_str).unwrap_or_default();
        let text = format!("*{}*\n{}", message.subject, message.text);
        let body = serde_json::json!({"channel": channel, "text": text, "unfurl_links": false});
        let request = Request::post(joined(target, "/api/chat.postMessage"), "application/json; charset=utf-8", body.to_string());
        Ok(request.with(self.credentials(target, Access::Given)?))
    }

    fn accepts(&self, step: StepName, answer: &Answer) -> bool {
        is_ok(answer) == Some(true) && (step == StepName::Send || answer.json_text("/team_id").is_some())
    }

    fn is_own(&self, answer: &Answer) -> bool {
        is_ok(answer).is_some() && answer.json_text("/error").is_some()
    }

    /// Its errors come with the status 200.
    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        if is_ok(answer)? || !answer.status.is_success() {
            return None;
        }
        Some(match answer.json_text("/error")?.as_str() {
            "not_authed" => Judged::Refused(causes::sign_in_missing()),
            "invalid_auth" | "token_expired" | "token_revoked" | "account_inactive" | "not_allowed_token_type" => {
                Judged::Refused(causes::token_refused())
            }
            "access_denied" => Judged::Failed(causes::address_not_permitted("the application")),
            "channel_not_found" | "not_in_channel" | "is_archived" => {
                let channel = asked.target.message.as_ref().and_then(|message| message.to.first());
                Judged::Failed(causes::channel_unknown(channel.map(String::as_str).unwrap_or_default()))
            }
            "ratelimited" => Judged::Failed(causes::too_many_requests()),
            _ => Judged::Failed(causes::http_error(answer.status.as_u16(), &asked.said(answer))),
        })
    }

    /// The team that the token belongs to.
    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let answer = self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        let team = answer.json().and_then(|json| json.get("team").and_then(Value::as_str).map(str::to_owned));
        Ok(team.map(|team| client.scrubber.clean(&team)))
    }
}

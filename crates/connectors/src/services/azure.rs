//! Azure with the secret of an application: it is exchanged for a token at Microsoft's sign-in service
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>), with which the subscriptions are asked for that it may see
//! (<https://learn.microsoft.com/rest/api/resources/subscriptions/list>).

use dataflow_model::{StepName, TestError};

use super::oauth;
use crate::{
    Target, causes,
    http::{Access, Answer, Asked, Client, Entered, Judged, Request, Service, at, form, secret},
    scrub::percent,
};

const TENANT: &str = "extra.tenant_id";
const SUBSCRIPTION: &str = "extra.subscription_id";
const VERSION: &str = "api-version=2022-12-01";
const HOST: &str = "management.azure.com";

pub(crate) struct Azure;

/// The tenant, as a part of the sign-in service's path.
fn tenant(target: &Target) -> Result<&str, TestError> {
    let tenant = target.text(TENANT);
    if tenant.is_empty() {
        return Err(causes::setting_missing(TENANT, "The tenant"));
    }
    let is_name = tenant.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '-' | '.')) && !tenant.starts_with('.');
    if is_name { Ok(tenant) } else { Err(causes::no_name_of_a_host(TENANT)) }
}

/// By the numbers of <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
fn judge(answer: &Answer, target: &Target) -> Judged {
    let client = target.text("username");
    let words = answer.json_text("/error_description").unwrap_or_default();
    let number = words.strip_prefix("AADSTS").and_then(|rest| rest.split(':').next()).unwrap_or_default();
    match number {
        _ if oauth::token(answer).is_some() => Judged::LetIn,
        "7000222" => Judged::Refused(causes::secret_expired(client)),
        "700016" => Judged::Refused(causes::client_unknown(client)),
        "90002" | "900023" => Judged::Failed(causes::tenant_unknown(TENANT, target.text(TENANT))),
        _ if matches!(answer.json_text("/error").as_deref(), Some("invalid_client" | "unauthorized_client")) => {
            Judged::Refused(causes::client_refused(client))
        }
        _ if answer.is_page() => Judged::Failed(oauth::blamed(causes::web_page("an OAuth endpoint"))),
        _ => Judged::Failed(causes::no_token_given("")),
    }
}

impl Service for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn product(&self) -> &'static str {
        "Azure"
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        false
    }

    fn place(&self, target: &Target) -> Result<Option<Target>, TestError> {
        Ok(target.text("host").is_empty().then(|| at(target, HOST)))
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(match target.text(SUBSCRIPTION) {
            "" => Request::get(format!("/subscriptions?{VERSION}")),
            id => Request::get(format!("/subscriptions/{}?{VERSION}", &*percent(id.as_bytes(), false))),
        })
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.json().is_some_and(|json| json.get("value").is_some_and(serde_json::Value::is_array))
            || answer.json_text("/subscriptionId").is_some()
    }

    fn is_own(&self, answer: &Answer) -> bool {
        answer.json_text("/error/code").is_some() && answer.json_text("/error/message").is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let id = asked.target.text(SUBSCRIPTION);
        match answer.json_text("/error/code")?.as_str() {
            "SubscriptionNotFound" | "InvalidSubscriptionId" => {
                Some(Judged::Failed(causes::missing(SUBSCRIPTION, "subscription", id)))
            }
            "AuthorizationFailed" => Some(Judged::Failed(causes::reading_forbidden(&asked.said(answer)))),
            _ => None,
        }
    }

    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let target = client.target;
        if !self.has_sign_in(target) {
            return self.enter_by(client, &|target| self.question(target)).await;
        }
        if target.text("username").is_empty() {
            return Err(causes::setting_missing("username", "The client's id"));
        }
        let usual = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", tenant(target)?);
        let (place, other) = oauth::endpoint(target, &usual)?;
        let mut endpoint = oauth::connect(client, &other).await?;
        // Of the cloud that is asked: those of a state have another one.
        let asks_for = Some(target.text("extra.scope")).filter(|scope| !scope.is_empty());
        let scope = asks_for.map_or_else(|| format!("https://{HOST}/.default"), str::to_owned);
        let ask = |access| {
            let body = form(&[
                ("grant_type", "client_credentials"),
                ("client_id", target.text("username")),
                ("client_secret", secret(target, access)),
                ("scope", &scope),
            ]);
            Ok(Request::post(place.path.clone(), "application/x-www-form-urlencoded", body))
        };
        let exchanged = oauth::exchange_by(&mut endpoint, &ask, &|_, answer, _: Access| judge(answer, target)).await?;
        let question = self.question(target)?;
        oauth::use_token(client, &|client, answer| self.judge(client, answer), &question, exchanged).await
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let answer = self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        if let Some(name) = answer.json_text("/displayName") {
            return Ok(Some(client.scrubber.clean(&name)));
        }
        let seen = answer.json().and_then(|json| json.get("value")?.as_array().map(Vec::len)).unwrap_or_default();
        Ok(Some(match seen {
            0 => "No subscription that it may see".to_owned(),
            1 => "1 subscription".to_owned(),
            seen => format!("{seen} subscriptions"),
        }))
    }
}

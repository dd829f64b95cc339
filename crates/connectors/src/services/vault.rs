//! HashiCorp Vault, and OpenBao, which speaks the same: <https://developer.hashicorp.com/vault/api-docs>.
//!
//! An `AppRole` is exchanged for a token, which is given back at the end of the test.

use std::{collections::BTreeMap, sync::Mutex};

use dataflow_model::{StepName, TestError};
use hyper::{Method, StatusCode, header::HeaderName};
use serde_json::json;

use crate::{
    Target, causes,
    connector::PASSWORD,
    http::{Access, Answer, Asked, Client, Credentials, Entered, Judged, Request, Service, joined, prove, secret},
};

pub(super) const PRODUCT: &str = "Vault";

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: &str = "x-vault-namespace";
const NAMESPACE_FIELD: &str = "extra.namespace";
/// Where the sign-in by `AppRole` is mounted, unless the connection says so.
const MOUNT: &str = "approle";

pub(crate) struct Vault;

/// The answer of `sys/health`, or an error of any path.
pub(super) fn is_its(answer: &Answer) -> bool {
    let Some(json) = answer.json() else { return false };
    (json.get("sealed").is_some() && json.get("initialized").is_some()) || answer.has("x-vault-request")
}

fn is_app_role(target: &Target) -> bool {
    target.text("extra.auth") == "approle"
}

fn asks(target: &Target, method: Method, path: &str) -> Result<Request, TestError> {
    Request::of(method, joined(target, path)).header_of(NAMESPACE, target, NAMESPACE_FIELD)
}

/// The exchange of an `AppRole`.
fn login(target: &Target, access: Access) -> Result<Request, TestError> {
    let mount = Some(target.text("extra.mount")).filter(|mount| !mount.is_empty()).unwrap_or(MOUNT).trim_matches('/');
    let mut body = BTreeMap::from([("role_id", target.text("username"))]);
    match secret(target, access) {
        "" => {}
        secret => drop(body.insert("secret_id", secret)),
    }
    let path = joined(target, &format!("/v1/auth/{mount}/login"));
    Request::post(path, "application/json", json!(body).to_string()).header_of(NAMESPACE, target, NAMESPACE_FIELD)
}

impl Vault {
    async fn enter_by_role(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let target = client.target;
        // A role whose secret id nobody looks at gives tokens without the right one, too.
        let others = Mutex::new(Vec::new());
        let judge = |client: &Client<'_>, answer: &Answer, access| match answer.json_text("/auth/client_token") {
            Some(token) => {
                if let (true, Ok(mut others)) = (access != Access::Given, others.lock()) {
                    others.push(token);
                }
                Judged::LetIn
            }
            None if answer.status == StatusCode::BAD_REQUEST => {
                Judged::Refused(causes::credentials_refused(client.target.text("username")))
            }
            None => self.judge(client, answer),
        };
        let proven = prove(client, true, &|access| login(target, access), &judge).await;
        for token in others.into_inner().unwrap_or_default() {
            client.scrubber.and(&token);
            self.give_back(client, Credentials::default().and(TOKEN, &token, PASSWORD)?).await;
        }
        let (answer, proof) = proven?;
        let token = answer.json_text("/auth/client_token").unwrap_or_default();
        client.scrubber.and(&token);
        Ok(Entered { credentials: Credentials::default().and(TOKEN, &token, PASSWORD)?, proof, version: None })
    }
}

impl Vault {
    async fn give_back(&self, client: &mut Client<'_>, token: Credentials) {
        if let Ok(request) = asks(client.target, Method::POST, "/v1/auth/token/revoke-self") {
            // What is not given back ends by itself.
            let _ = client.ask(&request.with(token)).await;
        }
    }
}

impl Service for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn is_by_name(&self, target: &Target) -> bool {
        is_app_role(target)
    }

    fn credentials(&self, target: &Target, access: Access) -> Result<Credentials, TestError> {
        match secret(target, access) {
            "" => Ok(Credentials::default()),
            token => Credentials::default().and(TOKEN, token, PASSWORD),
        }
    }

    /// Every token may ask this of itself, unless its policies say otherwise.
    fn question(&self, target: &Target) -> Result<Request, TestError> {
        asks(target, Method::GET, "/v1/auth/token/lookup-self")
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.json().is_some_and(|json| json.pointer("/data/policies").is_some())
    }

    /// Its errors are nothing but a list of them.
    fn is_own(&self, answer: &Answer) -> bool {
        let json = answer.json();
        let errors =
            json.as_ref().and_then(|json| json.as_object()).filter(|all| all.len() == 1).and_then(|all| all.get("errors"));
        is_its(answer)
            || errors.and_then(serde_json::Value::as_array).is_some_and(|all| all.iter().all(serde_json::Value::is_string))
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let reason = answer.reason();
        if answer.status == StatusCode::BAD_REQUEST && reason.contains("missing client token") {
            return Some(Judged::Refused(causes::sign_in_missing()));
        }
        if reason.contains("Vault is sealed") {
            return Some(Judged::Failed(causes::sealed(PRODUCT)));
        }
        (answer.status == StatusCode::FORBIDDEN && asked.step == StepName::SignIn && asked.has_sign_in && !asked.is_by_name)
            .then(|| Judged::Refused(causes::token_refused()))
    }

    /// Its health is told to everybody: <https://developer.hashicorp.com/vault/api-docs/system/health>.
    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let target = client.target;
        let health = client.ask(&Request::get(joined(target, "/v1/sys/health?standbyok=true&perfstandbyok=true"))).await?;
        let said = health.json().filter(|_| is_its(&health));
        let flag = |name: &str| said.as_ref().and_then(|json| json.get(name)?.as_bool());
        if flag("sealed") == Some(true) {
            return Err(causes::sealed(PRODUCT));
        }
        let version = said.as_ref().and_then(|json| json.get("version")?.as_str()).map(str::to_owned);
        let entered = if is_app_role(target) && self.has_sign_in(target) {
            self.enter_by_role(client).await?
        } else {
            self.enter_by(client, &|target| self.question(target)).await?
        };
        Ok(Entered { version, ..entered })
    }

    async fn leave(&self, client: &mut Client<'_>, entered: &Entered) {
        if is_app_role(client.target) {
            self.give_back(client, entered.credentials.clone()).await;
        }
    }
}

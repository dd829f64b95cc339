//! Snowflake over its SQL API, with a key pair or a token for programs: <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating>.
//!
//! What is asked for needs no warehouse, so that none is started.

use dataflow_model::{StepName, TestError};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::{
    Target, causes,
    connector::PASSWORD,
    http::{Access, Answer, Asked, Client, Credentials, Entered, Judged, Request, Service, WRONG, at, secret},
    signing::{self, RsaKey, spoilt},
};

const ACCOUNT: &str = "extra.account";
const KEY: &str = "extra.private_key_content";
const KIND: HeaderName = HeaderName::from_static("x-snowflake-authorization-token-type");
const GOOD_FOR: i64 = 300;
/// What is opened, as it is called there, and the column that says it: empty if it is not there, or not for this role.
const NAMED: [(&str, &str, usize); 4] =
    [("database", "database", 1), ("extra.schema", "schema", 2), ("extra.warehouse", "warehouse", 3), ("extra.role", "role", 4)];
const STATEMENT: &str = "SELECT CURRENT_VERSION(), CURRENT_DATABASE(), CURRENT_SCHEMA(), CURRENT_WAREHOUSE(), CURRENT_ROLE()";

pub(crate) struct Snowflake;

fn has_key(target: &Target) -> bool {
    !target.expose_secret(KEY).is_empty()
}

/// `ACCOUNT.USER`, as tokens name it: without the region that an account's older names end with.
fn user(target: &Target) -> String {
    let account = target.text(ACCOUNT);
    let account = account.split('.').next().unwrap_or_default();
    format!("{account}.{}", target.text("username")).to_uppercase()
}

/// A token that the private key signs: <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating#using-key-pair-authentication>.
fn signed_token(target: &Target) -> Result<String, TestError> {
    let unreadable = || causes::secret_unreadable(KEY, "The private key", "one of RSA in PEM form, without a passphrase");
    let key = RsaKey::read(target.expose_secret(KEY)).ok_or_else(unreadable)?;
    let (user, made) = (user(target), signing::now().unix_timestamp());
    let issuer = format!("{user}.{}", key.fingerprint().ok_or_else(unreadable)?);
    let claims = json!({"iss": issuer, "sub": user, "iat": made, "exp": made + GOOD_FOR});
    key.token(&json!({"alg": "RS256", "typ": "JWT"}), &claims).ok_or_else(|| causes::test_broken("a key does not sign"))
}

fn row(answer: &Answer) -> Option<Vec<Value>> {
    answer.json()?.pointer("/data/0")?.as_array().cloned()
}

impl Service for Snowflake {
    fn name(&self) -> &'static str {
        "snowflake"
    }

    fn product(&self) -> &'static str {
        "Snowflake"
    }

    fn has_sign_in(&self, target: &Target) -> bool {
        has_key(target) || !target.expose_secret(PASSWORD).is_empty()
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        false
    }

    fn place(&self, target: &Target) -> Result<Option<Target>, TestError> {
        if !target.text("host").is_empty() {
            return Ok(None);
        }
        let account = target.text(ACCOUNT);
        if account.is_empty() {
            return Err(causes::setting_missing(ACCOUNT, "The account"));
        }
        let is_name = account.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.'));
        if !is_name || account.starts_with('.') {
            return Err(causes::no_name_of_a_host(ACCOUNT));
        }
        // Names of accounts may have an underscore, and those of hosts none: <https://docs.snowflake.com/en/user-guide/organizations-connect>.
        Ok(Some(at(target, &format!("{}.snowflakecomputing.com", account.replace('_', "-")))))
    }

    fn credentials(&self, target: &Target, access: Access) -> Result<Credentials, TestError> {
        let (token, kind) = match access {
            Access::Without => return Ok(Credentials::default()),
            Access::Given if has_key(target) => (signed_token(target)?, "KEYPAIR_JWT"),
            Access::Wrong if has_key(target) => (spoilt(&signed_token(target)?, WRONG), "KEYPAIR_JWT"),
            access => (secret(target, access).to_owned(), "PROGRAMMATIC_ACCESS_TOKEN"),
        };
        if token.is_empty() {
            return Ok(Credentials::default());
        }
        Credentials::token("Bearer", &token)?.and(KIND, kind, PASSWORD)
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let mut body = json!({"statement": STATEMENT, "timeout": 8});
        for (field, name, _) in NAMED {
            if let (false, Some(body)) = (target.text(field).is_empty(), body.as_object_mut()) {
                body.insert(name.to_owned(), target.text(field).into());
            }
        }
        let request = Request::post("/api/v2/statements", "application/json", body.to_string());
        Ok(request.header(hyper::header::ACCEPT, HeaderValue::from_static("application/json")))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.json_text("/statementHandle").is_some() && row(answer).is_some_and(|row| row.len() == 5)
    }

    fn version(&self, answer: &Answer) -> Option<String> {
        row(answer)?.first()?.as_str().map(str::to_owned)
    }

    fn is_own(&self, answer: &Answer) -> bool {
        answer.json_text("/code").is_some() && answer.json_text("/message").is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        if !asked.is_own || answer.status.is_success() {
            return None;
        }
        let code = answer.json_text("/code").unwrap_or_default();
        let role = asked.target.text("extra.role");
        Some(match (answer.status.as_u16(), code.as_str()) {
            (401, _) if !asked.has_sign_in => Judged::Refused(causes::sign_in_missing()),
            (401, _) if has_key(asked.target) => Judged::Refused(causes::key_pair_refused(KEY, asked.target.text("username"))),
            (401, _) => Judged::Refused(causes::token_refused()),
            // Network policies.
            (_, "390420" | "390422") => Judged::Failed(causes::address_not_permitted(asked.target.text("username"))),
            // The role is not granted, or is none.
            (_, "390189" | "390186") => Judged::Failed(causes::missing("extra.role", "role", role)),
            (429, _) => Judged::Failed(causes::too_many_requests()),
            (status, _) => Judged::Failed(causes::http_error(status, &asked.said(answer))),
        })
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        let answer = self.asked(client, &self.question(target)?.with(entered.credentials.clone())).await?;
        let row = row(&answer).unwrap_or_default();
        for (field, kind, column) in NAMED {
            let name = target.text(field);
            if !name.is_empty() && row.get(column).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(causes::missing(field, kind, name));
            }
        }
        Ok(Some(target.text("database").to_owned()).filter(|name| !name.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use dataflow_model::FieldValue;

    use super::*;

    #[test]
    fn an_account_is_a_part_of_a_host() {
        let of = |account: &str| {
            let mut target = Target::default();
            target.public.0.insert(ACCOUNT.into(), FieldValue::Text(account.to_owned()));
            target.public.0.insert("username".into(), FieldValue::Text("anna".to_owned()));
            let place = Snowflake.place(&target).map_err(|error| error.field);
            (place.map(|place| place.expect("a place").text("host").to_owned()), user(&target))
        };
        assert_eq!(of("my_org-acc"), (Ok("my-org-acc.snowflakecomputing.com".to_owned()), "MY_ORG-ACC.ANNA".to_owned()));
        assert_eq!(of("xy1.eu-west-1"), (Ok("xy1.eu-west-1.snowflakecomputing.com".to_owned()), "XY1.ANNA".to_owned()));
        for account in ["a/b", "evil.example.org#", ".x", ""] {
            assert_eq!(of(account).0, Err(Some(ACCOUNT.to_owned())), "{account}");
        }
    }
}

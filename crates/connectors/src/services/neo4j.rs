//! Neo4j over its Query API (<https://neo4j.com/docs/query-api/current/>). Its own protocol, Bolt, has another port, and the same users.

use dataflow_model::{StepName, TestError};
use serde_json::Value;

use crate::{
    Target, causes,
    http::{Answer, Asked, Client, Entered, Judged, Request, Service, joined},
    scrub::percent,
};

const PRODUCT: &str = "Neo4j";
/// The database where none is named.
const DEFAULT: &str = "neo4j";

pub(crate) struct Neo4j;

fn database(target: &Target) -> &str {
    Some(target.text("database")).filter(|name| !name.is_empty()).unwrap_or(DEFAULT)
}

fn code(answer: &Answer) -> Option<String> {
    answer.json_text("/errors/0/code").filter(|code| code.starts_with("Neo."))
}

impl Service for Neo4j {
    fn name(&self) -> &'static str {
        "neo4j"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let path = format!("/db/{}/query/v2", &*percent(database(target).as_bytes(), false));
        let body = r#"{"statement":"RETURN 1 AS one","accessMode":"Read"}"#;
        Ok(Request::post(joined(target, &path), "application/json", body))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.json().is_some_and(|json| json.pointer("/data/values/0/0").and_then(Value::as_i64) == Some(1))
    }

    fn is_own(&self, answer: &Answer) -> bool {
        code(answer).is_some()
    }

    /// <https://neo4j.com/docs/status-codes/current/>
    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let name = asked.target.text("username");
        Some(match code(answer)?.as_str() {
            "Neo.ClientError.Security.Unauthorized" | "Neo.ClientError.Security.TokenExpired" => {
                Judged::Refused(asked.sign_in_refused())
            }
            "Neo.ClientError.Security.AuthenticationRateLimit" => Judged::Failed(causes::too_many_requests()),
            "Neo.ClientError.Security.CredentialsExpired" => Judged::Failed(causes::password_expired(name)),
            "Neo.ClientError.Security.Forbidden" if asked.has_sign_in => {
                Judged::Failed(causes::reading_forbidden(&asked.said(answer)))
            }
            // Before the name is looked up somebody has to sign in.
            "Neo.ClientError.Database.DatabaseNotFound" if asked.step == StepName::SignIn && asked.has_sign_in => Judged::LetIn,
            "Neo.ClientError.Database.DatabaseNotFound" => {
                Judged::Failed(causes::missing("database", "database", database(asked.target)))
            }
            "Neo.TransientError.General.DatabaseUnavailable" => Judged::Failed(causes::server_starting()),
            _ => return None,
        })
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        self.asked(client, &self.question(target)?.with(entered.credentials.clone())).await?;
        Ok(Some(database(target).to_owned()))
    }

    /// The version is told to everybody.
    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let target = client.target;
        self.asked(client, &self.question(target)?.with(entered.credentials.clone())).await?;
        let greeting = client.ask(&Request::get(joined(target, "/"))).await;
        Ok(greeting.ok().and_then(|answer| answer.json_text("/neo4j_version")))
    }
}

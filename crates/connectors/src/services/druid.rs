//! Apache Druid: <https://druid.apache.org/docs/latest/api-reference/sql-api/>.

use dataflow_model::{StepName, TestError};

use crate::{
    Target,
    http::{Answer, Client, Entered, Request, Service, joined},
};

pub(crate) struct Druid;

impl Service for Druid {
    fn name(&self) -> &'static str {
        "druid"
    }

    fn product(&self) -> &'static str {
        "Druid"
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        true
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        let body = r#"{"query":"SELECT 1 AS one","resultFormat":"object"}"#;
        Ok(Request::post(joined(target, "/druid/v2/sql"), "application/json", body))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.json().is_some_and(|json| json.pointer("/0/one").and_then(serde_json::Value::as_i64) == Some(1))
    }

    fn is_own(&self, answer: &Answer) -> bool {
        answer.json_text("/errorCode").is_some() && answer.json_text("/errorMessage").is_some()
    }

    /// The version is told to who may see the state of the cluster.
    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        let asks = Request::get(joined(client.target, "/status")).with(entered.credentials.clone());
        Ok(client.ask(&asks).await.ok().and_then(|answer| answer.json_text("/version")))
    }
}

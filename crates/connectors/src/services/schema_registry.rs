//! Confluent's Schema Registry, and what speaks its API, such as Karapace and Redpanda:
//! <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

use dataflow_model::{StepName, TestError};
use hyper::header::CONTENT_TYPE;

use crate::{
    Target,
    http::{Answer, Client, Entered, Request, Service, joined},
};

pub(super) const PRODUCT: &str = "Schema Registry";

pub(crate) struct SchemaRegistry;

pub(super) fn is_its(answer: &Answer) -> bool {
    answer.header(CONTENT_TYPE.as_str()).contains("vnd.schemaregistry")
}

impl Service for SchemaRegistry {
    fn name(&self) -> &'static str {
        "schema_registry"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(Request::get(joined(target, "/subjects?offset=0&limit=1")))
    }

    /// A list of names. A server that is too old to be asked for one alone may send more than is read.
    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        let is_list = |json: serde_json::Value| json.as_array().is_some_and(|list| list.iter().all(serde_json::Value::is_string));
        answer.json().is_some_and(is_list) || (answer.is_cut && answer.body.starts_with(b"[\"") && is_its(answer))
    }

    fn is_own(&self, answer: &Answer) -> bool {
        is_its(answer)
    }

    /// Older servers and other products do not say it.
    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        let asks = Request::get(joined(client.target, "/v1/metadata/version")).with(entered.credentials.clone());
        Ok(client.ask(&asks).await.ok().and_then(|answer| answer.json_text("/version")))
    }
}

//! InfluxDB 2 and InfluxDB Cloud: <https://docs.influxdata.com/influxdb/v2/api/v2/>.

use dataflow_model::{StepName, TestError};
use hyper::StatusCode;

use crate::{
    Target, causes,
    http::{Answer, Asked, Client, Entered, Judged, Request, Service, form, joined},
};

pub(super) const PRODUCT: &str = "InfluxDB";

const ORGANISATION: &str = "extra.organization";
const VERSION: &str = "x-influxdb-version";

pub(crate) struct InfluxDb;

pub(super) fn is_its(answer: &Answer) -> bool {
    answer.has(VERSION)
}

/// What a token may see of these; a token that may see none is told none.
fn buckets(target: &Target, organisation: &str, bucket: &str) -> Request {
    let conditions = form(&[("limit", "1"), ("org", organisation), ("name", bucket)]);
    Request::get(joined(target, &format!("/api/v2/buckets?{conditions}")))
}

impl Service for InfluxDb {
    fn name(&self) -> &'static str {
        "influxdb"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        false
    }

    fn scheme(&self) -> &'static str {
        "Token"
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(buckets(target, "", ""))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.json().is_some_and(|json| json.get("buckets").is_some_and(serde_json::Value::is_array))
    }

    fn version(&self, answer: &Answer) -> Option<String> {
        Some(answer.header(VERSION).trim_start_matches('v').to_owned()).filter(|version| !version.is_empty())
    }

    fn is_own(&self, answer: &Answer) -> bool {
        is_its(answer)
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let is_missing =
            answer.status == StatusCode::NOT_FOUND && answer.json_text("/code").is_some_and(|code| code == "not found");
        let organisation = asked.target.text(ORGANISATION);
        (is_missing && asked.step == StepName::OpenDatabase).then(|| {
            let what = if answer.reason().contains("bucket") {
                causes::missing("database", "bucket", asked.target.text("database"))
            } else {
                causes::missing(ORGANISATION, "organization", organisation)
            };
            Judged::Failed(what)
        })
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let (organisation, bucket) = (client.target.text(ORGANISATION), client.target.text("database"));
        if organisation.is_empty() && bucket.is_empty() {
            return Ok(None);
        }
        let answer = self.asked(client, &buckets(client.target, organisation, bucket).with(entered.credentials.clone())).await?;
        let is_empty = answer.json().and_then(|json| json.get("buckets")?.as_array().map(Vec::is_empty)).unwrap_or(true);
        if is_empty && !bucket.is_empty() {
            return Err(causes::missing("database", "bucket", bucket));
        }
        Ok(Some(if bucket.is_empty() { organisation.to_owned() } else { bucket.to_owned() }))
    }
}

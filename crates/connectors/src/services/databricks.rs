//! A SQL warehouse of Databricks: <https://docs.databricks.com/api/workspace/warehouses/get>. It is looked at and not started: a warehouse that
//! runs costs money.

use dataflow_model::{StepName, TestError};
use hyper::StatusCode;

use crate::{
    Target, causes,
    http::{Answer, Asked, Client, Entered, Judged, Request, Service, joined},
    scrub::percent,
};

const HTTP_PATH: &str = "extra.http_path";

pub(crate) struct Databricks;

/// The warehouse's id: the end of `/sql/1.0/warehouses/abc123`, or of the older `/sql/1.0/endpoints/abc123`.
fn warehouse(target: &Target) -> &str {
    target.text(HTTP_PATH).trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

impl Service for Databricks {
    fn name(&self) -> &'static str {
        "databricks"
    }

    fn product(&self) -> &'static str {
        "Databricks"
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        false
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(Request::get(joined(target, &format!("/api/2.0/sql/warehouses/{}", &*percent(warehouse(target).as_bytes(), false)))))
    }

    fn accepts(&self, _step: StepName, answer: &Answer) -> bool {
        answer.json_text("/id").is_some() && answer.json_text("/state").is_some()
    }

    fn is_own(&self, answer: &Answer) -> bool {
        answer.json_text("/error_code").is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        match (answer.status, answer.json_text("/error_code").as_deref()) {
            (StatusCode::NOT_FOUND, Some("RESOURCE_DOES_NOT_EXIST")) => {
                Some(Judged::Failed(causes::missing(HTTP_PATH, "warehouse", warehouse(asked.target))))
            }
            // The token is right: it is told that its owner may not.
            (StatusCode::FORBIDDEN, Some("PERMISSION_DENIED")) => {
                Some(Judged::Failed(causes::reading_forbidden(&asked.said(answer))))
            }
            (StatusCode::FORBIDDEN, _) => Some(Judged::Refused(causes::token_refused())),
            _ => None,
        }
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let answer = self.asked(client, &self.question(client.target)?.with(entered.credentials.clone())).await?;
        let name = answer.json_text("/name").unwrap_or_default();
        let state = answer.json_text("/state").unwrap_or_default().to_lowercase();
        Ok(Some(client.scrubber.clean(&format!("{name}, {state}"))))
    }
}

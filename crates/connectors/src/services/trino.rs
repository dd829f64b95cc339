//! Trino and Presto, which once were one: <https://trino.io/docs/current/develop/client-protocol.html>,
//! <https://prestodb.io/docs/current/develop/client-protocol.html>.
//!
//! Whether a password is taken is asked with an empty statement: the server looks at the sign-in first, then refuses the statement
//! before it makes a query of it (`QueuedStatementResource` in both sources).

use std::time::Duration;

use dataflow_model::{StepName, TestError};
use hyper::{
    Method, StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;

use crate::{
    Target, causes,
    http::{Answer, Asked, Client, Entered, Judged, Request, Service, joined},
};

/// One of both.
pub(crate) struct Trino {
    name: &'static str,
    product: &'static str,
    user: &'static str,
    catalog: &'static str,
    schema: &'static str,
    source: &'static str,
}

pub(super) const TRINO: Trino = Trino {
    name: "trino",
    product: "Trino",
    user: "x-trino-user",
    catalog: "x-trino-catalog",
    schema: "x-trino-schema",
    source: "x-trino-source",
};

pub(super) const PRESTO: Trino = Trino {
    name: "presto",
    product: "Presto",
    user: "x-presto-user",
    catalog: "x-presto-catalog",
    schema: "x-presto-schema",
    source: "x-presto-source",
};

const EMPTY: &str = "SQL statement is empty";
/// Said to any password over HTTP, and by a server that has no way to check one.
const NO_PASSWORDS: &str = "Password not allowed for insecure authentication";
/// Between two looks at a query that is not done; the server itself waits up to a second.
const PAUSE: Duration = Duration::from_millis(20);
/// Most pages of a result, and most bytes of all of them: whatever is asked here has a few lines.
const MOST_PAGES: usize = 1_000;
const MOST_BYTES: usize = 1024 * 1024;

impl Trino {
    fn statement(&self, target: &Target, sql: impl Into<bytes::Bytes>) -> Result<Request, TestError> {
        Request::post(joined(target, "/v1/statement"), "text/plain; charset=utf-8", sql)
            .header(HeaderName::from_static(self.source), HeaderValue::from_static("dataflow"))
            .header_of(self.user, target, "username")?
            .header_of(self.catalog, target, "database")?
            .header_of(self.schema, target, "extra.schema")
    }

    /// Runs a query to its end; its rows. No URL of the server's is followed but to the same host.
    async fn rows(&self, client: &mut Client<'_>, entered: &Entered, sql: String) -> Result<Vec<Value>, TestError> {
        let mut request = self.statement(client.target, sql)?.with(entered.credentials.clone());
        let mut rows = Vec::new();
        let mut bytes = 0;
        for _ in 0..MOST_PAGES {
            let answer = self.asked(client, &request).await?;
            bytes += answer.body.len();
            if bytes > MOST_BYTES {
                break;
            }
            let Some(mut result) = answer.json() else { return Err(causes::unexpected_answer(self.product, client.step)) };
            if let Some(error) = result.get("error") {
                return Err(failure(error, client));
            }
            if let Some(Value::Array(more)) = result.get_mut("data").map(Value::take) {
                rows.extend(more);
            }
            let Some(next) = result.get("nextUri").and_then(Value::as_str) else { return Ok(rows) };
            let path = Uri::try_from(next).ok().and_then(|uri| uri.path_and_query().map(|path| path.as_str().to_owned()));
            let path = path.ok_or_else(|| causes::unexpected_answer(self.product, client.step))?;
            request = Request::of(Method::GET, path).with(entered.credentials.clone());
            request = request.header_of(self.user, client.target, "username")?;
            if rows.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(causes::too_long())
    }
}

/// Why a query failed. The names are those of `StandardErrorCode`.
fn failure(error: &Value, client: &Client<'_>) -> TestError {
    let name = error.get("errorName").and_then(Value::as_str).unwrap_or_default();
    let said = client.scrubber.clean(error.get("message").and_then(Value::as_str).unwrap_or_default());
    match name {
        "PERMISSION_DENIED" => causes::reading_forbidden(&said),
        "SERVER_STARTING_UP" | "SERVER_SHUTTING_DOWN" => causes::server_starting(),
        "QUERY_QUEUE_FULL" => causes::too_many_connections(),
        "CATALOG_NOT_FOUND" | "MISSING_CATALOG_NAME" => causes::missing("database", "catalog", client.target.text("database")),
        "SCHEMA_NOT_FOUND" => causes::missing("extra.schema", "schema", client.target.text("extra.schema")),
        _ => causes::server_error(&said),
    }
}

/// A text as SQL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Service for Trino {
    fn name(&self) -> &'static str {
        self.name
    }

    fn product(&self) -> &'static str {
        self.product
    }

    fn is_by_name(&self, target: &Target) -> bool {
        target.text("extra.auth") != "bearer"
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        self.statement(target, "")
    }

    fn accepts(&self, step: StepName, answer: &Answer) -> bool {
        step != StepName::SignIn && answer.json().is_some_and(|json| json.get("id").is_some() && json.get("stats").is_some())
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        let text = answer.text();
        if asked.step == StepName::SignIn && answer.status == StatusCode::BAD_REQUEST && text.contains(EMPTY) {
            return Some(Judged::LetIn);
        }
        (answer.status == StatusCode::UNAUTHORIZED && text.contains(NO_PASSWORDS))
            .then(|| Judged::Refused(causes::passwords_not_taken(self.product)))
    }

    /// Says the version to everybody, before any query.
    async fn enter(&self, client: &mut Client<'_>) -> Result<Entered, TestError> {
        let answer = client.ask(&Request::get(joined(client.target, "/v1/info"))).await?;
        let information = answer.json().filter(|json| json.get("nodeVersion").is_some());
        if information.as_ref().and_then(|json| json.get("starting")) == Some(&Value::Bool(true)) {
            return Err(causes::server_starting());
        }
        let version = information.as_ref().and_then(|json| json.pointer("/nodeVersion/version")?.as_str());
        let entered = self.enter_by(client, &|target| self.question(target)).await?;
        Ok(Entered { version: version.map(str::to_owned), ..entered })
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let (catalog, schema) = (client.target.text("database"), client.target.text("extra.schema"));
        if catalog.is_empty() {
            return Ok(None);
        }
        let catalogs = self.rows(client, entered, "SHOW CATALOGS".to_owned()).await?;
        let is_there =
            catalogs.iter().any(|row| row.get(0).and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case(catalog)));
        if !is_there {
            return Err(causes::missing("database", "catalog", catalog));
        }
        if schema.is_empty() {
            return Ok(Some(catalog.to_owned()));
        }
        let quoted = catalog.replace('"', "\"\"");
        let asks = format!(
            "SELECT schema_name FROM \"{quoted}\".information_schema.schemata WHERE schema_name = {}",
            literal(&schema.to_lowercase())
        );
        if self.rows(client, entered, asks).await?.is_empty() {
            return Err(causes::missing("extra.schema", "schema", schema));
        }
        Ok(Some(format!("{catalog}.{schema}")))
    }

    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let rows = self.rows(client, entered, "SELECT 1".to_owned()).await?;
        match rows.as_slice() {
            [row] if row.get(0) == Some(&Value::from(1)) => Ok(None),
            _ => Err(causes::read_refused("it gave no row for SELECT 1")),
        }
    }
}

//! ClickHouse over its HTTP interface: <https://clickhouse.com/docs/interfaces/http>.
//!
//! Errors have their code in a header, in older versions at the beginning of the text. The codes are those of
//! `src/Common/ErrorCodes.cpp` in ClickHouse's source.

use dataflow_model::{StepName, TestError};
use hyper::header::{HeaderName, HeaderValue};

use crate::{
    Target, causes,
    http::{Access, Answer, Asked, Client, Credentials, Entered, Judged, Request, Service, joined, secret},
};

pub(super) const PRODUCT: &str = "ClickHouse";

const USER: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");
const DATABASE: &str = "x-clickhouse-database";
const CODE: &str = "x-clickhouse-exception-code";

/// The database and the user where none is named.
const DEFAULT: &str = "default";

pub(crate) struct ClickHouse;

pub(super) fn is_its(answer: &Answer) -> bool {
    ["x-clickhouse-query-id", "x-clickhouse-server-display-name", CODE].iter().any(|name| answer.has(name))
}

/// A statement, asked by POST as its documentation has it: what comes by GET may only read.
fn statement(target: &Target, sql: &'static str) -> Request {
    let format = HeaderValue::from_static("TabSeparated");
    Request::post(joined(target, "/"), "text/plain", sql).header(HeaderName::from_static("x-clickhouse-format"), format)
}

fn in_database(target: &Target, sql: &'static str) -> Result<Request, TestError> {
    statement(target, sql).header_of(DATABASE, target, "database")
}

/// The number of an error; `None` if it is none.
fn code(answer: &Answer) -> Option<u32> {
    if !answer.header(CODE).is_empty() {
        return answer.header(CODE).parse().ok();
    }
    let text = answer.text();
    let digits = text.strip_prefix("Code: ")?.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

impl Service for ClickHouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    fn product(&self) -> &'static str {
        PRODUCT
    }

    fn is_by_name(&self, _target: &Target) -> bool {
        true
    }

    /// Without a password the user is still named: without a name the server would take “default”, which is another user.
    fn credentials(&self, target: &Target, access: Access) -> Result<Credentials, TestError> {
        let user = Some(target.text("username")).filter(|user| !user.is_empty()).unwrap_or(DEFAULT);
        let named = Credentials::default().and(USER, user, "username")?;
        match secret(target, access) {
            "" => Ok(named),
            password => named.and(KEY, password, "password"),
        }
    }

    fn question(&self, target: &Target) -> Result<Request, TestError> {
        Ok(statement(target, "SELECT version()"))
    }

    fn accepts(&self, step: StepName, answer: &Answer) -> bool {
        let text = answer.text();
        match step {
            StepName::SignIn => text.starts_with(|first: char| first.is_ascii_digit()) && text.contains('.') && text.len() < 100,
            _ => text == "1\n",
        }
    }

    fn version(&self, answer: &Answer) -> Option<String> {
        answer.text().lines().next().filter(|line| line.contains('.')).map(str::to_owned)
    }

    fn is_own(&self, answer: &Answer) -> bool {
        is_its(answer) || code(answer).is_some()
    }

    fn own_meaning(&self, answer: &Answer, asked: &Asked<'_>) -> Option<Judged> {
        // What the port of the native protocol says in HTTP.
        if answer.text().contains("is for clickhouse-client program") {
            return Some(Judged::Failed(causes::another_service("ClickHouse over HTTP", "ClickHouse's own protocol")));
        }
        let (database, user) = (asked.target.text("database"), asked.target.text("username"));
        let error = match code(answer)? {
            // AUTHENTICATION_FAILED; before version 20.4 UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD
            516 | 192..=194 => return Some(Judged::Refused(asked.sign_in_refused())),
            // IP_ADDRESS_NOT_ALLOWED
            195 => causes::address_not_permitted(user),
            // UNKNOWN_DATABASE
            81 => causes::database_missing(database),
            // DATABASE_ACCESS_DENIED
            291 => causes::no_right_to_connect(user, database),
            // ACCESS_DENIED, READONLY
            497 | 164 => causes::reading_forbidden(&asked.said(answer)),
            // TOO_MANY_SIMULTANEOUS_QUERIES, QUOTA_EXCEEDED
            202 | 201 => causes::too_many_connections(),
            _ => causes::server_error(&asked.said(answer)),
        };
        Some(Judged::Failed(error))
    }

    async fn open(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        let database = client.target.text("database");
        if database.is_empty() {
            return Ok(None);
        }
        self.asked(client, &in_database(client.target, "SELECT 1")?.with(entered.credentials.clone())).await?;
        Ok(Some(database.to_owned()))
    }

    async fn read(&self, client: &mut Client<'_>, entered: &Entered) -> Result<Option<String>, TestError> {
        self.asked(client, &in_database(client.target, "SELECT 1")?.with(entered.credentials.clone())).await?;
        Ok(None)
    }
}

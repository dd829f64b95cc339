//! What operations refuse with: the one table of codes, out of which each refusal in the description gets its text, its examples and
//! its headers. A handler lists its statuses, and as `description` the codes that not every operation with that status has.

use dataflow_model::{
    Cause, Code, Dependent, FieldError, Impact, Learned, Seen, Step, StepName, StepStatus, TestError, TestReport, TestStatus,
    WorkflowKind,
};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type, example::ExampleBuilder,
    path::Operation,
};

use crate::{
    error::{Error, Problem, Tombstone},
    listen::HEAD_MAX,
    ops::{
        Action,
        own_types::{TYPE_IN_USE_HINT, in_use},
        rotations::{UnderWay, second_login::NotRetired},
    },
};

/// Where a code is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// At every operation.
    Everywhere,
    /// At every change: its body is read for the `Idempotency-Key`, although some of them use none.
    AtChanges,
    /// At every operation that lists its status.
    WithStatus,
    /// At an operation that lists its status and names it.
    Named,
}

/// Every code that operations answer with, as an example of it.
fn table() -> Vec<(Met, Error)> {
    let cause = || anyhow::anyhow!("an example");
    let tombstone = Tombstone {
        use_instead: Some("warehouse".to_owned()),
        name: "sales".to_owned(),
        deleted_by: "ada@example.org".to_owned(),
        deleted_at: "2026-11-02T09:00:00Z".to_owned(),
        reason: Some("Moved to the new warehouse.".to_owned()),
    };
    vec![
        (Met::Everywhere, Error::Malformed("The request has no “Host” header.")),
        (Met::Everywhere, Error::Unauthenticated),
        (Met::WithStatus, Error::Forbidden(Action::EditConnections.words())),
        (Met::Named, Error::TestsDisabled),
        (Met::WithStatus, Error::NotFound("connection")),
        (Met::Named, Error::NameTaken("sales".to_owned())),
        (Met::Named, Error::TypeInUse(in_use("exasol", "cannot be removed", &[("sales".to_owned(), None)]), TYPE_IN_USE_HINT)),
        (Met::Named, Error::RotationUnderWay(Box::new(UnderWay::example()))),
        (Met::Named, Error::LoginNotRetired(Box::new(NotRetired::example()))),
        (Met::Named, Error::HasDependents(Box::new(impact()))),
        (
            Met::Named,
            Error::HopUnavailable("There is no connection “bastion” in this workspace, which this one goes through.".to_owned()),
        ),
        (Met::Named, Error::TestFailed(Box::new(report()))),
        (Met::Named, Error::LastAdmin),
        (Met::AtChanges, Error::IdempotencyConflict),
        (Met::WithStatus, Error::Deleted(Box::new(tombstone))),
        (Met::WithStatus, Error::VersionConflict),
        (Met::AtChanges, Error::BodyTooLarge),
        (Met::WithStatus, Error::UnsupportedMediaType),
        (Met::WithStatus, Error::Invalid(vec![FieldError::new("port", "out_of_range", "must be from 1 to 65535")])),
        (Met::Named, Error::SecretReentry(vec!["password".to_owned()])),
        (Met::WithStatus, Error::PreconditionRequired),
        (Met::Everywhere, Error::TooFast("More requests came from this token or account than it may make in a time.", 3)),
        (Met::Everywhere, Error::Internal(cause())),
        (Met::Everywhere, Error::SecretUnreadable(cause())),
        (Met::Everywhere, Error::SettingsUnreadable(cause())),
        (Met::Everywhere, Error::TypeUnreadable("exasol".to_owned(), cause())),
        (Met::Everywhere, Error::Unavailable(cause())),
    ]
}

/// What a change has not passed.
fn report() -> TestReport {
    let step = |step, status| Step { step, status, duration_ms: None, detail: None };
    TestReport {
        status: TestStatus::Failed,
        duration_ms: 48.1,
        server_version: None,
        checked_at: "2026-11-02T09:00:00Z".to_owned(),
        from: "server".to_owned(),
        host: None,
        steps: vec![step(StepName::Reach, StepStatus::Ok), step(StepName::SignIn, StepStatus::Failed)],
        error: Some(TestError {
            code: Cause::CredentialsRefused,
            message: "The server refused the password for “analytics”.".to_owned(),
            hint: "Type the password again.".to_owned(),
            field: Some("password".to_owned()),
            certificates: Vec::new(),
        }),
        learned: Learned::default(),
    }
}

/// What a delete would break.
fn impact() -> Impact {
    let seen = Seen {
        first_at: "2026-11-01T02:00:03Z".to_owned(),
        last_at: "2026-11-02T02:00:04Z".to_owned(),
        uses: 12,
        version: Some(3),
        versions: vec![2, 3],
        by: "token etl".to_owned(),
        host: Some("worker-1".to_owned()),
        failed_at: None,
        failed_version: None,
        live: false,
    };
    let dependent = Dependent {
        kind: Some(WorkflowKind::Pipeline),
        name: "daily_sales.load".to_owned(),
        seen: Some(seen),
        found: Vec::new(),
        alias: None,
    };
    Impact {
        total: 1,
        dependents: vec![dependent],
        token: Some("3b0c5a0f6e0d4c1f9a7b2d8e6c4f1a20".to_owned()),
        ..Impact::default()
    }
}

/// One code with an answer that has it.
struct Example {
    met: Met,
    status: String,
    code: Code,
    problem: Problem,
}

impl Example {
    fn of((met, error): (Met, Error)) -> Self {
        let (status, code, ..) = error.describe();
        let request_id = error.cause().map(|_| "7b2f41c0-5d3e-4c8a-9a51-0e6f2d9c8b17".to_owned());
        Self { met, status: status.as_str().to_owned(), code, problem: Problem { request_id, ..error.problem() } }
    }
}

/// Gives an operation the refusals that it has in common with others, and all of its refusals what belongs to them.
pub fn complete(operation: &mut Operation, is_change: bool) {
    let responses = &mut operation.responses.responses;
    let mut examples: Vec<_> = table().into_iter().map(Example::of).collect();
    examples.retain(|example| match example.met {
        Met::Everywhere => true,
        Met::AtChanges => is_change,
        Met::WithStatus => responses.contains_key(&example.status),
        Met::Named => responses.get(&example.status).is_some_and(|response| names(response, example.code)),
    });
    responses.retain(|status, _| !status.starts_with(['4', '5']));
    while let Some(first) = examples.first() {
        let status = first.status.clone();
        let (same, others) = examples.into_iter().partition(|example| example.status == status);
        responses.insert(status, RefOr::T(refusal(same)));
        examples = others;
    }
    responses.insert("431".to_owned(), RefOr::T(head_too_large()));
}

/// What every address answers to a method that is not described at it.
#[must_use]
pub fn method_not_allowed() -> Response {
    refusal(vec![Example::of((Met::Everywhere, Error::MethodNotAllowed))])
}

fn names(response: &RefOr<Response>, code: Code) -> bool {
    let RefOr::T(response) = response else { return false };
    response.description.split(", ").any(|word| word == code.as_str())
}

/// The answer of one status, with all codes that it may have.
fn refusal(examples: Vec<Example>) -> Response {
    let texts: Vec<_> = examples.iter().map(|example| format!("`{}`: {}", example.code, example.code.meaning())).collect();
    let mut response = ResponseBuilder::new().description(texts.join("\n\n"));
    for (name, text, belongs) in HEADERS {
        if examples.iter().any(belongs) {
            let string = ObjectBuilder::new().schema_type(Type::String).build();
            response = response.header(*name, HeaderBuilder::new().schema(Some(string)).description(Some(*text)).build());
        }
    }
    let named = examples.into_iter().map(|example| {
        let value = serde_json::to_value(&example.problem).ok();
        (example.code.as_str(), ExampleBuilder::new().value(value).build())
    });
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).examples_from_iter(named).build();
    response.content("application/problem+json", content).build()
}

type Header = (&'static str, &'static str, fn(&Example) -> bool);

/// Headers of refusals, and which have them.
const HEADERS: &[Header] = &[
    ("Request-Id", "By which the operator finds the cause in the log", |example| example.problem.request_id.is_some()),
    ("Retry-After", "Seconds to wait before it is tried again", |example| {
        matches!(example.code, Code::TooManyRequests | Code::Unavailable)
    }),
    ("WWW-Authenticate", "`Bearer`", |example| example.code == Code::Unauthenticated),
];

/// What the server answers to a head that it does not read to its end.
fn head_too_large() -> Response {
    let text = format!("The request's line and headers are larger than {} KiB. The answer has no body.", HEAD_MAX / 1024);
    ResponseBuilder::new().description(text).build()
}

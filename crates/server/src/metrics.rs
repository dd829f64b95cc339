//! Counters for the operator's own monitoring, in Prometheus' text form. They name routes and types, never a workspace, a person
//! or a connection.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::throttle::Kind;
use axum::http::{Method, StatusCode};
use dataflow_model::TestStatus;
use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder as _, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusRecorder};

const REQUESTS: &str = "dataflow_http_requests_total";
const REQUEST_SECONDS: &str = "dataflow_http_request_duration_seconds";
const TESTS: &str = "dataflow_connection_tests_total";
const TEST_SECONDS: &str = "dataflow_connection_test_duration_seconds";
const TEST_WAIT_SECONDS: &str = "dataflow_connection_test_wait_seconds";
const LIMITED: &str = "dataflow_rate_limited_total";
const AUDIT_SYNC_SECONDS: &str = "dataflow_audit_sync_duration_seconds";
const AUDIT_FAILURES: &str = "dataflow_audit_failures_total";
const BUILD: &str = "dataflow_build_info";

/// Upper ends of the histograms' buckets, in seconds: from an answer out of memory to a test at its deadline.
const BUCKETS: [f64; 11] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// What this node counts since it started.
pub struct Metrics {
    recorder: PrometheusRecorder,
    /// By the pattern that matched. Asking the recorder for a counter at each request made `GET …/credentials` a tenth slower.
    routes: RwLock<HashMap<String, Arc<Route>>>,
    limited: [Counter; Kind::ALL.len()],
    test_waits: Histogram,
    audit_seconds: Histogram,
    audit_failures: Counter,
}

struct Route {
    seconds: Histogram,
    answers: RwLock<HashMap<(&'static str, StatusCode), Counter>>,
}

impl Metrics {
    /// # Errors
    /// Never with the buckets above; the builder checks them.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
        let describe = |name: &'static str, text: &'static str| recorder.describe_counter(name.into(), None, text.into());
        describe(REQUESTS, "Answers to HTTP requests, by method, route and status.");
        describe(LIMITED, "Requests refused with 429 because they came too fast, by what was limited.");
        describe(AUDIT_FAILURES, "Times that the segments of machine reads could not be brought to disk.");
        describe(TESTS, "Tests of connections that ran to their end, by connector and verdict.");
        let describe =
            |name: &'static str, text: &'static str| recorder.describe_histogram(name.into(), Some(Unit::Seconds), text.into());
        describe(AUDIT_SYNC_SECONDS, "Time that a sync of the segments of machine reads took.");
        describe(REQUEST_SECONDS, "Time from a request's head to the head of its answer, by route.");
        describe(TEST_WAIT_SECONDS, "Time that tests of connections waited for a place before they began.");
        describe(TEST_SECONDS, "Time that tests of connections took, their process included, by connector.");
        recorder.describe_gauge(BUILD.into(), None, "Always 1; its label is the version that runs.".into());
        let version = Label::new("version", env!("CARGO_PKG_VERSION"));
        recorder.register_gauge(&Key::from_parts(BUILD, vec![version]), &METADATA).set(1.0);
        let limited = Kind::ALL.map(|kind| {
            let labels = vec![Label::new("kind", kind.as_str())];
            recorder.register_counter(&Key::from_parts(LIMITED, labels), &METADATA)
        });
        let test_waits = recorder.register_histogram(&Key::from_name(TEST_WAIT_SECONDS), &METADATA);
        let audit_seconds = recorder.register_histogram(&Key::from_name(AUDIT_SYNC_SECONDS), &METADATA);
        let audit_failures = recorder.register_counter(&Key::from_name(AUDIT_FAILURES), &METADATA);
        Ok(Self { recorder, routes: RwLock::default(), limited, test_waits, audit_seconds, audit_failures })
    }

    /// Counts one answer. `route` is the pattern that matched, never the address itself.
    pub fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(route).cloned();
        let known = known.unwrap_or_else(|| self.add_route(route));
        known.seconds.record(took.as_secs_f64());
        let answer = (method_label(method), status);
        if let Some(counter) = known.answers.read().unwrap_or_else(PoisonError::into_inner).get(&answer) {
            counter.increment(1);
            return;
        }
        let labels = vec![
            Label::new("method", answer.0),
            Label::new("route", route.to_owned()),
            Label::new("status", status.as_u16().to_string()),
        ];
        let counter = self.recorder.register_counter(&Key::from_parts(REQUESTS, labels), &METADATA);
        counter.increment(1);
        known.answers.write().unwrap_or_else(PoisonError::into_inner).insert(answer, counter);
    }

    fn add_route(&self, route: &str) -> Arc<Route> {
        let key = Key::from_parts(REQUEST_SECONDS, vec![Label::new("route", route.to_owned())]);
        let seconds = self.recorder.register_histogram(&key, &METADATA);
        let added = Arc::new(Route { seconds, answers: RwLock::default() });
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.entry(route.to_owned()).or_insert(added).clone()
    }

    /// Counts one request that came too fast.
    pub fn limited(&self, kind: Kind) {
        for (counter, _) in self.limited.iter().zip(Kind::ALL).filter(|(_, known)| *known == kind) {
            counter.increment(1);
        }
    }

    /// Counts one sync of the segments of machine reads.
    pub fn audit_synced(&self, took: Duration) {
        self.audit_seconds.record(took.as_secs_f64());
    }

    /// Counts that they could not be brought to disk.
    pub fn audit_sync_failed(&self) {
        self.audit_failures.increment(1);
    }

    /// Counts how long a test waited for its place.
    pub fn test_waited(&self, took: Duration) {
        self.test_waits.record(took.as_secs_f64());
    }

    /// Counts one test of a connection.
    pub fn test(&self, connector: &str, status: TestStatus, took: Duration) {
        let connector = Label::new("connector", connector.to_owned());
        let labels = vec![connector.clone(), Label::new("status", status.as_str())];
        self.recorder.register_counter(&Key::from_parts(TESTS, labels), &METADATA).increment(1);
        self.recorder.register_histogram(&Key::from_parts(TEST_SECONDS, vec![connector]), &METADATA).record(took.as_secs_f64());
    }

    /// All of it, in Prometheus' text form, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.recorder.handle().render()
    }

    /// Puts samples into their buckets; until then each lies in memory by itself. Call it every few seconds.
    pub fn settle(&self) {
        self.recorder.handle().run_upkeep();
    }
}

/// The method, if it is one that a route can have: others are the client's invention, without end.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

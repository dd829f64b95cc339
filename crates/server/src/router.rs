//! The whole URL map on one page.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::FutureExt as _;
use tokio::time::timeout;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::{
        self,
        extract::{Authenticated, authenticate},
    },
    app::App,
    config::PublicConfig,
    error::Error,
    faults,
    hosts::HostAllowlist,
    listen::PeerAddress,
    ops::health,
    store, studio,
    throttle::Kind,
};

/// How long a handler may take to the head of its answer: more than a body (30 s) and then a test (10 s), so that what is hung is cut off and
/// nothing else. A streamed test has its head at once.
const HANDLER: Duration = Duration::from_secs(45);

/// The API, and its description.
pub fn api() -> (Router<Arc<App>>, OpenApi) {
    let (routes, document) = described().split_for_parts();
    (routes, api::openapi::complete(document))
}

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(api::openapi::description()).merge(api::openapi::routes())
}

/// For how long a browser that was here over TLS comes back in no other way: a year, to this host alone and no other of its domain
/// (RFC 6797). Browsers heed it over TLS only.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Every address that the server answers, to requests for a host that `public` admits; `None`: for any or none, as tests ask.
pub fn router(app: Arc<App>, public: Option<&PublicConfig>) -> Router {
    let (api, _) = described().split_for_parts();
    let description = Arc::new(OnceLock::new());
    let routes = Router::new()
        .merge(api.route("/metrics", get(metrics)).layer(middleware::from_fn_with_state(app.clone(), authenticate)))
        .merge(studio::routes())
        .route("/api/v1/openapi.json", get(move || std::future::ready(describe(&description))))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(studio::nowhere)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed);
    behind_the_door(
        routes,
        Door { app, hosts: public.map(HostAllowlist::of), is_https: public.is_some_and(PublicConfig::is_https) },
    )
}

/// What stands before every route. One layer for all that is done there: axum clones each layer, and all below it, for each request.
struct Door {
    app: Arc<App>,
    hosts: Option<HostAllowlist>,
    is_https: bool,
}

fn behind_the_door(routes: Router<Arc<App>>, door: Door) -> Router {
    let app = door.app.clone();
    routes.layer(middleware::from_fn_with_state(Arc::new(door), pass)).with_state(app)
}

/// Counts each answer, and logs those that are a failure of ours, a panic too.
async fn pass(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    // Reads of the API write nothing that bears a MAC.
    let may_write = !method.is_safe() || !request.uri().path().starts_with("/api/");
    let keeps_to_tls = door.is_https && !is_this_machine(&request);
    let _under_way = may_write.then(|| door.app.under_way.begin());
    let mut response = match door.hosts.as_ref().map_or(Ok(()), |hosts| hosts.admit(&mut request)) {
        Ok(()) => match timeout(HANDLER, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
            Ok(answered) => answered.unwrap_or_else(|_| panicked()),
            Err(_) => Error::Unavailable(anyhow::anyhow!("a handler took longer than {} s", HANDLER.as_secs())).into_response(),
        },
        Err(error) => error.into_response(),
    };
    response.headers_mut().entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if keeps_to_tls {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    door.app.metrics.request(&method, route, response.status(), began.elapsed());
    faults::log(&response, &method, route);
    response
}

/// Whether it is asked for as `localhost`, the one name that other programs of whoever asks have, too.
fn is_this_machine(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    host.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("localhost"))
}

/// The panic's own words went to standard error already.
fn panicked() -> Response {
    Error::Internal(anyhow::anyhow!("a handler panicked")).into_response()
}

/// The description as it is sent, which is made when it is first asked for: as a tree it takes a megabyte for each copy of its handler.
fn describe(written: &OnceLock<Bytes>) -> Result<impl IntoResponse + use<>, Error> {
    let bytes = if let Some(bytes) = written.get() {
        bytes.clone()
    } else {
        let bytes = serde_json::to_vec(&api().1).context("write the API's description").map_err(Error::Internal)?;
        written.get_or_init(|| Bytes::from(bytes)).clone()
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes))
}

/// 200 once the store answers; 503 with a problem document while it does not.
async fn ready(State(app): State<Arc<App>>, parts: Parts) -> Result<(StatusCode, &'static str), Error> {
    app.throttle.take_at(Kind::Strangers, PeerAddress::of(&parts), app.clock.now())?;
    store::tick(&mut app.store.read().await?).await?;
    Ok((StatusCode::OK, "ready\n"))
}

/// What this node counts, for whoever has a token, which names no connection; and how those of the token's workspace stand that are tested by
/// themselves.
async fn metrics(State(app): State<Arc<App>>, Authenticated(caller): Authenticated) -> Result<impl IntoResponse, Error> {
    let mut text = app.metrics.render();
    match health::gauges::render(&app, &caller).await {
        Ok(gauges) => text.push_str(&gauges),
        // What this node counts is told all the same.
        Err(error) => tracing::warn!(error.code = error.describe().1.as_str(), "how connections stand could not be told"),
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        faults::REQUEST_ID,
        fixture::TestApp,
        ops::{
            Caller, Role, Roles,
            tokens::{self, NewToken},
            workspaces,
        },
    };

    /// In the API's own process, since no other can wait for a day to pass.
    #[tokio::test]
    async fn no_route_answers_to_a_token_that_has_expired() {
        let app = TestApp::on_sqlite().await;
        let (caller, admin) = (Caller::shell(), Roles::of(&[Role::Admin]));
        workspaces::create(&app, &caller, "default").await.expect("made");
        let new = NewToken { name: "short".into(), roles: admin, expires_in_days: Some(1), connections: None };
        let (token, _) = tokens::create(&app, &caller, "default", new).await.expect("made");
        let ask = async |method: &str, path: &str| {
            let path = path.replace("{workspace}", "default").replace("{name}", "sales").replace("{version}", "1");
            let request =
                Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", token.expose_secret()));
            let answer = router(app.clone(), None).oneshot(request.body(Body::empty()).expect("a request")).await;
            answer.expect("an answer").status()
        };
        assert_eq!(ask("GET", "/api/v1/types").await, StatusCode::OK);
        app.clock.advance(crate::clock::DAY);
        let mut asked = 0;
        for (path, item) in api().1.paths.paths {
            let methods =
                [("GET", item.get), ("PUT", item.put), ("POST", item.post), ("PATCH", item.patch), ("DELETE", item.delete)];
            for (method, _) in methods.iter().filter(|(_, operation)| operation.is_some()) {
                assert_eq!(ask(method, &path).await, StatusCode::UNAUTHORIZED, "{method} {path}");
                asked += 1;
            }
        }
        assert!(asked > 20, "{asked} operations");
    }

    #[tokio::test]
    async fn who_came_over_tls_comes_back_so() {
        let app = TestApp::on_sqlite().await;
        let public = |listen: &str, public_url: Option<&str>, tls: bool| PublicConfig {
            listen: listen.parse().expect("an address"),
            public_url: public_url.map(str::to_owned),
            tls: tls.then(|| ("server.crt".into(), "server.key".into())),
            trusted_proxies: Vec::new(),
        };
        for (public, host, expected) in [
            (public("127.0.0.1:8080", None, false), "127.0.0.1", None),
            (public("127.0.0.1:8080", Some("http://dataflow.example.org"), false), "dataflow.example.org", None),
            (
                public("127.0.0.1:8080", Some("https://dataflow.example.org"), false),
                "dataflow.example.org",
                Some("max-age=31536000"),
            ),
            (public("0.0.0.0:8443", None, true), "dataflow.example.org:8443", Some("max-age=31536000")),
            (public("127.0.0.1:8443", None, true), "localhost:8443", None),
        ] {
            // A page, an answer of the API, a refusal.
            for path in ["/sign-in", "/api/v1/openapi.json", "/api/v1/types", "/nowhere"] {
                let request = Request::get(path).header("host", host).body(Body::empty()).expect("a request");
                let answer = router(app.clone(), Some(&public)).oneshot(request).await.expect("an answer");
                let told = answer.headers().get(header::STRICT_TRANSPORT_SECURITY).map(HeaderValue::as_bytes);
                assert_eq!(told, expected.map(str::as_bytes), "{path} of {host} at {public:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_with_an_id_and_is_counted() {
        let app = TestApp::on_sqlite().await;
        let routes = Router::new().route("/of/{name}", get(async || -> StatusCode { panic!("planned") }));
        let request = Request::get("/of/planted").body(Body::empty()).expect("a request");
        let response = behind_the_door(routes, Door { app: app.clone(), hosts: None, is_https: false })
            .oneshot(request)
            .await
            .expect("an answer");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key(REQUEST_ID));
        let counted = "dataflow_http_requests_total{method=\"GET\",route=\"/of/{name}\",status=\"500\"} 1";
        assert!(app.metrics.render().lines().any(|line| line == counted), "{}", app.metrics.render());
    }
}

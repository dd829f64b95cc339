//! What services over HTTP answer beside “yes” and “no”, and the ways to sign in that take more than one request.

use dataflow_model::{Cause, StepName, StepStatus, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{self as fakes, Answers, Door, FakeService, PASSWORD, Reply, USER},
    scripted::Scripted,
    scripted_http::{read_request, send_answer},
    tls::{Authority, Shape},
};

fn guarded(answer: Answers) -> FakeService {
    FakeService::start(None, move |asked| answer(asked, Door::Guarded))
}

fn to(connector: &'static str, server: &FakeService) -> Connection {
    Connection::new(connector, server.port()).user(USER, PASSWORD)
}

#[track_caller]
fn is_refused(tested: &Tested, cause: Cause, step: StepName, field: Option<&str>, words: &str) {
    let error = tested.error(PASSWORD);
    assert_eq!((error.code, tested.failed_step(), error.field.as_deref()), (cause, Some(step), field), "{error:?}");
    assert!(error.message.contains(words), "{}", error.message);
}

#[tokio::test]
async fn what_a_connection_names_and_the_service_lacks_is_told_by_its_kind() {
    use Cause::DatabaseMissing;
    let fakes: [(&str, Answers, &str, &str, &str); 8] = [
        ("clickhouse", fakes::clickhouse, "database", "nowhere", "no database “nowhere”"),
        ("elasticsearch", fakes::elasticsearch, "database", "nowhere", "no index “nowhere”"),
        ("opensearch", fakes::opensearch, "database", "nowhere", "no index “nowhere”"),
        ("influxdb", fakes::influxdb, "database", "nowhere", "no bucket “nowhere”"),
        ("influxdb", fakes::influxdb, "extra.organization", "nowhere", "no organization “nowhere”"),
        ("presto", fakes::presto, "database", "nowhere", "no catalog “nowhere”"),
        ("trino", fakes::trino, "extra.schema", "nowhere", "no schema “nowhere”"),
        ("databricks", fakes::databricks, "extra.http_path", "/sql/1.0/warehouses/nowhere", "no warehouse “nowhere”"),
    ];
    for (connector, answer, field, value, words) in fakes {
        let server = guarded(answer);
        let step = if connector == "databricks" { StepName::SignIn } else { StepName::OpenDatabase };
        let connection = to(connector, &server).set("database", "hive");
        let connection = if connector == "influxdb" { connection.set("database", "metrics") } else { connection };
        is_refused(&connection.set(field, value).test().await, DatabaseMissing, step, Some(field), words);
    }
}

#[tokio::test]
async fn an_answer_of_an_api_has_its_cause() {
    let server = guarded(fakes::api);
    let at = |path: &str| to("http", &server).set("extra.auth", "basic").set("extra.test_path", path);
    for (path, cause, field, words) in [
        ("/v1/nothing", Cause::InvalidSettings, Some("extra.test_path"), "nothing at “/v1/nothing” (404)"),
        ("/v1/forbidden", Cause::CredentialsRefused, Some("password"), "(403)"),
        ("/v1/moved", Cause::CredentialsRefused, Some("password"), "“https://elsewhere.example.org/login”"),
        ("/v1/page", Cause::NotThatDatabase, Some("host"), "A web page"),
        ("/v1/broken", Cause::ServerError, None, "(500): lost (withheld)"),
        ("/v1/a b", Cause::InvalidSettings, Some("extra.path"), "cannot carry"),
    ] {
        is_refused(&at(path).test().await, cause, StepName::SignIn, field, words);
    }
    let wrong_kind = to("http", &server).set("extra.auth", "bearer").secret("password", "line\nbreak").test().await;
    is_refused(&wrong_kind, Cause::InvalidSettings, StepName::SignIn, Some("password"), "cannot carry");
    let odd = at("/v1/me").set("extra.auth", "header").set("extra.header", "X Key").test().await;
    is_refused(&odd, Cause::InvalidSettings, StepName::SignIn, Some("extra.header"), "cannot carry");
    let none = to("http", &server).set("extra.auth", "none").set("extra.test_path", "/v1/me").test().await;
    is_refused(&none, Cause::CredentialsRefused, StepName::SignIn, Some("password"), "none is set");
}

/// An API that lets nobody be nobody, and refuses who names himself wrongly.
#[tokio::test]
async fn who_is_let_in_without_a_name_may_still_be_looked_at_with_one() {
    let server = FakeService::start(None, |asked| match asked.header("authorization") {
        "" => Reply::new(200, "{}"),
        _ if asked.is_basic() => Reply::new(200, "{}"),
        _ => Reply::new(401, "{}"),
    });
    let tested = to("http", &server).set("extra.auth", "basic").test().await;
    assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
    assert_eq!(server.count("GET / HTTP/1.1"), 4, "with the password, without, with a wrong one, and the read");
    // One that breaks where nobody signs in has not said that it looks at passwords.
    let server = FakeService::start(None, |asked| Reply::new(if asked.is_basic() { 200 } else { 500 }, "{}"));
    let tested = to("http", &server).set("extra.auth", "basic").test().await;
    assert_eq!(tested.outcome().status, TestStatus::Unproven, "{:?}", tested.steps);
    let said = tested.steps.iter().find(|step| step.step == StepName::SignIn).and_then(|step| step.detail.clone());
    assert_eq!(said.as_deref(), Some("Whether the server checks the password could not be found out"));
}

/// A gateway that asks for a password and does not look at it.
#[tokio::test]
async fn a_server_that_takes_any_password_proves_none() {
    let any =
        FakeService::start(None, |asked| Reply::new(if asked.header("authorization").is_empty() { 401 } else { 200 }, "{}"));
    let tested = to("http", &any).set("extra.auth", "basic").test().await;
    assert_eq!(tested.outcome().status, TestStatus::Unproven, "{:?}", tested.steps);
    let said = tested.steps.iter().find(|step| step.step == StepName::SignIn).and_then(|step| step.detail.clone());
    assert_eq!(said.as_deref(), Some("The server takes any other password, too"));
}

/// What a connection names leads to no other path of the host, and its key into no header of the request's own. Nothing is asked then.
#[tokio::test]
async fn a_path_and_a_header_stay_what_they_are() {
    let server = guarded(fakes::api);
    for (connector, field, value) in [
        ("http", "extra.test_path", "/../other/me"),
        ("http", "extra.path", "v1?x="),
        ("clickhouse", "extra.path", "-/quit?"),
        ("druid", "extra.path", "a/%2e%2E/b"),
        ("vault", "extra.mount", "x/../../sys"),
    ] {
        let tested = to(connector, &server).set(field, value).test().await;
        is_refused(&tested, Cause::InvalidSettings, StepName::Resolve, Some(field), "That is no path");
    }
    for header in ["Host", "transfer-encoding", "Proxy-Authorization"] {
        let tested = to("http", &server).set("extra.auth", "header").set("extra.header", header).test().await;
        is_refused(&tested, Cause::InvalidSettings, StepName::SignIn, Some("extra.header"), "carries no key");
    }
    assert!(!server.has_heard("HTTP/1.1"));
}

/// A server that repeats what it was sent, and a registry that names a host as long as it likes.
#[tokio::test]
async fn no_answer_brings_a_sign_in_back() {
    for name in ["a", "an", "anna"] {
        let server = FakeService::start(None, |asked| {
            Reply::json(400, &serde_json::json!({"message": format!("malformed header '{}'", asked.header("authorization"))}))
        });
        let tested = Connection::new("http", server.port()).user(name, PASSWORD).set("extra.auth", "basic").test().await;
        let error = tested.error(PASSWORD);
        assert!(error.message.contains("(withheld)") && !error.message.contains("Basic YW"), "{}", error.message);
    }
    let registry = FakeService::start(None, |_| {
        Reply::new(401, "").with("www-authenticate", format!("Bearer realm=\"https://{}/token\"", "a".repeat(5_000)))
    });
    let tested = to("docker_registry", &registry).test().await;
    let error = tested.error(PASSWORD);
    assert!(error.message.chars().count() < 500, "{}", error.message);
}

#[tokio::test]
async fn a_client_s_secret_is_exchanged_for_a_token() {
    let authority = Authority::new();
    for in_body in [false, true] {
        let api = guarded(fakes::api);
        let endpoint = FakeService::start(Some(authority.server(Shape::Good)), move |asked| {
            fakes::oauth_endpoint(asked, Door::Guarded, in_body)
        });
        let connection = || {
            to("http", &api)
                .set("extra.auth", "oauth2")
                .set("extra.test_path", "/v1/me")
                .set("extra.oauth_url", &format!("https://localhost:{}/oauth/token", endpoint.port()))
                .set("extra.oauth_ca", &authority.pem())
                .set("extra.scope", "read all")
        };
        let tested = connection().test().await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
        assert!(!api.has_heard(PASSWORD), "the secret went to the API");
        assert!(!format!("{tested:?}").contains("token-of-the-endpoint"), "{tested:?}");
        let wrong = connection().secret("password", "planted-secret-but-wrong").test().await;
        is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"), "refused the client “anna”");
        let scope = connection().set("extra.scope", "write").test().await;
        is_refused(&scope, Cause::ServerError, StepName::SignIn, None, "gave no token: sent grant_type");
        let untrusted = connection().set("extra.oauth_ca", "").test().await;
        is_refused(&untrusted, Cause::CertificateUntrusted, StepName::SignIn, Some("extra.oauth_url"), "not trusted");
    }
    let api = guarded(fakes::api);
    let open = FakeService::start(None, |asked| fakes::oauth_endpoint(asked, Door::Open, false));
    let url = format!("http://127.0.0.1:{}/oauth/token", open.port());
    let connection = || to("http", &api).set("extra.auth", "oauth2").set("extra.test_path", "/v1/me");
    let lenient = connection().set("extra.oauth_url", &url).test().await;
    assert_eq!(
        lenient.outcome().status,
        TestStatus::Unproven,
        "an endpoint that takes any secret proves none: {:?}",
        lenient.steps
    );
    let in_clear = connection().set("extra.oauth_url", &url.replace("127.0.0.1", "127.1")).test().await;
    is_refused(&in_clear, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("extra.oauth_url"), "not verified");
    let nowhere = connection().test().await;
    is_refused(&nowhere, Cause::InvalidSettings, StepName::SignIn, Some("extra.oauth_url"), "is not set");
    let metadata = connection().set("extra.oauth_url", "http://169.254.169.254/latest").test().await;
    is_refused(&metadata, Cause::AddressNotAllowed, StepName::SignIn, Some("extra.oauth_url"), "169.254.169.254");
}

#[tokio::test]
async fn a_registry_sends_the_password_nowhere_but_where_the_connection_says() {
    let service = FakeService::start(None, |asked| fakes::token_service(asked, Door::Guarded, "unused"));
    let realm = format!("http://127.0.0.1:{}/token", service.port());
    let at = realm.clone();
    let registry = FakeService::start(None, move |asked| fakes::token_service(asked, Door::Guarded, &at));
    let tested = to("docker_registry", &registry).test().await;
    assert_eq!(tested.outcome().status, TestStatus::Ok, "its own host: {:?}", tested.steps);
    let wrong = to("docker_registry", &registry).secret("password", "planted-secret-but-wrong").test().await;
    is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"), "“anna”");
    assert!(!registry.has_heard("Basic"), "the registry itself is sent no password");

    let named = to("docker_registry", &registry).set("host", "localhost");
    let tested = named.test().await;
    is_refused(&tested, Cause::InsecureAuthenticationRefused, StepName::SignIn, Some("extra.sign_in_url"), "“127.0.0.1”");
    let tested = to("docker_registry", &registry).set("host", "localhost").set("extra.sign_in_url", &realm).test().await;
    assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
}

#[tokio::test]
async fn the_token_of_an_app_role_is_given_back() {
    let vault = guarded(fakes::vault);
    let tested = to("vault", &vault).set("extra.auth", "approle").test().await;
    assert_eq!(tested.outcome().status, TestStatus::Ok);
    assert_eq!(vault.count("POST /v1/auth/token/revoke-self"), 1);
    let forgets = FakeService::start(None, |asked| match asked.line() {
        ("GET", "/v1/auth/token/lookup-self") => Reply::json(500, &serde_json::json!({"errors": ["lost"]})),
        _ => fakes::vault(asked, Door::Guarded),
    });
    is_refused(
        &to("vault", &forgets).set("extra.auth", "approle").test().await,
        Cause::ServerError,
        StepName::Read,
        None,
        "lost",
    );
    assert_eq!(forgets.count("POST /v1/auth/token/revoke-self"), 1, "also where the read fails");
    // A role whose secret id nobody looks at gives a token for each sign-in, the ones that are meant to be wrong among them.
    let open = FakeService::start(None, |asked| fakes::vault(asked, Door::Open));
    let tested = to("vault", &open).set("extra.auth", "approle").test().await;
    assert_eq!(tested.outcome().status, TestStatus::Unproven, "{:?}", tested.steps);
    let counts = ["POST /v1/auth/approle/login", "POST /v1/auth/token/revoke-self"].map(|asked| open.count(asked));
    assert_eq!(counts, [3, 3], "tokens that were made, and given back");
    let sealed = FakeService::start(None, |_| Reply::new(200, r#"{"initialized":true,"sealed":true,"version":"1.20.4"}"#));
    is_refused(&to("vault", &sealed).test().await, Cause::ServerStarting, StepName::SignIn, None, "sealed");
    assert!(!sealed.has_heard(PASSWORD));
}

#[tokio::test]
async fn nothing_is_posted_to_a_webhook() {
    let hook = FakeService::start(None, |_| Reply::new(404, ""));
    let tested = to("webhook", &hook).set("extra.path", "/services/T0").test().await;
    assert_eq!(tested.outcome().status, TestStatus::Unproven, "{:?}", tested.steps);
    let statuses: Vec<_> = tested.steps.iter().map(|step| step.status).collect();
    let skipped = [StepStatus::Skipped; 4];
    assert_eq!(statuses, [[StepStatus::Ok; 2].as_slice(), &skipped].concat(), "{:?}", tested.steps);
    assert!(hook.has_heard("HEAD / HTTP/1.1") && !hook.has_heard("POST") && !hook.has_heard(PASSWORD) && !hook.has_heard("T0"));
}

/// A server that answers once on each connection, with or without saying so, and one that never ends its answer.
#[tokio::test]
async fn a_connection_that_was_closed_is_opened_again() {
    for says_so in [true, false] {
        let server = Scripted::start(move |peer| {
            let asked = read_request(peer)?;
            let is_known = asked.is_basic();
            if says_so {
                send_answer(peer, if is_known { "200 OK" } else { "401 Unauthorized" }, &[], "{}")
            } else {
                peer.send(
                    format!("HTTP/1.1 {}\r\ncontent-length: 2\r\n\r\n{{}}", if is_known { "200 OK" } else { "401 No" })
                        .as_bytes(),
                )
            }
        });
        let tested = Connection::new("http", server.port()).user(USER, PASSWORD).test().await;
        assert_eq!(tested.outcome().status, TestStatus::Ok, "{says_so}: {:?}", tested.steps);
    }
}

/// An engine that never comes to the end of its rows.
#[tokio::test]
async fn no_result_is_read_without_an_end() {
    let rows = serde_json::json!(vec![["x".repeat(1_000)]; 100]);
    let endless = FakeService::start(None, move |asked| match asked.line() {
        ("GET", path) if path.starts_with("/v1/statement/") => Reply::json(
            200,
            &serde_json::json!({"id": "1", "stats": {}, "nextUri": "http://h/v1/statement/executing/catalogs/1", "data": rows}),
        ),
        _ => fakes::trino(asked, Door::Guarded),
    });
    let tested = to("trino", &endless).set("database", "hive").test().await;
    is_refused(&tested, Cause::ServerError, StepName::OpenDatabase, None, "longer than any");
    assert!(endless.count("GET /v1/statement/") < 20, "{}", endless.count("GET /v1/statement/"));
}

#[tokio::test]
async fn no_answer_is_held_that_is_longer_than_any_that_belongs_here() {
    let endless = Scripted::start(|peer| {
        read_request(peer)?;
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        loop {
            peer.send(chunk.as_bytes())?;
        }
    });
    let tested = Connection::new("elasticsearch", endless.port()).user(USER, PASSWORD).test().await;
    is_refused(&tested, Cause::NotThatDatabase, StepName::SignIn, Some("port"), "not that of Elasticsearch");
    let head = Scripted::start(|peer| {
        read_request(peer)?;
        peer.send(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            peer.send(format!("x-filler: {}\r\n", "y".repeat(1000)).as_bytes())?;
        }
    });
    let tested = Connection::new("elasticsearch", head.port()).user(USER, PASSWORD).test().await;
    is_refused(&tested, Cause::ServerError, StepName::SignIn, None, "longer than any");
}

//! What clouds and what they keep answer beside “yes” and “no”.

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::{Connection, Tested},
    fake_services::{self as fakes, Answers, Door, FakeService, PASSWORD, Reply, RsaPair, SAS, USER, google_key},
    scripted::Scripted,
    scripted_http::{read_request, send_answer},
    tls::{Authority, Shape},
};
use rstest::rstest;

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

fn opened(tested: &Tested) -> Option<&str> {
    tested.steps.iter().find(|step| step.step == StepName::OpenDatabase).and_then(|step| step.detail.as_deref())
}

#[tokio::test]
async fn who_signs_in_to_aws_is_told() {
    let server = guarded(fakes::aws);
    let tested = to("aws", &server).test().await;
    assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
    assert_eq!(opened(&tested), Some("arn:aws:iam::123456789012:user/anna"));
    assert_eq!(server.count("AWS4-HMAC-SHA256"), 3, "signed when it signs in, opens and reads; and no wrong signature is tried");
}

#[rstest]
#[case::of_another_key(
    "username",
    "AKIAOTHER",
    Cause::CredentialsRefused,
    Some("username"),
    "does not know the access key “AKIAOTHER”"
)]
#[case::too_late("username", "late", Cause::ServerError, None, "clock")]
#[case::without_a_right("username", "nobody", Cause::ReadRefused, None, "not authorized")]
#[case::elsewhere("extra.region_name", "eu west", Cause::InvalidSettings, Some("extra.region_name"), "host's name")]
#[tokio::test]
async fn a_signature_is_refused_for_its_reason(
    #[case] field: &str,
    #[case] value: &str,
    #[case] cause: Cause,
    #[case] blamed: Option<&str>,
    #[case] words: &str,
) {
    let both: [(_, Answers); 2] = [("aws", fakes::aws), ("athena", fakes::athena)];
    for (connector, answer) in both {
        let server = guarded(answer);
        let connection = to(connector, &server).set(field, value);
        is_refused(&connection.test().await, cause, StepName::SignIn, blamed, words);
    }
}

#[tokio::test]
async fn a_session_is_signed_and_may_end() {
    let server = guarded(fakes::aws);
    let session = |token: &str| to("aws", &server).secret("extra.aws_session_token", token);
    assert_eq!(session("planted-token-of-a-session").test().await.outcome().status, TestStatus::Ok);
    assert!(server.has_heard("x-amz-security-token: planted-token-of-a-session"));
    let ended = session("ended").test().await;
    let field = Some("extra.aws_session_token");
    is_refused(&ended, Cause::CredentialsRefused, StepName::SignIn, field, "has expired");
    let unknown = session("planted-token-of-a-session").set("username", "AKIAOTHER").test().await;
    is_refused(&unknown, Cause::CredentialsRefused, StepName::SignIn, field, "session token");
}

#[rstest]
#[case::missing("nowhere", Cause::DatabaseMissing, StepName::OpenDatabase, Some("database"), "no bucket “nowhere”")]
#[case::redirected("elsewhere", Cause::InvalidSettings, StepName::SignIn, Some("extra.region_name"), "“eu-west-3”")]
#[case::of_another_region("malformed", Cause::InvalidSettings, StepName::SignIn, Some("extra.region_name"), "“eu-west-2”")]
#[tokio::test]
async fn a_bucket_is_where_it_is(
    #[case] bucket: &str,
    #[case] cause: Cause,
    #[case] step: StepName,
    #[case] field: Option<&str>,
    #[case] words: &str,
) {
    let server = guarded(fakes::s3);
    is_refused(&to("s3", &server).set("database", bucket).test().await, cause, step, field, words);
    assert!(server.has_heard(&format!("GET /{bucket}?list-type=2&max-keys=1 HTTP/1.1")));
}

/// Whoever has no key at all is let in there; whoever has one is looked at.
#[tokio::test]
async fn a_bucket_of_everybody_proves_nothing_without_a_key() {
    let server = guarded(fakes::s3);
    let nobody = Connection::new("s3", server.port()).set("database", "public").test().await;
    assert_eq!(nobody.outcome().status, TestStatus::Unproven, "{:?}", nobody.steps);
    assert_eq!(to("s3", &server).set("database", "public").test().await.outcome().status, TestStatus::Ok);
    let wrong = to("s3", &server).set("database", "public").secret("password", "planted-and-wrong").test().await;
    is_refused(&wrong, Cause::CredentialsRefused, StepName::SignIn, Some("password"), "signature");
    let blobs = guarded(fakes::wasb);
    let nobody = Connection::new("wasb", blobs.port()).set("username", USER).set("database", "public").test().await;
    assert_eq!(nobody.outcome().status, TestStatus::Unproven, "{:?}", nobody.steps);
    let repository = FakeService::start(None, |asked| fakes::git(asked, Door::Open));
    let nobody = Connection::new("git", repository.port()).set("extra.path", "acme/pipelines.git").test().await;
    assert_eq!(nobody.outcome().status, TestStatus::Unproven, "{:?}", nobody.steps);
}

fn google(connector: &'static str, server: &FakeService, authority: &Authority) -> Connection {
    Connection::new(connector, server.port())
        .verified(&authority.pem())
        .secret("password", &google_key(RsaPair::known()))
        .set("extra.oauth_url", &format!("https://localhost:{}/token", server.port()))
        .set("extra.oauth_ca", &authority.pem())
}

/// What signs in goes where the connection says, and nowhere that a pasted key names.
#[tokio::test]
async fn a_pasted_key_says_not_where_it_is_sent() {
    let authority = Authority::new();
    let server = FakeService::start(Some(authority.server(Shape::Good)), |asked| fakes::google(asked, Door::Guarded));
    let tested = google("google_cloud_platform", &server, &authority).test().await;
    assert_eq!(tested.outcome().status, TestStatus::Ok, "{:?}", tested.steps);
    assert_eq!(opened(&tested), Some("anna@acme.iam.gserviceaccount.com"));
    // Without a place of the connection's own it is Google's, which no test here reaches.
    let lost = google("google_cloud_platform", &server, &authority).set("extra.oauth_url", "").test().await;
    let error = lost.error("PRIVATE KEY");
    assert!(error.field.as_deref() == Some("extra.oauth_url") && !format!("{lost:?}").contains("evil"), "{error:?}");
    for text in ["planted", "{}", "{\"client_email\":\"a\",\"private_key\":\"b\"}"] {
        let tested = google("gcs", &server, &authority).secret("password", text).test().await;
        is_refused(&tested, Cause::InvalidSettings, StepName::SignIn, Some("password"), "key cannot be read");
    }
}

#[tokio::test]
async fn what_a_cloud_has_not_is_told_by_its_kind() {
    let authority = Authority::new();
    let server = FakeService::start(Some(authority.server(Shape::Good)), |asked| fakes::google(asked, Door::Guarded));
    for (connector, field, value, words) in [
        ("gcs", "database", "nowhere", "no bucket “nowhere”"),
        ("gcpbigquery", "extra.project", "nowhere", "no project “nowhere”"),
        ("gcpbigquery", "database", "nowhere", "no dataset “nowhere”"),
    ] {
        let tested = google(connector, &server, &authority).set(field, value).test().await;
        is_refused(&tested, Cause::DatabaseMissing, StepName::SignIn, Some(field), words);
    }
    let private = google("gcs", &server, &authority).set("database", "private").test().await;
    is_refused(&private, Cause::ReadRefused, StepName::SignIn, None, "storage.objects.list");
    let athena = guarded(fakes::athena);
    let tested = to("athena", &athena).set("extra.work_group", "nowhere").test().await;
    is_refused(&tested, Cause::DatabaseMissing, StepName::SignIn, Some("extra.work_group"), "no workgroup “nowhere”");
    let graph = guarded(fakes::neo4j);
    let tested = to("neo4j", &graph).set("database", "nowhere").test().await;
    is_refused(&tested, Cause::DatabaseMissing, StepName::OpenDatabase, Some("database"), "no database “nowhere”");
    let host = guarded(fakes::git);
    let tested = to("git", &host).set("extra.path", "/acme/nothing").test().await;
    is_refused(&tested, Cause::DatabaseMissing, StepName::SignIn, Some("extra.path"), "no repository “/acme/nothing”");
    let warehouse = guarded(fakes::snowflake);
    let tested = to("snowflake", &warehouse).set("extra.warehouse", "NOWHERE").test().await;
    is_refused(&tested, Cause::DatabaseMissing, StepName::OpenDatabase, Some("extra.warehouse"), "no warehouse “NOWHERE”");
    let tested = to("snowflake", &warehouse).set("extra.role", "NOBODY").test().await;
    is_refused(&tested, Cause::DatabaseMissing, StepName::SignIn, Some("extra.role"), "no role “NOBODY”");
}

#[rstest]
#[case::unknown("username", "nobody", Cause::CredentialsRefused, Some("username"), "“nobody” is not known there")]
#[case::expired("username", "late", Cause::CredentialsRefused, Some("password"), "has expired")]
#[case::of_no_tenant("username", "nowhere", Cause::InvalidSettings, Some("extra.tenant_id"), "no tenant “acme”")]
#[case::of_no_subscription("extra.subscription_id", "s-2", Cause::DatabaseMissing, Some("extra.subscription_id"), "“s-2”")]
#[tokio::test]
async fn azure_says_what_is_wrong(
    #[case] field: &str,
    #[case] value: &str,
    #[case] cause: Cause,
    #[case] blamed: Option<&str>,
    #[case] words: &str,
) {
    let server = guarded(fakes::azure);
    let endpoint = format!("http://127.0.0.1:{}/token", server.port());
    let connection = || to("azure", &server).set("extra.tenant_id", "acme").set("extra.oauth_url", &endpoint);
    let tested = connection().test().await;
    assert_eq!((tested.outcome().status, opened(&tested)), (TestStatus::Ok, Some("1 subscription")), "{:?}", tested.steps);
    is_refused(&connection().set(field, value).test().await, cause, StepName::SignIn, blamed, words);
}

#[tokio::test]
async fn a_container_and_what_is_signed_for_it() {
    let server = guarded(fakes::wasb);
    let by_key = || Connection::new("wasb", server.port()).user(USER, &fakes::account_key());
    let missing = by_key().set("database", "nowhere").test().await;
    is_refused(&missing, Cause::DatabaseMissing, StepName::OpenDatabase, Some("database"), "no container “nowhere”");
    let private = by_key().set("database", "private").test().await;
    is_refused(&private, Cause::ReadRefused, StepName::SignIn, None, "not authorized");
    let no_key = by_key().secret("password", "no base64").test().await;
    is_refused(&no_key, Cause::InvalidSettings, StepName::SignIn, Some("password"), "base64");
    let by_sas = |sas: &str| by_key().set("database", "reports").set("extra.auth", "sas").secret("password", sas);
    let with_mark = by_sas(&format!("?{SAS}")).test().await;
    assert_eq!(with_mark.outcome().status, TestStatus::Ok, "{:?}", with_mark.steps);
    let private = by_sas(SAS).set("database", "private").test().await;
    assert!(private.error("planted").message.contains("not authorized. (withheld)"), "{private:?}");
}

/// A cluster that knows whoever shows a certificate of its authority, and one that knows nobody by it.
#[tokio::test]
async fn a_client_certificate_signs_in_to_a_cluster() {
    for looks in [true, false] {
        let authority = Authority::new();
        let (identity, clients) = (authority.server(Shape::Good), authority.pem());
        let cluster = Scripted::start(move |peer| {
            let shown = peer.begin_tls_asking(&identity, &clients)?;
            // Whom it is for stands in the certificate as it is.
            let is_known = shown.is_some_and(|certificate| certificate.windows(4).any(|part| part == b"anna"));
            loop {
                let asked = read_request(peer)?;
                let review = "{\"kind\":\"SelfSubjectReview\",\"status\":{\"userInfo\":{\"username\":\"anna\"}}}";
                match asked.line() {
                    ("GET", "/version") => send_answer(peer, "200 OK", &[], "{\"gitVersion\":\"v1.34.2\"}")?,
                    _ if is_known || !looks => send_answer(peer, "201 Created", &[], review)?,
                    _ => send_answer(peer, "401 Unauthorized", &[], "{\"kind\":\"Status\",\"apiVersion\":\"v1\"}")?,
                }
            }
        });
        let client = authority.client("anna");
        let connection = || {
            Connection::new("kubernetes", cluster.port())
                .verified(&authority.pem())
                .set("tls.cert", &client.certificates)
                .secret("tls.key", &client.key)
        };
        let tested = connection().test().await;
        let promised = if looks { TestStatus::Ok } else { TestStatus::Unproven };
        assert_eq!((tested.outcome().status, opened(&tested)), (promised, Some("anna")), "{:?}", tested.steps);
        let stranger = authority.client("nobody");
        let unknown = connection().set("tls.cert", &stranger.certificates).secret("tls.key", &stranger.key).test().await;
        if looks {
            is_refused(&unknown, Cause::CredentialsRefused, StepName::SignIn, Some("tls.cert"), "does not know whom");
        }
        let bare = Connection::new("kubernetes", cluster.port()).verified(&authority.pem()).test().await;
        if looks {
            is_refused(&bare, Cause::CredentialsRefused, StepName::SignIn, Some("password"), "none is set");
        } else {
            assert_eq!(bare.outcome().status, TestStatus::Unproven);
        }
    }
}

/// Whoever may choose the host of a connection reads nothing of what answers there.
#[tokio::test]
async fn of_an_answer_that_is_not_the_service_s_nothing_is_told() {
    for case in fakes::service_cases() {
        for status in [403, 404, 409, 500] {
            let bodies = [
                r#"{"message":"internal-page","errorMessage":"internal-page","error":"internal-page"}"#.to_owned(),
                "internal-page of another host".to_owned(),
            ];
            for body in bodies.into_iter().skip(usize::from(case.id == "http")) {
                let other =
                    FakeService::start(None, move |_| Reply::new(status, body.clone()).with("content-type", "text/plain"));
                let connection = case.plain(&Authority::new(), "127.0.0.1", other.port());
                let tested = connection.secret(case.sign_in.field, &(case.sign_in.right)()).test().await;
                assert!(tested.failed_step().is_some() && !format!("{tested:?}").contains("internal-page"), "{tested:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_has_a_host_and_a_port_is_reached_and_asked_nothing() {
    let authority = Authority::new();
    let server = FakeService::start(Some(authority.server(Shape::Good)), |_| Reply::new(200, ""));
    let connection = || Connection::new("generic", server.port()).verified(&authority.pem()).user(USER, PASSWORD);
    let tested = connection().test().await;
    assert_eq!(tested.outcome().status, TestStatus::Unproven, "{:?}", tested.steps);
    assert!(!server.has_heard(PASSWORD) && !server.has_heard("HTTP"));
    let untrusted = connection().set("tls.ca", &Authority::new().pem()).test().await;
    is_refused(&untrusted, Cause::CertificateUntrusted, StepName::Secure, Some("tls.ca"), "");
    let closed = Connection::new("generic", 1).test().await;
    is_refused(&closed, Cause::PortClosed, StepName::Reach, Some("port"), "");
}

//! Answers that are nearly right, read off the wire and held against every service.

use std::io::Cursor;

use bytes::Bytes;
use dataflow_fuzz::fuzz;
use dataflow_model::{FieldValue, PublicFields, Secret, SecretFields, StepName};
use http_body_util::Full;
use tokio::io::{join, sink};

use super::{Answer, Asked, Http, Judged, Service, line::Line};
use crate::{Target, scrub::Scrubber, services};

const CLICKHOUSE: &[u8] = b"HTTP/1.1 404 Not Found\r\nX-ClickHouse-Exception-Code: 81\r\nTransfer-Encoding: chunked\r\n\r\n\
    18\r\nCode: 81. DB::Exception\n\r\n0\r\n\r\n";
const SEARCH: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"security\"\r\nWWW-Authenticate: ApiKey\r\n\
    X-elastic-product: Elasticsearch\r\nContent-Length: 46\r\n\r\n{\"error\":{\"type\":\"x\",\"reason\":\"y\"},\"status\":4}";
const REGISTRY: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
    WWW-Authenticate: Bearer realm=\"https://a/token\",service=\"b\",scope=\"c\"\r\nContent-Length: 2\r\n\r\n{}";
const QUERY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n\
    {\"id\":\"1\",\"stats\":{},\"nextUri\":\"https://a/v1/statement/1\",\"data\":[]}";
const VAULT: &[u8] =
    b"HTTP/1.1 503 Sealed\r\nContent-Length: 51\r\n\r\n{\"initialized\":true,\"sealed\":true,\"version\":\"1.20\"}";
const CLOUD: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 91\r\nx-amz-bucket-region: eu-west-1\r\n\r\n\
    <Error><Code>SignatureDoesNotMatch</Code><Message>m</Message><Region>eu-west-2</Region></Error>";
const RESULT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 68\r\n\r\n\
    {\"statementHandle\":\"a\",\"code\":\"0\",\"data\":[[\"1\",null,null,null,null]]}";
const MOVED: &[u8] =
    b"HTTP/1.1 302 Found\r\nLocation: https://user:planted@elsewhere.example.org/login?next=/\r\nContent-Length: 0\r\n\r\n";
const PAGE: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><title>Simple index</title>";
const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 407 No\r\nConnection: close\r\n\r\n";

fn told<S: Service>(service: &Http<S>, answer: &Answer, target: &Target, step: StepName) -> Option<String> {
    let asked = Asked {
        target,
        scrubber: &Scrubber::of(target),
        product: service.0.product(),
        step,
        path: "/",
        has_sign_in: true,
        is_by_name: true,
        scheme: service.0.scheme(),
        is_own: service.0.is_own(answer),
    };
    match service.0.meaning(answer, &asked) {
        Judged::LetIn => service.0.version(answer).map(|version| asked.scrubber.clean(&version)),
        Judged::Refused(error) | Judged::Failed(error) => Some(format!("{} {}", error.message, error.hint)),
    }
}

#[test]
fn answers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let public = [("host", "h"), ("username", "u"), ("database", "d"), ("tls.mode", "disable")];
    let public = PublicFields(public.map(|(path, value)| (path.into(), FieldValue::Text(value.to_owned()))).into());
    let secrets = SecretFields([("password".into(), Secret::new("planted".to_owned()))].into());
    let target = Target { public, secrets, ..Target::default() };
    fuzz(&[CLICKHOUSE, SEARCH, REGISTRY, QUERY, VAULT, CLOUD, RESULT, MOVED, PAGE, INTERIM], |bytes| {
        let stream = Box::new(join(Cursor::new(bytes.to_vec()), sink()));
        let answered = runtime.block_on(async {
            let mut line = Line::begin(stream).await?;
            line.ask(hyper::Request::new(Full::new(Bytes::new()))).await
        });
        let Ok((answer, _)) = answered else { return };
        for step in [StepName::SignIn, StepName::OpenDatabase, StepName::Read] {
            let all = [
                told(&services::ANY, &answer, &target, step),
                told(&services::ATHENA, &answer, &target, step),
                told(&services::AWS, &answer, &target, step),
                told(&services::AZURE, &answer, &target, step),
                told(&services::AZURE_BLOB, &answer, &target, step),
                told(&services::BIGQUERY, &answer, &target, step),
                told(&services::CLICKHOUSE, &answer, &target, step),
                told(&services::DATABRICKS, &answer, &target, step),
                told(&services::DOCKER_REGISTRY, &answer, &target, step),
                told(&services::DRUID, &answer, &target, step),
                told(&services::ELASTICSEARCH, &answer, &target, step),
                told(&services::GIT, &answer, &target, step),
                told(&services::INFLUXDB, &answer, &target, step),
                told(&services::KUBERNETES, &answer, &target, step),
                told(&services::NEO4J, &answer, &target, step),
                told(&services::OPENSEARCH, &answer, &target, step),
                told(&services::PACKAGE_INDEX, &answer, &target, step),
                told(&services::S3, &answer, &target, step),
                told(&services::SCHEMA_REGISTRY, &answer, &target, step),
                told(&services::SLACK, &answer, &target, step),
                told(&services::SNOWFLAKE, &answer, &target, step),
                told(&services::TRINO, &answer, &target, step),
                told(&services::VAULT, &answer, &target, step),
            ];
            for said in all.into_iter().flatten() {
                assert!(said.len() < 2_000 && !said.contains("planted"), "{said}");
            }
        }
    });
}

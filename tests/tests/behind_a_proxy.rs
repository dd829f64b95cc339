//! A server with a reverse proxy in front: what its clients may reach.

use dataflow_tests::{
    http::Request,
    server::{TestServer, TestServerOptions},
    stored::sample,
};
use rstest::rstest;
use serde_json::json;

const CONNECTIONS: &str = "/api/v1/workspaces/default/connections";

fn start(arguments: &[&str]) -> TestServer {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    TestServer::start(TestServerOptions { arguments, ..TestServerOptions::default() })
}

#[rstest]
#[case::this_machine_alone(&[], "port_closed")]
#[case::a_public_address(&["--public-url", "https://dataflow.example.org"], "address_not_allowed")]
fn who_comes_through_a_proxy_does_not_reach_this_machines_own_services(#[case] arguments: &[&str], #[case] expected: &str) {
    let server = start(arguments);
    let editor = server.token("default", "editor", "editor");
    let mut connection = sample("sales", "planted");
    connection["host"] = json!("127.0.0.1");
    connection["port"] = json!(1);
    server.request(&editor, "POST", CONNECTIONS).json(&connection).send().expect(201);
    let told = Request::new(server.port(), "GET", "/sign-in").send();
    let is_https = expected == "address_not_allowed";
    assert_eq!(told.header("strict-transport-security"), if is_https { "max-age=31536000" } else { "" }, "{told:?}");
    let report = server.request(&editor, "POST", &format!("{CONNECTIONS}/sales/test")).send().expect(200).json();
    assert_eq!(report["error"]["code"], expected, "{report}");
}

//! Running one test and holding its report against what it must say; and the tests that need no server.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use dataflow_connectors::{
    DialPolicy, Target,
    child::{self, Pool, TestRequest},
};
use dataflow_model::{Cause, FieldValue, PublicFields, Secret, SecretFields, StepName, StepStatus, TestReport, TestStatus};
use libtest_mimic::Trial;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
};

/// It must be found nowhere but where a test says so.
pub const PLANTED: &str = "Planted-5ecret/of ours";
/// A deadline for servers that hang, so that their tests do not take the whole of it. Only a test that expects to run out of time
/// has it: on a machine that is cold and busy, starting the child alone can take more than a second.
pub const SHORT: Duration = Duration::from_secs(4);

pub fn trial(name: impl Into<String>, body: impl Future<Output = ()> + Send + 'static) -> Trial {
    Trial::test(name, move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(body);
        Ok(())
    })
}

/// Fields of a connection to this machine; later ones replace earlier ones.
pub fn fields(port: u16, more: &[(&str, &str)]) -> PublicFields {
    let mut public = PublicFields::default();
    let mut set = |path: &str, value| public.0.insert(path.into(), value);
    set("host", FieldValue::Text("127.0.0.1".to_owned()));
    set("port", FieldValue::Integer(port.into()));
    set("username", FieldValue::Text("analytics".to_owned()));
    set("database", FieldValue::Text("sales".to_owned()));
    for (path, value) in more {
        set(path, FieldValue::Text((*value).to_owned()));
    }
    public
}

pub fn secrets(list: &[(&str, &str)]) -> SecretFields {
    SecretFields(list.iter().map(|(path, value)| ((*path).into(), Secret::new((*value).to_owned()))).collect())
}

pub fn request(connector: &str, public: PublicFields, secrets: SecretFields) -> TestRequest {
    TestRequest {
        connector: connector.to_owned(),
        target: Target { public, secrets, ..Target::default() },
        policy: DialPolicy { allow_loopback: true, ..DialPolicy::default() },
        deadline: child::DEADLINE,
        from: "server".to_owned(),
        now: SystemTime::UNIX_EPOCH,
    }
}

/// Runs a test, and checks what is true of every report.
pub async fn run(request: TestRequest) -> TestReport {
    run_in(&Pool::default(), request).await
}

pub async fn run_in(pool: &Pool, request: TestRequest) -> TestReport {
    let (sender, mut receiver) = mpsc::channel(6);
    let (begun, deadline) = (Instant::now(), request.deadline);
    let report = pool.run(request, sender, ()).await;
    assert!(begun.elapsed() < deadline + Duration::from_secs(5), "the deadline holds: {:?}", begun.elapsed());
    let mut streamed = Vec::new();
    while let Ok(step) = receiver.try_recv() {
        streamed.push(step);
    }
    assert_eq!(streamed, report.steps, "what was streamed is what is reported");
    assert_eq!(report.steps.iter().map(|step| step.step).collect::<Vec<_>>(), StepName::ALL, "each step once, in order");
    assert_eq!(report.checked_at, "1970-01-01T00:00:00.000Z");
    let text = serde_json::to_string(&report).expect("a report is JSON");
    for form in [PLANTED, "Planted-5ecret", "UGxhbnRlZC01ZWNyZXQ"] {
        assert!(!text.contains(form), "the report holds the password: {text}");
    }
    report
}

/// Checks cause, failed step and field of a test that failed.
pub fn assert_failed(report: &TestReport, cause: Cause, step: StepName, field: Option<&str>) {
    assert!(report.error.is_some(), "it did not fail: {report:#?}");
    let error = report.error.as_ref().expect("just asserted");
    let failed: Vec<_> = report.steps.iter().filter(|step| step.status == StepStatus::Failed).map(|step| step.step).collect();
    assert_eq!((error.code, failed.as_slice(), error.field.as_deref()), (cause, [step].as_slice(), field), "{report:#?}");
    assert_eq!(report.status, TestStatus::Failed);
    assert!(error.message.ends_with(['.', ':', '…']) || error.message.contains(": "), "a sentence: {}", error.message);
    assert!(error.hint.ends_with('.'), "a sentence: {}", error.hint);
}

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a_closed_port", async {
            // Bound and never listening: nobody else can take the port meanwhile.
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
            let port = socket.local_addr().expect("bound").port();
            let report = run(request("postgres", fields(port, &[]), secrets(&[("password", PLANTED)]))).await;
            assert_failed(&report, Cause::PortClosed, StepName::Reach, Some("port"));
        }),
        trial("an_unknown_name", async {
            // Longer than a label can be (RFC 1035, section 2.3.4), so that no name server is asked for it.
            let public = fields(1, &[("host", &"n".repeat(64))]);
            let asked = request("postgres", public, secrets(&[]));
            assert_failed(&run(asked).await, Cause::NameNotFound, StepName::Resolve, Some("host"));
        }),
        trial("an_unknown_connector", async {
            let report = run(request("gopher", fields(1, &[]), secrets(&[]))).await;
            assert_failed(&report, Cause::TestBroken, StepName::Resolve, None);
        }),
    ];
    for host in ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "::1", "[::1]", "::ffff:127.0.0.1", "localhost"]
    {
        trials.push(trial(format!("no_packet_to_loopback_spelled_{host}"), no_packet(host)));
    }
    trials
}

async fn no_packet(host: &'static str) {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = v4.local_addr().expect("bound").port();
    let mut asked = request("postgres", fields(port, &[("host", host)]), secrets(&[("password", PLANTED)]));
    asked.policy = DialPolicy::default();
    let report = run(asked).await;
    // Not every resolver takes every spelling for an address.
    match report.error.as_ref().map(|error| error.code) {
        Some(Cause::NameNotFound) if host.starts_with("0x") || host.starts_with("0177") => {}
        _ => assert_failed(&report, Cause::AddressNotAllowed, StepName::Resolve, Some("host")),
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), v4.accept()).await;
    assert!(accepted.is_err(), "something was dialled");
}

pub fn nowhere() -> PathBuf {
    PathBuf::from("/nonexistent/dataflow")
}

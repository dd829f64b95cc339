//! Servers of the PostgreSQL and MySQL families that cannot be had here, as far as they differ in what they tell of themselves: the connectors'
//! own tests have what each is recorded to say, and here it goes over the wire. They let everybody in, so that nothing here says anything of passwords.

use std::io;

use dataflow_model::{Cause, StepName, TestStatus};
use dataflow_tests::{
    connection::Connection,
    scripted::{Peer, Scripted},
};
use rstest::rstest;

const PASSWORD: &str = "planted_secret_7f3a";
/// <https://github.com/cockroachdb/cockroach/issues/71495>
const COCKROACH: &str =
    "CockroachDB CCL v21.2.0-alpha.00000000-4900-g1cb0151eee (x86_64-unknown-linux-gnu, built 2021/10/11 20:41:17, go1.16.6)";

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[tag], &length[..], body].concat()
}

/// A row of one column or more, and what surrounds it.
fn rows(columns: &[&str]) -> Vec<u8> {
    let count = u16::try_from(columns.len()).expect("few").to_be_bytes();
    let mut row = count.to_vec();
    for column in columns {
        row.extend(u32::try_from(column.len()).expect("short").to_be_bytes());
        row.extend(column.as_bytes());
    }
    [message(b'T', &[0, 0]), message(b'D', &row), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

/// Speaks PostgreSQL's protocol as Cockroach does, which opens a session in any database: what looks for it is answered with `found`.
fn cockroach(found: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |peer| {
        let length = usize::try_from(u32::from_be_bytes(peer.receive()?)).expect("short");
        peer.fill(&mut vec![0; length - 4])?;
        let parameters = [("server_version", "13.0.0"), ("crdb_version", COCKROACH)]
            .map(|(name, value)| message(b'S', format!("{name}\0{value}\0").as_bytes()));
        peer.send(&[message(b'R', &[0; 4]), parameters.concat(), message(b'Z', b"I")].concat())?;
        while let [b'Q', length @ ..] = peer.receive::<5>()? {
            let mut query = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("short") - 4];
            peer.fill(&mut query)?;
            let query = String::from_utf8_lossy(&query).into_owned();
            peer.send(&if query.contains("pg_database") { found() } else { rows(&["1", COCKROACH]) })?;
        }
        Ok(())
    })
}

fn to(connector: &'static str, server: &Scripted) -> Connection {
    Connection::new(connector, server.port()).user("anna", PASSWORD).set("database", "sales")
}

#[tokio::test]
async fn cockroachdb_is_told_from_postgresql() {
    let server = cockroach(|| rows(&["1"]));
    let tested = to("postgres", &server).test().await;
    let outcome = tested.outcome();
    // It asked for no password.
    assert_eq!(outcome.status, TestStatus::Unproven);
    assert_eq!(outcome.server_version.as_deref(), Some("CockroachDB 21.2.0-alpha.00000000-4900-g1cb0151eee"));
}

/// It says so with the first look into the database, or finds none of that name.
#[tokio::test]
async fn a_database_that_opens_without_being_there_is_missing() {
    let refusal = || {
        let error = message(b'E', b"SERROR\0VERROR\0C3D000\0Mdatabase \"sales\" does not exist\0\0");
        [error, message(b'Z', b"I")].concat()
    };
    for server in [cockroach(refusal), cockroach(|| rows(&["0"]))] {
        let tested = to("postgres", &server).test().await;
        let error = tested.error(PASSWORD);
        let told = (error.code, error.field.as_deref(), tested.failed_step());
        assert_eq!(told, (Cause::DatabaseMissing, Some("database"), Some(StepName::Read)), "{error:?}");
    }
}

fn frame(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = u32::try_from(payload.len()).expect("short").to_le_bytes();
    [&[low, middle, high, sequence], payload].concat()
}

/// One packet of the client's.
fn packet(peer: &mut Peer) -> io::Result<(u8, Vec<u8>)> {
    let [low, middle, _, sequence] = peer.receive()?;
    let mut payload = vec![0; usize::from(u16::from_le_bytes([low, middle]))];
    peer.fill(&mut payload)?;
    Ok((sequence, payload))
}

/// The greeting of `MysqlHandshakePacket.java`, which came to others from Doris: no TLS, `mysql_native_password`, and some MySQL's number.
fn greeting(version: &str) -> Vec<u8> {
    const CAPABILITIES: u32 = 0x0008_a201;
    let [a, b, c, d] = CAPABILITIES.to_le_bytes();
    let head = [b"\x0a", version.as_bytes(), b"\0\x08\0\0\0ABCDEFGH", &[0, a, b, 33, 0, 0, c, d, 21], &[0; 10]].concat();
    frame(0, &[&head, &b"IJKLMNOPQRST\0mysql_native_password\0"[..]].concat())
}

/// Answers each question of `answers` with one text, and any other with an error.
fn speaks_mysql(version: &'static str, answers: &'static [(&str, &str)]) -> Scripted {
    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const END: &[u8] = &[0xfe, 0, 0, 2, 0];
    Scripted::start(move |peer| {
        peer.send(&greeting(version))?;
        packet(peer)?;
        peer.send(&frame(2, OK))?;
        loop {
            let (_, asked) = packet(peer)?;
            let question = String::from_utf8_lossy(asked.get(1..).unwrap_or_default()).into_owned();
            let answer = [("SELECT 1", "1")].iter().chain(answers).find(|(known, _)| *known == question);
            match (asked.first(), answer) {
                (Some(3), Some((_, text))) => {
                    let row = [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
                    for (sequence, next) in (1..).zip([&[1][..], &[3], END, &row, END]) {
                        peer.send(&frame(sequence, next))?;
                    }
                }
                (Some(3), None) => peer.send(&frame(1, b"\xff\xa9\x04#HY000Unknown system variable"))?,
                (Some(2), _) => peer.send(&frame(1, OK))?,
                _ => return Ok(()),
            }
        }
    })
}

const COMMENT: &str = "SELECT @@version_comment";

#[rstest]
#[case::doris("5.7.99", &[(COMMENT, "doris version doris-4.0.2-rc02-30d2df0459")], "Apache Doris 4.0.2")]
#[case::starrocks("5.1.0", &[(COMMENT, "StarRocks version 3.1.2-4f3a2ee91d")], "StarRocks 3.1.2")]
#[case::singlestore(
    "5.7.32",
    &[(COMMENT, "SingleStoreDB source distribution (compatible; MySQL Enterprise & MySQL Commercial)"), ("SELECT @@memsql_version", "8.7.12")],
    "SingleStore 8.7.12"
)]
#[case::tidb("8.0.11-TiDB-v7.5.2-serverless", &[], "TiDB 7.5.2")]
#[case::silent_about_itself("5.7.99", &[], "MySQL 5.7.99")]
#[case::that_tells_the_password("5.7.99", &[(COMMENT, "Doris version doris-planted_secret_7f3a")], "Apache Doris (withheld)")]
#[tokio::test]
async fn who_greets_as_some_mysql_is_called_what_it_is(
    #[case] greeting: &'static str,
    #[case] answers: &'static [(&str, &str)],
    #[case] told: &str,
) {
    let server = speaks_mysql(greeting, answers);
    let tested = to("mysql", &server).test().await;
    assert_eq!(tested.outcome().server_version.as_deref(), Some(told));
    assert!(!server.has_heard(PASSWORD), "it was told the password");
}

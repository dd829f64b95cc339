//! Whole conversations with servers that say what is nearly right. The first byte says in which protocol.

use std::{io::Cursor, time::Instant};

use dataflow_fuzz::fuzz;
use dataflow_model::{FieldValue, Learned, PublicFields, Secret, SecretFields, StepName, TestError};
use tokio::{
    io::{join, sink},
    runtime::Runtime,
};

use super::{
    amqp::Amqp,
    bson::Draft,
    cassandra::Cassandra,
    ftp::Ftp,
    imap::Imap,
    kafka::Kafka,
    ldap::Ldap,
    link::Link,
    mongo::Mongo,
    mqtt::Mqtt,
    nats::Nats,
    redis::Redis,
    smtp::Smtp,
    talk::{Talk, enter},
};
use crate::{DialPolicy, Dialer, Target, tls::SystemRoots};

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// A connection without TLS to this machine, signing in.
fn target(database: Option<FieldValue>) -> Target {
    let text = |text: &str| FieldValue::Text(text.to_owned());
    let mut public = PublicFields(
        [("host", text("127.0.0.1")), ("tls.mode", text("disable")), ("username", text("anna"))]
            .map(|(path, value)| (path.into(), value))
            .into(),
    );
    public.0.extend(database.map(|value| ("database".into(), value)));
    let secrets = SecretFields([("password".into(), Secret::new("planted-secret".to_owned()))].into());
    Target { public, secrets, ..Target::default() }
}

/// The same of nobody: what somebody is answered in SCRAM cannot be told beforehand.
async fn converse_as_nobody<T: Talk>(said: &[u8], database: Option<FieldValue>) -> Result<Option<String>, TestError> {
    let mut target = target(database);
    target.public.0.remove("username");
    target.secrets = SecretFields::default();
    converse_with::<T>(said, &target).await
}

/// All that a test says, up to what is learnt beside it.
pub(super) async fn converse<T: Talk>(said: &[u8], database: Option<FieldValue>) -> Result<Option<String>, TestError> {
    converse_with::<T>(said, &target(database)).await
}

async fn converse_with<T: Talk>(said: &[u8], target: &Target) -> Result<Option<String>, TestError> {
    let policy = DialPolicy { allow_loopback: true, ..DialPolicy::default() };
    let dialer = Dialer::new(policy, Instant::now(), SystemRoots::unread());
    let place = Link::place_of(&dialer, T::PROTOCOL);
    let mut wire = Link::over(Box::new(join(Cursor::new(said.to_vec()), sink())), target, place);
    wire.step = StepName::SignIn;
    let mut talk = T::default();
    enter(&mut talk, &mut wire).await?;
    wire.step = StepName::OpenDatabase;
    talk.open(&mut wire).await?;
    wire.step = StepName::Read;
    let version = talk.read(&mut wire).await?;
    talk.learn(&mut wire, &mut Learned::default()).await;
    Ok(version)
}

/// What comes before TLS, which ends with the request for it.
async fn ask<T: Talk>(said: &[u8]) -> Result<Option<String>, TestError> {
    let target = target(None);
    let dialer = Dialer::new(DialPolicy { allow_loopback: true, ..DialPolicy::default() }, Instant::now(), SystemRoots::unread());
    let place = Link::place_of(&dialer, T::PROTOCOL);
    let mut wire = Link::over(Box::new(join(Cursor::new(said.to_vec()), sink())), &target, place);
    T::default().ask_for_tls(&mut wire).await?;
    Ok(None)
}

async fn play(bytes: &[u8]) -> Result<Option<String>, TestError> {
    let (kind, said) = bytes.split_first().unwrap_or((&0, &[]));
    let sales = || Some(FieldValue::Text("sales".to_owned()));
    match kind % 17 {
        0 => converse::<Redis>(said, Some(FieldValue::Integer(3))).await,
        1 => converse::<Smtp>(said, None).await,
        2 => converse::<Imap>(said, None).await,
        3 => converse::<Ftp>(said, None).await,
        4 => converse::<Nats>(said, None).await,
        5 => converse::<Mqtt>(said, None).await,
        6 => converse::<Ldap>(said, Some(FieldValue::Text("dc=example,dc=org".to_owned()))).await,
        7 => converse::<Amqp>(said, None).await,
        8 => ask::<Smtp>(said).await,
        9 => ask::<Imap>(said).await,
        10 => ask::<Ftp>(said).await,
        11 => ask::<Ldap>(said).await,
        12 => converse_as_nobody::<Mongo>(said, sales()).await,
        13 => converse::<Mongo>(said, sales()).await,
        14 => converse::<Cassandra>(said, sales()).await,
        15 => converse_as_nobody::<Kafka>(said, None).await,
        _ => converse::<Kafka>(said, None).await,
    }
}

fn frame(channel: u8, method: &[u8]) -> Vec<u8> {
    let length = u8::try_from(method.len()).expect("short");
    [&[1, 0, channel, 0, 0, 0, length][..], method, &[0xce]].concat()
}

/// Messages of MongoDB, each to the next question.
fn of_mongo(documents: impl IntoIterator<Item = Draft>) -> Vec<u8> {
    let message = |(number, document): (u8, Draft)| {
        let document = document.bytes();
        let length = u8::try_from(21 + document.len()).expect("short");
        [&[length, 0, 0, 0, 9, 0, 0, 0, number, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0][..], &document].concat()
    };
    (1..).zip(documents).flat_map(message).collect()
}

fn hello() -> Draft {
    Draft::new().integer("maxWireVersion", 21).text("setName", "rs0").integer("ok", 1)
}

fn of_cassandra(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[0x84, 0, 0, 0, kind, 0, 0, 0, u8::try_from(body.len()).expect("short")][..], body].concat()
}

/// Answers of Kafka, each to the next question.
fn of_kafka(bodies: &[&[u8]]) -> Vec<u8> {
    let answer = |(number, body): (u8, &&[u8])| {
        [&[0, 0, 0, u8::try_from(4 + body.len()).expect("short"), b'd', b'f', b'l', number][..], body].concat()
    };
    (b'w'..).zip(bodies).flat_map(answer).collect()
}

/// `ApiVersions`, and `Metadata`.
const VERSIONS: &[u8] = b"\0\0\0\0\0\x03\0\x03\0\0\0\x05\0\x11\0\0\0\x01\0\x24\0\0\0\0";
const CLUSTER: &[u8] = b"\0\0\0\x01\0\0\0\x01\0\x02b1\0\0\x23\x84\xff\xff\0\x01c\0\0\0\x01\0\0\0\0";

/// The conversation of each protocol from beginning to end, and one more of those that have several ways.
fn sound() -> Vec<Vec<u8>> {
    let info = "# Server\r\nredis_version:7.0.15\r\n";
    let redis = format!("\0+OK\r\n+OK\r\n+PONG\r\n${}\r\n{info}\r\n", info.len());
    let smtp = "\x01220 mail ESMTP\r\n250-mail\r\n250-SIZE 1000\r\n250 AUTH PLAIN LOGIN\r\n235 2.7.0 in\r\n250 ok\r\n";
    let imap = "\x02* OK ready\r\n* CAPABILITY IMAP4rev1 ID AUTH=PLAIN SASL-IR\r\na1 OK done\r\na2 OK in\r\n* 0 EXISTS\r\n\
                a3 OK [READ-ONLY] done\r\n* CAPABILITY IMAP4rev1 ID\r\na4 OK done\r\n* ID (\"name\" {7}\r\nDovecot)\r\na5 OK done\r\n";
    let ftp = "\x03220-hello\r\n220 ready\r\n331 password\r\n230 in\r\n257 \"/\" is where you are\r\n";
    let nats = "\x04INFO {\"version\":\"2.9.10\",\"auth_required\":true}\r\nPONG\r\nPING\r\nPONG\r\n";
    let mqtt = b"\x05\x20\x02\0\0\xd0\0";
    let done = |number: u8, kind: u8| [&[0x30, 12, 2, 1, number, kind, 7, 10, 1, 0, 4, 0, 4, 0][..]].concat();
    let base = b"\x30\x1a\x02\x01\x02\x64\x15\x04\x11dc=example,dc=org\x30\0";
    let entry = b"\x30\x1f\x02\x01\x03\x64\x1a\x04\0\x30\x16\x30\x14\x04\x0avendorName\x31\x06\x04\x04Acme";
    let ldap = [&[6][..], &done(1, 0x61), base, &done(2, 0x65), entry, &done(3, 0x65)].concat();
    let table = b"\0\0\0\x15\x07productS\0\0\0\x08RabbitMQ";
    let start = [&[0, 10, 0, 10, 0, 9][..], table, b"\0\0\0\x05PLAIN\0\0\0\x05en_US"].concat();
    let amqp = [
        vec![7],
        frame(0, &start),
        frame(0, &[0, 10, 0, 30, 7, 0xff, 0, 2, 0, 0, 0, 60]),
        frame(0, &[0, 10, 0, 41, 0]),
        frame(1, &[0, 20, 0, 11, 0, 0, 0, 0]),
    ]
    .concat();
    let ok = || Draft::new().integer("ok", 1);
    let row =
        b"\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x06system\0\x05local\0\x01v\0\x0d\0\x01c\0\x0d\0\0\0\x01\0\0\0\x034.1\xff\xff\xff\xff";
    let cassandra = [
        vec![14],
        of_cassandra(6, b"\0\x01\0\x0bCQL_VERSION\0\x01\0\x053.4.6"),
        of_cassandra(3, b"\0\x01A"),
        of_cassandra(0x10, b"\xff\xff\xff\xff"),
        of_cassandra(8, b"\0\0\0\x03\0\x05sales"),
        of_cassandra(8, row),
    ]
    .concat();
    vec![
        redis.into_bytes(),
        smtp.into(),
        imap.into(),
        ftp.into(),
        nats.into(),
        mqtt.to_vec(),
        ldap,
        amqp,
        b"\x08220 mail\r\n250-mail\r\n250 STARTTLS\r\n220 go\r\n".to_vec(),
        b"\x09* OK x\r\n* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\na2 OK go\r\n".to_vec(),
        b"\x0a220 x\r\n234 go\r\n".to_vec(),
        [&[11][..], &done(1, 0x78)].concat(),
        [vec![12], of_mongo([hello(), ok(), ok(), ok(), ok().text("version", "7.0.5")])].concat(),
        cassandra,
        [vec![15], of_kafka(&[VERSIONS, CLUSTER, CLUSTER])].concat(),
        [vec![16], of_kafka(&[VERSIONS, b"\0\0\0\0\0\x01\0\x05PLAIN", b"\0\0\xff\xff\0\0\0\0", CLUSTER])].concat(),
    ]
}

/// Refusals, and what is said in other ways.
fn others() -> Vec<Vec<u8>> {
    let refused = b"\x30\x1e\x02\x01\x01\x61\x19\x0a\x01\x31\x04\0\x04\x12invalid credential";
    let challenge = Draft::new().binary("payload", b"r=x,s=c2FsdA==,i=4096").integer("conversationId", 1).integer("ok", 1);
    let close = [&[0, 10, 0, 50, 1, 0x93, 6][..], b"NO WAY", &[0, 0, 0, 0]].concat();
    vec![
        b"\0-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_vec(),
        b"\x01220 mail\r\n250-mail\r\n250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n535 5.7.8 no\r\n".to_vec(),
        b"\x02* OK x\r\n* CAPABILITY IMAP4rev1\r\na1 OK done\r\n* NO {3}\r\nabc\r\na2 NO [AUTHENTICATIONFAILED] no\r\n".to_vec(),
        b"\x03421 too many connections\r\n".to_vec(),
        b"\x04INFO {}\r\n-ERR 'Authorization Violation'\r\n".to_vec(),
        b"\x05\x20\x02\0\x05".to_vec(),
        [&[6][..], refused].concat(),
        [vec![7], frame(0, &close)].concat(),
        // Somebody else's number, and none of ours.
        [vec![13], of_mongo([hello(), challenge])].concat(),
        [vec![13], of_mongo([hello(), Draft::new().text("errmsg", "Authentication failed.").integer("code", 18)])].concat(),
        [vec![14], of_cassandra(0, b"\0\0\x01\0\0\x02no")].concat(),
        [vec![16], of_kafka(&[VERSIONS, b"\0\x21\0\0\0\x01\0\x06GSSAPI"])].concat(),
        [vec![16], of_kafka(&[VERSIONS, b"\0\0\0\0\0\0", b"\0\x3a\0\x02no\0\0\0\0"])].concat(),
    ]
}

#[test]
fn conversations() {
    let runtime = runtime();
    let corpus = [sound(), others()].concat();
    let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    fuzz(&corpus, |bytes| {
        if let Err(error) = runtime.block_on(play(bytes)) {
            assert!(!error.message.is_empty() && error.message.len() < 2_000, "{error:?}");
            assert!(!format!("{error:?}").contains("planted-secret"), "{error:?}");
        }
    });
}

#[test]
fn what_is_bent_begins_as_something_that_works() {
    let runtime = runtime();
    for said in sound() {
        let ended = runtime.block_on(play(&said));
        assert!(ended.is_ok(), "{}: {ended:?}", String::from_utf8_lossy(&said));
    }
    for said in others() {
        let ended = runtime.block_on(play(&said)).expect_err("a refusal");
        assert_ne!(ended.code, dataflow_model::Cause::NotThatDatabase, "{}: {ended:?}", String::from_utf8_lossy(&said));
    }
}

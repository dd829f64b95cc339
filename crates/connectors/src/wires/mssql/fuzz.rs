//! Whole conversations with servers that say what is nearly right, and handshakes in packets that are bent.

use std::{io::Cursor, sync::Arc};

use dataflow_fuzz::fuzz;
use dataflow_model::FieldValue;
use tokio::io::{AsyncReadExt as _, join, sink};

use super::{
    super::fuzz::{converse, runtime},
    Envelope, Mssql, packet,
};

const DONE: &[u8] = b"\xfd\0\0\0\0\0\0\0\0\0\0\0\0";

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Messages of a server, each in a packet.
fn messages(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| packet::packets(packet::RESULT, message).to_vec()).collect()
}

fn greeting(encryption: u8) -> Vec<u8> {
    [&b"\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x10\0\x10\x45\0\0"[..], &[encryption]].concat()
}

fn error(number: u8, words: &str) -> Vec<u8> {
    let words = utf_16(words);
    let (length, all) = (u8::try_from(words.len() / 2).expect("short"), u8::try_from(words.len() + 14).expect("short"));
    [&[0xaa, all, 0, number, 0, 0, 0, 1, 14, length, 0][..], &words, &[0, 0, 1, 0, 0, 0]].concat()
}

fn route(host: &str) -> Vec<u8> {
    let host = utf_16(host);
    let length = u8::try_from(host.len()).expect("short");
    [&[0xe3, length + 10, 0, 20, length + 5, 0, 0, 0xb, 0x2b, length / 2, 0][..], &host, &[0, 0]].concat()
}

fn acknowledged() -> Vec<u8> {
    let features = b"\xae\x04\x01\0\0\0\x01\xff";
    [&b"\xab\x02\0xx\xe3\x04\0\x01\x01x\0\xad\x10\0\x01\x74\0\0\x04\x03"[..], &utf_16("SQL"), &[16, 0, 0x10, 0x27], features]
        .concat()
}

fn rows() -> [Vec<u8>; 3] {
    let name = b"\x81\x01\0\0\0\0\0\0\0\xe7\x10\0\0\0\0\0\0\0\xd1\x02\0x\0".to_vec();
    let look = b"\x81\x02\0\0\0\0\0\0\0\x38\0\0\0\0\0\0\0\xe7\x10\0\0\0\0\0\0\0\xd1\x01\0\0\0\x02\0x\0".to_vec();
    let facts = [&b"\x81\x07\0"[..], &b"\0\0\0\0\0\0\x26\x04\0".repeat(7), b"\xd2\x00", &b"\x04\x01\0\0\0".repeat(7)].concat();
    [name, look, facts].map(|rows| [&rows[..], DONE].concat())
}

fn sound() -> Vec<u8> {
    let [name, look, facts] = rows();
    messages(&[greeting(2), [&acknowledged()[..], DONE].concat(), name, look, facts])
}

fn others() -> Vec<Vec<u8>> {
    let end = b"\xfd\x02\0\0\0\0\0\0\0\0\0\0\0";
    vec![
        messages(&[greeting(3)]),
        messages(&[greeting(2), [error(100, "Login failed for planted-secret."), end.to_vec()].concat()]),
        messages(&[greeting(0), [acknowledged(), route("other.example.org"), DONE.to_vec()].concat()]),
        messages(&[greeting(2), b"\x79\0\0\0\0\xa9\x02\0\0\0\xe4\x01\0\0\0x\xff\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()]),
    ]
}

async fn play(said: &[u8]) -> Result<Option<String>, dataflow_model::TestError> {
    converse::<Mssql>(said, Some(FieldValue::Text("sales".to_owned()))).await
}

#[test]
fn conversations() {
    let runtime = runtime();
    let corpus = [vec![sound()], others()].concat();
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
    let ended = runtime.block_on(play(&sound()));
    assert_eq!(ended.expect("sound").as_deref(), Some("x"));
    for said in others() {
        assert!(runtime.block_on(play(&said)).is_err());
    }
}

/// What comes out of the packets is what went into them, and never more than came.
#[test]
fn handshakes() {
    let runtime = runtime();
    let open = |bytes: &[u8]| {
        let mut envelope = Envelope::new(Box::new(join(Cursor::new(bytes.to_vec()), sink())), Arc::default());
        let mut opened = Vec::new();
        let ended = runtime.block_on(envelope.read_to_end(&mut opened));
        (ended.is_ok(), opened)
    };
    let sound = packet::packets(packet::PRELOGIN, &[7; 5000]);
    assert_eq!(open(&sound), (true, vec![7; 5000]));
    let short = packet::packets(packet::PRELOGIN, b"handshake");
    fuzz(&[&short, &packet::packets(packet::RESULT, b"no")], |bytes| {
        assert!(open(bytes).1.len() <= bytes.len());
    });
}

//! Whole conversations with servers that say what is nearly right, up to where a proof would be needed.

use dataflow_fuzz::fuzz;
use dataflow_model::{Cause, FieldValue, TestError};

use super::{
    super::fuzz::{converse, runtime},
    Oracle,
    bytes::{write_announced, write_number},
};

fn data(message: &[u8]) -> Vec<u8> {
    let length = u8::try_from(message.len() + 10).expect("short");
    [&[0, 0, 0, length, 6, 0, 0, 0, 0, 0][..], message].concat()
}

fn accepted() -> Vec<u8> {
    let own = b"\0\x2d\0\0\x02\0\0\0\x01\x3e\0\0\x20\0\x7f\xff\x01\0\0\0\0\x2d\x04\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0\0"
        .to_vec();
    let protocol =
        b"\x01\x06\0Linux\0\x69\x03\x01\x01\0\x07\x07\x07\x07\x07\0\x01\0\x0a\x01\x01\x01\x01\x01\x01\x01\x0d\x01\x01\x01\x02";
    [own, data(protocol), data(b"\x02\0\x01\0\x01\0\x01\0\0\0\x63\0\0\0\0")].concat()
}

fn challenge(rounds: &str) -> Vec<u8> {
    let mut out = vec![8, 1, 5];
    let half = "17".repeat(32);
    for (name, value, flags) in [
        ("AUTH_SESSKEY", half.as_str(), 0),
        ("AUTH_VFR_DATA", "5a5a", 0x4815),
        ("AUTH_PBKDF2_CSK_SALT", "c3c3", 0),
        ("AUTH_PBKDF2_VGEN_COUNT", rounds, 0),
        ("AUTH_PBKDF2_SDER_COUNT", "1", 0),
    ] {
        write_announced(&mut out, name.as_bytes());
        write_announced(&mut out, value.as_bytes());
        write_number(&mut out, flags);
    }
    out.extend([9, 1, 1, 1, 2]);
    // In two packets.
    let (first, second) = out.split_at(200);
    [data(first), data(second)].concat()
}

fn failed(words: &str) -> Vec<u8> {
    let mut out = vec![4];
    out.extend([0; 8]);
    out.extend([0; 6]);
    out.extend([0; 5 + 6 + 3]);
    write_number(&mut out, 604);
    out.extend([0, u8::try_from(words.len()).expect("short")]);
    out.extend_from_slice(words.as_bytes());
    out
}

fn corpus() -> Vec<(Vec<u8>, Cause)> {
    let second = b"\x08\x01\x01\x01\x03AUT\0\0\x0f\x02\x6d\x62\x01\x03\0\x03abc\x17\x05\0\0\x01\x01\0\x01\x02\x02HR\0\x01\xa8\0\x17\x07\x01\x02\x02xx\x09\x01\x01\x01\x03";
    let second = [&second[..3], &second[3..4], &second[3..]].concat();
    let broken_off =
        [&b"\0\0\0\x0b\x0c\0\0\0\x01\0\x01\0\0\0\x0b\x0c\0\0\0\x01\0\x02"[..], &data(&failed("ORA-00604: planted-secret"))]
            .concat();
    vec![
        (b"\0\x1a\0\0\x04\0\0\0\x22\0\0\x0e(D=(ERR=12514))".to_vec(), Cause::DatabaseMissing),
        ([accepted(), broken_off].concat(), Cause::ServerError),
        ([accepted(), challenge("1"), data(&second)].concat(), Cause::InsecureAuthenticationRefused),
        ([accepted(), challenge("4000000000")].concat(), Cause::ServerError),
    ]
}

async fn play(said: &[u8]) -> Result<Option<String>, TestError> {
    converse::<Oracle>(said, Some(FieldValue::Text("sales".to_owned()))).await
}

#[test]
fn conversations() {
    let runtime = runtime();
    let corpus = corpus();
    let corpus: Vec<&[u8]> = corpus.iter().map(|(said, _)| said.as_slice()).collect();
    fuzz(&corpus, |bytes| {
        if let Err(error) = runtime.block_on(play(bytes)) {
            assert!(!error.message.is_empty() && error.message.len() < 2_000, "{error:?}");
            assert!(!format!("{error:?}").contains("planted-secret"), "{error:?}");
        }
    });
}

#[test]
fn what_is_bent_begins_as_something_that_is_read_to_its_end() {
    let runtime = runtime();
    for (said, cause) in corpus() {
        let error = runtime.block_on(play(&said)).expect_err("there is nobody who has the key");
        assert_eq!(error.code, cause, "{error:?}");
    }
}

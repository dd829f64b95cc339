//! Whole conversations with servers that say what is nearly right.

use std::io::Cursor;

use dataflow_fuzz::fuzz;
use dataflow_model::{FieldValue, PublicFields, Secret, SecretFields, StepName};
use tokio::io::{join, sink};

use super::{
    packet::{self, Hello},
    refusal::{Failure, explain},
    session,
    sign_in::Identity,
    wire::Wire,
};
use crate::Target;

/// A server's public key, whose other half was never kept.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApqgq4vVjKYH0O5dUBsS8\n\
t6UGKqoKEDMVKJuQWQpXVU1zIhV0FN3nslLq/6bnj/lLroESPkiOkbwE58Wv/dv1\n\
DXoGjlhWb222cDFLYTVnzvfADBFjhoNoPVqvwqczZowrNUmRRPldgAnJKjhijXgg\n\
B70gVJu4Tt99vuyQbE+XupiUsof/piHRDYFddmCkdcyOZWDUnkq1WUtow5rvpyYk\n\
Qn9ikWAEVPfuj93LUVASJPdJmhu4+Xmu1aEaPvXxGRHTVAnU3I+Kt03dgkwv3FWx\n\
1lc2Rz4rCMdG32bL5vy6sLkBICmxMKJlPIMT3TPqdviXZrRt59G4ZTigza7/nHB2\n\
owIDAQAB\n\
-----END PUBLIC KEY-----\n\n";

/// Packets of a server, numbered on from `first`.
fn packets(first: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, payload) in (first..).zip(payloads.iter().copied()) {
        let [low, middle, ..] = u32::try_from(payload.len()).expect("short").to_le_bytes();
        bytes.extend([low, middle, 0, number]);
        bytes.extend_from_slice(payload);
    }
    bytes
}

fn greeting(plugin: &str) -> Vec<u8> {
    let mut bytes = b"\x0a9.7.1\0\x08\0\0\0ABCDEFGH\0\xff\xff\xff\x02\0\xff\xdf\x15".to_vec();
    bytes.extend_from_slice(&[0; 10]);
    bytes.extend_from_slice(b"IJKLMNOPQRST\0");
    bytes.extend_from_slice(plugin.as_bytes());
    bytes.push(0);
    packets(0, &[&bytes])
}

fn corpus() -> Vec<Vec<u8>> {
    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const END: &[u8] = &[0xfe, 0, 0, 2, 0];
    let after = |plugin: &str, answers: Vec<u8>| [greeting(plugin), answers].concat();
    let column = b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
    let row = packets(1, &[b"\x01", column, END, b"\x011", END]);
    let key = [b"\x01".as_slice(), KEY.as_bytes()].concat();
    vec![
        after("caching_sha2_password", [packets(2, &[&[1, 3], OK]), packets(1, &[OK]), packets(1, &[OK]), row].concat()),
        after("caching_sha2_password", [packets(2, &[&[1, 4]]), packets(4, &[&key]), packets(6, &[OK])].concat()),
        after("sha256_password", [packets(2, &[b"\xfesha256_password\0ABCDEFGHIJKLMNOPQRST\0"]), packets(4, &[&key])].concat()),
        after("mysql_native_password", packets(2, &[b"\xfemysql_native_password\0ABCDEFGHIJKLMNOPQRST\0"])),
        after("client_ed25519", packets(2, &[b"\xfeclient_ed25519\0ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"])),
        after("dialog", packets(2, &[b"\xff\x15\x04#28000Access denied for user 'anna'@'10.4.2.17' (using password: YES)"])),
        packets(0, &[b"\xff\x10\x04Too many connections"]),
    ]
}

async fn converse(wire: &mut Wire, target: &Target) -> Result<(), Failure> {
    let first = wire.read().await?;
    let greeting = match packet::hello(&first).ok_or(Failure::Malformed)? {
        Hello::Greeting(greeting) => greeting,
        Hello::Refused(error) => return Err(Failure::Refused(error)),
        Hello::TooOld => return Ok(()),
    };
    let password = target.expose_secret("password");
    let identity = Identity { username: "analytics", password, tls: false, verified: false, own_key_allowed: true };
    identity.sign_in(wire, &greeting).await?;
    session::open_database(wire, "sales").await?;
    session::set_up(wire, target).await?;
    session::read_one_row(wire).await
}

#[test]
fn conversations() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let public = [("extra.sql_mode".into(), FieldValue::Text("ANSI".to_owned()))];
    let secrets = SecretFields([("password".into(), Secret::new("planted-secret".to_owned()))].into());
    let target = Target { public: PublicFields(public.into()), secrets, ..Target::default() };
    let corpus = corpus();
    let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    fuzz(&corpus, |bytes| {
        let mut wire = Wire::new(join(Cursor::new(bytes.to_vec()), sink()));
        if let Err(failure) = runtime.block_on(converse(&mut wire, &target)) {
            let error = explain(failure, &target, StepName::SignIn);
            assert!(!error.message.is_empty() && error.message.len() < 2_000, "{error:?}");
        }
    });
}

#[test]
fn the_whole_conversation_is_sound() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let public = [("extra.sql_mode".into(), FieldValue::Text("ANSI".to_owned()))];
    let target = Target { public: PublicFields(public.into()), ..Target::default() };
    let first = corpus().swap_remove(0);
    let ended = runtime.block_on(converse(&mut Wire::new(join(Cursor::new(first), sink())), &target));
    assert!(ended.is_ok(), "what is bent begins as something that works: {ended:?}");
}

//! Servers that stop in the middle of a conversation: the step that took too long is the one that is told, for each protocol.

use dataflow_connectors::child::TestRequest;
use dataflow_model::{Cause, StepName};
use libtest_mimic::Trial;

use crate::{
    peer::{Peer, serve},
    postgres::{authentication, message},
    run::{PLANTED, SHORT, assert_failed, fields, request, run, secrets, trial},
};

/// What a server says: at once, then after each thing that it hears, until it falls silent.
type Script = Vec<Vec<u8>>;

fn stall(connector: &'static str, mode: &'static str, script: Script, step: StepName) -> Trial {
    trial(format!("timed_out_{connector}_{mode}_{}", step.as_str()), async move {
        let (port, heard) = serve(move |mut peer: Peer| {
            let script = script.clone();
            async move {
                let mut says = script.into_iter();
                peer.say(&says.next().unwrap_or_default()).await;
                for next in says {
                    peer.hear().await;
                    peer.say(&next).await;
                }
                peer.hear_all().await;
            }
        })
        .await;
        let asked = request(connector, fields(port, &[("tls.mode", mode)]), secrets(&[("password", PLANTED)]));
        let report = run(TestRequest { deadline: SHORT, ..asked }).await;
        let field = matches!(step, StepName::Secure | StepName::SignIn).then_some("port");
        assert_failed(&report, Cause::TimedOut, step, field);
        assert!(!heard.contains(PLANTED));
    })
}

/// A packet of MySQL's.
fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = u32::try_from(payload.len()).expect("short").to_le_bytes();
    [&[low, middle, high, sequence], payload].concat()
}

/// The greeting of a MySQL 9 that has TLS (protocol `HandshakeV10`).
fn greeting() -> Vec<u8> {
    let capabilities: u32 = 0x0008_a201 | 1 << 11;
    let [a, b, c, d] = capabilities.to_le_bytes();
    let text = [
        b"\x0a9.7.1\0\x08\0\0\0ABCDEFGH\0".as_slice(),
        &[a, b, 255, 2, 0, c, d, 21],
        &[0; 10],
        b"IJKLMNOPQRST\0caching_sha2_password\0",
    ];
    packet(0, &text.concat())
}

pub fn trials() -> Vec<Trial> {
    use StepName::{OpenDatabase, Read, Secure, SignIn};
    let open = || [authentication(0, &[]), message(b'Z', b"I")].concat();
    let ok = |sequence| packet(sequence, &[0, 0, 0, 2, 0, 0, 0]);
    // The proof is taken, and the sign-in done.
    let signed_in = || [packet(2, &[1, 3]), ok(3)].concat();
    vec![
        stall("postgres", "require", vec![], Secure),
        stall("postgres", "disable", vec![], SignIn),
        stall("postgres", "disable", vec![vec![], authentication(0, &[])], OpenDatabase),
        stall("postgres", "disable", vec![vec![], open()], Read),
        stall("mysql", "require", vec![greeting()], Secure),
        stall("mysql", "disable", vec![greeting()], SignIn),
        stall("mysql", "disable", vec![greeting(), signed_in()], OpenDatabase),
        stall("mysql", "disable", vec![greeting(), signed_in(), ok(1)], Read),
    ]
}

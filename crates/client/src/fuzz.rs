//! Readers of what a server, or what stands in its place, answers.

use dataflow_fuzz::fuzz;

use crate::{Problem, Resolved, ServerUrl};

#[test]
fn answers() {
    let corpus: [&[u8]; 5] = [
        br#"{"name":"sales","type":"redshift","base":"postgres","sqlalchemy":"postgresql","fields":{"host":"h","port":5432,"password":"planted","tls":{"mode":"verify-full","cert":null},"extra":{"read_only":true}},"fingerprint":"f","version":3}"#,
        br#"{"name":"dw","type":"exa","base":"generic","sqlalchemy":"exa","fields":{"host":"h"},"url":{"drivername":"exa+websocket","port":"{port}","query":{"x":"{extra.x}"}},"hop":{"name":"bastion","type":"ssh","base":"ssh","fields":{"password":"planted"},"fingerprint":"h","version":1},"fingerprint":"f-h-t1","version":3}"#,
        br#"{"status":410,"code":"connection_deleted","detail":"x","deleted_by":"ann","deleted_at":"2026-11-22T10:00:00Z","reason":"moved"}"#,
        br#"{"code":"invalid_fields","errors":[{"field":"host","code":"required","message":"is missing"}],"hint":"x"}"#,
        b"<html>nginx</html>",
    ];
    fuzz(&corpus, |bytes| {
        match Resolved::read("http://127.0.0.1:1", bytes) {
            Ok(resolved) => assert!(!format!("{resolved:?}{:?}", resolved.hop()).contains("planted")),
            Err(error) => assert!(!format!("{error} {error:?}").contains("planted")),
        }
        let _ = Problem::read(bytes).to_string();
    });
}

#[test]
fn urls_of_servers() {
    let corpus: [&[u8]; 4] =
        [b"https://dataflow.example.org", b"http://[::1]:8080/", b" http://u:p@h/path?q#f ", b"localhost:8080"];
    fuzz(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(url) = ServerUrl::parse(&text) {
            assert_eq!(ServerUrl::parse(&url.to_string()).ok(), Some(url), "what is read is written as it was read");
        }
    });
}

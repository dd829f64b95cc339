//! Malformed requests by chance: of an operation of the API, bent in one or many ways.

mod words;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::words::{KEYS, MEDIA, METHODS, NAMES, NUMBERS, QUERIES, TAGS, VERSIONS, WORKFLOWS};
use crate::{chance::Chance, openapi::Operation, stored::sample};

/// In requests, where a secret stands or where something else should.
pub const SENT: &str = "Wk3YsentWk3Y";

/// What requests are made for.
#[derive(Debug)]
pub struct Target {
    pub port: u16,
    pub admin: String,
    pub viewer: String,
    pub operations: Vec<Operation>,
}

/// One request as it goes out, and what it is about.
#[derive(Debug)]
pub struct Bent {
    pub id: String,
    /// Which kinds of harm it has.
    pub harm: BTreeSet<&'static str>,
    pub bytes: Vec<u8>,
    pub may_hold_a_secret: bool,
}

/// A body that is taken, but for what is missing around it.
fn body(operation: &Operation, chance: &mut Chance) -> Option<Value> {
    let number = chance.below(1_000_000);
    Some(match operation.id.as_str() {
        "create_connection" => sample(&format!("made-{number}"), SENT),
        "edit_connection" => json!({"description": format!("d{number}"), "password": SENT}),
        "test_unsaved_connection" => {
            json!({"type": "postgres", "host": "127.0.0.1", "port": 1, "username": "u", "password": SENT})
        }
        "test_connection" => json!({"host": "127.0.0.1", "port": 1, "password": SENT}),
        "create_token" => json!({"name": format!("t{number}"), "roles": ["viewer"]}),
        "put_member" => json!({"roles": ["viewer"]}),
        _ => return operation.description.pointer("/requestBody/content/application~1json/example").cloned(),
    })
}

/// Every member's path of a JSON value.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    let members: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(name, inner)| (name.clone(), inner)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(place, inner)| (place.to_string(), inner)).collect(),
        _ => Vec::new(),
    };
    for (name, inner) in members {
        let path = format!("{at}/{name}");
        paths(inner, &path, found);
        found.push(path);
    }
}

/// JSON that is none, or not what is asked for.
fn bend_body(good: &Value, chance: &mut Chance, harm: &mut BTreeSet<&'static str>) -> Vec<u8> {
    let text = good.to_string();
    let (kind, bytes) = match chance.below(18) {
        0 => ("truncated", text.as_bytes()[..chance.below(text.len())].to_vec()),
        1 => ("duplicated member", text.replacen('{', &format!("{{\"name\":\"{SENT}\","), 1).into_bytes()),
        2 => (
            "oversized",
            text.replacen('{', &format!("{{\"more\":\"{}\",", "x".repeat(64 * 1024 + chance.below(4096))), 1).into_bytes(),
        ),
        3 => {
            let (mut bytes, place) = (text.into_bytes(), chance.below(good.to_string().len()));
            bytes.splice(
                place..place,
                chance.pick(&[&b"\xff"[..], b"\xed\xa0\x80", b"\xc3\x28", b"\xf8\x88\x80\x80\x80"]).iter().copied(),
            );
            ("invalid UTF-8", bytes)
        }
        4 => {
            let mut bytes = text.into_bytes();
            bytes.insert(chance.below(bytes.len()), 0);
            ("NUL", bytes)
        }
        5 => ("deep", format!("{{\"host\":{}{}}}", "[".repeat(5_000), "]".repeat(chance.below(5_000))).into_bytes()),
        6 => ("deep", "{\"extra\":".repeat(3_000).into_bytes()),
        7 => ("huge number", text.replacen('{', &format!("{{\"port\":{},", chance.pick(NUMBERS)), 1).into_bytes()),
        8 => ("huge number", format!("{{\"port\":{}}}", "9".repeat(1 + chance.below(20_000))).into_bytes()),
        9 => ("random bytes", {
            let count = chance.below(400);
            chance.bytes(count)
        }),
        10 => ("trailing", format!("{text} {{}}").into_bytes()),
        11 => ("not an object", format!("[{text}]").into_bytes()),
        12 => ("escape", text.replacen('{', "{\"description\":\"\\ud800\",", 1).into_bytes()),
        13 => ("empty", Vec::new()),
        14 => ("byte order mark", [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat()),
        _ => {
            let (mut value, mut all) = (good.clone(), Vec::new());
            paths(good, "", &mut all);
            for _ in 0..=chance.below(3) {
                if let Some(member) = all.get(chance.below(all.len())).and_then(|path| value.pointer_mut(path)) {
                    let wrong = [
                        json!([SENT]),
                        json!({"value": SENT}),
                        json!({"set": true}),
                        json!(null),
                        json!(true),
                        json!(-1),
                        json!(1e300),
                        json!([[[[[]]]]]),
                        json!({}),
                        json!(u64::MAX),
                        json!({"a": {"b": [SENT]}}),
                    ];
                    *member = wrong[chance.below(wrong.len())].clone();
                }
            }
            ("wrong type", value.to_string().into_bytes())
        }
    };
    harm.insert(kind);
    bytes
}

fn bend_target(operation: &Operation, chance: &mut Chance, harm: &mut BTreeSet<&'static str>) -> Vec<u8> {
    let mut target = Vec::new();
    for part in operation.path.split_inclusive('/') {
        let (name, slash) = part.strip_suffix('/').map_or((part, ""), |name| (name, "/"));
        match name {
            "{workspace}" if chance.percent(85) => target.extend_from_slice(b"default"),
            // What is gone would answer the same to everything from then on.
            "{name}" if operation.method == "DELETE" && chance.percent(70) => target.extend_from_slice(b"doomed"),
            "{name}" if chance.percent(70) => target.extend_from_slice(chance.pick(&[&b"sales"[..], b"crm", b"ada@example.org"])),
            "{version}" if chance.percent(80) => target.push(b'1'),
            "{rule}" if chance.percent(80) => target.extend_from_slice(b"never-tested"),
            "{workspace}" | "{name}" | "{version}" => {
                harm.insert("name");
                match chance.below(12) {
                    0 => target.extend("n".repeat(1 + chance.below(6_000)).into_bytes()),
                    1 => {
                        let count = chance.below(40);
                        target.extend(chance.bytes(count));
                    }
                    _ => target.extend_from_slice(chance.pick(NAMES)),
                }
            }
            other => target.extend_from_slice(other.as_bytes()),
        }
        target.extend_from_slice(slash.as_bytes());
    }
    if chance.percent(25) {
        harm.insert("query");
        target.push(b'?');
        for _ in 0..=chance.below(3) {
            target.extend_from_slice(chance.pick(QUERIES));
            target.push(b'&');
        }
    }
    target
}

fn header(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}

fn bend_headers(target: &Target, chance: &mut Chance, harm: &mut BTreeSet<&'static str>) -> Vec<u8> {
    let mut lines = Vec::new();
    match chance.below(40) {
        0 => drop(harm.insert("no host")),
        1 => {
            harm.insert("host");
            header(&mut lines, "host", chance.pick(&[&b"a b"[..], b"evil.example.org", b"u@127.0.0.1", b"\xff", b"", b"[::1"]));
        }
        _ => header(&mut lines, "host", b"127.0.0.1"),
    }
    match chance.below(16) {
        0 => drop(harm.insert("no token")),
        1 => {
            harm.insert("token");
            let bent = [
                "Bearer",
                "Bearer ",
                "Basic YTpi",
                "Bearer nonsense",
                "Bearer dfc_admin_0000000000000000000000000000000000000000000000000",
            ];
            header(&mut lines, "authorization", chance.pick(&bent).as_bytes());
        }
        2 => {
            harm.insert("token");
            let count = chance.below(60);
            let bytes: Vec<_> = chance.bytes(count).into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
            header(&mut lines, "authorization", &[b"Bearer ".as_slice(), &bytes].concat());
        }
        3 => header(&mut lines, "authorization", format!("Bearer {}", target.viewer).as_bytes()),
        4 => {
            harm.insert("token");
            for _ in 0..2 {
                header(&mut lines, "authorization", format!("Bearer {}", target.admin).as_bytes());
            }
        }
        _ => header(&mut lines, "authorization", format!("Bearer {}", target.admin).as_bytes()),
    }
    for (name, values, often) in
        [("if-match", TAGS, 40), ("if-none-match", TAGS, 10), ("idempotency-key", KEYS, 15), ("dataflow-workflow", WORKFLOWS, 10)]
    {
        if chance.percent(often) {
            harm.insert(name);
            header(&mut lines, name, chance.pick(values));
        }
    }
    match chance.below(40) {
        0 => {
            harm.insert("long header");
            header(&mut lines, "x-long", "x".repeat(chance.below(40_000)).as_bytes());
        }
        1 => {
            harm.insert("many headers");
            for number in 0..chance.below(300) {
                header(&mut lines, &format!("x-{number}"), b"1");
            }
        }
        2 => {
            harm.insert("long key");
            header(&mut lines, "idempotency-key", "k".repeat(200 + chance.below(200)).as_bytes());
        }
        3 => {
            harm.insert("header bytes");
            let count = chance.below(80);
            lines.extend(chance.bytes(count));
            lines.extend_from_slice(b"\r\n");
        }
        4 => header(&mut lines, "expect", b"100-continue"),
        5 => header(&mut lines, "accept", b"text/event-stream"),
        6 => header(&mut lines, "x-forwarded-for", chance.pick(&[&b"\xff, 1.2.3.4"[..], b",,,,", b"[::1", b"1.2.3.4"])),
        _ => {}
    }
    lines
}

/// Puts a body behind its head: as long as it says, or not, or in chunks that are none.
fn frame(lines: &mut Vec<u8>, body: &[u8], chance: &mut Chance, harm: &mut BTreeSet<&'static str>) -> Vec<u8> {
    match chance.below(30) {
        0 => {
            harm.insert("length");
            let length = chance.pick(&["-1", "x", "99999999999999999999", "1e3", "", "5, 6", "+5"]);
            header(lines, "content-length", length.as_bytes());
            body.to_vec()
        }
        1 => {
            harm.insert("length");
            header(lines, "content-length", (body.len() + 1 + chance.below(50)).to_string().as_bytes());
            body.to_vec()
        }
        2 => {
            harm.insert("chunks");
            header(
                lines,
                "transfer-encoding",
                chance.pick(&[&b"chunked"[..], b"gzip, chunked", b"chunked, chunked", b"x", b"identity"]),
            );
            let size = chance.pick(&["zz", "-1", "ffffffffffffffffff", "5;ext=\u{0}", "", "0x5", "5 "]);
            [size.as_bytes(), b"\r\n", body, b"\r\n0\r\n\r\n"].concat()
        }
        3 => {
            harm.insert("chunks");
            header(lines, "transfer-encoding", b"chunked");
            header(lines, "content-length", body.len().to_string().as_bytes());
            [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
        }
        4 | 5 => {
            header(lines, "transfer-encoding", b"chunked");
            [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
        }
        _ => {
            header(lines, "content-length", body.len().to_string().as_bytes());
            body.to_vec()
        }
    }
}

/// The next request.
pub fn bend(target: &Target, chance: &mut Chance) -> Bent {
    let mut harm = BTreeSet::new();
    if chance.percent(4) {
        harm.insert("pipelined");
    }
    let operation = target.operations[chance.below(target.operations.len())].clone();
    let mut method = operation.method.clone().into_bytes();
    if chance.percent(6) {
        harm.insert("method");
        method = chance.pick(METHODS).to_vec();
    }
    let mut version = b"HTTP/1.1".to_vec();
    if chance.percent(3) {
        harm.insert("version");
        version = chance.pick(VERSIONS).to_vec();
    }
    let address = bend_target(&operation, chance, &mut harm);
    let mut lines = bend_headers(target, chance, &mut harm);
    let good = body(&operation, chance).or_else(|| chance.percent(20).then(|| json!({"name": "x"})));
    let content = match &good {
        Some(good) if chance.percent(75) || harm.is_empty() => bend_body(good, chance, &mut harm),
        Some(good) => good.to_string().into_bytes(),
        None => Vec::new(),
    };
    if good.is_some() {
        let media = if chance.percent(8) { chance.pick(MEDIA) } else { b"application/json" };
        if media != b"application/json" {
            harm.insert("media type");
        }
        header(&mut lines, "content-type", media);
    }
    if !harm.contains("pipelined") {
        header(&mut lines, "connection", b"close");
    }
    let framed = if good.is_some() { frame(&mut lines, &content, chance, &mut harm) } else { Vec::new() };
    if harm.is_empty() {
        harm.insert("query");
    }
    let query =
        if harm.len() == 1 && harm.contains("query") && !address.contains(&b'?') { b"?colour=red".as_slice() } else { b"" };
    let mut bytes = [&method, b" ".as_slice(), &address, query, b" ", &version, b"\r\n", &lines, b"\r\n", &framed].concat();
    if harm.contains("pipelined") {
        let count = chance.below(200);
        bytes.extend(chance.bytes(count));
        bytes.extend_from_slice(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    }
    if chance.percent(2) {
        harm.insert("cut");
        bytes.truncate(chance.below(bytes.len()));
    }
    let may_hold_a_secret = operation.id == "resolve_credentials";
    Bent { id: operation.id, harm, bytes, may_hold_a_secret }
}

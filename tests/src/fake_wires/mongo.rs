//! MongoDB, a member of a replica set: <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>, and the sign-in of
//! <https://github.com/mongodb/specifications/blob/master/source/auth/auth.md>. Answers are as MongoDB 7.0 words them.

use std::io;

use super::{
    FakeWires,
    bson::{self, Bson, Fields},
    scram::{Scram, Twist},
    unknown,
};
use crate::{fake_services::USER, scripted::Peer, wires::OPEN};

/// A user whose password is kept for SCRAM-SHA-1 alone.
pub const OLD: &str = "olaf";
/// A database to which nobody has a right.
pub const FORBIDDEN: &str = "forbidden";

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

/// Its users are of the database `admin`.
pub fn mongo(twist: Twist) -> FakeWires {
    FakeWires::start(move |peer, door| Session { is_in: door == OPEN, twist, scram: None, has_more: false }.serve(peer))
}

struct Session {
    /// Whoever comes is, where it was started without access control.
    is_in: bool,
    twist: Twist,
    scram: Option<Scram>,
    /// The empty step of the exchange, at its end, is still to come.
    has_more: bool,
}

impl Session {
    fn serve(mut self, peer: &mut Peer) -> io::Result<()> {
        loop {
            let [length, number, answered, kind] = integers(&peer.receive::<16>()?);
            let mut body =
                vec![0; usize::try_from(length - 16).ok().filter(|length| *length < 48_000).ok_or_else(|| unknown("length"))?];
            peer.fill(&mut body)?;
            if answered != 0 {
                return Err(unknown("an answer"));
            }
            let (opcode, before, command) = match kind {
                OP_MSG => (OP_MSG, vec![0; 5], body.strip_prefix(&[0; 5]).ok_or_else(|| unknown("flags, or another section"))?),
                // The older form, in which clients still begin.
                OP_QUERY => {
                    let command = body.strip_prefix(b"\0\0\0\0admin.$cmd\0\0\0\0\0\xff\xff\xff\xff");
                    let command = command.or_else(|| body.strip_prefix(b"\x04\0\0\0admin.$cmd\0\0\0\0\0\xff\xff\xff\xff"));
                    let head = [[8, 0, 0, 0], [0; 4], [0; 4], [0; 4], [1, 0, 0, 0]].concat();
                    (OP_REPLY, head, command.ok_or_else(|| unknown("a query"))?)
                }
                other => return Err(unknown(format!("opcode {other}"))),
            };
            let command = bson::read(command)?;
            if kind == OP_MSG && !command.iter().any(|(name, value)| name == "$db" && matches!(value, Bson::Text(_))) {
                return Err(unknown("no database"));
            }
            let reply = bson::write(&self.answer(&command));
            let length = i32::try_from(16 + before.len() + reply.len()).expect("short");
            let head = [length, 1000 + number, number, opcode].map(i32::to_le_bytes).concat();
            peer.send(&[head, before, reply].concat())?;
        }
    }

    fn answer(&mut self, command: &Fields) -> Fields {
        let name = command.first().map(|(name, _)| name.as_str()).unwrap_or_default();
        let database = text(command, "$db").unwrap_or_default();
        let is_known = matches!(name, "listDatabases" | "listCollections");
        match name {
            "hello" | "isMaster" | "ismaster" => hello(text(command, "saslSupportedMechs")),
            "saslStart" => self.start(command, database),
            "saslContinue" => self.go_on(command, database),
            "ping" | "endSessions" => well(vec![]),
            "buildInfo" | "buildinfo" => {
                well(vec![("version", Bson::Text("7.0.5".to_owned())), ("maxBsonObjectSize", Bson::Int(16 << 20))])
            }
            _ if is_known && !self.is_in => refused(13, "Unauthorized", &format!("Command {name} requires authentication")),
            "listDatabases" if database != "admin" => {
                refused(13, "Unauthorized", "listDatabases may only be run against the admin database.")
            }
            "listDatabases" => well(vec![("databases", Bson::Array(vec![])), ("totalSize", Bson::Double(0.0))]),
            "listCollections" if database == FORBIDDEN => {
                let said = format!("not authorized on {database} to execute command {{ listCollections: 1 }}");
                refused(13, "Unauthorized", &said)
            }
            "listCollections" => {
                let namespace = Bson::Text(format!("{database}.$cmd.listCollections"));
                let cursor = [("id", Bson::Int(0)), ("ns", namespace), ("firstBatch", Bson::Array(vec![]))];
                well(vec![("cursor", Bson::Document(cursor.map(|(name, value)| (name.to_owned(), value)).into()))])
            }
            other => refused(59, "CommandNotFound", &format!("no such command: '{other}'")),
        }
    }

    fn start(&mut self, command: &Fields, database: &str) -> Fields {
        let (Some("SCRAM-SHA-256"), "admin") = (text(command, "mechanism"), database) else {
            return refused(18, "AuthenticationFailed", "Authentication failed.");
        };
        let mut scram = Scram::new(false, self.twist);
        let Some(first) = payload(command).and_then(|payload| scram.first(payload)) else {
            return refused(18, "AuthenticationFailed", "Authentication failed.");
        };
        self.scram = Some(scram);
        let options = [("skipEmptyExchange".to_owned(), Bson::Flag(true))];
        let skips = field(command, "options").is_some_and(|found| *found == Bson::Document(options.into()));
        self.has_more = !skips;
        exchange(&first, false)
    }

    fn go_on(&mut self, command: &Fields, database: &str) -> Fields {
        if field(command, "conversationId") != Some(&Bson::Int(1)) || database != "admin" {
            return refused(17, "ProtocolError", "sasl: Mismatched conversation id");
        }
        match (self.scram.take(), payload(command)) {
            (Some(mut scram), Some(payload)) => match scram.last(payload) {
                Some(last) => {
                    self.is_in = !self.has_more;
                    exchange(&last, self.is_in)
                }
                None => refused(18, "AuthenticationFailed", "Authentication failed."),
            },
            (None, Some([])) if self.has_more => {
                (self.has_more, self.is_in) = (false, true);
                exchange("", true)
            }
            _ => refused(17, "ProtocolError", "No SASL session state found"),
        }
    }
}

fn hello(asked: Option<&str>) -> Fields {
    let ways = match asked.and_then(|asked| asked.strip_prefix("admin.")) {
        Some(USER) => Some(vec!["SCRAM-SHA-1", "SCRAM-SHA-256"]),
        Some(OLD) => Some(vec!["SCRAM-SHA-1"]),
        _ => None,
    };
    let mut fields = vec![
        ("helloOk", Bson::Flag(true)),
        ("isWritablePrimary", Bson::Flag(true)),
        ("ismaster", Bson::Flag(true)),
        ("setName", Bson::Text("rs0".to_owned())),
        ("maxBsonObjectSize", Bson::Int(16 << 20)),
        ("maxMessageSizeBytes", Bson::Int(48_000_000)),
        ("maxWriteBatchSize", Bson::Int(100_000)),
        ("minWireVersion", Bson::Int(0)),
        ("maxWireVersion", Bson::Int(21)),
        ("readOnly", Bson::Flag(false)),
    ];
    let texts = |ways: Vec<&str>| Bson::Array(ways.into_iter().map(|way| Bson::Text(way.to_owned())).collect());
    fields.extend(ways.map(|ways| ("saslSupportedMechs", texts(ways))));
    well(fields)
}

fn exchange(payload: &str, is_done: bool) -> Fields {
    let payload = Bson::Binary(payload.as_bytes().to_vec());
    well(vec![("conversationId", Bson::Int(1)), ("done", Bson::Flag(is_done)), ("payload", payload)])
}

fn well(fields: Vec<(&str, Bson)>) -> Fields {
    fields.into_iter().chain([("ok", Bson::Double(1.0))]).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn refused(code: i32, name: &str, said: &str) -> Fields {
    let said = Bson::Text(said.to_owned());
    let name = Bson::Text(name.to_owned());
    let fields = [("ok", Bson::Double(0.0)), ("errmsg", said), ("code", Bson::Int(code)), ("codeName", name)];
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

fn field<'a>(command: &'a Fields, name: &str) -> Option<&'a Bson> {
    command.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

fn text<'a>(command: &'a Fields, name: &str) -> Option<&'a str> {
    match field(command, name)? {
        Bson::Text(text) => Some(text),
        _ => None,
    }
}

fn payload(command: &Fields) -> Option<&[u8]> {
    match field(command, "payload")? {
        Bson::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

fn integers(head: &[u8; 16]) -> [i32; 4] {
    [0, 4, 8, 12].map(|at| i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]))
}

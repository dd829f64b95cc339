//! Redis, from Debian's package.

use super::{AT_ONCE, OPEN, PLAIN, Wires, unpacked};
use crate::{
    fake_services::{PASSWORD, USER},
    process::{Spawn, Stop},
};

/// A user that may do nothing but `PING`.
pub const READER: &str = "reader";
/// A user without a password.
pub const NOBODYS: &str = "nobodys";

/// With the user `default` and others.
///
/// # Panics
/// If it is not installed or does not start.
pub fn redis() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, AT_ONCE, OPEN]);
    let users = [
        format!("user default on >{PASSWORD} ~* &* +@all"),
        format!("user {USER} on >{PASSWORD} ~* &* +@all"),
        format!("user {READER} on >{PASSWORD} ~* +ping"),
        format!("user {NOBODYS} on nopass ~* +@all"),
    ];
    let tls = format!(
        "tls-port {}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients no\n",
        server.port(AT_ONCE),
        server.certificate(),
        server.key()
    );
    let guarded = format!("port {}\n{tls}{}\n", server.port(PLAIN), users.join("\n"));
    let spawn = program(&server, "guarded.conf", &guarded);
    server.start("Redis", spawn, &[PLAIN, AT_ONCE]);
    let spawn = program(&server, "open.conf", &format!("port {}\n", server.port(OPEN)));
    server.start("Redis", spawn, &[OPEN]);
    server
}

fn program(server: &Wires, name: &str, settings: &str) -> Spawn {
    let always = format!("bind 127.0.0.1\nsave \"\"\ndir {}\ndatabases 4\n", server.folder.path().display());
    let file = server.folder.write_private(name, &format!("{always}{settings}"));
    unpacked("redis", "usr/bin/redis-server", Stop::Kill).arg(file)
}

//! Dovecot, from Debian's package, and two servers that are Python packages.

use serde_json::json;

use super::{AT_ONCE, ON_REQUEST, OPEN, PLAIN, Wires};
use crate::{
    environment,
    fake_services::{PASSWORD, USER},
    process::{Spawn, Stop},
};

/// As `tools/deps.sh` has them.
pub const AIOSMTPD: &str = "1.4.6";
pub const PYFTPDLIB: &str = "2.2.0";

/// A server for mail that is handed in. Its open door offers no sign-in.
///
/// # Panics
/// If it is not installed or does not start.
pub fn aiosmtpd() -> Wires {
    python("aiosmtpd", "mail.py")
}

/// A server for files. Its open door is for whoever is called `anonymous`.
///
/// # Panics
/// If it is not installed or does not start.
pub fn pyftpdlib() -> Wires {
    python("pyftpdlib", "files.py")
}

fn python(what: &str, script: &str) -> Wires {
    const DOORS: [&str; 4] = [PLAIN, ON_REQUEST, AT_ONCE, OPEN];
    let mut server = Wires::with_doors(&DOORS);
    let interpreter = environment::cache().join(format!("python-servers-{AIOSMTPD}-{PYFTPDLIB}/bin/python"));
    assert!(interpreter.is_file(), "{} is not there; install it with `make deps`", interpreter.display());
    let ports: serde_json::Map<_, _> = DOORS.iter().map(|door| ((*door).to_owned(), json!(server.port(door)))).collect();
    let settings = json!({
        "user": USER, "password": PASSWORD, "certificate": server.certificate(), "key": server.key(),
        "folder": server.folder.path(), "ports": ports,
    });
    let settings = server.folder.write_private("settings.json", &settings.to_string());
    let script = environment::repository().join("tests/servers").join(script);
    let spawn = Spawn::new(interpreter, Stop::Kill).arg(script).arg(settings);
    server.start(what, spawn, &DOORS);
    server
}

/// A server of mailboxes. Its door without TLS begins it on request.
///
/// # Panics
/// If it is not installed or does not start.
pub fn dovecot() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, AT_ONCE]);
    let folder = server.folder.path().display().to_string();
    let (user, id) = (environment::UNPRIVILEGED_USER, environment::UNPRIVILEGED_ID);
    let users = server.folder.write_private("users", &format!("{USER}:{{PLAIN}}{PASSWORD}:{id}:{id}::{folder}/mail\n"));
    let settings = format!(
        "base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = /dev/stderr\nprotocols = imap\nlisten = 127.0.0.1\n\
         default_internal_user = {user}\ndefault_internal_group = nogroup\ndefault_login_user = {user}\nfirst_valid_uid = 1\n\
         mail_location = maildir:{folder}/mail\nauth_failure_delay = 0\nssl = yes\nssl_cert = <{}\nssl_key = <{}\n\
         passdb {{\n  driver = passwd-file\n  args = {users}\n}}\nuserdb {{\n  driver = passwd-file\n  args = {users}\n}}\n\
         service anvil {{\n  chroot =\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  }}\n}}\nservice stats {{\n  chroot =\n}}\n\
         service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {}\n  }}\n  inet_listener imaps {{\n    port = {}\n  }}\n}}\n",
        server.certificate(),
        server.key(),
        server.port(PLAIN),
        server.port(AT_ONCE),
        users = users.display(),
    );
    let settings = server.folder.write_private("dovecot.conf", &settings);
    let program = environment::program("Dovecot", &["/usr/sbin/dovecot"]);
    let spawn = Spawn::new(program, Stop::Terminate).unprivileged().arg("-F").arg("-c").arg(settings);
    server.start("Dovecot", spawn, &[PLAIN, AT_ONCE]);
    server
}

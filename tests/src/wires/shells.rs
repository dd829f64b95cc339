//! Servers of shells, and of files over SSH: asyncssh, a Python package that looks at passwords, and Debian's OpenSSH, which lets in by keys alone,
//! since it runs as a user who may not see passwords.

use serde_json::json;

use super::{OPEN, PLAIN, Wires, said, unpacked};
use crate::{
    environment::{self, UNPRIVILEGED_USER},
    fake_services::{PASSWORD, USER},
    process::{Spawn, Stop},
};

/// As `tools/deps.sh` has it.
pub const ASYNCSSH: &str = "2.24.1";

/// A door that takes keys, and no passwords.
pub const KEYS: &str = "keys";
/// One whose server has an RSA key alone.
pub const RSA: &str = "rsa";

/// Its file `host.pub` has its host key, `user.key` the key of [`USER`], encrypted with [`PASSWORD`]. At its door `asks` the password is an answer to a
/// question, and at `factors` another question comes after that.
///
/// # Panics
/// If it is not installed or does not start.
pub fn asyncssh() -> Wires {
    const DOORS: [&str; 5] = [PLAIN, KEYS, OPEN, "asks", "factors"];
    let mut server = Wires::with_doors(&DOORS);
    let interpreter = environment::cache().join(format!("asyncssh-{ASYNCSSH}/bin/python"));
    assert!(interpreter.is_file(), "{} is not there; install it with `make deps`", interpreter.display());
    let ports: serde_json::Map<_, _> = DOORS.iter().map(|door| ((*door).to_owned(), json!(server.port(door)))).collect();
    let settings = json!({"user": USER, "password": PASSWORD, "folder": server.folder.path(), "ports": ports});
    let settings = server.folder.write_private("settings.json", &settings.to_string());
    let script = environment::repository().join("tests/servers/shell.py");
    let spawn = Spawn::new(interpreter, Stop::Kill).arg(script).arg(settings);
    server.start("asyncssh", spawn, &DOORS);
    server
}

/// And the name of the only user who can sign in there. Its files are those of [`asyncssh`].
///
/// # Panics
/// If it is not installed or does not start.
pub fn openssh() -> (Wires, String) {
    let mut server = Wires::with_doors(&[KEYS, RSA]);
    let folder = server.folder.path().display().to_string();
    for (file, kind, passphrase) in [("host", "ed25519", ""), ("rsa", "rsa", ""), ("user.key", "ecdsa", PASSWORD)] {
        let keygen = unpacked("openssh", "usr/bin/ssh-keygen", Stop::Kill);
        let told = said(keygen.args(["-q", "-t", kind, "-N", passphrase, "-f", &format!("{folder}/{file}")]));
        assert!(server.folder.join(file).is_file(), "{told}");
    }
    let settings = format!(
        "PidFile none\nStrictModes no\nUsePAM yes\nUseDNS no\nAuthorizedKeysFile {folder}/user.key.pub\nSubsystem sftp internal-sftp\n"
    );
    for (door, host_key) in [(KEYS, "host"), (RSA, "rsa")] {
        let settings = format!("ListenAddress 127.0.0.1:{}\nHostKey {folder}/{host_key}\n{settings}", server.port(door));
        let settings = server.folder.write_private(&format!("{door}.conf"), &settings);
        let spawn = unpacked("openssh", "usr/sbin/sshd", Stop::Terminate).args(["-D", "-e", "-f"]).arg(settings);
        server.start("OpenSSH", spawn, &[door]);
    }
    let user = if environment::is_root() { UNPRIVILEGED_USER.to_owned() } else { whoami() };
    (server, user)
}

fn whoami() -> String {
    said(Spawn::new(environment::program("id", &["/usr/bin/id", "/bin/id"]), Stop::Kill).arg("-un")).trim().to_owned()
}

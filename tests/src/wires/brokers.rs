//! Brokers of messages, from Debian's packages.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{AT_ONCE, ON_REQUEST, OPEN, PLAIN, Wires, unpacked};
use crate::{
    environment,
    fake_services::{PASSWORD, USER},
    process::{Spawn, Stop},
};

/// # Panics
/// If it is not installed or does not start.
pub fn mosquitto() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, AT_ONCE, OPEN]);
    let users = server.folder.join("users");
    unpacked("mosquitto", "usr/bin/mosquitto_passwd", Stop::Kill).args(["-b", "-c"]).arg(&users).args([USER, PASSWORD]).run();
    let guarded = format!("allow_anonymous false\npassword_file {}\n", users.display());
    let settings = format!(
        "per_listener_settings true\npersistence false\n\
         listener {} 127.0.0.1\n{guarded}listener {} 127.0.0.1\n{guarded}certfile {}\nkeyfile {}\n\
         listener {} 127.0.0.1\nallow_anonymous true\n",
        server.port(PLAIN),
        server.port(AT_ONCE),
        server.certificate(),
        server.key(),
        server.port(OPEN),
    );
    let settings = server.folder.write_private("mosquitto.conf", &settings);
    let spawn = unpacked("mosquitto", "usr/sbin/mosquitto", Stop::Kill).arg("-c").arg(settings);
    server.start("Mosquitto", spawn, &[PLAIN, AT_ONCE, OPEN]);
    server
}

/// With a door `token`, too. TLS begins after the server has spoken.
///
/// # Panics
/// If it is not installed or does not start.
pub fn nats() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, ON_REQUEST, OPEN, "token"]);
    let users = format!("authorization {{ user: {USER}, password: \"{PASSWORD}\" }}\n");
    let tls = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n", server.certificate(), server.key());
    let token = format!("authorization {{ token: \"{PASSWORD}\" }}\n");
    for (door, settings) in
        [(PLAIN, users.clone()), (ON_REQUEST, format!("{users}{tls}")), (OPEN, String::new()), ("token", token)]
    {
        let settings = format!("listen: \"127.0.0.1:{}\"\n{settings}", server.port(door));
        let settings = server.folder.write_private(&format!("{door}.conf"), &settings);
        let spawn = unpacked("nats", "usr/sbin/nats-server", Stop::Kill).arg("-c").arg(settings);
        server.start("NATS", spawn, &[door]);
    }
    server
}

/// With the virtual hosts `/` and `sales`, of which the user may use the first.
///
/// # Panics
/// If it is not installed or does not start.
pub fn rabbitmq() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, AT_ONCE, "names", "nodes"]);
    let (folder, root) = (server.folder.path().display().to_string(), environment::cache().join("rabbitmq"));
    let definitions = serde_json::json!({
        "users": [{"name": USER, "password": PASSWORD, "tags": "", "limits": {}}],
        "vhosts": [{"name": "/"}, {"name": "sales"}],
        "permissions": [{"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    });
    let definitions = server.folder.write_private("definitions.json", &definitions.to_string());
    let settings = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nlisteners.ssl.1 = 127.0.0.1:{}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
         ssl_options.verify = verify_none\nload_definitions = {}\nlog.console = true\nlog.file = false\n",
        server.port(PLAIN),
        server.port(AT_ONCE),
        server.certificate(),
        server.key(),
        definitions.display(),
    );
    let settings = server.folder.write_private("rabbitmq.conf", &settings);
    server.folder.write_private("plugins", "[].\n");
    let binaries = format!("{}/usr/lib/erlang/{}/bin", root.display(), inner(&root.join("usr/lib/erlang"), "erts-"));
    // Debian's own `erl` knows one place alone.
    let erl = server.folder.write_private("erl", &format!("#!/bin/sh\nexec {binaries}/erlexec \"$@\"\n"));
    fs::set_permissions(&erl, fs::Permissions::from_mode(0o755)).expect("own file");
    // Nodes find each other by a service of Erlang's, which otherwise would be started for the whole machine and go on after them.
    let names = server.port("names").to_string();
    let spawn =
        Spawn::new(format!("{binaries}/epmd"), Stop::Kill).unprivileged().args(["-address", "127.0.0.1", "-port", &names]);
    server.start("Erlang's epmd", spawn, &["names"]);
    let program = root.join("usr/lib/rabbitmq/lib");
    let program = program.join(inner(&program, "rabbitmq_server-")).join("sbin/rabbitmq-server");
    let spawn = Spawn::new(program, Stop::Kill)
        .unprivileged()
        .variable("HOME", &folder)
        .variable("PATH", &format!("{folder}:/usr/sbin:/usr/bin:/sbin:/bin"))
        .variable("ROOTDIR", &root.join("usr/lib/erlang").display().to_string())
        .variable("BINDIR", &binaries)
        .variable("EMU", "beam")
        .variable("PROGNAME", "erl")
        .variable("ERL_EPMD_PORT", &names)
        // Its script then becomes the broker; otherwise it would start it as another process, which went on after it.
        .variable("RUNNING_UNDER_SYSTEMD", "1")
        .variable("RABBITMQ_DIST_PORT", &server.port("nodes").to_string())
        .variable("RABBITMQ_NODENAME", &format!("test{}@localhost", server.port(PLAIN)))
        .variable("RABBITMQ_CONFIG_FILE", &settings.display().to_string())
        .variable("RABBITMQ_ENABLED_PLUGINS_FILE", &format!("{folder}/plugins"))
        .variable("RABBITMQ_MNESIA_BASE", &folder)
        .variable("RABBITMQ_LOG_BASE", &folder)
        .variable("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}");
    server.start("RabbitMQ", spawn, &[PLAIN, AT_ONCE]);
    server
}

/// The folder in `folder` whose name begins so: it ends with a version.
fn inner(folder: &Path, begins: &str) -> String {
    let names =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let found = names.into_iter().find(|name| name.starts_with(begins));
    found.unwrap_or_else(|| panic!("{begins}… is not in {}; install it with `make deps`", folder.display()))
}

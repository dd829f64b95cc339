//! Proxies, Debian's packages: microsocks, and Tinyproxy.

use super::{OPEN, PLAIN, Wires, said, unpacked};
use crate::{
    fake_services::{PASSWORD, USER},
    process::Stop,
};

/// A proxy by SOCKS. Its open door asks nobody for a password.
///
/// # Panics
/// If it is not installed or does not start.
pub fn microsocks() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, OPEN]);
    for (door, sign_in) in [(PLAIN, &["-u", USER, "-P", PASSWORD][..]), (OPEN, &[])] {
        let port = server.port(door).to_string();
        let spawn = unpacked("microsocks", "usr/bin/microsocks", Stop::Kill).args(["-i", "127.0.0.1", "-p", &port]);
        server.start("microsocks", spawn.args(sign_in.iter().copied()), &[door]);
    }
    server
}

/// A proxy over HTTP. Its open door asks nobody for a password, and lets connections to port 443 through alone.
///
/// # Panics
/// If it is not installed or does not start.
pub fn tinyproxy() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, OPEN]);
    for (door, more) in [(PLAIN, format!("BasicAuth {USER} {PASSWORD}\n")), (OPEN, "ConnectPort 443\n".to_owned())] {
        let settings = format!("Port {}\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\n{more}", server.port(door));
        let settings = server.folder.write_private(&format!("{door}.conf"), &settings);
        let spawn = unpacked("tinyproxy", "usr/bin/tinyproxy", Stop::Kill).args(["-d", "-c"]).arg(settings);
        server.start("Tinyproxy", spawn, &[door]);
    }
    server
}

/// As the installed program says it.
///
/// # Panics
/// If it is not installed.
pub fn tinyproxy_version() -> String {
    let told = said(unpacked("tinyproxy", "usr/bin/tinyproxy", Stop::Kill).arg("-v"));
    told.trim().trim_start_matches("tinyproxy ").to_owned()
}

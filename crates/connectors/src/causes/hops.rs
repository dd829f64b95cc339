//! The causes that are about the way: proxies and bastions that a connection goes through, and what lies beyond them.

use dataflow_model::{Cause, TestError};

use super::{at, because};

/// What keeps the connection from the hop itself; its own test says the same. No field of the connection that goes through it would mend it, no
/// certificate that it could trust, and nothing is said of its own password.
pub fn of_the_hop(hop: &str, error: TestError) -> TestError {
    let code = if error.code == Cause::CredentialsRefused { Cause::HopRefused } else { Cause::HopFailed };
    because(code, format!("On the way, at “{hop}”: {}", error.message), error.hint)
}

/// Nobody knows who the hop is, and what goes through it would go to whoever answers.
pub fn hop_unknown(hop: &str) -> TestError {
    because(
        Cause::CertificateUntrusted,
        format!("The connection “{hop}” has no host key."),
        "Nothing was sent. Test that connection by itself: it shows the key that the server has, which you can compare and paste there.",
    )
}

pub fn hop_is_none(connector: &str) -> TestError {
    because(
        Cause::InvalidSettings,
        format!("Nothing goes through a connection of the kind “{connector}”."),
        "Use one to an SSH server, to an HTTP proxy or to a SOCKS proxy.",
    )
}

pub fn unreachable_beyond(host: &str, hop: &str) -> TestError {
    at(
        "host",
        Cause::HostUnreachable,
        format!("The host “{host}” cannot be reached from “{hop}”, or is not known there."),
        "Its name is looked up there, not here. Check the spelling, that it is switched on, and that a network route leads there from the machine in between.",
    )
}

pub fn port_closed_beyond(host: &str, port: u16, hop: &str) -> TestError {
    at(
        "port",
        Cause::PortClosed,
        format!("“{host}” refused the connection on port {port} from “{hop}”."),
        "Nothing listens there, or a firewall rejects it. Check the port, that the database runs, and that it lets the machine in between in.",
    )
}

pub fn prohibited_by_hop(host: &str, port: u16, hop: &str) -> TestError {
    because(
        Cause::AddressNotAllowed,
        format!("“{hop}” lets no connection to “{host}”, port {port}, through."),
        "Ask its administrator to allow it: of OpenSSH by AllowTcpForwarding and PermitOpen, of a proxy by its rules.",
    )
}

pub fn hop_out_of_room(hop: &str) -> TestError {
    because(
        Cause::TooManyConnections,
        format!("“{hop}” has no room for one more connection."),
        "Try again in a moment. If it stays so, raise its limit, or end what is open through it.",
    )
}

/// An answer that says neither yes nor why not.
pub fn hop_answered_otherwise(hop: &str) -> TestError {
    because(
        Cause::ServerError,
        format!("“{hop}” did not let the connection through, and did not say why in a way that is known here."),
        "Look at its log. Check that it forwards connections, and that the connection to it has the right type.",
    )
}

/// There is none of that name.
pub fn hop_missing(hop: &str) -> TestError {
    at(
        "extra.through",
        Cause::HopMissing,
        format!("There is no connection “{hop}” in this workspace, which this one goes through."),
        "Create it, or name another one under “Through”.",
    )
}

pub fn hop_deleted(hop: &str, by: &str, when: &str) -> TestError {
    at(
        "extra.through",
        Cause::HopMissing,
        format!("The connection “{hop}”, which this one goes through, was deleted by {by} at {when}."),
        "Bring it back, create one of the same name, or name another one under “Through”.",
    )
}

/// It may have been led elsewhere by somebody who would hear what goes through it.
pub fn hop_changed(hop: &str) -> TestError {
    at(
        "extra.through",
        Cause::HopChanged,
        format!(
            "The connection “{hop}”, which this one goes through, leads to another place than when this one was saved. Nothing was sent."
        ),
        "Make sure that “Through” is meant as it is now, then save this connection again with its password.",
    )
}

/// Something speaks HTTP there, and does not do what it is asked for.
pub fn not_a_proxy() -> TestError {
    at(
        "port",
        Cause::NotThatDatabase,
        "A web server answers there, and no proxy: it does not take the method CONNECT.",
        "Check host and port. A web server in front of an application is no proxy for others.",
    )
}

//! Services that speak a protocol of their own over a socket: one file for each. How all of them are tested stands in [`talk`], how they are
//! spoken to in [`link`].
//!
//! They are spoken by hand and not through drivers: only so is each step seen as it ends, a line or frame refused before it is held in
//! memory, and the password kept back until it may be told.

mod amqp;
mod ber;
mod bson;
mod cassandra;
mod ftp;
#[cfg(test)]
mod fuzz;
mod http_proxy;
mod imap;
mod kafka;
mod kept;
mod ldap;
mod link;
mod mail;
mod mongo;
mod mqtt;
mod mssql;
mod nats;
mod oracle;
mod redis;
mod replies;
mod scram;
mod smtp;
mod socks;
mod talk;

use dataflow_model::TestError;

use crate::{Dialer, Target, causes, connector::PASSWORD, dialer::Duplex, tls::TlsSettings};
use talk::{Talk as _, Wired};

pub(crate) static CASSANDRA: Wired<cassandra::Cassandra> = Wired::new();
pub(crate) static FTP: Wired<ftp::Ftp> = Wired::new();
pub(crate) static HTTP_PROXY: Wired<http_proxy::HttpProxy> = Wired::new();
pub(crate) static IMAP: Wired<imap::Imap> = Wired::new();
pub(crate) static KAFKA: Wired<kafka::Kafka> = Wired::new();
pub(crate) static LDAP: Wired<ldap::Ldap> = Wired::new();
pub(crate) static MONGO: Wired<mongo::Mongo> = Wired::new();
pub(crate) static MQTT: Wired<mqtt::Mqtt> = Wired::new();
pub(crate) static MSSQL: Wired<mssql::Mssql> = Wired::new();
pub(crate) static NATS: Wired<nats::Nats> = Wired::new();
pub(crate) static ORACLE: Wired<oracle::Oracle> = Wired::new();
pub(crate) static RABBITMQ: Wired<amqp::Amqp> = Wired::new();
pub(crate) static REDIS: Wired<redis::Redis> = Wired::new();
pub(crate) static SMTP: Wired<smtp::Smtp> = Wired::new();
pub(crate) static SOCKS_PROXY: Wired<socks::Socks> = Wired::new();

/// Where a connection says when TLS begins, of protocols that have it at once on a port of its own, or on request on the usual one.
const TLS_START: &str = "extra.tls_start";

/// A name that nobody has (RFC 6761, section 6.4), so that asking for it reaches nobody.
const RESERVED: &str = "dataflow-test.invalid";

/// See [`crate::hops::through`].
pub(crate) async fn through_socks(hop: &Target, dialer: &Dialer, host: &str, port: u16) -> Result<Box<dyn Duplex>, TestError> {
    let name = hop.text("host");
    let entered = async {
        let mut wire = talk::reach::<socks::Socks>(hop, dialer).await?;
        talk::enter(&mut socks::Socks, &mut wire).await?;
        Ok(wire)
    };
    let mut wire = entered.await.map_err(|error| causes::of_the_hop(name, error))?;
    socks::connect(&mut wire, host, port, name).await?;
    Ok(wire.into_stream())
}

/// See [`crate::hops::through`].
pub(crate) async fn through_http_proxy(
    hop: &Target,
    dialer: &Dialer,
    host: &str,
    port: u16,
) -> Result<Box<dyn Duplex>, TestError> {
    let name = hop.text("host");
    // The sign-in goes along with what is asked for, and a proxy that has refused something lets go.
    let reached = async {
        let wire = talk::reach::<http_proxy::HttpProxy>(hop, dialer).await?;
        if http_proxy::HttpProxy::tells_password(hop) {
            wire.require_unheard()?;
        }
        Ok(wire)
    };
    let mut wire = reached.await.map_err(|error| causes::of_the_hop(name, error))?;
    http_proxy::connect(&mut wire, host, port, name).await?;
    Ok(wire.into_stream())
}

/// Whether what answers may be one of the servers for tries that let in whoever comes (mail catchers, and their likes). Those have no
/// certificate that anybody verifies; and who has one may lock out whoever comes with a wrong password.
fn may_be_a_catcher(target: &Target) -> bool {
    !TlsSettings::of(target).is_verified()
}

/// Refuses a password that is nobody's.
fn require_username(target: &Target) -> Result<(), TestError> {
    if target.text("username").is_empty() && !target.expose_secret(PASSWORD).is_empty() {
        return Err(causes::setting_missing("username", "The username"));
    }
    Ok(())
}

/// Whether TLS begins on request, if it does.
fn begins_on_request(target: &Target) -> bool {
    target.text("tls.mode") != "disable" && target.text(TLS_START) == "request"
}

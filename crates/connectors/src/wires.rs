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
pub(crate) mod link;
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
use link::Link;
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

/// A SOCKS proxy that a connection goes through, signed in to.
pub(crate) async fn enter_socks<'a>(hop: &'a Target, dialer: &'a Dialer) -> Result<Link<'a>, TestError> {
    let mut link = talk::reach::<socks::Socks>(hop, dialer).await?;
    talk::enter(&mut socks::Socks, &mut link).await?;
    Ok(link)
}

pub(crate) async fn lead_by_socks(mut link: Link<'_>, host: &str, port: u16, hop: &str) -> Result<Box<dyn Duplex>, TestError> {
    socks::connect(&mut link, host, port, hop).await?;
    Ok(link.into_stream())
}

/// An HTTP proxy that a connection goes through, called `name`: the sign-in goes along with what it is asked for. What lies beyond it is to blame for
/// is an error within.
pub(crate) async fn lead_by_http(
    (name, hop): (&str, &Target),
    dialer: &Dialer,
    (host, port): (&str, u16),
) -> Result<Result<Box<dyn Duplex>, TestError>, TestError> {
    let mut link = talk::reach::<http_proxy::HttpProxy>(hop, dialer).await?;
    if http_proxy::HttpProxy::tells_password(hop) {
        link.require_unheard()?;
    }
    let led = http_proxy::connect(&mut link, host, port, name).await?;
    Ok(led.map(|()| link.into_stream()))
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

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
mod imap;
mod kafka;
mod ldap;
mod link;
mod mail;
mod mongo;
mod mqtt;
mod nats;
mod redis;
mod replies;
mod scram;
mod smtp;
mod talk;

use crate::{Target, tls::TlsSettings};
use talk::Wired;

pub(crate) static CASSANDRA: Wired<cassandra::Cassandra> = Wired::new();
pub(crate) static FTP: Wired<ftp::Ftp> = Wired::new();
pub(crate) static IMAP: Wired<imap::Imap> = Wired::new();
pub(crate) static KAFKA: Wired<kafka::Kafka> = Wired::new();
pub(crate) static LDAP: Wired<ldap::Ldap> = Wired::new();
pub(crate) static MONGO: Wired<mongo::Mongo> = Wired::new();
pub(crate) static MQTT: Wired<mqtt::Mqtt> = Wired::new();
pub(crate) static NATS: Wired<nats::Nats> = Wired::new();
pub(crate) static RABBITMQ: Wired<amqp::Amqp> = Wired::new();
pub(crate) static REDIS: Wired<redis::Redis> = Wired::new();
pub(crate) static SMTP: Wired<smtp::Smtp> = Wired::new();

/// Where a connection says when TLS begins, of protocols that have it at once on a port of its own, or on request on the usual one.
const TLS_START: &str = "extra.tls_start";

/// Whether what answers may be one of the servers for tries that let in whoever comes (mail catchers, and their likes). Those have no
/// certificate that anybody verifies; and who has one may lock out whoever comes with a wrong password.
fn may_be_a_catcher(target: &Target) -> bool {
    !TlsSettings::of(target).is_verified()
}

/// Whether TLS begins on request, if it does.
fn begins_on_request(target: &Target) -> bool {
    target.text("tls.mode") != "disable" && target.text(TLS_START) == "request"
}

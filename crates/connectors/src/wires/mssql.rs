//! SQL Server, as MS-TDS has it: <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/>. A login signs in with its password; nothing is run
//! but `SELECT`s of what the server says of itself.
//!
//! By TDS 7 both sides agree on TLS in the clear, and its handshake goes in packets of TDS; by TDS 8 (“strict”) TLS comes first. The login that
//! follows hides the password no more than a mirror does, so that it is told like any other.

mod envelope;
#[cfg(test)]
mod fuzz;
mod learn;
mod packet;
mod refusal;
mod tokens;

use dataflow_model::{Learned, TestError};

use self::{
    envelope::Envelope,
    packet::{BATCH, Encryption, LOGIN, Login, PRELOGIN},
    tokens::{Answer, Route},
};
use super::{
    TLS_START,
    link::{Link, Protocol},
    talk::Talk,
};
use crate::{Target, causes, http::Proof, tls::Demand, tls::TlsMode};

static PROTOCOL: Protocol = Protocol {
    name: "mssql",
    product: "SQL Server",
    question: packet::QUESTION,
    // A tabular result of one packet (2.2.3.1).
    is_its: |first| matches!(first, [packet::RESULT, packet::LAST, _, _, _, _, _, 0, ..]),
    tls_start: Some(TLS_START),
    goodbye: b"",
};

/// How TLS says that TDS 8 comes inside.
const TDS_8: &[u8] = b"tds/8.0";
/// Major version of SQL Server 2005, which the tokens are those of.
const OLDEST: u8 = 9;
/// What a user, a password or a database may have, in UTF-16 units (2.2.6.4).
const LONGEST_NAME: usize = 128;

/// Which database it is.
const DATABASE: &str = "SELECT CAST(DB_NAME() AS nvarchar(128))";
/// One row, and what the server says that it is.
const LOOK: &str = "SELECT 1, CAST(@@VERSION AS nvarchar(300))";

#[derive(Debug, Default)]
pub(crate) struct Mssql {
    /// Why the database was not opened: it is part of the sign-in.
    not_opened: Option<TestError>,
    /// As the sign-in was answered.
    calls_itself: String,
}

impl Talk for Mssql {
    const PROTOCOL: &'static Protocol = &PROTOCOL;

    fn port(target: &Target) -> u16 {
        target.port(1433)
    }

    /// Also where it begins at once: that has to be told TLS.
    fn begins_in_clear(_target: &Target) -> bool {
        true
    }

    async fn ask_for_tls(&mut self, wire: &mut Link<'_>) -> Result<(), TestError> {
        if begins_at_once(wire) {
            wire.demand(Demand::Protocol(TDS_8));
            return Ok(());
        }
        match greet(wire, Encryption::On).await? {
            Encryption::On | Encryption::Required => {}
            Encryption::Off | Encryption::NotSupported => return Err(causes::tls_not_offered()),
        }
        // What is on its way when the handshake of a later version ends, has no place in the packets.
        wire.demand(Demand::Tls12);
        wire.enclose(Envelope::new);
        Ok(())
    }

    async fn sign_in(&mut self, wire: &mut Link<'_>) -> Result<Proof, TestError> {
        let (username, password) = (wire.username(), wire.password());
        if password.is_empty() {
            return Err(causes::password_missing(username));
        }
        for (field, value) in [("username", username), ("password", password), ("database", wire.target.text("database"))] {
            if value.contains('\0') || value.encode_utf16().count() > LONGEST_NAME {
                return Err(causes::unspeakable_in(field, wire.product()));
            }
        }
        if let Some(route) = self.enter(wire).await? {
            self.follow(wire, &route).await?;
        }
        Ok(Proof::Checked)
    }

    async fn open(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        if let Some(error) = self.not_opened.take() {
            return Err(error);
        }
        let rows = ask(wire, DATABASE).await?;
        match rows.as_slice() {
            [row] => Ok(row.first().cloned().flatten().map(|name| wire.clean(&name))),
            _ => Err(wire.foreign()),
        }
    }

    async fn read(&mut self, wire: &mut Link<'_>) -> Result<Option<String>, TestError> {
        let rows = ask(wire, LOOK).await?;
        let [row] = rows.as_slice() else { return Err(wire.foreign()) };
        let [Some(one), version] = row.as_slice() else { return Err(wire.foreign()) };
        if one != "1" {
            return Err(wire.foreign());
        }
        // The first of several lines.
        let first = version.as_deref().and_then(|version| version.lines().next()).unwrap_or_default().trim();
        let says = if first.is_empty() { self.calls_itself.clone() } else { first.to_owned() };
        Ok(Some(says).filter(|says| !says.is_empty()))
    }

    async fn learn(&mut self, wire: &mut Link<'_>, learned: &mut Learned) {
        learn::learn(wire, learned).await;
    }
}

impl Mssql {
    /// Says who we are; gives where the server sends us instead, if it does.
    async fn enter(&mut self, wire: &mut Link<'_>) -> Result<Option<Route>, TestError> {
        if !wire.is_secured() {
            match greet(wire, Encryption::NotSupported).await? {
                Encryption::Off | Encryption::NotSupported => {}
                Encryption::On | Encryption::Required => return Err(causes::tls_demanded()),
            }
        } else if begins_at_once(wire) {
            // It is encrypted already, and nothing is left to agree on.
            greet(wire, Encryption::NotSupported).await?;
        }
        let login = Login {
            is_strict: begins_at_once(wire),
            username: wire.username(),
            password: wire.password(),
            server: wire.host(),
            database: wire.target.text("database"),
        };
        let login = login.bytes().ok_or_else(|| causes::unspeakable_in("host", wire.product()))?;
        packet::say(wire, LOGIN, &login).await?;
        let answer = hear(wire).await?;
        if !answer.errors.is_empty() {
            return self.refused(wire, &answer).map(|()| None);
        }
        // Nothing else is a yes, whatever came along with it.
        let Some(product) = answer.acknowledged.filter(|_| answer.is_well) else { return Err(wire.foreign()) };
        self.calls_itself = product;
        Ok(answer.route)
    }

    /// Where the sign-in was right and the database is what is wrong, that is told when it is opened.
    fn refused(&mut self, wire: &Link<'_>, answer: &Answer) -> Result<(), TestError> {
        let (error, is_of_database) = refusal::of_sign_in(wire, &answer.errors);
        if !is_of_database {
            return Err(error);
        }
        self.not_opened = Some(error);
        Ok(())
    }

    /// Azure SQL sends whoever is near to the machine that has the database. The password goes along only to where the same owner is, and
    /// where that is verified.
    async fn follow(&mut self, wire: &mut Link<'_>, route: &Route) -> Result<(), TestError> {
        let (host, port) = (route.host.as_str(), route.port);
        let is_verified = wire.is_secured() && wire.tls.mode() == TlsMode::VerifyFull;
        // By now the server has heard the password: it is not to name a host by it, which would be looked up, and told.
        let is_host = host.len() <= 253
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            && wire.clean(host) == host;
        if !is_verified || !is_host || !is_of_same_owner(wire.host(), host) {
            return Err(causes::sent_elsewhere(&wire.clean(host), port));
        }
        wire.move_to(host, port).await?;
        self.ask_for_tls(wire).await?;
        wire.secure().await?;
        match self.enter(wire).await? {
            None => Ok(()),
            Some(route) => Err(causes::sent_elsewhere(&wire.clean(&route.host), route.port)),
        }
    }
}

/// Whether `other` is the same host, or one beside it, below a domain of three parts at least. Of a provider's domain others have names in it, too:
/// only a server that was verified sends on.
fn is_of_same_owner(host: &str, other: &str) -> bool {
    let [host, other] = [host, other].map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    if host == other {
        return true;
    }
    let Some((_, above)) = host.split_once('.') else { return false };
    let is_name = above.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let is_address = above.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_name
        && !is_address
        && above.split('.').count() >= 3
        && above.split('.').all(|label| !label.is_empty())
        && other.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn begins_at_once(wire: &Link<'_>) -> bool {
    wire.target.text(TLS_START) == "at_once" && wire.tls.mode() != TlsMode::Disable
}

/// Says what we can of TLS; gives what the server will have (2.2.6.5).
async fn greet(wire: &mut Link<'_>, ours: Encryption) -> Result<Encryption, TestError> {
    packet::say(wire, PRELOGIN, &packet::prelogin(ours)).await?;
    let answer = packet::message(wire).await?;
    // A server that takes nobody just now says so in place of it.
    if let Some(answer) = tokens::read(&answer).filter(|answer| !answer.errors.is_empty()) {
        return Err(refusal::of_sign_in(wire, &answer.errors).0);
    }
    let greeting = packet::greeting(&answer).ok_or_else(|| wire.foreign())?;
    if (1..OLDEST).contains(&greeting.major) {
        return Err(causes::protocol_too_old("SQL Server (TDS)"));
    }
    Ok(greeting.encryption)
}

async fn hear(wire: &mut Link<'_>) -> Result<Answer, TestError> {
    let bytes = packet::message(wire).await?;
    tokens::read(&bytes).ok_or_else(|| wire.foreign())
}

/// The rows that a statement of ours gives.
async fn ask(wire: &mut Link<'_>, sql: &str) -> Result<Vec<tokens::Row>, TestError> {
    packet::say(wire, BATCH, &packet::batch(sql)).await?;
    let answer = hear(wire).await?;
    match answer.errors.first() {
        Some(said) => Err(refusal::of_statement(wire, said)),
        None if answer.is_well => Ok(answer.rows),
        None => Err(wire.foreign()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_of_same_owner;

    #[test]
    fn a_password_goes_along_to_the_same_owner_only() {
        let azure = "sales.database.windows.net";
        for (host, other, is_same) in [
            (azure, "dr7.tr1.westeurope1-a.worker.database.windows.net", true),
            ("Sales.Database.Windows.Net.", "x.database.windows.net", true),
            (azure, "database.windows.net", false),
            (azure, "x.windows.net", false),
            (azure, "xdatabase.windows.net", false),
            (azure, "x.database.windows.net.evil.example", false),
            (azure, "evil.example", false),
            (azure, ".database.windows.net", false),
            ("db.example.org", "other.example.org", false),
            ("db.co.uk", "evil.co.uk", false),
            ("10.1.2.3", "10.9.1.2.3", false),
            ("10.1.2.3", "x.1.2.3", false),
            ("localhost", "localhost", true),
            ("localhost", "db.localhost", false),
            ("db", "10.0.0.1", false),
        ] {
            assert_eq!(is_of_same_owner(host, other), is_same, "{host} {other}");
        }
    }
}

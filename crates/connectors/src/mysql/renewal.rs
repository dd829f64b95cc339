//! A new password for the login of a connection.
//!
//! | server | statement | what its log has |
//! |---|---|---|
//! | MySQL | `ALTER USER USER() IDENTIFIED BY`, which every login may do to itself | `<secret>`: it writes such statements anew |
//! | MariaDB, `mysql_native_password` | `SET PASSWORD` with the hash | the hash |
//! | MariaDB, other plugins | `SET PASSWORD = PASSWORD(…)` | the statement, if its general log is on: only the server knows how they hash |

use std::fmt::Write as _;

use dataflow_model::{Secret, StepName, TestError, TestStatus};
use sha1::{Digest as _, Sha1};
use zeroize::Zeroizing;

use super::{
    Connected, MySql, PRODUCT, READ_TIMEOUT, connect, open_database, product,
    refusal::{Failure, explain},
    session,
    sign_in::NATIVE,
    wire::Wire,
};
use crate::{
    Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell, PASSWORD, lets_in},
    tls::TlsSettings,
};

/// A quote is doubled, whatever the server was set to.
const BEGIN: &str = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'";
/// A server may do what it was asked for after nobody listens any more: not once it has waited so long for what is in its way. MySQL before 8.0.22
/// does not hold itself to the first where it changes its own tables, nor does MariaDB, which has the last.
const LIMITS: [&str; 3] =
    ["SET SESSION lock_wait_timeout = 4", "SET SESSION innodb_lock_wait_timeout = 4", "SET SESSION max_statement_time = 4"];
/// `UNKNOWN_SYSTEM_VARIABLE`: not every server has each of them.
const UNKNOWN: u16 = 1193;
/// Nor once it has waited so long for the asking.
const SOON: &str = "SET SESSION wait_timeout = 4";
/// Until the old one may have to be set again.
const LATER: &str = "SET SESSION wait_timeout = 30";
/// What its version says of MariaDB.
const MARIADB: &str = "MariaDB";
/// `OPTION_PREVENTS_STATEMENT`: a server that checks passwords takes no hash.
const PREVENTED: u16 = 1290;
/// `MISSING_CURRENT_PASSWORD`: accounts may be set to ask for it.
const CURRENT_WANTED: u16 = 3892;

pub(super) async fn set_password<'a>(
    target: &'a Target,
    new: &'a Secret,
    dialer: &Dialer,
    steps: &mut Steps,
) -> Result<(Outcome, Farewell<'a>), TestError> {
    let begun = begin(target, dialer, steps).await;
    let mut login = begun.map_err(|failure| explain(failure, target, steps.current()))?;
    let in_words = |failure| explain(failure, target, StepName::SetPassword);
    let old = target.secrets.get(PASSWORD).ok_or_else(|| causes::no_password_to_renew(target.text("username")))?;
    let refused = match login.set(target, old, new).await.map_err(in_words) {
        Ok(()) => lets_in(&MySql, &target.with_password(new), dialer).await,
        // Not every server undoes what it refuses, so it is looked at.
        Err(error) if error.code.is_password_unchanged() => {
            return Err(match lets_in(&MySql, &target.with_password(old), dialer).await {
                Ok(()) => error,
                Err(_) => causes::which_is_in_force_unknown(&error.message),
            });
        }
        Err(error) => return Err(error),
    };
    if let Err(why) = refused {
        return Err(match login.set(target, new, old).await.map_err(in_words) {
            Ok(()) => causes::new_password_refused(&why),
            Err(error) => causes::which_is_in_force_unknown(&error.message),
        });
    }
    steps.done(None);
    let server_version = Some(product::named(&login.version));
    let farewell = Box::pin(async move { session::quit(&mut login.wire).await });
    Ok((Outcome { status: TestStatus::Ok, server_version }, farewell))
}

/// The session that sets the password, and can set it again.
struct Login {
    wire: Wire,
    version: String,
    plugin: String,
}

/// Up to where the next statement sets the password; nothing has been changed yet.
async fn begin(target: &Target, dialer: &Dialer, steps: &mut Steps) -> Result<Login, Failure> {
    let connected = target.connect_in_time(connect(target, dialer, steps)).await;
    let Connected { mut wire, greeting, plugin, can_tell_password } =
        connected.map_err(|_| Failure::TimedOut(CONNECT_TIMEOUT))??;
    wire.set_patience(target.seconds(READ_TIMEOUT));
    open_database(&mut wire, target, steps).await?;
    steps.begin(StepName::SetPassword);
    let username = target.text("username");
    if target.expose_secret(PASSWORD).is_empty() {
        return Err(causes::no_password_to_renew(username).into());
    }
    if !target.is_unheard(TlsSettings::of(target).is_verified()) {
        return Err(causes::line_not_verified(username).into());
    }
    // Whoever is in between has connections of his own, whose numbers are not those that he gives to his clients.
    let number = session::number(&mut wire, "SELECT CONNECTION_ID() & 4294967295").await?;
    if number != u64::from(greeting.connection) {
        return Err(causes::pooler_between(PRODUCT).into());
    }
    if plugin.contains("sha") && !can_tell_password {
        return Err(causes::first_sign_in_insecure(username).into());
    }
    session::run(&mut wire, BEGIN).await?;
    for limit in LIMITS {
        match session::run(&mut wire, limit).await {
            Err(Failure::Refused(error)) if error.code == UNKNOWN => {}
            set => set?,
        }
    }
    Ok(Login { wire, version: greeting.version, plugin })
}

impl Login {
    async fn set(&mut self, target: &Target, current: &Secret, new: &Secret) -> Result<(), Failure> {
        session::run(&mut self.wire, SOON).await?;
        let set = self.set_soon(target, current, new).await;
        // It is set or not, whatever comes of this.
        let _ = session::run(&mut self.wire, LATER).await;
        set
    }

    async fn set_soon(&mut self, target: &Target, current: &Secret, new: &Secret) -> Result<(), Failure> {
        if target.is_late() {
            return Err(causes::too_late_to_change().into());
        }
        let [quoted_current, quoted_new] = [current, new].map(|password| quoted(password.expose_secret()));
        // The statement, the error at which another one is tried, and that one.
        let (first, wanted, second) = if self.version.contains(MARIADB) {
            let in_clear = format!("SET PASSWORD = PASSWORD({})", *quoted_new);
            let hashed = || format!("SET PASSWORD = '{}'", native_hash(new.expose_secret()));
            (if self.plugin == NATIVE { hashed() } else { in_clear.clone() }, PREVENTED, in_clear)
        } else {
            let first = format!("ALTER USER USER() IDENTIFIED BY {}", *quoted_new);
            let second = format!("{first} REPLACE {}", *quoted_current);
            (first, CURRENT_WANTED, second)
        };
        let [first, second] = [first, second].map(Zeroizing::new);
        match session::run(&mut self.wire, &first).await {
            Err(Failure::Refused(error)) if error.code == wanted && !target.is_late() => {
                session::run(&mut self.wire, &second).await
            }
            done => done,
        }
    }
}

/// What `mysql_native_password` keeps of a password.
fn native_hash(password: &str) -> String {
    let mut hash = String::from("*");
    for byte in Sha1::digest(Sha1::digest(password)) {
        let _ = write!(hash, "{byte:02X}");
    }
    hash
}

/// `text` as an SQL literal, under [`BEGIN`].
fn quoted(text: &str) -> Zeroizing<String> {
    let mut literal = Zeroizing::new(String::with_capacity(2 * text.len() + 2));
    literal.push('\'');
    for character in text.chars() {
        if character == '\'' {
            literal.push(character);
        }
        literal.push(character);
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of MariaDB's page on `PASSWORD`.
    #[test]
    fn a_hash_is_the_servers_own() {
        assert_eq!(native_hash("notagoodpwd"), "*3A70EE9FC6594F88CE9E959CD51C5A1C002DC937");
    }

    #[test]
    fn a_literal_ends_where_its_text_does() {
        assert_eq!(*quoted(r"it's \ 'here'"), r"'it''s \ ''here'''");
    }
}

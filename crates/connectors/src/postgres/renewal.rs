//! A new password for the login of a connection.
//!
//! The server gets a SCRAM verifier that was computed here, as psql's `\password` sends it: in its log and its statistics the password does not
//! stand. It takes that for a verifier from version 10 on (<https://www.postgresql.org/docs/current/sql-createrole.html>); one that does not
//! would take it for the password itself, so that only what says that it is such a PostgreSQL is given one.

use dataflow_model::{Secret, StepName, TestError, TestStatus};
use postgres_protocol::password::scram_sha_256;
use zeroize::Zeroizing;

use super::{PRODUCT, Postgres, Session, columns, connect, wire};
use crate::{
    Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell, lets_in},
};

/// The first version that takes verifiers.
const SINCE: u32 = 100_000;
/// A server may do what it was asked for after nobody listens any more: not once it has waited so long for the asking, or for what is in its way. A
/// commit is under no such limit, and would wait for a standby that is away, unseen by everybody; so it waits for this server's disk alone, which it
/// must: a server that forgets at a power cut what it said it has done must not do so with this.
const BEGIN: &str = "BEGIN READ WRITE; SET LOCAL ROLE NONE; SET LOCAL statement_timeout = 4000; SET LOCAL lock_timeout = 4000; \
                     SET LOCAL idle_in_transaction_session_timeout = 4000; SET LOCAL synchronous_commit = local";
const WHO: &str = "SELECT session_user, pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num'), \
                   pg_catalog.split_part(pg_catalog.version(), ' ', 1), pg_catalog.pg_is_in_recovery()";

pub(super) async fn set_password<'a>(
    target: &'a Target,
    new: &'a Secret,
    dialer: &Dialer,
    steps: &mut Steps,
) -> Result<(Outcome, Farewell<'a>), TestError> {
    let connected = target.connect_in_time(connect(target, dialer, steps)).await;
    let (mut session, _) = connected.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
    session.begin(StepName::SetPassword, steps);
    session.refuse_what_cannot_be_renewed().await?;
    let set = session.set_password(new).await;
    let refused = match set {
        Ok(()) => lets_in(&Postgres, &target.with_password(new), dialer).await,
        // What a server does after it has refused is its own affair: that it did nothing is seen.
        Err(error) if error.code.is_password_unchanged() => {
            let old = target.with_password(session.password_secret()?);
            return Err(match lets_in(&Postgres, &old, dialer).await {
                Ok(()) => error,
                Err(_) => causes::which_is_in_force_unknown(&error.message),
            });
        }
        Err(error) => return Err(error),
    };
    if let Err(why) = refused {
        let again = session.set_password(session.password_secret()?).await;
        return Err(match again {
            Ok(()) => causes::new_password_refused(&why),
            Err(error) => causes::which_is_in_force_unknown(&error.message),
        });
    }
    steps.done(None);
    let server_version = session.server_version();
    let farewell = Box::pin(async move { session.wire.terminate().await });
    Ok((Outcome { status: TestStatus::Ok, server_version }, farewell))
}

impl<'a> Session<'a> {
    fn password_secret(&self) -> Result<&'a Secret, TestError> {
        self.target.secrets.get("password").ok_or_else(|| causes::no_password_to_renew(self.username()))
    }

    /// Nothing has been changed yet.
    async fn refuse_what_cannot_be_renewed(&mut self) -> Result<(), TestError> {
        if self.password().is_empty() {
            return Err(causes::no_password_to_renew(self.username()));
        }
        if !self.target.is_unheard(self.tls.is_verified()) {
            return Err(causes::line_not_verified(self.username()));
        }
        if !self.has_proved_password {
            return Err(causes::password_not_asked(self.username()));
        }
        let row = self.row(WHO).await?;
        let [user, process, number, product, follows] = row.as_slice() else { return Err(causes::not_that_database(PRODUCT)) };
        if product != PRODUCT || number.parse::<u32>().is_ok_and(|number| number < SINCE) {
            return Err(causes::passwords_unknown(&self.scrubber.clean(&format!("{product} {number}"))));
        }
        if follows != "f" {
            return Err(causes::only_follows());
        }
        // Whoever is in between has sessions of his own, whose numbers are not those that he gives to his clients.
        if self.process.is_none_or(|told| process != &told.to_string()) {
            return Err(causes::pooler_between(PRODUCT));
        }
        if user != self.username() {
            return Err(causes::signed_in_as_another(self.username(), &self.scrubber.clean(user)));
        }
        Ok(())
    }

    async fn set_password(&mut self, password: &Secret) -> Result<(), TestError> {
        let verifier = Zeroizing::new(scram_sha_256(password.expose_secret().as_bytes()));
        self.scrubber.and(&verifier);
        self.run(BEGIN).await?;
        if self.target.is_late() {
            return Err(causes::too_late_to_change());
        }
        self.run(&Zeroizing::new(format!("ALTER ROLE SESSION_USER PASSWORD '{}'; COMMIT", *verifier))).await
    }

    /// Runs statements to their end.
    async fn run(&mut self, sql: &str) -> Result<(), TestError> {
        self.send(|buffer| wire::query(sql, buffer)).await?;
        loop {
            match self.next().await? {
                (b'Z', _) => return Ok(()),
                (b'C' | b'S' | b'N', _) => {}
                _ => return Err(causes::connection_lost(self.step)),
            }
        }
    }

    /// The columns of the one row that a statement gives.
    pub(super) async fn row(&mut self, sql: &str) -> Result<Vec<String>, TestError> {
        self.send(|buffer| wire::query(sql, buffer)).await?;
        let mut row = Vec::new();
        loop {
            match self.next().await? {
                (b'Z', _) => return Ok(row),
                (b'D', body) => row = columns(body),
                (b'T' | b'C' | b'S' | b'N', _) => {}
                _ => return Err(causes::not_that_database(PRODUCT)),
            }
        }
    }
}

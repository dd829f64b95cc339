//! MySQL, MariaDB and services that speak their protocol.
//!
//! The connection phase is written here and not left to a driver: `mysql_async` opens its own sockets, past the guarded dialer,
//! answers a server that offers no TLS with the password under that server's own key, and bounds no packet. What is hard about
//! it, the proofs of a challenge, is taken from `mysql_common`.

#[cfg(test)]
mod fuzz;
mod learn;
mod packet;
mod product;
mod refusal;
mod renewal;
mod session;
mod sign_in;
mod wire;

use std::{pin::pin, time::Duration};

use dataflow_model::{Secret, StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    Connector, Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell, Renewer},
    scrub::Scrubber,
    tls::{self, TlsMode, TlsSettings},
};
use packet::{Greeting, Hello};
use refusal::{Failure, PRODUCT};
use sign_in::Identity;
use wire::{READ_TIMEOUT, Wire};

const PORT: u16 = 3306;

/// The connector `mysql`.
pub struct MySql;

impl Connector for MySql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(async move {
            let outcome = run(target, dialer, steps).await;
            outcome.map_err(|failure| refusal::explain(failure, target, steps.current()))
        })
    }

    fn renewer(&self) -> Option<&dyn Renewer> {
        Some(self)
    }
}

impl Renewer for MySql {
    fn set_password<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        new: &'t Secret,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(renewal::set_password(target, new, dialer, steps))
    }
}

async fn run<'a>(target: &'a Target, dialer: &Dialer, steps: &mut Steps) -> Result<(Outcome, Farewell<'a>), Failure> {
    let connected = connect(target, dialer, steps);
    let Connected { mut wire, greeting, .. } =
        target.connect_in_time(connected).await.map_err(|_| Failure::TimedOut(CONNECT_TIMEOUT))??;
    wire.set_patience(target.seconds(READ_TIMEOUT));
    open_database(&mut wire, target, steps).await?;
    steps.begin(StepName::Read);
    session::set_up(&mut wire, target).await?;
    session::read_one_row(&mut wire).await?;
    steps.done(None);
    let server_version = Some(product::of(&mut wire, target, &greeting.version).await);
    // What keeps its answer to itself for so long is no worse for that.
    let scrubber = Scrubber::of(target);
    let _ = tokio::time::timeout(steps.spare(), learn::learn(&mut wire, &scrubber, &mut steps.learned)).await;
    let farewell = Box::pin(async move { session::quit(&mut wire).await });
    Ok((Outcome { status: TestStatus::Ok, server_version }, farewell))
}

async fn open_database(wire: &mut Wire, target: &Target, steps: &mut Steps) -> Result<(), Failure> {
    steps.begin(StepName::OpenDatabase);
    match target.text("database") {
        "" => steps.done("none chosen".to_owned()),
        database => {
            session::open_database(wire, database).await?;
            steps.done(None);
        }
    }
    Ok(())
}

/// Signed in.
struct Connected {
    wire: Wire,
    greeting: Greeting,
    /// By what the server knows the login.
    plugin: String,
    /// Whether the password itself could be told.
    can_tell_password: bool,
}

/// Up to and with the sign-in.
async fn connect(target: &Target, dialer: &Dialer, steps: &mut Steps) -> Result<Connected, Failure> {
    let host = target.text("host");
    let settings = TlsSettings::of(target);
    let mut wire = Wire::new(dialer.dial(host, target.port(PORT), steps).await?);
    if settings.mode() == TlsMode::Disable {
        steps.skip(StepName::Secure, "no TLS".to_owned());
        steps.begin(StepName::SignIn);
    }
    let greeting = match greet(&mut wire, target, dialer).await? {
        Hello::Greeting(greeting) => greeting,
        Hello::TooOld => return Err(causes::protocol_too_old("MySQL").into()),
        Hello::Refused(error) => {
            if settings.mode() != TlsMode::Disable {
                steps.skip(StepName::Secure, None);
                steps.begin(StepName::SignIn);
            }
            return Err(Failure::Refused(error));
        }
    };
    if settings.mode() != TlsMode::Disable {
        steps.begin(StepName::Secure);
        if !greeting.offers_tls() {
            return Err(causes::tls_not_offered().into());
        }
        wire.write(&packet::tls_request()).await?;
        let (plain, sequence) = wire.suspend();
        let stream = tls::secure(&settings, dialer.system_roots(), host, PRODUCT, plain).await?;
        steps.secured(tls::agreed(&stream));
        wire = Wire::resume(stream, sequence);
        steps.begin(StepName::SignIn);
    }
    let identity = Identity {
        username: target.text("username"),
        password: target.expose_secret("password"),
        tls: settings.mode() != TlsMode::Disable,
        verified: settings.is_verified(),
        own_key_allowed: target.text("extra.insecure_auth") == "mysql_rsa",
    };
    let plugin = identity.sign_in(&mut wire, &greeting).await?;
    steps.done(None);
    Ok(Connected { plugin, can_tell_password: identity.can_tell_password(), wire, greeting })
}

/// How long a server may be silent before the question is put whether it is a database at all.
const SILENCE: Duration = Duration::from_secs(2);
/// PostgreSQL's request for TLS, and the end of a line: one or the other is answered by whatever waits for its client to speak.
const QUESTION: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f\r\n\r\n";

/// Reads the greeting. A database speaks first; one that is slow to do so is waited for until the deadline, a service that
/// waits for its client is found out.
async fn greet(wire: &mut Wire, target: &Target, dialer: &Dialer) -> Result<Hello, Failure> {
    let greeting = pin!(wire.read());
    tokio::select! {
        first = greeting => packet::hello(&first?).ok_or(Failure::Malformed),
        () = another_service(target, dialer) => Err(Failure::Malformed),
    }
}

/// Ends once something on the port has answered a question that no database of this kind answers. Asks on a connection of its
/// own, so that a slow database is not disturbed.
async fn another_service(target: &Target, dialer: &Dialer) {
    tokio::time::sleep(SILENCE).await;
    if answers(target, dialer).await != Some(true) {
        std::future::pending::<()>().await;
    }
}

async fn answers(target: &Target, dialer: &Dialer) -> Option<bool> {
    let host = target.text("host");
    let checked = dialer.resolve(host, target.port(PORT)).await.ok()?;
    let mut stream = dialer.reach(host, &checked).await.ok()?;
    stream.write_all(QUESTION).await.ok()?;
    let mut answer = [0; 5];
    let length = stream.read(&mut answer).await.ok()?;
    // The head of a greeting or of an error: length, sequence 0, and the packet's kind.
    let is_late_greeting = matches!(answer, [_, _, 0, 0, 9 | 10 | 0xff]);
    Some(length > 0 && !is_late_greeting)
}

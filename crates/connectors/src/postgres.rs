//! PostgreSQL, and what speaks its protocol (version 3.0): <https://www.postgresql.org/docs/current/protocol.html>.
//!
//! The exchange is short and every byte of it may be hostile, so it is spoken here, message by message, and not by a driver:
//! each step is seen as it ends, no message is read that is longer than it may be, and the password is answered only to a
//! request that may be answered.

#[cfg(test)]
mod fuzz;
mod learn;
mod product;
mod refusal;
mod renewal;
mod settings;
mod sign_in;
mod wire;

use bytes::{Buf as _, Bytes};
use dataflow_model::{Secret, StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use self::{
    product::Told,
    wire::{Fault, Wire},
};
use crate::{
    Connector, Dialer, Outcome, Steps, Target, causes,
    connector::{CONNECT_TIMEOUT, Farewell, Renewer},
    dialer::Duplex,
    scrub::Scrubber,
    tls::{self, TlsMode, TlsSettings},
};

/// The connector of PostgreSQL, Redshift and others.
pub struct Postgres;

const PRODUCT: &str = "PostgreSQL";
const PORT: u16 = 5432;

impl Connector for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(test(target, dialer, steps))
    }

    fn renewer(&self) -> Option<&dyn Renewer> {
        Some(self)
    }
}

impl Renewer for Postgres {
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

async fn test<'a>(target: &'a Target, dialer: &Dialer, steps: &mut Steps) -> Result<(Outcome, Farewell<'a>), TestError> {
    let connected = target.connect_in_time(connect(target, dialer, steps)).await;
    let (mut session, status) = connected.map_err(|_| causes::timed_out_by(CONNECT_TIMEOUT, steps.current()))??;
    session.begin(StepName::Read, steps);
    session.read_one_row().await?;
    session.refuse_what_does_not_exist().await?;
    steps.done(None);
    // What keeps its answer to itself for so long is no worse for that.
    let _ = tokio::time::timeout(steps.spare(), session.learn(&mut steps.learned)).await;
    let server_version = session.server_version();
    let farewell = Box::pin(async move { session.wire.terminate().await });
    Ok((Outcome { status, server_version }, farewell))
}

/// Up to the open database, which is as far as a driver's connect goes.
async fn connect<'a>(target: &'a Target, dialer: &Dialer, steps: &mut Steps) -> Result<(Session<'a>, TestStatus), TestError> {
    let host = target.text("host");
    let tls = TlsSettings::of(target);
    let mut stream = dialer.dial(host, target.port(PORT), steps).await?;
    let mut session = if tls.mode() == TlsMode::Disable {
        steps.skip(StepName::Secure, "TLS is off".to_owned());
        Session::new(target, tls, None, stream)
    } else {
        steps.begin(StepName::Secure);
        ask_for_tls(&mut stream).await?;
        let stream = tls::secure(&tls, dialer.system_roots(), host, PRODUCT, stream).await?;
        steps.secured(tls::agreed(&stream));
        let binding = tls::channel_binding(&stream);
        Session::new(target, tls, binding, Box::new(stream))
    };
    let status = session.start(steps).await?;
    Ok((session, status))
}

/// Sends `SSLRequest` and reads the one byte that answers it. More than one would stand in the clear before the encryption
/// and could be taken for what came after it (CVE-2021-23222), so it is refused.
async fn ask_for_tls(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), TestError> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    let lost = |_| causes::connection_lost(StepName::Secure);
    stream.write_all(&SSL_REQUEST).await.map_err(lost)?;
    let mut answer = [0; 16];
    let length = stream.read(&mut answer).await.map_err(lost)?;
    match answer.split_at(length).0 {
        [] => Err(causes::connection_lost(StepName::Secure)),
        b"S" => Ok(()),
        // An error instead of an answer: a server from before TLS, or one that cannot go on. Its text is not protected.
        b"N" | [b'E', 0, 0, ..] => Err(causes::tls_not_offered()),
        [b'E', b'F', b'A', b'T', ..] => Err(causes::protocol_too_old(PRODUCT)),
        // SSH's banner, or MySQL's greeting of 83 bytes
        [b'S', b'S', b'H', ..] | [b'S', 0, 0, 0, ..] => Err(causes::not_that_database(PRODUCT)),
        [b'S', ..] => Err(causes::early_bytes()),
        _ => Err(causes::not_that_database(PRODUCT)),
    }
}

/// One conversation over a stream that is as secure as it gets.
struct Session<'a> {
    target: &'a Target,
    tls: TlsSettings<'a>,
    /// `tls-server-end-point`, where there is TLS and the certificate has one.
    binding: Option<Vec<u8>>,
    scrubber: Scrubber,
    wire: Wire<Box<dyn Duplex>>,
    step: StepName,
    /// The server asked for the password, and found it right.
    has_proved_password: bool,
    /// The number that the server has given the session.
    process: Option<u32>,
    told: Told,
}

impl<'a> Session<'a> {
    fn new(target: &'a Target, tls: TlsSettings<'a>, binding: Option<Vec<u8>>, stream: Box<dyn Duplex>) -> Self {
        let (scrubber, wire) = (Scrubber::of(target), Wire::new(stream));
        Self {
            target,
            tls,
            binding,
            scrubber,
            wire,
            step: StepName::SignIn,
            has_proved_password: false,
            process: None,
            told: Told::default(),
        }
    }

    /// Signs in and opens the database: what the sign-in proved.
    async fn start(&mut self, steps: &mut Steps) -> Result<TestStatus, TestError> {
        steps.begin(StepName::SignIn);
        let status = self.sign_in().await?;
        steps.done((status == TestStatus::Unproven).then(|| "The server asked for no password".to_owned()));

        self.begin(StepName::OpenDatabase, steps);
        self.open().await?;
        steps.done(Some(self.database().to_owned()));
        Ok(status)
    }

    fn begin(&mut self, step: StepName, steps: &mut Steps) {
        self.step = step;
        steps.begin(step);
    }

    /// Reads until the server is ready.
    async fn open(&mut self) -> Result<(), TestError> {
        loop {
            match self.next().await? {
                (b'S', body) => self.told.note(&body),
                (b'Z', _) => return Ok(()),
                (b'K', mut body) => self.process = body.try_get_u32().ok(),
                (b'N', _) => {}
                _ => return Err(causes::not_that_database(PRODUCT)),
            }
        }
    }

    /// Which product the server is, and of which version.
    fn server_version(&self) -> Option<String> {
        self.told.product().map(|product| self.scrubber.clean(&product))
    }

    /// Reads one row, and what the server is with it.
    async fn read_one_row(&mut self) -> Result<(), TestError> {
        self.send(|buffer| wire::query("SELECT 1, pg_catalog.version()", buffer)).await?;
        let mut rows = 0;
        loop {
            match self.next().await? {
                (b'D', body) => {
                    rows += 1;
                    self.told.version = columns(body).into_iter().nth(1);
                }
                (b'Z', _) if rows == 1 => return Ok(()),
                (b'Z', _) => return Err(causes::read_refused("it gave no row for SELECT 1")),
                (b'T' | b'C' | b'S' | b'N', _) => {}
                _ => return Err(causes::not_that_database(PRODUCT)),
            }
        }
    }

    /// Some servers open a session in a database that is not there: <https://github.com/cockroachdb/cockroach/issues/109992>.
    async fn refuse_what_does_not_exist(&mut self) -> Result<(), TestError> {
        const LOOK: &str = "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
        if self.told.opens_what_does_not_exist() && self.row(LOOK).await? != ["1"] {
            return Err(causes::database_missing(self.database()));
        }
        Ok(())
    }

    /// The database that is opened: libpq takes the user's name where none is given.
    fn database(&self) -> &'a str {
        match self.target.text("database") {
            "" => self.username(),
            database => database,
        }
    }

    fn username(&self) -> &'a str {
        self.target.text("username")
    }

    /// The next message; an error message becomes the failure of the step.
    async fn next(&mut self) -> Result<(u8, Bytes), TestError> {
        let (tag, body) = self.wire.read().await.map_err(|fault| self.fault(&fault))?;
        if tag == b'E' { Err(self.refusal(&body)) } else { Ok((tag, body)) }
    }

    async fn send(&mut self, build: impl FnOnce(&mut bytes::BytesMut) -> std::io::Result<()>) -> Result<(), TestError> {
        self.wire.write(build).await.map_err(|fault| self.fault(&fault))
    }

    fn fault(&self, fault: &Fault) -> TestError {
        match fault {
            Fault::Lost(error) => tls::refused_by_server(error, &self.tls).unwrap_or_else(|| causes::connection_lost(self.step)),
            Fault::Unspeakable => causes::invalid_settings(None, "a value holds a character that the protocol cannot carry"),
            Fault::TooOld => causes::protocol_too_old(PRODUCT),
            Fault::Foreign => causes::not_that_database(PRODUCT),
            Fault::TooLong => causes::server_error("its message is longer than any that belongs here"),
        }
    }
}

/// The columns of a row's message.
fn columns(mut body: Bytes) -> Vec<String> {
    let mut columns = Vec::new();
    body.advance(body.len().min(2));
    while body.len() >= 4 {
        let length = usize::try_from(body.get_u32()).unwrap_or_default().min(body.len());
        columns.push(String::from_utf8_lossy(&body.split_to(length)).into_owned());
    }
    columns
}

//! The child's end: read one request, run one test, tell it, exit.

use std::{
    io::{self, Read as _, Write as _},
    process::exit,
    sync::Arc,
    time::{Duration, Instant},
};

use dataflow_model::{SecretFields, TestError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use super::{
    ARGUMENT, LEAVING, confine,
    wire::{Asked, End, Length, Line, REQUEST_MAX},
};
use crate::{Dialer, Outcome, Steps, Target, causes, connector, connector::CONNECT_TIMEOUT, hops::Way, tls::SystemRoots};

/// To be called first in `main`, before any thread, file or runtime: returns if this process is no test's child, and
/// otherwise runs the test and exits.
pub fn enter() {
    if std::env::args_os().nth(1).is_none_or(|first| first != ARGUMENT) {
        return;
    }
    // 2: could not begin. The parent says that the test itself broke.
    exit(if confine::confine().and_then(|()| test()).is_ok() { 0 } else { 2 });
}

fn test() -> io::Result<()> {
    // What a child that was started ahead has done before its request is there.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let roots = SystemRoots::unread();
    if !hears_within(Duration::ZERO)? {
        roots.read();
    }
    let Some(asked) = read()? else { return Ok(()) };
    runtime.block_on(run(asked, roots))?;
    // A resolver may still be at work in a thread of its own; nobody waits for it.
    runtime.shutdown_background();
    Ok(())
}

/// Waits so long for the request, or for the parent to let go of its pipe; whether that came.
fn hears_within(wait: Duration) -> io::Result<bool> {
    let input = io::stdin();
    let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&wait))? > 0)
}

/// The request; `None` if the parent went away without one.
fn read() -> io::Result<Option<Asked>> {
    let mut length = Length::default();
    match io::stdin().read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > REQUEST_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    io::stdin().read_exact(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

fn tell(line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}

/// Runs the test and tells how it ended; then takes leave of the server.
async fn run(asked: Asked, roots: SystemRoots) -> io::Result<()> {
    let Asked { connector: name, public, secrets, new_password, change_by, message, file_folder, way, policy, deadline } = asked;
    let Some(connector) = connector(&name) else {
        return tell(&Line::End(End::failed(causes::test_broken("no connector of that name is built in"))));
    };
    let way = way.map(|way| Arc::new(Way::from(way)));
    let target = Target { public, secrets: SecretFields(secrets), new_password, change_by, message, file_folder, way };
    // Of many addresses each is to have its share of what the connection itself allows for connecting.
    let dialling = target.seconds(CONNECT_TIMEOUT).map_or(deadline, |own| own.min(deadline));
    let dialer = Dialer::new(policy, Instant::now() + dialling, roots).by(target.way.clone());
    // If the parent no longer listens, it has ended this process too.
    let mut steps = Steps::of(target.steps(), |step| drop(tell(&Line::Step(step))));
    steps.ends_at = Some(Instant::now() + deadline);
    let done = match (&target.new_password, &target.message, connector.renewer(), connector.messenger()) {
        (Some(new), _, Some(renewer), _) => renewer.set_password(&target, new, &dialer, &mut steps),
        (Some(_), ..) => return tell(&Line::End(End::failed(causes::test_broken("this connector sets no passwords")))),
        (None, Some(message), _, Some(messenger)) => messenger.send(&target, message, &dialer, &mut steps),
        (None, Some(_), _, None) => {
            return tell(&Line::End(End::failed(causes::test_broken("this connector sends no messages"))));
        }
        (None, None, ..) => connector.test(&target, &dialer, &mut steps),
    };
    let tested = tokio::time::timeout(deadline, done).await;
    let failed = |error: TestError, steps: &mut Steps| {
        steps.fail();
        End { learned: std::mem::take(&mut steps.learned), ..End::failed(error) }
    };
    let end = match tested {
        Ok(Ok((Outcome { status, server_version }, farewell))) => {
            steps.skip_rest();
            tell(&Line::End(End { status, server_version, error: None, learned: std::mem::take(&mut steps.learned) }))?;
            // The parent lets go once the report has gone where it was asked for: what is left holds nobody up then.
            let _ = hears_within(LEAVING);
            farewell.await;
            return Ok(());
        }
        Ok(Err(error)) => failed(error, &mut steps),
        Err(_) => {
            let error = causes::timed_out(steps.current());
            failed(error, &mut steps)
        }
    };
    tell(&Line::End(end))
}

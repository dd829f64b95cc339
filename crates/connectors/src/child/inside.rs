//! The child's end: read one request, run one test, tell it, exit.

use std::{
    io::{self, Read as _, Write as _},
    process::exit,
    time::Instant,
};

use dataflow_model::{SecretFields, TestError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use super::{
    ARGUMENT, confine,
    wire::{Asked, End, Line, REQUEST_MAX},
};
use crate::{Dialer, Steps, Target, causes, connector, connector::CONNECT_TIMEOUT, tls::SystemRoots};

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
    if !is_asked()? {
        roots.read();
    }
    let Some(asked) = read()? else { return Ok(()) };
    let end = runtime.block_on(run(asked, roots));
    tell(&Line::End(end))?;
    // A resolver may still be at work in a thread of its own; nobody waits for it.
    runtime.shutdown_background();
    Ok(())
}

/// Whether the request is there, or the parent has gone.
fn is_asked() -> io::Result<bool> {
    let input = io::stdin();
    let mut asked = [PollFd::new(&input, PollFlags::IN)];
    Ok(poll(&mut asked, Some(&Timespec::default()))? > 0)
}

/// The request; `None` if the parent went away without one.
fn read() -> io::Result<Option<Asked>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(REQUEST_MAX));
    let most = u64::try_from(REQUEST_MAX).map_err(io::Error::other)?;
    io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    if bytes.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&bytes)?)) }
}

fn tell(line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}

async fn run(asked: Asked, roots: SystemRoots) -> End {
    let Asked { connector: name, public, secrets, file_folder, policy, deadline } = asked;
    let Some(connector) = connector(&name) else {
        return End::failed(causes::test_broken("no connector of that name is built in"));
    };
    let target = Target { public, secrets: SecretFields(secrets), file_folder };
    // Of many addresses each is to have its share of what the connection itself allows for connecting.
    let dialling = target.seconds(CONNECT_TIMEOUT).map_or(deadline, |own| own.min(deadline));
    let dialer = Dialer::new(policy, Instant::now() + dialling, roots);
    // If the parent no longer listens, it has ended this process too.
    let mut steps = Steps::new(|step| drop(tell(&Line::Step(step))));
    let tested = tokio::time::timeout(deadline, connector.test(&target, &dialer, &mut steps)).await;
    let failed = |error: TestError, steps: &mut Steps| {
        steps.fail();
        End::failed(error)
    };
    match tested {
        Ok(Ok(outcome)) => {
            steps.skip_rest();
            End { status: outcome.status, server_version: outcome.server_version, error: None }
        }
        Ok(Err(error)) => failed(error, &mut steps),
        Err(_) => {
            let error = causes::timed_out(steps.current());
            failed(error, &mut steps)
        }
    }
}

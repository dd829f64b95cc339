//! The child's end: read one request, run one test, tell it, exit.

use std::{
    io::{self, Read as _, Write as _},
    process::exit,
    time::{Duration, Instant},
};

use dataflow_model::{SecretFields, TestError};
use zeroize::Zeroizing;

use super::{
    ARGUMENT, confine,
    wire::{Asked, End, Line, REQUEST_MAX},
};
use crate::{Dialer, Steps, Target, causes, connector};

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
    // Made before the request is there: a child that was started ahead has it done.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Some(asked) = read()? else { return Ok(()) };
    let end = runtime.block_on(run(asked));
    tell(&Line::End(end))?;
    // A resolver may still be at work in a thread of its own; nobody waits for it.
    runtime.shutdown_background();
    Ok(())
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

async fn run(asked: Asked) -> End {
    let Asked { connector: name, public, secrets, file_folder, policy, deadline } = asked;
    let Some(connector) = connector(&name) else {
        return End::failed(causes::test_broken("no connector of that name is built in"));
    };
    let target = Target { public, secrets: SecretFields(secrets), file_folder };
    let limit = own_limit(&target).filter(|own| *own < deadline);
    let dialer = Dialer::new(policy, Instant::now() + limit.unwrap_or(deadline));
    // If the parent no longer listens, it has ended this process too.
    let mut steps = Steps::new(|step| drop(tell(&Line::Step(step))));
    let tested = tokio::time::timeout(limit.unwrap_or(deadline), connector.test(&target, &dialer, &mut steps)).await;
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
            let mut error = causes::timed_out(steps.current());
            if limit.is_some() {
                error.field = Some(CONNECT_TIMEOUT.to_owned());
            }
            failed(error, &mut steps)
        }
    }
}

const CONNECT_TIMEOUT: &str = "extra.connect_timeout";

/// What the connection itself allows for connecting: the work would give up then, so the test does.
fn own_limit(target: &Target) -> Option<Duration> {
    target.public.integer(CONNECT_TIMEOUT).and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
}

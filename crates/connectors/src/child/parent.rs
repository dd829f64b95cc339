//! The parent's end: start a child, hand it the request, pass its steps on, end it in time.

use std::{
    io,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use dataflow_model::{Step, StepName, StepStatus, TestReport};
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc::Sender,
};

use super::{
    ARGUMENT, LEAVING, TestRequest,
    wire::{self, ANSWER_MAX, End, Line},
};
use crate::{
    causes,
    steps::{milliseconds, next},
};

/// What a test leaves to be done, the goodbye and the next child, begins only then: it would take the processor from the report's answer,
/// which may be 2 ms where PostgreSQL ends a session.
const ASIDE: Duration = Duration::from_millis(2);
/// How long a child that was killed may take to be gone: 1 ms on an idle machine.
const DYING: Duration = Duration::from_secs(1);

/// This binary, as it is running: also where the file was replaced since.
#[must_use]
pub fn this_binary() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Runs one test in a child that is started for it. Dropping the future ends the child at once: that is how a test is
/// cancelled. `steps` gets each step as it ends, and misses those that it has no room for: six is always enough.
///
/// Needs a `main` that calls [`super::enter`] first.
pub async fn run(request: TestRequest, steps: Sender<Step>) -> TestReport {
    let begun = Instant::now();
    Conversation::new(begun, &request, steps).hold(spawn(&this_binary()), &request, ()).await
}

/// Runs tests like [`run`], with one child always started ahead, so that a test need not wait for it. Each is used once.
///
/// Clones share the waiting child.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    binary: PathBuf,
    waiting: Mutex<Option<Child>>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(this_binary())
    }
}

impl Pool {
    /// `binary` must call [`super::enter`] first in its `main`. No child is started yet.
    #[must_use]
    pub fn new(binary: PathBuf) -> Self {
        Self(Arc::new(Shared { binary, waiting: Mutex::new(None) }))
    }

    /// Starts the waiting child, if there is none. To be called on a tokio runtime; otherwise it does nothing.
    pub fn warm(&self) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_none() {
            // A child that cannot be started is reported by the test that needs one.
            *waiting = spawn(&self.0.binary).ok();
        }
    }

    /// See [`run`]. The next child is started once this test is over, or cancelled. `held` is dropped once the child is gone, which may be
    /// somewhat after the report: it still takes leave of the server.
    pub async fn run(&self, request: TestRequest, steps: Sender<Step>, held: impl Send + 'static) -> TestReport {
        let begun = Instant::now();
        let _refill = Refill(self.clone());
        let child = self.take().map_or_else(|| spawn(&self.0.binary), Ok);
        Conversation::new(begun, &request, steps).hold(child, &request, held).await
    }

    /// The waiting child, unless it has died meanwhile.
    fn take(&self) -> Option<Child> {
        let mut child = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        matches!(child.try_wait(), Ok(None)).then_some(child)
    }
}

struct Refill(Pool);

impl Drop for Refill {
    fn drop(&mut self) {
        // In a task of its own, so that the report does not wait for it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let pool = self.0.clone();
            runtime.spawn(async move {
                tokio::time::sleep(ASIDE).await;
                pool.warm();
            });
        }
    }
}

fn spawn(binary: &std::path::Path) -> io::Result<Child> {
    Command::new(binary)
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// One test as the parent sees it.
struct Conversation {
    begun: Instant,
    checked_at: String,
    from: String,
    listener: Sender<Step>,
    plan: &'static [StepName],
    steps: Vec<Step>,
    /// When the last step ended.
    last: Instant,
}

impl Conversation {
    fn new(begun: Instant, request: &TestRequest, listener: Sender<Step>) -> Self {
        Self {
            begun,
            checked_at: rfc3339(request.now),
            from: request.from.clone(),
            listener,
            plan: request.target.steps(),
            steps: Vec::with_capacity(request.target.steps().len()),
            last: begun,
        }
    }

    async fn hold(mut self, child: io::Result<Child>, request: &TestRequest, held: impl Send + 'static) -> TestReport {
        let end = match child {
            Ok(mut child) => match tokio::time::timeout(request.deadline, self.converse(&mut child, request)).await {
                Ok(Ok((end, input))) => {
                    tokio::spawn(async move {
                        tokio::time::sleep(ASIDE).await;
                        // It waits for that.
                        drop(input);
                        let _ = tokio::time::timeout(LEAVING, child.wait()).await;
                        drop((child, held));
                    });
                    end
                }
                Ok(Err(why)) => End::failed(causes::test_broken(&why)),
                Err(_) => {
                    // Its place at the host is free once it has let go of the connection, which it does before it can be waited for.
                    let _ = tokio::time::timeout(DYING, child.kill()).await;
                    End::failed(causes::timed_out(self.blamed()))
                }
            },
            Err(error) => End::failed(causes::test_broken(&format!("its process could not be started ({})", error.kind()))),
        };
        self.complete(end.error.is_some());
        TestReport {
            status: end.status,
            duration_ms: milliseconds(self.begun),
            server_version: end.server_version,
            learned: end.learned,
            checked_at: self.checked_at,
            from: self.from,
            host: None,
            steps: self.steps,
            error: end.error,
        }
    }

    /// The end, and the pipe that the child waits at before it takes leave. The error says in words what broke.
    async fn converse(&mut self, child: &mut Child, request: &TestRequest) -> Result<(End, ChildStdin), String> {
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("its process has no pipes".to_owned());
        };
        let bytes = wire::write(request).map_err(|_| "the request could not be written")?;
        // A child that died before it read all says so by its end; that is handled below.
        let _ = input.write_all(&bytes).await;
        drop(bytes);
        let mut lines = BufReader::new(output.take(ANSWER_MAX)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Line::Step(step)) if self.steps.len() < self.plan.len() => self.pass_on(step),
                Ok(Line::End(end)) => return Ok((end, input)),
                Ok(Line::Step(_)) | Err(_) => return Err("its process said something that cannot be understood".to_owned()),
            }
        }
        let status = child.wait().await.map_err(|_| "its process was lost")?;
        Err(format!("its process ended early ({status})"))
    }

    fn pass_on(&mut self, step: Step) {
        self.last = Instant::now();
        // A listener that is gone or too slow must not hold the test up: the report has every step too.
        let _ = self.listener.try_send(step.clone());
        self.steps.push(step);
    }

    /// The step that took too long. A child that ran out of time at the same moment may have told of it, and not yet of its end.
    fn blamed(&self) -> StepName {
        let failed = self.steps.iter().find(|step| step.status == StepStatus::Failed);
        failed.map_or_else(|| self.running(), |step| step.step)
    }

    fn running(&self) -> StepName {
        let told: Vec<_> = self.steps.iter().map(|step| step.step).collect();
        next(self.plan, &told)
    }

    /// Fills in what the child did not come to tell.
    fn complete(&mut self, failed: bool) {
        let mut blame = failed && self.steps.iter().all(|step| step.status != StepStatus::Failed);
        while self.steps.len() < self.plan.len() {
            let (status, duration_ms) =
                if blame { (StepStatus::Failed, Some(milliseconds(self.last))) } else { (StepStatus::Skipped, None) };
            blame = false;
            self.pass_on(Step { step: self.running(), status, duration_ms, detail: None });
        }
    }
}

/// To the millisecond, in UTC. Always three digits: as text, times sort as they went by.
fn rfc3339(time: SystemTime) -> String {
    let digits = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(time).format(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_the_child_gave_up_is_the_one_that_took_too_long() {
        let told = [StepName::Resolve, StepName::Reach, StepName::Secure, StepName::SignIn].map(|step| {
            let status = if step == StepName::SignIn { StepStatus::Failed } else { StepStatus::Ok };
            serde_json::to_string(&Line::Step(Step { step, status, duration_ms: Some(1.0), detail: None })).expect("JSON")
        });
        // Tells its steps, and then nothing more.
        let child = Command::new("/bin/sh")
            .args(["-c", "printf '%s\\n' \"$@\"; exec sleep 9", "sh"])
            .args(told)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let request = TestRequest {
            connector: "postgres".to_owned(),
            target: crate::Target::default(),
            policy: crate::DialPolicy::default(),
            deadline: Duration::from_secs(1),
            from: "server".to_owned(),
            now: SystemTime::UNIX_EPOCH,
        };
        let (listener, _steps) = tokio::sync::mpsc::channel(6);
        let report = Conversation::new(Instant::now(), &request, listener).hold(child, &request, ()).await;
        assert_eq!(report.error, Some(causes::timed_out(StepName::SignIn)), "{:?}", report.steps);
    }

    #[test]
    fn times_sort_as_text() {
        let texts = [0, 1_460, 1_461, 2_000].map(|ms| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)));
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[1], "1970-01-01T00:00:01.460Z");
    }
}

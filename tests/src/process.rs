//! Child processes that never outlive their test.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::environment::{UNPRIVILEGED_USER, is_root};

/// How a process is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At once: for servers whose folder is thrown away and that have no children.
    Kill,
    /// PostgreSQL's immediate shutdown: ends its children and frees its shared memory.
    Quit,
    /// A clean end.
    Terminate,
}

impl Stop {
    fn signal(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
            Self::Terminate => "TERM",
        }
    }
}

const READY_WITHIN: Duration = Duration::from_mins(2);
/// More than the 10 s for which `dataflow serve` lets requests in flight finish.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// What to start, and as whom.
#[derive(Debug)]
pub struct Spawn {
    program: PathBuf,
    arguments: Vec<std::ffi::OsString>,
    variables: Vec<(String, String)>,
    stop: Stop,
    unprivileged: bool,
}

impl Spawn {
    pub fn new(program: impl Into<PathBuf>, stop: Stop) -> Self {
        Self { program: program.into(), arguments: Vec::new(), variables: Vec::new(), stop, unprivileged: false }
    }

    /// Drops to [`UNPRIVILEGED_USER`] where the tests run as root.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    #[must_use]
    pub fn arg(mut self, argument: impl Into<std::ffi::OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    #[must_use]
    pub fn args<A: Into<std::ffi::OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `setpriv` asks the kernel for a signal when the parent ends, then becomes the program: the process id is the program's.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.arg(format!("--pdeathsig={}", self.stop.signal()));
        if self.unprivileged && is_root() {
            command.args([format!("--reuid={UNPRIVILEGED_USER}").as_str(), "--regid=nogroup", "--clear-groups"]);
        }
        command.arg("--").arg(&self.program).args(&self.arguments).current_dir("/");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end; its standard output if it succeeded.
    ///
    /// # Panics
    /// With what it printed, if it failed.
    pub fn run(&self) -> String {
        self.run_with_input("")
    }

    /// The same with `input` on its standard input.
    ///
    /// # Panics
    /// With what it printed, if it failed.
    pub fn run_with_input(&self, input: &str) -> String {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = on_lasting_thread(command);
        // One that needs no input may have closed it already.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let done = child.wait_with_output().expect("own child");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{} failed, {}\n{out}{err}", self.program.display(), done.status);
        out.into_owned()
    }

    /// Starts it, with its output in the file `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(&self, log: &Path) -> Process {
        let file = fs::File::create(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a second handle")).stderr(file);
        Process { child: on_lasting_thread(command), stop: self.stop, log: log.to_path_buf() }
    }
}

/// The kernel sends the parent-death signal when the *thread* that started the child ends, and a test's thread ends before its
/// process does where fixtures are shared. So one thread, which lasts as long as the process, starts all children.
fn on_lasting_thread(command: Command) -> Child {
    type Job = (Command, mpsc::SyncSender<std::io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, child) = mpsc::sync_channel(1);
    starter.send((command, answer)).expect("the thread lasts");
    child.recv().expect("the thread answers").expect("setpriv (util-linux) runs")
}

/// A running process, ended on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stop: Stop,
    log: PathBuf,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` says so.
    ///
    /// # Panics
    /// With the end of its log, if it ends or is not ready within two minutes: what takes 1 s takes far longer on a machine that
    /// is busy and has not yet read it from its disk.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + READY_WITHIN;
        while !ready(self) {
            let ended = self.child.try_wait().expect("own child");
            if ended.is_some() || Instant::now() > deadline {
                let log = self.log();
                let tail: Vec<_> = log.lines().rev().take(15).collect();
                let end = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
                match ended {
                    Some(status) => panic!("{what} ended while it was starting, {status}:\n{end}"),
                    None => panic!("{what} was not ready within {READY_WITHIN:?}:\n{end}"),
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Ends it and waits until it is gone. Nothing happens if it has ended already.
    pub fn stop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        if self.stop == Stop::Kill || !self.send(self.stop) {
            let _ = self.child.kill();
        }
        let deadline = Instant::now() + ENDED_WITHIN;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn send(&self, stop: Stop) -> bool {
        let kill = Command::new("/bin/kill").args(["-s", stop.signal(), "--", &self.id().to_string()]).output();
        kill.is_ok_and(|done| done.status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

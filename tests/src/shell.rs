//! The product's binary as somebody at a shell runs it, to its end.

use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    binary::{dataflow_bin, example_bin},
    folder::TempDir,
    server::TestServer,
};

/// One command line.
#[derive(Debug)]
pub struct Shell {
    program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) variables: Vec<(OsString, OsString)>,
    input: Option<String>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ran {
    pub succeeded: bool,
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    pub fn new<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::of(dataflow_bin()).args(arguments)
    }

    /// An example of the workspace instead of the binary.
    pub fn example(name: &str) -> Self {
        Self::of(example_bin(name))
    }

    fn of(program: PathBuf) -> Self {
        Self { program, arguments: Vec::new(), variables: Vec::new(), input: None }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    /// Runs it in an environment that holds nothing but what was given.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run(&self) -> Ran {
        self.run_into(Stdio::piped())
    }

    /// The same, as before a pipe whose reader has gone: `dataflow … | true`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run_unread(&self) -> Ran {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        self.run_into(writer.into())
    }

    fn run_into(&self, stdout: Stdio) -> Ran {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut pipe = child.stdin.take().expect("it was piped");
        // A command that fails early may not read it.
        let _ = pipe.write_all(self.input.as_deref().unwrap_or_default().as_bytes());
        drop(pipe);
        let done = child.wait_with_output().expect("own child");
        Ran {
            succeeded: done.status.success(),
            status: done.status.code(),
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }
}

/// The home of somebody who may sign in.
#[derive(Debug, Default)]
pub struct Home(TempDir);

impl Home {
    /// One that is signed in as an admin of the workspace `default`.
    ///
    /// # Panics
    /// If the server refuses that.
    pub fn signed_in(server: &TestServer) -> Self {
        let home = Self::default();
        home.run(&["login", "--url", &server.url(), "--token-stdin"], &server.token("default", "admin", "shell")).stdout();
        home
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn run(&self, words: &[&str], input: &str) -> Ran {
        Shell::new(words).variable("HOME", self.path()).input(input).run()
    }
}

impl Ran {
    /// The standard output of a command that must succeed.
    ///
    /// # Panics
    /// If it failed.
    pub fn stdout(&self) -> &str {
        assert!(self.succeeded, "it failed:\n{}{}", self.stdout, self.stderr);
        self.stdout.trim_end()
    }

    /// The messages of a command that must fail, without a word on standard output.
    ///
    /// # Panics
    /// If it succeeded, or said anything there.
    pub fn failure(&self) -> &str {
        assert!(!self.succeeded, "it succeeded:\n{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "", "standard output is for data");
        &self.stderr
    }
}

/// The command has failed, and its messages hold each of `parts`.
///
/// # Panics
/// If that is not so.
pub fn says(ran: &Ran, parts: &[&str]) {
    let text = ran.failure();
    for part in parts {
        assert!(text.contains(part), "“{part}” is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

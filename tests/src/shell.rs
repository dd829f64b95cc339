//! The product's binary as somebody at a shell runs it, to its end.

use std::{
    ffi::OsString,
    io::Write as _,
    process::{Command, Stdio},
};

use crate::binary::dataflow_bin;

/// One command line.
#[derive(Debug)]
pub struct Shell {
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    input: Option<String>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ran {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    pub fn new<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self { arguments: arguments.into_iter().map(Into::into).collect(), variables: Vec::new(), input: None }
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
        let mut command = Command::new(dataflow_bin());
        command.args(&self.arguments).env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut pipe = child.stdin.take().expect("it was piped");
        // A command that fails early may not read it.
        let _ = pipe.write_all(self.input.as_deref().unwrap_or_default().as_bytes());
        drop(pipe);
        let done = child.wait_with_output().expect("own child");
        Ran {
            succeeded: done.status.success(),
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
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

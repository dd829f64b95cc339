//! The product's binary at a terminal, where somebody reads what it shows and types.
//!
//! The terminal is the one of `script` (util-linux): it starts a program on a pseudo-terminal and hands on both directions.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{binary::dataflow_bin, shell::Shell};

/// Longest wait for words on the screen, and for the end. The machine of the tests may be busy with others.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a terminal sends for Ctrl-C.
pub const CTRL_C: &str = "\x03";

/// A program at a terminal of 160 columns, so that no question wraps; killed on drop.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How far the screen has been read, in its text.
    read: usize,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status.
    pub status: Option<i32>,
    /// All that it has shown, without what moves and colours.
    pub text: String,
}

impl Shell {
    /// Starts it at a terminal, in an environment that holds the terminal's kind and what was given.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn at_a_terminal(&self) -> Terminal {
        let words = std::iter::once(dataflow_bin().into_os_string()).chain(self.arguments.iter().cloned());
        let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command"]);
        command.arg(format!("stty cols 160 rows 40; exec {}", quoted.join(" "))).arg("/dev/null").env_clear();
        command.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").env("TERM", "xterm-256color");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("script (util-linux) runs");
        let keyboard = child.stdin.take().expect("it was piped");
        let mut screen = child.stdout.take().expect("it was piped");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                all.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..count]);
            }
        });
        Terminal { child, keyboard, shown, read: 0 }
    }
}

impl Terminal {
    /// Waits until it shows `text`, after what was waited for before.
    ///
    /// # Panics
    /// With what it shows instead, if that takes a minute.
    pub fn shows(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = without_escapes(&self.raw());
            let new = screen.get(self.read..).unwrap_or_default();
            if let Some(place) = new.find(text) {
                self.read += place + text.len();
                return;
            }
            assert!(Instant::now() < deadline, "“{text}” is not shown, but: {screen:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types a line.
    ///
    /// # Panics
    /// If the terminal has gone.
    pub fn types(&mut self, line: &str) {
        self.presses(&format!("{line}\r"));
    }

    /// Presses keys.
    ///
    /// # Panics
    /// If the terminal has gone.
    pub fn presses(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("the terminal is there");
    }

    /// All that the program has sent, escape sequences included.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With what it shows, if it does not end within a minute.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < deadline, "it has not ended: {:?}", self.raw());
            thread::sleep(Duration::from_millis(10));
        }
        let status = self.child.wait().expect("own child").code();
        Ended { status, text: without_escapes(&self.raw()) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text without control sequences (ECMA-48, 5.4: `ESC [`, then parameters, then one of `@` to `~`) and carriage returns.
fn without_escapes(raw: &str) -> String {
    let mut text = String::new();
    let mut characters = raw.chars().filter(|character| *character != '\r');
    while let Some(character) = characters.next() {
        if character != '\x1b' {
            text.push(character);
        } else if characters.next() == Some('[') {
            let _final = characters.by_ref().find(|character| ('@'..='~').contains(character));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::without_escapes;

    #[test]
    fn what_moves_and_colours_is_no_text() {
        assert_eq!(without_escapes("\x1b[?2004h\x1b[38;5;10m?\x1b[39m Host\x1b[1G\r\n\x1b7x"), "? Host\nx");
    }
}

//! A server that gives one reply after another, good or bad, and remembers what it was sent.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Longer than any test lets a client wait, and long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// One reply of the script.
#[derive(Clone)]
pub enum Reply {
    Whole { text: String, gate: Option<Gate> },
    Reset,
    Silence,
    TrickledHead,
    TrickledBody,
}

impl Reply {
    pub const RESET: Self = Self::Reset;
    pub const SILENCE: Self = Self::Silence;
    pub const TRICKLED_HEAD: Self = Self::TrickledHead;
    pub const TRICKLED_BODY: Self = Self::TrickledBody;

    pub fn json(status: u16, body: &str) -> Self {
        let text =
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        Self::Whole { text, gate: None }
    }

    pub fn status(status: u16) -> Self {
        if status == 304 {
            return Self::Whole { text: "HTTP/1.1 304 X\r\n\r\n".to_owned(), gate: None };
        }
        Self::json(status, r#"{"code":"of_a_test"}"#)
    }

    pub fn credentials(fingerprint: &str, password: &str) -> Self {
        let body = format!(
            r#"{{"name":"sales","type":"redshift","base":"postgres","sqlalchemy":"postgresql","fields":{{"host":"db.internal","port":5432,
            "username":"analytics","password":"{password}","tls":{{"mode":"verify-full","cert":null}},"extra":{{"read_only":true}}}},
            "fingerprint":"{fingerprint}","version":3}}"#
        );
        Self::json(200, &body)
    }

    /// Comes once the gate is open.
    pub fn behind(self, gate: &Gate) -> Self {
        match self {
            Self::Whole { text, .. } => Self::Whole { text, gate: Some(gate.clone()) },
            other => other,
        }
    }

    pub fn header(self, line: &str) -> Self {
        match self {
            Self::Whole { text, gate } => Self::Whole { text: text.replacen("\r\n", &format!("\r\n{line}\r\n"), 1), gate },
            other => other,
        }
    }
}

/// Holds replies back until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().expect("not poisoned") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let is_open = self.0.0.lock().expect("not poisoned");
        let _ = self.0.1.wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open).expect("not poisoned");
    }
}

/// Waits until it `is` so.
pub fn until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub struct Server {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Past the end of the script every connection is reset.
    pub fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let script = Arc::new(Mutex::new(script.into_iter().collect::<Vec<_>>().into_iter()));
        let (seen, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stop) = (Arc::clone(&seen), Arc::clone(&stopped));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                thread::spawn(move || {
                    let mut stream = stream;
                    while let Some(request) = read_request(&mut stream) {
                        log.lock().expect("not poisoned").push(request);
                        let reply = script.lock().expect("not poisoned").next().unwrap_or(Reply::RESET);
                        if !answer(&mut stream, &reply) {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, seen, stopped }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was sent so far, header names in lower case.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        #[expect(clippy::disallowed_methods, reason = "wakes the test's own listener so that it ends")]
        let _ = TcpStream::connect(self.address);
    }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.extend_from_slice(&byte);
    }
    let head = String::from_utf8(bytes).ok()?;
    let lowered: Vec<_> = head
        .split("\r\n")
        .map(|line| {
            line.split_once(": ").map_or_else(|| line.to_owned(), |(name, value)| format!("{}: {value}", name.to_lowercase()))
        })
        .collect();
    let head = lowered.join("\r\n");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).ok()?)
}

/// Whether the connection can serve another request.
fn answer(stream: &mut TcpStream, reply: &Reply) -> bool {
    match reply {
        Reply::Whole { text, gate } => {
            if let Some(gate) = gate {
                gate.wait();
            }
            stream.write_all(text.as_bytes()).is_ok()
        }
        Reply::Reset => {
            let _ = stream.shutdown(Shutdown::Both);
            false
        }
        Reply::Silence => {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.read(&mut [0; 1]);
            false
        }
        Reply::TrickledHead => trickle(stream, "HTTP/1.1 200 X\r\n"),
        Reply::TrickledBody => trickle(stream, "HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n"),
    }
}

/// One byte each 50 ms, until the client leaves: no single read ever takes long.
fn trickle(stream: &mut TcpStream, start: &str) -> bool {
    let _ = stream.write_all(start.as_bytes());
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && stream.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(50));
    }
    false
}

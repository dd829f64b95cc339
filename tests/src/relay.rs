//! A line to a server on this machine that a test can stop at a message, as a crash does: what it has stopped never arrives.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What passes, before it does.
#[derive(Debug)]
pub struct Passing<'b> {
    /// Which connection it is of; the first is 0.
    pub connection: usize,
    pub to_server: bool,
    pub bytes: &'b mut Vec<u8>,
}

impl Passing<'_> {
    /// Whether these bytes stand in it.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.bytes.windows(bytes.len()).any(|window| window == bytes)
    }
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// It never arrives, and nothing after it on this connection, which stays open until the relay is let go on.
    Stop,
    /// It arrives once the relay is let go on.
    Wait,
    /// The connection ends.
    End,
}

/// Every connection from this one on is stopped at its first message.
pub fn from(first: usize) -> impl Fn(Passing<'_>) -> Verdict + Send + Sync + 'static {
    move |passing| if passing.connection >= first { Verdict::Stop } else { Verdict::Pass }
}

/// From connection `first` on: the change of a password meets `change`; what the server answers to it is stopped, and every connection after that.
pub fn at_the_change(first: usize, change: Verdict) -> impl Fn(Passing<'_>) -> Verdict + Send + Sync + 'static {
    let changed = AtomicBool::new(false);
    move |passing| {
        let has_changed = changed.load(Ordering::SeqCst);
        if passing.connection < first {
            return Verdict::Pass;
        }
        if passing.to_server && (passing.holds(b"ALTER ROLE") || passing.holds(b"SET PASSWORD")) {
            changed.store(true, Ordering::SeqCst);
            return change;
        }
        if has_changed { Verdict::Stop } else { Verdict::Pass }
    }
}

const RULED: usize = 0;
const PASSES: usize = 1;
const CUT: usize = 2;

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    stopped: Arc<AtomicUsize>,
    mode: Arc<AtomicUsize>,
}

impl Relay {
    /// Forwards a free port of loopback's to another one, as `rule` says.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn to(port: u16, rule: impl Fn(Passing<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stopped, mode) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let line = Line { rule: Arc::new(rule), stopped: stopped.clone(), mode: mode.clone() };
        thread::spawn(move || {
            for (connection, near) in listener.incoming().flatten().enumerate() {
                let line = line.clone();
                thread::spawn(move || line.forward(&near, port, connection));
            }
        });
        Self { address, stopped, mode }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits until something was stopped.
    ///
    /// # Panics
    /// If nothing is within 20 s.
    pub fn wait(&self) {
        let begun = Instant::now();
        while self.stopped.load(Ordering::SeqCst) == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing came that is to be stopped");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends what was stopped, and passes on what waits; from now on everything passes.
    pub fn go_on(&self) {
        self.mode.store(PASSES, Ordering::SeqCst);
    }

    /// Ends every connection at its next byte, from now on.
    pub fn cut(&self) {
        self.mode.store(CUT, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Line {
    rule: Arc<dyn Fn(Passing<'_>) -> Verdict + Send + Sync>,
    stopped: Arc<AtomicUsize>,
    mode: Arc<AtomicUsize>,
}

impl Line {
    #[expect(clippy::disallowed_methods, reason = "dials a server that this test started")]
    fn forward(&self, near: &TcpStream, port: u16, connection: usize) {
        let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { return };
        thread::scope(|both| {
            both.spawn(|| self.carry(near, &far, connection, true));
            self.carry(&far, near, connection, false);
        });
    }

    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream, connection: usize, to_server: bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut bytes = buffer[..count].to_vec();
            let passing = Passing { connection, to_server, bytes: &mut bytes };
            let verdict = match self.mode.load(Ordering::SeqCst) {
                RULED => (self.rule)(passing),
                PASSES => Verdict::Pass,
                _ => Verdict::End,
            };
            if matches!(verdict, Verdict::Stop | Verdict::Wait) {
                self.stopped.fetch_add(1, Ordering::SeqCst);
                while self.mode.load(Ordering::SeqCst) == RULED {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            if matches!(verdict, Verdict::Stop | Verdict::End) || to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    }
}

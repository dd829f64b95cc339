//! Thousands of clients that say little and slowly: those who say something are answered as fast as ever.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::{
    environment,
    stored::{Engine, Stored},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How often a slow client says one more byte.
const DRIP: Duration = Duration::from_secs(1);
/// Reads of the honest client that are timed.
const SAMPLES: usize = 700;

/// What a slow client does once it is connected.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// Nothing at all.
    Silent,
    /// A head that never ends.
    Head,
    /// A body that never ends, of a request without a token.
    Body,
    /// Asks for much, again and again, and reads nothing.
    Deaf,
}

const KINDS: [Slow; 4] = [Slow::Silent, Slow::Head, Slow::Body, Slow::Deaf];

impl Slow {
    fn begin(self) -> Vec<u8> {
        match self {
            Self::Silent => Vec::new(),
            Self::Head => b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ".to_vec(),
            Self::Body => b"POST /sign-in HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: http://127.0.0.1\r\ncontent-type: \
                application/x-www-form-urlencoded\r\ncontent-length: 60000\r\n\r\nemail="
                .to_vec(),
            Self::Deaf => b"GET /assets/none HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".repeat(20),
        }
    }

    fn drip(self) -> &'static [u8] {
        match self {
            Self::Silent => b"",
            Self::Head | Self::Body => b"x",
            Self::Deaf => b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
fn connect(port: u16, kind: Slow) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_nonblocking(true).ok()?;
    stream.write_all(&kind.begin()).ok()?;
    Some(stream)
}

/// Whether the server has closed it: it takes no more, or has said goodbye. A deaf one does not look.
fn is_over(stream: &mut TcpStream, kind: Slow) -> bool {
    if stream.write(kind.drip()).is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
        return true;
    }
    let mut byte = [0; 1];
    !matches!(kind, Slow::Deaf) && stream.peek(&mut byte).is_ok_and(|count| count == 0)
}

/// Keeps `count` slow connections open, whatever the server closes, until it is over.
fn be_slow(port: u16, count: usize, open: &AtomicUsize, over: &AtomicBool) {
    let mut all: Vec<(Slow, Option<TcpStream>)> = (0..count).map(|number| (KINDS[number % KINDS.len()], None)).collect();
    while !over.load(Ordering::SeqCst) {
        let began = Instant::now();
        for (number, (kind, place)) in all.iter_mut().enumerate() {
            // Each at its own moment, as clients that know nothing of each other.
            let due = DRIP * u32::try_from(number).expect("small") / u32::try_from(count).expect("small");
            let early = due.saturating_sub(began.elapsed());
            if early > Duration::from_millis(2) {
                thread::sleep(early);
            }
            if place.as_mut().is_none_or(|stream| is_over(stream, *kind)) {
                open.fetch_sub(usize::from(place.is_some()), Ordering::SeqCst);
                *place = connect(port, *kind);
                open.fetch_add(usize::from(place.is_some()), Ordering::SeqCst);
            }
            if over.load(Ordering::SeqCst) {
                return;
            }
        }
        thread::sleep(DRIP.saturating_sub(began.elapsed()));
    }
}

/// How long reads of credentials take on one connection, sorted.
#[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
fn honest(stored: &Stored) -> Vec<Duration> {
    let mut stream = TcpStream::connect(("127.0.0.1", stored.server.port())).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let ask = format!(
        "GET /api/v1/workspaces/default/connections/sales/credentials HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n\r\n",
        stored.admin
    );
    let mut buffer = [0; 16 * 1024];
    let mut took: Vec<_> = (0..SAMPLES)
        .map(|_| {
            let began = Instant::now();
            stream.write_all(ask.as_bytes()).expect("it is open");
            let count = stream.read(&mut buffer).expect("an answer");
            assert!(buffer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..count]));
            let took = began.elapsed();
            // Somebody's work between two requests, so that the time of the test holds many moments.
            thread::sleep(Duration::from_millis(1));
            took
        })
        .collect();
    took.sort_unstable();
    took
}

/// Of those sorted, the one that 99 of 100 do not exceed.
fn p99(took: &[Duration]) -> Duration {
    took[(took.len() * 99).div_ceil(100) - 1]
}

/// Lets this process open so many files, if the system does; gives how many there are.
fn open_files(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let granted = maximum.unwrap_or(u64::MAX).min(wanted);
    if current.is_some_and(|current| current < granted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(granted), maximum }).expect("up to the maximum");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[test]
fn slow_clients_slow_nobody_else_down() {
    let wanted: u64 = if environment::soak() { 5_000 } else { 1_000 };
    let files = open_files(wanted + 300);
    let count = usize::try_from(wanted.min(files.saturating_sub(300))).expect("small");
    let stored = Stored::start(Engine::Sqlite);
    stored.create("sales", "planted");
    honest(&stored);
    let alone = honest(&stored);
    let (open, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (most, beside) = thread::scope(|scope| {
        for part in 0..2 {
            let (open, over, port) = (&open, &over, stored.server.port());
            scope.spawn(move || be_slow(port, count / 2 + count % 2 * part, open, over));
        }
        let began = Instant::now();
        while open.load(Ordering::SeqCst) < count && began.elapsed() < Duration::from_mins(1) {
            thread::sleep(Duration::from_millis(50));
        }
        let most = open.load(Ordering::SeqCst);
        let beside = honest(&stored);
        over.store(true, Ordering::SeqCst);
        (most, beside)
    });
    println!(
        "promise: {most} hostile slow connections: honest p99 {:.2} ms alone, {:.2} ms beside (medians {:.2} and {:.2})",
        p99(&alone).as_secs_f64() * 1e3,
        p99(&beside).as_secs_f64() * 1e3,
        alone[SAMPLES / 2].as_secs_f64() * 1e3,
        beside[SAMPLES / 2].as_secs_f64() * 1e3
    );
    assert!(most * 10 >= count * 9, "only {most} of {count} were open at a time");
    // The slow ones run on the server's own machine here, beside other tests: what they take of it is not the server's doing.
    let by_chance = Duration::from_millis(if environment::soak() { 1 } else { 10 });
    assert!(p99(&beside) <= 2 * p99(&alone) + by_chance, "{:?} and {:?}", p99(&alone), p99(&beside));
}

//! A running accept loop with a few routes, and a client that can misbehave.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::SOON;
use crate::listen::{ListenConfig, PeerAddress, bind, serve};

pub(super) const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
/// More than the socket buffers of both ends hold.
pub(super) const BIG: usize = 32 * 1024 * 1024;

pub(super) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Asks again and again whether it `is` so by now; panics with `complaint` if it does not become so.
pub(super) async fn until(complaint: &str, is: impl AsyncFn() -> bool) {
    let asking = async {
        while !is().await {
            tokio::time::sleep(millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, asking).await.is_ok(), "{complaint} within {SOON:?}");
}

/// Waits for `future`, which must end in this span of time.
pub(super) async fn ended_within<T>(span: Range<Duration>, future: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let output = tokio::time::timeout(span.end, future).await.expect("must end in time");
    assert!(begun.elapsed() >= span.start, "ended after {:?}, too soon", begun.elapsed());
    output
}

/// Holds the handlers of the routes below `/gated` until a test lets them go on.
#[derive(Default)]
pub(super) struct Gate {
    entered: Notify,
    opened: Notify,
}

impl Gate {
    /// Waits until one more request is in its handler.
    pub(super) async fn entered(&self) {
        tokio::time::timeout(SOON, self.entered.notified()).await.expect("the request comes to its handler");
    }

    /// Lets all go on that are there now.
    pub(super) fn open(&self) {
        self.opened.notify_waiters();
    }

    /// What a handler does meanwhile is done when `work` ends.
    async fn hold<T>(&self, work: impl Future<Output = T>) -> T {
        let opened = self.opened.notified();
        self.entered.notify_one();
        let output = work.await;
        opened.await;
        output
    }
}

fn router(gate: Arc<Gate>) -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/peer", get(async |Extension(PeerAddress(peer)): Extension<PeerAddress>| peer.to_string()))
        .route("/length", post(async |body: String| body.len().to_string()))
        .route("/big", get(async || "x".repeat(BIG)))
        .route("/gated", get(async |State(gate): State<Arc<Gate>>| gate.hold(async { "gated" }).await))
        .route(
            "/gated/length",
            post(async |State(gate): State<Arc<Gate>>, request: Request| {
                let body = axum::body::to_bytes(request.into_body(), 1024);
                gate.hold(body).await.expect("the body comes").len().to_string()
            }),
        )
        .with_state(gate)
}

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) gate: Arc<Gate>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) async fn start(config: ListenConfig) -> Self {
        Self::start_on([127, 0, 0, 1], config).await
    }

    /// Listens on an address of loopback where no other process does, so that nobody takes the port once it is closed.
    pub(super) async fn start_apart(config: ListenConfig) -> Self {
        let [.., a, b, c] = std::process::id().to_be_bytes();
        Self::start_on([127, 64 | a, b, c], config).await
    }

    async fn start_on(host: [u8; 4], config: ListenConfig) -> Self {
        let listener = bind(SocketAddr::from((host, 0))).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let gate = Arc::new(Gate::default());
        let task = tokio::spawn(serve(listener, config, router(gate.clone()), async { stopped.await.unwrap_or(()) }));
        Self { address, gate, stop, task }
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).expect("still running");
        self.task.await.expect("the accept loop does not panic");
    }

    pub(super) async fn connect(&self) -> Client {
        Client::try_connect(self.address).await.expect("the listener is open")
    }

    #[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
    pub(super) async fn connect_from(&self, source: &str) -> Client {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(source.parse().expect("an address"), 0)).expect("loopback");
        Client { stream: socket.connect(self.address).await.expect("the listener is open") }
    }

    /// Waits until the server has room for one more client from 127.0.0.1.
    pub(super) async fn wait_for_room(&self) {
        let has_room = async || {
            let mut client = self.connect().await;
            client.stream.write_all(GET.as_bytes()).await.is_ok() && client.try_receive().await.is_some()
        };
        until("the place of a client that is gone was not freed", has_room).await;
    }
}

pub(super) struct Client {
    pub(super) stream: TcpStream,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "asks a server that this test started")]
    pub(super) async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { stream: TcpSocket::new_v4()?.connect(address).await? })
    }

    pub(super) fn local_address(&self) -> String {
        self.stream.local_addr().expect("connected").to_string()
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the connection is open");
    }

    /// Sends and returns the status and the body of the answer.
    pub(super) async fn ask(&mut self, text: &str) -> (String, String) {
        self.send(text).await;
        self.receive().await
    }

    pub(super) async fn receive(&mut self) -> (String, String) {
        self.try_receive().await.expect("an answer")
    }

    async fn try_receive(&mut self) -> Option<(String, String)> {
        receive(&mut self.stream).await
    }

    /// Ends when the server has closed the connection.
    pub(super) async fn closed(mut self) {
        let mut sink = [0; 1024];
        while let Ok(1..) = self.stream.read(&mut sink).await {}
    }

    pub(super) fn is_closed(&self) -> bool {
        let mut sink = [0; 1];
        !matches!(self.stream.try_read(&mut sink), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Counts what arrives until the end, by a reader that rests after every 2 MiB: 16 times on its way through [`BIG`].
    pub(super) async fn take_slowly(&mut self, rest: Duration) -> usize {
        self.take(rest).await
    }

    /// Counts what arrives until the end.
    pub(super) async fn take_all(&mut self) -> usize {
        self.take(Duration::ZERO).await
    }

    async fn take(&mut self, rest: Duration) -> usize {
        let (mut taken, mut since_rest) = (0, 0);
        let mut sink = vec![0; 256 * 1024];
        while let Ok(count @ 1..) = self.stream.read(&mut sink).await {
            taken += count;
            since_rest += count;
            if since_rest > 2 * 1024 * 1024 {
                since_rest = 0;
                tokio::time::sleep(rest).await;
            }
        }
        taken
    }
}

/// Reads one answer: status and body. `None` when the connection ends before it is whole.
pub(super) async fn receive(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, String)> {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(Ok(0), str::parse::<usize>);
            if body.len() >= length.expect("a number") {
                return Some((head.split(' ').nth(1)?.to_owned(), body.to_owned()));
            }
        }
        match stream.read_buf(&mut received).await {
            Ok(1..) => {}
            _ => return None,
        }
    }
}

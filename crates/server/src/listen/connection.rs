//! One connection from accept to close.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use dataflow_connectors::Cidr;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tower::Service;

use super::pace::{Limits, Pace, RequestBody, ResponseBody};
use super::{PeerAddress, Tls, proxies};

/// Longest head of a request, in bytes; the answer to a longer one is 431.
pub const HEAD_MAX: usize = 32 * 1024;

/// What hyper gathers of a request or an answer at a time.
const BUFFER: usize = 64 * 1024;

/// What all connections have in common.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) drain: Duration,
    pub(super) tls: Option<Tls>,
    pub(super) trusted_proxies: Vec<Cidr>,
    pub(super) router: axum::Router,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    Draining,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) shared: Arc<Shared>,
    pub(super) stage: watch::Receiver<Stage>,
}

impl Connection {
    pub(super) async fn run(self) {
        let Self { stream, peer, shared, mut stage } = self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(peer.address = %peer, %error, "the connection was gone before it began");
            return;
        }
        let Some(tls) = &shared.tls else {
            return exchange(stream, peer, &shared, stage).await;
        };
        let handshake = timeout(shared.limits.handshake, tls.acceptor().accept(stream));
        let outcome = tokio::select! {
            outcome = handshake => outcome,
            _ = stage.changed() => return,
        };
        match outcome {
            Ok(Ok(stream)) => exchange(stream, peer, &shared, stage).await,
            Ok(Err(error)) => tracing::debug!(peer.address = %peer, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(peer.address = %peer, "the TLS handshake took too long"),
        }
    }
}

/// Serves requests until the client leaves, is late, or the server stops.
async fn exchange<S>(stream: S, peer: SocketAddr, shared: &Shared, mut stage: watch::Receiver<Stage>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Pace::new(shared.limits);
    let service = service_fn(|request| answer(request, peer, &pace, shared));
    let stream = TokioIo::new(Paced { stream, pace: pace.clone(), stalled: false });
    // hyper's own deadline for heads counts the idle time between requests too, so it is off and `pace` keeps both.
    let connection = http1::Builder::new()
        .max_header_size(HEAD_MAX)
        .max_buf_size(BUFFER)
        .header_read_timeout(None)
        .serve_connection(stream, service);
    tokio::pin!(connection);

    let mut drained_by = None;
    let check = sleep_until((Instant::now() + shared.limits.shortest()).into());
    tokio::pin!(check);
    let stopping = stage.wait_for(|stage| *stage == Stage::Draining);
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            biased;
            outcome = &mut connection => {
                if let Err(error) = outcome {
                    tracing::debug!(peer.address = %peer, %error, "the connection ended early");
                }
                return;
            }
            () = &mut check => {
                let now = Instant::now();
                match pace.check(now) {
                    Err(late) => return tracing::debug!(peer.address = %peer, ?late, "the client took too long"),
                    Ok(_) if drained_by.is_some_and(|end| end <= now) => {
                        return tracing::warn!(peer.address = %peer, "a request was cut off by the shutdown");
                    }
                    Ok(next) => check.as_mut().reset(drained_by.map_or(next, |end| next.min(end)).into()),
                }
            }
            _ = &mut stopping, if drained_by.is_none() => {
                if pace.is_between_requests() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                drained_by = Some(Instant::now() + shared.drain);
                check.as_mut().reset(Instant::now().into());
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    pace: &Arc<Pace>,
    shared: &Shared,
) -> Result<Response<ResponseBody<Body>>, std::convert::Infallible> {
    pace.head_complete();
    let mut request = request.map(|body| RequestBody::new(body, pace.clone()));
    let asks = proxies::client(&shared.trusted_proxies, peer, request.headers());
    request.extensions_mut().insert(PeerAddress(asks));
    let response = shared.router.clone().call(request).await?;
    Ok(response.map(|body| ResponseBody::new(body, pace.clone())))
}

/// The stream, telling its [`Pace`] when bytes arrive and when the client takes none.
struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    stalled: bool,
}

impl<S> Paced<S> {
    fn note<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() != self.stalled {
            self.stalled = !self.stalled;
            if self.stalled {
                self.pace.write_stalled();
            } else {
                self.pace.write_moved();
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.pace.bytes_arrived();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.note(poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.note(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_flush(context);
        this.note(poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_shutdown(context);
        this.note(poll)
    }
}

//! Scripted servers: each accepts one connection after another, plays its script, and keeps all that it heard.

use std::{
    io,
    net::Ipv4Addr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// What a server heard, over all its connections.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub fn keep(&self, bytes: &[u8]) {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
    }

    pub fn contains(&self, text: &str) -> bool {
        self.0.lock().expect("not poisoned").windows(text.len()).any(|window| window == text.as_bytes())
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().expect("not poisoned").is_empty()
    }
}

/// One connection: plain, or after the handshake the inside of TLS.
pub struct Peer<S = TcpStream> {
    pub stream: S,
    pub heard: Heard,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Says `bytes`; the other side may be gone.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// What comes next, up to 4 KiB; empty at the end.
    pub async fn hear(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let length = self.stream.read(&mut buffer).await.unwrap_or(0);
        buffer.truncate(length);
        self.heard.keep(&buffer);
        buffer
    }

    /// Listens until the other side is gone.
    pub async fn hear_all(&mut self) {
        while !self.hear().await.is_empty() {}
    }
}

/// Starts a server on a port of its own, which plays `script` on each connection.
pub async fn serve<F, R>(script: F) -> (u16, Heard)
where
    F: Fn(Peer) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let heard = Heard::default();
    let shared = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(Peer { stream, heard: shared.clone() }));
        }
    });
    (port, heard)
}

/// A stream that keeps what is read from it, so that the inside of TLS and the outside are both heard.
pub struct Tap(pub TcpStream, pub Heard);

impl AsyncRead for Tap {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.0).poll_read(context, buffer);
        self.1.0.lock().expect("not poisoned").extend(buffer.filled().iter().skip(before));
        result
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

//! A stream of which the first bytes are remembered: by them one tells what it is that answers, where it is not HTTP.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As many as tell one protocol from another.
const KEPT: usize = 16;

/// The first bytes that came.
#[derive(Debug, Clone, Default)]
pub(crate) struct First(Arc<Mutex<Vec<u8>>>);

impl First {
    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn kind(&self) -> Kind {
        Kind::of(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the first bytes are those of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing came.
    Nothing,
    Http,
    Tls,
    /// A protocol that is known here, as a sentence begins with it.
    Named(&'static str),
    Unknown,
}

impl Kind {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Nothing,
            [b'H', b'T', b'T', b'P', ..] => Self::Http,
            // An alert or a handshake (RFC 8446, section 5.1).
            [0x15 | 0x16, 3, ..] => Self::Tls,
            [b'S', b'S', b'H', b'-', ..] => Self::Named("An SSH server"),
            [b'2', b'2', b'0', b' ' | b'-', ..] => Self::Named("A mail or FTP server"),
            [b'*', b' ', b'O', b'K', ..] => Self::Named("A mail server (IMAP)"),
            [b'+', b'O', b'K', ..] => Self::Named("A mail server (POP3)"),
            [b'-', b'E', b'R', b'R', ..] | [b'-', b'D', b'E', b'N', ..] => Self::Named("A Redis server"),
            [b'A', b'M', b'Q', b'P', ..] => Self::Named("A message broker (AMQP)"),
            [b'I', b'N', b'F', b'O', b' ', ..] => Self::Named("A NATS server"),
            // Length, sequence 0, and protocol 10 or an error.
            [_, _, 0, 0, 10 | 0xff, ..] => Self::Named("A MySQL or MariaDB server"),
            [b'E', 0, 0, ..] => Self::Named("A PostgreSQL server"),
            _ => Self::Unknown,
        }
    }
}

/// The stream itself.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    inner: S,
    first: First,
}

impl<S> Tap<S> {
    pub(crate) fn new(inner: S, first: First) -> Self {
        Self { inner, first }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.first.keep(buffer.filled().get(before..).unwrap_or_default());
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_is_told_by_its_first_bytes() {
        for (bytes, kind) in [
            (&b""[..], Kind::Nothing),
            (b"HTTP/1.1 ", Kind::Http),
            (b"\x15\x03\x01\0\x02", Kind::Tls),
            (b"SSH-2.0-", Kind::Named("An SSH server")),
            (b"220 mail", Kind::Named("A mail or FTP server")),
            (b"\x53\0\0\0\x0a8.0", Kind::Named("A MySQL or MariaDB server")),
            (b"E\0\0\0\x8aSFATAL", Kind::Named("A PostgreSQL server")),
            (b"hello", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(bytes), kind, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_first_is_some_kind(parts: Vec<Vec<u8>>) {
            let first = First::default();
            for part in &parts {
                first.keep(part);
            }
            let all = parts.concat();
            proptest::prop_assert_eq!(first.kind(), Kind::of(all.get(..KEPT).unwrap_or(&all)));
        }
    }
}

//! The handshake of TLS within packets of TDS, as version 7 has it (2.2.6.5, 3.2.5.3): what is flushed goes in a packet of PRELOGIN, and
//! so does what comes. After the handshake TLS is on the outside, and the packets are inside.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::packet::{HEAD, PRELOGIN, packets};
use crate::dialer::Duplex;

pub(super) struct Envelope {
    stream: Box<dyn Duplex>,
    is_over: Arc<AtomicBool>,
    /// As much as has come of a packet's head.
    head: Vec<u8>,
    /// What is left of the packet that is being read.
    left: usize,
    /// What was written and not flushed.
    written: BytesMut,
    /// Packets on their way.
    leaving: BytesMut,
}

impl Envelope {
    /// `is_over` tells when the handshake is.
    pub(super) fn new(stream: Box<dyn Duplex>, is_over: Arc<AtomicBool>) -> Self {
        let (written, leaving) = (BytesMut::new(), BytesMut::new());
        Self { stream, is_over, head: Vec::new(), left: 0, written, leaving }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Reads at most `most` bytes.
    fn poll_some(&mut self, context: &mut Context<'_>, most: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut room = vec![0; most.min(4096)];
        let mut part = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        Poll::Ready(Ok(part.filled().to_vec()))
    }

    fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.leaving.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.leaving))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.leaving.advance(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Envelope {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.left > 0 {
                let part = ready!(this.poll_some(context, this.left.min(into.remaining())))?;
                this.left = if part.is_empty() { 0 } else { this.left.saturating_sub(part.len()) };
                into.put_slice(&part);
                return Poll::Ready(Ok(()));
            }
            if this.is_over() {
                return Pin::new(&mut this.stream).poll_read(context, into);
            }
            let part = ready!(this.poll_some(context, HEAD - this.head.len()))?;
            if part.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.head.extend_from_slice(&part);
            if let [kind, _, high, low, _, _, _, _] = *this.head.as_slice() {
                let length = usize::from(u16::from_be_bytes([high, low]));
                if kind != PRELOGIN || length <= HEAD {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                this.left = length - HEAD;
                this.head.clear();
            }
        }
    }
}

impl AsyncWrite for Envelope {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_over() {
            ready!(this.poll_leave(context))?;
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        this.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.written.is_empty() {
            let written = this.written.split();
            this.leaving.extend_from_slice(&packets(PRELOGIN, &written));
        }
        ready!(this.poll_leave(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

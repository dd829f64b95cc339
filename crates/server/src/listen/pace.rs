//! What a connection is waiting for, since when, and until when it may.
//!
//! The stream and the two bodies tell a [`Pace`] what happens; the connection's task asks it now and then whether the client is
//! late. Nothing here arms a timer: an exchange costs a few uncontended locks and two looks at the clock.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// How long a client may keep a connection waiting.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the whole head of a request: from its first byte, and on a new connection from the start.
    pub head: Duration,
    /// For the whole body of a request, from the moment the handler first has to wait for it. It is not renewed by each byte: a
    /// body is at most 64 KiB, and a client that drips it would hold the connection for hours.
    pub body: Duration,
    /// For the next request on a connection kept alive.
    pub idle: Duration,
    /// For the client to take any of what is being sent. The kernel reports room only when a third of its buffer is free, so each
    /// renewal costs the client tens of KiB.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
        }
    }
}

impl Limits {
    pub(super) fn shortest(&self) -> Duration {
        self.head.min(self.body).min(self.idle).min(self.write)
    }

    fn of(&self, waiting: Waiting) -> Option<Duration> {
        match waiting {
            Waiting::First | Waiting::Head => Some(self.head),
            Waiting::Idle => Some(self.idle),
            Waiting::Body => Some(self.body),
            Waiting::Handler => None,
        }
    }
}

/// What the connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The first byte of the first request.
    First,
    /// The rest of a request's head.
    Head,
    /// The rest of a request's body.
    Body,
    /// The handler, which keeps its own time.
    Handler,
    /// The next request.
    Idle,
}

/// Why a connection was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Waiting(Waiting),
    Write,
}

struct State {
    waiting: Waiting,
    since: Instant,
    write_stalled: Option<Instant>,
}

/// The pace of one connection.
pub(super) struct Pace {
    limits: Limits,
    state: Mutex<State>,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = State { waiting: Waiting::First, since: Instant::now(), write_stalled: None };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    pub(super) fn bytes_arrived(&self) {
        self.step(|waiting| matches!(waiting, Waiting::First | Waiting::Idle), Waiting::Head);
    }

    pub(super) fn head_complete(&self) {
        self.step(|_| true, Waiting::Handler);
    }

    fn body_awaited(&self) {
        self.step(|waiting| waiting == Waiting::Handler, Waiting::Body);
    }

    fn body_complete(&self) {
        self.step(|waiting| waiting == Waiting::Body, Waiting::Handler);
    }

    fn answered(&self) {
        self.step(|_| true, Waiting::Idle);
    }

    pub(super) fn write_stalled(&self) {
        self.state().write_stalled = Some(Instant::now());
    }

    /// An answer that lies whole in the buffers is still on its way; the wait for the next request begins anew with each piece taken.
    pub(super) fn write_moved(&self) {
        self.state().write_stalled = None;
        self.step(|waiting| waiting == Waiting::Idle, Waiting::Idle);
    }

    /// Whether nothing would be lost if the connection ended: no request has begun, and of the last answer nothing is still on its way.
    pub(super) fn is_between_requests(&self) -> bool {
        let state = self.state();
        matches!(state.waiting, Waiting::First | Waiting::Idle) && state.write_stalled.is_none()
    }

    /// When to ask again, or why the connection is to be closed.
    ///
    /// What begins after `now` ends no earlier than the shortest limit from `now`; so who asks again at the returned time at the
    /// latest never finds a client late by more than the timer's own slack.
    pub(super) fn check(&self, now: Instant) -> Result<Instant, Late> {
        let state = self.state();
        let waiting = self.limits.of(state.waiting).map(|limit| (state.since + limit, Late::Waiting(state.waiting)));
        let write = state.write_stalled.map(|since| (since + self.limits.write, Late::Write));
        let mut next = now + self.limits.shortest();
        for (deadline, late) in waiting.into_iter().chain(write) {
            if deadline <= now {
                return Err(late);
            }
            next = next.min(deadline);
        }
        Ok(next)
    }

    fn step(&self, from: impl FnOnce(Waiting) -> bool, to: Waiting) {
        let mut state = self.state();
        if from(state.waiting) {
            (state.waiting, state.since) = (to, Instant::now());
        }
    }

    /// Each change is one assignment, so a panic elsewhere cannot have left it half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body: tells when the handler begins to wait for it, and when it needs no more.
pub(super) struct RequestBody<B> {
    inner: B,
    pace: Arc<Pace>,
    awaited: bool,
}

impl<B> RequestBody<B> {
    pub(super) fn new(inner: B, pace: Arc<Pace>) -> Self {
        Self { inner, pace, awaited: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.inner).poll_frame(context);
        if poll.is_pending() && !this.awaited {
            this.awaited = true;
            this.pace.body_awaited();
        }
        let frame = ready!(poll);
        if this.awaited && (frame.is_none() || this.inner.is_end_stream()) {
            this.pace.body_complete();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if self.awaited {
            self.pace.body_complete();
        }
    }
}

/// A response's body: when it is dropped, all of it is on its way and the next request may come.
pub(super) struct ResponseBody<B> {
    inner: B,
    pace: Arc<Pace>,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(inner: B, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for ResponseBody<B> {
    fn drop(&mut self) {
        self.pace.answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(10),
        body: Duration::from_secs(30),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(40),
    };

    fn late_after(pace: &Pace, seconds: u64) -> Option<Late> {
        pace.check(Instant::now() + Duration::from_secs(seconds)).err()
    }

    #[test]
    fn each_wait_has_its_own_limit() {
        let pace = Pace::new(LIMITS);
        assert_eq!((late_after(&pace, 9), late_after(&pace, 11)), (None, Some(Late::Waiting(Waiting::First))));
        pace.bytes_arrived();
        assert_eq!((late_after(&pace, 9), late_after(&pace, 11)), (None, Some(Late::Waiting(Waiting::Head))));
        pace.head_complete();
        assert_eq!(late_after(&pace, 3_600), None, "a handler keeps its own time");
        pace.body_awaited();
        assert_eq!((late_after(&pace, 29), late_after(&pace, 31)), (None, Some(Late::Waiting(Waiting::Body))));
        pace.body_complete();
        assert_eq!(late_after(&pace, 3_600), None);
        pace.answered();
        assert_eq!((late_after(&pace, 74), late_after(&pace, 76)), (None, Some(Late::Waiting(Waiting::Idle))));
        pace.bytes_arrived();
        assert_eq!(late_after(&pace, 11), Some(Late::Waiting(Waiting::Head)));
    }

    #[test]
    fn a_stalled_write_is_late_whatever_else_is_waited_for() {
        let pace = Pace::new(LIMITS);
        pace.head_complete();
        pace.write_stalled();
        assert_eq!((late_after(&pace, 39), late_after(&pace, 41)), (None, Some(Late::Write)));
        pace.write_moved();
        assert_eq!(late_after(&pace, 41), None);
    }

    #[test]
    fn a_check_is_due_before_anything_that_may_begin_meanwhile_can_be_late() {
        let pace = Pace::new(LIMITS);
        pace.head_complete();
        pace.answered();
        let now = Instant::now();
        assert_eq!(pace.check(now), Ok(now + LIMITS.head), "idle lasts 75 s, but a head begun now would be late in 10 s");
    }
}

//! One conversation over a socket: dialled through the guarded dialer, inside TLS from where the protocol has it begin, and read within bounds.
//!
//! What is read ahead in the clear may not be there when TLS begins: it could be taken for what came inside (CVE-2011-0411 of SMTP, and its
//! likes).

use std::{
    borrow::Cow,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use dataflow_model::{Cause, StepName, TestError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::kept::Kept;
use crate::{
    Dialer, Steps, Target, causes,
    connector::Farewell,
    dialer::{Checked, Duplex},
    http::{First, Kind, Tap},
    scrub::Scrubber,
    tls::{self, Agreed, Demand, TlsMode, TlsSettings},
};

/// Longest line that is read, in bytes.
pub(super) const LONGEST_LINE: usize = 8 * 1024;
/// Largest frame or literal that is read.
pub(super) const LARGEST: usize = 64 * 1024;
/// How long the other side may be silent before the question is put what it is.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the answer to that question is waited for.
const ANSWER: Duration = Duration::from_millis(1500);
/// PostgreSQL's request for TLS, and the end of a line: one or the other is answered by whatever waits for its client to speak.
pub(super) const ANYBODY: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f\r\n\r\n";
/// As many bytes as tell one protocol from another.
const FIRST: usize = 16;
/// How whoever speaks TLS begins to say that it did not understand.
const TLS_ALERT: &[u8] = &[0x15, 3, 3];

/// What is the same for every conversation in one protocol.
#[derive(Debug)]
pub(crate) struct Protocol {
    /// As catalogue entries call it.
    pub(crate) name: &'static str,
    /// As a person calls it: `Redis`.
    pub(crate) product: &'static str,
    /// What is asked in the clear to find out what answers. It holds nothing of anybody.
    pub(crate) question: &'static [u8],
    /// Whether what came first in the clear, sixteen bytes at most, is of this protocol.
    pub(crate) is_its: fn(&[u8]) -> bool,
    /// The field by which TLS begins at once or after a request, where there are both.
    pub(crate) tls_start: Option<&'static str>,
    /// Takes leave.
    pub(crate) goodbye: &'static [u8],
}

/// The other side's place, to be reached once more.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) dialer: &'a Dialer,
    pub(super) protocol: &'static Protocol,
    host: Cow<'a, str>,
    /// None of a conversation that was recorded.
    checked: Option<Arc<Checked>>,
}

impl Place<'_> {
    /// What comes first of whatever answers there in the clear; nothing if it says nothing, or lets go.
    async fn first_words(&self) -> Vec<u8> {
        let asked = async {
            let mut stream = self.dialer.reach(&self.host, self.checked.as_deref()?).await.ok()?;
            stream.write_all(self.protocol.question).await.ok()?;
            let mut answer = vec![0; FIRST];
            let length = stream.read(&mut answer).await.ok()?;
            answer.truncate(length);
            Some(answer)
        };
        tokio::time::timeout(ANSWER, asked).await.ok().flatten().unwrap_or_default()
    }

    /// Whether TLS is spoken there; nothing is verified, and nothing said.
    async fn speaks_tls(&self, tls: &TlsSettings<'_>) -> bool {
        let asked = async {
            let stream = self.dialer.reach(&self.host, self.checked.as_deref()?).await.ok()?;
            let secured = tls::secure(tls, self.dialer.system_roots(), &self.host, self.protocol.product, stream).await;
            let refused = |error: TestError| matches!(error.code, Cause::ClientCertificateRefused | Cause::TlsNotOffered);
            Some(secured.map_or_else(refused, |_| true))
        };
        tokio::time::timeout(ANSWER, asked).await.ok().flatten().unwrap_or_default()
    }

    /// Ends once something has answered that does not speak TLS, which is waited for.
    async fn stranger(&self) -> Vec<u8> {
        tokio::time::sleep(SILENCE).await;
        let words = self.first_words().await;
        if matches!(Kind::of(&words), Kind::Nothing | Kind::Tls) {
            std::future::pending::<()>().await;
        }
        words
    }

    /// The same for who waits in the clear: the other side may wait for TLS, and most servers let go of whoever speaks something else.
    async fn stranger_to_words(&self, tls: &TlsSettings<'_>) -> Vec<u8> {
        tokio::time::sleep(SILENCE).await;
        let mut words = self.first_words().await;
        if words.is_empty() && self.speaks_tls(tls).await {
            words = TLS_ALERT.to_vec();
        }
        if words.is_empty() {
            std::future::pending::<()>().await;
        }
        words
    }
}

/// The conversation.
pub(crate) struct Link<'a> {
    pub(super) target: &'a Target,
    pub(super) scrubber: Scrubber,
    pub(super) tls: TlsSettings<'a>,
    pub(super) step: StepName,
    place: Place<'a>,
    stream: Box<dyn Duplex>,
    ahead: BytesMut,
    heard: Vec<u8>,
    is_secured: bool,
    /// Told whoever encloses the handshake of TLS.
    is_past_handshake: Arc<AtomicBool>,
    /// What is below TLS, where it may have to begin once more.
    kept: Option<Kept>,
}

impl<'a> Link<'a> {
    /// The steps `resolve` and `reach`.
    pub(super) async fn dial(
        target: &'a Target,
        dialer: &'a Dialer,
        protocol: &'static Protocol,
        port: u16,
        steps: &mut Steps,
    ) -> Result<Self, TestError> {
        let host = target.text("host");
        let (stream, checked) = dialer.dial_checked(host, port, steps).await?;
        let place = Place { dialer, protocol, host: Cow::Borrowed(host), checked: Some(Arc::new(checked)) };
        Ok(Self::over(stream, target, place))
    }

    /// Another conversation with the same place, as `target` has it.
    pub(super) async fn again(place: Place<'a>, target: &'a Target) -> Result<Self, TestError> {
        let checked = place.checked.as_deref().ok_or_else(|| causes::connection_lost(StepName::Reach))?;
        let stream = place.dialer.reach(&place.host, checked).await?;
        Ok(Self::over(stream, target, place))
    }

    pub(super) fn over(stream: Box<dyn Duplex>, target: &'a Target, place: Place<'a>) -> Self {
        Self {
            target,
            scrubber: Scrubber::of(target),
            tls: TlsSettings::of(target),
            step: StepName::Secure,
            place,
            stream,
            ahead: BytesMut::new(),
            heard: Vec::new(),
            is_secured: false,
            is_past_handshake: Arc::default(),
            kept: None,
        }
    }

    /// Goes on with another host, of which nothing is known yet. That it may be told what this one was to be told, the caller has seen to.
    pub(super) async fn move_to(&mut self, host: &str, port: u16) -> Result<(), TestError> {
        let dialer = self.place.dialer;
        let checked = dialer.resolve(host, port).await?;
        self.stream = dialer.reach(host, &checked).await?;
        self.place.host = Cow::Owned(host.to_owned());
        self.place.checked = Some(Arc::new(checked));
        self.ahead.clear();
        self.heard.clear();
        self.is_secured = false;
        Ok(())
    }

    pub(super) fn host(&self) -> &str {
        &self.place.host
    }

    /// What the protocol demands of the TLS that is about to begin.
    pub(super) fn demand(&mut self, demand: Demand) {
        self.tls = TlsSettings::of(self.target).demanding(demand);
    }

    /// Keeps what TLS will be put over.
    pub(super) fn keep(&mut self) {
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let kept = Kept::new(plain);
        self.stream = Box::new(kept.clone());
        self.kept = Some(kept);
    }

    /// Leaves TLS without a word, and begins it once more on the same connection. Nothing that was heard before counts.
    pub(super) async fn secure_again(&mut self) -> Result<(), TestError> {
        if !self.ahead.is_empty() {
            return Err(causes::early_bytes());
        }
        let kept = self.kept.clone().ok_or_else(|| self.foreign())?;
        self.stream = Box::new(kept);
        self.is_secured = false;
        self.secure().await.map(drop)
    }

    /// Has the handshake go through what `enclose` makes of the stream. That is told once TLS has begun.
    pub(super) fn enclose<S: Duplex + 'static>(&mut self, enclose: impl FnOnce(Box<dyn Duplex>, Arc<AtomicBool>) -> S) {
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.is_past_handshake = Arc::default();
        self.stream = Box::new(enclose(plain, Arc::clone(&self.is_past_handshake)));
    }

    /// For a conversation that has been recorded.
    #[cfg(test)]
    pub(super) fn place_of(dialer: &'a Dialer, protocol: &'static Protocol) -> Place<'a> {
        Place { dialer, protocol, host: Cow::Borrowed("recorded"), checked: None }
    }

    pub(super) fn place(&self) -> Place<'a> {
        self.place.clone()
    }

    pub(super) fn product(&self) -> &'static str {
        self.place.protocol.product
    }

    pub(super) fn begin(&mut self, step: StepName, steps: &mut Steps) {
        self.step = step;
        steps.begin(step);
    }

    /// Whether TLS is asked for and has not begun yet.
    pub(super) fn wants_tls(&self) -> bool {
        self.tls.mode() != TlsMode::Disable && !self.is_secured
    }

    pub(super) fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// Refuses unless nobody on the way can read the sign-in, or an admin allowed that.
    pub(super) fn require_unheard(&self) -> Result<(), TestError> {
        let is_verified = self.is_secured && self.tls.is_verified();
        if self.target.is_unheard(is_verified) || self.target.text("extra.insecure_auth") == "password" {
            return Ok(());
        }
        Err(causes::sign_in_would_be_heard())
    }

    /// TLS begins here; its version.
    pub(super) async fn secure(&mut self) -> Result<Agreed, TestError> {
        if !self.ahead.is_empty() {
            return Err(causes::early_bytes());
        }
        let (place, first) = (self.place(), First::default());
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let plain = Tap::new(plain, first.clone());
        let roots = place.dialer.system_roots();
        let secured = tls::secure(&self.tls, roots, &place.host, self.product(), plain);
        // Who has spoken already is known.
        let is_unknown = self.heard.is_empty();
        let secured = tokio::select! {
            secured = secured => secured,
            words = place.stranger(), if is_unknown => return Err(self.no_tls(&words)),
        };
        let stream = match secured {
            Ok(stream) => stream,
            Err(error) if matches!(error.code, Cause::NotThatDatabase | Cause::ConnectionLost) => {
                let mut words = first.bytes();
                if words.is_empty() && error.code == Cause::ConnectionLost && is_unknown {
                    words = place.first_words().await;
                }
                // What came of TLS is told best by what TLS came to.
                let is_told = matches!(Kind::of(&words), Kind::Nothing | Kind::Tls);
                return Err(if is_told { error } else { self.no_tls(&words) });
            }
            Err(error) => return Err(error),
        };
        let agreed = tls::agreed(&stream);
        self.is_past_handshake.store(true, Ordering::Release);
        self.stream = Box::new(stream);
        self.is_secured = true;
        self.heard.clear();
        Ok(agreed)
    }

    /// Where TLS should have begun, somebody speaks in the clear.
    fn no_tls(&self, words: &[u8]) -> TestError {
        match self.place.protocol.tls_start {
            _ if !(self.place.protocol.is_its)(words) => self.stranger_is(words),
            Some(field) => causes::tls_on_request(field),
            None => causes::tls_not_offered(),
        }
    }

    fn stranger_is(&self, words: &[u8]) -> TestError {
        match Kind::of(words) {
            Kind::Tls if self.tls.mode() == TlsMode::Disable => causes::tls_demanded(),
            Kind::Tls if self.is_secured => causes::not_that_database(self.product()),
            Kind::Tls => match self.place.protocol.tls_start {
                Some(field) => causes::tls_at_once(field),
                None => causes::not_that_database(self.product()),
            },
            Kind::Http => causes::another_service(self.product(), "a web server"),
            Kind::Named(what) => causes::another_service(self.product(), what),
            Kind::Nothing | Kind::Unknown => causes::not_that_database(self.product()),
        }
    }

    /// The answer is not one of this protocol.
    pub(super) fn foreign(&self) -> TestError {
        if (self.place.protocol.is_its)(&self.heard) { self.not_understood() } else { self.stranger_is(&self.heard) }
    }

    fn not_understood(&self) -> TestError {
        match self.step {
            StepName::Secure => causes::not_that_database(self.product()),
            step => causes::unexpected_answer(self.product(), step),
        }
    }

    fn lost(&self, error: &io::Error) -> TestError {
        tls::refused_by_server(error, &self.tls).unwrap_or_else(|| causes::connection_lost(self.step))
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), TestError> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match sent.await {
            Ok(()) => Ok(()),
            // Who lets go often says why before.
            Err(error) => match self.fill().await {
                Ok(()) => Err(self.foreign()),
                Err(_) => Err(self.lost(&error)),
            },
        }
    }

    /// Reads on: at least one byte more.
    async fn fill(&mut self) -> Result<(), TestError> {
        let mut part = [0; 4096];
        let read = self.stream.read(&mut part).await.and_then(|length| match part.get(..length) {
            None | Some([]) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(part) => Ok(part),
        });
        let part = match read {
            Ok(part) => part,
            Err(_) if self.heard.is_empty() && !self.is_secured && self.place.speaks_tls(&self.tls).await => {
                return Err(self.stranger_is(TLS_ALERT));
            }
            // It let go with the word of TLS that it did not understand.
            Err(_) if !self.is_secured && Kind::of(&self.heard) == Kind::Tls => return Err(self.foreign()),
            Err(error) => return Err(self.lost(&error)),
        };
        let room = FIRST.saturating_sub(self.heard.len());
        self.heard.extend(part.iter().take(room));
        self.ahead.extend_from_slice(part);
        Ok(())
    }

    /// The next line, without its end.
    pub(super) async fn line(&mut self) -> Result<String, TestError> {
        self.line_within(LONGEST_LINE).await
    }

    pub(super) async fn line_within(&mut self, longest: usize) -> Result<String, TestError> {
        loop {
            if let Some(end) = self.ahead.iter().take(longest).position(|byte| *byte == b'\n') {
                let line = self.ahead.split_to(end + 1);
                let line = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
            if self.ahead.len() >= longest {
                return Err(self.foreign());
            }
            self.fill().await?;
        }
    }

    /// The first line of a server that speaks first. Who waits for its client instead is found out.
    pub(super) async fn greeting(&mut self, longest: usize) -> Result<String, TestError> {
        let (place, tls) = (self.place(), TlsSettings::of(self.target));
        let words = tokio::select! {
            line = self.line_within(longest) => return line,
            words = place.stranger_to_words(&tls) => words,
        };
        if (place.protocol.is_its)(&words) { self.line_within(longest).await } else { Err(self.stranger_is(&words)) }
    }

    pub(super) async fn exact(&mut self, length: usize) -> Result<Vec<u8>, TestError> {
        if length > LARGEST {
            return Err(self.foreign());
        }
        while self.ahead.len() < length {
            self.fill().await?;
        }
        Ok(self.ahead.split_to(length).to_vec())
    }

    pub(super) async fn byte(&mut self) -> Result<u8, TestError> {
        while self.ahead.is_empty() {
            self.fill().await?;
        }
        Ok(self.ahead.get_u8())
    }

    /// Takes leave: no answer is waited for.
    pub(super) fn farewell(self) -> Farewell<'static> {
        let Self { place, mut stream, .. } = self;
        let goodbye = place.protocol.goodbye;
        Box::pin(async move {
            let _ = stream.write_all(goodbye).await;
            let _ = stream.shutdown().await;
        })
    }

    /// What comes from here on is no longer of this protocol.
    pub(super) fn into_stream(self) -> Box<dyn Duplex> {
        let Self { stream, ahead, .. } = self;
        if ahead.is_empty() {
            return stream;
        }
        let (read, write) = tokio::io::split(stream);
        let read = tokio::io::AsyncReadExt::chain(io::Cursor::new(ahead.freeze()), read);
        Box::new(tokio::io::join(read, write))
    }

    /// The server's words, as they may be shown.
    pub(super) fn clean(&self, words: &str) -> String {
        self.scrubber.clean(words)
    }

    pub(super) fn username(&self) -> &'a str {
        self.target.text("username")
    }

    pub(super) fn password(&self) -> &'a str {
        self.target.expose_secret(crate::connector::PASSWORD)
    }

    /// Refuses what would be more than one line.
    pub(super) fn require_one_line(&self, values: &[(&str, &str)]) -> Result<(), TestError> {
        match values.iter().find(|(_, value)| value.contains(['\r', '\n', '\0'])) {
            Some((field, _)) => Err(causes::unspeakable_in(field, self.product())),
            None => Ok(()),
        }
    }
}

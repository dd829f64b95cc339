//! Messages in and out. None is held in memory that is longer than its place in the conversation allows.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub(super) use frontend::{password_message, query, sasl_initial_response, sasl_response, startup_message};

/// Longest message that is read. PostgreSQL's longest before it is ready is its list of SASL mechanisms or an error text.
const LONGEST: usize = 64 * 1024;
/// Where libpq, too, takes an error for one of protocol version 2, which had no length.
const LONGEST_FIRST_ERROR: usize = 30_000;

/// Why a message could not be had.
#[derive(Debug)]
pub(super) enum Fault {
    Lost(io::Error),
    /// What was to be sent cannot be written in the protocol.
    Unspeakable,
    /// The first bytes are not this protocol's.
    Foreign,
    /// The first bytes are those of protocol version 2.
    TooOld,
    TooLong,
}

pub(super) struct Wire<S> {
    stream: S,
    input: BytesMut,
    is_first: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), is_first: true }
    }

    /// Sends the messages that `build` writes.
    pub(super) async fn write(&mut self, build: impl FnOnce(&mut BytesMut) -> io::Result<()>) -> Result<(), Fault> {
        // Not wiped: the process ends with the test.
        let mut output = BytesMut::new();
        build(&mut output).map_err(|_| Fault::Unspeakable)?;
        self.stream.write_all(&output).await.map_err(Fault::Lost)?;
        self.stream.flush().await.map_err(Fault::Lost)
    }

    /// Takes leave: a server logs a client that goes without a word.
    pub(super) async fn terminate(&mut self) {
        let _ = self.stream.write_all(&[b'X', 0, 0, 0, 4]).await;
        let _ = self.stream.flush().await;
    }

    /// The next message: its tag and body.
    pub(super) async fn read(&mut self) -> Result<(u8, Bytes), Fault> {
        self.fill(1).await?;
        // `R`: authentication, `E`: error, `N`: notice, `v`: another minor version
        if self.is_first && !matches!(self.input.first(), Some(b'R' | b'E' | b'N' | b'v')) {
            return Err(Fault::Foreign);
        }
        self.fill(5).await?;
        let (tag, length) = (self.input.get_u8(), self.input.get_u32());
        let length = usize::try_from(length).map_err(|_| Fault::TooLong)?;
        if self.is_first && length > LONGEST_FIRST_ERROR {
            return Err(if tag == b'E' && length.to_be_bytes().ends_with(b"FATA") { Fault::TooOld } else { Fault::Foreign });
        }
        self.is_first = false;
        match length.checked_sub(4) {
            None => Err(Fault::Foreign),
            Some(length) if length > LONGEST => Err(Fault::TooLong),
            Some(length) => {
                self.fill(length).await?;
                Ok((tag, self.input.split_to(length).freeze()))
            }
        }
    }

    /// Reads until `length` bytes are there.
    async fn fill(&mut self, length: usize) -> Result<(), Fault> {
        while self.input.len() < length {
            self.input.reserve(4096);
            if self.stream.read_buf(&mut self.input).await.map_err(Fault::Lost)? == 0 {
                return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(bytes: &[u8]) -> (Vec<(u8, Bytes)>, Fault) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut wire = Wire::new(tokio::io::join(bytes, tokio::io::sink()));
            let mut found = Vec::new();
            loop {
                match wire.read().await {
                    Ok(message) => found.push(message),
                    Err(fault) => return (found, fault),
                }
            }
        })
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
        let with_length = |length: usize| {
            let field = u32::try_from(length + 4).expect("short").to_be_bytes();
            [b"N\0\0\0\x04N".as_slice(), &field, &vec![b'x'; length]].concat()
        };
        assert!(matches!(messages(&with_length(LONGEST)), (found, Fault::Lost(_)) if found.len() == 2));
        assert!(matches!(messages(&with_length(LONGEST + 1)), (found, Fault::TooLong) if found.len() == 1));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_parted_into_messages_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for start in [&[][..], b"R\0\0\0\x08\0\0\0\0"] {
                let all = [start, &bytes].concat();
                let (found, _) = messages(&all);
                prop_assert!(found.iter().map(|(_, body)| body.len() + 5).sum::<usize>() <= all.len());
            }
        }
    }
}

//! MySQL packets on a stream: a length of three bytes, a sequence number, a payload. What the payload means is not known here.

use std::{io, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::refusal::Failure;
use crate::dialer::Duplex;

/// Where a connection says how many seconds an answer may take, once it is open.
pub const READ_TIMEOUT: &str = "extra.read_timeout";

/// Largest payload that is read. What a test asks for is answered in a few hundred bytes, so that a larger one is no honest answer.
pub const LARGEST: usize = 64 * 1024;

/// One connection. Reads exactly one packet at a time and nothing ahead: what a stranger slips in before TLS begins is read by
/// TLS, which refuses it.
pub struct Wire {
    stream: Box<dyn Duplex>,
    sequence: u8,
    /// Longest wait for one answer.
    patience: Option<Duration>,
}

impl Wire {
    pub fn new(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), sequence: 0, patience: None }
    }

    /// The bare stream, for TLS to be set up on it, and what [`Wire::resume`] needs afterwards.
    pub fn suspend(self) -> (Box<dyn Duplex>, u8) {
        (self.stream, self.sequence)
    }

    /// Goes on inside TLS where the plain connection left off.
    pub fn resume(stream: impl Duplex + 'static, sequence: u8) -> Self {
        Self { sequence, ..Self::new(stream) }
    }

    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// The next packet's payload. It may be a secret's echo, so it is wiped.
    pub async fn read(&mut self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match self.patience {
            Some(patience) => {
                tokio::time::timeout(patience, self.read_patiently()).await.map_err(|_| Failure::TimedOut(READ_TIMEOUT))?
            }
            None => self.read_patiently().await,
        }
    }

    async fn read_patiently(&mut self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await?;
        let [low, middle, high, sequence] = header;
        let length = usize::try_from(u32::from_le_bytes([low, middle, high, 0])).unwrap_or(usize::MAX);
        if sequence != self.sequence || length == 0 || length > LARGEST {
            return Err(Failure::Malformed);
        }
        self.sequence = sequence.wrapping_add(1);
        let mut payload = Zeroizing::new(vec![0; length]);
        self.stream.read_exact(&mut payload).await?;
        Ok(payload)
    }

    /// Sends one packet; `payload` is far below the 16 MB at which it would have to be split.
    pub async fn write(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(payload.len()).map_err(|_| Failure::Malformed)?;
        let [low, middle, high, _] = length.to_le_bytes();
        let mut packet = Zeroizing::new(Vec::with_capacity(4 + payload.len()));
        packet.extend_from_slice(&[low, middle, high, self.sequence]);
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).await?;
        Ok(self.stream.flush().await?)
    }

    /// Sends a command: it begins a new sequence.
    pub async fn command(&mut self, code: u8, argument: &[u8]) -> Result<(), Failure> {
        self.sequence = 0;
        self.write(&[&[code], argument].concat()).await
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(bytes).await.expect("room");
        drop(theirs);
        Wire::new(ours).read().await.map(|payload| payload.to_vec())
    }

    #[tokio::test]
    async fn a_packet_is_read_whole_and_a_bent_one_is_refused() {
        assert_eq!(read(&[2, 0, 0, 0, 7, 8]).await.expect("well formed"), [7, 8]);
        assert!(matches!(read(&[2, 0, 0, 1, 7, 8]).await, Err(Failure::Malformed)), "out of sequence");
        assert!(matches!(read(&[0, 0, 0, 0]).await, Err(Failure::Malformed)), "empty");
        assert!(matches!(read(&[1, 0, 1, 0]).await, Err(Failure::Malformed)), "65,537 bytes announced");
        assert!(matches!(read(b"SSH-2.0-OpenSSH_9.2\r\n").await, Err(Failure::Malformed)));
        assert!(matches!(read(&[2, 0, 0, 0, 7]).await, Err(Failure::Lost(_))), "cut off");
    }
}

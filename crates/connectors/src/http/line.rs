//! One connection on which requests are asked, and what is read of their answers.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::Answer;
use crate::dialer::Duplex;

/// Most bytes that are read of an answer's body. What is longer is cut: no answer that matters here is.
const LONGEST_BODY: usize = 256 * 1024;
/// Most bytes of an answer's head.
const LONGEST_HEAD: usize = 64 * 1024;

/// Ended with what holds it.
pub(super) struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    /// Something was answered on it: the server may have ended it since.
    pub(super) is_used: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Line {
    pub(super) async fn begin(stream: Box<dyn Duplex>) -> Result<Self, hyper::Error> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LONGEST_HEAD)
            .max_header_size(LONGEST_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        let driver = tokio::spawn(async move {
            // Whoever asks hears of its end.
            let _ = connection.await;
        });
        Ok(Self { sender, driver, is_used: false })
    }

    /// Whether a further request may go over it.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// The answer, and whether the line can be used again.
    pub(super) async fn ask(&mut self, request: hyper::Request<Full<Bytes>>) -> Result<(Answer, bool), hyper::Error> {
        self.sender.ready().await?;
        let (head, mut body) = self.sender.send_request(request).await?.into_parts();
        let mut read = BytesMut::new();
        let mut is_cut = false;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let room = LONGEST_BODY - read.len();
            read.extend_from_slice(data.get(..room).unwrap_or(&data));
            if data.len() > room {
                is_cut = true;
                break;
            }
        }
        self.is_used = true;
        let answer = Answer { status: head.status, headers: head.headers, body: read.freeze(), is_cut };
        Ok((answer, !is_cut))
    }
}

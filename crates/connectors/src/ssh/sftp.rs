//! What a test asks of SFTP: where the session begins, and whether it may look there.
//! <https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02>, version 3.

use dataflow_model::{StepName, TestError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::causes;

/// Largest packet that is read: what OpenSSH calls `SFTP_MAX_MSG_LENGTH`. A folder's names come many at once.
const LARGEST: usize = 256 * 1024;
const INIT: u8 = 1;
const VERSION: u8 = 2;
const CLOSE: u8 = 4;
const OPEN_FOLDER: u8 = 11;
const READ_FOLDER: u8 = 12;
const REAL_PATH: u8 = 16;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const NAME: u8 = 104;
const END: u32 = 1;

/// Where the session begins, and what one sees there. Whoever may only put files there sees nothing, and that is no failure.
pub(super) async fn look(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<String, TestError> {
    send(stream, INIT, &[&3_u32.to_be_bytes()]).await?;
    let (kind, _) = packet(stream).await?;
    if kind != VERSION {
        return Err(unexpected());
    }
    send(stream, REAL_PATH, &[&number(1), &text(b".")]).await?;
    let (kind, body) = answer(stream, 1).await?;
    let path = match kind {
        NAME => name(&body).ok_or_else(unexpected)?,
        STATUS => return Err(causes::read_refused("it does not say in which folder the session is")),
        _ => return Err(unexpected()),
    };
    send(stream, OPEN_FOLDER, &[&number(2), &text(path.as_bytes())]).await?;
    let handle = match answer(stream, 2).await? {
        (HANDLE, body) => body,
        (STATUS, _) => return Ok(format!("{path}, which may not be listed")),
        _ => return Err(unexpected()),
    };
    // One answer holds one name or more; the rest is not asked for.
    send(stream, READ_FOLDER, &[&number(3), &handle]).await?;
    let seen = match answer(stream, 3).await? {
        (NAME, _) => path,
        (STATUS, body) if body.first_chunk() == Some(&END.to_be_bytes()) => format!("{path}, which is empty"),
        (STATUS, _) => format!("{path}, which may not be listed"),
        _ => return Err(unexpected()),
    };
    send(stream, CLOSE, &[&number(4), &handle]).await?;
    Ok(seen)
}

fn unexpected() -> TestError {
    causes::unexpected_answer("SFTP", StepName::Read)
}

fn number(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn text(text: &[u8]) -> Vec<u8> {
    [&number(u32::try_from(text.len()).unwrap_or(u32::MAX))[..], text].concat()
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), kind: u8, parts: &[&[u8]]) -> Result<(), TestError> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 1).map_err(|_| unexpected())?;
    let packet = [&number(length)[..], &[kind], &body].concat();
    stream.write_all(&packet).await.map_err(|_| causes::connection_lost(StepName::Read))
}

/// The answer to the request with that number, without the number.
async fn answer(stream: &mut (impl AsyncRead + Unpin), request: u32) -> Result<(u8, Vec<u8>), TestError> {
    let (kind, body) = packet(stream).await?;
    let body = body.strip_prefix(&number(request)).ok_or_else(unexpected)?;
    Ok((kind, body.to_vec()))
}

async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> Result<(u8, Vec<u8>), TestError> {
    let lost = |_| causes::connection_lost(StepName::Read);
    let length = stream.read_u32().await.map_err(lost)?;
    let length = usize::try_from(length).ok().filter(|length| (1..=LARGEST).contains(length)).ok_or_else(unexpected)?;
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await.map_err(lost)?;
    packet.split_first().map(|(kind, body)| (*kind, body.to_vec())).ok_or_else(unexpected)
}

/// The first name of an answer that has names.
fn name(body: &[u8]) -> Option<String> {
    let (_count, rest) = body.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use dataflow_fuzz::fuzz;
    use tokio::io::{join, sink};

    use super::*;

    const HELLO: &[u8] = b"\0\0\0\x05\x02\0\0\0\x03\0\0\0\x19\x68\0\0\0\x01\0\0\0\x01\0\0\0\x04/tmp\0\0\0\0\0\0\0\0";
    const OPENED: &[u8] = b"\0\0\0\x0d\x66\0\0\0\x02\0\0\0\x04wxyz";
    const NAMED: &[u8] = b"\0\0\0\x19\x68\0\0\0\x03\0\0\0\x01\0\0\0\x04a.cv\0\0\0\0\0\0\0\0";

    fn refused(request: u8, code: u8) -> Vec<u8> {
        [&b"\0\0\0\x11\x65\0\0\0"[..], &[request], &[0, 0, 0, code], &[0; 8]].concat()
    }

    fn ask(said: &[u8]) -> Result<String, TestError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(look(&mut join(Cursor::new(said.to_vec()), sink())))
    }

    #[test]
    fn a_folder_is_told_and_what_is_seen_of_it() {
        let told = |parts: &[&[u8]]| ask(&parts.concat()).ok();
        assert_eq!(told(&[HELLO, OPENED, NAMED]).as_deref(), Some("/tmp"));
        assert_eq!(told(&[HELLO, OPENED, &refused(3, 1)]).as_deref(), Some("/tmp, which is empty"));
        assert_eq!(told(&[HELLO, OPENED, &refused(3, 3)]).as_deref(), Some("/tmp, which may not be listed"));
        assert_eq!(told(&[HELLO, &refused(2, 3)]).as_deref(), Some("/tmp, which may not be listed"));
        assert_eq!(told(&[HELLO, &refused(9, 3)]), None, "an answer to another question");
        assert_eq!(told(&[HELLO]), None);
        assert_eq!(told(&[b"\0\0\0\x05\x02\0\0\0\x03\x7f\xff\xff\xff\x68"]), None, "larger than is read");
    }

    #[test]
    fn fuzz_answers() {
        let corpus =
            [[HELLO, OPENED, NAMED].concat(), [HELLO, OPENED, &refused(3, 1)].concat(), [HELLO, &refused(2, 3)].concat()];
        let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
        fuzz(&corpus, |bytes| drop(ask(bytes)));
    }
}

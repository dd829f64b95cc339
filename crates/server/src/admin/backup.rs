//! A backup on its way from the server to a shell: after the first answer pieces, each behind its length as four bytes, then an empty one,
//! and a last answer, which says whether it is whole.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::unix::OwnedReadHalf,
    sync::mpsc,
};

use super::{AdminAnswer, AdminRequest, Error, connect, write_line};
use crate::{
    app::App,
    backup::file::BackupFile,
    config::{DataConfig, NODES_MAX},
    ops::{Caller, backup},
};

/// Pieces that are made ahead of whoever takes them.
const AHEAD: usize = 4;
/// Longest piece, in bytes: a block of a backup, with room to spare.
const PIECE_MAX: u32 = 64 * 1024 * 1024;

/// Sends a backup.
pub(super) async fn answer(app: &App, writer: &mut (impl AsyncWrite + Unpin)) -> anyhow::Result<()> {
    write_line(writer, &AdminAnswer::BackupFollows).await?;
    let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(AHEAD);
    let taking = async move { backup::take(app, &Caller::shell(), &sink).await };
    // Each of the two drops its end when it is over, so that the other does not wait for it.
    let sending = async move {
        while let Some(piece) = pieces.recv().await {
            writer.write_u32(u32::try_from(piece.len())?).await?;
            writer.write_all(&piece).await?;
        }
        anyhow::Ok(writer)
    };
    let (taken, sent) = tokio::join!(taking, sending);
    let writer = sent.context("send a backup")?;
    writer.write_u32(0).await?;
    write_line(writer, &taken.map_or_else(refused, AdminAnswer::BackedUp)).await
}

/// Has a server that runs on the data folder write a backup into `file`; `None` if none listens.
pub async fn ask(data: &DataConfig, file: &mut BackupFile) -> anyhow::Result<Option<AdminAnswer>> {
    for node in 1..=NODES_MAX {
        if let Some(stream) = connect(&data.socket(node)).await? {
            let (reader, mut writer) = stream.into_split();
            write_line(&mut writer, &AdminRequest::Backup).await?;
            return receive(BufReader::new(reader), file).await.context("The server did not send the whole backup").map(Some);
        }
    }
    Ok(None)
}

async fn receive(mut reader: BufReader<OwnedReadHalf>, file: &mut BackupFile) -> anyhow::Result<AdminAnswer> {
    match read_answer(&mut reader).await? {
        AdminAnswer::BackupFollows => {}
        other => return Ok(other),
    }
    let mut piece = Vec::new();
    loop {
        let length = reader.read_u32().await?;
        if length == 0 {
            return read_answer(&mut reader).await;
        }
        if length > PIECE_MAX {
            bail!("it sends something else");
        }
        piece.resize(usize::try_from(length)?, 0);
        reader.read_exact(&mut piece).await?;
        file.write(&piece)?;
    }
}

async fn read_answer(reader: &mut BufReader<OwnedReadHalf>) -> anyhow::Result<AdminAnswer> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    serde_json::from_str(&line).context("read its answer")
}

/// Writes a backup into `file` with the store in hand.
pub async fn take(app: &App, file: &mut BackupFile) -> anyhow::Result<AdminAnswer> {
    let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(AHEAD);
    let taking = async move { backup::take(app, &Caller::shell(), &sink).await };
    let writing = async move {
        while let Some(piece) = pieces.recv().await {
            file.write(&piece)?;
        }
        anyhow::Ok(())
    };
    let (taken, written) = tokio::join!(taking, writing);
    written?;
    Ok(taken.map_or_else(refused, AdminAnswer::BackedUp))
}

fn refused(error: Error) -> AdminAnswer {
    AdminAnswer::Refused(Box::new(error.problem()))
}

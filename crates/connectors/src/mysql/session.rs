//! What is asked once signed in: the session's settings, the database, one row.

use super::{packet, refusal::Failure, wire::Wire};
use crate::{Target, causes};

/// The choices of `extra.charset`.
const CHARSETS: [&str; 4] = ["utf8mb4", "utf8mb3", "latin1", "ascii"];

const QUIT: u8 = 1;
const OPEN_DATABASE: u8 = 2;
const QUERY: u8 = 3;

/// Sets what a driver of the SDK would set for every session.
pub async fn set_up(wire: &mut Wire, target: &Target) -> Result<(), Failure> {
    match target.text("extra.charset") {
        "" => {}
        charset if CHARSETS.contains(&charset) => setting(wire, "extra.charset", &format!("SET NAMES {charset}")).await?,
        _ => return Err(causes::invalid_settings(Some("extra.charset"), "this character set is not known here").into()),
    }
    for (field, variable) in [("extra.sql_mode", "sql_mode"), ("extra.time_zone", "time_zone")] {
        let value = target.text(field);
        if !value.is_empty() {
            setting(wire, field, &format!("SET SESSION {variable} = {}", literal(value))).await?;
        }
    }
    Ok(())
}

async fn setting(wire: &mut Wire, field: &'static str, sql: &str) -> Result<(), Failure> {
    wire.command(QUERY, sql.as_bytes()).await?;
    done(wire).await.map_err(|failure| match failure {
        Failure::Refused(error) => Failure::SettingRefused(field, error),
        other => other,
    })
}

/// Makes `database` the session's own.
pub async fn open_database(wire: &mut Wire, database: &str) -> Result<(), Failure> {
    wire.command(OPEN_DATABASE, database.as_bytes()).await?;
    done(wire).await
}

pub(super) async fn done(wire: &mut Wire) -> Result<(), Failure> {
    match wire.read().await?.as_slice() {
        [0x00, ..] => Ok(()),
        other => Err(refused(other)),
    }
}

/// Why a command was not answered as it should be.
fn refused(answer: &[u8]) -> Failure {
    match answer {
        [0xff, rest @ ..] => packet::server_error(rest).map_or(Failure::Malformed, Failure::Refused),
        // LOAD DATA LOCAL, which was never offered.
        [0xfb, ..] => causes::file_asked_for().into(),
        _ => Failure::Malformed,
    }
}

/// `SELECT 1`, and nothing but a row with a 1 is right.
pub async fn read_one_row(wire: &mut Wire) -> Result<(), Failure> {
    wire.command(QUERY, b"SELECT 1").await?;
    expect(wire, |columns| columns == [1]).await?;
    expect(wire, |_column| true).await?;
    expect(wire, is_end).await?;
    expect(wire, |row| row == b"\x011").await?;
    expect(wire, is_end).await
}

async fn expect(wire: &mut Wire, right: impl Fn(&[u8]) -> bool) -> Result<(), Failure> {
    let answer = wire.read().await?;
    if right(&answer) && answer.first() != Some(&0xff) { Ok(()) } else { Err(refused(&answer)) }
}

fn is_end(answer: &[u8]) -> bool {
    answer.first() == Some(&0xfe) && answer.len() < 9
}

/// Runs a statement that gives no rows. It is wiped by whoever made it.
pub async fn run(wire: &mut Wire, sql: &str) -> Result<(), Failure> {
    wire.command(QUERY, sql.as_bytes()).await?;
    done(wire).await
}

/// The number that a statement of one row and one column gives.
pub async fn number(wire: &mut Wire, sql: &str) -> Result<u64, Failure> {
    text(wire, sql).await?.parse().map_err(|_| Failure::Malformed)
}

/// The text, of at most 250 bytes, that a statement of one row and one column gives.
pub async fn text(wire: &mut Wire, sql: &str) -> Result<String, Failure> {
    wire.command(QUERY, sql.as_bytes()).await?;
    expect(wire, |columns| columns == [1]).await?;
    expect(wire, |_column| true).await?;
    expect(wire, is_end).await?;
    let row = wire.read().await?;
    let text = row.split_first().filter(|(length, text)| usize::from(**length) == text.len());
    let text = text.and_then(|(_, text)| std::str::from_utf8(text).ok()).ok_or(Failure::Malformed)?.to_owned();
    expect(wire, is_end).await?;
    Ok(text)
}

/// Most rows of an answer that are read, and most columns.
const ROWS_MAX: usize = 64;

/// The rows that a statement gives, as text; beyond [`ROWS_MAX`] they are read and left out.
pub async fn rows(wire: &mut Wire, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
    wire.command(QUERY, sql.as_bytes()).await?;
    let head = wire.read().await?;
    let [columns @ 1..=64] = head.as_slice() else { return Err(refused(&head)) };
    for _ in 0..*columns {
        expect(wire, |_column| true).await?;
    }
    expect(wire, is_end).await?;
    let mut rows = Vec::new();
    loop {
        let answer = wire.read().await?;
        if is_end(&answer) {
            return Ok(rows);
        }
        if answer.first() == Some(&0xff) {
            return Err(refused(&answer));
        }
        if rows.len() < ROWS_MAX {
            rows.push(columns_of(&answer).ok_or(Failure::Malformed)?);
        }
    }
}

/// The columns of a row of text, each after its length.
pub(super) fn columns_of(mut row: &[u8]) -> Option<Vec<Option<String>>> {
    let mut columns = Vec::new();
    while let [first, rest @ ..] = row {
        let (length, rest) = match (first, rest) {
            (0xfb, rest) => {
                columns.push(None);
                row = rest;
                continue;
            }
            (0xfc, [a, b, rest @ ..]) => (usize::from(u16::from_le_bytes([*a, *b])), rest),
            (0xfd, [a, b, c, rest @ ..]) => (usize::try_from(u32::from_le_bytes([*a, *b, *c, 0])).ok()?, rest),
            (0xfc..=0xff, _) => return None,
            (length, rest) => (usize::from(*length), rest),
        };
        let (text, rest) = rest.split_at_checked(length)?;
        columns.push(Some(String::from_utf8_lossy(text).into_owned()));
        row = rest;
    }
    Some(columns)
}

/// Says good-bye, so that the server logs no broken connection. Whether it hears it does not matter.
pub async fn quit(wire: &mut Wire) {
    let _ = wire.command(QUIT, &[]).await;
}

/// A text as SQL that holds in every `sql_mode`.
fn literal(text: &str) -> String {
    format!("CONVERT(0x{} USING utf8mb4)", hex::encode(text))
}

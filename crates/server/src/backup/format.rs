//! The file: lines of text, in blocks that each end with a MAC.
//!
//! ```text
//! dataflow-backup 1
//! {"instance":"…","schema":5,"written_by":"0.1.0","engine":"sqlite","taken_at":"…","key_ring":"base64"}
//! {"mac":"64 hex digits"}
//! {"table":{"name":"workspaces","columns":[["id","text"],["wrapped_key","bytes"],…]}}
//! ["…","base64",1763829693000000,null,…]
//! {"mac":"…"}
//! {"segment":{"node":"1","name":"audit/000000000001.jsonl"}}
//! ["base64"]
//! {"end":{"rows":1234}}
//! {"mac":"…"}
//! ```
//!
//! A MAC is the vault's `row_mac("backup", [MAC before, lines since])`, the first one over an empty MAC before: blocks can be neither changed,
//! moved, taken out nor put in. After the end and its MAC there is nothing.

use std::io::{BufRead, Read as _};

use base64::prelude::BASE64_STANDARD;
use dataflow_connectors::scrub::printable;
use dataflow_vault::Vault;
use serde::{Deserialize, Serialize};

use crate::store::{Kind, Value};

const FIRST_WORD: &str = "dataflow-backup ";
/// The format that is written.
const FORMAT: u32 = 1;
const TABLE: &str = "backup";
/// A block ends with the line that makes it so long, in bytes.
const BLOCK: usize = 1024 * 1024;
/// No line is longer: a request has at most 64 KiB.
const LINE_MAX: u64 = 4 * 1024 * 1024;
const MAC_LINE: &[u8] = b"{\"mac\":\"";

/// Why a file is not restored. Each text is for whoever named it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("It is no backup of Dataflow Connections. Name the file that “dataflow backup” wrote.")]
    NoBackup,
    #[error("Its format is {0}, which this version does not know. Restore it with the version that wrote it, or a later one.")]
    Newer(String),
    #[error("It is damaged in or after byte {0}. Take another copy of it, or an earlier backup.")]
    Damaged(u64),
    #[error("It ends too early, after {0} bytes. Take a whole copy of it, or an earlier backup.")]
    Short(u64),
    #[error("It cannot be read.")]
    Read(#[from] std::io::Error),
}

type Result<T> = std::result::Result<T, BackupError>;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub instance: String,
    /// The number of the store's last migration.
    pub schema: i64,
    /// The version of the program.
    pub written_by: String,
    pub engine: String,
    /// RFC 3339, UTC.
    pub taken_at: String,
    #[serde(with = "as_base64")]
    pub key_ring: Vec<u8>,
}

mod as_base64 {
    use super::{BASE64_STANDARD, Deserialize, Serialize};
    use base64::Engine as _;

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        BASE64_STANDARD.encode(bytes).serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: serde::Deserializer<'d>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

/// What the rows that follow are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    Table {
        name: String,
        columns: Vec<(String, Kind)>,
    },
    /// A file of a node's machine reads, in pieces.
    Segment {
        node: String,
        name: String,
    },
    /// The last line.
    End {
        rows: u64,
    },
}

/// A line of a block that was proven.
#[derive(Debug)]
pub enum Entry {
    Section(Section),
    /// As JSON has it.
    Row(Vec<serde_json::Value>),
}

/// Makes a backup's bytes.
pub struct Writer<'v> {
    vault: &'v Vault,
    mac: Vec<u8>,
    /// Lines that no MAC covers yet.
    open: Vec<u8>,
    done: Vec<u8>,
    rows: u64,
    probe: Vec<u8>,
}

/// Tells whether the vault's key is the same.
fn probe(vault: &Vault) -> Vec<u8> {
    vault.row_mac(TABLE, &[])
}

impl<'v> Writer<'v> {
    /// Begins with the header, a block of its own.
    pub fn begin(vault: &'v Vault, header: &Header) -> serde_json::Result<Self> {
        let open = format!("{FIRST_WORD}{FORMAT}\n").into_bytes();
        let mut writer = Self { vault, mac: Vec::new(), open, done: Vec::new(), rows: 0, probe: probe(vault) };
        writer.line(header)?;
        writer.close();
        Ok(writer)
    }

    pub fn section(&mut self, section: &Section) -> serde_json::Result<()> {
        self.line(section)
    }

    pub fn row(&mut self, row: &[Value]) -> serde_json::Result<()> {
        self.rows += 1;
        self.line(&row)
    }

    /// The bytes since the last ones, if there are enough for a block.
    pub fn full(&mut self) -> Option<Vec<u8>> {
        if self.open.len() < BLOCK {
            return None;
        }
        self.close();
        Some(std::mem::take(&mut self.done))
    }

    /// The last bytes, and how many rows there were in all; `None` if the key is another one than at the beginning, so that the header's
    /// ring may not open what came last.
    pub fn end(mut self) -> serde_json::Result<Option<(Vec<u8>, u64)>> {
        self.line(&Section::End { rows: self.rows })?;
        self.close();
        Ok((probe(self.vault) == self.probe).then_some((self.done, self.rows)))
    }

    fn line(&mut self, line: &impl Serialize) -> serde_json::Result<()> {
        serde_json::to_writer(&mut self.open, line)?;
        self.open.push(b'\n');
        Ok(())
    }

    fn close(&mut self) {
        self.mac = self.vault.row_mac(TABLE, &[&self.mac, &self.open]);
        self.done.append(&mut self.open);
        self.done.extend_from_slice(MAC_LINE);
        self.done.extend_from_slice(hex::encode(&self.mac).as_bytes());
        self.done.extend_from_slice(b"\"}\n");
    }
}

/// Reads a backup, block by block, each proven before anything in it is looked at.
pub struct Reader<R> {
    file: R,
    vault: Vault,
    mac: Vec<u8>,
    /// Bytes that were read.
    place: u64,
    rows: u64,
    ended: bool,
}

/// A backup whose key is not at hand yet. Nothing of it is proven.
pub struct Sealed<R> {
    pub header: Header,
    file: R,
    block: Vec<u8>,
    mac: Vec<u8>,
    place: u64,
}

impl<R: BufRead> Sealed<R> {
    pub fn open(mut file: R) -> Result<Self> {
        let mut place = 0;
        let first = line(&mut file, &mut place)?.unwrap_or_default();
        let format = first.strip_prefix(FIRST_WORD.as_bytes()).ok_or(BackupError::NoBackup)?;
        let format = String::from_utf8_lossy(format.trim_ascii_end()).into_owned();
        if format != FORMAT.to_string() {
            return Err(BackupError::Newer(printable(&format)));
        }
        let (rest, mac) = block(&mut file, &mut place)?.ok_or(BackupError::Short(place))?;
        let header = serde_json::from_slice(&rest).map_err(|_| BackupError::Damaged(0))?;
        Ok(Self { header, file, block: [first, rest].concat(), mac, place })
    }

    /// Goes on with the vault that the header's key ring opened to.
    pub fn prove(self, vault: Vault) -> Result<Reader<R>> {
        let mut reader = Reader { file: self.file, vault, mac: Vec::new(), place: self.place, rows: 0, ended: false };
        reader.check(0, &self.block, self.mac)?;
        Ok(reader)
    }
}

impl<R: BufRead> Reader<R> {
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What is in the next block; nothing once the end was read, and found to be the end of the file.
    pub fn next_block(&mut self) -> Result<Option<Vec<Entry>>> {
        if self.ended {
            return match line(&mut self.file, &mut self.place)? {
                None => Ok(None),
                Some(_) => Err(BackupError::Damaged(self.place)),
            };
        }
        let begun = self.place;
        let (text, mac) = block(&mut self.file, &mut self.place)?.ok_or(BackupError::Short(begun))?;
        self.check(begun, &text, mac)?;
        let mut entries = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // It is proven, so this program wrote it; but not in a format that this version reads.
            let unread = |_| BackupError::Damaged(begun);
            if self.ended {
                return Err(BackupError::Damaged(begun));
            }
            if line.first() == Some(&b'[') {
                self.rows += 1;
                entries.push(Entry::Row(serde_json::from_slice(line).map_err(unread)?));
                continue;
            }
            match serde_json::from_slice(line).map_err(unread)? {
                Section::End { rows } if rows == self.rows => self.ended = true,
                Section::End { .. } => return Err(BackupError::Damaged(begun)),
                section => entries.push(Entry::Section(section)),
            }
        }
        Ok(Some(entries))
    }

    fn check(&mut self, begun: u64, text: &[u8], mac: Vec<u8>) -> Result<()> {
        self.vault.verify_row_mac(TABLE, &[&self.mac, text], &mac).map_err(|_| BackupError::Damaged(begun))?;
        self.mac = mac;
        Ok(())
    }
}

/// The lines up to the next MAC, and that MAC; nothing at the end of the file.
fn block(file: &mut impl BufRead, place: &mut u64) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let (begun, mut text) = (*place, Vec::new());
    while let Some(line) = line(file, place)? {
        if let Some(mac) = line.strip_prefix(MAC_LINE) {
            let mac = mac.strip_suffix(b"\"}\n").and_then(|digits| hex::decode(digits).ok());
            return Ok(Some((text, mac.ok_or(BackupError::Damaged(begun))?)));
        }
        text.extend_from_slice(&line);
        if *place - begun > u64::try_from(BLOCK).unwrap_or(u64::MAX) + LINE_MAX {
            return Err(BackupError::Damaged(begun));
        }
    }
    if text.is_empty() { Ok(None) } else { Err(BackupError::Short(*place)) }
}

/// The next line with its end; nothing at the end of the file.
fn line(file: &mut impl BufRead, place: &mut u64) -> Result<Option<Vec<u8>>> {
    let (begun, mut line) = (*place, Vec::new());
    let length = file.take(LINE_MAX).read_until(b'\n', &mut line)?;
    *place += u64::try_from(length).unwrap_or(u64::MAX);
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if *place - begun < LINE_MAX => Err(BackupError::Short(*place)),
        Some(_) => Err(BackupError::Damaged(begun)),
    }
}

#[cfg(test)]
mod tests;

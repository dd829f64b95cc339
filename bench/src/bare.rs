//! The comparison: an axum server that does one SQLite point read and one AES-256-GCM open for each request, and nothing else.

use std::{cell::RefCell, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::{Context, anyhow};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use rusqlite::{Connection, OpenFlags};

use crate::credentials::NAMES;

const KEY: [u8; 32] = [7; 32];

fn key() -> anyhow::Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &KEY).map(LessSafeKey::new).map_err(|_| anyhow!("make a key"))
}

/// Makes the table that [`serve`] reads: as many rows as the product has names.
pub fn prepare(folder: &Path) -> anyhow::Result<()> {
    let connection = Connection::open(folder.join("bare.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE connections (name TEXT PRIMARY KEY, nonce BLOB, sealed BLOB); BEGIN",
    )?;
    let key = key()?;
    for number in 0..NAMES {
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        let mut sealed = format!("{{\"host\":\"db.example.org\",\"password\":\"not-a-secret-{number}\"}}").into_bytes();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .map_err(|_| anyhow!("seal a row"))?;
        connection.execute("INSERT INTO connections VALUES (?1, ?2, ?3)", (format!("name_{number}"), nonce, sealed))?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

struct Bare {
    path: std::path::PathBuf,
    key: LessSafeKey,
}

thread_local! {
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Serves on loopback until the process is ended.
pub fn serve(folder: &Path, port: u16) -> anyhow::Result<()> {
    let bare = Arc::new(Bare { path: folder.join("bare.db"), key: key()? });
    let router = Router::new().route("/{name}", get(read)).with_state(bare);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("listen")?;
        axum::serve(listener, router).await.context("serve")
    })
}

async fn read(
    State(bare): State<Arc<Bare>>,
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Result<Vec<u8>, StatusCode> {
    READER.with_borrow_mut(|reader| open(&bare, reader, &name)).map_err(|_| StatusCode::NOT_FOUND)
}

fn open(bare: &Bare, reader: &mut Option<Connection>, name: &str) -> anyhow::Result<Vec<u8>> {
    let connection = match reader {
        Some(connection) => connection,
        None => reader
            .insert(Connection::open_with_flags(&bare.path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?),
    };
    let mut statement = connection.prepare_cached("SELECT nonce, sealed FROM connections WHERE name = ?1")?;
    let (nonce, mut sealed): ([u8; NONCE_LEN], Vec<u8>) = statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let clear = bare
        .key
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
        .map_err(|_| anyhow!("open a row"))?;
    Ok(clear.to_vec())
}

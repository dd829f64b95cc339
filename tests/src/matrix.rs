//! What a client says to each shape of server certificate under each TLS mode: one verdict a row, for the connectors and for
//! every driver of the SDK, read from `docs/certificates.md`. The SDK's column is `python/tests/test_certificates.py`.
//!
//! The client dials `localhost`, and its `tls.ca` is what the row trusts.

use std::fs;

use dataflow_model::Cause;

use crate::{environment, tls::Shape};

/// What is pasted as `tls.ca`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trusts {
    /// The authority's certificate.
    TheAuthority,
    /// The server's own certificate, pinned.
    TheServer,
}

/// One row of the matrix.
#[derive(Debug, Clone)]
pub struct Row {
    /// The server's certificate; `None` if it offers no TLS.
    pub server: Option<Shape>,
    pub trusts: Trusts,
    /// The TLS modes, and what each ends with: `None` is a connection that works.
    pub verdicts: Vec<(String, Option<Cause>)>,
}

/// Every row of the page.
///
/// # Panics
/// If the page has no table, or says a word that is not known here.
pub fn matrix() -> Vec<Row> {
    let page = fs::read_to_string(environment::repository().join("docs/certificates.md")).expect("the page is there");
    let mut lines = page.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let head = cells(lines.next().expect("the page has a table"));
    let rows: Vec<Row> = lines.skip(1).map(|line| row(&head[2..], &cells(line))).collect();
    assert!(rows.len() > 1, "the table has no rows");
    rows
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(|cell| cell.trim_matches([' ', '`'])).collect()
}

fn row(modes: &[&str], cells: &[&str]) -> Row {
    let [server, trusts, verdicts @ ..] = cells else { panic!("{cells:?} is no row") };
    assert_eq!(verdicts.len(), modes.len(), "{cells:?}");
    Row {
        server: (*server != "none").then(|| Shape::named(server)),
        trusts: match *trusts {
            "the authority" => Trusts::TheAuthority,
            "the certificate" => Trusts::TheServer,
            other => panic!("“{other}” is nothing to paste"),
        },
        verdicts: modes.iter().map(|mode| (*mode).to_owned()).zip(verdicts.iter().map(|word| verdict(word))).collect(),
    }
}

fn verdict(word: &str) -> Option<Cause> {
    let code = || serde_json::from_value(word.into()).unwrap_or_else(|_| panic!("“{word}” is no verdict"));
    (word != "works").then(code)
}

impl Row {
    /// The certificate to paste as `tls.ca`, for a server that was started with `server` made by `authority`.
    pub fn trusted<'a>(&self, authority: &'a str, server: &'a str) -> &'a str {
        match self.trusts {
            Trusts::TheAuthority => authority,
            Trusts::TheServer => server,
        }
    }
}

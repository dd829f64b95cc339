//! A fake of Transit of Vault and OpenBao: no real one can be started here. It speaks as their API's description says
//! (<https://openbao.org/api-docs/secret/transit/>), and what it calls a ciphertext is no ciphertext: it keeps what it was given by a number.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    scripted::{Peer, Scripted},
    scripted_http::{read_request, send_answer},
    tls::Identity,
};

/// The token that it takes.
pub const TOKEN: &str = "s.only-for-this-fake";
/// The key that it has.
pub const KEY: &str = "transit/dataflow";

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    Sealed,
    /// It takes a request and says nothing.
    Silent,
    /// It is something else than a Transit.
    SomethingElse,
    /// It gives back another key than it was given.
    Lying,
    /// Its key was deleted.
    Forgetful,
}

/// A listening fake.
#[derive(Debug)]
pub struct FakeTransit {
    server: Scripted,
    state: Arc<Mutex<State>>,
    is_tls: bool,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    kept: Vec<String>,
    decrypted: usize,
}

impl FakeTransit {
    /// On clear HTTP, or with this certificate.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(identity: Option<Identity>) -> Self {
        let state = Arc::new(Mutex::new(State { mood: Mood::Well, kept: Vec::new(), decrypted: 0 }));
        let (shared, is_tls) = (state.clone(), identity.is_some());
        let server = Scripted::start(move |peer| {
            if let Some(identity) = &identity {
                peer.begin_tls(identity)?;
            }
            answer(peer, &shared)
        });
        Self { server, state, is_tls }
    }

    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.server.port())
    }

    /// # Panics
    /// If a script has panicked.
    pub fn is_now(&self, mood: Mood) {
        self.state.lock().expect("not poisoned").mood = mood;
    }

    /// How often it opened something.
    ///
    /// # Panics
    /// If a script has panicked.
    pub fn decrypted(&self) -> usize {
        self.state.lock().expect("not poisoned").decrypted
    }

    /// Whether any client has sent this.
    pub fn has_heard(&self, text: &str) -> bool {
        self.server.has_heard(text)
    }
}

/// One request and its answer.
fn answer(peer: &mut Peer, state: &Mutex<State>) -> io::Result<()> {
    let asked = read_request(peer)?;
    let header = |name: &str| asked.header(name).to_owned();
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let path = asked.target.clone();
    let mut state = state.lock().expect("not poisoned");
    let refuse = |status: &str, error: &str| (status.to_owned(), json!({"errors": [error]}).to_string());
    let (status, text) = match state.mood {
        Mood::Silent => {
            drop(state);
            thread::sleep(Duration::from_secs(20));
            return Ok(());
        }
        Mood::SomethingElse => ("200 OK".to_owned(), "<html>It works!</html>".to_owned()),
        Mood::Sealed => refuse("503 Service Unavailable", "Vault is sealed"),
        _ if header("x-vault-token") != TOKEN => refuse("403 Forbidden", "permission denied"),
        mood => match path.as_str() {
            "/v1/transit/encrypt/dataflow" => {
                state.kept.push(body["plaintext"].as_str().unwrap_or_default().to_owned());
                let answer = json!({"data": {"ciphertext": format!("vault:v1:{}", state.kept.len() - 1), "key_version": 1}});
                ("200 OK".to_owned(), answer.to_string())
            }
            "/v1/transit/decrypt/dataflow" if mood == Mood::Forgetful => refuse("400 Bad Request", "encryption key not found"),
            "/v1/transit/decrypt/dataflow" => {
                let number = body["ciphertext"].as_str().and_then(|text| text.strip_prefix("vault:v1:")).unwrap_or_default();
                match number.parse().ok().and_then(|number: usize| state.kept.get(number).cloned()) {
                    Some(plaintext) => {
                        state.decrypted += 1;
                        let lie = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
                        let plaintext = if mood == Mood::Lying { lie } else { &plaintext };
                        ("200 OK".to_owned(), json!({"data": {"plaintext": plaintext}}).to_string())
                    }
                    None => refuse("400 Bad Request", "invalid ciphertext: no prefix"),
                }
            }
            _ => ("404 Not Found".to_owned(), json!({"errors": []}).to_string()),
        },
    };
    drop(state);
    send_answer(peer, &status, &[], &text)
}

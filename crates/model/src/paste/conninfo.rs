//! libpq's `key=value` text: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>.

use super::{Parameter, Parts, PasteError};
use crate::Secret;

pub(super) fn read(text: &str) -> Result<Parts, PasteError> {
    let mut parts = Parts { scheme: "postgres".to_owned(), ..Parts::default() };
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(wrong(&parts))?;
        let name = name.trim_end();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(wrong(&parts));
        }
        let (value, after) = value(after.trim_start())?;
        place(&mut parts, name, value);
        rest = after.trim_start();
    }
    Ok(parts)
}

/// A text whose first word is already none of the form was never meant as one.
fn wrong(parts: &Parts) -> PasteError {
    let begun = parts.host.is_some() || parts.username.is_some() || parts.database.is_some() || !parts.parameters.is_empty();
    if begun { PasteError::Quoting } else { PasteError::NotAUrl }
}

fn place(parts: &mut Parts, name: &str, value: Secret) {
    let slot = match name {
        "host" => {
            let first = value.expose_secret().split(',').next().unwrap_or_default().to_owned();
            parts.other_hosts |= first.len() < value.expose_secret().len();
            parts.host = Some(Secret::new(first));
            return;
        }
        "port" => {
            parts.port = Some(Secret::new(value.expose_secret().split(',').next().unwrap_or_default().to_owned()));
            return;
        }
        "dbname" => &mut parts.database,
        "user" => &mut parts.username,
        "password" => &mut parts.password,
        _ => {
            parts.parameters.push(Parameter::new(name, value));
            return;
        }
    };
    *slot = Some(value);
}

/// A bare word or a quoted text; a backslash takes the next character as it is in both.
fn value(text: &str) -> Result<(Secret, &str), PasteError> {
    let (quoted, body) = text.strip_prefix('\'').map_or((false, text), |body| (true, body));
    let mut out = String::with_capacity(body.len());
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => out.extend(characters.next().map(|(_, next)| next)),
            '\'' if quoted => return Ok((Secret::new(out), body.get(at + 1..).unwrap_or_default())),
            blank if !quoted && blank.is_ascii_whitespace() => return Ok((Secret::new(out), body.get(at..).unwrap_or_default())),
            other => out.push(other),
        }
    }
    if quoted { Err(PasteError::Quoting) } else { Ok((Secret::new(out), "")) }
}

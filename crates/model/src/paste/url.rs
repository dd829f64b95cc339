//! Takes a URL apart by hand, as the drivers do: a password may hold what the rules of URLs forbid.

use percent_encoding::percent_decode_str;

use super::{Dialect, Parameter, Parts, PasteError};
use crate::Secret;

/// What `+` means in a parameter's value: libpq takes it as it is; SQLAlchemy and JDBC as a blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plus {
    Literal,
    Blank,
}

pub(super) fn read(dialect: Dialect, text: &str) -> Result<Parts, PasteError> {
    match dialect {
        Dialect::Plain => {
            let (scheme, rest) = text.split_once("://").ok_or(PasteError::NotAUrl)?;
            let plus = if matches!(scheme, "postgres" | "postgresql") { Plus::Literal } else { Plus::Blank };
            hierarchical(scheme, rest, plus)
        }
        Dialect::Jdbc => jdbc(text),
    }
}

/// `postgresql://…`, `postgresql:database`, `mysql:loadbalance://…`, `sqlite:file`.
fn jdbc(text: &str) -> Result<Parts, PasteError> {
    let (scheme, rest) = text.split_once(':').ok_or(PasteError::NotAUrl)?;
    let mut parts = match rest.strip_prefix("//") {
        Some(rest) if !is_file(scheme) => hierarchical(scheme, rest, Plus::Blank)?,
        _ if is_file(scheme) => {
            let (file, query) = split_query(rest);
            Parts {
                scheme: scheme.to_owned(),
                database: Some(decode(file, Plus::Literal)?),
                parameters: parameters(query, Plus::Blank)?,
                ..Parts::default()
            }
        }
        _ if rest.contains("://") => return Err(PasteError::SeveralServers),
        _ => {
            let (database, query) = split_query(rest);
            let database = database.trim_start_matches('/');
            Parts {
                scheme: scheme.to_owned(),
                host: Some(Secret::new("localhost".to_owned())),
                database: (!database.is_empty()).then(|| decode(database, Plus::Literal)).transpose()?,
                parameters: parameters(query, Plus::Blank)?,
                ..Parts::default()
            }
        }
    };
    parts.jdbc = true;
    Ok(parts)
}

/// Whether what such a URL names is a file.
fn is_file(scheme: &str) -> bool {
    ["sqlite", "duckdb"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

fn hierarchical(scheme: &str, rest: &str, plus: Plus) -> Result<Parts, PasteError> {
    if scheme.split('+').next().is_some_and(is_file) {
        let (path, query) = split_query(rest);
        let path = path.strip_prefix('/').unwrap_or(path);
        return Ok(Parts {
            scheme: scheme.to_owned(),
            database: (!path.is_empty()).then(|| decode(path, Plus::Literal)).transpose()?,
            parameters: parameters(query, Plus::Blank)?,
            ..Parts::default()
        });
    }
    let (user, rest) = userinfo(rest)?;
    let end = rest.find(['/', '?', '#', ';']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (path, query) = split_query(rest);
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.contains('@') {
        return Err(PasteError::Unescaped);
    }
    let mut parts = Parts { scheme: scheme.to_owned(), parameters: parameters(query, plus)?, ..Parts::default() };
    if let Some(user) = user {
        let (name, password) = user.split_once(':').map_or((user, None), |(name, password)| (name, Some(password)));
        parts.username = (!name.is_empty()).then(|| decode(name, Plus::Literal)).transpose()?;
        parts.password = password.map(|password| decode(password, Plus::Literal)).transpose()?;
    }
    host_and_port(authority, &mut parts)?;
    parts.database = (!path.is_empty()).then(|| decode(path, Plus::Literal)).transpose()?;
    Ok(parts)
}

/// Splits `user:password@` off. A password may hold `/`, `?` and `#` unescaped (SQLAlchemy reads such URLs): where the text up
/// to the first of them has no `@` and is no `host:port` either, the first `@` after it closes the password.
fn userinfo(rest: &str) -> Result<(Option<&str>, &str), PasteError> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, _) = rest.split_at(end);
    if let Some((user, _)) = authority.rsplit_once('@') {
        return Ok((Some(user), rest.get(user.len() + 1..).unwrap_or_default()));
    }
    let port = authority.split_once(':').filter(|_| !authority.starts_with('[')).map(|(_, port)| port);
    match (port, rest.split_once('@')) {
        (Some(""), Some(_)) => Err(PasteError::Unescaped),
        (Some(port), Some((user, after))) if !port.starts_with(|c: char| c.is_ascii_digit()) => Ok((Some(user), after)),
        _ => Ok((None, rest)),
    }
}

fn host_and_port(authority: &str, parts: &mut Parts) -> Result<(), PasteError> {
    let (first, others) = authority.split_once(',').map_or((authority, ""), |(first, others)| (first, others));
    parts.other_hosts = !others.is_empty();
    if first.starts_with('(') || first.to_ascii_lowercase().starts_with("address=") {
        return Err(PasteError::SeveralServers);
    }
    let (host, port) = match first.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or(PasteError::Brackets)?;
            (host, after.strip_prefix(':').unwrap_or(after))
        }
        None => first.split_once(':').unwrap_or((first, "")),
    };
    parts.host = (!host.is_empty()).then(|| decode(host, Plus::Literal)).transpose()?;
    parts.port = (!port.is_empty()).then(|| decode(port, Plus::Literal)).transpose()?;
    Ok(())
}

/// The path and its parameters; a fragment belongs to neither. `;` begins the parameters of Redshift's JDBC URLs.
fn split_query(rest: &str) -> (&str, &str) {
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    rest.find(['?', ';']).map_or((rest, ""), |at| (rest.split_at(at).0, rest.get(at + 1..).unwrap_or_default()))
}

fn parameters(query: &str, plus: Plus) -> Result<Vec<Parameter>, PasteError> {
    query
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            // A word alone may be the end of an unescaped password; only JDBC's `ssl` is known to stand alone.
            let alone = if pair.eq_ignore_ascii_case("ssl") { "ssl" } else { "" };
            let (name, value) = pair.split_once('=').unwrap_or((alone, ""));
            let name = decode(name, plus)?;
            // Airflow writes the JSON of `__extra__` with blanks as `+`.
            let plus = if name.expose_secret() == "__extra__" { Plus::Blank } else { plus };
            Ok(Parameter::new(name.expose_secret(), decode(value, plus)?))
        })
        .collect()
}

fn decode(text: &str, plus: Plus) -> Result<Secret, PasteError> {
    let blanks = match plus {
        Plus::Blank => text.replace('+', " "),
        Plus::Literal => text.to_owned(),
    };
    let blanks = Secret::new(blanks);
    let decoded = percent_decode_str(blanks.expose_secret()).decode_utf8().map_err(|_| PasteError::Encoding)?;
    Ok(Secret::new(decoded.into_owned()))
}

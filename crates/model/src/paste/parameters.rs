//! What the parameters of each driver mean in the form. A parameter that is not listed here is left out, by name.

use super::{Filling, Note, Outcome, Parameter, Parts, PasteError, Put, boolean};
use crate::{FieldKind, Secret};

/// What to do with a parameter's value.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// It is the field's value.
    Field(&'static str),
    /// Milliseconds, for a field in seconds; rounded up.
    Milliseconds(&'static str),
    /// A TLS mode in the words of libpq, MySQL or MariaDB.
    TlsMode,
    /// `true` asks for TLS, `false` for none.
    TlsSwitch,
    /// Not to be given as a path; the content belongs into the form.
    File,
    /// PostgreSQL's `-c name=value`.
    PostgresOptions,
    /// A character set in Java's or MySQL's words.
    Charset,
}

use Meaning::{Charset, Field, File, Milliseconds, PostgresOptions, TlsMode, TlsSwitch};

/// Compared without regard to case, `-` and `_`: drivers differ in nothing else.
const COMMON: &[(&str, Meaning)] = &[
    ("host", Field("host")),
    ("port", Field("port")),
    ("user", Field("username")),
    ("username", Field("username")),
    ("uid", Field("username")),
    ("login", Field("username")),
    ("password", Field("password")),
    ("pwd", Field("password")),
    ("passwd", Field("password")),
    ("dbname", Field("database")),
    ("database", Field("database")),
    ("db", Field("database")),
    ("sslmode", TlsMode),
    ("ssl", TlsSwitch),
    ("sslrootcert", File),
    ("sslcert", File),
    ("sslkey", File),
    ("sslca", File),
];

/// libpq and psycopg, and `PGProperty` of pgjdbc.
const POSTGRES: &[(&str, Meaning)] = &[
    ("applicationname", Field("extra.application_name")),
    ("connecttimeout", Field("extra.connect_timeout")),
    ("logintimeout", Field("extra.connect_timeout")),
    ("currentschema", Field("extra.search_path")),
    ("searchpath", Field("extra.search_path")),
    ("timezone", Field("extra.timezone")),
    ("statementtimeout", Field("extra.statement_timeout")),
    ("readonly", Field("extra.read_only")),
    ("defaulttransactionreadonly", Field("extra.read_only")),
    ("options", PostgresOptions),
];

/// PyMySQL, mysqlclient, Connector/J and Connector/J of MariaDB. Time-outs are seconds in Python, milliseconds in Java.
const MYSQL: &[(&str, Meaning)] = &[
    ("usessl", TlsSwitch),
    ("charset", Charset),
    ("characterencoding", Charset),
    ("connecttimeout", Field("extra.connect_timeout")),
    ("readtimeout", Field("extra.read_timeout")),
    ("sqlmode", Field("extra.sql_mode")),
    ("timezone", Field("extra.time_zone")),
    ("serversslcert", File),
];
const MYSQL_JDBC: &[(&str, Meaning)] =
    &[("connecttimeout", Milliseconds("extra.connect_timeout")), ("sockettimeout", Milliseconds("extra.read_timeout"))];

const SQLITE: &[(&str, Meaning)] = &[("busytimeout", Field("extra.busy_timeout")), ("foreignkeys", Field("extra.foreign_keys"))];

/// The drivers' specification of connection strings.
const MONGO: &[(&str, Meaning)] =
    &[("authsource", Field(AUTH_SOURCE)), ("tls", TlsSwitch), ("connecttimeoutms", Milliseconds("extra.connect_timeout"))];
const AUTH_SOURCE: &str = "extra.auth_source";

pub(super) fn fill(parts: Parts, filling: &mut Filling<'_>) -> Result<(), PasteError> {
    let jdbc = parts.jdbc;
    // In its URLs the database is where the user was created, too, if nothing else is said.
    let source = parts.database.as_ref().filter(|_| filling.kind.connector == "mongo").map(Secret::duplicate_secret);
    for (path, value) in [("username", parts.username), ("password", parts.password), ("host", parts.host), ("port", parts.port)]
    {
        if let Some(value) = value {
            place(path, value, filling)?;
        }
    }
    if let Some(database) = parts.database {
        place("database", database, filling)?;
    }
    if parts.other_hosts {
        filling.note(None, Outcome::OtherHosts);
    }
    for parameter in flatten(parts.parameters) {
        understand(parameter, jdbc, filling)?;
    }
    if let Some(source) = source.filter(|_| !filling.fields.contains_key(AUTH_SOURCE)) {
        filling.put(AUTH_SOURCE, source);
    }
    Ok(())
}

/// Puts one of the five parts of an address where it belongs.
fn place(path: &str, value: Secret, filling: &mut Filling<'_>) -> Result<(), PasteError> {
    match path {
        "port" if !value.expose_secret().trim().parse::<u16>().is_ok_and(|port| port > 0) => return Err(PasteError::Port),
        "host" if value.expose_secret().starts_with(['/', '@']) => filling.note(None, Outcome::Socket),
        "database" if filling.kind.field(path).is_some_and(|field| field.kind == FieldKind::File) => {
            return place_file(&value, filling);
        }
        // What follows the host of an API's URL.
        "database" if filling.kind.field(path).is_none() => {
            filling.put("extra.path", Secret::new(format!("/{}", value.expose_secret())));
        }
        _ => {
            filling.put(path, value);
        }
    }
    Ok(())
}

/// A file's field takes a path inside a folder, so what leads there on another machine is cut.
fn place_file(value: &Secret, filling: &mut Filling<'_>) -> Result<(), PasteError> {
    let path = value.expose_secret();
    let path = path.strip_prefix("file:").unwrap_or(path);
    if path.contains(":memory:") {
        return Err(PasteError::InMemory);
    }
    let is_windows = path.get(1..3).is_some_and(|drive| drive == ":\\" || drive == ":/");
    let inner = if path.starts_with('/') || is_windows {
        filling.note(None, Outcome::PathCut);
        path.rsplit(['/', '\\']).next().unwrap_or_default()
    } else {
        path.strip_prefix("./").unwrap_or(path)
    };
    filling.put("database", Secret::new(inner.to_owned()));
    Ok(())
}

fn understand(parameter: Parameter, jdbc: bool, filling: &mut Filling<'_>) -> Result<(), PasteError> {
    let Parameter { name, value } = parameter;
    let shown = name.as_deref();
    let Some(meaning) = name.as_deref().and_then(|name| meaning(name, &filling.kind.connector, jdbc)) else {
        filling.note(shown, Outcome::LeftOut);
        return Ok(());
    };
    match meaning {
        Field(path @ ("host" | "port" | "database")) => place(path, value, filling)?,
        Field(path) => put_noted(shown, path, value, filling),
        Milliseconds(path) => {
            let seconds = value.expose_secret().trim().parse::<u32>().map(|ms| ms.div_ceil(1000).to_string());
            match seconds {
                Ok(seconds) => put_noted(shown, path, Secret::new(seconds), filling),
                Err(_) => filling.note(shown, Outcome::ValueNotUsable),
            }
        }
        TlsMode => put_tls(shown, tls_mode(value.expose_secret()), filling),
        TlsSwitch => {
            let chosen = !filling.fields.contains_key("tls.mode");
            match boolean(value.expose_secret()) {
                Some(true) if chosen => put_tls(shown, Some(("verify-full", false)), filling),
                // pgjdbc's `ssl=false` still means “prefer”.
                Some(false) if chosen && filling.kind.connector == "mysql" => put_tls(shown, Some(("disable", false)), filling),
                Some(_) => filling.note(shown, Outcome::LeftOut),
                None => filling.note(shown, Outcome::ValueNotUsable),
            }
        }
        File => filling.note(shown, Outcome::NamesAFile),
        PostgresOptions => {
            for setting in settings(value.expose_secret()) {
                understand(setting, jdbc, filling)?;
            }
        }
        Charset => put_noted(shown, "extra.charset", Secret::new(charset(value.expose_secret())), filling),
    }
    Ok(())
}

fn meaning(name: &str, connector: &str, jdbc: bool) -> Option<Meaning> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let own: &[&[(&str, Meaning)]] = match connector {
        "postgres" => &[POSTGRES, COMMON],
        "mysql" if jdbc => &[MYSQL_JDBC, MYSQL, COMMON],
        "mysql" => &[MYSQL, COMMON],
        "sqlite" => &[SQLITE],
        "mongo" => &[MONGO, COMMON],
        _ => &[COMMON],
    };
    own.iter().flat_map(|table| table.iter()).find(|(known, _)| *known == plain).map(|(_, meaning)| *meaning)
}

fn put_noted(name: Option<&str>, path: &'static str, value: Secret, filling: &mut Filling<'_>) {
    // libpq takes 0 for “no limit”; the form says the same by an empty field.
    if path.ends_with("_timeout") && value.expose_secret() == "0" {
        return filling.note(name, Outcome::LeftOut);
    }
    let label = filling.kind.field(path).map_or_else(String::new, |field| field.label.clone());
    let outcome = match filling.put(path, value) {
        Put::Done => Outcome::Understood,
        Put::NoField => return filling.note(name, Outcome::LeftOut),
        Put::NotItsKind => return filling.note(name, Outcome::ValueNotUsable),
    };
    filling.notes.push(Note { parameter: name.map(ToOwned::to_owned), outcome: outcome(label) });
}

fn put_tls(name: Option<&str>, mode: Option<(&str, bool)>, filling: &mut Filling<'_>) {
    match mode {
        Some((mode, false)) => put_noted(name, "tls.mode", Secret::new(mode.to_owned()), filling),
        Some((mode, true)) => {
            filling.put("tls.mode", Secret::new(mode.to_owned()));
            filling.note(name, Outcome::Hardened);
        }
        None => filling.note(name, Outcome::ValueNotUsable),
    }
}

/// The mode, and whether it is stronger than what was asked for: “prefer” and “allow” protect from nobody, so they do not exist.
fn tls_mode(text: &str) -> Option<(&'static str, bool)> {
    Some(match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "verify-full" | "verify-identity" => ("verify-full", false),
        "verify-ca" => ("verify-ca", false),
        "require" | "required" | "no-verify" | "trust" => ("require", false),
        "disable" | "disabled" => ("disable", false),
        "prefer" | "preferred" | "allow" => ("verify-full", true),
        _ => return None,
    })
}

fn charset(text: &str) -> String {
    match text.to_ascii_lowercase().as_str() {
        "utf8" | "utf-8" => "utf8mb4".to_owned(),
        "iso-8859-1" | "iso8859_1" => "latin1".to_owned(),
        "us-ascii" => "ascii".to_owned(),
        other => other.to_owned(),
    }
}

/// The settings of `-c statement_timeout=5s -csearch_path=a`; a number with a unit becomes milliseconds.
fn settings(text: &str) -> Vec<Parameter> {
    let mut words = text.split_whitespace();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().unwrap_or_default(),
            Some(setting) => setting,
            None => "",
        };
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let value = if name.ends_with("_timeout") { milliseconds(value) } else { value.to_owned() };
        found.push(Parameter::new(name, Secret::new(value)));
    }
    found
}

fn milliseconds(text: &str) -> String {
    for (unit, factor) in [("ms", 1), ("min", 60_000), ("s", 1_000), ("h", 3_600_000)] {
        if let Some(count) = text.strip_suffix(unit).and_then(|count| count.trim().parse::<u32>().ok()) {
            return u64::from(count).saturating_mul(factor).to_string();
        }
    }
    text.to_owned()
}

/// Replaces Airflow's `__extra__` by the members of its JSON.
fn flatten(parameters: Vec<Parameter>) -> Vec<Parameter> {
    let mut flat = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        if parameter.name.as_deref() != Some("__extra__") {
            flat.push(parameter);
            continue;
        }
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(parameter.value.expose_secret()) {
            Ok(members) => flat.extend(members.into_iter().map(|(name, value)| {
                let text = match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                Parameter::new(&name, Secret::new(text))
            })),
            Err(_) => flat.push(parameter),
        }
    }
    flat
}

//! The template of an own type's URL, as SQLAlchemy takes one apart: `exa+websocket://{username}:{password}@{host}:{port}/{database}?x={extra.x}`.
//!
//! A template holds names of fields and never a value. Whoever fills it does so part by part, so that no value can be taken for another part.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use super::names::is_secret_parameter;
use crate::{ConnectionType, FieldError, FieldKind, PublicFields, settle::is_host};

const TEMPLATE_MAX: usize = 2_000;
const QUERY_MAX: usize = 40;
/// What a URL's parts may hold unescaped (RFC 3986, “unreserved”).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What switches something on or off, whatever that is called.
const SWITCHES: &[&str] = &["true", "false", "yes", "no", "on", "off", "0", "1"];

/// The parts of a URL, each a text with `{path}` where the value of a field goes; `{{` and `}}` stand for braces. A part that the template does not
/// have is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UrlTemplate {
    /// As `exa+websocket`: the dialect, and perhaps a driver.
    pub drivername: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
}

/// Where in a URL a part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place<'p> {
    Username,
    Password,
    Host,
    Port,
    Database,
    Parameter(&'p str),
}

/// A stretch of a part.
enum Piece<'p> {
    Text(String),
    Field(&'p str),
}

impl UrlTemplate {
    /// SQLAlchemy's dialect: the driver's name up to `+`.
    #[must_use]
    pub fn dialect(&self) -> &str {
        self.drivername.split('+').next().unwrap_or_default()
    }

    /// Takes a template apart.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow its name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > TEMPLATE_MAX {
            return Err(format!("must have at most {TEMPLATE_MAX} characters"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("must hold no blanks: write %20 for one".to_owned());
        }
        let (drivername, rest) = text.split_once("://").ok_or("must begin with a driver and “://”, as exa+websocket://")?;
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-'))
        };
        let (dialect, driver) =
            drivername.split_once('+').map_or((drivername, None), |(dialect, driver)| (dialect, Some(driver)));
        if !is_word(dialect) || driver.is_some_and(|driver| !is_word(driver)) || drivername.len() > 60 {
            return Err("must begin with SQLAlchemy’s name of the driver, as exa+websocket://".to_owned());
        }
        if rest.contains('#') {
            return Err("must hold no “#”: write %23 for one".to_owned());
        }
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let (authority, database) = place.split_once('/').map_or((place, None), |(authority, path)| (authority, Some(path)));
        let (login, address) = authority.rsplit_once('@').map_or((None, authority), |(login, address)| (Some(login), address));
        let (username, password) = login.map_or((None, None), |login| {
            login.split_once(':').map_or((Some(login), None), |(username, password)| (Some(username), Some(password)))
        });
        // The last colon, unless it stands in the brackets of an IPv6 address.
        let (host, port) =
            address.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or((address, None), |(h, p)| (h, Some(p)));
        let said = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(|text| plain(text, false)).transpose();
        let mut parameters = BTreeMap::new();
        for parameter in query.into_iter().flat_map(|query| query.split('&')).filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').ok_or("must have a value behind each parameter, as ?ssl=true")?;
            let is_key = !key.is_empty()
                && key.len() <= 100
                && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
            if !is_key {
                return Err("must have parameters whose names are of letters, digits, “_”, “-” and “.”".to_owned());
            }
            if parameters.insert(key.to_owned(), plain(value, true)?).is_some() {
                return Err(format!("has the parameter “{key}” twice"));
            }
        }
        if parameters.len() > QUERY_MAX {
            return Err(format!("must have at most {QUERY_MAX} parameters"));
        }
        Ok(Self {
            drivername: drivername.to_owned(),
            username: said(username)?,
            password: said(password)?,
            host: said(Some(host))?,
            port: said(port)?,
            database: said(database)?,
            query: parameters,
        })
    }

    /// Whether a parameter takes the value of this field.
    #[must_use]
    pub fn has_in_query(&self, path: &str) -> bool {
        let is_it = |piece: &Piece<'_>| matches!(piece, Piece::Field(field) if *field == path);
        self.query.values().any(|part| pieces(part).is_ok_and(|pieces| pieces.iter().any(is_it)))
    }

    /// Takes a template apart and holds it against the fields of its type.
    pub(super) fn read(text: &str, kind: &ConnectionType) -> Result<Self, FieldError> {
        let refused = |message: String| FieldError::new("url", "invalid", message);
        let url = Self::parse(text).map_err(refused)?;
        for (place, part) in url.parts() {
            for piece in pieces(part).map_err(refused)? {
                match piece {
                    Piece::Field(path) => {
                        let field = kind
                            .field(path)
                            .ok_or_else(|| refused(format!("names “{{{path}}}”, and the type has no such field")))?;
                        let is_port = matches!(field.kind, FieldKind::Port | FieldKind::Integer);
                        match place {
                            Place::Password if !field.secret => {
                                return Err(refused(format!("has “{{{path}}}” where a password goes, and it is no secret")));
                            }
                            Place::Port if !is_port => {
                                return Err(refused(format!("has “{{{path}}}” where a port goes, and it is no number")));
                            }
                            Place::Username | Place::Host | Place::Port | Place::Database if field.secret => {
                                return Err(refused(format!(
                                    "shows the secret “{{{path}}}”: it goes where the password does, or into a parameter"
                                )));
                            }
                            _ => {}
                        }
                    }
                    Piece::Text(_) if place == Place::Password => {
                        return Err(refused("holds a password: write the field it is in, as {password}".to_owned()));
                    }
                    Piece::Text(text) if place == Place::Port && !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                        return Err(refused("has a port that is no number".to_owned()));
                    }
                    Piece::Text(text) => {
                        if let Some(name) = secret_in(place, &text) {
                            return Err(refused(format!(
                                "holds a secret in “{name}”: write the field it is in, as {{password}}"
                            )));
                        }
                    }
                }
            }
        }
        Ok(url)
    }

    fn parts(&self) -> impl Iterator<Item = (Place<'_>, &str)> {
        let named = [
            (Place::Username, &self.username),
            (Place::Password, &self.password),
            (Place::Host, &self.host),
            (Place::Port, &self.port),
            (Place::Database, &self.database),
        ];
        let named = named.into_iter().filter_map(|(place, part)| Some((place, part.as_deref()?)));
        named.chain(self.query.iter().map(|(key, part)| (Place::Parameter(key), part.as_str())))
    }

    /// The URL with the public values in it, for people: it holds no secret, and what would hold one is left out.
    #[must_use]
    pub fn shown(&self, public: &PublicFields) -> String {
        let fill = |part: &Option<String>| part.as_deref().and_then(|part| filled(part, public));
        let mut url = format!("{}://", self.drivername);
        if let Some(username) = fill(&self.username) {
            url.extend([escaped(&username), "@".to_owned()]);
        }
        if let Some(host) = fill(&self.host) {
            // A host with a colon is an address of IPv6.
            let is_bare = host.contains(':') && !host.starts_with('[');
            match is_host(&host) {
                false => url.push_str(&escaped(&host)),
                true if is_bare => url.extend(["[", &host, "]"]),
                true => url.push_str(&host),
            }
        }
        url.extend(fill(&self.port).map(|port| format!(":{}", escaped(&port))));
        url.extend(fill(&self.database).map(|database| format!("/{}", escaped(&database).replace("%2F", "/"))));
        let query: Vec<_> =
            self.query.iter().filter_map(|(key, part)| Some(format!("{key}={}", escaped(&filled(part, public)?)))).collect();
        if !query.is_empty() {
            url.extend(["?".to_owned(), query.join("&")]);
        }
        url
    }
}

/// What in a text of a template is called like a secret and has a value: the parameter that it is of, or a setting within, as `PWD=…` in
/// `?odbc_connect=DSN%3Dx%3BPWD%3Dy`.
fn secret_in<'t>(place: Place<'t>, text: &'t str) -> Option<&'t str> {
    let is_value = |value: &str| !value.is_empty() && !SWITCHES.contains(&value.to_ascii_lowercase().as_str());
    let whole = match place {
        Place::Parameter(key) => Some((key, text)),
        _ => None,
    };
    let within = text.split([';', '&', ',', ' ']).filter_map(|setting| setting.split_once('='));
    whole.into_iter().chain(within).find(|(name, value)| is_value(value) && is_secret_parameter(name)).map(|(name, _)| name)
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The text of a part; nothing where none of its fields is set.
fn filled(part: &str, public: &PublicFields) -> Option<String> {
    let (mut text, mut fields, mut set) = (String::new(), 0, 0);
    for piece in pieces(part).ok()? {
        match piece {
            Piece::Text(more) => text.push_str(&more),
            Piece::Field(path) => {
                fields += 1;
                if let Some(value) = public.get(path) {
                    set += 1;
                    text.push_str(&value.to_string());
                }
            }
        }
    }
    (fields == 0 || set > 0).then_some(text)
}

/// A part without the escapes that a URL would have, since it is not read as one any more. `{` and `}` that come of escapes are doubled.
fn plain(text: &str, is_query: bool) -> Result<String, String> {
    let mut plain = String::new();
    for piece in pieces(text)? {
        match piece {
            Piece::Field(path) => plain.extend(["{", path, "}"]),
            Piece::Text(text) => {
                let text = if is_query { text.replace('+', " ") } else { text };
                let decoded =
                    percent_decode_str(&text).decode_utf8().map_err(|_| "has an escape that stands for no text in UTF-8")?;
                if decoded.chars().any(char::is_control) {
                    return Err("must hold no control characters".to_owned());
                }
                plain.push_str(&decoded.replace('{', "{{").replace('}', "}}"));
            }
        }
    }
    Ok(plain)
}

/// The stretches of a part in their order.
fn pieces(mut text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    while let Some(at) = text.find(['{', '}']) {
        let (before, rest) = text.split_at(at);
        plain.push_str(before);
        if let Some(after) = rest.strip_prefix("{{") {
            plain.push('{');
            text = after;
        } else if let Some(after) = rest.strip_prefix("}}") {
            plain.push('}');
            text = after;
        } else {
            let inner = rest.strip_prefix('{').ok_or("has a “}” too many: write “}}” for a brace")?;
            let (path, after) = inner.split_once('}').ok_or("has a “{” that is not closed: write “{{” for a brace")?;
            let is_path =
                !path.is_empty() && path.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.'));
            if !is_path {
                return Err("must have the name of a field between braces, as {host} or {extra.schema}".to_owned());
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Field(path));
            text = after;
        }
    }
    plain.push_str(text);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

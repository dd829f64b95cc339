//! `{{ conn.sales.host }}`: what templates of Airflow name.

use dataflow_model::ConnectionName;
use memchr::memmem;

/// The connections that a text's templates name, each with the row that it stands in, from 0.
pub fn connections(text: &str) -> Vec<(usize, ConnectionName)> {
    let mut found = Vec::new();
    if memmem::find(text.as_bytes(), b"conn.").is_none() {
        return found;
    }
    let (mut row, mut rest) = (0, text);
    while let Some((before, inside)) = rest.split_once("{{") {
        let (inside, after) = inside.split_once("}}").unwrap_or((inside, ""));
        row += newlines(before);
        let mut inner = row;
        let mut parts = inside.split("conn.");
        let mut before = parts.next().unwrap_or_default();
        inner += newlines(before);
        for part in parts {
            let is_word = before.ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.'));
            if let Some(name) = Some(part).filter(|_| !is_word).and_then(named) {
                found.push((inner, name));
            }
            inner += newlines(part);
            before = part;
        }
        row += newlines(inside);
        rest = after;
    }
    found
}

/// What stands behind `conn.`: the name itself, or `get("name")`.
fn named(text: &str) -> Option<ConnectionName> {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let Some(argument) = rest.strip_prefix('(').filter(|_| word == "get") else { return ConnectionName::new(word).ok() };
    let argument = argument.trim_start();
    let quote = argument.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, _) = argument.get(1..)?.split_once(quote)?;
    ConnectionName::new(name).ok()
}

fn newlines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_templates_name_and_where() {
        let text = "{{ ds }} conn.no\n{{ conn.sales.host }}:{{conn.ops.port}} {{ my_conn.x }} {{ task.conn.y }}\n{{\n conn.get('my-db').login ~ conn.late }}";
        let found: Vec<_> = connections(text).into_iter().map(|(row, name)| (row, name.to_string())).collect();
        let wanted = [(1, "sales"), (1, "ops"), (3, "my-db"), (3, "late")].map(|(row, name)| (row, name.to_owned()));
        assert_eq!(found, wanted);
    }
}

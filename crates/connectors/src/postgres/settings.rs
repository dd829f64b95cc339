//! The extra settings of a connection, as the SDK's driver gives them to the server: the application's name by itself, the
//! others in `options`, so that a wrong one fails the connection here as it would there.

use dataflow_model::{FieldValue, PublicFields};

/// Field, and the server's parameter.
const PARAMETERS: [(&str, &str); 4] = [
    ("extra.statement_timeout", "statement_timeout"),
    ("extra.search_path", "search_path"),
    ("extra.timezone", "TimeZone"),
    ("extra.read_only", "default_transaction_read_only"),
];

/// The `options` parameter of the start-up message; empty if no setting is made.
pub(super) fn options(public: &PublicFields) -> String {
    let mut out = String::new();
    for (field, parameter) in PARAMETERS {
        let value = match public.get(field) {
            None => continue,
            Some(FieldValue::Boolean(value)) => (if *value { "on" } else { "off" }).to_owned(),
            Some(value) => value.to_string(),
        };
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str("-c ");
        out.push_str(parameter);
        out.push('=');
        // The server splits at blanks, unless a backslash stands before.
        for character in value.chars() {
            if character.is_whitespace() || character == '\\' {
                out.push('\\');
            }
            out.push(character);
        }
    }
    out
}

/// The field whose parameter an error text names in quotes. The quotes differ by language, the name does not.
pub(super) fn blamed_field(public: &PublicFields, said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    PARAMETERS
        .into_iter()
        .find(|(field, parameter)| public.get(field).is_some() && said.contains(&parameter.to_lowercase()))
        .map(|(field, _)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_for_the_server_to_split() {
        let public = PublicFields(
            [
                ("extra.search_path".into(), FieldValue::Text("a, \"b c\"\\".to_owned())),
                ("extra.read_only".into(), FieldValue::Boolean(true)),
                ("extra.statement_timeout".into(), FieldValue::Integer(500)),
            ]
            .into(),
        );
        assert_eq!(
            options(&public),
            r#"-c statement_timeout=500 -c search_path=a,\ "b\ c"\\ -c default_transaction_read_only=on"#
        );
        assert_eq!(options(&PublicFields::default()), "");
    }

    #[test]
    fn the_field_to_blame_is_one_that_is_set() {
        let public = PublicFields([("extra.timezone".into(), FieldValue::Text("Mars".to_owned()))].into());
        assert_eq!(blamed_field(&public, "invalid value for parameter \"TimeZone\": \"Mars\""), Some("extra.timezone"));
        assert_eq!(blamed_field(&public, "invalid value for parameter \"search_path\""), None);
    }
}

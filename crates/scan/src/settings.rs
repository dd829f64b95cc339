//! What files of settings name: `.env`, and the keys and texts of YAML.
//!
//! Values are looked at here, and none that is not a name goes further.

use dataflow_model::ConnectionName;

use crate::{jinja, python::names_connection, report::Certainty};

/// A name, and where it stands: a row from 0.
pub type Named = (usize, ConnectionName, Certainty);

/// `export SALES_CONN_ID="sales"  # of the north`
pub fn dotenv(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (row, line) in text.lines().enumerate() {
        if let Some((key, value)) = assignment(line) {
            found.extend(setting(key, value).map(|(name, certainty)| (row, name, certainty)));
        }
    }
    found
}

/// `KEY=value`, as shells and dotenv read it.
pub fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim_end(), value.trim());
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.split_once(quote));
    let value = match quoted {
        Some((inside, _)) => inside,
        None => value.split_once(" #").map_or(value, |(before, _)| before.trim_end()),
    };
    Some((key, value))
}

/// What a key with its value names.
pub fn setting(key: &str, value: &str) -> Option<(ConnectionName, Certainty)> {
    if let Some(name) = airflow_variable(key) {
        return Some((name, Certainty::Maybe));
    }
    let key = key.to_ascii_lowercase();
    let certainty = if names_connection(&key) || key == "dataflow_connection" || key.ends_with("_dataflow_connection") {
        Certainty::Certain
    } else if key == "connection" {
        Certainty::Maybe
    } else {
        return None;
    };
    Some((ConnectionName::new(value).ok()?, certainty))
}

/// `AIRFLOW_CONN_SALES`, whose value is a URL with its password. Airflow looks any spelling of `sales` up under it.
fn airflow_variable(key: &str) -> Option<ConnectionName> {
    ConnectionName::new(key.strip_prefix("AIRFLOW_CONN_")?.to_ascii_lowercase()).ok()
}

/// What templates in a text name: `{{ conn.sales.host }}`, `{{ env_var('SALES_CONN_ID', 'sales') }}`, `{{ env_var('AIRFLOW_CONN_SALES') }}`.
pub fn templates(text: &str) -> Vec<Named> {
    let mut found: Vec<_> = jinja::connections(text).into_iter().map(|(row, name)| (row, name, Certainty::Maybe)).collect();
    let mut row = 0;
    let mut parts = text.split("env_var(");
    row += newlines(parts.next().unwrap_or_default());
    for part in parts {
        let arguments = part.split(')').next().unwrap_or_default();
        let mut arguments = arguments.split(',').map(|argument| argument.trim().trim_matches(['"', '\'']));
        let (key, default) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
        // A variable that nobody sets has its default.
        found.extend(setting(key, default).map(|(name, _)| (row, name, Certainty::Maybe)));
        row += newlines(part);
    }
    found
}

fn newlines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("SALES_CONN_ID=sales", Some(("sales", Certainty::Certain)))]
    #[case("export CONN_ID='sales' # main", Some(("sales", Certainty::Certain)))]
    #[case("  DATAFLOW_CONNECTION = \"sales\"", Some(("sales", Certainty::Certain)))]
    #[case("ETL_DATAFLOW_CONNECTION=sales # main", Some(("sales", Certainty::Certain)))]
    #[case("CONNECTION=sales", Some(("sales", Certainty::Maybe)))]
    #[case("AIRFLOW_CONN_SALES=postgres://ada:planted@db/sales", Some(("sales", Certainty::Maybe)))]
    #[case("# SALES_CONN_ID=sales", None)]
    #[case("SALES_CONN_ID=", None)]
    #[case("SALES_CONN_ID=postgres://ada:planted@db", None)]
    #[case("SALES_CONN_IDS=sales", None)]
    #[case("MYCONN_ID=sales", None)]
    #[case("PASSWORD=planted", None)]
    #[case("DATAFLOW_TOKEN=dfc_user_planted", None)]
    fn lines(#[case] line: &str, #[case] wanted: Option<(&str, Certainty)>) {
        let found = dotenv(line);
        let found: Vec<_> = found.iter().map(|(row, name, certainty)| (*row, name.as_str(), *certainty)).collect();
        assert_eq!(found, wanted.map(|(name, certainty)| (0, name, certainty)).into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn templates_of_dbt() {
        let text = "{{ env_var('DBT_PASSWORD', 'planted') }}\n{{ env_var(\"SALES_CONN_ID\", 'sales') }} {{ env_var('AIRFLOW_CONN_OPS') }}";
        let found: Vec<_> = templates(text).into_iter().map(|(row, name, _)| (row, name.to_string())).collect();
        assert_eq!(found, [(1, "sales".to_owned()), (1, "ops".to_owned())]);
    }
}

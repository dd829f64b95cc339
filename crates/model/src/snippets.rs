//! What to paste into a program to use a connection by its name. No snippet holds a secret; that is the point of them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{ConnectionName, ConnectionType, PublicFields, WorkspaceName};

/// What a URL's parts may hold unescaped (RFC 3986, “unreserved”).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a file's path, whose slashes separate.
const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// One way to use a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// Stable, for anchors and the shell: `python`, `pandas`, `polars`, `url`, `shell`.
    pub id: &'static str,
    pub label: &'static str,
    pub text: String,
}

/// Every snippet that fits the type, the most used first. A type without a SQLAlchemy dialect comes as bare values.
///
/// Names stand in the texts as they are: [`ConnectionName`] and [`WorkspaceName`] hold nothing that Python or a shell reads.
#[must_use]
pub fn snippets(kind: &ConnectionType, workspace: &WorkspaceName, name: &ConnectionName, public: &PublicFields) -> Vec<Snippet> {
    let mut all = Vec::new();
    let open = match workspace.as_str() {
        "default" => "Dataflow()".to_owned(),
        other => format!("Dataflow(workspace=\"{other}\")"),
    };
    if let Some(dialect) = kind.dialect.as_deref() {
        all.push(Snippet { id: "python", label: "Python", text: python(&open, name) });
        all.push(Snippet {
            id: "pandas",
            label: "pandas",
            text: frame(&open, name, "import pandas as pd", "pd.read_sql(\"SELECT 1 AS one\", engine)"),
        });
        all.push(Snippet {
            id: "polars",
            label: "polars",
            text: frame(&open, name, "import polars as pl", "pl.read_database(\"SELECT 1 AS one\", engine)"),
        });
        // Of these a URL as short as this one means HTTP without TLS: a password that is typed into it would go in the clear.
        if !matches!(dialect, "clickhousedb" | "trino") {
            let text = kind.url.as_ref().map_or_else(|| sqlalchemy_url(dialect, public), |url| url.shown(public));
            all.push(Snippet { id: "url", label: "SQLAlchemy URL", text });
        }
    } else {
        all.push(Snippet { id: "python", label: "Python", text: values(&open, name) });
    }
    all.push(Snippet { id: "shell", label: "Shell", text: shell(workspace, name) });
    all
}

fn python(open: &str, name: &ConnectionName) -> String {
    format!(
        "from dataflow.dataflow import Dataflow\nfrom sqlalchemy import text\n\ndb = {open}.connection(\"{name}\")\n\
         print(db.execute(text(\"SELECT 1\")).fetchone())"
    )
}

fn values(open: &str, name: &ConnectionName) -> String {
    format!(
        "from dataflow.dataflow import Dataflow\n\nvalues = {open}.connection(\"{name}\", mode=\"dict\")\n\
         print(values[\"host\"], values[\"port\"], values[\"login\"])"
    )
}

fn frame(open: &str, name: &ConnectionName, import: &str, read: &str) -> String {
    format!(
        "{import}\nfrom dataflow.dataflow import Dataflow\n\nengine = {open}.connection(\"{name}\", mode=\"engine\")\n\
         frame = {read}"
    )
}

fn shell(workspace: &WorkspaceName, name: &ConnectionName) -> String {
    let set = match workspace.as_str() {
        "default" => String::new(),
        other => format!("export DATAFLOW_WORKSPACE={other}\n"),
    };
    format!("{set}dataflow connections show {name}\ndataflow connections test {name}")
}

/// The address alone, as `sqlalchemy.URL` would print it; the SDK adds the password when it connects.
fn sqlalchemy_url(dialect: &str, public: &PublicFields) -> String {
    let database = public.text("database").unwrap_or_default();
    let Some(host) = public.text("host") else {
        return format!("{dialect}:///{}", utf8_percent_encode(database, ESCAPED_IN_PATH));
    };
    let driver = match dialect {
        "postgresql" => "postgresql+psycopg",
        "cockroachdb" => "cockroachdb+psycopg",
        "mysql" => "mysql+pymysql",
        other => other,
    };
    let user = public.text("username").map(|user| format!("{}@", utf8_percent_encode(user, ESCAPED))).unwrap_or_default();
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let port = public.integer("port").map(|port| format!(":{port}")).unwrap_or_default();
    let database = if database.is_empty() { String::new() } else { format!("/{}", utf8_percent_encode(database, ESCAPED)) };
    format!("{driver}://{user}{host}{port}{database}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalogue, FieldValue};

    fn all(type_id: &str, workspace: &str, fields: &[(&str, FieldValue)]) -> Vec<Snippet> {
        let catalogue = Catalogue::built_in().expect("sound");
        let public = PublicFields(fields.iter().map(|(path, value)| ((*path).into(), value.clone())).collect());
        snippets(
            catalogue.get(type_id).expect("known"),
            &WorkspaceName::new(workspace).expect("a name"),
            &ConnectionName::new("sales.eu-1").expect("a name"),
            &public,
        )
    }

    fn text(snippets: &[Snippet], id: &str) -> String {
        snippets.iter().find(|snippet| snippet.id == id).expect("there").text.clone()
    }

    fn is(value: &str) -> FieldValue {
        FieldValue::Text(value.to_owned())
    }

    #[test]
    fn the_script_of_the_design_is_the_first_snippet() {
        let all = all("postgres", "default", &[("host", is("db.internal"))]);
        assert_eq!(all.first().map(|snippet| snippet.id), Some("python"));
        assert!(text(&all, "python").contains("Dataflow().connection(\"sales.eu-1\")"));
    }

    #[test]
    fn what_sqlalchemy_does_not_open_comes_as_values() {
        let all = all("elasticsearch", "default", &[("host", is("search.internal"))]);
        assert_eq!(all.iter().map(|snippet| snippet.id).collect::<Vec<_>>(), ["python", "shell"]);
        assert!(text(&all, "python").contains("Dataflow().connection(\"sales.eu-1\", mode=\"dict\")"));
    }

    #[test]
    fn what_goes_over_http_has_no_url_to_type_a_password_into() {
        for kind in ["clickhouse", "trino"] {
            let all = all(kind, "default", &[("host", is("db.internal"))]);
            assert_eq!(
                all.iter().map(|snippet| snippet.id).collect::<Vec<_>>(),
                ["python", "pandas", "polars", "shell"],
                "{kind}"
            );
        }
    }

    #[test]
    fn another_workspace_is_named() {
        let all = all("postgres", "analytics", &[("host", is("db.internal"))]);
        assert!(text(&all, "pandas").contains("Dataflow(workspace=\"analytics\")"));
        assert!(text(&all, "shell").starts_with("export DATAFLOW_WORKSPACE=analytics\n"));
    }

    #[test]
    fn a_url_is_escaped_and_has_no_password() {
        let fields =
            [("host", is("::1")), ("port", FieldValue::Integer(5433)), ("database", is("a/b?c")), ("username", is("u:p@x"))];
        assert_eq!(text(&all("redshift", "default", &fields), "url"), "postgresql+psycopg://u%3Ap%40x@[::1]:5433/a%2Fb%3Fc");
        assert_eq!(text(&all("sqlite", "default", &[("database", is("a/b c.db"))]), "url"), "sqlite:///a/b%20c.db");
        assert_eq!(text(&all("mariadb", "default", &[("host", is("h"))]), "url"), "mysql+pymysql://h");
    }
}

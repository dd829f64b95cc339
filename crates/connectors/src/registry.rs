//! The one list of connectors.

use crate::{
    Connector,
    duckdb::DuckDb,
    local_path::LocalPath,
    mysql::MySql,
    postgres::Postgres,
    reach::Reach,
    services,
    sqlite::Sqlite,
    ssh::{Sftp, Ssh},
    wires,
};

/// Every connector. Catalogue entries name one of these.
pub const ALL: &[&dyn Connector] = &[
    &services::ATHENA,
    &services::AWS,
    &services::AZURE,
    &wires::CASSANDRA,
    &services::CLICKHOUSE,
    &services::DATABRICKS,
    &services::DOCKER_REGISTRY,
    &services::DRUID,
    &DuckDb,
    &services::ELASTICSEARCH,
    &LocalPath,
    &wires::FTP,
    &services::BIGQUERY,
    &services::GOOGLE_STORAGE,
    &Reach,
    &services::GIT,
    &services::GOOGLE_CLOUD,
    &services::ANY,
    &wires::HTTP_PROXY,
    &wires::IMAP,
    &services::INFLUXDB,
    &wires::KAFKA,
    &services::KUBERNETES,
    &wires::LDAP,
    &wires::MONGO,
    &wires::MQTT,
    &wires::MSSQL,
    &MySql,
    &wires::NATS,
    &services::NEO4J,
    &services::OPENSEARCH,
    &wires::ORACLE,
    &services::PACKAGE_INDEX,
    &Postgres,
    &services::PRESTO,
    &wires::RABBITMQ,
    &wires::REDIS,
    &services::S3,
    &services::SCHEMA_REGISTRY,
    &Sftp,
    &services::SLACK,
    &wires::SMTP,
    &services::SNOWFLAKE,
    &wires::SOCKS_PROXY,
    &Sqlite,
    &Ssh,
    &services::TRINO,
    &services::VAULT,
    &services::AZURE_BLOB,
    &services::WEBHOOK,
];

/// The connector called `name`, as in a catalogue entry's `connector`.
#[must_use]
pub fn connector(name: &str) -> Option<&'static dyn Connector> {
    ALL.iter().copied().find(|connector| connector.name() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dataflow_model::{Catalogue, ConnectionType, FieldKind, FieldValue};

    use super::*;

    const PAGE: &str = include_str!("../../../docs/adding-a-connection-type.md");

    /// What the catalogue's rules ask of `kind`, and what they cannot see.
    fn check(kind: &ConnectionType) {
        assert!(
            connector(&kind.connector).is_some(),
            "{}: no connector is called “{}”: list it in this file",
            kind.id,
            kind.connector
        );
        let renews = connector(&kind.connector).is_some_and(|connector| connector.renewer().is_some());
        assert!(renews || !kind.rotates, "{}: `rotates`, and its connector sets no passwords", kind.id);
        for field in &kind.fields {
            let name = field.path.as_str().rsplit('.').next().unwrap_or_default();
            // The id of a key is its name.
            let label = field.label.replace("key ID", "ID");
            let words: BTreeSet<_> = name.split('_').chain(label.split(' ')).map(str::to_lowercase).collect();
            let sounds_secret = ["password", "passphrase", "secret", "token", "key", "credential", "credentials"];
            // The public half of a server's key.
            let is_public = field.path.as_str() == "extra.host_key";
            let says_secret = !is_public && sounds_secret.iter().any(|word| words.contains(*word));
            assert_eq!(
                says_secret, field.secret,
                "{}: `{}` is called a secret and not marked as one, or the other way round",
                kind.id, field.path
            );
        }
    }

    #[test]
    fn every_type_has_its_connector_and_every_connector_a_type() {
        let catalogue = Catalogue::built_in().expect("sound");
        let types = catalogue.all();
        for kind in &types {
            check(kind);
        }
        let used: BTreeSet<_> = types.iter().map(|kind| kind.connector.as_str()).collect();
        let listed: Vec<_> = ALL.iter().map(|connector| connector.name()).collect();
        assert_eq!(used.iter().copied().collect::<Vec<_>>(), listed, "in order, each once, each behind a file of catalog/");
    }

    /// Who follows the page has a type that works.
    #[test]
    fn the_example_of_the_page_is_a_type() {
        let (before, rest) = PAGE.split_once("```toml\n").expect("an example");
        let (text, _) = rest.split_once("```").expect("its end");
        let id = before.rsplit_once("catalog/").and_then(|(_, rest)| rest.split_once(".toml")).expect("its file's name").0;
        let built_in = Catalogue::built_in().expect("sound");
        assert!(built_in.get(id).is_none(), "{id} is in the catalogue: the page needs another example");
        let postgres = include_str!("../../../catalog/postgres.toml");
        let catalogue = Catalogue::read(&[("postgres", postgres), (id, text)]).expect("the example follows the rules");
        let (kind, parent) = (catalogue.get(id).expect("there"), catalogue.get("postgres").expect("there"));
        check(kind);
        assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), 10, "it is to be ten lines:\n{text}");
        assert_eq!(kind.url_schemes, [id]);
        assert_eq!(kind.fields.len(), parent.fields.len());
        let port = kind.field("port").expect("inherited");
        assert_eq!((port.kind, port.default.clone()), (FieldKind::Port, Some(FieldValue::Integer(5_444))));
        assert_ne!(port.default, parent.field("port").and_then(|port| port.default.clone()), "the example changes nothing");
    }

    #[test]
    fn every_kind_that_the_page_names_is_one() {
        let row = PAGE.lines().find_map(|line| line.strip_prefix("| `kind` |")).expect("a row");
        let kinds: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        assert!(kinds.len() > 5, "{row}");
        for kind in kinds {
            assert!(serde_json::from_value::<FieldKind>(kind.into()).is_ok(), "no kind of field is called {kind}");
        }
    }
}

//! Every fake, with what makes a connection to it: the one list that tests go through.

use dataflow_model::Cause;

use super::{
    Answers, PASSWORD, SAS, USER, account_key, api, athena, aws, azure, clickhouse, databricks, docker_registry, druid,
    elasticsearch, git, google, google_key, influxdb, kubernetes, neo4j, opensearch, package_index, presto, s3, schema_registry,
    signatures::RsaPair, slack, snowflake, trino, vault, wasb,
};
use crate::{connection::Connection, tls::Authority};

/// What signs in: the field that has it, and a right and a wrong value, both well formed.
pub struct SignIn {
    pub field: &'static str,
    pub right: fn() -> String,
    pub wrong: fn() -> String,
}

const A_PASSWORD: SignIn =
    SignIn { field: "password", right: || PASSWORD.to_owned(), wrong: || "planted-secret-of-a-service-and-more".to_owned() };
const AN_ACCOUNT_KEY: SignIn = SignIn { right: account_key, wrong: || "cGxhbnRlZC13cm9uZy1rZXk=".to_owned(), ..A_PASSWORD };
const A_SAS: SignIn = SignIn { right: || SAS.to_owned(), wrong: || SAS.replace("planted", "another"), ..A_PASSWORD };
const A_KEY_OF_GOOGLE: SignIn =
    SignIn { right: || google_key(RsaPair::known()), wrong: || google_key(RsaPair::other()), ..A_PASSWORD };
const A_PRIVATE_KEY: SignIn = SignIn {
    field: "extra.private_key_content",
    right: || RsaPair::known().pem.trim().to_owned(),
    wrong: || RsaPair::other().pem.trim().to_owned(),
};

/// One type, and one of its ways to sign in.
pub struct ServiceCase {
    /// The type, and its connector.
    pub id: &'static str,
    /// What is set beside host, port and sign-in.
    pub fields: &'static [(&'static str, &'static str)],
    pub answer: Answers,
    pub version: Option<&'static str>,
    pub sign_in: SignIn,
    /// Where the fake exchanges what signs in for a token, if the type does that.
    pub exchanges_at: Option<&'static str>,
    /// What a test with a password comes to where nobody looks at it; a cause if such a server refuses any.
    pub unguarded: Result<(), Cause>,
    /// It answers without a sign-in, and not as one that is asked for it.
    pub without: Result<(), Cause>,
}

const CASE: ServiceCase = ServiceCase {
    id: "",
    fields: &[],
    answer: api,
    version: None,
    sign_in: A_PASSWORD,
    exchanges_at: None,
    unguarded: Ok(()),
    without: Err(Cause::CredentialsRefused),
};

const NAME: (&str, &str) = ("username", USER);

impl ServiceCase {
    /// Without a sign-in, over verified TLS.
    pub fn connection(&self, authority: &Authority, port: u16) -> Connection {
        let connection =
            self.fields.iter().fold(Connection::new(self.id, port), |connection, (path, value)| connection.set(path, value));
        let connection = connection.verified(&authority.pem());
        match self.exchanges_at {
            Some(path) => connection
                .set("extra.oauth_url", &format!("https://localhost:{port}{path}"))
                .set("extra.oauth_ca", &authority.pem()),
            None => connection,
        }
    }

    /// The same without TLS.
    pub fn plain(&self, authority: &Authority, host: &str, port: u16) -> Connection {
        let connection = self.connection(authority, port).set("host", host).set("tls.mode", "disable");
        match self.exchanges_at {
            Some(path) => connection.set("extra.oauth_url", &format!("http://{host}:{port}{path}")),
            None => connection,
        }
    }

    pub fn told(&self) -> String {
        format!("{} with {:?}", self.id, self.fields)
    }
}

/// All of them. The first of a type is what it is asked with where one is enough.
pub fn service_cases() -> Vec<ServiceCase> {
    let refuses_passwords = ServiceCase { unguarded: Err(Cause::CredentialsRefused), ..CASE };
    let token_of = |id, fields, answer| ServiceCase { id, fields, answer, ..CASE };
    let google_case =
        |id, fields| ServiceCase { sign_in: A_KEY_OF_GOOGLE, exchanges_at: Some("/token"), ..token_of(id, fields, google) };
    vec![
        token_of("http", &[("extra.path", "/v1/"), ("extra.test_path", "me"), ("extra.auth", "basic"), NAME], api),
        token_of("http", &[("extra.test_path", "/v1/me"), ("extra.auth", "bearer")], api),
        token_of("http", &[("extra.test_path", "/v1/me"), ("extra.auth", "header")], api),
        ServiceCase {
            version: Some("ClickHouse 26.3.1.896"),
            ..token_of("clickhouse", &[("database", "sales"), NAME], clickhouse)
        },
        ServiceCase { version: Some("Elasticsearch 8.19.2"), ..token_of("elasticsearch", &[NAME], elasticsearch) },
        ServiceCase {
            version: Some("Elasticsearch 8.19.2"),
            ..token_of("elasticsearch", &[("extra.auth", "api_key"), ("database", "orders")], elasticsearch)
        },
        ServiceCase { version: Some("OpenSearch 3.5.0"), ..token_of("opensearch", &[("database", "orders"), NAME], opensearch) },
        ServiceCase {
            id: "trino",
            fields: &[("database", "hive"), ("extra.schema", "web"), NAME],
            answer: trino,
            version: Some("Trino 476"),
            ..refuses_passwords
        },
        ServiceCase {
            id: "trino",
            fields: &[("extra.auth", "bearer"), NAME],
            answer: trino,
            version: Some("Trino 476"),
            unguarded: Err(Cause::CredentialsRefused),
            ..CASE
        },
        ServiceCase {
            id: "presto",
            fields: &[("database", "hive"), NAME],
            answer: presto,
            version: Some("Presto 0.294-7c5a25c"),
            unguarded: Err(Cause::CredentialsRefused),
            ..CASE
        },
        ServiceCase {
            version: Some("InfluxDB 2.7.11"),
            ..token_of("influxdb", &[("database", "metrics"), ("extra.organization", "acme")], influxdb)
        },
        ServiceCase { version: Some("Schema Registry 8.1.0-ccs"), ..token_of("schema_registry", &[NAME], schema_registry) },
        ServiceCase { version: Some("Vault 1.20.4"), ..token_of("vault", &[], vault) },
        ServiceCase { version: Some("Vault 1.20.4"), ..token_of("vault", &[("extra.auth", "approle"), NAME], vault) },
        token_of("docker_registry", &[NAME], docker_registry),
        token_of("package_index", &[("extra.path", "/simple"), NAME], package_index),
        token_of("package_index", &[("extra.path", "/simple"), ("extra.project", "Sample_Project"), NAME], package_index),
        ServiceCase { version: Some("Druid 34.0.0"), ..token_of("druid", &[NAME], druid) },
        token_of("databricks", &[("extra.http_path", "/sql/1.0/warehouses/abc123")], databricks),
        token_of("aws", &[("extra.region_name", "eu-west-1"), NAME], aws),
        token_of("athena", &[("extra.region_name", "eu-west-1"), NAME], athena),
        token_of("s3", &[("extra.region_name", "eu-west-1"), ("database", "sales"), NAME], s3),
        token_of("s3", &[NAME], s3),
        google_case("google_cloud_platform", &[]),
        google_case("gcs", &[("database", "sales")]),
        google_case("gcs", &[("extra.project", "acme")]),
        google_case("gcpbigquery", &[("extra.project", "acme")]),
        google_case("gcpbigquery", &[("extra.project", "acme"), ("database", "web")]),
        ServiceCase {
            exchanges_at: Some("/token"),
            ..token_of("azure", &[("extra.tenant_id", "acme.example.org"), NAME], azure)
        },
        ServiceCase { sign_in: AN_ACCOUNT_KEY, ..token_of("wasb", &[("database", "reports"), NAME], wasb) },
        ServiceCase { sign_in: AN_ACCOUNT_KEY, ..token_of("wasb", &[NAME], wasb) },
        ServiceCase { sign_in: A_SAS, ..token_of("wasb", &[("database", "reports"), ("extra.auth", "sas"), NAME], wasb) },
        ServiceCase {
            sign_in: A_PRIVATE_KEY,
            version: Some("Snowflake 9.33.1"),
            ..token_of("snowflake", &[("extra.account", "acme-main"), ("database", "SALES"), NAME], snowflake)
        },
        ServiceCase {
            version: Some("Snowflake 9.33.1"),
            ..token_of("snowflake", &[("extra.account", "acme-main"), NAME], snowflake)
        },
        ServiceCase { version: Some("Kubernetes 1.34.2"), ..token_of("kubernetes", &[], kubernetes) },
        token_of("git", &[("extra.path", "/acme/pipelines.git"), NAME], git),
        ServiceCase { version: Some("Neo4j 5.26.1"), ..token_of("neo4j", &[("database", "graph"), NAME], neo4j) },
        token_of("slack", &[], slack),
    ]
}

/// The first of a type.
///
/// # Panics
/// If it has none.
pub fn service_case(id: &str) -> ServiceCase {
    service_cases().into_iter().find(|case| case.id == id).unwrap_or_else(|| panic!("{id} has no case"))
}

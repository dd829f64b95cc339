//! The services that are asked over HTTP, one file each: how the sign-in goes along, which request proves it, what is read, and which
//! answers are the service's own. How all of them are tested stands in [`crate::http`].

mod any;
mod aws;
mod azure;
mod azure_blob;
mod clickhouse;
mod databricks;
mod docker_registry;
mod druid;
mod elastic;
mod git;
mod google;
mod influxdb;
mod kubernetes;
mod neo4j;
mod oauth;
mod package_index;
mod s3;
mod schema_registry;
mod slack;
mod snowflake;
mod trino;
mod vault;
mod webhook;

use crate::http::{Answer, Http};

pub(crate) const ANY: Http<any::Any> = Http(any::Any);
pub(crate) const ATHENA: Http<aws::Aws> = Http(aws::ATHENA);
pub(crate) const AWS: Http<aws::Aws> = Http(aws::ACCOUNT);
pub(crate) const AZURE: Http<azure::Azure> = Http(azure::Azure);
pub(crate) const AZURE_BLOB: Http<azure_blob::AzureBlob> = Http(azure_blob::AzureBlob);
pub(crate) const BIGQUERY: Http<google::Google> = Http(google::BIGQUERY);
pub(crate) const CLICKHOUSE: Http<clickhouse::ClickHouse> = Http(clickhouse::ClickHouse);
pub(crate) const DATABRICKS: Http<databricks::Databricks> = Http(databricks::Databricks);
pub(crate) const DOCKER_REGISTRY: Http<docker_registry::DockerRegistry> = Http(docker_registry::DockerRegistry);
pub(crate) const DRUID: Http<druid::Druid> = Http(druid::Druid);
pub(crate) const ELASTICSEARCH: Http<elastic::Elastic> = Http(elastic::ELASTICSEARCH);
pub(crate) const GIT: Http<git::Git> = Http(git::Git);
pub(crate) const GOOGLE_CLOUD: Http<google::Google> = Http(google::ACCOUNT);
pub(crate) const GOOGLE_STORAGE: Http<google::Google> = Http(google::STORAGE);
pub(crate) const INFLUXDB: Http<influxdb::InfluxDb> = Http(influxdb::InfluxDb);
pub(crate) const KUBERNETES: Http<kubernetes::Kubernetes> = Http(kubernetes::Kubernetes);
pub(crate) const NEO4J: Http<neo4j::Neo4j> = Http(neo4j::Neo4j);
pub(crate) const OPENSEARCH: Http<elastic::Elastic> = Http(elastic::OPENSEARCH);
pub(crate) const PACKAGE_INDEX: Http<package_index::PackageIndex> = Http(package_index::PackageIndex);
pub(crate) const PRESTO: Http<trino::Trino> = Http(trino::PRESTO);
pub(crate) const S3: Http<s3::S3> = Http(s3::S3);
pub(crate) const SCHEMA_REGISTRY: Http<schema_registry::SchemaRegistry> = Http(schema_registry::SchemaRegistry);
pub(crate) const SLACK: Http<slack::Slack> = Http(slack::Slack);
pub(crate) const SNOWFLAKE: Http<snowflake::Snowflake> = Http(snowflake::Snowflake);
pub(crate) const TRINO: Http<trino::Trino> = Http(trino::TRINO);
pub(crate) const VAULT: Http<vault::Vault> = Http(vault::Vault);
pub(crate) const WEBHOOK: Http<webhook::Webhook> = Http(webhook::Webhook);

/// The service whose answer it is, whatever was asked. Our own words alone are told of what answers at an address.
pub(crate) fn recognised(answer: &Answer) -> Option<&'static str> {
    type Mark = fn(&Answer) -> bool;
    const MARKS: [(&str, Mark); 8] = [
        (clickhouse::PRODUCT, clickhouse::is_its),
        (docker_registry::PRODUCT, docker_registry::is_its),
        (elastic::ELASTICSEARCH.product, elastic::is_elasticsearch),
        (elastic::OPENSEARCH.product, elastic::is_opensearch),
        (influxdb::PRODUCT, influxdb::is_its),
        (schema_registry::PRODUCT, schema_registry::is_its),
        (vault::PRODUCT, vault::is_its),
        (package_index::PRODUCT, package_index::is_its),
    ];
    MARKS.into_iter().find(|(_, is_its)| is_its(answer)).map(|(product, _)| product)
}

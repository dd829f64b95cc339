//! Who depends on a connection, as it is answered, and as a refused delete tells it.

use serde::{Deserialize, Serialize};

use crate::WorkflowKind;

/// A workflow that depends on a connection: seen using it, found naming it in code by a scan, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dependent {
    /// `pipeline`, `notebook`, `app`, `script` or `cli`; null of a caller that told no workflow, who is named instead.
    #[schema(value_type = Option<String>, example = "pipeline")]
    pub kind: Option<WorkflowKind>,
    #[schema(example = "daily_sales.load")]
    pub name: String,
    /// Null of one that was found in code alone.
    pub seen: Option<Seen>,
    /// Where code names the connection; at most 20 places.
    pub found: Vec<Found>,
    /// The alias that it uses; null of one that uses the connection's own name.
    #[serde(default)]
    pub alias: Option<String>,
}

/// What is known of a workflow's uses. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Seen {
    #[schema(example = "2026-11-01T09:00:00Z")]
    pub first_at: String,
    #[schema(example = "2026-11-29T02:00:04Z")]
    pub last_at: String,
    /// Answers that it was given, those that said “unchanged” too.
    #[schema(example = 412)]
    pub uses: i64,
    /// The version that it was given last; null if that was of an earlier connection of the name.
    pub version: Option<i64>,
    /// Every version of this connection that it was given.
    pub versions: Vec<i64>,
    /// The person or token that asked last.
    #[schema(example = "token etl")]
    pub by: String,
    /// The machine that it ran on last, as it says itself.
    pub host: Option<String>,
    /// When it last could not connect with what it was given, and the version of that: null if it never could not, or if that was of an
    /// earlier connection of the name.
    pub failed_at: Option<String>,
    pub failed_version: Option<i64>,
    /// Used within the last minute.
    pub live: bool,
}

/// A place in code that names the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Found {
    #[schema(example = "etl")]
    pub project: String,
    /// What was scanned: a commit's hash, if it was known.
    pub revision: Option<String>,
    #[schema(example = "dags/daily_sales.py")]
    pub file: String,
    #[schema(example = 12)]
    pub line: i64,
    pub certainty: Certainty,
}

/// Whether the code says the name outright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    Certain,
    Maybe,
}

/// How many depend on a connection by another name than its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ByAlias {
    #[schema(example = "old_sales")]
    pub name: String,
    #[schema(example = 3)]
    pub total: i64,
}

/// What it does to dependents that their name leads to another connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Repointing {
    /// The name of the other connection.
    #[schema(example = "warehouse")]
    pub to: String,
    /// The type that they open now and the one that they would open, if another driver opens that: code that was written for the one may not
    /// work with the other.
    pub types: Option<[String; 2]>,
    /// The last test of the other connection failed.
    #[serde(default)]
    pub failed: bool,
    /// Who was seen using the name and may not use the other connection, at most 20: those fail.
    #[schema(example = json!(["token etl"]))]
    pub lose: Vec<String>,
}

/// What a delete would break, or another act that takes a name away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "total": 1, "found_only": 0, "live": 0, "hidden": 0, "token": "3b0c5a0f6e0d4c1f9a7b2d8e6c4f1a20",
    "dependents": [{
        "kind": "pipeline", "name": "daily_sales.load", "alias": "old_sales", "found": [],
        "seen": {"first_at": "2026-11-01T02:00:03Z", "last_at": "2026-11-29T02:00:04Z", "uses": 412, "version": 3, "versions": [2, 3],
            "by": "token etl", "host": "worker-1", "failed_at": null, "failed_version": null, "live": false}
    }],
    "aliases": [{"name": "old_sales", "total": 1}],
    "repointing": {"to": "warehouse", "types": ["postgres", "mysql"], "lose": ["token etl"]}
}))]
pub struct Impact {
    /// How many workflows depend on it.
    #[schema(example = 11)]
    pub total: i64,
    /// How many of them are found in code and were never seen.
    #[schema(example = 3)]
    pub found_only: i64,
    /// How many used it within the last minute.
    pub live: i64,
    /// How many of them the caller may not see, and are counted alone.
    pub hidden: i64,
    /// The latest of the others, at most 20.
    pub dependents: Vec<Dependent>,
    /// What that has to carry, so that it is known what it breaks; null where it needs none.
    pub token: Option<String>,
    /// How many of them use an alias, for each that has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<ByAlias>,
    /// Where names are led to another connection: what that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repointing: Option<Box<Repointing>>,
    /// Channels that tell people through it what becomes of connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Connections that go through it, at most 200 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// How many connections go through it.
    #[serde(default)]
    pub through_total: i64,
}

/// A program that may hold a login that is no longer the connection's: a workflow on one machine, under one token or person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Laggard {
    /// As of a dependent.
    #[schema(value_type = Option<String>, example = "pipeline")]
    pub kind: Option<WorkflowKind>,
    #[schema(example = "daily_sales.load")]
    pub name: String,
    /// The alias that it uses; null of one that uses the connection's own name.
    pub alias: Option<String>,
    /// When it was last given such a login, as RFC 3339, and the version of that.
    #[schema(example = "2026-11-29T02:00:04Z")]
    pub last_at: String,
    pub version: i64,
    /// The person or token that asked.
    #[schema(example = "token etl")]
    pub by: String,
    /// The machine that it ran on, where that was told.
    #[schema(example = "worker-1")]
    pub host: Option<String>,
    /// Until when it is waited for, as RFC 3339, though it asks again: where it tells no workflow or no host, and may be several programs, of which
    /// one has moved and another has not. Null of one that moves by asking again.
    pub until: Option<String>,
}

/// Who is waited for before a login is retired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!(Laggards::example()))]
pub struct Laggards {
    /// How many programs that used the connection within the last day.
    #[schema(example = 1)]
    pub total: i64,
    /// How many of them the caller may not see, and are counted alone.
    pub hidden: i64,
    /// The latest of the others, at most 20.
    pub workflows: Vec<Laggard>,
}

impl Laggards {
    /// One for descriptions.
    #[must_use]
    pub fn example() -> Self {
        let laggard = Laggard {
            kind: Some(WorkflowKind::Pipeline),
            name: "daily_sales.load".to_owned(),
            alias: None,
            last_at: "2026-11-29T02:00:04Z".to_owned(),
            version: 3,
            by: "token etl".to_owned(),
            host: Some("worker-1".to_owned()),
            until: None,
        };
        Self { total: 1, hidden: 0, workflows: vec![laggard] }
    }
}

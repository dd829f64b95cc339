//! The list as the README shows it: the product's own page with invented connections. The snapshot is what `make picture` photographs.

use dataflow_model::{Cause, TestStatus};

use super::{
    Glyph, Shell,
    form::Waiting,
    list::{Filter, List, Row, Spark, detail},
    parts::{Here, Pages},
    samples::{catalogue, keep, shell, steady},
    words::Status,
};
use crate::{
    ops::counts::Counts,
    studio::list::{chips, choices},
};

/// What a row tells of its connection and of its last check.
struct Shown {
    name: &'static str,
    description: &'static str,
    tags: &'static [&'static str],
    type_id: &'static str,
    address: &'static str,
    checks: Vec<(TestStatus, f64)>,
    cause: Option<Cause>,
    ago: &'static str,
}

/// Steady checks, of which the last ones came to something else.
fn ending(ms: f64, last: &[(TestStatus, f64)]) -> Vec<(TestStatus, f64)> {
    let mut checks = steady(ms);
    checks.splice(checks.len() - last.len().., last.iter().copied());
    checks
}

fn connections() -> [Shown; 7] {
    let failed = (TestStatus::Failed, 18.0);
    [
        Shown {
            name: "billing",
            description: "Bills and payments",
            tags: &["finance"],
            type_id: "mariadb",
            address: "billing-db.internal:3306 / billing",
            checks: steady(9.0),
            cause: None,
            ago: "2 min ago",
        },
        Shown {
            name: "crm",
            description: "Customer accounts",
            tags: &["eu"],
            type_id: "mysql",
            address: "crm-db.internal:3306 / crm",
            checks: ending(18.0, &[failed; 3]),
            cause: Some(Cause::CredentialsRefused),
            ago: "1 min ago",
        },
        Shown {
            name: "exports",
            description: "Drops of the night",
            tags: &["nightly"],
            type_id: "sqlite",
            address: "exports/reports.db",
            checks: steady(0.4),
            cause: None,
            ago: "3 min ago",
        },
        Shown {
            name: "lab",
            description: "Notebooks and trials",
            tags: &[],
            type_id: "postgres",
            address: "lab.internal:5432 / lab",
            checks: vec![(TestStatus::Unproven, 7.0); 6],
            cause: None,
            ago: "12 min ago",
        },
        Shown {
            name: "sales",
            description: "Orders, read replica",
            tags: &["eu", "finance"],
            type_id: "postgres",
            address: "sales-replica.internal:5432 / sales",
            checks: ending(12.0, &[failed, (TestStatus::Ok, 17.0), (TestStatus::Ok, 13.0), (TestStatus::Ok, 12.0)]),
            cause: None,
            ago: "3 min ago",
        },
        Shown {
            name: "support",
            description: "Tickets and chats",
            tags: &[],
            type_id: "mysql",
            address: "support-db.internal:3306 / tickets",
            checks: Vec::new(),
            cause: None,
            ago: "",
        },
        Shown {
            name: "warehouse",
            description: "Feeds the reports",
            tags: &["finance", "nightly"],
            type_id: "redshift",
            address: "warehouse.internal:5439 / analytics",
            checks: steady(41.0),
            cause: None,
            ago: "5 min ago",
        },
    ]
}

fn row(shown: &Shown) -> Row {
    let catalogue = catalogue();
    let kind = catalogue.get(shown.type_id).expect("known");
    let last = shown.checks.last();
    Row {
        name: shown.name.to_owned(),
        description: shown.description.to_owned(),
        tags: shown.tags.iter().map(|tag| (*tag).to_owned()).collect(),
        type_label: kind.label.clone(),
        glyph: Glyph::from(kind),
        address: shown.address.to_owned(),
        weak: Vec::new(),
        is_rotating: false,
        status: last.map_or_else(Status::untested, |(status, _)| Status::of(*status, shown.cause)),
        detail: last.map(|(status, ms)| detail(*status, Some(*ms), shown.ago)).unwrap_or_default(),
        checked_at: last.map(|_| "2026-11-22T16:00:00Z".to_owned()).unwrap_or_default(),
        spark: Spark::new(&shown.checks),
        dependents: i64::try_from(shown.checks.len() / 2).unwrap_or_default(),
    }
}

#[test]
fn picture() {
    let shown = connections();
    let last = |status| move |shown: &&Shown| shown.checks.last().map(|(last, _)| *last) == status;
    let count = |status| i64::try_from(shown.iter().filter(last(status)).count()).expect("few");
    let counts = Counts {
        all: i64::try_from(shown.len()).expect("few"),
        failed: count(Some(TestStatus::Failed)),
        unproven: count(Some(TestStatus::Unproven)),
        untested: count(None),
        types: Vec::new(),
        tags: Vec::new(),
    };
    let filter = Filter::default();
    let page = List {
        shell: Shell { connections: Some(counts.all), role: "admin".to_owned(), ..shell("Connections", Here::Connections) },
        chips: chips(&counts, &filter),
        types: choices(&counts.types, &filter.type_id, ToOwned::to_owned),
        tags: choices(&counts.tags, &filter.tag, ToOwned::to_owned),
        steps: Waiting::all(),
        rows: shown.iter().map(row).collect(),
        problem: None,
        pages: Pages::default(),
        filter,
    };
    keep("picture", &page);
}

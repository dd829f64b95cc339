//! A server thins out what it need not keep, on both stores.

use std::{
    thread,
    time::{Duration, Instant},
};

use dataflow_tests::stored::{Engine, Stored};
use rstest::rstest;
use serde_json::json;

/// More checks than are kept.
const PLANT: &str = "
    INSERT INTO checks (id, connection_id, version, status, report, checked_at, checked_by)
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1600)
      SELECT c.name || i, c.id, 1, 'ok', '{}', i, 'x' FROM n, connections c WHERE c.name = 'sales' OR i <= 7;
";
/// How many of one, which is the oldest, and how many of all.
const LEFT: &str = "SELECT count(*), min(k.checked_at), (SELECT count(*) FROM checks) FROM checks k JOIN connections c \
                    ON c.id = k.connection_id WHERE c.name = 'sales'";

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
fn checks_are_thinned_out(#[case] engine: Engine) {
    let stored = Stored::start(engine);
    stored.create("sales", "planted");
    stored.create("quiet", "planted");
    for description in ["second", "third"] {
        stored.edit("sales", &json!({"description": description, "password": description})).expect(200);
    }
    let versions =
        "SELECT name, version, description, fields, secrets, fingerprint FROM connection_versions ORDER BY name, version";
    let saved = stored.sql(versions);
    assert_eq!(saved.lines().count(), 4, "{saved}");
    stored.sql(PLANT);
    // What is beyond goes as the next one is kept.
    stored.admin("POST", "/connections/sales/test").send().expect(200);
    let started = Instant::now();
    while stored.sql(LEFT) != "1000|602|1007" {
        assert!(started.elapsed() < Duration::from_mins(1), "left: {}", stored.sql(LEFT));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(stored.sql(versions), saved, "every save stays");
}

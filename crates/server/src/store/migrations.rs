//! The steps that bring the tables up to this build. A step that has landed is never edited; the next one follows it.

use std::borrow::Cow;

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

/// The steps in their order, with the folder of one engine.
macro_rules! steps {
    ($folder:literal) => {
        &[
            ("start", include_str!(concat!("../../../../migrations/", $folder, "/0001_start.sql"))),
            ("makers", include_str!(concat!("../../../../migrations/", $folder, "/0002_makers.sql"))),
            ("jobs", include_str!(concat!("../../../../migrations/", $folder, "/0003_jobs.sql"))),
            ("search words", include_str!(concat!("../../../../migrations/", $folder, "/0004_search_words.sql"))),
            ("devices", include_str!(concat!("../../../../migrations/", $folder, "/0005_devices.sql"))),
            ("audit chain", include_str!(concat!("../../../../migrations/", $folder, "/0006_audit_chain.sql"))),
            ("settings", include_str!(concat!("../../../../migrations/", $folder, "/0007_settings.sql"))),
            ("keys", include_str!(concat!("../../../../migrations/", $folder, "/0008_keys.sql"))),
            ("narrowing", include_str!(concat!("../../../../migrations/", $folder, "/0009_narrowing.sql"))),
            ("second look", include_str!(concat!("../../../../migrations/", $folder, "/0010_second_look.sql"))),
            ("identities", include_str!(concat!("../../../../migrations/", $folder, "/0011_identities.sql"))),
            ("weak words", include_str!(concat!("../../../../migrations/", $folder, "/0012_weak_words.sql"))),
            ("order", include_str!(concat!("../../../../migrations/", $folder, "/0013_order.sql"))),
            ("dependents", include_str!(concat!("../../../../migrations/", $folder, "/0014_dependents.sql"))),
            ("restored from", include_str!(concat!("../../../../migrations/", $folder, "/0015_restored_from.sql"))),
            ("aliases", include_str!(concat!("../../../../migrations/", $folder, "/0016_aliases.sql"))),
            ("rotations", include_str!(concat!("../../../../migrations/", $folder, "/0017_rotations.sql"))),
            ("second logins", include_str!(concat!("../../../../migrations/", $folder, "/0018_second_logins.sql"))),
            ("rotation policies", include_str!(concat!("../../../../migrations/", $folder, "/0019_rotation_policies.sql"))),
            ("holders", include_str!(concat!("../../../../migrations/", $folder, "/0020_holders.sql"))),
            (
                "what databases were asked for",
                include_str!(concat!("../../../../migrations/", $folder, "/0021_rotation_told.sql")),
            ),
            ("health", include_str!(concat!("../../../../migrations/", $folder, "/0022_health.sql"))),
            ("notices", include_str!(concat!("../../../../migrations/", $folder, "/0023_notices.sql"))),
            ("lint", include_str!(concat!("../../../../migrations/", $folder, "/0024_lint.sql"))),
            ("own types", include_str!(concat!("../../../../migrations/", $folder, "/0025_own_types.sql"))),
        ]
    };
}

type Steps = &'static [(&'static str, &'static str)];

const SQLITE: Steps = steps!("sqlite");
const POSTGRES: Steps = steps!("postgres");

pub(super) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

pub(super) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

/// The number of the last step.
pub(super) fn last() -> i64 {
    i64::try_from(SQLITE.len()).unwrap_or(i64::MAX)
}

fn migrator(steps: Steps) -> Migrator {
    let migrations = (1..).zip(steps).map(|(version, &(name, sql))| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step of PostgreSQL as SQLite would have it, and either without what is the same by another name.
    fn plain(sql: &str) -> String {
        let words = sql.replace(" COLLATE \"C\"", "").replace(") WITHOUT ROWID", ")").replace("BYTEA", "BLOB");
        let words = words.replace("BIGINT", "INTEGER").replace("DOUBLE PRECISION", "REAL");
        words.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" ,", ",")
    }

    #[test]
    fn both_engines_get_the_same_tables() {
        for ((name, sqlite), (_, postgres)) in SQLITE.iter().zip(POSTGRES) {
            assert_eq!(plain(sqlite), plain(postgres), "the step “{name}” differs: write both files alike");
        }
    }

    /// The first landed store kept every beginning of every word.
    #[tokio::test]
    async fn what_was_found_before_is_found_after() {
        let options = sqlx::sqlite::SqliteConnectOptions::new().in_memory(true).foreign_keys(false);
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("memory");
        migrator(SQLITE.get(..1).expect("a first step")).run(&pool).await.expect("the first step");
        for term in [
            "",
            "sa",
            "sal",
            "sales",
            "sale",
            "tag:test",
            "tag:testing",
            "te",
            "tes",
            "test",
            "testing",
            "type:postgres",
            "status:ok",
        ] {
            sqlx::query("INSERT INTO search_terms (workspace_id, term, name_key, connection_id) VALUES ('w', $1, 'n', 'c')")
                .bind(term)
                .execute(&pool)
                .await
                .expect("a term");
        }
        let mut rest = sqlite();
        rest.set_ignore_missing(true);
        rest.run(&pool).await.expect("the rest");
        let words: Vec<(String,)> =
            sqlx::query_as("SELECT word FROM search_words ORDER BY word").fetch_all(&pool).await.expect("words");
        let words: Vec<_> = words.iter().map(|(word,)| word.as_str()).collect();
        assert_eq!(words, [":status:ok", ":tag:test", ":tag:testing", ":type:postgres", "sales", "testing"]);
    }
}

use std::{fs, path::PathBuf};

use dataflow_vault::{KeyFile, KeyRing, Vault, random_uuid};

use super::{
    format::{Header, Section, Writer},
    restore::{Restore, Restored, restore},
};
use crate::{
    config::DataConfig,
    store::{self, Kind, Location, Store, Value},
};

/// A machine with a key, and a backup that was written by hand.
struct Written {
    folder: tempfile::TempDir,
    data: DataConfig,
    vault: Vault,
    ring: KeyRing,
}

impl Written {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyFile::create(&folder.path().join("data.key")).expect("a key");
        let (vault, ring, _) = Vault::create(random_uuid(), &key).expect("a vault");
        let data = DataConfig { folder: folder.path().join("data"), database_url: None, key: None };
        Self { folder, data, vault, ring }
    }

    fn file(&self, schema: i64, sections: &[(Section, Vec<Vec<Value>>)]) -> PathBuf {
        let header = Header {
            instance: self.vault.instance().to_string(),
            schema,
            written_by: "9.9.9".to_owned(),
            engine: "sqlite".to_owned(),
            taken_at: "2026-11-02T09:00:00Z".to_owned(),
            key_ring: self.ring.to_bytes(),
        };
        let mut writer = Writer::begin(&self.vault, &header).expect("JSON");
        for (section, rows) in sections {
            writer.section(section).expect("JSON");
            for row in rows {
                writer.row(row).expect("JSON");
            }
        }
        let file = self.folder.path().join("backup");
        fs::write(&file, writer.end().expect("JSON").expect("one key").0).expect("own folder");
        file
    }

    async fn restore(&self, file: PathBuf) -> Result<Restored, String> {
        let asked = Restore { data: &self.data, file: &file, recovery_key: None, replace: false };
        restore(&asked).await.map_err(|error| format!("{error:#}"))
    }
}

fn table(name: &str, columns: &[(&str, Kind)]) -> Section {
    let columns = columns.iter().map(|(column, kind)| ((*column).to_owned(), *kind)).collect();
    Section::Table { name: name.to_owned(), columns }
}

fn text(text: &str) -> Value {
    Value::Text(Some(text.to_owned()))
}

#[tokio::test]
async fn a_backup_of_an_older_schema_is_brought_up_and_a_newer_one_is_refused() {
    let written = Written::new();
    let refused = written.restore(written.file(store::schema() + 1, &[])).await.expect_err("it is newer");
    assert!(refused.contains("newer version of Dataflow Connections (9.9.9)"), "{refused}");
    assert!(!written.data.folder.exists(), "nothing was made");

    // Before `actor_id`, `made_by` and `person_id` there were tokens already.
    let workspace = [("id", Kind::Text), ("name", Kind::Text), ("name_key", Kind::Text), ("wrapped_key", Kind::Bytes)];
    let workspace = [&workspace[..], &[("created_at", Kind::Number), ("created_by", Kind::Text), ("mac", Kind::Bytes)]].concat();
    let bytes = || Value::Bytes(Some(vec![1, 2]));
    let number = || Value::Number(Some(7));
    let rows = vec![vec![text("w"), text("default"), text("default"), bytes(), number(), text("shell"), bytes()]];
    let ring = Value::Bytes(Some(written.ring.to_bytes()));
    let instance = table("instance", &[("id", Kind::Text), ("key_ring", Kind::Bytes), ("created_at", Kind::Number)]);
    let id = written.vault.instance().to_string();
    let sections = [(instance, vec![vec![text(&id), ring, number()]]), (table("workspaces", &workspace), rows)];
    let restored = written.restore(written.file(1, &sections)).await.expect("it is older");
    assert_eq!((restored.rows, restored.kept), (2, None));
    let store = Store::open(&Location::Sqlite(written.data.folder.join("store.db"))).await.expect("it opens");
    let mut read = store.read().await.expect("it reads");
    let found = store::workspaces(&mut read).await.expect("rows");
    assert_eq!(found.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["default"]);
    assert_eq!(store::instance(&mut read).await.expect("a row").map(|row| row.id), Some(id));
}

/// Even who has the key writes to no other table, column or place by it.
#[tokio::test]
async fn what_no_backup_says_is_refused() {
    let written = Written::new();
    let segment = |node: &str, name: &str| Section::Segment { node: node.to_owned(), name: name.to_owned() };
    let row = || vec![vec![text("x")]];
    for (section, says) in [
        (table("workspaces; DROP TABLE people", &[("id", Kind::Text)]), "no store has"),
        (table("workspaces", &[("id) SELECT 1; --", Kind::Text)]), "no store has"),
        (table("workspaces", &[("id", Kind::Text), ("name", Kind::Text)]), "a row that is none"),
        (table("workspaces", &[("id", Kind::Number)]), "a row that is none"),
        (table("absent", &[("id", Kind::Text)]), "fill the table absent"),
        (table("workspaces", &[("id", Kind::Text)]), "fill the table workspaces"),
        (segment("..", "uses.jsonl"), "no node has"),
        (segment("1", "../../uses.jsonl"), "no node has"),
        (segment("1", "admin.sock"), "no node has"),
        (segment("1", "audit/../lock"), "no node has"),
        (segment("1", "audit/.hidden"), "no node has"),
        (segment("1", "audit/"), "no node has"),
        (segment("65", "uses.jsonl"), "no node has"),
        (segment("1", "uses.jsonl"), "that is none"),
        (segment("64", "audit/000000000001.jsonl"), "that is none"),
    ] {
        let refused = written.restore(written.file(store::schema(), &[(section, row())])).await.expect_err("refused");
        assert!(refused.contains(says), "{refused}");
        assert!(!written.data.folder.join("store.db").exists() && !written.data.folder.join("restoring").exists());
    }
}

use dataflow_vault::{KeyFile, KeyRing, random_uuid};

use super::*;

fn written(vault: &Vault, ring: &KeyRing) -> Vec<u8> {
    let header = Header {
        instance: vault.instance().to_string(),
        schema: 5,
        written_by: "0.1.0".to_owned(),
        engine: "sqlite".to_owned(),
        taken_at: "2026-11-02T09:00:00Z".to_owned(),
        key_ring: ring.to_bytes(),
    };
    let mut writer = Writer::begin(vault, &header).expect("JSON");
    let columns = vec![("id".to_owned(), Kind::Text)];
    let mut bytes = Vec::new();
    for name in ["first", "second"] {
        writer.section(&Section::Table { name: name.to_owned(), columns: columns.clone() }).expect("JSON");
        for _ in 0..2 {
            writer.row(&[Value::Text(Some("x".repeat(200)))]).expect("JSON");
        }
        // As after a MiB.
        writer.close();
        bytes.append(&mut writer.done);
    }
    bytes.extend(writer.end().expect("JSON").expect("one key").0);
    bytes
}

fn key() -> (tempfile::TempDir, KeyFile) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = KeyFile::create(&folder.path().join("key")).expect("a key");
    (folder, key)
}

fn read(bytes: &[u8], key: &KeyFile) -> std::result::Result<usize, String> {
    let sealed = Sealed::open(bytes).map_err(|error| error.to_string())?;
    let ring = KeyRing::from_bytes(&sealed.header.key_ring).map_err(|error| error.to_string())?;
    let vault = Vault::open(&ring, key).map_err(|error| error.to_string())?;
    let mut reader = sealed.prove(vault).map_err(|error| error.to_string())?;
    let mut entries = 0;
    while let Some(block) = reader.next_block().map_err(|error| error.to_string())? {
        entries += block.len();
    }
    Ok(entries)
}

#[test]
fn whatever_was_flipped_cut_moved_or_added_is_refused() {
    let (_folder, key) = key();
    let (vault, ring, _) = Vault::create(random_uuid(), &key).expect("a vault");
    let bytes = written(&vault, &ring);
    assert_eq!(read(&bytes, &key), Ok(6));
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            let refused = read(&bent, &key).expect_err("a flipped bit");
            assert!(!refused.is_empty(), "bit {bit} of byte {at}");
        }
        assert!(read(&bytes[..at], &key).is_err(), "cut after {at} bytes");
    }
    let blocks: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let ends: Vec<_> = (0..blocks.len()).filter(|at| blocks[*at].starts_with(MAC_LINE)).collect();
    let [_, first, second, end] = ends.as_slice() else { panic!("four blocks: {ends:?}") };
    let parts = [&blocks[..=ends[0]], &blocks[ends[0] + 1..=*first], &blocks[first + 1..=*second], &blocks[second + 1..=*end]];
    let of = |order: &[usize]| order.iter().flat_map(|part| parts[*part].concat()).collect::<Vec<_>>();
    assert_eq!(read(&of(&[0, 1, 2, 3]), &key), Ok(6), "these are the parts");
    for order in [&[0, 2, 1, 3][..], &[0, 1, 3], &[0, 2, 3], &[0, 1, 1, 2, 3], &[0, 1, 2, 3, 3], &[0, 3], &[0, 1, 2], &[1, 2, 3]]
    {
        assert!(read(&of(order), &key).is_err(), "{order:?}");
    }
    println!("promise: bent backups: {} bytes x 3 bits, {} cuts, 8 orders of its blocks: all refused", bytes.len(), bytes.len());
}

#[test]
fn what_is_refused_is_told_apart() {
    let (folder, key) = key();
    let (vault, ring, _) = Vault::create(random_uuid(), &key).expect("a vault");
    let bytes = written(&vault, &ring);
    let says = |bytes: &[u8], part: &str| {
        let refused = read(bytes, &key).expect_err("refused");
        assert!(refused.contains(part), "{refused}");
    };
    says(b"", "no backup");
    says(b"PK\x03\x04", "ends too early");
    says(b"something\n", "no backup");
    says(&bytes[..bytes.len() - 200], "ends too early");
    says(&[b"dataflow-backup 2\n", &bytes[18..]].concat(), "Its format is 2");
    let terminal = read(b"dataflow-backup \x1b[2J9\n{}\n", &key).expect_err("refused");
    assert!(terminal.starts_with("Its format is") && !terminal.contains('\x1b'), "what is unproven is only shown: {terminal:?}");
    let place = bytes.len() - 300;
    let mut bent = bytes.clone();
    bent[place] ^= 1;
    says(&bent, "damaged");
    // Of another instance, and with the key of another.
    let (other, ..) = Vault::create(random_uuid(), &key).expect("a vault");
    says(&written(&other, &ring), "damaged");
    let another = KeyFile::create(&folder.path().join("another")).expect("a key");
    let refused = read(&bytes, &another).expect_err("another key");
    assert!(refused.contains("another key"), "{refused}");
}

/// What this build writes is read by the one that froze it: nothing of the form has changed with the number staying the same.
#[test]
fn the_frozen_backup_and_its_audit_are_made_again() {
    const BACKUP: &[u8] = include_bytes!("../../../../../tests/frozen/backup_1.dataflow");
    const SEGMENT: &[u8] = include_bytes!("../../../../../tests/frozen/segment_1.jsonl");
    let keys: serde_json::Value = serde_json::from_str(include_str!("../../../../../tests/frozen/backup_1.json")).expect("JSON");
    let (folder, _) = key();
    let path = folder.path().join("key");
    std::fs::write(&path, keys["key_file"].as_str().expect("a text")).expect("own file");
    let key = KeyFile::read(&path).expect("the frozen key file");

    let sealed = Sealed::open(BACKUP).expect("the frozen backup");
    let header = sealed.header.clone();
    let ring = KeyRing::from_bytes(&header.key_ring).expect("the frozen ring");
    let mut reader = sealed.prove(Vault::open(&ring, &key).expect("it opens")).expect("its first block");
    let vault = Vault::open(&ring, &key).expect("it opens");
    let (mut writer, mut kinds) = (Writer::begin(&vault, &header).expect("JSON"), Vec::new());
    while let Some(block) = reader.next_block().expect("proven") {
        for entry in block {
            match entry {
                Entry::Section(Section::End { .. }) => {}
                Entry::Section(section) => {
                    kinds = match &section {
                        Section::Table { columns, .. } => columns.iter().map(|(_, kind)| *kind).collect(),
                        _ => vec![Kind::Bytes],
                    };
                    writer.section(&section).expect("JSON");
                }
                Entry::Row(row) => {
                    let values = kinds.iter().zip(row).map(|(kind, value)| Value::of(*kind, value).expect("of its kind"));
                    writer.row(&values.collect::<Vec<_>>()).expect("JSON");
                }
            }
        }
    }
    let (again, rows) = writer.end().expect("JSON").expect("one key");
    assert!(again == BACKUP, "the form of backups has changed: give it another number");
    assert_eq!(rows, 39);

    let mut before = crate::audit::NO_LINK;
    for line in SEGMENT.split_inclusive(|byte| *byte == b'\n') {
        let (event, link) = crate::audit::segments::split(line.strip_suffix(b"\n").expect("a line")).expect("a line");
        // Those of before the rotation bear links under the older root key, which makes none any more.
        assert!(vault.audit_link_holds(&before, event, &link));
        let (made, _) = crate::audit::segments::seal(&vault, &before, event.to_vec()).expect("hex");
        let is_of_now = made == line;
        let at = crate::audit::segments::time(event).expect("a time");
        assert_eq!(is_of_now, at > 1_795_971_400_945_335, "{}", String::from_utf8_lossy(line));
        before = link;
    }
}

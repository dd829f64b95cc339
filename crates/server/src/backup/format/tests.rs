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

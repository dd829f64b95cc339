//! Key file, passphrase and recovery key as people handle them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::secret;
use crate::{KekProvider as _, KeyFile, Passphrase, RecoveryKey, VaultError};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

fn kek(file: &KeyFile) -> [u8; 32] {
    *file.unlock(&[]).expect("a KEK").0.expose()
}

#[test]
fn a_key_file_is_private_is_read_back_and_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data.key");
    let made = KeyFile::create(&path).expect("made");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("text");
    assert!(text.starts_with("dataflow-key-1:") && text.ends_with('\n') && text.len() == 15 + 64 + 1 + 8 + 1, "{}", text.len());
    assert_eq!(kek(&KeyFile::read(&path).expect("read")), kek(&made));

    assert!(matches!(KeyFile::create(&path), Err(VaultError::KeyFileExists { .. })));
    assert_eq!(fs::read_to_string(&path).expect("text"), text);
    fs::write(&path, text.trim_end()).expect("ours");
    assert_eq!(kek(&KeyFile::read(&path).expect("a lost newline is no damage")), kek(&made));
}

#[test]
fn a_key_file_that_others_could_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    KeyFile::create(&path).expect("made");
    for mode in [0o640, 0o604, 0o644, 0o660, 0o610, 0o601, 0o777] {
        chmod(&path, mode);
        let refused = KeyFile::read(&path).expect_err("exposed");
        assert!(matches!(refused, VaultError::KeyFileExposed { .. }), "{mode:o}");
        assert!(refused.to_string().ends_with(&format!("run: chmod 600 {}", path.display())), "{refused}");
    }
    for mode in [0o600, 0o400] {
        chmod(&path, mode);
        KeyFile::read(&path).expect("private");
    }
}

#[test]
fn an_absent_key_file_or_folder_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("absent").join("key");
    for failed in [KeyFile::read(&path).expect_err("absent"), KeyFile::create(&path).expect_err("no folder")] {
        assert!(matches!(&failed, VaultError::KeyFile { .. }), "{failed}");
        assert!(failed.to_string().contains(&path.display().to_string()), "{failed}");
    }
}

#[test]
fn damage_to_a_key_file_is_told_from_another_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    KeyFile::create(&path).expect("made");
    let text = fs::read(&path).expect("there");
    let read_with = |content: &[u8]| {
        fs::write(&path, content).expect("ours");
        KeyFile::read(&path).map(|file| kek(&file))
    };
    let mut refused = 0;
    for at in 0..(text.len() - 1) * 8 {
        let mut bent = text.clone();
        bent[at / 8] ^= 1 << (at % 8);
        assert!(matches!(read_with(&bent), Err(VaultError::KeyFileDamaged { .. })), "bit {at}");
        refused += 1;
    }
    for length in 0..text.len() - 1 {
        assert!(matches!(read_with(&text[..length]), Err(VaultError::KeyFileDamaged { .. })), "cut to {length}");
        refused += 1;
    }
    println!("key file: {refused} kinds of damage, all found");
    assert!(matches!(read_with(&vec![b'x'; 1 << 20]), Err(VaultError::KeyFileDamaged { .. })));

    let head = format!("dataflow-key-2:{}", "0".repeat(64));
    let sum = hex::encode(crate::key::sum::<4>(head.as_bytes()));
    let newer = read_with(format!("{head}:{sum}\n").as_bytes());
    assert!(matches!(newer, Err(VaultError::UnknownFormat { found: 2, .. })));
}

#[test]
fn a_recovery_key_is_read_however_it_is_typed() {
    let key = RecoveryKey::generate();
    let printed = key.to_text();
    let text = printed.expose_secret();
    assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [4; 14]);
    let spoken = text.replace('0', "o").replace('1', "l").to_lowercase();
    for typed in
        [text.to_owned(), text.to_lowercase(), text.replace('-', ""), text.replace('-', " – "), format!("  {text}\n"), spoken]
    {
        let parsed = RecoveryKey::parse(&typed).expect("tolerated");
        assert_eq!(parsed.to_text().expose_secret(), text);
    }
}

#[test]
fn every_mistyped_character_and_swapped_pair_of_a_recovery_key_is_found() {
    let printed = RecoveryKey::generate().to_text();
    let characters: Vec<char> = printed.expose_secret().chars().filter(|c| *c != '-').collect();
    let (mut tried, mut passed) = (0, 0);
    let mut try_it = |typed: &[char]| {
        tried += 1;
        passed += usize::from(RecoveryKey::parse(&typed.iter().collect::<String>()).is_ok());
    };
    for at in 0..characters.len() {
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().filter(|other| *other != characters[at]) {
            let mut typed = characters.clone();
            typed[at] = other;
            try_it(&typed);
        }
        if at > 0 && characters[at] != characters[at - 1] {
            let mut typed = characters.clone();
            typed.swap(at, at - 1);
            try_it(&typed);
        }
    }
    println!("recovery key: {tried} typing errors, {} found", tried - passed);
    assert_eq!(passed, 0);

    assert!(matches!(RecoveryKey::parse(""), Err(VaultError::RecoveryKeyLength { found: 0, expected: 56 })));
    let cut: String = characters[1..].iter().collect();
    let short = RecoveryKey::parse(&cut).expect_err("cut");
    assert_eq!(short.to_string(), "the recovery key has 55 characters, it must have 56; compare it with the printed one");
    assert!(matches!(RecoveryKey::parse("u"), Err(VaultError::RecoveryKeyMistyped)));
}

#[test]
fn a_passphrase_has_a_least_length_and_a_bounded_cost() {
    assert!(matches!(Passphrase::new(secret("elevenchars")), Err(VaultError::PassphraseTooShort { min: 12 })));
    let passphrase = Passphrase::new(secret("twelve chars")).expect("12");
    let (_, parameters) = passphrase.enroll().expect("a KEK");
    assert_eq!(parameters.len(), 12 + 16);
    let with = |at: usize, number: u32| {
        let mut parameters = parameters.clone();
        parameters[at..at + 4].copy_from_slice(&number.to_be_bytes());
        passphrase.unlock(&parameters)
    };
    for (at, number) in
        [(0, u32::MAX), (4, u32::MAX), (8, u32::MAX), (0, 1024 * 1024 + 1), (4, 17), (8, 17), (0, 0), (4, 0), (8, 0)]
    {
        assert!(matches!(with(at, number), Err(VaultError::Damaged { .. })), "{at}: {number}");
    }
    for length in [0, 11, 27] {
        assert!(matches!(passphrase.unlock(&parameters[..length]), Err(VaultError::Damaged { .. })));
    }
    assert!(matches!(passphrase.unlock(&[parameters.as_slice(), &[0]].concat()), Err(VaultError::Damaged { .. })));
}

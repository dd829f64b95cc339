//! Row MACs, fingerprints, tokens and passwords.

use std::collections::BTreeSet;

use dataflow_model::{FieldPath, FieldValue, PublicFields, SecretFields};

use super::{secret, vault_of, workspace_key_of};
use crate::{VaultError, encoding, hash_password, random_uuid, token, verify_password};

#[test]
fn a_row_mac_holds_for_its_table_and_values_alone() {
    let vault = vault_of(1);
    let mac = vault.row_mac("tokens", &[b"a-b", b"c"]);
    vault.verify_row_mac("tokens", &[b"a-b", b"c"], &mac).expect("the row");
    let others: [(&str, &[&[u8]]); 5] = [
        ("people", &[b"a-b", b"c"]),
        ("tokens", &[b"a", b"-bc"]),
        ("tokens", &[b"a-bc"]),
        ("tokens", &[b"c", b"a-b"]),
        ("tokens", &[]),
    ];
    for (table, parts) in others {
        let refused = vault.verify_row_mac(table, parts, &mac);
        assert!(matches!(refused, Err(VaultError::RowRefused { table: named }) if named == table));
    }
    assert!(vault.verify_row_mac("tokens", &[b"a-b", b"c"], &mac[..31]).is_err());
    assert!(vault.verify_row_mac("tokens", &[b"a-b", b"c"], &[]).is_err());
    assert!(vault_of(2).verify_row_mac("tokens", &[b"a-b", b"c"], &mac).is_err());
}

#[test]
fn no_key_does_the_work_of_another() {
    let vault = vault_of(1);
    let same_input = [vault.row_mac("x", &[]), vault.token_hash("x").to_vec(), vault.audit_mac(b"x").to_vec()];
    assert_eq!(BTreeSet::from(same_input).len(), 3);
}

/// What a connection is made of, with one value as the test wants it.
fn public(path: &str, value: FieldValue) -> PublicFields {
    let mut fields = PublicFields::default();
    fields.0.insert("host".into(), FieldValue::Text("db.internal".to_owned()));
    fields.0.insert("port".into(), FieldValue::Integer(5432));
    fields.0.insert(path.into(), value);
    fields
}

fn secrets(pairs: &[(&str, &str)]) -> SecretFields {
    SecretFields(pairs.iter().map(|(path, value)| (FieldPath::new(*path), secret(value))).collect())
}

#[test]
fn a_fingerprint_changes_with_each_thing_a_client_needs_and_with_nothing_else() {
    let key = workspace_key_of(1);
    let text = |text: &str| FieldValue::Text(text.to_owned());
    let base = || (public("database", text("sales")), secrets(&[("password", "hunter2")]));
    let (fields, passwords) = base();
    let fingerprint = key.fingerprint("postgres", "postgres", &fields, &passwords);
    assert!(
        fingerprint.len() == 32 && fingerprint.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "{fingerprint}"
    );
    let (fields, passwords) = base();
    assert_eq!(workspace_key_of(1).fingerprint("postgres", "postgres", &fields, &passwords), fingerprint);

    let of = |fields: &PublicFields, passwords: &SecretFields| key.fingerprint("postgres", "postgres", fields, passwords);
    let all = [
        fingerprint,
        key.fingerprint("redshift", "postgres", &fields, &passwords),
        key.fingerprint("postgres", "mysql", &fields, &passwords),
        workspace_key_of(2).fingerprint("postgres", "postgres", &fields, &passwords),
        of(&public("database", text("sales2")), &passwords),
        of(&public("username", text("sales")), &passwords),
        of(&public("port", text("5432")), &passwords),
        of(&public("port", FieldValue::Boolean(true)), &passwords),
        of(&public("port", FieldValue::Integer(1)), &passwords),
        of(&fields, &secrets(&[])),
        of(&fields, &secrets(&[("password", "")])),
        of(&fields, &secrets(&[("password", "hunter3")])),
        of(&fields, &secrets(&[("tls.key", "hunter2")])),
        of(&fields, &secrets(&[("password", "hunter2"), ("tls.key", "")])),
    ];
    let count = all.len();
    assert_eq!(BTreeSet::from(all).len(), count);
}

/// Recomputed with Python's `hmac`: HKDF-SHA256 of 32 bytes 1 to the fingerprint key, of that to the key of marks, and its HMAC.
#[test]
fn a_password_mark_is_of_the_password_and_of_the_workspace() {
    let key = workspace_key_of(1);
    let mark = key.password_mark(&secret("hunter2"));
    assert_eq!(hex::encode(mark), "1d2f743c5b95d354bfe0f9564f1eb6c1");
    let others = [
        key.password_mark(&secret("hunter3")),
        key.password_mark(&secret("")),
        workspace_key_of(2).password_mark(&secret("hunter2")),
    ];
    assert_eq!(BTreeSet::from([mark]).union(&BTreeSet::from(others)).count(), 4);
    let rotated = workspace_key_of(1).with_pending().activated().retired();
    assert_eq!(rotated.password_mark(&secret("hunter2")), mark, "a rotation leaves it");
    let fingerprint = key.fingerprint("", "", &PublicFields::default(), &secrets(&[]));
    assert_ne!(hex::encode(key.password_mark(&secret(""))), fingerprint);
}

#[test]
fn a_token_has_the_shape_that_a_scanner_can_find() {
    for kind in ["user", "session", "setup", "a", "abcdefghijklmnop"] {
        let made = token::generate(kind).expect("a kind");
        let text = made.expose_secret();
        let body = text.strip_prefix(&format!("dfc_{kind}_")).expect("the prefix");
        assert!(body.len() == 49 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{body}");
        assert_eq!(token::parse(text).expect("its own token"), kind);
    }
    for kind in ["", "User", "a_b", "a1", "é", "abcdefghijklmnopq"] {
        assert!(matches!(token::generate(kind), Err(VaultError::TokenKind)), "{kind}");
    }
}

#[test]
fn a_token_with_any_character_changed_cut_or_added_is_refused() {
    let made = token::generate("user").expect("a kind");
    let text = made.expose_secret();
    let mut refused = 0;
    for at in 0..text.len() {
        for other in (0..128_u8).map(char::from).filter(|other| !text[at..].starts_with(*other)) {
            let changed = [&text[..at], &other.to_string(), &text[at + 1..]].concat();
            let error = token::parse(&changed).expect_err(&changed);
            assert!(!format!("{error} {error:?}").contains(&text[20..30]));
            refused += 1;
        }
        assert!(token::parse(&text[..at]).is_err());
        refused += 1;
    }
    for odd in [
        format!("{text}0"),
        format!(" {text}"),
        text.to_uppercase(),
        text.replace("user", "users"),
        "dfc__".to_owned(),
        "dfc_user_é".to_owned(),
    ] {
        assert!(token::parse(&odd).is_err(), "{odd}");
        refused += 1;
    }
    println!("token: {refused} changes, all refused");
}

#[test]
fn a_right_checksum_does_not_excuse_a_wrong_shape() {
    let with_sum = |text: &str| text.chars().chain(encoding::base62_of(encoding::crc32(text.as_bytes()))).collect::<String>();
    let body = "0".repeat(43);
    assert_eq!(token::parse(&with_sum(&format!("dfc_user_{body}"))).expect("the right shape"), "user");
    let odd = [
        format!("dfc_User_{body}"),
        format!("dfc__{body}"),
        format!("dfc_abcdefghijklmnopq_{body}"),
        format!("xyz_user_{body}"),
        format!("dfc_user_{}", &body[1..]),
        format!("dfc_user_0{body}"),
        format!("dfc_user_-{}", &body[1..]),
        format!("dfc_user{body}"),
    ];
    for text in odd {
        assert!(token::parse(&with_sum(&text)).is_err(), "{text}");
    }
}

#[test]
fn tokens_differ_and_their_hashes_depend_on_the_vault() {
    let made: BTreeSet<_> = (0..1000).map(|_| token::generate("user").expect("a kind").expose_secret().to_owned()).collect();
    assert_eq!(made.len(), 1000);
    let (one, other) = (vault_of(1), vault_of(2));
    let hashes: BTreeSet<_> = made.iter().flat_map(|text| [one.token_hash(text), other.token_hash(text)]).collect();
    assert_eq!(hashes.len(), 2000);
}

#[test]
fn a_password_is_known_again_and_another_is_not() {
    let stored = hash_password(&secret("correct horse"));
    assert!(stored.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"), "{stored}");
    assert!(verify_password(&secret("correct horse"), &stored));
    assert!(!verify_password(&secret("correct horsf"), &stored));
    assert!(!verify_password(&secret(""), &stored));
    assert_ne!(hash_password(&secret("correct horse")), stored, "each has its own salt");
}

#[test]
fn a_stored_password_that_is_not_ours_or_too_costly_is_refused_without_the_work() {
    let tail = "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let started = std::time::Instant::now();
    let costs =
        ["m=4194304,t=1,p=1", "m=47104,t=4000000,p=1", "m=47104,t=1,p=255"].map(|cost| format!("$argon2id$v=19${cost}{tail}"));
    for stored in costs.iter().map(String::as_str).chain([
        "",
        "hunter2",
        "$2b$12$abc",
        "$argon2id$v=19$m=47104,t=1,p=1",
        &format!("$argon2i$v=19$m=8,t=1,p=1{tail}"),
    ]) {
        assert!(!verify_password(&secret("hunter2"), stored), "{stored}");
    }
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn random_ids_are_version_4_and_differ() {
    let ids: BTreeSet<_> = (0..1000).map(|_| random_uuid()).collect();
    assert_eq!(ids.len(), 1000);
    assert!(ids.iter().all(|id| id.get_version_num() == 4));
}

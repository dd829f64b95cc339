//! Every format ever stored, as bytes that stay as they are. The Rust code must open them and must make the same bytes again
//! from the same keys, salts and nonces; a second implementation in Python must open them too. A new format adds a file; none
//! is ever edited.

use std::path::Path;

use dataflow_model::{
    FieldPath, PublicFields, SecretFields,
    endpoint::{ENDPOINT_LIST_VERSION, Endpoint},
};
use dataflow_tests::python;
use serde_json::Value;
use uuid::Uuid;

use super::secret;
use crate::{
    EndpointDigest, Kek, KekProvider, KeyFile, KeyRing, Passphrase, RecoveryKey, SealContext, Slot, Vault, WorkspaceKey,
    encoding,
    format::Label,
    key::Key,
    mac::MacKey,
    password, ring,
    sealed::{Content, Fresh, Sealer},
    token,
    vault::VersionedKey,
    verify_password,
};

/// The versions of the frozen root and workspace key.
const ROOT_VERSION: u32 = 2;
const WORKSPACE_VERSION: u32 = 3;

struct Frozen(Value);

impl Frozen {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../tests/frozen_v1.json")).expect("JSON"))
    }

    fn root_key(&self) -> VersionedKey {
        let key = Key::copied(&bytes(&self.0["root_key"])).expect("a key");
        VersionedKey { version: ROOT_VERSION, key }
    }

    fn vault(&self) -> Vault {
        Vault::with_root(id(&self.0["instance"]), self.root_key())
    }

    fn workspace_key(&self) -> WorkspaceKey {
        self.vault().open_workspace_key(id(&self.0["workspace"]), &bytes(&self.0["workspace_record"])).expect("opens")
    }

    fn endpoint(&self) -> EndpointDigest {
        let case = &self.0["endpoint"];
        assert_eq!(case["list_version"], ENDPOINT_LIST_VERSION, "endpoints sealed under the older list must still open");
        let pair = |pair: &Value| (FieldPath::new(text(&pair[0])), pair[1].as_str().map(str::to_owned));
        let values = case["values"].as_array().expect("a list").iter().map(pair).collect();
        EndpointDigest::of(&Endpoint { type_id: text(&case["type"]).to_owned(), values })
    }

    /// The frozen key file, in a place of its own.
    fn key_file(&self) -> KeyFile {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        KeyFile::create(&path).expect("a file with the right mode");
        std::fs::write(&path, text(&self.0["key_file"])).expect("written");
        KeyFile::read(&path).expect("the frozen key file")
    }

    fn recovery_key(&self) -> RecoveryKey {
        RecoveryKey::parse(text(&self.0["recovery_key"])).expect("the frozen recovery key")
    }

    fn passphrase(&self) -> Passphrase {
        Passphrase::new(secret(text(&self.0["passphrase"]))).expect("long enough")
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub(super) fn bytes(value: &Value) -> Vec<u8> {
    encoding::unhex(text(value)).expect("hex").to_vec()
}

pub(super) fn id(value: &Value) -> Uuid {
    text(value).parse().expect("a UUID")
}

/// The salt and nonce that a record was sealed with.
fn fresh_of(record: &[u8]) -> Fresh {
    Fresh { salt: record[7..39].try_into().expect("32 bytes"), nonce: record[39..51].try_into().expect("12 bytes") }
}

/// Nothing writes format 1 of the ring any more; here it is done as it was.
fn format_1(root: &VersionedKey, ring: &KeyRing, providers: &[&dyn KekProvider], fresh: impl Fn(&Slot) -> Fresh) -> KeyRing {
    let slot = |slot: &Slot| {
        let provider = providers.iter().find(|provider| provider.kind() == slot.kind).expect("its provider");
        let Kek(kek) = provider.unlock(&slot.parameters).expect("a KEK");
        let sealer = Sealer { key: &kek, version: 0, content: Content::RootKey };
        let place: [&[u8]; 3] = [ring.instance.as_bytes(), &slot.place(), &slot.parameters];
        let wrapped_root_key = sealer.seal(&place, root.to_plain(), &fresh(slot)).expect("sealed");
        Slot { wrapped_root_key, agreement: None, ..slot.clone() }
    };
    let slots: Vec<_> = ring.slots.iter().map(slot).collect();
    let mac = MacKey::derived(&root.key, Label::KeyRing).of(&ring::authenticated(ring.instance, None, &slots));
    KeyRing { instance: ring.instance, roots: None, slots, mac }
}

/// The ring of a store of before rotation, with the same root key.
pub(super) fn as_format_1(vault: &Vault, ring: &KeyRing, providers: &[&dyn KekProvider]) -> KeyRing {
    let root = vault.roots().duplicate_keys().pop().expect("a root key");
    format_1(&root, ring, providers, |_| Fresh::random())
}

fn providers_of<'p>(file: &'p KeyFile, recovery: &'p RecoveryKey, passphrase: &'p Passphrase) -> [&'p dyn KekProvider; 3] {
    [file, recovery, passphrase]
}

#[test]
fn the_key_ring_opens_with_each_of_its_slots_and_is_made_again() {
    let frozen = Frozen::read();
    let stored = bytes(&frozen.0["ring"]);
    let ring = KeyRing::from_bytes(&stored).expect("the frozen ring");
    assert_eq!(ring.to_bytes(), stored);

    let (file, recovery, passphrase) = (frozen.key_file(), frozen.recovery_key(), frozen.passphrase());
    for provider in providers_of(&file, &recovery, &passphrase) {
        let vault = Vault::open(&ring, provider).expect("the slot opens");
        vault.open_workspace_key(id(&frozen.0["workspace"]), &bytes(&frozen.0["workspace_record"])).expect("the same root key");
    }
    let fresh = |slot: &Slot| fresh_of(&slot.wrapped_root_key);
    let again = format_1(&frozen.root_key(), &ring, &providers_of(&file, &recovery, &passphrase), fresh);
    assert_eq!(again.to_bytes(), stored);
    assert_eq!(recovery.to_text().expose_secret(), text(&frozen.0["recovery_key"]));
}

#[test]
fn the_workspace_key_opens_and_is_made_again() {
    let frozen = Frozen::read();
    let record = bytes(&frozen.0["workspace_record"]);
    assert_eq!(frozen.workspace_key().version(), WORKSPACE_VERSION);
    let key = Key::copied(&bytes(&frozen.0["workspace_key"])).expect("a key");
    let key = VersionedKey { version: WORKSPACE_VERSION, key };
    let again = frozen.vault().seal_one_workspace_key(id(&frozen.0["workspace"]), &key, &fresh_of(&record));
    assert_eq!(again.expect("sealed"), record);
}

#[test]
fn fields_open_and_are_made_again() {
    let frozen = Frozen::read();
    let (key, endpoint) = (frozen.workspace_key(), frozen.endpoint());
    assert_eq!(endpoint.as_bytes().as_slice(), bytes(&frozen.0["endpoint"]["digest"]));
    for case in frozen.0["fields"].as_array().expect("a list") {
        let version = case["version"].as_u64().expect("a version");
        let context =
            SealContext { connection: id(&case["connection"]), version, field: text(&case["field"]), endpoint: &endpoint };
        let record = bytes(&case["record"]);
        let opened = key.open(&context, &record).expect("opens");
        assert_eq!(opened.expose_secret(), text(&case["secret"]));
        assert_eq!(key.seal_with(&context, &opened, &fresh_of(&record)).expect("sealed"), record);
    }
}

#[test]
fn fingerprints_macs_tokens_and_passwords_stay_the_same() {
    let frozen = Frozen::read();
    let (vault, key) = (frozen.vault(), frozen.workspace_key());
    for case in frozen.0["fingerprints"].as_array().expect("a list") {
        let public: PublicFields = serde_json::from_value(case["public"].clone()).expect("fields");
        let secrets = case["secret"].as_object().expect("fields").iter();
        let secrets = SecretFields(secrets.map(|(path, value)| (FieldPath::new(path), secret(text(value)))).collect());
        assert_eq!(key.fingerprint(text(&case["type"]), text(&case["connector"]), &public, &secrets), text(&case["fingerprint"]));
    }

    let row = &frozen.0["row"];
    let parts: Vec<_> = row["parts"].as_array().expect("a list").iter().map(bytes).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    vault.verify_row_mac(text(&row["table"]), &parts, &bytes(&row["mac"])).expect("the frozen row");

    let (token, event) = (&frozen.0["token"], &frozen.0["audit"]);
    assert_eq!(token::parse(text(&token["text"])).expect("a token"), text(&token["kind"]));
    assert_eq!(vault.token_hash(text(&token["text"])).as_slice(), bytes(&token["hash"]));
    assert_eq!(vault.audit_mac(text(&event["event"]).as_bytes()).as_slice(), bytes(&event["mac"]));

    let (person, stored) = (secret(text(&frozen.0["password"]["password"])), text(&frozen.0["password"]["stored"]));
    assert!(verify_password(&person, stored));
    assert_eq!(password::hash_with_salt(&person, &SALT), stored);
}

/// The salt in the frozen password's text.
const SALT: [u8; 16] = [0x68, 0x99, 0xd0, 0x3d, 0xc1, 0xca, 0x13, 0x4c, 0x3f, 0xbc, 0xa5, 0xc1, 0x41, 0x8e, 0xdb, 0xb7];

/// What the second implementation says of a frozen file that `bend` may have changed: its output, or else its complaint.
pub(super) fn run_python(file: &str, bend: impl Fn(&mut Value)) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let text = std::fs::read_to_string(folder.join(file)).expect("the frozen file");
    let mut frozen = serde_json::from_str(&text).expect("JSON");
    bend(&mut frozen);
    let scratch = tempfile::tempdir().expect("a folder");
    let read = scratch.path().join("frozen.json");
    std::fs::write(&read, frozen.to_string()).expect("written");
    python::run(&folder.join("vault_open.py"), &[&read])
}

#[test]
fn an_independent_implementation_opens_the_same_bytes() {
    let said = run_python("frozen_v1.json", |_| {}).expect("it opens");
    print!("{said}");
    assert!(said.starts_with("opened 18:"), "{said}");

    // The script can fail too: a bent record, a bent MAC.
    let bend = |value: &mut Value| {
        let mut bent = bytes(value);
        *bent.last_mut().expect("not empty") ^= 1;
        *value = hex::encode(&bent).into();
    };
    let refused = run_python("frozen_v1.json", |frozen| bend(&mut frozen["fields"][0]["record"])).expect_err("bent");
    assert!(refused.contains("InvalidTag"), "{refused}");
    let refused = run_python("frozen_v1.json", |frozen| bend(&mut frozen["row"]["mac"])).expect_err("bent");
    assert!(refused.contains("row MAC"), "{refused}");
}

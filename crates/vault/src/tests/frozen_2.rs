//! The formats that rotation brought, as bytes that stay as they are.

use dataflow_model::endpoint::Endpoint;
use serde_json::Value;

use super::{
    frozen::{bytes, id, run_python, text},
    secret,
};
use crate::{
    EndpointDigest, Kek, KekProvider, KeyFile, KeyRing, Passphrase, RecoveryKey, SealContext, SlotKind, TransitParameters, Vault,
    VaultError, WorkspaceKey, row_mac_version,
};

fn frozen() -> Value {
    serde_json::from_str(include_str!("../../tests/frozen_v2.json")).expect("JSON")
}

/// A service that answers as the frozen file says.
struct Service<'f>(&'f Value);

impl KekProvider for Service<'_> {
    fn kind(&self) -> SlotKind {
        SlotKind::Transit
    }

    fn enroll(&self) -> Result<(Kek, Vec<u8>), VaultError> {
        let parameters =
            TransitParameters { key: text(&self.0["key"]).to_owned(), ciphertext: text(&self.0["ciphertext"]).to_owned() };
        Ok((Kek::copied(&bytes(&self.0["plaintext"])).expect("32 bytes"), parameters.to_bytes()))
    }

    fn unlock(&self, parameters: &[u8]) -> Result<Kek, VaultError> {
        assert_eq!(TransitParameters::from_bytes(parameters)?.ciphertext, text(&self.0["ciphertext"]));
        Ok(Kek::copied(&bytes(&self.0["plaintext"])).expect("32 bytes"))
    }
}

fn endpoint(frozen: &Value) -> EndpointDigest {
    let pair = |pair: &Value| (text(&pair[0]).into(), pair[1].as_str().map(str::to_owned));
    let values = frozen["endpoint"]["values"].as_array().expect("a list").iter().map(pair).collect();
    EndpointDigest::of(&Endpoint { type_id: text(&frozen["endpoint"]["type"]).to_owned(), values })
}

#[test]
fn a_rotated_ring_opens_with_each_of_its_slots_and_what_it_sealed_with_it() {
    let frozen = frozen();
    let ring = KeyRing::from_bytes(&bytes(&frozen["ring"])).expect("the frozen ring");
    assert_eq!(ring.to_bytes(), bytes(&frozen["ring"]));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    KeyFile::create(&path).expect("a file with the right mode");
    std::fs::write(&path, text(&frozen["key_file"])).expect("written");
    let file = KeyFile::read(&path).expect("the frozen key file");
    let recovery = RecoveryKey::parse(text(&frozen["recovery_key"])).expect("the frozen recovery key");
    let passphrase = Passphrase::new(secret(text(&frozen["passphrase"]))).expect("long enough");
    let service = Service(&frozen["transit"]);
    let providers: [&dyn KekProvider; 4] = [&file, &recovery, &passphrase, &service];
    let endpoint = endpoint(&frozen);
    for provider in providers {
        let vault = Vault::open(&ring, provider).expect("the slot opens");
        let key = vault.open_workspace_key(id(&frozen["workspace"]), &bytes(&frozen["workspace_keys"])).expect("opens");
        for case in frozen["fields"].as_array().expect("a list") {
            let (connection, version) = (id(&case["connection"]), case["version"].as_u64().expect("a number"));
            let context = SealContext { connection, version, field: text(&case["field"]), endpoint: &endpoint };
            let record = bytes(&case["record"]);
            assert_eq!(WorkspaceKey::version_of(&record).map(u64::from), case["key_version"].as_u64());
            assert_eq!(key.open(&context, &record).expect("opens").expose_secret(), text(&case["secret"]));
        }
        let (parts, mac) = (frozen["row"]["parts"].as_array().expect("a list"), bytes(&frozen["row"]["mac"]));
        let parts: Vec<_> = parts.iter().map(bytes).collect();
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(row_mac_version(&mac), Some(2));
        vault.verify_row_mac(text(&frozen["row"]["table"]), &parts, &mac).expect("the frozen row");
        assert_eq!(vault.row_mac(text(&frozen["row"]["table"]), &parts), mac);
    }
    let old = KeyRing::from_bytes(&bytes(&frozen["ring_with_old_slot"])).expect("the frozen ring");
    assert_eq!(old.to_bytes(), bytes(&frozen["ring_with_old_slot"]));
    assert_eq!(old.slots().iter().map(crate::Slot::can_rotate).collect::<Vec<_>>(), [true, false]);
    let providers: [&dyn KekProvider; 2] = [&file, &recovery];
    for provider in providers {
        Vault::open(&old, provider).expect("the slot opens");
    }
}

#[test]
fn an_independent_implementation_opens_the_same_bytes() {
    let said = run_python("frozen_v2.json", |_| {}).expect("it opens");
    print!("{said}");
    assert!(said.starts_with("opened 6:"), "{said}");
    let bend = |value: &mut Value| {
        let mut bent = bytes(value);
        *bent.last_mut().expect("not empty") ^= 1;
        *value = hex::encode(&bent).into();
    };
    for (what, reason) in [("ring", "ring checksum"), ("workspace_keys", "InvalidTag")] {
        let refused = run_python("frozen_v2.json", |frozen| bend(&mut frozen[what])).expect_err("bent");
        assert!(refused.contains(reason), "{refused}");
    }
}

//! Whatever goes in comes out, and no bytes from outside make the vault panic.

use proptest::prelude::*;
use uuid::Uuid;

use super::{endpoint_at, secret, vault_of, workspace_key_of};
use crate::{KeyRing, RecoveryKey, SealContext, token};

proptest! {
    #[test]
    fn any_text_in_any_field_comes_back(text in any::<String>(), place in any::<(String, u128, u64, String)>()) {
        let (field, connection, version, host) = place;
        let (key, endpoint) = (workspace_key_of(1), endpoint_at(&host));
        let context = SealContext { connection: Uuid::from_u128(connection), version, field: &field, endpoint: &endpoint };
        let record = key.seal(&context, &secret(&text)).expect("sealed");
        let opened = key.open(&context, &record).expect("opens");
        prop_assert_eq!(opened.expose_secret(), text);
    }

    #[test]
    fn texts_that_look_like_padding_come_back(zeros in 0_usize..200, tail in "[\u{0}\u{80}x]{0,70}") {
        let (key, endpoint) = (workspace_key_of(1), endpoint_at("db"));
        let context = SealContext { connection: Uuid::nil(), version: 1, field: "password", endpoint: &endpoint };
        let text = format!("{}{tail}", "\0".repeat(zeros));
        let opened = key.open(&context, &key.seal(&context, &secret(&text)).expect("sealed")).expect("opens");
        prop_assert_eq!(opened.expose_secret(), text);
    }

    #[test]
    fn a_different_field_or_host_never_opens(one in any::<String>(), other in any::<String>()) {
        prop_assume!(one != other);
        let (key, here, there) = (workspace_key_of(1), endpoint_at(&one), endpoint_at(&other));
        let at = |field, endpoint| SealContext { connection: Uuid::nil(), version: 1, field, endpoint };
        let record = key.seal(&at(&one, &here), &secret("hunter2")).expect("sealed");
        prop_assert!(key.open(&at(&other, &here), &record).is_err());
        prop_assert!(key.open(&at(&one, &there), &record).is_err());
    }

    #[test]
    fn foreign_bytes_are_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in any::<String>()) {
        let (key, endpoint) = (workspace_key_of(1), endpoint_at("db"));
        let context = SealContext { connection: Uuid::nil(), version: 1, field: "password", endpoint: &endpoint };
        let with_head = [&[3, 1, 1, 0, 0, 0, 1], bytes.as_slice()].concat();
        prop_assert!(key.open(&context, &bytes).is_err() && key.open(&context, &with_head).is_err());
        prop_assert!(vault_of(1).open_workspace_key(Uuid::nil(), &bytes).is_err());
        prop_assert!(RecoveryKey::parse(&text).is_err() && token::parse(&text).is_err());
        let content = [b"DFKR\x01".as_slice(), &bytes].concat();
        let sum: [u8; 4] = crate::key::sum(&content);
        prop_assert!(KeyRing::from_bytes(&bytes).is_err() && KeyRing::from_bytes(&[content.as_slice(), &sum].concat()).is_err());
    }
}

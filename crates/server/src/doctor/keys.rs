//! Whether the key opens the store, and what else would.

use dataflow_vault::{KeyRing, RecoveryKey, SlotKind, Vault};

use super::{Examination, Finding, database::chain};
use crate::store::{self, Look};

pub(super) async fn examine(look: &mut Look, asked: &Examination<'_>) -> Vec<Finding> {
    const RING: &str = "key ring";
    let damaged = |error: &(dyn std::error::Error + 'static)| {
        vec![Finding::problem(RING, format!("It cannot be read: {}.", chain(error)), "Restore a backup with “dataflow restore”.")]
    };
    let instance = store::instance(look).await;
    let is_new = matches!(store::is_new(look).await, Ok(true));
    let ring = match instance {
        Ok(Some(instance)) => match KeyRing::from_bytes(&instance.key_ring) {
            Ok(ring) => ring,
            Err(error) => return damaged(&error),
        },
        Ok(None) if !is_new => {
            let hint = "Keep a copy of the store, and restore a backup with “dataflow restore --replace”.";
            return vec![Finding::problem(RING, "It is gone from a store that is in use.", hint)];
        }
        Ok(None) => {
            return vec![Finding::warning(RING, "There is none: nobody has started this store.", "“dataflow serve” makes it.")];
        }
        Err(error) => return damaged(&error),
    };
    let slots: Vec<_> = ring.slots().iter().map(|slot| slot.kind().to_string()).collect();
    let key = asked.data.key();
    let opened = match key.open(&ring) {
        Ok(_) => Finding::ok(RING, format!("The {} opens it; it has slots for: {}", key.kind(), slots.join(", "))),
        Err(error) => Finding::problem(
            RING,
            format!("It does not open: {error:#}. It has slots for: {}.", slots.join(", ")),
            "Name the right key with --key-file or --passphrase-file, or recover with “dataflow recover”.",
        ),
    };
    vec![opened, recovery(&ring, asked)]
}

fn recovery(ring: &KeyRing, asked: &Examination<'_>) -> Finding {
    const RECOVERY: &str = "recovery key";
    if !ring.slots().iter().any(|slot| slot.kind() == SlotKind::RecoveryKey) {
        return Finding::problem(
            RECOVERY,
            "The key ring has no slot for one.",
            "Without it nothing opens the store once the key is lost.",
        );
    }
    let Some(typed) = asked.recovery_key else {
        return Finding::ok(RECOVERY, "The key ring has a slot for it; --recovery-key-stdin proves that yours opens it");
    };
    let opened = RecoveryKey::parse(typed.expose_secret()).and_then(|key| Vault::open(ring, &key));
    match opened {
        Ok(_) => Finding::ok(RECOVERY, "It opens the key ring"),
        Err(error) => Finding::problem(
            RECOVERY,
            format!("It does not open the key ring: {}.", chain(&error)),
            "Compare it with the printed one; it may be of another store, or of before another was made.",
        ),
    }
}

//! `dataflow keys`: what opens the key ring, and the rotation of all keys.

use std::{thread, time::Duration};

use dataflow_server::{
    admin::{AdminAnswer, AdminRequest, Clear, NewSlot},
    config::DataConfig,
    ops::keys::KeysStatus,
};

use crate::{
    admin::{ask, ask_at, unexpected},
    args::{Keys, KeysCommand, NewSlotArguments, Output},
    output,
    serve::{absolute, data_config},
};

/// How often a shell asks how far a server is.
const ASK_EVERY: Duration = Duration::from_millis(500);

pub fn run(arguments: Keys) -> anyhow::Result<()> {
    match arguments.command {
        KeysCommand::Status { data, output } => show(&status(&data_config(data)?)?, output),
        KeysCommand::Rotate { data } => rotate(&data_config(data)?),
        KeysCommand::AddSlot { data, key } => match ask(data, AdminRequest::AddSlot { key: new_slot(key)? })? {
            AdminAnswer::Slot(id) => {
                output::say(&format!("Slot {id} was added. A server may be started with its key from now on."));
                Ok(())
            }
            _ => Err(unexpected()),
        },
        KeysCommand::RemoveSlot { data, id } => match ask(data, AdminRequest::RemoveSlot { id })? {
            AdminAnswer::Done => {
                output::say(
                    "The slot was removed. A copy of the store from before still opens with its key; “dataflow keys rotate” makes new keys.",
                );
                Ok(())
            }
            _ => Err(unexpected()),
        },
        KeysCommand::Recovery { data } => match ask(data, AdminRequest::RenewRecoveryKey)? {
            AdminAnswer::RecoveryKey(key) => {
                output::say(
                    "This is the new recovery key; the old one opens nothing any more. It is shown this once; keep it away from the machine:",
                );
                output::data(key.0.expose_secret())
            }
            _ => Err(unexpected()),
        },
    }
}

fn new_slot(key: NewSlotArguments) -> anyhow::Result<NewSlot> {
    Ok(match (key.new_key_file, key.new_passphrase_file, key.new_transit) {
        (Some(path), ..) => NewSlot::KeyFile(absolute(&path)?),
        (_, Some(path), _) => NewSlot::Passphrase(Clear(output::read_secret_file(&path)?)),
        (.., Some(path)) => NewSlot::Transit(absolute(&path)?),
        (None, None, None) => NewSlot::Passphrase(Clear(output::read_secret("New passphrase of the store:", false)?)),
    })
}

fn status(data: &DataConfig) -> anyhow::Result<KeysStatus> {
    match ask_at(data, AdminRequest::KeysStatus)? {
        AdminAnswer::Keys(status) => Ok(*status),
        _ => Err(unexpected()),
    }
}

/// Begins a rotation, or goes on with one, and waits for its end. A server that runs carries it on if this shell is ended.
fn rotate(data: &DataConfig) -> anyhow::Result<()> {
    let AdminAnswer::Rotating(version) = ask_at(data, AdminRequest::RotateKeys)? else { return Err(unexpected()) };
    let mut told = 0;
    loop {
        let status = status(data)?;
        if !status.rotating {
            let left: i64 = status.workspaces.iter().map(|workspace| workspace.versions_under_older_keys).sum();
            if left + status.rows_under_older_keys > 0 {
                output::say(&format!(
                    "{left} versions of connections and {} rows were changed outside of this program and stay as they are: they do not open.",
                    status.rows_under_older_keys
                ));
            }
            output::say(&format!("All keys are rotated; the root key has version {version}."));
            return Ok(());
        }
        let behind = status.nodes.iter().filter(|node| node.is_behind).count();
        if behind > 0 && told != behind {
            output::say(&format!("Waiting for {behind} other nodes to know the new keys."));
        }
        told = behind;
        thread::sleep(ASK_EVERY);
    }
}

fn show(status: &KeysStatus, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::data(&serde_json::to_string_pretty(status)?);
    }
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let slots =
        status.slots.iter().map(|slot| vec![slot.id.to_string(), slot.kind.clone(), yes(slot.in_use), yes(slot.can_rotate)]);
    let slots = output::table(&["slot", "kind", "in use here", "takes part in rotation"], slots.collect());
    let root = &status.root_key;
    let mut keys = vec![vec![
        "root key".to_owned(),
        root.active.to_string(),
        if root.newest > root.active { root.newest.to_string() } else { String::new() },
        if root.rows_from < root.active { root.rows_from.to_string() } else { String::new() },
        format!("{} rows", status.rows_under_older_keys),
    ]];
    keys.extend(status.workspaces.iter().map(|workspace| {
        vec![
            format!("workspace {}", workspace.name),
            workspace.active.to_string(),
            if workspace.newest > workspace.active { workspace.newest.to_string() } else { String::new() },
            if workspace.oldest < workspace.active { workspace.oldest.to_string() } else { String::new() },
            format!("{} versions", workspace.versions_under_older_keys),
        ]
    }));
    let keys = output::table(&["key", "version", "pending", "not ended", "under older keys"], keys);
    let rotation = if status.rotating { "A rotation is under way." } else { "No rotation is under way." };
    let nodes = match status.nodes.len() {
        0 => String::new(),
        count if status.rotating => {
            let behind = status.nodes.iter().filter(|node| node.is_behind).count();
            format!("\n\nOther nodes: {count}, of which {behind} do not know the newest keys yet.")
        }
        count => format!("\n\nOther nodes: {count}."),
    };
    output::data(&format!("{}\n\n{}\n\n{rotation}{nodes}", slots.trim_end(), keys.trim_end()))
}

//! `dataflow backup` and `dataflow restore`

use std::path::Path;

use anyhow::bail;
use dataflow_server::{
    admin::{AdminAnswer, backup as socket},
    backup::{
        file::BackupFile,
        restore::{self, Restored},
    },
    keys::KeySource,
};

use crate::{
    admin::{self, open},
    args::{Backup, Restore},
    output,
    serve::{data_config, runtime},
};

pub fn backup(arguments: Backup) -> anyhow::Result<()> {
    let (data, runtime) = (data_config(arguments.data)?, runtime()?);
    let mut file = BackupFile::create(&arguments.file)?;
    let work = async {
        if let Some(answer) = socket::ask(&data, &mut file).await? {
            return anyhow::Ok(answer);
        }
        let (app, _locks) = open(&data).await?;
        let answer = socket::take(&app, &mut file).await;
        app.store.close().await;
        answer
    };
    match output::waiting("Writing the backup", || runtime.block_on(work))? {
        AdminAnswer::BackedUp(taken) => {
            file.finish()?;
            output::say(&format!(
                "{} holds {} connections, {} rows in all, {}. No key is in it: keep the key file or the recovery key in another place.",
                arguments.file.display(),
                taken.connections,
                taken.rows,
                size(taken.bytes)
            ));
            Ok(())
        }
        AdminAnswer::Refused(problem) => bail!("{} {} Nothing was written.", problem.detail, problem.hint),
        _ => Err(admin::unexpected()),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}

pub fn restore(arguments: Restore) -> anyhow::Result<()> {
    let asks = arguments.ask_recovery_key || arguments.recovery_key_stdin;
    let recovery_key = if asks { Some(output::read_secret("Recovery key:", arguments.recovery_key_stdin)?) } else { None };
    let (data, runtime) = (data_config(arguments.data)?, runtime()?);
    let asked =
        restore::Restore { data: &data, file: &arguments.file, recovery_key: recovery_key.as_ref(), replace: arguments.replace };
    let restored = output::waiting("Restoring", || runtime.block_on(restore::restore(&asked)))?;
    output::say(&told(&arguments.file, &restored));
    Ok(())
}

fn told(file: &Path, restored: &Restored) -> String {
    let Restored { header, connections, rows, new_key, kept, kept_schema, resting } = restored;
    let what = format!(
        "{} is restored: the instance {} as it was at {}, with {connections} connections, {rows} rows in all. Everybody signs in anew; tokens go on.",
        file.display(),
        header.instance,
        header.taken_at
    );
    let opened = "The recovery key opened it and stays good.";
    let key = new_key.as_ref().map(|key| match key {
        KeySource::File(path) => {
            format!("{opened} The new key file is {}. Keep a copy of it elsewhere, and give it to every node.", path.display())
        }
        KeySource::Passphrase(_) => format!("{opened} It opens with the passphrase now; give that to every node."),
        KeySource::Credential { .. } => format!("{opened} It opens with the key that the service manager hands over now."),
        KeySource::Transit(_) => format!("{opened} It opens with the key of Transit now."),
    });
    let folder =
        kept.as_ref().map(|folder| format!("What was there before is in {}. Delete it once nobody needs it.", folder.display()));
    let schema = kept_schema
        .as_ref()
        .map(|schema| format!("The tables of before are in the database's schema {schema}. Drop it once nobody needs it."));
    let rests = (*resting > 0).then(|| {
        "It may be a copy of a store at work, so no password is changed by itself: rotation policies have no next turn until they are saved \
         again, and no login is retired until somebody asks for it."
            .to_owned()
    });
    [Some(what), rests, key, folder, schema].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

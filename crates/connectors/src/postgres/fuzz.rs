//! Whole conversations with servers that say what is nearly right.

use std::io::Cursor;

use dataflow_fuzz::fuzz;
use dataflow_model::{FieldValue, PublicFields, Secret, SecretFields, StepName};
use tokio::io::{join, sink};

use super::Session;
use crate::{Steps, Target, tls::TlsSettings};

const OPEN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x19server_version\x0015.18\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I\
    T\0\0\0\x06\0\0D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
const SCRAM: &[u8] = b"R\0\0\0\x2a\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0\
    R\0\0\0\x2a\0\0\0\x0br=abcdefgh,s=c2FsdHNhbHQ=,i=4096\0\0R\0\0\0\x10\0\0\0\x0cv=AAAA==";
const REFUSED: &[u8] =
    b"N\0\0\0\x0fSNOTICE\0Mx\0\0E\0\0\0\x41SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0RClientAuthentication\0\0";
/// Behind [`OPEN`]: who the session is of.
const WHO: &[u8] = b"D\0\0\0\x35\0\x05\0\0\0\x09analytics\0\0\0\x011\0\0\0\x06150018\0\0\0\x0aPostgreSQL\0\0\0\x01fC\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
const OLD: &[u8] = b"EFATAL:  unsupported frontend protocol 196608.0: server supports 1.0 to 2.0\n\0";
const OTHER: &[u8] = b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0R\0\0\0\x0c\0\0\0\x05saltR\0\0\0\x08\0\0\0\x03";

#[test]
fn conversations() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let public = [
        ("tls.mode".into(), FieldValue::Text("disable".to_owned())),
        ("username".into(), FieldValue::Text("analytics".to_owned())),
        ("extra.insecure_auth".into(), FieldValue::Text("md5".to_owned())),
    ];
    let secrets = SecretFields([("password".into(), Secret::new("planted-secret".to_owned()))].into());
    let target = Target { public: PublicFields(public.into()), secrets, ..Target::default() };
    let who = [OPEN, WHO].concat();
    fuzz(&[OPEN, SCRAM, REFUSED, OLD, OTHER, &who], |bytes| {
        let stream = Box::new(join(Cursor::new(bytes.to_vec()), sink()));
        let mut session = Session::new(&target, TlsSettings::of(&target), None, stream);
        let mut steps = Steps::new(|_| ());
        let ended = runtime.block_on(async {
            session.start(&mut steps).await?;
            session.read_one_row().await?;
            session.begin(StepName::SetPassword, &mut steps);
            session.row("SELECT").await.map(drop)
        });
        if let Err(error) = ended {
            assert!(!error.message.is_empty() && error.message.len() < 2_000, "{error:?}");
        }
    });
}

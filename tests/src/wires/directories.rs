//! OpenLDAP, from Debian's package.

use super::{AT_ONCE, PLAIN, Wires, unpacked};
use crate::{environment, fake_services::PASSWORD, process::Stop};

pub const BASE: &str = "dc=example,dc=org";
/// Who may read all of it, by [`PASSWORD`].
pub const ADMIN: &str = "cn=anna,dc=example,dc=org";

/// Its door without TLS begins it on request, and lets everybody in who gives no name.
///
/// # Panics
/// If it is not installed or does not start.
pub fn openldap() -> Wires {
    let mut server = Wires::with_doors(&[PLAIN, AT_ONCE]);
    let schema = environment::cache().join("openldap/etc/ldap/schema/core.schema");
    let entries = server.folder.join("entries");
    std::fs::create_dir(&entries).expect("own folder");
    std::os::unix::fs::chown(&entries, Some(environment::UNPRIVILEGED_ID), Some(environment::UNPRIVILEGED_ID)).ok();
    let settings = format!(
        "include {}\npidfile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
         database ldif\nsuffix \"{BASE}\"\ndirectory {}\nrootdn \"{ADMIN}\"\nrootpw {PASSWORD}\n",
        schema.display(),
        server.folder.join("pid").display(),
        server.certificate(),
        server.key(),
        entries.display(),
    );
    let settings = server.folder.write_private("slapd.conf", &settings);
    let entry = format!("dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n");
    let entry = server.folder.write_private("entry.ldif", &entry);
    unpacked("openldap", "usr/sbin/slapadd", Stop::Kill).arg("-f").arg(&settings).arg("-l").arg(entry).run();
    let doors = format!("ldap://127.0.0.1:{}/ ldaps://127.0.0.1:{}/", server.port(PLAIN), server.port(AT_ONCE));
    // At any level it stays in the foreground.
    let spawn = unpacked("openldap", "usr/sbin/slapd", Stop::Kill).arg("-f").arg(settings).args(["-d", "0", "-h", &doors]);
    server.start("OpenLDAP", spawn, &[PLAIN, AT_ONCE]);
    server
}

//! The authorities that this machine trusts.

use std::sync::LazyLock;

use rustls::RootCertStore;

/// What ends a certificate's chain where a connection names no authority of its own.
#[derive(Debug)]
pub struct SystemRoots(LazyLock<RootCertStore>);

impl SystemRoots {
    /// Not read yet. They are when they are first needed: on Debian some 150 files, a few milliseconds, and seconds where the disk
    /// is cold and busy.
    #[must_use]
    pub fn unread() -> Self {
        Self(LazyLock::new(|| {
            let mut roots = RootCertStore::empty();
            // What cannot be read or parsed is left out.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }))
    }

    /// Reads them now: for whoever has the time.
    pub fn read(&self) {
        LazyLock::force(&self.0);
    }

    pub(super) fn store(&self) -> RootCertStore {
        RootCertStore::clone(&self.0)
    }
}

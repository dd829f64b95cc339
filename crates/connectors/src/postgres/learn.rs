//! What the login may do, when its password ends, and how full the server is. Whatever of it the server does not tell is left out.

use dataflow_model::{Learned, report::OpenConnections};

use super::Session;

/// Superuser, the other rights of a role by name, the second at which its password ends (0: never), sessions, and most sessions.
const LOOK: &str = "SELECT r.rolsuper, pg_catalog.concat_ws(',', CASE WHEN r.rolcreaterole THEN 'creates roles' END, \
                    CASE WHEN r.rolcreatedb THEN 'creates databases' END, CASE WHEN r.rolreplication THEN 'replicates' END, \
                    CASE WHEN r.rolbypassrls THEN 'goes around row security' END), \
                    COALESCE(CASE WHEN pg_catalog.isfinite(r.rolvaliduntil) THEN \
                    pg_catalog.floor(pg_catalog.date_part('epoch', r.rolvaliduntil)) END, 0), \
                    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datname IS NOT NULL), \
                    pg_catalog.current_setting('max_connections') FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

impl Session<'_> {
    /// Asks for it, once all else is done.
    pub(super) async fn learn(&mut self, learned: &mut Learned) {
        let Ok(row) = self.row(LOOK).await else { return };
        let [superuser, privileges, ends, open, allowed] = row.as_slice() else { return };
        learned.is_superuser = Some(superuser == "t");
        let words = privileges.split(',').filter(|word| !word.is_empty()).map(|word| self.scrubber.clean(word));
        learned.privileges = words.take(8).collect();
        learned.password_ends_at = ends.parse().ok().filter(|ends| *ends > 0).and_then(crate::tls::timestamp);
        learned.connections =
            open.parse().ok().zip(allowed.parse().ok()).map(|(open, allowed)| OpenConnections { open, allowed });
    }
}

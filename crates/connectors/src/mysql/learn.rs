//! What the login may do, when its password ends, and how full the server is. Whatever of it the server does not tell is left out.

use dataflow_model::{Learned, report::OpenConnections};

use super::{session::rows, wire::Wire};
use crate::scrub::Scrubber;

/// Grants that are told; the rest is counted.
const TOLD: usize = 4;
/// The second at which the password ends, for who may read that: <https://dev.mysql.com/doc/refman/9.0/en/password-management.html>.
const ENDS: &str = "SELECT UNIX_TIMESTAMP(password_last_changed + INTERVAL COALESCE(password_lifetime, @@default_password_lifetime) DAY) \
                    FROM mysql.user WHERE CONCAT(user, '@', host) = CURRENT_USER() \
                    AND COALESCE(password_lifetime, @@default_password_lifetime) > 0";

/// Asks for it, once all else is done.
pub(super) async fn learn(wire: &mut Wire, scrubber: &Scrubber, learned: &mut Learned) {
    if let Ok(grants) = rows(wire, "SHOW GRANTS").await {
        let grants: Vec<_> = grants.iter().filter_map(|row| granted(row.first()?.as_deref()?)).collect();
        learned.is_superuser = Some(grants.iter().any(|(what, place)| *place == "*.*" && is_all(what)));
        if learned.is_superuser == Some(false) {
            learned.privileges = in_words(&grants).iter().map(|words| scrubber.clean(words)).collect();
        }
    }
    let open = number(wire, "SHOW GLOBAL STATUS LIKE 'Threads_connected'", 1).await;
    let allowed = number(wire, "SELECT @@max_connections", 0).await;
    learned.connections = open.zip(allowed).map(|(open, allowed)| OpenConnections { open, allowed });
    let ends: Option<i64> = number(wire, ENDS, 0).await;
    learned.password_ends_at = ends.and_then(crate::tls::timestamp);
}

async fn number<T: std::str::FromStr>(wire: &mut Wire, sql: &str, column: usize) -> Option<T> {
    let rows = rows(wire, sql).await.ok()?;
    let text = rows.first()?.get(column)?.as_deref()?;
    text.split('.').next()?.parse().ok()
}

/// What is granted, and where, of `GRANT SELECT ON *.* TO …`; what follows may hold a hash.
fn granted(line: &str) -> Option<(&str, &str)> {
    let (what, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let (place, _) = rest.split_once(" TO ")?;
    (what != "USAGE").then_some((what, place))
}

fn is_all(what: &str) -> bool {
    what.split(", ").any(|right| matches!(right, "ALL PRIVILEGES" | "SUPER"))
}

fn in_words(grants: &[(&str, &str)]) -> Vec<String> {
    let told = grants.iter().take(TOLD).map(|(what, place)| {
        let rights: Vec<_> = what.split(", ").collect();
        let named = rights.get(..TOLD.min(rights.len())).unwrap_or_default().join(", ");
        let more = rights.len().saturating_sub(TOLD);
        if more > 0 { format!("{named} and {more} more on {place}") } else { format!("{named} on {place}") }
    });
    let rest = grants.len().saturating_sub(TOLD);
    told.chain((rest > 0).then(|| format!("and {rest} more grants"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_told_without_what_follows() {
        let hash = "GRANT USAGE ON *.* TO `anna`@`%` IDENTIFIED BY PASSWORD '*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29'";
        assert_eq!(granted(hash), None, "it is the right to sign in");
        let lines = [
            "GRANT SELECT, INSERT ON `sales`.* TO `anna`@`%`",
            "GRANT `reader`@`%` TO `anna`@`%`",
            "GRANT ALL PRIVILEGES ON `x`.* TO `a`",
        ];
        let grants: Vec<_> = lines.iter().filter_map(|line| granted(line)).collect();
        assert_eq!(in_words(&grants), ["SELECT, INSERT on `sales`.*", "ALL PRIVILEGES on `x`.*"]);
        let many = ("SELECT, INSERT, UPDATE, DELETE, CREATE, DROP", "*.*");
        assert_eq!(in_words(&[many; 6]).last().map(String::as_str), Some("and 2 more grants"));
        assert_eq!(in_words(&[many])[0], "SELECT, INSERT, UPDATE, DELETE and 2 more on *.*");
        assert!(is_all("ALL PRIVILEGES") && is_all("SELECT, SUPER") && !is_all("SELECT"));
    }
}

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
        let lines: Vec<_> = grants.iter().filter_map(|row| row.first()?.as_deref()).collect();
        let granted: Vec<_> = lines.iter().filter_map(|line| granted(line)).collect();
        learned.is_superuser = is_superuser(&lines, &granted);
        if learned.is_superuser != Some(true) {
            learned.privileges = in_words(&granted).iter().map(|words| scrubber.clean(words)).collect();
        }
    }
    let open = number(wire, "SHOW GLOBAL STATUS LIKE 'Threads_connected'", 1).await;
    let allowed = number(wire, "SELECT @@max_connections", 0).await;
    // Some say 0 for as many as they like.
    let allowed = allowed.filter(|allowed| *allowed > 0);
    learned.connections = open.zip(allowed).map(|(open, allowed)| OpenConnections { open, allowed });
    // Who may not read it is not asked: that would be a refusal in the server's log with each test.
    if learned.is_superuser == Some(true) {
        let ends: Option<i64> = number(wire, ENDS, 0).await;
        learned.password_ends_at = ends.and_then(crate::tls::timestamp);
    }
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
    what.split(", ").any(|right| matches!(right, "ALL" | "ALL PRIVILEGES" | "SUPER"))
}

/// Nothing where the answer does not tell: of lines that are not MySQL's, and where a role may bring more.
fn is_superuser(lines: &[&str], granted: &[(&str, &str)]) -> Option<bool> {
    if granted.iter().any(|(what, place)| *place == "*.*" && is_all(what)) {
        return Some(true);
    }
    let is_role = |line: &&str| line.starts_with("GRANT ") && !line.contains(" ON ");
    (lines.iter().any(|line| line.starts_with("GRANT ")) && !lines.iter().any(is_role)).then_some(false)
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
        assert_eq!(is_superuser(&lines, &grants), None, "the role may bring anything");
        assert_eq!(is_superuser(&lines[..1], &grants[..1]), Some(false));
        assert_eq!(is_superuser(&["'root'@'%'"], &[]), None, "as Doris tells it");
        assert_eq!(is_superuser(&[], &[("ALL", "*.*")]), Some(true));
        assert!(is_all("ALL PRIVILEGES") && is_all("SELECT, SUPER") && !is_all("SELECT"));
    }
}

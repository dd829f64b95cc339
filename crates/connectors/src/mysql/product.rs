//! Which product a server says that it is: many that speak the protocol greet clients as some MySQL.

use std::time::Duration;

use super::{session, wire::Wire};
use crate::{
    Target,
    scrub::{Scrubber, printable},
};

/// How long a server is listened to that says nothing of itself. The test is over by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// What surrounds the product's own version in a greeting: `8.0.11-TiDB-v7.5.2-serverless`.
const GREETINGS: [(&str, &str); 1] = [("-TiDB-v", "TiDB")];
/// The same in `version_comment`, in lower case.
const COMMENTS: [(&str, &str); 2] = [("doris version doris-", "Apache Doris"), ("starrocks version ", "StarRocks")];

/// Asks a server that somebody is signed in to what it is, unless its greeting has said so; `greeting` is the version in that.
pub(super) async fn of(wire: &mut Wire, target: &Target, greeting: &str) -> String {
    if by_greeting(greeting).is_none()
        && let Ok(Some(told)) = tokio::time::timeout(PATIENCE, by_asking(wire)).await
    {
        return Scrubber::of(target).clean(&told);
    }
    named(greeting)
}

/// By the greeting alone: `MySQL 9.7.1` from `9.7.1`, `MariaDB 10.11.19` from `5.5.5-10.11.19-MariaDB-0+deb12u1`.
///
/// It is said before anybody has told the server a secret.
pub(super) fn named(greeting: &str) -> String {
    printable(&by_greeting(greeting).unwrap_or_else(|| format!("MySQL {}", number(greeting)).trim_end().to_owned()))
}

fn by_greeting(greeting: &str) -> Option<String> {
    if greeting.contains("MariaDB") {
        // MariaDB before 11.0 says that it is 5.5.5, for clients that know no version of two digits.
        return Some(format!("MariaDB {}", number(greeting.strip_prefix("5.5.5-").unwrap_or(greeting))));
    }
    if let Some((compatible, "Vitess")) = greeting.split_once('-') {
        return Some(format!("Vitess, as MySQL {compatible}"));
    }
    GREETINGS.iter().find_map(|(mark, product)| greeting.split_once(mark).map(|(_, own)| format!("{product} {}", number(own))))
}

async fn by_asking(wire: &mut Wire) -> Option<String> {
    let comment = session::text(wire, "SELECT @@version_comment").await.ok()?;
    if is_singlestore(&comment) {
        let version = session::text(wire, "SELECT @@memsql_version").await.unwrap_or_default();
        return Some(format!("SingleStore {}", number(&version)).trim_end().to_owned());
    }
    by_comment(&comment)
}

/// It was called `MemSQL` before.
fn is_singlestore(comment: &str) -> bool {
    ["SingleStoreDB ", "SingleStore ", "MemSQL "].iter().any(|name| comment.starts_with(name))
}

fn by_comment(comment: &str) -> Option<String> {
    let comment = comment.to_lowercase();
    COMMENTS.iter().find_map(|(mark, product)| comment.strip_prefix(mark).map(|own| format!("{product} {}", number(own))))
}

/// A version without its packaging.
fn number(text: &str) -> &str {
    text.split(['-', ' ', '+']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_told_without_its_packaging() {
        for (greeting, told) in [
            ("9.7.1", "MySQL 9.7.1"),
            ("8.0.39-0ubuntu0.22.04.1", "MySQL 8.0.39"),
            ("5.5.5-10.11.19-MariaDB-0+deb12u1", "MariaDB 10.11.19"),
            ("11.8.2-MariaDB-ubu2404", "MariaDB 11.8.2"),
            // https://docs.pingcap.com/tidb/stable/tidb-configuration-file#server-version
            ("8.0.11-TiDB-v7.5.2-serverless", "TiDB 7.5.2"),
            ("5.7.25-TiDB-v4.0.0-beta.2-524-g73fe3ca4d-dirty", "TiDB 4.0.0"),
            // https://vitess.io/docs/reference/features/mysql-query-compatibility/
            ("8.0.30-Vitess", "Vitess, as MySQL 8.0.30"),
            ("", "MySQL"),
        ] {
            assert_eq!(named(greeting), told);
        }
    }

    /// Those whose greeting is a MySQL's number, as they are recorded.
    #[test]
    fn a_comment_names_what_the_greeting_does_not() {
        for (comment, told) in [
            // The default of `version_comment` on Doris's page of variables, and the greeting of a newer one
            ("Doris version doris-2.0.1-rc04-ce9b23e226", Some("Apache Doris 2.0.1")),
            ("doris version doris-4.0.2-rc02-30d2df0459", Some("Apache Doris 4.0.2")),
            // `GlobalVariable.java` of StarRocks: "StarRocks version " and its `Version.STARROCKS_VERSION`
            ("StarRocks version 3.1.2-4f3a2ee91d", Some("StarRocks 3.1.2")),
            ("MySQL Community Server - GPL", None),
            ("(Debian)", None),
            ("", None),
        ] {
            assert_eq!(by_comment(comment).as_deref(), told, "{comment}");
        }
        // https://docs.singlestore.com/cloud/connect-to-your-workspace/connect-with-mysql/connect-with-mysql-client/
        assert!(is_singlestore("MemSQL source distribution (compatible; MySQL Enterprise & MySQL Commercial)"));
        assert!(is_singlestore("SingleStoreDB source distribution (compatible; MySQL Enterprise & MySQL Commercial)"));
        assert!(!is_singlestore("MySQL Community Server - GPL"));
    }
}

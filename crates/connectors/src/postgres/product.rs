//! Which product a server says that it is: most that speak the protocol tell clients that they are some PostgreSQL.

/// What a server tells of itself.
#[derive(Debug, Default)]
pub(super) struct Told {
    server_version: Option<String>,
    crdb_version: Option<String>,
    mz_version: Option<String>,
    /// What `version()` gives, once it was asked for.
    pub version: Option<String>,
}

/// What stands before the product's own version in what `version()` gives.
const MARKS: [(&str, &str); 3] =
    [("(Greenplum Database ", "Greenplum"), (", Redshift ", "Amazon Redshift"), ("CockroachDB CCL v", "CockroachDB")];

impl Told {
    /// Notes a parameter's message, which a server sends by itself as soon as somebody is signed in.
    pub fn note(&mut self, body: &[u8]) {
        let Ok(text) = std::str::from_utf8(body) else { return };
        let mut parts = text.split('\0');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return };
        match name {
            "server_version" => self.server_version = Some(value.to_owned()),
            "crdb_version" => self.crdb_version = Some(value.to_owned()),
            "mz_version" => self.mz_version = Some(value.to_owned()),
            _ => {}
        }
    }

    /// `PostgreSQL 15.18`, or the product that it is with that product's version; `None` if it told nothing.
    pub fn product(&self) -> Option<String> {
        if let Some(version) = self.mz_version.as_deref().and_then(|version| version.strip_prefix('v')) {
            return Some(format!("Materialize {}", word(version)));
        }
        let texts = [self.crdb_version.as_deref(), self.version.as_deref()];
        let marked = texts.into_iter().flatten().find_map(|text| {
            MARKS.iter().find_map(|(mark, product)| text.split_once(mark).map(|(_, rest)| format!("{product} {}", word(rest))))
        });
        marked.or_else(|| {
            let version = self.server_version.as_deref()?;
            // 11.2-YB-2.18.0.1-b0: the number of the build is told apart from the version everywhere else.
            Some(match version.split_once("-YB-") {
                Some((_, own)) => format!("YugabyteDB {}", word(own.split("-b").next().unwrap_or(own))),
                None => format!("PostgreSQL {}", version.split_whitespace().next().unwrap_or_default()),
            })
        })
    }

    /// Whether it opens a session in a database that does not exist, and says so at the first look into that.
    pub fn opens_what_does_not_exist(&self) -> bool {
        self.crdb_version.is_some() || self.mz_version.is_some()
    }
}

/// The version that `text` begins with.
fn word(text: &str) -> &str {
    text.split([' ', ')', ',']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters that the server sends, what `version()` gives, and what is told of it. Each as recorded on the page named.
    #[test]
    fn a_server_is_called_what_it_is() {
        for (parameters, version, told) in [
            // Debian's package
            (
                &[("server_version", "15.18 (Debian 15.18-0+deb12u1)")][..],
                "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14) 12.2.0, 64-bit",
                "PostgreSQL 15.18",
            ),
            // https://github.com/cockroachdb/cockroach/issues/71495; its parameter: https://github.com/launchbadge/sqlx/pull/2282
            (
                &[
                    ("server_version", "13.0.0"),
                    (
                        "crdb_version",
                        "CockroachDB CCL v21.2.0-alpha.00000000-4900-g1cb0151eee (x86_64-unknown-linux-gnu, built 2021/10/11 20:41:17, go1.16.6)",
                    ),
                ],
                "",
                "CockroachDB 21.2.0-alpha.00000000-4900-g1cb0151eee",
            ),
            // https://github.com/launchbadge/sqlx/pull/2282
            (&[("server_version", "9.5.0"), ("mz_version", "v0.39.0-dev (73f6bed)")], "", "Materialize 0.39.0-dev"),
            // https://dev.to/yugabyte/connecting-with-psql-16-beta-to-yugabytedb-and-use-recent-features-3glp
            (&[("server_version", "11.2-YB-2.18.0.1-b0")], "", "YugabyteDB 2.18.0.1"),
            // https://www.postgresql.org/message-id/CACjysiWce%2BdZm6MYnujBU5uNP4cFkmJBX8Vb-DyBOqn0ij-4ZA%40mail.gmail.com
            (
                &[("server_version", "8.2.15")],
                "PostgreSQL 8.2.15 (Greenplum Database 4.3.6.1 build 2) on x86_64-unknown-linux-gnu, compiled by GCC gcc (GCC) 4.4.2 \
                 compiled on Oct  1 2015 15:14:22",
                "Greenplum 4.3.6.1",
            ),
            // https://docs.aws.amazon.com/redshift/latest/dg/r_VERSION.html
            (
                &[("server_version", "8.0.2")],
                "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.12103",
                "Amazon Redshift 1.0.12103",
            ),
        ] {
            let mut server = Told::default();
            for (name, value) in parameters {
                server.note(format!("{name}\0{value}\0").as_bytes());
            }
            server.version = Some(version.to_owned());
            assert_eq!(server.product().as_deref(), Some(told));
        }
        assert_eq!(Told::default().product(), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_parameter_holds_is_read(body: Vec<u8>, version: String) {
            let mut server = Told { version: Some(version), ..Told::default() };
            server.note(&body);
            let _ = server.product();
        }
    }
}

use dataflow_model::{Catalogue, ConnectionType, FieldValue};

use super::*;

const NOW: i64 = 1_800_000_000_000_000;

fn kind(id: &str) -> ConnectionType {
    Catalogue::built_in().expect("sound").get(id).expect("known").clone()
}

fn public(pairs: &[(&str, &str)]) -> PublicFields {
    PublicFields(pairs.iter().map(|(path, value)| ((*path).into(), FieldValue::Text((*value).to_owned()))).collect())
}

/// What all rules say of a connection with which all is well, as `change` makes it.
fn found<'f>(kind: &'f ConnectionType, fields: &[(&str, &str)], change: impl FnOnce(&mut Facts<'f>)) -> Vec<Found> {
    // They have to live as long as what the caller lends.
    let (public, sharing): (&PublicFields, &Sharing) = (Box::leak(Box::new(public(fields))), Box::leak(Box::default()));
    let mut facts = Facts {
        now: NOW,
        name: "sales",
        workspace: "default",
        kind: Some(kind),
        tags: &[],
        public,
        has_secret: true,
        created_at: NOW - 400 * DAY,
        is_tested: true,
        are_tests_on: true,
        learned: None,
        used: Used::Last(NOW - DAY),
        sharing,
    };
    change(&mut facts);
    find(&facts)
}

fn ids(found: &[Found]) -> Vec<&'static str> {
    found.iter().map(|found| found.rule.as_str()).collect()
}

const GOOD: [(&str, &str); 3] = [("host", "db.example.org"), ("username", "u"), ("tls.mode", "verify-full")];

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(ids(&found(&kind("postgres"), &GOOD, |_| ())), [""; 0]);
    // What this build does not know is not judged by it.
    assert_eq!(ids(&found(&kind("postgres"), &[("host", "h"), ("tls.mode", "disable")], |facts| facts.kind = None)), [""; 0]);
}

#[test]
fn rules_stand_in_the_order_of_their_ids() {
    let ids: Vec<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert!(ids.is_sorted() && Rule::ALL.is_sorted(), "{ids:?}");
    assert!(Rule::ALL.iter().all(|rule| Rule::parse(rule.as_str()) == Some(*rule)) && Rule::parse("TLS-unverified").is_none());
    let page = include_str!("../../../../../../docs/lint.md");
    for rule in Rule::ALL {
        assert!(page.contains(&format!("### {}\n", rule.as_str())), "docs/lint.md has no part on {}", rule.as_str());
    }
}

#[test]
fn tls_that_verifies_nobody() {
    for (host, mode, is_found) in [
        ("db.example.org", "verify-full", false),
        ("db.example.org", "verify-ca", false),
        ("db.example.org", "require", true),
        ("db.example.org", "disable", true),
        // Nobody stands on the way to this machine.
        ("localhost", "disable", false),
        ("127.0.0.1", "require", false),
        ("[::1]", "disable", false),
    ] {
        for id in ["postgres", "mysql", "redis", "http", "smtp", "redshift", "elasticsearch"] {
            let kind = kind(id);
            let field = kind.field("tls.mode").expect("it has TLS");
            if !field.choices.iter().any(|choice| choice.value == mode) {
                continue;
            }
            let found = found(&kind, &[("host", host), ("tls.mode", mode)], |_| ());
            assert_eq!(ids(&found), if is_found { vec!["tls-unverified"] } else { vec![] }, "{id}");
            assert!(found.iter().all(|found| found.severity == Severity::Error && found.reason.contains("pose as the server")));
        }
    }
}

#[test]
fn an_address_in_the_clear() {
    for (url, has_secret, is_found) in [
        ("http://login.example.org/token", true, true),
        ("https://login.example.org/token", true, false),
        ("http://127.0.0.1:8080/token", true, false),
        ("http://[::1]:8080/token", true, false),
        ("http://login.example.org/token", false, false),
    ] {
        let fields = [("host", "api.example.org"), ("tls.mode", "verify-full"), ("extra.oauth_url", url)];
        let found = found(&kind("http"), &fields, |facts| facts.has_secret = has_secret);
        assert_eq!(ids(&found), if is_found { vec!["tls-unverified"] } else { vec![] });
        assert!(found.iter().all(|found| found.reason.contains("“OAuth endpoint” begins with http://")), "{found:?}");
    }
}

#[test]
fn a_weaker_sign_in_counts_where_tls_verifies_nobody() {
    let with = |mode| [("host", "db.example.org"), ("tls.mode", mode), ("extra.insecure_auth", "md5")];
    assert_eq!(ids(&found(&kind("postgres"), &with("require"), |_| ())), ["tls-unverified", "weak-sign-in"]);
    assert_eq!(ids(&found(&kind("postgres"), &with("verify-full"), |_| ())), [""; 0]);
    let here = [("host", "localhost"), ("tls.mode", "disable"), ("extra.insecure_auth", "md5")];
    assert_eq!(ids(&found(&kind("postgres"), &here, |_| ())), [""; 0]);
}

#[test]
fn a_superuser_is_one_that_a_test_found() {
    for (is_superuser, expected) in [(Some(true), vec!["superuser-login"]), (Some(false), vec![]), (None, vec![])] {
        let learned = Learned { is_superuser, ..Learned::default() };
        let found = found(&kind("postgres"), &GOOD, |facts| facts.learned = Some((&learned, NOW - DAY)));
        assert_eq!(ids(&found), expected);
        assert!(
            found.iter().all(|found| found.severity == Severity::Warning && found.reason.contains("test of 2027-01-14")),
            "{found:?}"
        );
    }
}

#[test]
fn what_ends_soon_and_what_has_ended() {
    let kind = kind("postgres");
    for (after, severity, words) in [
        (31 * DAY, None, ""),
        (30 * DAY, None, ""),
        (30 * DAY - 1, Some(Severity::Warning), "ends in 29 days"),
        (DAY + 1, Some(Severity::Warning), "ends in 1 day,"),
        (1, Some(Severity::Warning), "ends within a day"),
        (-DAY, Some(Severity::Error), "ended on 2027-01-14"),
    ] {
        let at = Some(rfc3339(NOW + after));
        for (learned, id) in [
            (Learned { certificate_ends_at: at.clone(), ..Learned::default() }, "certificate-ends"),
            (Learned { password_ends_at: at.clone(), ..Learned::default() }, "password-ends"),
        ] {
            let found = found(&kind, &GOOD, |facts| facts.learned = Some((&learned, NOW - 2 * DAY)));
            let told: Vec<_> = found.iter().map(|found| (found.rule.as_str(), found.severity)).collect();
            assert_eq!(told, severity.map(|severity| (id, severity)).into_iter().collect::<Vec<_>>(), "{after}");
            assert!(
                found.iter().all(|found| found.reason.contains(words) && found.reason.contains("test of 2027-01-13")),
                "{found:?}"
            );
        }
    }
}

#[test]
fn what_nobody_uses() {
    let ago = |days: i64| NOW - days * DAY;
    for (created, used, is_found) in [
        (100, Used::Last(ago(91)), true),
        (100, Used::Last(ago(89)), false),
        (100, Used::Never, true),
        (89, Used::Never, false),
        // Whether anybody used it is not known for that long.
        (100, Used::NotKnown, false),
    ] {
        let found = found(&kind("postgres"), &GOOD, |facts| {
            facts.created_at = ago(created);
            facts.used = used;
        });
        assert_eq!(ids(&found), if is_found { vec!["unused-90-days"] } else { vec![] }, "{used:?}");
        let words = if used == Used::Never { "since it was created on 2026-10-07." } else { "asked for it since 2026-10-16." };
        assert!(found.iter().all(|found| found.severity == Severity::Note && found.reason.contains(words)), "{found:?}");
    }
}

#[test]
fn what_was_never_tested() {
    for (is_tested, are_tests_on, is_found) in [
        (false, true, true),
        (true, true, false),
        // Where tests are switched off, nobody can.
        (false, false, false),
    ] {
        let found = found(&kind("postgres"), &GOOD, |facts| {
            facts.is_tested = is_tested;
            facts.are_tests_on = are_tests_on;
        });
        assert_eq!(ids(&found), if is_found { vec!["never-tested"] } else { vec![] });
        assert!(found.iter().all(|found| found.fix.contains("dataflow connections test sales")), "{found:?}");
    }
}

#[test]
fn a_host_of_production_in_dev() {
    for (workspace, tags, host, is_found) in [
        ("dev", &[][..], "prod-db.example.org", true),
        ("Sales_Staging", &[], "db.production.example.org", true),
        ("sandbox", &[], "db-prd-01", true),
        ("test", &[], "live.db.example.org", true),
        ("default", &["Dev"], "prod.example.org", true),
        ("default", &["finance"], "prod.example.org", false),
        ("production", &[], "prod.example.org", false),
        ("prod", &[], "db.prod.example.org", false),
        // Whole words alone.
        ("dev", &[], "products.example.org", false),
        ("dev", &[], "reproduction.example.org", false),
        ("dev", &[], "olive.example.org", false),
        ("device", &[], "prod.example.org", false),
        ("latest", &[], "prod.example.org", false),
        ("dev", &[], "db.example.org", false),
        // What says the contrary.
        ("dev", &[], "non-prod.example.org", false),
        ("dev", &[], "pre-prod.example.org", false),
        ("dev", &[], "prod-copy.dev.example.org", false),
        // A domain that is called so.
        ("dev", &[], "login.live.com", false),
        ("dev", &[], "live.com.", false),
    ] {
        let tags: Vec<_> = tags.iter().map(|tag| Tag::new(*tag).expect("a tag")).collect();
        let fields = [("host", host), ("tls.mode", "verify-full")];
        let found = found(&kind("postgres"), &fields, |facts| {
            facts.workspace = workspace;
            facts.tags = &tags;
        });
        assert_eq!(ids(&found), if is_found { vec!["production-host-in-dev"] } else { vec![] });
    }
}

#[test]
fn who_shares_a_password_is_named_or_counted() {
    for (names, is_cut, words) in [
        (&[][..], false, None),
        (&["a"][..], false, Some("as “a”, for another login")),
        (&["a", "b"], false, Some("as “a” and “b”, for")),
        (&["a", "b", "c"], false, Some("as “a”, “b” and “c”, for")),
        (&["a", "b", "c", "d"], false, Some("as “a”, “b”, “c” and 1 more, for")),
        (&["a", "b", "c", "d"], true, Some("as “a”, “b”, “c” and at least 1 more, for")),
    ] {
        let sharing = Sharing { names: names.iter().map(ToString::to_string).collect(), is_cut };
        let found = found(&kind("postgres"), &GOOD, |facts| facts.sharing = &sharing);
        assert_eq!(ids(&found), if words.is_some() { vec!["shared-password"] } else { vec![] });
        assert!(found.iter().all(|found| found.reason.contains(words.unwrap_or_default())), "{found:?}");
    }
}

use std::path::Path;

use dataflow_model::report::Certificate;

use super::{
    Status,
    database::{postgres_durability, postgres_version, sqlite_durability, sqlite_version},
    machine::room,
    served::{is_for, judge},
};
use crate::clock::{Clock, DAY, rfc3339};

fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What no test can plant in a real database here.
#[test]
fn settings_that_lose_changes_are_problems() {
    for (version, status) in [
        ("3.51.3", Status::Ok),
        ("3.53.0", Status::Ok),
        ("4.0.0", Status::Ok),
        ("3.51.2", Status::Problem),
        ("3.7.17", Status::Problem),
        ("", Status::Problem),
    ] {
        assert_eq!(sqlite_version(&settings(&[("version", version)])).status, status, "{version}");
    }
    for (synchronous, is_wal, is_running, status) in [
        ("2", true, true, Status::Ok),
        ("3", true, false, Status::Ok),
        ("2", false, false, Status::Ok),
        ("2", false, true, Status::Problem),
        ("1", true, true, Status::Problem),
        ("", true, true, Status::Problem),
    ] {
        let found = sqlite_durability(&settings(&[("synchronous", synchronous)]), is_wal, is_running);
        assert_eq!(found.status, status, "{found:?}");
    }
    for (fsync, pages, commit, status) in [
        ("on", "on", "on", Status::Ok),
        ("on", "on", "remote_apply", Status::Ok),
        ("off", "on", "on", Status::Problem),
        ("on", "off", "on", Status::Problem),
        ("on", "on", "off", Status::Problem),
    ] {
        let found =
            postgres_durability(&settings(&[("fsync", fsync), ("full_page_writes", pages), ("synchronous_commit", commit)]));
        assert_eq!(found.status, status, "{found:?}");
        assert_eq!(found.hint.is_empty(), status == Status::Ok, "{found:?}");
    }
    assert_eq!(postgres_durability(&[]).status, Status::Problem, "what is not known is not good");
    for (number, status) in [("150014", Status::Ok), ("180001", Status::Ok), ("140020", Status::Warning), ("", Status::Warning)] {
        assert_eq!(postgres_version(&settings(&[("server_version_num", number)])).status, status, "{number}");
    }
}

#[test]
fn little_room_is_told() {
    let mib = |count: u64| room(Path::new("/"), count * 1024 * 1024).status;
    assert_eq!([0, 63, 64, 1023, 1024, 1 << 20].map(mib), {
        use Status::{Ok, Problem, Warning};
        [Problem, Problem, Warning, Warning, Ok, Ok]
    });
}

#[test]
fn a_certificate_is_judged_by_its_dates() {
    let clock = Clock::default();
    let now = clock.now();
    let of = |from: i64, to: i64| {
        let (not_before, not_after) = (rfc3339(now + from * DAY), rfc3339(now + to * DAY));
        let text = String::new;
        let names = vec!["dataflow.example.org".to_owned()];
        let own = Certificate {
            subject: text(),
            issuer: text(),
            names,
            not_before,
            not_after,
            fingerprint: text(),
            pem: text(),
            pinnable: false,
        };
        judge(Path::new("/etc/server.crt"), &own, Some("https://dataflow.example.org:8443"), &clock).status
    };
    assert_eq!(of(-1, 90), Status::Ok);
    assert_eq!(of(-1, 13), Status::Warning);
    assert_eq!(of(-90, -1), Status::Problem);
    assert_eq!(of(1, 90), Status::Problem);
}

#[test]
fn a_name_of_a_certificate_stands_for_its_hosts() {
    for (name, host, expected) in [
        ("dataflow.example.org", "dataflow.example.org", true),
        ("Dataflow.example.org", "dataflow.EXAMPLE.org", true),
        ("*.example.org", "dataflow.example.org", true),
        ("*.example.org", "a.dataflow.example.org", false),
        ("*.example.org", "example.org", false),
        ("*.example.org", ".example.org", false),
        ("example.org", "dataflow.example.org", false),
        ("10.0.0.1", "10.0.0.1", true),
        ("::1", "[::1]", true),
    ] {
        assert_eq!(is_for(name, host), expected, "{name} for {host}");
    }
}

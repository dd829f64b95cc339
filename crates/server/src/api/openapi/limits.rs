//! The limits as people read them, in the operator's page and in the description, held against what the code does.

use dataflow_connectors::child::DEADLINE;
use dataflow_model::{
    name::{DESCRIPTION_MAX, NAME_MAX, TAG_MAX, TAGS_MAX},
    own_type::{DEFINITION_MAX, FIELDS_MAX},
    paste::PASTE_MAX,
    workflow::WORKFLOW_TEXT_MAX,
};
use serde_json::Value;

use crate::{
    api::extract::{BODY_MAX, IDEMPOTENCY_KEY_MAX},
    config::{TESTS_PER_CALLER, TESTS_PER_NODE, TESTS_PER_WORKSPACE},
    jobs::purge::{CHECKS_KEPT, CLIENT_CHECKS_KEPT},
    listen::HEAD_MAX,
    ops::{
        dependents::settle::SIGHTINGS_MAX,
        health::schedule::{AFTER_MAX, EVERY_MAX, EVERY_MIN, JITTER_MAX, SCHEDULES_MAX},
        list::{SEARCH_MAX, TYPE_MAX},
        notices::channel::{ADDRESSES_MAX, CHANNELS_MAX},
        own_types::OWN_TYPES_MAX,
        paging::PAGE_MAX,
        people::{EMAIL_MAX, PASSWORD_MAX, PASSWORD_MIN},
        rotations::{
            policy::DAYS_MAX as ROTATION_DAYS_MAX,
            rules::{LENGTH_MAX, LENGTH_MIN, SYMBOLS},
        },
        scans::{FINDINGS_MAX, PIECE_MAX, PROJECTS_MAX},
        settings::{RANGES_MAX, RETENTION_DAYS_MAX},
        tokens::{DAYS_MAX, NAMES_MAX},
        tombstones::REASON_MAX,
    },
    router,
    store::TERMS,
};

const PAGE: &str = include_str!("../../../../../docs/operations.md");

fn number(number: impl TryInto<u64>) -> String {
    let number = number.try_into().ok().expect("a limit is no negative number");
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

#[test]
fn the_page_states_every_limit_as_it_is() {
    let characters = |max: usize| format!("{} characters", number(max));
    let rows = [
        ("name of a connection, a workspace or a token", characters(NAME_MAX)),
        ("description of a connection", characters(DESCRIPTION_MAX)),
        ("tags of a connection", format!("{TAGS_MAX}, each of {}", characters(TAG_MAX))),
        ("field of a type", "what `GET /api/v1/types` says of it".to_owned()),
        ("URL that is pasted into the Studio", format!("{} bytes", number(PASTE_MAX))),
        ("reason of a deletion, or of a silence of the lint", characters(REASON_MAX)),
        ("e-mail address", characters(EMAIL_MAX)),
        ("password of a person", format!("from {PASSWORD_MIN} to {}", characters(PASSWORD_MAX))),
        (
            "password that a rotation makes",
            format!("from {LENGTH_MIN} to {LENGTH_MAX} characters, of which `{SYMBOLS}` may be symbols"),
        ),
        ("days between two rotations by a policy", number(ROTATION_DAYS_MAX)),
        ("time between two tests by a schedule", format!("from {EVERY_MIN} s to {} days", EVERY_MAX / 86_400)),
        ("schedules of a workspace", format!("{SCHEDULES_MAX}, besides those that connections have of their own")),
        ("channels of a workspace by which people are told", format!("{CHANNELS_MAX}, each of {ADDRESSES_MAX} addresses")),
        ("types of a workspace's own", format!("{OWN_TYPES_MAX}, each of {FIELDS_MAX} fields and {} KiB", DEFINITION_MAX / 1024)),
        ("life of a token", format!("{DAYS_MAX} days")),
        ("connections that a token is narrowed to", number(NAMES_MAX)),
        ("search of a list", format!("{}; {TERMS} words and filters together", characters(SEARCH_MAX))),
        ("filter of a list", format!("type: {}; tag: {}", characters(TYPE_MAX), characters(TAG_MAX))),
        ("entries on a page of a list", number(PAGE_MAX)),
        ("`Idempotency-Key`", format!("{IDEMPOTENCY_KEY_MAX} bytes")),
        ("name, run and host of a workflow", format!("{}; longer ones are cut", characters(WORKFLOW_TEXT_MAX))),
        ("body of a request", format!("{} KiB", BODY_MAX / 1024)),
        ("head of a request", format!("{} KiB", HEAD_MAX / 1024)),
        (
            "tests of connections at a time",
            format!("{TESTS_PER_CALLER} of a token or account, {TESTS_PER_WORKSPACE} in a workspace, {TESTS_PER_NODE} on a node"),
        ),
        ("one test of a connection", format!("{} s", DEADLINE.as_secs())),
        (
            "checks that are kept of a connection",
            format!("{}, and {CLIENT_CHECKS_KEPT} that clients told of", number(CHECKS_KEPT)),
        ),
        ("workflows that are kept of a connection", number(SIGHTINGS_MAX)),
        ("findings of a scanned project", format!("{}, in pieces of {PIECE_MAX}", number(FINDINGS_MAX))),
        ("scanned projects of a workspace", number(PROJECTS_MAX)),
        ("networks in each list of the page Settings", number(RANGES_MAX)),
        ("days that history is kept, where its age counts", number(RETENTION_DAYS_MAX)),
    ];
    let expected: Vec<_> = rows.iter().map(|(what, limit)| format!("| {what} | {limit} |")).collect();
    let section = PAGE.split("\n## ").find_map(|section| section.strip_prefix("Limits\n")).expect("a section Limits");
    let stated: Vec<_> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert_eq!(stated, expected, "docs/operations.md, “Limits”");
}

/// The value of a keyword at a member of a schema, or at a parameter of an operation.
fn described(document: &Value, owner: &str, member: &str, keyword: &str) -> Option<u64> {
    let of_schema = document.pointer(&format!("/components/schemas/{owner}")).map(|schema| match member {
        "" => schema,
        _ => &schema["properties"][member],
    });
    let operations = document["paths"].as_object()?.values().filter_map(Value::as_object).flat_map(|path| path.values());
    let operation = operations.clone().find(|operation| operation["operationId"] == owner);
    let mut parameters = operation.and_then(|operation| operation["parameters"].as_array()).into_iter().flatten();
    let of_parameter = parameters.find(|parameter| parameter["name"] == member).map(|parameter| &parameter["schema"]);
    of_schema.or(of_parameter)?[keyword].as_u64()
}

#[test]
fn the_description_states_every_limit_as_it_is() {
    let (_, document) = router::api();
    let document = serde_json::to_value(document).expect("JSON");
    let days = usize::try_from(DAYS_MAX).expect("small");
    let small = |number: i64| usize::try_from(number).expect("small");
    let mut stated = vec![
        ("ConnectionRequest", "name", "minLength", 1),
        ("ConnectionRequest", "name", "maxLength", NAME_MAX),
        ("ConnectionRequest", "description", "maxLength", DESCRIPTION_MAX),
        ("ConnectionRequest", "tags", "maxItems", TAGS_MAX),
        ("Tag", "", "minLength", 1),
        ("Tag", "", "maxLength", TAG_MAX),
        ("delete_connection", "reason", "maxLength", REASON_MAX),
        ("put_member", "name", "maxLength", EMAIL_MAX),
        ("MemberRequest", "roles", "minItems", 1),
        ("RotationPolicyBody", "length", "minimum", small(LENGTH_MIN)),
        ("RotationPolicyBody", "length", "maximum", small(LENGTH_MAX)),
        ("RotationPolicyBody", "symbols", "maxLength", SYMBOLS.len()),
        ("RotationPolicyBody", "every_days", "maximum", small(ROTATION_DAYS_MAX)),
        ("HealthScheduleBody", "every_seconds", "minimum", small(EVERY_MIN)),
        ("HealthScheduleBody", "every_seconds", "maximum", small(EVERY_MAX)),
        ("HealthScheduleBody", "jitter_percent", "maximum", small(JITTER_MAX)),
        ("HealthScheduleBody", "unhealthy_after", "maximum", small(AFTER_MAX)),
        ("HealthScheduleBody", "healthy_after", "maximum", small(AFTER_MAX)),
        ("ChannelBody", "addresses", "maxItems", ADDRESSES_MAX),
        ("TypeBody", "definition", "maxLength", DEFINITION_MAX),
        ("LintSilenceBody", "reason", "minLength", 1),
        ("LintSilenceBody", "reason", "maxLength", REASON_MAX),
        ("TokenRequest", "name", "minLength", 1),
        ("TokenRequest", "name", "maxLength", NAME_MAX),
        ("TokenRequest", "roles", "minItems", 1),
        ("TokenRequest", "expires_in_days", "minimum", 1),
        ("TokenRequest", "expires_in_days", "maximum", days),
        ("TokenRequest", "connections", "minItems", 1),
        ("TokenRequest", "connections", "maxItems", NAMES_MAX),
        ("list_connections", "search", "maxLength", SEARCH_MAX),
        ("list_connections", "type", "maxLength", TYPE_MAX),
        ("list_connections", "tag", "maxLength", TAG_MAX),
        ("create_connection", "Idempotency-Key", "minLength", 1),
        ("create_connection", "Idempotency-Key", "maxLength", IDEMPOTENCY_KEY_MAX),
    ];
    for list in [
        "list_connections",
        "list_checks",
        "list_health",
        "list_health_schedules",
        "list_channels",
        "list_ends",
        "list_lint",
        "list_lint_silences",
        "list_tokens",
        "list_members",
        "list_workspaces",
    ] {
        stated.extend([(list, "limit", "minimum", 1), (list, "limit", "maximum", PAGE_MAX)]);
    }
    for (owner, member, keyword, limit) in stated {
        assert_eq!(described(&document, owner, member, keyword), u64::try_from(limit).ok(), "{keyword} of {member} at {owner}");
    }
    let text = document["info"]["description"].as_str().expect("a text");
    assert!(text.contains(&format!("at most {} KiB", BODY_MAX / 1024)), "{text}");
    let search = document.pointer("/paths/~1api~1v1~1workspaces~1{workspace}~1connections/get/parameters/1/description");
    assert!(search.and_then(Value::as_str).is_some_and(|text| text.contains(&format!("at most {TERMS} words"))), "{search:?}");
}

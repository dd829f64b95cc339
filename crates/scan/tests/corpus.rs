//! Files as people write them, each with what is to be found in its lines: `#> sales` is certain, `#> sales?` maybe, `#> ??` computed;
//! ` @daily` behind a name is its workflow, where that is not the file.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use dataflow_model::{ConnectionName, WorkflowKind};
use dataflow_scan::{Certainty, Report, scan};

static CORPUS: LazyLock<PathBuf> = LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"));

/// Where no comment can stand: magics and folded texts take all of their line.
const MAGICS: [(&str, u32, &str); 4] = [
    ("settings/factory.yaml", 10, "folded"),
    ("notebooks/churn.ipynb", 25, "expanded"),
    ("notebooks/churn.ipynb", 40, "aliased?"),
    ("notebooks/churn.ipynb", 44, "by-alias?"),
];

fn corpus() -> Report {
    scan(&CORPUS).expect("the corpus is there")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_line_names_what_it_says_and_nothing_else() {
    let mut wanted = BTreeSet::new();
    for path in files(&CORPUS) {
        let file = path.strip_prefix(&*CORPUS).expect("below").display().to_string();
        let text = fs::read_to_string(&path).expect("text");
        for (line, expectations) in (1..).zip(text.lines()).filter_map(|(line, text)| Some((line, text.split_once("#> ")?.1))) {
            let end = expectations.find(['\\', '"']).unwrap_or(expectations.len());
            for one in expectations[..end].split(',').map(str::trim) {
                let (name, workflow) = one.split_once(" @").unwrap_or((one, ""));
                let workflow = if name == "??" { "" } else { workflow };
                wanted.insert(format!("{file}:{line} {name} {workflow}"));
            }
        }
    }
    wanted.extend(MAGICS.iter().map(|(file, line, name)| format!("{file}:{line} {name} ")));
    let report = corpus();
    let mut found = BTreeSet::new();
    for finding in &report.findings {
        let sign = if finding.certainty == Certainty::Maybe { "?" } else { "" };
        let workflow = if finding.workflow == finding.file { "" } else { &finding.workflow };
        found.insert(format!("{}:{} {}{sign} {workflow}", finding.file, finding.line, finding.connection));
    }
    found.extend(report.unresolved.iter().map(|open| format!("{}:{} ?? ", open.file, open.line)));
    let missing: Vec<_> = wanted.difference(&found).collect();
    let too_much: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && too_much.is_empty(), "missing: {missing:#?}\ntoo much: {too_much:#?}");
    println!("corpus: {} files: {} places found, {} computed", report.files, report.findings.len(), report.unresolved.len());
}

#[test]
fn each_file_is_of_its_kind() {
    let report = corpus();
    for (file, kind) in [
        ("sdk/names.py", WorkflowKind::Script),
        ("airflow/daily.py", WorkflowKind::Pipeline),
        ("airflow/plugin.py", WorkflowKind::Pipeline),
        ("apps/board.py", WorkflowKind::App),
        ("apps/api.py", WorkflowKind::App),
        ("apps/worker.py", WorkflowKind::Pipeline),
        ("notebooks/churn.ipynb", WorkflowKind::Notebook),
        ("settings/dbt/profiles.yml", WorkflowKind::Pipeline),
        ("settings/prod.env", WorkflowKind::Script),
    ] {
        let kinds: BTreeSet<_> =
            report.findings.iter().filter(|finding| finding.file == file).map(|finding| finding.kind).collect();
        assert_eq!(kinds, BTreeSet::from([kind]), "{file}");
    }
    let unreadable: Vec<_> = report.unreadable.iter().map(|file| format!("{} {}", file.file, file.reason)).collect();
    assert_eq!(unreadable, ["others/broken.py has a syntax error at line 6: names near it may be missing"]);
}

#[test]
fn nothing_of_a_file_is_told_but_names_and_lines() {
    let report = corpus();
    let told = format!("{report:?}{}", serde_json::to_string(&report).expect("JSON"));
    assert!(!told.contains("Planted"), "a secret is told");
    let planted =
        files(&CORPUS).into_iter().filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("Planted-5ecret")));
    assert_eq!(planted.count(), 5, "of each form with secrets");
    assert!(!told.contains("sales_\""), "the known part of a computed name is told");
}

#[test]
fn computed_names_are_held_against_those_that_there_are() {
    let mut report = corpus();
    let known = ["sales_eu", "sales_north", "sales", "other"].map(|name| ConnectionName::new(name).expect("a name"));
    let before = report.unresolved.len();
    assert!(report.has_patterns());
    report.resolve(&known);
    let region =
        |finding: &&dataflow_scan::Finding| finding.file == "sdk/values.py" && finding.connection.as_str() == "sales_north";
    assert_eq!(report.findings.iter().filter(region).count(), 4, "f-string, %, format and +");
    assert!(report.findings.iter().filter(region).all(|finding| finding.certainty == Certainty::Maybe));
    assert_eq!(report.unresolved.len(), before - 4);
}

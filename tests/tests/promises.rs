//! docs/security.md says which test holds each promise: none names a test that is gone, and each has one that prints what it ran.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dataflow_tests::environment::repository;

/// The files that a name in the last column stands for; nothing for what runs beside the tests.
fn files(name: &str) -> Option<Vec<PathBuf>> {
    let root = repository();
    if let Some(target) = name.strip_prefix("make ") {
        let makefile = fs::read_to_string(root.join("Makefile")).expect("a file of this repository");
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "the Makefile has no “{target}”");
        return None;
    }
    let crates =
        || fs::read_dir(root.join("crates")).expect("a folder of this repository").map(|entry| entry.expect("there").path());
    let found: Vec<_> = if let Some(of_crate) = name.strip_prefix("dataflow-") {
        sources(&root.join("crates").join(of_crate).join("src"))
    } else if Path::new(name).extension().is_some_and(|extension| extension == "py") {
        vec![root.join("python/tests").join(name)]
    } else if name.contains("::") {
        let module = name.replace("::", "/");
        let places = crates().flat_map(|folder| ["src", "tests"].map(|part| folder.join(part)));
        places.flat_map(|place| [place.join(format!("{module}.rs")), place.join(&module).join("mod.rs")]).collect()
    } else {
        vec![root.join(format!("tests/tests/{name}.rs"))]
    };
    Some(found.into_iter().filter(|path| path.is_file()).collect())
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("there").path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn each_promise_has_a_test_that_prints_what_it_ran() {
    let page = fs::read_to_string(repository().join("docs/security.md")).expect("a file of this repository");
    let section = page.split("\n## ").find_map(|section| section.strip_prefix("The promises\n")).expect("a section");
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 20, "{} promises", rows.len());
    for row in rows {
        let last = row.trim_end_matches(['|', ' ']).rsplit('|').next().expect("columns");
        let names: Vec<_> = last.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test is named: {row}");
        let mut prints = false;
        for name in names {
            let Some(files) = files(name) else {
                prints = true;
                continue;
            };
            assert!(!files.is_empty(), "there is no test “{name}”: {row}");
            prints |= files.iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("promise: ")));
        }
        assert!(prints, "none of the tests prints a line “promise: …”: {row}");
    }
}

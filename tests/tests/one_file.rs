//! A type of a known protocol is one file of `catalog/`: nothing else of the product names it. Who adds one changes nothing else, and a test
//! writes its line of `docs/types.md`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dataflow_model::Catalogue;
use dataflow_tests::environment::repository;

/// Types that something else names all the same, where, and why. This list only shrinks, or says why not.
const MORE: [(&str, &str); 4] = [
    // SQLAlchemy has a dialect of its own for it.
    ("cockroachdb", "crates/model/src/snippets.rs"),
    ("cockroachdb", "python/dataflow/drivers/__init__.py"),
    // What SQLAlchemy calls MySQL's dialect, too, in a URL that somebody wrote.
    ("mariadb", "python/dataflow/own_types.py"),
    // The example in the API's description.
    ("redshift", "crates/server/src/api/types.rs"),
];

/// What is no product: tests, and what they are made of.
const NOT_MEANT: [&str; 4] = ["tests", "fuzz.rs", "samples", "picture.rs"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of this repository").map(|entry| entry.expect("there").path());
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        !NOT_MEANT.iter().any(|part| name.starts_with(part))
    };
    entries.filter(is_meant).flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The code of a file, less its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_type_of_a_known_protocol_is_one_file() {
    let root = repository();
    let crates = fs::read_dir(root.join("crates")).expect("a folder of this repository");
    let mut folders: Vec<_> = crates.map(|entry| entry.expect("there").path().join("src")).collect();
    folders.push(root.join("python/dataflow"));
    let files: Vec<_> =
        folders.iter().flat_map(|folder| sources(folder)).filter(|path| ends_in(path, &["rs", "py", "html", "js"])).collect();
    assert!(files.len() > 200, "{} files", files.len());
    let codes: Vec<_> = files.iter().map(|path| (path, code(path))).collect();

    let catalogue = Catalogue::built_in().expect("sound");
    let extending: Vec<_> = catalogue.all().into_iter().filter(|kind| kind.extends.is_some()).collect();
    let mut named = Vec::new();
    for kind in &extending {
        assert!(root.join(format!("catalog/{}.toml", kind.id)).is_file());
        for (path, code) in &codes {
            if [format!("\"{}\"", kind.id), format!("'{}'", kind.id)].iter().any(|quoted| code.contains(quoted)) {
                named.push((kind.id.clone(), path.strip_prefix(&root).expect("inside").display().to_string()));
            }
        }
    }
    named.sort();
    assert_eq!(named, MORE.map(|(id, path)| (id.to_owned(), path.to_owned())), "a type that extends another is its file alone");
    println!("promise: a type of a known protocol is one file: {} types, and {} more places", extending.len(), named.len());
}

fn ends_in(path: &Path, endings: &[&str]) -> bool {
    path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
}

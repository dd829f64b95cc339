//! Lists the catalogue: every `catalog/*.toml` becomes one entry of the binary, so that a new type is one new file.

use std::{env, fmt::Write as _, fs, path::Path};

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through the environment")]
fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../catalog");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files: Vec<_> = fs::read_dir(&root)
        .expect("the catalogue folder stands in the repository")
        .map(|entry| entry.expect("a readable folder entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let id = file.file_stem().and_then(|stem| stem.to_str()).expect("a type id is ASCII").to_owned();
        println!("cargo:rerun-if-changed={}", file.display());
        let path = file.canonicalize().expect("it was just listed");
        let path = path.to_str().expect("the repository lies under a path in UTF-8");
        writeln!(code, "    ({id:?}, include_str!({path:?})),").expect("a String takes all");
    }
    code.push_str("]\n");
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("catalog.rs");
    fs::write(out, code).expect("the build folder is writable");
}

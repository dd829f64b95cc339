//! Looks for what keeps people out of a page: axe-core's rules, in both colour schemes, on a wide window and on a telephone.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    browser::{Browser, WIDE},
    environment,
};

/// A telephone.
pub const NARROW: (u32, u32) = (390, 844);
/// A small notebook.
pub const MIDDLE: (u32, u32) = (1024, 768);

/// Runs when nothing moves any more: half-faded colours have half the contrast.
const RUN: &str = "
const done = arguments[arguments.length - 1];
const moves = document.getAnimations().filter((move) => move.effect.getTiming().iterations !== Infinity);
Promise.all(moves.map((move) => move.finished.catch(() => {})))
  .then(() => axe.run(document, { resultTypes: ['violations'] }))
  .then(({ violations }) => done(violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}: ${node.failureSummary}`))))
  .catch((error) => done([String(error)]));
";

/// The page as it stands has no violation of any rule and is never wider than the window.
///
/// # Panics
/// With what was found, or if axe-core is not in the cache.
pub async fn check(browser: &Browser, page: &str) {
    let found = faults(browser, page).await;
    assert!(found.is_empty(), "{found:#?}");
}

/// The same in windows of these sizes.
///
/// # Panics
/// With what was found, or if axe-core is not in the cache.
pub async fn check_at(browser: &Browser, page: &str, sizes: &[(u32, u32)]) {
    let found = faults_at(browser, page, sizes).await;
    assert!(found.is_empty(), "{found:#?}");
}

/// Every violation, and every look in which the page is wider than the window.
///
/// # Panics
/// If axe-core is not in the cache, or does not run.
pub async fn faults(browser: &Browser, page: &str) -> Vec<String> {
    faults_at(browser, page, &[WIDE, NARROW]).await
}

async fn faults_at(browser: &Browser, page: &str, sizes: &[(u32, u32)]) -> Vec<String> {
    let axe = axe();
    let mut found = Vec::new();
    for size in sizes.iter().copied() {
        for scheme in ["light", "dark"] {
            browser.look(size, scheme).await;
            let name = format!("{page}, {} px, {scheme}", size.0);
            let answer = browser.driver().execute_async(format!("if (!window.axe) {{ {axe} }}\n{RUN}"), Vec::new()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
            let violations = answer.json().as_array().expect("a list").clone();
            found.extend(violations.iter().filter_map(Value::as_str).map(|violation| format!("{name}: {violation}")));
            let width = browser.run("return document.documentElement.scrollWidth").await;
            if width.as_u64().is_none_or(|width| width > u64::from(size.0)) {
                found.push(format!("{name}: the page is {width} px wide"));
            }
        }
    }
    browser.look(WIDE, "light").await;
    found
}

/// Gives slow machines time for a page with many elements.
pub async fn prepare(browser: &Browser) {
    browser.driver().set_script_timeout(Duration::from_mins(1)).await.expect("a time-out");
}

fn axe() -> String {
    let cache = environment::cache();
    let folders = fs::read_dir(&cache).into_iter().flatten().flatten();
    let ours = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("axe-"));
    let newest = ours.map(|entry| entry.path().join("axe.min.js")).filter(|file| file.is_file()).max();
    let file = newest.unwrap_or_else(|| panic!("axe-core is not in {}; run `make deps`", cache.display()));
    fs::read_to_string(file).expect("a readable file")
}

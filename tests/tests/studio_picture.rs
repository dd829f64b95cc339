//! The README's picture of the Studio: taken of the page that the server's own tests render, with the style sheets of the product.
//!
//! `docs/studio.digest` says what it was made from, so that nobody has to look at it to know that it is stale.

use std::{fs, path::Path, process::Command};

use dataflow_tests::{
    browser::{Browser, WIDE},
    environment,
    folder::TempDir,
    port::Port,
    process::{Spawn, Stop},
};
use thirtyfour::By;

const PICTURE: &str = "docs/studio.png";
const DIGEST: &str = "docs/studio.digest";
const PAGE: &str = "crates/server/src/studio/view/snapshots/picture.snap";
const ASSETS: &str = "crates/server/src/studio/assets";
/// The assets that decide on how the page looks; scripts change nothing until somebody acts.
const LOOKS: [&str; 3] = ["studio.css", "form.css", "icons.svg"];

/// What the picture is made from, and the picture: a line `SHA-256  path` for each, as `sha256sum` writes and checks it.
fn digest() -> String {
    let looks = LOOKS.map(|file| format!("{ASSETS}/{file}"));
    let mut command = Command::new("sha256sum");
    command.current_dir(environment::repository()).args([PICTURE, PAGE]).args(looks);
    let output = command.output().expect("sha256sum");
    assert!(output.status.success(), "{}; run `make picture`", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

/// `make picture` sets `DATAFLOW_WRITE_PICTURE` and so takes it anew.
#[tokio::test]
async fn browser_picture() {
    let repository = environment::repository();
    if environment::writes_picture() {
        fs::write(repository.join(PICTURE), picture(&repository).await).expect("the folder docs");
        fs::write(repository.join(DIGEST), digest()).expect("the folder docs");
    }
    let (now, then) = (digest(), fs::read_to_string(repository.join(DIGEST)).unwrap_or_default());
    let changed: Vec<_> = now.lines().filter(|line| !then.lines().any(|other| other == *line)).collect();
    assert!(
        now == then,
        "{PICTURE} shows what the product no longer looks like; run `make picture` and look at it: {changed:#?}"
    );
    let png = fs::read(repository.join(PICTURE)).expect("it has a digest");
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((&png[..8], &png[12..16]), (b"\x89PNG\r\n\x1a\n".as_slice(), b"IHDR".as_slice()));
    assert_eq!((size(16), size(20)), WIDE);
}

/// The page in the browser, served with the assets under names that have an empty hash: a script finds another by what stands before it.
async fn picture(repository: &Path) -> Vec<u8> {
    let (site, port) = (TempDir::new(), Port::free());
    let snapshot = fs::read_to_string(repository.join(PAGE)).expect("the snapshot of the page");
    let (_, html) = snapshot.split_once("\n---\n").expect("a snapshot has a head");
    let mut html = html.to_owned();
    let assets = site.join("assets");
    fs::create_dir(&assets).expect("own folder");
    for asset in fs::read_dir(repository.join(ASSETS)).expect("the assets") {
        let asset = asset.expect("an asset");
        let name = asset.file_name().to_string_lossy().into_owned();
        let (stem, ending) = name.rsplit_once('.').expect("an ending");
        let served = format!("{stem}-.{ending}");
        fs::copy(asset.path(), assets.join(&served)).expect("own folder");
        html = html.replace(&format!("/assets/{name}"), &format!("/assets/{served}"));
    }
    fs::write(site.join("index.html"), html).expect("own folder");
    let mut server = Spawn::new(environment::program("python3", &["/usr/bin/python3", "/usr/local/bin/python3"]), Stop::Kill)
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"])
        .arg(site.path())
        .arg(port.number().to_string())
        .start(&site.join("log"));
    server.wait_until("python3 -m http.server", |server| server.log().contains("Serving HTTP"));
    let browser = Browser::start(&format!("http://127.0.0.1:{}", port.number()), &[]).await;
    browser.open("/").await;
    browser.sees("Healthy").await;
    browser.until("getComputedStyle(document.querySelector('.btn.primary')).backgroundColor === 'rgb(11, 110, 99)'").await;
    // The mouse over a row, whose actions are seen then.
    let row = browser.driver().find(By::Css("tr[data-name=sales] .type")).await.expect("the row");
    browser.driver().action_chain().move_to_element_center(&row).perform().await.expect("the mouse moves");
    browser.until("getComputedStyle(document.querySelector('tr[data-name=sales] .acts')).opacity === '1'").await;
    let picture = browser.driver().screenshot_as_png().await.expect("a picture");
    browser.finish(&[]).await;
    picture
}

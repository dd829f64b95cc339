//! The list of connections, worked with the keyboard alone. Whatever the focus comes to shows it, and is seen.

use dataflow_tests::{
    browser::{Browser, WIDE},
    session::Session,
    studio::{LIST, PASSWORD, Studio},
};
use serde_json::json;
use thirtyfour::Key;

/// A telephone: the sidebar is a menu, and a row is a card.
const NARROW: (u32, u32) = (390, 844);

/// What is wrong with the look of what has the focus, or `null`. An input that is drawn by its label shows its focus there. Two pixels and
/// 3:1 are WCAG 2.2's 2.4.13 and 1.4.11; that nothing stands over it is 2.4.11.
const UNSEEN: &str = "
const has = document.activeElement;
if (!has || has === document.body) return 'nothing has the focus';
const bare = (node) => Number(getComputedStyle(node).opacity) === 0;
const drawn = bare(has) ? has.closest('label') : has;
if (!drawn) return 'it is not drawn';
for (let node = drawn; node; node = node.parentElement) if (bare(node)) return 'it stands in something that is not drawn';
const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const rgba = (color) => { paint.clearRect(0, 0, 1, 1); paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); return [...paint.getImageData(0, 0, 1, 1).data]; };
const light = (color) => rgba(color).slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
const look = getComputedStyle(drawn);
if (look.boxShadow === 'none') {
  if (look.outlineStyle === 'none' || parseFloat(look.outlineWidth) < 2) return `its outline is ${look.outline}`;
  let ground = drawn.parentElement;
  while (ground && rgba(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
  const [dark, bright] = [light(look.outlineColor), light(ground ? getComputedStyle(ground).backgroundColor : 'white')].sort((a, b) => a - b);
  const contrast = (bright + 0.05) / (dark + 0.05);
  if (contrast < 3) return `its outline has a contrast of ${contrast.toFixed(2)}`;
}
const box = drawn.getClientRects()[0];
const [x, y] = [box.left + Math.min(box.width, innerWidth) / 2, box.top + Math.min(box.height, innerHeight) / 2];
if (box.width < 4 || box.height < 4) return `it is ${box.width} by ${box.height} px`;
const top = document.elementFromPoint(x, y);
if (!top) return 'it is outside of the window';
return drawn.contains(top) || top.contains(drawn) ? null : `${top.outerHTML.slice(0, 80)} stands over it`;
";

/// The name of what has the focus, as it is read out.
const NAME: &str = "
const has = document.activeElement;
const name = said(has) || flat(has.labels?.[0]?.textContent);
return has.id === 'page' ? 'the page' : name || has.tagName;
";

/// What has the focus, which must be seen.
async fn focus(browser: &Browser, on_the_way: &str) -> String {
    let name = browser.run(NAME).await;
    let name = name.as_str().expect("a text").to_owned();
    let unseen = browser.run(UNSEEN).await;
    assert!(unseen.is_null(), "{on_the_way}, the focus is at “{name}”: {unseen}");
    name
}

/// An expression: whether this has the focus.
fn at(name: &str) -> String {
    format!("said(document.activeElement).startsWith({})", json!(name))
}

/// Waits until something has the focus, and is seen to have it.
async fn arrives_at(browser: &Browser, name: &str) {
    browser.until(&at(name)).await;
    focus(browser, name).await;
}

/// From one stop to the next, or to the one before.
#[derive(Debug, Clone, Copy)]
enum Way {
    Forth,
    Back,
}

async fn tab(browser: &Browser, way: Way) {
    match way {
        Way::Forth => browser.press(Key::Tab + "").await,
        Way::Back => browser.press_holding(Key::Shift, Key::Tab + "").await,
    }
}

/// Goes on until something has the focus; whatever has it on the way is seen.
async fn walk(browser: &Browser, way: Way, to: &str) {
    let mut passed = Vec::new();
    while passed.last().is_none_or(|last: &String| !last.starts_with(to)) {
        assert!(passed.len() < 40, "“{to}” is not reached: {passed:#?}");
        tab(browser, way).await;
        passed.push(focus(browser, to).await);
    }
}

/// A list of three that can be tested and one that cannot.
fn studio() -> Studio {
    let studio = Studio::start();
    for (name, tag) in [("catalogue", "eu"), ("sales", "eu"), ("shop", "archive")] {
        studio.create(&json!({"name": name, "type": "sqlite", "description": "Orders", "tags": [tag], "database": "sales.db"}));
    }
    studio.create(&json!({"name": "crm", "type": "postgres", "host": "nowhere.invalid", "username": "u", "password": PASSWORD}));
    studio
}

/// Everything that takes the focus on a page, in its order.
async fn stops(browser: &Browser, page: &str, way: Way) -> Vec<String> {
    let mut stops: Vec<String> = Vec::new();
    browser.run("window.begun = document.body").await;
    loop {
        tab(browser, way).await;
        // Past the last one, a browser without a frame begins anew.
        if browser.run("return [document.body, window.begun].includes(document.activeElement)").await == json!(true) {
            return stops;
        }
        if stops.is_empty() {
            browser.run("window.begun = document.activeElement").await;
        }
        stops.push(focus(browser, page).await);
        assert!(stops.len() < 100, "{page}: {stops:#?}");
    }
}

/// The stops of a page from its top to its end, which are the same upwards: there, what sticks to an edge could stand over them.
async fn both_ways(browser: &Browser, page: &str) -> Vec<String> {
    browser.open(page).await;
    let down = stops(browser, page, Way::Forth).await;
    let mut up = stops(browser, page, Way::Back).await;
    up.reverse();
    assert_eq!(down, up, "{page}");
    assert_eq!(down.first().map(String::as_str), Some("Skip to the page"), "{page}");
    down
}

#[tokio::test]
async fn browser_every_stop_of_the_list_is_seen() {
    let studio = studio();
    let browser = studio.browser().await;
    let row = |name: &str| {
        let acts = ["Test", "Edit", "Delete"].map(|act| format!("{act} {name}"));
        [vec![format!("Select {name}"), name.to_owned()], acts.to_vec()].concat()
    };
    let rows: Vec<_> = ["catalogue", "crm", "sales", "shop"].into_iter().flat_map(row).collect();
    let before = ["New Connection", "Search by name, host, tag", "All 4", "Type", "Tag", "Sort", "Select all on this page"];
    let after = ["Deleted connections".to_owned()];
    let expected: Vec<_> = before.into_iter().map(ToOwned::to_owned).chain(rows).chain(after).collect();
    for scheme in ["light", "dark"] {
        for (size, menu) in [(WIDE, "Sign out"), (NARROW, "Menu")] {
            browser.look(size, scheme).await;
            let all = both_ways(&browser, LIST).await;
            let at = all.iter().position(|stop| stop == "New Connection").expect("it is offered");
            assert_eq!(all[at..], expected, "{size:?}, {scheme}");
            assert!(all[..at].contains(&menu.to_owned()), "{size:?}, {scheme}: {all:?}");
        }
    }
    browser.finish(&[]).await;
}

#[tokio::test]
async fn browser_every_stop_of_the_other_pages_is_seen() {
    let studio = studio();
    // Of more than one each has a way to delete it.
    Session::start(&studio.server).submit("/workspaces", "name=other").expect(303);
    studio.edit("crm", &json!({"description": "Accounts"}));
    dataflow_tests::pages::own_types(&Session::start(&studio.server));
    let browser = studio.browser().await;
    let connections = [
        "/w/default/new",
        "/w/default/new/postgres",
        "/w/default/connections/crm",
        "/w/default/connections/crm/edit",
        "/w/default/connections/crm/dependents",
        "/w/default/deleted",
        "/w/default/connections/crm/versions",
        "/w/default/compare?with=other",
        "/w/default/connections/crm/copy?to=other",
    ];
    for page in connections.into_iter().chain([
        "/w/default/tokens",
        "/w/default/access",
        "/w/default/activity",
        "/w/default/groups",
        "/w/default/health",
        "/w/default/health/schedule",
        "/w/default/health/channel",
        "/w/default/lint",
        "/w/default/lint/never-tested",
        "/w/default/types/new",
        "/w/default/types/exasol/edit",
        "/w/default/connections/crm/users",
        "/account",
        "/workspaces",
        "/settings",
    ]) {
        for size in [WIDE, NARROW] {
            browser.look(size, "light").await;
            both_ways(&browser, page).await;
        }
    }
    browser.finish(&[]).await;
}

#[tokio::test]
async fn browser_the_list_by_keyboard_alone() {
    let studio = studio();
    let browser = studio.browser().await;
    past_the_menu(&browser).await;
    search_and_filters(&browser).await;
    a_row_and_its_actions(&browser).await;
    several_rows(&browser).await;
    menus(&browser).await;
    browser.finish(&[]).await;
}

/// The first stop leads past the sidebar.
async fn past_the_menu(browser: &Browser) {
    browser.open(LIST).await;
    tab(browser, Way::Forth).await;
    assert_eq!(focus(browser, "first").await, "Skip to the page");
    browser.press(Key::Enter + "").await;
    browser.until("document.activeElement.id === 'page'").await;
    tab(browser, Way::Forth).await;
    assert_eq!(focus(browser, "past the menu").await, "New Connection");
}

/// The search is reached from anywhere, its rows from it; radios and lists keep the keys that they have everywhere.
async fn search_and_filters(browser: &Browser) {
    browser.press("/").await;
    arrives_at(browser, "Search by name").await;
    browser.press("s").await;
    browser.arrives(&format!("{LIST}?q=s")).await;
    browser.until("shown('[data-row]').length === 3").await;
    // Into the rows before the answer is there, and they are drawn anew under the focus.
    browser.press("h").await;
    browser.press(Key::Down + "").await;
    browser.arrives(&format!("{LIST}?q=sh")).await;
    browser.until("shown('[data-row]').length === 1").await;
    arrives_at(browser, "shop").await;
    browser.press(Key::Up + "").await;
    arrives_at(browser, "Search by name").await;
    browser.press(Key::Escape + "").await;
    browser.arrives(LIST).await;
    browser.until("shown('[data-row]').length === 4").await;

    tab(browser, Way::Forth).await;
    browser.until("document.activeElement.name === 'status'").await;
    focus(browser, "the chips").await;
    browser.press(Key::Down + "").await;
    browser.arrives(&format!("{LIST}?status=failed")).await;
    browser.sees("No match").await;
    browser.until("document.activeElement.name === 'status' && document.activeElement.value === 'failed'").await;
    browser.press(Key::Up + "").await;
    browser.arrives(LIST).await;
    walk(browser, Way::Forth, "Tag").await;
    browser.press("eu").await;
    browser.arrives(&format!("{LIST}?tag=eu")).await;
    browser.until("shown('[data-row]').length === 2").await;
    arrives_at(browser, "Tag").await;
    browser.press(Key::Home + "").await;
    browser.arrives(LIST).await;
    browser.until("shown('[data-row]').length === 4").await;
}

/// A row's actions are seen as soon as the focus is in the row; a dialog gives the focus back.
async fn a_row_and_its_actions(browser: &Browser) {
    browser.press("/").await;
    for name in ["catalogue", "crm", "sales"] {
        browser.press(Key::Down + "").await;
        arrives_at(browser, name).await;
    }
    tab(browser, Way::Forth).await;
    arrives_at(browser, "Test sales").await;
    browser.press(Key::Enter + "").await;
    browser.until("flat(document.querySelector('tr[data-name=sales] [data-words]').textContent) === 'Healthy'").await;
    arrives_at(browser, "Test sales").await;

    walk(browser, Way::Forth, "Delete sales").await;
    for by_escape in [true, false] {
        browser.press(Key::Enter + "").await;
        browser.sees("Delete “sales”?").await;
        browser.until("place !== document && document.activeElement.id === 'confirm'").await;
        focus(browser, "the dialog").await;
        // The keys of the page sleep meanwhile.
        browser.press("n/").await;
        browser.until("document.activeElement.value === 'n/'").await;
        if by_escape {
            browser.press(Key::Escape + "").await;
        } else {
            walk(browser, Way::Forth, "Cancel").await;
            browser.press(Key::Enter + "").await;
        }
        browser.until("place === document").await;
        arrives_at(browser, "Delete sales").await;
    }

    tab(browser, Way::Back).await;
    arrives_at(browser, "Edit sales").await;
    browser.press(Key::Enter + "").await;
    browser.arrives("/w/default/connections/sales/edit").await;
    browser.driver().back().await.expect("the page before");
    browser.arrives(LIST).await;
}

/// Rows are ticked on the way through them, and tested together.
async fn several_rows(browser: &Browser) {
    browser.press("/").await;
    browser.press(Key::Down + "").await;
    arrives_at(browser, "catalogue").await;
    tab(browser, Way::Back).await;
    arrives_at(browser, "Select catalogue").await;
    browser.press(" ").await;
    browser.press(Key::Down + Key::Down + "").await;
    arrives_at(browser, "sales").await;
    tab(browser, Way::Back).await;
    browser.press(" ").await;
    browser.until("said(document.querySelector('[data-test-selected]')) === 'Test 2 selected'").await;
    walk(browser, Way::Back, "Test 2 selected").await;
    browser.press(Key::Enter + "").await;
    browser.until("document.getElementById('said').textContent === 'Tested 2 connections, 2 healthy.'").await;
    arrives_at(browser, "Test 2 selected").await;
    tab(browser, Way::Forth).await;
    arrives_at(browser, "Select all on this page").await;
    browser.press(" ").await;
    browser.until("said(document.querySelector('[data-test-selected]')) === 'Test 4 selected'").await;
}

/// A menu opens where it stands, its links are walked, and Escape leads back to what opened it.
async fn menus(browser: &Browser) {
    walk(browser, Way::Back, "Workspace: default").await;
    browser.press(Key::Enter + "").await;
    browser.until("document.querySelector('details.space').open").await;
    browser.press(Key::Down + "").await;
    arrives_at(browser, "default").await;
    browser.press(Key::Down + "").await;
    arrives_at(browser, "All workspaces").await;
    browser.press(Key::Escape + "").await;
    browser.until("!document.querySelector('details.space').open").await;
    arrives_at(browser, "Workspace: default").await;
    // Whoever goes on leaves no menu open behind him.
    browser.press(Key::Enter + "").await;
    browser.until("document.querySelector('details.space').open").await;
    walk(browser, Way::Forth, "Connections").await;
    browser.until("!document.querySelector('details.space').open").await;

    browser.look(NARROW, "light").await;
    browser.open(LIST).await;
    walk(browser, Way::Forth, "Menu").await;
    browser.press(Key::Enter + "").await;
    browser.until("document.getElementById('side').matches(':popover-open')").await;
    walk(browser, Way::Forth, "Workspace: default").await;
    browser.press(Key::Enter + Key::Tab).await;
    arrives_at(browser, "default").await;
    // One key, one step: the menu in the menu, then the menu.
    browser.press(Key::Escape + "").await;
    arrives_at(browser, "Workspace: default").await;
    browser.until("document.getElementById('side').matches(':popover-open')").await;
    browser.press(Key::Escape + "").await;
    browser.until("!document.getElementById('side').matches(':popover-open')").await;
    arrives_at(browser, "Menu").await;
}

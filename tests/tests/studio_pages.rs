//! How the Studio's pages look to those who cannot see them well, and that they keep still.

use std::{collections::BTreeSet, fs};

use dataflow_tests::{
    accessibility::{self, MIDDLE, NARROW},
    browser::{Browser, WIDE},
    environment,
    pages::{self, PAGES},
    steadiness,
    studio::{LIST, PASSWORD, Studio},
};
use rstest::rstest;

/// Routes with GET that are no page of the Studio.
const NO_PAGES: [&str; 8] = [
    "/api/v1/openapi.json",
    "/assets/{file}",
    "/healthz",
    "/metrics",
    "/readyz",
    "/sign-in/again",
    "/sign-in/provider",
    "/w/{workspace}/activity/export",
];

/// The paths that the server's source gives a GET, but for the API's, which are no pages.
fn in_the_source() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for file in ["crates/server/src/studio.rs", "crates/server/src/router.rs"] {
        let source = fs::read_to_string(environment::repository().join(file)).expect("the source");
        let product = source.split("#[cfg(test)]\nmod tests {").next().expect("it begins");
        for call in product.split(".route(").skip(1) {
            let path = call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (path, handlers) =
                path.unwrap_or_else(|| panic!("{file}: write the path out, so that it can be held against the walk: {call}"));
            if handlers.contains("get(") {
                all.insert(path.to_owned());
            }
        }
    }
    all
}

#[test]
fn every_page_is_walked() {
    let walked: BTreeSet<_> = PAGES.iter().map(|(route, _)| (*route).to_owned()).collect();
    let pages: BTreeSet<_> = in_the_source().into_iter().filter(|route| !NO_PAGES.contains(&route.as_str())).collect();
    assert!(pages.len() > 10, "{pages:?}");
    let forgotten: Vec<_> = pages.difference(&walked).collect();
    assert!(
        forgotten.is_empty(),
        "no test opens {forgotten:?}: give each a line in PAGES of tests/src/pages.rs, with addresses for what it can be, and let `addresses` \
         make what they show; its states belong into tests/tests/studio_states.rs"
    );
    let gone: Vec<_> = walked.difference(&pages).collect();
    assert!(gone.is_empty(), "{gone:?} is in PAGES of tests/src/pages.rs and no longer in the router: take it out");
    for (route, addresses) in PAGES {
        assert!(!addresses.is_empty(), "{route} is listed, and no address of it is opened");
        for address in addresses {
            assert!(leads(address, route), "{address} is not an address of {route}");
        }
    }
}

/// Whether the router takes the address to the route.
fn leads(address: &str, route: &str) -> bool {
    let path = address.split('?').next().unwrap_or_default();
    let (asked, known): (Vec<_>, Vec<_>) = (path.split('/').collect(), route.split('/').collect());
    asked.len() == known.len() && asked.iter().zip(known).all(|(part, known)| *part == known || known.starts_with('{'))
}

/// Half of the pages.
#[rstest]
#[case::even(0)]
#[case::odd(1)]
#[tokio::test]
async fn browser_every_page_is_accessible(#[case] half: usize) {
    let studio = Studio::start();
    let addresses = pages::addresses(&studio);
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    for address in addresses.iter().skip(half).step_by(2) {
        pages::open(&browser, address).await;
        accessibility::check(&browser, address).await;
    }
    browser.finish(&["400", "404"]).await;
}

/// Between the telephone and the wide window the sidebar is there and the columns are folded.
#[tokio::test]
async fn browser_every_page_is_accessible_on_a_small_notebook() {
    let studio = Studio::start();
    let addresses = pages::addresses(&studio);
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    for address in addresses {
        pages::open(&browser, &address).await;
        accessibility::check_at(&browser, &address, &[MIDDLE]).await;
    }
    browser.finish(&["400", "404"]).await;
}

/// In a wide window and on a telephone.
#[rstest]
#[case::wide(WIDE)]
#[case::narrow(NARROW)]
#[tokio::test]
async fn browser_no_page_moves_while_it_loads(#[case] size: (u32, u32)) {
    let studio = Studio::start();
    let addresses = pages::addresses(&studio);
    let browser = studio.browser().await;
    browser.look(size, "light").await;
    browser.load_slowly().await;
    let mut restless = Vec::new();
    for address in &addresses {
        pages::open(&browser, address).await;
        let moved = steadiness::moved(&browser).await;
        if moved.score >= steadiness::MOST {
            restless.push(format!("{address}: {moved}"));
        }
    }
    assert!(restless.is_empty(), "{}", restless.join("\n"));

    // What looks for moves finds them.
    pages::open(&browser, "/account").await;
    let late = "setTimeout(() => document.getElementById('page').prepend(Object.assign(document.createElement('p'), { textContent: 'Late' })), 100)";
    browser.run(late).await;
    let moved = steadiness::moved(&browser).await;
    assert!(moved.score >= steadiness::MOST && moved.what.iter().any(|what| what.contains("Your account")), "{moved}");
    browser.finish(&["400", "404"]).await;
}

/// What pages become while they are used.
#[tokio::test]
async fn browser_pages_in_use_are_accessible() {
    let studio = Studio::start();
    pages::addresses(&studio);
    let browser = studio.browser().await;
    accessibility::prepare(&browser).await;
    states(&browser).await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    accessibility::check(&browser, "sign in").await;

    // What looks for faults finds them: in both schemes, and what is 1,000 px wide on the telephone only.
    browser.run("document.body.append(new Image()); document.getElementById('page').style.minWidth = '1000px'").await;
    let faults = accessibility::faults(&browser, "broken").await;
    let of = |what: &str| faults.iter().filter(|fault| fault.contains(what)).count();
    assert_eq!((of("image-alt"), of("390 px, dark: the page is"), of("the page is")), (4, 1, 2), "{faults:#?}");
    browser.finish(&["422"]).await;
}

async fn states(browser: &Browser) {
    browser.open("/w/default/connections/shop").await;
    browser.click("Test Connection").await;
    browser.sees("All in order").await;
    accessibility::check(browser, "a test in order").await;
    browser.open("/w/default/connections/crm/edit").await;
    browser.click("Test Connection").await;
    browser.sees("Stopped at the name").await;
    accessibility::check(browser, "a test that failed").await;
    browser.fill("Host", "").await;
    browser.click("Replace").await;
    browser.click("Save").await;
    browser.sees("Nothing was saved").await;
    accessibility::check(browser, "a refused form").await;
    browser.open(LIST).await;
    browser.sees("Healthy").await;
    accessibility::check(browser, "a list with results").await;
    browser.click("Delete crm").await;
    browser.sees("Delete “crm”?").await;
    accessibility::check(browser, "the delete dialog").await;
    browser.open("/w/default/new").await;
    browser.fill("Connection URL", &format!("mysql://u:{PASSWORD}@db.example.org/x?unknown=1")).await;
    browser.click("Fill in the form").await;
    browser.sees("From the pasted URL").await;
    accessibility::check(browser, "a pasted form").await;
    browser.open("/w/default/tokens").await;
    browser.fill("Name", "nightly").await;
    browser.click("Create token").await;
    browser.sees("Copy it now").await;
    accessibility::check(browser, "a fresh token").await;
    browser.open("/w/default/access").await;
    browser.fill("E-mail", "ada@example.org").await;
    browser.click("Add").await;
    browser.sees("Link for ada@example.org").await;
    accessibility::check(browser, "a fresh link").await;
}

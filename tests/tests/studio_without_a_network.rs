//! The Studio works without a network: nothing that it shows or runs is loaded from elsewhere, and its policy forbids that to
//! whatever might slip in.

use std::{collections::BTreeSet, io::Read as _, net::TcpListener, time::Duration};

use dataflow_model::Catalogue;
use dataflow_tests::{
    browser::Browser,
    studio::{LIST, PASSWORD, Studio},
};
use serde_json::{Value, json};

/// Pages that no link leads to, or only from a state that this walk does not make.
const SEEDS: [&str; 8] = [
    LIST,
    "/w/default/connections?q=nothing",
    "/w/default/new/mysql",
    "/w/default/access",
    "/workspaces",
    "/account",
    "/w/default/nowhere",
    "/link/dfc_signin_x",
];

/// Everything that the page names in an attribute that a browser loads from, or that htmx does; and its links, to be walked.
const NAMED: &str = r"
const attributes = ['src', 'srcset', 'href', 'xlink:href', 'action', 'formaction', 'data', 'poster', 'background', 'manifest',
  'hx-get', 'hx-post', 'hx-put', 'hx-patch', 'hx-delete', 'content', 'style'];
const named = [...document.querySelectorAll('*')].flatMap((element) => attributes
  .filter((name) => element.hasAttribute(name))
  .map((name) => ({ tag: element.localName, name, value: element.getAttribute(name) })));
const loads = named.filter(({ name, value }) => !['content', 'style'].includes(name) || /url\s*\(|\/\//i.test(value));
const leads = document.querySelectorAll('a[target=_blank][rel~=noreferrer]');
const docs = [...leads].map((link) => link.href);
const away = loads.filter(({ tag, value }) => new URL(value, document.baseURI).origin !== location.origin && !(tag === 'a' && docs.includes(value)));
const files = named.filter(({ tag, name }) => name === 'src' || (name.endsWith('href') && tag !== 'a'));
const links = [...document.links].filter((link) => !docs.includes(link.href)).map((link) => link.pathname + link.search);
const inline = document.querySelectorAll('style, script:not([src]), base, iframe, object, embed').length;
return { away, inline, links, docs, files: files.map(({ value }) => new URL(value, document.baseURI).pathname) };
";

/// What a file would load, by the words with which style sheets, scripts and drawings do that, if it is an address of another
/// origin. Names of XML dialects are no addresses. `more` is read as if it stood in the file.
const LOADED: &str = r#"
const [path, more, done] = arguments;
const patterns = [/url\(\s*['"]?([^'")]*)/gi, /@import\s+['"]([^'"]*)/gi, /\bfrom\s*['"]([^'"]*)['"]/g,
  /\bimport\s*\(?\s*['"]([^'"]*)/g, /['"`]((?:(?:https?|wss?):)?\/\/[^'"`\s]*)/gi, /(?:href|src)\s*=\s*['"]([^'"]*)/gi];
fetch(path).then(async (answer) => {
  const text = await answer.text() + more;
  const found = patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, address]) => address));
  const origin = (address) => { try { return new URL(address, answer.url).origin } catch { return location.origin } };
  done({ status: answer.status, length: text.length,
    away: found.filter((address) => origin(address) !== location.origin && !address.startsWith('http://www.w3.org/')) });
});
"#;

const POLICY: &str = "
const done = arguments[0];
fetch(location.href, { headers: { accept: 'text/html' } }).then((answer) => done(answer.headers.get('content-security-policy')));
";

/// Tries to load from another origin in each way that there is; the kinds of loading that the policy refused, once it has said
/// so of all or time has passed.
const TRY: &str = "
const [elsewhere, done] = arguments;
const refused = new Set();
document.addEventListener('securitypolicyviolation', (event) => {
  refused.add(event.effectiveDirective);
  if (refused.size === 7) done([...refused].sort());
});
setTimeout(() => done([...refused].sort()), 60000);
const add = (tag, attributes) => document.body.append(Object.assign(document.createElement(tag), attributes));
add('img', { src: `${elsewhere}/a.png` });
add('script', { src: `${elsewhere}/a.js` });
add('link', { rel: 'stylesheet', href: `${elsewhere}/a.css` });
add('iframe', { src: `${elsewhere}/a.html` });
add('video', { src: `${elsewhere}/a.mp4` });
new FontFace('a', `url(${elsewhere}/a.woff2)`).load().catch(() => {});
fetch(`${elsewhere}/a.json`).catch(() => {});
";

async fn ask(browser: &Browser, script: &str, arguments: Vec<Value>) -> Value {
    let answer = browser.driver().execute_async(script, arguments).await;
    answer.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// Walks from the seeds along every link, and holds each page and each of its files to the promise. What was walked.
async fn walk(browser: &Browser, seeds: &[&str]) -> BTreeSet<String> {
    let mut ahead: Vec<_> = seeds.iter().map(|path| (*path).to_owned()).collect();
    let catalogue = Catalogue::built_in().expect("sound");
    let (mut walked, mut files) = (BTreeSet::new(), BTreeSet::new());
    while let Some(page) = ahead.pop() {
        if !walked.insert(page.clone()) {
            continue;
        }
        assert!(walked.len() < 200, "the walk does not end: {walked:#?}");
        browser.open(&page).await;
        let found = browser.run(NAMED).await;
        assert_eq!((&found["away"], &found["inline"]), (&json!([]), &json!(0)), "{page}");
        // What leads away when somebody follows it: to the services' own documentation, as the catalogue has it, and to the sign-in provider
        // that the operator names.
        for link in texts(&found["docs"]) {
            assert!(
                catalogue.all().iter().any(|kind| kind.docs == link || kind.tested.source() == Some(&link)),
                "{page}: {link}"
            );
        }
        // One form is made like the other.
        let is_another_form =
            |link: &str| link.strip_prefix("/w/default/new/").is_some_and(|id| !["postgres", "mysql", "sqlite"].contains(&id));
        let goes_on = |link: &String| !link.starts_with("/sign-in/provider?") && !is_another_form(link);
        ahead.extend(texts(&found["links"]).into_iter().filter(goes_on));
        holds(&page, ask(browser, POLICY, Vec::new()).await.as_str().unwrap_or_default());
        for file in texts(&found["files"]) {
            if files.insert(file.clone()) {
                let loaded = ask(browser, LOADED, vec![json!(file), json!("")]).await;
                assert_eq!((&loaded["status"], &loaded["away"]), (&json!(200), &json!([])), "{file} of {page}");
                assert!(loaded["length"].as_u64().is_some_and(|length| length > 0), "{file}");
            }
        }
    }
    for ending in [".css", ".js", ".svg"] {
        assert!(files.iter().any(|file| file.ends_with(ending)), "no {ending} was looked into: {files:?}");
    }
    walked
}

/// A policy allows nothing that it does not name, and names no origin but the page's own.
fn holds(page: &str, policy: &str) {
    assert!(policy.split(';').any(|directive| directive.trim() == "default-src 'none'"), "{page}: {policy}");
    for directive in policy.split(';') {
        let sources: Vec<_> = directive.split_whitespace().skip(1).collect();
        assert!(matches!(sources.as_slice(), ["'self'" | "'none'"]), "{page}: {directive}");
    }
}

#[tokio::test]
async fn browser_nothing_is_loaded_from_elsewhere() {
    let studio = Studio::start();
    studio.create(&json!({"name": "shop", "type": "sqlite", "description": "Orders", "tags": ["eu"], "database": "sales.db"}));
    studio.create(&json!({"name": "crm", "type": "postgres", "host": "nowhere.invalid", "username": "u", "password": PASSWORD}));
    studio.test("shop");
    let browser = studio.browser().await;
    let walked = walk(&browser, &SEEDS).await;
    for page in ["/w/default/connections/shop", "/w/default/connections/crm/edit", "/w/default/new/postgres", "/w/default/tokens"]
    {
        assert!(walked.contains(page), "no link leads to {page}: {walked:#?}");
    }
    browser.open(LIST).await;
    browser.click("Sign out").await;
    browser.arrives("/sign-in").await;
    walk(&browser, &["/sign-in"]).await;
    // What looks for addresses finds them.
    let planted = "a { background: url(//a.example/x.png) } @import 'https://b.example/x.css'; import x from 'https://c.example/x.js'; \
                   import('https://d.example/x.js'); fetch(`https://e.example/x`); <use href=\"https://f.example/x.svg#a\"/> url(/here.png)";
    let style = browser.run("return new URL(document.querySelector('link[rel=stylesheet]').href).pathname").await;
    let found = texts(&ask(&browser, LOADED, vec![style, json!(planted)]).await["away"]);
    for host in ["a", "b", "c", "d", "e", "f"] {
        assert!(found.iter().any(|address| address.contains(&format!("//{host}.example/"))), "{host}: {found:?}");
    }
    browser.run("document.body.append(Object.assign(document.createElement('a'), { href: 'https://g.example/' }))").await;
    assert_eq!(browser.run(NAMED).await["away"][0]["value"], "https://g.example/");
    // No request to another origin was made, and the policy was not broken.
    browser.finish(&["404", "410"]).await;
}

#[tokio::test]
async fn browser_the_policy_forbids_what_would_be_loaded_from_elsewhere() {
    let studio = Studio::start();
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    elsewhere.set_nonblocking(true).expect("own socket");
    let origin = format!("http://{}", elsewhere.local_addr().expect("bound"));
    let browser = studio.browser().await;
    let refused = ask(&browser, TRY, vec![json!(origin)]).await;
    let directives = ["connect-src", "font-src", "frame-src", "img-src", "media-src", "script-src-elem", "style-src-elem"];
    assert_eq!(texts(&refused), directives);
    // A browser may open a connection ahead of the policy's word; what counts is that nothing is asked for on it.
    while let Ok((mut stream, _)) = elsewhere.accept() {
        stream.set_nonblocking(false).expect("own socket");
        stream.set_read_timeout(Some(Duration::from_millis(500))).expect("own socket");
        let mut asked = [0; 1024];
        let length = stream.read(&mut asked).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&asked[..length]), "", "something was asked for");
    }
}

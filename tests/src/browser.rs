//! A real browser on the Studio: Debian's Chromium, driven as a person would: by what is written on the page.
//!
//! Whatever it shows is searched for the planted secrets, and whatever it asked for or complained of is judged at the end.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thirtyfour::{
    ChromeCapabilities, ChromiumLikeCapabilities as _, Key, LoggingPrefsLogLevel, TypingData, WebDriver, WebElement,
    error::{WebDriverError, WebDriverResult},
};

use crate::{
    environment,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
};

/// Longest wait for a page to become what a test says it becomes. Tests of connections end within 10 s; a browser on a busy machine
/// takes longer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at the page.
const PAUSE: Duration = Duration::from_millis(25);

/// The window, in CSS pixels, unless [`Browser::look`] says otherwise.
pub const WIDE: (u32, u32) = (1440, 820);

/// Finds what is shown, in the open dialog if there is one; `said` is what a person reads or hears of an element.
const FINDERS: &str = "
const flat = (text) => (text ?? '').replace(/\\s+/g, ' ').trim();
const place = document.querySelector('dialog:modal') ?? document;
const shown = (selector) => [...place.querySelectorAll(selector)].filter((found) => found.checkVisibility());
const said = (found) => flat(found.getAttribute('aria-label') ?? found.textContent);
const labelled = (name) => shown('label').find((label) => said(label).startsWith(name))?.control
  ?? shown('[aria-label]').find((found) => found.matches('input, textarea, select') && said(found).startsWith(name));
";

/// What the clipboard holds, or why that is not told.
const CLIPBOARD: &str = "
const done = arguments[arguments.length - 1];
navigator.clipboard.readText().then(done, (error) => done(`not told: ${error}`));
";

/// A running Chromium with a fresh profile.
#[derive(Debug)]
pub struct Browser {
    driver: Option<WebDriver>,
    origin: String,
    /// Others that it may visit.
    visited: Vec<String>,
    planted: Vec<String>,
    // Ends before the folder that the browser writes to.
    _process: Process,
    _folder: TempDir,
    _port: Port,
}

impl Browser {
    /// Starts one for the server at `origin`. No page may ever hold one of the `planted` texts.
    ///
    /// # Panics
    /// If Chromium or its driver is not installed or does not start.
    pub async fn start(origin: &str, planted: &[&str]) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let driver = environment::program("chromedriver", &["/usr/bin/chromedriver"]);
        let log = folder.join("chromedriver.log");
        let mut process = Spawn::new(driver, Stop::Terminate).arg(format!("--port={}", port.number())).start(&log);
        process.wait_until("chromedriver", |process| process.log().contains("was started successfully"));
        let url = format!("http://127.0.0.1:{}", port.number());
        let opened = WebDriver::new(url, capabilities(&folder).expect("sound capabilities")).await;
        let driver = opened.unwrap_or_else(|error| panic!("Chromium did not start: {error}\n{}", process.log()));
        let planted = planted.iter().map(|text| (*text).to_owned()).collect();
        let browser = Self {
            driver: Some(driver),
            origin: origin.to_owned(),
            visited: Vec::new(),
            planted,
            _process: process,
            _folder: folder,
            _port: port,
        };
        // Longer than a script of a test waits itself.
        browser.driver().set_script_timeout(PATIENCE * 2).await.expect("the driver takes a time");
        browser.look(WIDE, "light").await;
        browser
    }

    /// Lets it go to another server, too, as people do who sign in there.
    pub fn may_visit(&mut self, origin: &str) {
        self.visited.push(origin.to_owned());
    }

    /// The driver itself.
    ///
    /// # Panics
    /// Never: it is taken when the browser is dropped.
    pub fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("taken on drop alone")
    }

    /// Opens a path of the server, or a whole address.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub async fn open(&self, path: &str) {
        let url = if path.starts_with('/') { format!("{}{path}", self.origin) } else { path.to_owned() };
        self.driver().goto(url.as_str()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        self.search_for_planted(path).await;
    }

    /// What a script returns.
    ///
    /// # Panics
    /// If it throws.
    pub async fn run(&self, script: &str) -> Value {
        let answer = self.driver().execute(format!("{FINDERS}{script}"), Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Waits until an expression of JavaScript is true.
    ///
    /// # Panics
    /// If it does not become true in time.
    pub async fn until(&self, expression: &str) {
        let begun = Instant::now();
        let script = format!("{FINDERS}return Boolean({expression})");
        loop {
            // Between two pages there is nothing to ask.
            let answer = self.driver().execute(script.as_str(), Vec::new()).await;
            if answer.as_ref().is_ok_and(|value| value.json() == &Value::Bool(true)) {
                break;
            }
            if begun.elapsed() > PATIENCE {
                let failure = answer.err().map(|error| error.to_string()).unwrap_or_default();
                panic!("not in time: {expression} {failure}\n{}", self.text().await);
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.search_for_planted(expression).await;
    }

    /// Waits until the page, or the open dialog, shows this text.
    pub async fn sees(&self, text: &str) {
        let wanted = json!(text);
        self.until(&format!("flat((place === document ? document.body : place).innerText).includes({wanted})")).await;
    }

    /// Waits until the address is this path and its page is there.
    pub async fn arrives(&self, path: &str) {
        let wanted = json!(path);
        self.until(&format!("location.pathname + location.search === {wanted} && document.readyState === 'complete'")).await;
    }

    /// Clicks the link, button, chip or fold with this name.
    pub async fn click(&self, name: &str) {
        let wanted = json!(name);
        let script = format!("return shown('a, button, summary, label').find((found) => said(found) === {wanted})");
        self.act(&script, async |element: WebElement| element.click().await).await;
    }

    /// Types into the field with this label, in place of what is there.
    pub async fn fill(&self, label: &str, text: &str) {
        let script = format!("return labelled({})", json!(label));
        self.act(&script, async |element: WebElement| {
            let all: TypingData = Key::Control + "a";
            element.send_keys(all).await?;
            element.send_keys(Key::Backspace + "").await?;
            element.send_keys(text).await
        })
        .await;
    }

    /// Chooses an option of the list with this label.
    pub async fn choose(&self, label: &str, option: &str) {
        let script =
            format!("return [...labelled({}).options].find((found) => said(found).startsWith({}))", json!(label), json!(option));
        self.act(&script, async |element: WebElement| element.click().await).await;
    }

    /// Presses keys where the focus is.
    ///
    /// # Panics
    /// If the driver refuses.
    pub async fn press(&self, keys: impl Into<TypingData>) {
        self.driver().action_chain().send_keys(keys).perform().await.expect("keys are pressed");
    }

    /// Presses keys while another one is held.
    ///
    /// # Panics
    /// If the driver refuses.
    pub async fn press_holding(&self, held: Key, keys: impl Into<TypingData>) {
        let chain = self.driver().action_chain().key_down(held.clone()).send_keys(keys).key_up(held);
        chain.perform().await.expect("keys are pressed");
    }

    /// Answers the browser's own question as soon as it is there. It must say this.
    ///
    /// # Panics
    /// If there is none in time, or another.
    pub async fn answer(&self, question: &str, yes: bool) {
        let begun = Instant::now();
        let asked = loop {
            match self.driver().get_alert_text().await {
                Ok(asked) => break asked,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "no question: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        assert!(asked.contains(question), "{asked}");
        let answered = if yes { self.driver().accept_alert().await } else { self.driver().dismiss_alert().await };
        answered.expect("it is answered");
    }

    /// All that the page shows, in one line.
    pub async fn text(&self) -> String {
        self.run("return flat(document.body.innerText)").await.as_str().unwrap_or_default().to_owned()
    }

    /// Sets the size of the window and the colour scheme, `light` or `dark`.
    pub async fn look(&self, (width, height): (u32, u32), scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        let features =
            json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.tell("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// From now on pages come as over a slow line, 20 kB a second, and styles and scripts that came before do not: so what is parsed is
    /// shown before the rest is there.
    pub async fn load_slowly(&self) {
        let line = json!({"offline": false, "latency": 20, "downloadThroughput": 20_000, "uploadThroughput": 20_000});
        self.tell("Network.emulateNetworkConditions", line).await;
    }

    /// Lets pages write to the clipboard and tests read it, or refuses both.
    pub async fn permit_copying(&self, permitted: bool) {
        let setting = if permitted { "granted" } else { "denied" };
        for name in ["clipboard-read", "clipboard-write"] {
            let asked = json!({"permission": {"name": name}, "setting": setting, "origin": self.origin});
            self.tell("Browser.setPermission", asked).await;
        }
    }

    /// The text in the clipboard, which must have been permitted.
    ///
    /// # Panics
    /// If it holds none.
    pub async fn clipboard(&self) -> String {
        let answer = self.driver().execute_async(CLIPBOARD, Vec::new()).await;
        let answer = answer.unwrap_or_else(|error| panic!("the clipboard: {error}"));
        answer.json().as_str().expect("a text").to_owned()
    }

    /// Ends the walk: no complaint on the console, no breach of the content policy, no request to another origin. The answers
    /// `expected` of the server ("422") may have been noted on the console.
    ///
    /// # Panics
    /// If there was any.
    pub async fn finish(self, expected: &[&str]) {
        // In the browser's words, and in htmx's.
        let noted =
            |status| [format!("responded with a status of {status} "), format!("Response Status Error Code {status} from ")];
        let harmless: Vec<_> = expected.iter().flat_map(noted).collect();
        let console = self.driver().browser_log().await.expect("the console's log");
        let complaints: Vec<_> = console
            .iter()
            .filter(|entry| matches!(entry.level.as_str(), "SEVERE" | "WARNING"))
            .filter(|entry| !harmless.iter().any(|text| entry.message.contains(text)))
            .map(|entry| &entry.message)
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let requests = self.requests().await;
        assert!(requests.iter().any(|url| url.starts_with(&self.origin)), "requests are noted");
        let own: Vec<_> = self.visited.iter().chain([&self.origin]).collect();
        let foreign: Vec<_> = requests.iter().filter(|url| !own.iter().any(|origin| url.starts_with(*origin))).collect();
        assert!(foreign.is_empty(), "{foreign:#?}");
    }

    /// Every address that a page asked the network for.
    async fn requests(&self) -> Vec<String> {
        let log = self.driver().get_log("performance").await.expect("the network's log");
        let sent = log.iter().filter_map(|entry| serde_json::from_str::<Value>(&entry.message).ok());
        let urls = sent.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let urls = urls.filter_map(|event| event["message"]["params"]["request"]["url"].as_str().map(ToOwned::to_owned));
        urls.filter(|url| url.starts_with("http") || url.starts_with("ws")).collect()
    }

    async fn tell(&self, command: &str, parameters: Value) {
        let told = self.driver().cdp().send_raw(command, parameters).await;
        told.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    /// Does something with the element that a script finds, as soon as it is there and lets it be done.
    async fn act(&self, script: &str, action: impl AsyncFn(WebElement) -> WebDriverResult<()>) {
        let begun = Instant::now();
        loop {
            match self.find(script).await {
                Ok(element) => match action(element).await {
                    Ok(()) => break,
                    Err(error) if begun.elapsed() > PATIENCE => panic!("{script}: {error}"),
                    Err(_) => {}
                },
                Err(error) if begun.elapsed() > PATIENCE => panic!("{script}: {error}\n{}", self.text().await),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn find(&self, script: &str) -> Result<WebElement, WebDriverError> {
        self.driver().execute(format!("{FINDERS}{script}"), Vec::new()).await?.element()
    }

    async fn search_for_planted(&self, after: &str) {
        // A page that is just being left, or that asks a question, is looked at once it is there.
        let Ok(source) = self.driver().source().await else { return };
        for planted in &self.planted {
            assert!(!source.contains(planted), "the planted secret is in the page after {after}");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver's process takes the session with it; a farewell would block.
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
    }
}

fn capabilities(folder: &TempDir) -> WebDriverResult<ChromeCapabilities> {
    let mut capabilities = ChromeCapabilities::new();
    capabilities.set_binary(&mortal_chromium(folder))?;
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--lang=en",
        // A mouse, which the headless one does not have: what waits for a pointer over it waits here too.
        "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
    ] {
        capabilities.add_arg(argument)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", folder.join("profile").display()))?;
    for log in ["browser", "performance"] {
        capabilities.set_logging_prefs(log, LoggingPrefsLogLevel::All)?;
    }
    Ok(capabilities)
}

/// A Chromium that ends with its driver, even with one that is killed.
fn mortal_chromium(folder: &TempDir) -> String {
    let chromium = environment::program("chromium", &["/usr/bin/chromium"]);
    let script = folder.join("chromium");
    let text = format!("#!/bin/sh\nexec setpriv --pdeathsig=KILL -- {} \"$@\"\n", chromium.display());
    fs::write(&script, text).expect("own folder");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("own file");
    script.display().to_string()
}

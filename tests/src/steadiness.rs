//! Looks for what moves under a reader's eyes while a page loads: the cumulative layout shift, <https://web.dev/articles/cls>.

use std::fmt;

use serde_json::Value;

use crate::browser::Browser;

/// How much may move: less than one line of text that comes late on top of a short page, which moves it by 0.015 in a wide window.
pub const MOST: f64 = 0.01;

/// Tells what has moved since the page was opened and what goes on moving for a moment after it is there, but for what somebody's own act moved.
const MOVED: &str = "
const done = arguments[arguments.length - 1];
const short = (node) => (node?.outerHTML ?? node?.textContent ?? 'something that is gone').replace(/\\s+/g, ' ').slice(0, 120);
const place = ({ x, y, width, height }) => [x, y, width, height].map(Math.round).join(' ');
const moved = [];
const note = (entries) => moved.push(...entries.filter((entry) => !entry.hadRecentInput));
new PerformanceObserver((list) => note(list.getEntries())).observe({ type: 'layout-shift', buffered: true });
setTimeout(() => done({
  score: moved.reduce((sum, { value }) => sum + value, 0),
  what: moved.flatMap(({ value, sources }) =>
    sources.map(({ node, previousRect, currentRect }) => `${value.toFixed(4)}: ${place(previousRect)} to ${place(currentRect)}: ${short(node)}`)),
}), 250);
";

/// How much of a page moved, and what.
#[derive(Debug)]
pub struct Moved {
    pub score: f64,
    pub what: Vec<String>,
}

impl fmt::Display for Moved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "it moved by {:.4}, at most {MOST} is steady: {:#?}", self.score, self.what)
    }
}

/// What moved in the page that was just opened.
///
/// # Panics
/// If the browser does not tell.
pub async fn moved(browser: &Browser) -> Moved {
    let answer = browser.driver().execute_async(MOVED, Vec::new()).await;
    let answer = answer.unwrap_or_else(|error| panic!("what moved: {error}")).json().clone();
    let what = answer["what"].as_array().expect("a list").iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect();
    Moved { score: answer["score"].as_f64().expect("a number"), what }
}

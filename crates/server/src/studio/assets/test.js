// Runs tests of connections and shows their steps as they happen. The words come from the server; this places them as text.

// The names of the files hold their hashes, so the other one is found in the page; it is the same module, and runs once.
const { fault, iconOf, refusal, said, signInAgain } = await import(document.querySelector('script[src*="/studio-"]').src);

/** Reads server-sent events from an answer: an EventSource cannot POST. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value.replaceAll("\r\n", "\n");
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const event = { name: "message", data: "" };
      for (const line of rest.slice(0, end).split("\n")) {
        if (line.startsWith("event:")) event.name = line.slice(6).trim();
        if (line.startsWith("data:")) event.data += line.slice(5).trim();
      }
      rest = rest.slice(end + 2);
      if (event.data) yield event;
    }
  }
}

/** Runs one test; `watcher` is told of steps, then of one report or one refusal. */
async function run(url, body, watcher, signal) {
  let reported = false;
  // The answer begins once the test has a place; of a wait that nobody would notice nothing is said.
  const waiting = setTimeout(() => watcher.waits?.(), 400);
  try {
    const response = await fetch(url, { method: "POST", body, signal, headers: { Accept: "text/event-stream" } });
    clearTimeout(waiting);
    if (!response.ok) {
      const { message, hint, errors } = refusal(response.status, response.headers.get("content-type"), await response.text());
      watcher.refused(message, response.status === 401 ? signInAgain() : hint, errors);
      return;
    }
    watcher.begins?.();
    for await (const { name, data } of events(response)) {
      if (name === "step") watcher.step(JSON.parse(data));
      if (name === "report") { reported = true; watcher.report(JSON.parse(data)); }
    }
    if (!reported) watcher.refused("The test ended without a report.", "Try again.", []);
  } catch (error) {
    if (reported) return;
    if (error.name === "AbortError") watcher.cancelled();
    else watcher.refused("The server could not be reached.", "Look at the network, then try again.", []);
  } finally {
    clearTimeout(waiting);
  }
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const milliseconds = (ms) => (ms === undefined ? "" : ms < 0.05 ? "< 0.1 ms" : ms < 1 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`);
const looks = { ok: ["check", "ok"], failed: ["x", "bad"], skipped: ["minus", "none"], running: ["spin", "none"], waiting: ["dot", "none"] };

/** The panel beside the form and on a connection's page. */
class Panel {
  constructor(root) {
    this.root = root;
    this.items = [...root.querySelectorAll("[data-step]")];
    this.headline = root.querySelector("[data-headline]");
    this.outcome = root.querySelector("[data-outcome]");
    this.cancel = root.querySelector("[data-cancel]");
  }

  show(item, look, detail = "", time = "") {
    const [icon, tone] = looks[look];
    iconOf(item, icon).classList.toggle("turning", look === "running");
    item.querySelector("[data-icon]").className = tone;
    item.querySelector("[data-label]").className = look === "ok" || look === "failed" ? "" : "waits";
    item.querySelector("[data-d]").textContent = detail;
    item.querySelector("[data-t]").textContent = time;
  }

  say(tone, words) {
    this.headline.className = `status ${tone}`;
    this.headline.replaceChildren(element("span", { className: "dot" }), element("span", { textContent: words }));
  }

  begin() {
    for (const item of this.items) if (item.dataset.rare !== undefined) item.hidden = true;
    const first = this.items.find((item) => !item.hidden);
    for (const item of this.items) this.show(item, item === first ? "running" : "waiting");
    this.outcome.replaceChildren();
    this.stopped = false;
    this.say("none busy", "Running");
    this.cancel.hidden = false;
  }

  waits() {
    this.say("none busy", "Waiting for its turn");
  }

  begins() {
    this.say("none busy", "Running");
  }

  end() {
    this.cancel.hidden = true;
    for (const item of this.items) if (item.querySelector(".turning")) this.show(item, "waiting");
  }

  step({ step, status, detail, duration_ms }) {
    const place = this.items.findIndex((item) => item.dataset.step === step);
    if (place < 0) return;
    this.items[place].hidden = false;
    this.show(this.items[place], status, detail ?? (status === "skipped" ? "not tried" : ""), milliseconds(duration_ms));
    const next = this.items[place + 1];
    if (status === "failed") this.stopped = true;
    if (next && !this.stopped) this.show(next, "running");
  }

  report(report) {
    for (const step of report.steps) this.step(step);
    this.end();
    const { headline } = report.shown;
    this.say(headline.tone, headline.words);
    const { doubt } = report.shown;
    showTested(report.shown);
    if (report.error) this.explain(report);
    else if (doubt) this.outcome.replaceChildren(element("div", { className: "callout warn" }, element("b", { className: "warn", textContent: doubt.message }), element("p", { textContent: doubt.hint })));
    else if (report.server_version) this.outcome.replaceChildren(element("p", { className: "callout okk", textContent: report.server_version }));
  }

  explain({ error, status }) {
    const tone = status === "unproven" ? "warn" : "bad";
    const callout = element("div", { className: `callout ${tone}` }, element("b", { className: tone, textContent: error.message }), element("p", { textContent: error.hint }));
    if (error.certificates?.length) callout.append(chain(error.certificates, error.code === "certificate_untrusted"));
    this.outcome.replaceChildren(callout);
    const field = error.field && document.querySelector(`form#connection [name="${CSS.escape(error.field)}"]`);
    if (field) fault(field, error.message);
  }

  refused(message, hint, errors) {
    this.end();
    this.say("bad", "Not run");
    const list = element("ul");
    for (const { field, message: text } of errors) {
      const control = document.querySelector(`form#connection [name="${CSS.escape(field)}"]`);
      if (control) fault(control, text);
      const label = control?.closest(".control")?.querySelector("label, legend")?.firstChild?.textContent.trim();
      list.append(element("li", { textContent: `${label ?? field} ${text}` }));
    }
    const callout = element("div", { className: "callout bad" }, element("b", { className: "bad", textContent: message }), element("p", {}, errors.length ? "Correct what is marked, then test again." : hint));
    if (errors.length) callout.append(list);
    this.outcome.replaceChildren(callout);
  }

  cancelled() {
    this.end();
    this.say("none", "Cancelled");
  }
}

/** A refused chain, leaf first. Where it would help, one can be pinned: its PEM goes into the field of the CA. */
function chain(certificates, untrusted) {
  const ca = document.querySelector('form#connection [name="tls.ca"]');
  const box = element("div", { className: "chain" });
  for (const certificate of certificates) {
    const facts = element("dl");
    const rows = [["For", certificate.names.join(", ") || certificate.subject], ["By", certificate.issuer], ["Valid", `${certificate.not_before.slice(0, 10)} to ${certificate.not_after.slice(0, 10)}`], ["SHA-256", certificate.fingerprint]];
    for (const [term, text] of rows) facts.append(element("dt", { textContent: term }), element("dd", { textContent: text, className: term === "SHA-256" ? "mono" : "" }));
    box.append(facts);
    if (ca && untrusted && certificate.pinnable) {
      const pin = element("button", { type: "button", className: "btn small", textContent: "Pin this certificate" });
      pin.addEventListener("click", () => {
        ca.value = `${certificate.pem.trim()}\n`;
        ca.dispatchEvent(new Event("input", { bubbles: true }));
        ca.focus();
        said("The certificate stands in the field Server CA. Compare its fingerprint with the server's, then test again.");
      });
      box.append(pin);
    }
  }
  return box;
}

/** The state over the settings and the last checks, on a connection's own page, once a test of it is over. */
function showTested({ status, detail }) {
  const place = document.querySelector("[data-own-status]");
  if (!place) return;
  place.className = `status ${status.tone}`;
  place.querySelector("[data-words]").textContent = status.words;
  document.querySelector("[data-own-detail]").textContent = detail;
  // The check is kept once its report is told, some milliseconds later.
  setTimeout(() => window.htmx.ajax("GET", location.href, { target: "#checks", select: "#checks", swap: "outerHTML" }), 500);
}

let underWay = null;

async function watchInPanel(url, body, button) {
  const root = document.querySelector("[data-test-panel]");
  if (!root) return;
  underWay?.abort();
  const control = new AbortController();
  underWay = control;
  const panel = new Panel(root);
  root.scrollIntoView({ block: "nearest" });
  const label = button.querySelector("span");
  const words = label.textContent;
  label.textContent = "Testing";
  button.setAttribute("aria-busy", "true");
  panel.begin();
  panel.cancel.onclick = () => control.abort();
  await run(url, body, panel, control.signal);
  label.textContent = words;
  button.removeAttribute("aria-busy");
  if (underWay === control) underWay = null;
}

/* a form that is drawn again because its change did not pass its test: what that has found stands in the panel */
function showReported() {
  const told = document.querySelector("[data-reported]");
  const root = document.querySelector("[data-test-panel]");
  if (!told || !root) return;
  const report = JSON.parse(told.dataset.reported);
  told.remove();
  new Panel(root).report(report);
}

/* while a change is tested, the button that sends it says so */
document.addEventListener("htmx:beforeRequest", ({ detail: { elt } }) => {
  const words = elt.matches("form") && elt.querySelector('[name="test_first"]')?.checked && elt.querySelector("[data-busy]");
  if (!words) return;
  const before = words.textContent;
  words.textContent = words.dataset.busy;
  elt.addEventListener("htmx:afterRequest", () => { words.textContent = before; }, { once: true });
});

/** As many at a time as the server runs for one workspace. */
const AT_A_TIME = 4;
/** The tests of rows that wait or run, by the connection's name; those that wait, in their order; and how many run. */
const underTest = new Map();
const waiting = [];
let running = 0;

/** A button that starts what it stops. */
function drawButton(button, stops, words, label) {
  iconOf(button, stops ? "x" : "play");
  button.querySelector("span").textContent = words;
  if (label) button.setAttribute("aria-label", label); else button.removeAttribute("aria-label");
}

/** The test of a row. A search may draw the row again meanwhile, so it is looked up whenever there is something to show. */
class RowTest {
  constructor(row) {
    this.name = row.dataset.name;
    this.url = row.querySelector("[data-test-row]").dataset.testRow;
    this.control = new AbortController();
    this.over = new Promise((resolve) => { this.end = resolve; });
    underTest.set(this.name, this);
    waiting.push(this);
    this.place("none busy", "Waiting", "for its turn");
    takeTurns();
  }

  async begin() {
    running += 1;
    this.place("none busy", "Testing", "begun");
    await run(this.url, new URLSearchParams(), this, this.control.signal);
    running -= 1;
    this.close();
    takeTurns();
  }

  cancel() {
    const place = waiting.indexOf(this);
    if (place < 0) { this.control.abort(); return; }
    waiting.splice(place, 1);
    this.cancelled();
    this.close();
  }

  close() {
    underTest.delete(this.name);
    this.draw();
    this.end();
  }

  place(tone, words, detail, title = "", isText = false) {
    this.shown = { tone, words, detail, title, isText };
    this.draw();
  }

  draw() {
    const row = document.querySelector(`tr[data-name="${CSS.escape(this.name)}"]`);
    if (!row) return;
    const { tone, words, detail, title, isText } = this.shown;
    // While its password is being rotated, what a test says is not its state.
    const status = row.querySelector("[data-status]");
    if (status) {
      status.className = `status ${tone}`;
      row.querySelector("[data-words]").textContent = words;
    }
    const line = row.querySelector("[data-detail]");
    line.textContent = detail;
    line.classList.toggle("num", !isText);
    if (title) line.title = title; else line.removeAttribute("title");
    const runs = underTest.has(this.name);
    drawButton(row.querySelector("[data-test-row]"), runs, runs ? "Cancel" : "Test", runs ? `Cancel the test of ${this.name}` : `Test ${this.name}`);
  }

  step({ step, status }) {
    if (status !== "ok") return;
    const label = document.querySelector(`[data-step-labels] [data-step="${CSS.escape(step)}"]`);
    if (label) this.place("none busy", "Testing", label.textContent);
  }
  report({ shown, error }) {
    this.place(shown.status.tone, shown.status.words, shown.detail, error ? `${error.message} ${error.hint}` : "");
    said(`${this.name}: ${shown.status.words}`);
  }
  refused(message, hint) {
    this.place("bad", "Not run", typeof hint === "string" ? `${message} ${hint}` : message, "", true);
    said(`${this.name}: ${message}`);
  }
  cancelled() {
    this.stopped = true;
    this.place("none", "Cancelled", "just now");
    said(`${this.name}: Cancelled`);
  }
}

function takeTurns() {
  while (running < AT_A_TIME && waiting.length) waiting.shift().begin();
}

const testOf = (row) => underTest.get(row.dataset.name) ?? new RowTest(row);
const connections = (count) => (count === 1 ? "1 connection" : `${count} connections`);

/* selection */
let selected = null;

async function testSelected() {
  selected = [...document.querySelectorAll("[data-select]:checked")].map((box) => testOf(box.closest("tr")));
  showSelection();
  said(`Testing ${connections(selected.length)}.`);
  await Promise.all(selected.map((test) => test.over));
  const tested = selected.filter((test) => !test.stopped);
  const well = tested.filter((test) => test.shown.tone === "ok").length;
  said(`${tested.length < selected.length ? `Cancelled: tested ${tested.length} of ${connections(selected.length)}` : `Tested ${connections(tested.length)}`}, ${well} healthy.`);
  selected = null;
  showSelection();
}

function showSelection() {
  const button = document.querySelector("[data-test-selected]");
  if (!button) return;
  const count = document.querySelectorAll("[data-select]:checked").length;
  button.disabled = !selected && count === 0;
  if (selected) drawButton(button, true, "Cancel", "Cancel the tests");
  else drawButton(button, false, count ? `Test ${count} selected` : "Test selected");
  const all = document.querySelector("[data-select-all]");
  if (all) { all.checked = count > 0 && count === document.querySelectorAll("[data-select]").length; all.indeterminate = count > 0 && !all.checked; }
}

document.addEventListener("change", ({ target }) => {
  if ("selectAll" in target.dataset) document.querySelectorAll("[data-select]").forEach((box) => { box.checked = target.checked; });
  if ("selectAll" in target.dataset || "select" in target.dataset) showSelection();
});

/* rows that were drawn again show what goes on in them */
document.addEventListener("htmx:afterSettle", () => { for (const test of underTest.values()) test.draw(); showSelection(); showReported(); });
showSelection();
showReported();

document.addEventListener("click", async ({ target, detail }) => {
  const button = target.closest("button");
  if (!button) return;
  if ("testForm" in button.dataset) {
    if (button.getAttribute("aria-busy")) return;
    const form = button.form ?? document.getElementById("connection");
    await watchInPanel(form.dataset.test, new URLSearchParams(new FormData(form)), button);
  } else if (button.dataset.testStored) {
    if (button.getAttribute("aria-busy")) return;
    await watchInPanel(button.dataset.testStored, new URLSearchParams(), button);
  }
  // The second half of a double click would stop what the first has started.
  if (detail > 1) return;
  if (button.dataset.testRow) {
    const row = button.closest("tr");
    const test = underTest.get(row.dataset.name);
    if (test) test.cancel(); else testOf(row);
  } else if ("testSelected" in button.dataset) {
    if (selected) selected.forEach((test) => test.cancel()); else await testSelected();
  }
});

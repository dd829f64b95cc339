// Runs tests of connections and shows their steps as they happen. The words come from the server; this places them as text.

const said = (text) => { document.getElementById("said").textContent = text; };

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
  try {
    const response = await fetch(url, { method: "POST", body, signal, headers: { Accept: "text/event-stream" } });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      watcher.refused(problem.detail ?? `The server answered ${response.status}.`, problem.hint ?? "Try again.", problem.errors ?? []);
      return;
    }
    for await (const { name, data } of events(response)) {
      if (name === "step") watcher.step(JSON.parse(data));
      if (name === "report") { reported = true; watcher.report(JSON.parse(data)); }
    }
    if (!reported) watcher.refused("The test ended without a report.", "Try again.", []);
  } catch (error) {
    if (error.name === "AbortError") watcher.cancelled();
    else watcher.refused("The server could not be reached.", "Look at the network, then try again.", []);
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
    const drawing = item.querySelector("svg");
    const use = drawing.querySelector("use");
    use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${icon}`);
    drawing.classList.toggle("turning", look === "running");
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
    this.items.forEach((item, place) => this.show(item, place === 0 ? "running" : "waiting"));
    this.outcome.replaceChildren();
    this.stopped = false;
    this.say("none busy", "Running");
    this.cancel.hidden = false;
  }

  end() {
    this.cancel.hidden = true;
    for (const item of this.items) if (item.querySelector(".turning")) this.show(item, "waiting");
  }

  step({ step, status, detail, duration_ms }) {
    const place = this.items.findIndex((item) => item.dataset.step === step);
    if (place < 0) return;
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
    if (report.error) this.explain(report);
    else if (report.server_version) this.outcome.replaceChildren(element("p", { className: "callout okk", textContent: report.server_version }));
  }

  explain({ error, status }) {
    const tone = status === "unproven" ? "warn" : "bad";
    const callout = element("div", { className: `callout ${tone}` }, element("b", { className: tone, textContent: error.message }), element("p", { textContent: error.hint }));
    if (error.certificates?.length) callout.append(chain(error.certificates));
    this.outcome.replaceChildren(callout);
    const field = error.field && document.querySelector(`form#connection [name="${CSS.escape(error.field)}"]`);
    if (field) mark(field, error.message);
  }

  refused(message, hint, errors) {
    this.end();
    this.say("bad", "Not run");
    const list = element("ul");
    for (const { field, message: text } of errors) {
      const control = document.querySelector(`form#connection [name="${CSS.escape(field)}"]`);
      if (control) mark(control, text);
      const label = control?.closest(".control")?.querySelector("label, legend")?.firstChild?.textContent.trim();
      list.append(element("li", { textContent: `${label ?? field} ${text}` }));
    }
    const callout = element("div", { className: "callout bad" }, element("b", { className: "bad", textContent: message }), element("p", { textContent: errors.length ? "Correct what is marked, then test again." : hint }));
    if (errors.length) callout.append(list);
    this.outcome.replaceChildren(callout);
  }

  cancelled() {
    this.end();
    this.say("none", "Cancelled");
  }
}

/** Puts a refusal at its field; typing there takes it away. */
function mark(field, text) {
  const control = field.closest(".control");
  const id = `${field.id}-test`;
  document.getElementById(id)?.remove();
  control.append(element("p", { id, className: "fault", textContent: text }));
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") ?? ""} ${id}`.trim());
  for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  field.addEventListener("input", () => {
    document.getElementById(id)?.remove();
    field.removeAttribute("aria-invalid");
    field.setAttribute("aria-describedby", (field.getAttribute("aria-describedby") ?? "").replace(id, "").trim());
  }, { once: true });
}

/** A refused chain, leaf first. Each can be pinned: its PEM goes into the field of the CA. */
function chain(certificates) {
  const ca = document.querySelector('form#connection [name="tls.ca"]');
  const box = element("div", { className: "chain" });
  for (const certificate of certificates) {
    const facts = element("dl");
    const rows = [["For", certificate.names.join(", ") || certificate.subject], ["By", certificate.issuer], ["Valid", `${certificate.not_before.slice(0, 10)} to ${certificate.not_after.slice(0, 10)}`], ["SHA-256", certificate.fingerprint]];
    for (const [term, text] of rows) facts.append(element("dt", { textContent: term }), element("dd", { textContent: text, className: term === "SHA-256" ? "mono" : "" }));
    box.append(facts);
    if (ca) {
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

/** The status cell of a row. */
class RowWatcher {
  constructor(row) {
    this.row = row;
    this.status = row.querySelector("[data-status]");
    this.words = row.querySelector("[data-words]");
    this.detail = row.querySelector("[data-detail]");
  }

  place(tone, words, detail) {
    this.status.className = `status ${tone}`;
    this.words.textContent = words;
    this.detail.textContent = detail;
    this.detail.removeAttribute("title");
  }

  begin() { this.place("none busy", "Testing", "resolve"); }
  step({ step }) { this.detail.textContent = step.replaceAll("_", " "); }
  report({ shown, error }) {
    this.place(shown.status.tone, shown.status.words, shown.detail);
    if (error) this.detail.title = `${error.message} ${error.hint}`;
    said(`${this.row.dataset.name}: ${shown.status.words}`);
  }
  refused(message) { this.place("bad", "Not run", message); said(`${this.row.dataset.name}: ${message}`); }
  cancelled() { this.place("none", "Cancelled", ""); }
}

let underWay = null;

async function watchInPanel(url, body, button) {
  const root = document.querySelector("[data-test-panel]");
  if (!root) return;
  underWay?.abort();
  const control = new AbortController();
  underWay = control;
  const panel = new Panel(root);
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

async function testRow(row) {
  const button = row.querySelector("[data-test-row]");
  const watcher = new RowWatcher(row);
  button.disabled = true;
  watcher.begin();
  await run(button.dataset.testRow, new URLSearchParams(), watcher);
  button.disabled = false;
}

/** As many at a time as the server runs for one workspace. */
const AT_A_TIME = 4;

async function testRows(rows) {
  const waiting = [...rows];
  const worker = async () => { while (waiting.length) await testRow(waiting.shift()); };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  said(`Tested ${rows.length} connections.`);
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if ("testForm" in button.dataset) {
    if (button.getAttribute("aria-busy")) return;
    const form = button.form ?? document.getElementById("connection");
    document.querySelector("[data-test-panel]")?.scrollIntoView({ block: "nearest" });
    await watchInPanel(form.dataset.test, new URLSearchParams(new FormData(form)), button);
  } else if (button.dataset.testStored) {
    if (button.getAttribute("aria-busy")) return;
    await watchInPanel(button.dataset.testStored, new URLSearchParams(), button);
  } else if (button.dataset.testRow) {
    await testRow(button.closest("tr"));
  } else if ("testSelected" in button.dataset) {
    button.disabled = true;
    await testRows([...document.querySelectorAll("[data-select]:checked")].map((box) => box.closest("tr")));
    button.disabled = !document.querySelector("[data-select]:checked");
  }
});

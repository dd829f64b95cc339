// Keyboard, dialogs, copying, the guard of unsaved changes, and the form's small helps. Pages work without most of it.

/** Tells those who listen to the page. */
export const said = (text) => { const place = document.getElementById("said"); if (place) place.textContent = text; };
/** Gives the first drawing in an element another icon of the sprite. */
export function iconOf(element, icon) {
  const use = element.querySelector("svg use");
  use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${icon}`);
  return use.parentElement;
}
const typing = (target) => target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");

/* keyboard: `/` searches, `n` is new, `e` edits, arrows walk the rows, or the links of an open menu */
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog:modal")) return;
  const { target, key } = event;
  if (key === "Escape" && target.id === "search") {
    if (target.value) { target.value = ""; target.dispatchEvent(new Event("input", { bubbles: true })); } else target.blur();
    return;
  }
  if (key === "Escape") {
    const menu = document.querySelector("details.space[open]");
    if (!menu) return;
    // It may stand in one that the browser closes by the same key.
    event.preventDefault();
    if (menu.contains(target)) menu.querySelector("summary").focus();
    menu.open = false;
    return;
  }
  const menu = target.closest("details.space[open]");
  const rows = [...(menu?.querySelectorAll("a") ?? document.querySelectorAll("[data-row]"))];
  const takesArrows = target.type !== "radio" && (target.id === "search" || !typing(target));
  if (["ArrowDown", "ArrowUp"].includes(key) && rows.length && takesArrows) {
    const here = rows.findIndex((row) => (row.closest("tr") ?? row).contains(target));
    const next = here < 0 ? 0 : here + (key === "ArrowDown" ? 1 : -1);
    const before = menu?.querySelector("summary") ?? document.getElementById("search");
    if (next < 0) before?.focus(); else rows[Math.min(next, rows.length - 1)].focus();
    event.preventDefault();
    return;
  }
  // A letter chooses an option of a list; a stroke never does.
  if (typing(target) && !(key === "/" && target.matches("select"))) return;
  const wanted = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  if (wanted.matches("input")) { wanted.focus(); wanted.select(); } else wanted.click();
});

/* copying */
document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy], [data-copy-shown]");
  if (!button) return;
  const source = button.dataset.copy ? document.getElementById(button.dataset.copy)
    : [...button.closest(".snips").querySelectorAll("pre")].find((pre) => getComputedStyle(pre).display !== "none");
  const label = button.querySelector("span");
  const words = label.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    label.textContent = "Copied";
    said("Copied.");
  } catch {
    getSelection().selectAllChildren(source);
    label.textContent = "Selected";
    said("Copying is not allowed here. The text is selected: copy it with the keyboard.");
  }
  setTimeout(() => { label.textContent = words; }, 1600);
});

/* dialogs: they come from the server with their impact known; where something has to be typed, that wakes the button */
let opener = null;
document.addEventListener("htmx:beforeRequest", ({ detail }) => { if (!detail.elt.closest("dialog")) opener = detail.elt; });

function openDialog(root) {
  const dialog = root.querySelector?.("dialog[data-dialog]") ?? (root.matches?.("dialog[data-dialog]") ? root : null);
  if (!dialog) return;
  const confirm = dialog.querySelector("[data-confirm]");
  const wake = () => { dialog.querySelector("[data-wakes]").disabled = confirm.value !== confirm.dataset.confirm; };
  confirm?.addEventListener("input", wake);
  if (confirm) wake();
  if (!dialog.closest("#dialog-place")) return;
  const page = [...document.querySelectorAll("dialog[data-dialog]")].find((other) => !other.closest("#dialog-place"));
  if (page) { // The page is this question, which is drawn anew: one of it is enough.
    page.replaceWith(dialog);
    (confirm ?? dialog.querySelector("[data-close]")).focus();
    return;
  }
  dialog.removeAttribute("open");
  dialog.showModal();
  (confirm ?? dialog.querySelector("[data-close]")).focus();
  dialog.addEventListener("close", () => { dialog.remove(); opener?.focus(); });
  dialog.querySelector("[data-close]").addEventListener("click", (event) => { event.preventDefault(); dialog.close(); });
}

/* questions before what cannot be undone */
document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.ask;
  if (question && !window.confirm(question)) event.preventDefault();
});

/* unsaved changes */
const state = (form) => JSON.stringify([...new FormData(form)].filter(([name]) => name !== "snippet"));
const guarded = new WeakMap();
let leaving = false;

function changed() {
  const form = document.querySelector("form[data-guarded]");
  return form && !leaving && guarded.has(form) && guarded.get(form) !== state(form);
}
addEventListener("beforeunload", (event) => { if (changed()) event.preventDefault(); });

/* what was typed into a secret stays in the browser when the server draws the form again: the answer never holds it */
const kept = new Map();
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  kept.clear();
  detail.target.querySelectorAll("[data-kept]").forEach((field) => kept.set(field.name, field.value));
});

/* the form */
const isLoopback = (host) => /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host.trim());

/** Stands in the snippets of a connection that has no name yet. */
const PLACEHOLDER = "connection_name";

function prepareForm(form, drawnAgain) {
  if (!guarded.has(form)) guarded.set(form, drawnAgain || form.hasAttribute("data-unsaved") ? "" : state(form));
  const snippets = [...form.querySelectorAll("[data-snippet]")].map((pre) => [pre, pre.textContent]);
  const name = form.querySelector("[data-names]");
  const showName = () => { for (const [pre, text] of snippets) pre.textContent = text.replaceAll(PLACEHOLDER, name?.value || PLACEHOLDER); };
  showName();
  const endpoints = [...form.querySelectorAll("[data-endpoint]")];
  const before = endpoints.map((field) => field.value);
  const mode = form.querySelector("[data-on-loopback]");
  const host = form.elements.namedItem("host");
  let chosen = form.querySelector('[name="etag"]') !== null;
  mode?.addEventListener("change", (event) => { if (event.isTrusted) chosen = true; });
  form.addEventListener("input", ({ target }) => {
    if (target === name) showName();
    if (target === host && mode && !chosen) {
      const usual = [...mode.options].find((option) => option.defaultSelected) ?? mode.options[0];
      mode.value = isLoopback(host.value) ? mode.dataset.onLoopback : usual.value;
    }
    const moved = endpoints.some((field, place) => field.value !== before[place]);
    for (const secret of form.querySelectorAll("fieldset[data-secret]:has([value=keep])")) {
      const note = secret.querySelector("[data-again]");
      note.hidden = !(moved && secret.querySelector("[value=keep]").checked);
    }
    const words = form.querySelector("[data-tls]");
    if (words && mode) words.textContent = mode.selectedOptions[0].hasAttribute("data-weak") ? "TLS not verified" : "TLS verified";
  });
  form.addEventListener("submit", () => { leaving = true; });
  form.querySelector("[data-leave]")?.addEventListener("click", (event) => {
    if (changed() && !window.confirm("Leave without saving? What you changed is lost.")) event.preventDefault(); else leaving = true;
  });
}

function prepare(root) {
  root.querySelectorAll?.("[data-kept]").forEach((field) => { if (kept.has(field.name)) field.value = kept.get(field.name); });
  kept.clear();
  const form = root.querySelector?.("form[data-guarded]");
  // What the server drew in answer to a form was typed or pasted, and is not saved.
  if (form && !guarded.has(form)) { leaving = false; prepareForm(form, root !== document); }
  root.querySelector?.("[data-focus]")?.focus();
  openDialog(root);
}

/* a search is asked for while it is typed; the change when it is left would ask again, and draw the rows anew under a click */
document.addEventListener("change", (event) => { if (event.target.id === "search") event.stopPropagation(); }, true);

/* rows that are drawn anew under the focus keep it: at the same part of the same row, or else at the first of those that are there now */
let held = null;
const parts = (row) => [...row.querySelectorAll("a, button, input")];
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const focused = document.activeElement;
  const row = focused.closest("tr[data-name]");
  held = detail.target.contains(focused) ? { name: row?.dataset.name ?? "", place: row ? parts(row).indexOf(focused) : 0 } : null;
});
document.addEventListener("htmx:afterSwap", () => {
  if (!held) return;
  const row = document.querySelector(`tr[data-name="${CSS.escape(held.name)}"]`);
  const to = row ? parts(row)[held.place] : document.querySelector("[data-row]") ?? document.getElementById("search");
  held = null;
  to?.focus();
});

/* an address holds only what is chosen */
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.verb !== "get") return;
  for (const [name, value] of [...detail.formData]) if (value === "") detail.formData.delete(name);
});

/* refusals */

/** Puts a refusal at its field; typing there takes it away. */
export function fault(field, text) {
  const id = `${field.id}-fault`;
  document.getElementById(id)?.remove();
  field.closest(".control").append(Object.assign(document.createElement("p"), { id, className: "fault", textContent: text }));
  const others = () => (field.getAttribute("aria-describedby") ?? "").split(" ").filter((other) => other && other !== id);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", [...others(), id].join(" "));
  for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  field.addEventListener("input", () => {
    document.getElementById(id)?.remove();
    field.removeAttribute("aria-invalid");
    field.setAttribute("aria-describedby", others().join(" "));
  }, { once: true });
}

/* a browser cuts what is pasted at the field's limit, and takes the line breaks out of a password, and says nothing */
document.addEventListener("paste", (event) => {
  const field = event.target.closest?.(".control .field[maxlength]");
  if (!field) return;
  const [ends, end] = field.matches("textarea") ? [/\r\n/g, "\n"] : [/[\r\n]/g, ""];
  const text = event.clipboardData.getData("text").replaceAll(ends, end);
  if (field.type === "password" && /[^\r\n][\r\n]+[^\r\n]/.test(event.clipboardData.getData("text"))) {
    event.preventDefault();
    fault(field, "Nothing was pasted: it has several lines, and this is one line.");
    return;
  }
  const length = field.value.length - (field.selectionEnd - field.selectionStart) + text.length;
  if (length <= field.maxLength) return;
  event.preventDefault();
  const number = (count) => count.toLocaleString("en");
  const instead = text.includes("BEGIN CERTIFICATE") ? "Of a bundle, paste the one certificate that is needed." : "Paste a shorter text.";
  const words = `Nothing was pasted: it has ${number(text.length)} characters, and at most ${number(field.maxLength)} fit here. ${instead}`;
  fault(field, words);
  said(words);
});

/* the id of a type is proposed from its label, until somebody types one */
document.addEventListener("input", ({ target }) => {
  if (!target.matches("#own-type #field-label")) return;
  const id = document.getElementById("field-id");
  const proposed = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^[_0-9]+|_+$/g, "").slice(0, 50);
  if (id && (id.value === "" || id.value === id.dataset.proposed)) id.value = id.dataset.proposed = proposed(target.value);
});

/** What a refusing answer says, be it a page or a problem document. */
export function refusal(status, type, text) {
  let problem = {};
  if (type?.includes("json")) {
    try { problem = JSON.parse(text); } catch { /* What is cut short says as much as nothing. */ }
  } else {
    const page = new DOMParser().parseFromString(text, "text/html");
    problem = { detail: page.querySelector("main .sub")?.textContent, hint: page.querySelector("main .help")?.textContent };
  }
  const { detail = `The server answered ${status}.`, hint = "Try again; ask the operator if it stays so.", errors = [] } = problem;
  return { message: status === 401 ? "You are signed out." : detail, hint, errors };
}

/**
 * Leads to the sign-in page and from there back to `to`. A form with changes stays where it is: then this gives the words, with a way
 * to sign in beside it.
 */
export function signInAgain(to = location.pathname + location.search) {
  const address = `/sign-in?next=${encodeURIComponent(to)}`;
  if (!changed()) { location.assign(address); return "The page to sign in opens."; }
  const words = document.createElement("span");
  const link = Object.assign(document.createElement("a"), { href: address, target: "_blank", textContent: "Sign in in a new tab" });
  words.append(link, ", then repeat the step in this one: what you typed stays.");
  return words;
}

function notify(message, hint) {
  const place = document.querySelector("dialog:modal .body") ?? document.getElementById("page");
  const notice = Object.assign(document.createElement("p"), { className: "notice bad" });
  notice.setAttribute("role", "alert");
  notice.append(`${message} `, hint);
  place.querySelector(":scope > .notice.bad")?.remove();
  place.prepend(notice);
  notice.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:afterSettle", ({ detail }) => prepare(detail.elt));
document.addEventListener("htmx:responseError", ({ detail: { xhr, elt, pathInfo } }) => {
  leaving = false;
  const { message, hint } = refusal(xhr.status, xhr.getResponseHeader("content-type"), xhr.responseText);
  // Where the address would have followed, signing in leads to what was asked for.
  const to = elt.closest("[hx-push-url]") ? pathInfo.finalRequestPath : undefined;
  notify(message, xhr.status === 401 ? signInAgain(to) : hint);
});
document.addEventListener("htmx:sendError", () => {
  leaving = false;
  notify("The server could not be reached.", "Look at the network, then try again.");
});

/* a menu closes when something else is chosen, or comes to the focus */
for (const kind of ["click", "focusin"]) {
  document.addEventListener(kind, ({ target }) => {
    for (const menu of document.querySelectorAll("details.space[open]")) if (!menu.contains(target)) menu.open = false;
  });
}

/* a sign-in link: a person opened it, so the form is sent for him */
document.querySelector("form[data-send-now]")?.requestSubmit();

prepare(document);

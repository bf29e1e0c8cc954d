// Keys, and figures that keep themselves fresh. Every page works without.
"use strict";

const OFF = "posthouse-console-keys-off";

const areKeysOff = () => localStorage.getItem(OFF) === "yes";

const isTyping = (target) => target.closest("input, textarea, select, [contenteditable], dialog") !== null;

// Goes up or down in the list of the page.
function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (rows.length === 0) return;
  const here = rows.indexOf(document.activeElement);
  const next = here < 0 ? (by > 0 ? 0 : rows.length - 1) : here + by;
  rows[Math.min(Math.max(next, 0), rows.length - 1)].focus();
}

const KEYS = {
  j: ["The next row", () => step(1)],
  k: ["The row before", () => step(-1)],
  u: ["Up, to where this hangs", () => document.querySelector("[data-up]")?.click()],
  r: ["To the reason of a decision", () => document.querySelector("[data-reason]")?.focus()],
  "/": ["Find", () => document.querySelector("[data-find]")?.focus()],
  "?": ["These keys", () => help()],
};

let isGoing = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (areKeysOff()) return;
  if (isGoing) {
    isGoing = false;
    document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  if (event.key === "g") {
    isGoing = true;
    setTimeout(() => (isGoing = false), 1500);
    return;
  }
  const key = KEYS[event.key];
  if (!key) return;
  event.preventDefault();
  key[1]();
});

function row(list, keys, what) {
  const term = document.createElement("dt");
  for (const it of keys) {
    const key = document.createElement("kbd");
    key.textContent = it;
    term.append(key, " ");
  }
  const text = document.createElement("dd");
  text.textContent = what;
  list.append(term, text);
}

function help() {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "keys");
  const title = document.createElement("h2");
  title.id = "keys";
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const [key, [what]] of Object.entries(KEYS)) row(list, [key], what);
  for (const it of document.querySelectorAll("[data-go]")) row(list, ["g", it.dataset.go], it.textContent);
  const close = document.createElement("button");
  close.className = "primary";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  const off = document.createElement("button");
  off.textContent = areKeysOff() ? "Use these keys" : "Use no keys";
  off.addEventListener("click", () => {
    localStorage.setItem(OFF, areKeysOff() ? "no" : "yes");
    dialog.close();
  });
  const actions = document.createElement("div");
  actions.className = "actions";
  actions.append(close, off);
  dialog.append(title, list, actions);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

for (const it of document.querySelectorAll("[data-help]")) {
  it.hidden = false;
  it.addEventListener("click", help);
}

// The server makes the page; its live part is taken over from a fresh one.
async function refresh(live) {
  const response = await fetch(location.href, { credentials: "same-origin" });
  if (response.redirected) location.reload();
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-live]");
  if (!fresh || live.contains(document.activeElement)) return;
  live.replaceChildren(...fresh.childNodes);
}

for (const live of document.querySelectorAll("[data-live]")) {
  const again = () =>
    setTimeout(async () => {
      // Nobody looks: nothing is asked.
      if (!document.hidden) await refresh(live).catch(() => {});
      again();
    }, Number(live.dataset.live) * 1000);
  again();
}

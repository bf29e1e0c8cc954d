// Uses the console as people do, in Chromium: with the mouse, with the keyboard only, on a phone, in the dark, and
// without JavaScript. axe looks at every page; whatever a page asks of anybody else is a failure.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { BASE_URL, TOKEN, READER, OPERATOR, CHROMIUM, LIBRARIES, INBOX, HOSTILE, SENT, PICTURES } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const DESKTOP = { width: 1280, height: 860 };
const PHONE = { width: 360, height: 740 };

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  env: { ...process.env, ...(LIBRARIES ? { LD_LIBRARY_PATH: LIBRARIES } : {}) },
  args: ["--disable-gpu"],
});

/** A window of its own, with nobody signed in, that notes what goes wrong in it. */
async function open(viewport, colorScheme, more = {}) {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce", ...more });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const wrong = [];
  const isForeign = (it) => !it.url().startsWith(`${BASE_URL}/`);
  page.on("requestfinished", (it) => isForeign(it) && wrong.push(`got ${it.url()}`));
  page.on("requestfailed", (it) => {
    // "csp": it was refused before anybody was asked.
    if (isForeign(it) && it.failure()?.errorText !== "csp") wrong.push(`asked for ${it.url()}`);
  });
  page.on("pageerror", (it) => wrong.push(String(it)));
  page.on("console", (it) => {
    // What the mail in the frame tried is said, and was refused.
    const isOfMail = [it.location().url, it.text()].some((text) => /\/html\b|evil\.test/.test(text));
    if (it.type() === "error" && !isOfMail) wrong.push(it.text());
  });
  const close = async () => {
    assert.deepEqual(wrong, []);
    await context.close();
  };
  return { page, close };
}

const at = (page, path) => page.goto(`${BASE_URL}/console/${path}`);

async function signIn(page, token) {
  await at(page, "sign-in");
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(/console\/(inboxes|pipeline)/);
}

/** What leads to another page, until that is there. */
const loading = (page, act) => Promise.all([page.waitForEvent("load"), act()]);

/** Storage carries decisions out in its own time. */
async function untilShown(page, text) {
  const shown = page.getByText(text, { exact: true }).first();
  for (let tries = 0; (await shown.count()) === 0; tries++) {
    assert.ok(tries < 60, `${text} is not shown`);
    await page.waitForTimeout(500);
    await page.reload();
  }
}

/** That axe finds nothing, and that nothing is wider than the window. */
async function look(page, name) {
  if (PICTURES) await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: true });
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const found = await axe.run(document, { iframes: false });
    return found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html).join(" | ")}`);
  });
  assert.deepEqual(violations, [], name);
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= window, `${name} is ${wide} pixels wide in ${window}`);
}

const PAGES = [
  ["inboxes", "inboxes"],
  ["inbox", `inboxes/${INBOX}`],
  ["received", `inboxes/${INBOX}?show=received`],
  ["reputation", `inboxes/${INBOX}/reputation`],
  ["mail-marked", `emails/${HOSTILE}`],
  ["mail-text", `emails/${HOSTILE}?view=text`],
  ["mail-html", `emails/${HOSTILE}?view=html`],
  ["mail-fields", `emails/${HOSTILE}?view=fields`],
  ["sent-timeline", `emails/${SENT}?view=timeline`],
  ["quarantine", "quarantine"],
  ["holds", "holds"],
  ["suppressions", "suppressions"],
  ["domains", "domains"],
  ["record", "record"],
];
const SOME = PAGES.filter(([name]) => ["inboxes", "mail-marked", "sent-timeline", "quarantine"].includes(name));

async function lookAround(name, viewport, colorScheme, pages) {
  const { page, close } = await open(viewport, colorScheme);
  await at(page, "inboxes");
  await look(page, `${name}-sign-in`);
  await signIn(page, TOKEN);
  for (const [what, path] of pages) {
    await at(page, path);
    await look(page, `${name}-${what}`);
  }
  await close();
}

/** A mail is read, with what its verdict rests on; its HTML does nothing and reaches nobody. */
async function readMail() {
  const { page, close } = await open(DESKTOP, "light");
  await signIn(page, TOKEN);
  await page.locator(`a[href="/console/inboxes/${INBOX}"]`).click();
  await page.getByRole("link", { name: "Received", exact: true }).click();
  await page.locator(`a[href="/console/emails/${HOSTILE}"]`).click();
  const marked = await page.locator("mark").first().textContent();
  assert.match(marked, /ignore|previous|instructions/i);
  await page.locator("a.ref").first().click();
  assert.match(page.url(), /#reason-\d+$/);
  await page.getByRole("link", { name: "HTML", exact: true }).click();
  const frame = page.frameLocator("iframe");
  await frame.getByText("Quarterly figures").waitFor();
  assert.equal(await frame.locator("img").evaluate((it) => it.naturalWidth), 0);
  assert.equal(await frame.locator("body").getAttribute("data-ran"), null, "no script of a mail runs");
  await close();
}

/** A mail in quarantine is released, a mail to be sent approved, with the mouse. */
async function decide() {
  const { page, close } = await open(DESKTOP, "light");
  await signIn(page, TOKEN);
  await page.getByRole("link", { name: "Quarantine", exact: true }).click();
  await page.getByRole("link", { name: /To be released/ }).click();
  await look(page, "deciding");
  // Without a reason nothing goes.
  await page.getByRole("button", { name: "Release" }).click();
  assert.equal(await page.locator("#reason").evaluate((it) => it.validity.valueMissing), true);
  await page.locator("#reason").fill("Known sender.");
  await loading(page, () => page.getByRole("button", { name: "Release" }).click());
  await untilShown(page, "Known sender.");
  await page.getByRole("link", { name: "Held", exact: true }).click();
  await page.getByRole("link", { name: /To be approved/ }).click();
  await look(page, "held");
  await page.locator("#reason").fill("A test key.");
  await loading(page, () => page.getByRole("button", { name: "Approve" }).click());
  await untilShown(page, "A test key.");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(/sign-in/);
  await at(page, "inboxes");
  assert.match(page.url(), /sign-in/);
  await close();
}

/** Signing in, refusing and declining without a mouse. */
async function withKeysOnly() {
  const { page, close } = await open(DESKTOP, "dark");
  const { keyboard } = page;
  const focused = (attribute) => page.waitForFunction((it) => document.activeElement.matches(it), attribute);
  await at(page, "inboxes");
  await focused("#token");
  await keyboard.type(TOKEN);
  await loading(page, () => keyboard.press("Enter"));
  await keyboard.press("Tab");
  await focused(".skip");
  await keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await look(page, "keys");
  await keyboard.press("Escape");
  for (const [go, where, button] of [["q", /quarantine/, "Refuse"], ["h", /holds/, "Decline"]]) {
    await keyboard.press("g");
    await keyboard.press(go);
    await page.waitForURL(where);
    await keyboard.press("j");
    await focused("[data-row]");
    await keyboard.press("Enter");
    await page.waitForURL(/emails/);
    await keyboard.press("r");
    await focused("[data-reason]");
    await keyboard.type("No, with keys.");
    await keyboard.press("Tab");
    await focused("button.danger");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), button);
    await loading(page, () => keyboard.press("Enter"));
    await untilShown(page, "No, with keys.");
    await keyboard.press("u");
    await page.waitForURL(/inboxes/);
  }
  await close();
}

/** Who may only read has no buttons; and everything is there without JavaScript. */
async function lookOn() {
  const { page, close } = await open(PHONE, "light", { javaScriptEnabled: false });
  await signIn(page, READER);
  assert.equal(await page.getByRole("link", { name: "Quarantine", exact: true }).count(), 0);
  await at(page, `emails/${HOSTILE}`);
  assert.ok((await page.locator("mark").count()) > 0);
  assert.equal(await page.locator("main button, main textarea").count(), 0);
  await page.getByRole("link", { name: "Timeline", exact: true }).click();
  await page.getByText("Received from").waitFor();
  await close();
}

/** The figures of the pipeline come again by themselves. */
async function operate() {
  for (const [name, viewport, colorScheme] of [["desktop", DESKTOP, "dark"], ["phone", PHONE, "light"]]) {
    const { page, close } = await open(viewport, colorScheme);
    await signIn(page, OPERATOR);
    await look(page, `${name}-pipeline`);
    await page.getByRole("rowheader", { name: /^scanner/ }).waitFor();
    await page.locator("[data-live]").evaluate((it) => it.firstElementChild.setAttribute("data-old", ""));
    await page.waitForFunction(() => !document.querySelector("[data-old]"));
    for (const place of ["Dead letters", "Accounts"]) {
      await page.getByRole("link", { name: place, exact: true }).click();
      await page.getByRole("heading", { name: place }).waitFor();
      await look(page, `${name}-${place}`);
    }
    await close();
  }
}

try {
  await lookAround("desktop-light", DESKTOP, "light", PAGES);
  await lookAround("phone-dark", PHONE, "dark", PAGES);
  await lookAround("desktop-dark", DESKTOP, "dark", SOME);
  await lookAround("phone-light", PHONE, "light", SOME);
  await readMail();
  await decide();
  await withKeysOnly();
  await lookOn();
  await operate();
} finally {
  await browser.close();
}

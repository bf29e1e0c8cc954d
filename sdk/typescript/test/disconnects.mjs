// Clients that lose their connections at random while mail comes in, and in the end have every event, each
// once and in order: by WebSocket, server-sent events and polling.
//
//   BASE_URL=http://127.0.0.1:4801 SMTP=127.0.0.1:2525 SECONDS=600 node test/disconnects.mjs

import assert from "node:assert/strict";

import { LobsterMail } from "posthouse";

import { deliver, mail } from "../../../tests/sdk/smtp.mjs";
import { proxy } from "./proxy.mjs";

const { BASE_URL: baseUrl, SMTP: smtp, SECONDS: seconds = "20" } = process.env;
assert.ok(baseUrl && smtp, "set BASE_URL (http://host:port) and SMTP (host:port)");
const TRANSPORTS = ["websocket", "sse", "poll"];
/** Two mails a second, of which each makes three events. */
const PAUSE = 500;
/** For everybody to catch up. */
const PATIENCE = 60_000;

const client = await LobsterMail.create({ baseUrl, token: await signUp(), persistToken: false });
const inbox = await client.createInbox();
const start = await now();
const over = new AbortController();
const readers = TRANSPORTS.map((transport) => read(transport));

const end = Date.now() + Number(seconds) * 1000;
let mails = 0;
while (Date.now() < end) {
  const content = mail({ to: inbox.address, subject: `Mail ${mails}`, text: "All work and no play" });
  assert.match(await deliver(smtp, "sarah@example.com", inbox.address, content), /^250/);
  mails += 1;
  await pause(PAUSE);
}
const truth = await everything();
const results = await Promise.all(readers.map((it) => it.caughtUp(truth.length)));
over.abort();
await Promise.all(readers.map((it) => it.reading));
for (const { transport, events, cuts, restarts } of results) {
  assert.equal(new Set(events).size, events.length, `${transport}: an event came twice`);
  assert.deepEqual(events, truth, `${transport}: not every event, in order`);
  assert.ok(cuts + restarts > 0, `${transport} was never disturbed`);
  console.log(`${transport}: ${events.length} events, each once; ${cuts} cuts, ${restarts} restarts`);
}
console.log(`${mails} mails, ${truth.length} events in ${seconds} s on Node ${process.version}`);

async function signUp() {
  const response = await fetch(`${baseUrl}/v1/signup`, { method: "POST" });
  return (await response.json()).token;
}

async function now() {
  return (await client.listEvents({ limit: 1 })).cursor;
}

/** Most connections live for some seconds, some for no time at all. */
function lifetime() {
  return Math.random() < 0.2 ? Math.random() * 50 : Math.random() * 6_000;
}

/** Reads behind a bad network, and now and then begins anew with nothing but the cursor. */
function read(transport) {
  const state = { transport, events: [], restarts: 0, network: undefined };
  const reading = (async () => {
    state.network = await proxy(baseUrl, lifetime);
    const own = { baseUrl: state.network.url, token: client.token, maxRetries: 0 };
    const unsteady = await LobsterMail.create(own);
    let after = start;
    while (!over.signal.aborted) {
      const life = AbortSignal.timeout(Math.ceil(Math.random() * 20_000));
      const signal = anyOf([over.signal, life]);
      for await (const event of unsteady.events({ after, transport, signal })) {
        state.events.push(event.eventId);
        after = event.cursor;
      }
      state.restarts += 1;
    }
    state.network.close();
  })();
  const caughtUp = async (count) => {
    const patience = Date.now() + PATIENCE;
    while (state.events.length < count && Date.now() < patience) await pause(100);
    return { ...state, cuts: state.network.cuts() };
  };
  return { reading, caughtUp };
}

/** Once nothing new has come for a while: what the service has, asked for without any trouble. */
async function everything() {
  const events = [];
  let after = start;
  for (;;) {
    const page = await client.listEvents({ after, limit: 1000, waitSeconds: events.length < mails * 3 ? 20 : 1 });
    events.push(...page.data.map((it) => it.eventId));
    if (page.data.length === 0 && events.length >= mails * 3) return events;
    assert.ok(page.data.length > 0, `only ${events.length} events of ${mails} mails`);
    after = page.cursor;
  }
}

/** `AbortSignal.any`, which Node 18 does not have. */
function anyOf(signals) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  for (const signal of signals) {
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { signal: controller.signal });
  }
  return controller.signal;
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// Every event, each once, whatever is restarted on the way: by cursor, over whichever door.

import { createParser } from "eventsource-parser";

import { CursorExpiredError } from "./errors.js";
import type { MailEvent } from "./events.js";
import type { HttpClient } from "./http.js";
import { type Narrowing, SILENCE, listen } from "./socket.js";
import { backoff, sleep } from "./waiting.js";

export interface EventStreamOptions {
  /** A cursor, or "oldest" for all that is kept (7 days). From now on without. */
  after?: string;
  /** Names such as "email.received", or "email.*". */
  types?: readonly string[];
  /** Only of this inbox. */
  inboxId?: string;
  /** "websocket" without. */
  transport?: "websocket" | "sse" | "poll";
  /** Ends it. */
  signal?: AbortSignal;
  /** What to do where events behind the cursor are gone: throw, as without, or go on from the oldest. */
  onExpired?: "throw" | "oldest";
  /** Told of each connection that ended, before the next one is made. */
  onDisconnect?: (reason: unknown) => void;
}

export interface EventPage {
  data: MailEvent[];
  cursor: string;
  hasMore: boolean;
}

/** Copies of one occurrence are remembered so far back. */
const REMEMBERED = 1_024;
const BASE_DELAY = 250;
const MOST_DELAY = 30_000;
const WINDOW = 25;

/** `for await (const event of stream)`. Leaving the loop closes the connection. */
export class EventStream implements AsyncIterable<MailEvent> {
  #http: HttpClient;
  #token: string;
  #options: EventStreamOptions;
  #cursor?: string;
  #seen = new Set<string>();

  constructor(http: HttpClient, token: string, options: EventStreamOptions = {}) {
    this.#http = http;
    this.#token = token;
    this.#options = options;
    this.#cursor = options.after;
  }

  /** Behind the last event that was handed out: keep it, and go on from there another day. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MailEvent, void, undefined> {
    const { signal, onDisconnect } = this.#options;
    for (let attempt = 0; !signal?.aborted; attempt += 1) {
      let reason: unknown;
      try {
        // What happens before the first connection counts too.
        this.#cursor ??= (await this.#ask({ timeout: 0, limit: 1 })).cursor;
        for await (const event of this.#connection()) {
          attempt = 0;
          if (this.#isNew(event)) yield event;
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (!this.#canGoOn(error)) throw error;
        reason = error;
      }
      if (signal?.aborted) return;
      onDisconnect?.(reason);
      const retryAfter = (reason as { retryAfter?: number } | undefined)?.retryAfter ?? 0;
      const delay = Math.max(backoff(attempt, BASE_DELAY, MOST_DELAY), retryAfter * 1000);
      await sleep(delay, signal).catch(() => undefined);
    }
  }

  /** Moves the cursor behind it, too. */
  #isNew(event: MailEvent): boolean {
    this.#cursor = event.cursor;
    if (this.#seen.has(event.eventId)) return false;
    this.#seen.add(event.eventId);
    if (this.#seen.size > REMEMBERED) {
      const [oldest] = this.#seen;
      this.#seen.delete(oldest as string);
    }
    return true;
  }

  #canGoOn(error: unknown): boolean {
    if (error instanceof CursorExpiredError && this.#options.onExpired === "oldest") {
      this.#cursor = error.oldestCursor ?? "oldest";
      return true;
    }
    const status = (error as { statusCode?: number }).statusCode;
    return status === undefined || status === 429 || status >= 500;
  }

  #connection(): AsyncGenerator<MailEvent, void, undefined> {
    const { transport = "websocket", signal } = this.#options;
    if (transport === "poll") return this.#pages();
    if (transport === "sse") return this.#serverSent();
    return listen(this.#http, this.#token, this.#narrowing(), signal);
  }

  #narrowing(): Narrowing {
    const { types, inboxId } = this.#options;
    return { after: this.#cursor, types, inboxId };
  }

  #ask({ timeout, limit }: { timeout: number; limit: number }): Promise<EventPage> {
    const { after, types, inboxId } = this.#narrowing();
    return this.#http.get("/v1/events", {
      query: { after, types: types?.join(","), inbox: inboxId, timeout, limit },
      timeout: (timeout + 10) * 1000,
      maxRetries: 0,
      signal: this.#options.signal,
    });
  }

  async *#pages(): AsyncGenerator<MailEvent, void, undefined> {
    for (;;) {
      const page = await this.#ask({ timeout: WINDOW, limit: 100 });
      yield* page.data;
      // Of an empty page it is newer, and stays good for longer.
      this.#cursor = page.cursor;
    }
  }

  async *#serverSent(): AsyncGenerator<MailEvent, void, undefined> {
    const { signal } = this.#options;
    const { after, types, inboxId } = this.#narrowing();
    const response = await this.#http.send("GET", "/v1/events", {
      query: { after, types: types?.join(","), inbox: inboxId },
      headers: { accept: "text/event-stream" },
      maxRetries: 0,
      signal,
    });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let events: MailEvent[] = [];
    const parser = createParser({ onEvent: ({ data }) => events.push(JSON.parse(data) as MailEvent) });
    const decoder = new TextDecoder();
    const giveUp = () => void reader.cancel().catch(() => undefined);
    signal?.addEventListener("abort", giveUp);
    try {
      for (;;) {
        // A comment comes every 15 seconds.
        const watch = setTimeout(giveUp, SILENCE);
        const { done, value } = await reader.read().finally(() => clearTimeout(watch));
        if (done) return;
        parser.feed(decoder.decode(value, { stream: true }));
        const arrived = events;
        events = [];
        yield* arrived;
      }
    } finally {
      signal?.removeEventListener("abort", giveUp);
      giveUp();
    }
  }
}

// The contract's connection with handlers, that misses nothing: it comes back with its cursor.

import { Email } from "./email.js";
import { AuthenticationError, CursorExpiredError } from "./errors.js";
import { type EventFrame, eventOf } from "./events.js";
import type { HttpClient } from "./http.js";
import { OPEN, SILENCE, frameOf, reasonOf, socketUrl, webSocket } from "./socket.js";
import type { EmailData } from "./types.js";

export interface RealtimeOptions {
  /** Connect again when the connection is lost; it does without. */
  autoReconnect?: boolean;
  /** 10 without. Attempts are counted anew once one succeeds. */
  maxReconnectAttempts?: number;
  /** Milliseconds before the first attempt, doubled for each further one up to 30 seconds; 1000 without. */
  reconnectDelay?: number;
  /** A cursor from which to go on; "oldest" for all that is kept. From now on without. */
  after?: string;
  /** Only such events. */
  types?: readonly string[];
}

export interface RealtimeEvent {
  eventType: string;
  inboxId: string;
  timestamp: string;
  data: Record<string, unknown>;
  /** The same for every copy of one occurrence. */
  eventId: string;
  /** Goes on behind this event. */
  cursor: string;
}

export type EmailEventHandler = (email: Email) => void;
export type GenericEventHandler = (event: RealtimeEvent) => void;
export type ErrorHandler = (error: Error) => void;
export type ConnectionHandler = () => void;

const MOST_DELAY = 30_000;

export class RealtimeConnection {
  #baseUrl: string;
  #token: string;
  #http: HttpClient;
  #options: Required<Omit<RealtimeOptions, "after" | "types">> & RealtimeOptions;
  #socket?: WebSocket;
  #timer?: ReturnType<typeof setTimeout>;
  #watch?: ReturnType<typeof setTimeout>;
  #isClosed = false;
  #isAuthenticated = false;
  #attempt = 0;
  #requests = 0;
  #cursor?: string;
  /** Once somebody has subscribed, only subscribed inboxes count. */
  #isNarrowed = false;
  #subscriptions = new Map<string, Set<EmailEventHandler>>();
  #onEmail = new Set<EmailEventHandler>();
  #onEvent = new Set<GenericEventHandler>();
  #onError = new Set<ErrorHandler>();
  #onConnect = new Set<ConnectionHandler>();
  #onDisconnect = new Set<ConnectionHandler>();

  constructor(baseUrl: string, token: string, http: HttpClient, options: RealtimeOptions = {}) {
    this.#baseUrl = baseUrl;
    this.#token = token;
    this.#http = http;
    this.#cursor = options.after;
    const { autoReconnect = true, maxReconnectAttempts = 10, reconnectDelay = 1_000 } = options;
    this.#options = { ...options, autoReconnect, maxReconnectAttempts, reconnectDelay };
  }

  /** Behind the last event: give it as `after` to go on from here. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** Open, and the service has accepted the token. */
  get connected(): boolean {
    return this.#isAuthenticated && this.#socket?.readyState === OPEN;
  }

  /** Resolves when the service has accepted the token. */
  async connect(): Promise<void> {
    if (this.#isClosed) {
      throw new Error("Connection has been permanently closed. Create a new RealtimeConnection.");
    }
    const Socket = await webSocket();
    const narrowing = { after: this.#cursor, types: this.#options.types };
    await new Promise<void>((resolve, reject) => {
      const socket = new Socket(socketUrl(this.#baseUrl, this.#token, narrowing));
      this.#socket = socket;
      this.#listen();
      socket.onmessage = ({ data }: { data: unknown }) => {
        if (this.#socket === socket) this.#take(data, resolve);
      };
      socket.onerror = () => {
        const error = new Error("WebSocket error");
        this.#tell(this.#onError, error);
        reject(error);
      };
      socket.onclose = () => {
        reject(new Error("WebSocket closed"));
        if (this.#socket === socket) void this.#lost();
      };
    });
  }

  /** Events of emails in one inbox. The answer ends it. */
  subscribe(inboxId: string, handler: EmailEventHandler): () => void {
    this.#isNarrowed = true;
    const handlers = this.#subscriptions.get(inboxId) ?? new Set();
    this.#subscriptions.set(inboxId, handlers.add(handler));
    if (this.connected) this.#request("subscribe", [inboxId]);
    return () => {
      if (!handlers.delete(handler) || handlers.size > 0) return;
      this.#subscriptions.delete(inboxId);
      if (this.connected) this.#request("unsubscribe", [inboxId]);
    };
  }

  /** Emails that are received in any subscribed inbox, or in all if none was subscribed to. */
  onEmail(handler: EmailEventHandler): () => void {
    return add(this.#onEmail, handler);
  }

  /** Events of every type. */
  onEvent(handler: GenericEventHandler): () => void {
    return add(this.#onEvent, handler);
  }

  onError(handler: ErrorHandler): () => void {
    return add(this.#onError, handler);
  }

  onConnect(handler: ConnectionHandler): () => void {
    return add(this.#onConnect, handler);
  }

  onDisconnect(handler: ConnectionHandler): () => void {
    return add(this.#onDisconnect, handler);
  }

  /** For good. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    this.#isAuthenticated = false;
    this.#socket?.close(1000, "Client closed");
    this.#socket = undefined;
  }

  #take(data: unknown, welcome: () => void): void {
    this.#listen();
    const frame = frameOf(data) as (EventFrame & { code?: string; message?: string }) | undefined;
    switch (frame?.type as string | undefined) {
      case "authenticated":
        this.#isAuthenticated = true;
        this.#attempt = 0;
        if (this.#subscriptions.size > 0) this.#request("subscribe", [...this.#subscriptions.keys()]);
        this.#tell(this.#onConnect, undefined);
        welcome();
        break;
      case "ping":
        this.#send({ type: "pong" });
        break;
      case "event":
        if (frame?.event_type && frame.data) this.#event(frame);
        break;
      case "error":
        this.#tell(this.#onError, new Error(`[${frame?.code}] ${frame?.message}`));
        break;
    }
  }

  #event(frame: EventFrame): void {
    // What is behind the cursor comes before the service has heard of the subscriptions.
    const isOfInbox = frame.inbox_id && frame.event_type !== "inbox.created";
    this.#cursor = frame.cursor;
    if (this.#isNarrowed && isOfInbox && !this.#subscriptions.has(frame.inbox_id)) return;
    const { event: eventType, inboxId, data, eventId, cursor } = eventOf(frame);
    const timestamp = frame.timestamp ?? new Date().toISOString();
    this.#tell(this.#onEvent, { eventType, inboxId, timestamp, data, eventId, cursor });
    if (eventType !== "email.received") return;
    const email = new Email(data as unknown as EmailData, this.#http);
    this.#tell(this.#subscriptions.get(inboxId) ?? [], email);
    this.#tell(this.#onEmail, email);
  }

  async #lost(): Promise<void> {
    const wasAuthenticated = this.#isAuthenticated;
    this.#isAuthenticated = false;
    clearTimeout(this.#watch);
    this.#tell(this.#onDisconnect, undefined);
    if (this.#isClosed || !this.#options.autoReconnect) return;
    if (!wasAuthenticated && this.#cursor && !(await this.#mend())) return;
    this.#reconnect();
  }

  /** Whether to try again, after a refusal. Where the cursor has expired it goes on from the oldest event. */
  async #mend(): Promise<boolean> {
    const { types } = this.#options;
    const reason = await reasonOf(this.#http, { after: this.#cursor, types });
    if (reason instanceof AuthenticationError) this.#tell(this.#onError, reason);
    if (reason instanceof CursorExpiredError) {
      this.#cursor = reason.oldestCursor ?? "oldest";
      this.#tell(this.#onError, reason);
    }
    return !(reason instanceof AuthenticationError) && !this.#isClosed;
  }

  #reconnect(): void {
    const { maxReconnectAttempts, reconnectDelay } = this.#options;
    if (this.#attempt >= maxReconnectAttempts) {
      const message = `Failed to reconnect after ${maxReconnectAttempts} attempts`;
      this.#tell(this.#onError, new Error(message));
      return;
    }
    const delay = Math.min(reconnectDelay * 2 ** this.#attempt, MOST_DELAY);
    this.#attempt += 1;
    // Up to a fifth sooner or later, so that clients do not all come back at once.
    const jitter = 0.8 + Math.random() * 0.4;
    this.#timer = setTimeout(() => void this.connect().catch(() => undefined), delay * jitter);
  }

  /** Gives the connection up where nothing is heard for long. */
  #listen(): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#socket?.close(), SILENCE);
  }

  #request(type: "subscribe" | "unsubscribe", inboxIds: string[]): void {
    this.#requests += 1;
    this.#send({ type, id: `req_${this.#requests}`, inbox_ids: inboxIds });
  }

  #send(frame: unknown): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #tell<T>(handlers: Iterable<(it: T) => void>, it: T): void {
    for (const handler of [...handlers]) handler(it);
  }
}

function add<T>(handlers: Set<T>, handler: T): () => void {
  handlers.add(handler);
  return () => void handlers.delete(handler);
}

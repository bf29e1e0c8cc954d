// Requests: with a token, in time, and again where that is safe.

import createClient, { type Client } from "openapi-fetch";

import { RequestTimeoutError, errorOf } from "./errors.js";
import type { paths } from "./generated/openapi.js";
import { backoff, sleep } from "./waiting.js";

/** What every call takes besides. */
export interface RequestOptions {
  /** Calls it off. */
  signal?: AbortSignal;
  /** Milliseconds for each attempt; 30 seconds without, and longer where the service holds the request. */
  timeout?: number;
  /** How often it is tried again; that of the client without. */
  maxRetries?: number;
}

/** What every call takes that sends mail. */
export interface SendRequestOptions extends RequestOptions {
  /** One key is one mail for ever, however often it is sent. One is made for each call without. */
  idempotencyKey?: string;
}

export interface HttpClientConfig {
  baseUrl: string;
  token?: string;
  timeout?: number;
  maxRetries?: number;
  fetch?: typeof globalThis.fetch;
}

/** How often it may be tried: any failure, or only where the service has done nothing. */
type Repeat = "always" | "refused";

interface CallOptions extends RequestOptions {
  body?: unknown;
  query?: Record<string, string | number | boolean | null | undefined>;
  headers?: Record<string, string>;
  /** A POST that means the same however often it is sent. */
  idempotent?: boolean;
}

interface Prepared {
  url: string;
  method: string;
  headers: Headers;
  body?: BodyInit;
  options: RequestOptions;
  repeat: Repeat;
}

const TIMEOUT = 30_000;
const MAX_RETRIES = 3;
const BASE_DELAY = 250;
const MOST_DELAY = 8_000;
/** Who is asked to wait for longer is told at once. */
const LONGEST_RETRY_AFTER = 15;

export class HttpClient {
  /** Every operation of the API, typed by its OpenAPI description; errors are thrown here too. */
  readonly api: Client<paths>;
  #baseUrl: string;
  #token?: string;
  #config: HttpClientConfig;

  constructor(config: HttpClientConfig) {
    this.#config = config;
    this.#baseUrl = config.baseUrl.replace(/\/$/, "");
    this.#token = config.token;
    this.api = createClient<paths>({
      baseUrl: this.#baseUrl,
      fetch: (request: Request) => this.#sendRequest(request),
    });
  }

  setToken(token: string): void {
    this.#token = token;
  }

  getBaseUrl(): string {
    return this.#baseUrl;
  }

  get<T>(path: string, options?: CallOptions): Promise<T> {
    return this.request("GET", path, options);
  }

  post<T>(path: string, body?: unknown, options?: CallOptions): Promise<T> {
    return this.request("POST", path, { ...options, body });
  }

  delete<T>(path: string, options?: CallOptions): Promise<T> {
    return this.request("DELETE", path, options);
  }

  /** The JSON of the answer; null for a 204. */
  async request<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const response = await this.send(method, path, options);
    return (response.status === 204 ? null : await response.json()) as T;
  }

  /** The answer as it is, if it is a 2xx. */
  send(method: string, path: string, options: CallOptions = {}): Promise<Response> {
    const headers = new Headers(options.headers);
    const { body } = options;
    const isOctets = body instanceof Uint8Array || body instanceof ArrayBuffer;
    if (body !== undefined && !headers.has("content-type")) {
      headers.set("content-type", "application/json");
    }
    return this.#send({
      url: this.#baseUrl + path + queryOf(options.query),
      method,
      headers,
      body: body === undefined || isOctets ? (body as BodyInit) : JSON.stringify(body),
      options,
      repeat: repeatOf(method, headers, options.idempotent),
    });
  }

  async #sendRequest(request: Request): Promise<Response> {
    const body = await request.arrayBuffer();
    return this.#send({
      url: request.url,
      method: request.method,
      headers: request.headers,
      body: body.byteLength > 0 ? body : undefined,
      options: request,
      repeat: repeatOf(request.method, request.headers),
    });
  }

  async #send(prepared: Prepared): Promise<Response> {
    const { headers, options } = prepared;
    if (this.#token && !headers.has("authorization")) {
      headers.set("authorization", `Bearer ${this.#token}`);
    }
    const most = options.maxRetries ?? this.#config.maxRetries ?? MAX_RETRIES;
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#attempt(prepared).catch((error: unknown) => ({ error }));
      if (outcome instanceof Response && outcome.ok) return outcome;
      const error = outcome instanceof Response ? await errorOf(outcome) : outcome.error;
      options.signal?.throwIfAborted();
      const delay = delayBefore(attempt, prepared.repeat, outcome, error);
      if (attempt >= most || delay === undefined) throw error;
      await sleep(delay, options.signal);
    }
  }

  async #attempt({ url, method, headers, body, options }: Prepared): Promise<Response> {
    const fetch = this.#config.fetch ?? globalThis.fetch;
    const milliseconds = options.timeout ?? this.#config.timeout ?? TIMEOUT;
    const clock = new AbortController();
    const stop = () => clock.abort(options.signal?.reason);
    if (options.signal?.aborted) stop();
    options.signal?.addEventListener("abort", stop);
    const timeout = new RequestTimeoutError(`no answer to ${method} within ${milliseconds} ms`);
    const timer = setTimeout(() => clock.abort(timeout), milliseconds);
    try {
      const init = { method, headers: Object.fromEntries(headers), body, signal: clock.signal };
      const response = await fetch(url, init);
      if (isEndless(response)) return response;
      // The time is for the whole answer.
      const octets = response.status === 204 ? null : await response.arrayBuffer();
      return new Response(octets, response);
    } catch (error) {
      throw clock.signal.aborted ? clock.signal.reason : error;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", stop);
    }
  }
}

function isEndless(response: Response): boolean {
  return response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
}

function queryOf(query: CallOptions["query"] = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

function repeatOf(method: string, headers: Headers, idempotent = false): Repeat {
  const isSafe = method !== "POST" || headers.has("idempotency-key");
  return isSafe || idempotent ? "always" : "refused";
}

/** How long to wait before the next attempt; undefined if there must be none. */
function delayBefore(
  attempt: number,
  repeat: Repeat,
  outcome: Response | { error: unknown },
  error: unknown,
): number | undefined {
  const jittered = backoff(attempt, BASE_DELAY, MOST_DELAY);
  if (!(outcome instanceof Response)) return repeat === "always" ? jittered : undefined;
  const isRefused = outcome.status === 429;
  const isDown = [500, 502, 503, 504].includes(outcome.status);
  if (!isRefused && !(isDown && repeat === "always")) return undefined;
  const asked = (error as { retryAfter?: number }).retryAfter;
  if (asked === undefined) return jittered;
  return asked <= LONGEST_RETRY_AFTER ? asked * 1000 + jittered / 4 : undefined;
}

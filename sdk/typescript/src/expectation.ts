// Something that the service waits for on an agent's behalf.

import type { HttpClient, RequestOptions } from "./http.js";

export interface ExpectOptions {
  kind: "reply" | "code" | "link" | "any";
  /** Of the mail that is answered: its Message-ID, or its `eml_…`. */
  inReplyTo?: string;
  /** Only mail proven to be from this domain, or below it. */
  fromDomain?: string;
  /** RFC 3339; or else `timeoutSeconds`, up to a week. Ten minutes without either. */
  deadline?: string;
  timeoutSeconds?: number;
}

export interface ExpectationData {
  id: string;
  inboxId: string;
  kind: ExpectOptions["kind"];
  state: "waiting" | "matched" | "expired" | "ambiguous" | "cancelled";
  createdAt: string;
  deadline: string;
  emailId?: string | null;
  code?: string | null;
  link?: string | null;
  /** Of one that is ambiguous: what is as good, up to ten. */
  candidates?: { emailId: string; code?: string; link?: string }[];
  /** The newest mail that came from the right place and did not count, and why. */
  passedOver?: { emailId: string; reason: string };
}

/** Seconds that the service holds a question at most. */
const WINDOW = 25;

export class Expectation {
  #data: ExpectationData;
  #http: HttpClient;

  constructor(data: ExpectationData, http: HttpClient) {
    this.#data = data;
    this.#http = http;
  }

  get id(): string {
    return this.#data.id;
  }

  get state(): ExpectationData["state"] {
    return this.#data.state;
  }

  get data(): ExpectationData {
    return this.#data;
  }

  /** Waits until it is settled, whichever way; `state` is "waiting" if it is not in time. */
  async wait(options: { timeout?: number; signal?: AbortSignal } = {}): Promise<ExpectationData> {
    const end = Date.now() + (options.timeout ?? Number.POSITIVE_INFINITY);
    while (this.state === "waiting") {
      const seconds = Math.min(WINDOW, Math.ceil((end - Date.now()) / 1000));
      if (seconds <= 0) break;
      this.#data = await this.#http.get<ExpectationData>(`/v1/expectations/${this.id}`, {
        query: { timeout: seconds },
        timeout: (seconds + 10) * 1000,
        signal: options.signal,
      });
    }
    return this.#data;
  }

  /** It matches nothing any more. */
  async cancel(options?: RequestOptions): Promise<void> {
    await this.#http.delete(`/v1/expectations/${this.id}`, options);
  }
}

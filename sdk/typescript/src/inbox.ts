// An inbox: reading what came, waiting for what comes, sending.

import { Email, type ReceiveResult } from "./email.js";
import { Expectation, type ExpectOptions, type ExpectationData } from "./expectation.js";
import type { HttpClient, RequestOptions, SendRequestOptions } from "./http.js";
import { type ClaimOptions, Lease, type LeaseData, type QueueData, type WorkOptions, work } from "./queue.js";
import { newKey, sendMail } from "./sending.js";
import type {
  EmailData,
  InboundPolicy,
  InboundPolicySettings,
  InboxData,
  OutboundPolicy,
  OutboundRules,
  Page,
  ReadEmailData,
  ReceiveOptions,
  Reputation,
  SendOptions,
  SendResult,
  ThreadDetail,
  ThreadSummary,
  WaitForEmailOptions,
} from "./types.js";
import { sleep } from "./waiting.js";

/** Seconds that the service holds a question at most. */
const WINDOW = 25;
const MOST_POLL_DELAY = 10_000;

export class Inbox {
  readonly id: string;
  readonly address: string;
  readonly displayName: string | null;
  readonly domain: string;
  /** False once deleted. */
  readonly isActive: boolean;
  readonly emailCount: number;
  readonly expiresAt: string | null;
  readonly createdAt: string;
  #http: HttpClient;

  constructor(data: InboxData, http: HttpClient) {
    this.id = data.id;
    this.address = data.address;
    this.displayName = data.displayName;
    this.domain = data.domain;
    this.isActive = data.isActive;
    this.emailCount = data.emailCount;
    this.expiresAt = data.expiresAt;
    this.createdAt = data.createdAt;
    this.#http = http;
  }

  /** A page of emails, newest first, without their bodies. */
  async receive(options: ReceiveOptions & RequestOptions = {}): Promise<ReceiveResult> {
    const { limit, since, direction, cursor, label, unread, ...rest } = options;
    const query = { limit: limit || undefined, since, direction, cursor, label, unread };
    const path = `${this.#path()}/emails`;
    const page = await this.#http.get<{ data: EmailData[]; cursor?: string }>(path, { ...rest, query });
    return { data: page.data.map((it) => new Email(it, this.#http)), cursor: page.cursor };
  }

  /** All emails, newest first, page by page as they are asked for. */
  async *emails(options: ReceiveOptions & RequestOptions = {}): AsyncGenerator<Email, void, undefined> {
    let { cursor } = options;
    do {
      const page = await this.receive({ limit: 100, ...options, cursor });
      yield* page.data;
      cursor = page.cursor;
    } while (cursor);
  }

  /** An email with all that is read of it. */
  async getEmail(emailId: string, options?: RequestOptions): Promise<Email> {
    const path = `${this.#path()}/emails/${emailId}`;
    return new Email(await this.#http.get<ReadEmailData>(path, options), this.#http);
  }

  /** The first email that fits, with its body; null if none comes in time. */
  async waitForEmail(options: WaitForEmailOptions = {}): Promise<Email | null> {
    const start = Date.now();
    const end = start + (options.timeout ?? 60_000);
    const since = options.since ?? new Date(start - 1_000).toISOString();
    const email = options.longPoll === false ? undefined : await this.#longPoll(options, since, end);
    return email === undefined ? this.#poll(options, since, end) : email;
  }

  /** Undefined if the service cannot hold a question. */
  async #longPoll(
    { filter = {}, signal }: WaitForEmailOptions,
    since: string,
    end: number,
  ): Promise<Email | null | undefined> {
    const subject = typeof filter.subject === "string" ? filter.subject : undefined;
    while (Date.now() < end) {
      const seconds = Math.max(1, Math.min(WINDOW, Math.ceil((end - Date.now()) / 1000)));
      const answer = await this.#http
        .get<{ data?: EmailData[] } | null>(`${this.#path()}/emails/poll`, {
          query: { timeout: seconds, since, from: filter.from, subject },
          timeout: (seconds + 5) * 1000,
          maxRetries: 0,
          signal,
        })
        .catch((error: { statusCode?: number; code?: string }) => {
          if (error.statusCode === 404) return undefined;
          if (error.code === "timeout") return null;
          throw error;
        });
      if (answer === undefined) return undefined;
      const found = await this.#firstThatFits(answer?.data ?? [], filter, signal);
      if (found) return found;
    }
    return null;
  }

  async #poll(options: WaitForEmailOptions, since: string, end: number): Promise<Email | null> {
    const { filter = {}, pollInterval = 2_000, signal } = options;
    for (let attempt = 0; Date.now() < end; attempt += 1) {
      const page = await this.receive({ since, signal });
      const found = await this.#firstThatFits(page.data.map((it) => it.data), filter, signal);
      if (found) return found;
      await sleep(Math.min(pollInterval * 1.5 ** attempt, MOST_POLL_DELAY), signal);
    }
    return null;
  }

  async #firstThatFits(
    emails: EmailData[],
    filter: NonNullable<WaitForEmailOptions["filter"]>,
    signal?: AbortSignal,
  ): Promise<Email | null> {
    const data = emails.find((it) => fits(it, filter));
    if (!data) return null;
    const email = new Email(data, this.#http);
    await email.fetchFullBody({ signal });
    return email;
  }

  /** Sends a mail. A key is made for each call, so that it is one mail however often it is tried. */
  send(mail: SendOptions, options?: SendRequestOptions): Promise<SendResult> {
    return sendMail(this.#http, "/v1/emails/send", { from: this.address, ...mail }, options);
  }

  listThreads(
    options: { limit?: number; cursor?: string } & RequestOptions = {},
  ): Promise<{ data: ThreadSummary[]; hasMore: boolean; cursor: string | null }> {
    const { limit, cursor, ...rest } = options;
    return this.#http.get(`${this.#path()}/threads`, { ...rest, query: { limit: limit || undefined, cursor } });
  }

  /** A conversation, oldest first. */
  getThread(threadId: string, options?: RequestOptions): Promise<ThreadDetail> {
    return this.#http.get(`${this.#path()}/threads/${threadId}`, options);
  }

  /** Takes mail to work on, which nobody else gets until the lease is over. */
  async claim(options: ClaimOptions & SendRequestOptions = {}): Promise<Lease[]> {
    const { signal, timeout, maxRetries, idempotencyKey, waitSeconds = 0, ...rest } = options;
    const headers = { "idempotency-key": idempotencyKey ?? (await newKey()) };
    const body = { ...rest, timeout: waitSeconds };
    const window = timeout ?? (waitSeconds + 15) * 1000;
    const claimed = await this.#http.post<{ data: LeaseData[] }>(`${this.#path()}/claim`, body, {
      headers,
      timeout: window,
      signal,
      maxRetries,
    });
    return claimed.data.map((it) => new Lease(it, this.#http));
  }

  /** Claims and handles mail until it is called off; see `WorkOptions`. */
  work(handle: (lease: Lease) => Promise<unknown>, options: WorkOptions = {}): Promise<void> {
    return work(this, handle, options);
  }

  /** How the queue stands, and its settings. */
  queue(options?: RequestOptions): Promise<QueueData> {
    return this.#http.get(`${this.#path()}/queue`, options);
  }

  setQueue(settings: { maxAttempts: number }, options?: RequestOptions): Promise<QueueData> {
    return this.#http.request("PUT", `${this.#path()}/queue`, { ...options, body: settings });
  }

  /** Mail that was tried too often. `requeueEmail` of the client gives it another chance. */
  setAside(options?: RequestOptions): Promise<Page<EmailData>> {
    return this.#http.get(`${this.#path()}/set-aside`, options);
  }

  /** Lets the service wait for an answer, a code or a link, whatever is restarted meanwhile. */
  async expect(expected: ExpectOptions, options: SendRequestOptions = {}): Promise<Expectation> {
    const { idempotencyKey, ...rest } = options;
    const headers = { "idempotency-key": idempotencyKey ?? (await newKey()) };
    const path = `${this.#path()}/expect`;
    const data = await this.#http.post<ExpectationData>(path, expected, { ...rest, headers });
    return new Expectation(data, this.#http);
  }

  async listExpectations(options?: RequestOptions): Promise<Expectation[]> {
    const page = await this.#http.get<Page<ExpectationData>>(`${this.#path()}/expectations`, options);
    return page.data.map((it) => new Expectation(it, this.#http));
  }

  /** What is done with mail that comes. */
  getPolicy(options?: RequestOptions): Promise<InboundPolicy> {
    return this.#http.get(`${this.#path()}/policy`, options);
  }

  setPolicy(settings: InboundPolicySettings, options?: RequestOptions): Promise<InboundPolicy> {
    return this.#http.request("PUT", `${this.#path()}/policy`, { ...options, body: settings });
  }

  /** What holds mail that goes. */
  getOutboundPolicy(options?: RequestOptions): Promise<OutboundPolicy> {
    return this.#http.get(`${this.#path()}/outbound-policy`, options);
  }

  setOutboundPolicy(rules: OutboundRules, options?: RequestOptions): Promise<OutboundPolicy> {
    return this.#http.request("PUT", `${this.#path()}/outbound-policy`, { ...options, body: rules });
  }

  /** How its mail fares: bounces, complaints, and whether it may send. */
  reputation(options?: RequestOptions): Promise<Reputation> {
    return this.#http.get(`${this.#path()}/reputation`, options);
  }

  #path(): string {
    return `/v1/inboxes/${this.id}`;
  }
}

function fits(email: EmailData, { from, subject }: NonNullable<WaitForEmailOptions["filter"]>): boolean {
  if (from && email.from !== from) return false;
  if (!subject) return true;
  return typeof subject === "string" ? email.subject.includes(subject) : subject.test(email.subject);
}

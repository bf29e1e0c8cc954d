// An inbox as a queue of work: mail under lease, and a loop that handles it.

import { Email } from "./email.js";
import { LeaseLostError } from "./errors.js";
import type { HttpClient, RequestOptions, SendRequestOptions } from "./http.js";
import type { Inbox } from "./inbox.js";
import type { ReadEmailData, ReplyOptions, SendResult } from "./types.js";
import { backoff, sleep } from "./waiting.js";

export interface ClaimOptions {
  /** How many emails at most; 1 without, 100 at most. */
  max?: number;
  /** 60 without; 5 to 3600. */
  leaseSeconds?: number;
  /** Who works on it, for people. */
  worker?: string;
  /** How long the service waits for mail; not at all without, 25 at most. */
  waitSeconds?: number;
}

export interface LeaseData {
  leaseId: string;
  emailId: string;
  threadId: string | null;
  inboxId: string;
  worker: string;
  /** 1 for the first time. */
  attempt: number;
  expiresAt: string;
  email: ReadEmailData;
}

export interface QueueData {
  inboxId: string;
  /** A mail that was handed out so often is set aside. */
  maxAttempts: number;
  counts: { ready: number; leased: number; delayed: number; setAside: number; acked: number };
}

/** An email that is this worker's until the lease ends: acked, given back, or expired. */
export class Lease {
  readonly id: string;
  readonly email: Email;
  readonly attempt: number;
  readonly worker: string;
  #expiresAt: string;
  #isSettled = false;
  #http: HttpClient;

  constructor(data: LeaseData, http: HttpClient) {
    this.id = data.leaseId;
    this.email = new Email(data.email, http);
    this.attempt = data.attempt;
    this.worker = data.worker;
    this.#expiresAt = data.expiresAt;
    this.#http = http;
  }

  get expiresAt(): string {
    return this.#expiresAt;
  }

  /** This worker has acked it, given it back, or answered with it. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** It is done, and nobody gets it again. */
  async ack(options?: RequestOptions): Promise<void> {
    await this.#post("ack", undefined, options);
    this.#isSettled = true;
  }

  /** Somebody else is to have it, if wanted after a while. */
  async nak(why: { delaySeconds?: number; reason?: string } = {}, options?: RequestOptions): Promise<void> {
    await this.#post("nak", why, options);
    this.#isSettled = true;
  }

  /** So much time more, from now on. */
  async extend(leaseSeconds = 60, options?: RequestOptions): Promise<void> {
    const lease = await this.#post("extend", { leaseSeconds }, options);
    this.#expiresAt = lease.expiresAt;
  }

  /** Answers and acks in one step. A lease that was lost throws `LeaseLostError`, and nothing was sent. */
  reply(reply: ReplyOptions, options?: SendRequestOptions): Promise<SendResult> {
    return this.#settles(reply, this.email.reply({ ...reply, leaseId: this.id }, options));
  }

  /** The same to all who have the mail. */
  replyAll(reply: ReplyOptions, options?: SendRequestOptions): Promise<SendResult> {
    return this.#settles(reply, this.email.replyAll({ ...reply, leaseId: this.id }, options));
  }

  async #settles(reply: ReplyOptions, sent: Promise<SendResult>): Promise<SendResult> {
    const result = await sent;
    this.#isSettled = !reply.validateOnly;
    return result;
  }

  #post(what: string, body?: unknown, options?: RequestOptions): Promise<LeaseData> {
    return this.#http.post(`/v1/leases/${this.id}/${what}`, body, { ...options, idempotent: true });
  }
}

export interface WorkOptions {
  /** How many emails at once; 1 without. */
  concurrency?: number;
  leaseSeconds?: number;
  worker?: string;
  /** Ends the work: what is in hand is finished, nothing new is claimed. */
  signal?: AbortSignal;
  /** Called with what a handler threw, which is given back, and with what kept mail from being claimed. */
  onError?: (error: unknown, lease?: Lease) => void;
  /** Before a mail is handed out again whose handler threw; 30 without. */
  retrySeconds?: number;
}

/** Handles mail until it is called off. What the handler has not acked or answered is acked after it. */
export async function work(
  inbox: Inbox,
  handle: (lease: Lease) => Promise<unknown>,
  options: WorkOptions,
): Promise<void> {
  const hands = Array.from({ length: options.concurrency ?? 1 }, () => hand(inbox, handle, options));
  await Promise.all(hands);
}

async function hand(
  inbox: Inbox,
  handle: (lease: Lease) => Promise<unknown>,
  { signal, worker, leaseSeconds = 60, onError, retrySeconds = 30 }: WorkOptions,
): Promise<void> {
  for (let failures = 0; !signal?.aborted; ) {
    let leases: Lease[] = [];
    try {
      leases = await inbox.claim({ max: 1, leaseSeconds, worker, waitSeconds: 20, signal });
      failures = 0;
    } catch (error) {
      if (signal?.aborted) return;
      onError?.(error);
      failures += 1;
      await sleep(backoff(failures, 500, 30_000), signal).catch(() => undefined);
    }
    for (const lease of leases) {
      try {
        await kept(lease, leaseSeconds, () => handle(lease));
        if (!lease.isSettled) await lease.ack();
      } catch (error) {
        onError?.(error, lease);
        if (lease.isSettled || error instanceof LeaseLostError) continue;
        // If this fails too, the lease ends by itself.
        await lease.nak({ delaySeconds: retrySeconds, reason: "handler failed" }).catch(() => undefined);
      }
    }
  }
}

/** Extends the lease while it is worked on. */
async function kept<T>(lease: Lease, seconds: number, action: () => Promise<T>): Promise<T> {
  const extend = () => {
    if (!lease.isSettled) void lease.extend(seconds).catch(() => undefined);
  };
  const timer = setInterval(extend, (seconds * 1000) / 3);
  try {
    return await action();
  } finally {
    clearInterval(timer);
  }
}

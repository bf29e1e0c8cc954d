// An email, and what can be done with it.

import type { HttpClient, RequestOptions, SendRequestOptions } from "./http.js";
import { type Sending, sendMail } from "./sending.js";
import { buildSafeBodyForLLM } from "./safety.js";
import type {
  AttachmentData,
  Direction,
  EmailData,
  EmailSecurity,
  EmailUpdate,
  ExtractionResult,
  ForwardOptions,
  HeaderField,
  Hold,
  Link,
  ReadEmailData,
  ReplyOptions,
  SafeEmail,
  Schemas,
  SendResult,
} from "./types.js";
import { sleep } from "./waiting.js";

/** From this score on, an email counts as one that tries to give orders. */
const RISK = 0.5;

export interface SafeOptions extends RequestOptions {
  /** A mark between words instead of a space, so that a model can tell data from orders. */
  datamark?: boolean;
  /** Hidden text is named; with "show", its words are there too, inside the fence. */
  hidden?: "name" | "show";
}

export interface ReceiveResult {
  data: Email[];
  /** Gives the next page; absent on the last one. */
  cursor?: string;
}

export interface SearchResult {
  data: Email[];
  hasMore: boolean;
  cursor: string | null;
}

export class Email {
  readonly id: string;
  readonly inboxId: string;
  readonly direction: Direction;
  readonly from: string;
  readonly to: string[];
  readonly cc: string[] | null;
  readonly subject: string;
  readonly preview: string | null;
  readonly isRead: boolean;
  readonly hasAttachments: boolean;
  readonly threadId: string | null;
  readonly attachments: AttachmentData[];
  readonly security: EmailSecurity;
  readonly status: string | null;
  readonly createdAt: string;
  readonly receivedAt: string | null;
  /** RFC 5322, in angle brackets. */
  readonly messageId: string | null;
  readonly labels: string[];
  /** Of a sent mail that somebody has to approve, or had. */
  readonly hold: Hold | null;
  #data: EmailData | ReadEmailData;
  #http: HttpClient;

  constructor(data: EmailData, http: HttpClient) {
    this.id = data.id;
    this.inboxId = data.inboxId;
    this.direction = data.direction;
    this.from = data.from;
    this.to = data.to;
    this.cc = data.cc;
    this.subject = data.subject;
    this.preview = data.preview;
    this.isRead = data.isRead;
    this.hasAttachments = data.hasAttachments;
    this.threadId = data.threadId ?? null;
    this.attachments = data.attachments ?? [];
    this.security = data.security;
    this.status = data.status;
    this.createdAt = data.createdAt;
    this.receivedAt = data.receivedAt;
    this.messageId = data.messageId ?? null;
    this.labels = data.labels ?? [];
    this.hold = data.hold ?? null;
    this.#data = data;
    this.#http = http;
  }

  /** All that the service said of it. */
  get data(): EmailData & Partial<ReadEmailData> {
    return this.#data;
  }

  /** The text; null until it is loaded, see `fetchFullBody()`. */
  get body(): string | null {
    return this.#data.body;
  }

  /** The HTML as it was sent, once loaded. Show it to nobody as it is. */
  get html(): string | null {
    return this.data.html ?? null;
  }

  /** What the sender wrote, without what is answered and without signature; null until loaded. */
  get replyText(): string | null {
    return this.data.replyText ?? null;
  }

  /** The one-time code that it brings, once loaded. */
  get code(): string | null {
    return this.data.code ?? null;
  }

  /** Those that confirm, log in or reset first, once loaded. */
  get links(): Link[] {
    return this.data.links ?? [];
  }

  /** Every header field in its order, once loaded. */
  get headers(): HeaderField[] {
    return this.data.headers ?? [];
  }

  get isInjectionRisk(): boolean {
    return this.security.injectionRiskScore >= RISK;
  }

  /** The contract's rendering, made here of what is loaded. `safe()` is better. */
  safeBodyForLLM(): string {
    return buildSafeBodyForLLM({
      from: this.from,
      subject: this.subject,
      receivedAt: this.receivedAt ?? this.createdAt,
      injectionRiskScore: this.security.injectionRiskScore,
      flags: this.security.flags,
      bodyText: this.body ?? this.preview ?? "",
    });
  }

  /** The service's rendering for language models: a nonce in its fence, nothing hidden, real hosts of links. */
  safe({ datamark, hidden, ...options }: SafeOptions = {}): Promise<SafeEmail> {
    return this.#http.get(`${this.#path()}/safe`, { ...options, query: { datamark, hidden } });
  }

  /** Loads text, reply, code, links and header fields, unless they are here. */
  async fetchFullBody(options?: RequestOptions): Promise<void> {
    // A poll brings the text, and not what is read of it.
    if ("replyText" in this.#data) return;
    this.#data = await this.#http.get<ReadEmailData>(this.#path(), options);
  }

  /** The octets as they were received or sent, our header fields before them. */
  async raw(options?: RequestOptions): Promise<Uint8Array> {
    const response = await this.#http.send("GET", `${this.#path()}/raw`, options);
    return new Uint8Array(await response.arrayBuffer());
  }

  async getAttachmentUrl(index: number): Promise<string> {
    const attachment = this.attachments[index];
    if (!attachment) {
      throw new Error(`Attachment index ${index} out of bounds (0-${this.attachments.length - 1})`);
    }
    attachment.downloadUrl ??= (
      await this.#http.get<{ downloadUrl: string }>(`${this.#path()}/attachments/${index}`)
    ).downloadUrl;
    return attachment.downloadUrl;
  }

  async downloadAttachment(
    index: number,
  ): Promise<{ filename: string; contentType: string; data: Buffer }> {
    // The link needs no token, and may lead to another host, which must not get it.
    const response = await fetch(await this.getAttachmentUrl(index));
    if (!response.ok) throw new Error(`Failed to download attachment: HTTP ${response.status}`);
    const octets = await response.arrayBuffer();
    const { filename, contentType } = this.attachments[index] as AttachmentData;
    return { filename, contentType, data: bufferOf(octets) };
  }

  /** People, dates, amounts, meetings and actions in it. */
  extract(options?: RequestOptions): Promise<ExtractionResult> {
    return this.#http.post(`${this.#path()}/extract`, undefined, { ...options, idempotent: true });
  }

  async getExtraction(options?: RequestOptions): Promise<ExtractionResult | null> {
    try {
      return await this.#http.get<ExtractionResult>(`${this.#path()}/extraction`, options);
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return null;
      throw error;
    }
  }

  /** Extracts, and waits until it is done; null if it is not in time. */
  async waitForExtraction(
    options: { timeout?: number; pollInterval?: number } = {},
  ): Promise<ExtractionResult | null> {
    const { timeout = 60_000, pollInterval = 2_000 } = options;
    const end = Date.now() + timeout;
    for (let result: ExtractionResult | null = await this.extract(); ; ) {
      if (result?.status === "completed" || result?.status === "failed") return result;
      if (Date.now() >= end) return null;
      await sleep(pollInterval);
      result = await this.getExtraction();
    }
  }

  /** Answers the sender. The conversation goes on by itself. */
  reply(reply: ReplyOptions, options?: SendRequestOptions): Promise<SendResult> {
    return this.#answer("reply", reply, options);
  }

  /** Answers the sender, with all others in copy. */
  replyAll(reply: ReplyOptions, options?: SendRequestOptions): Promise<SendResult> {
    return this.#answer("reply-all", reply, options);
  }

  /** Passes it on. */
  forward(forward: ForwardOptions, options?: SendRequestOptions): Promise<SendResult> {
    return this.#answer("forward", forward, options);
  }

  #answer(how: string, mail: Sending, options?: SendRequestOptions): Promise<SendResult> {
    return sendMail(this.#http, `/v1/emails/${this.id}/${how}`, mail, options);
  }

  /** Notes on it that it was read, and labels; all of it or nothing. */
  update(update: EmailUpdate, options?: RequestOptions): Promise<Schemas["Updated"]> {
    return this.#http.request("PATCH", `/v1/emails/${this.id}`, { ...options, body: update });
  }

  /** Calls it back, if it waits. */
  cancel(options?: RequestOptions): Promise<{ id: string; status: string }> {
    return this.#decide("cancel", undefined, options);
  }

  /** Lets a held mail go, exactly as it is. */
  approve(approval: Schemas["Approval"] = {}, options?: RequestOptions): Promise<Schemas["Outcome"]> {
    return this.#decide("approve", approval, options);
  }

  /** A held mail never goes. */
  decline(declination: Schemas["Declination"] = {}, options?: RequestOptions): Promise<Schemas["Outcome"]> {
    return this.#decide("decline", declination, options);
  }

  /** Says what became of a mail of which nobody knows whether it was taken. */
  resolve(as: "sent" | "retry", options?: RequestOptions): Promise<Schemas["Resolved"]> {
    return this.#decide("resolve", { as }, options);
  }

  #decide<T>(what: string, body: unknown, options?: RequestOptions): Promise<T> {
    return this.#http.post(`/v1/emails/${this.id}/${what}`, body, { ...options, idempotent: true });
  }

  /** Every attempt and every report of a sent mail. */
  deliveries(options?: RequestOptions): Promise<Schemas["Deliveries"]> {
    return this.#http.get(`/v1/emails/${this.id}/deliveries`, options);
  }

  #path(): string {
    return `/v1/inboxes/${this.inboxId}/emails/${this.id}`;
  }
}

/** Node's Buffer where there is one, as the contract has it; else the array that it is. */
function bufferOf(octets: ArrayBuffer): Buffer {
  return typeof Buffer === "undefined" ? (new Uint8Array(octets) as Buffer) : Buffer.from(octets);
}

// The account: the way in, and what belongs to no inbox.

import type { Client } from "openapi-fetch";

import { Domain, type DomainData } from "./domain.js";
import { Email, type SearchResult } from "./email.js";
import { AddressCollisionError } from "./errors.js";
import type { MailEvent } from "./events.js";
import { Expectation, type ExpectationData } from "./expectation.js";
import type { paths } from "./generated/openapi.js";
import { HttpClient, type RequestOptions } from "./http.js";
import { Inbox } from "./inbox.js";
import { distinct, generateVariations } from "./naming.js";
import { RealtimeConnection, type RealtimeOptions } from "./realtime.js";
import { type EventPage, EventStream, type EventStreamOptions } from "./stream.js";
import { resolveToken, saveToken, variable } from "./tokens.js";
import type {
  AccountInfo,
  AllowRule,
  BatchResult,
  BatchUpdate,
  Canary,
  EmailData,
  InboundPolicy,
  InboundPolicySettings,
  InboxData,
  NewAllowRule,
  OutboundPolicy,
  OutboundRules,
  Page,
  ReadEmailData,
  Schemas,
  SearchOptions,
  SmartInboxOptions,
  Suppression,
  Upload,
  WebhookData,
} from "./types.js";

export interface LobsterMailConfig {
  /** That of the environment (`POSTHOUSE_TOKEN`, `LOBSTERMAIL_TOKEN`), of the file, or a new one without. */
  token?: string;
  /** Where the service is; `POSTHOUSE_URL`, or http://127.0.0.1:4801 without. */
  baseUrl?: string;
  /** Sign up where there is no token; it does without. */
  autoSignup?: boolean;
  /** Keep a new token in `~/.lobstermail/token`; it does without. */
  persistToken?: boolean;
  /** Milliseconds for each attempt of a request; 30,000 without. */
  timeout?: number;
  /** How often a request is tried again where that is safe; 3 without. */
  maxRetries?: number;
  /** Instead of the runtime's own. */
  fetch?: typeof globalThis.fetch;
}

/** Where `posthouse dev` listens. */
const DEFAULT_BASE_URL = "http://127.0.0.1:4801";

/** What a token may do. */
export type Right = "read" | "send" | "reply" | "admin";

export interface NewToken {
  label?: string;
  rights?: Right[];
  /** Only in these inboxes. */
  inboxIds?: string[];
  /** Only in these conversations. */
  threadIds?: string[];
  /** RFC 3339. */
  expiresAt?: string;
  /** What it may send. */
  limits?: { mails?: number; recipients?: string[]; perSeconds?: number };
}

export interface TokenInfo extends Omit<NewToken, "expiresAt"> {
  id: string;
  /** Shown once, when it is made. */
  token?: string;
  expiresAt?: string | null;
  lastUsedAt?: string | null;
  createdAt?: string;
}

export class LobsterMail {
  #http: HttpClient;
  #token: string;
  #realtime?: RealtimeConnection;

  protected constructor(http: HttpClient, token: string) {
    this.#http = http;
    this.#token = token;
  }

  static async create(config: LobsterMailConfig = {}): Promise<LobsterMail> {
    const { autoSignup = true, persistToken = true, timeout, maxRetries, fetch } = config;
    const baseUrl = config.baseUrl ?? variable("POSTHOUSE_URL") ?? DEFAULT_BASE_URL;
    const http = new HttpClient({ baseUrl, timeout, maxRetries, fetch });
    let token = await resolveToken(config.token);
    if (!token) {
      if (!autoSignup) {
        throw new Error(
          "No LobsterMail token found. Provide a token via config, LOBSTERMAIL_TOKEN env var, or ~/.lobstermail/token.",
        );
      }
      ({ token } = await http.post<{ token: string }>("/v1/signup"));
      if (persistToken) await saveToken(token);
    }
    http.setToken(token);
    return new this(http, token);
  }

  get token(): string {
    return this.#token;
  }

  /** Every operation, typed by the service's OpenAPI description; with retries, and errors thrown. */
  get api(): Client<paths> {
    return this.#http.api;
  }

  getAccount(options?: RequestOptions): Promise<AccountInfo> {
    return this.#http.get("/v1/account", options);
  }

  verify(
    { provider, handle }: { provider: string; handle: string },
    options?: RequestOptions,
  ): Promise<{ status: string; instructions?: string }> {
    return this.#http.post(`/v1/verify/${encodeURIComponent(provider)}`, { handle }, options);
  }

  /** With an address of the service's choice, unless a local part is given. */
  async createInbox(
    inbox: { displayName?: string; localPart?: string; domain?: string } = {},
    options?: RequestOptions,
  ): Promise<Inbox> {
    return new Inbox(await this.#http.post<InboxData>("/v1/inboxes", inbox, options), this.#http);
  }

  /** With the first name that is free of those preferred, and of those made of `name` and `org`. */
  async createSmartInbox(wanted?: SmartInboxOptions, options?: RequestOptions): Promise<Inbox> {
    if (!wanted) return this.createInbox({}, options);
    const { preferred = [], name, org } = wanted;
    const displayName = wanted.displayName || undefined;
    for (const localPart of distinct([...preferred, ...generateVariations({ name, org })])) {
      try {
        return await this.createInbox({ localPart, displayName }, options);
      } catch (error) {
        if (!(error instanceof AddressCollisionError)) throw error;
      }
    }
    return this.createInbox({ displayName }, options);
  }

  async getInbox(id: string, options?: RequestOptions): Promise<Inbox> {
    return new Inbox(await this.#http.get<InboxData>(`/v1/inboxes/${id}`, options), this.#http);
  }

  /** Those that are not deleted. */
  async listInboxes(options?: RequestOptions): Promise<Inbox[]> {
    const page = await this.#http.get<Page<InboxData>>("/v1/inboxes", options);
    return page.data.map((it) => new Inbox(it, this.#http));
  }

  async deleteInbox(id: string, options?: RequestOptions): Promise<void> {
    await this.#http.delete(`/v1/inboxes/${id}`, options);
  }

  /** An email, whichever inbox it is in. */
  async getEmail(id: string, options?: RequestOptions): Promise<Email> {
    return new Email(await this.#http.get<ReadEmailData>(`/v1/emails/${id}`, options), this.#http);
  }

  async searchEmails(
    search: SearchOptions,
    options?: RequestOptions,
  ): Promise<SearchResult> {
    const query = { ...search, limit: search.limit || undefined };
    const found = await this.#http.get<{
      data: EmailData[];
      pagination: { hasMore: boolean; cursor: string | null };
    }>("/v1/emails/search", { ...options, query });
    return { data: found.data.map((it) => new Email(it, this.#http)), ...found.pagination };
  }

  /** Notes labels, and what was read, on up to 100 emails at once. */
  updateEmails(update: BatchUpdate, options?: RequestOptions): Promise<BatchResult> {
    return this.#http.post("/v1/emails/batch", update, { ...options, idempotent: true });
  }

  async listLabels(options?: RequestOptions): Promise<Schemas["LabelList"]["data"]> {
    return (await this.#http.get<Schemas["LabelList"]>("/v1/labels", options)).data;
  }

  /** A file of up to 25 MiB that mails can name for 24 hours, instead of carrying it each time. */
  upload(
    file: { filename: string; contentType: string; content: Uint8Array },
    options?: RequestOptions,
  ): Promise<Upload> {
    const { filename, contentType, content } = file;
    return this.#http.post("/v1/uploads", content, {
      timeout: 120_000,
      ...options,
      query: { filename },
      headers: { "content-type": contentType },
      idempotent: true,
    });
  }

  /** Mail that waits for somebody's decision, or did. */
  async listHolds(
    query: { state?: string; limit?: number; cursor?: string } = {},
    options?: RequestOptions,
  ): Promise<{ data: Email[]; cursor?: string | null }> {
    const page = await this.#http.get<Page<EmailData>>("/v1/holds", { ...options, query });
    return { data: page.data.map((it) => new Email(it, this.#http)), cursor: page.cursor };
  }

  /** What is done with mail that comes, in every inbox without a policy of its own. */
  getPolicy(options?: RequestOptions): Promise<InboundPolicy> {
    return this.#http.get("/v1/policy", options);
  }

  setPolicy(settings: InboundPolicySettings, options?: RequestOptions): Promise<InboundPolicy> {
    return this.#http.request("PUT", "/v1/policy", { ...options, body: settings });
  }

  /** What holds mail that goes, in every inbox without a policy of its own. */
  getOutboundPolicy(options?: RequestOptions): Promise<OutboundPolicy> {
    return this.#http.get("/v1/outbound-policy", options);
  }

  setOutboundPolicy(rules: OutboundRules, options?: RequestOptions): Promise<OutboundPolicy> {
    return this.#http.request("PUT", "/v1/outbound-policy", { ...options, body: rules });
  }

  /** Lets mail to a recipient go although there is a reason to hold it. */
  allowOutbound(rule: NewAllowRule, options?: RequestOptions): Promise<AllowRule> {
    return this.#http.post("/v1/outbound-allow", rule, options);
  }

  async listOutboundAllow(options?: RequestOptions): Promise<AllowRule[]> {
    return (await this.#http.get<Page<AllowRule>>("/v1/outbound-allow", options)).data;
  }

  async removeOutboundAllow(ruleId: string, options?: RequestOptions): Promise<void> {
    await this.#http.delete(`/v1/outbound-allow/${ruleId}`, options);
  }

  /** Something that looks like a secret; mail that carries it is held. */
  addCanary(canary: Schemas["NewCanary"], options?: RequestOptions): Promise<Canary> {
    return this.#http.post("/v1/canaries", canary, options);
  }

  listSuppressions(
    query: { limit?: number; cursor?: string } = {},
    options?: RequestOptions,
  ): Promise<Page<Suppression>> {
    return this.#http.get("/v1/suppressions", { ...options, query });
  }

  async liftSuppression(address: string, options?: RequestOptions): Promise<void> {
    await this.#http.delete(`/v1/suppressions/${encodeURIComponent(address)}`, options);
  }

  createWebhook(
    webhook: { url: string; inboxId?: string; events?: string[] },
    options?: RequestOptions,
  ): Promise<WebhookData & { secret: string }> {
    return this.#http.post("/v1/webhooks", webhook, options);
  }

  listWebhooks(options?: RequestOptions): Promise<{ data: WebhookData[] }> {
    return this.#http.get("/v1/webhooks", options);
  }

  getWebhook(id: string, options?: RequestOptions): Promise<WebhookData> {
    return this.#http.get(`/v1/webhooks/${id}`, options);
  }

  updateWebhook(
    id: string,
    update: Schemas["WebhookUpdate"],
    options?: RequestOptions,
  ): Promise<WebhookData> {
    return this.#http.request("PATCH", `/v1/webhooks/${id}`, { ...options, body: update });
  }

  async deleteWebhook(id: string, options?: RequestOptions): Promise<void> {
    await this.#http.delete(`/v1/webhooks/${id}`, options);
  }

  /** A new secret; the old one signs too for a while. */
  rotateWebhookSecret(
    id: string,
    rotation: { overlapHours?: number } = {},
    options?: RequestOptions,
  ): Promise<WebhookData & { secret: string }> {
    return this.#http.post(`/v1/webhooks/${id}/rotate`, rotation, options);
  }

  pingWebhook(id: string, options?: RequestOptions): Promise<Schemas["Requested"]> {
    return this.#http.post(`/v1/webhooks/${id}/ping`, undefined, options);
  }

  async addDomain(domain: { domain: string }, options?: RequestOptions): Promise<Domain> {
    return new Domain(await this.#http.post<DomainData>("/v1/domains", domain, options), this.#http);
  }

  async getDomain(id: string, options?: RequestOptions): Promise<Domain> {
    return new Domain(await this.#http.get<DomainData>(`/v1/domains/${id}`, options), this.#http);
  }

  async listDomains(options?: RequestOptions): Promise<Domain[]> {
    const page = await this.#http.get<Page<DomainData>>("/v1/domains", options);
    return page.data.map((it) => new Domain(it, this.#http));
  }

  async verifyDomain(id: string, options?: RequestOptions): Promise<Domain> {
    const path = `/v1/domains/${id}/verify`;
    return new Domain(await this.#http.post<DomainData>(path, undefined, options), this.#http);
  }

  async deleteDomain(id: string, options?: RequestOptions): Promise<void> {
    await this.#http.delete(`/v1/domains/${id}`, options);
  }

  /** A token that may no more than this one. */
  createToken(token: NewToken, options?: RequestOptions): Promise<TokenInfo & { token: string }> {
    return this.#http.post("/v1/tokens", token, options);
  }

  async listTokens(options?: RequestOptions): Promise<TokenInfo[]> {
    return (await this.#http.get<Page<TokenInfo>>("/v1/tokens", options)).data;
  }

  /** What this token may do. */
  currentToken(options?: RequestOptions): Promise<TokenInfo> {
    return this.#http.get("/v1/tokens/current", options);
  }

  async deleteToken(id: string, options?: RequestOptions): Promise<void> {
    await this.#http.delete(`/v1/tokens/${id}`, options);
  }

  async getExpectation(id: string, options?: RequestOptions): Promise<Expectation> {
    const path = `/v1/expectations/${id}`;
    return new Expectation(await this.#http.get<ExpectationData>(path, options), this.#http);
  }

  /** Gives a mail that was set aside another chance. */
  async requeueEmail(id: string, options?: RequestOptions): Promise<void> {
    await this.#http.post(`/v1/emails/${id}/requeue`, undefined, options);
  }

  /** What happened behind a cursor: one answer, at once or when something happens. */
  listEvents(
    query: { after?: string; types?: string[]; inboxId?: string; limit?: number; waitSeconds?: number } = {},
    options?: RequestOptions,
  ): Promise<EventPage> {
    const { after, types, inboxId, limit, waitSeconds = 0 } = query;
    return this.#http.get("/v1/events", {
      timeout: (waitSeconds + 10) * 1000,
      ...options,
      query: { after, types: types?.join(","), inbox: inboxId, limit, timeout: waitSeconds },
    });
  }

  /** Every event, each once, for as long as you listen: `for await (const event of client.events())`. */
  events(options?: EventStreamOptions): EventStream {
    return new EventStream(this.#http, this.#token, options);
  }

  /** The email that an event is about, to do something with it. */
  emailOf(event: MailEvent<`email.${string}`>): Email {
    return new Email(event.data, this.#http);
  }

  /** A connection with handlers; the one that is open already, if there is one. */
  async connect(options?: RealtimeOptions): Promise<RealtimeConnection> {
    if (this.#realtime?.connected) return this.#realtime;
    this.#realtime = new RealtimeConnection(this.#http.getBaseUrl(), this.#token, this.#http, options);
    await this.#realtime.connect();
    return this.#realtime;
  }
}

/** The client under the name of this service. */
export const Posthouse = LobsterMail;
export type Posthouse = LobsterMail;

// What a webhook brought, verified: Standard Webhooks (https://www.standardwebhooks.com), and the contract's
// older header where that is all there is.

import { webCrypto } from "./crypto.js";
import type { MailEvent } from "./events.js";

/** A webhook's body. */
export interface WebhookPayload {
  event: string;
  timestamp: string;
  eventId: string;
  accountId: string;
  webhookId: string;
  /** That of the event; of emails with `emailId` beside `id`. */
  data: MailEvent["data"] & { emailId?: string; inboxId?: string; truncated?: boolean };
}

/** It is not from the service, or too old. Answer with a 4xx and do nothing. */
export class WebhookVerificationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "WebhookVerificationError";
  }
}

export interface VerifyOptions {
  /** The webhook's secret; during a rotation both. */
  secret: string | readonly string[];
  /** As they came: of a `Request`, of Node's `request.headers`, or by name. */
  headers: Headers | Record<string, string | string[] | undefined>;
  /** The octets as they came. What was parsed and printed again has other ones. */
  body: string | Uint8Array;
  /** How far off the time may be; 300 seconds without. */
  toleranceSeconds?: number;
  /** Milliseconds since 1970; now without. */
  now?: number;
}

/**
 * The payload, if the signature fits; throws `WebhookVerificationError` if not. An event may come more than
 * once, always with the same `eventId`.
 */
export async function verifyWebhook(options: VerifyOptions): Promise<WebhookPayload> {
  const { headers, body, toleranceSeconds = 300, now = Date.now() } = options;
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) =>
    header(headers, name),
  );
  if (!id || !timestamp || !signatures) {
    throw new WebhookVerificationError("webhook-id, webhook-timestamp or webhook-signature is missing");
  }
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now / 1000 - Number(timestamp)) > toleranceSeconds) {
    throw new WebhookVerificationError("webhook-timestamp is too far from now");
  }
  const octets = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = joined(new TextEncoder().encode(`${id}.${timestamp}.`), octets);
  const secrets = typeof options.secret === "string" ? [options.secret] : options.secret;
  for (const secret of secrets) {
    if (await isSigned(secret, signed, signatures)) return payload(octets);
  }
  throw new WebhookVerificationError("webhook-signature: none of them fits");
}

/** The contract's header `X-LobsterMail-Signature`: nothing in it keeps a request from being played again. */
export async function verifyLobsterMailSignature(
  secret: string,
  signature: string,
  body: string | Uint8Array,
): Promise<boolean> {
  if (!/^[0-9a-f]{64}$/i.test(signature)) return false;
  const expected = Uint8Array.from(signature.match(/../g) ?? [], (it) => Number.parseInt(it, 16));
  const octets = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return fits(new TextEncoder().encode(secret), expected, octets);
}

async function isSigned(secret: string, signed: Uint8Array, signatures: string): Promise<boolean> {
  const key = fromBase64(secret.replace(/^whsec_/, ""));
  if (!key || key.length === 0) throw new WebhookVerificationError("the secret is not base64");
  for (const entry of signatures.split(" ")) {
    const signature = entry.startsWith("v1,") ? fromBase64(entry.slice(3)) : undefined;
    // In constant time: the comparison is that of the Web Crypto API.
    if (signature && (await fits(key, signature, signed))) return true;
  }
  return false;
}

async function fits(key: Uint8Array, signature: Uint8Array, signed: Uint8Array): Promise<boolean> {
  const { subtle } = await webCrypto();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await subtle.importKey("raw", key as BufferSource, algorithm, false, ["verify"]);
  return subtle.verify("HMAC", imported, signature as BufferSource, signed as BufferSource);
}

function payload(octets: Uint8Array): WebhookPayload {
  try {
    return JSON.parse(new TextDecoder().decode(octets)) as WebhookPayload;
  } catch {
    throw new WebhookVerificationError("the body is not JSON");
  }
}

function header(headers: VerifyOptions["headers"], name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const found = Object.entries(headers).find(([it]) => it.toLowerCase() === name)?.[1];
  return Array.isArray(found) ? found[0] : found;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function fromBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (it) => it.charCodeAt(0));
  } catch {
    return undefined;
  }
}

// A mail on its way out: one key per call, so that what is tried again is still one mail.

import { webCrypto } from "./crypto.js";
import type { HttpClient, SendRequestOptions } from "./http.js";
import type { ForwardOptions, ReplyOptions, SendOptions, SendResult } from "./types.js";

export type Sending = Partial<SendOptions> | ReplyOptions | ForwardOptions;

export async function sendMail(
  http: HttpClient,
  path: string,
  mail: Sending & { from?: string },
  options: SendRequestOptions = {},
): Promise<SendResult> {
  const { idempotencyKey, ...rest } = options;
  const headers: Record<string, string> = {};
  // With a lease the service's own key says it: one email is answered once, whoever asks.
  const key = idempotencyKey ?? (mail.leaseId ? undefined : await newKey());
  if (key) headers["idempotency-key"] = key;
  const { sendAt, to } = mail as SendOptions;
  const body = {
    ...mail,
    to: typeof to === "string" ? [to] : to,
    sendAt: sendAt instanceof Date ? sendAt.toISOString() : sendAt,
  };
  return http.post(path, body, { ...rest, headers, idempotent: true });
}

/** 128 random bits. */
export async function newKey(): Promise<string> {
  const octets = (await webCrypto()).getRandomValues(new Uint8Array(16));
  return `sdk-${Array.from(octets, (it) => it.toString(16).padStart(2, "0")).join("")}`;
}

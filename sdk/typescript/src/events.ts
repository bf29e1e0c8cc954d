// Events: their names, and their shape whichever door they come through.

import type { EmailData } from "./types.js";

/** The names that the contract has. */
export const WEBHOOK_EVENTS = {
  EMAIL_RECEIVED: "email.received",
  EMAIL_SENT: "email.sent",
  EMAIL_BOUNCED: "email.bounced",
  EMAIL_QUARANTINED: "email.quarantined",
  EMAIL_SCAN_COMPLETE: "email.scan.complete",
  EMAIL_THREAD_NEW: "email.thread.new",
  EMAIL_THREAD_REPLY: "email.thread.reply",
  INBOX_CREATED: "inbox.created",
  INBOX_EXPIRED: "inbox.expired",
} as const;

export type WebhookEvent = (typeof WEBHOOK_EVENTS)[keyof typeof WEBHOOK_EVENTS];

/** Something that happened. `docs/events.md` has all names, and new ones may come. */
export interface MailEvent<Name extends string = string> {
  /** The same for every copy of one occurrence. */
  eventId: string;
  event: Name;
  timestamp: string;
  accountId: string;
  /** Empty if it is about no inbox. */
  inboxId: string;
  data: Name extends `email.${string}` ? EmailData : Record<string, unknown>;
  /** Keep it: from here on nothing is missed. */
  cursor: string;
}

/** An event as a WebSocket frame. */
export interface EventFrame {
  type: "event";
  event_type: string;
  event_id: string;
  inbox_id: string;
  account_id: string;
  timestamp: string;
  cursor: string;
  data: Record<string, unknown>;
}

export function eventOf(frame: EventFrame): MailEvent {
  return {
    eventId: frame.event_id,
    event: frame.event_type,
    timestamp: frame.timestamp,
    accountId: frame.account_id,
    inboxId: frame.inbox_id,
    data: frame.data,
    cursor: frame.cursor,
  };
}

/** Whether it is about an email, which its `data` then is. */
export function isEmailEvent(event: MailEvent): event is MailEvent<`email.${string}`> {
  return event.event.startsWith("email.");
}

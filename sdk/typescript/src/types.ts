// The shapes that the contract names, and those of this service by names of their own. What is not here is in
// `components["schemas"]`, generated from the service's OpenAPI description.

import type { components } from "./generated/openapi.js";

export type Schemas = components["schemas"];

export type Direction = "inbound" | "outbound";

export type EmailSecurity = Omit<Schemas["EmailSecurity"], "spf" | "dkim" | "dmarc"> & {
  injectionRiskScore: number;
  flags: string[];
  spf: string | null;
  dkim: string | null;
  dmarc: string | null;
};

export interface AttachmentData {
  filename: string;
  contentType: string;
  s3Key: string;
  sizeBytes: number;
  downloadUrl?: string;
}

/** An email as REST and events show it. */
export interface EmailData
  extends Omit<Schemas["Email"], "attachments" | "body" | "cc" | "direction" | "receivedAt" | "security" | "status"> {
  id: string;
  inboxId: string;
  direction: Direction;
  from: string;
  to: string[];
  cc: string[] | null;
  subject: string;
  preview: string | null;
  body: string | null;
  isRead: boolean;
  hasAttachments: boolean;
  threadId: string | null;
  attachments?: AttachmentData[];
  security: EmailSecurity;
  status: string | null;
  createdAt: string;
  receivedAt: string | null;
}

/** An email with all that is read of it: the text, the reply, a code, links, header fields. */
export type ReadEmailData = EmailData & Omit<Schemas["ReadEmail"], keyof EmailData>;

export type InboxData = Schemas["Inbox"];

export type SafeEmail = Schemas["SafeEmail"];
export type Link = Schemas["ReadLink"];
export type Hold = Schemas["Hold"];
export type HeaderField = Schemas["Field"];
export type Upload = Schemas["Uploaded"];
export type WebhookData = Schemas["Webhook"];
export type DeliveryAttempt = Schemas["Deliveries"];
export type InboundPolicy = Schemas["Policy"];
export type InboundPolicySettings = Schemas["PolicySettings"];
export type OutboundPolicy = Schemas["OutboundPolicy"];
export type OutboundRules = Schemas["OutboundRules"];
export type AllowRule = Schemas["Rule"];
export type NewAllowRule = Schemas["NewRule"];
export type Canary = Schemas["CanaryShown"];
export type Suppression = Schemas["Suppression"];
export type Reputation = Schemas["Reputation"];

/** What is sent. An upload is named by its `uploadId`; the fields that are not here are in `docs/sending.md`. */
export interface SendOptions {
  to: string | string[];
  cc?: string[];
  /** Receive the mail and are named nowhere in it. */
  bcc?: string[];
  subject: string;
  body: { text?: string; html?: string };
  /** Where answers go. */
  replyTo?: string;
  /** Message-ID of the email that is answered. */
  inReplyTo?: string;
  threadId?: string;
  /** At most 10, in base64 or uploaded before. */
  attachments?: SendAttachment[];
  /** Further header fields. */
  headers?: Record<string, string>;
  /** RFC 3339: it goes then. */
  sendAt?: string | Date;
  /** It is given up after so many seconds. */
  ttlSeconds?: number;
  onUnknown?: "retry" | "hold";
  /** A dry run: nothing is stored or sent. */
  validateOnly?: boolean;
  notify?: ("failure" | "delay" | "success")[];
  /** Who has decided on this mail: a machine without. */
  automatic?: "auto-generated" | "auto-replied" | "no";
  allowAutoReply?: boolean;
  list?: Schemas["SendList"];
  /** The received email that is passed on. */
  forwards?: string;
  /** With `inReplyTo`: acks the lease in the same step. A lease that was lost sends nothing. */
  leaseId?: string;
}

export type SendAttachment =
  | { filename: string; contentType: string; content: string }
  | { uploadId: string; filename?: string; contentType?: string };

/** What an answer adds to the email answered. */
export type ReplyOptions = Omit<SendOptions, "to" | "subject" | "inReplyTo" | "threadId" | "forwards" | "list">;

/** Who gets an email passed on, and what is added to it. */
export type ForwardOptions = Omit<SendOptions, "subject" | "inReplyTo" | "threadId" | "forwards" | "body"> & {
  body?: SendOptions["body"];
  /** The original in the text instead of as an attachment. */
  inline?: boolean;
};

export interface SendResult {
  id: string;
  /** "queued", "scheduled" with `sendAt`, "held" if somebody has to approve it. Of a dry run "valid". */
  status: string;
  /** The key was used before, for a mail of other words, which is the one that went. */
  bodyDiffers?: boolean;
  /** Of a dry run: whom it would go to. */
  recipients?: string[];
  /** Of a dry run: why it would have to be approved. */
  heldBecause?: Schemas["HoldReason"][];
  sendAt?: string | null;
}

export interface ReceiveOptions {
  /** At most 100; 20 without. */
  limit?: number;
  /** Only later ones; RFC 3339. */
  since?: string;
  direction?: Direction;
  /** From the page before. */
  cursor?: string;
  /** Only those with this label. */
  label?: string;
  /** Only those that nobody has read, or that somebody has. */
  unread?: boolean;
}

export interface WaitForEmailOptions {
  filter?: { from?: string; subject?: string | RegExp };
  /** Milliseconds; 60 seconds without. */
  timeout?: number;
  /** Between two questions, where the service cannot hold one. */
  pollInterval?: number;
  since?: string;
  /** Let the service hold the question; it does without. */
  longPoll?: boolean;
  signal?: AbortSignal;
}

export interface ThreadSummary {
  id: string;
  inboxId: string;
  subject: string;
  emailCount: number;
  lastEmailAt: string;
  createdAt: string;
}

export interface ThreadDetail extends ThreadSummary {
  emails: Array<{
    id: string;
    from: string;
    subject: string;
    preview: string | null;
    createdAt: string;
    isInjectionRisk?: boolean;
  }>;
}

export interface ExtractedContact {
  name: string | null;
  email: string | null;
  phone: string | null;
  role: string | null;
  organization: string | null;
}

export interface ExtractedDate {
  value: string;
  label: string;
  isEstimate: boolean;
}

export interface ExtractedAmount {
  value: number;
  currency: string;
  label: string;
}

export interface ExtractedScheduling {
  eventType: string;
  startTime: string | null;
  endTime: string | null;
  location: string | null;
  attendees: string[];
  summary: string;
}

export interface ExtractedAction {
  type: string;
  description: string;
  url: string | null;
  deadline: string | null;
}

export interface ExtractionResult {
  id: string;
  emailId: string;
  status: "pending" | "processing" | "completed" | "failed";
  contacts: ExtractedContact[];
  dates: ExtractedDate[];
  amounts: ExtractedAmount[];
  scheduling: ExtractedScheduling[];
  actions: ExtractedAction[];
  metadata: Record<string, unknown>;
  modelUsed: string | null;
  inputTokens: number | null;
  outputTokens: number | null;
  processingMs: number | null;
  errorMessage: string | null;
  createdAt: string;
  completedAt: string | null;
}

export interface AccountInfo {
  id: string;
  tier: number;
  tierName: string;
  limits: { maxInboxes: number | null; dailyEmailLimit: number; canSend: boolean };
  usage: { inboxCount: number; totalEmailsReceived: number };
  xVerificationPending: boolean;
  createdAt: string;
  lastActiveAt: string;
}

export interface SmartInboxOptions {
  /** Tried first, in this order. */
  preferred?: string[];
  /** "Sarah Shield" gives sarah-shield, sarah-shield-acme, s-shield, sarah-shield1, … */
  name?: string;
  org?: string;
  displayName?: string;
}

export interface SearchOptions {
  q: string;
  inboxId?: string;
  direction?: Direction;
  from?: string;
  since?: string;
  until?: string;
  hasAttachments?: boolean;
  limit?: number;
  cursor?: string;
}

/** What to note on an email. */
export interface EmailUpdate {
  read?: boolean;
  addLabels?: string[];
  removeLabels?: string[];
}

export type BatchUpdate = EmailUpdate &
  ({ ids: string[]; filter?: never } | { filter: Schemas["BatchFilter"]; ids?: never });

export type BatchResult = Schemas["BatchResult"];

export interface Page<T> {
  data: T[];
  cursor?: string | null;
}

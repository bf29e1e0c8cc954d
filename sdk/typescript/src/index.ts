// Email for agents: the client of Posthouse, and of whatever speaks LobsterMail's contract.

export { LobsterMail, Posthouse } from "./client.js";
export type { LobsterMailConfig, NewToken, Right, TokenInfo } from "./client.js";
export { Domain } from "./domain.js";
export type { DnsRecord, DnsRecordType, DomainData, DomainStatus } from "./domain.js";
export { Email } from "./email.js";
export type { ReceiveResult, SafeOptions, SearchResult } from "./email.js";
export {
  AddressCollisionError,
  AuthenticationError,
  CursorExpiredError,
  InsufficientScopeError,
  InsufficientTierError,
  LeaseLostError,
  LobsterMailError,
  NotFoundError,
  PosthouseError,
  RateLimitError,
  RequestTimeoutError,
} from "./errors.js";
export { WEBHOOK_EVENTS, isEmailEvent } from "./events.js";
export type { MailEvent, WebhookEvent } from "./events.js";
export { Expectation } from "./expectation.js";
export type { ExpectOptions, ExpectationData } from "./expectation.js";
export type { components, operations, paths } from "./generated/openapi.js";
export type { RequestOptions, SendRequestOptions } from "./http.js";
export { Inbox } from "./inbox.js";
export { generateVariations, isValidLocalPart, sanitizeLocalPart } from "./naming.js";
export type { VariationInput } from "./naming.js";
export { Lease } from "./queue.js";
export type { ClaimOptions, LeaseData, QueueData, WorkOptions } from "./queue.js";
export { RealtimeConnection } from "./realtime.js";
export type {
  ConnectionHandler,
  EmailEventHandler,
  ErrorHandler,
  GenericEventHandler,
  RealtimeEvent,
  RealtimeOptions,
} from "./realtime.js";
export { buildSafeBodyForLLM } from "./safety.js";
export type { SafeBodyOptions } from "./safety.js";
export { EventStream } from "./stream.js";
export type { EventPage, EventStreamOptions } from "./stream.js";
export type {
  AccountInfo,
  AttachmentData,
  EmailData,
  EmailSecurity,
  EmailUpdate,
  ExtractedAction,
  ExtractedAmount,
  ExtractedContact,
  ExtractedDate,
  ExtractedScheduling,
  ExtractionResult,
  ForwardOptions,
  InboxData,
  ReadEmailData,
  ReceiveOptions,
  ReplyOptions,
  SafeEmail,
  SearchOptions,
  SendOptions,
  SendResult,
  SmartInboxOptions,
  ThreadDetail,
  ThreadSummary,
  WaitForEmailOptions,
} from "./types.js";
export { WebhookVerificationError, verifyLobsterMailSignature, verifyWebhook } from "./webhooks.js";
export type { VerifyOptions, WebhookPayload } from "./webhooks.js";

/** Of this package. */
export const VERSION = "0.1.0";

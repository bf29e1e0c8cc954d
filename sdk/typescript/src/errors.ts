// What can go wrong, as classes. All of them are LobsterMailErrors, the contract's base class.

/** An answer that is not a 2xx. */
export class LobsterMailError extends Error {
  /** What went wrong, for programs: `error` of the answer. */
  readonly code: string;
  /** The HTTP status. */
  readonly statusCode?: number;
  /** Names the request in the service's log. */
  readonly requestId?: string;
  /** Seconds after which the same request may work, where the service said so. */
  retryAfter?: number;

  constructor(message: string, code: string, statusCode?: number, requestId?: string) {
    super(message);
    this.name = "LobsterMailError";
    this.code = code;
    this.statusCode = statusCode;
    this.requestId = requestId;
  }
}

/** The base class under the name of this service. */
export const PosthouseError = LobsterMailError;
export type PosthouseError = LobsterMailError;

/** 401: the token is missing, wrong, expired or revoked. */
export class AuthenticationError extends LobsterMailError {
  constructor(message: string, requestId?: string) {
    super(message, "authentication_error", 401, requestId);
    this.name = "AuthenticationError";
  }
}

/** 403: the account's tier does not allow it. */
export class InsufficientTierError extends LobsterMailError {
  constructor(message: string, requestId?: string, code = "insufficient_tier") {
    super(message, code, 403, requestId);
    this.name = "InsufficientTierError";
  }
}

/** 403: the token may not do it, or not there. */
export class InsufficientScopeError extends InsufficientTierError {
  constructor(message: string, requestId?: string) {
    super(message, requestId, "insufficient_scope");
    this.name = "InsufficientScopeError";
  }
}

/** 404: there is no such thing, or it is another account's. */
export class NotFoundError extends LobsterMailError {
  constructor(message: string, requestId?: string) {
    super(message, "not_found", 404, requestId);
    this.name = "NotFoundError";
  }
}

/** 429: too much at once; `retryAfter` says when again. */
export class RateLimitError extends LobsterMailError {
  constructor(message: string, requestId?: string) {
    super(message, "rate_limited", 429, requestId);
    this.name = "RateLimitError";
  }
}

/** 409: the address is taken. */
export class AddressCollisionError extends LobsterMailError {
  constructor(message: string, requestId?: string) {
    super(message, "address_collision", 409, requestId);
    this.name = "AddressCollisionError";
  }
}

/** 409: the lease has expired, was given back, or was revoked. Nothing was sent with it. */
export class LeaseLostError extends LobsterMailError {
  constructor(message: string, requestId?: string) {
    super(message, "lease_lost", 409, requestId);
    this.name = "LeaseLostError";
  }
}

/** 410: what is behind the cursor is not kept any more. */
export class CursorExpiredError extends LobsterMailError {
  /** From here on there is everything. */
  readonly oldestCursor?: string;

  constructor(message: string, code: string, requestId?: string, oldestCursor?: string) {
    super(message, code, 410, requestId);
    this.name = "CursorExpiredError";
    this.oldestCursor = oldestCursor;
  }
}

/** No answer came in time. A send that is repeated with the same key is still one mail. */
export class RequestTimeoutError extends LobsterMailError {
  constructor(message: string) {
    super(message, "timeout");
    this.name = "RequestTimeoutError";
  }
}

interface Problem {
  error?: string;
  message?: string;
  requestId?: string;
  oldestCursor?: string;
}

/** The error that an answer is. */
export async function errorOf(response: Response): Promise<LobsterMailError> {
  const problem = (await response.json().catch(() => ({}))) as Problem | null;
  const error = classify(response.status, problem ?? {});
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  if (Number.isFinite(seconds)) error.retryAfter = seconds;
  return error;
}

function classify(status: number, problem: Problem): LobsterMailError {
  const { error: code = "unknown_error", message = `HTTP ${status}`, requestId } = problem;
  switch (status) {
    case 401:
      return new AuthenticationError(message, requestId);
    case 403:
      // The contract knows no other 403 than that of tiers.
      return code === "insufficient_scope"
        ? new InsufficientScopeError(message, requestId)
        : new InsufficientTierError(message, requestId);
    case 404:
      return new NotFoundError(message, requestId);
    case 410:
      return new CursorExpiredError(message, code, requestId, problem.oldestCursor);
    case 429:
      return new RateLimitError(message, requestId);
  }
  if (status === 409 && code === "address_collision") {
    return new AddressCollisionError(message, requestId);
  }
  if (status === 409 && code === "lease_lost") return new LeaseLostError(message, requestId);
  return new LobsterMailError(message, code, status, requestId);
}

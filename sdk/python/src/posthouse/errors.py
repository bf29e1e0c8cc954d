"""What can go wrong, as classes. All of them are PosthouseErrors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast


class PosthouseError(Exception):
    """An answer that is not a 2xx, or none in time."""

    def __init__(
        self,
        message: str,
        code: str,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """What went wrong, for programs."""
        self.status_code = status_code
        self.request_id = request_id
        """Names the request in the service's log."""
        self.retry_after = retry_after
        """Seconds after which the same request may work, where the service said so."""


class AuthenticationError(PosthouseError):
    """401: the token is missing, wrong, expired or revoked."""


class InsufficientTierError(PosthouseError):
    """403: the account's tier does not allow it."""


class InsufficientScopeError(InsufficientTierError):
    """403: the token may not do it, or not there."""


class NotFoundError(PosthouseError):
    """404: there is no such thing, or it is another account's."""


class RateLimitError(PosthouseError):
    """429: too much at once; `retry_after` says when again."""


class ConflictError(PosthouseError):
    """409: what is there does not allow it."""


class AddressCollisionError(ConflictError):
    """409: the address is taken."""


class LeaseLostError(ConflictError):
    """409: the lease has expired, was given back, or was revoked. Nothing was sent with it."""


class CursorExpiredError(PosthouseError):
    """410: what is behind the cursor is not kept any more; from `oldest_cursor` on there is everything."""

    oldest_cursor: str | None = None


class ConnectionFailedError(PosthouseError):
    """No answer came, or not in time. A send that is repeated with the same key is still one mail."""


_BY_STATUS: dict[int, type[PosthouseError]] = {
    401: AuthenticationError,
    403: InsufficientTierError,
    404: NotFoundError,
    409: ConflictError,
    410: CursorExpiredError,
    429: RateLimitError,
}
_BY_CODE: dict[str, type[PosthouseError]] = {
    "address_collision": AddressCollisionError,
    "insufficient_scope": InsufficientScopeError,
    "lease_lost": LeaseLostError,
}


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> PosthouseError:
    """The error that an answer is."""
    try:
        parsed: Any = json.loads(content)
    except ValueError:
        parsed = None
    problem = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    code = str(problem.get("error", "unknown_error"))
    kind = _BY_STATUS.get(status, PosthouseError)
    if status in (403, 409):
        kind = _BY_CODE.get(code, kind)
    try:
        retry_after = float(headers["retry-after"])
    except (KeyError, ValueError):
        retry_after = None
    message = str(problem.get("message", f"HTTP {status}"))
    error = kind(message, code, status, problem.get("requestId"), retry_after)
    if isinstance(error, CursorExpiredError):
        error.oldest_cursor = problem.get("oldestCursor")
    return error

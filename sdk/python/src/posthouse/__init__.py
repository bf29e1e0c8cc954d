"""Email for agents: the client of Posthouse, `Posthouse` and, for asyncio, `AsyncPosthouse`."""

from . import models
from ._async._client import AsyncPosthouse
from ._async._email import AsyncEmail, AsyncLease
from ._async._events import AsyncEventStream
from ._async._inbox import AsyncExpectation, AsyncInbox
from ._sync._client import Posthouse
from ._sync._email import Email, Lease
from ._sync._events import EventStream
from ._sync._inbox import Expectation, Inbox
from .errors import (
    AddressCollisionError,
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    CursorExpiredError,
    InsufficientScopeError,
    InsufficientTierError,
    LeaseLostError,
    NotFoundError,
    PosthouseError,
    RateLimitError,
)
from .events import Event, EventPage
from .shapes import ExpectationData, LeaseData, QueueState, SendResult, TokenInfo
from .webhooks import (
    WebhookPayload,
    WebhookVerificationError,
    verify_lobstermail_signature,
    verify_webhook,
)

__version__ = "0.1.0"

__all__ = [
    "AddressCollisionError",
    "AsyncEmail",
    "AsyncEventStream",
    "AsyncExpectation",
    "AsyncInbox",
    "AsyncLease",
    "AsyncPosthouse",
    "AuthenticationError",
    "ConflictError",
    "ConnectionFailedError",
    "CursorExpiredError",
    "Email",
    "Event",
    "EventPage",
    "EventStream",
    "Expectation",
    "ExpectationData",
    "Inbox",
    "InsufficientScopeError",
    "InsufficientTierError",
    "Lease",
    "LeaseData",
    "LeaseLostError",
    "NotFoundError",
    "Posthouse",
    "PosthouseError",
    "QueueState",
    "RateLimitError",
    "SendResult",
    "TokenInfo",
    "WebhookPayload",
    "WebhookVerificationError",
    "models",
    "verify_lobstermail_signature",
    "verify_webhook",
]

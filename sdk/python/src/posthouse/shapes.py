"""Shapes that the OpenAPI description has no name for, or that the clients add to."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from . import models
from ._base import Model

Kind = Literal["reply", "code", "link", "any"]


class NewAccount(Model):
    id: str
    token: str


class EmailPage(Model):
    data: list[models.Email]
    cursor: str | None = None


class Place(Model):
    has_more: bool = Field(alias="hasMore")
    cursor: str | None = None


class FoundPage(Model):
    data: list[models.Email]
    pagination: Place


class InboxPage(Model):
    data: list[models.Inbox]


class DomainPage(Model):
    data: list[models.Domain]


class SendResult(Model):
    """What became of a request to send. Of a dry run there is no id, and `status` is "valid"."""

    id: str | None = None
    status: str
    body_differs: bool = Field(default=False, alias="bodyDiffers")
    """The key was used before, for a mail of other words, which is the one that went."""
    recipients: list[str] = Field(default_factory=list)
    held_because: list[models.HoldReason] | None = Field(default=None, alias="heldBecause")
    send_at: str | None = Field(default=None, alias="sendAt")


class LeaseData(Model):
    lease_id: str = Field(alias="leaseId")
    email_id: str = Field(alias="emailId")
    thread_id: str | None = Field(default=None, alias="threadId")
    inbox_id: str = Field(alias="inboxId")
    worker: str = ""
    attempt: int = 1
    expires_at: str = Field(alias="expiresAt")
    email: models.ReadEmail | None = None


class Claimed(Model):
    data: list[LeaseData]


class Counts(Model):
    ready: int
    leased: int
    delayed: int
    set_aside: int = Field(alias="setAside")
    acked: int


class QueueState(Model):
    """How many emails of an inbox wait, are worked on, and were tried too often."""

    inbox_id: str = Field(alias="inboxId")
    max_attempts: int = Field(alias="maxAttempts")
    counts: Counts


class ExpectationData(Model):
    id: str
    inbox_id: str = Field(alias="inboxId")
    kind: str
    state: str
    """waiting, matched, expired, ambiguous or cancelled."""
    created_at: str = Field(alias="createdAt")
    deadline: str
    email_id: str | None = Field(default=None, alias="emailId")
    code: str | None = None
    link: str | None = None
    candidates: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    """Of one that is ambiguous: what is as good, up to ten."""
    passed_over: dict[str, Any] | None = Field(default=None, alias="passedOver")
    """The newest mail that came from the right place and did not count, and why."""


class ExpectationPage(Model):
    data: list[ExpectationData]


class TokenInfo(Model):
    id: str
    token: str | None = None
    """Shown once, when it is made."""
    label: str | None = None
    rights: list[str] = Field(default_factory=list)
    inbox_ids: list[str] | None = Field(default=None, alias="inboxIds")
    thread_ids: list[str] | None = Field(default=None, alias="threadIds")
    expires_at: str | None = Field(default=None, alias="expiresAt")
    last_used_at: str | None = Field(default=None, alias="lastUsedAt")
    limits: dict[str, Any] | None = None


class TokenPage(Model):
    data: list[TokenInfo]

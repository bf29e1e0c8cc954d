"""An email, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from .. import models
from .._rules import given
from ..shapes import LeaseData, SendResult
from ._http import AsyncHttp, T

_RISK = 0.5
"""From this score on, an email counts as one that tries to give orders."""


class AsyncEmail:
    """`data` has all that the service said of it; lists and events bring no body: see `load()`."""

    def __init__(self, data: models.Email | models.ReadEmail, http: AsyncHttp) -> None:
        self.data = data
        self._http = http

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.data.subject!r}>"

    @property
    def id(self) -> str:
        return self.data.id

    @property
    def inbox_id(self) -> str:
        return self.data.inbox_id

    @property
    def from_(self) -> str:
        return self.data.from_

    @property
    def to(self) -> list[str]:
        return self.data.to

    @property
    def subject(self) -> str:
        return self.data.subject

    @property
    def labels(self) -> list[str]:
        return self.data.labels

    @property
    def thread_id(self) -> str | None:
        return self.data.thread_id

    @property
    def status(self) -> str | None:
        return self.data.status

    @property
    def body(self) -> str | None:
        """The text; None until it is loaded."""
        return self.data.body

    @property
    def reply_text(self) -> str | None:
        """What the sender wrote, without what is answered and without signature; None until loaded."""
        return self.data.reply_text if isinstance(self.data, models.ReadEmail) else None

    @property
    def code(self) -> str | None:
        """The one-time code that it brings, once loaded."""
        return self.data.code if isinstance(self.data, models.ReadEmail) else None

    @property
    def links(self) -> list[models.ReadLink]:
        """Those that confirm, log in or reset first, once loaded."""
        return self.data.links if isinstance(self.data, models.ReadEmail) else []

    @property
    def is_injection_risk(self) -> bool:
        security = self.data.security
        return security is not None and (security.injection_risk_score or 0) >= _RISK

    async def load(self) -> AsyncEmail:
        """Loads text, reply, code, links and header fields, unless they are here."""
        if not isinstance(self.data, models.ReadEmail):
            self.data = await self._http.get(models.ReadEmail, self._path())
        return self

    async def safe(
        self, *, datamark: bool | None = None, hidden: Literal["name", "show"] | None = None
    ) -> models.SafeEmail:
        """The rendering for language models: a nonce in its fence, nothing hidden, real hosts of links."""
        query = {"datamark": datamark, "hidden": hidden}
        return await self._http.get(models.SafeEmail, f"{self._path()}/safe", query)

    async def raw(self) -> bytes:
        """The octets as they were received or sent, our header fields before them."""
        return (await self._http.send("GET", f"{self._path()}/raw")).content

    async def download_attachment(self, index: int) -> bytes:
        link = await self._http.get(models.Download, f"{self._path()}/attachments/{index}")
        return await self._http.fetch(link.download_url)

    async def extract(self) -> models.ExtractionResult:
        """People, dates, amounts, meetings and actions in it."""
        return await self._http.post(models.ExtractionResult, f"{self._path()}/extract", idempotent=True)

    async def reply(
        self,
        text: str | None = None,
        *,
        html: str | None = None,
        to_all: bool = False,
        cc: Sequence[str] | None = None,
        bcc: Sequence[str] | None = None,
        attachments: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        send_at: datetime | str | None = None,
        ttl_seconds: int | None = None,
        allow_auto_reply: bool | None = None,
        automatic: str | None = None,
        validate_only: bool | None = None,
        lease_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> SendResult:
        """Answers the sender, or all; the conversation goes on by itself."""
        body = given(
            body=given(text=text, html=html),
            cc=cc,
            bcc=bcc,
            attachments=attachments,
            headers=headers,
            send_at=send_at,
            ttl_seconds=ttl_seconds,
            allow_auto_reply=allow_auto_reply,
            automatic=automatic,
            validate_only=validate_only,
            lease_id=lease_id,
        )
        return await self._answer("reply-all" if to_all else "reply", body, idempotency_key)

    async def forward(
        self,
        to: str | Sequence[str],
        *,
        text: str | None = None,
        html: str | None = None,
        inline: bool | None = None,
        idempotency_key: str | None = None,
    ) -> SendResult:
        """Passes it on."""
        recipients = [to] if isinstance(to, str) else list(to)
        body = given(to=recipients, body=given(text=text, html=html) or None, inline=inline)
        return await self._answer("forward", body, idempotency_key)

    async def _answer(self, how: str, body: dict[str, Any], key: str | None) -> SendResult:
        return await self._http.post_once(SendResult, f"/v1/emails/{self.id}/{how}", body, key)

    async def update(
        self,
        *,
        read: bool | None = None,
        add_labels: Sequence[str] | None = None,
        remove_labels: Sequence[str] | None = None,
    ) -> models.Updated:
        """Notes on it that it was read, and labels; all of it or nothing."""
        body = given(read=read, add_labels=add_labels, remove_labels=remove_labels)
        return await self._http.call(models.Updated, "PATCH", f"/v1/emails/{self.id}", body=body)

    async def cancel(self) -> models.Cancellation:
        """Calls it back, if it waits."""
        return await self._decide(models.Cancellation, "cancel", None)

    async def approve(
        self,
        *,
        sha256: str | None = None,
        reason: str | None = None,
        allow: Literal["recipient", "domain"] | None = None,
    ) -> models.Outcome:
        """Lets a held mail go, exactly as it is."""
        return await self._decide(models.Outcome, "approve", given(sha256=sha256, reason=reason, allow=allow))

    async def decline(self, *, reason: str | None = None) -> models.Outcome:
        """A held mail never goes."""
        return await self._decide(models.Outcome, "decline", given(reason=reason))

    async def resolve(self, as_: Literal["sent", "retry"]) -> models.Resolved:
        """Says what became of a mail of which nobody knows whether it was taken."""
        return await self._decide(models.Resolved, "resolve", {"as": as_})

    async def _decide(self, kind: type[T], what: str, body: Any) -> T:
        return await self._http.post(kind, f"/v1/emails/{self.id}/{what}", body, idempotent=True)

    async def deliveries(self) -> models.Deliveries:
        """Every attempt and every report of a sent mail."""
        return await self._http.get(models.Deliveries, f"/v1/emails/{self.id}/deliveries")

    def _path(self) -> str:
        return f"/v1/inboxes/{self.inbox_id}/emails/{self.id}"


class AsyncLease:
    """An email that is this worker's until the lease ends: acked, given back, or expired."""

    def __init__(self, data: LeaseData, http: AsyncHttp) -> None:
        self.data = data
        self._http = http
        if data.email is None:
            raise ValueError("a lease without its email")
        self.email = AsyncEmail(data.email, http)

    @property
    def id(self) -> str:
        return self.data.lease_id

    @property
    def attempt(self) -> int:
        """1 for the first time."""
        return self.data.attempt

    @property
    def expires_at(self) -> str:
        return self.data.expires_at

    async def ack(self) -> None:
        """It is done, and nobody gets it again."""
        await self._post("ack", None)

    async def nak(self, *, delay_seconds: int | None = None, reason: str | None = None) -> None:
        """Somebody else is to have it, if wanted after a while."""
        await self._post("nak", given(delay_seconds=delay_seconds, reason=reason))

    async def extend(self, lease_seconds: int = 60) -> None:
        """So much time more, from now on."""
        lease = await self._post("extend", given(lease_seconds=lease_seconds))
        self.data = self.data.model_copy(update={"expires_at": lease.expires_at})

    async def reply(self, text: str | None = None, **options: Any) -> SendResult:
        """Answers and acks in one step. A lost lease raises `LeaseLostError`, and nothing was sent."""
        return await self.email.reply(text, lease_id=self.id, **options)

    async def _post(self, what: str, body: Any) -> LeaseData:
        return await self._http.post(LeaseData, f"/v1/leases/{self.id}/{what}", body, idempotent=True)

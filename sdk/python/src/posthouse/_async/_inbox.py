"""An inbox: reading what came, waiting for what comes, sending."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from .. import models
from .._rules import WINDOW, addresses, given
from ..shapes import (
    Claimed,
    EmailPage,
    ExpectationData,
    ExpectationPage,
    Kind,
    QueueState,
    SendResult,
)
from ._email import AsyncEmail, AsyncLease
from ._http import AsyncHttp


class AsyncInbox:
    def __init__(self, data: models.Inbox, http: AsyncHttp) -> None:
        self.data = data
        self._http = http

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.address}>"

    @property
    def id(self) -> str:
        return self.data.id

    @property
    def address(self) -> str:
        return self.data.address

    async def receive(
        self,
        *,
        limit: int | None = None,
        since: datetime | str | None = None,
        direction: Literal["inbound", "outbound"] | None = None,
        label: str | None = None,
        unread: bool | None = None,
        cursor: str | None = None,
    ) -> tuple[list[AsyncEmail], str | None]:
        """A page of emails, newest first, without their bodies; and the cursor to the next page."""
        query = {
            "limit": limit,
            "since": since,
            "direction": direction,
            "label": label,
            "unread": unread,
            "cursor": cursor,
        }
        page = await self._http.get(EmailPage, f"{self._path()}/emails", query)
        return [AsyncEmail(it, self._http) for it in page.data], page.cursor

    async def emails(self, **options: Any) -> AsyncGenerator[AsyncEmail, None]:
        """All emails, newest first, page by page as they are asked for."""
        cursor: str | None = None
        while True:
            page: dict[str, Any] = {"limit": 100, **options, "cursor": cursor}
            emails, cursor = await self.receive(**page)
            for email in emails:
                yield email
            if not cursor:
                return

    async def get_email(self, email_id: str) -> AsyncEmail:
        """An email with all that is read of it."""
        data = await self._http.get(models.ReadEmail, f"{self._path()}/emails/{email_id}")
        return AsyncEmail(data, self._http)

    async def wait_for_email(
        self,
        *,
        timeout: float = 60,
        from_: str | None = None,
        subject: str | re.Pattern[str] | None = None,
        since: datetime | str | None = None,
    ) -> AsyncEmail | None:
        """The first email that fits, with all that is read of it; None if none comes in time."""
        end = time.monotonic() + timeout
        if since is None:
            since = datetime.now(timezone.utc) - timedelta(seconds=1)
        while (remaining := end - time.monotonic()) > 0:
            seconds = max(1, min(WINDOW, int(remaining + 0.999)))
            wanted = subject if isinstance(subject, str) else None
            query = {"timeout": seconds, "since": since, "from_": from_, "subject": wanted}
            response = await self._http.send(
                "GET", f"{self._path()}/emails/poll", query=query, timeout=seconds + 10
            )
            if response.status_code == 204:
                continue
            for email in EmailPage.model_validate_json(response.content).data:
                if not isinstance(subject, re.Pattern) or subject.search(email.subject):
                    return await AsyncEmail(email, self._http).load()
        return None

    async def send(
        self,
        to: str | Sequence[str],
        subject: str,
        text: str | None = None,
        *,
        html: str | None = None,
        cc: Sequence[str] | None = None,
        bcc: Sequence[str] | None = None,
        reply_to: str | None = None,
        in_reply_to: str | None = None,
        thread_id: str | None = None,
        attachments: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        send_at: datetime | str | None = None,
        ttl_seconds: int | None = None,
        on_unknown: Literal["retry", "hold"] | None = None,
        notify: Sequence[str] | None = None,
        automatic: Literal["auto-generated", "auto-replied", "no"] | None = None,
        allow_auto_reply: bool | None = None,
        forwards: str | None = None,
        validate_only: bool | None = None,
        lease_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> SendResult:
        """Sends a mail. A key is made for each call, so that it is one mail however often it is tried.

        An attachment is `{"filename", "contentType", "content"}` with its content in base64, or
        `{"uploadId"}`.
        """
        body = given(
            from_=self.address,
            to=addresses(to),
            cc=cc,
            bcc=bcc,
            subject=subject,
            body=given(text=text, html=html),
            reply_to=reply_to,
            in_reply_to=in_reply_to,
            thread_id=thread_id,
            attachments=attachments,
            headers=headers,
            send_at=send_at,
            ttl_seconds=ttl_seconds,
            on_unknown=on_unknown,
            notify=notify,
            automatic=automatic,
            allow_auto_reply=allow_auto_reply,
            forwards=forwards,
            validate_only=validate_only,
            lease_id=lease_id,
        )
        return await self._http.post_once(SendResult, "/v1/emails/send", body, idempotency_key)

    async def threads(self, *, limit: int | None = None, cursor: str | None = None) -> models.Threads:
        return await self._http.get(
            models.Threads, f"{self._path()}/threads", {"limit": limit, "cursor": cursor}
        )

    async def thread(self, thread_id: str) -> models.ThreadDetail:
        """A conversation, oldest first."""
        return await self._http.get(models.ThreadDetail, f"{self._path()}/threads/{thread_id}")

    async def claim(
        self,
        *,
        max: int = 1,  # noqa: A002 (the service's word)
        lease_seconds: int = 60,
        worker: str | None = None,
        wait_seconds: int = 0,
        idempotency_key: str | None = None,
    ) -> list[AsyncLease]:
        """Takes mail to work on, which nobody else gets until the lease is over."""
        body = given(max=max, lease_seconds=lease_seconds, worker=worker, timeout=wait_seconds)
        path, timeout = f"{self._path()}/claim", wait_seconds + 15
        claimed = await self._http.post_once(Claimed, path, body, idempotency_key, timeout=timeout)
        return [AsyncLease(it, self._http) for it in claimed.data]

    async def queue(self) -> QueueState:
        return await self._http.get(QueueState, f"{self._path()}/queue")

    async def set_queue(self, *, max_attempts: int) -> QueueState:
        body = given(max_attempts=max_attempts)
        return await self._http.call(QueueState, "PUT", f"{self._path()}/queue", body=body)

    async def set_aside(self) -> list[AsyncEmail]:
        """Mail that was tried too often."""
        page = await self._http.get(EmailPage, f"{self._path()}/set-aside")
        return [AsyncEmail(it, self._http) for it in page.data]

    async def expect(
        self,
        kind: Kind,
        *,
        in_reply_to: str | None = None,
        from_domain: str | None = None,
        deadline: datetime | str | None = None,
        timeout_seconds: int | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncExpectation:
        """Lets the service wait for an answer, a code or a link, whatever is restarted meanwhile."""
        body = given(
            kind=kind,
            in_reply_to=in_reply_to,
            from_domain=from_domain,
            deadline=deadline,
            timeout_seconds=timeout_seconds,
        )
        path = f"{self._path()}/expect"
        data = await self._http.post_once(ExpectationData, path, body, idempotency_key)
        return AsyncExpectation(data, self._http)

    async def expectations(self) -> list[AsyncExpectation]:
        page = await self._http.get(ExpectationPage, f"{self._path()}/expectations")
        return [AsyncExpectation(it, self._http) for it in page.data]

    async def policy(self) -> models.Policy:
        """What is done with mail that comes."""
        return await self._http.get(models.Policy, f"{self._path()}/policy")

    async def set_policy(self, settings: Mapping[str, Any]) -> models.Policy:
        return await self._http.call(models.Policy, "PUT", f"{self._path()}/policy", body=dict(settings))

    async def outbound_policy(self) -> models.OutboundPolicy:
        """What holds mail that goes."""
        return await self._http.get(models.OutboundPolicy, f"{self._path()}/outbound-policy")

    async def set_outbound_policy(self, **rules: Any) -> models.OutboundPolicy:
        """`secrets`, `information_flow`, `injection`, `injection_threshold`, `approval`, …"""
        path = f"{self._path()}/outbound-policy"
        return await self._http.call(models.OutboundPolicy, "PUT", path, body=given(**rules))

    async def reputation(self) -> models.Reputation:
        """How its mail fares: bounces, complaints, and whether it may send."""
        return await self._http.get(models.Reputation, f"{self._path()}/reputation")

    def _path(self) -> str:
        return f"/v1/inboxes/{self.id}"


class AsyncExpectation:
    """Something that the service waits for on an agent's behalf."""

    def __init__(self, data: ExpectationData, http: AsyncHttp) -> None:
        self.data = data
        self._http = http

    @property
    def id(self) -> str:
        return self.data.id

    @property
    def state(self) -> str:
        return self.data.state

    async def wait(self, timeout: float = float("inf")) -> ExpectationData:
        """Waits until it is settled, whichever way; `state` is "waiting" if it is not in time."""
        end = time.monotonic() + timeout
        while self.state == "waiting" and (remaining := end - time.monotonic()) > 0:
            seconds = int(min(WINDOW, remaining + 0.999))
            self.data = await self._http.get(
                ExpectationData, f"/v1/expectations/{self.id}", {"timeout": seconds}, timeout=seconds + 10
            )
        return self.data

    async def cancel(self) -> None:
        """It matches nothing any more."""
        await self._http.delete(f"/v1/expectations/{self.id}")

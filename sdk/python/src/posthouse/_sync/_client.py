# Made of _async/_client.py by tools/make_sync.py: change that one.
"""The account: the way in, and what belongs to no inbox."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal

import httpx

from .. import models
from .._rules import DEFAULT_BASE_URL, TIMEOUT, given, keep_token, known_token, local_parts
from ..errors import AddressCollisionError, PosthouseError
from ..events import Event, EventPage
from ..shapes import (
    DomainPage,
    EmailPage,
    ExpectationData,
    FoundPage,
    InboxPage,
    NewAccount,
    TokenInfo,
    TokenPage,
)
from ._email import Email
from ._events import EventStream, Transport
from ._http import Http
from ._inbox import Expectation, Inbox

Right = Literal["read", "send", "reply", "admin"]


class Posthouse:
    """`create()` finds a token or signs up; with a token at hand the class does.

    `base_url` is `POSTHOUSE_URL` of the environment, or where `posthouse dev` listens, unless it is given.
    Close it, or use it in a `with` statement.
    """

    def __init__(
        self,
        token: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float = TIMEOUT,
        max_retries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        where = base_url or os.environ.get("POSTHOUSE_URL") or DEFAULT_BASE_URL
        self._http = Http(where, token, timeout=timeout, max_retries=max_retries, transport=transport)

    @classmethod
    def create(
        cls,
        token: str | None = None,
        base_url: str | None = None,
        *,
        auto_signup: bool = True,
        persist_token: bool = True,
        **options: Any,
    ) -> Posthouse:
        """With the token given, that of `POSTHOUSE_TOKEN`, of `~/.posthouse/token`, or of a new account."""
        client = cls(token or known_token(), base_url, **options)
        if client.token is None:
            if not auto_signup:
                client.close()
                raise ValueError("there is no token: give one, or set POSTHOUSE_TOKEN")
            account = client._http.post(NewAccount, "/v1/signup")
            client._http.token = account.token
            if persist_token:
                keep_token(account.token)
        return client

    def __enter__(self) -> Posthouse:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def token(self) -> str | None:
        return self._http.token

    def request(self, method: str, path: str, *, query: Any = None, body: Any = None) -> Any:
        """Any operation of the API, as JSON; None for an answer without."""
        response = self._http.send(method, path, query=query, body=body)
        return response.json() if response.content else None

    def account(self) -> models.Account:
        return self._http.get(models.Account, "/v1/account")

    def create_inbox(
        self, *, display_name: str | None = None, local_part: str | None = None, domain: str | None = None
    ) -> Inbox:
        """With an address of the service's choice, unless a local part is given."""
        body = given(display_name=display_name, local_part=local_part, domain=domain)
        return Inbox(self._http.post(models.Inbox, "/v1/inboxes", body), self._http)

    def create_smart_inbox(
        self,
        *,
        name: str | None = None,
        org: str | None = None,
        preferred: Iterable[str] = (),
        display_name: str | None = None,
    ) -> Inbox:
        """With the first name that is free of those preferred, and of those made of `name` and `org`."""
        for local_part in local_parts(name, org, preferred):
            try:
                return self.create_inbox(local_part=local_part, display_name=display_name)
            except AddressCollisionError:
                continue
        return self.create_inbox(display_name=display_name)

    def get_inbox(self, inbox_id: str) -> Inbox:
        return Inbox(self._http.get(models.Inbox, f"/v1/inboxes/{inbox_id}"), self._http)

    def list_inboxes(self) -> list[Inbox]:
        """Those that are not deleted."""
        page = self._http.get(InboxPage, "/v1/inboxes")
        return [Inbox(it, self._http) for it in page.data]

    def delete_inbox(self, inbox_id: str) -> None:
        self._http.delete(f"/v1/inboxes/{inbox_id}")

    def get_email(self, email_id: str) -> Email:
        """An email, whichever inbox it is in."""
        return Email(self._http.get(models.ReadEmail, f"/v1/emails/{email_id}"), self._http)

    def search_emails(
        self,
        q: str = "",
        *,
        inbox_id: str | None = None,
        direction: Literal["inbound", "outbound"] | None = None,
        from_: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        has_attachments: bool | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> tuple[list[Email], str | None]:
        """A page of what was found, and the cursor to the next one."""
        query = {
            "q": q,
            "inbox_id": inbox_id,
            "direction": direction,
            "from_": from_,
            "since": since,
            "until": until,
            "has_attachments": has_attachments,
            "limit": limit,
            "cursor": cursor,
        }
        page = self._http.get(FoundPage, "/v1/emails/search", query)
        return [Email(it, self._http) for it in page.data], page.pagination.cursor

    def update_emails(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 (the service's word)
        read: bool | None = None,
        add_labels: Sequence[str] | None = None,
        remove_labels: Sequence[str] | None = None,
    ) -> models.BatchResult:
        """Notes labels, and what was read, on up to 100 emails at once."""
        body = given(ids=ids, filter=filter, read=read, add_labels=add_labels, remove_labels=remove_labels)
        return self._http.post(models.BatchResult, "/v1/emails/batch", body, idempotent=True)

    def labels(self) -> models.LabelList:
        return self._http.get(models.LabelList, "/v1/labels")

    def upload(self, filename: str, content: bytes, content_type: str) -> models.Uploaded:
        """A file of up to 25 MiB that mails can name for 24 hours, instead of carrying it each time."""
        return self._http.call(
            models.Uploaded,
            "POST",
            "/v1/uploads",
            query={"filename": filename},
            content=content,
            headers={"content-type": content_type},
            timeout=120,
            idempotent=True,
        )

    def holds(
        self, state: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> tuple[list[Email], str | None]:
        """Mail that waits for somebody's decision, or did."""
        query = {"state": state, "limit": limit, "cursor": cursor}
        page = self._http.get(EmailPage, "/v1/holds", query)
        return [Email(it, self._http) for it in page.data], page.cursor

    def policy(self) -> models.Policy:
        """What is done with mail that comes, in every inbox without a policy of its own."""
        return self._http.get(models.Policy, "/v1/policy")

    def set_policy(self, settings: Mapping[str, Any]) -> models.Policy:
        return self._http.call(models.Policy, "PUT", "/v1/policy", body=dict(settings))

    def outbound_policy(self) -> models.OutboundPolicy:
        """What holds mail that goes, in every inbox without a policy of its own."""
        return self._http.get(models.OutboundPolicy, "/v1/outbound-policy")

    def set_outbound_policy(self, **rules: Any) -> models.OutboundPolicy:
        return self._http.call(models.OutboundPolicy, "PUT", "/v1/outbound-policy", body=given(**rules))

    def allow_outbound(
        self, recipient: str, *, kind: str | None = None, inbox_id: str | None = None, note: str | None = None
    ) -> models.Rule:
        """Lets mail to a recipient go although there is a reason to hold it."""
        body = given(recipient=recipient, kind=kind, inbox_id=inbox_id, note=note)
        return self._http.post(models.Rule, "/v1/outbound-allow", body)

    def add_canary(self, label: str, *, kind: str | None = None) -> models.CanaryShown:
        """Something that looks like a secret; mail that carries it is held."""
        return self._http.post(models.CanaryShown, "/v1/canaries", given(label=label, kind=kind))

    def create_webhook(
        self, url: str, *, inbox_id: str | None = None, events: Sequence[str] | None = None
    ) -> models.Webhook:
        """Its `secret` is shown here, and nowhere else."""
        body = given(url=url, inbox_id=inbox_id, events=events)
        return self._http.post(models.Webhook, "/v1/webhooks", body)

    def webhooks(self) -> models.Webhooks:
        return self._http.get(models.Webhooks, "/v1/webhooks")

    def update_webhook(self, webhook_id: str, **changes: Any) -> models.Webhook:
        path = f"/v1/webhooks/{webhook_id}"
        return self._http.call(models.Webhook, "PATCH", path, body=given(**changes))

    def rotate_webhook_secret(
        self, webhook_id: str, *, overlap_hours: int | None = None
    ) -> models.Webhook:
        """A new secret; the old one signs too for a while."""
        path = f"/v1/webhooks/{webhook_id}/rotate"
        return self._http.post(models.Webhook, path, given(overlap_hours=overlap_hours))

    def delete_webhook(self, webhook_id: str) -> None:
        self._http.delete(f"/v1/webhooks/{webhook_id}")

    def add_domain(self, domain: str) -> models.Domain:
        return self._http.post(models.Domain, "/v1/domains", {"domain": domain})

    def domains(self) -> list[models.Domain]:
        return (self._http.get(DomainPage, "/v1/domains")).data

    def verify_domain(self, domain_id: str) -> models.Domain:
        return self._http.post(models.Domain, f"/v1/domains/{domain_id}/verify")

    def delete_domain(self, domain_id: str) -> None:
        self._http.delete(f"/v1/domains/{domain_id}")

    def create_token(
        self,
        *,
        label: str | None = None,
        rights: Sequence[Right] | None = None,
        inbox_ids: Sequence[str] | None = None,
        thread_ids: Sequence[str] | None = None,
        expires_at: datetime | str | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> TokenInfo:
        """A token that may no more than this one. Its `token` is shown here, and nowhere else."""
        body = given(
            label=label,
            rights=rights,
            inbox_ids=inbox_ids,
            thread_ids=thread_ids,
            expires_at=expires_at,
            limits=limits,
        )
        return self._http.post(TokenInfo, "/v1/tokens", body)

    def tokens(self) -> list[TokenInfo]:
        return (self._http.get(TokenPage, "/v1/tokens")).data

    def current_token(self) -> TokenInfo:
        """What this token may do."""
        return self._http.get(TokenInfo, "/v1/tokens/current")

    def delete_token(self, token_id: str) -> None:
        self._http.delete(f"/v1/tokens/{token_id}")

    def get_expectation(self, expectation_id: str) -> Expectation:
        data = self._http.get(ExpectationData, f"/v1/expectations/{expectation_id}")
        return Expectation(data, self._http)

    def requeue_email(self, email_id: str) -> None:
        """Gives a mail that was set aside another chance."""
        self._http.send("POST", f"/v1/emails/{email_id}/requeue")

    def list_events(
        self,
        after: str | None = None,
        *,
        types: Sequence[str] | None = None,
        inbox_id: str | None = None,
        limit: int | None = None,
        wait_seconds: int = 0,
    ) -> EventPage:
        """What happened behind a cursor: one answer, at once or when something happens."""
        query = {"after": after, "types": types, "inbox": inbox_id, "limit": limit, "timeout": wait_seconds}
        return self._http.get(EventPage, "/v1/events", query, timeout=wait_seconds + 10)

    def events(
        self,
        after: str | None = None,
        *,
        types: Sequence[str] | None = None,
        inbox_id: str | None = None,
        transport: Transport = "websocket",
        on_expired: Literal["raise", "oldest"] = "raise",
        on_disconnect: Callable[[PosthouseError | None], None] | None = None,
    ) -> EventStream:
        """Every event, each once, for as long as you listen."""
        return EventStream(
            self._http,
            after=after,
            types=types,
            inbox_id=inbox_id,
            transport=transport,
            on_expired=on_expired,
            on_disconnect=on_disconnect,
        )

    def email_of(self, event: Event) -> Email | None:
        """The email that an event is about, to do something with it."""
        return Email(event.email, self._http) if event.email else None

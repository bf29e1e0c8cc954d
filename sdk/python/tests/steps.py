"""The journey's steps, for the asynchronous client. journey.py makes those of the synchronous one of them."""

import itertools
import random
import smtplib
import socketserver
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer

import posthouse
from posthouse import AsyncInbox, AsyncPosthouse

LONG_AGO = "2020-01-01T00:00:00.000Z"


class Journey:
    def __init__(self, base_url: str, smtp: str) -> None:
        self.base_url = base_url
        host, _, port = smtp.rpartition(":")
        self.smtp = (host, int(port))

    def receive(self, inbox: AsyncInbox, subject: str, text: str = "x") -> None:
        """A mail from outside."""
        mail = EmailMessage()
        mail["From"] = "Sarah <sarah@example.com>"
        mail["To"] = inbox.address
        mail["Subject"] = subject
        mail["Message-ID"] = f"<{uuid.uuid4()}@example.com>"
        mail.set_content(text)
        with smtplib.SMTP(*self.smtp, timeout=30) as server:
            assert server.send_message(mail, "sarah@example.com", [inbox.address]) == {}

    async def sign_up(self, **options) -> AsyncPosthouse:
        client = AsyncPosthouse(base_url=self.base_url)
        account = await client.request("POST", "/v1/signup")
        await client.aclose()
        return AsyncPosthouse(account["token"], self.base_url, **options)

    async def arrived(self, inbox: AsyncInbox, subject: str):
        email = await inbox.wait_for_email(subject=subject, since=LONG_AGO, timeout=40)
        assert email, f"{subject} did not come"
        return email

    async def has(self, client: AsyncPosthouse, path: str) -> bool:
        return path in (await client.request("GET", "/openapi.json"))["paths"]

    async def run(self) -> None:
        async with await self.sign_up() as client:
            inbox = await client.create_inbox(display_name="Sarah")
            await self.account(client, inbox)
            await self.reading(client, inbox)
            await self.sending(client, inbox)
            await self.lost_answers(client, inbox)
            await self.patience()
            await self.holds(client, inbox)
            await self.webhooks(client, inbox)
            await self.events(client, inbox)
            await self.refusals(client)
            later = {
                "/v1/inboxes/{inboxId}/claim": self.queue,
                "/v1/inboxes/{inboxId}/expect": self.expectations,
                "/v1/tokens": self.tokens,
            }
            for path, step in later.items():
                if await self.has(client, path):
                    await step(client)
                else:
                    print(f"SKIPPED: {path}: the service does not have it")

    async def account(self, client: AsyncPosthouse, inbox: AsyncInbox) -> None:
        account = await client.account()
        assert account.limits.can_send
        assert account.usage.inbox_count == 1
        assert [it.id for it in await client.list_inboxes()] == [inbox.id]
        assert (await client.get_inbox(inbox.id)).data == inbox.data
        name = f"Tom {uuid.uuid4().hex[:8]}"
        smart = await client.create_smart_inbox(name=name, org="Acme")
        again = await client.create_smart_inbox(name=name, org="Acme")
        local = name.lower().replace(" ", "-")
        found = [it.address.split("@")[0] for it in (smart, again)]
        assert found == [local, f"{local}-acme"], found
        await client.delete_inbox(again.id)
        assert not (await client.get_inbox(again.id)).data.is_active

    async def reading(self, client: AsyncPosthouse, inbox: AsyncInbox) -> None:
        quoted = "On Mon, 2 Nov 2026, Tom <tom@example.org> wrote:\n> Hi"
        self.receive(inbox, "Your code", f"Your verification code is 481516.\n\n{quoted}\n")
        email = await self.arrived(inbox, "Your code")
        assert email.code == "481516"
        assert email.reply_text is not None
        assert email.reply_text.strip() == "Your verification code is 481516."
        assert email.body is not None
        assert "> Hi" in email.body
        safe = await email.safe(datamark=True)
        assert safe.rendering.startswith(safe.begin)
        assert safe.nonce in safe.begin
        assert safe.marker
        assert b"481516" in await email.raw()
        assert (await email.update(read=True, add_labels=["code"])).labels == ["code"]
        labelled, cursor = await inbox.receive(label="code")
        assert [it.id for it in labelled] == [email.id]
        assert cursor is None
        assert (await inbox.receive(unread=True))[0] == []
        batch = await client.update_emails([email.id, "eml_unknown"], remove_labels=["code"])
        assert (batch.updated, len(batch.failed)) == ([email.id], 1)
        assert (await client.get_email(email.id)).subject == "Your code"
        assert [it.id async for it in inbox.emails(limit=1)] == [email.id]
        found, _ = await client.search_emails("481516")
        assert [it.id for it in found] == [email.id]
        assert (await email.extract()).status == "completed"
        assert (await inbox.threads()).data[0].email_count == 1

    async def sending(self, client: AsyncPosthouse, inbox: AsyncInbox) -> None:
        tom = await client.create_inbox()
        await tom.send(inbox.address, "Question", "Why?")
        question = await self.arrived(inbox, "Question")
        await question.reply("Because")
        answer = await self.arrived(tom, "Re: Question")
        assert answer.data.in_reply_to == question.data.message_id
        await question.forward(tom.address, text="See below", inline=True)
        assert "Why?" in ((await self.arrived(tom, "Fwd: Question")).body or "")
        file = await client.upload("offer.pdf", b"PDF, as it were", "application/pdf")
        attachments = [{"uploadId": file.upload_id}]
        await inbox.send([tom.address], "Offer", "x", attachments=attachments)
        offer = await self.arrived(tom, "Offer")
        assert await offer.download_attachment(0) == b"PDF, as it were"
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        scheduled = await inbox.send(tom.address, "Later", "x", send_at=later)
        assert scheduled.status == "scheduled"
        first = await inbox.send(tom.address, "Key", "1", idempotency_key="welcome-1")
        second = await inbox.send(tom.address, "Key", "2", idempotency_key="welcome-1")
        assert (second.id, second.body_differs) == (first.id, True)

    async def lost_answers(self, client: AsyncPosthouse, inbox: AsyncInbox) -> None:
        """A send whose answer does not arrive is sent again, and is one mail."""
        with network(self.base_url) as (url, state):
            async with AsyncPosthouse(client.token, url) as unsteady:
                unsteady_inbox = await unsteady.get_inbox(inbox.id)
                state.swallow = True
                await unsteady_inbox.send(inbox.address, "Only once", "x")
                assert not state.swallow, "the first answer was lost"
        await self.arrived(inbox, "Only once")
        await inbox.send(inbox.address, "Afterwards", "x")
        await self.arrived(inbox, "Afterwards")
        emails, _ = await inbox.receive(limit=100, direction="inbound")
        assert [it.subject for it in emails].count("Only once") == 1

    async def patience(self) -> None:
        statuses = [429, 200, 429, 503, 503, 200]
        with serving(statuses, {"retry-after": "1"}) as (url, _):
            async with AsyncPosthouse("t", url) as client:
                start = time.monotonic()
                assert await client.list_inboxes() == []
                assert time.monotonic() - start >= 0.99, "as Retry-After says"
            async with AsyncPosthouse("t", url, max_retries=0) as client:
                with raises(posthouse.RateLimitError) as failed:
                    await client.list_inboxes()
                assert failed.error.retry_after == 1
            async with AsyncPosthouse("t", url, max_retries=1) as client:
                with raises(posthouse.PosthouseError):
                    await client.create_inbox()  # made twice would be two: not tried again
                assert await client.list_inboxes() == []
                assert statuses == []
        async with AsyncPosthouse("t", "http://127.0.0.1:9", max_retries=1) as client:
            with raises(posthouse.ConnectionFailedError):
                await client.list_inboxes()

    async def holds(self, client: AsyncPosthouse, inbox: AsyncInbox) -> None:
        policy = await inbox.set_outbound_policy(approval="always")
        assert policy.effective.approval is not None
        valid = await inbox.send(inbox.address, "Held", "x", validate_only=True)
        assert (valid.status, len(valid.held_because or [])) == ("valid", 1)
        for decision in ("approve", "decline"):
            sent = await inbox.send(inbox.address, "Held", "x")
            assert sent.status == "held"
            held, _ = await client.holds("waiting")
            assert [it.id for it in held] == [sent.id]
            outcome = await getattr(held[0], decision)(reason="as it should be")
            assert outcome.status == ("queued" if decision == "approve" else "declined")
        await self.arrived(inbox, "Held")
        await inbox.set_outbound_policy(approval="never")

    async def webhooks(self, client: AsyncPosthouse, inbox: AsyncInbox) -> None:
        with serving([200, 200], {}) as (url, requests):
            webhook = await client.create_webhook(url, inbox_id=inbox.id, events=["email.received"])
            self.receive(inbox, "Called")
            for _ in range(600):
                if requests:
                    break
                time.sleep(0.05)
            await client.delete_webhook(webhook.id)
        headers, body = requests[0]
        secret = webhook.secret or ""
        payload = posthouse.verify_webhook(body, headers, secret)
        assert (payload.event, payload.data["subject"]) == ("email.received", "Called")
        assert posthouse.verify_webhook(body.decode(), headers, ["whsec_AAAA", secret]).event_id
        wrong = [
            (body + b" ", headers, secret, None),
            (body, {**headers, "webhook-id": "evt_other"}, secret, None),
            (body, {}, secret, None),
            (body, headers, "whsec_AAAA", None),
            (body, headers, secret, time.time() + 400),
            (body, headers, secret, time.time() - 400),
        ]
        for octets, fields, key, now in wrong:
            with raises(posthouse.WebhookVerificationError):
                posthouse.verify_webhook(octets, fields, key, now=now)
        signature = headers["x-lobstermail-signature"]
        assert posthouse.verify_lobstermail_signature(secret, signature, body)
        assert not posthouse.verify_lobstermail_signature(secret, signature, body + b" ")

    async def events(self, client: AsyncPosthouse, inbox: AsyncInbox) -> None:
        """Over a network that loses connections: every event, each once and in order."""
        expected: list[str] = []
        after: str | None = "oldest"
        while True:
            page = await client.list_events(after, limit=1000)
            expected += [it.event_id for it in page.data]
            after = page.cursor
            if not page.data:
                break
        for transport in ("websocket", "sse", "poll"):
            with network(self.base_url) as (url, state):
                async with AsyncPosthouse(client.token, url) as unsteady:
                    seen: list[str] = []
                    losses: list[posthouse.PosthouseError | None] = []
                    stream = unsteady.events("oldest", transport=transport, on_disconnect=losses.append)
                    async for event in stream:
                        seen.append(event.event_id)
                        if len(seen) in (5, 25):
                            self.receive(inbox, f"{transport} {len(seen)}")
                            state.cut()
                        if len(seen) == len(expected) + 6:
                            break
                    assert seen[: len(expected)] == expected, transport
                    assert len(set(seen)) == len(seen), f"{transport}: an event came twice"
                    # A poll that finds its connection closed makes a new one, and nothing was lost.
                    assert losses or transport == "poll", f"{transport}: nothing was lost on the way"
            page = await client.list_events(stream.cursor)
            behind = [it.event_id for it in page.data]
            assert not set(behind) & set(seen), "the cursor is behind what was handed out"
            expected = seen + behind

    async def refusals(self, client: AsyncPosthouse) -> None:
        with raises(posthouse.NotFoundError) as missing:
            await client.get_email("eml_unknown")
        assert missing.error.request_id.startswith("req_")
        async with AsyncPosthouse("lm_sk_live_forged", self.base_url) as forged:
            with raises(posthouse.AuthenticationError):
                await forged.account()
            for transport in ("websocket", "sse", "poll"):
                with raises(posthouse.AuthenticationError):
                    async for _ in forged.events("oldest", transport=transport):
                        raise AssertionError(transport)
                with raises(posthouse.PosthouseError) as wrong:
                    async for _ in client.events("nonsense", transport=transport):
                        raise AssertionError(transport)
                assert wrong.error.status_code == 400

    async def queue(self, client: AsyncPosthouse) -> None:
        inbox, tom = await client.create_inbox(), await client.create_inbox()
        await tom.send(inbox.address, "Work", "x")
        claim = {"worker": "a", "lease_seconds": 30, "wait_seconds": 20, "idempotency_key": "claim-1"}
        (lease,) = await inbox.claim(**claim)
        assert [it.id for it in await inbox.claim(**claim)] == [lease.id], "the answer was lost"
        assert (lease.email.subject, lease.attempt) == ("Work", 1)
        assert await inbox.claim(worker="b") == []
        before = lease.expires_at
        await lease.extend(120)
        assert lease.expires_at > before
        await lease.nak(reason="not now")
        (second,) = await inbox.claim(worker="b", wait_seconds=20)
        assert second.attempt == 2
        await second.reply("Done", allow_auto_reply=True)
        counts = (await inbox.queue()).counts
        assert (counts.acked, counts.leased) == (1, 0)
        assert (await inbox.set_queue(max_attempts=1)).max_attempts == 1
        self.receive(inbox, "Hard")
        (hard,) = await inbox.claim(wait_seconds=20)
        await hard.nak(reason="too hard")
        assert [it.subject for it in await inbox.set_aside()] == ["Hard"]
        await client.requeue_email(hard.email.id)
        (again,) = await inbox.claim(wait_seconds=20)
        await again.ack()
        with raises(posthouse.LeaseLostError):
            await lease.reply("Late", allow_auto_reply=True)

    async def expectations(self, client: AsyncPosthouse) -> None:
        inbox = await client.create_inbox()
        expected = await inbox.expect("code", timeout_seconds=60)
        assert expected.state == "waiting"
        self.receive(inbox, "Sign in", "Your verification code is 234567.")
        settled = await expected.wait(40)
        assert (settled.state, settled.code) == ("matched", "234567")
        other = await inbox.expect("any", timeout_seconds=60)
        await other.cancel()
        assert (await client.get_expectation(other.id)).state == "cancelled"

    async def tokens(self, client: AsyncPosthouse) -> None:
        inbox = await client.create_inbox()
        made = await client.create_token(label="reader", rights=["read"], inbox_ids=[inbox.id])
        async with AsyncPosthouse(made.token, self.base_url) as reader:
            assert (await reader.current_token()).rights == ["read"]
            with raises(posthouse.InsufficientScopeError):
                await reader.create_inbox()
        assert any(it.id == made.id for it in await client.tokens())
        await client.delete_token(made.id)


class raises:  # noqa: N801 (as pytest has it)
    """Fails unless the block raises such an error, which it keeps."""

    error: posthouse.PosthouseError

    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind

    def __enter__(self) -> "raises":
        return self

    def __exit__(self, kind, error, trace) -> bool:
        assert kind is not None, f"{self.kind.__name__} was not raised"
        if not issubclass(kind, self.kind):
            return False
        self.error = error
        return True


class serving:  # noqa: N801
    """An HTTP server that answers with these statuses in turn, and notes what it was asked."""

    def __init__(self, statuses: list[int], fields: dict[str, str]) -> None:
        requests: list[tuple[dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(statuses.pop(0))
                for name, value in {**fields, "content-length": "11"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b'{"data":[]}')

            do_GET = do_POST = do  # noqa: N815

            def log_message(self, *_) -> None:
                pass

        self.requests = requests
        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}", self.requests

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()


class network:  # noqa: N801
    """Passes octets on to the service, and cuts when it is told to."""

    def __init__(self, base_url: str) -> None:
        import socket

        host, _, port = base_url.removeprefix("http://").rpartition(":")
        state = self
        state.swallow = False
        state.open = set()
        counter = itertools.count()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                next(counter)
                service = socket.create_connection((host, int(port)))
                pair = (self.request, service)
                state.open.add(pair)
                back = threading.Thread(target=self.back, args=pair, daemon=True)
                back.start()
                self.forward(self.request, service)
                back.join()
                state.open.discard(pair)

            def back(self, client, service) -> None:
                try:
                    while octets := service.recv(65_536):
                        if state.swallow:
                            state.swallow = False
                            break
                        client.sendall(octets)
                except OSError:
                    pass
                shut(client, service)

            def forward(self, client, service) -> None:
                try:
                    while octets := client.recv(65_536):
                        service.sendall(octets)
                except OSError:
                    pass
                shut(client, service)

        def shut(*sockets) -> None:
            for it in sockets:
                try:
                    it.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        self.shut = shut
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def cut(self) -> None:
        time.sleep(random.random() / 10)
        for pair in list(self.open):
            self.shut(*pair)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}", self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.cut()
        self.server.server_close()

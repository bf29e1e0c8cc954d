# Made of _async/_events.py by tools/make_sync.py: change that one.
"""Every event, each once, whatever is restarted on the way: by cursor, over whichever door."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Generator, Callable, Sequence
from contextlib import closing
from typing import Any, Literal
from urllib.parse import urlencode

from websockets.exceptions import WebSocketException

from .._rules import SILENCE, WINDOW, backoff, query_of
from ..errors import ConnectionFailedError, CursorExpiredError, PosthouseError
from ..events import Event, EventPage
from ._http import Http
from ._io import open_socket, receive, sleep

Transport = Literal["websocket", "sse", "poll"]

_REMEMBERED = 1024
"""Copies of one occurrence are remembered so far back."""
_MOST_DELAY = 30.0


class EventStream:
    """`for event in stream`; `cursor` is behind the last one: keep it, and go on another day."""

    def __init__(
        self,
        http: Http,
        *,
        after: str | None = None,
        types: Sequence[str] | None = None,
        inbox_id: str | None = None,
        transport: Transport = "websocket",
        on_expired: Literal["raise", "oldest"] = "raise",
        on_disconnect: Callable[[PosthouseError | None], None] | None = None,
    ) -> None:
        self.cursor = after
        self._http = http
        self._types = types
        self._inbox_id = inbox_id
        self._transport = transport
        self._on_expired = on_expired
        self._on_disconnect = on_disconnect
        self._seen: OrderedDict[str, None] = OrderedDict()

    def __iter__(self) -> Generator[Event, None, None]:
        attempt = 0
        while True:
            reason: PosthouseError | None = None
            try:
                if self.cursor is None:
                    # What happens before the first connection counts too.
                    self.cursor = (self._ask(timeout=0, limit=1)).cursor
                with closing(self._connection()) as events:
                    for event in events:
                        attempt = 0
                        if self._is_new(event):
                            yield event
            except PosthouseError as error:
                if not self._can_go_on(error):
                    raise
                reason = error
            if self._on_disconnect:
                self._on_disconnect(reason)
            retry_after = (reason and reason.retry_after) or 0.0
            sleep(max(backoff(attempt, most=_MOST_DELAY), retry_after))
            attempt += 1

    def _is_new(self, event: Event) -> bool:
        """Moves the cursor behind it, too."""
        self.cursor = event.cursor
        if event.event_id in self._seen:
            return False
        self._seen[event.event_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _can_go_on(self, error: PosthouseError) -> bool:
        if isinstance(error, CursorExpiredError) and self._on_expired == "oldest":
            self.cursor = error.oldest_cursor or "oldest"
            return True
        status = error.status_code
        return status is None or status == 429 or status >= 500

    def _connection(self) -> Generator[Event, None, None]:
        if self._transport == "poll":
            return self._pages()
        if self._transport == "sse":
            return self._server_sent()
        return self._frames()

    def _narrowing(self) -> dict[str, Any]:
        return {"after": self.cursor, "types": self._types, "inbox": self._inbox_id}

    def _ask(self, timeout: int, limit: int) -> EventPage:
        query = {**self._narrowing(), "timeout": timeout, "limit": limit}
        return self._http.get(EventPage, "/v1/events", query, timeout=timeout + 10, max_retries=0)

    def _pages(self) -> Generator[Event, None, None]:
        while True:
            page = self._ask(timeout=WINDOW, limit=100)
            for event in page.data:
                yield event
            # Of an empty page it is newer, and stays good for longer.
            self.cursor = page.cursor

    def _server_sent(self) -> Generator[Event, None, None]:
        headers = {"accept": "text/event-stream"}
        with self._http.stream("/v1/events", self._narrowing(), headers, SILENCE) as response:
            data: list[str] = []
            for line in response.iter_lines():
                if line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif not line and data:
                    yield Event.model_validate_json("\n".join(data))
                    data = []

    def _frames(self) -> Generator[Event, None, None]:
        query = urlencode({"token": self._http.token or "", **query_of(self._narrowing())})
        url = self._http.base_url.replace("http", "ws", 1) + "/v1/ws?" + query
        try:
            with open_socket(url) as socket:
                while True:
                    frame: dict[str, Any] = json.loads(receive(socket, SILENCE))
                    if frame.get("type") == "ping":
                        socket.send('{"type":"pong"}')
                    elif frame.get("type") == "event":
                        yield Event.of_frame(frame)
        except (WebSocketException, OSError, TimeoutError, EOFError) as error:
            # How a socket was refused is not always told; the same question over HTTP is.
            self._ask(timeout=0, limit=1)
            raise ConnectionFailedError(f"the connection was lost: {error}", "disconnected") from error

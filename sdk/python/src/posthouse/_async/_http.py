"""Requests: with a token, in time, and again where that is safe."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter

from .._rules import TIMEOUT, delay_before, new_key, query_of
from ..errors import ConnectionFailedError, PosthouseError, error_of
from ._io import sleep

T = TypeVar("T")


class AsyncHttp:
    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        timeout: float = TIMEOUT,
        max_retries: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        self._timeout = timeout
        self._max_retries = max_retries
        self._client = httpx.AsyncClient(transport=transport)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def get(
        self, kind: type[T], path: str, query: Mapping[str, Any] | None = None, **options: Any
    ) -> T:
        return await self.call(kind, "GET", path, query=query, **options)

    async def post(self, kind: type[T], path: str, body: Any = None, **options: Any) -> T:
        return await self.call(kind, "POST", path, body=body, **options)

    async def delete(self, path: str) -> None:
        await self.send("DELETE", path)

    async def call(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        """The answer's JSON as what it is."""
        response = await self.send(method, path, **options)
        return TypeAdapter(kind).validate_json(response.content)

    async def post_once(
        self, kind: type[T], path: str, body: dict[str, Any], key: str | None, **options: Any
    ) -> T:
        """One key per call, so that what is tried again is still one mail, or one claim."""
        # With a lease the service's own key says it: one email is answered once, whoever asks.
        if key is None and "leaseId" not in body:
            key = new_key()
        headers = {"idempotency-key": key} if key else {}
        return await self.call(kind, "POST", path, body=body, headers=headers, idempotent=True, **options)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> httpx.Response:
        """The answer as it is, if it is a 2xx."""
        request = self._client.build_request(
            method,
            self.base_url + path,
            params=query_of(query or {}),
            json=body,
            content=content,
            headers={**self._authorization(), **(headers or {})},
            timeout=timeout or self._timeout,
        )
        most = self._max_retries if max_retries is None else max_retries
        attempt = 0
        while True:
            try:
                return await self._attempt(request)
            except PosthouseError as error:
                delay = delay_before(attempt, error, idempotent or method != "POST")
                if attempt >= most or delay is None:
                    raise
            await sleep(delay)
            attempt += 1

    async def _attempt(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._client.send(request)
        except httpx.TransportError as error:
            raise _connection_failed(error) from error
        if not response.is_success:
            raise error_of(response.status_code, response.headers, response.content)
        return response

    async def fetch(self, url: str) -> bytes:
        """What a link leads to. It needs no token, and may lead to another host, which must not get it."""
        return (await self._attempt(self._client.build_request("GET", url, timeout=self._timeout))).content

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], timeout: float
    ) -> AsyncGenerator[httpx.Response, None]:
        """An answer that does not end."""
        wanted = {**self._authorization(), **headers}
        params = query_of(query)
        try:
            async with self._client.stream(
                "GET", self.base_url + path, params=params, headers=wanted, timeout=timeout
            ) as response:
                if not response.is_success:
                    raise error_of(response.status_code, response.headers, await response.aread())
                yield response
        except httpx.TransportError as error:
            raise _connection_failed(error) from error

    def _authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


def _connection_failed(error: httpx.TransportError) -> ConnectionFailedError:
    code = "timeout" if isinstance(error, httpx.TimeoutException) else "connection_failed"
    return ConnectionFailedError(f"no answer: {type(error).__name__}: {error}", code)

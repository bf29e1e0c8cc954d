"""Where asynchronous and synchronous code differ: pauses and WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect

Socket = ClientConnection


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


@asynccontextmanager
async def open_socket(url: str) -> AsyncGenerator[Socket, None]:
    # Frames are bounded by the service; what is not taken yet is not read either.
    async with connect(
        url, open_timeout=10, close_timeout=2, max_size=2**24, max_queue=64, proxy=None
    ) as socket:
        yield socket


async def receive(socket: Socket, seconds: float) -> str | bytes:
    """Raises TimeoutError where nothing comes for so long."""
    return await asyncio.wait_for(socket.recv(), seconds)

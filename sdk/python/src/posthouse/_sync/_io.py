"""Where asynchronous and synchronous code differ: pauses and WebSockets."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from websockets.sync.client import ClientConnection, connect

Socket = ClientConnection


def sleep(seconds: float) -> None:
    time.sleep(seconds)


@contextmanager
def open_socket(url: str) -> Generator[Socket, None, None]:
    # Frames are bounded by the service; what is not taken yet is not read either.
    with connect(url, open_timeout=10, close_timeout=2, max_size=2**24, max_queue=64, proxy=None) as socket:
        yield socket


def receive(socket: Socket, seconds: float) -> str | bytes:
    """Raises TimeoutError where nothing comes for so long."""
    return socket.recv(timeout=seconds)

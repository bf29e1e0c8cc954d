"""Decisions that are the same in both clients: when to try again, what to send, where a token is."""

from __future__ import annotations

import os
import random
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import PosthouseError

DEFAULT_BASE_URL = "http://127.0.0.1:4801"
"""Where `posthouse dev` listens."""

TIMEOUT = 30.0
WINDOW = 25
"""Seconds that the service holds a question at most."""
SILENCE = 75.0
"""The service sends a ping every 30 seconds; who hears nothing for so long has lost it."""
_BASE_DELAY = 0.25
_MOST_DELAY = 8.0
_LONGEST_RETRY_AFTER = 15.0
"""Who is asked to wait for longer is told at once."""


def backoff(attempt: int, base: float = _BASE_DELAY, most: float = _MOST_DELAY) -> float:
    """Full jitter, so that clients do not all come back at once."""
    return random.uniform(0, min(most, base * 2 ** min(attempt, 30)))  # noqa: S311 (no secret)


def delay_before(attempt: int, error: PosthouseError, is_idempotent: bool) -> float | None:
    """How long to wait before the next attempt; None if there must be none."""
    jittered = backoff(attempt)
    if error.status_code is None:
        return jittered if is_idempotent else None
    is_down = error.status_code in (500, 502, 503, 504)
    if error.status_code != 429 and not (is_down and is_idempotent):
        return None
    if error.retry_after is None:
        return jittered
    return error.retry_after + jittered / 4 if error.retry_after <= _LONGEST_RETRY_AFTER else None


def new_key() -> str:
    return f"sdk-{uuid.uuid4().hex}"


def token_file() -> Path:
    return Path.home() / ".posthouse" / "token"


def known_token() -> str | None:
    """That of the environment, or that which was kept."""
    token = os.environ.get("POSTHOUSE_TOKEN") or os.environ.get("LOBSTERMAIL_TOKEN")
    if token:
        return token
    try:
        return token_file().read_text("utf-8").strip() or None
    except OSError:
        return None


def keep_token(token: str) -> None:
    """Readable by its owner only."""
    path = token_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(token)


def given(**values: Any) -> dict[str, Any]:
    """The fields that were given, in the service's spelling."""
    return {camel(name): _json(value) for name, value in values.items() if value is not None}


def camel(name: str) -> str:
    first, *others = name.rstrip("_").split("_")
    return first + "".join(it.capitalize() for it in others)


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs its zone: datetime.now(timezone.utc)")
        return value.isoformat()
    return value


def query_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as the service spells them; what is None or empty is left out."""
    query: dict[str, str] = {}
    for name, value in given(**values).items():
        if isinstance(value, bool):
            query[name] = "true" if value else "false"
        elif isinstance(value, str | int):
            if value != "":
                query[name] = str(value)
        else:
            query[name] = ",".join(value)
    return query


def addresses(to: str | Iterable[str] | None) -> list[str] | None:
    if to is None:
        return None
    return [to] if isinstance(to, str) else list(to)


_RESERVED = frozenset(
    [
        "admin",
        "postmaster",
        "hostmaster",
        "webmaster",
        "abuse",
        "noreply",
        "no-reply",
        "mailer-daemon",
        "support",
        "help",
        "info",
        "contact",
        "security",
        "root",
        "www",
        "mail",
        "email",
        "lobster",
        "lobstermail",
        "billing",
        "sales",
        "api",
        "dev",
        "test",
        "null",
        "undefined",
    ]
)


def local_parts(name: str | None, org: str | None, preferred: Iterable[str]) -> list[str]:
    """Local parts to try in turn; those that no inbox may have are left out."""
    candidates = [*preferred]
    words = _words(name or "")
    if words:
        base = "-".join(words)
        organisation = _sanitized("-".join(_words(org or "")))
        candidates.append(base)
        if organisation:
            candidates.append(f"{base}-{organisation}")
        if len(words) > 1:
            candidates.append(f"{words[0][0]}-{words[-1]}")
        candidates += [f"{base}{number}" for number in range(1, 6)]
    distinct = dict.fromkeys(_sanitized(it) for it in candidates)
    return [it for it in distinct if 3 <= len(it) <= 64 and it not in _RESERVED]


def _words(name: str) -> list[str]:
    trimmed = name.strip()
    if not re.search(r"[\s._-]", trimmed):
        trimmed = re.sub(r"([a-z])([A-Z])", r"\1 \2", trimmed)
    return [it for it in re.split(r"[\s._-]+", trimmed.lower()) if it]


def _sanitized(raw: str) -> str:
    text = re.sub(r"[\s_]+", "-", raw.lower())
    text = re.sub(r"[^a-z0-9._-]", "", text)
    text = re.sub(r"\.{2,}", ".", re.sub(r"-{2,}", "-", text)).strip("._-")
    return text[:64].rstrip("._-")

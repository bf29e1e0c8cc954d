"""Makes the synchronous client of the asynchronous one: src/posthouse/_async → src/posthouse/_sync.

_io.py is written by hand on both sides. `--check` compares instead of writing.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "posthouse"
HEADER = "# Made of _async/{name} by tools/make_sync.py: change that one.\n"
WORDS = {
    "async def": "def",
    "async with": "with",
    "async for": "for",
    "await ": "",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "aclosing": "closing",
    "asynccontextmanager": "contextmanager",
    "aclose": "close",
    "aiter_lines": "iter_lines",
    "aread": "read",
    "AsyncBaseTransport": "BaseTransport",
    "AsyncClient": "Client",
}
PATTERN = re.compile("|".join(rf"\b{re.escape(it)}" for it in sorted(WORDS, key=len, reverse=True)))


def synchronous(name: str, source: str) -> str:
    text = PATTERN.sub(lambda found: WORDS[found.group()], source)
    # AsyncInbox → Inbox, AsyncIterator → Iterator, …
    text = re.sub(r"\bAsyncGenerator\[(.+?), None\]", r"Generator[\1, None, None]", text)
    return HEADER.format(name=name) + re.sub(r"\bAsync(?=[A-Z])", "", text)


def main() -> int:
    stale: list[str] = []
    for path in sorted((PACKAGE / "_async").glob("_*.py")):
        if path.name in ("__init__.py", "_io.py"):
            continue
        made = synchronous(path.name, path.read_text("utf-8"))
        target = PACKAGE / "_sync" / path.name
        if "--check" not in sys.argv:
            target.write_text(made, "utf-8")
        elif not target.exists() or target.read_text("utf-8") != made:
            stale.append(path.name)
    if stale:
        sys.stderr.write(f"run `just sdk`: _sync is not what _async makes: {', '.join(stale)}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

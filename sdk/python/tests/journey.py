"""Both clients against a running Posthouse.

BASE_URL=http://127.0.0.1:4801 SMTP=127.0.0.1:2525 python tests/journey.py
"""

import asyncio
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import steps

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))
from make_sync import synchronous  # noqa: E402


def synchronous_steps():
    """The steps as somebody without asyncio would write them."""
    source = synchronous("steps.py", (HERE / "steps.py").read_text("utf-8"))
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as file:
        file.write(source)
        file.flush()
        spec = importlib.util.spec_from_file_location("synchronous_steps", file.name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    where = os.environ["BASE_URL"], os.environ["SMTP"]
    asyncio.run(steps.Journey(*where).run())
    print("ok AsyncPosthouse")
    synchronous_steps().Journey(*where).run()
    print("ok Posthouse")

"""An office that is killed at a chosen step of keeping two images, or of erasing them: -m killed_intake STEP FOLDER."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from office_server import SCORES, build

from so8t.ask.backend import FakeBackend
from so8t.cli import main
from so8t.core.ledger import Ledger
from so8t.core.types import Attachment, PageText, Request
from so8t.operate.intake import intent, kept
from so8t.operate.intake.kept import Kept

REQUEST = "req-killed"
# Step -> whether the entry is there afterwards and needs its files.
KEEPING = {"half a note": False, "note": False, "half a file": False, "one file": False, "files": False, "entry": True}
ERASING = {"erasing": True, "erased": False}


def image(content: bytes) -> Attachment:
    return Attachment("image/png", (PageText(1, "読んだ文", 0.99, "rapidocr"),), "a.png", content)


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(calls: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """`real` so many times, then the end."""
    left = [calls]

    def called(*arguments: Any, **options: Any) -> Any:
        if not left[0]:
            die()
        left[0] -= 1
        return real(*arguments, **options)

    return called


def half(path: Path, content: bytes) -> None:
    path.with_name(f".{path.name}.partial").write_bytes(content[: len(content) // 2])
    die()


def break_at(step: str) -> None:
    if step == "half a note":
        intent.write_bytes = half
    elif step == "half a file":
        kept.write_bytes = half
    elif step in ("note", "one file"):
        kept.write_bytes = after(int(step == "one file"), kept.write_bytes)
    elif step == "files":
        Ledger.append = die  # type: ignore[method-assign,assignment]
    elif step == "entry":
        Kept.named = die  # type: ignore[method-assign,assignment]
    elif step == "erasing":
        Ledger.erase = die  # type: ignore[method-assign,assignment]
    elif step == "erased":
        Kept.remove = die  # type: ignore[method-assign,assignment]


def run(step: str, folder: Path) -> None:
    gateway, _, ledger, _, _ = build(folder, FakeBackend(SCORES, answer="はい。"))
    request = Request(REQUEST, "要点は?", "社内限定", attachments=(image(b"the first"), image(b"the second")))
    if step in KEEPING:
        break_at(step)
    seq = asyncio.run(gateway.ask(request)).ledger_seq
    ledger.close()
    break_at(step)
    main(["ledger", "erase", str(folder / "ledger.db"), "--seq", str(seq), "--reason", "本人の求め",
          "--signing-key", str(folder / "ledger.key"), "--text-key", str(folder / "text.key")])  # fmt: skip


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))

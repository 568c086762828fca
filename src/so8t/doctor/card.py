"""What nvidia-smi says of the cards. It is asked, never trusted: it may be missing, hang, or print anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

FIELDS = ("name", "driver_version", "memory.total", "memory.free", "compute_cap")
SECONDS = 20.0
LIMIT = 1 << 16  # bytes of its answer that are read
MOST = 64  # cards


@dataclass(frozen=True, slots=True)
class Card:
    """memory in MiB."""

    name: str
    driver: str
    total: int
    free: int
    capability: tuple[int, int]

    @property
    def driver_major(self) -> int:
        return int(self.driver.split(".")[0])


@dataclass(frozen=True, slots=True)
class Cards:
    """`problem`: why there are none, in the program's own words; "" when it is not installed."""

    cards: tuple[Card, ...] = ()
    problem: str = ""
    installed: bool = True

    @property
    def roomiest(self) -> Card | None:
        return max(self.cards, key=lambda c: c.free, default=None)


def find_cards(seconds: float = SECONDS) -> Cards:
    """Never raises."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Cards(installed=False)
    command = [program, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        code, answer = _answer(command, seconds)
    except subprocess.TimeoutExpired:
        return Cards(problem=f"nvidia-smi: > {seconds:g} s")
    except OSError as error:
        return Cards(problem=f"nvidia-smi: {type(error).__name__}")
    lines = [line for line in answer.splitlines() if line.strip()][:MOST]
    cards = tuple(card for line in lines if (card := _card(line)) is not None)
    if code or len(cards) != len(lines) or not cards:
        return Cards(problem=(lines[0] if lines else f"nvidia-smi: {code}")[:200])
    return Cards(cards)


def _answer(command: list[str], seconds: float) -> tuple[int, str]:
    """Exit code and the start of the output, through a file: a child that lives on cannot hold a pipe open."""
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
        out.seek(0)
        return done.returncode, out.read(LIMIT).decode("utf-8", "replace")


def _card(line: str) -> Card | None:
    values = [v.strip() for v in line.split(",")]
    if len(values) != len(FIELDS):
        return None
    name, driver, total, free, capability = values
    right = re.fullmatch(r"\d{1,6}(\.\d{1,6}){0,3}", driver) and re.fullmatch(r"\d{1,3}\.\d{1,3}", capability)
    if not right or not re.fullmatch(r"\d{1,9}", total) or not re.fullmatch(r"\d{1,9}", free):
        return None
    major, minor = capability.split(".")
    return Card(name, driver, int(total), int(free), (int(major), int(minor)))

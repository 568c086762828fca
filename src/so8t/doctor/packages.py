"""Python and the packages that the parts of so8t need."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata

from so8t.doctor.finding import Finding

PACKAGES = {
    "torch": "train", "transformers": "train", "peft": "train", "gguf": "train", "cyllama": "train",
    "xllamacpp": "serve", "aiohttp": "serve", "apsw": "core", "cryptography": "core", "jinja2": "core", "numpy": "core",
}  # fmt: skip
SETUP = "python3 start.py setup"


def examine_packages() -> list[Finding]:
    """Only what the core needs is fatal: a server trains nothing."""
    python = Finding(
        "Python 3.11 以上", "Python 3.11 or newer", sys.version.split()[0], sys.version_info >= (3, 11), True,
        "python.org から入れる", "install it from python.org",
    )  # fmt: skip
    return [python, *(_package(name, group) for name, group in PACKAGES.items())]


def _package(name: str, group: str) -> Finding:
    present = importlib.util.find_spec(name) is not None
    detail = f"{metadata.version(name)} ({group})" if present else f"- ({group})"
    return Finding(f"パッケージ {name}", f"package {name}", detail, present, group == "core", SETUP, SETUP)

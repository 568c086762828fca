"""What every verb of the command line has: its options, its help in two languages, its handler imported when called."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

LANGUAGES = ("ja", "en")
Handler = Callable[[argparse.Namespace], int]


def default_language() -> str:
    """Japanese unless the environment asks for English."""
    return "en" if os.environ.get("SO8T_LANG", os.environ.get("LANG", "")).lower().startswith("en") else "ja"


def verb(verbs: Any, name: str, ja: str, en: str, handler: str, example: str = "") -> argparse.ArgumentParser:
    """A subparser with the options that every verb has. `handler` is module:function, imported when called."""
    made: argparse.ArgumentParser = verbs.add_parser(
        name, help=f"{ja} / {en}", description=f"{ja}\n{en}", epilog=f"例 / example:\n  so8t {example or name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help="JSON で出力 / print JSON")
    language_option(made, argparse.SUPPRESS)  # said after the verb it replaces what was said before it
    made.add_argument("--runs", type=Path, default=Path("runs"), help="実行フォルダの置き場 / where runs lie")
    made.set_defaults(handler=lazy(handler))
    return made


def language_option(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--lang", choices=LANGUAGES, default=default, help="表示言語 / language")


def lazy(place: str) -> Handler:
    """module:function, imported when it is called."""

    def call(options: argparse.Namespace) -> int:
        module, function = place.split(":")
        handler: Handler = getattr(importlib.import_module(module), function)
        return handler(options)

    return call


def config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="", help="tiny, micro, phi4-mini-12gb …")
    parser.add_argument("--config", type=Path, help="so8t.toml")


def trust_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")
    parser.add_argument("--allow-unproven", action="store_true", help="基準未達でも使う / use it though unproven")

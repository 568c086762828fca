"""argparse whose refusals are in the reader's language: its own words are English only."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

from so8t.core.errors import UsageError
from so8t.verbs.verb import LANGUAGES, default_language

# What argparse of Python 3.11 to 3.14 says -> Japanese; what is not here is shown as it is.
_JAPANESE = (
    (r"the following arguments are required: (.+)", r"足りません: \1"),
    (r"one of the arguments (.+) is required", r"どれか一つが要ります: \1"),
    (r"unrecognized arguments: (.+)", r"知らない引数です: \1"),
    (r"ambiguous option: (.+) could match (.+)", r"\1 が \2 のどれか分かりません"),
    (r"invalid choice: (.+) \(choose from (.+)\)", r"\1 は選べません。選べるのは \2"),
    (r"invalid int value: (.+)", r"\1 は整数ではありません"),
    (r"invalid float value: (.+)", r"\1 は数ではありません"),
    (r"expected one argument", "値が一つ要ります"),
    (r"expected at most one argument", "値は一つまでです"),
    (r"expected at least one argument", "値が一つ以上要ります"),
    (r"expected (\d+) arguments", r"値が \1 個要ります"),
    (r"not allowed with argument (.+)", r"\1 とは一緒に使えません"),
    (r"ignored explicit argument (.+)", r"値は付けられません: \1"),
)


class Parser(argparse.ArgumentParser):
    """`lang` of the refusals, "ja" or "en"; everything else is argparse's."""

    def __init__(self, *, lang: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.lang = lang or default_language()

    def error(self, message: str) -> NoReturn:
        """Exit code 2, as for any wrong usage: the usage, what is wrong, where the help is."""
        usage, ja = self.format_usage(), self.lang == "ja"
        told = UsageError(where=f"{self.prog} --help", detail=(in_japanese(message), message)).render(self.lang)
        self.exit(UsageError.exit_code, f"{usage.replace('usage:', '使い方:', 1) if ja else usage}{told}\n")


def in_japanese(message: str) -> str:
    """argparse's words; those of an option ("argument --x: ...") after its name."""
    head, colon, said = message.partition(": ") if message.startswith("argument ") else ("", "", message)
    for english, japanese in _JAPANESE:
        if found := re.fullmatch(english, said, re.DOTALL):
            return head.removeprefix("argument ") + colon + found.expand(japanese)
    return message


def asked_language(arguments: Sequence[str]) -> str:
    """What --lang says wherever it stands, also in a command that is not understood; else the environment's."""
    said = [value for name, value in pairwise(arguments) if name == "--lang"]
    said += [one.removeprefix("--lang=") for one in arguments if one.startswith("--lang=")]
    return next((lang for lang in said if lang in LANGUAGES), default_language())

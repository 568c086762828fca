"""The command line: parser and dispatch only. Each verb imports what it needs when it is called."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from so8t.core.errors import So8tError
from so8t.verbs import building, looking, operating, proving, working
from so8t.verbs.parser import Parser, asked_language
from so8t.verbs.verb import language_option

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, that of the error's class, or 130 for Ctrl-C."""
    _utf8_output()
    said = sys.argv[1:] if arguments is None else arguments
    options = build_parser(asked_language(said)).parse_args(said)
    try:
        code: int = options.handler(options)
        return code
    except So8tError as error:
        return _told(error, options)
    except KeyboardInterrupt:
        ja = options.lang == "ja"
        print(
            "\n中断しました。同じコマンドで続きから再開します。" if ja else "\nInterrupted. The same command resumes.",
            file=sys.stderr,
        )
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; say nothing more
        return 0
    except OSError as error:
        from so8t.core.files import refused

        if (known := refused(error)) is None:
            raise
        return _told(known, options)


def _told(error: So8tError, options: argparse.Namespace) -> int:
    lang = options.lang
    shown = json.dumps(error.to_json(lang), ensure_ascii=False) if options.json else error.render(lang)
    print(shown, file=sys.stderr)
    return error.exit_code


def _utf8_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")


def build_parser(lang: str = "") -> argparse.ArgumentParser:
    """`lang`: what to speak where a command does not say; "" = the environment's."""
    parser = Parser(
        prog="so8t",
        lang=lang,
        description="日本語の文章から、判定つきの社内アシスタントを作り、証明し、動かす。\n"
        "Build, prove and run an audited assistant from Japanese text.",
        epilog="例 / examples:\n  so8t run --profile tiny --yes\n"
        "  so8t decide --in requests.jsonl --out verdicts.jsonl\n  so8t ledger verify runs/tiny/ledger.db",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    language_option(parser, parser.lang)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for group in (building, proving, operating, working, looking):
        group.add(verbs)
    for one in verbs.choices.values():
        one.lang = parser.lang
    return parser

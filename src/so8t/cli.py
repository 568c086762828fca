"""The command line: parser and dispatch only. Each verb imports what it needs when it is called."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from so8t.core.errors import So8tError
from so8t.core.run import STAGES

INTERRUPTED = 130
Handler = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, that of the error's class, or 130 for Ctrl-C."""
    _utf8_output()
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.handler(options)
        return code
    except So8tError as error:
        shown = (
            json.dumps(error.to_json(options.lang), ensure_ascii=False) if options.json else error.render(options.lang)
        )
        print(shown, file=sys.stderr)
        return error.exit_code
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


def default_language() -> str:
    """Japanese unless the environment asks for English."""
    return "en" if os.environ.get("SO8T_LANG", os.environ.get("LANG", "")).lower().startswith("en") else "ja"


def _utf8_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="so8t",
        description="日本語の文章から、判定つきの社内アシスタントを作り、証明し、動かす。\n"
        "Build, prove and run an audited assistant from Japanese text.",
        epilog="例 / examples:\n  so8t run --profile tiny --yes\n"
        "  so8t decide --in requests.jsonl --out verdicts.jsonl\n  so8t ledger verify runs/tiny/ledger.db",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _run_verbs(verbs)
    _use_verbs(verbs)
    _look_verbs(verbs)
    return parser


def _verb(verbs: Any, name: str, ja: str, en: str, handler: str, example: str = "") -> argparse.ArgumentParser:
    """A subparser with the options that every verb has. `handler` is module:function, imported when called."""
    made: argparse.ArgumentParser = verbs.add_parser(
        name, help=f"{ja} / {en}", description=f"{ja}\n{en}", epilog=f"例 / example:\n  so8t {example or name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help="JSON で出力 / print JSON")
    made.add_argument("--lang", choices=("ja", "en"), default=default_language(), help="表示言語 / language")
    made.add_argument("--runs", type=Path, default=Path("runs"), help="実行フォルダの置き場 / where runs lie")
    made.set_defaults(handler=_lazy(handler))
    return made


def _lazy(place: str) -> Handler:
    def call(options: argparse.Namespace) -> int:
        import importlib

        module, function = place.split(":")
        handler: Handler = getattr(importlib.import_module(module), function)
        return handler(options)

    return call


def _config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="", help="tiny, micro, phi4-mini-12gb …")
    parser.add_argument("--config", type=Path, help="so8t.toml")


def _run_verbs(verbs: Any) -> None:
    run = _verb(
        verbs,
        "run",
        "全段階を実行・再開",
        "make or resume a whole run",
        "so8t.commands.run:run",
        "run --profile tiny --yes",
    )
    run.add_argument("--to", choices=STAGES, default=STAGES[-1], help="この段階まで / last stage")
    for name in STAGES:
        ja, en = f"段階 {name} だけを実行", f"make stage {name} alone"
        handler = "so8t.commands.train:train" if name == "train" else "so8t.commands.run:stage"
        stage = run if name == "run" else _verb(verbs, name, ja, en, handler, f"{name} --profile tiny")
        stage.set_defaults(stage=name)
        if name == "bundle":
            _bundle_options(stage)
        if name in ("collect", "multimodal"):
            _shard_options(stage, name)
        if name == "train":
            _train_options(stage)
        _run_options(stage)
    _run_options(run)


def _run_options(parser: argparse.ArgumentParser) -> None:
    _config_options(parser)
    parser.add_argument("--name", default="", help="実行の名前(既定はプロファイル名) / name of the run")
    parser.add_argument("--yes", action="store_true", help="確認しない / do not ask")
    parser.add_argument(
        "--accept-change", action="store_true", help="設定の変更を受け入れ影響段階をやり直す / redo what changed"
    )


def _shard_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Part of the work only, for several processes or machines; the command without it then finishes the stage."""
    parser.add_argument("--shard", default="", metavar="I/N", help="N 台で分けた I 番目だけ / only share I of N")
    if name != "collect":
        return
    parser.add_argument(
        "--tasks", type=int, default=0, metavar="N", help="datatrove で N 分割して並べる / N shares through datatrove"
    )


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="裏で続ける(出力は train.out) / in the background")
    parser.add_argument(
        "--from", dest="from_checkpoint", type=Path, metavar="CHECKPOINT",
        help="このチェックポイントから(step-… かフォルダ) / from this checkpoint (step-… or folder)",
    )  # fmt: skip


def _bundle_options(parser: argparse.ArgumentParser) -> None:
    """`so8t bundle` makes the stage, `so8t bundle verify|show DIR` looks at a finished one."""
    parser.add_argument("action", nargs="?", choices=("verify", "show"), help="検証・表示 / verify or show")
    parser.add_argument("folder", nargs="?", type=Path, help="バンドルのフォルダ / bundle folder")
    parser.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")


def _use_verbs(verbs: Any) -> None:
    for name, ja, en in (
        ("decide", "依頼を三重判定", "judge requests"),
        ("classify", "文章の分野を判定", "tell the domain of texts"),
        ("score", "文章の品質を採点", "score the quality of texts"),
    ):
        parser = _verb(verbs, name, ja, en, f"so8t.commands.use:{name}", f"{name} --in in.jsonl --out out.jsonl")
        parser.add_argument("--in", dest="source", type=Path, required=True, help="JSON 行 / JSON lines")
        parser.add_argument("--out", dest="target", type=Path, required=True, help="JSON 行 / JSON lines")
        parser.add_argument("--bundle", type=Path, help="バンドル(既定は最新) / bundle, newest by default")
        parser.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")
        if name == "decide":
            parser.add_argument("--policy", type=Path, help="別の方針ファイル / another policy file")
            parser.add_argument(
                "--allow-unproven", action="store_true", help="基準未達でも使う / use it though unproven"
            )
        if name == "score":
            parser.add_argument("--scorer", choices=("so8t", "plan"), default="so8t")


def _look_verbs(verbs: Any) -> None:
    plan = _verb(
        verbs,
        "plan",
        "必要な資源を見積もる",
        "estimate what it takes",
        "so8t.commands.plan:plan",
        "plan --profile phi4-mini-12gb",
    )
    _config_options(plan)
    _plan_options(plan)
    doctor = _verb(verbs, "doctor", "環境を点検", "check this machine", "so8t.commands.plan:doctor")
    _config_options(doctor)
    _selftest_options(
        _verb(
            verbs,
            "selftest",
            "この機械の GPU で学習できることを実際に確かめる",
            "prove on this machine's GPU what training relies on",
            "so8t.commands.selftest:selftest",
            "selftest gpu",
        )
    )
    ledger = _verb(
        verbs,
        "ledger",
        "台帳の検証・書き出し",
        "verify or export a ledger",
        "so8t.commands.look:ledger",
        "ledger verify runs/tiny/ledger.db",
    )
    ledger.add_argument("action", choices=("verify", "export"))
    ledger.add_argument("path", type=Path)
    ledger.add_argument("--key", type=Path, help="錨の公開鍵 / public key of the anchor")
    ledger.add_argument("--head", default="", help="SEQ:HEX 外に控えた最新ハッシュ / a head noted elsewhere")
    for name, ja, en in (("status", "実行の進み具合", "how far a run is"), ("show", "実行の要約", "summary of a run")):
        place = "status" if name == "status" else "look"
        parser = _verb(verbs, name, ja, en, f"so8t.commands.{place}:{name}", f"{name} tiny")
        parser.add_argument("name", nargs="?", default="tiny", help="実行の名前 / name of the run")
        if name == "status":
            parser.add_argument("--watch", action="store_true", help="見続ける / keep watching")
    policy = _verb(
        verbs,
        "policy",
        "方針ファイルを事例で試す",
        "test a policy file on cases",
        "so8t.commands.use:policy",
        "policy test cases.jsonl",
    )
    policy.add_argument("action", choices=("test",))
    policy.add_argument("cases", type=Path)
    policy.add_argument("--policy", default="demo", help="方針の名前かパス / name or path")


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="", help="学習する装置(既定は今あるもの) / default: what is here"
    )
    parser.add_argument("--probe", action="store_true", help="短く測って時間も見積もる / measure, and tell the time")


def _selftest_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("gpu",), help="確かめる相手 / what to test")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu = CPU で済む検査だけ / what a CPU can do"
    )
    parser.add_argument("--out", type=Path, default=Path("selftest-gpu.json"), help="報告のファイル / report file")

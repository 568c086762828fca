"""The verbs of who trains: a run and its stages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from so8t.core.run import STAGES
from so8t.verbs.verb import config_options, verb

STAGE_HANDLERS = {"train": "so8t.commands.train:train", "prove": "so8t.commands.prove:prove"}  # the others: run:stage


def add(verbs: Any) -> None:
    _run_verbs(verbs)


def _run_verbs(verbs: Any) -> None:
    run = verb(
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
        handler = STAGE_HANDLERS.get(name, "so8t.commands.run:stage")
        stage = run if name == "run" else verb(verbs, name, ja, en, handler, f"{name} --profile tiny")
        stage.set_defaults(stage=name)
        if name == "bundle":
            _bundle_options(stage)
        if name in ("collect", "multimodal"):
            _shard_options(stage, name)
        if name == "train":
            _train_options(stage)
        if name == "prove":
            _prove_options(stage)
        _run_options(stage)
    _run_options(run)


def _run_options(parser: argparse.ArgumentParser) -> None:
    config_options(parser)
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


def _prove_options(parser: argparse.ArgumentParser) -> None:
    """`so8t prove` makes the stage, `so8t prove RUN|BUNDLE` measures a finished bundle again and changes nothing."""
    parser.epilog = f"{parser.epilog}\n  so8t prove runs/tiny --out proof"
    parser.epilog += "\n  so8t prove runs/tiny/bundle --data labelled.jsonl --out proof"
    parser.add_argument("target", nargs="?", default="", metavar="RUN|BUNDLE", help="完成した実行かバンドル / finished")
    parser.add_argument("--data", type=Path, help="ラベル付きの依頼 id, query, decision(JSON 行) / labelled requests")
    parser.add_argument("--texts", type=Path, help="困惑度を測る文章 text(JSON 行) / held-out texts")
    parser.add_argument("--out", type=Path, help="カードを置くフォルダ(既定 proof) / folder for the card")
    parser.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")

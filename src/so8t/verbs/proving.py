"""The verbs of who uses a bundle without a server, and measures what its answers are worth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from so8t.verbs.verb import verb


def add(verbs: Any) -> None:
    _use_verbs(verbs)
    _calibrate_verb(verbs)
    _measuring_verbs(verbs)


def _use_verbs(verbs: Any) -> None:
    for name, ja, en in (
        ("decide", "依頼を三重判定", "judge requests"),
        ("classify", "文章の分野を判定", "tell the domain of texts"),
        ("score", "文章の品質を採点", "score the quality of texts"),
    ):
        parser = verb(verbs, name, ja, en, f"so8t.commands.use:{name}", f"{name} --in in.jsonl --out out.jsonl")
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


def _calibrate_verb(verbs: Any) -> None:
    calibrate = verb(
        verbs,
        "calibrate",
        "自社のラベル付き依頼で温度を決め直す",
        "fit the temperatures on your own labelled requests",
        "so8t.commands.prove:calibrate",
        "calibrate runs/tiny/bundle --data labelled.jsonl --out calibration.json",
    )
    calibrate.add_argument("bundle", type=Path, help="バンドルのフォルダ / bundle folder")
    calibrate.add_argument(
        "--data", type=Path, required=True, help="ラベル付きの依頼 id, query, decision(JSON 行) / labelled requests"
    )
    calibrate.add_argument(
        "--out", type=Path, default=Path("calibration.json"), help="温度を書くファイル / file for the temperatures"
    )
    calibrate.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")
    calibrate.add_argument("--threads", type=int, default=1, help="モデルのスレッドの数 / threads of the model")


def _measuring_verbs(verbs: Any) -> None:
    """What the answers are worth, and whether like requests are judged alike."""
    tasks = verb(
        verbs,
        "tasks",
        "質問と要約の課題で答えの質を測る",
        "measure the answers on questions and summaries",
        "so8t.commands.tasks:tasks",
        "tasks runs/tiny/bundle",
    )
    tasks.epilog = f"{tasks.epilog}\n  so8t tasks runs/tiny/bundle --data own.jsonl --out replies.json"
    tasks.epilog += "\n  so8t tasks runs/tiny/bundle --export lm-eval --out harness"
    tasks.add_argument("bundle", nargs="?", type=Path, help="バンドル(既定は最新) / bundle, newest by default")
    tasks.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")
    tasks.add_argument("--data", type=Path, help="自社の課題(JSON 行)か llm-jp-eval の .json / own items")
    tasks.add_argument("--out", type=Path, help="答えの全文(JSON)、--export ではフォルダ / replies, or a folder")
    tasks.add_argument("--limit", type=int, default=0, metavar="N", help="N 問だけ / only N items")
    tasks.add_argument("--export", choices=("lm-eval", "llm-jp-eval"), help="ほかの評価の形で書き出す / for a harness")
    tasks.add_argument("--results", type=Path, metavar="F", help="ほかの評価の結果を読む / read a harness's results")
    tasks.add_argument("--threads", type=int, default=1, help="スレッドの数 / threads")
    _draws_option(tasks)
    consistency = verb(
        verbs,
        "consistency",
        "似た依頼に同じ判定を出しているか",
        "are like requests judged alike",
        "so8t.commands.consistency:consistency",
        "consistency runs/tiny/ledger.db",
    )
    consistency.epilog = f"{consistency.epilog}\n  so8t consistency verdicts.jsonl --queries requests.jsonl"
    consistency.add_argument("path", type=Path, metavar="LEDGER|JSONL", help="台帳か decide の出力 / or decide's lines")
    consistency.add_argument("--queries", type=Path, help="decide に渡した依頼(id で結ぶ) / the requests, joined by id")
    consistency.add_argument("--text-key", type=Path, help="台帳の本文の鍵 / text key of the ledger")
    consistency.add_argument("--least", type=float, default=0.4, metavar="X", help="似ているとみなす度合い / likeness")
    _draws_option(consistency)


def _draws_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int, default=1000, metavar="N", help="区間を出す再抽出の数 / bootstrap draws")

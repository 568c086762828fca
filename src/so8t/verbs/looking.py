"""The verbs that show what there is: needs, comparisons, self-tests, ledger, status, policy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from so8t.verbs.verb import config_options, trust_options, verb


def add(verbs: Any) -> None:
    _look_verbs(verbs)


def _look_verbs(verbs: Any) -> None:
    plan = verb(
        verbs,
        "plan",
        "必要な資源を見積もる",
        "estimate what it takes",
        "so8t.commands.plan:plan",
        "plan --profile phi4-mini-12gb",
    )
    config_options(plan)
    _plan_options(plan)
    _compare_options(
        verb(
            verbs,
            "compare",
            "工夫が効いたかを、組にした学習で確かめる",
            "does an idea help? trainings held against each other in pairs",
            "so8t.commands.compare:compare",
            "compare --profile tiny --vary pet --seeds 3",
        )
    )
    doctor = verb(verbs, "doctor", "環境を点検", "check this machine", "so8t.commands.plan:doctor")
    config_options(doctor)
    _selftest_options(
        verb(
            verbs,
            "selftest",
            "この機械の GPU、Ollama、Windows、journald で、頼りにすることを実際に確かめる",
            "prove on this machine's GPU, Ollama, Windows or journald what is relied on",
            "so8t.commands.selftest:selftest",
            "selftest gpu",
        )
    )
    ledger = verb(
        verbs,
        "ledger",
        "台帳の検証・書き出し・封印",
        "verify, export or seal a ledger",
        "so8t.commands.ledger:ledger",
        "ledger verify runs/tiny/ledger.db",
    )
    ledger.add_argument("action", choices=("verify", "export", "seal", "anchor", "schema", "report", "erase"))
    ledger.add_argument("path", type=Path, nargs="?", help="台帳か封印した月 / ledger or sealed month (.jsonl)")
    ledger.add_argument("--key", type=Path, help="錨の公開鍵 / public key of the anchor")
    ledger.add_argument("--text-key", type=Path, help="本文の鍵 / key of the texts")
    ledger.add_argument("--head", default="", help="SEQ:HEX 外に控えた最新ハッシュ / a head noted elsewhere")
    ledger.add_argument("--sealed", type=Path, metavar="DIR", help="封印した月とも照合 / check against sealed months")
    ledger.add_argument("--month", default="", metavar="YYYY-MM", help="seal: 封印する月(日本時間) / month to seal")
    ledger.add_argument("--out", type=Path, metavar="DIR", help="seal, report: 書き出す先 / where to")
    ledger.add_argument("--signing-key", type=Path, help="seal, report, erase: 署名する秘密鍵 / private key that signs")
    ledger.add_argument("--events", type=Path, metavar="FILE", help="イベントログとも照合 / an exported event log")
    ledger.add_argument("--law", default="", help="report: 法令の名前か .toml / law by name, or a file")
    ledger.add_argument("--from", dest="since", default="", metavar="YYYY-MM-DD", help="report: 最初の日 / first day")
    ledger.add_argument("--to", dest="until", default="", metavar="YYYY-MM-DD", help="report: 終わりの翌日 / day after")
    ledger.add_argument("--verify", dest="check", type=Path, metavar="DIR", help="report: 報告を確かめる / check one")
    ledger.add_argument("--report-key", type=Path, help="report: 報告の公開鍵 / public key of a report")
    ledger.add_argument("--list", action="store_true", help="report: 法令の一覧 / laws there are")
    ledger.add_argument("--seq", type=int, default=0, metavar="N", help="erase: 本文を消す行 / whose texts to destroy")
    ledger.add_argument("--reason", default="", help="erase: 台帳に残る理由 / why, for the record")
    for name, ja, en in (("status", "実行の進み具合", "how far a run is"), ("show", "実行の要約", "summary of a run")):
        place = "status" if name == "status" else "look"
        parser = verb(verbs, name, ja, en, f"so8t.commands.{place}:{name}", f"{name} tiny")
        parser.add_argument("name", nargs="?", default="tiny", help="実行の名前 / name of the run")
        if name == "status":
            parser.add_argument("--watch", action="store_true", help="見続ける / keep watching")
    policy = verb(
        verbs,
        "policy",
        "方針ファイルを調べ、事例で試し、比べる",
        "check, test and compare policy files",
        "so8t.commands.policy:policy",
        "policy test cases.jsonl --policy finance",
    )
    policy.add_argument("action", choices=("test", "measure", "check", "diff", "list"))
    policy.add_argument("files", nargs="*", help="事例(test, measure)か方針(check, diff) / cases or policies")
    policy.add_argument("--policy", default="demo", help="方針の名前かパス / name or path")
    policy.add_argument("--domain", default="", help="この分野の依頼だけ(measure) / requests of one domain")


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="", help="学習する装置(既定は今あるもの) / default: what is here"
    )
    parser.add_argument("--probe", action="store_true", help="短く測って時間も見積もる / measure, and tell the time")


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="RUN", help="学習の済んだ実行 / runs whose training is finished")
    parser.add_argument(
        "--vary", default="", metavar="IDEA",
        help="pet, gate, parametrisation, normalisation, train.KEY=a,b(先が対照 / the control first)",
    )  # fmt: skip
    config_options(parser)
    parser.add_argument("--seeds", type=int, default=3, help="シードの数(既定 3) / how many seeds")
    parser.add_argument(
        "--from", dest="shared", type=Path, metavar="RUN", help="データと土台を借りる実行 / take data and base from"
    )
    parser.add_argument(
        "--accept-change", action="store_true", help="設定やコードの変更を受け入れてやり直す / redo what changed"
    )
    parser.add_argument("--unpaired", action="store_true", help="判定せずに並べる / side by side, without a verdict")
    parser.add_argument("--window", type=int, default=0, help="長い窓のトークン数(既定 2048 以上) / tokens of a window")
    parser.add_argument("--windows", type=int, default=8, help="長い窓の数 / how many windows")
    parser.add_argument("--requests", type=int, default=0, help="検証用の依頼の数(0 = 全部) / requests, 0 = all")
    parser.add_argument("--draws", type=int, default=2000, help="ブートストラップの回数 / bootstrap draws")
    parser.add_argument("--out", type=Path, metavar="DIR", help="結果の置き場 / where results go")


def _selftest_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"{parser.epilog}\n  so8t selftest windows"
    parser.add_argument("what", choices=("gpu", "ollama", "windows", "journald"), help="確かめる相手 / what to test")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu = CPU で済む検査だけ / what a CPU can do"
    )
    parser.add_argument("--out", type=Path, help="報告のファイル(既定は selftest-….json) / report file")
    parser.add_argument("--bundle", type=Path, help="ollama: バンドル(既定は最新) / bundle, newest by default")
    parser.add_argument("--address", default="", help="ollama: http://127.0.0.1:11434")
    parser.add_argument("--user", action="store_true", help="journald: 自分だけのサービス / one user's service")
    parser.add_argument("--only", default="", metavar="Q8_0", help="ollama: 量子化(既定は運用のもの) / quantisation")
    trust_options(parser)

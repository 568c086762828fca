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
STAGE_HANDLERS = {"train": "so8t.commands.train:train", "prove": "so8t.commands.prove:prove"}  # the others: run:stage


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
    _calibrate_verb(verbs)
    _deploy_verb(verbs)
    _serve_verb(verbs)
    _users_verb(verbs)
    _review_verb(verbs)
    _backup_verb(verbs)
    _search_verb(verbs)
    _mcp_verb(verbs)
    _office_verbs(verbs)
    _service_verb(verbs)
    _monitor_verb(verbs)
    _senses_verbs(verbs)
    _agents_verb(verbs)
    _tools_verb(verbs)
    _measuring_verbs(verbs)
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
        handler = STAGE_HANDLERS.get(name, "so8t.commands.run:stage")
        stage = run if name == "run" else _verb(verbs, name, ja, en, handler, f"{name} --profile tiny")
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


def _prove_options(parser: argparse.ArgumentParser) -> None:
    """`so8t prove` makes the stage, `so8t prove RUN|BUNDLE` measures a finished bundle again and changes nothing."""
    parser.epilog = f"{parser.epilog}\n  so8t prove runs/tiny --out proof"
    parser.epilog += "\n  so8t prove runs/tiny/bundle --data labelled.jsonl --out proof"
    parser.add_argument("target", nargs="?", default="", metavar="RUN|BUNDLE", help="完成した実行かバンドル / finished")
    parser.add_argument("--data", type=Path, help="ラベル付きの依頼 id, query, decision(JSON 行) / labelled requests")
    parser.add_argument("--texts", type=Path, help="困惑度を測る文章 text(JSON 行) / held-out texts")
    parser.add_argument("--out", type=Path, help="カードを置くフォルダ(既定 proof) / folder for the card")
    parser.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")


def _calibrate_verb(verbs: Any) -> None:
    calibrate = _verb(
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


def _deploy_verb(verbs: Any) -> None:
    deploy = _verb(
        verbs,
        "deploy",
        "バンドルを Ollama か llama.cpp で動かす",
        "put a bundle into Ollama or llama.cpp",
        "so8t.commands.deploy:deploy",
        "deploy runs/tiny/bundle --to ollama",
    )
    deploy.add_argument("bundle", type=Path, help="バンドルのフォルダ / bundle folder")
    deploy.add_argument("--to", choices=("ollama", "llamacpp"), required=True, help="動かす先 / where to")
    deploy.add_argument("--address", default="", help="http://127.0.0.1:11434, 127.0.0.1:8080 …")
    deploy.add_argument("--name", default="so8t", help="Ollama でのモデルの名前 / the models' name in Ollama")
    deploy.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="Q8_0",
        help="この量子化だけ(何度でも) / only this, repeatable",
    )
    deploy.add_argument("--by", choices=("api", "cli"), default="api", help="cli = ollama create / its own program")
    deploy.add_argument("--threads", type=int, default=0, help="llamacpp のスレッドの数(既定は CPU の半分) / threads")
    _trust_options(deploy)


def _serve_verb(verbs: Any) -> None:
    serve = _verb(
        verbs,
        "serve",
        "社内のサーバーを動かす(OpenAI・Ollama 互換の入口と画面)",
        "run the office server (OpenAI and Ollama interfaces, console)",
        "so8t.commands.serve:serve",
        "serve --bundle runs/tiny/bundle --config so8t.toml",
    )
    _config_options(serve)
    serve.add_argument("--bundle", type=Path, help="バンドル(既定は設定、なければ最新) / bundle, newest by default")
    serve.add_argument("--policy", default=None, help="方針ファイル(既定はバンドルのもの) / policy file")
    serve.add_argument("--address", default=None, help="待ち受けるアドレス(既定 127.0.0.1) / address to listen on")
    serve.add_argument("--port", type=int, default=None, help="番号(既定 8008、0 = 空いている番号) / port, 0 = any")
    _trust_options(serve)


def _search_verb(verbs: Any) -> None:
    search = _verb(
        verbs,
        "search",
        "社内の文書を索引にして探す",
        "index the office's documents and search them",
        "so8t.commands.search:search",
        "search --config so8t.toml --update",
    )
    search.epilog = f"{search.epilog}\n  so8t search --config so8t.toml --clearance 社内限定 旅費 精算"
    search.add_argument("query", nargs="*", metavar="QUERY", help="探す語(空白で区切る、引用符で一続き) / terms")
    _config_options(search)
    search.add_argument("--update", action="store_true", help="索引を今の文書に合わせる / bring the index up to date")
    search.add_argument(
        "--clearance", default="", help="探す人の権限(既定は一番低い区分) / clearance, lowest by default"
    )
    search.add_argument(
        "--folder", action="append", default=[], metavar="NAME", help="この名のフォルダだけ / only these"
    )
    search.add_argument("--limit", type=int, default=10, metavar="N", help="出す件数 / how many")
    search.add_argument("--policy", default=None, help="方針ファイル(既定は設定かバンドルのもの) / policy file")


def _mcp_verb(verbs: Any) -> None:
    mcp = _verb(
        verbs,
        "mcp",
        "MCP のクライアントに、動いているサーバーを道具として見せる",
        "the running server as tools for an MCP client (stdio)",
        "so8t.commands.mcp:mcp",
        "mcp --key-file key.txt",
    )
    mcp.add_argument("--address", default="http://127.0.0.1:8008", help="サーバー http(s)://IP:番号 / the server")
    mcp.add_argument("--key-file", type=Path, help="API キーのファイル(既定は環境変数 SO8T_KEY) / its file")


def _office_verbs(verbs: Any) -> None:
    """Work that a running server does for one of its users."""
    minutes = _verb(
        verbs,
        "minutes",
        "書き起こしから議事録を作る(動いているサーバーで)",
        "minutes of a transcript, made by the running server",
        "so8t.commands.office:minutes",
        "minutes 定例.vtt --key-file key.txt --out 定例.docx",
    )
    minutes.add_argument("file", type=Path, help="「話者: 発言」の文章、WEBVTT、SRT、Word / a transcript")
    minutes.add_argument("--title", default="", help="題名(既定はファイル名) / its title")
    minutes.add_argument("--date", default="", help="日付 / its date")
    minutes.add_argument("--out", type=Path, metavar="F", help="書き先 .md .docx .json / where to")
    mail = _verb(
        verbs,
        "mail",
        "メールの下書きを作る(動いているサーバーで。送らない)",
        "draft a mail, by the running server; nothing is sent",
        "so8t.commands.office:mail",
        "mail --purpose 日程の変更を連絡する --to 'a@example.co.jp' --point 十二月三日に変わります",
    )
    mail.add_argument("--purpose", required=True, help="何のためのメールか / what it is for")
    mail.add_argument("--to", action="append", required=True, metavar="ADDRESS", help="宛先(何度でも) / recipient")
    mail.add_argument("--point", action="append", default=[], help="必ず書くこと(何度でも) / what it must say")
    mail.add_argument("--register", choices=("丁重", "丁寧", "簡潔"), default="丁寧", help="敬語の程度 / politeness")
    mail.add_argument("--sender", default="", help="差出人の名 / who signs")
    mail.add_argument("--reply", type=Path, metavar="F", help="返信する相手のメール / the mail that is answered")
    for made in (minutes, mail):
        made.add_argument("--classification", default="", help="触れる資料の区分 / level of the material")
        made.add_argument("--no-words", action="store_true", help="モデルに文を書かせない / no words of the model's")
        made.add_argument("--server", default="http://127.0.0.1:8008", help="サーバー http(s)://IP:番号 / the server")
        made.add_argument("--key-file", type=Path, help="API キーのファイル(既定は環境変数 SO8T_KEY) / its file")


def _service_verb(verbs: Any) -> None:
    service = _verb(
        verbs,
        "service",
        "サーバーを Windows か systemd のサービスにする",
        "the server as a service of Windows or systemd",
        "so8t.commands.service:service",
        "service install --dry-run",
    )
    service.epilog = f"{service.epilog}\n  so8t service status --json\n  so8t service messages --to ."
    service.add_argument("action", choices=("install", "remove", "start", "stop", "status", "messages"))
    service.add_argument("--config", type=Path, help="so8t.toml(既定は決まった場所) / by convention")
    service.add_argument("--bundle", type=Path, help="バンドル(既定は設定か決まった場所) / as configured")
    service.add_argument("--key", type=Path, help="信頼する公開鍵(既定は設定か決まった場所) / trusted public key")
    service.add_argument("--user", action="store_true", help="自分だけのサービス(systemctl --user) / of one user")
    service.add_argument("--account", default="", help="動かすアカウント(パスワードのないもの) / without a password")
    service.add_argument("--now", action="store_true", help="install: すぐに動かす / start it at once")
    service.add_argument("--dry-run", action="store_true", help="することを示すだけ / only say what would be done")
    service.add_argument("--to", type=Path, metavar="DIR", help="messages: 文面の DLL を置く所 / where the DLL goes")
    service.add_argument("--by", choices=("so8t", "mingw"), default="so8t", help="messages: 作り方 / who makes it")


def _monitor_verb(verbs: Any) -> None:
    monitor = _verb(
        verbs,
        "monitor",
        "この機械を見張る(網、プログラム、ファイル、USB。止めも消しもしない)",
        "watch this machine: network, programs, files, USB; it ends and deletes nothing",
        "so8t.commands.monitor:monitor",
        "monitor --once --config so8t.toml",
    )
    monitor.epilog = f"{monitor.epilog}\n  so8t monitor --accept --config so8t.toml"
    _config_options(monitor)
    monitor.add_argument("--once", action="store_true", help="一度だけ。重大な所見があれば終了コード 12 / one look")
    monitor.add_argument(
        "--accept", action="store_true", help="今の状態を基準にする / take the present state as the baseline"
    )


def _agents_verb(verbs: Any) -> None:
    agents = _verb(
        verbs,
        "agents",
        "分野ごとの窓口(エージェント)を見る・ファイルを確かめる",
        "see the domain agents, check an agent file",
        "so8t.commands.agents:agents",
        "agents list --config so8t.toml",
    )
    agents.epilog = (
        f"{agents.epilog}\n  so8t agents show finance\n  so8t agents check own/rules.toml --config so8t.toml"
    )
    agents.add_argument("action", choices=("list", "show", "check"))
    agents.add_argument(
        "name", nargs="?", default="", metavar="NAME|FILE", help="show: 名前、check: ファイル / name, file"
    )
    _config_options(agents)
    agents.add_argument("--policy", default=None, help="方針ファイル(既定は設定かバンドルのもの) / policy file")


def _tools_verb(verbs: Any) -> None:
    tools = _verb(
        verbs,
        "tools",
        "エージェントの道具(MCP サーバー)を見る・承認する・取り消す",
        "see, approve and revoke the tools of local MCP servers",
        "so8t.commands.tools:tools",
        "tools list --key-file admin.key",
    )
    tools.epilog = f"{tools.epilog}\n  so8t tools approve calendar/day --key-file admin.key"
    tools.add_argument("action", choices=("list", "approve", "revoke"))
    tools.add_argument("tool", nargs="?", default="", metavar="SERVER/TOOL", help="道具の名前 / name of the tool")
    tools.add_argument("--server", default="http://127.0.0.1:8008", help="http://IP:番号 / the running server")
    tools.add_argument("--key-file", type=Path, help="管理者の API キーのファイル / an administrator's API key")
    tools.add_argument("--yes", action="store_true", help="approve: 確認しない / do not ask")


def _measuring_verbs(verbs: Any) -> None:
    """What the answers are worth, and whether like requests are judged alike."""
    tasks = _verb(
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
    consistency = _verb(
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


def _trust_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", type=Path, help="信頼する公開鍵 / trusted public key")
    parser.add_argument("--allow-unproven", action="store_true", help="基準未達でも使う / use it though unproven")


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
    _compare_options(
        _verb(
            verbs,
            "compare",
            "工夫が効いたかを、組にした学習で確かめる",
            "does an idea help? trainings held against each other in pairs",
            "so8t.commands.compare:compare",
            "compare --profile tiny --vary pet --seeds 3",
        )
    )
    doctor = _verb(verbs, "doctor", "環境を点検", "check this machine", "so8t.commands.plan:doctor")
    _config_options(doctor)
    _selftest_options(
        _verb(
            verbs,
            "selftest",
            "この機械の GPU、Ollama、Windows、journald で、頼りにすることを実際に確かめる",
            "prove on this machine's GPU, Ollama, Windows or journald what is relied on",
            "so8t.commands.selftest:selftest",
            "selftest gpu",
        )
    )
    ledger = _verb(
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
        parser = _verb(verbs, name, ja, en, f"so8t.commands.{place}:{name}", f"{name} tiny")
        parser.add_argument("name", nargs="?", default="tiny", help="実行の名前 / name of the run")
        if name == "status":
            parser.add_argument("--watch", action="store_true", help="見続ける / keep watching")
    policy = _verb(
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


def _senses_verbs(verbs: Any) -> None:
    see = _verb(
        verbs,
        "see",
        "画像とスキャンした PDF を読む(OCR か、持ち込みの検出器で)",
        "read images and scanned PDFs, by OCR or by a detector you bring",
        "so8t.commands.senses:see",
        "see scan.pdf photo.png --json",
    )
    see.epilog = f"{see.epilog}\n  so8t see line-3.png --model models/eyes"
    see.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="画像か PDF / images or PDFs")
    hear = _verb(
        verbs,
        "hear",
        "録音を文字にする(持ち込みの Whisper で、WebVTT)",
        "a recording to WebVTT, by a Whisper you bring",
        "so8t.commands.senses:hear",
        "hear meeting.m4a --model models/ears --out meeting.vtt",
    )
    hear.add_argument("recording", type=Path, metavar="FILE", help="録音 / recording")
    hear.add_argument("--out", type=Path, metavar="FILE.vtt", help="書き先(止めても続きから) / where to; resumes")
    hear.add_argument("--hours", type=float, default=8.0, metavar="H", help="録音の長さの上限 / longest recording")
    for parser, name in ((see, "eyes.toml"), (hear, "ears.toml")):
        parser.add_argument("--model", type=Path, metavar="FOLDER", help=f"重みと {name} の置き場 / with {name}")
        parser.add_argument("--threads", type=int, default=0, metavar="N", help="使う CPU(既定は全部) / 0 = all")


def _review_verb(verbs: Any) -> None:
    review = _verb(
        verbs,
        "review",
        "人へ回した依頼を見る・決める・学習用に書き出す",
        "see and decide what was handed over; export decisions for training",
        "so8t.commands.review:review",
        "review list --key-file reviewer.key",
    )
    review.epilog = f"{review.epilog}\n  so8t review approve 12 --comment 一般論 --key-file reviewer.key"
    review.epilog += "\n  so8t review export --out reviewed.jsonl"
    review.add_argument("action", choices=("list", "show", "approve", "reject", "export"))
    review.add_argument("seq", nargs="?", type=int, metavar="NUMBER", help="台帳の番号 / number in the ledger")
    review.add_argument("--server", default="", help="http://127.0.0.1:8008")
    review.add_argument("--key-file", type=Path, help="担当者の API キーのファイル / a reviewer's API key")
    review.add_argument("--comment", default="", help="記録に残す理由 / why, for the record")
    review.add_argument("--answer", default="", help="approve: モデルの代わりの答え / in place of the model's answer")
    review.add_argument("--out", type=Path, default=Path("reviewed.jsonl"), help="export: 書き先 / where to")
    review.add_argument("--ledger", type=Path, help="export: 台帳(既定は設定) / ledger, as configured")
    review.add_argument("--text-key", type=Path, help="export: 本文の鍵(既定は設定) / text key, as configured")
    review.add_argument("--config", type=Path, help="so8t.toml")


def _backup_verb(verbs: Any) -> None:
    backup = _verb(
        verbs,
        "backup",
        "控えを取る・確かめる・戻す(サーバーを止めずに、暗号化して)",
        "back up, check and restore, encrypted, while serving",
        "so8t.commands.backup:backup",
        "backup create --to /mnt/backups --recipient backup.key.pub --config so8t.toml",
    )
    backup.epilog = f"{backup.epilog}\n  so8t backup keygen --to backup.key"
    backup.epilog += "\n  so8t backup restore FILE --to DIR --private-key backup.key --key ledger.key.pub"
    backup.add_argument("action", choices=("create", "verify", "restore", "keygen"))
    backup.add_argument("file", nargs="?", type=Path, help="verify, restore: 控え / the backup")
    backup.add_argument("--to", type=Path, metavar="PATH", help="作る先(create はフォルダでも) / where to")
    backup.add_argument("--recipient", type=Path, metavar="PUB", help="create: 受け手の公開鍵 / who can open it")
    backup.add_argument("--private-key", type=Path, metavar="F", help="verify, restore: その秘密鍵 / its private key")
    backup.add_argument("--passphrase-file", type=Path, metavar="F", help="一行目が合言葉 / its first line")
    backup.add_argument("--key", type=Path, metavar="PUB", help="台帳の公開鍵 / the ledger's public key, pinned")
    backup.add_argument("--with-keys", action="store_true", help="create: 秘密鍵も入れる / private keys too")
    backup.add_argument("--bundle", type=Path, help="create: バンドル(既定は設定、なければ最新) / as configured")
    backup.add_argument("--without-bundle", action="store_true", help="create: バンドルを入れない / leave it out")
    backup.add_argument("--work", type=Path, metavar="DIR", help="verify: 一時の置き場 / where to unpack meanwhile")
    _config_options(backup)


def _users_verb(verbs: Any) -> None:
    users = _verb(
        verbs,
        "users",
        "利用者、API キー、セッション(サーバの機械で)",
        "accounts, API keys and sessions, on the server's machine",
        "so8t.commands.users:users",
        "users add yamada --role admin",
    )
    users.epilog = f"{users.epilog}\n  so8t users key yamada --label batch --days 90"
    users.add_argument(
        "action", choices=("list", "add", "change", "disable", "enable", "password", "key", "revoke", "sessions")
    )
    users.add_argument("name", nargs="?", default="", help="名前、revoke ではキーの番号 / name, or the key's id")
    users.add_argument(
        "--role", action="append", default=[], choices=("user", "reviewer", "auditor", "admin"),
        help="役割(何度でも、既定 user) / role, repeatable",
    )  # fmt: skip
    users.add_argument("--clearance", default="", help="区分(既定は方針のもの) / level, the policy's by default")
    users.add_argument("--display", help="表示名 / name to show")
    users.add_argument("--group", action="append", metavar="G", help="組(何度でも) / group, repeatable")
    users.add_argument("--password-file", type=Path, metavar="F", help="一行目がパスワード / its first line")
    users.add_argument("--no-password", action="store_true", help="add: シングルサインオンかプログラム / none")
    users.add_argument("--label", default="", help="key: 用途 / what it is for")
    users.add_argument("--days", type=float, default=365.0, help="key: 有効な日数(0 = 無期限) / days, 0 = no end")
    users.add_argument("--end", action="store_true", help="sessions: すべて終わらせる / log out everywhere")
    users.add_argument("--db", type=Path, metavar="PATH", help="利用者台帳(既定は設定) / accounts, as configured")
    users.add_argument("--policy", default="", help="区分を読む方針 / policy that names the levels")
    users.add_argument("--config", type=Path, help="so8t.toml")


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
    _config_options(parser)
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
    _trust_options(parser)

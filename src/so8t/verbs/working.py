"""The verbs of daily work: documents, minutes, mail, images, recordings, MCP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from so8t.verbs.verb import config_options, verb


def add(verbs: Any) -> None:
    _search_verb(verbs)
    _answer_verb(verbs)
    _mcp_verb(verbs)
    _office_verbs(verbs)
    _senses_verbs(verbs)


def _search_verb(verbs: Any) -> None:
    search = verb(
        verbs,
        "search",
        "社内の文書を索引にして探す",
        "index the office's documents and search them",
        "so8t.commands.search:search",
        "search --config so8t.toml --update",
    )
    search.epilog = f"{search.epilog}\n  so8t search --config so8t.toml --clearance 社内限定 旅費 精算"
    search.add_argument("query", nargs="*", metavar="QUERY", help="探す語(空白で区切る、引用符で一続き) / terms")
    config_options(search)
    search.add_argument("--update", action="store_true", help="索引を今の文書に合わせる / bring the index up to date")
    search.add_argument(
        "--clearance", default="", help="探す人の権限(既定は一番低い区分) / clearance, lowest by default"
    )
    search.add_argument(
        "--folder", action="append", default=[], metavar="NAME", help="この名のフォルダだけ / only these"
    )
    search.add_argument("--limit", type=int, default=10, metavar="N", help="出す件数 / how many")
    search.add_argument("--policy", default=None, help="方針ファイル(既定は設定かバンドルのもの) / policy file")


def _answer_verb(verbs: Any) -> None:
    answer = verb(
        verbs,
        "answer",
        "社内の文書から答える(動いているサーバーで。一文ずつ出す)",
        "answer from the office's documents, by the running server, sentence by sentence",
        "so8t.commands.answer:answer",
        "answer 旅費の精算はいつまで? --key-file key.txt",
    )
    answer.add_argument("query", nargs="+", metavar="QUERY", help="問い / the question")
    where = answer.add_mutually_exclusive_group()
    where.add_argument(
        "--folder", action="append", default=[], metavar="NAME", help="この名のフォルダだけ / only these"
    )
    where.add_argument("--agent", default="", metavar="NAME", help="この窓口に聞く / ask this agent")
    _server_options(answer)


def _server_options(parser: Any, *older: str) -> None:
    """`older`: names that the option had."""
    parser.add_argument(
        "--server", *older, default="http://127.0.0.1:8008", help="サーバー http(s)://IP:番号 / the server"
    )
    parser.add_argument("--key-file", type=Path, help="API キーのファイル(既定は環境変数 SO8T_KEY) / its file")


def _mcp_verb(verbs: Any) -> None:
    mcp = verb(
        verbs,
        "mcp",
        "MCP のクライアントに、動いているサーバーを道具として見せる",
        "the running server as tools for an MCP client (stdio)",
        "so8t.commands.mcp:mcp",
        "mcp --key-file key.txt",
    )
    _server_options(mcp, "--address")


def _office_verbs(verbs: Any) -> None:
    """Work that a running server does for one of its users."""
    minutes = verb(
        verbs,
        "minutes",
        "書き起こしから議事録を作る(動いているサーバーで)",
        "minutes of a transcript, made by the running server",
        "so8t.commands.office:minutes",
        "minutes 定例.vtt --key-file key.txt --out 定例.docx",
    )
    minutes.add_argument("file", type=Path, help="書き起こし(文章、字幕、Word、画像)か録音 / transcript or recording")
    minutes.add_argument("--ears", type=Path, metavar="FOLDER", help="録音のとき、Whisper の置き場 / for a recording")
    minutes.add_argument("--title", default="", help="題名(既定はファイル名) / its title")
    minutes.add_argument("--date", default="", help="日付 / its date")
    minutes.add_argument("--out", type=Path, metavar="F", help="書き先 .md .docx .json / where to")
    mail = verb(
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
        _server_options(made)


def _senses_verbs(verbs: Any) -> None:
    see = verb(
        verbs,
        "see",
        "画像とスキャンした PDF を読む(OCR か、持ち込みの検出器で)",
        "read images and scanned PDFs, by OCR or by a detector you bring",
        "so8t.commands.senses:see",
        "see scan.pdf photo.png --json",
    )
    see.epilog = f"{see.epilog}\n  so8t see line-3.png --model models/eyes"
    see.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="画像か PDF / images or PDFs")
    hear = verb(
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

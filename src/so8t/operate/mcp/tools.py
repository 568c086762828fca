"""The tools that an MCP client is offered.

Their names, schemas and descriptions are pinned: a client may refuse what has changed since it was approved, so a
change here is a change of the interface (tests/operate/mcp pins the digest).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from so8t.core.types import canonical_json

Schema = dict[str, Any]
_QUERY: Schema = {"type": "string", "minLength": 1, "maxLength": 20_000}
_LEVEL: Schema = {
    "type": "string", "maxLength": 50, "description": "触れる資料の区分 / level of the material touched",
}  # fmt: skip
_FOLDERS: Schema = {
    "type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 100,
    "description": "この名のフォルダだけ / only folders of these names",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Definition:
    """One tool: its name, what it is for, and what it takes. reads_only: it changes nothing but the ledger."""

    name: str
    title: str
    description: str
    properties: Schema
    required: tuple[str, ...] = ()
    reads_only: bool = True

    @property
    def schema(self) -> Schema:
        return {
            "type": "object", "properties": self.properties, "required": list(self.required),
            "additionalProperties": False,
        }  # fmt: skip


TOOLS: tuple[Definition, ...] = (
    Definition(
        "ask",
        "依頼する / ask",
        "社内のアシスタントに依頼する。判定(ALLOW、ESCALATE、DENY)のあと、許されれば答えが返る。"
        "人へ回されたら番号が返る。 / Ask the company's assistant. The request is judged; an answer comes if it is "
        "allowed, a number if it is handed to a person.",
        {
            "query": _QUERY,
            "classification": _LEVEL,
        },
        ("query",),
        reads_only=False,
    ),
    Definition(
        "search",
        "社内の文書を探す / search",
        "権限の内側の文書を探し、該当の箇所を返す。語は空白で区切る。 / Find documents within your clearance, with the "
        "passage that fits. Terms are parted by spaces.",
        {
            "query": {**_QUERY, "maxLength": 1000},
            "folders": _FOLDERS,
            "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 10},
        },
        ("query",),
    ),
    Definition(
        "answer",
        "文書から答える / answer from documents",
        "権限の内側の文書だけをもとに答える。一文ごとに根拠の箇所の番号が付き、番号のない文には根拠がない。 / "
        "Answer from documents within your clearance alone. Every sentence names the passage it stands on; one without "
        "stands on none.",
        {"query": {**_QUERY, "maxLength": 1000}, "folders": _FOLDERS},
        ("query",),
        reads_only=False,
    ),
    Definition(
        "minutes",
        "議事録を作る / minutes",
        "会議の書き起こし(話者: 発言、WEBVTT、SRT)から、決まったこと、やること(担当、期限)、残ったことを取り出す。"
        "各項目に元の行の番号が付く。 / Decisions, to-dos (owner, due) and open points from a transcript; each item "
        "names the lines it stands on.",
        {
            "transcript": {"type": "string", "minLength": 1, "maxLength": 400_000},
            "title": {"type": "string", "maxLength": 100},
            "date": {"type": "string", "maxLength": 100},
            "classification": _LEVEL,
            "words": {
                "type": "boolean", "default": True,
                "description": "モデルに言い換えと概要を書かせる / let the model reword and summarise",
            },
        },
        ("transcript",),
        reads_only=False,
    ),
    Definition(
        "mail_draft",
        "メールの下書き / mail draft",
        "目的、宛先、要点から下書きを作る。送りはしない。社外の宛先、区分の高い内容は人へ回る。 / "
        "Draft a mail from its purpose, recipients and points; nothing is sent. Recipients outside and material of a "
        "high level go to a person.",
        {
            "purpose": {"type": "string", "minLength": 1, "maxLength": 300},
            "to": {
                "type": "array", "minItems": 1, "maxItems": 50, "items": {"type": "string", "maxLength": 420},
                "description": "住所か「名前 <住所>」 / an address or NAME <ADDRESS>",
            },
            "points": {"type": "array", "maxItems": 20, "items": {"type": "string", "maxLength": 500}},
            "register": {"enum": ["丁重", "丁寧", "簡潔"], "default": "丁寧"},
            "sender": {"type": "string", "maxLength": 100},
            "reply": {"type": "string", "maxLength": 20_000, "description": "返信する相手のメール / mail to answer"},
            "classification": _LEVEL,
            "words": {"type": "boolean", "default": True},
        },
        ("purpose", "to"),
        reads_only=False,
    ),
    Definition(
        "decision_status",
        "人へ回した依頼の様子 / state of a handed-over request",
        "人へ回された自分の依頼の様子と、許されたなら答え。番号を省くと最近のものの一覧。 / The state of your own "
        "handed-over request, with its answer once allowed; without a number, the recent ones.",
        {"seq": {"type": "integer", "minimum": 1, "maximum": 10**17}},
    ),
    Definition(
        "ledger_verify",
        "台帳を検証する / verify the ledger",
        "台帳の全部を、連鎖、署名、錨に照らして調べる(監査人と管理者)。 / Check the whole ledger against its chain, "
        "signature and anchor (auditors and administrators).",
        {},
    ),
)  # fmt: skip


def digest() -> str:
    """SHA-256 of all that a client sees of the tools."""
    seen = [[t.name, t.title, t.description, t.schema, t.reads_only] for t in TOOLS]
    return hashlib.sha256(canonical_json(seen).encode()).hexdigest()

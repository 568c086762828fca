"""An agent of a company's own, as a file; and a tool server of its own, as a configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from office_server import Server

from so8t.core.serve_config import ToolServer

OWN = """
name = "規程の窓口"
name_en = "Rules desk"
about = "規程を案内します。"
about_en = "Shows the rules."
greeting = "規程のことをどうぞ。"
greeting_en = "Ask about rules."
domain = "business"
policy = "office"
highest = "社内限定"
folders = ["公開", "社内限定"]
tools = []
roles = ["user"]
groups = []
prompt = "規程の条を示して、一文で答えてください。"

[identity]
role = "規程を案内するアシスタント"
scope = "社内規程の案内"
serves = "すべての社員"
limitations = ["規程を変えない"]
escalation_policy = "解釈は総務に確認する"

[[examples]]
query = "旅費の規程を教えてください。"
decision = "ALLOW"
"""

Start = Callable[..., AbstractContextManager[Server]]  # a running office, with what differs in its configuration


def little(program: Path, mode: str = "plain", **more: object) -> ToolServer:
    given: dict[str, object] = {
        "name": "plan", "command": (sys.executable, str(program), mode), "tools": ("day",), "effect": "reads",
        "classification": "社内限定", "seconds": 20.0,
    }  # fmt: skip
    return ToolServer(**{**given, **more})  # type: ignore[arg-type]

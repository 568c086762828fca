"""so8t deploy BUNDLE --to ollama|llamacpp: a verified bundle to where it answers."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from so8t.commands.use import trusted_key
from so8t.core.bundle import Bundle, open_bundle
from so8t.core.errors import BundleUnproven, UsageError
from so8t.core.progress import Progress
from so8t.operate.deploy.llamacpp import Serving, serve_until
from so8t.operate.deploy.ollama import Deployed
from so8t.operate.deploy.ollama import deploy as deploy_to_ollama
from so8t.report.summary import table

OLLAMA, LLAMACPP = "http://127.0.0.1:11434", "127.0.0.1:8080"


def deploy(options: argparse.Namespace) -> int:
    """Nothing is sent or started before the bundle is verified and proven, or its lack of proof accepted aloud."""
    bundle = verified(options)
    return _ollama(bundle, options) if options.to == "ollama" else _llamacpp(bundle, options)


def verified(options: argparse.Namespace) -> Bundle:
    """Raises BundleBroken, SignatureInvalid; BundleUnproven without --allow-unproven, which is said on stderr."""
    bundle = open_bundle(options.bundle, trusted_key(options))
    try:
        bundle.require_proof()
    except BundleUnproven as error:
        if not options.allow_unproven:
            raise
        print(f"証明のないまま使います / used though unproven: {error.detail}", file=sys.stderr)
    return bundle


def _ollama(bundle: Bundle, options: argparse.Namespace) -> int:
    progress = Progress(lang=options.lang)
    address = options.address or OLLAMA
    done = asyncio.run(deploy_to_ollama(bundle, address, options.name, progress, options.only, options.by))
    if options.json:
        print(json.dumps([d.to_json(options.lang) for d in done], ensure_ascii=False))
        return 0
    ja = options.lang == "ja"
    rows = [[d.published.target.model, _made(d, ja), d.published.shown.template, _answer(d.answer)] for d in done]
    print(table(rows, ["モデル", "結果", "テンプレート", "答え"] if ja else ["model", "result", "template", "answer"]))
    for one in done:
        for line in _notes(one, options.lang):
            print(line)
    return 0


def _made(one: Deployed, ja: bool) -> str:
    if not one.published.created:
        return "変わりなし" if ja else "unchanged"
    return ("作成" if ja else "made") + ("" if one.published.uploaded else "(送信済み)" if ja else " (sent before)")


def _answer(text: str) -> str:
    """Short, on one line, without what could steer a terminal."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    return line if len(line) <= 40 else line[:39] + "…"


def _notes(one: Deployed, lang: str) -> list[str]:
    ja, model = lang == "ja", one.published.target.model
    notes = []
    if not one.published.shown.same_file:
        notes.append(
            f"{model}: Ollama がファイルを自分用に写し直しました。答えが同じかは so8t selftest ollama で確かめられます"
            if ja
            else f"{model}: Ollama made its own copy of the file; so8t selftest ollama tells whether it answers alike"
        )
    if one.why is not None:
        first = one.why.render(lang).splitlines()[0]
        notes.append(
            f"{model}: 判定の確率を読めません。判定(gateway)には --to llamacpp を使ってください。{first}"
            if ja
            else f"{model}: no usable label probabilities: the gateway needs --to llamacpp. {first}"
        )
    return notes


def _llamacpp(bundle: Bundle, options: argparse.Namespace) -> int:
    if len(options.only) > 1 or options.by != "api":
        raise UsageError(detail="--to llamacpp: --only Q8_0")
    threads = options.threads or max(1, (os.cpu_count() or 2) // 2)
    only = options.only[0] if options.only else ""

    def ready(serving: Serving) -> None:
        _say(serving, options)

    try:
        serve_until(bundle, options.address or LLAMACPP, only, threads, ready)
    except KeyboardInterrupt:  # how it is meant to end
        print("止めました" if options.lang == "ja" else "stopped", file=sys.stderr)
    return 0


def _say(serving: Serving, options: argparse.Namespace) -> None:
    facts: dict[str, Any] = serving.to_json()
    if options.json:
        print(json.dumps(facts, ensure_ascii=False), flush=True)
    elif options.lang == "ja":
        print(f"{serving.address} で応答中({serving.quantisation}、文脈 {serving.context})。Ctrl-C で止めます。")
        print(f"試した答え: {_answer(serving.answer)}", flush=True)
    else:
        print(f"Answering at {serving.address} ({serving.quantisation}, context {serving.context}). Ctrl-C stops it.")
        print(f"Trial answer: {_answer(serving.answer)}", flush=True)

"""so8t serve: the office server in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from so8t.commands.use import bundle_folder, trusted_key
from so8t.core.config import in_range, load_config
from so8t.core.errors import SignatureInvalid
from so8t.core.serve_config import ServeConfig
from so8t.operate.console.routes import routes as console_routes
from so8t.operate.server.listening import bound
from so8t.operate.server.run import MODEL, app_of, office_of
from so8t.operate.server.run import serve as serve_http
from so8t.operate.service.notify import READY, STOPPING, notify
from so8t.operate.serving import Running, check_exposure, running_office


def serve(options: argparse.Namespace) -> int:
    """Nobody is answered before bundle, policy, ledger and accounts are found good; a second Ctrl-C does not wait."""
    return hosted(options, _told(options))


def hosted(
    options: argparse.Namespace, told: Callable[[Running, str], None], stop: threading.Event | None = None
) -> int:
    """The same for a service: `told` hears when it listens, on which address; `stop` ends it, from any thread."""
    config = serve_config(options)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(options, config, told, stop))


def serve_config(options: argparse.Namespace) -> ServeConfig:
    """[serve] of so8t.toml, with what the command line says instead. Raises ConfigValueInvalid."""
    config = load_config(options.profile, options.config).serve
    said = {
        name: getattr(options, name) for name in ("address", "port", "policy") if getattr(options, name) is not None
    }
    made = dataclasses.replace(config, **said)
    in_range("serve.port", made.port, "--port")
    return made


async def _serve(
    options: argparse.Namespace, config: ServeConfig, told: Callable[[Running, str], None], stop: threading.Event | None
) -> int:
    if options.bundle is None and config.bundle:
        options.bundle = Path(config.bundle)
    if options.key is None and config.bundle_key:
        options.key = Path(config.bundle_key)
    folder, key = bundle_folder(options), trusted_key(options)
    if key is None and not options.allow_unproven:
        raise SignatureInvalid(where=folder, detail="--key / serve.bundle_key")
    check_exposure(config)
    with bound(config.address, config.port) as at:
        async with running_office(config, folder, key, allow_unproven=options.allow_unproven) as running:
            office = office_of(running)
            app = app_of(running, office, console_routes(running, office, options.runs))
            await serve_http(running, app, at, lambda address: _ready(running, address, told), stop)
            notify(STOPPING)
    _say("止まりました。台帳は閉じてあります / stopped, the ledger is closed")
    return 0


def _ready(running: Running, address: str, told: Callable[[Running, str], None]) -> None:
    told(running, address)
    notify(READY)


def _told(options: argparse.Namespace) -> Callable[[Running, str], None]:
    def told(running: Running, address: str) -> None:
        if options.json:
            print(json.dumps(facts(running, address), ensure_ascii=False), flush=True)
            return
        for line in words(running, address, options.lang == "ja"):
            print(line, flush=True)

    return told


def facts(running: Running, address: str) -> dict[str, Any]:
    return {
        "address": address,
        "model": MODEL,
        "bundle": str(running.bundle.folder),
        "payload_digest": running.bundle.payload_digest,
        "policy_digest": running.policy.policy.digest,
        "proven": not running.unproven,
        "unproven": running.unproven,
        "upstream": running.config.upstream.kind,
        "users": len(running.authenticator.accounts.list()),
        "ledger_seq": running.gateway.ledger.head.seq,
    }


def words(running: Running, address: str, ja: bool) -> list[str]:
    """What the one who starts the server wants to know: where, what, and what is missing."""
    lines = [f"so8t: {address}  " + ("(Ctrl-C で止まります)" if ja else "(Ctrl-C stops it)")]
    lines += [
        f"  OpenAI  {address}/v1   model={MODEL}",
        f"  Ollama  {address}      model={MODEL}",
    ]
    lines.append(f"  {'画面' if ja else 'console'}  {address}/console")
    policy = running.policy.policy
    lines.append(f"  {'方針' if ja else 'policy'}  {policy.label} {policy.version} ({policy.digest[:12]})")
    catalogue = running.agents.catalogue
    lines.append(f"  {'窓口' if ja else 'agents'}  {' '.join(catalogue.agents) or '-'}")
    left_out = "使えません" if ja else "left out"
    lines += [f"  {left_out}: {file}: {why}" for file, why in catalogue.problems.items()]
    if running.unproven:
        lines.append(f"  {'証明なし' if ja else 'UNPROVEN'}: {running.unproven}")
    if not running.authenticator.accounts.list():
        lines.append("  " + ("まだ利用者がいません" if ja else "no users yet") + ": so8t users add NAME --role admin")
    return lines


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: less CPU a request."""
    if sys.platform == "win32":
        return None
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def _say(line: str) -> None:
    print(line, file=sys.stderr)

"""From [serve.monitor] of so8t.toml to the monitor of a running office."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from so8t.core.bundle import Bundle
from so8t.core.ledger_read import LedgerReader
from so8t.core.serve_config import ServeConfig
from so8t.operate.eventlog.event_log import EventLog
from so8t.operate.gateway import Gateway
from so8t.operate.monitor.integrity import BundleFiles
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.named import named_addresses
from so8t.operate.monitor.system import System, descends, this_machine
from so8t.operate.monitor.watch import Reference, Watch, watch_of
from so8t.operate.review.notify import Notifier

STATE = "monitor.json"
Upstreams = Callable[[], Iterable[str]]
ROOTS_SECONDS = 60.0  # the server may be started anew


def monitor_of(
    config: ServeConfig,
    gateway: Gateway,
    bundle: Bundle,
    upstreams: Upstreams,
    reader: LedgerReader,
    events: EventLog,
    notifier: Notifier,
    page: str,
) -> Monitor | None:
    """None where nothing is to be watched. Raises ConfigValueInvalid."""
    if not config.monitor.watch:
        return None
    files = BundleFiles(bundle) if "integrity" in config.monitor.watch else None
    return Monitor(gateway, machine_watch(config, upstreams, files), reader, events, notifier, page)


def machine_watch(config: ServeConfig, upstreams: Upstreams, bundle: BundleFiles | None = None) -> Watch:
    """Of this machine, from inside the server. Raises ConfigValueInvalid."""
    return _watch(config, this_machine(), upstreams, bundle)


def outside_watch(config: ServeConfig, upstreams: Upstreams) -> Watch:
    """From another process than the server, which is known by the port it listens on. Raises ConfigValueInvalid."""
    system = this_machine()
    return _watch(config, dataclasses.replace(system, own=ServerTree(system, config.port)), upstreams, None)


@dataclass(slots=True)
class ServerTree:
    """Called with a process: whether it is this one, the server, or one that they started."""

    system: System
    port: int
    clock: Callable[[], float] = time.monotonic
    _roots: frozenset[int] = frozenset()
    _until: float = float("-inf")

    def __call__(self, pid: int) -> bool:
        if self.clock() >= self._until:
            listening = (s.pid for s in self.system.sockets() if s.state == "listen" and s.local[1] == self.port)
            self._roots = frozenset({os.getpid(), *(found for found in listening if found is not None)})
            self._until = self.clock() + ROOTS_SECONDS
        return descends(pid, self._roots)


def _watch(config: ServeConfig, system: System, upstreams: Upstreams, bundle: BundleFiles | None) -> Watch:
    return watch_of(
        config.monitor, system, Reference(state_path(config)), named=named_addresses(config),
        upstreams=upstreams, own_port=config.port, bundle=bundle,
    )  # fmt: skip


def state_path(config: ServeConfig) -> Path:
    """Where the baseline lies."""
    return Path(config.monitor.state) if config.monitor.state else Path(config.ledger.path).with_name(STATE)

"""From [serve.monitor] of so8t.toml to the monitor of a running office."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from so8t.core.bundle import Bundle
from so8t.core.ledger_read import LedgerReader
from so8t.core.serve_config import ServeConfig
from so8t.operate.eventlog.event_log import EventLog
from so8t.operate.gateway import Gateway
from so8t.operate.monitor.integrity import BundleFiles
from so8t.operate.monitor.monitor import Monitor
from so8t.operate.monitor.named import named_addresses
from so8t.operate.monitor.system import this_machine
from so8t.operate.monitor.watch import Reference, Watch, watch_of
from so8t.operate.review.notify import Notifier

STATE = "monitor.json"


def monitor_of(
    config: ServeConfig,
    gateway: Gateway,
    bundle: Bundle,
    upstreams: Sequence[str],
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


def machine_watch(config: ServeConfig, upstreams: Sequence[str], bundle: BundleFiles | None = None) -> Watch:
    """Of this machine, also without a server. Raises ConfigValueInvalid."""
    return watch_of(
        config.monitor, this_machine(), Reference(state_path(config)), named=named_addresses(config),
        upstreams=upstreams, own_port=config.port, bundle=bundle,
    )  # fmt: skip


def state_path(config: ServeConfig) -> Path:
    """Where the baseline lies."""
    return Path(config.monitor.state) if config.monitor.state else Path(config.ledger.path).with_name(STATE)

"""From [serve.ledger] of so8t.toml to the event logs."""

from __future__ import annotations

import sys
from pathlib import Path

from so8t.core.errors import ConfigValueInvalid, PackageMissing
from so8t.core.serve_config import LedgerConfig
from so8t.operate.eventlog.file_sink import FileSink
from so8t.operate.eventlog.journald_sink import JournaldSink
from so8t.operate.eventlog.lane import Sink
from so8t.operate.eventlog.syslog_sink import SyslogSink, syslog_address
from so8t.operate.eventlog.windows_sink import WindowsSink, event_api


def sinks_of(config: LedgerConfig, platform: str = sys.platform) -> list[Sink]:
    """One for each of `events`. Raises ConfigValueInvalid for what this machine or this address cannot be.

    A log that is there but down at the moment is no error: its events wait.
    """
    return [_sink(kind, config, platform) for kind in dict.fromkeys(config.events)]


def _sink(kind: str, config: LedgerConfig, platform: str) -> Sink:
    if kind == "file":
        return _file(Path(config.events_file))
    if kind == "windows":
        return _windows(platform)
    if kind == "syslog":
        address = syslog_address(config.syslog)
        if address.kind == "local" and platform == "win32":
            raise ConfigValueInvalid(where="serve.ledger.syslog", detail="udp://IP:PORT or tcp://IP:PORT on Windows")
        return SyslogSink(address)
    if platform != "linux":
        raise ConfigValueInvalid(where="serve.ledger.events", detail=f"journald: not on {platform}")
    return JournaldSink()


def _file(path: Path) -> FileSink:
    if path.is_dir() or not path.name:
        raise ConfigValueInvalid(where="serve.ledger.events_file", detail=f"{path}: not a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        detail = f"{path.parent}: {type(error).__name__}"
        raise ConfigValueInvalid(where="serve.ledger.events_file", detail=detail) from error
    return FileSink(path)


def _windows(platform: str) -> WindowsSink:
    if platform != "win32":
        raise ConfigValueInvalid(where="serve.ledger.events", detail=f"windows: not on {platform}")
    try:
        return WindowsSink(event_api())
    except PackageMissing as error:
        raise ConfigValueInvalid(where="serve.ledger.events", detail=f"windows: {error.detail} is missing") from error

"""What is watched on this machine, put together from the configuration: for the server and for `so8t monitor` alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from so8t.core.errors import ConfigValueInvalid, DiskFull, RecordInvalid
from so8t.core.serve_config import MonitorConfig
from so8t.operate.monitor.baseline import Baseline, read_baseline, taken_now
from so8t.operate.monitor.bypass import bypassing, server
from so8t.operate.monitor.egress import Network, leaving, networks
from so8t.operate.monitor.files import Files, folders_of
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.integrity import PACKAGE, BundleFiles, installed_version, package_changed, package_hashes
from so8t.operate.monitor.listeners import Allowed, listening, unknown_listeners
from so8t.operate.monitor.processes import Programs
from so8t.operate.monitor.rules import Rules
from so8t.operate.monitor.system import System
from so8t.operate.monitor.table import Table
from so8t.operate.monitor.turn import Turn
from so8t.operate.monitor.usb import new_media

# Shares of one core, together below 1 % (issue 8.7). Searching files is work that their number asks for, apart.
NETWORK_SHARE, PROGRAMS_SHARE, MEDIA_SHARE, INTEGRITY_SHARE, FILES_SHARE = 0.006, 0.0015, 0.0002, 0.0008, 0.5
FILES_SECONDS = 2.0
Stamp = tuple[int, int, int, int]


@dataclass(slots=True)
class Reference:
    """The baseline in force: that of the file, whoever wrote it. `replaced` counts how often it changed under us;
    `package`: where the product's own files lie."""

    path: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    package: Path = PACKAGE
    baseline: Baseline | None = None
    problem: str = ""
    replaced: int = 0
    _stamp: Stamp | None = None

    def take(self, system: System, own_port: int, *, partly: bool = False) -> Baseline:
        """The present state as the baseline, written down; `partly`: also where the system shows us no connections
        (macOS without the administrator's rights). Raises psutil.Error, OSError, DiskFull."""
        try:
            listeners = sorted({key for _, _, key in listening(Table.of(system), own_port)})
        except psutil.Error:
            if not partly:
                raise
            listeners = []
        media = sorted(medium.id for medium in system.media() or ())
        hashes = package_hashes(self.package)
        made = Baseline(taken_now(self.now()), installed_version(), hashes, tuple(listeners), tuple(media))
        made.write(self.path)
        self.baseline, self._stamp, self.problem = made, self._stamp_now(), ""
        return made

    def look(self) -> list[Finding]:
        """Whether the file is another than it was: then it counts from now on, and that it does is told."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return self._broken() if self.problem else []
        before, self._stamp = self.baseline, stamp
        try:
            found, self.problem = read_baseline(self.path), ""
        except (RecordInvalid, OSError) as error:
            self.problem = error.detail if isinstance(error, RecordInvalid) else type(error).__name__
            return self._broken()
        self.baseline = found or before  # one whose file is gone still counts
        if before is None or (found is not None and found.digest == before.digest):
            return []
        self.replaced += 1
        return [replaced_finding(before.digest, found)]

    def _broken(self) -> list[Finding]:
        return [Finding("baseline_broken", Severity.WARNING, self.path.name, {"error": self.problem[:200]})]

    def _stamp_now(self) -> Stamp | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def replaced_finding(before: str, baseline: Baseline | None) -> Finding:
    after = baseline.digest if baseline is not None else ""
    facts = {"before": before[:16], "after": after[:16], "taken": baseline.taken if baseline is not None else ""}
    return Finding("baseline_changed", Severity.WARNING, after[:16] or "gone", facts)


@dataclass(slots=True)
class Watch:
    """`turns`: what is looked at in turn; `files` apart, because searching takes its time. `unknown`: what this system
    does not tell at all."""

    config: MonitorConfig
    system: System
    reference: Reference
    own_port: int = 0
    turns: list[Turn] = field(default_factory=list)
    files: Files | None = None
    programs: Programs | None = None
    unknown: tuple[str, ...] = ()

    def take_baseline(self) -> list[Finding]:
        """The first one; what refuses it makes a finding, and what needs no baseline is watched all the same."""
        try:
            self.reference.take(self.system, self.own_port, partly=True)
        except (psutil.Error, OSError, DiskFull) as error:
            facts = {"watch": "baseline", "error": type(error).__name__}
            return [Finding("blind", Severity.WARNING, "baseline", facts)]
        return []

    def look(self, now: float, turns: Sequence[Turn] | None = None) -> list[Finding]:
        """One look of those whose turn it is."""
        found: list[Finding] = []
        for turn in self.turns if turns is None else turns:
            if now >= turn.due:
                found += turn.look(now)
        return found


def watch_of(
    config: MonitorConfig,
    system: System,
    reference: Reference,
    *,
    named: Sequence[str] = (),
    upstreams: Callable[[], Iterable[str]] = tuple,
    own_port: int = 0,
    bundle: BundleFiles | None = None,
) -> Watch:
    """`named`: addresses that the rest of the configuration names, which are no egress; `upstreams`: those of the model
    now, as one that is started again has another. Raises ConfigValueInvalid."""
    made = Watch(config, system, reference, own_port)
    seconds, wanted = config.interval_seconds, frozenset(config.watch)
    allowed, ports = networks([*config.allowed_networks, *named]), tuple(map(Allowed.of, config.allowed_listeners))
    made.turns.append(Turn("baseline", reference.look, seconds, MEDIA_SHARE))
    if wanted & {"bypass", "listeners", "egress"}:
        models = tuple(map(_model, config.models))
        network = _Network(system, reference, wanted, upstreams, models, allowed, ports, own_port)
        made.turns.append(Turn("network", network.look, seconds, NETWORK_SHARE))
    if "programs" in wanted:
        made.programs = Programs(system, config.allowed_programs)
        made.turns.append(Turn("programs", made.programs.look, seconds, PROGRAMS_SHARE))
    if "usb" in wanted:
        made.unknown = () if system.media() is not None else ("usb",)
        made.turns.append(Turn("usb", lambda: _media(system, reference), seconds, MEDIA_SHARE))
    if "integrity" in wanted:
        look = _integrity(reference, bundle)
        made.turns.append(Turn("integrity", look, config.integrity_minutes * 60, INTEGRITY_SHARE))
    if "files" in wanted and config.folders:
        rules = Rules(Path(config.rules).expanduser() if config.rules else None)
        made.files = Files(
            folders_of(config.folders), rules, config.largest_megabytes << 20, config.rescan_minutes * 60
        )
    return made


def _model(address: str) -> str:
    try:
        found = bool(server(address)[0])
    except ValueError:
        found = False
    if not found:
        raise ConfigValueInvalid(where="serve.monitor.models", detail=f"{address!r:.80}: http(s)://IP:PORT")
    return address


@dataclass(frozen=True, slots=True)
class _Network:
    """One reading of the table for all three."""

    system: System
    reference: Reference
    wanted: frozenset[str]
    upstreams: Callable[[], Iterable[str]]
    models: tuple[str, ...]
    networks: tuple[Network, ...]
    listeners: tuple[Allowed, ...]
    own_port: int

    def look(self) -> list[Finding]:
        table, found = Table.of(self.system), list[Finding]()
        if "bypass" in self.wanted:
            found += bypassing(table, (*self.upstreams(), *self.models))
        if "egress" in self.wanted:
            found += leaving(table, self.networks)
        if "listeners" in self.wanted and self.reference.baseline is not None:
            found += unknown_listeners(table, self.reference.baseline.listeners, self.listeners, self.own_port)
        return found


def _media(system: System, reference: Reference) -> list[Finding]:
    media = system.media()
    return new_media(media, reference.baseline.media) if media and reference.baseline is not None else []


def _integrity(reference: Reference, bundle: BundleFiles | None) -> Callable[[], list[Finding]]:
    def look() -> list[Finding]:
        known = reference.baseline
        found = package_changed(known.package, known.version, reference.package) if known is not None else []
        return found + (bundle.look() if bundle is not None else [])

    return look

"""YARA rules: the starters that ship, and those of the user's own folder. One that does not compile is told of; all
others work.

A rule may say in its meta: ja, en (what it found) and severity ("info", "warning", "critical"; else warning). As in
other scanners the external variables filename, filepath and extension (all lower case) are given to it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yara_x

from so8t.core.errors import ConfigValueInvalid
from so8t.core.packaged import packaged
from so8t.operate.monitor.finding import Finding, Severity, said, said_path

EXTERNALS = ("filename", "filepath", "extension")
ENDINGS = (".yar", ".yara")
MOST_FILES, MOST_BYTES = 500, 4 << 20
SECONDS = 5  # of one scan
MOST_MATCHES = 20  # rules told of one file
OWN = "own/"


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that fits. `rule` is FILE:NAME."""

    rule: str
    severity: Severity
    ja: str
    en: str


class Rules:
    """Compiled once. `broken`: what could not be used. YARA-X's scanner may not leave its thread: each has its own."""

    def __init__(self, own: Path | None = None) -> None:
        """Raises ConfigValueInvalid where the own folder is none, or the system lets nobody compile."""
        if own is not None and not own.is_dir():
            raise ConfigValueInvalid(where="serve.monitor.rules", detail=f"{own}: not a folder")
        self.broken: list[Finding] = []
        compiler = yara_x.Compiler(includes_enabled=False)
        for name in EXTERNALS:
            compiler.define_global(name, "")
        for place, path in _sources(own):
            compiler.new_namespace(place)
            self._add(compiler, place, path)
        try:
            self._rules = compiler.build()
        except BaseException as error:
            if not _is_panic(error):
                raise
            # Rules become machine code: systemd's MemoryDenyWriteExecute refuses that.
            detail = "YARA-X may not make memory executable here (MemoryDenyWriteExecute, docs/monitor.md)"
            raise ConfigValueInvalid(where="serve.monitor.folders", detail=detail) from error
        self.count = sum(1 for _ in self._rules)
        self._of_thread = threading.local()

    def _add(self, compiler: yara_x.Compiler, place: str, path: Path) -> None:
        try:
            with path.open("rb") as f:
                raw = f.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                raise OSError(f"> {MOST_BYTES} bytes")
            compiler.add_source(raw.decode("utf-8"), origin=place)
        except (yara_x.CompileError, OSError, UnicodeDecodeError) as error:
            detail = said(" ".join(str(error).split()), 200)
            facts = {"file": said_path(place), "detail": detail}
            self.broken.append(Finding("rules_broken", Severity.WARNING, said_path(place), facts))

    def _scanner(self) -> yara_x.Scanner:
        found = getattr(self._of_thread, "scanner", None)
        if found is None:
            found = self._of_thread.scanner = yara_x.Scanner(self._rules)
            found.set_timeout(SECONDS)
            found.max_matches_per_pattern(100)
        return found

    def scan(self, data: bytes, path: str) -> list[Match]:
        """`path` as the rules are told it. Raises TimeoutError after SECONDS, ValueError for what YARA cannot scan."""
        lower = path.lower().replace("\\", "/")
        name = lower.rpartition("/")[2]
        values = (name, lower, "." + name.rpartition(".")[2] if "." in name else "")
        scanner = self._scanner()
        for external, value in zip(EXTERNALS, values, strict=True):
            scanner.set_global(external, value.encode("utf-8", "replace").decode())
        try:
            found = scanner.scan(data).matching_rules
        except yara_x.TimeoutError as error:
            raise TimeoutError(f"> {SECONDS} s") from error
        except yara_x.ScanError as error:
            raise ValueError(str(error)) from error
        except BaseException as error:
            if not _is_panic(error):
                raise
            self._of_thread.scanner = None
            raise ValueError("panic") from error
        return [_match(rule) for rule in found[:MOST_MATCHES]]


def _is_panic(error: BaseException) -> bool:
    """A fault inside YARA-X, which comes as no Exception; a file that causes one must not end the watch."""
    return type(error).__module__ == "pyo3_runtime"


def _sources(own: Path | None) -> Iterator[tuple[str, Path]]:
    """(namespace, file) of the starters, then of the user's own."""
    for path in sorted(packaged("yara").glob("*.yar")):
        yield path.name, path
    if own is not None:
        found = (p for p in sorted(own.rglob("*")) if p.suffix.lower() in ENDINGS and p.is_file())
        for path, _ in zip(found, range(MOST_FILES), strict=False):
            yield OWN + path.relative_to(own).as_posix(), path


def _match(rule: yara_x.Rule) -> Match:
    meta = {str(name): str(value) for name, value in rule.metadata}
    severity = {s.word: s for s in Severity}.get(meta.get("severity", "").lower(), Severity.WARNING)
    words = meta.get("en") or meta.get("description") or meta.get("ja") or ""
    return Match(f"{rule.namespace}:{rule.identifier}", severity, said(meta.get("ja") or words), said(words))


def finding_of(path: str, member: str, matches: Sequence[Match]) -> Finding:
    """One for a file, or for a member of an archive; as serious as its most serious rule. `matches` is not empty."""
    worst = max(matches, key=lambda m: m.severity)
    place = said_path(path) + (f" > {said(member, 200)}" if member else "")
    rules = tuple(said(m.rule, 200) for m in matches)
    return Finding("file_rule", worst.severity, place, {"rules": rules, "ja": worst.ja, "en": worst.en})

"""One examined thing, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """fatal = what was asked for cannot work unless this is put right. next_*: what to do when it is not ok."""

    ja: str
    en: str
    detail: str
    ok: bool
    fatal: bool = False
    next_ja: str = ""
    next_en: str = ""

    @property
    def mark(self) -> str:
        return "OK" if self.ok else "NG" if self.fatal else "??"

    def advice(self, lang: str) -> str:
        """What to do next, "" when there is nothing to do."""
        return "" if self.ok else self.next_ja if lang == "ja" else self.next_en

    def to_json(self) -> dict[str, object]:
        return asdict(self)

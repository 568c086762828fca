"""How much personal data is found, how much else is masked, how fast: on texts written by hand, half of them traps.

python benchmarks/pii.py [dev|test] [--errors]

The halves are told apart by a hash of the text. Rules are written against dev; test is what is reported. A finding is
right when its kind and both its ends are. `privacy-masker` is measured beside ours where it is installed, on the kinds
both know, and there a finding need only overlap.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from so8t.decide.pii import find

DATA = Path(__file__).parent / "data" / "pii.jsonl"
Span = tuple[int, int, str]
THEIRS = {
    "PERSON": "氏名", "ADDRESS": "住所", "EMAIL": "メールアドレス", "PHONE_NUMBER": "電話番号",
    "POSTAL_CODE": "郵便番号",
    "CREDIT_CARD": "カード番号", "IP_ADDRESS": "IPアドレス", "MY_NUMBER": "個人番号", "CORPORATE_NUMBER": "法人番号",
    "DRIVERS_LICENSE": "免許証番号", "PASSPORT": "旅券番号", "PENSION_NUMBER": "年金番号", "BANK_ACCOUNT": "口座番号",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    spans: frozenset[Span]


def half(text: str) -> str:
    return "test" if hashlib.sha256(text.encode()).digest()[0] & 1 else "dev"


def rows(part: str) -> list[Row]:
    records = map(json.loads, DATA.read_text(encoding="utf-8").splitlines())
    return [Row(r["text"], frozenset((s, e, k) for s, e, k in r["spans"])) for r in records if half(r["text"]) == part]


def ours(text: str) -> set[Span]:
    return {(f.start, f.end, f.kind) for f in find(text)}


def theirs() -> Callable[[str], set[Span]] | None:
    """privacy-masker's detector for Japanese, or None where it is not installed."""
    try:
        detector = importlib.import_module("privacy_masker.detectors.regex").RegexDetector.default_ja()
    except ImportError:
        return None
    return lambda text: {
        (e.start, e.end, THEIRS[e.entity_type]) for e in detector.detect(text) if e.entity_type in THEIRS
    }


def same(a: Span, b: Span) -> bool:
    return a == b


def overlap(a: Span, b: Span) -> bool:
    return a[2] == b[2] and a[0] < b[1] and b[0] < a[1]


def score(
    found: Iterable[tuple[set[Span], Row]], alike: Callable[[Span, Span], bool]
) -> dict[str, tuple[int, int, int, int]]:
    """Kind -> right findings, findings, spans met, spans; and the same of all kinds together."""
    counts: dict[str, Counter[str]] = {}
    for spans, row in found:
        for kinds in ((s[2], "全体") for s in spans):
            for kind in kinds:
                counts.setdefault(kind, Counter())["found"] += 1
        for span in spans:
            for kind in (span[2], "全体"):
                counts[kind]["right"] += any(alike(span, true) for true in row.spans)
        for true in row.spans:
            for kind in (true[2], "全体"):
                count = counts.setdefault(kind, Counter())
                count["there"] += 1
                count["met"] += any(alike(span, true) for span in spans)
    return {k: (c["right"], c["found"], c["met"], c["there"]) for k, c in sorted(counts.items())}


def show(name: str, detect: Callable[[str], set[Span]], data: list[Row], alike: Callable[[Span, Span], bool]) -> None:
    table = score(((detect(row.text), row) for row in data), alike)
    wrong = sum(1 for row in data if not row.spans and detect(row.text))
    traps = sum(1 for row in data if not row.spans)
    best = min(_seconds(detect, data) for _ in range(5))
    print(f"{name}: {len(data)} texts, {wrong} of {traps} traps taken, {best / len(data) * 1e6:.0f} us a text")
    for kind, (right, found, met, there) in table.items():
        precision = f"{right / found:.3f}" if found else "-"
        recall = f"{met / there:.3f}" if there else "-"
        print(f"  {kind}\tprecision {precision} ({right}/{found})\trecall {recall} ({met}/{there})")


def _seconds(detect: Callable[[str], set[Span]], data: list[Row]) -> float:
    begin = time.perf_counter()
    for row in data:
        detect(row.text)
    return time.perf_counter() - begin


def errors(data: list[Row]) -> None:
    for row in data:
        found = ours(row.text)
        for sign, spans in (("missed", row.spans - found), ("wrong", found - row.spans)):
            for start, end, kind in sorted(spans):
                print(f"  {sign}\t{kind}\t{row.text[start:end]!r}\tin {row.text!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("dev", "test"), default="test")
    parser.add_argument("--errors", action="store_true", help="name every finding that is wrong or missed")
    options = parser.parse_args()
    data = rows(options.part)
    show(f"so8t, {options.part}, exact", ours, data, same)
    if options.errors:
        errors(data)
    if (other := theirs()) is not None:
        known = frozenset(THEIRS.values())
        common = [Row(r.text, frozenset(s for s in r.spans if s[2] in known)) for r in data]
        show("so8t, overlapping, their kinds", lambda t: {s for s in ours(t) if s[2] in known}, common, overlap)
        show("privacy-masker, overlapping", other, common, overlap)


if __name__ == "__main__":
    main()

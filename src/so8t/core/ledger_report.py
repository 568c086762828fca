"""What verify says: findings with the entry they concern, in two languages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MAX_PROBLEMS = 100

MESSAGES = {
    "missing_file": ("台帳のファイルがありません", "there is no ledger file"),
    "not_a_ledger": ("台帳のデータベースではありません", "this is no ledger database"),
    "schema": ("表・ビュー・トリガーが台帳のものと違います", "tables, views or triggers are not the ledger's"),
    "index": ("検索の索引が表と違います", "a search index differs from its table"),
    "unreadable": ("ページが壊れて読めません", "a page is damaged and cannot be read"),
    "missing": ("記録が抜けています", "entries are missing"),
    "order": ("あるはずのない番号です", "an entry has a number it cannot have"),
    "chain": ("前の記録とつながりません", "the entry does not follow the one before"),
    "hash": ("本文かハッシュが書き換えられています", "the body or its hash was changed"),
    "body": ("本文が台帳の書式ではありません", "the body is not as the ledger writes it"),
    "column": ("検索用の列が本文と違います", "a searchable column differs from the body"),
    "signature": ("記録の署名が正しくありません", "the entry's signature is not valid"),
    "text": ("保存された文がハッシュと違います", "a stored text does not match its hash"),
    "text_missing": ("消去の記録なしに文が消えています", "a text is gone without an erase entry"),
    "text_kept": ("消去したはずの文が残っています", "a text that was erased is there"),
    "other_ledger": ("錨は別の台帳のものです", "the anchor is of another ledger"),
    "anchor_missing": ("錨がありません", "the anchor is missing"),
    "anchor_broken": ("錨が読めません", "the anchor cannot be read"),
    "anchor_signature": ("錨の署名を信頼できません", "the anchor's signature is not trusted"),
    "cut": ("末尾が切られたか、古い写しに戻されています", "the end was cut off, or an older copy was put back"),
    "head": (
        "錨の示す最新ハッシュと違います(連鎖が作り直されています)",
        "differs from the anchored head: the chain was redone",
    ),
    "unanchored": ("錨の後の記録があります", "entries after the anchor"),
    "expected": ("控えた最新ハッシュと違います", "differs from the head noted elsewhere"),
    "seal_missing": ("封印の署名か本体がありません", "the seal or its entries are missing"),
    "seal_broken": ("封印が読めません", "the seal cannot be read"),
    "seal_signature": ("封印の署名を信頼できません", "the seal's signature is not trusted"),
    "seal_file": ("封印した月のファイルが書き換えられています", "the file of a sealed month was changed"),
    "seal_gap": ("封印した月のあいだが抜けています", "a month between two sealed ones is missing"),
    "sealed": ("封印した月と違います", "differs from a sealed month"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding; `seq` is the first entry it concerns."""

    seq: int
    kind: str
    ja: str
    en: str


@dataclass(frozen=True, slots=True)
class Report:
    """What verify found. `erased` counts texts destroyed on record, `unopened` those that no text key was given for;
    `signed` is False when no public key was given."""

    ok: bool
    entries: int
    first_bad: int | None
    problems: tuple[Problem, ...]
    head: str
    anchored_seq: int | None
    erased: int
    signed: bool
    seconds: float
    ledger_id: str = ""
    texts: int = 0
    unopened: int = 0

    def to_json(self) -> dict[str, Any]:
        problems = [{"seq": p.seq, "kind": p.kind, "ja": p.ja, "en": p.en} for p in self.problems]
        names = ("ok", "entries", "first_bad", "head", "anchored_seq", "erased", "signed", "ledger_id")
        named = {name: getattr(self, name) for name in (*names, "texts", "unopened")}
        return named | {"problems": problems, "seconds": round(self.seconds, 3)}


@dataclass(slots=True)
class Findings:
    """Problems as they are found, at most MAX_PROBLEMS of them but always the first."""

    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.problems)

    def add(self, seq: int, kind: str, detail: str = "") -> None:
        ja, en = MESSAGES[kind]
        # Beyond the cap only a smaller number still matters: it would be the first bad entry.
        if len(self.problems) < MAX_PROBLEMS or seq < min(p.seq for p in self.problems):
            self.problems.append(
                Problem(seq, kind, f"{ja}{f' ({detail})' if detail else ''}", f"{en} {detail}".strip())
            )

    def sorted(self) -> tuple[Problem, ...]:
        return tuple(sorted(self.problems, key=lambda p: p.seq))

"""What a reader sees of a report, in words: the same for the page, the paper and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from so8t.operate.compliance.figures import Figure, compressed
from so8t.operate.compliance.report import ComplianceReport
from so8t.report.figures import NONE, Words

MOST_CHARACTERS = 240
MOST_ROWS = 300
MOST_PROBLEMS = 20
TITLE = Words("法令ごとの記録の報告", "Report of records by law")
DISCLAIMER = Words(
    "この報告は、人が判断するための証拠をそろえたものです。法的助言ではなく、遵守の証明でもありません。",
    "This is evidence prepared for a person to judge. It is not legal advice and proves no compliance.",
)
NO_SCORE = Words(
    "点数はありません。拒否や引き継ぎが多いことは良いことではなく、どの数も台帳の番号から数え直せます。",
    "There is no score. More refusals or hand-overs are no merit, and every figure can be recounted from the entries "
    "it names.",
)
PATTERNS = Words(
    "「規則」で数えたものは方針ファイルの規則の番号によります。規則の番号を変えた会社は、法令のファイルも合わせてください。",
    "Figures by rule follow the ids of the policy file; a company that renames its rules adapts the law's file too.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure as it is written."""

    label: Words
    value: str
    entries: str
    note: str


def rows(figures: Sequence[Figure]) -> list[Row]:
    """At most MOST_ROWS; what is left out is said in a last row. report.json has all of them."""
    shown = [Row(f.label, f.written(), entries(f.seqs), f.note) for f in figures[:MOST_ROWS]]
    if more := len(figures) - len(shown):
        shown.append(Row(Words(f"ほかに {more} 行(report.json)", f"{more} more rows (report.json)"), "", "", ""))
    return shown


def entries(seqs: Sequence[int]) -> str:
    """The numbers an entry was counted from, cut off between two of them where they are too many for a line."""
    text = compressed(seqs).replace(",", ", ")
    if len(text) <= MOST_CHARACTERS:
        return text or NONE
    kept = text[:MOST_CHARACTERS].rpartition(", ")[0]
    return f"{kept}, … (+{text.count(',') - kept.count(',')}, report.json)"


def state(report: ComplianceReport) -> tuple[str, Words]:
    """("passed" | "unjudged" | "failed", words) for page one."""
    found = report.verification
    if found.unreadable:
        return "failed", Words(
            "台帳を読めません。数えられた数はありません。", "The ledger cannot be read. Nothing was counted."
        )
    if not found.ok:
        return "failed", Words(
            "台帳に異常があります。以下の数を信用しないでください。",
            "The ledger does NOT verify. Do not trust the figures.",
        )
    if not found.signed:
        return "unjudged", Words(
            "連鎖に矛盾はありません。署名は確かめていません。", "The chain is consistent; no signature was checked."
        )
    return "passed", Words("台帳に改変はありません。", "The ledger is intact.")


def facts(report: ComplianceReport) -> list[tuple[Words, str]]:
    span, law, found = report.span, report.law, report.verification
    count = max(0, span.last - span.first + 1)
    covered = f"{span.first}–{span.last} ({count:,})" if count else NONE
    return [
        (Words("法令", "Law"), f"{law.name.ja} ({law.number})"),
        (Words("条番号の時点", "Articles as of"), law.as_of),
        (Words("期間(日本時間、終わりの日を含まない)", "Period (Japan, end excluded)"),
         f"{report.period.first} – {report.period.until}"),
        (Words("台帳の番号", "Ledger id"), span.ledger_id or NONE),
        (Words("対象の記録", "Entries covered"), covered),
        (Words("期間の初めの最新ハッシュ", "Head when the period began"), span.head_before or NONE),
        (Words("期間の終わりの最新ハッシュ", "Head when the period ended"), span.head_after or NONE),
        (Words("作成時の台帳の最新", "Newest entry when made"), f"{span.through}: {span.head}" if span.head else NONE),
        (Words("本文の照合", "Texts checked"), _yes(found.texts_checked)),
        (Words("法令ファイルの SHA-256", "SHA-256 of the law's file"), law.digest),
    ]  # fmt: skip


def problems(report: ComplianceReport) -> list[tuple[int, Words]]:
    found = report.verification
    listed = [(seq, Words(ja, en)) for seq, _, ja, en in found.problems[:MOST_PROBLEMS]]
    return [*([(1, Words(found.unreadable))] if found.unreadable else []), *listed]


def _yes(value: bool) -> str:
    return "はい / yes" if value else "いいえ(鍵なし) / no (no key)"

"""What was decided, by which rules, in which fields, and which answers were not released."""

from __future__ import annotations

from so8t.core.ledger_read import Stored
from so8t.core.types import DECISIONS, Domain
from so8t.operate.compliance.figures import Figure, Section
from so8t.operate.compliance.laws import is_personal
from so8t.operate.compliance.tally import Tally
from so8t.report.figures import DECISION_WORDS, DOMAIN_WORDS, Words

UNKNOWN = Words("分野なし", "no field")


class Verdicts:
    """Counts entries of kind decision, and how answers ended."""

    def __init__(self) -> None:
        self._tally = Tally()

    def take(self, entry: Stored) -> None:
        data, add = entry.data, self._tally.add
        if entry.kind == "decision":
            decision = entry.decision
            add(entry.seq, "decisions", "all")
            add(entry.seq, "decisions", decision)
            add(entry.seq, "domains", data.get("domain"), decision)
            for rule in data.get("rules", ()):
                add(entry.seq, "rules", rule, decision)
            if any(opinion.get("failed") for opinion in data.get("opinions", ())):
                add(entry.seq, "decisions", "judge-failed")
        if why := data.get("answer_withheld"):
            add(entry.seq, "answers", "withheld")
            add(entry.seq, "withheld", why)
        if is_personal(entry):
            add(entry.seq, "answers", "personal")
        if failure := data.get("answer_failed"):
            add(entry.seq, "failures", failure)
        if data.get("answer_aborted"):
            add(entry.seq, "answers", "aborted")

    def sections(self) -> tuple[Section, ...]:
        return (self._decisions(), self._domains(), self._rules(), self._answers())

    def _decisions(self) -> Section:
        figure = self._tally.figure
        return Section(
            "decisions",
            Words("判定", "Verdicts"),
            Words(
                "依頼ごとの判定の数です。多いほど、または少ないほど良いという数ではありません。",
                "How many requests came to each verdict. Neither more nor fewer is better.",
            ),
            (
                figure(Words("判定した依頼", "Requests judged"), "decisions", "all"),
                *(figure(DECISION_WORDS[d.value], "decisions", d.value) for d in DECISIONS),
                figure(
                    Words("判定者のどれかが答えられなかった依頼", "Requests for which a judge failed"),
                    "decisions", "judge-failed",
                ),
            ),
        )  # fmt: skip

    def _domains(self) -> Section:
        found = [
            self._tally.figure(_pair(DOMAIN_WORDS.get(name, UNKNOWN), DECISION_WORDS[d.value]), "domains", name, d)
            for name in (*(domain.value for domain in Domain), "")
            for d in DECISIONS
        ]
        about = Words("分野は so8t が推定したものを含みます。", "Fields include those that so8t inferred.")
        return Section("domains", Words("分野ごとの判定", "Verdicts by field"), about, _some(found))

    def _rules(self) -> Section:
        found = [
            self._tally.figure(_pair(Words(rule), DECISION_WORDS.get(d, Words(d))), front, rule, d)
            for front, rule, d in self._tally.under("rules")
        ]
        about = Words(
            "方針ファイルの規則の番号です。一つの依頼がいくつもの規則に当たることがあります。",
            "Ids of rules of the policy file. One request may meet several.",
        )
        return Section("rules", Words("当たった規則", "Rules that spoke"), about, _some(found))

    def _answers(self) -> Section:
        figure, under = self._tally.figure, self._tally.under
        found = [
            figure(Words("差し止めた答え", "Answers withheld"), "answers", "withheld"),
            figure(
                Words("うち個人情報か秘密情報らしきもの", "of these, for personal data or a secret"),
                "answers", "personal",
            ),
            *(figure(_pair(Words("差し止めの理由", "withheld because"), Words(n[1])), *n) for n in under("withheld")),
            *(figure(_pair(Words("答えを作れず", "no answer made"), Words(n[1])), *n) for n in under("failures")),
            figure(Words("依頼者が途中で離れた答え", "Answers whose asker left"), "answers", "aborted"),
        ]  # fmt: skip
        about = Words(
            "答えは、出す前に一文ずつ調べます。差し止めた答えの中身が実際に個人情報だったかは、人が見て決めます。",
            "Answers are checked sentence by sentence before release. Whether what was withheld really was personal "
            "data is for a person to see.",
        )
        return Section("answers", Words("答えの確認", "Answers checked"), about, tuple(found))


def _pair(first: Words, second: Words) -> Words:
    return Words(f"{first.ja}: {second.ja}", f"{first.en or first.ja}: {second.en or second.ja}")


def _some(figures: list[Figure]) -> tuple[Figure, ...]:
    """Without those of nothing: a table of zeros hides what there is."""
    return tuple(figure for figure in figures if figure.value)

"""Under which policy and model it ran, who changed accounts, what was erased, what broke, and when it may have stood
still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from so8t.core.ledger_read import Stored
from so8t.operate.compliance.figures import Figure, Section, plain
from so8t.operate.compliance.tally import Tally
from so8t.report.figures import Words

MOST_GAPS = 20
RECOVERED = frozenset({"recovered after a crash", "anchor written late"})
IN_FORCE = frozenset({"loaded", "changed"})


@dataclass(frozen=True, slots=True)
class _Gap:
    """Nothing was written between two entries, of which the second says that a server started."""

    before: int
    after: int
    seconds: float


class Operation:
    """in_force() takes the last policy and bundle before the period, previous() the entry right before it."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._policies: dict[str, str] = {}
        self._bundles: dict[tuple[str, str], str] = {}
        self._gaps: list[_Gap] = []
        self._last: Stored | None = None

    def in_force(self, entry: Stored) -> None:
        """A policy or bundle that the period began under."""
        if entry.kind == "policy":
            self._policy(entry)
        elif entry.kind == "bundle":
            self._bundle(entry)

    def previous(self, entry: Stored) -> None:
        self._last = entry

    def take(self, entry: Stored) -> None:
        data, add = entry.data, self._tally.add
        event = plain(data.get("event"))
        if self._last is not None and entry.time < self._last.time:
            add(entry.seq, "faults", "clock")
        if entry.kind == "policy":
            add(entry.seq, "policy", event)
            if event in IN_FORCE:
                self._policy(entry)
        elif entry.kind == "bundle":
            self._bundle(entry)
            if event == "serving":
                self._restart(entry)
        elif entry.kind == "access":
            add(entry.seq, "access", event)
        elif entry.kind == "error":
            add(entry.seq, "errors", data.get("error"))
        elif entry.kind == "finding":
            if event == "found":
                add(entry.seq, "findings", data.get("severity"))
        elif entry.kind == "note":
            add(entry.seq, "faults" if event in RECOVERED else "notes", event)
        elif entry.kind == "decision":
            add(entry.seq, "under-policy", data.get("policy_digest"))
            add(entry.seq, "under-bundle", data.get("payload_digest"))
        self._last = entry

    def sections(self) -> tuple[Section, ...]:
        return (self._policy_section(), self._bundle_section(), self._access_section(), self._fault_section())

    def _policy(self, entry: Stored) -> None:
        digest, data = plain(entry.data.get("policy_digest")), entry.data
        self._policies[digest] = f"{plain(data.get('policy_id'))} {plain(data.get('policy_version'))}".strip()
        self._tally.add(entry.seq, "policies", digest)

    def _bundle(self, entry: Stored) -> None:
        digest, proven = plain(entry.data.get("payload_digest")), entry.data.get("proven") is True
        name = (digest, "proven" if proven else "unproven")
        self._bundles[name] = plain(entry.data.get("why"))
        self._tally.add(entry.seq, "bundles", *name)

    def _restart(self, entry: Stored) -> None:
        self._tally.add(entry.seq, "faults", "starts")
        if self._last is not None:
            begin, end = (datetime.fromisoformat(e.time) for e in (self._last, entry))
            self._gaps.append(_Gap(self._last.seq, entry.seq, max(0.0, (end - begin).total_seconds())))

    def _policy_section(self) -> Section:
        figure, found = self._tally.figure, []
        for digest, name in sorted(self._policies.items(), key=lambda item: self._tally.seqs("policies", item[0])):
            found.append(figure(Words(f"読み込み: {name}", f"taken: {name}"), "policies", digest, note=digest))
        for _, digest in self._tally.under("under-policy"):
            name = self._policies.get(digest, digest[:16])
            words = Words(f"{name} のもとでの判定", f"verdicts under {name}")
            found.append(figure(words, "under-policy", digest, note=digest))
        found.append(figure(Words("変更(動いているあいだ)", "Changed while serving"), "policy", "changed"))
        found.append(figure(Words("受け付けなかった方針ファイル", "Policy files refused"), "policy", "refused"))
        about = Words(
            "期間の初めに有効だったものと、期間中に読み込んだもの。ダイジェストは方針ファイルの SHA-256。",
            "Those in force when the period began and those taken during it. Digests are SHA-256 of the policy file.",
        )
        return Section("policies", Words("方針の版", "Policy versions"), about, tuple(found))

    def _bundle_section(self) -> Section:
        figure, found = self._tally.figure, []
        for (digest, state), why in sorted(self._bundles.items()):
            words = (
                Words("起動: 証明済み", "started: proven")
                if state == "proven"
                else Words("起動: 未証明", "started: NOT proven")
            )
            found.append(figure(words, "bundles", digest, state, note=" ".join(filter(None, (digest, why)))))
        for _, digest in self._tally.under("under-bundle"):
            words = Words("このモデルでの判定", "verdicts of this model")
            found.append(figure(words, "under-bundle", digest, note=digest))
        about = Words(
            "どのモデルで動いたか。未証明とは、カードがそのモデルと方針の成績を証明していないこと。",
            "Which model it ran. Not proven: the card does not prove this model under this policy.",
        )
        return Section("bundles", Words("使ったモデル", "Models served"), about, tuple(found))

    def _access_section(self) -> Section:
        figure, under = self._tally.figure, self._tally.under
        found = [figure(Words(event), front, event) for front, event in under("access")]
        found.append(figure(Words("本文の消去", "Texts erased"), "notes", "erased"))
        about = Words(
            "利用者、権限、鍵、ログインの出来事と、法にもとづく本文の消去。",
            "Events of accounts, roles, keys and logins, and erasures of texts.",
        )
        return Section("access", Words("利用者と消去", "Access and erasure"), about, tuple(found))

    def _fault_section(self) -> Section:
        figure, under = self._tally.figure, self._tally.under
        starts = self._tally.seqs("faults", "starts")
        found = [
            *(figure(Words(f"エラー {name[1]}", f"error {name[1]}"), *name) for name in under("errors")),
            *(
                figure(Words(f"この機械の見張りの所見 {name[1]}", f"finding of the host monitor, {name[1]}"), *name)
                for name in under("findings")
            ),
            figure(Words("異常な終わり方の後の復旧", "Recoveries from a crash"), "faults", "recovered after a crash"),
            figure(Words("錨の書き込みの遅れ", "Anchors written late"), "faults", "anchor written late"),
            figure(Words("前の記録より古い時刻の記録", "Entries dated before the one before"), "faults", "clock"),
            figure(Words("サーバの起動", "Starts of the server"), "faults", "starts"),
            Figure(
                "gaps.all", Words("起動の前に記録がなかった時間の合計", "Time without entries before a start, in all"),
                round(sum(gap.seconds for gap in self._gaps), 6) if self._gaps else None,
                tuple(sorted({seq for gap in self._gaps for seq in (gap.before, gap.after)})), "seconds",
            ),
            *map(_gap, sorted(self._gaps, key=lambda gap: (-gap.seconds, gap.before))[:MOST_GAPS]),
        ]  # fmt: skip
        about = Words(
            f"止まっていた時間は、起動の記録とその前の記録の間です。依頼がなかっただけの時間を含むので、長くてもこれだけと"
            f"読んでください。長いものから {MOST_GAPS} 件まで示します(起動 {len(starts)} 回)。",
            f"It stood still at most between a start and the entry before it; time in which nobody asked is part of "
            f"that. The {MOST_GAPS} longest are shown (starts: {len(starts)}).",
        )
        return Section("faults", Words("障害と空白", "Faults and gaps"), about, tuple(found))


def _gap(gap: _Gap) -> Figure:
    words = Words(f"空白 {gap.before}–{gap.after}", f"gap {gap.before}–{gap.after}")
    return Figure(f"gaps.{gap.after}", words, gap.seconds, (gap.before, gap.after), "seconds")

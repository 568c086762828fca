"""What the host monitor has to tell: a kind, how serious it is, whom it is about, and a few facts. Never a command
line, which may hold secrets, and never what is in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from so8t.report.figures import Words

MOST_NAME, MOST_PATH = 100, 300
MOST_FACTS = 20
READERS = frozenset({"ja", "en"})  # facts of these names are the same words in either language
Fact = str | int | bool | tuple[str, ...] | None
Facts = dict[str, Fact]


class Severity(IntEnum):
    """INFO is recorded, WARNING is told outside the quiet hours, CRITICAL at any time."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        return self.name.lower()


SEVERITY_WORDS = {
    Severity.INFO: Words("参考", "info"),
    Severity.WARNING: Words("注意", "warning"),
    Severity.CRITICAL: Words("重大", "critical"),
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a kind of finding says, and what to do about it; docs/monitor.md has more."""

    what: Words
    next: Words


KINDS: Mapping[str, Meaning] = {
    "bypass": Meaning(
        Words("gateway を通さずにモデルへつないでいる者がいます", "somebody speaks to the model without the gateway"),
        Words("モデルに鍵を付けるか、口を閉じる", "give the model's server a key, or close its port"),
    ),
    "listener": Meaning(
        Words("基準にない待ち受けの口が開いています", "a port listens that was not in the baseline"),
        Words("何の口か確かめ、要らなければ閉じる", "find out what it is for, and close it if it is for nothing"),
    ),
    "egress": Meaning(
        Words("許していない宛先への接続があります", "a connection to an address that is not allowed"),
        Words("プログラムと宛先を確かめ、網を切り離すか決める", "check the program and address; cut it off?"),
    ),
    "program_temporary": Meaning(
        Words("だれでも書ける場所のプログラムが動いています", "a program runs from a place anybody may write to"),
        Words("だれが置いたかを確かめる", "find out who put it there"),
    ),
    "program_deleted": Meaning(
        Words("ファイルの消されたプログラムが動いています", "a program runs whose file was deleted"),
        Words("更新の途中でなければ、止める前に記憶の写しを取る", "no update under way? copy its memory first"),
    ),
    "program_memory": Meaning(
        Words("ファイルのない、記憶の中だけのプログラムが動いています", "a program runs from memory, without any file"),
        Words("切り離し、止める前に記憶の写しを取る", "disconnect the machine, copy the memory before stopping it"),
    ),
    "shell": Meaning(
        Words("シェルを起動するはずのないプログラムが起動しました", "a shell was started by what should start none"),
        Words("開いた文書や要求を確かめ、機械を切り離すか決める", "check what was opened; decide on disconnecting"),
    ),
    "package_changed": Meaning(
        Words("so8t 自身のファイルが基準と違います", "so8t's own files differ from the baseline"),
        Words("更新したのなら基準を取り直し、していないなら止める", "accept the update you made, or stop the server"),
    ),
    "bundle_changed": Meaning(
        Words("バンドルのファイルが、起動のときと違います", "files of the bundle differ from the start"),
        Words("止めて so8t bundle verify で調べる", "stop, and see so8t bundle verify"),
    ),
    "baseline_changed": Meaning(
        Words("見張りの基準が取り替えられました", "the monitor's baseline was replaced"),
        Words("so8t monitor --accept を行った人を確かめる", "find out who ran so8t monitor --accept"),
    ),
    "baseline_broken": Meaning(
        Words("見張りの基準を読めません", "the monitor's baseline cannot be read"),
        Words("写しを残し、so8t monitor --accept で取り直す", "keep a copy, and take a new one: so8t monitor --accept"),
    ),
    "medium": Meaning(
        Words("新しい機器がつながれました", "a new device was connected"),
        Words("だれが何のためにつないだかを確かめる", "find out who connected it, and what for"),
    ),
    "file_rule": Meaning(
        Words("ファイルが YARA の規則に当たりました", "a file matches a YARA rule"),
        Words("開かずに、置いた人と出どころを確かめる", "do not open it; find out who put it there and whence"),
    ),
    "file_unread": Meaning(
        Words("ファイルを最後まで検査できませんでした", "a file could not be searched to its end"),
        Words("必要なら別の方法で調べる", "search it by other means if need be"),
    ),
    "rules_broken": Meaning(
        Words("使えない YARA の規則があります", "a YARA rule cannot be used"),
        Words("規則のファイルを直す(ほかの規則は働いています)", "mend the file; all other rules work"),
    ),
    "blind": Meaning(
        Words("見張りの一部が働いていません", "a part of the monitor sees nothing"),
        Words("権限と OS の状態を確かめる", "check its rights and the state of the system"),
    ),
    "flood": Meaning(
        Words("同じ種類の所見が多すぎるため、残りは数だけ残します", "too many of one kind: the rest is counted"),
        Words("機械そのものを調べる。数でほかを隠す手口でもある", "look at the machine itself: it may be a cover"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` is one of KINDS; `subject` is what the same finding has in common with its repetitions."""

    kind: str
    severity: Severity
    subject: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS or len(self.facts) > MOST_FACTS:
            raise ValueError(f"finding {self.kind!r} with {len(self.facts)} facts")

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.subject

    @property
    def meaning(self) -> Meaning:
        return KINDS[self.kind]

    def to_json(self) -> dict[str, Any]:
        """For the ledger and for machines: plain JSON values."""
        facts = {name: list(fact) if isinstance(fact, tuple) else fact for name, fact in self.facts.items()}
        return {"finding": self.kind, "severity": self.severity.word, "subject": self.subject, "facts": facts}

    def line(self, lang: str) -> str:
        """One line for a terminal."""
        others = READERS - {lang}
        facts = {name: fact for name, fact in self.facts.items() if fact not in ("", None, ()) and name not in others}
        told = ", ".join(_shown(f) if name in READERS else f"{name}={_shown(f)}" for name, f in facts.items())
        words = f"[{SEVERITY_WORDS[self.severity].only(lang)}] {self.meaning.what.only(lang)}: {self.subject}"
        return f"{words} ({told})" if told else words


def said(text: str, longest: int = MOST_NAME) -> str:
    """What a program or file calls itself, as a ledger and a terminal can take it: text, no control characters."""
    whole = os_text(text)
    return "".join(c if c.isprintable() else "?" for c in whole[:longest])


def said_path(text: str) -> str:
    """A path keeps its end, which says more than its beginning."""
    whole = said(text, len(text))
    return whole if len(whole) <= MOST_PATH else "…" + whole[-(MOST_PATH - 1) :]


def os_text(text: str) -> str:
    """Names may be bytes that are no text (surrogates), which no ledger takes."""
    return text.encode("utf-8", "replace").decode()


def _shown(fact: Fact) -> str:
    return " ".join(fact) if isinstance(fact, tuple) else str(fact)

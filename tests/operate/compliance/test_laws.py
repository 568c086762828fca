"""The laws that ship, and how strictly a law's file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t.core.errors import RecordInvalid, SourceMissing, SourceUnreadable
from so8t.core.ledger_read import Stored
from so8t.core.packaged import packaged, policy_text
from so8t.decide.policy import parse_policy
from so8t.operate.compliance import laws
from so8t.operate.compliance.laws import law_files, load_law, parse_law, read_law

TEXT = """\
id = "sample"
name = "見本法"
name_en = "Sample Act"
short = "見本法"
number = "令和1年法律第1号"
as_of = "2025-06-01"

[[duties]]
id = "first"
article = "第1条"
title = "題"
title_en = "title"
text = "文"
text_en = "words"
cannot = ["示せない"]
cannot_en = ["not shown"]

[[duties.evidence]]
id = "some"
label = "項目"
label_en = "item"
kinds = ["decision"]
decisions = ["DENY"]
rules = ["exfil-*"]
"""


def entry(kind: str = "decision", decision: str | None = "DENY", **data: object) -> Stored:
    return Stored(1, "t", kind, decision, "r", "a", data, {}, "h")


def test_the_laws_of_the_plan_are_there_and_whole() -> None:
    found = [read_law(file) for file in law_files()]
    assert {law.short for law in found} == {
        "個人情報保護法", "医療法", "金融商品取引法", "銀行法", "特定秘密保護法", "不正競争防止法", "会社法(内部統制)",
        "サイバーセキュリティ基本法", "犯罪収益移転防止法", "道路運送法", "航空法", "外為法",
    }  # fmt: skip
    for law, file in zip(found, law_files(), strict=True):
        assert law.id == file.stem
        for duty in law.duties:
            assert duty.evidence and duty.cannot and "第" in duty.article and "条" in duty.article


def test_rule_patterns_name_rules_of_packaged_policies() -> None:
    """A pattern that no policy knows counts nothing and looks like innocence."""
    names = [path.stem for path in packaged("policies").glob("*.toml")]
    known = {rule.id for name in names for rule in parse_policy(*policy_text(name)).rules} | {"clearance"}
    patterns = {p for file in law_files() for d in read_law(file).duties for e in d.evidence for p in e.rules}
    idle = [p for p in sorted(patterns) if not any(laws._any((p,), [name]) for name in known)]
    assert idle == []


@pytest.mark.parametrize("name", ["personal-information", "個人情報保護法", "個人情報の保護に関する法律"])
def test_a_law_by_any_of_its_names(name: str) -> None:
    assert load_law(name).number == "平成15年法律第57号"


def test_what_is_no_law() -> None:
    with pytest.raises(SourceMissing, match="日本にその名の法律はありません"):
        load_law("機密情報保護法")
    with pytest.raises(SourceMissing, match="-> 銀行法"):
        load_law("銀行")
    with pytest.raises(SourceMissing):
        load_law("none.toml")


def test_a_law_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(TEXT, encoding="utf-8")
    law = load_law(str(file))
    assert (law.id, law.duties[0].evidence[0].rules) == ("sample", ("exfil-*",)) and len(law.digest) == 64
    file.write_bytes(b"\xff")
    with pytest.raises(SourceUnreadable):
        read_law(file)


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ('rules = ["exfil-*"]', 'rule = ["exfil-*"]', 24, "rules"),
        ('short = "見本法"', 'shrt = "見本法"', 1, "short: missing"),
        ('article = "第1条"', 'article = "第1条"\npenalty = 1', 11, "unknown key"),
        ('decisions = ["DENY"]', 'decisions = ["REFUSE"]', 23, "REFUSE"),
        ('kinds = ["decision"]', 'kinds = ["verdict"]', 22, "verdict"),
        ('as_of = "2025-06-01"', 'as_of = "today"', 6, "YYYY-MM-DD"),
        ('cannot_en = ["not shown"]', "cannot_en = []", 15, "as many"),
        ('cannot = ["示せない"]\ncannot_en = ["not shown"]', "", 8, "every duty says"),
        ('id = "some"', 'id = "Some Thing"', 9, "a-z"),
        ('title_en = "title"', "title_en = 3", 12, "text expected"),
        ("[[duties]]", "[[duties", 8, "TOML"),
        ('kinds = ["decision"]\ndecisions = ["DENY"]\nrules = ["exfil-*"]', "", 9, "every entry"),
    ],
)  # fmt: skip
def test_a_law_is_read_strictly_with_the_line(old: str, new: str, line: int, word: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(RecordInvalid) as found:
        parse_law(TEXT.replace(old, new), "own.toml")
    assert word in found.value.detail
    assert found.value.where.startswith("own.toml:")
    shown = int(found.value.where.rpartition(":")[2])
    # A key of the inner table may be shown at the duty's key of that name; never outside its duty.
    assert shown == line or (line == 9 and 9 <= shown <= 20) or word == "short: missing"


def test_twice_the_same_duty() -> None:
    with pytest.raises(RecordInvalid, match="twice"):
        parse_law(TEXT + TEXT[TEXT.index("[[duties]]") :], "own.toml")


def test_evidence_needs_every_condition() -> None:
    evidence = parse_law(TEXT, "x").duties[0].evidence[0]
    assert evidence.concerns(entry(rules=["clearance", "exfil-rival"]))
    assert not evidence.concerns(entry(rules=["clearance"]))
    assert not evidence.concerns(entry(rules="exfil-rival"))
    assert not evidence.concerns(entry(decision="ALLOW", rules=["exfil-rival"]))
    assert not evidence.concerns(entry(kind="review", rules=["exfil-rival"]))
    personal = parse_law(TEXT.replace('rules = ["exfil-*"]', 'answers = ["personal"]'), "x").duties[0].evidence[0]
    assert personal.concerns(entry(answer_withheld=laws.PERSONAL + "らしきものがある"))
    assert not personal.concerns(entry(answer_withheld="別の理由")) and not personal.concerns(entry())


def test_the_law_in_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "compliance.md").read_text(encoding="utf-8")
    law = parse_law(page.partition("```toml\n")[2].partition("```")[0], "docs")
    assert law.duties[0].evidence[0].concerns(entry(domain="finance", rules=["exfil-rival"]))

"""A report is only as good as its check: whatever is changed in it is found, and named."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office_story import STEPS, key_of, tell

from so8t.core import sealing, signing
from so8t.core.errors import RecordInvalid, So8tError, SourceMissing, UsageError
from so8t.core.ledger import Ledger
from so8t.operate.compliance import view
from so8t.operate.compliance.folder import LISTING, rendered, write
from so8t.operate.compliance.laws import load_law
from so8t.operate.compliance.recheck import Checked, recheck
from so8t.operate.compliance.report import ComplianceReport, prepare
from so8t.operate.compliance.span import Period

LAW = load_law("個人情報保護法")
JUNK = [None, 5, "x", "\ud800", [], ["x"], [[]], {}, {"x": []}, 1e300, [{"failed": []}]]
NO_REPORTS = [
    b"", b"[]", b"{}", b'{"files": {}, "lang": 1}', b"\xff", b"[" * 100_000,
    b'{"files": {}, "lang": "x/y", "setter": "", "signature": ""}',
]  # fmt: skip
NOVEMBER = Period.parse("2026-11-01", "2026-12-01")
ODD = '<script>alert(1)</script> #panic("x") *strong* \\ \' {{ 7 * 7 }}'


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An office of one month in which everything happened, with a hostile word in its ledger."""
    folder = tmp_path_factory.mktemp("office")

    def odd(story: Any) -> None:
        story.ledger.append_sync("access", {"event": ODD})

    tell(folder, ["restart", *["allow"] * 8, *STEPS, "vote-allow", "stream"], odd)
    return folder


def made(office: Path) -> ComplianceReport:
    return prepare(office / "ledger.db", LAW, NOVEMBER, key_of(office), sealing.load(office / "text.key"))


def check(office: Path, folder: Path, **keys: Any) -> Checked:
    given = {"public_key": key_of(office), "text_key": sealing.load(office / "text.key")} | keys
    return recheck(folder, office / "ledger.db", **given)


def pdf_text(content: bytes) -> str:
    document = pypdfium2.PdfDocument(content)
    return "".join("".join(page.get_textpage().get_text_bounded().split()) for page in document)


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_same_ledger_and_period_give_the_same_files(office: Path, tmp_path: Path) -> None:
    write(made(office), tmp_path / "a", "ja")
    write(made(office), tmp_path / "b", "ja")
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["listing.json", "report.html", "report.json", "report.pdf"]
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_paper_and_page_hold_every_figure_and_where_it_is_from(office: Path, lang: str) -> None:
    report = made(office)
    files = rendered(report, lang)
    paper, page = pdf_text(files["report.pdf"]), files["report.html"].decode()
    words = [view.DISCLAIMER, view.TITLE, view.state(report)[1], *(s.title for s in report.sections)]
    words += [part for found in report.duties for part in (found.duty.title, *found.duty.cannot)]
    for text in words:
        assert "".join(text.only(lang).split()) in paper
    for row in view.rows([f for s in report.sections for f in s.figures]):
        assert "".join((row.value + row.entries).split()) in paper
        assert f'<td class="value">{row.value}</td><td class="entries">{row.entries}</td>' in page
    assert report.span.head_before in page and report.span.head_after in paper
    if lang == "ja":
        assert "第23条" in paper and "安全管理措置" in paper and "台帳に改変はありません" in paper


def test_the_page_needs_nothing_and_escapes_everything(office: Path) -> None:
    files = rendered(made(office), "ja")
    page = files["report.html"].decode()
    assert "<script" not in page and "&lt;script&gt;" in page and "{{ 7 * 7 }}" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not any(word in page for word in ("http://", "https://", "src=", "@import", "url("))
    assert '#panic("x")*strong*' in pdf_text(files["report.pdf"])


def test_long_lists_are_cut_between_two_numbers() -> None:
    text = view.entries(list(range(1, 4001, 2)))
    assert len(text) < 300 and text.endswith("report.json)")
    shown, _, rest = text.partition(", … (+")
    assert shown.count(",") + 1 + int(rest.partition(",")[0]) == 2000
    assert all(int(n) % 2 for n in shown.split(", ")) and view.entries([]) == "—"


def test_a_folder_that_holds_something_else_is_left_alone(office: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(UsageError):
        write(made(office), tmp_path, "ja")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]


# -- what is checked --------------------------------------------------------------------------------------------------


def test_a_true_report_is_confirmed_also_when_the_ledger_has_grown(office: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(office, tmp_path / "office"))
    key = signing.load_or_create(own / "report.key")
    write(made(own), tmp_path / "out", "en", key)
    checked = check(own, tmp_path / "out", report_key=key.public_key())
    assert checked.ok and checked.differences == () and checked.unchecked == ()
    with Ledger(own / "ledger.db", signing.load_or_create(own / "ledger.key"), sealing.load(own / "text.key")) as book:
        book.append_sync("access", {"event": "user_added"})
        assert check(own, tmp_path / "out", report_key=key.public_key()).ok
    found = recheck(tmp_path / "out", own / "ledger.db")
    assert found.ok and len(found.unchecked) == 3  # signature, anchor, texts: said, not passed over


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, part in rows:
        found = True
        yield from leaves(part, (*path, key))
    if not found:
        yield path


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return value + "1" if isinstance(value, str) else 1


def forge(folder: Path, name: str, content: bytes) -> None:
    """Change a file and the listing with it, as somebody without the key would."""
    (folder / name).write_bytes(content)
    listing = json.loads((folder / LISTING).read_bytes())
    listing["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / LISTING).write_text(json.dumps(listing))


@pytest.fixture(scope="module")
def true_report(office: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "out"
    write(made(office), folder, "ja")
    return folder


@settings(max_examples=12)
@given(data=st.data())
def test_any_change_of_report_json_is_found(
    data: st.DataObject, office: Path, true_report: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Path(shutil.copytree(true_report, tmp_path_factory.mktemp("forged") / "out"))
    report = json.loads((folder / "report.json").read_bytes())
    *way, last = data.draw(st.sampled_from(list(leaves(report))))
    part = report
    for key in way:
        part = part[key]
    part[last] = changed(part[last])
    forge(folder, "report.json", json.dumps(report, ensure_ascii=False).encode())
    try:
        checked = check(office, folder)
    except So8tError:
        return  # no longer a report of this form
    assert checked.differences


def test_a_figure_that_differs_is_named(office: Path, true_report: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(true_report, tmp_path / "out"))
    report = json.loads((folder / "report.json").read_bytes())
    decisions = next(s for s in report["sections"] if s["key"] == "decisions")["figures"]
    denied = next(f for f in decisions if f["key"] == "decisions.DENY")
    before, denied["value"] = denied["value"], 0
    report["duties"][0]["figures"] = []
    del report["sections"][3]
    forge(folder, "report.json", json.dumps(report).encode())
    names = {d.name: d for d in check(office, folder).differences}
    assert (names["decisions.DENY.value"].stated, names["decisions.DENY.value"].found) == ("0", str(before))
    assert "duties.purpose.figures" in names and "answers" in names


def test_a_page_that_says_something_else_is_found(office: Path, true_report: Path, tmp_path: Path) -> None:
    for name in ("report.html", "report.pdf"):
        folder = Path(shutil.copytree(true_report, tmp_path / name))
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b" ")
        found = [d.name for d in check(office, folder).differences]
        assert found == [f"{name}: SHA-256", f"{name}: content"]
        forge(folder, name, content + b" ")
        assert [d.name for d in check(office, folder).differences] == [f"{name}: content"]


def test_a_signature_by_another_key_and_none_at_all_are_found(office: Path, tmp_path: Path) -> None:
    keys = [signing.load_or_create(tmp_path / name) for name in ("a", "b")]
    for signed_with in (None, keys[0]):
        write(made(office), tmp_path / "out", "ja", signed_with)
        (found,) = check(office, tmp_path / "out", report_key=keys[1].public_key()).differences
        assert found.name == "listing.json: signature"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b'{"files": {}, "lang": "x/y", "setter": "", "signature": ""}',
        b"[]",
        b"{}",
        b'{"files": {}, "lang": 1}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_report(office: Path, true_report: Path, tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(SourceMissing):
        check(office, tmp_path)
    for name in (LISTING, "report.json"):
        folder = Path(shutil.copytree(true_report, tmp_path / name))
        (folder / name).write_bytes(broken)
        with pytest.raises(So8tError) as found:
            check(office, folder)
        assert found.value.exit_code == RecordInvalid.exit_code


def test_a_listing_cannot_reach_out_of_its_folder(office: Path, true_report: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(true_report, tmp_path / "out"))
    listing = json.loads((folder / LISTING).read_bytes())
    listing["files"]["../office/ledger.key"] = "0" * 64
    (folder / LISTING).write_text(json.dumps(listing))
    (found,) = check(office, folder).differences
    assert (found.name, found.found) == ("../office/ledger.key: SHA-256", "")


# -- a ledger that does not verify ------------------------------------------------------------------------------------


def test_a_broken_ledger_gets_a_report_that_says_so_first(office: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(office, tmp_path / "office"))
    with sqlite3.connect(own / "ledger.db") as db:
        db.execute("UPDATE entries SET decision = 'ALLOW' WHERE seq = (SELECT max(seq) FROM entries WHERE kind = "
                   "'decision' AND decision = 'DENY')")  # fmt: skip
    report = made(own)
    assert not report.verification.ok and report.verification.first_bad is not None
    files = rendered(report, "ja")
    page_one = pypdfium2.PdfDocument(files["report.pdf"])[0].get_textpage().get_text_bounded()
    assert "台帳に異常があります" in page_one and f"seq {report.verification.first_bad}" in page_one
    assert "台帳に異常があります" in files["report.html"].decode()
    write(report, tmp_path / "out", "ja")
    assert not check(own, tmp_path / "out").ok  # true to a ledger that nobody can trust


def test_a_report_made_before_the_ledger_was_changed_shows_it(office: Path, true_report: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(office, tmp_path / "office"))
    with sqlite3.connect(own / "ledger.db") as db:
        db.execute("UPDATE entries SET kind = 'note' WHERE kind = 'review'")
    checked = check(own, true_report)
    names = {d.name for d in checked.differences}
    assert not checked.ledger_ok and "verification.ok" in names and "duty.employees.votes.value" in names


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
    report = prepare(tmp_path / "ledger.db", LAW, NOVEMBER)
    assert report.verification.unreadable and report.sections == ()
    write(report, tmp_path / "out", "ja")
    assert "台帳を読めません" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(SourceMissing):
        prepare(tmp_path / "none.db", LAW, NOVEMBER)


def test_another_version_of_the_typesetter_leaves_the_paper_unchecked_and_says_so(
    office: Path, true_report: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(true_report, tmp_path / "out"))
    listing = json.loads((folder / LISTING).read_bytes())
    (folder / LISTING).write_text(json.dumps(listing | {"setter": "typst 0.0.1"}))
    forge(folder, "report.pdf", b"%PDF-1.7 another")
    checked = check(office, folder)
    assert checked.ok and any("PDF" in words.en for words in checked.unchecked)


@settings(max_examples=8)
@given(data=st.data())
def test_whatever_was_done_to_an_entry_there_is_a_report(
    data: st.DataObject, office: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = Path(shutil.copytree(office, tmp_path_factory.mktemp("broken") / "office"))
    with sqlite3.connect(own / "ledger.db") as db:
        rows = dict(db.execute("SELECT seq, body FROM entries"))
        seq = data.draw(st.sampled_from(sorted(rows)))
        body = json.loads(rows[seq])
        *way, last = data.draw(st.sampled_from(sorted(leaves(body), key=str)))
        part = body
        for key in way:
            part = part[key]
        part[last] = data.draw(
            st.sampled_from([None, 5, "x", "\ud800", [], ["x"], [[]], {}, {"x": []}, 1e300, [{"failed": []}]])
        )
        db.execute("UPDATE entries SET body = ? WHERE seq = ?", (json.dumps(body).encode(), seq))
    report = made(own)
    assert not report.verification.ok and report.verification.problems
    assert json.loads(rendered(report, "ja")["report.json"])["verification"]["ok"] is False


@pytest.mark.parametrize("law", ["../../own.toml", "/etc/hostname.toml", "機密情報保護法", ""])
def test_a_report_cannot_name_a_file_to_read_as_law(office: Path, true_report: Path, tmp_path: Path, law: str) -> None:
    folder = Path(shutil.copytree(true_report, tmp_path / "out"))
    report = json.loads((folder / "report.json").read_bytes())
    report["law"]["id"] = law
    forge(folder, "report.json", json.dumps(report).encode())
    with pytest.raises(SourceMissing, match="--law"):
        check(office, folder)

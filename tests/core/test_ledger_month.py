"""Sealed months: a month's file proves itself, and the live ledger must agree with all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from so8t.core.errors import LedgerBroken, LedgerError, SourceEmpty, UsageError
from so8t.core.ledger import Ledger
from so8t.core.ledger_month import JAPAN, Seal, bounds, seal_month, seal_path_of, verify_month, verify_with_seals
from so8t.core.ledger_report import Report
from so8t.core.sealing import TextKey

KEY, TEXTS = Ed25519PrivateKey.generate(), TextKey.generate()
PUBLIC = KEY.public_key()
MONTHS = ("2026-09", "2026-10", "2026-11")


def times(*days: tuple[int, int]) -> Callable[[], datetime]:
    """A clock that says noon in Japan on these days (month, day), each three times."""
    moments = iter([datetime(2026, month, day, 12, tzinfo=JAPAN) for month, day in days for _ in range(3)])
    return lambda: next(moments)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entries 1-3 of September, 4-9 of October (its clock once a month back), 10-12 of November, 13- of December."""
    folder = tmp_path_factory.mktemp("months")
    clock = times((9, 30), (10, 1), (9, 15), (11, 30), (12, 1))
    first = [datetime(2026, 9, 30, tzinfo=JAPAN)]
    with Ledger(folder / "ledger.db", KEY, TEXTS, clock=lambda: first.pop() if first else clock()) as ledger:
        for n in range(13):
            ledger.append_sync("decision", {"decision": "DENY", "n": n}, text={"query": f"質問{n}"})
    for month in MONTHS:
        seal_month(folder / "ledger.db", month, folder / "sealed", KEY)
    return folder


@pytest.fixture
def folder(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "copy"))


def kinds(report: Report) -> set[str]:
    return {p.kind for p in report.problems}


def check(folder: Path) -> Report:
    return verify_with_seals(folder / "ledger.db", folder / "sealed", None, PUBLIC, TEXTS)


def test_months_are_contiguous_whatever_the_clock_did(folder: Path) -> None:
    seals = [Seal.read(folder / "sealed" / f"{month}.seal") for month in MONTHS]
    assert [(s.first, s.last, s.count) for s in seals] == [(1, 3, 3), (4, 9, 6), (10, 12, 3)]
    assert [s.prev for s in seals[1:]] == [s.head for s in seals[:-1]] and all(s.is_signed(PUBLIC) for s in seals)


def test_a_month_is_japans() -> None:
    assert bounds("2026-12") == ("2026-11-30T15:00:00.000000+00:00", "2026-12-31T15:00:00.000000+00:00")
    for wrong in ("2026-13", "2026-00", "26-10", "2026-1", "", "9999-12", "２０２６-10"):
        with pytest.raises(UsageError):
            bounds(wrong)


def test_each_month_verifies_alone_and_holds_no_text(folder: Path) -> None:
    for month in MONTHS:
        report = verify_month(folder / "sealed" / f"{month}.jsonl", PUBLIC)
        assert report.ok and report.signed and report.entries in (3, 6)
        assert "質問" not in (folder / "sealed" / f"{month}.jsonl").read_text(encoding="utf-8")
    assert not verify_month(folder / "sealed" / "2026-10.jsonl").signed


def test_the_live_ledger_agrees(folder: Path) -> None:
    report = check(folder)
    assert report.ok and report.entries == 14 and report.texts == 13 and report.unopened == 0


def test_sealing_again_changes_nothing(folder: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in (folder / "sealed").iterdir()}
    assert seal_month(folder / "ledger.db", "2026-10", folder / "sealed", KEY).count == 6
    assert {p.name: p.stat().st_mtime_ns for p in (folder / "sealed").iterdir()} == before
    seal = Seal.read(folder / "sealed" / "2026-10.seal")
    for name, value in (("last", 8), ("prev", "00" * 32)):
        changed = json.loads((folder / "sealed" / "2026-10.seal").read_text()) | {name: value}
        (folder / "sealed" / "2026-10.seal").write_text(json.dumps(changed))
        with pytest.raises(LedgerError, match="otherwise"):
            seal_month(folder / "ledger.db", "2026-10", folder / "sealed", KEY)
    assert seal.count == 6


def test_a_month_that_is_not_over_or_empty(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2026-12"):
        seal_month(folder / "ledger.db", "2026-12", tmp_path / "out", KEY)
    for month in ("2026-08", "2027-01"):
        with pytest.raises(SourceEmpty):
            seal_month(folder / "ledger.db", month, tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists()


def test_a_forged_ledger_is_not_sealed(folder: Path, tmp_path: Path) -> None:
    change(folder, "UPDATE entries SET actor = 'x' WHERE seq = 12")
    with pytest.raises(LedgerBroken, match="seq 12"):
        seal_month(folder / "ledger.db", "2026-10", tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists()


def change(folder: Path, sql: str) -> None:
    db = apsw.Connection(str(folder / "ledger.db"))
    db.execute(sql)
    db.close()


def edit_line(folder: Path, number: int, old: str, new: str) -> None:
    file = folder / "sealed" / "2026-10.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new)
    file.write_text("".join(lines), encoding="utf-8")


def add_line(folder: Path) -> None:
    with (folder / "sealed" / "2026-10.jsonl").open("ab") as f:
        f.write(b"\n")


def drop_line(folder: Path, number: int) -> None:
    file = folder / "sealed" / "2026-10.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))


def forge_seal(folder: Path) -> None:
    seal = Seal.read(folder / "sealed" / "2026-10.seal").signed_with(Ed25519PrivateKey.generate())
    fields = {name: getattr(seal, name) for name in Seal.__dataclass_fields__}
    (folder / "sealed" / "2026-10.seal").write_text(json.dumps(fields))


TAMPERED: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "body": (lambda f: edit_line(f, 2, "DENY", "ALLOW"), "hash", 6),
    "hash": (lambda f: edit_line(f, 2, '"hash":"', '"hash":"00'), "hash", 6),
    "not json": (lambda f: edit_line(f, 2, '{"body":', "["), "hash", 6),
    "first line": (lambda f: drop_line(f, 0), "hash", 4),
    "middle line": (lambda f: drop_line(f, 3), "hash", 7),
    "last line": (lambda f: drop_line(f, 5), "cut", 9),
    "blank line": (add_line, "hash", 10),
    "line ending": (lambda f: edit_line(f, 5, "\n", "\r\n"), "hash", 9),
    "no file": (lambda f: (f / "sealed" / "2026-10.jsonl").unlink(), "seal_missing", 4),
    "no seal": (lambda f: (f / "sealed" / "2026-10.seal").unlink(), "seal_missing", 1),
    "garbage seal": (lambda f: (f / "sealed" / "2026-10.seal").write_bytes(b"\xff{"), "seal_broken", 1),
    "deep seal": (lambda f: (f / "sealed" / "2026-10.seal").write_bytes(b"[" * 4000), "seal_broken", 1),
    "seal types": (lambda f: (f / "sealed" / "2026-10.seal").write_text(json.dumps(
        dict.fromkeys(Seal.__dataclass_fields__, 1))), "seal_broken", 1),
    "other key": (forge_seal, "seal_signature", 4),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_month_is_found(folder: Path, name: str) -> None:
    tamper, kind, seq = TAMPERED[name]
    tamper(folder)
    report = verify_month(folder / "sealed" / "2026-10.jsonl", PUBLIC)
    assert not report.ok and kind in kinds(report) and report.first_bad == seq
    assert not check(folder).ok


def test_a_rolled_back_or_remade_ledger_differs_from_its_sealed_months(folder: Path, tmp_path: Path) -> None:
    """Made anew with the right key: only what was kept apart can tell."""
    for name in ("ledger.db", "ledger.anchor", "ledger.lock"):
        (folder / name).unlink()
    clock = times(*((9, 30), (10, 1), (9, 15), (11, 30), (12, 1)))
    first = [datetime(2026, 9, 30, tzinfo=JAPAN)]
    with Ledger(folder / "ledger.db", KEY, TEXTS, clock=lambda: first.pop() if first else clock()) as ledger:
        for n in range(13):
            ledger.append_sync("decision", {"decision": "ALLOW", "n": n})
    assert {"sealed", "other_ledger"} <= kinds(check(folder))
    for name in ("ledger.db", "ledger.anchor"):
        (folder / name).unlink()
    with Ledger(folder / "ledger.db", KEY, TEXTS):
        pass
    assert "sealed" in kinds(check(folder))


def test_a_month_taken_away_leaves_a_gap(folder: Path) -> None:
    for suffix in (".jsonl", ".seal"):
        (folder / "sealed" / f"2026-10{suffix}").unlink()
    report = check(folder)
    assert kinds(report) == {"seal_gap"} and report.first_bad == 4


def test_an_empty_folder_proves_nothing(folder: Path) -> None:
    shutil.rmtree(folder / "sealed")
    assert kinds(check(folder)) == {"seal_missing"}


def test_the_seal_lies_beside_its_file() -> None:
    assert seal_path_of(Path("x/2026-10.jsonl")) == Path("x/2026-10.seal")
    assert timedelta(hours=9) == JAPAN.utcoffset(None)

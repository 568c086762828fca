"""Our own files and the bundle's: changed, missing, added; and the baseline they are held against."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from fake_machine import Machine
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.bundle import Bundle
from so8t.core.errors import RecordInvalid
from so8t.core.files import sha256_file
from so8t.operate.monitor import integrity
from so8t.operate.monitor.baseline import MOST_BYTES, Baseline, read_baseline
from so8t.operate.monitor.devices import STORAGE, Medium
from so8t.operate.monitor.finding import Severity
from so8t.operate.monitor.integrity import PACKAGE, BundleFiles, difference, package_changed, package_hashes
from so8t.operate.monitor.system import Program, Socket
from so8t.operate.monitor.usb import new_media
from so8t.operate.monitor.watch import Reference

HASHES = st.dictionaries(st.text(min_size=1, max_size=3), st.sampled_from("abc"), max_size=6)


@given(HASHES, HASHES)
def test_every_name_is_in_order_or_in_one_list(known: dict[str, str], now: dict[str, str]) -> None:
    found = difference(known, now)
    same = {name for name in known if now.get(name) == known[name]}
    parts = [set(found.changed), set(found.missing), set(found.added), same]
    assert set.union(*parts) == known.keys() | now.keys() and sum(map(len, parts)) == len(known.keys() | now.keys())
    assert bool(found) == (known != now)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "so8t"
    (root / "core").mkdir(parents=True)
    (root / "__pycache__").mkdir()
    (root / "a.py").write_text("a = 1\n")
    (root / "core" / "b.py").write_text("b = 1\n")
    (root / "__pycache__" / "a.pyc").write_bytes(b"x")
    return root


def test_the_package_against_its_baseline(package: Path) -> None:
    known = package_hashes(package)
    assert known.keys() == {"a.py", "core/b.py"} and package_changed(known, "0.1.0", package) == []
    (package / "a.py").write_text("a = 2\n")
    (package / "core" / "b.py").unlink()
    (package / "core" / "c.py").write_text("")
    (finding,) = package_changed(known, "0.1.0", package)
    assert finding.severity is Severity.CRITICAL and finding.kind == "package_changed"
    assert (finding.facts["changed"], finding.facts["missing"], finding.facts["added"]) == (1, 1, 1)
    assert finding.facts["first"] == ("a.py", "core/b.py", "core/c.py") and finding.facts["baseline_version"] == "0.1.0"


@pytest.mark.skipif(os.name == "nt", reason="links and pipes")
def test_a_link_is_named_and_a_pipe_is_not_waited_for(package: Path) -> None:
    (package / "link.py").symlink_to("/etc/hostname")
    os.mkfifo(package / "pipe.py")
    hashes = package_hashes(package)
    assert hashes["link.py"] == "-> /etc/hostname" and hashes["pipe.py"] == integrity.GONE


def test_no_baseline_no_finding(package: Path) -> None:
    assert package_changed({}, "", package) == []


def test_the_real_package_is_read() -> None:
    hashes = package_hashes()
    assert hashes["operate/monitor/integrity.py"] == sha256_file(PACKAGE / "operate/monitor/integrity.py")
    assert len(hashes) > 500 and not any(name.endswith(".pyc") for name in hashes)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    folder = tmp_path / "bundle"
    (folder / "gguf").mkdir(parents=True)
    (folder / "policy.toml").write_text("p")
    (folder / "gguf" / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    (folder / "bundle.json").write_text("{}")
    files = {name: sha256_file(folder / name) for name in ("policy.toml", "gguf/model.gguf")}
    return Bundle(folder, {"payload_digest": "ab" * 32, "files": files}, None)


def test_the_bundle_is_that_of_the_start(bundle: Bundle) -> None:
    files = BundleFiles(bundle)
    assert files.look() == [] == files.look()
    (bundle.folder / "bundle.json").write_text("{ }")
    (bundle.folder / "extra").touch()
    (finding,) = files.look()
    assert (finding.kind, finding.severity) == ("bundle_changed", Severity.CRITICAL)
    assert finding.facts["first"] == ("bundle.json", "extra") and finding.facts["payload_digest"] == "ab" * 32
    shutil.rmtree(bundle.folder / "gguf")
    assert files.look()[0].facts["missing"] == 1


def test_a_large_file_is_hashed_when_it_moved_and_not_before(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "SMALL", 50)
    read: list[str] = []
    real = integrity.sha256_file
    files = BundleFiles(bundle)
    monkeypatch.setattr(integrity, "sha256_file", lambda path: (read.append(path.name), real(path))[1])
    assert files.look() == [] and "model.gguf" not in read and "policy.toml" in read
    model = bundle.folder / "gguf" / "model.gguf"
    os.utime(model, ns=(1, 1))
    assert files.look() == [] and read.count("model.gguf") == 1  # only its time changed
    assert files.look() == [] and read.count("model.gguf") == 1
    model.write_bytes(b"GGUF" + b"\1" * 100)
    assert files.look()[0].facts["first"] == ("gguf/model.gguf",)
    assert files.look()[0].facts["changed"] == 1  # and it stays one


# -- the baseline ----------------------------------------------------------------------------------------------------

BASELINE = Baseline("2026-11-26T00:00:00+00:00", "0.1.0", {"a.py": "ab"}, ("sshd network:22",), ("1:2:",))


def test_a_baseline_is_what_was_written(tmp_path: Path) -> None:
    BASELINE.write(tmp_path / "sub" / "m.json")
    found = read_baseline(tmp_path / "sub" / "m.json")
    assert found == BASELINE and found.digest == BASELINE.digest
    assert read_baseline(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{", b"\xff", b"{}", b'{"format": 2}',
        b'{"format": 1, "package": {}, "listeners": [1], "media": []}',
        b'{"format": 1, "package": {"a": 1}, "listeners": [], "media": []}', b'{"format": 1, "package": []}',
        b'{"format": 1, "package": {}, "listeners": "x", "media": []}', b" " * (MOST_BYTES + 1), b"[" * 100_000,
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(RecordInvalid):
        read_baseline(tmp_path / "m.json")


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    return Reference(tmp_path / "m.json", lambda: datetime(2026, 11, 26, tzinfo=UTC))


def machine() -> Machine:
    return Machine(
        open=[Socket(("0.0.0.0", 22), None, "listen", 5), Socket(("0.0.0.0", 8008), None, "listen", 10)],
        programs={5: Program("sshd", "root")}, devices={Medium("1d6b:0002:", "hub")},
    )  # fmt: skip


def test_taking_the_present_state(reference: Reference) -> None:
    made = reference.take(machine().system(), 8008)
    assert made.listeners == ("sshd network:22",) and made.media == ("1d6b:0002:",) and len(made.package) > 500
    assert reference.look() == [] and read_baseline(reference.path) == made


def test_where_no_connections_are_shown_the_rest_is_a_baseline_all_the_same(reference: Reference) -> None:
    blind = machine()
    blind.error = psutil.AccessDenied()
    with pytest.raises(psutil.AccessDenied):
        reference.take(blind.system(), 8008)
    made = reference.take(blind.system(), 8008, partly=True)
    assert made.listeners == () and len(made.package) > 500 and made.media == ("1d6b:0002:",)


def test_a_baseline_that_is_replaced_counts_and_is_told(reference: Reference) -> None:
    before = reference.take(machine().system(), 8008)
    BASELINE.write(reference.path)
    (finding,) = reference.look()
    assert finding.kind == "baseline_changed" and reference.baseline == BASELINE and reference.replaced == 1
    assert finding.facts["before"] == before.digest[:16] and finding.facts["after"] == BASELINE.digest[:16]
    assert reference.look() == []
    BASELINE.write(reference.path)  # the same again
    assert reference.look() == [] and reference.replaced == 1


def test_a_baseline_that_goes_or_breaks_still_counts(reference: Reference) -> None:
    before = reference.take(machine().system(), 8008)
    reference.path.unlink()
    assert [f.subject for f in reference.look()] == ["gone"] and reference.baseline == before
    reference.path.write_text("{")
    assert [f.kind for f in reference.look()] == ["baseline_broken"] and reference.baseline == before
    assert [f.kind for f in reference.look()] == ["baseline_broken"]  # until it is mended
    BASELINE.write(reference.path)
    assert [f.kind for f in reference.look()] == ["baseline_changed"] and reference.look() == []


def test_a_baseline_of_a_later_version_is_not_guessed_at(reference: Reference) -> None:
    reference.path.write_text(json.dumps(BASELINE.to_json() | {"format": 99}))
    assert [f.facts["error"] for f in reference.look()] == ["format"] and reference.baseline is None


# -- devices ---------------------------------------------------------------------------------------------------------


def test_new_devices() -> None:
    media = {Medium("0781:5581:4C53", "Ultra", STORAGE), Medium("046d:c31c:", "receiver"), Medium("1d6b:0002:", "hub")}
    found = new_media(media, ["1d6b:0002:"])
    assert [(f.subject, f.severity) for f in found] == [
        ("046d:c31c:", Severity.INFO), ("0781:5581:4C53", Severity.WARNING),
    ]  # fmt: skip
    assert found[1].facts == {"name": "Ultra", "what": "storage"}

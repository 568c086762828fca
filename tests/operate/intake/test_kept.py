"""Images at rest: sealed one by one, erased with the texts, and in every backup."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.cli import main
from so8t.core import sealing, signing
from so8t.core.errors import LedgerUnavailable, RecordInvalid
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader
from so8t.core.progress import Progress
from so8t.core.serve_config import IdentityConfig, LedgerConfig, ServeConfig
from so8t.core.types import Attachment, PageText
from so8t.operate.backup.create import Backup
from so8t.operate.backup.locks import Passphrase
from so8t.operate.backup.restore import restore
from so8t.operate.intake.kept import KEYS, TEXTS, Kept

WEAK = Passphrase("correct horse battery", log_n=4)


def attachment(content: bytes, text: str = "読んだ文", name: str = "a.png") -> Attachment:
    return Attachment("image/png", (PageText(1, text, 0.9, "rapidocr"),), name, content)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3))
def test_what_was_put_comes_back_and_lies_sealed(contents: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        kept = Kept(Path(folder) / "attachments")
        told, texts = kept.put("req-1", [attachment(content) for content in contents])
        kept.named({"attachments": told})
        assert [kept.read({"attachments": told}, texts, n) for n in range(len(contents))] == contents
        files = [path for path in kept.folder.rglob("*") if path.is_file()]
        assert len(files) == len(contents) and {path.name for path in files} == {one["sealed"] for one in told}
        assert kept.remove({"attachments": told}) == len(contents) and not [*kept.folder.glob("??/*")]


def test_the_same_image_twice_is_two_files(tmp_path: Path) -> None:
    """Or one could tell from the chain that two people sent the same, and erasing one would erase the other."""
    told, _ = Kept(tmp_path).put("req-1", [attachment(b"x"), attachment(b"x")])
    assert told[0]["sealed"] != told[1]["sealed"]


def test_the_chain_holds_neither_name_nor_text(tmp_path: Path) -> None:
    told, texts = Kept(tmp_path).put("req-1", [attachment(b"x", "秘密の文", "秘密の名.png")])
    assert "秘密" not in json.dumps(told, ensure_ascii=False) and "秘密の文" in texts[TEXTS]


@pytest.mark.parametrize("number", [-1, 1, 99])
def test_there_is_no_other(tmp_path: Path, number: int) -> None:
    told, texts = Kept(tmp_path).put("req-1", [attachment(b"x")])
    with pytest.raises(RecordInvalid):
        Kept(tmp_path).read({"attachments": told}, texts, number)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63, "A" * 64, ""])
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    kept = Kept(tmp_path / "kept")
    told, texts = kept.put("req-1", [attachment(b"x")])
    told[0]["sealed"] = name
    with pytest.raises(RecordInvalid):
        kept.read({"attachments": told}, texts, 0)


def test_where_it_cannot_be_kept_nothing_is_answered(tmp_path: Path) -> None:
    (tmp_path / "attachments").write_text("a file is in the way", encoding="utf-8")
    with pytest.raises(LedgerUnavailable):
        Kept(tmp_path / "attachments").put("req-1", [attachment(b"x")])


@pytest.fixture
def office(tmp_path: Path) -> tuple[ServeConfig, int, Path]:
    """(its configuration, the entry that has an image, its ledger)."""
    serve = tmp_path / "serve"
    serve.mkdir()
    ledger = LedgerConfig(
        path=str(serve / "ledger.db"), key=str(tmp_path / "ledger.key"), text_key=str(tmp_path / "text.key")
    )
    path = serve / "ledger.db"
    kept = Kept.beside(path)
    told, texts = kept.put("req-1", [attachment(b"the image")])
    key, text_key = signing.load_or_create(Path(ledger.key)), sealing.load_or_create(Path(ledger.text_key))
    with Ledger(path, key, text_key) as book:
        entry = book.append_sync(
            "decision", {"request_id": "req-1", "decision": "ALLOW", "attachments": told}, text={"query": "?", **texts}
        )
    kept.named({"attachments": told})
    config = ServeConfig(ledger=ledger, identity=IdentityConfig(users=str(serve / "users.db")))
    return config, entry.seq, path


def test_erasing_by_command_takes_the_file_too(office: tuple[ServeConfig, int, Path]) -> None:
    config, seq, path = office
    with LedgerReader(path, sealing.load(Path(config.ledger.text_key))) as reader:
        entry, texts = reader.entry(seq), reader.texts(seq)
    assert entry is not None
    kept = Kept.beside(path)
    (file,) = [*kept.folder.glob("??/*")]
    copy = file.read_bytes()
    command = ["ledger", "erase", str(path), "--seq", str(seq), "--reason", "請求", "--signing-key", config.ledger.key]
    assert main([*command, "--text-key", config.ledger.text_key]) == 0
    assert not file.exists()
    file.write_bytes(copy)  # a copy from elsewhere is of no use any more
    with LedgerReader(path, sealing.load(Path(config.ledger.text_key))) as reader:
        left = reader.texts(seq)
    assert KEYS not in left and kept.read(entry.data, texts, 0) == b"the image"  # only whoever kept the key
    with pytest.raises(RecordInvalid):
        kept.read(entry.data, left, 0)


def test_verify_finds_what_was_done_to_the_files(office: tuple[ServeConfig, int, Path]) -> None:
    config, seq, path = office
    command = ["ledger", "verify", str(path), "--key", f"{config.ledger.key}.pub", "--text-key", config.ledger.text_key]
    assert main(command) == 0
    (file,) = [*Kept.beside(path).folder.glob("??/*")]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    assert main(command) == 9
    file.unlink()
    assert main([*command, "--json"]) == 9
    file.write_bytes(content)
    assert main(command) == 0
    erase = ["ledger", "erase", str(path), "--seq", str(seq), "--reason", "請求", "--signing-key", config.ledger.key]
    assert main([*erase, "--text-key", config.ledger.text_key]) == 0 and not file.exists()
    assert main(command) == 0  # gone on record


def test_a_backup_brings_them_along(office: tuple[ServeConfig, int, Path], tmp_path: Path) -> None:
    config, seq, _ = office
    quiet = Progress(stream=io.StringIO())
    (tmp_path / "so8t.toml").write_text("[serve]\n", encoding="utf-8")
    made = Backup(config, tmp_path / "so8t.toml", None).create(tmp_path / "office.so8t", WEAK, quiet)
    restore(made.path, tmp_path / "back", WEAK, quiet)
    ledger = tmp_path / "back" / "ledger.db"
    with LedgerReader(ledger, sealing.load(Path(config.ledger.text_key))) as reader:
        entry, texts = reader.entry(seq), reader.texts(seq)
    assert entry is not None and Kept.beside(ledger).read(entry.data, texts, 0) == b"the image"
    assert b"the image" not in made.path.read_bytes()

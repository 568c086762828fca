"""Whatever is in a file: `read` ends soon, raises nothing, and gives Documents and Skipped."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import time
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from so8t.documents.document import Document, Skipped
from so8t.documents.kinds import KINDS, PACKINGS
from so8t.documents.read import read
from so8t.documents.unreadable import Reason

from .conftest import TEXT, docx_bytes, mail_bytes, pdf_bytes, pptx_bytes, xlsx_bytes

SUFFIXES = [
    *KINDS,
    *(f"{kind}{packing}" for kind in (".txt", ".jsonl", ".xml", ".html", ".eml") for packing in PACKINGS),
]
REASONS = set(Reason)
ROW = json.dumps({"text": TEXT, "title": "猫"}, ensure_ascii=False).encode() + b"\n"
WIKI = (
    "<mediawiki><page><title>猫</title><ns>0</ns><id>1</id>"
    f"<revision><text>[[猫|a]]{{{{b}}}}{TEXT}</text></revision></page></mediawiki>"
)


@cache
def samples() -> dict[str, bytes]:
    table = io.BytesIO()
    parquet.write_table(pa.table({"text": [TEXT] * 9, "title": ["猫"] * 9}), table)
    return {
        "a.txt": f"{TEXT}\n\n{TEXT}".encode("cp932"), "a.jsonl": ROW * 9, "a.json": b"[" + ROW + b"]",
        "a.txt.gz": gzip.compress(TEXT.encode() * 9), "a.jsonl.bz2": bz2.compress(ROW * 9),
        "a.jsonl.xz": lzma.compress(ROW * 9), "a.jsonl.zst": zstandard.compress(ROW * 9), "a.xml": WIKI.encode(),
        "wiki_00": f'<doc id="1" url="" title="猫">\n{TEXT}\n</doc>\n'.encode(), "a.parquet": table.getvalue(),
        "a.docx": docx_bytes(TEXT, [["一", "二"]]), "a.xlsx": xlsx_bytes(表=[["一", 2.0], ["三", None]]),
        "a.pptx": pptx_bytes(("題", TEXT, "話す")), "a.pdf": pdf_bytes([TEXT], [TEXT]),
        "a.eml": mail_bytes(TEXT, attached=[("b.txt", TEXT.encode())]),
        "a.html": f"<title>猫</title><div class=nav>a</div><p>{TEXT}<table><tr><td>一<td>二</table>".encode(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name, content in samples().items():  # also loads every library, which takes its time
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        assert any(isinstance(item, Document) for item in read(path)), name
    return tmp_path_factory.mktemp("fuzz")


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    start = time.process_time()
    items = list(read(path))
    assert time.process_time() - start < 1
    assert items and all(isinstance(item, (Document, Skipped)) for item in items)
    for item in items:
        if isinstance(item, Skipped):
            assert item.reason in REASONS and item.place.startswith(str(path))
        else:
            assert item.text and item.place.startswith(path.name)
            item.text.encode()  # no half surrogates


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(SUFFIXES), content=st.binary(max_size=400))
def test_random_bytes(folder: Path, suffix: str, content: bytes) -> None:
    check(folder / f"a{suffix}", content)


CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(samples())),
    changes=CHANGES,
    cut=st.floats(0, 1) | st.just(1.0),
    twice=st.booleans(),
    tail=st.binary(max_size=8),
)
def test_mutated_files(
    folder: Path, name: str, changes: list[tuple[float, int]], cut: float, twice: bool, tail: bytes
) -> None:
    content = bytearray(samples()[name])
    for at, value in changes:
        content[int(at * len(content))] = value
    check(folder / name, bytes(content[: int(cut * len(content))]) * (1 + twice) + tail)

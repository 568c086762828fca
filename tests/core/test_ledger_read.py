"""The reader of queue, console and reports: every filter by itself and together, and no text without its key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import LedgerBroken, RecordInvalid, SourceMissing, TextKeyWrong
from so8t.core.ledger import Ledger
from so8t.core.ledger_read import LedgerReader, Stored
from so8t.core.ledger_sqlite import SqliteSource
from so8t.core.sealing import TextKey

KEY, TEXTS = Ed25519PrivateKey.generate(), TextKey.generate()
START = datetime(2026, 10, 1, tzinfo=UTC)
ROWS = [
    ("decision", "ALLOW", "佐藤", "r1"),
    ("decision", "DENY", "鈴木", "r2"),
    ("answer", None, "佐藤", "r1"),
    ("review", "ALLOW", "部長", "r2"),
    ("access", None, "佐藤", None),
    ("decision", "DENY", "佐藤", "r3"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """seq 1 is "open" at 01:00, then one row an hour; decisions have texts."""
    path = tmp_path_factory.mktemp("read") / "ledger.db"
    hours = iter(range(100))
    with Ledger(path, KEY, TEXTS, clock=lambda: START + timedelta(hours=next(hours))) as ledger:
        for n, (kind, decision, actor, request) in enumerate(ROWS):
            fields = {"decision": decision, "actor": actor, "request_id": request, "n": n}
            text = {"query": f"質問{n}", "reply": f"答え{n}"} if kind == "decision" else None
            ledger.append_sync(kind, fields, text=text)
    return path


@pytest.fixture
def reader(path: Path) -> LedgerReader:
    return LedgerReader(path, TEXTS)


FILTERS: list[tuple[dict[str, Any], Callable[[Stored], bool]]] = [
    ({}, lambda e: True),
    ({"after": 3}, lambda e: e.seq > 3),
    ({"before": 3}, lambda e: e.seq < 3),
    ({"kinds": ("decision",)}, lambda e: e.kind == "decision"),
    ({"kinds": ["review", "answer", "open"]}, lambda e: e.kind in ("review", "answer", "open")),
    ({"decision": "DENY"}, lambda e: e.decision == "DENY"),
    ({"actor": "佐藤"}, lambda e: e.actor == "佐藤"),
    ({"request_id": "r2"}, lambda e: e.request_id == "r2"),
    ({"since": START + timedelta(hours=3)}, lambda e: e.seq >= 3),
    ({"until": "2026-10-01T12:00:00+09:00"}, lambda e: e.seq <= 2),
    ({"since": START, "until": START}, lambda e: False),
    ({"kinds": ("decision",), "actor": "佐藤", "decision": "DENY", "after": 2}, lambda e: e.seq == 7),
    ({"actor": "' OR 1=1 --"}, lambda e: False),
    ({"kinds": ("') OR (1=1",)}, lambda e: False),
]


@pytest.mark.parametrize("index", range(len(FILTERS)))
def test_filters(reader: LedgerReader, index: int) -> None:
    filters, keep = FILTERS[index]
    everything = reader.entries()
    expected = [e for e in everything if keep(e)]
    assert len(everything) == 7 and reader.entries(**filters) == expected
    assert reader.entries(**filters, newest_first=True) == expected[::-1]
    assert reader.count(**filters) == len(expected)


@given(first=st.data())
def test_any_combination_is_the_conjunction(path: Path, first: st.DataObject) -> None:
    reader = LedgerReader(path, TEXTS)
    chosen = first.draw(st.lists(st.sampled_from(FILTERS), max_size=4))
    filters = {name: value for given, _ in chosen for name, value in given.items()}
    # Of two that set the same filter the later one holds.
    keep = [test for given, test in FILTERS if given and given.items() <= filters.items()]
    assert {e.seq for e in reader.entries(**filters)} <= {e.seq for e in reader.entries() if all(t(e) for t in keep)}


def test_limit(reader: LedgerReader) -> None:
    assert [e.seq for e in reader.entries(limit=2)] == [1, 2]
    assert [e.seq for e in reader.entries(limit=2, newest_first=True)] == [7, 6]
    for limit in (0, -1, 10_001):
        with pytest.raises(RecordInvalid, match="limit"):
            reader.entries(limit=limit)


@pytest.mark.parametrize("time", ["2026-10-01", "2026-10-01T00:00:00", "yesterday", datetime(2026, 10, 1)])
def test_a_time_without_offset_is_refused(reader: LedgerReader, time: Any) -> None:
    with pytest.raises(RecordInvalid, match="time"):
        reader.count(since=time)


def test_an_unknown_filter_is_no_silent_everything(reader: LedgerReader) -> None:
    with pytest.raises(TypeError):
        reader.count(user="佐藤")  # type: ignore[call-arg]


def test_one_entry(reader: LedgerReader) -> None:
    entry = reader.entry(3)
    assert entry is not None and entry.data == {"n": 1} and set(entry.content) == {"query", "reply"}
    assert (entry.kind, entry.decision, entry.actor, entry.request_id) == ("decision", "DENY", "鈴木", "r2")
    assert reader.entry(99) is None and reader.entry(0) is None


def test_texts(reader: LedgerReader) -> None:
    assert reader.texts(3) == {"query": "質問1", "reply": "答え1"}
    assert reader.texts(4) == {} and reader.texts(99) == {}
    found = reader.texts_of(reader.entries(), ("query",))
    assert found == {2: {"query": "質問0"}, 3: {"query": "質問1"}, 7: {"query": "質問5"}}


@pytest.mark.parametrize("key", [None, TextKey.generate()])
def test_a_wrong_key_is_said_to_be_one(path: Path, key: TextKey | None) -> None:
    reader = LedgerReader(path, key)
    assert reader.count() == 7 and reader.texts(4) == {}
    with pytest.raises(TextKeyWrong):
        reader.texts(3)


def test_a_moved_text_is_not_shown(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "ledger.db"
    copy.write_bytes(path.read_bytes())
    db = apsw.Connection(str(copy))
    db.execute("UPDATE texts SET sealed = (SELECT sealed FROM texts WHERE seq = 2 AND name = 'query') "
               "WHERE seq = 3 AND name = 'query'")  # fmt: skip
    db.execute("INSERT INTO texts SELECT 7, 'more', sealed FROM texts WHERE seq = 2 AND name = 'query'")
    db.close()
    for seq in (3, 7):
        with pytest.raises(LedgerBroken, match=f"seq {seq}"):
            LedgerReader(copy, TEXTS).texts(seq)


def test_erased_texts_are_absent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.append_sync("decision", {}, text={"query": "消す"})
        ledger.erase(2, "請求").result()
        assert LedgerReader(path, TEXTS).texts(2) == {}


def test_heads_are_signed(reader: LedgerReader) -> None:
    heads = reader.heads
    assert [h.seq for h in heads] == [7, 6, 5, 4, 3, 2, 1]
    assert all(h.is_signed(KEY.public_key()) for h in heads)
    newest = reader.entry(7)
    assert newest is not None and newest.head == heads[0].head


def test_a_source_is_read_as_its_snapshot_stands(path: Path) -> None:
    source = SqliteSource(path)
    with LedgerReader(source, TEXTS) as reader:
        assert reader.count(kinds=("decision",)) == 3 and reader.texts(2)["query"] == "質問0"


def test_nothing_there_and_nothing_readable(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        LedgerReader(tmp_path / "none.db").count()
    (tmp_path / "bad.db").write_bytes(b"SQLite format 3\x00" + b"x" * 5000)
    with pytest.raises(LedgerBroken):
        LedgerReader(tmp_path / "bad.db").count()


def test_reading_never_blocks_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path, KEY, TEXTS, busy_ms=0) as ledger:
        ledger.append_sync("note", {})
        stop, seen = threading.Event(), list[int]()
        reader = LedgerReader(path, TEXTS)

        def read() -> None:
            while not stop.is_set():
                seen.append(len(reader.entries(newest_first=True)))

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(100):
            assert ledger.append_sync("decision", {"n": n}, text={"query": "x"}).seq == n + 3
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 3 and all(n >= 2 for n in seen)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"request_id": "r"}, "entries_request"),
        ({"actor": "a"}, "entries_actor"),
        ({"kinds": ("review",)}, "entries_kind"),
        ({"kinds": ("decision",), "decision": "ESCALATE"}, "entries_kind"),
    ],
)
def test_a_search_uses_its_index(path: Path, filters: dict[str, Any], index: str) -> None:
    plans: list[str] = []

    class Spy(SqliteSource):
        def select(self, sql: str, *values: Any) -> list[Any]:
            plans.extend(str(row) for row in super().select(f"EXPLAIN QUERY PLAN {sql}", *values))
            return super().select(sql, *values)

    with LedgerReader(Spy(path)) as reader:
        reader.entries(**filters, newest_first=True, limit=50)
    assert index in " ".join(plans)

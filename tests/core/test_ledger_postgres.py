"""The ledger on a real PostgreSQL: one chain for several gateways, nothing acknowledged lost, tampering found."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from so8t.core import ledger as ledger_module
from so8t.core.errors import LedgerBroken, LedgerError, LedgerUnavailable, RecordInvalid, TextKeyWrong
from so8t.core.ledger import Ledger
from so8t.core.ledger_address import parse_address
from so8t.core.ledger_month import seal_month, verify_with_seals
from so8t.core.ledger_read import LedgerReader, count_by_decision, export, tail
from so8t.core.ledger_report import Report
from so8t.core.ledger_verify import verify
from so8t.core.sealing import TextKey
from so8t.core.types import canonical_json

pytest.importorskip("asyncpg", reason="the driver asyncpg is not installed")
from so8t.core.ledger_postgres import Link, PostgresSource, PostgresStore
from so8t.core.ledger_postgres_schema import ROLES, create_statements, script

STARTING = runpy.run_path(str(Path(__file__).with_name("postgres_server.py")))
KEY, TEXTS = Ed25519PrivateKey.generate(), TextKey.generate()
PUBLIC = KEY.public_key()
NUMBERS = itertools.count(1)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    programs = STARTING["binaries"]() if os.name == "posix" else None
    if programs is None:
        pytest.skip("no PostgreSQL server here (Debian: apt-get install postgresql)")
    with STARTING["running"](programs) as made:
        yield made


@pytest.fixture
def database(server: Any) -> str:
    """The name of an empty database."""
    name = f"t{next(NUMBERS)}"
    run(server, "postgres", f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def path(server: Any, database: str, tmp_path: Path) -> Path:
    """The address file of gateway "a"."""
    return place(tmp_path, "a", server.socket_address(database))


def place(folder: Path, name: str, address: str) -> Path:
    (folder / name).mkdir()
    path = folder / name / "ledger.url"
    path.write_text(address + "\n")
    return path


def second(path: Path) -> Path:
    """Another gateway, given a copy of the first one's anchor."""
    other = place(path.parents[1], "b", path.read_text().strip())
    shutil.copy(path.with_suffix(".anchor"), other.with_suffix(".anchor"))
    return other


def run(server: Any, database: str, *statements: str) -> None:
    """As the owner, who can change everything."""
    link = Link(parse_address(server.socket_address(database)), 30.0, {})
    try:
        for sql in statements:
            link.execute(sql)
    finally:
        link.close()


def check(path: Path, **more: Any) -> Report:
    return verify(path, None, PUBLIC, TEXTS, **more)


def kinds(report: Report) -> set[str]:
    return {p.kind for p in report.problems}


def fill(path: Path, n: int = 8) -> None:
    """seq 1 is "open"; each entry is its own commit; seq 3 has texts."""
    with Ledger(path, KEY, TEXTS) as ledger:
        for i in range(n):
            fields = {"decision": "DENY", "actor": "佐藤", "request_id": f"r{i}", "n": i}
            ledger.append_sync("decision", fields, text={"query": "質問", "reply": "答え"} if i == 1 else None)


# -- one gateway ----------------------------------------------------------------------------------------------------


def test_append_reopen_verify_read(path: Path) -> None:
    fill(path)
    with Ledger(path, KEY, TEXTS) as ledger:
        assert ledger.append_sync("review", {"actor": "部長", "decision": "ALLOW"}).seq == 10
    report = check(path)
    assert report.ok and (report.entries, report.texts, report.unopened, report.anchored_seq) == (10, 2, 0, 10)
    assert verify(path, None, PUBLIC).unopened == 2
    with LedgerReader(path, TEXTS) as reader:
        assert reader.texts(3) == {"query": "質問", "reply": "答え"}
        assert [e.seq for e in reader.entries(kinds=("review", "open"), newest_first=True)] == [10, 1]
        assert reader.count(actor="佐藤", after=3) == 6 and reader.count(request_id="r4") == 1
        assert reader.count(since="2020-01-01T00:00:00Z", until="2021-01-01T00:00:00Z") == 0
        assert reader.heads[0].is_signed(PUBLIC) and reader.heads[0].seq == 10
    assert tail(path, 1)[0]["data"] == {} and count_by_decision(path) == {"DENY": 8}


def test_export_is_the_bytes_that_were_hashed(path: Path) -> None:
    fill(path)
    out = io.StringIO()
    assert export(path, out) == 9
    head = None
    for line in out.getvalue().splitlines():
        content = line[len('{"body":') : line.rindex(',"hash":')].encode()
        digest = json.loads(line)["hash"]
        assert head is None or sha256(bytes.fromhex(head) + content).hexdigest() == digest
        head = digest
    assert head == check(path).head


def test_wrong_keys_are_said_to_be_wrong(path: Path) -> None:
    fill(path)
    with pytest.raises(TextKeyWrong):
        verify(path, None, PUBLIC, TextKey.generate())
    with pytest.raises(TextKeyWrong):
        Ledger(path, KEY, TextKey.generate())
    with pytest.raises(LedgerBroken, match="not signed by this key"):
        Ledger(path, Ed25519PrivateKey.generate(), TEXTS)


def test_erase(path: Path) -> None:
    fill(path)
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.erase(3, "本人の請求").result()
        with pytest.raises(RecordInvalid, match="no text"):
            ledger.erase(3, "again").result()
    report = check(path)
    assert report.ok and report.erased == 2 and report.texts == 0


def test_a_character_that_no_column_can_hold_harms_nobody_else(path: Path) -> None:
    with Ledger(path, KEY, TEXTS) as ledger:
        for fields, text in (({"actor": "a\0b"}, {}), ({}, {"na\0me": "x"})):
            with pytest.raises(RecordInvalid):
                ledger.append("note", fields, text=text)
        assert ledger.append_sync("note", {"x": "a\0b"}, text={"query": "a\0b"}).seq == 2
    with LedgerReader(path, TEXTS) as reader:
        assert check(path).ok and reader.texts(2) == {"query": "a\0b"}


def test_sealed_month(path: Path, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    months = iter([9, 9, 10, 10, 11])
    with Ledger(path, KEY, TEXTS, clock=lambda: datetime(2026, next(months), 5, tzinfo=UTC)) as ledger:
        for _ in range(3):
            ledger.append_sync("note", {})
    assert seal_month(path, "2026-10", tmp_path / "sealed", KEY).count == 2
    assert verify_with_seals(path, tmp_path / "sealed", None, PUBLIC).ok


def test_the_plans_tables_are_views(server: Any, database: str, path: Path) -> None:
    contract = {"role": "案内", "scope": "社内", "limitations": ["診断しない"], "escalation_policy": "医師へ"}
    policy = {
        "event": "loaded", "policy_digest": "ab", "policy_version": "1",
        "policy_state": {"org_name": "会社", "levels": ["公開"]}, "identity_contracts": {"medical": contract},
    }  # fmt: skip
    with Ledger(path, KEY, TEXTS) as ledger:
        ledger.append_sync("policy", policy | {"actor": "管理者"})
        ledger.append_sync("decision", {"decision": "DENY", "confidence": 0.5, "reason": "規則"})
    link = Link(parse_address(server.socket_address(database)), 10.0, {})
    try:
        rows = [tuple(r) for r in link.fetch("SELECT domain, role, escalation_policy FROM identity_contract")]
        assert rows == [("medical", "案内", "医師へ")]
        rows = [tuple(r) for r in link.fetch("SELECT name, value FROM policy_state ORDER BY name")]
        assert rows == [("levels", '["公開"]'), ("org_name", "会社")]
        rows = [tuple(r) for r in link.fetch("SELECT seq, kind, actor, event FROM audit_log ORDER BY seq")]
        assert rows == [(1, "open", None, None), (2, "policy", "管理者", "loaded"), (3, "decision", None, "DENY")]
        assert [r["reason"] for r in link.fetch("SELECT reason FROM decision_log")] == ["規則"]
    finally:
        link.close()


# -- several gateways -----------------------------------------------------------------------------------------------


def test_two_gateways_one_chain(path: Path) -> None:
    with Ledger(path, KEY, TEXTS) as a:
        a.append_sync("note", {})
        other = second(path)
        with Ledger(other, KEY, TEXTS) as b:
            got: list[int] = []

            def work(ledger: Ledger) -> None:
                for i in range(40):
                    got.append(ledger.append_sync("decision", {"n": i}, text={"query": f"{i}"}).seq)

            threads = [threading.Thread(target=work, args=(ledger,)) for ledger in (a, b) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert sorted(got) == list(range(3, 323))
    for each in (path, other):
        report = check(each)
        assert report.ok and report.entries == 322 and report.texts == 320


def test_a_second_gateway_needs_the_first_ones_anchor(path: Path) -> None:
    fill(path)
    other = place(path.parents[1], "b", path.read_text().strip())
    with pytest.raises(LedgerBroken, match="anchor is missing"):
        Ledger(other, KEY, TEXTS)
    shutil.copy(path.with_suffix(".anchor"), other.with_suffix(".anchor"))
    Ledger(other, KEY, TEXTS).close()
    with Ledger(path, KEY, TEXTS), pytest.raises(LedgerUnavailable, match="another process"):
        Ledger(path, KEY, TEXTS)


def test_two_gateways_that_begin_at_once_do_not_mix(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw an empty database; the one that comes second must not append its own beginning."""
    other = place(path.parents[1], "b", path.read_text().strip())
    real = PostgresStore.create

    def late(store: PostgresStore) -> None:
        monkeypatch.setattr(PostgresStore, "create", real)
        fill(path)
        real(store)

    monkeypatch.setattr(PostgresStore, "create", late)
    with pytest.raises(LedgerBroken, match="someone else"):
        Ledger(other, KEY, TEXTS)
    assert check(path).ok and check(path).entries == 9


def test_entries_of_a_stranger_are_not_taken_on(server: Any, database: str, path: Path) -> None:
    """Chained by hand with right hashes and columns, but no signature of ours."""
    with Ledger(path, KEY, TEXTS) as ledger:
        first = ledger.append_sync("note", {})
        said = tail(path, 1)[0]
        body = canonical_json(
            {k: v for k, v in said.items() if k != "hash"} | {"seq": 3, "signed": ledger.head.signature}
        )
        digest = sha256(first.hash + body.encode()).hexdigest()
        run(
            server, database,
            f"INSERT INTO so8t.entries VALUES(3, '{said['time']}', 'note', NULL, NULL, NULL, "
            f"'\\x{body.encode().hex()}', '\\x{first.head}', '\\x{digest}', '{ledger.head.signature}')",
        )  # fmt: skip
        with pytest.raises(LedgerBroken, match="someone else"):
            ledger.append_sync("note", {})
    assert "signature" in kinds(check(path))
    with pytest.raises(LedgerBroken):
        Ledger(path, KEY, TEXTS)


def child(path: Path) -> subprocess.Popen[str]:
    """A gateway in a process of its own that says what was acknowledged."""
    script = (
        "import sys, base64, threading\nfrom pathlib import Path\nfrom so8t.core.ledger import Ledger\n"
        "from so8t.core.sealing import TextKey\n"
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey\n"
        "key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(sys.argv[2]))\n"
        "ledger = Ledger(Path(sys.argv[1]), key, TextKey(base64.b64decode(sys.argv[3])), busy_ms=5000)\n"
        "def work():\n"
        "    while True:\n"
        "        e = ledger.append_sync('decision', {'decision': 'DENY'}, text={'request': 'あ' * 300})\n"
        "        sys.stdout.write(f'{e.seq} {e.head}\\n'); sys.stdout.flush()\n"
        "for _ in range(4): threading.Thread(target=work).start()\n"
    )
    secret = base64.b64encode(KEY.private_bytes_raw()).decode()
    source = str(Path(ledger_module.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path), secret, TEXTS.encode()],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": source},
    )  # fmt: skip


def test_two_processes_killed_and_started_again_lose_nothing_acknowledged(path: Path) -> None:
    fill(path, 1)
    places, told = (path, second(path)), dict[int, str]()
    for turn in range(4):
        processes = [child(p) for p in places]
        lines = [p.stdout.readline() for p in processes if p.stdout]
        time.sleep(0.1 + 0.1 * turn)
        for process in (processes, processes[::-1])[turn % 2]:
            process.send_signal(signal.SIGKILL)
        for process in processes:
            assert process.stdout is not None
            lines += process.stdout.read().splitlines(keepends=True)
            process.wait()
            process.stdout.close()
        told |= {int(seq): head for seq, head in (line.split() for line in lines if line.endswith("\n"))}
    for place_ in places:
        Ledger(place_, KEY, TEXTS).close()
        assert check(place_).ok
    kept = {e["seq"]: e["hash"] for e in tail(path, 1_000_000)}
    assert len(told) > 20 and told.items() <= kept.items()


def test_a_gateway_stopped_in_the_middle_holds_the_others_up_only_for_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from so8t.core import ledger_postgres

    monkeypatch.setattr(ledger_postgres, "IDLE_SECONDS", 1)
    fill(path, 1)
    stopped = PostgresStore.at(path)
    transaction = stopped.transaction()
    transaction.__enter__()
    with Ledger(path, KEY, TEXTS, busy_ms=200) as ledger:
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            ledger.append_sync("note", {})
        time.sleep(1.2)
        assert ledger.append_sync("note", {}).seq == 3
    with pytest.raises(LedgerUnavailable):
        transaction.__exit__(None, None, None)
    stopped.close()
    assert check(path).ok


# -- when the server fails ------------------------------------------------------------------------------------------


def test_a_server_that_drops_the_connection(server: Any, database: str, path: Path) -> None:
    """Between commits it is made again; inside one the commit is an error and is never finished elsewhere."""
    others = f"datname = '{database}' AND pid <> pg_backend_pid()"
    drop = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    with Ledger(path, KEY, TEXTS) as ledger:
        run(server, database, drop)
        time.sleep(0.2)
        assert ledger.append_sync("note", {}).seq == 2
        store = ledger._store
        real = store.insert

        def insert(entries: Any, texts: Any) -> None:
            real(entries, texts)
            store.insert = real  # type: ignore[method-assign]
            run(server, database, drop)
            time.sleep(0.2)

        store.insert = insert  # type: ignore[method-assign]
        with pytest.raises(LedgerUnavailable):
            ledger.append_sync("note", {"lost": True})
        assert ledger.append_sync("note", {"kept": True}).seq == 3
    assert check(path).ok and tail(path, 1)[0]["data"] == {"kept": True}


def test_no_server(tmp_path: Path) -> None:
    path = place(tmp_path, "a", f"postgres://owner@/d?socket={tmp_path}")
    with LedgerReader(path) as reader:
        for call in (lambda: Ledger(path, KEY, TEXTS), lambda: check(path), reader.count):
            with pytest.raises(LedgerUnavailable):
                call()


def test_a_server_that_does_not_sync_is_refused(server: Any, database: str, path: Path) -> None:
    try:
        run(server, database, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        time.sleep(0.5)
        with pytest.raises(LedgerUnavailable, match="fsync"):
            Ledger(path, KEY, TEXTS)
    finally:
        run(server, database, "ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")
        time.sleep(0.5)


def test_tls_is_checked_in_full(server: Any, database: str, tmp_path: Path) -> None:
    good = place(tmp_path, "good", server.tls_address(database, server.ca_file))
    fill(good)
    assert check(good).ok
    for name, address in {
        "ca": server.tls_address(database, server.other_ca),
        "name": server.tls_address(database, server.ca_file, "127.0.0.2"),
    }.items():
        bad = place(tmp_path, name, address)
        shutil.copy(good.with_suffix(".anchor"), bad.with_suffix(".anchor"))
        with pytest.raises(LedgerUnavailable, match="ertificate"):
            check(bad)


# -- tampering ------------------------------------------------------------------------------------------------------

EDITS = {
    "body": ("UPDATE so8t.entries SET body = replace(encode(body, 'escape'), 'DENY', 'ALLOW')::bytea WHERE seq = 5", 5),
    "column": ("UPDATE so8t.entries SET decision = 'ALLOW' WHERE seq = 5", 5),
    "delete": ("DELETE FROM so8t.entries WHERE seq = 5", 5),
    "cut": ("DELETE FROM so8t.entries WHERE seq > 6", 7),
    "all": ("DELETE FROM so8t.entries", 1),
    "reorder": ("UPDATE so8t.entries SET seq = 100 - seq WHERE seq IN (4, 5)", 4),
    "signature": ("UPDATE so8t.entries SET signature = NULL WHERE seq = 9", 9),
    "text": ("UPDATE so8t.texts SET sealed = sealed || '\\x00' WHERE seq = 3 AND name = 'query'", 3),
    "text_moved": ("UPDATE so8t.texts SET seq = 4 WHERE name = 'query'", 3),
    "text_gone": ("DELETE FROM so8t.texts", 3),
    "trigger": ("CREATE FUNCTION so8t.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
                "CREATE TRIGGER t BEFORE INSERT ON so8t.entries FOR EACH ROW EXECUTE FUNCTION so8t.f()", 1),
    "rule": ("CREATE RULE r AS ON INSERT TO so8t.entries DO INSTEAD NOTHING", 1),
    "policy": ("CREATE POLICY p ON so8t.entries USING (seq <> 5)", 1),
    "view": ("CREATE OR REPLACE VIEW so8t.audit_log AS SELECT seq, time, kind, actor, decision AS event, "
             "encode(hash, 'hex') AS hash FROM so8t.entries WHERE seq <> 5", 1),
    "no_view": ("DROP VIEW so8t.decision_log", 1),
    "more": ("CREATE TABLE so8t.more(x int)", 1),
    "index": ("DROP INDEX so8t.entries_actor; CREATE INDEX entries_actor ON so8t.entries(actor) WHERE seq <> 5", 1),
    "table": ("DROP TABLE so8t.texts", 1),
    "null": ("ALTER TABLE so8t.entries ALTER COLUMN hash DROP NOT NULL", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_found(server: Any, database: str, path: Path, name: str) -> None:
    sql, seq = EDITS[name]
    fill(path)
    assert check(path).ok
    run(server, database, sql)
    report = check(path)
    assert not report.ok and report.first_bad == seq, report.problems
    with pytest.raises(LedgerBroken):
        Ledger(path, KEY, TEXTS)


def test_an_older_state_put_back_is_found_by_every_anchor_that_saw_more(server: Any, database: str, path: Path) -> None:
    fill(path)
    other = second(path)
    with Ledger(other, KEY, TEXTS) as ledger:
        last = ledger.append_sync("note", {})
    run(server, database, "DELETE FROM so8t.entries WHERE seq > 9")
    assert check(path).ok, "this gateway's anchor is older"
    assert kinds(check(other)) == {"cut"} and check(other).first_bad == 10
    assert not check(path, expected=(last.seq, last.head)).ok


# -- rights ---------------------------------------------------------------------------------------------------------


def test_hardened_roles_can_work_and_no_more(server: Any, database: str, tmp_path: Path) -> None:
    run(server, database, *create_statements(), *ROLES)
    try:
        gateway = place(tmp_path, "g", server.socket_address(database, "so8t_gateway"))
        fill(gateway)
        with Ledger(gateway, KEY, TEXTS) as ledger:
            ledger.erase(3, "請求").result()
        auditor = place(tmp_path, "u", server.socket_address(database, "so8t_auditor"))
        shutil.copy(gateway.with_suffix(".anchor"), auditor.with_suffix(".anchor"))
        with LedgerReader(auditor) as reader:
            assert check(auditor).ok and reader.count() == 10
        for user, statements in {
            "so8t_gateway": ("UPDATE entries SET actor = 'x'", "DELETE FROM entries", "TRUNCATE texts",
                             "UPDATE texts SET name = 'x'", "DROP VIEW audit_log", "CREATE TABLE so8t.x(y int)"),
            "so8t_auditor": ("INSERT INTO texts VALUES(1, 'x', '')", "DELETE FROM texts"),
        }.items():  # fmt: skip
            link = Link(parse_address(server.socket_address(database, user)), 10.0, {})
            for sql in statements:
                with pytest.raises(LedgerUnavailable, match=r"denied|owner"):
                    link.execute(sql)
            link.close()
        with pytest.raises(LedgerError):
            Ledger(auditor, KEY, TEXTS).append_sync("note", {})
    finally:
        run(server, database, "DROP OWNED BY so8t_gateway, so8t_auditor", "DROP ROLE so8t_gateway, so8t_auditor")


def test_tables_made_beforehand_must_be_ours(server: Any, database: str, path: Path) -> None:
    run(server, database, "CREATE SCHEMA so8t", "CREATE TABLE so8t.entries(seq bigint)")
    with pytest.raises(LedgerError, match="entries"):
        Ledger(path, KEY, TEXTS)


def test_the_script_is_what_was_tested() -> None:
    assert all(statement in script() for statement in (*create_statements(), *ROLES))


def test_a_source_never_writes(path: Path) -> None:
    fill(path, 1)
    source = PostgresSource.at(path)
    with pytest.raises(LedgerUnavailable, match="read-only"):
        source.select("DELETE FROM texts RETURNING 1")
    source.close()

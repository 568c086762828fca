"""Search in a running office: over HTTP by people of different clearance, followed in the background, in the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from office_files import LEVELS, POLICY, OfficeFiles
from office_server import build, people
from starlette.testclient import TestClient

from so8t.ask.backend import FakeBackend
from so8t.cli import main
from so8t.core.ledger_lock import lock
from so8t.core.ledger_read import LedgerReader
from so8t.core.serve_config import SearchConfig
from so8t.operate.search.changes import Changes
from so8t.operate.search.service import DocumentSearch, search_of
from so8t.operate.server.app import application
from so8t.operate.server.documents import routes


@pytest.fixture
def asked(office: OfficeFiles, tmp_path: Path) -> Any:
    """(POST a body as somebody, the reader of the ledger)."""
    office.write("公開/案内.txt", "共通の語の案内です。")
    office.write("極秘/計画.txt", "共通の語の計画です。")
    office.update()
    gateway, desk, ledger, texts, authenticator = build(tmp_path, FakeBackend())
    config = SearchConfig(index=str(office.store.path), folders=office.config.folders)
    search = DocumentSearch(gateway, config)
    keys = asyncio.run(people(authenticator))
    app = application(desk, routes(desk, search), hosts=("127.0.0.1", "testserver"), concurrent=8)
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as client:

        def post(who: str, body: Any) -> httpx.Response:
            return client.post("/so8t/v1/search", json=body, headers={"Authorization": f"Bearer {keys[who]}"})

        def state(who: str) -> httpx.Response:
            return client.get("/so8t/v1/search/state", headers={"Authorization": f"Bearer {keys[who]}"})

        yield post, state, LedgerReader(tmp_path / "ledger.db", texts)
    search.close()
    ledger.close()


def test_clearance_is_the_askers_and_the_ledger_knows(asked: Any) -> None:
    post, _, reader = asked
    found = post("user", {"query": "共通の語"}).json()
    assert [hit["classification"] for hit in found["hits"]] == ["公開"] and found["total"] == 1
    entry = reader.entries(kinds=("access",))[-1]
    assert entry.data["event"] == "searched" and entry.actor == "user" and entry.data["total"] == 1
    assert entry.data["documents"] == [{"id": found["hits"][0]["id"], "classification": "公開"}]
    assert reader.texts(entry.seq) == {"query": "共通の語"} and "共通" not in json.dumps(entry.data, ensure_ascii=False)


@pytest.mark.parametrize("body", [
    {}, {"query": 3}, {"query": ""}, {"query": "x" * 1001}, {"query": "語", "limit": 0}, {"query": "語", "limit": 51},
    {"query": "語", "limit": True}, {"query": "語", "folders": "公開"}, {"query": "語", "folders": ["ない"]},
    {"query": "語", "folders": [1]}, [],
])  # fmt: skip
def test_what_is_no_question_is_refused(asked: Any, body: Any) -> None:
    assert asked[0]("user", body).status_code == 400


def test_the_state_is_for_administrators(asked: Any) -> None:
    _, state, _ = asked
    assert state("user").status_code == 403
    told = state("admin").json()
    assert told["files"] == 2 and told["unread"] == 0 and told["levels"] == {"公開": 1, "極秘": 1}


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not within the time"
        await asyncio.sleep(0.05)


def test_the_index_follows_while_the_office_runs(office: OfficeFiles, tmp_path: Path) -> None:
    office.store.close()
    gateway, *_, ledger, _, _ = build(tmp_path, FakeBackend())
    config = SearchConfig(index=str(tmp_path / "live.db"), folders=office.config.folders)
    search = search_of(gateway, config)
    assert search is not None

    def total(query: str) -> int:
        return search._search(query, LEVELS[-1], None, 5).total

    async def live() -> None:
        office.write("公開/a.txt", "初めからある文")
        watch = asyncio.create_task(search.watch())
        await until(lambda: search.last is not None)
        assert total("初めからある文") == 1
        path = office.write("公開/b.txt", "あとで来た文")
        await until(lambda: total("あとで来た文") == 1)
        path.write_text("書き直した文", encoding="utf-8")
        await until(lambda: total("書き直した文") == 1)
        assert total("あとで来た文") == 0
        path.rename(path.with_name("c.txt"))
        await until(lambda: [h.place for h in search._search("書き直した文", LEVELS[-1], None, 5).hits] == ["c.txt"])
        path.with_name("c.txt").unlink()
        await until(lambda: total("書き直した文") == 0)
        (office.root / "公開" / "課").mkdir()
        office.write("公開/課/d.txt", "新しい課の文")
        await until(lambda: total("新しい課の文") == 1)
        (office.root / "公開" / "課").rename(office.root / "極秘" / "課")
        await until(lambda: [h.level for h in search._search("新しい課の文", LEVELS[-1], None, 5).hits] == ["極秘"])
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    asyncio.run(live())
    search.close()
    ledger.close()


def test_a_second_gateway_only_searches(office: OfficeFiles, tmp_path: Path) -> None:
    gateway, *_, ledger, _, _ = build(tmp_path, FakeBackend())
    config = SearchConfig(index=str(office.store.path), folders=office.config.folders)
    handle = lock(office.store.path.with_name(office.store.path.name + ".lock"))
    search = DocumentSearch(gateway, config)

    async def tried() -> None:
        watch = asyncio.create_task(search.watch())
        await until(lambda: "another gateway" in search.problem)
        office.write("公開/a.txt", "共通の語")
        office.update()  # the one that holds the lock
        assert search._search("共通の語", "公開", None, 5).total == 1
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    asyncio.run(tried())
    os.close(handle)
    search.close()
    ledger.close()


def test_no_folders_no_search(tmp_path: Path) -> None:
    gateway, *_, ledger, _, _ = build(tmp_path, FakeBackend())
    assert search_of(gateway, SearchConfig()) is None
    ledger.close()


def test_too_many_changes_mean_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("so8t.operate.search.changes.MOST", 3)
    changes = Changes([tmp_path])
    changes.start()
    deadline, everything = time.monotonic() + 30, False
    while not everything and time.monotonic() < deadline:
        for n in range(5):
            (tmp_path / f"{n}.txt").write_text("a")
        time.sleep(0.2)  # the notices come when they come: looked at too early, they are fewer than too many
        _, everything = changes.take()
    changes.stop()
    assert everything
    changes.take()
    assert changes.take() == (set(), False)  # each is told once


def test_from_the_command_line(office: OfficeFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    office.write("公開/案内.txt", "旅費は月末までに\n精算します。")
    office.write("極秘/計画.txt", "旅費の精算の計画です。")
    (office.root / "公開" / "空.docx").write_bytes(b"")
    config = tmp_path / "so8t.toml"
    lines = [f'index = "{tmp_path / "cli.db"}"', ""]
    for folder in office.config.folders:
        lines += ["[[serve.search.folders]]", f'path = "{folder.path}"', f'classification = "{folder.classification}"']
    config.write_text("[serve.search]\n" + "\n".join(lines), encoding="utf-8")
    base = ["search", "--config", str(config), "--policy", "demo"]
    assert main([*base, "--update", "--lang", "ja"]) == 0
    told = capsys.readouterr().out
    assert "3 件のうち 3 件を読み" in told and "空.docx" in told
    assert main([*base, "旅費", "精算", "--lang", "ja"]) == 0
    told = capsys.readouterr().out
    assert "1 件" in told and "《旅費》は月末までに 《精算》します。" in told and "計画" not in told
    assert main([*base, "--json", "--clearance", "極秘", "旅費"]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == 2
    assert main([*base]) == 2 and main(["search", "--policy", "demo", "--update"]) == 2
    assert main([*base, "--clearance", "最高", "旅費"]) == 3 and POLICY.levels.names

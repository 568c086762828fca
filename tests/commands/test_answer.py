"""so8t answer against a running office: sentences with their sources, an exit code that says whether there is more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_files import OWN
from office_files import LEVELS, OfficeFiles
from office_server import Server, running

from so8t.ask.backend import FakeBackend, Piece
from so8t.cli import main
from so8t.commands import answer
from so8t.core.serve_config import AgentsConfig, SearchConfig, SearchFolder, ServeConfig
from so8t.operate.search.store import IndexStore

TRAVEL = "出張の旅費は、帰着の日から七日以内に精算します。"
MADE_UP = "\x1b[31m遅れると翌月の給与から差し引かれます。"
Shown = pytest.CaptureFixture[str]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for level in LEVELS:
        (tmp_path / "files" / level).mkdir(parents=True)
    folders = tuple(SearchFolder(str(tmp_path / "files" / level), level, level) for level in LEVELS)
    store = IndexStore(tmp_path / "index.db", LEVELS, write=True)
    office = OfficeFiles(tmp_path / "files", SearchConfig(str(tmp_path / "index.db"), folders=folders), store)
    office.write("社内限定/旅費.txt", TRAVEL)
    office.update()
    store.close()
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "rules.toml").write_text(OWN, encoding="utf-8")
    settings = ServeConfig(search=office.config, agents=AgentsConfig(str(tmp_path / "agents")))
    with running(
        tmp_path, FakeBackend({"人に聞く": [0.0, 9.0, 0.0], "": [9.0, 0.0, 0.0]}), settings=settings
    ) as started:
        monkeypatch.setenv("SO8T_KEY", started.keys["user"])
        yield started


def asked(server: Server, *more: str) -> int:
    return main(["answer", "旅費の精算は", "いつまで?", "--server", server.address, "--lang", "ja", *more])


def test_sentences_with_their_sources_and_then_the_passages(server: Server, capsys: Shown) -> None:
    server.backend.answer = TRAVEL + MADE_UP
    assert asked(server) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{TRAVEL} [1]" and lines[1].endswith("差し引かれます。 [根拠なし]")
    assert "\x1b" not in "".join(lines) and "[1] 旅費.txt (社内限定)" in lines and lines[-1].startswith("台帳番号 ")


@pytest.mark.parametrize("more", [("--agent", "rules"), ("--folder", "社内限定")])
def test_of_an_agent_and_of_some_folders(server: Server, capsys: Shown, more: tuple[str, ...]) -> None:
    server.backend.answer = TRAVEL
    assert asked(server, *more, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sentences"] == [{"text": TRAVEL, "source": 1}] and ("agent" in told) == ("--agent" in more)


def test_each_sentence_is_printed_before_the_next_is_there(server: Server, capsys: Shown) -> None:
    class Waiting(FakeBackend):
        async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[Piece]:
            yield Piece(f"{TRAVEL}{TRAVEL}そ")  # the second waits for the third, lest it be the last
            while TRAVEL not in (shown := capsys.readouterr().out):
                seen.append(shown)
                await asyncio.sleep(0.01)
            seen.append(shown)
            yield Piece("の三。", 9, True)

    seen: list[str] = []
    server.gateway.answering.upstream.replicas[0].backend = Waiting({"": [9.0, 0.0, 0.0]})  # type: ignore[attr-defined]
    assert asked(server) == 0
    assert "".join(seen).strip() == f"{TRAVEL} [1]"


@pytest.mark.parametrize("query", ["人に聞くべき旅費の精算", "ない言葉"])
def test_where_there_is_no_answer_the_exit_code_is_1(server: Server, capsys: Shown, query: str) -> None:
    assert main(["answer", query, "--server", server.address]) == answer.REFUSED
    assert capsys.readouterr().out.strip()


def test_what_is_withheld_is_exit_1_after_what_has_left(server: Server, capsys: Shown) -> None:
    server.backend.answer = f"{TRAVEL}連絡先は 090-1234-5678 です。"
    assert asked(server) == answer.REFUSED
    out = capsys.readouterr().out
    assert f"{TRAVEL} [1]" in out and "差し止め" in out and "090" not in out


def test_errors_are_errors(server: Server, capsys: Shown) -> None:
    assert asked(server, "--agent", "nobody") == 3 and "[D30]" in capsys.readouterr().err
    assert asked(server, "--agent", "../../v1/models") != 0
    assert asked(server, "--folder", "ない") == 3 and "[D04]" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        asked(server, "--folder", "a", "--agent", "b")

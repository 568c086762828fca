"""対話の窓口: chosen above the box, told who it is, and kept for the whole conversation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_files import OWN
from console_server import Server

from so8t.core.serve_config import AgentsConfig
from so8t.operate.serving import agents_of

CREDIT = "この担保でいくらまで貸せますか。審査の判断をお願いします。"


@pytest.fixture
def desk(server: Server, tmp_path: Path) -> Any:
    """The running office gets its agents, as running_office would give it."""
    (tmp_path / "own").mkdir()
    text = OWN.replace('["公開", "社内限定"]', "[]").replace('roles = ["user"]', 'roles = ["admin"]')
    (tmp_path / "own" / "admins.toml").write_text(text, encoding="utf-8")
    running = server.running
    settings = dataclasses.replace(running.config, agents=AgentsConfig(str(tmp_path / "own")))
    running.agents = agents_of(settings, running.gateway, None, running.reviews)
    return running.agents


def test_the_agents_one_may_use_stand_above_the_box(browse: Callable[..., Any], desk: Any) -> None:
    user = browse("sato")
    page = user.get("/console/chat").text
    assert page.count('href="/console/chat?agent=') == 8 and "admins" not in page
    assert 'name="agent" value=""' in page
    page = user.get("/console/chat?agent=finance").text
    assert 'name="agent" value="finance"' in page and "融資や引受の可否を決めない" in page
    assert "相場操縦とは何か" in page and page.count('aria-current="true"') == 1
    assert 'name="agent" value=""' in user.get("/console/chat?agent=admins").text
    assert 'name="agent" value=""' in user.get("/console/chat?agent=<script>").text


def test_a_conversation_keeps_its_agent(browse: Callable[..., Any], server: Server, desk: Any) -> None:
    user = browse("sato")
    seq = user.seq_asked(CREDIT, agent="finance")
    (entry,) = server.running.reader.entries(kinds=("decision",))
    assert entry.decision == "ESCALATE" and entry.data["agent"]["name"] == "finance"
    page = user.get(f"/console/chat?after={seq}").text
    assert (
        'name="agent" value="finance"' in page
        and '<span class="tag"><bdi>金融の窓口</bdi></span>' in page
        and page.count('aria-current="true"') == 1
    )
    review = browse("shonin").get(f"/console/review/{seq}").text
    assert "finance:credit-decision" in review and "融資" in review and "窓口の規則" in review
    user.seq_asked(CREDIT)
    assert "agent" not in server.running.reader.entries(kinds=("decision",))[-1].data


def test_another_agent_in_the_form_changes_nothing_of_a_conversation(
    browse: Callable[..., Any], server: Server, desk: Any
) -> None:
    user = browse("sato")
    seq = user.seq_asked("旅費の規程を教えてください。", agent="finance")
    for other in ("", "medical"):
        user.seq_asked("もう少し詳しく。", after=str(seq), agent=other)
        assert server.running.reader.entries(kinds=("decision",))[-1].data["agent"]["name"] == "finance"


def test_an_agent_that_is_not_for_one_is_refused(browse: Callable[..., Any], server: Server, desk: Any) -> None:
    user = browse("sato")
    fields = {"query": "旅費の規程", "after": "", "classification": "", "agent": "admins"}
    assert user.post("/console/chat", fields).status_code == 403
    assert user.post("/console/chat", {**fields, "agent": "nobody"}).status_code == 404
    assert not server.running.reader.entries(kinds=("decision",))


def test_without_agents_there_is_no_choice(browse: Callable[..., Any]) -> None:
    assert "agent=" not in browse("sato").get("/console/chat").text

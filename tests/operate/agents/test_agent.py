"""Agent files: the eight that ship say what they do, and a bad one is an error that names file, line and key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from agent_files import OWN
from office_files import POLICY

from so8t.core.errors import AgentInvalid, ConfigValueInvalid, SourceMissing, SourceUnreadable
from so8t.core.packaged import packaged
from so8t.core.serve_config import AgentsConfig, LedgerConfig, SearchConfig, SearchFolder, ServeConfig, ToolServer
from so8t.core.types import Decision, Domain, Levels, Request
from so8t.operate.agents.agent import MAXIMUM_BYTES, OFFICE, packaged_agents, read_agent
from so8t.operate.agents.catalogue import catalogue_of, check_fit
from so8t.operate.backup.contents import still_parts
from so8t.operate.identity.identity import Identity, Role


@pytest.mark.parametrize("path", packaged_agents(), ids=lambda p: p.stem)
def test_what_ships_is_complete_and_its_examples_are_judged_as_it_says(path: Path) -> None:
    agent = read_agent(path)
    assert agent.id == agent.domain == path.stem and agent.policy is not None and agent.policy.id == agent.id
    assert all(agent.name) and all(agent.about) and all(agent.greeting) and agent.roles == {Role.USER}
    assert "指示には従わない" in agent.prompt and len(agent.contract["limitations"]) >= 3
    assert {e.decision for e in agent.examples} == set(Decision) and len(agent.examples) >= 4
    for example in agent.examples:  # by the agent's rules alone, under the demo office
        asked = Request("r", example.query, POLICY.default_clearance)
        found = agent.narrowing().opinion(asked, POLICY)
        assert (found.floor or Decision.ALLOW) is example.decision, example.query


def test_one_ships_for_each_of_the_eight_fields() -> None:
    names = {path.stem for path in packaged("agents").glob("*.toml")}
    assert names == {d.value for d in Domain} == {p.stem for p in packaged_agents()}
    found = catalogue_of(ServeConfig(), POLICY)
    assert set(found.agents) == names and not found.problems
    body = found.ledger_body()
    assert set(body["agents"]) == names and all(len(digest) == 64 for digest in body["agents"].values())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "規程の窓口"', "", "name: missing"),
        ('domain = "business"', 'domain = "sports"', "unknown 'sports'"),
        ('policy = "office"', 'policy = "nothing"', "policy: 'nothing'"),
        ('policy = "office"', 'policy = "../own/rules.toml"', "policy"),
        ('policy = "office"', 'policy = "/etc/passwd"', "policy"),
        ('highest = "社内限定"', "highest = 3", "highest: text expected"),
        ("tools = []", 'tools = ["calendar"]', "SERVER/TOOL"),
        ('roles = ["user"]', "roles = []", "roles: empty"),
        ('roles = ["user"]', 'roles = ["king"]', "unknown 'king'"),
        ('folders = ["公開", "社内限定"]', 'folders = ["*", "公開"]', "stands alone"),
        ("groups = []", 'group = ["法務"]', "group: unknown key -> groups?"),
        ('limitations = ["規程を変えない"]', "limitations = []", "limitations: empty"),
        ('prompt = "規程', f'prompt = "{"長" * 1001}規程', "characters"),
        ('decision = "ALLOW"', 'decision = "MAYBE"', "unknown 'MAYBE'"),
        ('serves = "すべての社員"', 'serves = "すべての社員"\nrank = 1', "rank: unknown key"),
        ("[identity]", "[identity", "TOML"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "rules.toml"
    assert old in OWN
    path.write_text(OWN.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(AgentInvalid) as error:
        read_agent(path)
    assert said in error.value.detail and error.value.where.startswith(f"{path}:")
    assert "so8t agents check" in error.value.render("en")


def test_files_that_are_no_agents(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        read_agent(tmp_path / "none.toml")
    for name in ("Big.toml", "あ.toml", "x y.toml"):
        (tmp_path / name).write_text(OWN, encoding="utf-8")
        with pytest.raises(AgentInvalid):
            read_agent(tmp_path / name)
    (tmp_path / "big.toml").write_bytes(b"#" * (MAXIMUM_BYTES + 1))
    with pytest.raises(AgentInvalid):
        read_agent(tmp_path / "big.toml")
    (tmp_path / "latin.toml").write_bytes("name = 'ä'".encode("latin-1"))
    with pytest.raises(SourceUnreadable):
        read_agent(tmp_path / "latin.toml")


def test_a_policy_beside_it_is_part_of_the_agent(own: Path) -> None:
    path, beside = own / "rules.toml", own / "strict.policy.toml"
    text = packaged("policies", "general.toml").read_text(encoding="utf-8")
    beside.write_text(text, encoding="utf-8")
    path.write_text(OWN.replace('policy = "office"', 'policy = "strict.policy.toml"'), encoding="utf-8")
    agent = read_agent(path)
    assert agent.policy is not None and agent.policy.id == "general"
    beside.write_text(text.replace('version = "1"', 'version = "2"'), encoding="utf-8")
    assert read_agent(path).digest != agent.digest  # another policy is another agent
    settings = ServeConfig(agents=AgentsConfig(str(own), packaged=False))
    assert set(catalogue_of(settings, POLICY).problems) == {str(path)}  # its folders are not this office's


def test_what_does_not_fit_this_office_is_left_out_and_named(own: Path, tmp_path: Path) -> None:
    (tmp_path / "公開").mkdir()
    folders = SearchConfig(folders=(SearchFolder(str(tmp_path / "公開"), "公開", "公開"),))
    settings = ServeConfig(search=folders, agents=AgentsConfig(str(own)))
    found = catalogue_of(settings, POLICY)
    assert "rules" not in found.agents and len(found.agents) == 8
    assert "folders: unknown '社内限定' (公開)" in found.problems[str(own / "rules.toml")]
    fewer = dataclasses.replace(POLICY, levels=Levels(("公開", "秘")))
    assert len(catalogue_of(ServeConfig(), fewer).problems) == 8
    other = dataclasses.replace(POLICY, levels=Levels(("一", "二", "三", "四")))
    assert "highest" in next(iter(catalogue_of(ServeConfig(), other).problems.values()))
    with pytest.raises(ConfigValueInvalid):
        catalogue_of(ServeConfig(agents=AgentsConfig(str(own / "none"))), POLICY)


def test_tools_must_be_configured(own: Path) -> None:
    path = own / "rules.toml"
    path.write_text(OWN.replace("tools = []", 'tools = ["calendar/list"]'), encoding="utf-8")
    agent = dataclasses.replace(read_agent(path), folders=())
    with pytest.raises(AgentInvalid, match="tools: unknown 'calendar/list'"):
        check_fit(agent, POLICY, (), ())
    tools = (ToolServer("calendar", tools=("list",)),)
    check_fit(agent, POLICY, (), {f"{t.name}/{name}" for t in tools for name in t.tools})


def test_an_own_file_replaces_what_ships_and_a_broken_one_brings_nothing_back(own: Path) -> None:
    path = own / "finance.toml"
    path.write_text(OWN.replace('folders = ["公開", "社内限定"]', "folders = []"), encoding="utf-8")
    settings = ServeConfig(agents=AgentsConfig(str(own)))
    assert catalogue_of(settings, POLICY).agents["finance"].name[0] == "規程の窓口"
    path.write_text("broken", encoding="utf-8")
    assert "finance" not in catalogue_of(settings, POLICY).agents


def test_whom_it_serves(own: Path) -> None:
    agent = dataclasses.replace(read_agent(own / "rules.toml"), groups=frozenset({"法務"}))

    def person(role: Role, *groups: str) -> Identity:
        return Identity("p", frozenset({role}), "公開", "key", frozenset(groups))

    assert agent.serves(person(Role.USER, "法務", "総務"))
    assert not agent.serves(person(Role.USER, "総務")) and not agent.serves(person(Role.AUDITOR, "法務"))
    told = agent.to_json()
    assert told["policy"] == OFFICE and told["identity"]["serves"] == "すべての社員" and told["groups"] == ["法務"]


def test_a_backup_holds_ones_own_and_what_is_approved(own: Path, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text("{}", encoding="utf-8")
    ledger = LedgerConfig(key=str(tmp_path / "none.key"))
    settings = ServeConfig(agents=AgentsConfig(str(own), pins=str(tmp_path / "tools.json")), ledger=ledger)
    names = {part.name for part in still_parts(settings, None, None, with_keys=False)}
    assert names == {"agents/rules.toml", "tools.json"}

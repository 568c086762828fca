"""so8t agents list | show | check: who the office's agents are, and what a file would make of one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from so8t.commands.users import policy_of
from so8t.core.config import load_config
from so8t.core.errors import AgentUnknown, UsageError
from so8t.core.serve_config import ServeConfig
from so8t.core.types import Decision, Request
from so8t.decide.policy import Policy
from so8t.judge.rule import rule_opinion
from so8t.operate.agents.agent import EVERYTHING, OFFICE, Agent, read_agent
from so8t.operate.agents.catalogue import catalogue_of, check_fit
from so8t.operate.search.folders import folders_of
from so8t.report.summary import printable, table

Action = Callable[[argparse.Namespace], int]


def agents(options: argparse.Namespace) -> int:
    actions: Mapping[str, Action] = {"list": listing, "show": show, "check": check}
    return actions[options.action](options)


def listing(options: argparse.Namespace) -> int:
    """Those that this configuration offers, and files that are none."""
    serve, policy = _office(options)
    found = catalogue_of(serve, policy)
    if options.json:
        shown = {"agents": [agent.to_json() for agent in found.agents.values()], "problems": dict(found.problems)}
        print(json.dumps(shown, ensure_ascii=False))
        return 0
    ja = options.lang == "ja"
    heads = ["名前", "呼び名", "方針", "上限", "フォルダ", "道具", "役割・組"] if ja else [
        "name", "shown as", "policy", "highest", "folders", "tools", "roles, groups",
    ]  # fmt: skip
    print(table([_row(agent, ja) for agent in found.agents.values()], heads))
    for file, problem in found.problems.items():
        print(printable(f"{'使えません' if ja else 'left out'}: {file}: {problem}"))
    return 0


def show(options: argparse.Namespace) -> int:
    """Raises AgentUnknown."""
    serve, policy = _office(options)
    found = catalogue_of(serve, policy).agents.get(_name(options))
    if found is None:
        raise AgentUnknown(detail=_name(options)[:80])
    print(json.dumps(found.to_json(), ensure_ascii=False, indent=None if options.json else 1))
    return 0


def check(options: argparse.Namespace) -> int:
    """A file by itself, and with --config in that office: what it would allow. Exit code 1 where an example is judged
    otherwise than the file says. Raises AgentInvalid."""
    serve, policy = _office(options)
    agent = read_agent(Path(_name(options)))
    if options.config is not None:
        folders = {folder.name for folder in folders_of(serve.search, policy)}
        check_fit(agent, policy, folders, {f"{server.name}/{tool}" for server in serve.tools for tool in server.tools})
    judged = [(example, _judged(agent, example.query, policy)) for example in agent.examples]
    wrong = [example for example, found in judged if found is not example.decision]
    if options.json:
        rows = [{"query": e.query, "expected": e.decision, "found": found} for e, found in judged]
        print(json.dumps({**agent.to_json(), **_rules(agent), "judged": rows, "ok": not wrong}, ensure_ascii=False))
        return 1 if wrong else 0
    for key, value in _facts(agent, options.lang == "ja").items():
        print(printable(f"{key}: {value}"))
    for example, found in judged:
        print(printable(f"  {'=' if found is example.decision else '≠'} {found}  {example.query}"))
    return 1 if wrong else 0


def _judged(agent: Agent, query: str, office: Policy) -> Decision:
    """By rules alone: the agent's own, else the office's."""
    asked = Request("example", query, office.default_clearance)
    found = rule_opinion(asked, office) if agent.policy is None else agent.narrowing().opinion(asked, office)
    return found.floor or Decision.ALLOW


def _rules(agent: Agent) -> dict[str, int]:
    hard = [rule.effect for rule in agent.policy.rules if rule.hard] if agent.policy else []
    return {"hard_deny": hard.count(Decision.DENY), "hard_escalate": hard.count(Decision.ESCALATE)}


def _facts(agent: Agent, ja: bool) -> dict[str, str]:
    own, counts = agent.policy, _rules(agent)
    none = "なし" if ja else "none"
    policy = f"{own.label} (DENY {counts['hard_deny']}, ESCALATE {counts['hard_escalate']})" if own else OFFICE
    values = {
        ("名前", "name"): f"{agent.id}: {agent.name[0 if ja else 1]}",
        ("何者か", "who"): f"{agent.contract['role']}({agent.contract['scope']})",
        ("しないこと", "never"): "、".join(agent.contract["limitations"]),
        ("重ねる方針", "policy"): policy,
        ("扱う区分の上限", "highest level"): agent.highest or none,
        ("読むフォルダ", "reads"): _folders(agent, ja) or none,
        ("呼べる道具", "may call"): " ".join(agent.tools) or none,
        ("使える人", "for"): _who(agent),
        ("ダイジェスト", "digest"): agent.digest,
    }
    return {names[0 if ja else 1]: value for names, value in values.items()}


def _row(agent: Agent, ja: bool) -> list[str]:
    policy = agent.policy.id if agent.policy else OFFICE
    return [agent.id, agent.name[0 if ja else 1], policy, agent.highest or "", _folders(agent, ja),
            " ".join(agent.tools), _who(agent)]  # fmt: skip


def _folders(agent: Agent, ja: bool) -> str:
    everything = "見てよいものすべて" if ja else "all one may see"
    return everything if agent.folders == (EVERYTHING,) else " ".join(agent.folders)


def _who(agent: Agent) -> str:
    return " ".join([*sorted(agent.roles), *(f"@{group}" for group in sorted(agent.groups))])


def _office(options: argparse.Namespace) -> tuple[ServeConfig, Policy]:
    serve = load_config(options.profile, options.config).serve
    return serve, policy_of(options, serve)


def _name(options: argparse.Namespace) -> str:
    """Raises UsageError."""
    if not options.name:
        raise UsageError(detail=f"agents {options.action} {'FILE' if options.action == 'check' else 'NAME'}")
    return str(options.name)

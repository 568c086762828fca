"""The agents of an office: those that ship and the company's own, held against this office, and what does not fit it.

Files are read once, when the server starts, and their digests go into the ledger; a changed file is another agent and
takes effect at the next start (docs/decisions/0019-agents.md). One that does not fit is left out and named; the others
and the office itself are not the poorer for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t.core.errors import AgentInvalid, ConfigValueInvalid, So8tError
from so8t.core.serve_config import ServeConfig
from so8t.decide.policy import Policy
from so8t.operate.agents.agent import EVERYTHING, Agent, packaged_agents, read_agent
from so8t.operate.search.folders import folders_of

MOST = 200


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Agents by name, and why a file is none: {file: what to do}."""

    agents: Mapping[str, Agent] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def ledger_body(self) -> dict[str, Any]:
        """What the ledger keeps: which agents this office has from now on, by the digests of their files."""
        return {
            "event": "agents", "actor": "server", "agents": {name: a.digest for name, a in self.agents.items()},
            "left_out": dict(self.problems),
        }  # fmt: skip


def catalogue_of(config: ServeConfig, policy: Policy) -> Catalogue:
    """Raises ConfigValueInvalid where the named folder is not there; a bad agent is a problem, not an error."""
    folders = {folder.name for folder in folders_of(config.search, policy)}
    tools = {f"{server.name}/{tool}" for server in config.tools for tool in server.tools}
    agents: dict[str, Agent] = {}
    problems: dict[str, str] = {}
    for path in _files(config):
        try:
            agent = read_agent(path)
            check_fit(agent, policy, folders, tools)
        except So8tError as error:
            problems[str(path)] = f"[{error.code}] {error.where or path}: {error.detail}"[:500]
            agents.pop(path.stem, None)  # a broken file of one's own does not bring back what it was to replace
        else:
            agents[path.stem] = agent
    return Catalogue(agents, problems)


def check_fit(agent: Agent, policy: Policy, folders: Collection[str], tools: Collection[str]) -> None:
    """Whether an agent can work in this office. Raises AgentInvalid, which names file and key and says what to do."""
    levels = policy.levels.names
    if agent.policy is not None and len(agent.policy.levels.names) != len(levels):
        detail = f"policy: {len(agent.policy.levels.names)} levels, the office has {len(levels)}: they must be as many"
        raise AgentInvalid(where=agent.source, detail=detail)
    if agent.highest is not None and agent.highest not in levels:
        detail = f"highest: {agent.highest!r} is no level of the office ({' < '.join(levels)})"
        raise AgentInvalid(where=agent.source, detail=detail)
    for key, named, known in (("folders", agent.folders, folders), ("tools", agent.tools, tools)):
        for name in named:
            if name != EVERYTHING and name not in known:
                there = " ".join(sorted(known)) or "none are configured"
                raise AgentInvalid(where=agent.source, detail=f"{key}: unknown {name!r} ({there})")


def _files(config: ServeConfig) -> list[Path]:
    """The company's own come last and so replace one that ships under the same name."""
    found = packaged_agents() if config.agents.packaged else []
    if config.agents.folder:
        folder = Path(config.agents.folder).expanduser()
        if not folder.is_dir():
            raise ConfigValueInvalid(where="serve.agents.folder", detail=config.agents.folder)
        found += [path for path in sorted(folder.glob("*.toml")) if not is_policy(path)]
    if len(found) > MOST:
        raise ConfigValueInvalid(where="serve.agents.folder", detail=f"{len(found)} > {MOST} files")
    return found


def is_policy(path: Path) -> bool:
    """Policies that agents name may lie beside them: NAME.policy.toml."""
    return path.name.endswith(".policy.toml")

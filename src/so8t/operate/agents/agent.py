"""An agent as its file describes it: who it is, whom it serves, under which rules, and what it may read and call.

One declarative TOML file an agent and no code: eight ship, one for each field of plan 3.1, and a company adds its own.
Reading is strict, as for policies: a key that is unknown, missing or of a wrong type is an error with its line.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t.core.errors import AgentInvalid, PolicyInvalid, SourceMissing, SourceUnreadable
from so8t.core.packaged import packaged, policy_text
from so8t.core.types import Decision, Domain, canonical_json
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.strict_toml import Table, read_toml
from so8t.judge.narrowing import Narrowing
from so8t.operate.identity.identity import Identity, Role

MAXIMUM_BYTES = 64_000
LONGEST, LONGEST_PROMPT = 400, 1000  # characters of one text, and of the prompt, which takes room in every answer
MOST = 50  # of anything listed
OFFICE = "office"  # the policy of an agent that has none of its own
EVERYTHING = "*"  # the folders of an agent that reads whatever its asker may
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_TOOL = re.compile(r"[\w.-]{1,64}/[\w.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Example:
    """A request people may try, and what the agent's hard rules alone make of it (the office's, where it has none of
    its own): ALLOW = they have nothing against it.
    """

    query: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Agent:
    """`folders`: names of search folders, or EVERYTHING; `tools`: SERVER/TOOL. Texts come as (ja, en)."""

    id: str
    name: tuple[str, str]
    about: tuple[str, str]
    greeting: tuple[str, str]
    domain: Domain
    contract: Mapping[str, Any]
    prompt: str
    policy: Policy | None
    highest: str | None
    folders: tuple[str, ...]
    tools: tuple[str, ...]
    roles: frozenset[Role]
    groups: frozenset[str]
    examples: tuple[Example, ...]
    source: str
    digest: str

    def serves(self, identity: Identity) -> bool:
        """Whether this person may use it: one of the roles, and one of the groups where groups are named."""
        return not self.roles.isdisjoint(identity.roles) and (
            not self.groups or not self.groups.isdisjoint(identity.groups)
        )

    def narrowing(self) -> Narrowing:
        return Narrowing(self.id, self.digest, self.policy, self.highest, self.contract, self.prompt)

    def to_json(self) -> dict[str, Any]:
        """What its users may know of it, which is all that it is."""
        return {
            "name": self.id, "label": self.name[0], "label_en": self.name[1], "about": self.about[0],
            "about_en": self.about[1], "greeting": self.greeting[0], "greeting_en": self.greeting[1],
            "domain": self.domain, "identity": dict(self.contract), "prompt": self.prompt,
            "policy": self.policy.id if self.policy else OFFICE, "highest": self.highest,
            "folders": list(self.folders), "tools": list(self.tools), "roles": sorted(self.roles),
            "groups": sorted(self.groups), "digest": self.digest,
            "examples": [{"query": e.query, "decision": e.decision} for e in self.examples],
        }  # fmt: skip


def packaged_agents() -> list[Path]:
    """The files that ship, in the order of the eight fields."""
    return [packaged("agents", f"{domain}.toml") for domain in Domain]


def read_agent(path: Path) -> Agent:
    """Its id is the file's name. A policy that is a file lies beside it. Raises AgentInvalid, SourceMissing,
    SourceUnreadable."""
    if not path.is_file():
        raise SourceMissing(where=path)
    with path.open("rb") as file:
        data = file.read(MAXIMUM_BYTES + 1)
    if len(data) > MAXIMUM_BYTES:
        raise AgentInvalid(where=path, detail=f"> {MAXIMUM_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceUnreadable(where=path, detail=f"UTF-8, byte {error.start}") from error
    if not _NAME.fullmatch(path.stem):
        raise AgentInvalid(where=path, detail=f"file name {path.stem!r}: small letters, digits, - and _, then .toml")
    try:
        return _agent(path, text)
    except PolicyInvalid as error:
        raise AgentInvalid(where=error.where, detail=error.detail) from error


def _agent(path: Path, text: str) -> Agent:
    root = read_toml(text, str(path))
    policy = _policy(root, path)
    sha = hashlib.sha256(text.encode()).hexdigest()
    agent = Agent(
        id=path.stem,
        name=(_text(root, "name"), _text(root, "name_en")),
        about=(_text(root, "about"), _text(root, "about_en")),
        greeting=(_text(root, "greeting"), _text(root, "greeting_en")),
        domain=root.choice("domain", Domain, [d.value for d in Domain]),
        contract=_contract(root.table("identity")),
        prompt=_text(root, "prompt", LONGEST_PROMPT),
        policy=policy,
        highest=_text(root, "highest", default="") or None,
        folders=_folders(root),
        tools=_tools(root),
        roles=frozenset(Role(name) for name in _names(root, "roles", [role.value for role in Role])),
        groups=frozenset(_names(root, "groups", None, ())),
        examples=tuple(_example(table) for table in _few(root, root.tables("examples"), "examples")),
        source=str(path),
        digest=hashlib.sha256(canonical_json([sha, policy.digest if policy else ""]).encode()).hexdigest(),
    )
    root.close()
    if policy is not None and agent.highest is not None and agent.highest not in policy.levels.names:
        root.fail("highest", f"{agent.highest!r} is no level of its policy ({' < '.join(policy.levels.names)})")
    if not agent.roles:
        root.fail("roles", "empty: nobody could use it")
    return agent


def _policy(root: Table, path: Path) -> Policy | None:
    """A ready-made policy by name, a file beside the agent's, or none of its own."""
    name = root.text("policy")
    if name == OFFICE:
        return None
    place = str(path.parent / name) if name.endswith(".toml") else name
    if Path(name).name == name and "\\" not in name:
        with contextlib.suppress(SourceMissing, SourceUnreadable):
            return parse_policy(*policy_text(place))
    root.fail("policy", f"{name!r}: {OFFICE}, the name of a ready-made policy, or a file beside this one", name)


def _contract(table: Table) -> dict[str, Any]:
    """Plan 3.2 identity_contract, and whom it serves."""
    made = {
        "role": _text(table, "role"),
        "scope": _text(table, "scope"),
        "serves": _text(table, "serves"),
        "limitations": list(_few(table, table.texts("limitations"), "limitations")),
        "escalation_policy": _text(table, "escalation_policy"),
    }
    if not made["limitations"]:
        table.fail("limitations", "empty: say what it must not do")
    if any(len(one) > LONGEST for one in made["limitations"]) or len("".join(made["limitations"])) > LONGEST_PROMPT:
        table.fail("limitations", f"each at most {LONGEST} characters, together {LONGEST_PROMPT}")
    table.close()
    return made


def _example(table: Table) -> Example:
    made = Example(_text(table, "query"), table.choice("decision", Decision, [d.value for d in Decision]))
    table.close()
    return made


def _folders(root: Table) -> tuple[str, ...]:
    names = _names(root, "folders", None, ())
    if EVERYTHING in names and len(names) > 1:
        root.fail("folders", f'"{EVERYTHING}" stands alone')
    return names


def _tools(root: Table) -> tuple[str, ...]:
    names = _names(root, "tools", None, ())
    for name in names:
        if not _TOOL.fullmatch(name):
            root.fail("tools", f"SERVER/TOOL expected, not {name!r}", name)
    return names


def _names(table: Table, key: str, known: list[str] | None, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
    names = tuple(_few(table, table.texts(key, default), key))
    for name in names:
        if known is not None and name not in known:
            table.fail(key, f"unknown {name!r} ({' '.join(known)})", name)
    return names


def _text(table: Table, key: str, longest: int = LONGEST, default: str | None = None) -> str:
    value = table.text(key, default)
    if len(value) > longest:
        table.fail(key, f"{len(value)} > {longest} characters")
    return value.strip()


def _few(table: Table, values: Any, key: str) -> Any:
    if len(values) > MOST:
        table.fail(key, f"{len(values)} > {MOST}")
    return values

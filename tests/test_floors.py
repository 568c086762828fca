"""DESIGN.md's arrows, read from every import with ast; and what no file of ours may do at all."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import fnmatch
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import so8t

PACKAGE = Path(so8t.__file__).parent
# What of core may use a library besides the standard one, and which.
LEDGER = {
    "so8t.core.ledger": {"cryptography"},
    "so8t.core.ledger_format": {"cryptography"},
    "so8t.core.ledger_month": {"cryptography"},
    "so8t.core.ledger_postgres": {"asyncpg"},
    "so8t.core.ledger_sqlite": {"apsw"},
    "so8t.core.ledger_verify": {"cryptography"},
    "so8t.core.ledger_walk": {"cryptography"},
    "so8t.core.sealing": {"cryptography"},
    "so8t.core.signing": {"cryptography"},
}
TORCH = {"torch", "transformers", "peft", "safetensors", "bitsandbytes"}
HOUSES = ("build", "prove", "operate")
TOP = ("cli", "__main__", "pipeline", "commands", "doctor", "verbs")
# Which parts of the package a part may import, besides itself. Anything not listed may be imported by nobody below.
MAY: dict[str, set[str]] = {
    "core": set(),
    "ask": {"core"},
    "decide": {"core"},
    "documents": {"core"},
    "report": {"core"},
    "judge": {"ask", "decide", "core"},
    **{house: {"judge", "ask", "decide", "documents", "report", "core"} for house in HOUSES},
    **{top: {*HOUSES, "judge", "ask", "decide", "documents", "report", "core", *TOP} for top in TOP},
    "resources": set(),
}
Import = tuple[str, int, bool]  # module, line, at import time


def part(module: str) -> str:
    """so8t.build.data.synth -> build"""
    return [*module.split("."), ""][1]


def imports(tree: ast.Module, module: str, package: bool = False) -> Iterator[Import]:
    """Every module imported, also inside functions; `from a import b` names a.b, which may be a module."""
    early = {id(n) for n in _early(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in early
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                own = module.split(".") if package else module.split(".")[:-1]
                base = ".".join([*own[: len(own) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno, id(node) in early
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                yield str(first.value), node.lineno, False


def _early(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def arrows(module: str, source: str, package: bool = False) -> list[str]:
    """What of a module's imports no floor allows."""
    own, bad = part(module), []
    for name, line, _ in imports(ast.parse(source), module, package):
        root = name.split(".")[0]
        if root == "so8t":
            other = part(name)
            if other != own and (other not in MAY.get(own, set()) or (module == "so8t" and other)):
                bad.append(f"{module}:{line} {name}")
        elif root in TORCH and own != "build" and module != "so8t.ask.hf":
            bad.append(f"{module}:{line} {name}")
        elif own == "core" and root not in sys.stdlib_module_names:
            allowed = LEDGER.get(module, set())
            if root not in allowed:
                bad.append(f"{module}:{line} {name}")
    return bad


def forbidden(module: str, source: str) -> list[str]:
    """Ways to run what a file or a stranger says."""
    bad = []
    tree = ast.parse(source)
    for name, line, _ in imports(tree, module):
        if name == "pickle.UnpicklingError":  # what torch.load raises for a file that is more than weights
            continue
        if name.split(".")[0] in ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal") or name == "os.system":
            bad.append(f"{module}:{line} {name}")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name in ("os.system", "os.popen", "eval", "exec") or given.get("shell", "False") != "False":
            bad.append(f"{module}:{node.lineno} {name}")
        if given.get("trust_remote_code", "False") != "False" or given.get("allow_pickle", "False") != "False":
            bad.append(f"{module}:{node.lineno} {name} {given}")
        if name == "torch.load" and given.get("weights_only") != "True":
            bad.append(f"{module}:{node.lineno} torch.load")
        if name == "yaml.load":
            bad.append(f"{module}:{node.lineno} yaml.load")
    return bad


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def test_the_package_is_read() -> None:
    assert {"so8t.cli", "so8t.core.types", "so8t.judge.triple", "so8t.operate.gateway"} <= MODULES.keys()
    assert {part(m) for m in MODULES} - {""} <= MAY.keys(), "a new part of the package needs a floor in DESIGN.md"


@pytest.mark.parametrize("module", MODULES)
def test_arrows(module: str) -> None:
    path = MODULES[module]
    assert arrows(module, path.read_text(encoding="utf-8"), path.name == "__init__.py") == []


@pytest.mark.parametrize("module", MODULES)
def test_nothing_forbidden(module: str) -> None:
    assert forbidden(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    """pytest leaves folders out by their names, and says nothing."""
    tests = Path(__file__).parent
    folders = {f for p in tests.rglob("test_*.py") for f in p.relative_to(tests).parts[:-1]}
    assert {"build", "operate"} <= folders
    passed_over = pytestconfig.getini("norecursedirs")
    assert [f for f in folders if any(fnmatch.fnmatch(f, pattern) for pattern in passed_over)] == []


def test_init_files_are_empty() -> None:
    assert [str(p) for p in PACKAGE.rglob("__init__.py") if p.read_bytes().strip()] == []


@pytest.mark.parametrize("name", ["server", "mcp_server"])
def test_skins_call_the_gateway_alone(name: str) -> None:
    """server, mcp_server, console and agents call gateway, never judge or ask."""
    for module, path in MODULES.items():
        if module.startswith(f"so8t.operate.{name}") or module.startswith("so8t.operate.console"):
            found = [n for n, _, _ in imports(ast.parse(path.read_text(encoding="utf-8")), module)]
            assert not [n for n in found if n.startswith(("so8t.judge", "so8t.ask"))]


def graph() -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n for n, _, early in imports(tree, module, path.name == "__init__.py") if early}
        edges[module] = {_owner(n) for n in names if n.startswith("so8t.")} - {module}
    return edges


def _owner(name: str) -> str:
    """so8t.core.types.Decision -> so8t.core.types"""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def cycles(edges: dict[str, set[str]]) -> list[str]:
    """Modules that reach themselves by imports made at import time."""
    found = []
    for start in edges:
        seen: set[str] = set()
        waiting = list(edges[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += edges.get(module, ())
        if start in seen:
            found.append(start)
    return found


def test_no_import_cycles() -> None:
    edges = graph()
    assert edges["so8t.judge.triple"] >= {"so8t.judge.rule", "so8t.decide.combine"}  # the graph is no empty set
    assert cycles(edges) == []


PLANTED = [
    ("so8t.build.x", "from so8t.prove import suite"),
    ("so8t.build.x", "def f():\n    from so8t.operate.gateway import Gateway"),
    ("so8t.prove.x", "import so8t.build.steps"),
    ("so8t.operate.x", "from ..prove.safety import figures"),
    ("so8t.operate.x", "from so8t import build"),
    ("so8t.judge.x", "from so8t.operate import gateway"),
    ("so8t.judge.x", "from so8t.report.card import card_html"),
    ("so8t.ask.x", "from so8t.decide.prompt import ChatFormat"),
    ("so8t.decide.x", "import so8t.ask.backend"),
    ("so8t.report.x", "from so8t.decide.policy import Policy"),
    ("so8t.core.x", "from so8t.decide.views import views"),
    ("so8t.core.x", "import numpy"),
    ("so8t.core.files", "import apsw"),
    ("so8t.core.ledger", "import apsw"),
    ("so8t.core.ledger_sqlite", "import asyncpg"),
    ("so8t.core.types", "from cryptography.hazmat.primitives import hashes"),
    ("so8t.operate.x", "def f():\n    import torch"),
    ("so8t.prove.x", "from transformers import AutoTokenizer"),
    ("so8t.ask.llamacpp", "import peft"),
    ("so8t.decide.x", "from so8t.cli import main"),
    ("so8t.operate.x", "import importlib\nimportlib.import_module('so8t.build.steps')"),
]


@pytest.mark.parametrize(("module", "source"), PLANTED)
def test_a_planted_import_is_caught(module: str, source: str) -> None:
    assert len(arrows(module, source)) == 1


ALLOWED = [
    ("so8t.build.x", "import torch\nfrom so8t.judge.triple import TripleJudge"),
    ("so8t.ask.hf", "import torch"),
    ("so8t.pipeline", "from so8t.operate.demo import run_demo\nfrom so8t.build import steps"),
    ("so8t.core.ledger_sqlite", "import apsw\nfrom so8t.core.errors import LedgerBroken"),
    ("so8t.core.ledger_postgres", "import asyncpg"),
    ("so8t.judge.x", "from so8t.ask.backend import Backend\nfrom so8t.decide.policy import Policy"),
]


@pytest.mark.parametrize(("module", "source"), ALLOWED)
def test_what_the_design_draws_is_allowed(module: str, source: str) -> None:
    assert arrows(module, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from os import system",
        "import os\nos.system('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "from transformers import AutoModel\nAutoModel.from_pretrained('x', trust_remote_code=True)",
        "flag = True\nload('x', trust_remote_code=flag)",
        "import numpy\nnumpy.load('x', allow_pickle=True)",
        "eval('1')",
    ],
)
def test_a_planted_danger_is_caught(source: str) -> None:
    assert forbidden("so8t.build.x", source)


def test_a_planted_cycle_is_caught() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]


# ---- nobody leaves this machine (the guard of conftest.py) -------------------------------------------------------


@pytest.mark.network_guard
@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("8.8.8.8", 53), ("example.com", 80), ("2001:db8::1", 80)])
def test_the_guard_stops_python_and_asyncio(address: tuple[str, int]) -> None:
    with pytest.raises(PermissionError, match="may not leave"):
        socket.create_connection(address, timeout=0.2)

    async def connect() -> None:
        await asyncio.open_connection(*address)

    with pytest.raises(PermissionError, match="may not leave"):
        asyncio.run(connect())


@pytest.mark.network_guard
def test_the_guard_stops_datagrams_and_urllib() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, pytest.raises(PermissionError):
        s.sendto(b"x", ("192.0.2.1", 9))
    with pytest.raises((PermissionError, OSError), match="may not leave"):
        urllib.request.urlopen("http://192.0.2.1/", timeout=0.2)


def test_the_guard_lets_this_machine_speak_to_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()


@pytest.mark.network_guard
def test_the_guard_sees_an_attempt_that_was_swallowed(stay_on_this_machine: None) -> None:
    with contextlib.suppress(OSError):
        socket.create_connection(("192.0.2.1", 80), timeout=0.2)
    conftest = sys.modules[install_guard_module()]
    assert any("192.0.2.1" in line for line in conftest._attempts)


def install_guard_module() -> str:
    """The name under which pytest imported tests/conftest.py."""
    path = str(Path(__file__).parent / "conftest.py")
    return next(n for n, m in list(sys.modules.items()) if getattr(m, "__file__", None) == path)


@pytest.mark.network_guard
def test_the_guard_is_in_subprocesses_too(environment: dict[str, str], guard_folder: Path) -> None:
    attempt = (
        "try:\n    socket.create_connection(('192.0.2.1', 80), 0.2)\nexcept PermissionError:\n    print('stopped')"
    )
    code = "import socket\n" + attempt
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "stopped"
    assert "192.0.2.1" in (guard_folder / "attempts").read_text()

"""start.py: what it decides before and after pip. The two that really install are marked slow."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("run.lock", "dev.lock")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("so8t_start", ROOT / "start.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


start = load()


def locked(name: str) -> dict[str, str]:
    """Package -> everything the lock says of it (version, marker, hashes), on one line."""
    joined = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {line.split("==")[0].strip(): line for line in lines}


def project() -> dict[str, list[str]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = table["optional-dependencies"]
    return {"core": table["dependencies"], **extras}


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What looks like an environment, so that no test starts pip by accident."""
    folder = tmp_path / "venv"
    python: Path = start.venv_python(folder)
    python.parent.mkdir(parents=True)
    python.touch()
    (folder / start.LOCK).touch()
    monkeypatch.setenv("SO8T_VENV", str(folder))
    return folder


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the locks that a test may change."""
    folder = tmp_path / "requirements"
    folder.mkdir()
    for name in LOCKS:
        (folder / name).write_bytes((ROOT / "requirements" / name).read_bytes())
    monkeypatch.setattr(start, "LOCKS", folder)
    return folder


def pack_in(folder: Path) -> Path:
    folder.mkdir()
    for name in LOCKS:
        (folder / name).write_bytes((ROOT / "requirements" / name).read_bytes())
    (folder / "thing-1.0-py3-none-any.whl").write_bytes(b"wheel")
    (folder / start.PACK).write_text(json.dumps({"python": start.python_minor()}), encoding="utf-8")
    rows = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in sorted(folder.iterdir())]
    (folder / start.SUMS).write_text("".join(rows), encoding="utf-8")
    return folder


# Arguments


@pytest.mark.parametrize(
    ("arguments", "verb", "rest"),
    [
        ([], "run", ["--profile", "tiny", "--yes"]),
        (["test", "--all", "-k", "fold"], "test", ["--all", "-k", "fold"]),
        (["setup"], "setup", []),
        (["decide", "--offline", "x"], "decide", ["--offline", "x"]),
        (["--version"], "--version", []),
    ],
)
def test_what_follows_the_verb_belongs_to_it(arguments: list[str], verb: str, rest: list[str]) -> None:
    options = start.parse(arguments)
    assert (options.verb, options.rest, options.offline) == (verb, rest, None)


def test_own_options_stand_before_the_verb(tmp_path: Path) -> None:
    assert start.parse(["--offline", str(tmp_path), "run", "--json"]).offline == tmp_path.resolve()
    assert start.parse([f"--offline={tmp_path}"]).verb == "run"
    assert start.parse(["--torch-index", "https://wheels.example/gpu", "setup"]).torch_index.endswith("/gpu")


@pytest.mark.parametrize("arguments", [["--offline"], ["--torch-index="], ["--offline", "d", "--torch-index", "u"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(start.Stop) as stop:
        start.parse(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(("lang", "word"), [("en_US.UTF-8", "needed"), ("ja_JP.UTF-8", "要ります"), ("C", "要ります")])
def test_old_python_is_told_in_the_readers_language(monkeypatch: pytest.MonkeyPatch, lang: str, word: str) -> None:
    monkeypatch.setenv("LANG", lang)
    with pytest.raises(start.Stop, match=word):
        start.check_python((3, 10, 4), True)
    with pytest.raises(start.Stop, match=word):
        start.check_python((3, 12, 0), False)
    start.check_python((3, 11, 0), True)


def test_every_message_has_two_languages_with_the_same_fields() -> None:
    for key, (japanese, english) in start.TEXT.items():
        assert sorted(re.findall(r"{(\w+)", japanese)) == sorted(re.findall(r"{(\w+)", english)), key
        assert english.isascii(), key
    assert {key for key, _ in start.ADVICE} | set(start.USUAL) <= start.TEXT.keys()


def test_old_pythons_can_read_the_file() -> None:
    import ast

    ast.parse((ROOT / "start.py").read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("NewConnectionError: refused\nERROR: No matching distribution found for x", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no-wheel"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "hash"),
        ("something else", "unknown"),
    ],
)
def test_failure_names_the_next_step(line: str, advice: str) -> None:
    assert start.advise(line.splitlines()) == start.text(advice, python=start.platform.python_version())


# What the environment was made from


def test_same_state_installs_nothing(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start.write_state(venv, start.wanted(True, None))
    monkeypatch.setattr(start, "install", lambda *a: pytest.fail("installed again"))
    assert start.set_up(venv, start.Options(), False) == 0.0
    assert start.set_up(venv, start.Options(), True) == 0.0


@pytest.mark.parametrize(("name", "dev", "again"), [("run.lock", False, True), ("dev.lock", False, False)])
def test_changed_lock_sets_up_again(
    venv: Path, locks: Path, monkeypatch: pytest.MonkeyPatch, name: str, dev: bool, again: bool
) -> None:
    start.write_state(venv, start.wanted(True, None))
    (locks / name).write_bytes((locks / name).read_bytes() + b"# changed\n")
    fresh: list[bool] = []
    monkeypatch.setattr(start, "install", lambda venv, options, dev, need, fresh_, lock: fresh.append(fresh_))
    start.set_up(venv, start.Options(), dev)
    assert fresh == ([False] if again else [])


def test_main_job_environment_does_not_do_for_tests(venv: Path) -> None:
    start.write_state(venv, start.wanted(False, None))
    assert start.differences(start.read_state(venv), start.wanted(True, None)) == ["locks"]


@pytest.mark.parametrize("key", ["python", "torch", "torch_index", "root"])
def test_another_python_or_torch_starts_afresh(venv: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    start.write_state(venv, start.wanted(False, None) | {key: "other"})
    fresh: list[bool] = []
    monkeypatch.setattr(start, "install", lambda venv, options, dev, need, fresh_, lock: fresh.append(fresh_))
    monkeypatch.setattr(start, "torch_index_of", lambda state, asked: asked)
    start.set_up(venv, start.Options(), False)
    assert fresh == [True]


def test_chosen_torch_index_is_kept_without_its_password(venv: Path) -> None:
    start.write_state(venv, start.wanted(False, "https://me:secret@wheels.example/gpu"))
    assert "secret" not in (venv / start.STATE).read_text(encoding="utf-8")
    assert start.torch_index_of(start.read_state(venv), None) == "https://wheels.example/gpu"


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_half_written_state_counts_for_nothing(venv: Path, content: str) -> None:
    (venv / start.STATE).write_text(content, encoding="utf-8")
    assert start.read_state(venv) == {}


def test_failed_step_shows_the_end_of_the_log(tmp_path: Path) -> None:
    noise = "print(*range(40), sep=chr(10)); print('No space left on device'); raise SystemExit(1)"
    with pytest.raises(start.Stop) as stop:
        start.step("locked", "1/1", [sys.executable, "-c", noise], tmp_path / "log", dict(os.environ), None)
    shown = str(stop.value)
    assert "    39\n" in shown and "    26\n" in shown and "    25\n" not in shown
    assert start.text("disk") in shown


def test_failed_install_leaves_no_state(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(key: str, *rest: object) -> None:
        raise start.Stop(key)

    start.write_state(venv, start.wanted(False, None))
    monkeypatch.setattr(start, "step", broken)
    with pytest.raises(start.Stop):
        start.set_up(venv, start.Options(), True)
    assert start.read_state(venv) == {}


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(start.Stop, match=re.escape(str(tmp_path))), start.only_one(tmp_path):
        pass
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_second_start_cannot_take_the_lock(tmp_path: Path) -> None:
    with start.only_one(tmp_path):
        fd = os.open(tmp_path / start.LOCK, os.O_RDWR)
        assert not start.try_lock(fd)
        os.close(fd)
    with start.only_one(tmp_path):
        pass


def test_emptying_keeps_the_held_lock(venv: Path) -> None:
    start.empty(venv)
    assert [f.name for f in venv.iterdir()] == [start.LOCK]


# Without network


def test_good_pack_passes(tmp_path: Path) -> None:
    start.check_pack(pack_in(tmp_path / "pack"))


def test_changed_added_or_missing_wheel_is_named(tmp_path: Path) -> None:
    pack = pack_in(tmp_path / "pack")
    wheel = pack / "thing-1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheeI")
    with pytest.raises(start.Stop, match=wheel.name):
        start.check_pack(pack)
    wheel.unlink()
    with pytest.raises(start.Stop, match=wheel.name):
        start.check_pack(pack)
    wheel.write_bytes(b"wheel")
    (pack / "extra-9.whl").touch()
    with pytest.raises(start.Stop, match="extra-9"):
        start.check_pack(pack)


def test_pack_without_list_or_for_other_sources_is_refused(tmp_path: Path, locks: Path) -> None:
    pack = pack_in(tmp_path / "pack")
    (locks / "run.lock").write_bytes(b"# newer\n")
    with pytest.raises(start.Stop, match=r"run\.lock"):
        start.check_pack(pack)
    (pack / start.SUMS).unlink()
    with pytest.raises(start.Stop, match=start.SUMS):
        start.check_pack(pack)


def test_offline_pip_sees_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://wheels.example")
    monkeypatch.setenv("PIP_FIND_LINKS", "/somewhere")
    env = start.pip_environment(True)
    assert env["PIP_NO_INDEX"] == "1" and env["PIP_CONFIG_FILE"] == os.devnull
    assert not {"PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"} & env.keys()
    assert start.pip_environment(False)["PIP_FIND_LINKS"] == "/somewhere"


def test_other_platforms_are_named_as_pip_and_markers_want() -> None:
    windows = start.marker_environment("win_amd64", "3.12")
    assert (windows["sys_platform"], windows["platform_machine"]) == ("win32", "AMD64")
    assert start.marker_environment("macosx_11_0_arm64", "3.11")["platform_machine"] == "arm64"
    assert start.marker_environment("manylinux_2_28_x86_64", "3.11")["platform_machine"] == "x86_64"
    assert start.platform_tags("win_amd64") == ["win_amd64"]
    assert {"manylinux_2_28_x86_64", "manylinux_2_17_x86_64"} <= set(start.platform_tags("manylinux_2_28_x86_64"))


# A bundle in the pack


def bundle_in(folder: Path) -> Path:
    """Whole as start.py sees it: listed files and some signature."""
    (folder / "gguf").mkdir(parents=True)
    (folder / "gguf" / "model-Q8_0.gguf").write_bytes(b"GGUF")
    (folder / "policy.toml").write_bytes(b"x")
    files = {name: start.digest(folder / name) for name in ("gguf/model-Q8_0.gguf", "policy.toml")}
    (folder / start.LISTING).write_text(json.dumps({"files": files, "payload_digest": "d" * 64}), encoding="utf-8")
    (folder / start.SIGNATURE).write_text("AAAA", encoding="utf-8")
    return folder


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(part: Path, *rest: object) -> None:
        (part / "thing-1.0-py3-none-any.whl").write_bytes(b"wheel")

    monkeypatch.setattr(start, "download", download)


@pytest.mark.usefixtures("no_download")
def test_the_pack_carries_the_bundle_and_lists_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, pack = bundle_in(tmp_path / "bundle"), tmp_path / "pack"
    start.pack(start.Options("pack", [str(pack), "--bundle", str(bundle)]))
    listed = dict(line.split("  ", 1)[::-1] for line in (pack / start.SUMS).read_text().splitlines())
    assert listed["bundle/gguf/model-Q8_0.gguf"] == hashlib.sha256(b"GGUF").hexdigest()
    assert {"bundle/bundle.json", "bundle/bundle.sig", "thing-1.0-py3-none-any.whl", "run.lock"} <= listed.keys()
    assert json.loads((pack / start.PACK).read_text())["bundle"] == "d" * 64
    start.check_pack(pack)
    told = capsys.readouterr().err
    assert "bundle.key.pub" in told and "指紋" in told  # the key goes another way
    assert not [name for name in listed if name.endswith((".key", ".pub"))]
    (pack / "bundle" / "policy.toml").write_bytes(b"y")
    with pytest.raises(start.Stop, match=r"bundle/policy\.toml"):
        start.check_pack(pack)


@pytest.mark.usefixtures("no_download")
def test_a_pack_without_a_bundle_says_nothing_of_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start.pack(start.Options("pack", [str(tmp_path / "pack")]))
    assert "bundle.key" not in capsys.readouterr().err
    assert json.loads((tmp_path / "pack" / start.PACK).read_text())["bundle"] is None


@pytest.mark.usefixtures("no_download")
@pytest.mark.parametrize(
    "harm", ["changed", "added", "missing", "unsigned", "no listing", "no json", "a list", "link", "huge"]
)
def test_a_bundle_that_is_not_whole_is_not_packed(tmp_path: Path, harm: str) -> None:
    bundle = bundle_in(tmp_path / "bundle")
    if harm == "changed":
        (bundle / "policy.toml").write_bytes(b"y")
    elif harm == "added":
        (bundle / "bundle.key").write_bytes(b"secret")
    elif harm == "missing":
        (bundle / "policy.toml").unlink()
    elif harm == "unsigned":
        (bundle / start.SIGNATURE).unlink()
    elif harm == "link":
        (bundle / "link").symlink_to(tmp_path)
    elif harm == "huge":
        with (bundle / start.LISTING).open("wb") as file:
            file.truncate(1 << 40)
    else:
        content = {"no listing": None, "no json": b"[" * 100_000, "a list": b"[1]"}[harm]
        (bundle / start.LISTING).unlink()
        if content:
            (bundle / start.LISTING).write_bytes(content)
    with pytest.raises(start.Stop, match=re.escape(str(bundle))):
        start.pack(start.Options("pack", [str(tmp_path / "pack"), "--bundle", str(bundle)]))
    assert not (tmp_path / "pack").exists() and not (tmp_path / "pack.part").exists()


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_pack_of_more_than_files_is_refused(tmp_path: Path, kind: str) -> None:
    pack = pack_in(tmp_path / "pack")
    (pack / "bundle").mkdir()
    if kind == "link":
        (pack / "bundle" / "x").symlink_to(pack / "run.lock")
    else:
        os.mkfifo(pack / "bundle" / "x")
    with pytest.raises(start.Stop, match="bundle/x"):
        start.check_pack(pack)


# The locks


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_is_pinned_and_hashed_and_none_is_torch(name: str) -> None:
    for package, line in locked(name).items():
        assert re.match(r"[a-z0-9.-]+==[\w.]+ ", line), line[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), package
        assert not re.match(r"torch|nvidia-(?!ml-py)|triton|cuda", package)


@pytest.mark.parametrize("path", ["pyproject.toml", *(f"requirements/{name}" for name in LOCKS)])
def test_no_registry_is_named(path: str) -> None:
    assert "://" not in (ROOT / path).read_text(encoding="utf-8")


def test_locks_hold_what_pyproject_asks_for() -> None:
    wants = project()
    dev = set(map(name_of, wants.pop("dev")))
    # For machines with a connection or many of them: installed for the tests, not for the main job.
    dev |= {name_of(requirement) for group in ("hub", "scale", "ears") for requirement in wants.pop(group)}
    wants.pop("gemma")  # weights under terms of their own, which each accepts for himself
    wants.pop("gpu")  # for a machine with CUDA, which the locks do not know
    direct = {name_of(requirement) for group in wants.values() for requirement in group} - {"torch"}
    build = {"hatchling", "editables"}
    torch_needs = {"filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "mpmath", "typing-extensions"}
    assert direct | build | torch_needs <= locked("run.lock").keys()
    assert direct | dev <= locked("dev.lock").keys()
    assert start.TORCH in project()["train"]


def test_dev_lock_is_run_lock_and_more() -> None:
    run, dev = locked("run.lock"), locked("dev.lock")
    assert {package: dev.get(package) for package in run} == run
    assert "pytest" not in run


# Really installing


def start_py(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "start.py"), *arguments]
    return subprocess.run(command, env=os.environ | {"LANG": "en_US.UTF-8"} | env, capture_output=True, text=True)


@pytest.mark.slow
def test_second_setup_does_nothing(tmp_path: Path) -> None:
    first = start_py("setup", SO8T_VENV=str(tmp_path / "venv"))
    assert first.returncode == 0, first.stderr
    second = start_py("setup", SO8T_VENV=str(tmp_path / "venv"))
    assert second.returncode == 0 and "already set up" in second.stderr and "[1/" not in second.stderr
    python = str(start.venv_python(tmp_path / "venv"))
    assert subprocess.run([python, "-m", "pip", "check"]).returncode == 0


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory, micro_run: Path) -> Path:
    """A real pack with a real bundle, from whatever registry pip is set up for."""
    folder = tmp_path_factory.mktemp("packed") / "pack"
    done = start_py("pack", str(folder), "--bundle", str(micro_run / "bundle"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_pack_sets_up_with_the_network_cut(packed: Path, tmp_path: Path) -> None:
    cut = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = start_py("--offline", str(packed), "setup", "--dev", SO8T_VENV=str(tmp_path / "venv"), **cut)
    assert done.returncode == 0, done.stderr


# Brings up the loopback of an otherwise empty network namespace, shows that nothing outside can be reached, and becomes
# the command given.
CLOSED = """
import errno, fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    name, up = b"lo", 0x1 | 0x40
    fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", name, up))
for address in (("192.0.2.1", 443), ("1.1.1.1", 53), ("10.0.0.1", 80)):
    try:
        socket.create_connection(address, 2)
    except OSError as error:
        assert error.errno == errno.ENETUNREACH, error
    else:
        raise SystemExit(f"{address} was reached")
routes = [line.split() for line in open("/proc/net/route")][1:]
assert routes == [], routes
os.execvp(sys.argv[1], sys.argv[1:])
"""


def without_route(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a network namespace of its own: loopback, and no route to anywhere."""
    whole = ["unshare", "--map-root-user", "--net", sys.executable, "-c", CLOSED, *command]
    return subprocess.run(whole, env=os.environ | {"LANG": "en_US.UTF-8"} | env, capture_output=True, text=True)


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where the system gives an ordinary user no network namespace."""
    if not shutil.which("unshare") or without_route("true").returncode:
        pytest.skip("no network namespaces (unshare --map-root-user --net) here")


@pytest.mark.slow
def test_a_closed_site_is_set_up_and_decides_without_any_route(
    namespaces: None, packed: Path, micro_runs: Path, tmp_path: Path
) -> None:
    """What docs/closed-site.md promises, on a fresh environment: set-up, status, verify, decide."""
    key, bundle, out = str(micro_runs / "keys" / "bundle.key.pub"), str(packed / "bundle"), tmp_path / "out.jsonl"
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "1", "query": "議事録の書き方を教えてください。"}))
    start_line = [sys.executable, str(ROOT / "start.py"), "--offline", str(packed)]
    env = {"SO8T_VENV": str(tmp_path / "venv"), "TMPDIR": str(tmp_path)}

    done = without_route(*start_line, "status", "micro", "--runs", str(micro_runs), **env)
    assert done.returncode == 0 and "[5/5]" in done.stderr, done.stderr
    done = without_route(*start_line, "bundle", "verify", bundle, "--key", key, "--json", **env)
    checks = json.loads(done.stdout)["checks"]
    assert [checks[name] for name in ("signature", "listing", "files")] == ["passed"] * 3, done.stderr
    done = without_route(
        *start_line, "decide", "--bundle", bundle, "--key", key, "--allow-unproven",
        "--in", str(tmp_path / "in.jsonl"), "--out", str(out), **env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    verdict = json.loads(out.read_text(encoding="utf-8"))
    assert verdict["id"] == "1" and verdict["decision"] in ("ALLOW", "ESCALATE", "DENY")
    assert not [o for o in verdict["opinions"] if o.get("failed")], verdict

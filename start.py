"""Set up so8t and start it. Standard library only; Python 3.11 or later runs it, 3.8 or later can say so.

python3 start.py                        set up, then the main job (so8t run --profile tiny --yes)
python3 start.py test [--all] [...]     ruff, mypy, pytest; further arguments go to pytest
python3 start.py setup [--dev]          set up only
python3 start.py pack DIR [--bundle FOLDER] [--platform TAG] [--python-version 3.12]   all that a closed site needs
python3 start.py VERB ...               any other verb goes to so8t
before the verb:  --offline DIR         set up from a packed folder, without network
                  --torch-index URL     take torch from this index or folder (GPU builds; see PyTorch's install page)
The environment is .venv beside this file, or $SO8T_VENV. LANG=en_US.UTF-8 speaks English.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent
LOCKS = ROOT / "requirements"
TORCH = "torch==2.13.0"
STATE, LOCK, LOG, SUMS, PACK = "so8t-setup.json", "so8t-setup.lock", "setup.log", "SHA256SUMS", "PACK.json"
BUNDLE, LISTING, SIGNATURE = "bundle", "bundle.json", "bundle.sig"
MAX_LIST_BYTES = 4 * 1024**2  # of SHA256SUMS and of bundle.json
FREE_BYTES = 2 * 1024**3
# Measured on two cores (docs/decisions/0002-setup.md); a slow line takes longer.
USUAL = {"venv": 3, "locked": 20, "torch": 10, "package": 2, "check": 10}
# The first import also writes the bytecode that pip --no-compile left out, for the modules that are used.
CHECK = (
    "import aiohttp, apsw, cryptography, gguf, jinja2, peft, so8t.core.errors, starlette, torch, uvicorn, transformers"
)

TEXT = {
    "venv": ("仮想環境", "virtual environment"),
    "locked": ("固定した依存パッケージ", "locked packages"),
    "torch": ("PyTorch", "PyTorch"),
    "package": ("so8t 本体", "so8t itself"),
    "check": ("読み込みの確認", "import check"),
    "target": ("相手の機械に合う行", "lines for the target machine"),
    "nothing": ("準備は済んでいます: {venv}", "already set up: {venv}"),
    "begin": ("準備します({why})。置き場所: {venv}", "setting up ({why}) in {venv}"),
    "first": ("初回、または前回が途中", "first time, or the last one was interrupted"),
    "changed": ("変更あり: {keys}", "changed: {keys}"),
    "usual": ("目安 {seconds} 秒", "usually {seconds} s"),
    "seconds": ("{seconds:.1f} 秒", "{seconds:.1f} s"),
    "ready": ("準備ができました: {seconds:.1f} 秒", "set up in {seconds:.1f} s"),
    "waiting": ("別の start.py が準備中です。終わるのを待ちます", "another start.py is setting up; waiting for it"),
    "packed": (
        "まとめました: {folder}({files} 個、{mb:.0f} MB)。\n  SHA256SUMS の SHA-256: {digest}\n"
        "  このフォルダとソース一式を運び、python3 start.py --offline フォルダ を実行してください",
        "packed {folder} ({files} files, {mb:.0f} MB)\n  SHA-256 of SHA256SUMS: {digest}\n"
        "  carry this folder and the sources, then run python3 start.py --offline FOLDER",
    ),
    "packed-bundle": (
        "  バンドルは {folder} です。署名を確かめる公開鍵(例 runs/keys/bundle.key.pub)は、このフォルダに入れません。\n"
        "  別の経路で届け、指紋を電話などで読み合わせてください。秘密鍵(bundle.key)は運ばないでください",
        "  the bundle is {folder}. The public key that checks its signature (such as runs/keys/bundle.key.pub) is not\n"
        "  in this folder: take it another way and compare its fingerprint. Never carry the private key (bundle.key)",
    ),
    "summary": ("まとめ", "summary"),
    "pass": ("合格", "passed"),
    "fail": ("不合格", "FAILED"),
    "stopped": ("中断しました。同じコマンドで準備をやり直せます", "interrupted; the same command redoes the set-up"),
    "failed": ("「{step}」に失敗しました。記録: {log}", "step '{step}' failed. Log: {log}"),
    "next": ("次に: {advice}", "next: {advice}"),
    "old-python": (
        "Python 3.11 以上(64 ビット)が要ります。これは {found} です。\n"
        "  次に: 新しい Python を入れ、python3.11 start.py か py -3.11 start.py を実行してください",
        "Python 3.11 or later (64 bit) is needed; this is {found}.\n"
        "  next: install a newer Python, then run python3.11 start.py or py -3.11 start.py",
    ),
    "usage": ("使い方が違います: {detail}。python3 start.py --help", "wrong usage: {detail}. python3 start.py --help"),
    "foreign": (
        "{venv} は start.py が作ったものではないので触りません。\n  次に: それを消すか、SO8T_VENV に別の場所を",
        "{venv} was not made by start.py and is left alone.\n  next: delete it or set SO8T_VENV to another place",
    ),
    "disk": (
        "ディスクの空きが足りません。2 GB 以上あけて同じコマンドを実行するか、SO8T_VENV で別の場所を指定してください",
        "the disk is full. Free 2 GB or more and run the same command, or point SO8T_VENV elsewhere",
    ),
    "network": (
        "パッケージの取得先につながりません。プロキシ(HTTPS_PROXY)を確かめてください。閉じた網では、"
        "つながる同種の機械で python3 start.py pack DIR、こちらで python3 start.py --offline DIR",
        "the package registry cannot be reached. Check the proxy (HTTPS_PROXY). In a closed network run "
        "python3 start.py pack DIR on a connected machine of the same kind, then python3 start.py --offline DIR here",
    ),
    "hash": (
        "取得したファイルが固定したハッシュと違います。使わないでください。取得先か中継を疑ってください",
        "a downloaded file is not the locked one. Do not use it; suspect the registry or the relay",
    ),
    "no-wheel": (
        "この Python({python})か OS に合う配布物がありません。Python 3.11 から 3.13 を試してください。"
        "--offline なら、同じ OS と Python で pack し直してください",
        "nothing fits this Python ({python}) or system. Try Python 3.11 to 3.13; with --offline, "
        "pack again on the same system and Python",
    ),
    "ensurepip": (
        "venv の部品がありません。Debian/Ubuntu なら apt install python3-venv",
        "the venv module is incomplete; on Debian or Ubuntu: apt install python3-venv",
    ),
    "unknown": ("上の記録を確かめ、同じコマンドをやり直してください", "read the log above, then run the same command"),
    "pack-absent": ("{folder} に {name} がありません", "{folder} has no {name}"),
    "pack-changed": ("{folder}: 一覧(SHA256SUMS)と違います: {names}", "{folder} differs from SHA256SUMS: {names}"),
    "pack-other": (
        "{folder} は別の版のためのものです({detail})。同じソースと Python で pack し直してください",
        "{folder} was packed for something else ({detail}); pack again with these sources and this Python",
    ),
    "bundle-bad": (
        "{folder} はそのまま運べるバンドルではありません({detail})。\n"
        "  次に: so8t bundle verify で確かめ、必要なら段階 bundle をやり直してください",
        "{folder} is no whole bundle ({detail}).\n  next: see so8t bundle verify, and redo stage bundle if need be",
    ),
    "pack-full": ("{folder} は空ではありません。新しいフォルダを", "{folder} is not empty; name a new folder"),
}
ADVICE = (
    ("disk", r"No space left on device|Errno 28|not enough space"),
    ("hash", r"DO NOT MATCH THE HASHES"),
    (
        "network",
        r"NewConnectionError|ConnectTimeout|name resolution|Connection refused|ProxyError|getaddrinfo|timed out",
    ),
    ("ensurepip", r"ensurepip"),
    ("no-wheel", r"No matching distribution|Requires-Python|Failed building wheel|is not a supported wheel"),
)


class Stop(Exception):
    """Ends start.py with this message; 12 is so8t's exit code for an unfit environment, 2 for wrong usage."""

    def __init__(self, text: str, code: int = 12) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Options:
    verb: str = "run"
    rest: list[str] = field(default_factory=list)
    offline: Path | None = None
    torch_index: str | None = None


def text(key: str, **values: object) -> str:
    """The message in Japanese, or in English where LANG says so."""
    english = os.environ.get("LANG", "").lower().startswith("en")
    return TEXT[key][english].format(**values)


def say(line: str, end: str = "\n") -> None:
    """Everything start.py itself says goes to stderr: stdout belongs to so8t (--json)."""
    print(line, end=end, file=sys.stderr, flush=True)


def check_python(version: Sequence[int] = sys.version_info[:3], wide: bool = sys.maxsize > 2**32) -> None:
    if tuple(version) < (3, 11) or not wide:
        raise Stop(text("old-python", found=".".join(map(str, version)) + ("" if wide else " (32 bit)")))


def parse(arguments: Sequence[str]) -> Options:
    """Our two options stand before the verb; all that follows the verb belongs to it."""
    options, rest = Options(), list(arguments)
    while rest and rest[0].split("=")[0] in ("--offline", "--torch-index"):
        name, _, value = rest.pop(0).partition("=")
        if not value and not rest:
            raise Stop(text("usage", detail=name), 2)
        value = value or rest.pop(0)
        if name == "--offline":
            options.offline = Path(value).resolve()
        else:
            options.torch_index = str(Path(value).resolve()) if Path(value).is_dir() else value
    if options.offline and options.torch_index:
        raise Stop(text("usage", detail="--offline + --torch-index"), 2)
    options.verb, options.rest = (rest[0], rest[1:]) if rest else ("run", ["--profile", "tiny", "--yes"])
    return options


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock_digest(path: Path) -> str:
    """The same on Windows, where a checkout may end lines with CR LF."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def wanted(dev: bool, torch_index: str | None) -> dict[str, object]:
    """What the environment must have been made from. Credentials in the index URL are not kept."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "locks": {name: lock_digest(LOCKS / name) for name in (("run.lock", "dev.lock") if dev else ("run.lock",))},
        "torch": TORCH,
        "torch_index": re.sub(r"//[^/@]*@", "//", torch_index) if torch_index else None,
        "python": f"{platform.python_version()} {platform.machine()}",
        "root": str(ROOT),
        "package": hashlib.sha256(json.dumps(project, sort_keys=True).encode()).hexdigest(),
    }


def differences(state: Mapping[str, object], need: Mapping[str, object]) -> list[str]:
    """Keys in which the environment falls short; one made for the tests also serves the main job."""
    keys = [key for key, value in need.items() if key != "locks" and state.get(key) != value]
    have, locks = state.get("locks"), need["locks"]
    if not (isinstance(have, dict) and isinstance(locks, dict) and locks.items() <= have.items()):
        keys.append("locks")
    return keys


def read_state(venv: Path) -> dict[str, object]:
    try:
        state = json.loads((venv / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and venv_python(venv).exists() else {}


def write_state(venv: Path, state: Mapping[str, object]) -> None:
    part = venv / (STATE + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(venv / STATE)


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip_environment(offline: bool) -> dict[str, str]:
    """The user's proxy and registry settings stay, except offline; what would install elsewhere goes."""
    gone = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_HASHES"}
    gone |= {"PYTHONDONTWRITEBYTECODE"}
    if offline:
        gone |= {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"}
    kept = {name: value for name, value in os.environ.items() if name not in gone}
    kept |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off", "PYTHONUTF8": "1"}
    return kept | ({"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"} if offline else {})


def try_lock(fd: int) -> bool:
    """A lock of the kernel: it ends with its holder, so it cannot go stale."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


@contextlib.contextmanager
def only_one(venv: Path) -> Iterator[int]:
    """Pip inherits the lock, so a killed start.py whose pip still writes keeps others out."""
    if venv.exists() and any(venv.iterdir()) and not (venv / LOCK).exists():
        raise Stop(text("foreign", venv=venv))
    venv.mkdir(parents=True, exist_ok=True)
    fd = os.open(venv / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not try_lock(fd):
            say(text("waiting"))
            while not try_lock(fd):
                time.sleep(0.2)
        yield fd
    finally:
        os.close(fd)


def step(key: str, mark: str, command: Sequence[str], log: Path, env: Mapping[str, str], lock: int | None) -> None:
    """Run one command with its noise in the log; show its name, the usual time and the time it took."""
    start, live = time.monotonic(), sys.stderr.isatty()
    line = f"  [{mark}] {text(key)}" + (f" ({text('usual', seconds=USUAL[key])})" if key in USUAL else "")
    say(line, end="" if live else "\n")
    keep = (lock,) if lock is not None and os.name != "nt" else ()
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, pass_fds=keep)
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
                if live:
                    say(f"\r{line} {time.monotonic() - start:.0f}", end="")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        fail(text(key), log)
    say(("\r" + line if live else f"  [{mark}]") + " " + text("seconds", seconds=time.monotonic() - start))


def fail(name: str, log: Path) -> NoReturn:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "\n".join("    " + line for line in lines[-15:])
    raise Stop(f"{text('failed', step=name, log=log)}\n{tail}\n  {text('next', advice=advise(lines[-60:]))}")


def advise(lines: Sequence[str]) -> str:
    joined = "\n".join(lines)
    key = next((key for key, pattern in ADVICE if re.search(pattern, joined, re.IGNORECASE)), "unknown")
    return text(key, python=platform.python_version())


def torch_source(torch_index: str | None) -> list[str]:
    if not torch_index:
        return []
    return ["--no-index", "--find-links", torch_index] if Path(torch_index).is_dir() else ["--index-url", torch_index]


def set_up(venv: Path, options: Options, dev: bool) -> float:
    """Bring `venv` to what the locks say; 0.0 seconds when there is nothing to do. Interrupted work is redone."""
    need = wanted(dev, torch_index_of(read_state(venv), options.torch_index))
    if not differences(read_state(venv), need):
        return 0.0
    start = time.monotonic()
    with only_one(venv) as lock:
        state = read_state(venv)
        changed = differences(state, need)
        if changed:
            why = text("changed", keys=", ".join(changed)) if state else text("first")
            say(text("begin", why=why, venv=venv))
            fresh = not state or not {"locks", "package"}.issuperset(changed)
            install(venv, options, dev, need, fresh, lock)
            say(text("ready", seconds=time.monotonic() - start))
    return time.monotonic() - start


def torch_index_of(state: Mapping[str, object], asked: str | None) -> str | None:
    """A later start without --torch-index keeps the build that the first one chose."""
    index = asked or state.get("torch_index")
    return index if isinstance(index, str) else None


def install(venv: Path, options: Options, dev: bool, need: Mapping[str, object], fresh: bool, lock: int) -> None:
    if options.offline:
        check_pack(options.offline)
    (venv / STATE).unlink(missing_ok=True)
    if fresh:
        empty(venv)
    if shutil.disk_usage(venv).free < FREE_BYTES and fresh:
        raise Stop(text("disk"))
    log = venv / LOG
    log.write_bytes(b"")
    # The lock is complete, so pip need not resolve; bytecode is made when a module is first imported.
    pip = [str(venv_python(venv)), "-m", "pip", "install", "--no-compile"]
    pip += ["--find-links", str(options.offline)] if options.offline else []
    torch = [] if options.offline else torch_source(torch_index_of(need, options.torch_index))
    lock_file = str(LOCKS / ("dev.lock" if dev else "run.lock"))
    commands = {
        "venv": [sys.executable, "-m", "venv", str(venv)],
        "locked": [*pip, "--no-deps", "--require-hashes", "-r", lock_file],
        "torch": [*pip, *torch, TORCH],
        "package": [*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)],
        "check": [str(venv_python(venv)), "-c", CHECK + "; transformers.Phi3ForCausalLM"],
    }
    env = pip_environment(options.offline is not None)
    for number, (key, command) in enumerate(commands.items(), 1):
        if key != "venv" or fresh:
            step(key, f"{number}/{len(commands)}", command, log, env, lock)
    write_state(venv, need)


def empty(venv: Path) -> None:
    """Remove a former environment, but not the lock that we hold."""
    for entry in venv.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def check_pack(folder: Path) -> None:
    """Every file is listed with its hash, none is missing or added, and the pack is for these locks and this Python."""
    if not (folder / SUMS).is_file() or (folder / SUMS).stat().st_size > MAX_LIST_BYTES:
        raise Stop(text("pack-absent", folder=folder, name=SUMS))
    rows = [line.split("  ", 1) for line in (folder / SUMS).read_text(encoding="utf-8").splitlines()]
    listed = {row[1]: row[0] for row in rows if len(row) == 2}
    try:
        names = files_below(folder) - {SUMS}
    except ValueError as error:
        raise Stop(text("pack-changed", folder=folder, names=str(error))) from error
    wrong = sorted(names ^ listed.keys()) + sorted(n for n in names & listed.keys() if digest(folder / n) != listed[n])
    if wrong:
        raise Stop(text("pack-changed", folder=folder, names=", ".join(wrong)))
    other = [n for n in ("run.lock", "dev.lock") if lock_digest(folder / n) != lock_digest(LOCKS / n)]
    packed_for = json.loads((folder / PACK).read_text(encoding="utf-8"))["python"]
    if packed_for != python_minor():
        other.append(f"Python {packed_for}")
    if other:
        raise Stop(text("pack-other", folder=folder, detail=", ".join(other)))


def files_below(folder: Path) -> set[str]:
    """Relative POSIX paths of all files; ValueError names the first thing that is neither file nor folder."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(path.relative_to(folder).as_posix())
        if path.is_file():
            found.add(path.relative_to(folder).as_posix())
    return found


def check_bundle(folder: Path) -> str:
    """The payload digest of a bundle whose files are what bundle.json lists; so8t checks the signature, not we."""
    try:
        raw = (folder / LISTING).read_bytes() if (folder / LISTING).stat().st_size <= MAX_LIST_BYTES else b""
        listing = json.loads(raw)
        listed, payload = dict(listing["files"]), str(listing["payload_digest"])
        names = files_below(folder) - {LISTING, SIGNATURE}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Stop(text("bundle-bad", folder=folder, detail=f"{type(error).__name__}: {error}")) from error
    wrong = sorted(names ^ listed.keys()) + sorted(n for n in names & listed.keys() if digest(folder / n) != listed[n])
    if wrong or not (folder / SIGNATURE).is_file():
        raise Stop(text("bundle-bad", folder=folder, detail=", ".join(wrong[:5]) or SIGNATURE))
    return payload


def python_minor() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def pack(options: Options) -> None:
    """Everything `--offline` needs, for this machine or for the platform and Python named. All or nothing."""
    import argparse

    parser = argparse.ArgumentParser(prog="start.py pack")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--platform", action="append", default=[], help="win_amd64, manylinux_2_28_x86_64, ...")
    parser.add_argument("--python-version", default=python_minor())
    parser.add_argument("--bundle", type=Path, help="runs/NAME/bundle")
    asked = parser.parse_args(options.rest)
    bundle: Path | None = asked.bundle.resolve() if asked.bundle else None
    payload = check_bundle(bundle) if bundle else None
    folder: Path = asked.folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise Stop(text("pack-full", folder=folder))
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        download(part, Path(scratch), options.torch_index, asked.platform, asked.python_version)
    for name in ("run.lock", "dev.lock"):
        shutil.copyfile(LOCKS / name, part / name)
    if bundle:
        shutil.copytree(bundle, part / BUNDLE)
        check_bundle(part / BUNDLE)
    about = {"python": asked.python_version, "platform": asked.platform or platform.platform(), "torch": TORCH}
    (part / PACK).write_text(json.dumps(about | {"bundle": payload}) + "\n", encoding="utf-8")
    files = sorted(files_below(part))
    (part / SUMS).write_bytes("".join(f"{digest(part / name)}  {name}\n" for name in files).encode())
    if folder.exists():
        folder.rmdir()
    part.replace(folder)
    size = sum((folder / name).stat().st_size for name in [*files, SUMS]) / 1e6
    say(text("packed", folder=folder, files=len(files) + 1, mb=size, digest=digest(folder / SUMS)))
    if bundle:
        say(text("packed-bundle", folder=folder / BUNDLE))


def download(part: Path, scratch: Path, torch_index: str | None, platforms: Sequence[str], version: str) -> None:
    """Pip judges markers by the machine it runs on, so the lock is first reduced to the target's lines."""
    log, env, python = scratch / LOG, pip_environment(False), str(venv_python(scratch / "venv"))
    reduced, pins = scratch / "locked.txt", scratch / "pins.txt"
    marker = json.dumps(marker_environment(platforms[0] if platforms else "", version))
    get = [python, "-m", "pip", "download", "--dest", str(part)]
    if platforms:
        tags = [tag for name in platforms for tag in platform_tags(name)]
        get += ["--only-binary=:all:", "--python-version", version, *(f"--platform={tag}" for tag in tags)]
    # Only Linux builds of torch name further packages (CUDA's); all others are in the lock.
    bare = ["--no-deps"] if platforms and "linux" not in platforms[0] else ["--constraint", str(pins)]
    step("venv", "1/4", [sys.executable, "-m", "venv", str(scratch / "venv")], log, env, None)
    reduce = [python, "-c", REDUCE, str(LOCKS / "dev.lock"), str(reduced), str(pins), marker]
    step("target", "2/4", reduce, log, env, None)
    step("locked", "3/4", [*get, "--no-deps", "--require-hashes", "-r", str(reduced)], log, env, None)
    torch = [*torch_source(torch_index), "--find-links", str(part), *bare, TORCH]
    step("torch", "4/4", [*get, *torch], log, env, None)


# Runs under the temporary environment's Python, whose pip can read markers.
REDUCE = """
import json, sys
from pip._vendor.packaging.requirements import Requirement
source, reduced, pins, marker = sys.argv[1:]
lines = open(source, encoding="utf-8").read().replace("\\\\\\n", " ").splitlines()
lines = [line.partition(" --hash") for line in lines if line.strip() and not line.lstrip().startswith("#")]
pairs = [(Requirement(name), mark + rest) for name, mark, rest in lines]
pairs = [(r, rest) for r, rest in pairs if r.marker is None or r.marker.evaluate(json.loads(marker))]
open(reduced, "w").writelines(f"{r.name}{r.specifier}{rest}\\n" for r, rest in pairs)
open(pins, "w").writelines(f"{r.name}{r.specifier}\\n" for r, rest in pairs)
"""


def marker_environment(tag: str, version: str) -> dict[str, str]:
    """PEP 508 names of the target; an empty tag means this machine."""
    if not tag:
        return {}
    names = {"win": ("Windows", "win32", "nt"), "mac": ("Darwin", "darwin", "posix")}
    system, sys_platform, os_name = names.get(tag[:3], ("Linux", "linux", "posix"))
    machine = re.sub(r"^[a-z]+(_?\d+)*_", "", tag)
    keys = ("platform_system", "sys_platform", "os_name", "platform_machine", "python_version", "python_full_version")
    values = (system, sys_platform, os_name, machine.upper() if os_name == "nt" else machine, version, f"{version}.0")
    return dict(zip(keys, values, strict=True))


def platform_tags(tag: str) -> list[str]:
    """A machine that takes manylinux_2_28 wheels also takes older ones, but pip download does not know."""
    found = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", tag)
    if not found:
        return [tag]
    minor, machine = int(found[1]), found[2]
    return [f"manylinux_2_{n}_{machine}" for n in range(minor, 4, -1)] + [f"manylinux2014_{machine}"]


def test(venv: Path, arguments: Sequence[str]) -> int:
    """All four checks run even when one fails; non-zero when any did."""
    python, rest = str(venv_python(venv)), [a for a in arguments if a != "--all"]
    checks = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "."],
        "mypy": ["mypy"],
        "pytest": ["pytest", *([] if "--all" in arguments else ["-m", "not slow"]), *rest],
    }
    rows = []
    for name, command in checks.items():
        say(f"== {name}")
        start = time.monotonic()
        code = subprocess.run([python, "-m", *command], cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}).returncode
        rows.append((name, code, time.monotonic() - start))
    say(f"== {text('summary')}")
    for name, code, seconds in rows:
        say(f"  {name:12} {text('fail' if code else 'pass')}  {text('seconds', seconds=seconds)}")
    return int(any(code for _, code, _ in rows))


def hand_over(venv: Path, arguments: Sequence[str], seconds: float) -> int:
    """Become so8t, so that signals and the exit code are its own; Windows cannot, and waits instead."""
    env = os.environ | {"PYTHONUTF8": "1", "SO8T_SETUP_SECONDS": f"{seconds:.1f}"}
    command = [str(venv_python(venv)), "-m", "so8t", *arguments]
    if os.name != "nt":
        os.execve(command[0], command, env)
    process = subprocess.Popen(command, env=env)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return process.wait()


def start(arguments: Sequence[str]) -> int:
    check_python()
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    options = parse(arguments)
    if options.verb == "pack":
        pack(options)
        return 0
    venv = Path(os.environ.get("SO8T_VENV") or ROOT / ".venv").absolute()
    dev = options.verb == "test" or (options.verb == "setup" and options.rest == ["--dev"])
    if options.verb == "setup" and options.rest not in ([], ["--dev"]):
        raise Stop(text("usage", detail=" ".join(options.rest)), 2)
    seconds = set_up(venv, options, dev)
    if options.verb == "setup":
        if not seconds:
            say(text("nothing", venv=venv))
        return 0
    return (
        test(venv, options.rest) if options.verb == "test" else hand_over(venv, [options.verb, *options.rest], seconds)
    )


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return start(sys.argv[1:])
    except Stop as stop:
        say(str(stop))
        return stop.code
    except OSError as error:
        say(text("disk") if error.errno == errno.ENOSPC else str(error))
        return 12
    except KeyboardInterrupt:
        say("\n" + text("stopped"))
        return 130


if __name__ == "__main__":
    sys.exit(main())

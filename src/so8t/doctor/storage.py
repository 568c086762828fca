"""The folder of runs: room, permission to write, a rename that replaces, long paths, letter case, clock."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from so8t.build.planner import disk_bytes
from so8t.core.config import Config
from so8t.core.errors import So8tError
from so8t.doctor.finding import Finding

GIB = 2**30
SPARE = 1.1
LONG = 300  # characters; Windows stops at 260 unless told otherwise
SKEW = 5.0  # seconds between this machine's clock and that of its files
DAY = 86_400.0


def examine_storage(config: Config, runs: Path) -> list[Finding]:
    place = runs
    while not place.is_dir():
        place = place.resolve().parent
    return [_room(config, place), *_trials(place)]


def _room(config: Config, place: Path) -> Finding:
    names = ("ディスクの空き", "free disk")
    try:
        needed = SPARE * disk_bytes(config) / GIB
    except So8tError as error:
        return Finding(*names, error.detail or str(error.where), False, False, error.next_ja, error.next_en)
    free = shutil.disk_usage(place).free / GIB
    return Finding(
        *names, f"{free:.1f} GiB (>= {needed:.1f}) {place.resolve()}", free >= needed, True,
        "空きを作るか、--runs で別のディスクに(内訳は so8t plan)",
        "free some, or --runs on another disk (so8t plan lists it)",
    )  # fmt: skip


def _trials(place: Path) -> list[Finding]:
    """What can only be known by trying, in a folder that is gone afterwards."""
    write = ("実行フォルダへの書き込み", "writing into the folder of runs")
    advice = ("書ける場所を --runs で指定する", "name a place you may write to with --runs")
    try:
        with tempfile.TemporaryDirectory(prefix=".so8t-doctor-", dir=place, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            renamed = _renames(folder)
            return [
                Finding(*write, str(place.resolve()), True, True, *advice),
                renamed, _long_paths(folder), _letter_case(folder), _clock(folder),
            ]  # fmt: skip
    except OSError as error:
        return [Finding(*write, f"{type(error).__name__} {place}", False, True, *advice)]


def _renames(folder: Path) -> Finding:
    """A file in place of another and a folder to a new name, each in one step: what every checkpoint relies on."""
    old, new = folder / "old", folder / "new"
    detail = "os.replace"
    try:
        old.write_bytes(b"1")
        new.write_bytes(b"2")
        os.replace(new, old)
        (folder / "part").mkdir()
        os.replace(folder / "part", folder / "whole")
        ok = old.read_bytes() == b"2" and not new.exists() and (folder / "whole").is_dir()
    except OSError as error:
        ok, detail = False, f"os.replace: {type(error).__name__}"
    return Finding(
        "名前の付け替えが一度に済む", "a rename happens in one step", detail, ok, True,
        "手元のディスク(NTFS、ext4 など)を使う", "use a local disk (NTFS, ext4 or the like)",
    )  # fmt: skip


def _long_paths(folder: Path) -> Finding:
    target = folder
    try:
        while len(str(target.resolve())) < LONG:
            target = target / ("x" * 40)
            target.mkdir()
        ok = True
    except OSError:
        ok = False
    return Finding(
        f"{LONG} 字のパス", f"paths of {LONG} characters", str(len(str(target.resolve()))), ok, False,
        "Windows の LongPathsEnabled を有効にするか、C:\\so8t のような短い場所に置く",
        "enable LongPathsEnabled on Windows, or use a short place such as C:\\so8t",
    )  # fmt: skip


def _letter_case(folder: Path) -> Finding:
    (folder / "case").write_bytes(b"")
    ok = not (folder / "CASE").exists()
    return Finding(
        "大文字と小文字の区別", "upper and lower case are told apart", "yes" if ok else "no", ok, False,
        "大文字と小文字だけが違う実行の名前を使わない", "do not name two runs alike but for upper and lower case",
    )  # fmt: skip


def _clock(folder: Path) -> Finding:
    """Records carry the time: a clock behind so8t's own files, or apart from the disk's, makes them worthless."""
    mark = folder / "clock"
    mark.write_bytes(b"")
    now, package = time.time(), Path(__file__).stat().st_mtime
    ok = abs(mark.stat().st_mtime - now) <= SKEW and now > package - DAY
    return Finding(
        "時計", "clock", time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)), ok, False,
        "時刻を合わせる(閉域網の NTP、置き場のサーバの時刻も)",
        "set the time (NTP of your network, the file server's too)",
    )  # fmt: skip

"""Main memory and ports."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
from pathlib import Path

from so8t.build.plan.architecture import architecture_of
from so8t.build.plan.memory import HEAP, burnin_bytes, memory
from so8t.build.plan.numerics import Device
from so8t.core.config import Config
from so8t.core.errors import So8tError
from so8t.doctor.finding import Finding

GIB = 2**30
LIBRARIES = 1.0  # GiB of Python, torch and transformers themselves
LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container
PORTS = {11434: "Ollama", 8080: "LM Studio"}  # plan 6.3


def examine_memory(config: Config, device: Device) -> Finding:
    names = ("メモリ", "memory")
    try:
        shape = architecture_of(config)
    except So8tError as error:
        return Finding(*names, error.detail or str(error.where), False, False, error.next_ja, error.next_en)
    burnin = burnin_bytes(shape, config.burnin, config.train.lora) / GIB
    training = HEAP * memory(shape, config.train, "cpu").peak / GIB if device == "cpu" else 0.0
    needed, total = max(burnin, training) + LIBRARIES, main_memory()
    parts = f"burnin {burnin:.1f}" + (f", train {training:.1f}" if training else "")
    return Finding(
        *names, f"{total:.1f} GiB (>= {needed:.1f}: {parts})", total >= needed, False,
        "足りない段階はスワップを使うか、メモリの多い機械で続ける(実行フォルダごと写せる)",
        "swap, or go on with that stage on a larger machine (the run is a folder that can be copied)",
    )  # fmt: skip


def main_memory() -> float:
    """GiB of this machine, or of the container it is; 0 where the system does not tell."""
    total = 0.0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    elif importlib.util.find_spec("psutil"):
        import psutil

        total = psutil.virtual_memory().total / GIB
    try:
        with LIMIT.open("rb") as f:
            text = f.read(32).strip()
    except OSError:
        return float(total)
    return float(min(total, int(text) / GIB)) if text.isdigit() else float(total)


def examine_ports() -> list[Finding]:
    return [_loopback(), *(_port(number, name) for number, name in PORTS.items())]


def _loopback() -> Finding:
    """The model server listens on a free port of 127.0.0.1."""
    ok, detail = True, "127.0.0.1"
    try:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
    except OSError as error:
        ok, detail = False, str(error)
    return Finding(
        "ループバックのポート", "loopback port", detail, ok, True,
        "ファイアウォールや社内の監視ソフトを確かめる", "look at the firewall and at what watches this machine",
    )  # fmt: skip


def _port(number: int, name: str) -> Finding:
    """Taken is as good as free: it is the place of a server you may run. Anything else is not."""
    ok, detail = True, "free"
    try:
        with socket.socket() as s:
            s.bind(("127.0.0.1", number))
    except OSError as error:
        ok = error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE))
        detail = "in use" if ok else str(error)
    return Finding(
        f"ポート {number}({name})", f"port {number} ({name})", detail, ok, False,
        "ほかのソフトがポートを押さえていないか確かめる(Windows: netsh int ipv4 show excludedportrange)",
        "see what reserves the port (Windows: netsh int ipv4 show excludedportrange)",
    )  # fmt: skip

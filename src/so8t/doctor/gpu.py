"""The card, its driver, and torch's build for it: do they fit each other and the configuration (plan 6.1, SPEC O13)?"""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib import metadata
from pathlib import Path

from so8t.build.plan.architecture import architecture_of
from so8t.build.plan.fit import choose, fit, shipped
from so8t.core.config import Config
from so8t.core.errors import So8tError
from so8t.doctor.card import Card, Cards
from so8t.doctor.finding import Finding

DRIVER = 535
# NVIDIA's table of the least driver for any minor release of a CUDA version (CUDA compatibility guide).
LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
CAPABILITY = {"int8": (7, 5), "nf4": (6, 0)}  # as build/model/quantisation.py asks for
BF16 = (8, 0)  # Ampere
VERSION_BYTES = 1 << 16
INDEX = (
    "start.py setup --torch-index (pytorch.org の CUDA 版)",
    "start.py setup --torch-index (a CUDA index of pytorch.org)",
)


def wants_card(config: Config) -> bool:
    """A quantised base, or a profile named after a card."""
    return config.train.quantization != "none" or bool(re.fullmatch(r"phi4-mini-\d+gb", config.profile))


def examine_gpu(config: Config, found: Cards) -> list[Finding]:
    wanted = wants_card(config)
    card = found.roomiest
    if card is None:
        detail = found.problem or "nvidia-smi: なし / none; CPU"
        ok = not found.installed and not wanted
        ja = (
            "ドライバを入れ直すか、CPU でよければ profile を tiny などに"
            if found.installed
            else "CPU では fp32 で学習し、とても遅い"
        )
        en = (
            "reinstall the driver, or take a profile for a CPU"
            if found.installed
            else "on a CPU it trains in fp32, very slowly"
        )
        return [Finding("NVIDIA GPU", "NVIDIA GPU", detail, ok, found.installed and wanted, ja, en)]
    return [
        Finding("NVIDIA GPU", "NVIDIA GPU", f"{card.name}, {card.total} MiB ({len(found.cards)})", True),
        _driver(card, wanted),
        _build(card, wanted),
        _bf16(card, config),
        *_quantised(card, config),
        _memory(card, config, wanted),
    ]


def _driver(card: Card, wanted: bool) -> Finding:
    ok = card.driver_major >= DRIVER
    return Finding(
        f"ドライバ {DRIVER} 以上", f"driver {DRIVER} or newer", card.driver, ok, wanted,
        "nvidia.com から新しいドライバを入れる", "install a newer driver from nvidia.com",
    )  # fmt: skip


def torch_cuda() -> tuple[str, str]:
    """(version of torch, CUDA version of its build); "" for what is not there. Reads a file, imports nothing."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return "", ""
    try:
        with (Path(spec.submodule_search_locations[0]) / "version.py").open("rb") as f:
            text = f.read(VERSION_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""
    found = re.search(r"^cuda\b[^=\n]*=\s*['\"](\d+\.\d+)", text, re.M)
    return metadata.version("torch"), found[1] if found else ""


def _build(card: Card, wanted: bool) -> Finding:
    """A build for no CUDA uses no card; one for a newer CUDA than the driver knows does not start."""
    version, cuda = torch_cuda()
    least = LEAST_DRIVER.get(int(cuda.split(".")[0]), 0) if cuda else 0
    ok = bool(cuda) and card.driver_major >= least
    ja, en = INDEX
    if cuda and not ok:
        ja, en = (
            f"ドライバを {least} 以上にするか、古い CUDA の torch を入れる",
            f"driver {least} or newer, or torch for an older CUDA",
        )
    elif version and sys.platform == "win32":
        ja, en = f"PyPI の Windows 版は CPU 専用。{ja}", f"PyPI's wheel for Windows is CPU-only: {en}"
    detail = f"torch {version or '-'}, CUDA {cuda or '-'}" + (f" (>= {least})" if least else "")
    return Finding("CUDA 版の torch", "torch built for CUDA", detail, ok, wanted, ja, en)


def _bf16(card: Card, config: Config) -> Finding:
    ok = card.capability >= BF16
    detail = f"compute capability {card.capability[0]}.{card.capability[1]} (bf16 >= 8.0)"
    ja = "土台は fp32 で計算する。メモリは倍になる"
    en = "the base is computed in fp32, in twice the memory"
    return Finding("bf16", "bf16", detail, ok, config.train.precision == "bf16", ja, en)


def _quantised(card: Card, config: Config) -> list[Finding]:
    """bitsandbytes, where the configuration needs it, and a card that it supports."""
    kind = config.train.quantization
    if kind == "none" and config.train.optimizer != "paged_adamw_8bit":
        return []
    there = importlib.util.find_spec("bitsandbytes") is not None
    detail = metadata.version("bitsandbytes") if there else "-"
    install = 'pip install "so8t[gpu]"'
    findings = [Finding("bitsandbytes", "bitsandbytes", detail, there, True, install, install)]
    if kind != "none":
        least, ok = CAPABILITY[kind], card.capability >= CAPABILITY[kind]
        text = f"{card.capability[0]}.{card.capability[1]} (>= {least[0]}.{least[1]})"
        ja, en = 'train.quantization = "none" か、新しいカードに', 'train.quantization = "none", or a newer card'
        findings.append(Finding(f"{kind} を計算できるカード", f"card that computes {kind}", text, ok, True, ja, en))
    return findings


def _memory(card: Card, config: Config, wanted: bool) -> Finding:
    names = ("GPU メモリの空き", "free GPU memory")
    try:
        need = fit(config, architecture_of(config)).needed
    except So8tError as error:
        return Finding(*names, error.detail or str(error.where), False, False, error.next_ja, error.next_en)
    free, total = card.free * 2**20, card.total * 2**20
    best = choose(card.total / 1024, shipped())
    ja, en = "ほかのプログラムを閉じる", "close other programs"
    if need > total:
        name = best.profile if best else "-"
        ja, en = f"このカードなら profile {name}(so8t plan)", f"for this card: profile {name} (so8t plan)"
    detail = f"{free / 2**30:.1f} GiB (>= {need / 2**30:.1f})"
    return Finding(*names, detail, need <= free, wanted, ja, en)

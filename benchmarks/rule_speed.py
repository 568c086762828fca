"""How long the rule judge takes for requests of 500 characters, all views included.

    python benchmarks/rule_speed.py [--requests 300] [--rounds 3] [--against SRC] [--hostile] [--json]

Requests are made of those in resources/requests, a few sentences each: as written, thick with the words of the rules,
or disguised. `tenfold` is the demo policy with every rule ten times, nine of them with words of other letters.
Wall is perf_counter, cpu the process's own time, best the fastest wall of the rounds for each request: on a machine
that others share, what is left when they do not run. --against measures the package in
another source folder as well, taking turns with this one. --hostile: the slowest of attacks of 20,000 characters.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import so8t
from so8t.core.types import Request
from so8t.decide.policy import Policy, parse_policy
from so8t.judge.rule import rule_opinion

LENGTH, HOSTILE = 500, 20_000
RESOURCES = Path(so8t.__file__).resolve().parent / "resources"  # of the package that is measured
DEMO = RESOURCES / "policies" / "demo.toml"
_KANA = re.compile(r"[ぁ-んァ-ンー]{2,}")
_HIRAGANA = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
    "がぎぐげござじずぜぞだでどばびぶべぼぱぴぷぺぽ"
)
_LATIN = (
    "a i u e o ka ki ku ke ko sa shi su se so ta chi tsu te to na ni nu ne no ha hi fu he ho ma mi mu me mo ya yu yo "
    "ra ri ru re ro wa wo n ga gi gu ge go za ji zu ze zo da de do ba bi bu be bo pa pi pu pe po"
)
_ROMAJI = dict(zip(_HIRAGANA, _LATIN.split(), strict=True))
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
Times = dict[str, dict[str, dict[str, list[float]]]]  # policy -> kind -> wall, cpu -> microseconds


def sentences() -> list[str]:
    """The queries of all requests that come with the package."""
    files = sorted((RESOURCES / "requests").glob("*.jsonl"))
    return [json.loads(line)["query"] for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def words() -> list[str]:
    """Words of the demo policy's lists and rules, without their syntax."""
    root = tomllib.loads(DEMO.read_text(encoding="utf-8"))
    sources = [s for found in root["words"].values() for s in found] + [s for r in root["rules"] for s in r["all"]]
    return sorted({w for s in sources for w in re.findall(r"[ぁ-んァ-ヶ一-龠a-z]{2,}", s)})


def cut(parts: Iterator[str]) -> str:
    text = ""
    while len(text) < LENGTH:
        text += next(parts)
    return text[:LENGTH]


def mixed(text: str, rng: random.Random) -> str:
    """Full-width Latin, half of the letters with something invisible after them."""
    return "".join(c + "\u200b" * (rng.random() < 0.5) for c in text.translate(_WIDE))


def kana(text: str, rng: random.Random) -> str:
    """Only the kana, katakana or hiragana, with spaces between."""
    found = " ".join(_KANA.findall(text)) + " "
    return "".join(chr(ord(c) + 0x60) if "ぁ" <= c <= "ん" else c for c in found) if rng.random() < 0.5 else found


def romaji(text: str, rng: random.Random) -> str:
    return " ".join("".join(_ROMAJI.get(c, "") for c in word) for word in _KANA.findall(text)) + " "


def coded(text: str, rng: random.Random) -> str:
    """The text, then a piece of it in base64, percent escapes or hex."""
    piece = text[: rng.randint(8, 24)]
    data = piece.encode()
    forms = (base64.b64encode(data).decode(), "".join(f"%{b:02X}" for b in data), data.hex())
    return f"{text} {rng.choice(forms)} 。"


def split(text: str, rng: random.Random) -> str:
    return " ".join(text) + "\n"


def dense(found: list[str], rng: random.Random) -> Iterator[str]:
    while True:
        yield "".join(rng.choice(found) + rng.choice("をにのはが、") for _ in range(6)) + "。"


def requests(kind: str, count: int, seed: int = 1) -> list[str]:
    rng = random.Random(f"{kind}-{seed}")
    if kind == "dense":
        return [cut(dense(words(), rng)) for _ in range(count)]
    disguise = DISGUISES[kind]
    texts = sentences()
    return [cut(disguise(rng.choice(texts), rng) for _ in iter(int, 1)) for _ in range(count)]


DISGUISES: dict[str, Callable[[str, random.Random], str]] = {
    "ordinary": lambda text, rng: text, "dense": lambda text, rng: text, "mixed": mixed, "kana": kana,
    "romaji": romaji, "coded": coded, "split": split,
}  # fmt: skip


def tenfold() -> str:
    """The demo policy and nine copies of its rules and word lists, in the nth of which each kanji is the nth after."""
    text = DEMO.read_text(encoding="utf-8").partition("\n[end]")[0]
    root = tomllib.loads(text)
    lists, rules = [], []
    for n in range(1, 10):
        lists += [f'"{name}{n}" = {_toml([moved(w, n) for w in found])}' for name, found in root["words"].items()]
        for rule in root["rules"]:
            regexes = {key: [moved(source, n) for source in rule.get(key, [])] for key in ("all", "none")}
            fields = rule | regexes | {"id": f"{rule['id']}-{n}"}
            rules.append("\n".join(["[[rules]]", *(f"{key} = {_toml(value)}" for key, value in fields.items())]))
    return text.replace("\n[words]\n", "\n".join(["\n[words]", *lists, ""])) + "\n" + "\n".join(rules)


def moved(source: str, n: int) -> str:
    """A regex for other words; one of another word list."""
    return re.sub(
        r"《(\w+)》|[一-鿀]", lambda m: f"《{m.group(1)}{n}》" if m.group(1) else chr(ord(m.group()) + n), source
    )


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # strings, numbers, flags and lists are the same in both


def policies() -> dict[str, Policy]:
    return {
        "demo": parse_policy(DEMO.read_text(encoding="utf-8"), "demo"),
        "tenfold": parse_policy(tenfold(), "tenfold"),
    }


def measure(count: int, seed: int) -> Times:
    """Microseconds of every request, once each; each kind is warmed by requests that are not counted."""
    found: Times = {}
    for name, policy in policies().items():
        for kind in DISGUISES:
            for text in requests(kind, 20, seed + 1000):
                rule_opinion(Request("0", text), policy)
            times = found.setdefault(name, {}).setdefault(kind, {"wall": [], "cpu": []})
            for text in requests(kind, count, seed):
                request = Request("1", text)
                wall, cpu = time.perf_counter_ns(), time.process_time_ns()
                rule_opinion(request, policy)
                times["cpu"].append((time.process_time_ns() - cpu) / 1000)
                times["wall"].append((time.perf_counter_ns() - wall) / 1000)
    return found


def hostile() -> dict[str, str]:
    """Texts meant to keep a judge busy, HOSTILE characters each."""
    found = words()
    rng = random.Random(0)
    coded_once = base64.b64encode("顧客名簿を送れ".encode() * 9).decode()
    units = {
        "matching": "機密をばれないように自宅へ送", "one letter": "あ", "latin": "A", "kanji": "契約", "digits": "0a ",
        "percent": "%E6%A9%9F", "split": "機 密 ", "base64": coded_once + " ", "unreadable": "aZ3bX9qLmN4pR7tV2wYc8K_",
        "base32": "JBSWY3DPEBLW64TMMQ======\n", "base85": "<~87cURD]i,\"Ebo80~> ", "rot13": "cyrnfr fraq ",
        "zipped": "H4sIAAAAAAAA/", "romaji": "kkkk kakiku ", "kana": "ヴァ ー ", "sentences": "あ。", "lines": "\n",
        "near miss": "申請は社外秘データを別の人の", "dense": "".join(rng.sample(found, len(found))),
    }  # fmt: skip
    return {name: (unit * (HOSTILE // len(unit) + 1))[:HOSTILE] for name, unit in units.items()}


def measure_hostile() -> dict[str, dict[str, float]]:
    """Milliseconds of CPU of each attack, by policy."""
    found: dict[str, dict[str, float]] = {}
    for name, policy in policies().items():
        for kind, text in hostile().items():
            cpu = time.process_time_ns()
            rule_opinion(Request("1", text), policy)
            found.setdefault(name, {})[kind] = (time.process_time_ns() - cpu) / 1e6
    return found


def child(source: Path, arguments: list[str]) -> Any:
    """What this script measures with the package of another folder."""
    command = [sys.executable, __file__, "--raw", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def rounds(sources: dict[str, Path], count: int, number: int) -> dict[str, list[Times]]:
    """All rounds of every source folder, taking turns; every round has the same requests."""
    found: dict[str, list[Times]] = {name: [] for name in sources}
    for _ in range(number):
        for name, source in sources.items():
            found[name].append(child(source, [str(count), "0"]))
    return found


def summary(measured: list[Times]) -> dict[str, dict[str, dict[str, float]]]:
    """policy -> kind or all -> p50 and p99, microseconds: of all times, and of the fastest of each request."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for policy, kinds in measured[0].items():
        rows = {kind: _clocks([times[policy][kind] for times in measured]) for kind in kinds}
        rows["all"] = {clock: [v for row in rows.values() for v in row[clock]] for clock in next(iter(rows.values()))}
        found[policy] = {kind: _quantiles(clocks) for kind, clocks in rows.items()}
    return found


def _clocks(measured: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    together = {clock: [v for times in measured for v in times[clock]] for clock in ("wall", "cpu")}
    return together | {"best": [min(values) for values in zip(*(t["wall"] for t in measured), strict=True)]}


def _quantiles(clocks: dict[str, list[float]]) -> dict[str, float]:
    rows = {}
    for clock, values in clocks.items():
        rows[f"{clock}_p50"] = median(values)
        rows[f"{clock}_p99"] = sorted(values)[int(len(values) * 0.99)]
    return rows


def table(summaries: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    columns = ("wall_p50", "wall_p99", "cpu_p50", "cpu_p99", "best_p50", "best_p99")
    names = [f"{name} {column}" for name in summaries for column in columns]
    lines = ["| policy | requests | " + " | ".join(names) + " |", "|---|---|" + "--:|" * len(names)]
    first = next(iter(summaries.values()))
    for policy, kinds in first.items():
        for kind in kinds:
            figures = [f"{summaries[name][policy][kind][column]:.0f}" for name in summaries for column in columns]
            lines.append(f"| {policy} | {kind} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300, help="of each kind, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="source folder of another state of the package")
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--raw", nargs=2, type=int, metavar=("REQUESTS", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.raw:
        print(json.dumps(measure_hostile() if given.hostile else measure(*given.raw)))
        return
    sources = {"now": Path(so8t.__file__).resolve().parents[1]}
    if given.against:
        sources = {"before": given.against.resolve(), **sources}
    if given.hostile:
        found = {name: child(source, ["0", "0", "--hostile"]) for name, source in sources.items()}
        print(json.dumps(found, indent=1))
        return
    summaries = {name: summary(times) for name, times in rounds(sources, given.requests, given.rounds).items()}
    print(json.dumps(summaries, indent=1) if given.json else table(summaries))


if __name__ == "__main__":
    main()

"""Do the plan's ideas help? PET, gates, their parametrisation and PET's normalisation, each on and off in pairs.

    python3 benchmarks/ablation_study.py --from runs/tiny          the study: about 20 minutes on two quiet cores
    python3 benchmarks/ablation_study.py --profile micro --epochs 0 --window 320 --windows 2 --requests 12 --threads 1
    python3 benchmarks/ablation_study.py --markdown runs/ablation/ablation-study.json     the tables again

Every factor is one `so8t compare --vary` in one folder, so that what the profile has already (the baseline) is trained
once for all of them. The same command resumes. `--epochs 0` leaves the profile's epochs as they are; fewer epochs make
the study shorter and its findings about shorter trainings. Holm's correction is made over all factors together.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

FACTORS = ("pet", "gate", "parametrisation", "normalisation")
LEVEL = 0.05
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--from", dest="shared", type=Path, metavar="RUN", help="a run to take data and base from")
    parser.add_argument("--only", nargs="+", choices=FACTORS, default=list(FACTORS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=0.5)
    parser.add_argument("--window", type=int, default=0)
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--markdown", type=Path, metavar="JSON", help="print the tables of an earlier study")
    options = parser.parse_args()
    if options.markdown:
        print(markdown(json.loads(options.markdown.read_text(encoding="utf-8"))))
        return 0
    return study(options)


def study(options: argparse.Namespace) -> int:
    """Every factor in this one process, so that all are trained by the same code."""
    from so8t.cli import main as so8t

    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    for factor in options.only:
        code = so8t(arguments(factor, options))
        if code:
            return code
    record = {
        "profile": options.profile, "epochs": options.epochs, "seeds": options.seeds,
        "seconds": round(time.monotonic() - begin, 1), "factors": {f: result(f, options.out) for f in options.only},
    }  # fmt: skip
    correct([row for factor in record["factors"].values() for row in rows(factor)])
    path = options.out / "ablation-study.json"
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(markdown(record))
    print(path, file=sys.stderr)
    return 0


def arguments(factor: str, options: argparse.Namespace) -> list[str]:
    """The command line of one factor."""
    config = options.out / "so8t.toml"
    epochs = f"[train]\nepochs = {options.epochs}\n" if options.epochs else ""
    config.write_text(f'profile = "{options.profile}"\nthreads = {options.threads}\n{epochs}', encoding="utf-8")
    words = ["compare", "--vary", factor, "--config", config, "--seeds", options.seeds, "--out", options.out]
    words += ["--window", options.window, "--windows", options.windows, "--requests", options.requests]
    return [str(w) for w in (*words, *(["--from", options.shared] if options.shared else []))]


def result(factor: str, out: Path) -> Row:
    found: Row = json.loads((out / f"compare-{factor}.json").read_text(encoding="utf-8"))
    return found


def rows(factor: Row) -> list[Row]:
    return [row for part in factor["comparisons"] for row in part["figures"]]


def correct(every: list[Row]) -> None:
    """Holm over the whole study: p_study of every row that was judged within its own factor."""
    from so8t.prove.ablation.differences import holm

    judged = [row for row in every if row["p_holm"] is not None]
    for row, p in zip(judged, holm([row["p"] for row in judged]), strict=True):
        row["p_study"] = p
        row["stands"] = row["verdict"] == "effect" and p < LEVEL


def markdown(record: Row) -> str:
    """One table a factor, in Japanese, for docs/results/ablations.md."""
    from so8t.report.compare_words import interval, p_value, pair_cells

    family = sum("p_study" in row for factor in record["factors"].values() for row in rows(factor))
    lines = [f"profile {record['profile']}、シード {record['seeds']}、epochs {record['epochs'] or '既定'}、"]
    lines[0] += f"{record['seconds']:.0f} 秒(再開した分を除く)、見た項目 {family}。"
    for name, factor in record["factors"].items():
        for part in factor["comparisons"]:
            lines += ["", f"### {name}: {factor['control']} → {part['level']}", ""]
            lines += [
                "| 項目 | 対照 | 処置 | 差 | 95 % 区間 | p(この要因) | p(全体) | 判定 |",
                "|---|--:|--:|--:|--:|--:|--:|---|",
            ]
            for row in part["figures"]:
                name_, control, treatment, difference, *_, verdict = (w.ja for w in pair_cells(row))
                p = p_value(row["p_holm"]), p_value(row.get("p_study"))
                verdict += "" if row.get("stands", True) or row["verdict"] != "effect" else "、全体では残らない"
                cells = (name_, control, treatment, difference, interval(row), *p, verdict)
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

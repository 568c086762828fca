"""so8t prove RUN|BUNDLE and so8t calibrate: measure a finished bundle on anybody's requests, changing nothing of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from so8t.commands import run
from so8t.commands.use import trusted_key
from so8t.core.bundle import LISTING, open_bundle
from so8t.core.config import ProveConfig, load_config
from so8t.core.errors import SourceUnreadable, UsageError
from so8t.core.files import write_json, write_text
from so8t.core.progress import Progress
from so8t.core.run import Run
from so8t.core.types import Sample, Split
from so8t.pipeline import find_run
from so8t.report.summary import card_table, table

OUT = Path("proof")


def prove(options: argparse.Namespace) -> int:
    """The stage of a run, or, given a RUN or BUNDLE, a card of that bundle beside it; exit 0 also when it fails."""
    if not options.target:
        if options.data or options.texts or options.out:
            raise UsageError(detail="so8t prove RUN|BUNDLE --data F --out DIR")
        return run.stage(options)
    from so8t.prove.bundle_proof import prove_bundle
    from so8t.report.card import card_html

    folder, made_by = finished(options)
    out = options.out or OUT
    refuse_inside(out, [folder, *([made_by.folder] if made_by else [])])
    settings = load_config(options.profile, options.config).prove
    bundle = open_bundle(folder, trusted_key(options))
    samples, source = _requests(options, folder, made_by, settings)
    texts = _texts(options, made_by, settings)
    card = prove_bundle(bundle, samples, source, texts, settings, Progress(lang=options.lang))
    _folder(out)
    write_json(out / "card.json", card)
    write_text(out / "card.html", card_html(card, options.lang))
    summary = {"card": str(out / "card.json"), "requests": len(samples), "passed": card["thresholds"]["passed"]}
    print(
        json.dumps(summary, ensure_ascii=False)
        if options.json
        else f"{card_table(card, options.lang)}\n{out / 'card.html'}"
    )
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Fits the temperatures on --data, writes them to --out, and shows what they change."""
    from so8t.prove.bundle_proof import read_requests
    from so8t.prove.recalibrate import recalibrate

    if options.threads < 1:
        raise UsageError(detail="--threads N (1 ≤ N)")
    refuse_inside(options.out, [options.bundle])
    bundle = open_bundle(options.bundle, trusted_key(options))
    samples = read_requests(bundle.folder, options.data, Split.CALIBRATION)
    found = recalibrate(bundle, samples, options.threads, Progress(lang=options.lang))
    _folder(options.out.resolve().parent)
    write_json(options.out, {name: f.calibration.to_json() for name, f in found.items()})
    reports = {name: f.report for name, f in found.items()}
    if options.json:
        print(json.dumps({"out": str(options.out), "reports": reports}, ensure_ascii=False))
    else:
        print(report_table(reports, options.lang))
        print(rebuild(options))
    return 0


def finished(options: argparse.Namespace) -> tuple[Path, Run | None]:
    """The bundle's folder, and the run that made it if a run was named. Raises RunMissing, StageMissing."""
    path = Path(options.target)
    if (path / LISTING).is_file():
        return path, None
    made_by = find_run(options.target, options.runs)
    return made_by.require("bundle"), made_by


def refuse_inside(out: Path, folders: list[Path]) -> None:
    """What is written into a bundle breaks its signature, what is written into a run breaks the run."""
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(where=folder, detail=f"--out {out}")


def _requests(
    options: argparse.Namespace, folder: Path, made_by: Run | None, settings: ProveConfig
) -> tuple[list[Sample], Path]:
    from so8t.prove.bundle_proof import read_requests
    from so8t.prove.stage import evaluation_samples, limited

    if options.data is not None:
        return limited(read_requests(folder, options.data), settings.limit), options.data
    if made_by is None:
        raise UsageError(detail="--data F")
    made_by.verify("validate")
    splits = made_by.stage("validate")
    return evaluation_samples(splits, Split.TEST, settings.limit), splits / f"{Split.TEST}.jsonl"


def _texts(options: argparse.Namespace, made_by: Run | None, settings: ProveConfig) -> list[str]:
    from so8t.prove.evaluation import read_texts
    from so8t.prove.perplexity import MAXIMUM_TEXTS, held_out_texts

    if not settings.perplexity_tokens:
        return []
    if options.texts is not None:
        return read_texts(options.texts, MAXIMUM_TEXTS)
    return held_out_texts(made_by.stage("validate")) if made_by else []


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceUnreadable(where=path, detail=type(error).__name__) from error


def report_table(reports: dict[str, dict[str, Any]], lang: str) -> str:
    """Before, after and the plan's grid, one line a quantisation."""
    rows = []
    for name, r in reports.items():
        grid = r["plan_grid"]
        best = min(error for _, error in grid["ece"])
        for key in ("before", "after"):
            e = r[key]
            when = {"ja": {"before": "前", "after": "後"}, "en": {"before": "before", "after": "after"}}[lang][key]
            temperature = f"{r['temperature'][key]:.3f}"
            rows.append([name, when, temperature, f"{e['ece']:.4f}", f"{e['nll']:.4f}", f"{e['brier']:.4f}"])
        plan = "計画の格子" if lang == "ja" else "plan's grid"
        limit = r["allow"]["after"]
        if limit["bound"] is not None:
            heading = "許可の上限" if lang == "ja" else "limit of ALLOW"
            shown = f"{limit['allowed']} / {limit['dangerous']} ≤ {limit['at_most']:.3f} ({limit['bound']:g})"
            rows.append([name, heading, f"{limit['below']:.3f}", shown, "", ""])
        rows.append([name, plan, f"{grid['temperature']:.3f}", f"{best:.4f}", "", ""])
    heads = ["形式", "", "温度", "ECE", "NLL", "Brier"] if lang == "ja" else ["file", "", "T", "ECE", "NLL", "Brier"]
    return table(rows, heads)


def rebuild(options: argparse.Namespace) -> str:
    """A changed calibration is another payload: it needs another card and another signature."""
    if options.lang == "ja":
        return (
            f"温度を {options.out} に書きました。バンドルは変えていません(変えると署名が合わなくなります)。\n"
            f'反映するには so8t.toml の [prove] に calibration = "{options.data}" と書き、\n'
            "so8t run --accept-change で測り直してバンドルを作り直してください。"
        )
    return (
        f"Temperatures written to {options.out}. The bundle is unchanged (changing it would break its signature).\n"
        f'To put them to use write calibration = "{options.data}" under [prove] in so8t.toml\n'
        "and rebuild the bundle with so8t run --accept-change, which proves it anew."
    )

"""The pictures and figures of docs/rotation-pet-fold.md, all measured on one finished run.

    .venv/bin/python benchmarks/pictures.py runs/tiny                                print the figures, draw nothing
    .venv/bin/python benchmarks/pictures.py runs/tiny --images docs/images \\
        --write docs/rotation-pet-fold.md docs/rotation-pet-fold.en.md               and rewrite pictures and tables

NAME.svg has Japanese words, NAME.en.svg English ones. The same run gives the same pictures. Most of the time goes to
three short trainings that differ in PET alone (--steps; 0 leaves them and their picture out).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from rotation_page import figures, folding, folding_picture, smoothing, smoothing_pictures, turning, turning_pictures
from rotation_page.finished import Finished
from rotation_page.sheet import LANGUAGES
from training import machine

from so8t.core.files import write_text


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("run", type=Path, help="runs/NAME after the stage burnin")
    made.add_argument("--images", type=Path, help="folder for the pictures")
    made.add_argument("--write", type=Path, nargs="+", default=[], help="pages whose tables are made anew")
    made.add_argument("--steps", type=int, default=60, help="of each of the three short trainings")
    made.add_argument("--threads", type=int, default=1)
    return made


def pictures(
    turned: turning.Turning, smooth: smoothing.Smoothing, folded: folding.Folding, lang: str
) -> Iterator[tuple[str, str]]:
    """(name, SVG) of every picture in one language."""
    yield "rotation-planes", turning_pictures.block_planes(turned, lang)
    yield "rotation-angles", turning_pictures.block_angles(turned, smooth.history, lang)
    yield "pet-time", smoothing_pictures.along_time(smooth.sentence, lang)
    yield "pet-spectrum", smoothing_pictures.spectrum(smooth, lang)
    if smooth.trials:
        yield "pet-scaling", smoothing_pictures.scalings(smooth.trials, lang)
    yield "training-curves", smoothing_pictures.curves(smooth, lang)
    yield "fold-difference", folding_picture.differences(folded, lang)


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    found, run = machine.facts(), Finished(options.run)
    turned, folded = turning.measure(run), folding.measure(run)
    smooth = smoothing.measure(run, options.steps)
    block = figures.tables(run, turned, smooth, folded, found)
    print(machine.line(found))
    print(*(block(name, lang) for lang in LANGUAGES for name in figures.NAMES), sep="\n")
    figures.write(options.write, block)
    for lang, ending in zip(LANGUAGES, ("", ".en"), strict=True) if options.images else ():
        for name, picture in pictures(turned, smooth, folded, lang):
            write_text(options.images / f"{name}{ending}.svg", picture)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Start one contestant in this process, or several as processes of their own."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from training import with_trl
from training.shapes import Case
from training.turns import Contestant, Turns, play

THREADS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for a load average below 1.0")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "CASE"), help=argparse.SUPPRESS)


def work(options: argparse.Namespace) -> None:
    """Be the contestant that the parent asked for."""
    turns = Turns()
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    name, case = options.worker[0], Case(**json.loads(options.worker[1]))
    from training import ours

    turns.libraries_are_loaded()
    (with_trl.drive if name in with_trl.NAMES else ours.drive)(name, case, turns)


@contextmanager
def started(script: str, names: Sequence[str], case: Case, threads: int) -> Iterator[list[Contestant]]:
    """Running contestants, model and data in place."""
    given = json.dumps(dataclasses.asdict(case))
    with ExitStack() as stack:
        commands = ([sys.executable, script, "--threads", str(threads), "--worker", name, given] for name in names)
        yield [stack.enter_context(Contestant(n, c)) for n, c in zip(names, commands, strict=True)]


def contest(
    script: str, names: Sequence[str], case: Case, rounds: int, threads: int, warm: int = 1
) -> dict[str, Contestant]:
    """Play it out; what each did stays readable in its `steps`."""
    with started(script, names, case, threads) as contestants:
        play(contestants, rounds, warm)
        return {c.name: c for c in contestants}


def available(names: Sequence[str]) -> list[str]:
    """Without TRL the others still run, and it is said what is missing."""
    if with_trl.installed():
        return list(names)
    print(with_trl.HOW_TO_INSTALL, file=sys.stderr)
    return [n for n in names if n not in with_trl.NAMES]

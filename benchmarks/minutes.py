"""The minutes' model: fit it, and measure the minutes against meetings labelled by hand.

    python3 benchmarks/minutes.py fit [--write]     folds over resources/minutes; --write: models/minutes_model.npz
    python3 benchmarks/minutes.py measure dev       or test, test2: benchmarks/minutes/{dev,test,test2}.jsonl
    python3 benchmarks/minutes.py speed             a meeting of three hours
    python3 benchmarks/minutes.py words dev --model F.gguf   what a small model's words come to (Gemma's turns)

An item is found if it shares a line with a labelled one of its kind, one to one (most shared lines first). Owner and
due are counted over the to-dos found; a due is right if it is the same words but for まで and に.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.packaged import packaged, policy_text
from so8t.core.text import nfkc
from so8t.core.types import Domain
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import DomainModel
from so8t.decide.policy import parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate.answering import Answering
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.minutes import linking
from so8t.operate.minutes.items import Item, items
from so8t.operate.minutes.making import MinutesOrder, MinutesWork, request
from so8t.operate.minutes.spotting import BUCKETS, KINDS, Spotter, features
from so8t.operate.minutes.transcript import Transcript, Utterance

FOLDS = 6
RICH = ("i", "j")  # written to hold many open points: fitted to, but thresholds are for meetings as they are
PENALTIES = (3e-6,)
STEPS = 60
LABELS = {"decision": "decisions", "todo": "todos", "open": "open"}
LINK_PENALTY = 1e-3
CONTEXT = 2048
GEMMA = (
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n{{ m.content }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
Meeting = dict[str, Any]
Held = Sequence[tuple[Sequence[Meeting], Spotter]]  # meetings, and a model that has not seen them


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fit", "measure", "speed", "words"))
    parser.add_argument("part", nargs="?", default="dev", choices=("dev", "test", "test2"))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--model", type=Path, metavar="GGUF")
    options = parser.parse_args()
    if options.what == "fit":
        return fit(options.write)
    spotter = Spotter.from_bytes(packaged("models", "minutes_model.npz").read_bytes())
    if options.what == "speed":
        return speed(spotter)
    meetings = read([Path(__file__).parent / "minutes" / f"{options.part}.jsonl"])
    if options.what == "words":
        return asyncio.run(words(meetings, options.model))
    return measure(meetings, spotter)


def read(paths: Iterable[Path]) -> list[Meeting]:
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines() if line]


def transcript(meeting: Meeting) -> Transcript:
    """Line n of the source is utterance n - 1 of the meeting."""
    said = tuple(Utterance(n, speaker, nfkc(text)) for n, (speaker, text) in enumerate(meeting["lines"], 1))
    return Transcript(tuple(f"{one.speaker}: {one.text}" for one in said), said)


@dataclass(slots=True)
class Count:
    found: int = 0
    made: int = 0
    wanted: int = 0
    owner: int = 0
    due: int = 0

    def rates(self) -> tuple[float, float, float]:
        precision, recall = self.found / max(1, self.made), self.found / max(1, self.wanted)
        return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


@dataclass(slots=True)
class Score:
    kinds: dict[str, Count] = field(default_factory=lambda: {kind: Count() for kind in KINDS})

    def add(self, meeting: Meeting, made: Sequence[Item]) -> None:
        for kind, count in self.kinds.items():
            labels, own = meeting[LABELS[kind]], [item for item in made if item.kind == kind]
            pairs = matched([{n + 1 for n in label["lines"]} for label in labels], [set(item.lines) for item in own])
            count.found, count.made, count.wanted = (
                count.found + len(pairs), count.made + len(own), count.wanted + len(labels),
            )  # fmt: skip
            if kind == "todo":
                count.owner += sum(same_owner(labels[a]["owner"], own[b].owner) for a, b in pairs)
                count.due += sum(same_due(labels[a]["due"], own[b].due) for a, b in pairs)


def matched(wanted: Sequence[set[int]], made: Sequence[set[int]]) -> list[tuple[int, int]]:
    order = sorted(
        ((len(w & m) / len(w | m), a, b) for a, w in enumerate(wanted) for b, m in enumerate(made) if w & m),
        reverse=True,
    )
    pairs: dict[int, int] = {}
    for _, a, b in order:
        if a not in pairs and b not in pairs.values():
            pairs[a] = b
    return list(pairs.items())


def same_owner(label: str, made: str | None) -> bool:
    return made is not None and (label in made or made in label)


def same_due(label: str | None, made: str | None) -> bool:
    return _bare(label) == _bare(made)


def _bare(due: str | None) -> str:
    return nfkc(due or "").removesuffix("に").removesuffix("まで")


@dataclass(slots=True)
class Design:
    """x [utterances, BUCKETS] sparse, y [utterances, 3] of each meeting."""

    x: list[Any] = field(default_factory=list)
    y: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, meetings: Sequence[Meeting]) -> Design:
        import torch

        made = cls()
        for meeting in meetings:
            said = transcript(meeting).utterances
            rows, columns, values = features(said)
            size, places = (len(said), BUCKETS), torch.from_numpy(np.stack([rows, columns]))
            x = torch.sparse_coo_tensor(places, torch.from_numpy(values), size, check_invariants=True)
            y = torch.zeros(len(said), len(KINDS))
            for k, kind in enumerate(KINDS):
                y[sorted({n for label in meeting[LABELS[kind]] for n in label["lines"]}), k] = 1
            made.x.append(x.coalesce())
            made.y.append(y)
        return made


def fitted(design: Design, meetings: Sequence[int], penalty: float) -> Spotter:
    """Least binary cross entropy + penalty x |weight|², by L-BFGS; deterministic."""
    import torch

    torch.set_num_threads(1)
    x, y = torch.cat([design.x[i] for i in meetings]), torch.cat([design.y[i] for i in meetings])
    used, places = torch.unique(x.coalesce().indices()[1], return_inverse=True)
    x = torch.sparse_coo_tensor(
        torch.stack([x.coalesce().indices()[0], places]), x.coalesce().values(), (len(y), len(used)),
        check_invariants=True,
    ).coalesce()  # fmt: skip
    weight = torch.zeros(len(used), len(KINDS), requires_grad=True)
    bias = torch.full((len(KINDS),), -2.0, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        scores = torch.sparse.mm(x, weight) + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, y) + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    whole = np.zeros((len(KINDS), BUCKETS), np.float32)
    whole[:, used.numpy()] = weight.detach().T.numpy()
    link = np.zeros((len(KINDS), linking.FEATURES), np.float32)
    return Spotter(whole, bias.detach().numpy(), np.full(len(KINDS), 0.5, np.float32), link)


def linked(held: Held) -> np.ndarray:
    """[3, FEATURES] logistic weights of whether two neighbouring labelled utterances are of one item; their
    probabilities are those of a model that has not seen the meeting."""
    import torch

    weights = []
    for k, kind in enumerate(KINDS):
        x, y = list[np.ndarray](), list[float]()
        for meetings, spotter in held:
            for meeting in meetings:
                said, labels = transcript(meeting).utterances, [set(i["lines"]) for i in meeting[LABELS[kind]]]
                p = spotter.probabilities(said)[:, k]
                lines = sorted(set().union(*labels))
                for a, b in pairwise(lines):
                    if b - a <= linking.REACH:
                        x.append(linking.features(said, a, b, float(p[a]), float(p[b])))
                        y.append(float(any({a, b} <= label for label in labels)))
        made = torch.zeros(linking.FEATURES, requires_grad=True)
        inputs, wanted = torch.from_numpy(np.stack(x)), torch.tensor(y)
        optimizer = torch.optim.LBFGS([made], max_iter=100, line_search_fn="strong_wolfe")

        def closure(made: Any = made, inputs: Any = inputs, wanted: Any = wanted, o: Any = optimizer) -> Any:
            o.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ made, wanted)
            loss = loss + LINK_PENALTY * made.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        right = float(((inputs @ made > 0) == (wanted > 0.5)).float().mean())
        print(f"  links of {kind}: {len(y)}, of one item {np.mean(y):.2f}, told right {right:.2f}")
        weights.append(made.detach().numpy())
    return np.stack(weights)


def fit(write: bool) -> int:
    meetings = read(sorted(packaged("minutes").glob("*.jsonl")))
    print(f"{len(meetings)} meetings, {sum(len(m['lines']) for m in meetings)} utterances")
    usual = [i for i, meeting in enumerate(meetings) if not meeting["id"].startswith(RICH)]
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    design, everything = Design.of(meetings), range(len(meetings))
    for penalty in PENALTIES:
        parts = [usual[fold::FOLDS] for fold in range(FOLDS)]
        held = [
            ([meetings[i] for i in part], fitted(design, [i for i in everything if i not in part], penalty))
            for part in parts
        ]
        link = linked(held)
        held = [(part, replace(spotter, link=link)) for part, spotter in held]
        threshold = chosen(held)
        score = scored(held, threshold)
        mean = float(np.mean([count.rates()[2] for count in score.kinds.values()]))
        print(f"penalty {penalty:g}, thresholds {threshold.round(2).tolist()}, mean F1 {mean:.3f}")
        show(score)
        if best is None or mean > best[0]:
            best = (mean, penalty, threshold, link)
    assert best is not None
    if write:
        spotter = fitted(design, everything, best[1])
        made = replace(spotter, threshold=best[2], link=best[3])
        packaged("models", "minutes_model.npz").write_bytes(made.to_bytes())
        print(f"written: penalty {best[1]:g}")
    return 0


def chosen(held: Held) -> np.ndarray:
    """Per kind, the threshold with the best F1 of items over the folds."""
    threshold = np.full(len(KINDS), 0.5, np.float32)
    for k, kind in enumerate(KINDS):
        tried = {}
        for value in np.arange(0.05, 0.75, 0.05):
            threshold[k] = value
            tried[float(value)] = scored(held, threshold).kinds[kind].rates()[2]
        threshold[k] = max(tried, key=lambda v: tried[v])
    return threshold


def scored(held: Held, threshold: np.ndarray) -> Score:
    score = Score()
    for meetings, spotter in held:
        for meeting in meetings:
            score.add(meeting, items(transcript(meeting), replace(spotter, threshold=threshold)))
    return score


def show(score: Score) -> None:
    for kind, count in score.kinds.items():
        precision, recall, f1 = count.rates()
        more = f"  owner {count.owner}/{count.found}  due {count.due}/{count.found}" if kind == "todo" else ""
        counts = f"({count.found}/{count.made}/{count.wanted})"
        print(f"  {kind:9} P {precision:.2f} R {recall:.2f} F1 {f1:.2f}  {counts}{more}")


def measure(meetings: Sequence[Meeting], spotter: Spotter) -> int:
    score = Score()
    for meeting in meetings:
        score.add(meeting, items(transcript(meeting), spotter))
    show(score)
    return 0


def speed(spotter: Spotter) -> int:
    meetings = read(sorted(packaged("minutes").glob("*.jsonl")))
    lines = [line for meeting in meetings for line in meeting["lines"]][:2000]
    long = transcript({"lines": lines})
    begin = time.perf_counter()
    found = items(long, spotter)
    characters = sum(len(one.text) for one in long.utterances)
    print(f"{len(lines)} utterances, {characters} characters, {len(found)} items: {time.perf_counter() - begin:.2f} s")
    return 0


async def words(meetings: Sequence[Meeting], model: Path) -> int:
    """The work of the task "minutes" over a real llama.cpp: how much of what the model writes holds."""
    policy = parse_policy(*policy_text("demo"))
    asked = kept = 0
    with serve(model, CONTEXT, threads=2) as address:
        backend = LlamaCpp(address)
        domains = DomainModel.from_bytes(packaged("models", "domain_model.npz").read_bytes())
        judge = TripleJudge(
            policy, ModelJudge(backend, ChatFormat(GEMMA), "compact", 1.0), PrecedentStore([]), domains, Calibration()
        )
        work = MinutesWork(Answering(backend, CONTEXT), 600.0)
        for meeting in meetings:
            identity = Identity("b", frozenset({Role.USER}), policy.levels.names[-1], "key")
            text, begin = "\n".join(transcript(meeting).source), time.perf_counter()
            answer = await work(
                request(identity, MinutesOrder(meeting["id"]), text, None, policy), Domain.GENERAL, judge
            )
            told = (answer.made or {})["model"]
            asked, kept = asked + told["asked"], kept + told["kept"]
            print(f"{meeting['id']}: asked {told['asked']}, held {told['kept']}, {time.perf_counter() - begin:.0f} s")
            print(
                "\n".join(line for line in answer.text.splitlines() if line.startswith("- ") and "発言「" not in line)
            )
        await backend.close()
    print(f"{kept} of {asked} answers held")
    return 0


if __name__ == "__main__":
    sys.exit(main())

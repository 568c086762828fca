"""The domain model learns from a few texts, the same every time, and is honest about what it held out."""

from __future__ import annotations

from pathlib import Path

import torch

from so8t.build.data.domains import HELD_OUT, train
from so8t.core.files import read_json, read_jsonl
from so8t.core.packaged import packaged
from so8t.core.types import Domain
from so8t.decide.domain import DomainModel

WORDS = {
    Domain.MEDICAL: "患者の診察と処方を記録する病棟",
    Domain.FINANCE: "融資の審査と口座の預金利息",
    Domain.AEROSPACE: "機体の整備と翼の点検記録",
}


def texts(n: int = 24) -> list[tuple[str, Domain]]:
    return [(f"{words}について第{k}回の説明をします。", domain) for k in range(n) for domain, words in WORDS.items()]


def test_it_learns_and_says_how_well() -> None:
    model, facts = train(texts())
    assert facts["accuracy"] == 1.0 and facts["held_out"] == len(texts()) // HELD_OUT
    assert facts["texts"] == len(texts())
    assert model.classify("病棟の患者に処方した記録")[0] is Domain.MEDICAL
    assert model.classify("口座の利息と融資")[0] is Domain.FINANCE


def test_the_same_texts_the_same_model_however_many_cores() -> None:
    before = torch.get_num_threads()
    made = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        made.append(train(texts()))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    (first, facts), (second, again) = made
    assert first.to_bytes() == second.to_bytes() and facts == again


def test_without_held_out_texts_the_temperature_is_neutral() -> None:
    model, facts = train(texts()[:1] * 2)
    assert model.temperature > 0 and facts["held_out"] == 1


def test_the_model_of_the_micro_run_knows_the_corpus(micro_run: Path) -> None:
    model = DomainModel.from_bytes((micro_run / "bundle" / "domain_model.npz").read_bytes())
    records = [r for path in sorted(packaged("corpus").glob("*.jsonl")) for _, r in read_jsonl(path)]
    found = [(model.classify(r["text"])[0], Domain(r["domain"])) for r in records]
    assert sum(a is b for a, b in found) / len(found) > 0.9
    facts = read_json(micro_run / "collect" / "collection_stats.json")["domain_model"]
    assert facts["accuracy"] > 0.6 and facts["held_out"] > 100

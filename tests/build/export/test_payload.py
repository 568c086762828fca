"""What the wording model of a bundle learns from: what people wrote, the company's own included."""

from __future__ import annotations

from so8t.build.export.payload import by_people
from so8t.core.types import Decision, Domain, Sample, Split


def sample(id: str, source: str, decision: Decision | None = Decision.ALLOW) -> Sample:
    return Sample(id, "request", "文", source, "t", Domain.GENERAL, Split.TRAIN, id, decision=decision)


def test_what_the_generator_composes_is_left_out() -> None:
    train = [
        sample("w", "so8t written requests/desk"), sample("g", "so8t synth"), sample("o", "own/2026-11"),
        sample("s", "so8t synth (written seed)"), sample("m", "so8t multimodal"),
        sample("t", "so8t written requests/desk", None),
    ]  # fmt: skip
    assert [s.id for s in by_people(train)] == ["w", "o"]


def test_where_nobody_wrote_anything_all_of_it_has_to_do() -> None:
    composed = [sample("g", "so8t synth"), sample("h", "so8t synth")]
    assert by_people(composed) == composed

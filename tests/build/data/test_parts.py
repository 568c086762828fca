"""A part is a pure function of its documents: every item is accounted for, and rows go with what is known of them."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.build.data.parts import Counts, Part, Recipe, make_part
from so8t.core.files import read_jsonl
from so8t.core.packaged import packaged
from so8t.core.types import Domain, Sample, Split
from so8t.decide.domain import DOMAINS
from so8t.documents.document import Document, Skipped

from .conftest import GOOD, different


def documents(texts: list[str], **more: object) -> list[Document]:
    return [Document(t, f"a.jsonl:{n}", source="s", license="CC0-1.0", **more) for n, t in enumerate(texts, 1)]  # type: ignore[arg-type]


def samples(part: Part) -> list[Sample]:
    return [Sample.from_json(orjson.loads(line)) for line in part.rows.splitlines()]


def test_good_texts_become_samples_and_junk_is_counted(recipe: Recipe) -> None:
    part = make_part([*documents([GOOD, "メニュー|トップ|戻る", ""]), Skipped("b.txt", "not text")], recipe)
    (sample,) = samples(part)
    assert (sample.text, sample.domain, sample.source, sample.family) == (GOOD, Domain.FINANCE, "s", "a.jsonl:1")
    assert part.counts.dropped == {"quality": 1, "empty": 1, "not text": 1}
    assert (part.counts.documents, part.counts.pieces, part.counts.kept) == (3, 2, 1)
    assert part.counts.characters == len(GOOD) and sum(part.counts.kept_quality.values()) == 1
    assert part.rejected[0]["reasons"] and sum(part.counts.reasons.values()) >= 1
    assert part.skipped == (Skipped("b.txt", "not text"),)


def test_what_is_known_goes_with_its_row(recipe: Recipe) -> None:
    texts = different(30)
    part = make_part(documents([t for text in texts for t in (text, "x")]), recipe)
    rows = samples(part)
    assert [s.text for s in rows] == texts and len(part.known) == 30
    assert [s.id for s in rows] == [f"text-{key:016x}" for key in part.known["keys"][:, 0].tolist()]
    assert {DOMAINS[k] for k in part.known["domain"]} == {Domain.FINANCE} and (part.known["quality"] >= 0.7).all()
    assert (np.load(io.BytesIO(part.known_bytes()), allow_pickle=False) == part.known).all()


def test_a_stated_domain_is_believed(recipe: Recipe) -> None:
    part = make_part(documents([GOOD], domain=Domain.MEDICAL), recipe)
    assert samples(part)[0].domain is Domain.MEDICAL and part.known["confidence"].tolist() == [1.0]


def test_pieces_of_a_document_share_place_and_split(recipe: Recipe) -> None:
    paragraphs = [row["text"] for _, row in read_jsonl(packaged("corpus", "medical.jsonl"))]
    part = make_part(documents(["\n".join(paragraphs[n : n + 8]) for n in range(0, 32, 8)]), recipe)
    by_place: dict[str, set[Split]] = {}
    for sample in samples(part):
        assert len(sample.text) <= 800
        by_place.setdefault(sample.family, set()).add(sample.split)
    assert len(by_place) == 4 and all(len(splits) == 1 for splits in by_place.values())
    assert part.counts.kept > 4


def test_the_plans_score_is_an_option(recipe: Recipe) -> None:
    part = make_part(documents([GOOD * 4, GOOD]), dataclasses.replace(recipe, scorer="plan"))
    assert part.counts.kept + part.counts.dropped["quality"] == 2


def test_the_recipe_knows_what_it_depends_on(recipe: Recipe) -> None:
    changes = {"scorer": "plan", "minimum_quality": 0.5, "longest": 9, "validation_share": 0.5, "domain_model": b""}
    changed = [dataclasses.replace(recipe, **{k: v}) for k, v in changes.items()]
    assert len({r.digest for r in [recipe, *changed]}) == 6


@given(st.lists(st.sampled_from([GOOD, "短い。", "", "\0", "x" * 5000, "か\u3099" * 100, "😀" * 90]), max_size=8))
@settings(max_examples=60)
def test_every_document_is_accounted_for(texts: list[str]) -> None:
    part = make_part(documents(texts), RECIPE)
    counts = part.counts
    assert counts.documents == len(texts) and len(part.known) == counts.kept == len(part.rows.splitlines())
    assert counts.pieces == counts.kept + counts.dropped["quality"]
    assert Counts.from_json(counts.to_json()) == counts


def _recipe() -> Recipe:
    from so8t.decide.domain import DomainModel
    from so8t.decide.linear import BUCKETS

    flat = DomainModel(np.zeros((8, BUCKETS), np.float32), np.zeros(8, np.float32), 1.0, 0.0)
    return Recipe("so8t", 0.7, 800, 0.1, flat.to_bytes())


RECIPE = _recipe()

"""The first token of a label equals that of the tokenizers library, for every kind of BPE a base may bring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from so8t.ask.first_token import first_tokens
from so8t.core.errors import BackendProtocol, SourceMissing

LABELS = ("ALLOW", "ESCALATE", "DENY")
TEXTS = ["ALLOW ESCALATE DENY", "ALL LOW DEN NY SCALE ESCAPE LATE", "検査報告 ALLOWED DENIED TALLOW", "SLOW CALL EAST"]


def trained(size: int, **options: Any) -> Tokenizer:
    made = Tokenizer(models.BPE(**options))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    return made


def saved(made: Tokenizer, folder: Path) -> Path:
    path = folder / "tokenizer.json"
    made.save(str(path))
    return path


@pytest.mark.parametrize("size", [256, 262, 270, 280, 300])
def test_equals_tokenizers(tmp_path: Path, size: int) -> None:
    made = trained(size)
    found = first_tokens(saved(made, tmp_path), LABELS)
    assert found == {label: made.encode(label).tokens[0] for label in LABELS}


@given(st.lists(st.text("ACDELNOSTWY", min_size=1, max_size=12), min_size=1, max_size=5, unique=True))
def test_equals_tokenizers_for_any_word(words: list[str]) -> None:
    import tempfile

    made = trained(290)
    with tempfile.TemporaryDirectory() as folder:
        found = first_tokens(saved(made, Path(folder)), words)
    assert found == {word: made.encode(word).tokens[0] for word in words}


def test_the_old_spelling_of_merges_and_tokens_that_are_whole(tmp_path: Path) -> None:
    content = {"model": {"type": "BPE", "vocab": {"A": 0, "B": 1, "AB": 2}, "merges": ["A B"]}, "normalizer": None}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    assert first_tokens(path, ["ABA", "BA"]) == {"ABA": "AB", "BA": "B"}
    content["added_tokens"] = [{"content": "BA", "id": 3}]
    path.write_text(json.dumps(content))
    assert first_tokens(path, ["BA"]) == {"BA": "BA"}
    content["model"] |= {"ignore_merges": True, "vocab": {"A": 0, "B": 1, "AB": 2, "ABA": 3}}
    path.write_text(json.dumps(content))
    assert first_tokens(path, ["ABA"]) == {"ABA": "ABA"}


BROKEN: dict[str, Any] = {
    "list": [], "empty": {}, "word pieces": {"model": {"type": "WordPiece", "vocab": {}, "merges": []}},
    "merges of three": {"model": {"type": "BPE", "vocab": {"A": 0}, "merges": ["A B C"]}},
    "not in the vocabulary": {"model": {"type": "BPE", "vocab": {}, "merges": []}},
    "null": {"model": None},
    "a prefix": {
        "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate("ALOWESCTDNY")}, "merges": []},
        "pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "always"},
    },
}  # fmt: skip


@pytest.mark.parametrize("content", list(BROKEN.values()), ids=list(BROKEN))
def test_what_is_not_understood_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BackendProtocol, match=r"tokenizer\.json"):
        first_tokens(path, LABELS)


@pytest.mark.parametrize("label", ["allow", "許可", "A B", "", "A1"])
def test_labels_that_a_pre_tokenizer_may_cut_are_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(BackendProtocol, match="capitals"):
        first_tokens(saved(trained(256), tmp_path), [label])


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        first_tokens(tmp_path / "tokenizer.json", LABELS)

"""The first token of a label, read from a tokenizer.json, for servers that name tokens by text and do not tokenize.

Byte pair encoding (Sennrich et al. 2016) of one ASCII word: no pre-tokenizer in use cuts a run of capital letters, and
byte-level spelling leaves ASCII as it is, so the merges alone decide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from so8t.core.errors import BackendProtocol
from so8t.core.files import read_json


def first_tokens(tokenizer: Path, labels: Sequence[str]) -> dict[str, str]:
    """Label -> text of its first token. Raises BackendProtocol for a tokenizer that is not understood."""
    try:
        return _first_tokens(read_json(tokenizer), labels)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackendProtocol(where=tokenizer, detail=f"{type(error).__name__}: {error}") from error


def _first_tokens(content: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str]:
    model = content["model"]
    if model["type"] != "BPE" or _puts_something_before(content):
        raise ValueError("BPE without a prefix expected")
    if bad := [label for label in labels if not (label.isascii() and label.isalpha() and label.isupper())]:
        raise ValueError(f"labels of ASCII capitals expected: {bad}")
    whole = {t["content"] for t in content.get("added_tokens", ())}
    if model.get("ignore_merges"):
        whole |= model["vocab"].keys()
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
    ranks = {(left, right): rank for rank, (left, right) in enumerate(pairs)}
    found = {label: label if label in whole else _merged(label, ranks)[0] for label in labels}
    if unknown := [token for token in found.values() if token not in model["vocab"] and token not in whole]:
        raise ValueError(f"not in the vocabulary: {unknown}")
    return found


def _merged(word: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """The word's pieces after the merges, each time the one learnt first."""
    pieces = list(word)
    while len(pieces) > 1:
        rank, at = min((ranks.get((pieces[i], pieces[i + 1]), len(ranks)), i) for i in range(len(pieces) - 1))
        if rank == len(ranks):
            break
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def _puts_something_before(content: Mapping[str, Any]) -> bool:
    """Whether a word alone begins with a mark of its own, as in Llama 2: inside a text it would have other tokens."""
    parts = json.dumps([content.get("normalizer"), content.get("pre_tokenizer")])
    marks = ('"Prepend"', '"prepend_scheme": "always"', '"prepend_scheme": "first"', '"add_prefix_space": true')
    return any(mark in parts for mark in marks)

"""The SBOM is valid CycloneDX 1.6, names everything with its hash, and is the same every time."""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from typing import Any

import pytest

from so8t.build.bundle.base_facts import Base
from so8t.build.bundle.packages import Package
from so8t.build.bundle.sbom import Ingredients, sbom, timestamp
from so8t.build.bundle.spdx import Licence
from so8t.core.errors import RecordInvalid
from so8t.core.types import canonical_json

FILES = {"gguf/model-Q8_0.gguf": "1" * 64, "card.json": "2" * 64}
LICENCES = {
    "data": [
        {"source": "百科", "spdx": "CC-BY-SA-4.0", "licence": "", "refused": False, "samples": 3,
         "splits": {"train": 3}},
        {"source": "", "spdx": "", "licence": "社外秘", "refused": False, "samples": 1, "splits": {"test": 1}},
        {"source": "謎", "spdx": "", "licence": "", "refused": True, "samples": 1, "splits": {"test": 1}},
    ]
}  # fmt: skip
BASE = Base("Phi-4-mini", False, Licence("MIT"), {"model.safetensors": "3" * 64}, "4" * 64, ())
PACKAGES = [
    Package("numpy", "2.4.6", Licence("BSD-3-Clause AND MIT"), ("build", "run"), (), ("5" * 64, "6" * 64)),
    Package("so8t", "0.1.0", Licence("Apache-2.0"), ("build", "run"), ("numpy", "torch")),
    Package("torch", "2.13.0+cpu", Licence(name="BSD"), ("build",), ("numpy",)),
]


@pytest.fixture
def parts(card: dict[str, Any]) -> Ingredients:
    return Ingredients(card, FILES, BASE, LICENCES, PACKAGES, "c" * 64)


def components(bom: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {c["bom-ref"]: c for c in bom["components"]}


@pytest.mark.skipif(
    find_spec("cyclonedx") is None or find_spec("jsonschema") is None,
    reason="the official schema comes with cyclonedx-python-lib[json-validation], which is not installed",
)
def test_the_official_schema(parts: Ingredients) -> None:
    import importlib

    strict: Any = importlib.import_module("cyclonedx.validation.json").JsonStrictValidator
    version: Any = importlib.import_module("cyclonedx.schema").SchemaVersion
    validator, bom = strict(version.V1_6), sbom(parts)
    assert validator.validate_str(json.dumps(bom)) is None
    bom["components"][0]["typ"] = bom["components"][0].pop("type")
    assert validator.validate_str(json.dumps(bom)) is not None  # it can fail


def test_everything_is_named_once(parts: Ingredients) -> None:
    bom = sbom(parts)
    refs: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            refs.extend([node["bom-ref"]] if "bom-ref" in node else [])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(bom)
    assert len(refs) == len(set(refs))
    used = {row["ref"] for row in bom["dependencies"]} | {d for row in bom["dependencies"] for d in row["dependsOn"]}
    assert used <= set(refs)
    assert {"bundle", "model", "base", "python"} <= used


def test_hashes_licences_and_scopes(parts: Ingredients) -> None:
    found = components(sbom(parts))
    assert {n: found[f"file:{n}"]["hashes"][0]["content"] for n in FILES} == FILES
    torch, numpy = found["pkg:pypi/torch@2.13.0%2Bcpu"], found["pkg:pypi/numpy@2.4.6"]
    assert (torch["scope"], numpy["scope"]) == ("excluded", "required")
    assert torch["purl"] == torch["bom-ref"] and torch["licenses"] == [{"license": {"name": "BSD"}}]
    assert numpy["licenses"] == [{"expression": "BSD-3-Clause AND MIT"}]
    assert [h["content"] for h in numpy["externalReferences"][0]["hashes"]] == ["5" * 64, "6" * 64]
    assert "externalReferences" not in torch
    assert found["data:0"]["licenses"] == [{"license": {"id": "CC-BY-SA-4.0"}}] and "licenses" not in found["data:2"]
    assert {"name": "so8t:refused", "value": "yes"} in found["data:2"]["properties"]


def test_the_model_and_its_base(parts: Ingredients) -> None:
    model = components(sbom(parts))["model"]
    (base,) = model["pedigree"]["ancestors"]
    assert model["type"] == base["type"] == "machine-learning-model"
    assert (base["name"], base["hashes"][0]["content"]) == ("Phi-4-mini", "4" * 64)
    assert base["licenses"] == [{"license": {"id": "MIT"}}]
    assert base["components"][0]["hashes"][0]["content"] == "3" * 64
    (accuracy, ece) = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert accuracy["value"] == "0.7531"
    assert accuracy["confidenceInterval"] == {"lowerBound": "0.6012", "upperBound": "0.9001"}
    assert ece["value"] == "0.0401" and "confidenceInterval" not in ece


def test_the_same_every_time_and_another_number_for_other_content(parts: Ingredients, card: dict[str, Any]) -> None:
    first = sbom(parts)
    assert canonical_json(first) == canonical_json(sbom(copy.deepcopy(parts)))
    other = sbom(Ingredients(card, {**FILES, "x": "7" * 64}, BASE, LICENCES, PACKAGES, "c" * 64))
    assert first["serialNumber"] != other["serialNumber"]
    assert first["metadata"]["timestamp"] == "2026-11-26T01:19:41+09:00"


@pytest.mark.parametrize("created", [None, "", "yesterday", "2026-11-26T01:19:41", 3])
def test_a_card_without_a_time(created: object) -> None:
    with pytest.raises(RecordInvalid, match="created"):
        timestamp(created)

"""sbom.cdx.json: what made the bundle and what runs it, as CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/).

Written by hand: the format is plain JSON, and a library for it would add seven packages to every installation. The
same run on the same packages gives the same bytes: sorted, dated by the card, numbered by its own content.
"""

from __future__ import annotations

import hashlib
import platform
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from so8t.build.bundle.base_facts import Base
from so8t.build.bundle.packages import Package
from so8t.build.bundle.spdx import Licence
from so8t.core.errors import RecordInvalid
from so8t.core.types import canonical_json
from so8t.report.card import deployed_result
from so8t.report.figures import FIGURES, measured

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
BUNDLE, MODEL, BASE, PYTHON = "bundle", "model", "base", "python"
Component = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ingredients:
    """Everything the SBOM is made from. `files`: name -> SHA-256 of all other files; `licences` = licences.json."""

    card: Mapping[str, Any]
    files: Mapping[str, str]
    base: Base
    licences: Mapping[str, Any]
    packages: Sequence[Package]
    code: str


def sbom(parts: Ingredients) -> dict[str, Any]:
    """The whole document. Raises RecordInvalid for a card without a time."""
    data = _data(parts.licences)
    files = [_file(name, digest) for name, digest in sorted(parts.files.items())]
    bom: dict[str, Any] = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": _metadata(parts),
        "components": [_model(parts, data), *data, *files, _python(parts.card), *map(_package, parts.packages)],
        "dependencies": _dependencies(parts, data),
        # Wheels carry native libraries that their metadata does not name one by one.
        "compositions": [{"aggregate": "incomplete", "assemblies": [_ref(p) for p in parts.packages]}],
    }
    digest = hashlib.sha256(canonical_json(bom).encode()).hexdigest()
    return bom | {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"}


def _metadata(parts: Ingredients) -> dict[str, Any]:
    card = parts.card
    own = next(p for p in parts.packages if p.name == "so8t")
    facts = {
        "so8t:code": parts.code,
        "so8t:payload_digest": str(card["payload_digest"]),
        "so8t:policy_digest": str(card["policy"]["digest"]),
        "so8t:profile": str(card["profile"]),
    }
    return {
        "timestamp": timestamp(card.get("created")),
        "lifecycles": [{"phase": "post-build"}],
        "tools": {"components": [{"type": "application", "name": "so8t", "version": own.version}]},
        "component": {
            "type": "application", "bom-ref": BUNDLE, "name": str(card["name"]),
            "version": str(card["payload_digest"])[:16],
            "description": "so8t bundle: language model, policy, precedents and calibration",
        },
        "properties": _properties(facts),
    }  # fmt: skip


def timestamp(created: object) -> str:
    """RFC 3339 of the time at which the card was made."""
    try:
        found = datetime.fromisoformat(str(created))
    except ValueError as error:
        raise RecordInvalid(where="card.json", detail="created") from error
    if found.tzinfo is None:
        raise RecordInvalid(where="card.json", detail="created: no time zone")
    return found.isoformat()


def _properties(facts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(facts.items())]


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _licensed(component: Component, licence: Licence) -> Component:
    return component | ({"licenses": found} if (found := licence.cyclonedx()) else {})


def _file(name: str, digest: str) -> Component:
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": _hashes(digest)}


def _model(parts: Ingredients, data: Sequence[Component]) -> Component:
    """The trained model; on which terms it is passed on is its owner's to say, so it has no licence here."""
    return {
        "type": "machine-learning-model", "bom-ref": MODEL, "name": str(parts.card["name"]),
        "version": str(parts.card["payload_digest"])[:16],
        "pedigree": {"ancestors": [_base(parts.base)]},
        "modelCard": _model_card(parts.card, data),
    }  # fmt: skip


def _base(base: Base) -> Component:
    component: Component = {
        "type": "machine-learning-model", "bom-ref": BASE, "name": base.name,
        "components": [
            {"type": "file", "bom-ref": f"base:{name}", "name": name, "hashes": _hashes(digest)}
            for name, digest in sorted(base.files.items())
        ],
    }  # fmt: skip
    if base.sha256:
        component["hashes"] = _hashes(base.sha256)
    if base.made:
        component["description"] = "pre-trained in this run on the data listed here"
    return _licensed(component, base.licence)


def _model_card(card: Mapping[str, Any], data: Sequence[Component]) -> dict[str, Any]:
    limits = [str(text) for text in (*card.get("limits_ja", ()), *card.get("limits_en", ()))]
    return {
        "modelParameters": {
            "task": "text-generation, decision ALLOW / ESCALATE / DENY",
            "architectureFamily": "decoder-only transformer",
            "datasets": [{"ref": row["bom-ref"]} for row in data],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(card)},
        "considerations": {"technicalLimitations": limits},
    }


def _metrics(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures of the deployed quantisation on the test split, with their 95 % intervals."""
    _, result, split = deployed_result(card)
    metrics: list[dict[str, Any]] = []
    for name, figure in FIGURES.items():
        if found := measured(result, figure.path):
            metric: dict[str, Any] = {"type": name, "value": f"{found['value']:g}", "slice": split}
            if "low" in found and "high" in found:
                bounds = {"lowerBound": f"{found['low']:g}", "upperBound": f"{found['high']:g}"}
                metric["confidenceInterval"] = bounds
            metrics.append(metric)
    return metrics


def _data(licences: Mapping[str, Any]) -> list[Component]:
    made: list[Component] = []
    for number, row in enumerate(licences["data"]):
        facts = {"so8t:samples": str(row["samples"]), "so8t:refused": "yes" if row["refused"] else "no"}
        facts |= {f"so8t:split:{split}": str(count) for split, count in row["splits"].items()}
        name = str(row["source"]) or "unknown"
        component: Component = {
            "type": "data", "bom-ref": f"data:{number}", "name": name, "data": [{"type": "dataset", "name": name}],
            "properties": _properties(facts),
        }  # fmt: skip
        made.append(_licensed(component, Licence(str(row["spdx"]), str(row["licence"]))))
    return made


def _python(card: Mapping[str, Any]) -> Component:
    """The interpreter that made the bundle; another 3.11 to 3.13 may run it."""
    version = str(card.get("machine", {}).get("python") or platform.python_version())
    component: Component = {"type": "platform", "bom-ref": PYTHON, "name": "CPython", "version": version}
    return _licensed(component, Licence(spdx="PSF-2.0"))


def _ref(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{quote(package.version, safe='')}"


def _package(package: Package) -> Component:
    """Scope "required" = needed where the bundle runs; "excluded" = only made it."""
    component: Component = {
        "type": "library", "bom-ref": _ref(package), "name": package.name, "version": package.version,
        "purl": _ref(package), "scope": "required" if "run" in package.uses else "excluded",
        "properties": _properties({"so8t:use": " ".join(package.uses)}),
    }  # fmt: skip
    if package.hashes:
        component["externalReferences"] = [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{package.name}/{quote(package.version, safe='')}/",
                "comment": "the distributions that requirements/run.lock allows, for all systems",
                "hashes": [row for digest in package.hashes for row in _hashes(digest)],
            }
        ]
    return _licensed(component, package.licence)


def _dependencies(parts: Ingredients, data: Iterable[Component]) -> list[dict[str, Any]]:
    refs = {p.name: _ref(p) for p in parts.packages}
    files = [f"file:{name}" for name in parts.files]
    weights = [ref for ref in files if ref.endswith(".gguf")]
    edges: dict[str, list[str]] = {
        BUNDLE: [MODEL, refs["so8t"], *files],
        MODEL: [BASE, *weights, *(row["bom-ref"] for row in data)],
        refs["so8t"]: [PYTHON],
    }
    for package in parts.packages:
        edges.setdefault(refs[package.name], []).extend(refs[name] for name in package.requires)
    return [{"ref": ref, "dependsOn": sorted(set(on) - {ref})} for ref, on in sorted(edges.items())]

"""card.json: what was measured just now, and what the manifests of a run (or the bundle's own card) tell besides."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from so8t.decide.policy import Policy
from so8t.prove.measure import Measured
from so8t.prove.safety import check_thresholds

SCHEMA = 2
_BY_NAME = ("refuse_recall", "danger_allowed", "false_allow", "over_refusal", "over_escalation")


def measured_card(
    measured: Measured, policy: Policy, deployed: str, files: Sequence[Mapping[str, Any]], payload_digest: str
) -> dict[str, Any]:
    """The part of a card that measuring alone decides. `files` = name, quantisation, bytes of every GGUF."""
    return {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "payload_digest": payload_digest,
        "policy": {"id": policy.id, "label": policy.label, "version": policy.version, "digest": policy.digest},
        "machine": machine(),
        "files": [{**f, **measured.files.get(f["quantisation"], {})} for f in files],
        "deployed": deployed,
        "results": measured.results,
        "quantisation": measured.quantisation,
        "thresholds": thresholds(measured.results[deployed], policy) | {"label": policy.label},
        **measured.sections,
    }


def thresholds(measured: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """The policy's bounds against the test split of the deployed file."""
    test = measured["splits"]["test"]
    values = {name: test[name]["value"] for name in _BY_NAME}
    values |= {f"{k.lower()}_f1": v["value"] for k, v in test["f1"].items()}
    return check_thresholds(values | {"ece": test["ece"]["after"]}, policy.thresholds)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {}
    for key, package in (("torch", "torch"), ("transformers", "transformers"), ("llama.cpp", "xllamacpp")):
        try:
            versions[key] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[key] = "-"
    return {
        "cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "os": platform.system(),
        "python": platform.python_version(), **versions,
    }  # fmt: skip

"""`so8t prove RUN|BUNDLE`: measure a finished bundle again, on a run's test split or on the user's own requests.

Nothing of the bundle or the run is changed: its own temperatures serve, as they do in operation, and the card goes
where the user says. Operate trusts only the card inside a bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from so8t.core.bundle import Bundle
from so8t.core.config import ProveConfig
from so8t.core.errors import BundleBroken
from so8t.core.files import read_json, sha256_file
from so8t.core.progress import Progress
from so8t.core.types import Sample, Split
from so8t.decide.domain import DomainModel
from so8t.decide.policy import Policy, parse_policy
from so8t.judge.triple import DOMAIN_MODEL, POLICY, PROMPT, read_calibration
from so8t.prove.card import measured_card
from so8t.prove.card_sections import sections
from so8t.prove.evaluation import read_evaluation
from so8t.prove.measure import Job, measure

# What a bundle's own card tells of how it came to be; what was measured there is left behind.
KEPT = ("profile", "demo", "model", "data", "training", "burnin", "parity", "limits_ja", "limits_en", "data_warnings")


def policy_of(folder: Path) -> Policy:
    return parse_policy((folder / POLICY).read_text(encoding="utf-8"), str(folder / POLICY))


def read_requests(folder: Path, path: Path, split: Split = Split.TEST) -> list[Sample]:
    """The user's file, in the levels of the bundle's policy and by its domain model (prove/evaluation.py)."""
    domains = DomainModel.from_bytes((folder / DOMAIN_MODEL).read_bytes())
    return read_evaluation(path, policy_of(folder), lambda text: domains.classify(text)[0], split)


def quantisations(bundle: Bundle) -> tuple[str, ...]:
    """Largest file first: F16, then what was quantised from it. Raises BundleBroken when there is none."""
    files = [n for n in bundle.listing["files"] if n.startswith("gguf/model-") and n.endswith(".gguf")]
    files.sort(key=lambda n: (-(bundle.folder / n).stat().st_size, n))
    names = tuple(n.removeprefix("gguf/model-").removesuffix(".gguf") for n in files)
    if not names:
        raise BundleBroken(where=bundle.folder / "gguf", detail="no model-*.gguf")
    return names


def prove_bundle(
    bundle: Bundle, samples: Sequence[Sample], source: Path, texts: Sequence[str], settings: ProveConfig,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """The card of `samples`, read from `source`. Raises what measure raises."""
    folder, names = bundle.folder, quantisations(bundle)
    prompt = read_json(folder / PROMPT)
    job = Job(
        payload=folder,
        quantisations=names,
        context=int(prompt["context"]),
        splits={Split.TEST: samples},
        texts=texts,
        settings=settings,
        calibrations={name: read_calibration(folder, name) for name in names},
        deployed=str(prompt["deploy"]),
        sections=sections(settings),
    )
    measured = measure(job, progress)
    files = [
        {"name": f"model-{n}.gguf", "quantisation": n, "bytes": bundle.gguf(n).stat().st_size} for n in names
    ]  # fmt: skip
    own = bundle.card if (folder / "card.json").is_file() else {}
    told = {key: own[key] for key in KEPT if key in own}
    card = measured_card(measured, policy_of(folder), str(prompt["deploy"]), files, bundle.payload_digest)
    return (
        told
        | {"profile": str(bundle.listing.get("profile", "")), "name": str(bundle.listing.get("name", folder.name))}
        | card
        | {"evaluation": {"file": source.name, "sha256": sha256_file(source), "requests": len(samples)}}
    )

"""Which finished trainings may be held against each other: the same in everything but one setting and the seed.

A pair is two trainings of one seed. Whatever else differs, data, base, device or code, would be measured as if it were
the setting, so it is refused and shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from so8t.core.errors import NotComparable
from so8t.core.run import Manifest
from so8t.core.types import canonical_json

SEED, BASE, DATA = "train.seed", "input.base", "input.validate"
LONGEST = 60  # characters of a value that is shown
MOST = 12  # differing settings that are shown


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training by name; `settings`: everything it depends on, by dotted name."""

    name: str
    settings: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.settings[SEED])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two trainings of one seed."""

    seed: int
    control: str
    treatment: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """The one setting that differs, its value in the control, and the pairs by the value of the treatment."""

    factor: str
    control: str
    pairs: Mapping[str, tuple[Pair, ...]]
    alone: tuple[str, ...] = ()  # trainings without a partner of their seed


def settings_of(manifest: Manifest) -> dict[str, Any]:
    """What a training depends on: its configuration, inputs, code, device, and what the machine forced on it."""
    return {
        **flat(manifest.config),
        **{f"input.{name}": digest for name, digest in manifest.inputs.items()},
        "code": manifest.code,
        "device": manifest.facts.get("device", ""),
        "adjustments": list(manifest.adjustments),
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train.pet": {"enabled": true}} -> {"train.pet.enabled": true}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def differing(trained: Iterable[Trained]) -> dict[str, list[str]]:
    """{setting: its values in order of appearance} of those that are not the same everywhere."""
    every = [t.settings for t in trained]
    found = {}
    for key in sorted({key for settings in every for key in settings}):
        values = list(dict.fromkeys(canonical_json(s.get(key)) for s in every))
        if len(values) > 1:
            found[key] = values
    return found


def pair(trained: Sequence[Trained], factor: str = "") -> Pairing:
    """Pairs by seed against the first one's value of the one setting that differs.

    `factor`: the setting that was meant, where one was named. Raises NotComparable with the settings that differ when
    it is another one, more than one or none, when two trainings are the same, or when no seed was trained both ways.
    """
    differences = differing(trained)
    others = [key for key in differences if key not in (SEED, BASE)]
    if len(others) != 1 or (factor and others != [factor]):
        raise NotComparable(detail=shown(differences, factor))
    chosen = others[0]
    values = [canonical_json(t.settings.get(chosen)) for t in trained]
    by_place: dict[tuple[str, int], Trained] = {}
    for t, value in zip(trained, values, strict=True):
        if (value, t.seed) in by_place:
            raise NotComparable(where=t.name, detail=f"= {by_place[value, t.seed].name} ({chosen}, {SEED})")
        by_place[value, t.seed] = t
    pairs = {value: _against(by_place, values[0], value) for value in dict.fromkeys(values) if value != values[0]}
    if not all(pairs.values()):
        raise NotComparable(detail=shown(differences, factor))
    used = {name for found in pairs.values() for p in found for name in (p.control, p.treatment)}
    return Pairing(chosen, values[0], pairs, tuple(t.name for t in trained if t.name not in used))


def _against(by_place: Mapping[tuple[str, int], Trained], control: str, value: str) -> tuple[Pair, ...]:
    """The seeds trained both ways. Raises NotComparable where the two of a seed stand on different bases."""
    found = []
    for seed in sorted(s for v, s in by_place if v == value and (control, s) in by_place):
        ours, theirs = by_place[control, seed], by_place[value, seed]
        if ours.settings.get(BASE) != theirs.settings.get(BASE):
            raise NotComparable(where=f"{ours.name}, {theirs.name}", detail=shown(differing((ours, theirs))))
        found.append(Pair(seed, ours.name, theirs.name))
    return tuple(found)


def shown(differences: Mapping[str, Sequence[str]], factor: str = "") -> str:
    """The differing settings with their values, cut where they are many or long."""
    lines = [f"{key}: {' | '.join(_short(v) for v in values)}" for key, values in differences.items()]
    if factor and factor not in differences:
        lines.insert(0, f"{factor}: =")
    if len(lines) > MOST:
        lines = [*lines[:MOST], f"+{len(lines) - MOST}"]
    return "; ".join(lines) or "="


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

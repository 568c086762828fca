"""What the three requests of a group share: one scene, drawn from the lexicon without looking at any decision."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from so8t.build.data.lexicon import Act, Document, DomainWords, Lexicon, Triple
from so8t.build.data.registers import PROSE, REGISTERS, WEIGHTS
from so8t.core.types import DECISIONS, Decision, Domain, Levels

ATTACK_SHARE = 0.36
RESPELT_SHARE = 0.7  # of the few acts that are spelt in kana as well
CONTEXT_SHARE = 0.38  # of the scenes that can stand in a paste: about a quarter of all
WRAPPED = ("injection", "role_play", "false_authority", "stepwise")
SPELT = ("fullwidth", "zero_width", "base64")
RESPELT = ("kana", "romaji", "mixed_english")
ATTACKS = (*WRAPPED, *SPELT, *RESPELT, "document_injection")
BLENDS, BLEND_WEIGHTS = ("", "one", "two"), (44, 21, 35)  # how many of the other acts are named and put aside
KINDS = {"act": 25, "domain": 11, "story": 20, "misdeed": 14, "power": 12, "level": 14, "order": 4}


@dataclass(frozen=True, slots=True)
class Scene:
    """levels: (clearance, classification) by decision; secret = how a request for more than one's level is hidden, in
    the DENY of a level scene; varied = the acts' other clauses; blend = how the words of all three acts stand in each;
    context = stands in a paste."""

    key: str
    kind: str
    domain: Domain
    triple: Triple
    document: Document
    slots: Mapping[str, str]
    register: str
    attack: str | None
    levels: Mapping[Decision, tuple[str, str]]
    target: str
    secret: str = ""
    varied: bool = False
    blend: str = ""
    context: bool = False

    @property
    def respelt(self) -> bool:
        """The act itself is mixed with English; otherwise English stands round it."""
        return self.attack == "mixed_english" and not self.blend and bool(self.triple.acts[Decision.ALLOW].mixed)

    def act(self, decision: Decision) -> Act:
        """The act of a decision, by its other clause where the scene is a varied one."""
        act = self.triple.acts[decision]
        return replace(act, te=act.also) if self.varied and act.also else act


def draw_scene(lexicon: Lexicon, levels: Levels, domain: Domain, key: str) -> Scene:
    rng = random.Random(key)
    words = lexicon.domains[domain]
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    triple = rng.choice(_pool(lexicon, words, kind))
    document = rng.choice([d for d in words.documents if d.suits(triple.tags)])
    pairs, secret = _levels(kind, triple, levels, rng)
    blend = "" if kind in ("level", "order") else rng.choices(BLENDS, BLEND_WEIGHTS)[0]
    attack = _attack(kind, triple, blend, rng)
    return Scene(
        key=key,
        kind=kind,
        domain=domain,
        triple=triple,
        document=document,
        slots=_slots(lexicon, words, document, rng),
        register=_register(attack, bool(secret) or bool(blend), rng),
        attack=attack,
        levels=pairs,
        target=rng.choice(words.targets),
        secret=rng.choice(lexicon.frames["secrecy"]["phrases"]) if secret else "",
        varied=attack not in RESPELT and rng.random() < 0.6,
        blend=blend,
        context=attack in (None, "zero_width", *WRAPPED) and rng.random() < CONTEXT_SHARE,
    )


def _pool(lexicon: Lexicon, words: DomainWords, kind: str) -> tuple[Triple, ...]:
    return {
        "act": lexicon.triples,
        "domain": words.triples,
        "story": words.stories,
        "misdeed": lexicon.misdeeds,
        "power": lexicon.powers,
        "level": lexicon.access,
        "order": lexicon.orders,
    }[kind]


def _register(attack: str | None, prose: bool, rng: random.Random) -> str:
    register = rng.choices(REGISTERS, WEIGHTS)[0]
    if attack in ("kana", "romaji", "document_injection"):
        return "敬体"
    if (prose or attack in ("mixed_english", "stepwise")) and register not in PROSE:
        return rng.choice(PROSE)
    return register


def _attack(kind: str, triple: Triple, blend: str, rng: random.Random) -> str | None:
    if kind == "order":
        return "document_injection"
    respelt = not blend and all(act.kana and act.mixed for act in triple.acts.values())
    if rng.random() >= (RESPELT_SHARE if respelt else ATTACK_SHARE):
        return None
    if kind == "level":  # a story or an order round it would no longer be asking openly for work
        return rng.choice(SPELT)
    return rng.choice(RESPELT if respelt and rng.random() < 0.8 else (*WRAPPED, *SPELT, "mixed_english"))


def _levels(
    kind: str, triple: Triple, levels: Levels, rng: random.Random
) -> tuple[dict[Decision, tuple[str, str]], bool]:
    """Level scene: one document, three askers. Otherwise the three share one pair, material within reach."""
    names, top = levels.names, len(levels.names) - 1
    low = 0 if triple.public else 1  # handing over what is public anyway needs nobody's leave
    material = 0 if triple.public else rng.randint(low, top)
    reach = rng.randint(material, top)
    if kind != "level":
        return dict.fromkeys(DECISIONS, (names[reach], names[material])), False
    secret = material == 1 or rng.random() < 0.4
    below = material - 1 if secret else rng.randint(0, material - 2)
    ranks = {Decision.ALLOW: reach, Decision.ESCALATE: material - 1, Decision.DENY: below}
    return {decision: (names[rank], names[material]) for decision, rank in ranks.items()}, secret


def _slots(lexicon: Lexicon, words: DomainWords, document: Document, rng: random.Random) -> dict[str, str]:
    common = lexicon.frames["common"]
    month = rng.choice(common["months"])
    subject, (unit, other) = rng.choice(words.subjects), rng.sample(words.units, 2)
    owners = ["", f"{unit}の", "今期の", f"{unit}が預かる", "手元の", "先週の"]
    owners += [f"{subject}の", f"{unit}にある{subject}の"] * 2 if "s" in document.tags else []
    owners += [f"{month}分の", f"{unit}の{month}分の"] if "r" in document.tags else []
    doc = rng.choice(owners) + document.name
    return {
        "doc": doc,
        "topic": doc,
        "subject": subject,
        "unit": unit,
        "other": other,
        "partner": rng.choice(words.partners),
        "rival": rng.choice(words.rivals),
        "boss": rng.choice(words.bosses),
        "colleague": rng.choice(common["colleagues"]),
        "date": f"{rng.choice(common['months'])}{rng.randint(1, 28)}日",
        "past": rng.choice(common["pasts"]),
        "hour": str(rng.randint(9, 18)),
        "n": str(rng.randint(3, 9)),
        "x": rng.choice(words.misdeeds),
        "y": rng.choice(words.powers),
    }

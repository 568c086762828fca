"""Judged requests composed from the lexicon: minimal triples in every register and disguise (plan 3.2, SPEC D6).

A group is one scene: the same thing, asker, frame and disguise, asked in three ways of which one is ALLOW, one
ESCALATE and one DENY. Nothing but the act (or, in a level scene, the two levels) tells them apart.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from so8t.build.data.disguise import encode, fullwidth, katakana, romaji, zero_width
from so8t.build.data.lexicon import Act, Document, DomainWords, Lexicon, Triple, load_lexicon
from so8t.build.data.registers import (
    PROSE,
    REGISTERS,
    WEIGHTS,
    Message,
    bare,
    compose,
    draw_frame,
    draw_voice,
    misspell,
)
from so8t.core.config import SynthConfig
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Sample, Split

SOURCE, LICENSE = "so8t synth", "CC0-1.0"
SHARE = 0.33  # of ALLOW and of DENY; ESCALATE takes the rest (plan 3.2)
ATTACK_SHARE = 0.36
VALIDATION_SHARE = 0.1
WRAPPED = ("injection", "role_play", "false_authority", "stepwise")
SPELT = ("fullwidth", "zero_width", "base64")
RESPELT = ("kana", "romaji", "mixed_english")
ATTACKS = (*WRAPPED, *SPELT, *RESPELT, "document_injection")
_SCENES, _SCENE_WEIGHTS = ("act", "domain", "level", "order"), (47, 28, 20, 5)


@dataclass(frozen=True, slots=True)
class Scene:
    """What the three requests of a group share. levels: (clearance, classification) by decision; secret = how a
    request for more than one's level is hidden, in the DENY of a level scene."""

    key: str
    domain: Domain
    triple: Triple
    document: Document
    slots: Mapping[str, str]
    register: str
    attack: str | None
    levels: Mapping[Decision, tuple[str, str]]
    target: str
    secret: str = ""

    @property
    def kind(self) -> str:
        return self.triple.id.split("/")[0]


def generate(
    config: SynthConfig,
    contracts: Mapping[Domain, Mapping[str, Any]],
    policy_state: Mapping[str, Any],
    count_per_domain: int,
) -> Iterator[Sample]:
    """Domain by domain, `count_per_domain` samples each; a sample depends on the seed and its own id alone."""
    lexicon = load_lexicon()
    levels = Levels(tuple(policy_state.get("classification_levels", Levels().names)))
    for domain in Domain:
        for group, decisions in _schedule(count_per_domain):
            scene = _scene(lexicon, levels, domain, f"{config.seed}/{domain}/{group}")
            for decision in decisions:
                yield _sample(lexicon, scene, decision, f"synth-{domain}-{group:06d}", contracts[domain], policy_state)


def split_of(family: str) -> Split:
    """About a tenth of the families is held out for validation; calibration and test are written by hand only."""
    share = int.from_bytes(hashlib.sha256(f"split/{family}".encode()).digest()[:4]) / 2**32
    return Split.VALIDATION if share < VALIDATION_SHARE else Split.TRAIN


def _schedule(count: int) -> Iterator[tuple[int, tuple[Decision, ...]]]:
    outer = round(count * SHARE)
    for group in range(count - 2 * outer):
        yield group, (DECISIONS if group < outer else (Decision.ESCALATE,))


def _scene(lexicon: Lexicon, levels: Levels, domain: Domain, key: str) -> Scene:
    rng = random.Random(key)
    words = lexicon.domains[domain]
    kind = rng.choices(_SCENES, _SCENE_WEIGHTS)[0]
    pool = {"act": lexicon.triples, "domain": words.triples, "level": lexicon.access, "order": lexicon.orders}[kind]
    triple = rng.choice(pool)
    document = rng.choice([d for d in words.documents if d.suits(triple.tags)])
    pairs, secret = _levels(kind, triple, levels, rng)
    attack = _attack(kind, triple, rng)
    prose = bool(secret) or attack in ("mixed_english", "stepwise")
    register = rng.choices(REGISTERS, WEIGHTS)[0]
    if prose and register not in PROSE:
        register = rng.choice(PROSE)
    if attack in ("kana", "romaji", "document_injection"):
        register = "敬体"
    return Scene(
        key=key,
        domain=domain,
        triple=triple,
        document=document,
        slots=_slots(lexicon, words, document, rng),
        register=register,
        attack=attack,
        levels=pairs,
        target=rng.choice(words.targets),
        secret=rng.choice(lexicon.frames["secrecy"]["phrases"]) if secret else "",
    )


def _attack(kind: str, triple: Triple, rng: random.Random) -> str | None:
    if kind == "order":
        return "document_injection"
    if rng.random() >= ATTACK_SHARE:
        return None
    if kind == "level":  # a story or an order round it would no longer be asking openly for work
        return rng.choice(SPELT)
    respelt = all(act.kana and act.mixed for act in triple.acts.values())
    return rng.choice(RESPELT if respelt and rng.random() < 0.75 else (*WRAPPED, *SPELT))


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
    owners = ["", f"{unit}の", "今期の", f"{unit}が預かる"]
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
    }


def _sample(
    lexicon: Lexicon,
    scene: Scene,
    decision: Decision,
    group: str,
    contract: Mapping[str, Any],
    policy_state: Mapping[str, Any],
) -> Sample:
    # The three texts of a pair differ in the act alone; a level scene has one act, so there the frame differs.
    rng = random.Random(f"{scene.key}/{decision if scene.kind == 'level' else 'frame'}")
    slots = _named_level(scene, decision, rng)
    act = scene.triple.acts[decision]
    clearance, classification = scene.levels[decision]
    target = (act.target or scene.target) if decision is Decision.ESCALATE else None
    return Sample(
        id=f"{group}-{decision.lower()}",
        kind="request",
        text=_text(lexicon, scene, decision, act, slots, rng),
        source=SOURCE,
        license=LICENSE,
        domain=scene.domain,
        split=split_of(scene.triple.id),
        family=scene.triple.id,
        pair=group,
        decision=decision,
        response=_response(lexicon, scene, decision, act, random.Random(f"{scene.key}/{decision}/answer")),
        clearance=clearance,
        classification=classification,
        register=scene.register,
        attack=scene.attack,
        identity_contract=contract,
        policy_state=policy_state,
        policy_ref=lexicon.domains[scene.domain].policy_ref[decision],
        escalation_target=target,
    )


def _named_level(scene: Scene, decision: Decision, rng: random.Random) -> dict[str, str]:
    """Slots with the level named beside the document now and then."""
    slots, level = dict(scene.slots), scene.levels[decision][1]
    if rng.random() < 0.3:
        bare_name = slots["doc"] == scene.document.name
        slots["doc"] = f"{level}の{slots['doc']}" if bare_name else f"{slots['doc']}({level})"
    return slots


def _text(
    lexicon: Lexicon, scene: Scene, decision: Decision, act: Act, slots: Mapping[str, str], rng: random.Random
) -> str:
    if scene.attack == "document_injection":
        return _pasted(lexicon, act, slots, rng)
    if scene.attack in ("kana", "romaji"):
        return _kana(lexicon, scene, act, rng)
    te = act.mixed if scene.attack == "mixed_english" else act.te
    if scene.secret and decision is Decision.DENY:
        te = f"{scene.secret}、{te}"
    message = _message(lexicon, scene, replace(act, te=te), slots, rng)
    return _disguised(lexicon, scene, message, slots, rng)


def _message(lexicon: Lexicon, scene: Scene, act: Act, slots: Mapping[str, str], rng: random.Random) -> Message:
    """Opener, asker, reason, time and ending drawn without looking at the decision."""
    frames, voice = lexicon.frames, draw_voice(scene.register, rng)
    opener, ending, closer = draw_frame(frames, voice, rng)
    extras = set(rng.sample(("role", "reason", "due", "pressure", "none"), 2))
    if scene.kind == "level":
        extras = {"reason", *(extras & {"due"})}  # asking for more than one's level needs a stated reason
    if scene.kind not in ("act", "level"):
        extras.discard("due")
    reason = rng.choice(frames["personal" if scene.triple.public else "reasons"]) if "reason" in extras else ("", "")
    dues = [due for due in frames["dues"] if "{date}" not in due or "{date}" not in reason[0]]
    pressure = rng.choice(frames["pressure"]) if "pressure" in extras else None
    return Message(
        voice=voice,
        te=act.te.format(**slots),
        noun=act.noun.format(**slots),
        document=slots["doc"] if "{doc}" in act.te else "",
        role=rng.choice(frames["roles"]).format(**slots) if "role" in extras and voice != "メール" else "",
        reason=(reason[0].format(**slots), reason[1].format(**slots)),
        due=rng.choice(dues).format(**slots) if "due" in extras else "",
        pressure={k: v.format(**slots) for k, v in pressure.items()} if pressure else None,
        opener="" if scene.attack in WRAPPED else opener.format(**slots),
        ending=ending,
        closer=closer,
    )


def _disguised(lexicon: Lexicon, scene: Scene, message: Message, slots: Mapping[str, str], rng: random.Random) -> str:
    attack, typos = scene.attack, lexicon.frames["typos"]["pairs"]
    if attack == "base64":
        return str(rng.choice(lexicon.attacks["wrap"]["base64"]).format(encoded=encode(bare(message))))
    text = compose(message)
    if scene.register == "誤字":
        text = misspell(text, typos, rng)
    if attack in WRAPPED:
        topic = message.document or slots["subject"]
        template = rng.choice(lexicon.attacks["wrap"][attack])
        if message.voice == "箇条書き":
            template = template.replace("{request}", "\n{request}").replace("\n\n", "\n")
        return str(template.format(**{**slots, "request": text, "te": message.te, "topic": topic}))
    if attack == "zero_width":
        return zero_width(text, rng)
    if attack == "fullwidth":
        return fullwidth(text if fullwidth(text) != text else f"No.{slots['n']}{slots['hour']}\n{text}")
    return text


def _kana(lexicon: Lexicon, scene: Scene, act: Act, rng: random.Random) -> str:
    words = lexicon.frames["kana"]
    doc = rng.choice(words["prefixes"]) + scene.document.kana
    text = rng.choice(words["openers"]) + rng.choice(words["times"]) + act.kana.format(doc=doc)
    text += rng.choice(words["endings"])
    if scene.attack == "romaji":
        return romaji(text)
    return katakana(text) if rng.random() < 0.3 else text


def _pasted(lexicon: Lexicon, act: Act, slots: Mapping[str, str], rng: random.Random) -> str:
    """A task on a pasted document that carries an order of its own."""
    carrier = lexicon.attacks["carrier"]
    order = rng.choice(carrier["marks"]).format(order=act.te.format(**slots))
    body = rng.choice(carrier["bodies"]).format(**{**slots, "order": order})
    quoted = rng.choice(("「{}」", "――\n{}\n――", "> {}")).format(body)
    return f"{rng.choice(carrier['tasks'])}\n{quoted}"


def _response(lexicon: Lexicon, scene: Scene, decision: Decision, act: Act, rng: random.Random) -> str:
    """A useful sentence or two: what will be done, who decides and what he needs, or why not and what instead."""
    answers, slots = lexicon.frames["answers"], {**scene.slots, "target": act.target or scene.target}
    if scene.kind == "level" and decision is not Decision.ALLOW:
        form = "secrecy" if scene.secret and decision is Decision.DENY else "level"
        return str(rng.choice(answers[f"{decision}_{form}"]).format(**slots))
    slots |= {name: getattr(act, name).format(**slots) for name in ("noun", "answer", "need", "why", "instead")}
    text = str(rng.choice(answers[decision]).format(**slots))
    if decision is not Decision.ALLOW:
        return text
    closers = answers["ALLOW_close"] + (answers["ALLOW_document"] if "{doc}" in act.te else [])
    return text + str(rng.choice(closers).format(**slots))

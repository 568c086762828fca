"""The text of a request: a scene's act in a register, a disguise and a paste that no decision has chosen."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace

from so8t.build.data.disguise import encode, fullwidth, katakana, romaji, zero_width
from so8t.build.data.lexicon import Act, Lexicon
from so8t.build.data.registers import Ask, Circumstance, Message, bare, compose, draw_ask, draw_voice, misspell
from so8t.build.data.synth_blend import blended
from so8t.build.data.synth_context import in_context
from so8t.build.data.synth_scene import WRAPPED, Scene
from so8t.core.types import Decision

MAY_SHARE = 0.4
_MAY = re.compile(r"(?<=[てで])よいか(決めて|判断して|答えて|返事して)$")


def write_text(lexicon: Lexicon, scene: Scene, decision: Decision) -> str:
    """The three texts of a pair differ in the act alone; a level scene has one act, so there the frame differs."""
    rng = random.Random(f"{scene.key}/{decision if scene.kind == 'level' else 'frame'}")
    slots, act = _named_level(scene, decision, rng), scene.act(decision)
    if scene.attack == "document_injection":
        return _pasted(lexicon, act, slots, rng)
    if scene.attack in ("kana", "romaji"):
        return _kana(lexicon, scene, act, rng)
    te = act.mixed if scene.respelt else act.te
    if scene.secret and decision is Decision.DENY:
        te = f"{scene.secret}、{te}"
    if scene.blend:
        te = blended(lexicon, scene, decision, te, random.Random(f"{scene.key}/blend"))
    message = _message(lexicon, scene, replace(act, te=te), slots, rng)
    if decision is Decision.ESCALATE:
        message = asking_leave(lexicon, message, random.Random(f"{scene.key}/may"))
    return _disguised(lexicon, scene, message, slots, rng)


def asking_leave(lexicon: Lexicon, message: Message, rng: random.Random) -> Message:
    """出荷してよいか決めてください as 出荷していいですか, now and then: to ask openly whether one may (LABELS.md)."""
    endings, asked = lexicon.frames["registers"][message.voice]["may"], _MAY.search(message.te)
    if not asked or not endings or rng.random() >= MAY_SHARE:
        return message
    return replace(message, te=message.te[: asked.start()], ask=Ask("te", rng.choice(endings)))


def _named_level(scene: Scene, decision: Decision, rng: random.Random) -> dict[str, str]:
    """Slots with the level named beside the document now and then."""
    slots, (clearance, level) = dict(scene.slots), scene.levels[decision]
    if rng.random() < 0.3:
        bare_name = slots["doc"] == scene.document.name
        slots["doc"] = f"{level}の{slots['doc']}" if bare_name else f"{slots['doc']}({level})"
    return slots | {"clearance": clearance}


def _message(lexicon: Lexicon, scene: Scene, act: Act, slots: Mapping[str, str], rng: random.Random) -> Message:
    """Opener, asker, circumstance, time and ending drawn without looking at the decision."""
    frames, voice = lexicon.frames, draw_voice(scene.register, rng)
    register = frames["registers"][voice]
    extras = _extras(scene, rng)
    why = _circumstance(lexicon, scene, voice, "reason" in extras, slots, rng)
    dues = [due for due in frames["dues"] if "{date}" not in due or "{date}" not in why.clause]
    pressure = rng.choice(frames["pressure"]) if "pressure" in extras else None
    spoken = bool(scene.secret) or bool(scene.blend) or scene.respelt or not act.noun
    roles = frames["level_roles"] if scene.kind == "level" and rng.random() < 0.5 else frames["roles"]
    aside = rng.choice(frames["asides"]).format(**slots) if "aside" in extras else ""
    return Message(
        voice=voice,
        te=act.te.format(**slots),
        noun=act.noun.format(**slots),
        ask=draw_ask(register, act.te, _child(rng), spoken=spoken),
        document=_object(act, slots),
        role=rng.choice(roles).format(**slots) if "role" in extras and voice != "メール" else "",
        why=Circumstance(why.clause.format(**slots), why.noun.format(**slots), why.joint, why.last),
        aside=aside + rng.choice(register["aside"]) if aside and register["aside"] else aside,
        due=rng.choice(dues).format(**slots) if "due" in extras else "",
        pressure={k: v.format(**slots) for k, v in pressure.items()} if pressure else None,
        opener="" if scene.attack in WRAPPED else rng.choice(register["openers"]).format(**slots),
        closer=rng.choice(register["closers"]).format(**slots),
    )


def _object(act: Act, slots: Mapping[str, str]) -> str:
    """What a list or a telegram names apart from the noun phrase."""
    for slot in ("doc", "x", "y"):
        if f"{{{slot}}}" in act.te and f"{{{slot}}}" not in act.noun:
            return slots[slot]
    return ""


def _child(rng: random.Random) -> random.Random:
    """For draws whose number depends on the act: what is drawn afterwards stays the same for the three of a group."""
    return random.Random(rng.random())


def _extras(scene: Scene, rng: random.Random) -> set[str]:
    extras = set(rng.sample(("role", "reason", "due", "pressure", "aside", "none", "nothing"), 2))
    if scene.kind == "level":
        extras = {"reason", *(extras & {"due", "role"})}  # asking for more than one's level needs a stated reason
    if scene.kind not in ("act", "level"):
        extras.discard("due")
    return extras


def _circumstance(
    lexicon: Lexicon, scene: Scene, voice: str, reason: bool, slots: Mapping[str, str], rng: random.Random
) -> Circumstance:
    """A story is told; anything else has a reason or none. Joints come from the voice."""
    frames = lexicon.frames
    register, told = frames["registers"][voice], scene.triple.told
    if not told and not reason:
        return Circumstance()
    clause, noun = rng.choice(frames["personal" if scene.triple.public else "reasons"])
    if told:
        clause = noun = rng.choice(told)
    last = rng.random() < 0.25 and bool(register["told"])
    joints = register[("told" if told else "because") + ("_after" if last else "")]
    return Circumstance(clause, noun, rng.choice(joints) if joints else "", last)


def _disguised(lexicon: Lexicon, scene: Scene, message: Message, slots: Mapping[str, str], rng: random.Random) -> str:
    attack, typos = scene.attack, lexicon.frames["typos"]["pairs"]
    if attack == "base64":
        return str(rng.choice(lexicon.attacks["wrap"]["base64"]).format(encoded=encode(bare(message))))
    text = compose(message)
    if scene.register == "誤字":
        text = misspell(text, typos, _child(rng))
    if attack in WRAPPED or (attack == "mixed_english" and not scene.respelt):
        topic = message.document or slots["subject"]
        template = rng.choice(lexicon.attacks["wrap"][attack])
        if message.voice == "箇条書き":
            template = template.replace("{request}", "\n{request}").replace("\n\n", "\n")
        text = str(template.format(**{**slots, "request": text, "te": message.te, "topic": topic}))
    if scene.context:
        text = in_context(lexicon, scene.domain, text, slots, random.Random(f"{scene.key}/context"))
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

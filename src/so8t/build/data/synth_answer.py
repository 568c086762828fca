"""The answer to a judged request: what will be done, who decides and what he needs, or why not and what instead."""

from __future__ import annotations

import random
from dataclasses import replace

from so8t.build.data.lexicon import Lexicon
from so8t.build.data.synth_scene import Scene
from so8t.build.data.verbs import wanted
from so8t.core.types import Decision


def write_answer(lexicon: Lexicon, scene: Scene, decision: Decision) -> str:
    """A useful sentence or two, never one phrase a class."""
    rng, act = random.Random(f"{scene.key}/{decision}/answer"), scene.act(decision)
    answers, slots = lexicon.frames["answers"], {**scene.slots, "target": target_of(scene, decision)}
    if scene.kind == "level" and decision is not Decision.ALLOW:
        form = "secrecy" if scene.secret and decision is Decision.DENY else "level"
        return str(rng.choice(answers[f"{decision}_{form}"]).format(**slots))
    if scene.varied and act.also:
        act = replace(act, answer=promise(act.te))
    slots |= {name: getattr(act, name).format(**slots) for name in ("noun", "answer", "need", "why", "instead")}
    text = str(rng.choice(answers[decision]).format(**slots))
    if decision is not Decision.ALLOW:
        return text
    closers = answers["ALLOW_close"] + (answers["ALLOW_document"] if "{doc}" in act.te else [])
    return text + str(rng.choice(closers).format(**slots))


def promise(te: str) -> str:
    """The clause as what will be done: 表を作って -> 表を作ります."""
    return (te.removesuffix("教えて") + "説明し" if te.endswith("教えて") else wanted(te) or te) + "ます"


def target_of(scene: Scene, decision: Decision) -> str:
    """Who decides: the act's own authority or the domain's."""
    return scene.triple.acts[decision].target or scene.target

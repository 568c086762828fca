"""Words of the other acts in each of the three, so that no word alone gives the label away.

One or both of the other acts are named and put aside: the three texts hold the same words, and their place decides.
"""

from __future__ import annotations

import random

from so8t.build.data.lexicon import Lexicon
from so8t.build.data.synth_scene import Scene
from so8t.core.types import DECISIONS, Decision


def blended(lexicon: Lexicon, scene: Scene, decision: Decision, te: str, rng: random.Random) -> str:
    """`te`, the clause of `decision`, after what is not wanted; `rng` must be the same for the three of a group."""
    phrases, quoted = lexicon.frames["contrast"], rng.random() < 0.6
    template = str(rng.choice(phrases[scene.blend + ("_quoted" if quoted else "")]))
    others = [scene.act(d) for d in rng.sample(DECISIONS, 3) if d is not decision]
    first, second = ((act.te if quoted else act.noun) for act in others)
    return template.replace("{first}", first).replace("{second}", second).replace("{te}", te)

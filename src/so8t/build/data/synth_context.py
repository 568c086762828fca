"""What people paste beside or round a request: minutes, threads, forwards, tables, chats of harmless lines."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from so8t.build.data.lexicon import Lexicon
from so8t.core.types import Domain

INSIDE_SHARE = 0.3
LONGEST = 600  # characters of a paste


def in_context(lexicon: Lexicon, domain: Domain, text: str, slots: Mapping[str, str], rng: random.Random) -> str:
    """`text` before, after or inside a paste; the request itself is not changed."""
    words, notes = lexicon.contexts, lexicon.domains[domain].notes
    lines = [note.format(**_other_slots(lexicon, domain, slots, rng)) for note in rng.sample(notes, rng.randint(3, 6))]
    if rng.random() < INSIDE_SHARE:
        outer, template = rng.choice(words["inside"])
        paste = _filled(template, lines, slots, text)
        return str(outer).format(**slots) + "\n" + paste
    paste = _filled(rng.choice(words["outside"]), lines, slots)[:LONGEST]
    label = rng.choice(words["labels"])
    return f"{text}\n{label}\n{paste}" if rng.random() < 0.6 else f"{label}\n{paste}\n\n{text}"


def _other_slots(lexicon: Lexicon, domain: Domain, slots: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """Every line of a paste speaks of its own day and number."""
    words = lexicon.domains[domain]
    return {
        **slots,
        "n": str(rng.randint(2, 9)),
        "hour": str(rng.randint(8, 19)),
        "date": f"{rng.randint(1, 12)}月{rng.randint(1, 28)}日",
        "subject": rng.choice(words.subjects),
    }


def _filled(template: str, lines: Sequence[str], slots: Mapping[str, str], request: str = "") -> str:
    names = {
        **slots,
        "bullets": "\n".join(f"・{line}" for line in lines),
        "numbered": "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1)),
        "quoted": "\n".join(f"> {line}。" for line in lines),
        "table": "\n".join(f"{number}|{line}" for number, line in enumerate(lines, 1)),
        "prose": "。".join(lines) + "。",
        "first": lines[0],
        "second": lines[1],
        "request": request,
    }
    return template.format(**names)

"""Requests written by hand, put anew: other words, endings, hurry, pastes and disguises round the same act (SPEC D6).

Nothing here may change a label: no disguise, story or claimed leave does (LABELS.md), and the two levels move only
where neither the text nor the label speaks of them.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from so8t.build.data.disguise import encode, fullwidth, katakana, romaji, zero_width
from so8t.build.data.lexicon import Lexicon
from so8t.build.data.registers import misspell
from so8t.build.data.synth_context import in_context
from so8t.core.text import INVISIBLE, KANJI, nfkc
from so8t.core.types import DECISIONS, Decision, Domain, Levels, Sample, Split

SHARE = 1 / 3  # of the generated requests, where there are seeds
WRAPPERS = ("injection", "role_play", "false_authority", "stepwise", "mixed_english")
SPELLINGS = ("fullwidth", "zero_width", "base64")
_WEEKDAYS = "月火水木金"
_WEEKDAY = re.compile(f"[{_WEEKDAYS}](?=曜)")
# Not after a kanji or the stem of a compound verb, not inside a longer kanji word.
_BEFORE, _AFTER = r"(?<![一-龥々りちきみしけせれべめげえ])", r"(?![一-龥々])"
_POINTS_AT = re.compile(r"次の|下の|上の|前の文|上記|以上|以下|下記|貼|別紙|添付|復号|符号|[Bb]ase64|「|『|[①②]|>|\|")
_GREETED = re.compile(r"^(お疲れ|おつかれ|お世話|いつも|夜分|件名|各位|はじめ|すみません|ごめん|Hi|Hello)")
_ASKED = re.compile(
    r"(?<=[てで])(ください|下さい|いただけますか|いただけませんか|もらえますか|もらえませんか|ほしいです|ほしい|欲しい|くれ"
    r"|くれないか|くれる|くれない|もらえる|もらえるか|もらいたい|いただきたいです|いただけると助かります)[。?？!！]?$"
)
_POLITE = re.compile(r"(です|ます|ません|ください|下さい|でしょうか|ますか)")
_CASUAL = re.compile(r"(じゃん|だよ|なんだけど|んだけど|けどさ|よね|ちゃって|っす|くれる[?？]|〜|w$)")


@dataclass(frozen=True, slots=True)
class SeedBook:
    """The seeds of a domain by decision, and the writing pairs that hold more than one decision."""

    single: Mapping[Decision, Sequence[Sample]]
    pairs: Sequence[Mapping[Decision, Sample]]


def seed_books(seeds: Iterable[Sample]) -> dict[Domain, SeedBook]:
    """Only requests of the training split are taken: no other pass may leak into what is trained on."""
    books = {}
    by_domain: dict[Domain, list[Sample]] = defaultdict(list)
    for seed in seeds:
        if seed.split is Split.TRAIN and seed.decision is not None:
            by_domain[seed.domain].append(seed)
    for domain, rows in by_domain.items():
        single = {d: [s for s in rows if s.decision is d] for d in DECISIONS}
        pairs: dict[str, dict[Decision, Sample]] = defaultdict(dict)
        for seed in rows:
            if seed.pair and seed.decision:
                pairs[seed.pair].setdefault(seed.decision, seed)
        if all(single.values()):
            books[domain] = SeedBook(single, [pair for pair in pairs.values() if len(pair) > 1])
    return books


def draw_seeds(book: SeedBook, rng: random.Random) -> dict[Decision, Sample]:
    """One seed a decision; those of one writing pair together where a pair is drawn."""
    group = {d: rng.choice(book.single[d]) for d in DECISIONS}
    return {**group, **rng.choice(book.pairs)} if book.pairs and rng.random() < 0.5 else group


def revoice(lexicon: Lexicon, levels: Levels, seed: Sample, id_: str, rng: random.Random) -> Sample:
    """`seed` in other words, with its answer, domain, decision, family and split; the id and the voice are new."""
    text, attack = _plain(seed), seed.attack
    if attack in (None, "zero_width", "fullwidth"):
        text = _reworded(lexicon, text, rng)
        text, attack = _disguised(lexicon, seed, text, rng)
    elif attack in ("kana", "romaji"):
        text, attack = _respelt(lexicon, text, attack, rng)
    elif attack in WRAPPERS:
        text = _beside(lexicon, _swapped(lexicon, text, rng), rng)
    else:
        text = _beside(lexicon, text, rng)
    clearance, classification = _moved(levels, seed, rng)
    return replace(
        seed,
        id=id_,
        text=text,
        source="so8t synth (written seed)",
        pair=None,
        attack=attack,
        clearance=clearance,
        classification=classification,
    )


def _plain(seed: Sample) -> str:
    """The text without the spelling that hid it."""
    if seed.attack == "zero_width":
        return INVISIBLE.sub("", seed.text)
    return nfkc(seed.text) if seed.attack == "fullwidth" else seed.text


def _reworded(lexicon: Lexicon, text: str, rng: random.Random) -> str:
    text = _ended(lexicon, _swapped(lexicon, text, rng), rng)
    slips = [pair for pair in lexicon.frames["typos"]["pairs"] if pair[0] in text]
    if slips and rng.random() < 0.12:  # only a listed slip: a dropped character could be the one that says not
        text = misspell(text, slips, rng)
    return _beside(lexicon, text, rng)


def _swapped(lexicon: Lexicon, text: str, rng: random.Random) -> str:
    """Some words by others that say the same; weekdays turned."""
    for group in rng.sample(lexicon.revoicing["synonyms"], len(lexicon.revoicing["synonyms"])):
        if group[0] in text and rng.random() < 0.6:
            text = re.sub(_BEFORE + re.escape(group[0]) + _AFTER, rng.choice(group[1:]), text, count=1)
    if rng.random() < 0.6:
        turn = rng.randrange(len(_WEEKDAYS))
        text = _WEEKDAY.sub(lambda m: _WEEKDAYS[(_WEEKDAYS.index(m[0]) + turn) % len(_WEEKDAYS)], text)
    return text


def _ended(lexicon: Lexicon, text: str, rng: random.Random) -> str:
    """Another ending of the same voice where the text closes with a plain request."""
    if rng.random() < 0.35 or not _ASKED.search(text):
        return text
    return _ASKED.sub(str(rng.choice(lexicon.revoicing["endings"][_voice(text)])), text, count=1)


def _voice(text: str) -> int:
    """Index of the endings that suit: 0 polite, 1 plain, 2 casual."""
    return 2 if _CASUAL.search(text) else 0 if _POLITE.search(text) else 1


def _beside(lexicon: Lexicon, text: str, rng: random.Random) -> str:
    """A greeting, a remark or a close of the text's own voice, mostly on both sides; seldom none."""
    place, remarks = rng.random(), lexicon.revoicing["beside"]
    register = lexicon.frames["registers"][("敬体", "常体", "くだけた")[_voice(text)]]
    joint = "\n" if "\n" in text or rng.random() < 0.2 else ""
    if place < 0.02:
        return text
    openers, closers = _usable(register["openers"]), _usable(register["closers"])
    before = rng.choice([*remarks, *([] if _GREETED.match(text) else openers)]) + joint if place < 0.86 else ""
    after = joint + rng.choice([*remarks, *closers]) if place > 0.16 else ""
    stop = "" if not after or joint or text.endswith(_STOPS) else "。"
    return before + text + stop + after


def _usable(phrases: Sequence[str]) -> list[str]:
    return [phrase for phrase in phrases if phrase and "{" not in phrase]


_STOPS = (".", "。", "?", "!", "？", "！", "…", "〜", "」", ")", "）")


def _disguised(lexicon: Lexicon, seed: Sample, text: str, rng: random.Random) -> tuple[str, str | None]:
    """The text as it is, in a paste, in a wrapper or in another spelling."""
    way = rng.random()
    points = bool(_POINTS_AT.search(text))
    if way < 0.26 and not points:
        slots = _paste_slots(lexicon, seed.domain, rng)
        return in_context(lexicon, seed.domain, text, slots, rng), None
    if 0.26 <= way < 0.42 and not points:
        attack = rng.choice(WRAPPERS)
        templates = lexicon.revoicing.get(attack) or lexicon.attacks["wrap"][attack]
        boss = rng.choice(lexicon.domains[seed.domain].bosses)
        return str(rng.choice(templates).format(request=text, boss=boss)), attack
    if way >= 0.86:
        attack = rng.choice(SPELLINGS)
        return _spelt(lexicon, text, attack, rng), attack
    return text, None


def _spelt(lexicon: Lexicon, text: str, attack: str, rng: random.Random) -> str:
    if attack == "base64":
        return str(rng.choice(lexicon.attacks["wrap"]["base64"]).format(encoded=encode(text)))
    if attack == "zero_width":
        return zero_width(text, rng)
    return fullwidth(text if fullwidth(text) != text else f"No.{rng.randint(10, 99)}\n{text}")


def _respelt(lexicon: Lexicon, text: str, attack: str, rng: random.Random) -> tuple[str, str]:
    """Kana as katakana or on the keyboard, where no kanji stands in the way; remarks in the same spelling."""
    before, after = rng.sample(lexicon.revoicing["kana_beside"], 2)
    place = rng.random()
    before, after = before if place < 0.86 else "", " " + after.strip() if place > 0.14 else ""
    if attack == "romaji":
        return romaji(before) + text + romaji(after), attack
    text, way = before + text + after, rng.random()
    if KANJI.search(text) or way < 0.3:
        return text, attack
    return (katakana(text), "kana") if way < 0.65 else (romaji(text), "romaji")


def _paste_slots(lexicon: Lexicon, domain: Domain, rng: random.Random) -> dict[str, str]:
    words = lexicon.domains[domain]
    unit, other = rng.sample(words.units, 2)
    return {
        "unit": unit,
        "other": other,
        "subject": rng.choice(words.subjects),
        "partner": rng.choice(words.partners),
        "boss": rng.choice(words.bosses),
        "colleague": rng.choice(lexicon.frames["common"]["colleagues"]),
        "date": f"{rng.randint(1, 12)}月{rng.randint(1, 28)}日",
        "hour": str(rng.randint(9, 18)),
        "n": str(rng.randint(3, 9)),
    }


def _moved(levels: Levels, seed: Sample, rng: random.Random) -> tuple[str, str]:
    """Other levels with the material still within reach, where the text names none and the label needs none."""
    clearance, classification = str(seed.clearance), str(seed.classification)
    if any(name not in levels.names for name in (clearance, classification)):
        return clearance, classification
    if levels.gap(clearance, classification) > 0 or any(name in seed.text for name in levels.names):
        return clearance, classification
    top, material = len(levels.names) - 1, levels.rank(classification)
    material = 0 if material == 0 else rng.randint(1, top)
    return levels.names[rng.randint(material, top)], levels.names[material]

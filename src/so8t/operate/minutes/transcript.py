"""A transcript -> who said what, in which line of the source: text with speakers, WEBVTT and SRT captions, or plain.

Every statement of the minutes names its line, so lines are counted as an editor counts them, from 1.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from so8t.core.errors import RecordInvalid
from so8t.core.text import clean, nfkc, sentences

MAX_CHARACTERS = 400_000  # six hours of speech, about
MAX_UTTERANCES = 20_000
LONGEST = 200  # characters of a piece; a longer speech is read sentence by sentence
LONGEST_NAME = 30
MOST_SPEAKERS = 100
_TIME = r"(?:\d{1,2}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?"
_CUE = re.compile(rf"({_TIME})\s*-->\s*{_TIME}")
_VOICE = re.compile(r"<v(?:\.[^\s>]+)*\s+([^>]{1,60})>")
_TAG = re.compile(r"<[^>]{0,80}>")
_STAMP = re.compile(rf"^[\[(〔]?({_TIME})[\])〕]?\s*")
# Yamada: ... ; 【山田】... ; ○山田委員 ... ; and, as some meeting programs write it, a line of its own: 山田 0:03
_COLON = re.compile(rf"^([^\s:。、!?「」()][^:。、!?「」]{{0,{LONGEST_NAME - 1}}}?)\s*:(?!//|[0-9])\s*(.*)$")
_BRACKET = re.compile(rf"^【([^】]{{1,{LONGEST_NAME}}})】\s*(.*)$")
_CIRCLE = re.compile(rf"^[○◯●]\s*([^\s。、]{{1,{LONGEST_NAME}}})\s+(.*)$")
_OWN_LINE = re.compile(rf"^([^。、!?:]{{1,{LONGEST_NAME}}}?)\s+({_TIME})$")
# What stands before a colon at the head of a record and is nobody.
_HEADINGS = frozenset(
    ("日時", "日付", "開催日", "時間", "場所", "会場", "出席", "出席者", "参加者", "欠席", "欠席者", "議題", "議案",
     "件名", "題名", "会議名", "資料", "配布資料", "備考", "注", "例", "目的", "次回",
     "date", "time", "place", "attendees", "agenda", "subject", "title", "note")
)  # fmt: skip
_FILLER = re.compile(
    r"(?:^|(?<=[、。…\s]))"
    r"(?:え[ーえ]*っ?と+(?:ですね)?|え[ーえ]+|あの[ーう]*(?:ですね)?|その[ー]+|う[ーう]*ん+|ん[ーん]+|ま[あぁ]|あ[ーあ]+|なんか)"
    r"[、。…ー\s]+"
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one person said: `line` of the source, from 1; `seconds` from the beginning, where the source tells."""

    line: int
    speaker: str
    text: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """`source`: the lines as they came, cleaned, to be shown beside the minutes. `utterances` in their order."""

    source: tuple[str, ...]
    utterances: tuple[Utterance, ...]

    @property
    def speakers(self) -> tuple[str, ...]:
        """The MOST_SPEAKERS who speak most often, in the order in which they begin; more are no people but labels."""
        times = Counter(one.speaker for one in self.utterances if one.speaker)
        often = {name for name, _ in times.most_common(MOST_SPEAKERS)}
        return tuple(name for name in times if name in often)

    @property
    def text(self) -> str:
        return "\n".join(self.source)


def parse(text: str) -> Transcript:
    """Raises RecordInvalid for one without words, or beyond MAX_CHARACTERS or MAX_UTTERANCES."""
    if len(text) > MAX_CHARACTERS:
        raise RecordInvalid(where="transcript", detail=f"> {MAX_CHARACTERS} characters")
    lines = tuple(clean(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    captions = any(_CUE.search(line) for line in lines)
    read = _captions(lines) if captions else _spoken(lines)
    utterances = tuple(piece for one in read for piece in _pieces(one))
    if not utterances:
        raise RecordInvalid(where="transcript", detail="no words")
    if len(utterances) > MAX_UTTERANCES:
        raise RecordInvalid(where="transcript", detail=f"> {MAX_UTTERANCES} utterances")
    return Transcript(lines, utterances)


def without_fillers(text: str) -> str:
    """えー、あの and their like left out, as minutes do."""
    shorter = _FILLER.sub("", text.strip())
    return shorter.strip() or text.strip()


def _spoken(lines: tuple[str, ...]) -> Iterator[Utterance]:
    """A line without a speaker goes on with the last one."""
    speaker, seconds = "", None
    for number, line in enumerate(lines, 1):
        plain = nfkc(line).strip()
        if not plain:
            continue
        if own := _OWN_LINE.match(plain):
            speaker, seconds = own[1].strip(), _seconds(own[2])
            continue
        if stamp := _STAMP.match(plain):
            seconds, plain = _seconds(stamp[1]), plain[stamp.end() :]
        named = _BRACKET.match(plain) or _CIRCLE.match(plain) or _COLON.match(plain)
        if named and named[1].strip().lower() in _HEADINGS:
            continue
        if named:
            speaker, plain = _name(named[1]), named[2]
        if plain.strip():
            yield Utterance(number, speaker, plain.strip(), seconds)


def _captions(lines: tuple[str, ...]) -> Iterator[Utterance]:
    """WEBVTT (W3C) and SRT: the words below a time line, up to the next blank one."""
    speaker, seconds, inside = "", None, False
    for number, line in enumerate(lines, 1):
        if cue := _CUE.search(line):
            seconds, inside = _seconds(cue[1]), True
        elif not line.strip():
            inside = False
        elif inside:
            if voice := _VOICE.search(line):
                speaker = _name(voice[1])
            words = nfkc(_TAG.sub("", line)).strip()
            if not voice and (named := _COLON.match(words)):
                speaker, words = _name(named[1]), named[2].strip()
            if words:
                yield Utterance(number, speaker, words, seconds)


def _pieces(one: Utterance) -> Iterator[Utterance]:
    if len(one.text) <= LONGEST:
        yield one
        return
    held = ""
    whole = (sentence[at : at + LONGEST] for sentence in sentences(one.text) for at in range(0, len(sentence), LONGEST))
    for sentence in whole:  # none longer than LONGEST: whatever reads them may look at each as often as it needs
        if held and len(held) + len(sentence) > LONGEST:
            yield replace(one, text=held)
            held = ""
        held += sentence
    if held:
        yield replace(one, text=held)


def _name(label: str) -> str:
    """As the person is called in the minutes."""
    return " ".join(nfkc(label).split())


def _seconds(time: str) -> float:
    parts = [float(part.replace(",", ".")) for part in time.split(":")]
    return math.fsum(part * 60**place for place, part in enumerate(reversed(parts)))

"""What a text says once its disguises are taken off (issue 6.5): each view is judged as the text it is (LABELS.md).

raw -> normal -> decoded -> joined, each made from the one before; kana and romaji are further readings of the last.
A view equal to the one it was made from is left out. Base32, base85, archives and other ciphers than ROT13
are not read.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import unquote_to_bytes

from so8t.core.text import INVISIBLE, nfkc
from so8t.decide.romaji import romaji_to_hiragana

MAXIMUM_DEPTH = 3
MAXIMUM_DECODED = 64 << 10
OPAQUE_LENGTH = 24

_JA = r"ぁ-ゖァ-ヺー㐀-䶿一-鿿々"
_JAPANESE = re.compile(f"[{_JA}]")
_KANA = re.compile(r"[ぁ-ゖァ-ヺ]")
# Spellings nobody types by accident; ①, ㈱ and full-width punctuation are ordinary and stay.
_MASKED = re.compile(
    r"[Ａ-Ｚａ-ｚ][Ａ-Ｚａ-ｚ０-９]{2,}|[ｦ-ﾟ]{2,}|[\U0001d400-\U0001d7ff\u24b6-\u24e9\U0001f130-\U0001f189㊙⺀-⿕]+"
)
_FOREIGN = re.compile(r"[\u0370-\u052f]")
_WORD = re.compile(r"[A-Za-z\u0370-\u052f]{3,}")
_LATIN = re.compile(r"[A-Za-z]")
_CONFUSABLE = str.maketrans(
    "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХІЈЅοανρικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdqwhlABEKMHOPCTYXIJSoavpikABEZHIKMNOPTYX",
)

_CODED = re.compile(
    r"[A-Za-z0-9+/_-]{8}|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|&#|(?:[0-9A-Fa-f]{2}[ :]){5}|[A-Za-z] [A-Za-z]"
)
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ESCAPE = re.compile(r"\\u[0-9A-Fa-f]{4}|&#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});")
_HEX = re.compile(
    r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9A-Fa-f]{2}){6,}|[0-9A-Fa-f]{2}(?:[ :][0-9A-Fa-f]{2}){5,})(?![0-9A-Za-z])"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}(?:\n[A-Za-z0-9+/_-]{8,})*={0,2}")
_LATIN_RUN = re.compile(r"[A-Za-z](?:[A-Za-z ,.'!?-]{8,})[A-Za-z]")
_DIGEST_LENGTHS = frozenset({32, 40, 56, 64, 96, 128})
# The commonest letter pairs of English and of romaji: half of the pairs of real text, a fourteenth of random ones.
_COMMON_PAIRS = (
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic "
    "ne ea ra ce li ch ll be ma si om ur ka ki ku ke ko sa su so sh ta ts na ni no mi mu mo ya yu yo ru wo ga gi da do "
    "ba bu ji ho yo ai ei oi uu"
)
_PAIRS = frozenset(_COMMON_PAIRS.split())

_SEPARATOR = r"[ \t\u3000\n./・·•･,、|*_+~-]{1,2}"
_SPLIT_JA = re.compile(f"(?<![{_JA}])[{_JA}](?:{_SEPARATOR}[{_JA}](?![{_JA}])){{2,}}")
_SPLIT_LATIN = re.compile(r"(?<![A-Za-z])[a-z](?:[ ./_*-][a-z](?![A-Za-z])){4,}")
_SPLIT_HINT = re.compile(
    f"(?:{_SEPARATOR}[{_JA}]){{2}}{_SEPARATOR}|^[{_JA}]{_SEPARATOR}[{_JA}]{_SEPARATOR}"
    r"|[ ./_*-][a-z][ ./_*-][a-z][ ./_*-]"
)
_NOT_JA = re.compile(f"[^{_JA}]+")
_NOT_LATIN = re.compile(r"[^a-z]+")
# Days, ranks, seasons and compass points are listed one by one in ordinary text.
_LISTED = frozenset(
    "月火水木金土日祝甲乙丙丁戊上中下大小左右前後春夏秋冬東西南北男女有無可否朝昼夕夜晩優良不一二三四五六七八九十"
)

_KATAKANA = re.compile(r"[ァ-ヶヽヾ]")
_GAP = re.compile(r"(?<=[ぁ-ゖー])[ \u3000]+(?=[ぁ-ゖー])")
_TO_HIRAGANA = {code: code - 0x60 for code in (*range(0x30A1, 0x30F7), 0x30FD, 0x30FE)}


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text. changed = differs from the raw text; complete = nothing in it stayed unread."""

    kind: str
    text: str
    changed: bool = False
    complete: bool = True


@dataclass(slots=True)
class _Budget:
    """Bytes that decoding may still put out; `complete` turns false when something had to be left unread."""

    left: int = MAXIMUM_DECODED
    complete: bool = True

    def spend(self, size: int) -> bool:
        if size > self.left:
            self.complete = False
            return False
        self.left -= size
        return True


def views(text: str) -> tuple[View, ...]:
    """Every reading of `text` that differs from the one before it, raw first; also one that could not be finished."""
    found = [View("raw", text)]
    normal = normalise(text)
    decoded, complete = decode(normal)
    joined = join_split(decoded)
    before = text
    for kind, reading in (("normal", normal), ("decoded", decoded), ("joined", joined)):
        unread = kind == "decoded" and not complete
        if reading != before or unread:
            found.append(View(kind, reading, reading != text, not unread))
        before = reading
    if (kana := to_hiragana(joined)) != joined:
        found.append(View("kana", kana, True))
    if (spoken := romaji_to_hiragana(joined)) != joined:
        found.append(View("romaji", spoken, True))
    return tuple(found)


def clearest(text: str) -> View:
    """The one reading a model gets, in training as in serving: the text in NFC, with only its disguises undone."""
    plain = unicodedata.normalize("NFC", text)
    unmasked = unmask(plain)
    decoded, complete = decode(unmasked)
    joined = join_split(decoded)
    kind = "raw"
    for name, reading, before in (
        ("normal", unmasked, plain),
        ("decoded", decoded, unmasked),
        ("joined", joined, decoded),
    ):
        kind = name if reading != before else kind
    return View(kind, joined, joined != plain, complete)


def normalise(text: str) -> str:
    """NFKC, nothing invisible, look-alike letters as Latin."""
    return fold_confusables(nfkc(INVISIBLE.sub("", text)))


def unmask(text: str) -> str:
    """Like normalise, but only where the spelling is a disguise: ordinary Japanese keeps its （）, ① and ㈱."""
    return fold_confusables(_MASKED.sub(lambda m: nfkc(m.group()), INVISIBLE.sub("", text)))


def fold_confusables(text: str) -> str:
    """Cyrillic and Greek look-alikes inside otherwise Latin words become Latin; Russian words and μm stay."""
    return _WORD.sub(_fold_word, text) if _FOREIGN.search(text) else text


def _fold_word(match: re.Match[str]) -> str:
    word = match.group()
    folded = word.translate(_CONFUSABLE)
    mixed = bool(_LATIN.search(word)) or len(word) >= 5
    return folded if mixed and folded.isascii() else word


def decode(text: str, depth: int = MAXIMUM_DEPTH) -> tuple[str, bool]:
    """Encoded segments replaced in place by what they say, and whether everything could be read.

    Percent, HTML and \\u escapes, hex, base64 and ROT13, `depth` layers, 64 KiB of output in all.
    """
    if not _CODED.search(text):
        return text, True
    budget = _Budget()
    return _decode(text, depth, budget), budget.complete


def _decode(text: str, depth: int, budget: _Budget) -> str:
    text = _PERCENT.sub(lambda m: _replacement(m.group(), unquote_to_bytes(m.group()), depth, budget), text)
    text = _ESCAPE.sub(lambda m: _unescape(m.group()), text)
    text = _HEX.sub(lambda m: _decode_hex(m, depth, budget), text)
    text = _BASE64.sub(lambda m: _decode_base64(m.group(), depth, budget), text)
    return _LATIN_RUN.sub(lambda m: _decode_rot13(m.group(), budget), text)


def _unescape(escape: str) -> str:
    character = chr(int(escape[2:], 16)) if escape[0] == "\\" else html.unescape(escape)
    return character if character.isprintable() else escape


def _decode_hex(match: re.Match[str], depth: int, budget: _Budget) -> str:
    segment, digits = match.group(), re.sub(r"[ :]", "", match.group(1))
    if digits.isdigit() and len(digits) < 20:  # a number, not a message
        return segment
    return _replacement(segment, bytes.fromhex(digits), depth, budget)


def _decode_base64(segment: str, depth: int, budget: _Budget) -> str:
    body = segment.replace("\n", "").rstrip("=").replace("-", "+").replace("_", "/")
    if len(body) * 3 // 4 > budget.left:
        budget.complete = False
        return segment
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        raw = b""
    said = _replacement(segment, raw, depth, budget)
    if said == segment and (is_opaque(body) or (len(body) >= OPAQUE_LENGTH and _is_printable_ascii(raw))):
        budget.complete = False
    return said


def _is_printable_ascii(raw: bytes) -> bool:
    """Eighteen random bytes never are: whatever decodes so was encoded on purpose."""
    return raw.isascii() and raw.decode("ascii").isprintable() and raw != b""


def _replacement(segment: str, raw: bytes, depth: int, budget: _Budget) -> str:
    """What the bytes say, further layers included; the segment itself when they say nothing."""
    for said in _readings(raw):
        language = is_language(said)
        if not language and depth <= 1:
            continue
        inner = _decode(said, depth - 1, budget) if depth > 1 and _CODED.search(said) else said
        if (language or inner != said) and budget.spend(len(raw)):
            return normalise(inner)
    return segment


def _readings(raw: bytes) -> Iterator[str]:
    """The bytes as text: UTF-8, else the encodings of Japanese systems when that gives kana."""
    for encoding in ("utf-8", "utf-16-le", "cp932", "euc-jp") if raw else ():
        try:
            said = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8":
            yield said
            return  # valid UTF-8 is hardly ever anything else
        if len(said) >= 4 and len(_KANA.findall(said)) >= len(said) / 5 and is_language(said):
            yield said


def is_language(text: str) -> bool:
    """Printable, and Japanese or letters for the most part."""
    if not all(c.isprintable() or c in "\n\r\t" for c in text):
        return False
    if len(text) >= OPAQUE_LENGTH and _BASE64.fullmatch(text):
        return False  # a further layer, not a word
    japanese = len(_JAPANESE.findall(text))
    latin = sum(c.isascii() and (c.isalpha() or c == " ") for c in text)
    return (
        japanese * 3 >= len(text) or (japanese > 0 and japanese + latin >= len(text) * 0.6) or latin >= len(text) * 0.8
    )


def is_opaque(segment: str) -> bool:
    """Looks like an encoded message that cannot be read: long, letters and digits thoroughly mixed, no usual digest."""
    if len(segment) < OPAQUE_LENGTH or segment.isdigit():
        return False
    if re.fullmatch(r"[0-9a-fA-F]+", segment):
        return len(segment) not in _DIGEST_LENGTHS
    kinds = ["u" if c.isupper() else "l" if c.islower() else "d" for c in segment]
    turns = sum(a != b for a, b in pairwise(kinds))
    # camelCase and paths turn at a third of their letters, random base64 at 0.63
    return len(set(kinds)) == 3 and turns >= 0.42 * (len(segment) - 1)


def _decode_rot13(run: str, budget: _Budget) -> str:
    """ROT13 only where the result is clearly language and the original clearly is not."""
    if _pair_share(run) > 0.25:
        return run
    turned = codecs.encode(run, "rot13")
    return turned if _pair_share(turned) >= 0.45 and budget.spend(len(run)) else run


def _pair_share(text: str) -> float:
    """Share of the neighbouring letters that are common pairs; 0 for fewer than eight pairs."""
    lower = text.lower()
    pairs = [a + b for a, b in pairwise(lower) if a.isalpha() and b.isalpha()]
    return sum(p in _PAIRS for p in pairs) / len(pairs) if len(pairs) >= 8 else 0.0


def join_split(text: str) -> str:
    """Words written as single characters with something between them, put together: 機 密 を 送 れ -> 機密を送れ."""
    if not _SPLIT_HINT.search(text):
        return text
    text = _SPLIT_JA.sub(_join_japanese, text)
    return _SPLIT_LATIN.sub(lambda m: _NOT_LATIN.sub("", m.group()), text)


def _join_japanese(match: re.Match[str]) -> str:
    joined = _NOT_JA.sub("", match.group())
    return match.group() if _LISTED.issuperset(joined) else joined


def to_hiragana(text: str) -> str:
    """Katakana as hiragana, without the spaces all-kana text puts between words; small kana and ー stay."""
    if _KATAKANA.search(text):
        text = text.translate(_TO_HIRAGANA)
    return _GAP.sub("", text) if _GAP.search(text) else text

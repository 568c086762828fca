"""Text hidden in a text by an encoding, in layers and within bounds.

Percent, HTML and \\u escapes, hex, base64, base32 (RFC 4648), base85 (RFC 1924, Ascii85) and ROT13; gzip and zlib in
one of them. A segment is only replaced where what it says is language.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from urllib.parse import unquote_to_bytes

import numpy as np

from so8t.decide.spelling import normalise

MAXIMUM_DEPTH = 3
MAXIMUM_DECODED = 64 << 10
OPAQUE_LENGTH = 24

_JAPANESE = re.compile(r"[ぁ-ゖァ-ヺー㐀-䶿一-鿿々]")
_KANA = re.compile(r"[ぁ-ゖァ-ヺ]")
# All encodings are ASCII, so that only such runs are looked at: in Japanese text there are few.
_RUN = re.compile(r"[!-~][\n -~]{2,}")
_CODED = re.compile(
    r"[A-Za-z0-9+/_-]{8}|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|&#|(?:[0-9A-Fa-f]{2}[ :]){5}"
    r"|[A-Za-z][ ,.'!?-]+[A-Za-z]|[!-~]{20}"
)
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ESCAPE = re.compile(r"\\u[0-9A-Fa-f]{4}|&#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});")
_HEX = re.compile(
    r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9A-Fa-f]{2}){6,}|[0-9A-Fa-f]{2}(?:[ :][0-9A-Fa-f]{2}){5,})(?![0-9A-Za-z])"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}(?:\n[A-Za-z0-9+/_-]{8,})*={0,2}")
_BASE32 = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9])")
_BASE85 = re.compile(r"<~[!-uz]{5,}~>|[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{20,}")
_NOT_BASE64 = re.compile(r"[!#$%&()*;<>?@^`{|}~]")
_LATIN_RUN = re.compile(r"[A-Za-z](?:[A-Za-z ,.'!?-]{8,})[A-Za-z]")
# Encodings of Japanese systems, and the bytes of which one is in every kana.
_OLDER = (
    ("utf-16-le", frozenset({0x30})), ("cp932", frozenset({0x82, 0x83})), ("euc-jp", frozenset({0xA4, 0xA5})),
)  # fmt: skip
_DIGEST_LENGTHS = frozenset({32, 40, 56, 64, 96, 128})
# The commonest letter pairs of English and of romaji: half of the pairs of real text, a fourteenth of random ones.
_COMMON_PAIRS = (
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic "
    "ne ea ra ce li ch ll be ma si om ur ka ki ku ke ko sa su so sh ta ts na ni no mi mu mo ya yu yo ru wo ga gi da do "
    "ba bu ji ho yo ai ei oi uu"
)
_PAIRS = np.zeros(1 << 16, dtype=np.uint8)  # 1 = two letters, 2 = a common pair
for _a, _b in product(range(ord("a"), ord("z") + 1), repeat=2):
    _PAIRS[_a << 8 | _b] = 2 if chr(_a) + chr(_b) in _COMMON_PAIRS.split() else 1


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


def decode(text: str, depth: int = MAXIMUM_DEPTH) -> tuple[str, bool]:
    """Encoded segments replaced in place by what they say, and whether everything could be read.

    At most `depth` layers and 64 KiB of output in all.
    """
    budget = _Budget()
    return _decode(text, depth, budget), budget.complete


def _decode(text: str, depth: int, budget: _Budget) -> str:
    return _RUN.sub(lambda m: _decode_run(m[0], depth, budget) if _CODED.search(m[0]) else m[0], text)


def _decode_run(text: str, depth: int, budget: _Budget) -> str:
    text = _BASE85.sub(lambda m: _decode_base85(m[0], depth, budget), text)
    if "%" in text:
        text = _PERCENT.sub(lambda m: _replacement(m.group(), unquote_to_bytes(m.group()), depth, budget), text)
    text = _ESCAPE.sub(lambda m: _unescape(m.group()), text)
    text = _HEX.sub(lambda m: _decode_hex(m, depth, budget), text)
    text = _BASE32.sub(lambda m: _decode_base32(m[0], depth, budget), text)
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
        raw = binascii.a2b_base64(body + "=" * (-len(body) % 4), strict_mode=True)
    except binascii.Error:
        raw = b""
    said = _replacement(segment, raw, depth, budget)
    if said == segment and (is_opaque(body) or (len(body) >= OPAQUE_LENGTH and _is_printable_ascii(raw))):
        budget.complete = False
    return said


def _decode_base32(segment: str, depth: int, budget: _Budget) -> str:
    body = segment.rstrip("=")
    if len(body) * 5 // 8 > budget.left:
        budget.complete = False
        return segment
    try:
        raw = base64.b32decode(body + "=" * (-len(body) % 8))
    except binascii.Error:
        return segment
    return _replacement(segment, raw, depth, budget)


def _decode_base85(segment: str, depth: int, budget: _Budget) -> str:
    framed = segment.startswith("<~") and segment.endswith("~>")
    if not framed and not _NOT_BASE64.search(segment):
        return segment
    if len(segment) * 4 // 5 > budget.left:
        budget.complete = False
        return segment
    try:
        raw = base64.a85decode(segment, adobe=True) if framed else base64.b85decode(segment)
    except ValueError:
        raw = b""
    said = _replacement(segment, raw, depth, budget)
    if framed and said == segment:
        budget.complete = False
    return said


def _inflated(raw: bytes, budget: _Budget) -> bytes:
    """What gzip or zlib made small, as far as the budget reaches; other bytes as they are."""
    if not (raw.startswith(b"\x1f\x8b") or (raw.startswith(b"\x78") and int.from_bytes(raw[:2], "big") % 31 == 0)):
        return raw
    stream = zlib.decompressobj(wbits=47)  # either, told by its header
    try:
        said = stream.decompress(raw, budget.left + 1)
    except zlib.error:
        return raw
    if not budget.spend(len(said)):
        return raw
    if not stream.eof:
        budget.complete = False
    return said


def _is_printable_ascii(raw: bytes) -> bool:
    """Eighteen random bytes never are: whatever decodes so was encoded on purpose."""
    return raw.isascii() and raw.decode("ascii").isprintable() and raw != b""


def _replacement(segment: str, raw: bytes, depth: int, budget: _Budget) -> str:
    """What the bytes say, further layers included; the segment itself when they say nothing."""
    for said in _readings(_inflated(raw, budget)):
        language = is_language(said)
        if not language and depth <= 1:
            continue
        inner = _decode(said, depth - 1, budget) if depth > 1 else said
        if (language or inner != said) and budget.spend(len(raw)):
            return normalise(inner)
    return segment


def _readings(raw: bytes) -> Iterator[str]:
    """The bytes as text: UTF-8, else the encodings of Japanese systems when that gives kana."""
    if not raw:
        return
    try:
        yield raw.decode("utf-8")
        return  # valid UTF-8 is hardly ever anything else
    except UnicodeDecodeError:
        pass
    for encoding, kana in _OLDER:
        if kana.isdisjoint(raw):
            continue
        try:
            said = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
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
    codes = np.frombuffer(text.lower().encode("ascii"), dtype=np.uint8).astype(np.uint16)
    _, letters, common = np.bincount(_PAIRS[codes[:-1] << 8 | codes[1:]], minlength=3).tolist()
    return common / (letters + common) if letters + common >= 8 else 0.0

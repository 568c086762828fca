"""Personal data and secrets in a text: found by their form, masked by their kind.

Names and addresses have no form of their own and are left to a later issue; so is anything only context would tell.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from so8t.core.text import INVISIBLE


@dataclass(frozen=True, slots=True)
class Finding:
    """text[start:end] of the original text is of this kind; the kind is also its placeholder."""

    kind: str
    start: int
    end: int


_SECRET = r"[^\s、。,;「」『』（）()\"'`<>［］\[\]]"
_EDGE = r"(?<![0-9])(?<![0-9]-)"
_END = r"(?!-?[0-9])"


def _digits(text: str) -> list[int]:
    return [int(c) for c in text if c in "0123456789"]


def is_my_number(text: str) -> bool:
    """Check digit of the 12-digit individual number (総務省令第85号, 2014)."""
    *body, check = _digits(text)
    weights = [n + 1 if n <= 6 else n - 5 for n in range(1, 12)]
    rest = sum(d * w for d, w in zip(reversed(body), weights, strict=True)) % 11
    return check == (0 if rest <= 1 else 11 - rest)


def is_corporate_number(text: str) -> bool:
    """Check digit of the 13-digit corporate number (財務省令第70号, 2014): it comes first."""
    check, *body = _digits(text)
    return check == 9 - sum(d * (1 if n % 2 == 0 else 2) for n, d in enumerate(reversed(body))) % 9


def is_card_number(text: str) -> bool:
    """Luhn check digit (ISO/IEC 7812-1)."""
    digits = _digits(text)
    doubled = (d if n % 2 == 0 else sum(divmod(2 * d, 10)) for n, d in enumerate(reversed(digits)))
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0


def is_address(text: str) -> bool:
    """An IPv4 address, private ones included."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


# In the order in which they claim their place: what is surer comes first. Group 1, where there is one, is the finding.
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool] | None], ...] = (
    (
        "秘密鍵",
        re.compile(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s:,-]{0,20000}-----END [A-Z ]{0,30}KEY-----)?"
        ),
        None,
    ),
    (
        "APIキー",
        re.compile(
            r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|glpat-[\w-]{20,}"
            r"|xox[abpr]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{20,}|AIza[\w-]{35}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
        ),
        None,
    ),
    (
        "APIキー",
        re.compile(
            rf"(?:(?:api|access|secret)[_ -]?key|access[_ -]?token|APIキー)\s?[:=は]\s?[\"'「]?({_SECRET}{{8,}})",
            re.I,
        ),
        None,
    ),
    (
        "パスワード",
        re.compile(
            rf"(?:pass(?:word|wd|phrase)?|pwd|パスワード|暗証番号)\s?(?:[:=]|は(?=\s?[\"'「]?[!-~]{{4}}))\s?[\"'「]?({_SECRET}{{4,}})",
            re.I,
        ),
        None,
    ),
    (
        "メールアドレス",
        re.compile(
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])"
        ),
        None,
    ),
    (
        "口座番号",
        re.compile(rf"(?:口座(?:番号)?|普通(?:預金)?|当座(?:預金)?)\s?(?:番号)?[:=は]?\s?{_EDGE}([0-9]{{6,8}}){_END}"),
        None,
    ),
    ("カード番号", re.compile(rf"{_EDGE}[2-6][0-9]{{3}}(?:[ -]?[0-9]{{4}}){{3}}{_END}"), is_card_number),
    ("カード番号", re.compile(rf"{_EDGE}3[47][0-9]{{2}}[ -]?[0-9]{{6}}[ -]?[0-9]{{5}}{_END}"), is_card_number),
    ("法人番号", re.compile(rf"{_EDGE}[1-9][0-9]{{12}}{_END}"), is_corporate_number),
    ("個人番号", re.compile(rf"{_EDGE}[0-9]{{4}}[ -]?[0-9]{{4}}[ -]?[0-9]{{4}}{_END}"), is_my_number),
    (
        "電話番号",
        re.compile(
            rf"{_EDGE}(?:\+81[ -]?(?:\(0\))?[1-9]|0[1-9])[0-9]{{0,4}}"
            rf"(?:[ -][0-9]{{1,4}}[ -]|\([0-9]{{1,4}}\))[0-9]{{3,4}}{_END}"
            rf"|{_EDGE}\(0[1-9][0-9]{{0,4}}\)[ -]?[0-9]{{1,4}}-[0-9]{{4}}{_END}"
            rf"|{_EDGE}0(?:[5789]0[0-9]{{8}}|120[0-9]{{6}}|800[0-9]{{7}}|[36][0-9]{{8}}){_END}"
            rf"|(?:電話|TEL|携帯|FAX)(?:番号)?\s?[:は]?\s?{_EDGE}(0[1-9][0-9]{{8}}){_END}",
            re.I,
        ),
        None,
    ),
    ("郵便番号", re.compile(rf"〒\s?([0-9]{{3}}-?[0-9]{{4}}){_END}|{_EDGE}[0-9]{{3}}-[0-9]{{4}}{_END}"), None),
    ("IPアドレス", re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])"), is_address),
)
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−ー", "-"))
_DASHED = re.compile(r"(?<=[0-9)])[‐‑‒–—―−ー](?=[0-9(])")
_HINT = re.compile(r"[0-9]{3}|@|〒|\.[0-9]|pass|pwd|key|token|パスワード|暗証|APIキー|-----|[A-Za-z0-9_-]{20}", re.I)


def find(text: str) -> list[Finding]:
    """Personal data and secrets in order of place, never overlapping; offsets are of `text` as it was given."""
    normal, offsets = _normalised(text)
    if not _HINT.search(normal):
        return []
    taken: list[Finding] = []
    claimed = bytearray(len(normal))
    for kind, start, end in _matches(normal):
        if not any(claimed[start:end]):
            claimed[start:end] = b"\x01" * (end - start)
            first, last = (start, end) if offsets is None else (offsets[start], offsets[end - 1] + 1)
            taken.append(Finding(kind, first, last))
    return sorted(taken, key=lambda f: f.start)


def mask(text: str) -> tuple[str, Counter[str]]:
    """The text with every finding replaced by ［its kind］, and how many of each kind there were."""
    findings = find(text)
    parts, at = [], 0
    for finding in findings:
        parts += [text[at : finding.start], f"［{finding.kind}］"]
        at = finding.end
    return "".join([*parts, text[at:]]), Counter(finding.kind for finding in findings)


def _matches(text: str) -> Iterator[tuple[str, int, int]]:
    for kind, pattern, valid in _KINDS:
        for match in pattern.finditer(text):
            group = next((n for n in range(1, pattern.groups + 1) if match.group(n) is not None), 0)
            if valid is None or valid(match.group(group)):
                yield kind, match.start(group), match.end(group)


def _normalised(text: str) -> tuple[str, list[int] | None]:
    """NFKC without invisible characters, and for each of its characters where it came from; None = the same place."""
    if unicodedata.is_normalized("NFKC", text) and not INVISIBLE.search(text):
        return _DASHED.sub("-", text), None
    characters: list[str] = []
    offsets: list[int] = []
    for place, character in enumerate(text):
        # One character at a time, so that each keeps its place; what that cannot compose is never part of a number.
        folded = "" if INVISIBLE.match(character) else unicodedata.normalize("NFKC", character)
        characters.append(folded)
        offsets += [place] * len(folded)
    return _DASHED.sub("-", "".join(characters)), offsets

"""Addresses down to the house. A place without a house number is where many live, and stays.

An address is found from the middle: 市, 区, 町, 村 or 郡, then a town and a house number; its beginning is looked for
backwards from there, its building forwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from so8t.decide.pii_form import Place
from so8t.decide.pii_lexicon import any_of

KIND = "住所"
_K = "一-鿿々〆ヶケ"
_PIECE = (
    rf"(?:[{_K}ァ-ヴー]|(?<=[{_K}])[のがつ](?=[{_K}])|(?<=[市区町村]){any_of('addresses', 'towns')}"
    rf"|(?<=[{_K}])[上下入西東][るル入]|[0-9]{{1,2}}条通?)"
)
_TOWN = rf"{_PIECE}{{0,20}} ?{_PIECE}{{0,12}} ?"
_NUM, _ANY = r"[0-9]{1,4}", r"(?:[0-9]{1,4}|[〇一二三四五六七八九十百]{1,6})"
_HOUSE = rf"(?:番地?(?:[の-]?{_ANY}(?:-{_NUM})?)?号?|(?:-{_NUM}){{1,3}}号?)"
_BLOCK = (
    rf"(?:(?<=[北南]){_ANY}条[東西]{_ANY}丁目(?: ?{_NUM}{_HOUSE}?)?"
    rf"|{_ANY}丁目 ?{_ANY}{_HOUSE}?"
    rf"|{_NUM}-{_NUM}-{_NUM}(?:-{_NUM})?号?"
    rf"|(?!(?:19|20)[0-9]{{2}}-){_NUM}-{_NUM}(?![でのと]|対|試合)"
    rf"|{_ANY}番地(?:[の-]?{_ANY})?号?|{_ANY}番 ?{_ANY}号?"
    rf"|(?<=字.)[0-9]{{1,5}}|(?<=字..)[0-9]{{1,5}}|(?<=字...)[0-9]{{1,5}})"
)
_COUNTED = (
    r"(?![0-9年月日時分秒回人名個台件万億円%点勝敗位組歳級章節条項話巻度次本校頭匹軒戸票倍ヵカか行列型]|-[0-9]|\.[0-9]"
    r"|階建|号線|号車|号機|番線|世紀|キロ|メートル|[kKmMc]?m(?![A-Za-z])|ha)"
)
_ROOM = r"(?: ?[0-9A-Z]{1,4}(?:-[0-9]{1,4})?(?:号室|号|室|階|F)| ?[0-9]{3,4}(?![0-9-]))"
_CALLED = rf"[{_K}ァ-ヴーA-Za-z0-9・]"
_BUILDING = (
    rf"(?: ?{_CALLED}{{0,20}}?{_NUM}号室"
    rf"| ?{_CALLED}{{1,20}}?{any_of('addresses', 'buildings')}(?:[0-9A-Z]{{1,2}}棟)?{_ROOM}?"
    rf"| ?{any_of('addresses', 'building_heads')}[{_K}ァ-ヴーぁ-ん・]{{0,14}}{_ROOM}?)"
)
_CORE = re.compile(rf"[市区町村郡]{_TOWN}{_BLOCK}{_COUNTED}{_BUILDING}?")
_HAS_NUMBER = re.compile(r"丁目|番地|番 ?[0-9〇一二三四五六七八九十]|-[0-9]|字[^0-9]{1,3}[0-9]")
HEADS = ("丁目", "番地", f"番{_ANY}")  # without one of these or a digit no address can be found
_PART = rf"(?:[{_K}ァ-ヴー]|(?<=[{_K}])[のがつ](?=[{_K}])|{any_of('addresses', 'cities')}){{0,8}}"
_PREFECTURE = re.compile(rf"{any_of('addresses', 'prefectures')} ?{_PART} ?{_PART}$")
_CITY = re.compile(rf"(?:{any_of('addresses', 'cities')}|[{_K}ノ]{{1,8}})$")
_LABEL = re.compile(any_of("addresses", "labels"))
_LONGEST_HEAD = 24


def addresses(text: str) -> Iterator[Place]:
    """Addresses with a house number, with or without their prefecture."""
    if not _HAS_NUMBER.search(text):
        return
    for match in _CORE.finditer(text):
        start = _beginning(text, match.start())
        if start < match.start():
            yield KIND, start, match.end()


def _beginning(text: str, at: int) -> int:
    """Where the address begins whose 市, 区, 町, 村 or 郡 stands at `at`; `at` itself = there is no name before it."""
    head = text[max(0, at - _LONGEST_HEAD) : at]
    if found := _PREFECTURE.search(head):
        return at - len(head) + found.start()
    if not (found := _CITY.search(head)):
        return at
    name = found.group()
    labels = [m.end() for m in _LABEL.finditer(name) if m.end() < len(name)]
    return at - len(name) + (labels[-1] if labels else 0)

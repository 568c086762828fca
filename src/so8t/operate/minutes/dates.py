"""When something is due, as it was said: the words are kept, no calendar date is made up from them."""

from __future__ import annotations

import re

_N = r"(?<![0-9〇一二三四五六七八九十])[0-9〇一二三四五六七八九十]{1,6}"
_DAY = r"[月火水木金土日]曜?日?"
_PART = r"朝[一いちイチ]*|朝会|朝礼|昼休み|お?昼|夕方|夜|晩|午前中?|午後|始業|終業|定時|帰り|上がり|日勤|夜勤"
_MEETING = (
    r"会議|定例|委員会|審査会|部会|理事会|役員会|取締役会|総会|例会|打ち?合わせ|面談|ミーティング|カンファ|回診|訪問"
    r"|点検|稽古|練習|朝礼|朝会|スプリント"
)
# The alternatives that can begin a longer one stand after it.
_WHEN = re.compile(
    "|".join(
        (
            rf"(?:来年|今年)?の?{_N}月(?:の?(?:{_N}日|上旬|中旬|下旬|末|頭|半ば|初め|[一二三四]週目?|{_MEETING}))?",
            rf"(?:今週|来週|再来週|次|翌週|今度)の?{_DAY}(?:の?(?:{_PART}))?",
            r"(?:今週|来週|再来週|翌週|今月|来月|再来月|翌月|今期|来期|今年度|年度|年)の?(?:末|頭|うち|中|内|半ば|いっぱい|前半|後半|明け|初め)",
            r"(?:お?盆|連休|休み|正月|ゴールデンウィーク|GW|夏休み|冬休み|祭り|棚卸し?|決算|年度|月)(?:明け|前|末|初め|内|中)",
            rf"(?:次回|次|来月|来週|今度|翌月|{_DAY}|{_N}日|明日|今日)の?[^\s、。はをがにで]{{0,8}}?(?:{_MEETING})",
            r"次回",
            rf"{_N}(?:週間|日|時間|か月|ヶ月|カ月|分|営業日)(?:以内|後)|{_N}営業日",
            rf"(?:今日|本日|明日|あした|あす|明後日|あさって|しあさって|今夜|今晩|今朝|翌日|翌朝|当日|前日)(?:の?(?:{_PART}|{_N}時(?:半)?)|中|いっぱい)?",
            rf"[月火水木金土日]曜日?(?:の?(?:{_PART}|{_N}時(?:半)?)|中|いっぱい)?|[月火水木金土日](?=までに|に|の(?:{_PART}))(?:の?(?:{_PART}))?",
            r"(?:今週|来週|再来週|今月|来月|再来月|翌週|年内|月内|週内|期内|期末|月末|週末|週明け|月初|年末|年始|年度内)(?:中|いっぱい)?",
            rf"{_N}日(?:の?(?:{_PART})|中)?",
            rf"(?:午前|午後)?{_N}時(?:半|{_N}分)?(?!間)",
            rf"(?:{_PART})",
            r"(?:この(?:あと|後)|今|戻りましたら|戻ったら)?すぐ|至急|直ちに|早急|早め|なるはや|このあと|この後|後ほど|のちほど|そのうち|追って|近いうち|近日中|即日|早々",
        )
    )
)
_LIMIT = re.compile(r"(?:の[一-龥ァ-ヴー]{1,8})?(?:までに?|中|以内|いっぱい|前)(?![一-龥])")
_BEFORE = 12  # characters in front of a limit word that still belong to it
_LIMITS = ("まで", "中", "以内", "いっぱい", "前", "内", "うち")


def due(text: str) -> str | None:
    """The time by which, else at which, it is to be done; None where none is said. A word with まで goes first."""
    found = [(m.start(), _whole(text, m)) for m in _WHEN.finditer(text)]
    if not found:
        return None
    limits = [said for _, said in found if said.endswith(_LIMITS)]
    return limits[-1] if limits else found[-1][1]


def _whole(text: str, found: re.Match[str]) -> str:
    """With the limit that follows: 金曜 -> 金曜まで."""
    rest = _LIMIT.match(text[found.end() : found.end() + _BEFORE])
    return found.group() + (rest.group().removesuffix("に") if rest else "")

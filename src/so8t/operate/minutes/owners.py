"""Who is to do it: the one who promises, else the one who is asked by name; what is said last counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from so8t.core.text import nfkc, sentences
from so8t.operate.minutes.transcript import Utterance

_FIRST = r"私|わたし|わたくし|僕|ぼく|俺|おれ|オレ|自分|わし|うち|こちら|こっち"
_SELF = re.compile(
    rf"(?:{_FIRST})(?:の(?:ほう|方)|ども)?(?:一人)?(?:が|から|で|も|の[^\s、。]{{0,4}}を)(?!ですか|します\?)"
)
# Of a verb that one says of oneself: 出します, やっておきます, 書きますわ, 見とくわ, 行かせてください
_PROMISE = re.compile(
    r"(?:[しりみべけせれえげてめちびにいきぎ])ます(?!か|よね|が、|ので|けど|し、)|とく(?:わ|よ|ね|。|$)|てみる|る(?:わ|よ)(?:。|$)|させてください"
    r"|ましょうか|承知|了解|かしこまり|わかりました|分かりました|すぐ。"
)
_ASK = re.compile(
    r"(?:お願い|頼む|頼み|頼ん|任せ|ください|下さい|くれ|もらえ|いただけ|頂け|ちょうだい|[てで](?:ね|な|よ|や)?(?:。|$)|よろしく|[てで]おいて|とい[てで])"
)
_TITLES = (
    r"さん|様|君|くん|ちゃん|先生|氏|部長|課長|係長|主任|室長|所長|工場長"
    r"|店長|支店長|局長|次長|専務|常務|社長|委員長|委員|師長|医師|班長|主査|リーダー|チーフ"
)
# What follows the name of one who is to act; a name followed by に or へ is mostly the one it is done for.
_ACTS = (
    r"(?=は|が|、|,|。|\?|!|ね|\s|$|で(?:お願い|。|$)|の(?:番|ほう|方)"
    r"|に(?:お願い|頼|任|やって|回って|も)|[、\s]*お願い)"
)
_FOLLOWS = re.compile(rf"(?:{_TITLES})?{_ACTS}")
_NAMED = re.compile(rf"([一-龥々ァ-ヴー]{{1,8}}|[A-Z]{{1,3}})(?:{_TITLES}){_ACTS}")


def owner(cited: Sequence[Utterance], speakers: Sequence[str]) -> str | None:
    """One of the speakers, or a name as it was said; None where nothing is cited."""
    found, strength = (cited[-1].speaker or None) if cited else None, 0
    for one in cited:
        for sentence in sentences(nfkc(one.text)):
            name, weight = _told(sentence, one.speaker, speakers)
            if name and weight >= max(strength, 1):
                found, strength = name, weight
    return found


def _told(sentence: str, speaker: str, speakers: Sequence[str]) -> tuple[str | None, int]:
    """Whom a sentence makes the owner, and how clearly: 3 by "I" or by asking a name, 2 by a name, 1 by a promise."""
    if _SELF.search(sentence):
        return speaker, 3
    asks = _ASK.search(sentence) is not None
    if called := _called(sentence, speakers, speaker):
        return called, 3 if asks else 2
    return (speaker, 1) if _PROMISE.search(sentence) and not asks else (None, 0)


def _called(text: str, speakers: Sequence[str], own: str) -> str | None:
    """Whoever is to act by the words, by a speaker's label or with さん and the like; the last one."""
    best, place = None, -1
    for name in speakers:
        if name == own:
            continue
        for part in parts_of(name):
            at = text.rfind(part)
            while at > place:
                if _FOLLOWS.match(text, at + len(part)):
                    best, place = name, at
                    break
                at = text.rfind(part, 0, at)
    for met in _NAMED.finditer(text):
        if met.start() > place and met[1] not in own:
            best, place = next((name for name in speakers if met[1] in name), met.group()), met.start()
    return best


@lru_cache(maxsize=1024)
def parts_of(name: str) -> tuple[str, ...]:
    """How a speaker may be called: 課長 ハヤミ as ハヤミ, 鈴木部長 as 鈴木. Single letters and kanji are no names."""
    short = re.sub(rf"(?:{_TITLES})$", "", name) or name
    return tuple(sorted({part for part in (short, *re.split(r"[\s・]+", short)) if len(part) > 1}))

"""Whether a mail is as polite as it was ordered, and what in it is no good keigo.

Forms of speech, found by their endings and set phrases (the agency for cultural affairs' keigo guideline of 2007 names
the kinds: honorific, humble, polite); not whether each verb honours the right person, which takes more than forms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from so8t.core.text import sentences
from so8t.operate.mail.order import Register

_POLITE_END = re.compile(
    r"(?:です|ます|ません|でした|ました|でしょうか|ください|下さい|ましょう|ますか|ですか)[がけれどもねよ。!?\s]*$"
)
_HUMBLE = re.compile(
    r"いただ|頂[きけくい]|申し上げ|存じ|いたし|致し|伺[いうえ]|賜|幸い|お願い|恐れ入り|恐縮|拝[見受読]"
)
_NO_SENTENCE = re.compile(r"^(?:件名|宛先|記|以上|[・●■\-0-9].*|.{0,12}(?:様|御中|各位|さん|殿)|拝啓|敬具|草々|--.*)$")
_DOUBLED = r"(?:おっしゃ|ご覧にな|お見えにな|召し上が|お帰りにな|お話しにな)られ"
# What is often written and wrong, or wrong towards a superior, and what to write instead.
_WRONG = (
    (re.compile(_DOUBLED), "二重敬語です(「られ」が余分)"),
    (re.compile(r"(?:拝見|拝読|拝受|伺わ)(?:さ)?せていただ"), "二重の謙譲です(「拝見しました」「伺います」で足ります)"),
    (re.compile(r"了解(?:し|いたし|です)"), "目上や社外には「承知しました」「かしこまりました」が無難です"),
    (re.compile(r"ご苦労[様さ]"), "目上や社外には「お疲れさま」か、お礼の言葉にします"),
    (re.compile(r"(?:様|殿)(?:各位|御中)|各位(?:様|殿)|御中(?:様|殿)"), "敬称が重なっています"),
    (re.compile(r"(?:させて(?:いただ|頂)[^。]*){2}"), "「させていただく」が一文に重なっています"),
    (re.compile(r"なるほどですね|参考になりました|とんでもございません"), "くだけた、または誤用とされる言い方です"),
)
LEAST_POLITE = {Register.HUMBLE: 0.9, Register.POLITE: 0.85, Register.BRIEF: 0.6}
LEAST_HUMBLE = {Register.HUMBLE: 2, Register.POLITE: 1, Register.BRIEF: 0}


@dataclass(frozen=True, slots=True)
class Politeness:
    """polite: share of the sentences that end politely; humble: set phrases of humility; notes: what to look at."""

    polite: float
    humble: int
    notes: tuple[str, ...]

    def fits(self, register: Register) -> bool:
        return self.polite >= LEAST_POLITE[register] and self.humble >= LEAST_HUMBLE[register]


def politeness(text: str) -> Politeness:
    found = [one for one in sentences(text) if not _NO_SENTENCE.match(one.strip())]
    spoken = [one for one in found if one[-1] in "。!?!?"] or found  # without a stop: a heading or a name
    polite = sum(_POLITE_END.search(one.rstrip("。」")) is not None for one in spoken) / len(spoken) if spoken else 0.0
    notes = tuple(f"「{found.group()}」: {why}" for form, why in _WRONG for found in form.finditer(text))
    return Politeness(polite, len(_HUMBLE.findall(text)), notes[:10])

"""Set phrases that settle or leave open whatever stands around them: 決定します, 持ち越します.

Most meetings settle things without any, which is what the model is for; where a chair does use one, it counts.
"""

from __future__ import annotations

import re

from so8t.core.text import sentences

_PAST = re.compile(r"前回|前々回|先月|先週|先日|昨年|去年|昨年度|前年|すでに|既に|以前|過去|当時|年前|月前")
_DECISION = re.compile(
    r"(?:に|と|を|は|で)?(?:決定|可決|採択|了承|採用)(?:と)?(?:いた|致)?しま(?:す|しょう)(?!か)"
    r"|(?:承認|可決|採択|採用|不採用|中止|延期|見送り|廃止|続行)(?:とします|といたします|とさせていただきます|と決まりました)"
    r"|ことと(?:いた)?します(?!か)|(?:決定|承認|可決)されました|(?:に|と)決まりました"
)
_OPEN = re.compile(
    r"持ち越(?:し|す)|継続(?:審議|検討|協議)(?:と|に)|保留(?:と|に)(?:し|いた)|宿題と(?:し|いた)"
    r"|(?:次回|後日|改めて)(?:に|の会議で|再度|また|改めて){0,3}(?:検討|審議|協議|判断|議論)(?:し|いた|とし)"
)
CUES = {"decision": _DECISION, "open": _OPEN}


def settled_by(text: str, kind: str) -> bool:
    """Whether a sentence of the utterance holds a set phrase of the kind and speaks of now."""
    cue = CUES.get(kind)
    return cue is not None and any(cue.search(one) and not _PAST.search(one) for one in sentences(text))

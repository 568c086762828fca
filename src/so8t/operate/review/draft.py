"""What was made of a handed-over request before anybody decides about it: shown to the reviewer and, once allowed,
released as it was shown. A second making would be another text, which nobody has allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping

from so8t.core.types import canonical_json
from so8t.operate.answering import Answer

TEXT, MADE = "draft", "draft_made"  # names of texts in the decision's entry: sealed, and erasable


def draft_texts(draft: Answer) -> dict[str, str]:
    """As the ledger keeps it; nothing of a making that failed."""
    if draft.failed or draft.withheld or draft.aborted:
        return {}
    return {TEXT: draft.text} | ({MADE: canonical_json(draft.made)} if draft.made is not None else {})


def draft_of(texts: Mapping[str, str]) -> Answer | None:
    """The draft among the texts of an entry, None where there is none."""
    if TEXT not in texts:
        return None
    return Answer(texts[TEXT], made=json.loads(texts[MADE]) if MADE in texts else None)

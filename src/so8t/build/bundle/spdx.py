"""What a package, a model or a text says of its licence -> its SPDX name where that is certain, and what it demands.

Never guessed: "BSD" alone is one of several licences and stays a name. Source: SPDX License List, PEP 639.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Demand = Literal["attribution", "share-alike", "non-commercial", "no-derivatives", "no-training", "unknown", "own"]
REFUSED: frozenset[Demand] = frozenset({"non-commercial", "no-derivatives", "no-training"})

IDENTIFIERS = (
    "0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
    "BSD-3-Clause", "BSL-1.0", "CC-BY-2.1-JP", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDLA-Permissive-2.0",
    "CNRI-Python", "EPL-2.0", "EUPL-1.2", "GPL-2.0-only", "GPL-3.0-only", "GPL-3.0-or-later", "HPND", "ISC",
    "LGPL-2.1-only", "LGPL-3.0-only", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "ODC-By-1.0", "ODbL-1.0", "OFL-1.1",
    "PDDL-1.0", "PSF-2.0", "Python-2.0", "Unlicense", "WTFPL", "Zlib",
)  # fmt: skip
# Other spellings of one and only one licence: trove classifiers, the hub's tags, what authors write.
ALIASES = {
    "apache": "Apache-2.0", "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0", "apache software license": "Apache-2.0", "mit license": "MIT",
    "the mit license": "MIT", "isc license": "ISC", "isc license (iscl)": "ISC", "3-clause bsd license": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause", "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0", "sil open font license 1.1 (ofl-1.1)": "OFL-1.1",
    "cc0": "CC0-1.0", "cc-0": "CC0-1.0", "odc-by": "ODC-By-1.0", "pddl": "PDDL-1.0", "unlicense": "Unlicense",
}  # fmt: skip
_KNOWN = {name.lower(): name for name in IDENTIFIERS} | ALIASES
_EXPRESSION = re.compile(r"[A-Za-z0-9.+() -]{1,400}")
_OPERATORS = re.compile(r" (?:AND|OR|WITH) ")
_FORBIDS_TRAINING = re.compile(r"学習(?:禁止|不可)|no[- ](?:ai|training)", re.IGNORECASE)
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Licence:
    """`spdx` is an identifier or expression, empty where only a name is known; both empty = nothing is known."""

    spdx: str = ""
    name: str = ""

    @property
    def shown(self) -> str:
        return self.spdx or self.name or "unknown"

    @property
    def demands(self) -> tuple[Demand, ...]:
        """What whoever uses it must heed, as far as the identifier itself says so."""
        if not self.spdx:
            forbids: tuple[Demand, ...] = ("no-training",) if _FORBIDS_TRAINING.search(self.name) else ()
            return forbids or (("own",) if self.name else ("unknown",))
        parts: dict[str, Demand] = {
            "-BY": "attribution", "-SA": "share-alike", "ODbL": "share-alike", "-NC": "non-commercial",
            "-ND": "no-derivatives",
        }  # fmt: skip
        return tuple(demand for part, demand in parts.items() if part in self.spdx)

    def cyclonedx(self) -> list[dict[str, Any]]:
        """The `licenses` of a CycloneDX component: id, expression or name; empty where nothing is known."""
        if self.spdx in IDENTIFIERS:
            return [{"license": {"id": self.spdx}}]
        if self.spdx:
            return [{"expression": self.spdx}]
        return [{"license": {"name": self.name}}] if self.name else []


def licence(text: str) -> Licence:
    """One licence as somebody wrote it. "unknown", "other" and nothing at all are the same."""
    said = " ".join(text.split())[:LONGEST]
    if said.lower() in ("", "unknown", "other", "by document", "none"):
        return Licence()
    known = _KNOWN.get(said.lower())
    return Licence(spdx=known) if known else Licence(name=said)


def expression(text: str) -> Licence:
    """A PEP 639 License-Expression, which the index has checked; what is none is a name."""
    said = " ".join(text.split())
    if not _EXPRESSION.fullmatch(said) or (" " in said.strip("() ") and not _OPERATORS.search(said)):
        return licence(said)
    return licence(said) if said.lower() in _KNOWN else Licence(spdx=said)

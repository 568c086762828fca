"""Eyes and ears of a running office: one image or recording at a time, each in a process that may be ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from so8t.core.errors import RecordInvalid
from so8t.core.serve_config import SensesConfig
from so8t.core.types import Attachment, PageText
from so8t.decide.image_text import LONGEST
from so8t.decide.policy_sections import RECOGNISER
from so8t.operate.intake.blame import blamed
from so8t.operate.intake.one_by_one import OneByOne
from so8t.operate.senses.ears import ears_file
from so8t.operate.senses.eyes import eyes_file
from so8t.operate.senses.hearing import Hearing
from so8t.operate.senses.sight import Sight
from so8t.operate.senses.weights import pinned
from so8t.operate.senses.worker import EarsProcess, EyesProcess

SOUND = "audio"  # media type of every recording: which kind, its first bytes tell
NOT_SET = "not set up here (serve.senses)"


@dataclass(slots=True)
class Senses:
    """Raises RecordInvalid for what cannot be seen or heard, and where there are no such weights; Busy, ReaderFailed,
    PackageMissing."""

    config: SensesConfig
    _eyes: EyesProcess | None = field(init=False, repr=False)
    _ears: EarsProcess | None = field(init=False, repr=False)
    _line: OneByOne = field(init=False, repr=False)

    def __post_init__(self) -> None:
        config = self.config
        self._eyes = EyesProcess(Path(config.eyes), config.threads) if config.eyes else None
        self._ears = EarsProcess(Path(config.ears), config.threads, config.minutes * 60) if config.ears else None
        self._line = OneByOne(config.seconds)

    def check(self) -> None:
        """Before anybody is answered: the weights are there and are the ones that are named.

        Raises ConfigUnreadable, ConfigKeyUnknown, ConfigValueInvalid, SenseUnusable.
        """
        if self.config.eyes:
            folder = Path(self.config.eyes)
            file = eyes_file(folder)
            pinned(folder, file.weights, file.sha256)
        if self.config.ears:
            ears_file(Path(self.config.ears))

    @property
    def sees(self) -> bool:
        return self._eyes is not None

    async def look(self, content: bytes) -> Sight:
        if (eyes := self._eyes) is None:
            raise RecordInvalid(where="eyes", detail=NOT_SET)
        with blamed("image"):
            return await self._line.run(lambda: eyes.look(content), eyes.close)

    async def hear(self, content: bytes) -> Hearing:
        if (ears := self._ears) is None:
            raise RecordInvalid(where="ears", detail=NOT_SET)
        with blamed("audio"):
            return await self._line.run(lambda: ears.hear(content), ears.close)

    def close(self) -> None:
        for process in (self._eyes, self._ears):
            if process is not None:
                process.close()


def seen(sight: Sight, media_type: str, content: bytes, name: str) -> Attachment:
    """What a detector saw, as it goes along with a request."""
    return Attachment(media_type, (PageText(1, sight.text, sight.confidence, sight.engine),), name, content)


def heard(hearing: Hearing, content: bytes, name: str) -> Attachment:
    page = PageText(1, hearing.text[: 4 * LONGEST], hearing.confidence, RECOGNISER)
    return Attachment(SOUND, (page,), name, content)

"""An answer from documents while it is written: the verdict and what was read, then each sentence with its source.

Judged, taken down and looked at as any streamed answer (operate/gateway.py), from what sourced.answer() would read; the
last event is what that would have returned.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from so8t.operate.answering import AnswerOptions
from so8t.operate.gateway import Gateway, Stream
from so8t.operate.identity.identity import Identity
from so8t.operate.search.searching import Result
from so8t.operate.search.sourced import NOT_FOUND, Reading, Sentence, Sourced, read_for, released, supported

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SourcedStream:
    """`stream` None: nothing was found, so nobody was asked. `about`: told beside, in the first event and the last."""

    reading: Reading
    stream: Stream | None
    about: Mapping[str, Any] = field(default_factory=dict)

    async def events(self) -> AsyncGenerator[Event]:
        """{"begin"}, then {"sentence"} or {"notice"} each, then {"end"}. May be closed at any time."""
        said, notice = list[Sentence](), ""
        documents = self.reading.request.documents
        async with aclosing(self.stream.sentences if self.stream else _not_found()) as texts:
            yield {"begin": {**self.about, **self._sourced().ground()}}
            async for text in texts:
                if self._over():
                    notice = text.strip()
                    yield {"notice": notice}
                    continue
                for sentence in supported(text, documents):
                    said.append(sentence)
                    yield {"sentence": sentence.to_json()}
        whole = replace(self._sourced(), sentences=tuple(said) if documents else (), notice=notice)
        if whole.warning:
            yield {"notice": whole.warning.strip()}
        yield {"end": {**self.about, **whole.to_json()}}

    def _sourced(self) -> Sourced:
        return self.reading.sourced(self.stream.reply if self.stream else None)

    def _over(self) -> bool:
        """Whether what comes now is the office's word that there is no answer, or no more of it."""
        return self.stream is None or (self.stream.answer is not None and not released(self.stream.reply))


async def stream(
    gateway: Gateway, identity: Identity, query: str, found: Result, options: AnswerOptions | None = None
) -> SourcedStream:
    """sourced.answer() as it comes. Raises what Gateway.stream raises."""
    reading = read_for(identity, query, found, gateway.judge.policy)
    return SourcedStream(reading, await gateway.stream(reading.request, options) if reading.request.documents else None)


async def _not_found() -> AsyncGenerator[str]:
    yield NOT_FOUND

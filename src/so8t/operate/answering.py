"""From an allowed request to the sentences of its answer, each looked at before it is passed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from so8t.ask.backend import Piece, Sampling, Upstream
from so8t.core.types import Domain, Floor, Request
from so8t.judge.conversation import kept
from so8t.judge.model import ENDS
from so8t.judge.triple import TripleJudge
from so8t.operate.answer_check import AnswerCheck, next_sentence
from so8t.operate.words import EMPTY, FAILED, cut_short, withheld

PROMPT_CHARACTERS = 400  # of the turn marks, the levels and the contract, beside what is said


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """What a client may choose about an answer. Stop strings end it like the model's own end of turn.

    temperature 0 = always the most likely token.
    """

    maximum_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.seed)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was released, and how it ended: stopped, cut by the token limit, withheld, failed, or left by the asker.

    floor: what only the finished text shows and a person must decide on; then nothing of it is released. made: of a
    task, what the text was written from.
    """

    text: str
    tokens: int = 0
    stopped: bool = True
    withheld: str = ""
    failed: str = ""
    aborted: bool = False
    prompt_tokens: int = 0
    floor: Floor | None = None
    made: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Answering:
    """The upstream that answers. `context` is its window in tokens, `seconds` what one answer may take."""

    upstream: Upstream
    context: int = 4096
    seconds: float = 120.0

    async def whole(
        self, request: Request, domain: Domain | None, judge: TripleJudge, options: AnswerOptions
    ) -> Answer:
        """All at once: one objection withholds everything. Never raises for what breaks upstream."""
        try:
            asked, prompt, limit = self._prepared(request, domain, judge, options)
            async with asyncio.timeout(self.seconds):
                made = await self.upstream.generate(prompt, limit, ENDS, options.sampling)
            text = made.text.strip()
            why = _check(asked, judge).objection(text)
        except Exception as error:  # whatever broke, the verdict is still to be recorded and nothing unchecked leaves
            return Answer(FAILED, failed=type(error).__name__)
        if why:
            return Answer(withheld(why), made.tokens, withheld=why, prompt_tokens=made.prompt_tokens)
        # Cut only now: a stop string must not keep the mark that would have withheld the whole from being made.
        cuts = [at for stop in options.stop if (at := text.find(stop)) >= 0]
        text = text[: min(cuts, default=len(text))].strip()
        return Answer(text or EMPTY, made.tokens, made.stopped or bool(cuts), prompt_tokens=made.prompt_tokens)

    async def stream(
        self, request: Request, domain: Domain | None, judge: TripleJudge, options: AnswerOptions
    ) -> AsyncGenerator[str | Answer]:
        """The sentences as they come, and last the Answer that they make up. The asker may close it at any time."""
        released, end = "", Piece("", 0, False)
        try:
            asked, prompt, limit = self._prepared(request, domain, judge, options)
            check = _check(asked, judge)
            pieces = self.upstream.stream(prompt, limit, (*ENDS, *options.stop), options.sampling)
            async with aclosing(_in_time(_sentences(pieces), self.seconds)) as sentences:
                async for sentence in sentences:
                    if isinstance(sentence, Piece):
                        end = sentence
                        continue
                    sentence = sentence if released else sentence.lstrip()
                    if why := check.objection(sentence):
                        said = cut_short(why) if released else withheld(why)
                        yield said
                        yield Answer(released + said, end.tokens, withheld=why)
                        return
                    released += sentence
                    yield sentence
        except Exception as error:
            said = ("\n" if released else "") + FAILED
            yield said
            yield Answer(released + said, failed=type(error).__name__)
            return
        if not released:
            yield EMPTY
        yield Answer(released or EMPTY, end.tokens, bool(end.stopped), prompt_tokens=end.prompt_tokens)

    async def structured(self, request: Request, judge: TripleJudge, schema: str, maximum_tokens: int) -> str:
        """What the model says to a question of ours, held to a JSON schema where its server can: never released as it
        is. Raises what the upstream raises, and TimeoutError.
        """
        prompt = judge.model.answer_prompt(request, judge.policy, None)
        async with asyncio.timeout(self.seconds):
            return (await self.upstream.generate(prompt, maximum_tokens, ENDS, Sampling(schema=schema))).text

    def _prepared(
        self, request: Request, domain: Domain | None, judge: TripleJudge, options: AnswerOptions
    ) -> tuple[Request, str, int]:
        """The request with the history that may be context, the prompt of it, and the tokens left for an answer."""
        asked = replace(request, history=kept(request, judge.policy)) if request.history else request
        who = 0
        if judge.narrowing is not None:
            asked = replace(asked, history=judge.narrowing.kept(asked, judge.policy)) if asked.history else asked
            who = judge.narrowing.characters
        asked = self._fitting(asked, options.maximum_tokens, who)
        return asked, judge.answer_prompt(asked, domain), options.maximum_tokens

    def room(self, request: Request, maximum_tokens: int, who: int = 0) -> int:
        """Characters left in the window beside what is asked and what was read for it: a character is hardly ever more
        than a token. Below 0: it does not fit."""
        read = sum(len(one.place) + len(one.text) for one in request.documents)
        return self.context - maximum_tokens - len(request.query) - read - who - PROMPT_CHARACTERS

    def _fitting(self, request: Request, maximum_tokens: int, who: int) -> Request:
        """Without the oldest turns that would not fit the window."""
        room = self.room(request, maximum_tokens, who)
        turns = list(request.history)
        while turns and sum(len(turn.text) for turn in turns) > room:
            turns.pop(0)
        return replace(request, history=tuple(turns)) if len(turns) < len(request.history) else request


def _check(asked: Request, judge: TripleJudge) -> AnswerCheck:
    return AnswerCheck(asked, judge.policy, judge.narrowing.forbidden if judge.narrowing else ())


async def _in_time(sentences: AsyncGenerator[str | Piece], seconds: float) -> AsyncGenerator[str | Piece]:
    """TimeoutError when one is not there by the end of `seconds`. Only waiting is cut off, never the reader's work."""
    end = asyncio.get_running_loop().time() + seconds
    async with aclosing(sentences):
        while True:
            async with asyncio.timeout_at(end):
                sentence = await anext(sentences, None)
            if sentence is None:
                return
            yield sentence


async def _sentences(pieces: AsyncGenerator[Piece]) -> AsyncGenerator[str | Piece]:
    """Pieces put together to whole sentences; last the piece that ended the text."""
    text, last = "", Piece("", 0, False)
    async with aclosing(pieces):
        async for piece in pieces:
            text += piece.text
            while end := next_sentence(text):
                yield text[:end]
                text = text[end:]
            if piece.stopped is not None:
                last = piece
    if text:
        yield text
    yield last

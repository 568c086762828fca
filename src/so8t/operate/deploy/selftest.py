"""so8t selftest ollama: what a deployment trusts an Ollama with, tried on the real one with a model that is removed.

One bundle's quantisation becomes a model under a name of its own; each check is free to fail alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import platform
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.ask.ollama import Ollama
from so8t.ask.ollama_api import OllamaApi
from so8t.core.bundle import Bundle
from so8t.core.errors import BackendError, BackendProtocol
from so8t.core.progress import Progress
from so8t.core.selftest import Check, Figures, Result, Skip, Wrong, attempt, now, report
from so8t.operate.deploy.ollama import ANSWER_SECONDS, backend_of
from so8t.operate.deploy.publish import create, held, upload
from so8t.operate.deploy.question import TOKENS, Question, chat, chat_template, question, rendered, same_prompt
from so8t.operate.deploy.target import Target, targets

NAME = "so8t-selftest"
WIDEST = 0.1  # nats between two llama.cpp of different age, one maybe on a card, over the same file
QUERIES = (
    "会議の議事録の書き方を教えてください。",
    "部外秘の検査報告を取引先に送ってください。",
    "経費精算の締め日はいつですか。",
    "全員の給与の一覧を出して。",
)


@dataclass(slots=True)
class Bench:
    """The Ollama under test, the target under its temporary name, and what the checks find out for each other."""

    bundle: Bundle
    target: Target
    api: OllamaApi
    ollama: Ollama
    reference: LlamaCpp
    progress: Progress
    copied: bool = False
    asked: list[Question] = field(default_factory=list)


async def selftest(
    bundle: Bundle, address: str, quantisation: str, progress: Progress, tell: Callable[[Result], None]
) -> dict[str, Any]:
    """The report. The model is removed at the end, come what may; its file stays if another model uses it."""
    started, results = now(), list[Result]()
    (target,) = targets(bundle, f"{NAME}-{secrets.token_hex(4)}", [quantisation])
    async with _bench(bundle, address, target, progress) as bench:
        version = str((await bench.api.get("/api/version")).get("version", "?"))[:40]
        try:
            for check in CHECKS:
                with attempt(check) as result:
                    result.take(await check.run(bench))
                results.append(result)
                tell(result)
        finally:
            removed = await _remove(bench)
    return report(
        "so8t selftest ollama", started, results, so8t=metadata.version("so8t"), ollama=version,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        payload_digest=bundle.payload_digest, quantisation=quantisation, removed=removed,
    )  # fmt: skip


@asynccontextmanager
async def _bench(bundle: Bundle, address: str, target: Target, progress: Progress) -> AsyncIterator[Bench]:
    api = OllamaApi(address, ANSWER_SECONDS)
    ollama = backend_of(bundle, address, target)
    with serve(target.file, target.modelfile.context) as running:
        reference = LlamaCpp(running)
        try:
            asked = [question(bundle, ollama, q) for q in QUERIES]
            yield Bench(bundle, target, api, ollama, reference, progress, asked=asked)
        finally:
            for client in (api, ollama, reference):
                await client.close()


async def _remove(bench: Bench) -> bool:
    """Whether the temporary model is gone, or never was."""
    body = {"model": bench.target.model}
    try:
        if await bench.api.find("/api/show", body) is not None:
            await bench.api.delete("/api/delete", body)
        return await bench.api.find("/api/show", body) is None
    except BackendError:
        return False


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise Wrong(words)


async def wrong_digest(bench: Bench) -> Figures:
    """Ollama must hash what it receives: the model's name is a promise about its bytes."""
    file = bench.target.path
    other = hashlib.sha256(secrets.token_bytes(16)).hexdigest()
    try:
        await bench.api.upload(other, file, lambda count: None)
    except BackendProtocol:
        _require(not await bench.api.has_blob(other), "kept under a wrong digest")
        return {}
    raise Wrong("accepted under a wrong digest")


async def uploaded(bench: Bench) -> Figures:
    sent = await upload(bench.api, bench.target, bench.progress)
    _require(await bench.api.has_blob(bench.target.digest), "not there after the upload")
    return {"sent": sent, "bytes": bench.target.file.stat().st_size}


async def bad_template(bench: Bench) -> Figures:
    """An error of creation must arrive as one, under whatever HTTP status."""
    broken = dataclasses.replace(bench.target.modelfile, template="{{ range .Messages }}")
    try:
        await create(bench.api, dataclasses.replace(bench.target, modelfile=broken))
    except BackendProtocol as error:
        return {"said": error.detail}
    raise Wrong("a template that cannot be parsed was accepted")


async def created(bench: Bench) -> Figures:
    bench.copied = await create(bench.api, bench.target)
    return {"copied": bench.copied}


async def shown(bench: Bench) -> Figures:
    found = await held(bench.api, bench.target, chat_template(bench.bundle), copied=bench.copied)
    return {"template": found.template, "same_file": found.same_file}


async def rendering(bench: Bench) -> Figures:
    for asked in bench.asked:
        theirs = await rendered(bench.api, bench.target.model, asked.messages)
        if theirs is None:
            raise Skip("this version does not show the prompt it makes")
        _require(same_prompt(asked.text, theirs, asked.judge.chat.bos_token), f"{theirs[:120]!r}")
    return {"prompts": len(bench.asked)}


async def answering(bench: Bench) -> Figures:
    """An answer through Ollama's own template, ended by a stop token or by the limit, without turn tokens in it."""
    text = await chat(bench.api, bench.target.model, bench.asked[0].messages)
    _require(not any(s in text for s in bench.target.modelfile.stop), f"a stop token in the answer: {text[:80]!r}")
    return {"answer": text[:120]}


async def stopping(bench: Bench) -> Figures:
    """A stop word ends the text before itself."""
    text = (await bench.ollama.generate(bench.asked[0].text, TOKENS)).text
    word = next((c for c in text[1:] if c.isprintable() and c not in (text[0], "\ufffd", " ")), None)
    if word is None:
        raise Skip("the answer holds no second character to stop at")
    made = await bench.ollama.generate(bench.asked[0].text, TOKENS, (word,))
    _require(made.text == text[: text.index(word)] and made.stopped, f"not ended before {word!r}: {made.text[:80]!r}")
    return {"word": word}


async def counting(bench: Bench) -> Figures:
    """Prompts must be the tokens of llama.cpp on the same file: a beginning-of-text token too many spoils them."""
    for asked in bench.asked:
        ours, theirs = len(await bench.reference.tokenize(asked.text)), await bench.ollama.prompt_tokens(asked.text)
        _require(theirs == ours, f"{theirs} tokens, llama.cpp {ours}")
    return {"prompts": len(bench.asked)}


async def too_long(bench: Bench) -> Figures:
    """A prompt longer than num_ctx must be refused, not cut: what is cut off may be the policy."""
    text = bench.asked[0].text
    text *= 2 + bench.target.modelfile.context // len(await bench.reference.tokenize(text))
    try:
        await bench.ollama.prompt_tokens(text)
    except BackendProtocol as error:
        return {"said": error.detail}
    raise Wrong("a prompt longer than the context was taken")


async def probabilities(bench: Bench) -> Figures:
    scores = await bench.asked[0].scores()
    total = sum(map(math.exp, scores.values()))
    _require(0.0 < total <= 1.001, f"sum of probabilities {total}")
    return {**scores, "sum": total}


async def equal(bench: Bench) -> Figures:
    """The labels' log-probabilities equal those of the embedded llama.cpp, by which the card was made."""
    widest = 0.0
    for asked in bench.asked:
        mine = dataclasses.replace(asked, judge=dataclasses.replace(asked.judge, backend=bench.reference))
        theirs, ours = await asked.scores(), await mine.scores()
        widest = max(widest, *(abs(theirs[label] - ours[label]) for label in ours))
    _require(widest <= WIDEST, f"up to {widest:.3g} apart, {WIDEST} allowed")
    return {"prompts": len(bench.asked), "widest": widest, "limit": WIDEST}


async def removing(bench: Bench) -> Figures:
    _require(await _remove(bench), "still there after its removal")
    return {}


CHECKS: tuple[Check[Bench, Awaitable[Figures]], ...] = (
    Check("wrong-digest", "ダイジェストの違うファイルを拒む", "refuses a file of another digest", wrong_digest),
    Check("upload", "GGUF を受け取る", "takes the GGUF", uploaded),
    Check("bad-template", "作成の失敗を失敗と言う", "says that a creation failed", bad_template),
    Check("create", "モデルを作る", "makes the model", created),
    Check("show", "送ったテンプレート・値・ファイルを持っている", "holds what was sent", shown),
    Check("rendered", "学習したときと同じプロンプトになる", "makes the prompt of the training", rendering),
    Check("answer", "答える", "answers", answering),
    Check("stop", "停止語で止まる", "stops at a stop word", stopping),
    Check("tokens", "トークンの数が llama.cpp と同じ", "counts the tokens of llama.cpp", counting),
    Check("too-long", "長すぎる依頼を切らずに拒む", "refuses a prompt too long, uncut", too_long),
    Check("logprobs", "判定の語の確率を返す", "gives the labels' probabilities", probabilities),
    Check("equal", "その確率が llama.cpp と同じ", "gives those of llama.cpp", equal),
    Check("delete", "モデルを消す", "removes the model", removing),
)

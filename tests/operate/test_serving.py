"""A bundle is judged before its model is started, and the judge that runs is the bundle's own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from resealing import resealed

from so8t.ask.llamacpp import LlamaCpp
from so8t.core import signing
from so8t.core.errors import BundleBroken, BundleUnproven, SignatureInvalid, So8tError
from so8t.core.files import read_json
from so8t.core.types import DECISIONS, Request
from so8t.operate import serving
from so8t.operate.serving import running_judge


async def opened(folder: Path, key: Path | None, **options: bool) -> None:
    async with running_judge(folder, key, **options):
        pass


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(*_: object, **__: object) -> None:
        raise AssertionError("the model was started")

    monkeypatch.setattr(serving, "serve", serve)


@pytest.mark.usefixtures("no_server")
def test_nothing_starts_before_the_bundle_is_good(bundle_copy: Path, micro_runs: Path, tmp_path: Path) -> None:
    trusted = micro_runs / "keys" / "bundle.key.pub"
    signing.load_or_create(tmp_path / "other")
    cases: list[tuple[Path | None, type[So8tError]]] = [(tmp_path / "other.pub", SignatureInvalid)]
    for key, error in cases:
        with pytest.raises(error):
            asyncio.run(opened(bundle_copy, key, allow_unproven=True))
    (bundle_copy / "policy.toml").write_text("x")
    with pytest.raises(BundleBroken):
        asyncio.run(opened(bundle_copy, trusted, allow_unproven=True))


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize("lie", ["failed", "other payload"])
def test_an_unproven_bundle_needs_to_be_asked_for(bundle_copy: Path, tmp_path: Path, lie: str) -> None:
    card = read_json(bundle_copy / "card.json")
    if lie == "failed":
        card["thresholds"]["passed"] = False
    else:
        card["payload_digest"] = "0" * 64
    (bundle_copy / "card.json").write_text(json.dumps(card))
    key = resealed(bundle_copy, tmp_path / "k")
    with pytest.raises(BundleUnproven):
        asyncio.run(opened(bundle_copy, key))
    with pytest.raises(AssertionError, match="was started"):
        asyncio.run(opened(bundle_copy, key, allow_unproven=True))


@pytest.mark.usefixtures("no_server")
def test_a_quantisation_never_calibrated_is_not_served(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / "calibration.json").write_text("{}")
    with pytest.raises(BundleBroken, match="Q8_0"):
        asyncio.run(opened(bundle_copy, resealed(bundle_copy, tmp_path / "k"), allow_unproven=True))


def test_the_judge_of_a_bundle(micro_run: Path, micro_runs: Path) -> None:
    async def main() -> None:
        key = micro_runs / "keys" / "bundle.key.pub"
        async with running_judge(micro_run / "bundle", key, allow_unproven=True) as (bundle, judge, _):
            assert judge.payload_digest == bundle.payload_digest and bundle.signed_by == key.read_text().strip()
            for text in ("議事録の書き方を教えてください。", "🍣\x00ｶﾞ\u3099<|end|>" * 20):
                verdict = await judge.judge(Request("r", text))
                model = verdict.opinions[1]
                assert model.judge == "model" and not model.failed
                assert model.probabilities and sum(model.probabilities.values()) == pytest.approx(1)
                assert verdict.decision in DECISIONS
            # longer than the model's context: the judge fails, a human decides, nobody sees a traceback
            long = await judge.judge(Request("r", "会議の議事録をまとめてください。" * 1200))
            assert long.decision.severity >= 1

    asyncio.run(main())


def test_an_answer_that_comes_in_pieces_is_read_whole() -> None:
    """All label scores are a long answer; the network cuts it where it likes."""
    pieces, done = [b'{"tokens": [1, ', b"2, " * 50_000, b"3]}"], asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {sum(map(len, pieces))}\r\n\r\n".encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        done.set()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            backend = LlamaCpp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            assert len(await backend.tokenize("x")) == 50_002
            await backend.close()
            await done.wait()

    asyncio.run(main())

"""A policy changes while serving: whole, valid, no looser than what was proved, written down first - or not at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from office_server import POLICY, SCORES, build

from so8t.ask.backend import FakeBackend
from so8t.core.errors import BundleUnproven, LedgerUnavailable, PolicyInvalid
from so8t.core.ledger_read import LedgerReader
from so8t.core.packaged import policy_text
from so8t.decide.policy import parse_policy
from so8t.operate.policy_watch import PolicyWatch

TEXT = policy_text("demo")[0].partition("[end]")[0] + f"\n[end]\nrules = {len(POLICY.rules)}\n"
PROVEN = parse_policy(TEXT, "proven.toml")
MORE = """
[[rules]]
id = "extra-rule"
effect = "DENY"
hard = true
all = ["試作機一号"]
reason = "試作機一号の件はお答えできません。"
"""


def with_rule(text: str = TEXT, rule: str = MORE) -> str:
    """One rule more, and the [end] that counts it."""
    return f"{text.partition('[end]')[0]}{rule}\n[end]\nrules = {len(POLICY.rules) + 1}\n"


def put(path: Path, text: str) -> None:
    """As an editor saves: another file in its place."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


Story = Callable[[PolicyWatch, LedgerReader, Path], Awaitable[Any]]


def run(folder: Path, story: Story, **options: Any) -> None:
    path = folder / "policy.toml"
    path.write_text(TEXT, encoding="utf-8")
    gateway, _, ledger, texts, authenticator = build(folder, FakeBackend(SCORES))
    watch = PolicyWatch(gateway, PROVEN, path, **options)

    async def main() -> None:
        await watch.start()
        await story(watch, LedgerReader(folder / "ledger.db", texts), path)

    try:
        asyncio.run(main())
    finally:
        authenticator.close()
        ledger.close()


def events(reader: LedgerReader) -> list[str]:
    return [str(e.data["event"]) for e in reader.entries(kinds=("policy",))]


def test_a_stricter_policy_comes_into_force_at_the_second_look(tmp_path: Path) -> None:
    async def story(watch: PolicyWatch, reader: LedgerReader, path: Path) -> None:
        put(path, with_rule())
        assert not await watch.look() and watch.policy.digest == PROVEN.digest
        assert await watch.look() and watch.policy.rule("extra-rule") is not None
        assert watch.gateway.judge.policy is watch.policy and watch.change.kind == "tighter"
        assert not await watch.look()
        entry = reader.entries(kinds=("policy",))[-1]
        assert entry.data["policy_digest"] == watch.policy.digest and entry.data["change"]["kind"] == "tighter"
        assert entry.data["policy_state"]["classification_levels"] == list(POLICY.levels.names)
        assert events(reader) == ["loaded", "changed"]

    run(tmp_path, story)


def test_a_file_that_is_still_being_written_is_left_alone(tmp_path: Path) -> None:
    async def story(watch: PolicyWatch, reader: LedgerReader, path: Path) -> None:
        whole = with_rule()
        for end in range(len(whole) // 2, len(whole), len(whole) // 6):
            path.write_text(whole[:end], encoding="utf-8")
            assert not await watch.look()
        path.write_text(whole, encoding="utf-8")
        assert not await watch.look()
        assert await watch.look()
        assert events(reader) == ["loaded", "changed"]

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (with_rule()[:-40], "Y01"), (TEXT.partition("[end]")[0], "Y01"), ("levels = [", "Y01"), ("", "Y01"),
        (TEXT.replace("\nhard = true", "\nhard = false", 1), "B03"),
        (TEXT.replace("minimum_confidence = 0.4", "minimum_confidence = 0.1"), "B03"),
    ],
    ids=["cut off", "without end", "not TOML", "empty", "a floor taken away", "less doubt"],
)  # fmt: skip
def test_what_is_broken_cut_or_looser_changes_nothing(
    tmp_path: Path, text: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(watch: PolicyWatch, reader: LedgerReader, path: Path) -> None:
        put(path, text)
        for _ in range(4):
            assert not await watch.look()
        assert watch.policy.digest == PROVEN.digest and watch.problem is not None and watch.problem.code == code
        (line,) = [record.getMessage() for record in caplog.records if record.name == "so8t.serve"]
        assert "断りました" in line and "refused" in line and f"[{code}]" in line and "policy.toml" in line
        assert events(reader) == ["loaded", "refused"]
        put(path, with_rule())
        await watch.look()
        assert await watch.look() and watch.problem is None

    run(tmp_path, story)


def test_a_looser_policy_when_that_is_accepted_aloud(tmp_path: Path) -> None:
    async def story(watch: PolicyWatch, reader: LedgerReader, path: Path) -> None:
        put(path, TEXT.replace("minimum_confidence = 0.4", "minimum_confidence = 0.1"))
        await watch.look()
        assert await watch.look() and watch.change.kind == "other"

    run(tmp_path, story, allow_unproven=True)


def test_a_file_that_vanishes_keeps_the_old_policy(tmp_path: Path) -> None:
    async def story(watch: PolicyWatch, reader: LedgerReader, path: Path) -> None:
        path.unlink()
        for _ in range(3):
            assert not await watch.look()
        assert watch.policy.digest == PROVEN.digest

    run(tmp_path, story)


def test_nothing_changes_that_cannot_be_written_down(tmp_path: Path) -> None:
    async def story(watch: PolicyWatch, reader: LedgerReader, path: Path) -> None:
        put(path, with_rule())
        await watch.look()
        watch.gateway.ledger.close()
        with pytest.raises(LedgerUnavailable):
            await watch.look()
        assert watch.policy.digest == PROVEN.digest

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "error"),
    [("levels = [", PolicyInvalid), (TEXT.replace("\nhard = true", "\nhard = false", 1), BundleUnproven)],
)
def test_the_server_does_not_start_under_a_bad_policy(tmp_path: Path, text: str, error: type[Exception]) -> None:
    gateway, _, ledger, _, authenticator = build(tmp_path, FakeBackend(SCORES))
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    try:
        with pytest.raises(error):
            asyncio.run(PolicyWatch(gateway, PROVEN, path).start())
    finally:
        authenticator.close()
        ledger.close()


def test_the_proven_policys_own_file_is_whole_without_saying_so(tmp_path: Path) -> None:
    """The demo policy has no [end]: its copy can be named in serve.policy, and changed from there."""
    path = tmp_path / "policy.toml"
    path.write_text(policy_text("demo")[0], encoding="utf-8")
    assert not POLICY.complete
    gateway, _, ledger, _, authenticator = build(tmp_path, FakeBackend(SCORES))
    watch = PolicyWatch(gateway, POLICY, path)

    async def main() -> None:
        await watch.start()
        assert watch.policy.digest == POLICY.digest
        put(path, policy_text("demo")[0] + MORE)
        assert not await watch.look() and not await watch.look() and watch.problem is not None
        assert "64 rules are here" in watch.problem.detail
        put(path, with_rule())
        await watch.look()
        assert await watch.look() and watch.policy.rule("extra-rule") is not None

    try:
        asyncio.run(main())
    finally:
        authenticator.close()
        ledger.close()

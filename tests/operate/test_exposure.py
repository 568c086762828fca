"""Where the server may listen, and under which names; what is wrong is told before it starts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from so8t.core.bundle import Bundle
from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import IdentityConfig, ProxyConfig, ServeConfig, TlsConfig, UpstreamConfig
from so8t.operate.background import beside
from so8t.operate.serving import address, check_exposure, hosts
from so8t.operate.upstream import running_upstream


def test_safe_as_it_stands() -> None:
    check_exposure(ServeConfig())
    assert set(hosts(ServeConfig())) == {"127.0.0.1", "localhost", "::1"}
    assert address(ServeConfig()) == "http://127.0.0.1:8008"


@pytest.mark.parametrize(
    "config",
    [
        ServeConfig(address="0.0.0.0"), ServeConfig(address="192.168.0.5"), ServeConfig(address="::"),
        ServeConfig(address="gateway.local"), ServeConfig(address=""), ServeConfig(tls=TlsConfig("cert.pem", "")),
    ],
)  # fmt: skip
def test_nothing_in_the_clear_beyond_this_machine(config: ServeConfig) -> None:
    with pytest.raises(ConfigValueInvalid):
        check_exposure(config)


def test_with_tls_or_a_named_proxy() -> None:
    tls = ServeConfig(address="192.168.0.5", tls=TlsConfig("cert.pem", "key.pem"), hosts=("so8t.example.co.jp",))
    check_exposure(tls)
    assert hosts(tls) == ("192.168.0.5", "so8t.example.co.jp") and address(tls) == "https://so8t.example.co.jp:8008"
    check_exposure(ServeConfig(address="10.0.0.2", identity=IdentityConfig(proxy=ProxyConfig(("10.0.0.1",)))))


@pytest.mark.parametrize(
    "config", [UpstreamConfig("ollama"), UpstreamConfig("openai", ("http://127.0.0.1:1",)), UpstreamConfig("llamacpp")]
)
def test_an_upstream_that_is_not_fully_named(tmp_path: Path, config: UpstreamConfig) -> None:
    async def start() -> None:
        async with running_upstream(config, Bundle(tmp_path, {}, None), "Q8_0", 512):
            raise AssertionError("started")

    with pytest.raises(ConfigValueInvalid):
        asyncio.run(start())


def test_work_that_breaks_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("so8t.operate.background.PAUSE_SECONDS", 0.0)
    done: list[int] = []

    async def fragile() -> Any:
        done.append(1)
        raise OSError("again")

    async def main() -> None:
        async with beside([fragile]):
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert len(done) > 2

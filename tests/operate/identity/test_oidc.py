"""A login through a real provider on loopback, and every way to get in by a forged one."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import RSAKey
from openid_provider import Provider, serving, unsigned, with_public_key

from so8t.core.errors import NotIdentified, NotPermitted, ProviderFailed, TooManyAttempts, UsageError
from so8t.core.serve_config import OidcConfig
from so8t.core.types import Levels
from so8t.operate.identity.identity import Role
from so8t.operate.identity.oidc import Oidc

CALLBACK = "https://assistant.example/oidc"
HERE = "192.168.1.20"


@pytest.fixture
def provider(clock: Any) -> Iterator[Provider]:
    made = Provider(now=clock)
    with serving(made.app) as port:
        made.issuer = f"http://127.0.0.1:{port}/realm"
        yield made


@pytest.fixture
def config(provider: Provider, tmp_path: Path) -> OidcConfig:
    (tmp_path / "secret").write_text(provider.secret + "\n", encoding="utf-8")
    address = provider.issuer.removesuffix("/realm")
    return OidcConfig(provider.issuer, address, "so8t", str(tmp_path / "secret"))


@pytest.fixture
def oidc(config: OidcConfig, groups: Any, clock: Any) -> Oidc:
    return Oidc(config, groups, Levels, clock, clock)


async def login(oidc: Oidc, provider: Provider) -> Any:
    url, cookie = await oidc.login_url(CALLBACK)
    return await oidc.finish(provider.browse(url), cookie)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_login(oidc: Oidc, provider: Provider, algorithm: str) -> None:
    provider.lie["alg"] = algorithm
    identity = await login(oidc, provider)
    assert (identity.name, identity.method, identity.clearance) == ("taro", "oidc", "社内限定")
    assert identity.roles == {Role.USER} and identity.groups == {"so8t-users"}
    await login(oidc, provider)
    assert provider.asked == ["openid-configuration", "token", "jwks", "token"], "documents and keys are remembered"


async def test_what_the_browser_carries(oidc: Oidc, config: OidcConfig) -> None:
    url, cookie = await oidc.login_url(CALLBACK)
    query = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{config.issuer}/authorize?") and query["redirect_uri"] == CALLBACK
    assert query["scope"].split()[0] == "openid" and query["client_id"] == "so8t"
    assert len({query["state"], query["nonce"], query["code_challenge"]}) == 3
    other = {k: v[0] for k, v in parse_qs(urlsplit((await oidc.login_url(CALLBACK))[0]).query).items()}
    assert query["state"] != other["state"] and query["nonce"] != other["nonce"]
    assert query["state"] not in cookie and query["nonce"] not in cookie


LIES: dict[str, dict[str, Any]] = {
    "wrong nonce": {"claims": {"nonce": "x" * 43}},
    "no nonce": {"claims": {"nonce": None}},
    "wrong audience": {"claims": {"aud": "another-client"}},
    "audience of others": {"claims": {"aud": ["another-client", "third"]}},
    "several audiences, none authorised": {"claims": {"aud": ["so8t", "another-client"]}},
    "authorised for another": {"claims": {"azp": "another-client"}},
    "no audience": {"claims": {"aud": None}},
    "expired": {"claims": {"exp": 1_700_000_000}},
    "no expiry": {"claims": {"exp": None}},
    "expiry as text": {"claims": {"exp": "tomorrow"}},
    "from the future": {"claims": {"nbf": 1_900_000_000}},
    "other issuer": {"claims": {"iss": "https://evil.example"}},
    "no subject": {"claims": {"sub": None}},
    "alg none": {"sign": unsigned},
    "another key under a known id": {"key": RSAKey.generate_key(2048, {"kid": "rsa"})},
    "unknown key id": {"kid": "other"},
    "an algorithm that is not allowed": {"alg": "RS512", "key": RSAKey.generate_key(2048, {"kid": "rsa"})},
    "the key of another algorithm": {"kid": "ec"},
    "no token": {"token": {"id_token": None}},
    "no JWT": {"token": {"id_token": "a.b"}},
    "a huge token": {"token": {"id_token": "a" * 100_000}},
    "somebody else's access token": {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
    "a name with a line break": {"claims": {"preferred_username": "taro\r\nadmin"}},
    "no name": {"claims": {"preferred_username": None}},
    "a name that is a list": {"claims": {"preferred_username": ["taro"]}},
    "groups as a number": {"claims": {"groups": 7}},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_forged_token(oidc: Oidc, provider: Provider, lie: dict[str, Any]) -> None:
    provider.lie.update(lie)
    with pytest.raises(NotIdentified) as caught:
        await login(oidc, provider)
    assert "eyJ" not in str(caught.value), "no token in an error"
    provider.lie.clear()
    assert (await login(oidc, provider)).name == "taro"


async def test_hs256_with_the_public_key(oidc: Oidc, provider: Provider) -> None:
    provider.lie["sign"] = with_public_key(provider)
    with pytest.raises(NotIdentified):
        await login(oidc, provider)


async def test_replayed_state(oidc: Oidc, provider: Provider) -> None:
    url, cookie = await oidc.login_url(CALLBACK)
    query = provider.browse(url)
    await oidc.finish(query, cookie)
    with pytest.raises(NotIdentified, match="used"):
        await oidc.finish({**query, **provider.browse(url)}, cookie)


async def test_another_browsers_login(oidc: Oidc, provider: Provider, config: OidcConfig, groups: Any) -> None:
    """Login CSRF: the answer belongs to the cookie, and the cookie to this process."""
    (url, mine), (_, theirs) = await oidc.login_url(CALLBACK), await oidc.login_url(CALLBACK)
    query = provider.browse(url)
    for cookie in (theirs, "", "x", "x.y", mine[:-1], "é.é", "A" * 5000, mine.partition(".")[0]):
        with pytest.raises(NotIdentified):
            await oidc.finish(query, cookie)
    for wrong in ({"state": ""}, {"state": query["state"][:-1]}, {"state": "\ud800"}):
        with pytest.raises(NotIdentified):
            await oidc.finish({**query, **wrong}, mine)
    with pytest.raises(NotIdentified):
        await Oidc(config, groups, Levels).finish(query, mine)
    assert (await oidc.finish(query, mine)).name == "taro", "what others tried did not use it up"


@pytest.mark.parametrize(
    "change", [{"error": "access_denied"}, {"iss": "https://evil.example"}, {"code": ""}, {"code": "x" * 5000}]
)
async def test_a_refusal_comes_back(oidc: Oidc, provider: Provider, change: dict[str, str]) -> None:
    url, cookie = await oidc.login_url(CALLBACK)
    with pytest.raises(NotIdentified):
        await oidc.finish({**provider.browse(url), **change}, cookie)
    assert "token" not in provider.asked


async def test_a_code_of_another_login(oidc: Oidc, provider: Provider) -> None:
    """Code injection: PKCE binds the code to this login; the provider refuses."""
    (victim, _), (url, cookie) = await oidc.login_url(CALLBACK), await oidc.login_url(CALLBACK)
    stolen = provider.browse(victim)
    with pytest.raises(NotIdentified, match="code"):
        await oidc.finish({**provider.browse(url), "code": stolen["code"]}, cookie)


async def test_a_wrong_secret_is_our_own_fault(oidc: Oidc, provider: Provider) -> None:
    oidc._provider._secret = "old"
    with pytest.raises(ProviderFailed, match="HTTP 401"):
        await login(oidc, provider)


async def test_a_token_answer_without_an_access_token(oidc: Oidc, provider: Provider) -> None:
    provider.lie["token"] = {"access_token": None}
    with pytest.raises(ProviderFailed):
        await login(oidc, provider)


async def test_too_late(oidc: Oidc, provider: Provider, clock: Any) -> None:
    url, cookie = await oidc.login_url(CALLBACK)
    clock.value += 601
    with pytest.raises(NotIdentified):
        await oidc.finish(provider.browse(url), cookie)


async def test_no_group_that_is_configured(oidc: Oidc, provider: Provider) -> None:
    for groups in ([], ["Sales"], None, [7, {"a": 1}]):
        provider.lie["claims"] = {"groups": groups}
        with pytest.raises(NotPermitted):
            await login(oidc, provider)
    provider.lie["claims"] = {"groups": "so8t-reviewers"}
    assert (await login(oidc, provider)).clearance == "部外秘"


async def test_new_keys_are_fetched_but_not_for_everybody(oidc: Oidc, provider: Provider, clock: Any) -> None:
    await login(oidc, provider)
    provider.keys["RS256"] = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig"})
    clock.value += 61
    assert (await login(oidc, provider)).name == "taro"
    assert provider.asked.count("jwks") == 2
    provider.lie["kid"] = "made up"
    for _ in range(5):
        with pytest.raises(NotIdentified):
            await login(oidc, provider)
    assert provider.asked.count("jwks") == 2


async def test_keys_that_are_no_use(oidc: Oidc, provider: Provider) -> None:
    """Symmetric, short, encryption and broken keys beside a good one are left out."""
    with warnings.catch_warnings(action="ignore", category=SecurityWarning):
        short = RSAKey.generate_key(1024, {"kid": "rsa"}).as_dict(private=False)
    provider.lie["first_keys"] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"},
        {"kty": "RSA", "kid": "rsa", "use": "enc", "n": "AQAB", "e": "AQAB"},
        short, {"kty": "RSA", "kid": "rsa"}, 7, {"kty": "?"},
    ]  # fmt: skip
    assert (await login(oidc, provider)).name == "taro"


async def test_the_authenticators_way(
    make: Any, provider: Provider, config: OidcConfig, ledger: Any, taro: Any
) -> None:
    authenticator = make(oidc=config)
    url, cookie = await authenticator.oidc_url(CALLBACK)
    value, _, rest = cookie.partition(";")
    assert value.startswith("__Host-so8t-oidc=") and rest == " Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
    session = await authenticator.finish_oidc(provider.browse(url), {"cookie": value}, HERE)
    identity = await authenticator.identify({"cookie": f"__Host-so8t={session.token}"}, HERE)
    assert (identity.name, identity.method) == ("taro", "session")
    assert ledger.entries[-1][0] == "session_opened" and ledger.entries[-1][1]["method"] == "oidc"
    for _ in range(30):
        with pytest.raises((NotIdentified, TooManyAttempts)):
            await authenticator.finish_oidc({"state": "x", "code": "y"}, {}, "10.0.0.66")
    assert 0 < ledger.events.count("oidc_refused") <= 20
    await taro(authenticator)  # an account with a password: whoever calls himself so elsewhere is not he
    url, cookie = await authenticator.oidc_url(CALLBACK)
    with pytest.raises(NotPermitted):
        await authenticator.finish_oidc(provider.browse(url), {"cookie": cookie.partition(";")[0]}, HERE)


async def test_off_is_off(authenticator: Any) -> None:
    with pytest.raises(UsageError):
        await authenticator.oidc_url(CALLBACK)
    with pytest.raises(UsageError):
        await authenticator.finish_oidc({}, {}, HERE)


async def test_nothing_secret_in_a_repr(oidc: Oidc, config: OidcConfig, provider: Provider) -> None:
    _, cookie = await oidc.login_url(CALLBACK)
    assert oidc._opened(cookie).secret not in repr(oidc._opened(cookie))
    assert provider.secret not in repr(config) + repr(dataclasses.asdict(config)) + repr(oidc) + repr(oidc._provider)

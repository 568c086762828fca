"""The connection to the provider: one literal address, the issuer's certificate, bounded answers, nothing followed."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from openid_provider import Provider as StandIn
from openid_provider import serving
from starlette.responses import PlainTextResponse, RedirectResponse, StreamingResponse

from so8t.core.errors import ConfigValueInvalid, ProviderFailed
from so8t.core.serve_config import OidcConfig
from so8t.operate.identity import provider as provider_module
from so8t.operate.identity.provider import MAX_ANSWER, Provider

NAME = "idp.example.test"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    made = StandIn()
    with serving(made.app) as port:
        made.issuer = f"http://127.0.0.1:{port}/realm"
        yield made


def provider_of(stand_in: StandIn, **fields: Any) -> Provider:
    address = stand_in.issuer.removesuffix("/realm")
    return Provider(OidcConfig(**{"issuer": stand_in.issuer, "address": address, "client_id": "so8t", **fields}))


@pytest.mark.parametrize(
    ("issuer", "address"),
    [
        ("https://idp.example", "https://idp.example"),  # a name would be looked up
        ("https://idp.example", "http://127.0.0.1:1"),
        ("http://idp.example", "http://10.0.0.1:80"),
        ("ftp://idp.example", "ftp://10.0.0.1"),
        ("https://user@idp.example", "https://10.0.0.1"),
        ("https://idp.example?x", "https://10.0.0.1"),
        ("https://idp.example", "https://10.0.0.1/realm"),
        ("https://idp.example:99999", "https://10.0.0.1"),
        ("https://idp.example", ""),
        ("idp", "https://10.0.0.1"),
    ],
)
def test_addresses_that_are_refused(issuer: str, address: str) -> None:
    with pytest.raises(ConfigValueInvalid):
        Provider(OidcConfig(issuer, address, "so8t"))


def test_files_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    good = {"issuer": "https://idp.example", "address": "https://10.0.0.1", "client_id": "so8t"}
    for fields in ({"secret_file": str(tmp_path / "none")}, {"secret_file": str(tmp_path / "empty")},
                   {"ca_file": str(tmp_path / "none")}, {"ca_file": str(tmp_path / "empty")}):  # fmt: skip
        with pytest.raises(ConfigValueInvalid) as caught:
            Provider(OidcConfig(**{**good, **fields}))
        assert next(iter(fields)) in caught.value.where


async def unannounced() -> Any:
    """More than is taken, in pieces, without a Content-Length."""
    for _ in range(2 * MAX_ANSWER // 65_536):
        yield b" " * 65_536


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("no json"),
        PlainTextResponse("[1]"),
        PlainTextResponse("[" * 100_000),
        PlainTextResponse("{}", status_code=500),
        PlainTextResponse("{" + " " * MAX_ANSWER + "}"),
        StreamingResponse(unannounced()),
        RedirectResponse("http://127.0.0.1:1/"),
        RedirectResponse("http://idp.example.test/"),
    ],
    ids=["no json", "no object", "deep", "error", "large", "unannounced", "redirect", "redirect to a name"],
)
async def test_answers_that_are_no_use(stand_in: StandIn, answer: Any) -> None:
    stand_in.lie["answer"] = answer
    with pytest.raises(ProviderFailed):
        await provider_of(stand_in).metadata()


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://127.0.0.1:1/realm"},
        {"token_endpoint": "http://idp.example.test/token"},
        {"token_endpoint": "http://127.0.0.1:1/realm/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"jwks_uri": "http://[bad"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://" + "x" * 3000},
    ],
)
async def test_a_discovery_document_that_leads_elsewhere(stand_in: StandIn, change: dict[str, Any]) -> None:
    stand_in.lie["discovery"] = change
    with pytest.raises(ProviderFailed):
        await provider_of(stand_in).metadata()


async def test_silence_has_an_end(monkeypatch: Any, stand_in: StandIn) -> None:
    async def never() -> Any:
        yield b"{"
        await asyncio.sleep(0.6)

    monkeypatch.setattr(provider_module, "SECONDS", 0.2)
    stand_in.lie["answer"] = StreamingResponse(never())
    with pytest.raises(ProviderFailed, match="Timeout"):
        await provider_of(stand_in).metadata()


async def test_nobody_there() -> None:
    with pytest.raises(ProviderFailed):
        await Provider(OidcConfig("http://127.0.0.1:1/realm", "http://127.0.0.1:1", "so8t")).metadata()


async def test_proxies_of_the_environment_are_not_used(stand_in: StandIn, monkeypatch: Any) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await provider_of(stand_in).metadata()).token == f"{stand_in.issuer}/token"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and NAME.pem and other.pem with their keys, signed by it."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(folder / "ca.pem", "ca", key, None)
    for name in (NAME, "other"):
        own = ec.generate_private_key(ec.SECP256R1())
        _certificate(folder / f"{name}.pem", name, own, (authority, key))
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / f"{name}.key").write_bytes(own.private_bytes(serialization.Encoding.PEM, *form))
    return folder


def _certificate(path: Path, name: str, key: Any, issuer: Any) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer = key if issuer is None else issuer[1]
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    names = [x509.DNSName(name)] if name == NAME else [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_key, critical=False)
        .sign(signer, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


@pytest.mark.parametrize(
    ("name", "trusted", "good"), [(NAME, True, True), ("other", True, False), (NAME, False, False)]
)
async def test_the_certificate_is_the_issuers(certificates: Path, name: str, trusted: bool, good: bool) -> None:
    """Reached by address, checked by name, no name server asked (the suite's guard would see it)."""
    made = StandIn()
    with serving(made.app, certificates / f"{name}.pem", certificates / f"{name}.key") as port:
        made.issuer = f"https://{NAME}:{port}/realm"
        ca = str(certificates / ("ca.pem" if trusted else "other.pem"))
        provider = Provider(OidcConfig(made.issuer, f"https://127.0.0.1:{port}", "so8t", ca_file=ca))
        if not good:
            with pytest.raises(ProviderFailed, match="Certificate"):
                await provider.metadata()
            return
        assert (await provider.metadata()).jwks == f"{made.issuer}/jwks"
        assert made.hosts == {f"{NAME}:{port}"}

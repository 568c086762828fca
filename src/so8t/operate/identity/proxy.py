"""Header mode: a reverse proxy has done the company's single sign-on and tells who it is (Windows: Kerberos, NTLM).

The header is believed only when the TCP connection itself comes from a pinned address. The proxy must delete the same
header from what its clients send; nothing here can tell whether it does (docs/identity.md).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from so8t.core.errors import AccountInvalid, ConfigValueInvalid, NotIdentified
from so8t.core.serve_config import ProxyConfig
from so8t.operate.identity.names import folded, normal_name

MAX_HEADER = 1024
MAX_GROUPS_HEADER = 64_000
_NO_USER = re.compile(r"[,;|/\\@=+*?<>\"\[\]:]")  # what no Windows logon name holds; a joined second value shows here


@dataclass(frozen=True, slots=True)
class Asserted:
    """Who the proxy says it is. `groups` as sent."""

    name: str
    groups: tuple[str, ...]


class Proxy:
    """Raises ConfigValueInvalid for an address that is no literal one."""

    def __init__(self, config: ProxyConfig) -> None:
        self._config = config
        self._addresses = frozenset(map(_literal, config.addresses))
        self._domains = frozenset(map(folded, config.domains))
        self._user, self._groups = config.user_header.lower(), config.groups_header.lower()

    @property
    def once(self) -> frozenset[str]:
        """Headers that may stand in a request only once."""
        return frozenset({self._user, self._groups} if self._addresses else ())

    def is_pinned(self, address: str) -> bool:
        return bool(self._addresses) and _plain(address) in self._addresses

    def asserted(self, headers: Mapping[str, str], address: str) -> Asserted | None:
        """None without the header, or with the mode off. Raises NotIdentified for a header from anybody else, and for
        one that names nobody."""
        if not self._addresses or not (self._user in headers or self._groups in headers):
            return None
        if not self.is_pinned(address):
            raise NotIdentified(detail=self._user)
        if self._user not in headers:
            raise NotIdentified(detail=self._user)
        return Asserted(self._name(headers[self._user]), self._split(headers.get(self._groups, "")))

    def _name(self, raw: str) -> str:
        text = _text(raw, MAX_HEADER).strip()
        domain, found, name = text.rpartition("\\")
        if not found:
            name, found, domain = text.partition("@")
        if found and not self._trusted(domain):
            raise NotIdentified(detail=f"{self._user}: domain")
        if _NO_USER.search(name):
            raise NotIdentified(detail=self._user)
        try:
            return normal_name(name)
        except AccountInvalid as error:
            raise NotIdentified(detail=f"{self._user}: {error.detail}") from None

    def _trusted(self, domain: str) -> bool:
        return bool(domain) and (not self._domains or folded(domain) in self._domains) and not _NO_USER.search(domain)

    def _split(self, raw: str) -> tuple[str, ...]:
        text = _text(raw, MAX_GROUPS_HEADER)
        return tuple(filter(None, map(str.strip, text.split(self._config.groups_separator))))


def _text(raw: str, longest: int) -> str:
    """ASGI gives bytes as Latin-1; proxies send UTF-8. Raises NotIdentified for what is neither, or too long."""
    if len(raw) > longest:
        raise NotIdentified(detail=f"header > {longest}")
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeEncodeError:
        return raw  # decoded already
    except UnicodeDecodeError:
        raise NotIdentified(detail="header: UTF-8") from None


def _literal(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise ConfigValueInvalid(where="serve.identity.proxy.addresses", detail=f"{address!r}: no IP address") from None


@lru_cache(maxsize=4096)
def _plain(address: str) -> str:
    """The peer's address in the same spelling; an IPv4 one seen through an IPv6 socket is that IPv4 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)

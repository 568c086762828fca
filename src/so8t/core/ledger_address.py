"""The address of a PostgreSQL server, in a file of its own because it may hold a password.

    postgres://user:password@10.0.0.5:5432/so8t?ca=/etc/so8t/ca.pem
    postgres://user@/so8t?socket=/run/postgresql

The host is a literal IP address: no name is looked up. Anywhere but on loopback and on a Unix socket the server's
certificate is checked in full (chain to `ca`, and the address as its subjectAltName).
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from so8t.core.errors import ConfigValueInvalid, SourceMissing

MAX_ADDRESS_BYTES = 4096
PORT = 5432


@dataclass(frozen=True, slots=True)
class Address:
    """`host` is a literal IP address, or the absolute folder of a Unix socket. The password is never shown."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(default="", repr=False)
    ca_file: str = ""

    def __str__(self) -> str:
        return f"postgres {self.host}:{self.port}/{self.database}"

    def tls(self) -> ssl.SSLContext | None:
        """None = no TLS. Raises OSError for a CA file that cannot be read."""
        if not self.ca_file:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def read_address(path: Path) -> Address:
    """Raises SourceMissing, and ConfigValueInvalid (which never shows the address) for what is not allowed."""
    try:
        with path.open("rb") as f:
            raw = f.read(MAX_ADDRESS_BYTES + 1)
    except FileNotFoundError:
        raise SourceMissing(where=path) from None
    try:
        if len(raw) > MAX_ADDRESS_BYTES:
            raise ValueError(f"> {MAX_ADDRESS_BYTES} bytes")
        return parse_address(raw.decode("utf-8").strip())
    except UnicodeDecodeError:
        raise ConfigValueInvalid(where=path, detail="UTF-8") from None
    except ValueError as error:
        raise ConfigValueInvalid(where=path, detail=str(error)) from None


def parse_address(text: str) -> Address:
    """Raises ValueError with a reason that holds nothing of the text but the names of options."""
    try:
        parts = urlsplit(text)
        port = parts.port or PORT
    except ValueError:
        raise ValueError("not an address") from None
    if parts.scheme not in ("postgres", "postgresql") or parts.fragment or not parts.username:
        raise ValueError("postgres://user:password@IP:port/database")
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if unknown := options.keys() - {"ca", "socket"}:
        raise ValueError(f"unknown option {sorted(unknown)[0]!r:.40}; known: ca, socket")
    host = _host(parts.hostname or "", options.get("socket", ""))
    ca_file = options.get("ca", "")
    if not ca_file and not host.startswith("/") and not ipaddress.ip_address(host).is_loopback:
        raise ValueError("?ca=FILE: a server elsewhere must prove itself by a certificate")
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database:
        raise ValueError("no database is named")
    return Address(host, port, unquote(parts.username), database, unquote(parts.password or ""), ca_file)


def _host(named: str, socket: str) -> str:
    if socket:
        if named or not socket.startswith("/"):
            raise ValueError("socket=/absolute/folder, and then no host")
        return socket
    try:
        return str(ipaddress.ip_address(named))
    except ValueError:
        raise ValueError("the host must be a literal IP address") from None

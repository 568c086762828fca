"""Where the configuration itself lets the server connect: these addresses are no egress."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from so8t.core.errors import So8tError
from so8t.core.ledger_address import read_address
from so8t.core.serve_config import ServeConfig


def named_addresses(config: ServeConfig) -> tuple[str, ...]:
    """Literal addresses, each once: model, OpenID provider, mail, syslog, PostgreSQL. What is none is left out."""
    urls = [
        *config.upstream.addresses,
        config.identity.oidc.address,
        config.ledger.syslog,
        f"smtp://{config.notify.smtp}",
    ]
    hosts = [host for url in urls if (host := _host(url))]
    if config.ledger.postgres_file:
        with suppress(So8tError):  # open_ledger says what is wrong with it
            hosts.append(read_address(Path(config.ledger.postgres_file)).host)
    return tuple(dict.fromkeys(host for host in hosts if _is_address(host)))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""Ports that were not there before, and connections to where none should go."""

from __future__ import annotations

import ipaddress

import pytest
from fake_machine import Machine
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import ConfigValueInvalid
from so8t.core.serve_config import IdentityConfig, LedgerConfig, NotifyConfig, OidcConfig, ServeConfig, UpstreamConfig
from so8t.operate.monitor.egress import leaving, networks
from so8t.operate.monitor.finding import Finding, Severity
from so8t.operate.monitor.listeners import Allowed, listening, unknown_listeners
from so8t.operate.monitor.named import named_addresses
from so8t.operate.monitor.system import Program, Socket
from so8t.operate.monitor.table import MOST_SUSPECTS, Table

PROGRAMS = {
    5: Program("sshd", "root"),
    6: Program("python3", "sato"),
    7: Program("svc", "sys"),
    10: Program("so8t", "s"),
}
INTERNET, LAN = "203.0.114.9", "10.0.0.77"


def table(*sockets: Socket) -> Table:
    return Table.of(Machine(open=list(sockets), programs=dict(PROGRAMS)).system())


def listens(port: int, pid: int | None = 6, address: str = "0.0.0.0") -> Socket:
    return Socket((address, port), None, "listen", pid)


def to(address: str, port: int = 443, pid: int | None = 6, state: str = "open", local: int = 50000) -> Socket:
    return Socket(("10.0.0.5", local), (address, port), state, pid)  # type: ignore[arg-type]


# -- ports -----------------------------------------------------------------------------------------------------------


def keys(found: Table, own_port: int = 8008) -> list[str]:
    return [key for _, _, key in listening(found, own_port)]


def test_a_baseline_knows_what_listened() -> None:
    before = table(listens(22, 5), listens(631, None, "127.0.0.1"), listens(49664, 7), listens(8008, 10, "10.0.0.5"))
    known = keys(before)
    assert known == ["sshd network:22", "? loopback:631", "svc network:*"]
    assert unknown_listeners(before, known, [], 8008) == []
    after = table(*before.sockets, listens(4444), listens(50001, 7), listens(9000, 6, "::1"))
    found = unknown_listeners(after, known, [], 8008)
    assert [(f.subject, f.severity) for f in found] == [
        ("python3 network:4444", Severity.WARNING), ("python3 loopback:9000", Severity.INFO),
    ]  # fmt: skip
    assert found[0].facts == {"process": "python3", "pid": 6, "user": "sato", "address": "0.0.0.0", "port": 4444}


def test_another_program_on_a_known_port_is_new() -> None:
    assert len(unknown_listeners(table(listens(22)), ["sshd network:22"], [])) == 1
    assert len(unknown_listeners(table(listens(22, 5)), ["sshd loopback:22"], [])) == 1


def test_our_own_ports() -> None:
    """The server's port and the model's, on loopback, are expected; another one that others reach is not."""
    ours = table(listens(8008, 10, "10.0.0.5"), listens(40123, 11, "127.0.0.1"), listens(4444, 10, "0.0.0.0"))
    assert keys(ours) == ["so8t network:4444"] and keys(ours, 0) == []


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("4444", True),
        ("python3:4444", True),
        ("python3:*", True),
        ("sshd:4444", False),
        ("22", False),
        ("svc:*", False),
    ],
)
def test_allowed_ports(text: str, fits: bool) -> None:
    assert (unknown_listeners(table(listens(4444)), [], [Allowed.of(text)]) == []) is fits


@pytest.mark.parametrize("text", ["", ":", "*", ":*", "x", "0", "65536", "-1", "a:b", "sshd:²²"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(ConfigValueInvalid, match="allowed_listeners"):
        Allowed.of(text)


def test_ten_thousand_ports_are_no_ten_thousand_findings() -> None:
    assert len(unknown_listeners(table(*(listens(n, 6) for n in range(1, 10_000))), [], [])) == MOST_SUSPECTS


# -- connections -----------------------------------------------------------------------------------------------------


def test_to_the_internet_to_the_office_to_ourselves() -> None:
    found = leaving(table(to(INTERNET), to(LAN, 22, 5), to("127.0.0.1"), to("10.0.0.5"), to("0.0.0.0", 0)), ())
    assert [(f.subject, f.severity) for f in found] == [
        (f"{INTERNET}:443", Severity.CRITICAL), (f"{LAN}:22", Severity.WARNING),
    ]  # fmt: skip
    assert found[0].facts["process"] == "python3" and found[0].facts["state"] == "open" and not found[0].facts["own"]


def test_a_connection_of_our_own_is_critical_wherever_it_goes() -> None:
    (finding,) = leaving(table(to(LAN, 443, 10)), ())
    assert finding.severity is Severity.CRITICAL and finding.facts["own"] is True
    assert leaving(table(to(LAN, 443, 10)), networks([LAN])) == []


def test_attempts_and_what_is_left_of_connections() -> None:
    for state in ("trying", "ended"):
        (finding,) = leaving(table(to(INTERNET, pid=None, state=state)), ())
        assert finding.facts["state"] == state and finding.severity is Severity.CRITICAL
    (both,) = leaving(table(to(INTERNET, pid=None, state="ended", local=1), to(INTERNET, local=2)), ())
    assert both.facts["process"] == "python3"  # the row that names a program


def test_who_comes_to_us_does_not_leave() -> None:
    assert (
        leaving(table(listens(8008, 10), to(LAN, 51000, 10, local=8008), to(LAN, 51001, None, "ended", 8008)), ()) == []
    )


def test_udp() -> None:
    socket = Socket(("10.0.0.5", 8008), (INTERNET, 53), "open", 6, "udp")
    (finding,) = leaving(table(listens(8008), socket), ())
    assert finding.facts["protocol"] == "udp"


@given(st.ip_addresses(), st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=3))
def test_what_is_allowed_is_never_found_and_the_rest_always(address: object, allowed: list[str]) -> None:
    made = networks([*allowed, "2001:db8::/32"])
    found: list[Finding] = leaving(table(to(str(address))), made)
    inside = any(address in network for network in made if network.version == address.version)  # type: ignore[attr-defined]
    expected = ipaddress.ip_address(str(address))
    harmless = inside or expected.is_loopback or expected.is_unspecified or str(address) == "10.0.0.5"
    assert len(found) == (0 if harmless else 1)


@pytest.mark.parametrize("text", ["", "example.com", "10.0.0.1/8", "10.0.0.0/40", "::/129", "10.0.0.0 /8"])
def test_networks_that_are_none(text: str) -> None:
    with pytest.raises(ConfigValueInvalid, match="allowed_networks"):
        networks([text])


def test_addresses_that_the_configuration_names() -> None:
    config = ServeConfig(
        upstream=UpstreamConfig(kind="ollama", addresses=("http://10.0.0.9:11434", "http://[fd00::9]:1")),
        identity=IdentityConfig(oidc=OidcConfig(issuer="https://x", address="https://10.0.0.8:443")),
        ledger=LedgerConfig(syslog="tcp://10.0.0.7:514"), notify=NotifyConfig(smtp="10.0.0.6:25"),
    )  # fmt: skip
    assert named_addresses(config) == ("10.0.0.9", "fd00::9", "10.0.0.8", "10.0.0.7", "10.0.0.6")
    assert named_addresses(ServeConfig()) == ()
    odd = ServeConfig(
        ledger=LedgerConfig(syslog="tcp://[::1", postgres_file="nowhere"), notify=NotifyConfig(smtp="x:1")
    )
    assert named_addresses(odd) == ()

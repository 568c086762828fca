"""nvidia-smi is asked and not trusted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.doctor.card import LIMIT, Card, Cards, _card, find_cards

Smi = Callable[[str], None]


def test_a_card(smi: Smi, card: Callable[..., str]) -> None:
    smi(card())
    found = find_cards()
    assert found == Cards((Card("NVIDIA GeForce RTX 3080", "550.54.15", 12288, 12000, (8, 6)),))
    assert found.cards[0].driver_major == 550


def test_two_cards(smi: Smi, card: Callable[..., str]) -> None:
    smi(f"{card(free=100)}\n{card(free=9000)}")
    found = find_cards()
    assert len(found.cards) == 2 and found.roomiest is not None and found.roomiest.free == 9000


def test_the_arguments_are_a_list(smi: Smi, card: Callable[..., str], tmp_path: Path) -> None:
    smi(f'printf "%s\\n" "$@" > {tmp_path}/arguments\n{card()}')
    find_cards()
    assert (tmp_path / "arguments").read_text().splitlines() == [
        "--query-gpu=name,driver_version,memory.total,memory.free,compute_cap",
        "--format=csv,noheader,nounits",
    ]


def test_no_program(smi: Smi) -> None:
    smi("")
    assert find_cards() == Cards(installed=False) and find_cards().roomiest is None


@pytest.mark.parametrize(
    "body",
    [
        "echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9",
        "echo 'No devices were found'; exit 6",
        "echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2",
        "head -c 3000 /dev/urandom",
        "echo 'a, b, c, d, e'",
        "echo 'X, 550, 12288, [N/A], 8.6'",
        "echo 'X, 550.1, 99999999999999999999, 1, 8.6'",
        "exit 1",
        ":",
    ],
)
def test_garbage(smi: Smi, body: str) -> None:
    smi(body)
    found = find_cards()
    assert found.cards == () and found.installed and 0 < len(found.problem) <= 200


def test_a_card_and_an_error(smi: Smi, card: Callable[..., str]) -> None:
    """One of two cards has fallen off the bus: nothing is half believed."""
    smi(f"{card()}\necho 'Unable to determine the device handle'; exit 15")
    assert find_cards().cards == ()


def test_endless_output_is_cut_off(smi: Smi) -> None:
    smi(f"head -c {LIMIT * 3} /dev/zero | tr '\\0' 'x'")
    assert len(find_cards().problem) == 200


def test_a_hang(smi: Smi) -> None:
    smi("sleep 30")
    begin = time.monotonic()
    found = find_cards(seconds=0.3)
    assert found.problem == "nvidia-smi: > 0.3 s" and time.monotonic() - begin < 10


def test_a_program_that_does_not_start(smi: Smi, tmp_path: Path) -> None:
    smi(":")
    (tmp_path / "bin" / "nvidia-smi").write_bytes(b"\x7fELF nothing")
    assert find_cards().problem.startswith("nvidia-smi: ")


@given(st.text())
def test_no_line_breaks_the_reader(text: str) -> None:
    found = _card(text)
    assert found is None or found.total >= 0

"""AdamW in three forms: the equation, what a checkpoint keeps of it, and what is chosen where."""

from __future__ import annotations

import dataclasses
import io
import sys
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from so8t.build.train import optimizer
from so8t.build.train.optimizer import choose_optimizer, load_optimizer, make_optimizer, paged_bytes
from so8t.core.config import GateConfig, TrainConfig
from so8t.core.errors import EnvironmentUnfit, PackageMissing

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PLAIN = TrainConfig(learning_rate=1e-2, weight_decay=0.05, gate=GateConfig(learning_rate_factor=0.5))
EIGHT = dataclasses.replace(PLAIN, optimizer="paged_adamw_8bit")
bitsandbytes = pytest.mark.skipif(not optimizer.has_bitsandbytes(), reason="bitsandbytes is not installed")
BOTH = [pytest.param(PLAIN, id="adamw"), pytest.param(EIGHT, id="8bit", marks=bitsandbytes)]


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    """Two of more than 4096 numbers, which bitsandbytes keeps in 8 bits, and gates that it keeps in 32."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a.lora_A": (128, 64), "a.lora_B": (96, 64), "rotations.skew": (2, 8, 28)}
    return {n: nn.Parameter(torch.randn(s, generator=generator)) for n, s in shapes.items()}


def give_gradients(named: dict[str, nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in named.values():
        p.grad = torch.randn(p.shape, generator=generator)


def steps(named: dict[str, nn.Parameter], made: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        give_gradients(named, step)
        for group in made.param_groups:
            group["lr"] = 1e-2 * (1 + step) * group["factor"]
        made.step()


def test_groups_and_factors() -> None:
    named = parameters()
    made = make_optimizer(named, PLAIN, CPU)
    assert [g["factor"] for g in made.param_groups] == [1.0, 0.5]
    assert [g["weight_decay"] for g in made.param_groups] == [0.05, 0.05]
    assert made.param_groups[1]["params"][0] is named["rotations.skew"]
    del named["rotations.skew"]
    assert len(make_optimizer(named, PLAIN, CPU).param_groups) == 1


def test_the_equation_of_decoupled_weight_decay() -> None:
    """Loshchilov and Hutter 2019, algorithm 2, in fp64 beside the fused kernel in fp32."""
    named = parameters()
    want = {n: p.detach().double() for n, p in named.items()}
    m = {n: torch.zeros_like(w) for n, w in want.items()}
    v = {n: torch.zeros_like(w) for n, w in want.items()}
    made = make_optimizer(named, PLAIN, CPU)
    for step in range(5):
        steps(named, made, step, step + 1)
        for n, p in named.items():
            gradient = p.grad.double() if p.grad is not None else torch.zeros(())
            rate = 1e-2 * (1 + step) * (0.5 if n.startswith("rotations.") else 1.0)
            m[n] = 0.9 * m[n] + 0.1 * gradient
            v[n] = 0.999 * v[n] + 0.001 * gradient**2
            mean, square = m[n] / (1 - 0.9 ** (step + 1)), v[n] / (1 - 0.999 ** (step + 1))
            want[n] = want[n] * (1 - rate * 0.05) - rate * mean / (square.sqrt() + 1e-8)
    for n, p in named.items():
        assert torch.allclose(p.detach().double(), want[n], atol=2e-6, rtol=0), n


@pytest.mark.parametrize("config", BOTH)
def test_saved_and_loaded_it_goes_on_bit_for_bit(config: TrainConfig) -> None:
    whole = parameters()
    steps(whole, make_optimizer(whole, config, CPU), 0, 9)
    first = parameters()
    made = make_optimizer(first, config, CPU)
    steps(first, made, 0, 4)
    saved = io.BytesIO()
    torch.save(made.state_dict(), saved)
    kept = {n: p.detach().clone() for n, p in first.items()}
    second = parameters(seed=7)  # a new process: other tensors, other addresses
    with torch.no_grad():
        for n, p in second.items():
            p.copy_(kept[n])
    made = make_optimizer(second, config, CPU)
    saved.seek(0)
    load_optimizer(made, torch.load(saved, weights_only=True))
    steps(second, made, 4, 9)
    for n in whole:
        assert torch.equal(whole[n], second[n]), n
        assert not torch.equal(whole[n], kept[n])


@bitsandbytes
def test_states_are_really_in_eight_bits() -> None:
    named = parameters()
    made = make_optimizer(named, EIGHT, CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said of paging that a CPU has not
        steps(named, made, 0, 1)
    dtypes = {n: made.state[p]["state1"].dtype for n, p in named.items()}
    assert dtypes == {"a.lora_A": torch.uint8, "a.lora_B": torch.uint8, "rotations.skew": torch.float32}


@bitsandbytes
def test_eight_bits_follow_the_full_states() -> None:
    """On a regression whose loss falls a hundredfold, the end is within a tenth of the way of AdamW's."""
    generator = torch.Generator().manual_seed(1)
    inputs, target = torch.randn(256, 64, generator=generator), torch.randn(64, 96, generator=generator)

    def train(config: TrainConfig) -> list[float]:
        weight = nn.Parameter(torch.zeros(64, 96))
        made = make_optimizer({"a.lora_A": weight}, dataclasses.replace(config, weight_decay=0.0), CPU)
        losses = []
        for _ in range(400):
            loss = (inputs @ (weight - target)).square().mean()
            losses.append(float(loss.detach()))
            made.zero_grad()
            loss.backward()
            made.step()
        return losses

    full, eight = train(PLAIN), train(EIGHT)
    assert full[-1] < full[0] / 100
    assert abs(eight[200] - full[200]) < 0.05 * full[0]
    assert eight[-1] < full[0] / 50


# -- what is chosen -------------------------------------------------------------------------------------------------


def choice(config: TrainConfig, device: torch.device) -> str:
    made = choose_optimizer(config, device)
    assert made.ja and made.en
    return made.value


def test_auto_is_paged_only_for_a_quantised_base_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "has_bitsandbytes", lambda: True)
    quantised = dataclasses.replace(PLAIN, quantization="nf4")
    assert choice(quantised, CUDA) == "paged_adamw_8bit"
    assert choice(quantised, CPU) == "adamw"
    assert choice(PLAIN, CUDA) == "adamw"
    assert choice(EIGHT, CUDA) == "paged_adamw_8bit"
    assert choice(dataclasses.replace(quantised, optimizer="adamw"), CUDA) == "adamw"
    monkeypatch.setattr(optimizer, "has_bitsandbytes", lambda: False)
    assert choice(quantised, CUDA) == "adamw"


def test_what_was_asked_for_and_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "has_bitsandbytes", lambda: False)
    with pytest.raises(PackageMissing, match=r"so8t\[gpu\]"):
        choose_optimizer(EIGHT, CPU)
    monkeypatch.setattr(optimizer, "has_bitsandbytes", lambda: True)
    with pytest.raises(EnvironmentUnfit, match="mps"):
        choose_optimizer(EIGHT, torch.device("mps"))


class CardTensor(Tensor):
    """A tensor that says it lies on a card."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA


class Paged(torch.optim.SGD):
    """bitsandbytes' paged optimizer as far as load_optimizer asks: loading leaves its states unpaged."""

    is_paged = True
    made = 0

    def get_state_buffer(self, parameter: Tensor, dtype: torch.dtype) -> Tensor:
        Paged.made += 1
        buffer = torch.zeros(4, dtype=dtype)
        buffer.is_paged = True  # type: ignore[attr-defined]
        return buffer

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}


def test_loaded_states_are_paged_again_and_buffers_are_not_piled_up() -> None:
    parameter = CardTensor(torch.zeros(4))
    made = Paged([parameter], lr=0.1)
    assert paged_bytes(made) == 0
    for value in (3, 5):  # rolled back twice
        state = {"step": 1, "state1": torch.full((4,), value, dtype=torch.uint8), "absmax1": torch.ones(1)}
        load_optimizer(made, state)
        (values,) = made.state.values()
        assert values["state1"].tolist() == [value] * 4 and values["state1"].is_paged
        assert not hasattr(values["absmax1"], "is_paged") and values["step"] == 1
    assert Paged.made == 1 and paged_bytes(made) == 4


def test_a_paged_tensor_is_read_as_plain_weights() -> None:
    """bitsandbytes marks its tensors with attributes, which torch.save keeps: no code may come with them."""
    marked = torch.arange(5, dtype=torch.uint8)
    marked.is_paged, marked.page_deviceid = True, 0  # type: ignore[attr-defined]
    file = io.BytesIO()
    torch.save({"state1": marked}, file)
    file.seek(0)
    assert torch.load(file, weights_only=True)["state1"].tolist() == [0, 1, 2, 3, 4]


def test_nothing_of_bitsandbytes_is_loaded_for_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert type(make_optimizer(parameters(), PLAIN, CPU)) is torch.optim.AdamW

"""A base in 8 and 4 bits, for real on this CPU: LoRA and gates on it, one step, gradients like the full base's."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Phi3ForCausalLM

from so8t.build.model import quantisation
from so8t.build.model.attach import GatedModel, attach
from so8t.build.model.losses import shift, smoothed_cross_entropy
from so8t.build.model.quantisation import choose_quantization, has_bitsandbytes, quantization_config, supported
from so8t.build.train.optimizer import make_optimizer
from so8t.core.config import GateConfig, LoraConfig, TrainConfig
from so8t.core.errors import EnvironmentUnfit, PackageMissing

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needed = pytest.mark.skipif(not has_bitsandbytes(), reason="bitsandbytes is not installed")
KINDS: list[Any] = ["int8", "nf4"]
# Relative distance of all gradients together from the unquantised model's. The base is random with a deviation of
# 0.1, so 4 bits lose about a tenth of every weight: measured 0.026 and 0.39.
FROM_FULL = {"int8": 0.06, "nf4": 0.5}
# From a full-precision model that holds the very same rounded weights: measured 8.4e-7 and 0.
FROM_ROUNDED = 1e-5


@pytest.fixture(scope="module", params=["phi3", "llama"])
def folder(request: pytest.FixtureRequest, make_phi3: Callable[..., Phi3ForCausalLM], tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp(request.param)
    made: Any = make_phi3(intermediate_size=128) if request.param == "phi3" else llama()
    made.save_pretrained(path)
    return path


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, initializer_range=0.1,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def load(folder: Path, kind: Any = "none") -> Any:
    extra: dict[str, Any] = {}
    if kind != "none":
        extra = {"quantization_config": quantization_config(kind, torch.float32), "device_map": {"": "cpu"}}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True, **extra)


def rounded_weights(model: Any) -> dict[str, Tensor]:
    """Every quantised weight as the numbers it stands for: int8 W SCB / 127, nf4 by bitsandbytes' own reading."""
    package = quantisation.load_bitsandbytes()
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, package.nn.Linear8bitLt):
            scale = module.weight.SCB if module.weight.SCB is not None else module.state.SCB
            found[name] = module.weight.data.float() * scale[:, None] / 127
        elif isinstance(module, package.nn.Linear4bit):
            found[name] = package.functional.dequantize_4bit(module.weight.data, module.weight.quant_state).float()
    return found


def gated(model: Any) -> GatedModel:
    """LoRA and gates that both do something, the same for the same architecture."""
    model.requires_grad_(False)
    torch.manual_seed(1)
    made = attach(model, LoraConfig(rank=4, alpha=8, dropout=0.0), GateConfig())
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, p in sorted(made.parameters().items()):
            if "lora_B" in name or name == "rotations.skew":
                p.copy_(torch.randn(p.shape, generator=generator) * 0.1)
    return made


def gradients(model: GatedModel) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one batch, as the trainer makes them."""
    assert model.rotations is not None
    ids = torch.randint(1, 500, (2, 24), generator=torch.Generator().manual_seed(2))
    model.train()
    model.rotations.refresh()
    kept, labels = shift(model.hidden(ids), ids)
    loss = smoothed_cross_entropy(kept, labels, model.causal.lm_head, 0.1) / labels.numel()
    loss.backward()  # type: ignore[no-untyped-call]
    model.rotations.pull_gradients()
    return float(loss.detach()), {n: p.grad for n, p in model.parameters().items() if p.grad is not None}


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """|a - b| / |b| over all of them together."""
    assert a.keys() == b.keys()
    one, other = (torch.cat([g[n].flatten() for n in sorted(g)]) for g in (a, b))
    return float((one - other).norm() / other.norm())


@needed
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_on_a_quantised_base(folder: Path, kind: Any) -> None:
    model = load(folder, kind)
    rounded = rounded_weights(model)
    layers = {n.rsplit(".", 1)[-1] for n in rounded}
    assert len(rounded) == 2 * len(layers) and {"o_proj", "down_proj"} <= layers and "lm_head" not in layers
    same = load(folder)
    for name, weight in rounded.items():
        exact = same.get_submodule(name).weight.data
        assert 0 < float((exact - weight).norm() / exact.norm()) < {"int8": 0.01, "nf4": 0.12}[kind]
        exact.copy_(weight)

    made, beside, full = gated(model), gated(same), gated(load(folder))
    loss, found = gradients(made)
    assert found.keys() == made.parameters().keys()
    assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in found.values())
    rounded_loss, from_rounded = gradients(beside)
    full_loss, from_full = gradients(full)
    assert loss == pytest.approx(rounded_loss, rel=1e-5)
    assert loss == pytest.approx(full_loss, rel=0.02)
    assert distance(found, from_rounded) < FROM_ROUNDED
    assert FROM_ROUNDED < distance(found, from_full) < FROM_FULL[kind]

    frozen = {n: copy.deepcopy(p.data) for n, p in made.peft.named_parameters() if not p.requires_grad}
    before = {n: p.detach().clone() for n, p in made.parameters().items()}
    config = TrainConfig(learning_rate=1e-2, optimizer="paged_adamw_8bit")
    make_optimizer(made.parameters(), config, CPU).step()
    assert all(not torch.equal(before[n], p) for n, p in made.parameters().items())
    assert all(torch.equal(frozen[n], p) for n, p in made.peft.named_parameters() if n in frozen)
    assert gradients(made)[0] < loss  # and it was a step downhill


@needed
def test_settings() -> None:
    eight, four = quantization_config("int8", torch.bfloat16), quantization_config("nf4", torch.bfloat16)
    assert (eight.load_in_8bit, eight.llm_int8_threshold) == (True, 6.0)
    assert (four.load_in_4bit, four.bnb_4bit_quant_type, four.bnb_4bit_use_double_quant) == (True, "nf4", True)
    assert four.bnb_4bit_compute_dtype is torch.bfloat16


# -- where it is used -----------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def pretend(package: bool = True, capability: tuple[int, int] = (8, 6)) -> None:
        monkeypatch.setattr(quantisation, "has_bitsandbytes", lambda: package)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)

    return pretend


def test_supported(machine: Callable[..., None]) -> None:
    machine()
    assert [supported(k, d) for k in KINDS for d in (CPU, CUDA)] == [None] * 4
    assert supported("nf4", torch.device("mps")) == "device mps"
    assert supported("nf4", CPU, (3072, 8192)) is None and supported("nf4", CPU, (64, 96)) == "in_features 96 % 64"
    assert supported("int8", CPU, (96,)) is None and supported("nf4", CUDA, (96,)) is None
    machine(capability=(7, 0))
    assert supported("nf4", CUDA) is None and supported("int8", CUDA) == "compute capability 7.0 < 7.5"
    machine(package=False)
    assert "so8t[gpu]" in (supported("int8", CPU) or "")


def test_choice(machine: Callable[..., None]) -> None:
    config = TrainConfig(quantization="int8")
    machine()
    assert choose_quantization(config, CUDA).value == "int8"
    assert choose_quantization(config, CPU, on_cpu=True).value == "int8"
    on_cpu = choose_quantization(config, CPU)
    assert on_cpu.value == "none" and "fp32" in on_cpu.ja and "fp32" in on_cpu.en
    assert choose_quantization(dataclasses.replace(config, quantization="none"), CUDA).value == "none"
    machine(capability=(6, 1))
    with pytest.raises(EnvironmentUnfit, match=r"6\.1"):
        choose_quantization(config, CUDA)
    machine(package=False)
    assert choose_quantization(config, CPU).value == "none"
    with pytest.raises(PackageMissing, match="bitsandbytes"):
        choose_quantization(config, CUDA)


PROGRAM = """
import sys, types
fetched = []
kernels = types.ModuleType("kernels")
kernels.get_kernel = lambda *a, **k: fetched.append(a)
sys.modules["kernels"] = kernels
from so8t.build.model.quantisation import load_bitsandbytes
package = load_bitsandbytes()
assert package is load_bitsandbytes() and package.__name__ == "bitsandbytes"
assert sys.modules["kernels"] is kernels
print(len(fetched))
"""


@needed
@pytest.mark.slow
def test_no_kernel_is_fetched(environment: dict[str, str]) -> None:
    """bitsandbytes asks `kernels` for code from the hub when it is imported on some CPUs."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "0" and "kernels-community" not in done.stderr

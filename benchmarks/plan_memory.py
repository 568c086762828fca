"""Peak memory of real training runs on a CPU beside what `so8t plan` says of them.

    python3 benchmarks/plan_memory.py [--json] [--only "32k 2x256"] [--allocator default]

Every case trains a random Phi-3-shaped model (100 M parameters at a vocabulary of 32,000, 229 M at 200,064) in a
process of its own, by the real Trainer in fp32 on one thread: three optimizer steps of two micro-batches with LoRA,
gates, PET, SWA and a checkpoint after every step. Measured = the kernel's high-water mark (VmHWM, set back when the
model stands) less what was resident after the imports. glibc keeps what was freed and would be measured too, so the
child gives every block above 64 KiB back at once (MALLOC_MMAP_THRESHOLD_). --allocator default measures without that,
beside the plan's figure for it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.memory import GIVE_BACK

from so8t.build.plan.architecture import Architecture
from so8t.build.plan.memory import HEAP, memory
from so8t.core.config import CheckpointConfig, LoraConfig, SwaConfig, TrainConfig

STEPS, ACCUMULATION = 3, 2
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Case:
    vocabulary: int
    batch: int
    tokens: int
    recompute: bool
    dropout: float = 0.0

    @property
    def name(self) -> str:
        more = (" recomputed" if self.recompute else "") + (f" dropout {self.dropout}" if self.dropout else "")
        return f"{self.vocabulary // 1000}k {self.batch}x{self.tokens}{more}"

    @property
    def values(self) -> dict[str, Any]:
        """config.json of the model."""
        return {
            "model_type": "phi3", "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
            "num_attention_heads": 12, "num_key_value_heads": 4, "vocab_size": self.vocabulary,
            "tie_word_embeddings": True, "max_position_embeddings": 1024, "sliding_window": None, "pad_token_id": 0,
            "bos_token_id": 0, "eos_token_id": 0, "attention_dropout": self.dropout, "resid_pdrop": self.dropout,
        }  # fmt: skip

    @property
    def train(self) -> TrainConfig:
        return TrainConfig(
            epochs=1.0, batch_size=self.batch, accumulation=ACCUMULATION, maximum_tokens=self.tokens,
            dropout=self.dropout, gradient_checkpointing=self.recompute, lora=LoraConfig(),
            swa=SwaConfig(start=0.0), checkpoint=CheckpointConfig(seconds=0.0, keep=1),
        )  # fmt: skip


CASES = [
    Case(32_000, 2, 256, False), Case(32_000, 2, 256, True), Case(32_000, 2, 512, False),
    Case(32_000, 4, 256, False), Case(32_000, 4, 256, True), Case(32_000, 2, 512, True),
    Case(32_000, 2, 256, False, 0.1),
    Case(200_064, 2, 256, False), Case(200_064, 2, 256, True), Case(200_064, 2, 512, False),
    Case(200_064, 4, 256, True),
]  # fmt: skip


def resident(key: str) -> int:
    """Bytes: VmRSS = now, VmHWM = the most since the mark was set back."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status: {key}")


def train(case: Case) -> dict[str, int]:
    """In the child: {"baseline", "peak"} in bytes."""
    import io

    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    from so8t.build.model.attach import attach
    from so8t.build.model.recompute import recompute_layers
    from so8t.build.train.dataset import Encoded
    from so8t.build.train.trainer import Trainer
    from so8t.core.progress import Progress

    torch.set_num_threads(1)
    torch.manual_seed(0)
    baseline = resident("VmRSS")
    model = Phi3ForCausalLM(Phi3Config(**case.values))
    model.requires_grad_(False)
    if case.recompute:
        recompute_layers(model, "none")
    config = case.train
    gated = attach(model, config.lora, config.gate)
    ids = torch.randint(1, case.vocabulary, (STEPS * ACCUMULATION * case.batch, case.tokens)).tolist()
    rows = [Encoded(tuple(row), tuple(row), (1.0,) * case.tokens) for row in ids]
    with tempfile.TemporaryDirectory() as work:
        trainer = Trainer(gated, rows, rows[:1], config, 0, Path(work), Progress(stream=io.StringIO()))
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        trainer.run()
    return {"baseline": baseline, "peak": resident("VmHWM")}


def measured(case: Case, allocator: str) -> float:
    """Bytes above the baseline, from a process of its own."""
    environment = os.environ | (GIVE_BACK if allocator == "give-back" else {})
    command = [sys.executable, __file__, "--child", json.dumps(asdict(case))]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["peak"] - found["baseline"])


def compare(case: Case, allocator: str) -> dict[str, Any]:
    estimate = memory(Architecture.of(case.values), case.train, "cpu")
    moment = max(estimate.moments, key=lambda name: estimate.moments[name])
    found = measured(case, allocator)
    expected = estimate.peak * (HEAP if allocator == "default" else 1.0)
    return {
        "case": case.name, "parameters": Architecture.of(case.values).total, "moment": moment,
        "estimate_mib": round(expected / MIB), "measured_mib": round(found / MIB),
        "ratio": round(expected / found, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--allocator", choices=("give-back", "default"), default="give-back")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(train(Case(**json.loads(options.child)))))
        return
    rows = []
    for case in CASES:
        if case.name.startswith(options.only):
            rows.append(row := compare(case, options.allocator))
            if not options.json:
                print(
                    f"{row['case']:24} {row['parameters'] / 1e6:6.0f} M  estimate {row['estimate_mib']:6} MiB  "
                    f"measured {row['measured_mib']:6} MiB  ratio {row['ratio']:.3f}  ({row['moment']})", flush=True
                )  # fmt: skip
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

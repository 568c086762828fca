"""Which columns of a matrix matter: the mean square of what flows into them, over the project's own training text.

An importance matrix lets the quantiser spend its precision where the model's activations are large (llama.cpp's
imatrix). Measured on the train split alone: evaluation data must not shape what it judges.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import torch

from so8t.build.export.importance_file import COUNT, SUM
from so8t.build.export.stream import Kind, Stream, write_gguf
from so8t.build.export.tensor_layout import architecture_of
from so8t.build.model.tokenizer import chat_format
from so8t.build.train.dataset import encode
from so8t.build.train.samples import training_samples
from so8t.core.errors import GgufInvalid
from so8t.core.run import StageContext

ROW = 512  # tokens of one text that are looked at


class Squares:
    """Sums of squared inputs per column of every linear layer inside the blocks, under the GGUF's names."""

    def __init__(self, model: Any, architecture: str) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}
        self._model = model
        self._names = gguf.get_tensor_name_map(
            architecture_of(architecture, "importance"), model.config.num_hidden_layers
        )

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count whatever the model is run on inside the block."""
        hooks = []
        for key, module in self._model.named_modules():
            name = self._names.get_name(f"{key}.weight", try_suffixes=(".weight",))
            if isinstance(module, torch.nn.Linear) and name is not None and name.startswith("blk."):
                hooks.append(module.register_forward_pre_hook(self._hook(name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, name: str) -> Any:
        def count(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            rows = given[0].detach().flatten(0, -2).double()
            total = rows.square().sum(0).cpu()
            self.sums[name] = self.sums[name] + total if name in self.sums else total
            self.counts[name] = self.counts.get(name, 0) + len(rows)

        return count


@torch.no_grad()
def measure(model: Any, architecture: str, rows: Sequence[Sequence[int]], out: Path) -> dict[str, int]:
    """Run the model on token rows and write the importance file. Raises GgufInvalid if nothing could be measured."""
    squares = Squares(model, architecture)
    with squares.watching():
        for row in rows:
            model(torch.tensor([list(row)], device=model.device), use_cache=False)
    if not squares.sums:
        raise GgufInvalid(where=out, detail=f"importance: {len(rows)} rows, no linear layer of {architecture}")
    write_importance(out, squares.sums, squares.counts, max(map(len, rows)))
    return {"tokens": sum(map(len, rows)), "texts": len(rows), "tensors": len(squares.sums)}


def write_importance(path: Path, sums: Mapping[str, torch.Tensor], counts: Mapping[str, int], length: int) -> None:
    """`sums` of squared inputs per column over `counts` tokens; `length` = tokens of the longest row."""
    writer = gguf.GGUFWriter(None, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["so8t train"])
    writer.add_uint32("imatrix.chunk_count", max(1, max(counts.values(), default=0) // max(1, length)))
    writer.add_uint32("imatrix.chunk_size", length)
    streams = []
    for name, total in sums.items():
        for end, values in ((SUM, total.float()), (COUNT, torch.tensor([float(counts[name])]))):
            row = values.reshape(1, -1)
            streams.append(Stream(name + end, tuple(row.shape), Kind.F32, partial(iter, [row])))
    write_gguf(path, writer, streams)


def training_rows(ctx: StageContext, tokenizer: Any, model: Path, tokens: int) -> list[tuple[int, ...]]:
    """About `tokens` tokens of the train split, written as they were trained on, in an order that the seed fixes."""
    config = ctx.config.train
    samples, _ = training_samples(ctx.input("validate"), config)
    random.Random(config.seed).shuffle(samples)
    chat, rows, found = chat_format(model), [], 0
    for sample in samples:
        if found >= tokens:
            break
        ids = encode(sample, tokenizer, chat, ctx.config.prompt.style, ROW, config.label_weight).ids
        rows.append(ids[: tokens - found])
        found += len(rows[-1])
    return [row for row in rows if row]

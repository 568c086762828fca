"""Stochastic weight averaging of the trainable parameters (plan 2.2). Skew numbers are averaged, never rotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Running mean in fp32: theta += (now - theta) / n."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, Tensor] = {}

    def update(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.count += 1
        for name, parameter in parameters.items():
            now = parameter.detach().float()
            if self.count == 1:
                self.mean[name] = now.clone()
            else:
                self.mean[name].add_((now - self.mean[name]) / self.count)

    @contextmanager
    def applied(self, parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
        """The averaged weights in the model for the time of the block, then the old ones again."""
        kept = {name: p.detach().clone() for name, p in parameters.items()}
        copy_into(parameters, self.mean)
        try:
            yield
        finally:
            copy_into(parameters, kept)


@torch.no_grad()
def copy_into(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])

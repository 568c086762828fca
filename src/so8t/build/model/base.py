"""The tiny Phi-3-shaped model that is made here when the user brings none: briefly pre-trained on the run's text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

from so8t.build.model.losses import shift, smoothed_cross_entropy
from so8t.build.model.tokenizer import train_tokenizer
from so8t.build.train.dataset import Encoded, collate, order
from so8t.core.config import BaseConfig
from so8t.core.progress import Progress

WINDOW = 256  # tokens a row in pre-training


def tiny_config(base: BaseConfig, tokenizer: PreTrainedTokenizerFast) -> Phi3Config:
    """Phi-4-mini's shape in small: fused projections, grouped KV heads, partial rotary 0.75, tied embeddings."""
    end_of_turn: Any = tokenizer.convert_tokens_to_ids("<|end|>")
    return Phi3Config(
        vocab_size=base.vocab_size,
        hidden_size=base.hidden_size,
        intermediate_size=base.intermediate_size,
        num_hidden_layers=base.layers,
        num_attention_heads=base.heads,
        num_key_value_heads=base.kv_heads,
        max_position_embeddings=base.context,
        original_max_position_embeddings=base.context,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
        tie_word_embeddings=True,
        sliding_window=None,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, end_of_turn],
        pad_token_id=tokenizer.pad_token_id,
    )


def pretrain(
    texts: list[str], base: BaseConfig, seed: int, progress: Progress
) -> tuple[Phi3ForCausalLM, Any, dict[str, Any]]:
    """Tokenizer and model from nothing. Returns them with what happened (tokens, first and last loss)."""
    tokenizer = train_tokenizer(texts, base.vocab_size)
    torch.manual_seed(seed)
    model = Phi3ForCausalLM(tiny_config(base, tokenizer))
    stream = _stream(texts, tokenizer)
    rows = max(1, base.batch_tokens // WINDOW)
    optimizer = torch.optim.AdamW(model.parameters(), lr=base.learning_rate, weight_decay=0.01, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(seed)
    losses = []
    with progress.task("pre-training", base.steps, "step") as task:
        for step in range(base.steps):
            rate = base.learning_rate * min(1.0, (step + 1) / (0.1 * base.steps)) * _cosine(step, base.steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            starts = torch.randint(0, len(stream) - WINDOW - 1, (rows,), generator=generator)
            batch = torch.stack([stream[i : i + WINDOW + 1] for i in starts.tolist()])
            losses.append(_step(model, optimizer, batch))
            task.advance(loss=losses[-1])
    facts = {
        "tokens": len(stream),
        "characters": sum(map(len, texts)),
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }
    return model, tokenizer, facts


def instruct(
    model: Phi3ForCausalLM, data: Sequence[Encoded], base: BaseConfig, pad: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """Full-parameter training on the decisions of encoded requests: what makes the tiny base an instruct model."""
    model.train()
    per_epoch = math.ceil(len(data) / base.instruct_batch)
    steps = round(per_epoch * base.instruct_epochs)
    lengths = [len(e.ids) for e in data]
    optimizer = torch.optim.AdamW(model.parameters(), lr=base.instruct_rate, weight_decay=0.01, betas=(0.9, 0.95))
    losses: list[float] = []
    batches: list[list[int]] = []
    with progress.task("instruction", steps, "step") as task:
        for step in range(steps):
            if step % per_epoch == 0:
                batches = order(lengths, base.instruct_batch, seed, step // per_epoch)
            for group in optimizer.param_groups:
                group["lr"] = base.instruct_rate * min(1.0, (step + 1) / (0.1 * steps)) * _cosine(step, steps)
            batch = collate([data[i] for i in batches[step % per_epoch]], pad, torch.device("cpu"))
            hidden = model.model(batch.input_ids, attention_mask=(batch.segments > 0).long(), use_cache=False)
            kept, labels = shift(hidden.last_hidden_state, batch.labels)
            loss = smoothed_cross_entropy(kept, labels, model.lm_head, 0.0) / len(labels)
            losses.append(_update(model, optimizer, loss))
            task.advance(loss=losses[-1])
    return {"instruct_steps": steps, "instruct_last_loss": losses[-1] if losses else None}


def _stream(texts: list[str], tokenizer: Any) -> torch.Tensor:
    ids: list[int] = []
    for encoded in tokenizer(texts, add_special_tokens=False)["input_ids"]:
        ids += [*encoded, tokenizer.eos_token_id]
    while len(ids) < WINDOW + 2:  # a very small corpus is read round and round
        ids += ids
    return torch.tensor(ids)


def _cosine(step: int, steps: int) -> float:
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / steps))


def _step(model: Phi3ForCausalLM, optimizer: torch.optim.Optimizer, batch: torch.Tensor) -> float:
    hidden = model.model(input_ids=batch[:, :-1], use_cache=False).last_hidden_state
    target = batch[:, 1:].flatten()
    loss = smoothed_cross_entropy(hidden.flatten(0, 1), target, model.lm_head, 0.0) / len(target)
    return _update(model, optimizer, loss)


def _update(model: Phi3ForCausalLM, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())

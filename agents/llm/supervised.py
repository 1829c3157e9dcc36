"""Supervised training on turns: the loss of replies, each turn a sequence of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.llm.sampling import mixed, padded, positions
from reasongym.seeding import rng

Pair = tuple[Sequence[int], Sequence[int]]
"""(prompt, reply) in token ids."""
Weighed = tuple[Sequence[int], Sequence[int], float]
"""The same, with the weight of its loss."""


@dataclass(frozen=True)
class Fitting:
    """How a model is trained on turns.

    Attributes:
        epochs: over the turns; parts of one are allowed.
        seconds: at most; as `seconds_on` counts them.
        batch_size: turns in an update; the last one of a pass has what is left.
        learning_rate: the highest, after a linear warm-up; it falls to a tenth along a cosine.
        warmup: share of the updates.
        weight_decay: of matrices.
        prompt_loss: weight of the loss of predicting the prompts, which teaches a model from scratch to read.
        clip: of the gradient's norm.
        seed: of the order.

    Raises:
        ValueError: a value that is out of range.
    """

    epochs: float = 1.0
    seconds: float = math.inf
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.03
    weight_decay: float = 0.1
    prompt_loss: float = 0.0
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, got {self.batch_size!r}")
        for name in ("epochs", "seconds", "learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("warmup", "weight_decay", "prompt_loss"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}")


def fit(
    model: Any,
    pairs: Sequence[Pair],
    how: Fitting,
    pad: int,
    say: Callable[[str], None] | None = None,
    weights: Sequence[float] | None = None,
) -> list[tuple[int, float]]:
    """Trains a causal language model on turns; returns (turns seen, loss of replies) some twenty times.

    Args:
        model: of `transformers`.
        pairs: the turns.
        how: hyper-parameters.
        pad: any token id.
        say: is told of the progress.
        weights: of the turns' losses; None: all alike.

    Raises:
        ValueError: there are no turns.
        FloatingPointError: the loss is no finite number.
    """
    if not pairs:
        raise ValueError("there are no turns to train on")
    weighed = [(*pair, weight) for pair, weight in zip(pairs, weights or [1.0] * len(pairs), strict=True)]
    optimizer = adamw(model, how.learning_rate, how.weight_decay)
    updates = max(1, math.ceil(how.epochs * len(pairs) / how.batch_size))
    told, losses, turns, now = [], [], 0, seconds_on(model.device)
    started = now()
    model.train()
    try:
        for update, rows in zip(range(updates), _batches(weighed, how), strict=False):
            done = max(update / updates, (now() - started) / how.seconds)
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = how.learning_rate * min(1.0, (update + 1) / max(1, how.warmup * updates)) * cosine(done)
            loss, of_replies = losses_of(model, rows, pad, how.prompt_loss)
            if not math.isfinite(of_replies):
                raise FloatingPointError(f"the loss is {of_replies} after {update} updates: lower learning_rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), how.clip)
            optimizer.step()
            losses.append(of_replies)
            turns += len(rows)
            if (update + 1) % max(1, updates // 20) == 0 or update + 1 == updates:
                told.append((turns, sum(losses) / len(losses)))
                losses = []
                if say is not None:
                    say(f"{told[-1][0]:,} turns: loss {told[-1][1]:.4f}, {now() - started:.0f} s")
    finally:
        model.eval()
    return told


def seconds_on(device: torch.device) -> Callable[[], float]:
    """A clock: this process's CPU seconds, as agents are given them; where a GPU computes, seconds."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def adamw(model: Any, learning_rate: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW over what is trainable, with decay of matrices only."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=(0.9, 0.95))


def cosine(done: float, least: float = 0.1) -> float:
    """From 1 to `least` as `done` goes from 0 to 1."""
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def losses_of(model: Any, rows: Sequence[Weighed], pad: int, prompt_loss: float = 0.0) -> tuple[Tensor, float]:
    """The loss to minimise, and the mean loss of the replies' tokens."""
    ids, seen = padded([[*prompt, *reply] for prompt, reply, _ in rows], pad, model.device)
    lengths = torch.tensor([len(reply) for _, reply, _ in rows], device=ids.device)
    weight = torch.tensor([weight for _, _, weight in rows], device=ids.device)[:, None]
    behind = torch.arange(ids.shape[1], 0, -1, device=ids.device)  # 1 = the last token
    keep = ids.shape[1] if prompt_loss else int(lengths.max()) + 1
    with mixed(model):
        out = model(input_ids=ids, attention_mask=seen, position_ids=positions(seen), logits_to_keep=keep, use_cache=False)
    targets, behind, there = ids[:, -keep:][:, 1:], behind[-keep:][1:], seen[:, -keep:]
    nll = torch.nn.functional.cross_entropy(out.logits[:, :-1].float().transpose(1, 2), targets, reduction="none")
    of_reply = (behind <= lengths[:, None]).float()
    replies = (nll * of_reply * weight).sum() / (of_reply * weight).sum()
    if not prompt_loss:
        return replies, replies.item()
    of_prompt = (there[:, 1:] * there[:, :-1]).float() * (1 - of_reply)
    return replies + prompt_loss * (nll * of_prompt).sum() / of_prompt.sum().clamp(min=1), replies.item()


def _batches(pairs: Sequence[Weighed], how: Fitting) -> Iterator[list[Weighed]]:
    """Turns in random order, without end: sorted by length, a batch would be of one part of an episode only."""
    epoch = 0
    while True:
        order = rng(how.seed, 7, epoch).permutation(len(pairs))
        for start in range(0, len(order), how.batch_size):
            yield [pairs[i] for i in order[start : start + how.batch_size]]
        epoch += 1

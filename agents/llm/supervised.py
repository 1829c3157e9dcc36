"""Supervised training on turns: the loss of replies, each turn a sequence of its own."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents import checkpoint
from agents.llm.sampling import mixed, padded, positions
from agents.ranges import check_not_negative, check_positive, check_whole
from reasongym.seeding import rng

Pair = tuple[Sequence[int], Sequence[int]]
"""(prompt, reply) in token ids."""
Weight = float | Sequence[float]
"""Of the loss of a reply: of all its tokens, or of each."""
Weighed = tuple[Sequence[int], Sequence[int], Weight]
"""A pair with the weight of its loss."""


@dataclass(frozen=True)
class Fitting:
    """How a model is trained on turns.

    Attributes:
        epochs: over the turns; parts of one are allowed.
        seconds: at most; as `seconds_on` counts them.
        batch_size: turns (or groups of them) in an update; the last one of a pass has what is left.
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
        check_whole(self, 1, "batch_size")
        check_positive(self, "epochs", "learning_rate")
        check_positive(self, "seconds", "clip", finite=False)
        check_not_negative(self, "warmup", "weight_decay", "prompt_loss")


def fit(
    model: Any,
    pairs: Sequence[Pair],
    how: Fitting,
    pad: int,
    say: Callable[[str], None] | None = None,
    weights: Sequence[Weight] | None = None,
    keep: Path | None = None,
    groups: Sequence[Hashable] | None = None,
) -> list[tuple[int, float]]:
    """Trains a causal language model on turns; returns (turns seen, loss of replies) some twenty times.

    The turns of an update are computed in parts of like length, which takes a third of the time where lengths differ by as much
    as a full memory makes them.

    Args:
        model: of `transformers`.
        pairs: the turns.
        how: hyper-parameters.
        pad: any token id.
        say: is told of the progress.
        weights: of the turns' losses, or of each token of their replies (0 for what others say in between); None: all alike.
        keep: a file that it all is kept in some twenty times, and gone on from where it is there: to the same weights, unless
            `how.seconds` ends it.
        groups: a name a turn: turns of one name, such as those of one text, are learned from in the same update.

    Raises:
        ValueError: there are no turns, or more or fewer weights or groups than turns; a weight is negative or no number, or a
            reply has other than a weight a token.
        FloatingPointError: the loss is no finite number.
    """
    if not pairs:
        raise ValueError("there are no turns to train on")
    weighed = [(*pair, weight) for pair, weight in zip(pairs, weights or [1.0] * len(pairs), strict=True)]
    if not all(0 <= weight < math.inf for row in weighed for weight in of_tokens(row)):
        raise ValueError("weights must be finite and not negative: a turn of negative weight would be unlearned")
    grouped = _grouped(weighed, groups)
    optimizer = adamw(model, how.learning_rate, how.weight_decay)
    updates = max(1, math.ceil(how.epochs * len(grouped) / how.batch_size))
    state = _State() if keep is None or not keep.is_file() else _restored(keep, model, optimizer)
    now = seconds_on(model.device)
    started = now() - state.seconds
    model.train()
    try:
        for update, rows in islice(enumerate(_batches(grouped, how)), state.updates, updates):
            done = max(update / updates, (now() - started) / how.seconds)
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = how.learning_rate * min(1.0, (update + 1) / max(1, how.warmup * updates)) * cosine(done)
            optimizer.zero_grad(set_to_none=True)
            of_replies = 0.0
            for part in by_length(rows):
                loss, share = losses_of(model, part, pad, how.prompt_loss, rows)
                loss.backward()
                of_replies += share
            if not math.isfinite(of_replies):
                raise FloatingPointError(f"the loss is {of_replies} after {update} updates: lower learning_rate")
            torch.nn.utils.clip_grad_norm_(model.parameters(), how.clip)
            optimizer.step()
            state.losses.append(of_replies)
            state.turns += len(rows)
            if (update + 1) % max(1, updates // 20) == 0 or update + 1 == updates:
                state.told.append((state.turns, sum(state.losses) / len(state.losses)))
                state.losses, state.updates, state.seconds = [], update + 1, now() - started
                if keep is not None:
                    _kept(keep, state, model, optimizer)
                if say is not None:
                    say(f"{state.turns:,} turns: loss {state.told[-1][1]:.4f}, {state.seconds:.0f} s")
    finally:
        model.eval()
    return state.told


@dataclass
class _State:
    """How far training is: updates and turns, losses since it was told of last, what was told, seconds."""

    updates: int = 0
    turns: int = 0
    losses: list[float] = field(default_factory=list)
    told: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0


def _kept(keep: Path, state: _State, model: Any, optimizer: torch.optim.Optimizer) -> None:
    """Writes it all, in the place of what was there."""
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    part = keep.with_name(f"{keep.name}.part")
    torch.save({"state": asdict(state), "model": trained, "optimizer": optimizer.state_dict()}, part)
    os.replace(part, keep)


def _restored(keep: Path, model: Any, optimizer: torch.optim.Optimizer) -> _State:
    """Puts what `_kept` wrote into a model and its optimizer."""
    kept = checkpoint.read(keep, model.device)
    model.load_state_dict(kept["model"], strict=False)
    optimizer.load_state_dict(kept["optimizer"])
    return _State(**kept["state"])


def by_length(rows: Sequence[Weighed], ratio: float = 1.25, least: int = 8, most: int = 128) -> list[list[Weighed]]:
    """Turns in parts of at most `most` whose lengths differ by at most `ratio`, but in parts of fewer than `least`.

    Padding is computed, too, and all of a part is in memory at once.
    """
    parts: list[list[Weighed]] = []
    shortest = 0
    for row in sorted(rows, key=lambda row: len(row[0]) + len(row[1])):
        length = len(row[0]) + len(row[1])
        if not parts or len(parts[-1]) >= most or (length > ratio * shortest and len(parts[-1]) >= least):
            parts.append([])
            shortest = length
        parts[-1].append(row)
    return parts


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


def of_tokens(row: Weighed) -> Sequence[float]:
    """The weight of each token of a reply.

    Raises:
        ValueError: there are more or fewer weights than tokens.
    """
    _, reply, weight = row
    if isinstance(weight, (int, float)):
        return [weight] * len(reply)
    if len(weight) != len(reply):
        raise ValueError(f"a reply of {len(reply)} tokens needs as many weights, or one for all; got {len(weight)}")
    return weight


def losses_of(
    model: Any, rows: Sequence[Weighed], pad: int, prompt_loss: float = 0.0, of: Sequence[Weighed] | None = None
) -> tuple[Tensor, float]:
    """The loss to minimise, and the mean loss of the replies' tokens; of turns that are a part `of` others, their share."""
    whole = rows if of is None else of
    ids, seen = padded([[*prompt, *reply] for prompt, reply, _ in rows], pad, model.device)
    lengths = torch.tensor([len(reply) for _, reply, _ in rows], device=ids.device)
    weight = torch.zeros(ids.shape)
    for row, of_row in zip(rows, weight, strict=True):
        of_row[ids.shape[1] - len(row[1]) :] = torch.tensor(of_tokens(row))
    behind = torch.arange(ids.shape[1], 0, -1, device=ids.device)  # 1 = the last token
    keep = ids.shape[1] if prompt_loss else int(lengths.max()) + 1
    with mixed(model):
        out = model(input_ids=ids, attention_mask=seen, position_ids=positions(seen), logits_to_keep=keep, use_cache=False)
    targets, behind, there = ids[:, -keep:][:, 1:], behind[-keep:][1:], seen[:, -keep:]
    nll = torch.nn.functional.cross_entropy(out.logits[:, :-1].float().transpose(1, 2), targets, reduction="none")
    of_reply = (behind <= lengths[:, None]).float()
    replies = (nll * weight.to(ids.device)[:, -keep:][:, 1:]).sum() / sum(sum(of_tokens(row)) for row in whole)
    if not prompt_loss:
        return replies, replies.item()
    of_prompt = (there[:, 1:] * there[:, :-1]).float() * (1 - of_reply)
    return replies + prompt_loss * (nll * of_prompt).sum() / max(1, sum(len(row[0]) - 1 for row in whole)), replies.item()


def _grouped(rows: Sequence[Weighed], groups: Sequence[Hashable] | None) -> list[list[Weighed]]:
    """Turns by name, in the order in which the names come up; each by itself where there are none."""
    if groups is None:
        return [[row] for row in rows]
    if len(groups) != len(rows):
        raise ValueError(f"{len(rows)} turns need as many names of groups, got {len(groups)}")
    named: dict[Hashable, list[Weighed]] = {}
    for name, row in zip(groups, rows, strict=True):
        named.setdefault(name, []).append(row)
    return list(named.values())


def _batches(groups: Sequence[Sequence[Weighed]], how: Fitting) -> Iterator[list[Weighed]]:
    """Groups in random order, without end: sorted by length, a batch would be of one part of an episode only."""
    epoch = 0
    while True:
        order = rng(how.seed, 7, epoch).permutation(len(groups))
        for start in range(0, len(order), how.batch_size):
            yield [row for i in order[start : start + how.batch_size] for row in groups[i]]
        epoch += 1

"""Turns as tensors: what was said in them, how likely it was, and how likely it is now.

Axes: B turns, P tokens of the longest prompt (padded on the left), C of the longest reply (padded on the right), A of the
longest list of allowed tokens, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from agents.llm.sampling import Reply, hidden_states, mixed, padded, positions

TOGETHER = 32
"""Turns of like length that are computed together: a core has enough to do with so many."""


class Turns(NamedTuple):
    """B turns on one device.

    Attributes:
        ids: (B, P + C) prompts and replies.
        seen: (B, P + C) int64, 1 where there is a token.
        tokens: (B, C) the replies.
        free: (B, C) bool, where there was more than one token to choose from; never in padding.
        allowed: (B, C, A) token ids, -1 = none; None where all tokens were allowed.
        log_probs: (B, C) as they were drawn.
    """

    ids: Tensor
    seen: Tensor
    tokens: Tensor
    free: Tensor
    allowed: Tensor | None
    log_probs: Tensor

    def take(self, rows: Tensor) -> Turns:
        """Some of the turns, without columns that are padding in all of them."""
        seen, used = self.seen[rows], self.tokens.shape[1]
        first = int((seen.any(0)).nonzero()[0])
        last = used - int((seen[:, -used:].any(0)).nonzero()[-1]) - 1 if used else 0
        width = slice(first, seen.shape[1] - last)
        short = slice(0, used - last)
        return Turns(
            self.ids[rows, width],
            seen[:, width],
            self.tokens[rows, short],
            self.free[rows, short],
            None if self.allowed is None else self.allowed[rows, short],
            self.log_probs[rows, short],
        )


class Likelihood(NamedTuple):
    """What a model says of turns.

    Attributes:
        log_probs: (B, C) of the replies' tokens, after masks and temperature; 0 where there was no choice.
        entropy: (B, C) in nats; 0 where there was no choice.
        hidden: (B, H) states of the prompts' last tokens.
        after: (B, H) states of the replies' last tokens.
    """

    log_probs: Tensor
    entropy: Tensor
    hidden: Tensor
    after: Tensor


def gathered(prompts: Sequence[Sequence[int]], replies: Sequence[Reply], pad: int, device: Any) -> Turns:
    """Turns of prompts and replies; either all replies were constrained, or none."""
    longest = max(len(reply.tokens) for reply in replies)
    before, there = padded(prompts, pad, device)
    told = [len(reply.tokens) for reply in replies]
    tokens = _rows([reply.tokens for reply in replies], longest, pad, device)
    real = torch.arange(longest, device=device) < torch.tensor(told, device=device)[:, None]
    constrained = replies[0].allowed is not None
    allowed, free = None, real
    if constrained:
        lists = [reply.allowed or [] for reply in replies]
        most = max(len(choice) for choices in lists for choice in choices)
        none = [-1] * most
        allowed = torch.tensor(
            [[*([*c, *none[len(c) :]] for c in choices), *([none] * (longest - len(choices)))] for choices in lists]
        ).to(device)
        free = (allowed >= 0).sum(-1) > 1
    log_probs = _rows([reply.log_probs for reply in replies], longest, 0.0, device)
    return Turns(torch.cat([before, tokens], 1), torch.cat([there, real.long()], 1), tokens, free, allowed, log_probs)


def _rows(values: Sequence[Sequence[float]], length: int, fill: float, device: Any) -> Tensor:
    return torch.tensor([[*row, *([fill] * (length - len(row)))] for row in values]).to(device)


def likelihood(model: Any, turns: Turns, temperature: float = 1.0) -> Likelihood:
    """How likely a model finds the replies, under the masks that they were drawn under.

    On a CPU, turns of like length are computed together, so that little is computed for padding.
    """
    if turns.ids.device.type != "cpu":
        return _likelihood(model, turns, temperature)
    order = turns.seen.sum(1).argsort(stable=True)
    parts = [_likelihood(model, turns.take(rows), temperature) for rows in order.split(TOGETHER)]
    width, back = turns.tokens.shape[1], order.argsort()

    def wide(values: Tensor) -> Tensor:
        return functional.pad(values, (0, width - values.shape[1]))

    return Likelihood(
        torch.cat([wide(part.log_probs) for part in parts])[back],
        torch.cat([wide(part.entropy) for part in parts])[back],
        torch.cat([part.hidden for part in parts])[back],
        torch.cat([part.after for part in parts])[back],
    )


def _likelihood(model: Any, turns: Turns, temperature: float) -> Likelihood:
    length = turns.tokens.shape[1]
    with hidden_states(model) as hidden, mixed(model):
        out = model(
            input_ids=turns.ids,
            attention_mask=turns.seen,
            position_ids=positions(turns.seen),
            logits_to_keep=length + 1,
            use_cache=False,
        )
    logits = out.logits[:, :-1].float() / temperature
    if turns.allowed is None:
        chosen = turns.tokens
    else:
        there = turns.allowed >= 0
        logits = logits.gather(-1, turns.allowed.clamp(min=0)).masked_fill(~there, -1e9)
        chosen = (turns.allowed == turns.tokens[..., None]).long().argmax(-1)
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    of_tokens = log_probs.gather(-1, chosen[..., None])[..., 0]
    nothing = torch.zeros_like(entropy)
    rows, told = torch.arange(len(turns.tokens), device=turns.ids.device), turns.seen[:, turns.ids.shape[1] - length :].sum(1)
    return Likelihood(
        torch.where(turns.free, of_tokens, nothing),
        torch.where(turns.free, entropy, nothing),
        hidden[0][:, 0],
        hidden[0][rows, told],
    )


def per_turn(values: Tensor, free: Tensor) -> Tensor:
    """(B,) mean of (B, C) values over the tokens that were chosen; 0 where none was: no turn weighs more for being long."""
    return (values * free).sum(1) / free.sum(1).clamp(min=1)

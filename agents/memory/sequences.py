"""Sequences with episode starts inside, cut into pieces, and a loop over time that is as short as the longest episode.

A core whose step no fused kernel knows has to loop. Looping over the T steps of a sequence would do T small steps and clear
states within it; `unroll` cuts the sequence at its episode starts instead, sorts the pieces by length, and runs them side by
side: step l is one call on the rows of all pieces longer than l. With episodes of 15 steps in sequences of 64 that is a
quarter of the calls on four times the rows, without padding and without clearing anything.

Axes: T time, B batch, S pieces, L the longest of them, G width of an input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from agents.memory.base import State

StepFunction = Callable[[Tensor, State], tuple[Tensor, State]]
"""One step of n rows: (n, G) and a state of n rows -> (n, H) and the state after it."""


class Pieces(NamedTuple):
    """The S pieces of a sequence (T, B), the longest first; a piece never leaves its column.

    Attributes:
        begin, length, column: (S,) int64, the first step, how many, and of which column b.
        fresh: (S,) bool, whether the piece begins an episode (else it goes on from the incoming state).
    """

    begin: Tensor
    length: Tensor
    column: Tensor
    fresh: Tensor


def cut(reset: Tensor) -> Pieces:
    """Cut a sequence at its episode starts, (T, B) bool."""
    T, B = reset.shape
    first = reset.clone()
    first[0] = True
    start = first.t().reshape(-1).nonzero().squeeze(1)  # b * T + t
    end = torch.cat([start[1:], start.new_tensor([B * T])])
    length, order = torch.sort(end - start, descending=True)
    column, begin = start[order] // T, start[order] % T
    return Pieces(begin, length, column, reset[begin, column])


def cleared(state: State, initial: State, fresh: Tensor) -> State:
    """`state` with the rows that are `fresh` (n,) replaced by `initial` (n rows, or one for all)."""
    return tuple(torch.where(fresh.view(-1, *[1] * (s.dim() - 1)), i, s) for s, i in zip(state, initial, strict=True))


def unroll(
    step: StepFunction, inputs: Tensor, state: State, initial: State, reset: Tensor, final_state: bool = True
) -> tuple[Tensor, State]:
    """Run `step` over a sequence.

    Args:
        step: one step; it treats its rows independently.
        inputs: (T, B, G).
        state: before step 0, B rows.
        initial: of an episode that begins, one row.
        reset: (T, B) bool, where episodes begin.
        final_state: False saves keeping the states of pieces that ended; the returned state is then empty.

    Returns:
        (T, B, H) and the state after step T - 1.
    """
    T, B, _ = inputs.shape
    if T == 1:
        y, state = step(inputs[0], cleared(state, initial, reset[0]))
        return y[None], state
    pieces = cut(reset)
    steps = torch.arange(int(pieces.length[0]), device=inputs.device)[:, None]
    inside = steps < pieces.length
    frames = ((pieces.begin + steps) * B + pieces.column)[inside]  # every frame once, all first steps first
    rows = inputs.flatten(0, 1)[frames].split(inside.sum(1).tolist())
    state = cleared(tuple(s[pieces.column] for s in state), initial, pieces.fresh)
    outputs, ended = [], []
    for x in rows:
        if len(x) < len(state[0]):
            if final_state:
                ended.append(tuple(s[len(x) :] for s in state))
            state = tuple(s[: len(x)] for s in state)
        y, state = step(x, state)
        outputs.append(y)
    place = torch.empty_like(frames).scatter_(0, frames, torch.arange(T * B, device=frames.device))
    whole = torch.cat(outputs)[place].view(T, B, -1)
    if not final_state:
        return whole, ()
    after = tuple(torch.cat(parts) for parts in zip(*reversed([*ended, state]), strict=True))
    last = (pieces.begin + pieces.length == T).nonzero().squeeze(1)  # one piece of each column
    last = torch.empty_like(last).scatter_(0, pieces.column[last], last)
    return whole, tuple(s[last] for s in after)

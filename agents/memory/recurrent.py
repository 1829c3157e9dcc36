"""GRU and LSTM cores on whole sequences with episode starts inside, without a loop over time.

A sequence is cut at its episode starts. The pieces are sorted by length, padded together in groups whose lengths differ
by a factor of two at most, and each group is one call of PyTorch's fused kernel (measured, one CPU thread, LSTM-256, forward
and backward: 45 frames/ms; packed sequences 22; a loop over time 12). sb3-contrib's RecurrentPPO loops over time instead.

Axes: T time, B batch, D input, H hidden size, S pieces of one group, L their greatest length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from agents.memory.base import State
from agents.memory.sequences import cut

SHORT = 4
"""Pieces of at most so many steps share a group: another kernel call would cost more than their padding."""


class NoCore(nn.Module):
    """No memory: the features are the output."""

    recurrent = False

    def __init__(self, input_size: int, hidden_size: int = 0) -> None:
        super().__init__()
        self.output_size = input_size

    def initial_state(self, batch_size: int) -> State:
        return ()

    def forward(self, x: Tensor, state: State, reset: Tensor, final_state: bool = True) -> tuple[Tensor, State]:
        return x, ()


class Group(NamedTuple):
    """Pieces of similar length, padded: where each step of each piece stands in the flat sequence.

    Attributes:
        frames: (L, S) index into the T * B frames (t * B + b); padding repeats some frame of the same column.
        inside: (L, S) bool, False on padding.
        column: (S,) the column b of each piece.
        fresh: (S,) bool, whether the piece begins an episode (else it goes on from the incoming state).
    """

    frames: Tensor
    inside: Tensor
    column: Tensor
    fresh: Tensor


def pieces(reset: Tensor) -> Iterator[Group]:
    """Cut a sequence (T, B) at its episode starts and group the pieces by length, the longest first."""
    T, B = reset.shape
    begin, length, column, fresh = cut(reset)
    sizes = length.tolist()
    lo = 0
    while lo < len(sizes):
        longest = sizes[lo]
        hi = len(sizes) if longest <= SHORT else lo + sum(size > longest // 2 for size in sizes[lo:])
        step = torch.arange(longest, device=reset.device)[:, None]
        time = (begin[lo:hi] + step).clamp(max=T - 1)
        yield Group(time * B + column[lo:hi], step < length[lo:hi], column[lo:hi], fresh[lo:hi])
        lo = hi


class FusedCore(nn.Module):
    """`nn.GRU` or `nn.LSTM` behind the protocol `Core`, orthogonal recurrent weights, zero biases.

    Args:
        kind: `nn.GRU` or `nn.LSTM`.
        input_size: D.
        hidden_size: H.
    """

    recurrent = True

    def __init__(self, kind: type[nn.GRU] | type[nn.LSTM], input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.rnn = kind(input_size, hidden_size)
        self.output_size = hidden_size
        self.num_tensors = 2 if kind is nn.LSTM else 1
        for name, parameter in self.rnn.named_parameters():
            if "weight" in name:
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def initial_state(self, batch_size: int) -> State:
        """Zeros (B, H), once for a GRU (h) and twice for an LSTM (h, c)."""
        weight = self.rnn.weight_hh_l0
        assert isinstance(weight, Tensor)
        return tuple(weight.new_zeros(batch_size, self.output_size) for _ in range(self.num_tensors))

    def forward(self, x: Tensor, state: State, reset: Tensor, final_state: bool = True) -> tuple[Tensor, State]:
        """x (T, B, D), reset (T, B) -> y (T, B, H) and the state after the last step."""
        T, B, _ = x.shape
        if T == 1:
            return self._run(x, tuple(s * ~reset[0, :, None] for s in state))
        flat = x.reshape(T * B, -1)
        outputs, source, offset = [], torch.empty(T * B, dtype=torch.long, device=x.device), 0
        last: State = ()
        for group in pieces(reset):
            before = tuple(s[group.column] * ~group.fresh[:, None] for s in state)
            y, _ = self._run(flat[group.frames], before)
            outputs.append(y.flatten(0, 1))
            rows = offset + torch.arange(y.shape[0] * y.shape[1], device=x.device).view_as(group.frames)
            source[group.frames[group.inside]] = rows[group.inside]
            offset += rows.numel()
        y = torch.cat(outputs)[source].view(T, B, -1)
        if final_state:
            last = self._last_state(x, state, reset)
        return y, last

    def _run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One fused call: x (L, S, D), state of S rows."""
        hidden = tuple(s[None].contiguous() for s in state)
        y, after = self.rnn(x, hidden if self.num_tensors == 2 else hidden[0])
        after = after if self.num_tensors == 2 else (after,)
        return y, tuple(s[0] for s in after)

    def _last_state(self, x: Tensor, state: State, reset: Tensor) -> State:
        """The state after the last step: padding would run over it, so the last pieces are packed, exactly."""
        T = x.shape[0]
        steps = torch.arange(T, device=x.device)[:, None]
        begin = torch.where(reset, steps, 0).amax(0)  # (B,) where each column's last piece begins
        fresh = reset.any(0)
        frames = (begin + steps).clamp(max=T - 1)
        tail = torch.gather(x, 0, frames[:, :, None].expand_as(x))
        packed = pack_padded_sequence(tail, (T - begin).cpu(), enforce_sorted=False)
        hidden = tuple((s * ~fresh[:, None])[None].contiguous() for s in state)
        _, after = self.rnn(packed, hidden if self.num_tensors == 2 else hidden[0])
        after = after if self.num_tensors == 2 else (after,)
        return tuple(s[0] for s in after)


class GRUCore(FusedCore):
    """Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078)."""

    def __init__(self, input_size: int, hidden_size: int = 128) -> None:
        super().__init__(nn.GRU, input_size, hidden_size)


class LSTMCore(FusedCore):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); the faster of the two on a CPU (oneDNN has a kernel)."""

    def __init__(self, input_size: int, hidden_size: int = 128) -> None:
        super().__init__(nn.LSTM, input_size, hidden_size)

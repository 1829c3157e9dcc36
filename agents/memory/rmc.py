"""Relational memory core (Santoro et al. 2018, "Relational recurrent neural networks", arXiv 1806.01822).

A few slots attend to one another and to the input at every step, and gates decide how much of what comes of it is kept. The
equations are the paper's, with three things of the authors' released code: no output gate, the output is the memory, and the
forget gate's bias begins at 1. Its normalisation of queries, keys and values, which the paper does not have, is left out. The
slots begin as rows of the identity matrix, so that they differ. What an input alone decides is computed for a whole sequence
before the loop.

Axes: T time, B batch, D input, H output, K slots, E heads, S slot size, I = S / E size of a head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.memory.base import State
from agents.memory.sequences import unroll


class RMCCore(nn.Module):
    """Relational memory core behind the protocol `Core`.

    Args:
        input_size: D.
        hidden_size: H of the output.
        num_slots, num_heads, head_size: K, E, I; a slot has E * I numbers.
        compile: compile the step with `torch.compile`.

    Raises:
        ValueError: a size below 1.
    """

    recurrent = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 128,
        *,
        num_slots: int = 4,
        num_heads: int = 4,
        head_size: int = 16,
        compile: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("num_slots", num_slots), ("num_heads", num_heads), ("head_size", head_size)):
            if value < 1:
                raise ValueError(f"{name} of a relational memory core must be at least 1, got {value!r}")
        size = num_heads * head_size
        self.num_slots, self.num_heads, self.size, self.output_size = num_slots, num_heads, size, hidden_size
        self.inlet = nn.Linear(input_size, size)
        self.attention = nn.Linear(size, 3 * size)  # W^q, W^k, W^v
        self.mlp = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))  # g_ψ
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.input_gates = nn.Linear(size, 2 * size)  # W^i, W^f and biases
        self.memory_gates = nn.Linear(size, 2 * size, bias=False)  # U^i, U^f
        with torch.no_grad():
            self.input_gates.bias.copy_(torch.arange(2).repeat_interleave(size))  # input 0, forget 1
        self.outlet = nn.Linear(num_slots * size, hidden_size)
        self._step: Any = torch.compile(self.step, dynamic=True) if compile else self.step

    def initial_state(self, batch_size: int) -> State:
        """M: rows of the identity matrix, (B, K, S)."""
        weight = self.inlet.weight
        identity = torch.eye(self.num_slots, self.size, dtype=weight.dtype, device=weight.device)
        return (identity.repeat(batch_size, 1, 1),)

    def forward(self, x: Tensor, state: State, reset: Tensor, final_state: bool = True) -> tuple[Tensor, State]:
        """x (T, B, D), reset (T, B) -> y (T, B, H) and the state after the last step."""
        x = self.inlet(x)
        weight, bias = self.attention.weight[self.size :], self.attention.bias[self.size :]
        inputs = torch.cat([F.linear(x, weight, bias), self.input_gates(x)], 2)
        y, state = unroll(self._step, inputs, state, self.initial_state(1), reset, final_state)
        return self.outlet(y), state

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of n rows: the input's key, value and gates (n, 4S) -> the memory, as a row (n, K * S) and as the state."""
        (memory,) = state
        key_value, gates = x[:, None].chunk(2, 2)
        attended = self.norms[0](memory + self.attend(memory, key_value))
        candidate = self.norms[1](attended + self.mlp(attended))
        input_gate, forget_gate = (gates + self.memory_gates(memory.tanh())).sigmoid().chunk(2, 2)  # σ(W x + U tanh M + b)
        memory = input_gate * candidate.tanh() + forget_gate * memory  # σ(f) ∘ M + σ(i) ∘ tanh(M̃)
        return memory.flatten(1), (memory,)

    def attend(self, memory: Tensor, key_value: Tensor) -> Tensor:
        """Every head's softmax(M W^q ([M; x] W^k)^T / √I) [M; x] W^v, side by side: (n, K, S)."""
        query, rest = self.attention(memory).split([self.size, 2 * self.size], 2)
        key, value = torch.cat([rest, key_value], 1).chunk(2, 2)
        query, key, value = (a.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for a in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)

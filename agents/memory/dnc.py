"""DNC: an LSTM controller with an external memory (Graves et al. 2016, "Hybrid computing using a neural network with dynamic
external memory", Nature 538, 471-476).

The equations are those of the paper's Methods, its symbols stand beside them. What differs: usage is kept above a small
`EPSILON`, as in the authors' released code, so that the allocation has a gradient where memory is free; the sizes are small
(the paper's: 256 words of 64, 4 read heads, LSTM-256), because the link matrix costs N * N numbers an environment; and the
allocation is computed from all pairs of words instead of a sort, which is the same sum without moving anything.

Axes: T time, B batch, D input, H hidden size of the controller, N words of memory, W word size, R read heads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.memory.base import State
from agents.memory.sequences import unroll

EPSILON = 1e-6
"""Least usage of a word, and what keeps the norm of an empty word from having a gradient of NaN."""


class Interface(NamedTuple):
    """What the controller emits, the interface vector ξ_t, in parts."""

    read_keys: Tensor  # k^r (B, R, W)
    read_strengths: Tensor  # β^r (B, R) in [1, inf)
    write_key: Tensor  # k^w (B, 1, W)
    write_strength: Tensor  # β^w (B, 1) in [1, inf)
    erase: Tensor  # e (B, W) in [0, 1]
    write: Tensor  # v (B, W)
    free_gates: Tensor  # f (B, R) in [0, 1]
    allocation_gate: Tensor  # g^a (B, 1) in [0, 1]
    write_gate: Tensor  # g^w (B, 1) in [0, 1]
    read_modes: Tensor  # π (B, R, 3) backward, content, forward; sums to 1


class Access(NamedTuple):
    """The state of the memory between two steps; all zeros when an episode begins."""

    memory: Tensor  # M (B, N, W)
    usage: Tensor  # u (B, N) in [0, 1]
    link: Tensor  # L (B, N, N): L[i, j] says how far i was written right after j; rows and columns sum to at most 1
    precedence: Tensor  # p (B, N): how far i was the last written to; sums to at most 1
    read_weights: Tensor  # w^r (B, R, N); each sums to at most 1
    write_weights: Tensor  # w^w (B, N); sums to at most 1


def content_weights(memory: Tensor, keys: Tensor, strengths: Tensor) -> Tensor:
    """C(M, k, β): softmax over words of β times the cosine of word and key. (B, N, W), (B, Q, W), (B, Q) -> (B, Q, N)."""
    norms = (memory.square().sum(2) + EPSILON).sqrt()[:, None] * (keys.square().sum(2) + EPSILON).sqrt()[:, :, None]
    cosine = torch.bmm(keys, memory.transpose(1, 2)) / norms
    return (cosine * strengths[:, :, None]).softmax(2)


def allocation_weights(usage: Tensor) -> Tensor:
    """a[i] = (1 - u[i]) times the product of u[j] over the words that are freer: (B, N) -> (B, N).

    With φ the words by usage, the free first: a[φ[j]] = (1 - u[φ[j]]) ∏_{i<j} u[φ[i]]. Of two equals the first is freer.
    """
    usage = EPSILON + (1 - EPSILON) * usage
    mine, other = usage.detach()[:, :, None], usage.detach()[:, None]
    earlier = torch.ones(usage.shape[1], usage.shape[1], dtype=torch.bool, device=usage.device).tril(-1)  # j < i
    freer = (other < mine) | ((other == mine) & earlier)
    return (1 - usage) * torch.bmm(freer.to(usage.dtype), usage.log()[:, :, None]).squeeze(2).exp()


def write_weighting(memory: Tensor, usage: Tensor, interface: Interface) -> Tensor:
    """w^w = g^w [g^a a + (1 - g^a) c^w], (B, N): the words to write to, freed ones or those with the key's content."""
    content = content_weights(memory, interface.write_key, interface.write_strength).squeeze(1)  # c^w
    return interface.write_gate * torch.lerp(content, allocation_weights(usage), interface.allocation_gate)


def link_step(link: Tensor, precedence: Tensor, write_weights: Tensor) -> tuple[Tensor, Tensor]:
    """L_t and p_t from L_{t-1}, p_{t-1} and w^w_t: the order in which words were written."""
    i, j = write_weights[:, :, None], write_weights[:, None]
    link = (1 - i - j) * link + i * precedence[:, None]  # L[i, j] = (1 - w[i] - w[j]) L[i, j] + w[i] p[j]
    link = link * (1 - torch.eye(link.shape[1], dtype=link.dtype, device=link.device))  # L[i, i] = 0
    return link, (1 - write_weights.sum(1, keepdim=True)) * precedence + write_weights


def access(state: Access, interface: Interface) -> tuple[Tensor, Access]:
    """One step of the memory: free, write, link, read.

    Returns:
        the read vectors r (B, R, W), and the state.
    """
    memory, usage, link, precedence, before, written = state
    retention = (1 - interface.free_gates[:, :, None] * before).prod(1)  # ψ = ∏_i (1 - f_i w^r_i), (B, N)
    usage = (usage + written - usage * written) * retention
    weights = write_weighting(memory, usage, interface)
    memory = memory * (1 - weights[:, :, None] * interface.erase[:, None])  # M = M ∘ (E - w^w e^T) + w^w v^T
    memory = torch.baddbmm(memory, weights[:, :, None], interface.write[:, None])
    link, precedence = link_step(link, precedence, weights)
    forward, backward = torch.bmm(before, link.transpose(1, 2)), torch.bmm(before, link)  # f = L w^r, b = L^T w^r
    content = content_weights(memory, interface.read_keys, interface.read_strengths)  # c^r
    modes = interface.read_modes[:, :, :, None]
    read_weights = modes[:, :, 0] * backward + modes[:, :, 1] * content + modes[:, :, 2] * forward  # w^r
    return torch.bmm(read_weights, memory), Access(memory, usage, link, precedence, read_weights, weights)  # r = M^T w^r


class DNCCore(nn.Module):
    """Differentiable neural computer behind the protocol `Core`.

    Args:
        input_size: D.
        hidden_size: H, of the controller and of the output.
        memory_size, word_size, num_reads: N, W, R.
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
        memory_size: int = 16,
        word_size: int = 32,
        num_reads: int = 4,
        compile: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("memory_size", memory_size), ("word_size", word_size), ("num_reads", num_reads)):
            if value < 1:
                raise ValueError(f"{name} of a DNC must be at least 1, got {value!r}")
        self.memory_size, self.word_size, self.num_reads = memory_size, word_size, num_reads
        self.output_size = hidden_size
        reads = num_reads * word_size
        self.inlet = nn.Linear(input_size, 4 * hidden_size)
        self.hidden = nn.Linear(hidden_size + reads, 4 * hidden_size, bias=False)
        self.interface = nn.Linear(hidden_size, reads + 3 * word_size + 5 * num_reads + 3)  # W_ξ
        self.outlet = nn.Linear(hidden_size + reads, hidden_size)  # W_y and W_r side by side
        for layer in (self.inlet, self.hidden):
            nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(self.inlet.bias)
        self._step: Any = torch.compile(self.step, dynamic=True) if compile else self.step

    def initial_state(self, batch_size: int) -> State:
        """Zeros: the controller's h and c, the read vectors (B, R, W), and the six tensors of `Access`."""
        N, W, R, H = self.memory_size, self.word_size, self.num_reads, self.output_size
        shapes = [(H,), (H,), (R, W), (N, W), (N,), (N, N), (N,), (R, N), (N,)]
        return tuple(self.inlet.weight.new_zeros(batch_size, *shape) for shape in shapes)

    def forward(self, x: Tensor, state: State, reset: Tensor, final_state: bool = True) -> tuple[Tensor, State]:
        """x (T, B, D), reset (T, B) -> y (T, B, H) and the state after the last step."""
        y, state = unroll(self._step, self.inlet(x), state, self.initial_state(1), reset, final_state)
        return self.outlet(y), state

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of n rows: x (n, 4H) goes into the controller's gates -> (n, H + R * W) h and reads, and the state."""
        h, c, reads = state[:3]
        i, f, g, o = (x + self.hidden(torch.cat([h, reads.flatten(1)], 1))).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        reads, after = access(Access(*state[3:]), self.parts(self.interface(h)))
        return torch.cat([h, reads.flatten(1)], 1), (h, c, reads, *after)

    def parts(self, vector: Tensor) -> Interface:
        """The interface vector ξ (B, R*W + 3W + 5R + 3) in parts, each in its range."""
        R, W = self.num_reads, self.word_size
        keys, write_key, write, erase, strengths, gates, modes = vector.split([R * W, W, W, W, R + 1, R + 2, 3 * R], 1)
        strengths, gates = 1 + F.softplus(strengths), gates.sigmoid()  # oneplus, σ
        return Interface(
            read_keys=keys.unflatten(1, (R, W)),
            read_strengths=strengths[:, :R],
            write_key=write_key[:, None],
            write_strength=strengths[:, R:],
            erase=erase.sigmoid(),
            write=write,
            free_gates=gates[:, :R],
            allocation_gate=gates[:, R : R + 1],
            write_gate=gates[:, R + 1 :],
            read_modes=modes.unflatten(1, (R, 3)).softmax(2),
        )

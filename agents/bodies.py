"""What lies between the memory core and the heads: a plain network, or hops of attention over slots and chain.

Axes: F frames, I items, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.distributions import ILLEGAL
from agents.frames import Features

SUM_SCALE = 0.3
"""What the sum over the items is multiplied by, so that some ten of them are about as long as one."""


def linear(input_size: int, output_size: int, gain: float = 2**0.5) -> nn.Linear:
    """A linear layer with orthogonal weights and zero biases."""
    layer = nn.Linear(input_size, output_size)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class MlpBody(nn.Module):
    """A plain network over the core's output; items are not looked at."""

    def __init__(self, input_size: int, net_arch: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in net_arch:
            layers += [linear(input_size, size), nn.Tanh()]
            input_size = size
        self.layers = nn.Sequential(*layers)
        self.output_size = input_size

    def forward(self, vector: Tensor, features: Features) -> Tensor:
        return self.layers(vector)


class ReaderBody(nn.Module):
    """Hops of attention over slots and chain: each asks with what is known so far and adds what it read.

    The sum of the items is known from the start: attention reads one thing well, but what is missing, or held twice, shows in
    the sum, and the value of a memory is mostly that.

    Args:
        input_size: width of the vector that asks (context and core).
        item_size: D of the items.
        size: width of the result.
        num_hops, num_heads: attention.
    """

    def __init__(self, input_size: int, item_size: int, size: int, num_hops: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.item_size = num_heads, item_size
        self.inlet = linear(input_size + item_size, size)
        self.queries = nn.ModuleList(linear(size, num_heads * item_size, gain=1.0) for _ in range(num_hops))
        self.readers = nn.ModuleList(linear(size + num_heads * item_size, size) for _ in range(num_hops))
        self.output_size = size

    def forward(self, vector: Tensor, features: Features) -> Tensor:
        """(F, input_size) and items (F, I, D) -> (F, size)."""
        assert features.items is not None
        assert features.present is not None
        items, n = features.items, len(vector)
        absent = torch.where(features.present, 0.0, ILLEGAL)[:, None]
        some = features.present.any(1)[:, None]  # nothing held: read zeros
        pooled = torch.bmm(features.present[:, None].to(items.dtype), items).squeeze(1) * SUM_SCALE
        h = F.relu(self.inlet(torch.cat([vector, pooled], 1)))
        for query, reader in zip(self.queries, self.readers, strict=True):
            q = query(h).view(n, self.num_heads, self.item_size)
            weights = (torch.bmm(q, items.transpose(1, 2)) * self.item_size**-0.5 + absent).softmax(2)
            found = torch.bmm(weights, items).flatten(1) * some
            h = h + F.relu(reader(torch.cat([h, found], 1)))
        return h

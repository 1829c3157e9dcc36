"""Memory-augmented networks without reinforcement learning, trained on answers alone; one file each.

A new one: a file here with a class `Network(vocabulary_size, num_choices, **options)` (see `base.AnswerNetwork`), and a line in
`NETWORKS`. A new core of `agents.memory.CORES` needs none.
"""

from __future__ import annotations

from typing import Any

from agents.baselines.supervised_memory.base import AnswerNetwork, Fitted, Read, Training, fit
from agents.baselines.supervised_memory.entnet import EntNet
from agents.baselines.supervised_memory.memn2n import MemN2N
from agents.baselines.supervised_memory.recurrent import Recurrent, recurrent_cores
from agents.baselines.supervised_memory.transformer import Transformer
from reasongym.errors import unknown

NETWORKS: dict[str, Any] = {"memn2n": MemN2N, "entnet": EntNet, "transformer": Transformer}
"""Name -> class; beside them, every core that remembers is one by its own name."""

__all__ = ["NETWORKS", "AnswerNetwork", "Fitted", "Read", "Training", "fit", "make_network", "network_class"]


def network_class(name: str) -> Any:
    """The class of a network by name.

    Raises:
        UnknownNameError: no such network or core.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    if name in recurrent_cores():
        return Recurrent
    raise unknown("network", name, [*NETWORKS, *recurrent_cores()])


def make_network(name: str, vocabulary_size: int, num_choices: int, sentence_tokens: int, **options: Any) -> Any:
    """A fresh network by name; `options` are its class's."""
    kind = network_class(name)
    if kind is Recurrent:
        options = {"core": name, "sentence_tokens": sentence_tokens, **options}
    return kind(vocabulary_size, num_choices, **options)

"""What a step is judged in: the prompt, the μ steps before it, and the step; never a later one.

Axes: T steps of a record, n contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from reasongym.prm.base import StepBatch
from reasongym.prm.records import StepRecord
from reasongym.prm.rendering import link_text, links_before, prompt_text, step_text


class Context(NamedTuple):
    """One step with what may be read beside it."""

    prompt: str
    earlier: tuple[str, ...]
    step: str


@runtime_checkable
class CriterionScorer(Protocol):
    """Scores a step on a criterion in words.

    Attributes:
        version: part of every cache key and result.
    """

    version: str

    def score(self, contexts: Sequence[Context], criteria: Sequence[str]) -> np.ndarray:
        """(n,) in [-1, 1], NaN = unscored: how far context i meets criterion i."""
        ...


class Complete(Protocol):
    """A language model: one prompt to one completion. A client with a method `complete` gives it bound."""

    def __call__(self, prompt: str) -> str: ...


def contexts_of(record: StepRecord, mu: int) -> list[Context]:
    """The T contexts of a record, with up to `mu` earlier steps each."""
    return [Context(record.prompt, record.steps[max(0, t - mu) : t], step) for t, step in enumerate(record.steps)]


def contexts_of_batch(steps: StepBatch, mu: int) -> list[Context]:
    """The contexts of a batch, worded as in step records, with the last `mu` links of the chain as the steps before.

    A record's earlier steps are whatever was done before; a batch holds of those what was recalled, so the two agree where a
    step follows recalls.
    """
    out = []
    for i in range(len(steps)):
        links = links_before(steps, i)
        earlier = tuple(link_text(steps, i, h) for h in range(max(0, links - mu), links))
        out.append(Context(prompt_text(steps, i), earlier, step_text(steps, i)))
    return out

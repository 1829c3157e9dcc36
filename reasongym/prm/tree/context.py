"""What a step is judged in: the prompt, the μ steps before it, and the step; never a later one.

Axes: T steps of a record, n contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from reasongym.errors import PRMError
from reasongym.prm.base import StepBatch
from reasongym.prm.learned.prefixes import Log, storable
from reasongym.prm.records import StepRecord
from reasongym.prm.rendering import UNASKED, prompt_text, step_text


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

    @property
    def version(self) -> str: ...

    def score(self, contexts: Sequence[Context], criteria: Sequence[str]) -> np.ndarray:
        """(n,) in [-1, 1], NaN = unscored: how far context i meets criterion i."""
        ...


class Complete(Protocol):
    """A language model: one prompt to one completion, as `LanguageModel.complete` (with store, ledger and bound on cost) is."""

    def __call__(self, prompt: str) -> str: ...


def contexts_of(record: StepRecord, mu: int) -> list[Context]:
    """The T contexts of a record, with up to `mu` earlier steps each."""
    return [Context(record.prompt, record.steps[max(0, t - mu) : t], step) for t, step in enumerate(record.steps)]


def contexts_of_batch(steps: StepBatch, mu: int) -> list[Context]:
    """The contexts of a batch, those that the episodes' records will have, and these steps noted for the next call.

    Args:
        steps: with a carry of 1 + c numbers a row: whether the question has been seen, and a `Log` of the episode's prompt and
            its last `mu` steps.
        mu: how many steps before are read; the same in every call of an episode.

    Raises:
        PRMError: no carry, or one too small for prompt and steps.
    """
    if steps.carry is None or steps.carry.shape[1] < 2:
        raise PRMError(
            "the steps before a step are kept in StepBatch.carry, and this batch has none; pass carry=np.zeros((n, "
            "carry_size)) at the first step and the same array at the following ones"
        )
    out = []
    for i, row in enumerate(steps.carry):
        log = Log(row[1:])
        prompt, *earlier = log.texts or [storable(prompt_text(steps, i))]
        text = step_text(steps, i, asked=bool(row[0]) or prompt != UNASKED)
        out.append(Context(prompt, tuple(earlier), text))
        row[0] = row[0] or steps.question[i] >= 0
        row[1:] = 0
        for kept in (prompt, *((*earlier, storable(text))[-mu:] if mu else ())):
            log.add(kept)
    return out

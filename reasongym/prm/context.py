"""What a step is judged in: the prompt, the μ steps before it, and the step; never a later one.

Axes: T steps of a record, n contexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from reasongym.prm.base import ACTION_NAMES, ANSWER, NEXT, RECALL, StepBatch
from reasongym.prm.records import StepRecord


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
        needs_annotation: always False; there so that nobody has to guess.
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
    """The contexts of a batch: the question and what memory holds as prompt, the last `mu` links of the chain as earlier steps."""
    out = []
    for i in range(len(steps)):
        kind, illegal = int(steps.kind[i]), bool(steps.illegal[i])
        links = int(steps.chain_length[i]) - int(kind == RECALL and not illegal)
        question = steps.questions[steps.question[i]] if steps.question[i] >= 0 else "(not yet asked)"
        held = [steps.unit_text(slot) for slot in steps.memory_before[i] if slot[0] >= 0]
        earlier = tuple(f"recall: {steps.unit_text(steps.chain[i, h])}" for h in range(max(0, links - mu), links))
        out.append(Context("\n".join([*held, question]), earlier, _step_text(steps, i, kind, illegal)))
    return out


def _step_text(steps: StepBatch, i: int, kind: int, illegal: bool) -> str:
    name = ACTION_NAMES[kind]
    if illegal:
        return f"{name} (illegal)"
    if kind == ANSWER:
        return f"answer: {steps.answer_text(i)}"
    if kind == RECALL:
        return f"recall: {steps.unit_text(steps.memory_before[i, steps.slot[i]])}"
    desk = steps.sentences[steps.desk[i]] if steps.desk[i] >= 0 else ""
    return f"{name}: {desk}" if kind != NEXT or desk else name

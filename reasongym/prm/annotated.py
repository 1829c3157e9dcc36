"""The default PRM: process rewards from support and the world's events, written twice.

`score_recall` and `score_answer` are the compiled operations of the engine; `AnnotatedPRM.score` is the same table in NumPy
over a `StepBatch`, for combinators, for records, and as the engine's oracle in the tests. With m supporting facts:

| | RECALL | ANSWER |
| --- | --- | --- |
| logic | -1/m for stale content, or a needed fact before its prerequisites | +1 right with proof; -1 wrong in spite of proof |
| coherence | -1/m when no entity links it to question or chain | -1 when not of the kind asked for |
| goal | +1/m for each needed fact new to the chain, -0.5/m when there is none | 0 |

NEXT, STORE, UPDATE and illegal actions score 0; goal and logic are NaN where support is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from reasongym.jit import operation, popcount
from reasongym.prm.base import ANSWER, RECALL, StepBatch

CRITERIA = ("logic", "coherence", "goal")
DEFAULT_BETA = MappingProxyType({"logic": 0.2, "coherence": 0.1, "goal": 0.3})
NOTHING_NEW = -0.5


class AnnotatedPRM:
    """`prm="annotated"` as an object; the engine computes this very class inside its kernel."""

    criteria: tuple[str, ...] = CRITERIA
    needs_annotation = True
    version = "annotated-1"
    default_beta: Mapping[str, float] = DEFAULT_BETA

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 3) float32: logic, coherence, goal."""
        out = np.zeros((len(steps), 3), np.float32)
        legal = ~steps.illegal
        for i in np.flatnonzero(legal & (steps.kind == RECALL)).tolist():
            out[i] = _recall_row(steps, i)
        for i in np.flatnonzero(legal & (steps.kind == ANSWER)).tolist():
            out[i] = _answer_row(steps, i)
        unknown = steps.annotation.num_support < 0
        out[unknown, 0] = out[unknown, 2] = np.nan
        return out


def _recall_row(steps: StepBatch, i: int) -> tuple[float, float, float]:
    seen, k = steps.annotation, steps.slot[i]
    m = max(int(seen.num_support[i]), 1)
    units = [j for j, unit in enumerate(seen.units_before[i, k]) if unit >= 0]
    chain = int(seen.recalled_before[i])
    new = brought = early = 0
    for j in units:
        bits = int(seen.needed_before[i, k, j])
        brought |= bits
        for b in range(bits.bit_length()):
            if bits >> b & 1:
                early |= int(seen.prerequisites[i, b]) & ~chain
        new |= bits & ~chain
        chain |= bits
    stale = bool(units) and not brought and all(seen.superseded[i, k, j] for j in units)
    linked = any(int(seen.entities[i, k, j]) & int(seen.linked_before[i]) for j in units)
    goal = 0.0 if seen.num_support[i] == 0 else (new.bit_count() / m if new else NOTHING_NEW / m)
    return (-1 / m if stale or early else 0.0, 0.0 if linked else -1 / m, goal)


def _answer_row(steps: StepBatch, i: int) -> tuple[float, float, float]:
    seen, choice, m = steps.annotation, steps.choice[i], int(steps.annotation.num_support[i])
    proved = m > 0 and int(seen.recalled_before[i]) == (1 << m) - 1
    logic = (1.0 if seen.right[i] else -1.0) if proved else 0.0
    kinds = seen.choice_kinds
    fits = not len(kinds) or (choice < len(kinds) and int(kinds[choice]) & int(seen.answer_kinds[i]))
    return (logic, 0.0 if fits else -1.0, 0.0)


@operation
def needed_by(support, problem, same_as):
    """Which supporting facts of a problem a unit is, as bits: itself, or a repeat of one in a timeless world."""
    bits = np.int32(0)
    for b in range(problem.num_support):
        if support[problem.support + b].same_as == same_as:
            bits |= np.int32(1) << np.int32(b)
    return bits


@operation
def entities_of(held, units, problem):
    """Entity mask of a slot's content `held` (U,)."""
    entities = np.uint64(0)
    for j in range(held.shape[0]):
        if held[j].unit >= 0:
            entities |= units[problem.first_unit + held[j].unit].entities
    return entities


@operation
def score_recall(scores, state, held, units, support, problem):
    """Scores the recall of one slot's content `held` (U,) before it enters the chain: logic, coherence, goal."""
    m = max(problem.num_support, 1)
    chain, new, brought, early = state.recalled, np.int32(0), np.int32(0), np.int32(0)
    some, stale = False, True
    for j in range(held.shape[0]):
        if held[j].unit < 0:  # empty, or own words that state no fact
            continue
        some = True
        unit, bits = units[problem.first_unit + held[j].unit], held[j].needed
        if unit.superseded_by < 0 or unit.superseded_by >= state.cursor:
            stale = False
        brought |= bits
        for b in range(problem.num_support):
            if bits >> b & 1:
                early |= support[problem.support + b].prerequisites & ~chain
        new |= bits & ~chain
        chain |= bits
    if early != 0 or (some and stale and brought == 0):
        scores[0] = -1 / m
    if entities_of(held, units, problem) & state.linked == 0:
        scores[1] = -1 / m
    if problem.num_support > 0:
        scores[2] = popcount(new) / m if new != 0 else NOTHING_NEW / m
    _unscored(scores, problem)


@operation
def score_answer(scores, state, right, fits, problem):
    """Scores an answer that is right or not, and of the kind asked for or not: logic, coherence, goal."""
    m = problem.num_support
    if m > 0 and state.recalled == (np.int64(1) << m) - 1:
        scores[0] = 1.0 if right else -1.0
    if not fits:
        scores[1] = -1.0
    _unscored(scores, problem)


@operation
def _unscored(scores, problem):
    if problem.num_support < 0:
        scores[0] = np.nan
        scores[2] = np.nan

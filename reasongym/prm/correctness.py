"""Step labels of one criterion, `correct`: 1 for a sound step, -1 for an error, by hindsight or causally.

| | by hindsight (`HindsightPRM`) | causally (`CausalPRM`) |
| --- | --- | --- |
| NEXT, STORE, UPDATE | an error where a supporting fact is let go: passed over unheld, or dropped for another unit | 1 |
| RECALL | an error where `annotated` takes off anything: stale, unlinked, early, nothing new | the same, after the text; \
before, only what is visibly wrong: no link, or all of it in the chain already |
| ANSWER | an error where it is wrong, not of the kind asked for, or the chain does not hold the support | the same |
| illegal | an error | an error |

By hindsight a fact counts as needed from the moment that it is read. Nobody can know that then: a step is wrong *causally*
only if what was visible at the time proves it wrong. So even a perfect scorer that reads no later step misses labels by
hindsight. A reference for how many is `causal labels` in the results of `examples/train_prm.py`: what the causal labels
themselves score on those by hindsight. It is no bound: what is likely but not proved can be guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.base import ANSWER, NEXT, RECALL, STORE, UPDATE, StepBatch

ERROR, SOUND = -1.0, 1.0


class HindsightPRM:
    """`correct` as support and gold say it; see the module's docstring. Where support is unknown, only illegal steps and wrong
    answers are scored."""

    criteria: tuple[str, ...] = ("correct",)
    needs_annotation = True
    version = "hindsight-1"
    default_beta: Mapping[str, float] = MappingProxyType({"correct": 1.0})

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 1) float32: 1, -1, or NaN."""
        return self._column(steps, _wrong(steps) | _let_go(steps))

    def _column(self, steps: StepBatch, wrong: np.ndarray) -> np.ndarray:
        seen = steps.annotation
        sure = steps.illegal | ((steps.kind == ANSWER) & ~seen.right)
        out = np.where(wrong, ERROR, SOUND)
        out[(seen.num_support < 0) & ~sure] = np.nan
        return out.astype(np.float32)[:, None]


class CausalPRM(HindsightPRM):
    """`correct` as far as it could be known at the time; see the module's docstring."""

    version = "causal-1"

    def score(self, steps: StepBatch) -> np.ndarray:
        """(n, 1) float32: 1, -1, or NaN."""
        wrong = _wrong(steps)
        early = (steps.kind == RECALL) & (steps.units_read < steps.num_units) & ~steps.illegal
        for i in np.flatnonzero(early).tolist():
            wrong[i] = _visibly_wrong(steps, i)
        return self._column(steps, wrong)


def _wrong(steps: StepBatch) -> np.ndarray:
    """(n,) bool, what hindsight says of RECALL, ANSWER and illegal actions."""
    seen = steps.annotation
    marked = (np.nan_to_num(AnnotatedPRM().score(steps)) < 0).any(axis=1)
    whole = (1 << np.maximum(seen.num_support, 0).astype(np.int64)) - 1
    unproved = (seen.recalled_before.astype(np.int64) & whole) != whole
    answer = (steps.kind == ANSWER) & (~seen.right | unproved)
    return steps.illegal | answer | ((steps.kind == RECALL) & marked) | ((steps.kind == ANSWER) & marked)


def _let_go(steps: StepBatch) -> np.ndarray:
    """(n,) bool, a supporting fact was passed over although memory does not hold it, or dropped."""
    seen = steps.annotation
    before, after = (np.bitwise_or.reduce(bits.reshape(len(steps), -1), axis=1) if bits.size else np.zeros(len(steps), np.int32)
                     for bits in (seen.needed_before, seen.needed_after))  # fmt: skip
    reading = np.isin(steps.kind, (NEXT, STORE, UPDATE)) & ~steps.illegal
    return reading & (((before | seen.needed_desk) & ~after) != 0)


def _visibly_wrong(steps: StepBatch, i: int) -> bool:
    """Whether recalling while the text goes on is wrong whatever follows: no link, or nothing that is not in the chain."""
    seen, slot = steps.annotation, steps.slot[i]
    units = steps.positions_before[i, slot][steps.memory_before[i, slot] >= 0]
    links = int(steps.chain_length[i]) - 1
    known = np.isin(units, steps.chain_positions[i, :links]).all()
    linked = any(int(bits) & int(seen.linked_before[i]) for bits in seen.entities[i, slot])
    return bool(known or (steps.question[i] >= 0 and not linked))

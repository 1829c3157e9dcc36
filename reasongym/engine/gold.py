"""The gold answer of each environment as a choice; for training only, and for the expert."""

from __future__ import annotations

import numpy as np

from reasongym.engine.batch import Batch

ELSEWHERE = -2
"""A gold choice that is none: the problem has an answer, which cannot be given now."""


def gold_choices(batch: Batch) -> np.ndarray:
    """(N,) int16: the gold choice of the problem that each environment is playing; -1 where none is known.

    Where answers are spans there is one only while answers are legal: ABSTAIN for a problem without an answer; otherwise START
    of the best span of the link recalled last, if that span is right, and, once this START was given, its END. `ELSEWHERE`:
    there is an answer, but not in this link.
    """
    problems, state = batch.table.tables.problems, batch.memory.state
    if not batch.shapes.span:
        return problems["gold"][state["row"]]
    spans, P = batch.table.spans, batch.shapes.positions
    assert spans is not None
    gold = np.full(batch.n, -1, np.int16)
    open_rows = np.flatnonzero(batch.observation.action_mask[:, 1 + 3 * batch.shapes.slots :].any(1))
    for i in open_rows.tolist():
        begun, length = int(state["span_start"][i]), int(state["chain_length"][i])
        if problems["num_references"][state["row"][i]] == 0:
            gold[i] = 2 * P if begun < 0 else -1
        elif length:
            score, start, end = best_span(batch, i, batch.memory.chain[i, length - 1])
            found = start if begun < 0 else P + end if begun == start else ELSEWHERE
            gold[i] = found if score >= spans.right_at else ELSEWHERE
        else:
            gold[i] = ELSEWHERE
    return gold


def best_span(batch: Batch, i: int, units: np.ndarray) -> tuple[float, int, int]:
    """(score, START, END) of the best span of a link that holds some units (U,), -1 none, for the problem of environment i."""
    t, state = batch.table.tables, batch.memory.state[i]
    present = np.flatnonzero(units >= 0)
    if not len(present):
        return 0.0, 0, 0
    rows = t.units["sentence"][t.problems[state["row"]]["first_unit"] + units[present]]
    found = batch.best_spans(int(state["row"]), rows)
    j = int(found[:, 0].argmax())
    base = int(present[j]) * batch.shapes.unit_tokens
    return float(found[j, 0]), base + int(found[j, 1]), base + int(found[j, 2])

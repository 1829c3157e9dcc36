"""Why a step scored what it scored, in words.

A PRM that can say so has `explain(steps: StepBatch) -> Sequence[Sequence[str]]`: for each step one string a criterion, "" where
there is nothing to say. It is called right after `score`, with the same steps, so a judge answers from its store and nothing is
billed twice. What the environment itself scores, and the annotated PRM, is explained here, by the table of `prm.annotated`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reasongym.errors import PRMError
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.base import ANSWER, RECALL, ProcessRewardModel, StepBatch

UNKNOWN = "support is unknown"


def annotated_reasons(kind: int, scores: Mapping[str, float], num_support: int | None) -> dict[str, str]:
    """What the annotated PRM's scores of a legal step mean, by criterion; those with nothing to say are left out.

    Args:
        kind: of the action.
        scores: by criterion, in [-1, 1]; NaN = unscored.
        num_support: m, at least 0; None where it is unknown.
    """
    out = {name: UNKNOWN for name, score in scores.items() if math.isnan(score)}
    logic, coherence, goal = (scores.get(name, 0.0) for name in ("logic", "coherence", "goal"))
    if kind == RECALL:
        if goal > 0:
            m = num_support or 1
            some = "the needed unit" if m == 1 else f"{round(goal * m)} of the {m} needed units"
            out["goal"] = f"brings {some} into the chain"
        elif goal < 0:
            out["goal"] = "brings no needed unit that is new to the chain"
        if logic < 0:
            out["logic"] = "what it brings is outdated, or comes before what it rests on"
        if coherence < 0:
            out["coherence"] = "shares no entity with the question or the chain"
    elif kind == ANSWER:
        if not math.isnan(logic):
            proved = "the chain proves the answer"
            out["logic"] = f"right, and {proved}" if logic > 0 else f"wrong although {proved}" if logic < 0 else ""
            out["logic"] = out["logic"] or "the chain does not hold all of the support"
        if coherence < 0:
            out["coherence"] = "not of the kind that was asked for"
    return out


def environment_reasons(kind: int, scores: Mapping[str, float], terms: Mapping[str, float], utility: Any) -> dict[str, str]:
    """What the environment's own scores of a legal step mean: the answer's outcome, and the utility of the memory."""
    out = {}
    if kind == ANSWER and not math.isnan(scores.get("outcome", math.nan)):
        outcome = scores["outcome"]
        out["outcome"] = "right" if outcome == 1 else "wrong" if outcome == 0 else f"partly right: {outcome:.2f}"
    change = terms.get("memory", 0.0)
    if change and utility == "coverage":
        out["memory"] = "more of the support is held" if change > 0 else "a needed unit was lost"
    return out


def explained(prm: ProcessRewardModel, steps: StepBatch | None) -> list[dict[str, str]] | None:
    """The reasons that a PRM gives for the steps of a batch, by criterion, a dictionary a step; None where it gives none.

    Raises:
        PRMError: another number of steps or criteria than it was asked about.
    """
    explain = getattr(prm, "explain", None)
    if explain is None or steps is None:
        return None
    rows: Sequence[Sequence[str]] = list(explain(steps))
    if len(rows) != len(steps) or any(len(row) != len(prm.criteria) for row in rows):
        raise PRMError(
            f"{type(prm).__name__}.explain returned {len(rows)} rows of {sorted({len(row) for row in rows})} reasons for "
            f"{len(steps)} steps and {len(prm.criteria)} criteria; expected one string a step and criterion, '' for none"
        )
    return [{name: reason for name, reason in zip(prm.criteria, row, strict=True) if reason} for row in rows]


def step_reasons(
    prm: ProcessRewardModel,
    kind: int,
    invalid: str,
    scores: Mapping[str, float],
    terms: Mapping[str, float],
    num_support: int | None,
    utility: Any,
) -> dict[str, str]:
    """All that is known by rule about why a step scored what it scored.

    Args:
        prm: who scored it.
        kind: of the action.
        invalid: why the action was illegal, "" where it was legal.
        scores, terms: by criterion.
        num_support: m; None where it is unknown.
        utility: the environment's keyword.
    """
    if invalid:
        return {"validity": invalid}
    own = {name: scores[name] for name in prm.criteria if name in scores}
    said = annotated_reasons(kind, own, num_support) if isinstance(prm, AnnotatedPRM) else {}
    return {**said, **environment_reasons(kind, scores, terms, utility)}


def plain(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Numbers as JSON holds them: rounded to 4 places, None for NaN."""
    out: dict[str, float | None] = {}
    for name, value in values.items():
        number = float(np.float64(value))
        out[name] = None if math.isnan(number) else round(number, 4)
    return out

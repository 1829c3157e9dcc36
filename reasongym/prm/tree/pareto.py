"""Pairs of steps for preference training, by Pareto dominance over criteria instead of a sum.

Candidates are steps taken from one state, scored on one set of criteria. a dominates b when a_i >= b_i on every criterion and
a_i > b_i on one: a strict partial order, so some candidate is dominated by none (the front), and no tolerance is allowed in it
(it would not be transitive). A pair is a front candidate and one it dominates, further apart on average than a margin.

A criterion that any candidate of a group lacks is dropped for the whole group: else what was not scored would decide. Fewer
than two criteria are no Pareto comparison, so such a group gives no pair. Caps keep one problem, one group or one class of
problems from making most of the pairs; the report says how many pairs of how many problems there are, and what was lost where.

A pair has what step-wise DPO (Lai et al., 2024, arXiv 2406.18629) trains on: what stands before the step, and the two steps.

Axes: n candidates of a group, k criteria.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reasongym.errors import DataError

FEWEST_CRITERIA = 2


@dataclass(frozen=True)
class Group:
    """Candidate steps at one state.

    Attributes:
        prompt, prefix: what was asked, and the steps that led to the state.
        candidates: n step texts.
        criteria: k names, selected for the group, not for a candidate.
        scores: (n, k) in [-1, 1], NaN = unscored.
        problem: which problem it is of.
        kind: the class of problem, for caps.
    """

    prompt: str
    prefix: tuple[str, ...]
    candidates: tuple[str, ...]
    criteria: tuple[str, ...]
    scores: np.ndarray
    problem: str
    kind: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.candidates), len(self.criteria))
        scores = np.asarray(self.scores, dtype=float)
        if scores.shape != expected:
            raise ValueError(f"scores of a group are candidates x criteria, {expected}, got shape {scores.shape}")
        if (~((scores >= -1) & (scores <= 1)) & ~np.isnan(scores)).any():
            raise ValueError("scores of a group lie in [-1, 1], or are NaN for unscored")


@dataclass(frozen=True)
class Pair:
    """A chosen and a rejected step after the same prefix, their scores on the same criteria, and how far apart they are."""

    prompt: str
    prefix: tuple[str, ...]
    chosen: str
    rejected: str
    criteria: tuple[str, ...]
    chosen_scores: tuple[float, ...]
    rejected_scores: tuple[float, ...]
    margin: float
    problem: str
    kind: str = ""

    def to_row(self, separator: str = "\n") -> dict[str, Any]:
        """`prompt` (prefix included), `chosen` and `rejected` as trainers of preferences take them, and the rest beside it."""
        before = separator.join((self.prompt, *self.prefix)) + separator
        return {**asdict(self), "question": self.prompt, "prompt": before}


@dataclass(frozen=True)
class Report:
    """How many pairs of how many problems, and what was lost where.

    Attributes:
        pairs, problems, groups: in the result.
        by_kind: pairs of each class of problem.
        groups_seen, problems_seen: looked at.
        criteria_dropped: criteria lost to gaps, over all groups.
        too_few_criteria, no_dominance: groups without a pair because fewer than two criteria were left, or nobody dominates.
        below_margin, capped: pairs lost.
        front_share: mean share of a group's candidates that are in its front; near 1, nothing is told apart.
    """

    pairs: int = 0
    problems: int = 0
    groups: int = 0
    by_kind: Mapping[str, int] = field(default_factory=dict)
    groups_seen: int = 0
    problems_seen: int = 0
    criteria_dropped: int = 0
    too_few_criteria: int = 0
    no_dominance: int = 0
    below_margin: int = 0
    capped: int = 0
    front_share: float = float("nan")


def dominance(scores: np.ndarray) -> np.ndarray:
    """(n, n) bool from (n, k) scores without gaps: whether row i dominates row j.

    Raises:
        ValueError: a score is NaN, with which nothing compares.
    """
    scores = np.asarray(scores, dtype=float)
    if np.isnan(scores).any():
        raise ValueError("scores have gaps (NaN): drop the criteria that a candidate lacks with `without_gaps` first")
    a, b = scores[:, None, :], scores[None, :, :]
    return np.asarray((a >= b).all(2) & (a > b).any(2))


def pareto_front(scores: np.ndarray) -> np.ndarray:
    """(n,) bool: the candidates that none dominates; at least one of n >= 1."""
    return np.asarray(~dominance(scores).any(axis=0))


def without_gaps(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, k') scores of the criteria that every candidate has, and (k,) bool which those are."""
    kept = ~np.isnan(np.asarray(scores, dtype=float)).any(axis=0)
    return np.asarray(scores, dtype=float)[:, kept], kept


def pareto_pairs(
    groups: Iterable[Group],
    *,
    margin: float = 0.1,
    per_group: int = 1,
    per_problem: int = 3,
    per_kind: int | None = None,
) -> tuple[list[Pair], Report]:
    """Preference pairs, those furthest apart first within every cap.

    Args:
        groups: candidates by state. A step that occurs twice in one is one candidate, with the scores of the first.
        margin: least mean difference over the criteria, above 0 and at most 2.
        per_group, per_problem, per_kind: most pairs of each; None for no cap of a kind.

    Returns:
        The pairs, by problem in the order of the groups, and the report.
    """
    if not 0 < margin <= 2:
        raise ValueError(f"margin must lie in (0, 2], got {margin!r}")
    for name, cap in (("per_group", per_group), ("per_problem", per_problem), ("per_kind", per_kind)):
        if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {cap!r}")
    lost: Counter[str] = Counter()
    fronts: list[float] = []
    seen: dict[str, None] = {}
    found: list[tuple[int, Pair]] = []
    count = 0
    for count, group in enumerate(groups, 1):
        seen[group.problem] = None
        found += [(count, pair) for pair in _group_pairs(group, margin, fronts, lost)]
    kept = _capped(found, per_group, per_problem, per_kind)
    order = {problem: i for i, problem in enumerate(seen)}
    kept.sort(key=lambda item: (order[item[1].problem], item[0]))
    pairs = [pair for _, pair in kept]
    report = Report(
        pairs=len(pairs),
        problems=len({pair.problem for pair in pairs}),
        groups=len({number for number, _ in kept}),
        by_kind=dict(Counter(pair.kind for pair in pairs)),
        groups_seen=count,
        problems_seen=len(seen),
        capped=len(found) - len(pairs),
        front_share=float(np.mean(fronts)) if fronts else float("nan"),
        **lost,
    )
    return pairs, report


def _group_pairs(group: Group, margin: float, fronts: list[float], lost: Counter[str]) -> list[Pair]:
    """Every pair of a group: a front candidate and one that it dominates."""
    first = [i for i, step in enumerate(group.candidates) if step not in group.candidates[:i]]
    scores, kept = without_gaps(np.asarray(group.scores, dtype=float)[first])
    lost["criteria_dropped"] += int((~kept).sum())
    if kept.sum() < FEWEST_CRITERIA:
        lost["too_few_criteria"] += 1
        return []
    beats = dominance(scores)
    front = pareto_front(scores)
    fronts.append(float(front.mean()))
    if not beats.any():
        lost["no_dominance"] += 1
    criteria = tuple(name for name, keep in zip(group.criteria, kept.tolist(), strict=True) if keep)
    out = []
    for a, b in np.argwhere(beats & front[:, None]).tolist():
        apart = float((scores[a] - scores[b]).mean())
        if apart < margin:
            lost["below_margin"] += 1
            continue
        out.append(
            Pair(group.prompt, group.prefix, group.candidates[first[a]], group.candidates[first[b]], criteria,
                 tuple(scores[a].tolist()), tuple(scores[b].tolist()), apart, group.problem, group.kind)
        )  # fmt: skip
    return out


def _capped(
    found: Sequence[tuple[int, Pair]], per_group: int | None, per_problem: int | None, per_kind: int | None
) -> list[tuple[int, Pair]]:
    """The pairs furthest apart that no cap forbids."""
    taken: Counter[tuple[str, object]] = Counter()
    out = []
    for number, pair in sorted(found, key=lambda item: -item[1].margin):
        places = ((("group", number), per_group), (("problem", pair.problem), per_problem), (("kind", pair.kind), per_kind))
        if all(cap is None or taken[place] < cap for place, cap in places):
            taken.update(place for place, _ in places)
            out.append((number, pair))
    return out


def write_pairs(pairs: Iterable[Pair], path: str | os.PathLike) -> None:
    """One JSON object a line: the fields of `Pair`."""
    with Path(path).open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")


def read_pairs(path: str | os.PathLike) -> list[Pair]:
    """What `write_pairs` wrote.

    Raises:
        DataError: a line is no pair; the message names it.
    """
    out = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            lists = {name: tuple(row[name]) for name in ("prefix", "criteria", "chosen_scores", "rejected_scores")}
            out.append(Pair(**{**row, **lists}))
        except (ValueError, TypeError, KeyError) as wrong:
            raise DataError(f"{os.fspath(path)}:{number}: no preference pair: {wrong}") from wrong
    return out

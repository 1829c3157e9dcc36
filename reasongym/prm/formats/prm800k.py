"""PRM800K (Lightman et al., 2023, arXiv 2305.20050): {question: {problem, ...}, label: {steps, finish_reason}}.

Each step offers `completions` [{text, rating, flagged}], with rating -1, 0, +1 or null; the solution goes on with the chosen
one, or with `human_completion` (right: people wrote it where all completions were wrong). A solution labelled up to its first
error chooses none at the last step: that step is the one of `pre_generated_steps`, or the first that is rated -1. Ratings are
the labels: 0 is neutral, null unscored. `finish_reason` "solution" is outcome 1 (it reached the right answer); a first error
found says nothing of the answer, so the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.prm.formats.base import Layout, LeftOutError, rest, single, text
from reasongym.prm.records import StepRecord

ENDED_WITHOUT = ("bad_problem", "give_up")
"""Reasons to finish that may leave a solution without a labelled step."""


def read(row: Mapping[str, Any], alternatives: bool = False) -> list[StepRecord]:
    """The record of the solution, and with `alternatives` one for each rated completion that was not chosen.

    An alternative stands behind the steps before it, which are unscored there: their labels are in the solution's record.
    """
    question, label = (_object(row, key) for key in ("question", "label"))
    prompt, reason = text(question, "problem"), label.get("finish_reason")
    steps = label.get("steps") or []
    if not isinstance(steps, list):
        raise DataError(f"'label.steps' must be a list, got {type(steps).__name__}")
    planned = question.get("pre_generated_steps") or []
    meta = rest(row, ("question", "label"))
    meta |= {key: question[key] for key in ("ground_truth_answer", "pre_generated_answer") if key in question}
    meta |= {"finish_reason": reason, "pre_generated_steps": list(planned)}
    path: list[str] = []
    ratings: list[float | None] = []
    others: list[StepRecord] = []
    for t, step in enumerate(steps):
        completions = [_completion(t, completion) for completion in step.get("completions") or []]
        chosen, taken = _taken(t, step, completions, planned[t] if t < len(planned) else None)
        for i, (words, rating) in enumerate(completions):
            if alternatives and i != chosen and rating is not None and words.strip():
                unscored: list[Any] = [None] * len(path)
                others.append(StepRecord.of(prompt, [*path, words], [*unscored, rating], meta={**meta, "alternative": [t, i]}))
        if taken is None:
            break
        path.append(taken[0])
        ratings.append(taken[1])
    if not path:
        if reason in ENDED_WITHOUT:
            raise LeftOutError(f"no labelled step ({reason})")
        raise DataError("'label.steps' holds no step of a solution")
    outcome = 1.0 if reason == "solution" else float("nan")
    return [StepRecord.of(prompt, path, ratings, outcome=outcome, meta=meta), *others]  # type: ignore[arg-type]


def _object(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key)
    if not isinstance(value, Mapping):
        raise DataError(f"{key!r} must be an object, got {value!r}")
    return value


def _completion(t: int, completion: Any) -> tuple[str, float | None]:
    if not isinstance(completion, Mapping) or not isinstance(completion.get("text"), str):
        raise DataError(f"step {t + 1}: a completion must be an object with a text, got {completion!r}")
    rating = completion.get("rating")
    if isinstance(rating, bool) or rating not in (-1, 0, 1, None):
        raise DataError(f"step {t + 1}: 'rating' must be -1, 0, 1 or null, got {rating!r}")
    return completion["text"], None if rating is None else float(rating)


def _taken(
    t: int, step: Mapping[str, Any], completions: list[tuple[str, float | None]], planned: str | None
) -> tuple[int, tuple[str, float | None] | None]:
    """Which completion the solution goes on with (-1: none of them), and its text and label; None where it ends before."""
    chosen, human = step.get("chosen_completion"), step.get("human_completion")
    if chosen is not None:
        if isinstance(chosen, bool) or not isinstance(chosen, int) or not 0 <= chosen < len(completions):
            raise DataError(f"step {t + 1}: 'chosen_completion' is {chosen!r}, expected one of {len(completions)} completions")
        return chosen, completions[chosen]
    if human is not None:
        words = human.get("text") if isinstance(human, Mapping) else human
        if not isinstance(words, str):
            raise DataError(f"step {t + 1}: 'human_completion' must be a text or an object with one, got {human!r}")
        return -1, (words, 1.0)
    for i, (words, _) in enumerate(completions):
        if words == planned:
            return i, completions[i]
    return next(((i, done) for i, done in enumerate(completions) if done[1] == -1), (-1, None))


def write(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    """Rows with one completion a step; "found_error" where the last label is -1, else "solution" or "give_up" by the outcome.

    Raises:
        ValueError: several criteria, or a label other than -1, 0, 1 and unscored.
    """
    return [_row(i, record) for i, record in enumerate(records)]


def _row(i: int, record: StepRecord) -> dict[str, Any]:
    labels = single(record, "prm800k")
    soft = next((label for label in labels if label not in (-1, 0, 1) and not np.isnan(label)), None)
    if soft is not None:
        raise ValueError(f"record {i}: PRM800K rates -1, 0 or 1, this record has {soft}; write format='records'")
    meta, steps = dict(record.meta), []
    found_error = labels[-1] == -1
    for t, (words, label) in enumerate(zip(record.steps, labels, strict=True)):
        rating = None if np.isnan(label) else int(label)
        stops = found_error and t == len(labels) - 1
        steps.append({"completions": [{"text": words, "rating": rating, "flagged": None}], "human_completion": None,
                      "chosen_completion": None if stops else 0})  # fmt: skip
    reason = "found_error" if found_error else "solution" if record.outcome == 1 else "give_up"
    question: dict[str, Any] = {key: meta.pop(key) for key in ("ground_truth_answer", "pre_generated_answer") if key in meta}
    question |= {"problem": record.prompt, "pre_generated_steps": meta.pop("pre_generated_steps", [])}
    meta.pop("finish_reason", None)
    return {**meta, "question": question, "label": {"steps": steps, "finish_reason": reason}}


LAYOUT = Layout("prm800k", ("question", "label"), "PRM800K: ratings -1, 0, +1", read, write, ("alternatives",))

"""From `Problem` objects to `Columns`: the flat arrays that an engine builds its tables from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from reasongym.types import MAX_SUPPORT, Columns, Problem, ProblemSource, Story

DTYPES = {
    "story_start": np.int64, "unit_sentence": np.int32, "superseded_by": np.int16, "entities": np.uint64,
    "same_as": np.int16, "story": np.int32, "num_units": np.int16, "question": np.int32,
    "question_entities": np.uint64, "answer_kind": np.int8, "gold": np.int16, "task": np.int8,
    "support_start": np.int64, "support": np.int16, "prerequisites": np.int32, "support_known": np.bool_,
}  # fmt: skip
"""The arrays of `Columns`, in order, with their types."""
SPAN_DTYPES = {"reference_start": np.int64, "reference": np.int32, "offsets": np.int32}
"""Those that sources of spans have beside them."""


def columns_of(problems: Iterable[Problem], source: ProblemSource) -> Columns:
    """The columns of some problems of a source; row p is the p-th problem.

    Equal stories, sentences and questions are stored once. `gold` is -1 where a problem shows no answers and in sources
    without choices.

    Raises:
        ValueError: a problem has more support than `MAX_SUPPORT`, or support that does not lie before its question.
    """
    table = _Table(source)
    for problem in problems:
        table.add(problem)
    return table.columns()


class _Table:
    """Columns under construction."""

    def __init__(self, source: ProblemSource) -> None:
        self.source = source
        self.kinds = {kind: i for i, kind in enumerate(source.kinds)}
        self.sentences: dict[str, int] = {}
        self.questions: dict[str, int] = {}
        self.stories: dict[Story, int] = {}
        self.rows: dict[str, list[Any]] = {name: [] for name in (*DTYPES, *SPAN_DTYPES)}
        self.rows["story_start"].append(0)
        self.rows["support_start"].append(0)
        self.references: dict[str, int] = {}
        self.rows["reference_start"].append(0)

    def add(self, problem: Problem) -> None:
        rows, source = self.rows, self.source
        support = problem.support or ()
        if len(support) > MAX_SUPPORT or any(not 0 <= unit < problem.num_units for unit in support):
            raise ValueError(
                f"{problem.name}: support {support} must be at most {MAX_SUPPORT} units "
                f"below the {problem.num_units} that are read before the question"
            )
        closed = bool(problem.answers) and bool(source.choices)
        rows["story"].append(self._story(problem.story))
        rows["num_units"].append(problem.num_units)
        rows["question"].append(self.questions.setdefault(problem.question, len(self.questions)))
        rows["question_entities"].append(problem.question_entities)
        rows["answer_kind"].append(self.kinds[problem.answer_kind])
        rows["gold"].append(source.choice_of(problem.answers[0]) if closed else -1)
        rows["task"].append(problem.task)
        rows["support"].extend(support)
        rows["prerequisites"].extend(problem.prerequisites or (0,) * len(support))
        rows["support_start"].append(len(rows["support"]))
        rows["support_known"].append(problem.support is not None)
        if not source.choices:
            rows["reference"].extend(self.references.setdefault(answer, len(self.references)) for answer in problem.answers)
            rows["reference_start"].append(len(rows["reference"]))

    def _story(self, story: Story) -> int:
        index = self.stories.setdefault(story, len(self.stories))
        if index == len(self.rows["story_start"]) - 1:
            rows, sentences = self.rows, self.sentences
            rows["unit_sentence"].extend(sentences.setdefault(unit, len(sentences)) for unit in story.units)
            rows["superseded_by"].extend(story.superseded_by)
            rows["entities"].extend(story.entities)
            rows["same_as"].extend(story.same_as)
            rows["offsets"].extend(story.offsets)
            rows["story_start"].append(len(rows["unit_sentence"]))
        return index

    def columns(self) -> Columns:
        arrays: dict[str, Any] = {name: np.array(self.rows[name], dtype) for name, dtype in {**DTYPES, **SPAN_DTYPES}.items()}
        texts: dict[str, Any] = {name: tuple(getattr(self, name)) for name in ("sentences", "questions", "references")}
        return Columns(**texts, **arrays)


def head(columns: Columns, num_problems: int) -> Columns:
    """The first problems (and all stories)."""
    c = columns
    if num_problems >= len(c.story):
        return c
    last = int(c.support_start[num_problems])
    names = ("story", "num_units", "question", "question_entities", "answer_kind", "gold", "task", "support_known")
    rows = {name: getattr(c, name)[:num_problems] for name in names}
    if len(c.reference_start) > 1:
        starts = c.reference_start[: num_problems + 1]
        rows |= {"reference_start": starts, "reference": c.reference[: int(starts[-1])]}
    return replace(
        c,
        support_start=c.support_start[: num_problems + 1],
        support=c.support[:last],
        prerequisites=c.prerequisites[:last],
        **rows,
    )


def hidden(columns: Columns) -> Columns:
    """Without gold answers and support."""
    c = columns
    return replace(
        c,
        gold=np.full_like(c.gold, -1),
        support_start=np.zeros_like(c.support_start),
        support=c.support[:0],
        prerequisites=c.prerequisites[:0],
        support_known=np.zeros_like(c.support_known),
        references=(),
        reference_start=np.zeros_like(c.reference_start),
        reference=c.reference[:0],
    )

"""The problem table: a source's problems as flat arrays that a kernel can read.

Three ways to fill it: all at once from a source that offers `columns()` (published files), row by row as problems come up
(a virtual data set of n problems), or one recycled row an environment (an endless source, where memory must not grow).
Distinct sentences and questions are stored once, as token rows and as text.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from reasongym.engine.layout import PROBLEM, SUPPORT, UNIT, Tables
from reasongym.engine.pieces import grown
from reasongym.engine.texts import Strings, Texts
from reasongym.types import MAX_SUPPORT, Columns, Problem, ProblemSource, SpanSource

UNKNOWN_ROW = -1
MOST_SENTENCES = 1 << 18
"""Distinct sentences (or answers) from which on the table of a virtual data set starts over: some 150 MiB of natural text."""
LONGEST_TEXT = 32_000
"""Most units of a text: they are counted in int16."""


class ProblemTable:
    """A source's problems as `Tables`.

    Args:
        source: where problems come from.
        unit_tokens, question_tokens: widths of the token rows (Lu, Lq).
        recycled: rows of an endless source, one an environment.
        annotated: whether support may be read from the problems at all.
        reads_gold: whether gold answers may be.

    Attributes:
        texts: sentences, questions and references, as rows.
        generation: how often the rows of texts were numbered anew.
    """

    def __init__(
        self, source: ProblemSource, unit_tokens: int, question_tokens: int, recycled: int, *, annotated: bool, reads_gold: bool
    ) -> None:
        if source.max_units > LONGEST_TEXT:
            raise ValueError(f"{source.name} has texts of {source.max_units} units, more than {LONGEST_TEXT}")
        self.source, self.annotated, self.reads_gold = source, annotated, reads_gold
        self.dtype = np.dtype(np.int16 if len(source.vocabulary) < 2**15 else np.int32)
        self.spans = source.spans if isinstance(source, SpanSource) else None
        self._widths = unit_tokens, question_tokens
        self.generation = -1
        self._forget_texts()
        self.endless = source.num_problems is None
        self._choice_kinds = np.array(source.choice_kinds, np.uint32)
        self._kind_bits = {kind: 1 << b for b, kind in enumerate(source.kinds)}
        self._rows = self._units_used = self._support_used = 0
        columns = getattr(source, "columns", None)
        if columns is not None and not self.endless:
            self._adopt(columns())
            self.complete = True
            return
        self.complete = False
        self._placed: dict[int, int] = {}
        rows = recycled if self.endless else 64
        self._stride = max(source.max_units, 1)
        self._units = np.zeros(rows * self._stride if self.endless else 1024, UNIT)
        self._problems = np.zeros(rows, PROBLEM)
        self._support = np.zeros(rows * MAX_SUPPORT if self.endless else 256, SUPPORT)
        self._row_of = np.full(source.num_problems or 0, UNKNOWN_ROW, np.int64)
        self._publish()

    def ensure(self, problems: Iterable[int]) -> None:
        """Generates those of a pooled source's problems that are not in the table yet."""
        if self.complete:
            return
        new = [int(i) for i in problems if self._row_of[i] == UNKNOWN_ROW]
        try:
            for i in new:
                if self._row_of[i] == UNKNOWN_ROW:
                    self._row_of[i] = self._append(self.source.problem(i))
        finally:  # also when a problem is refused: rows that are named must be there
            if new:
                self.complete = self._rows == len(self._row_of)
                self._publish()

    def place(self, row: int, problem: int) -> None:
        """Writes an endless source's problem into environment `row`'s recycled row."""
        self._placed[row] = int(problem)
        rows = [row]
        if self.crowded:
            self._forget_texts()
            rows = [*self._placed]
        for row in rows:
            self._write(self.source.problem(self._placed[row]), row, row * self._stride, row * MAX_SUPPORT)
        self._publish()

    @property
    def crowded(self) -> bool:
        """Whether there are so many texts that the table of a virtual data set should start over."""
        return max(len(self.texts.sentences.texts), len(self.texts.references.texts)) > MOST_SENTENCES

    def start_over(self, problems: Iterable[int]) -> None:
        """Forgets all problems of a pooled source but these; rows and texts are numbered anew."""
        self._forget_texts()
        self._rows = self._units_used = self._support_used = 0
        self._row_of[:] = UNKNOWN_ROW
        self.ensure(problems)

    @property
    def sentences(self) -> Strings:
        """The distinct units."""
        return self.texts.sentences

    @property
    def questions(self) -> Strings:
        """The distinct questions."""
        return self.texts.questions

    def _forget_texts(self) -> None:
        """No sentences, questions and references yet; what was known of their rows is out of date."""
        self.generation += 1
        self.texts = Texts(self.source, *self._widths, self.dtype)

    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.tables)

    def text_between(self, row: int, first: int, last: int) -> str:
        """The words of unit `row` from token `first` to the end of the word that token `last` begins."""
        start, end = self.texts.pieces.span(row, first, last)
        return self.texts.sentences.texts[row][start:end]

    def answers(self, row: int) -> list[str]:
        """The references of the problem in a row of the table; [] where there are none, or they are hidden."""
        problem = self.tables.problems[row]
        first, number = int(problem["references"]), int(problem["num_references"])
        return self.texts.references.texts[first : first + max(number, 0)]

    def answer_text(self, out: np.void) -> str:
        """What the answer of an OUTCOME says; "" where it abstains, and where there is none."""
        if self.spans is not None:
            return "" if out["unit"] < 0 else self.text_between(int(out["unit"]), int(out["start"]), int(out["end"]))
        return self.source.choices[out["answer"]] if 0 <= out["answer"] < len(self.source.choices) else ""

    def gold_text(self, out: np.void) -> str:
        """The gold answer of an OUTCOME's problem, of several the first; "" where there is none, or it is hidden."""
        if self.spans is None:
            return self.source.choices[out["gold"]] if out["gold"] >= 0 else ""
        problem = self.tables.problems[out["row"]]
        return self.texts.references.texts[problem["references"]] if problem["num_references"] > 0 else ""

    def _append(self, problem: Problem) -> int:
        row = self._rows
        self._problems = grown(self._problems, row + 1)
        self._units = grown(self._units, self._units_used + problem.num_units)
        self._support = grown(self._support, self._support_used + MAX_SUPPORT)
        self._write(problem, row, self._units_used, self._support_used)
        self._rows += 1
        self._units_used += problem.num_units
        self._support_used += max(int(self._problems[row]["num_support"]), 0)
        return row

    def _write(self, problem: Problem, row: int, first_unit: int, first_support: int) -> None:
        story, n = problem.story, problem.num_units
        if n > self.source.max_units:
            raise ValueError(f"{problem.name} has {n} units, but its source says max_units={self.source.max_units}")
        units = self._units[first_unit : first_unit + n]
        units["sentence"] = self.texts.sentences.rows(story.units[:n])
        units["superseded_by"] = story.superseded_by[:n]
        units["entities"] = story.entities[:n]
        units["same_as"] = story.same_as[:n]
        support = problem.support if self.annotated else None
        if support:
            if len(support) > MAX_SUPPORT:
                raise ValueError(f"{problem.name} has {len(support)} supporting units, at most {MAX_SUPPORT} are possible")
            needs = problem.prerequisites or (0,) * len(support)
            for j, unit in enumerate(support):
                self._support[first_support + j] = (needs[j], story.same_as[unit])
        self._problems[row] = (
            problem.question_entities,
            first_unit,
            first_support,
            self.texts.questions.index(problem.question),
            self._kind_bits[problem.answer_kind],
            n,
            -1 if support is None else len(support),
            self.source.choice_of(problem.answers[0]) if self.reads_gold and problem.answers and not self.spans else -1,
            problem.task,
            *(self.texts.references.add([problem.answers])[0][0] if self.spans and self.reads_gold else (-1, 0)),
        )

    def _adopt(self, columns: Columns) -> None:
        references = self.texts.adopt(columns, reads_gold=self.reads_gold)
        self._units = np.zeros(len(columns.unit_sentence), UNIT)
        self._units["sentence"] = columns.unit_sentence
        for name in ("superseded_by", "entities", "same_as"):
            self._units[name] = getattr(columns, name)
        self._problems = np.zeros(len(columns.story), PROBLEM)
        first = columns.story_start[columns.story]
        self._problems["first_unit"] = first
        self._problems["question"] = columns.question
        self._problems["answer_kinds"] = np.left_shift(np.uint32(1), columns.answer_kind.astype(np.uint32))
        for name in ("question_entities", "num_units", "task"):
            self._problems[name] = getattr(columns, name)
        self._problems["gold"] = columns.gold if self.reads_gold else -1
        self._problems["num_references"], self._problems["references"] = references.T
        self._problems["num_support"] = -1
        self._support = np.zeros(0, SUPPORT)
        if self.annotated:
            self._adopt_support(columns, first)
        self._row_of = np.arange(len(columns.story), dtype=np.int64)
        self._publish()

    def _adopt_support(self, columns: Columns, first: np.ndarray) -> None:
        counts = np.diff(columns.support_start)
        if counts.max(initial=0) > MAX_SUPPORT:
            raise ValueError(f"a problem has {counts.max()} supporting units, at most {MAX_SUPPORT} are possible")
        self._problems["support"] = columns.support_start[:-1]
        self._problems["num_support"] = np.where(columns.support_known, counts, -1)
        self._support = np.zeros(len(columns.support), SUPPORT)
        self._support["prerequisites"] = columns.prerequisites
        self._support["same_as"] = columns.same_as[np.repeat(first, counts) + columns.support]

    def _publish(self) -> None:
        """Hands out the arrays; the same object as before where none was replaced."""
        tables = Tables(
            self._units,
            self._problems,
            self._support,
            self.texts.sentences.tokens,
            self.texts.questions.tokens,
            self._choice_kinds,
            self._row_of,
            self.texts.pieces.texts,
            self.texts.pieces.tokens,
            self.texts.pieces.pieces,
            self.texts.pieces.words,
            self.texts.references.rows,
            self.texts.references.wanted,
        )
        before = getattr(self, "tables", ())
        if len(before) != len(tables) or any(x is not y for x, y in zip(before, tables, strict=True)):
            self.tables = tables

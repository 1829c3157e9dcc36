"""The problem table: a source's problems as flat arrays that a kernel can read.

Three ways to fill it: all at once from a source that offers `columns()` (published files), row by row as problems come up
(a virtual data set of n problems), or one recycled row an environment (an endless source, where memory must not grow).
Distinct sentences and questions are stored once, as token rows and as text.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from reasongym.engine.layout import PROBLEM, REFERENCE, SUPPORT, UNIT, Tables
from reasongym.engine.pieces import METRICS, MOST_TOKENS, Pieces, grown, hash_word, reference_tokens
from reasongym.types import MAX_SUPPORT, Columns, Problem, ProblemSource, SpanSource

UNKNOWN_ROW = -1
LONGEST_TEXT = 32_000
"""Most units of a text: they are counted in int16."""


class Strings:
    """Distinct texts and their token rows, 0-padded to `width`; with `pieces`, also as spans are scored."""

    def __init__(self, source: ProblemSource, width: int, argument: str, dtype: np.dtype, pieces: Pieces | None = None) -> None:
        self.texts: list[str] = []
        self.tokens = np.zeros((64, width), dtype)
        self.pieces = pieces
        self._source, self._argument = source, argument
        self._index: dict[str, int] = {}

    def index(self, text: str) -> int:
        """Row of a text, added when it is new.

        Raises:
            ValueError: it has more tokens than the shapes allow.
        """
        found = self._index.get(text)
        if found is not None:
            return found
        encoding = self._source.encode(text) if self.pieces is not None else None  # type: ignore[attr-defined]
        ids, width = self._source.tokenize(text) if encoding is None else encoding.ids, self.tokens.shape[1]
        if len(ids) > width:
            raise ValueError(
                f"{text!r} has {len(ids)} tokens, but {self._argument}={width}; pass {self._argument}={len(ids)} or more"
            )
        row = len(self.texts)
        self.tokens = grown(self.tokens, row + 1)
        if self.pieces is not None and encoding is not None:
            self.pieces.add(text, encoding)
        self.tokens[row, : len(ids)] = ids
        self.texts.append(text)
        self._index[text] = row
        return row


class References:
    """The answers that spans are scored against, one after another, each as the hashes of its tokens."""

    def __init__(self, metric: int) -> None:
        self.metric = metric
        self.texts: list[str] = []
        self.rows, self.wanted = np.zeros(64, REFERENCE), np.zeros(256, np.uint64)
        self._used = 0

    def add(self, texts: Iterable[str]) -> tuple[int, int]:
        """Adds a problem's references but those of which nothing is left to compare; returns (how many, the row of the first).

        Raises:
            ValueError: one has more tokens than are compared.
        """
        first = len(self.texts)
        for text in texts:
            tokens = reference_tokens(text, self.metric)
            if len(tokens) > MOST_TOKENS:
                raise ValueError(f"an answer has {len(tokens)} tokens, at most {MOST_TOKENS} are compared: {text!r:.200}")
            if not tokens:
                continue
            self.rows, self.wanted = grown(self.rows, len(self.texts) + 1), grown(self.wanted, self._used + len(tokens))
            self.rows[len(self.texts)] = (self._used, len(tokens))
            self.wanted[self._used : self._used + len(tokens)] = [hash_word(token)[0] for token in tokens]
            self._used += len(tokens)
            self.texts.append(text)
        return len(self.texts) - first, first


class ProblemTable:
    """A source's problems as `Tables`.

    Args:
        source: where problems come from.
        unit_tokens, question_tokens: widths of the token rows (Lu, Lq).
        recycled: rows of an endless source, one an environment.
        annotated: whether support may be read from the problems at all.
        reads_gold: whether gold answers may be.
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
        self._clear_texts()
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
        made = self.source.problem(int(problem))
        self._write(made, row, row * self._stride, row * MAX_SUPPORT)
        self._publish()

    def _clear_texts(self) -> None:
        """No sentences, questions and references yet."""
        unit_tokens, question_tokens = self._widths
        metric = None if self.spans is None else METRICS[self.spans.metric]
        self.pieces = Pieces(metric or 0)
        self.sentences = Strings(self.source, unit_tokens, "unit_tokens", self.dtype, None if metric is None else self.pieces)
        self.questions = Strings(self.source, question_tokens, "question_tokens", self.dtype)
        self.references = References(metric or 0)

    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.tables)

    def text_between(self, row: int, first: int, last: int) -> str:
        """The words of unit `row` from token `first` to the end of the word that token `last` begins."""
        start, end = self.pieces.span(row, first, last)
        return self.sentences.texts[row][start:end]

    def answers(self, row: int) -> list[str]:
        """The references of the problem in a row of the table; [] where there are none, or they are hidden."""
        problem = self.tables.problems[row]
        first, number = int(problem["references"]), int(problem["num_references"])
        return self.references.texts[first : first + max(number, 0)]

    def gold_text(self, row: int) -> str:
        """The first reference of the problem in a row of the table; "" where there is none."""
        problem = self.tables.problems[row]
        return self.references.texts[problem["references"]] if problem["num_references"] > 0 else ""

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
        units["sentence"] = [self.sentences.index(text) for text in story.units[:n]]
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
            self.questions.index(problem.question),
            self._kind_bits[problem.answer_kind],
            n,
            -1 if support is None else len(support),
            self.source.choice_of(problem.answers[0]) if self.reads_gold and problem.answers and not self.spans else -1,
            problem.task,
            *(self.references.add(problem.answers) if self.spans and self.reads_gold else (-1, 0)),
        )

    def _adopt(self, columns: Columns) -> None:
        sentence = np.array([self.sentences.index(text) for text in columns.sentences], np.int32)
        question = np.array([self.questions.index(text) for text in columns.questions], np.int32)
        self._units = np.zeros(len(columns.unit_sentence), UNIT)
        self._units["sentence"] = sentence[columns.unit_sentence]
        for name in ("superseded_by", "entities", "same_as"):
            self._units[name] = getattr(columns, name)
        self._problems = np.zeros(len(columns.story), PROBLEM)
        first = columns.story_start[columns.story]
        self._problems["first_unit"] = first
        self._problems["question"] = question[columns.question]
        self._problems["answer_kinds"] = np.left_shift(np.uint32(1), columns.answer_kind.astype(np.uint32))
        for name in ("question_entities", "num_units", "task"):
            self._problems[name] = getattr(columns, name)
        self._problems["gold"] = columns.gold if self.reads_gold else -1
        self._adopt_references(columns)
        self._problems["num_support"] = -1
        self._support = np.zeros(0, SUPPORT)
        if self.annotated:
            self._adopt_support(columns, first)
        self._row_of = np.arange(len(columns.story), dtype=np.int64)
        self._publish()

    def _adopt_references(self, columns: Columns) -> None:
        self._problems["num_references"] = -1
        if self.spans is None or not self.reads_gold:
            return
        distinct, which = columns.references, columns.reference.tolist()
        for p, (lo, hi) in enumerate(pairwise(columns.reference_start.tolist())):
            count, first = self.references.add(distinct[i] for i in which[lo:hi])
            self._problems["num_references"][p], self._problems["references"][p] = count, first

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
            self.sentences.tokens,
            self.questions.tokens,
            self._choice_kinds,
            self._row_of,
            self.pieces.texts,
            self.pieces.tokens,
            self.pieces.pieces,
            self.pieces.words,
            self.references.rows,
            self.references.wanted,
        )
        before = getattr(self, "tables", ())
        if len(before) != len(tables) or any(x is not y for x, y in zip(before, tables, strict=True)):
            self.tables = tables

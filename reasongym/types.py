"""Frozen records through which the layers meet: stories, problems, and the sources that hand them out.

A *problem* is a question about the first `num_units` units of a story. Stories are shared between problems (a published
bAbI story asks five questions), so everything that belongs to the text alone lives in `Story`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, Protocol, runtime_checkable

import numpy as np

MAX_SUPPORT = 31
"""Most supporting units a problem may have: the engine keeps sets of them in the bits of one int32."""

MAX_ENTITIES = 64
"""Most entities a source may tell apart: the engine keeps sets of them in the bits of one uint64."""


@dataclass(frozen=True, slots=True)
class Story:
    """A text cut into units, with what its world knows about each unit.

    Attributes:
        units: the sentences, in reading order, as they stand in the text.
        superseded_by: for each unit, the index of the first later unit that makes it untrue, or -1 (never).
        entities: for each unit, a bit mask over the source's entities, pronouns resolved.
        same_as: for each unit, the index of the first unit that states the same fact where time does not matter
            (repeated sentences of a timeless world), else its own index. A repeat proves what the first one proves.
        offsets: for each unit, where it starts in the original text, in characters (`text[o : o + len(unit)] == unit`);
            () where the units are the text.
    """

    units: tuple[str, ...]
    superseded_by: tuple[int, ...]
    entities: tuple[int, ...]
    same_as: tuple[int, ...]
    offsets: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = {len(self.units), len(self.superseded_by), len(self.entities), len(self.same_as)}
        sizes |= {len(self.offsets)} if self.offsets else set()
        if len(sizes) != 1:
            raise ValueError(f"a story's columns must be equally long, got lengths {sorted(sizes)}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One question about the first `num_units` units of a story.

    Attributes:
        name: what the problem is called in results, e.g. "qa2/train/17".
        task: number of the task it belongs to (bAbI: 1-20).
        story: the text.
        num_units: units read before the question is answered; all support lies below it.
        question: the question's text.
        question_entities: bit mask over the source's entities.
        answer_kind: kind of answer asked for, one of the source's `kinds`.
        answers: accepted answers; `answers[0]` is the gold choice of a closed task; of a span task they are the references
            that an answer is scored against (the best counts), and () means that the text holds no answer.
        support: indices of the units that prove the answer, in order of reasoning; None where unknown, () where the
            question is known to be unanswerable.
        prerequisites: for each entry of `support`, a bit mask over *positions in `support`* of what must be in the
            chain before it (from the solver's proof).
        meta: anything else that reports may show.
    """

    name: str
    task: int
    story: Story
    num_units: int
    question: str
    question_entities: int
    answer_kind: str
    answers: tuple[str, ...]
    support: tuple[int, ...] | None
    prerequisites: tuple[int, ...] = ()
    meta: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text in tokens: the ids (from 1), and where each token starts and ends in the text, in characters."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False, slots=True)
class Encodings:
    """Many texts in tokens, one after another: text i has the tokens [first[i], first[i + 1]).

    Attributes:
        first: (texts + 1,) int64.
        ids, starts, ends: (tokens,) int32, as in `Encoding`.
    """

    first: np.ndarray
    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @staticmethod
    def of(encodings: Sequence[Encoding]) -> Encodings:
        """Those of some texts."""
        first = np.zeros(len(encodings) + 1, np.int64)
        np.cumsum([len(encoding) for encoding in encodings], out=first[1:])
        parts = ([getattr(encoding, name) for encoding in encodings] for name in ("ids", "starts", "ends"))
        return Encodings(first, *(np.array(list(chain.from_iterable(part)), np.int32) for part in parts))

    def __getitem__(self, texts: slice) -> Encodings:
        """Those of the texts [start, stop)."""
        lo, hi, _ = texts.indices(len(self))
        first = self.first[lo : hi + 1]
        rows = slice(int(first[0]), int(first[-1]))
        return Encodings(first - first[0], self.ids[rows], self.starts[rows], self.ends[rows])

    def __add__(self, other: Encodings) -> Encodings:
        """First these texts, then the other ones."""
        parts = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("ids", "starts", "ends"))
        return Encodings(np.concatenate([self.first, self.first[-1] + other.first[1:]]), *parts)

    def __len__(self) -> int:
        return len(self.first) - 1


@dataclass(frozen=True, slots=True)
class Spans:
    """How a source's answers are pointed to, and how they are judged.

    Attributes:
        metric: "f1" (SQuAD's token F1) or "rouge_l" (F measure of the longest common subsequence), best over references.
        max_length: most tokens between the first and the last token of an answer (END - START).
        right_at: the score from which an answer counts as right.
    """

    metric: Literal["f1", "rouge_l"]
    max_length: int
    right_at: float


@runtime_checkable
class ProblemSource(Protocol):
    """A set of problems with one vocabulary and one list of choices; problem i is a pure function of i.

    Attributes:
        name: e.g. "babi-qa2/procedural/train".
        vocabulary: token strings; token id = index + 1, and 0 is padding.
        choices: the closed answers, in order; ANSWER c commits to `choices[c]`.
        kinds: names of the kinds of answer.
        choice_kinds: for each choice, a bit mask over `kinds`.
        entities: names of the entities behind the bits of the masks.
        unit_tokens, question_tokens: longest unit and question in tokens, over the whole source.
        max_units: most units a problem of the source can have.
        num_problems: how many there are; None = endless.
        fingerprint: hash of the data, for result files.
    """

    name: str
    vocabulary: tuple[str, ...]
    choices: tuple[str, ...]
    kinds: tuple[str, ...]
    choice_kinds: tuple[int, ...]
    entities: tuple[str, ...]
    unit_tokens: int
    question_tokens: int
    max_units: int
    num_problems: int | None
    fingerprint: str

    def problem(self, index: int) -> Problem:
        """Problem `index`; raises IndexError outside [0, num_problems)."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a unit or question; raises ValueError naming the word outside the vocabulary."""
        ...

    def choice_of(self, answer: str) -> int:
        """Index of the choice that an accepted answer string stands for."""
        ...


@runtime_checkable
class SpanSource(ProblemSource, Protocol):
    """A source whose answers are spans of its units: `choices` is empty, and `kinds` is ("span",)."""

    spans: Spans

    def encode(self, text: str) -> Encoding:
        """A unit or a question in tokens, with offsets; `tokenize` gives its ids."""
        ...


Facts = Sequence[tuple[int, tuple]]
"""A subset of a story as (unit index, event) pairs in reading order: what a world's solver reads."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What follows from a set of facts.

    Attributes:
        answer: the answer, or None when none follows.
        support: unit indices that prove it, in order of reasoning.
        prerequisites: as in `Problem`.
    """

    answer: str | None
    support: tuple[int, ...] = ()
    prerequisites: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Columns:
    """A whole source as flat arrays, for an engine: S stories, U units, P problems and F support entries in all.

    Attributes:
        sentences: the distinct units; `unit_sentence` points into them.
        questions: the distinct questions; `question` points into them.
        story_start: (S + 1,) int64; story s holds units [story_start[s], story_start[s + 1]).
        unit_sentence: (U,) int32, index into `sentences`.
        superseded_by: (U,) int16, as in `Story` (an index within the story, or -1).
        entities: (U,) uint64, as in `Story`.
        same_as: (U,) int16, as in `Story` (an index within the story).
        story: (P,) int32, index of the problem's story.
        num_units: (P,) int16.
        question: (P,) int32, index into `questions`.
        question_entities: (P,) uint64.
        answer_kind: (P,) int8, index into the source's `kinds`.
        gold: (P,) int16, index into the source's `choices`; -1 where hidden (no annotation, or an open answer).
        task: (P,) int8.
        support_start: (P + 1,) int64; problem p has the support entries [support_start[p], support_start[p + 1]).
        support: (F,) int16, indices of units within the story, in order of reasoning.
        prerequisites: (F,) int32, for each support entry the bit mask over positions in its problem's support.
        support_known: (P,) bool; False where the support is unknown (`Problem.support` is None).
        references: the distinct answers of a span source; `reference` points into them.
        reference_start: (P + 1,) int64; problem p has the references [reference_start[p], reference_start[p + 1]).
        reference: (R,) int32.
        offsets: (U,) int32, where units start in the original text; empty where the units are the text.
    """

    sentences: tuple[str, ...]
    questions: tuple[str, ...]
    story_start: np.ndarray
    unit_sentence: np.ndarray
    superseded_by: np.ndarray
    entities: np.ndarray
    same_as: np.ndarray
    story: np.ndarray
    num_units: np.ndarray
    question: np.ndarray
    question_entities: np.ndarray
    answer_kind: np.ndarray
    gold: np.ndarray
    task: np.ndarray
    support_start: np.ndarray
    support: np.ndarray
    prerequisites: np.ndarray
    support_known: np.ndarray
    references: tuple[str, ...] = ()
    reference_start: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    reference: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    offsets: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))


@dataclass(frozen=True)
class MemoryView:
    """What gates and utilities see of n environments' memories, after the step. Unit indices count from 0; -1 is none.

    Attributes:
        units: (n, K, U) int32 unit indices held by each slot, oldest first.
        sentences: (n, K, U) int32, the same as rows of the table of distinct sentences.
        salience: (n, K) float32 in [0, 1].
        recalls: (n, K) int16, recalls since the slot was stored.
        stored_at: (n, K) int16, units read when the slot was last written.
        units_read, num_units, chain_length: (n,) int16.
        problem: (n,) int64.
    """

    units: np.ndarray
    sentences: np.ndarray
    salience: np.ndarray
    recalls: np.ndarray
    stored_at: np.ndarray
    units_read: np.ndarray
    num_units: np.ndarray
    chain_length: np.ndarray
    problem: np.ndarray
    _support: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """((n,) int16 m, (n,) int32 bits of the supporting facts held).

        Raises:
            PermissionError: the gate or utility does not declare `needs_annotation`.
        """
        if self._support is None:
            raise PermissionError("this gate or utility reads the support, but declares needs_annotation = False")
        return self._support

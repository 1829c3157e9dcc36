"""Published data sets of natural text as sources of problems: kept as columns, `Problem` objects are built when asked for.

What SQuAD, NarrativeQA and FairytaleQA share. A data set's module reads its layout into `Passage` objects; here they are
built into columns once and cached, keyed by the files' content, the code and every argument that matters.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reasongym.errors import DataError, unknown
from reasongym.tasks import sentences
from reasongym.tasks.cache import cached
from reasongym.tasks.columns import head, hidden
from reasongym.tasks.links import NAMES
from reasongym.tasks.passages import Built, Faults, FindSupport, Passage, build
from reasongym.tasks.source import code_hash
from reasongym.tasks.tokens import Tokenizer, load_tokenizer
from reasongym.types import Columns, Encoding, Encodings, Problem, Spans, Story

STORIES_KEPT = 1024
"""Story objects kept for the problems that share them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a source's texts are cut and its answers judged."""

    tokenizer: Tokenizer
    unit_tokens: int
    question_tokens: int
    spans: Spans


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a published data set is built from.

    Attributes:
        dataset: its name, e.g. "squad2".
        kind: "published" or "hub".
        split: "train", "validation" or "test".
        digests: hashes of the files' content.
        knobs: the settings of `difficulty`; "max_units" is read here, the others by `read`.
        read: hands out the passages of the split, reporting broken records to the `Faults`.
        find_support: the support of a passage's questions.
    """

    dataset: str
    kind: str
    split: str
    digests: Sequence[str]
    knobs: Mapping[str, Any]
    shape: Shape
    read: Callable[[Faults], Iterable[Passage]]
    find_support: FindSupport
    strict: bool

    def fingerprint(self) -> str:
        """Hash of the files and of every argument that matters."""
        shape = self.shape
        lengths = (shape.unit_tokens, shape.question_tokens, shape.spans.max_length)
        cut_by = (shape.tokenizer.digest, sentences.version())
        parts = (self.dataset, self.kind, self.split, self.strict, list(self.digests), dict(self.knobs), lengths, cut_by)
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()

    def build(self) -> Built:
        faults = Faults(self.strict)
        built = build(
            self.read(faults),
            self.find_support,
            faults,
            tokenizer=self.shape.tokenizer,
            unit_tokens=self.shape.unit_tokens,
            question_tokens=self.shape.question_tokens,
            max_units=self.knobs.get("max_units"),
        )
        if not len(built.columns.story):
            first = f"; the first broken record: {faults.first}" if faults.first else ""
            asked = f" with difficulty={dict(self.knobs)}" if self.knobs else ""
            raise DataError(f"{self.dataset}: no question falls into the split {self.split!r}{asked}{first}")
        return built


class TextSource:
    """A published data set of natural text; `reasongym.types.SpanSource`.

    Attributes:
        spans: how answers are pointed to and judged.
        split: "train", "validation" or "test".
        annotation: whether problems carry answers and support.
        skipped: broken records left out (never when strict).
    """

    def __init__(self, recipe: Recipe, *, num_problems: int | None = None, annotation: bool = True) -> None:
        self.name = f"{recipe.dataset}/{recipe.kind}/{recipe.split}"
        self.split, self.annotation, self.spans = recipe.split, annotation, recipe.shape.spans
        self.unit_tokens, self.question_tokens = recipe.shape.unit_tokens, recipe.shape.question_tokens
        self.fingerprint = recipe.fingerprint()
        key = hashlib.blake2b(f"{self.fingerprint}/{code_hash('*.py')}".encode(), digest_size=16).hexdigest()
        built = cached(f"{recipe.dataset}-{key}", recipe.build, Built.pack, Built.unpack)
        self.skipped = built.skipped
        if self.skipped:
            warnings.warn(
                f"broken records left out of {self.name}: {self.skipped}; the first: {built.first_fault}", stacklevel=4
            )
        columns = built.columns if num_problems is None else head(built.columns, num_problems)
        self._columns = columns if annotation else hidden(columns)
        self._tokens = built.tokens
        self._meta = {**built.meta, **(built.gold_meta if annotation else {})}
        self._label = f"{recipe.dataset}/{recipe.split}"
        self._stories: dict[int, Story] = {}
        self._tokenizer = recipe.shape.tokenizer
        self.vocabulary = recipe.shape.tokenizer.vocabulary
        self.choices: tuple[str, ...] = ()
        self.kinds: tuple[str, ...] = ("span",)
        self.choice_kinds: tuple[int, ...] = ()
        self.entities = NAMES
        self.num_problems: int | None = len(columns.story)
        self.max_units: int = int(columns.num_units.max())

    def columns(self) -> Columns:
        """All problems as flat arrays."""
        return self._columns

    def problem(self, index: int) -> Problem:
        """Problem `index`.

        Raises:
            IndexError: outside [0, num_problems).
        """
        c = self._columns
        if not 0 <= index < len(c.story):
            raise IndexError(f"problem {index} of {self.name}, which has the problems 0 to {len(c.story) - 1}")
        support = tuple(c.support[c.support_start[index] : c.support_start[index + 1]].tolist())
        references = c.reference[c.reference_start[index] : c.reference_start[index + 1]].tolist()
        meta = {name: value for name, values in self._meta.items() if (value := values[index]) is not None}
        return Problem(
            name=f"{self._label}/{index}",
            task=int(c.task[index]),
            story=self._story(int(c.story[index])),
            num_units=int(c.num_units[index]),
            question=c.questions[c.question[index]],
            question_entities=int(c.question_entities[index]),
            answer_kind="span",
            answers=tuple(c.references[i] for i in references),
            support=support if c.support_known[index] else None,
            prerequisites=(0,) * len(support),
            meta=meta,
        )

    def _story(self, index: int) -> Story:
        story = self._stories.get(index)
        if story is None:
            c = self._columns
            units = slice(c.story_start[index], c.story_start[index + 1])
            story = Story(
                units=tuple(c.sentences[i] for i in c.unit_sentence[units].tolist()),
                superseded_by=tuple(c.superseded_by[units].tolist()),
                entities=tuple(c.entities[units].tolist()),
                same_as=tuple(c.same_as[units].tolist()),
                offsets=tuple(c.offsets[units].tolist()),
            )
            if len(self._stories) >= STORIES_KEPT:
                self._stories.clear()
            self._stories[index] = story
        return story

    def encode(self, text: str) -> Encoding:
        """A unit or a question in tokens, with offsets."""
        return self._tokenizer.encode(text)

    def encode_all(self, texts: list[str]) -> list[Encoding]:
        """Many units or questions in tokens, at once."""
        return self._tokenizer.encode_all(texts)

    def tokens(self) -> tuple[Encodings, Encodings] | None:
        """Those of the sentences and of the questions of `columns()`, where they were just made; None: ask `encode_all`."""
        return self._tokens

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a unit or a question."""
        return list(self.encode(text).ids)

    def choice_of(self, answer: str) -> int:
        """
        Raises:
            ValueError: always, since answers are spans.
        """
        raise ValueError(
            f"{answer!r} is no choice: the answers of {self.name} are spans of its units, it has no list of choices"
        )


def bound_of(split: str, num_problems: int | Literal["auto"] | None) -> int | None:
    """The upper bound of problems; None is all.

    Raises:
        UnknownNameError: no such split.
        ValueError: a split that published text does not have, or a number below 1.
    """
    if split == "ood":
        raise ValueError("the split 'ood' exists for source='procedural' only: published files have train, validation and test")
    if split not in ("train", "validation", "test"):
        raise unknown("split", split, ("train", "validation", "test"))
    return None if num_problems in ("auto", None) else _whole("num_problems", num_problems)


def shape_of(
    tokenizer: str | os.PathLike[str] | None,
    unit_tokens: int | None,
    question_tokens: int | None,
    max_answer_length: int | None,
    defaults: tuple[int, int, Spans],
) -> Shape:
    """What the arguments of a `load` ask for; None stands for the data set's default.

    Raises:
        TypeError, ValueError: a length that is no whole number, or is too small.
    """
    longest_unit, longest_question, spans = defaults
    if max_answer_length is not None:
        spans = replace(spans, max_length=_whole("max_answer_length", max_answer_length, least=0))
    return Shape(
        load_tokenizer(None if tokenizer is None else os.fspath(tokenizer)),
        longest_unit if unit_tokens is None else _whole("unit_tokens", unit_tokens),
        longest_question if question_tokens is None else _whole("question_tokens", question_tokens),
        spans,
    )


def _whole(name: str, value: object, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def knobs_of(difficulty: str | Mapping[str, Any], known: Mapping[str, Sequence[Any] | None]) -> dict[str, Any]:
    """The knobs of a published data set; "published" is none.

    Args:
        known: the values of each knob; None stands for a whole number from 1.

    Raises:
        UnknownNameError: a difficulty, a knob or a value that does not exist.
        TypeError, ValueError: a number that is none, or below 1.
    """
    if isinstance(difficulty, str):
        if difficulty != "published":
            raise unknown("difficulty", difficulty, ("published",))
        return {}
    if not isinstance(difficulty, Mapping):
        raise TypeError(f"difficulty must be 'published' or a mapping of {', '.join(known)}, got {difficulty!r}")
    for name, value in difficulty.items():
        if name not in known:
            raise unknown("knob of difficulty", name, known)
        values = known[name]
        if values is None:
            _whole(f"difficulty[{name!r}]", value)
        elif value not in values:
            raise unknown(f"value of difficulty[{name!r}]", value, values)
    return dict(sorted(difficulty.items()))

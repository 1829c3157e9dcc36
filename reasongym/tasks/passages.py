"""From texts with questions, as published, to columns: units, link words, references and support.

The readers of the published layouts (`squad2`, `narrativeqa`, `fairytaleqa`) hand out `Passage` objects one by one, so that a
whole data set is never in memory as objects; only flat arrays and distinct strings are kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.tasks.columns import DTYPES, SPAN_DTYPES
from reasongym.tasks.links import link_masks
from reasongym.tasks.sentences import units_of
from reasongym.tasks.tokens import Tokenizer
from reasongym.types import MAX_SUPPORT, Columns, Encoding, Encodings

MAX_UNITS = 32_000
"""Most units of a text: unit indices are int16."""
BETWEEN_SECTIONS = "\n\n"
TEXTS_AT_ONCE = 512
"""Passages whose units are tokenized together."""


class FaultyRecordError(Exception):
    """What is wrong with the present record."""


class Faults:
    """Broken records: the first one raises (strict), or they are counted and the first remembered."""

    def __init__(self, strict: bool) -> None:
        self.strict, self.count, self.first = strict, 0, ""

    def add(self, where: str, fault: object) -> None:
        """
        Raises:
            DataError: when strict.
        """
        message = f"{where}: {fault}"
        if self.strict:
            raise DataError(f"{message} (strict=False leaves broken records out)")
        self.count, self.first = self.count + 1, self.first or message


@dataclass(slots=True)
class Asked:
    """A question as published.

    Attributes:
        where: file and record, for messages.
        references: accepted answers, distinct; () where the text holds none.
        meta, gold_meta: JSON values for `Problem.meta`; `gold_meta` only with annotation.
        evidence: whatever the data set's `find_support` reads.
    """

    where: str
    question: str
    references: tuple[str, ...]
    meta: dict[str, Any]
    gold_meta: dict[str, Any]
    evidence: Any = None


@dataclass(slots=True)
class Passage:
    """A text as published, in sections that no unit crosses (most have one), and what is asked about it."""

    where: str
    sections: tuple[str, ...]
    asked: list[Asked]


@dataclass(frozen=True, slots=True)
class Units:
    """A passage's units, with their place in the text (its sections joined by a blank line) and their section's index."""

    texts: tuple[str, ...]
    offsets: tuple[int, ...]
    sections: tuple[int, ...]
    links: tuple[int, ...]


Support = tuple[int, ...] | None
FindSupport = Callable[[Passage, Units, Sequence[int]], list[Support]]
"""For each question of a passage its support; the last argument is the questions' link masks."""


@dataclass(frozen=True, eq=False, slots=True)
class Built:
    """A data set, built.

    Attributes:
        columns: its stories and problems, with references and support.
        meta, gold_meta: by name, one value per problem (None: the problem has no such value).
        skipped: broken records left out, and what was wrong with the first.
        tokens: of its sentences and of its questions, which were needed to cut the texts; None where it came from the cache.
    """

    columns: Columns
    meta: dict[str, list[Any]]
    gold_meta: dict[str, list[Any]]
    skipped: int
    first_fault: str
    tokens: tuple[Encodings, Encodings] | None = None

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As an entry of the cache; `unpack` is the way back."""
        c = self.columns
        texts = {"sentences": c.sentences, "questions": c.questions, "references": c.references}
        others = {name: getattr(self, name) for name in ("meta", "gold_meta", "skipped", "first_fault")}
        return {**texts, **others}, {name: getattr(c, name) for name in (*DTYPES, *SPAN_DTYPES)}

    @staticmethod
    def unpack(texts: dict[str, Any], arrays: dict[str, Any]) -> Built:
        strings: dict[str, Any] = {name: tuple(texts.pop(name)) for name in ("sentences", "questions", "references")}
        return Built(columns=Columns(**strings, **{name: arrays[name] for name in (*DTYPES, *SPAN_DTYPES)}), **texts)


@dataclass(slots=True)
class _Tokens:
    """`Encodings` under construction; objects are kept of some texts only."""

    done: Encodings = field(default_factory=lambda: Encodings.of([]))
    pending: list[Encoding] = field(default_factory=list)

    def flush(self) -> None:
        self.done, self.pending = self.done + Encodings.of(self.pending), []


@dataclass(slots=True)
class _Rows:
    """Columns under construction."""

    sentences: dict[str, int] = field(default_factory=dict)
    sentence_tokens: _Tokens = field(default_factory=_Tokens)
    questions: dict[str, int] = field(default_factory=dict)
    question_tokens: _Tokens = field(default_factory=_Tokens)
    references: dict[str, int] = field(default_factory=dict)
    arrays: dict[str, array] = field(default_factory=dict)
    meta: dict[str, list[Any]] = field(default_factory=dict)
    gold_meta: dict[str, list[Any]] = field(default_factory=dict)


_TYPECODES = {"int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint64": "Q", "bool": "b"}


def build(
    passages: Iterable[Passage],
    find_support: FindSupport,
    faults: Faults,
    *,
    tokenizer: Tokenizer,
    unit_tokens: int,
    question_tokens: int,
    max_units: int | None = None,
) -> Built:
    """Cut the passages into units and put everything into columns.

    Passages without questions are left out; so, when `max_units` is given, are those with more units.

    Raises:
        DataError: a question or a text is longer than the shapes allow (unless `faults` collects such records).
    """
    rows = _Rows()
    for name, dtype in {**DTYPES, **SPAN_DTYPES}.items():
        rows.arrays[name] = array(_TYPECODES[np.dtype(dtype).name])
        if name in ("story_start", "support_start", "reference_start"):
            rows.arrays[name].append(0)
    stream = iter(passages)
    while batch := list(islice(stream, TEXTS_AT_ONCE)):
        batch = [passage for passage in batch if passage.asked]
        questions = _checked_questions(batch, tokenizer, question_tokens, faults)
        for passage, places in zip(batch, _places(batch, tokenizer, unit_tokens), strict=True):
            if not passage.asked:
                continue
            if not 0 < len(places) <= MAX_UNITS:
                faults.add(passage.where, _wrong_size(len(places), unit_tokens))
            elif max_units is None or len(places) <= max_units:
                _add(rows, passage, places, questions, find_support, faults)
        rows.sentence_tokens.flush()
        rows.question_tokens.flush()
    arrays: dict[str, Any] = {name: np.array(rows.arrays.pop(name), dtype) for name, dtype in {**DTYPES, **SPAN_DTYPES}.items()}
    texts: dict[str, Any] = {name: tuple(getattr(rows, name)) for name in ("sentences", "questions", "references")}
    tokens = rows.sentence_tokens.done, rows.question_tokens.done
    return Built(Columns(**texts, **arrays), rows.meta, rows.gold_meta, faults.count, faults.first, tokens)


def _wrong_size(units: int, unit_tokens: int) -> str:
    if not units:
        return "the text holds nothing to read"
    return f"the text has {units:,} units of at most {unit_tokens} tokens; an episode can have {MAX_UNITS:,}"


def _checked_questions(
    batch: Sequence[Passage], tokenizer: Tokenizer, question_tokens: int, faults: Faults
) -> dict[str, Encoding]:
    """Leave out questions that are longer than the shapes, or that have no token at all; the others in tokens."""
    distinct = list({one.question: None for passage in batch for one in passage.asked})
    encodings = dict(zip(distinct, tokenizer.encode_all(distinct), strict=True))
    for passage in batch:
        kept = []
        for one in passage.asked:
            size = len(encodings[one.question])
            if 0 < size <= question_tokens:
                kept.append(one)
            else:
                fault = f"a question of {size} tokens, expected 1 to {question_tokens}"
                faults.add(one.where, f"{fault}: pass question_tokens={size}" if size else fault)
        passage.asked = kept
    return encodings


Place = tuple[int, int, int, Encoding]
"""A unit: (section, start, end, tokens), counted within the section."""


def _places(batch: Sequence[Passage], tokenizer: Tokenizer, unit_tokens: int) -> Iterator[list[Place]]:
    """For each passage its units."""
    found = iter(units_of([section for passage in batch for section in passage.sections], tokenizer, unit_tokens))
    for passage in batch:
        yield [(i, *unit) for i in range(len(passage.sections)) for unit in next(found)]


def _add(
    rows: _Rows,
    passage: Passage,
    places: list[Place],
    questions: dict[str, Encoding],
    find_support: FindSupport,
    faults: Faults,
) -> None:
    first = [0]
    for section in passage.sections:
        first.append(first[-1] + len(section) + len(BETWEEN_SECTIONS))
    texts = tuple(passage.sections[i][start:end] for i, start, end, _ in places)
    links, question_links = link_masks(texts, [one.question for one in passage.asked])
    offsets, sections = tuple(first[i] + start for i, start, *_ in places), tuple(i for i, *_ in places)
    units = Units(texts, offsets, sections, tuple(links))
    arrays, story = rows.arrays, len(rows.arrays["story_start"]) - 1
    for text, (*_, encoding) in zip(texts, places, strict=True):
        if text not in rows.sentences:
            rows.sentences[text] = len(rows.sentences)
            rows.sentence_tokens.pending.append(encoding)
        arrays["unit_sentence"].append(rows.sentences[text])
    arrays["superseded_by"].extend([-1] * len(texts))
    arrays["entities"].extend(links)
    arrays["same_as"].extend(range(len(texts)))
    arrays["offsets"].extend(offsets)
    arrays["story_start"].append(len(arrays["unit_sentence"]))
    before = len(arrays["question"])
    for one, mask, support in zip(passage.asked, question_links, find_support(passage, units, question_links), strict=True):
        if support is not None and len(support) > MAX_SUPPORT:
            faults.add(one.where, f"{len(support)} units support the answer, at most {MAX_SUPPORT} can")
            continue
        if one.question not in rows.questions:
            rows.questions[one.question] = len(rows.questions)
            rows.question_tokens.pending.append(questions[one.question])
        arrays["question"].append(rows.questions[one.question])
        arrays["question_entities"].append(mask)
        arrays["support_known"].append(support is not None)
        arrays["support"].extend(support or ())
        arrays["prerequisites"].extend([0] * len(support or ()))
        arrays["support_start"].append(len(arrays["support"]))
        arrays["reference"].extend(rows.references.setdefault(text, len(rows.references)) for text in one.references)
        arrays["reference_start"].append(len(arrays["reference"]))
        _note(rows.meta, one.meta, len(arrays["question"]))
        _note(rows.gold_meta, one.gold_meta, len(arrays["question"]))
    same = {"story": story, "num_units": len(texts), "answer_kind": 0, "gold": -1, "task": 0}
    for name, value in same.items():
        arrays[name].extend([value] * (len(arrays["question"]) - before))


def _note(columns: dict[str, list[Any]], values: dict[str, Any], count: int) -> None:
    """Add a problem's values, so that every column is `count` long."""
    for name in values:
        if name not in columns:
            columns[name] = [None] * (count - 1)
    for name, column in columns.items():
        column.append(values.get(name))

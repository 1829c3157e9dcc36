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
from reasongym.tasks.links import Links
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
    rows, linker = _Rows(), Links()
    for name, dtype in {**DTYPES, **SPAN_DTYPES}.items():
        rows.arrays[name] = array(_TYPECODES[np.dtype(dtype).name])
        if name in ("story_start", "support_start", "reference_start"):
            rows.arrays[name].append(0)
    stream = iter(passages)
    while batch := list(islice(stream, TEXTS_AT_ONCE)):
        batch = [passage for passage in batch if passage.asked]
        questions = _checked_questions(batch, tokenizer, question_tokens, faults)
        cut = [
            (passage, pieces)
            for passage, pieces in zip(batch, _cut(batch, tokenizer, unit_tokens), strict=True)
            if passage.asked and _fits(passage, len(pieces.texts), unit_tokens, max_units, faults)
        ]
        links = linker.masks([(pieces.texts, [one.question for one in passage.asked]) for passage, pieces in cut])
        for (passage, pieces), masks in zip(cut, links, strict=True):
            units = Units(pieces.texts, pieces.offsets, pieces.sections, tuple(masks[0]))
            story = _add_story(rows, units, pieces.encodings)
            supports = find_support(passage, units, masks[1])
            _add_problems(rows, passage.asked, story, masks[1], supports, questions, faults)
        rows.sentence_tokens.flush()
        rows.question_tokens.flush()
    arrays: dict[str, Any] = {name: np.array(rows.arrays.pop(name), dtype) for name, dtype in {**DTYPES, **SPAN_DTYPES}.items()}
    texts: dict[str, Any] = {name: tuple(getattr(rows, name)) for name in ("sentences", "questions", "references")}
    tokens = rows.sentence_tokens.done, rows.question_tokens.done
    return Built(Columns(**texts, **arrays), rows.meta, rows.gold_meta, faults.count, faults.first, tokens)


def _fits(passage: Passage, units: int, unit_tokens: int, max_units: int | None, faults: Faults) -> bool:
    """Whether a passage of so many units is wanted; one that no episode could read is a fault."""
    if not units:
        faults.add(passage.where, "the text holds nothing to read")
    elif units > MAX_UNITS:
        size = f"{units:,} units of at most {unit_tokens} tokens"
        faults.add(passage.where, f"the text has {size}; an episode can have {MAX_UNITS:,}")
    return 0 < units <= MAX_UNITS and (max_units is None or units <= max_units)


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


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A passage cut into units: as in `Units`, and in tokens."""

    texts: tuple[str, ...]
    offsets: tuple[int, ...]
    sections: tuple[int, ...]
    encodings: tuple[Encoding, ...]


def _cut(batch: Sequence[Passage], tokenizer: Tokenizer, unit_tokens: int) -> Iterator[_Pieces]:
    """Each passage in units."""
    found = iter(units_of([section for passage in batch for section in passage.sections], tokenizer, unit_tokens))
    for passage in batch:
        pieces: list[tuple[str, int, int, Encoding]] = []
        first = 0
        for i, (section, units) in enumerate(zip(passage.sections, found, strict=False)):  # the next passage takes what is left
            pieces += [(section[start:end], first + start, i, encoding) for start, end, encoding in units]
            first += len(section) + len(BETWEEN_SECTIONS)
        yield _Pieces(*zip(*pieces, strict=True)) if pieces else _Pieces((), (), (), ())


def _add_story(rows: _Rows, units: Units, encodings: Sequence[Encoding]) -> int:
    """The next row of stories."""
    arrays, known = rows.arrays, rows.sentences
    for text, encoding in zip(units.texts, encodings, strict=True):
        if text not in known:
            known[text] = len(known)
            rows.sentence_tokens.pending.append(encoding)
    arrays["unit_sentence"].extend(map(known.__getitem__, units.texts))
    arrays["superseded_by"].extend([-1] * len(units.texts))
    arrays["entities"].extend(units.links)
    arrays["same_as"].extend(range(len(units.texts)))
    arrays["offsets"].extend(units.offsets)
    arrays["story_start"].append(len(arrays["unit_sentence"]))
    return len(arrays["story_start"]) - 2


def _add_problems(
    rows: _Rows,
    asked: Sequence[Asked],
    story: int,
    links: Sequence[int],
    supports: Sequence[Support],
    questions: dict[str, Encoding],
    faults: Faults,
) -> None:
    """What is asked about the story of that row."""
    arrays, known, before = rows.arrays, rows.questions, len(rows.arrays["question"])
    kept = []
    for one, mask, support in zip(asked, links, supports, strict=True):
        if support is not None and len(support) > MAX_SUPPORT:
            faults.add(one.where, f"{len(support)} units support the answer, at most {MAX_SUPPORT} can")
            continue
        kept.append(one)
        if one.question not in known:
            known[one.question] = len(known)
            rows.question_tokens.pending.append(questions[one.question])
        arrays["question_entities"].append(mask)
        arrays["support_known"].append(support is not None)
        arrays["support"].extend(support or ())
        arrays["support_start"].append(len(arrays["support"]))
        arrays["reference"].extend([rows.references.setdefault(text, len(rows.references)) for text in one.references])
        arrays["reference_start"].append(len(arrays["reference"]))
    arrays["question"].extend([known[one.question] for one in kept])
    arrays["prerequisites"].extend([0] * (len(arrays["support"]) - len(arrays["prerequisites"])))
    num_units = arrays["story_start"][story + 1] - arrays["story_start"][story]
    same = {"story": story, "num_units": num_units, "answer_kind": 0, "gold": -1, "task": 0}
    for name, value in same.items():
        arrays[name].extend([value] * len(kept))
    _note(rows.meta, [one.meta for one in kept], before)
    _note(rows.gold_meta, [one.gold_meta for one in kept], before)


def _note(columns: dict[str, list[Any]], rows: list[dict[str, Any]], before: int) -> None:
    """Add the values of the next problems; columns that are new get None for those before."""
    for name in (name for row in rows for name in row):
        if name not in columns:
            columns[name] = [None] * before
    for name, column in columns.items():
        column.extend([row.get(name) for row in rows])

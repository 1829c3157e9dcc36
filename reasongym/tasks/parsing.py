"""The published bAbI file format, read into columns.

A line is `ID text`, or `ID question<tab>answer<tab>IDs of the supporting lines`; IDs start again at 1 with each story.
Each distinct sentence and question is parsed once, and only columns of small integers are kept.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.seeding import story_bucket
from reasongym.tasks.base import Event, Query, World
from reasongym.tasks.columns import DTYPES
from reasongym.tasks.worlds import lexicon
from reasongym.types import MAX_SUPPORT, Columns

_TYPECODES = {np.int8: "b", np.int16: "h", np.int32: "i", np.int64: "q", np.uint64: "Q", np.bool_: "b"}


@dataclass(frozen=True, eq=False, slots=True)
class ParsedFile:
    """One published file.

    Attributes:
        columns: its stories and problems; `gold` counts in the joint `lexicon.CHOICES`.
        answers: the distinct answer strings, as published.
        answer: (P,) int16, index into `answers`.
        bucket: (S,) int8, `seeding.story_bucket` of each whole story.
        skipped: stories left out because they are broken (never when strict).
        first_fault: what was wrong with the first of them, or "".
    """

    columns: Columns
    answers: tuple[str, ...]
    answer: np.ndarray
    bucket: np.ndarray
    skipped: int
    first_fault: str

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As an entry of the cache; `unpack` is the way back."""
        c = self.columns
        arrays = {name: getattr(c, name) for name in DTYPES} | {"answer": self.answer, "bucket": self.bucket}
        others = {name: getattr(self, name) for name in ("answers", "skipped", "first_fault")}
        return {"sentences": c.sentences, "questions": c.questions, **others}, arrays

    @staticmethod
    def unpack(texts: dict[str, Any], arrays: dict[str, Any]) -> ParsedFile:
        return ParsedFile(
            Columns(
                sentences=tuple(texts["sentences"]),
                questions=tuple(texts["questions"]),
                **{name: arrays[name] for name in DTYPES},
            ),
            tuple(texts["answers"]),
            arrays["answer"],
            arrays["bucket"],
            texts["skipped"],
            texts["first_fault"],
        )


class _FaultyLineError(Exception):
    """What is wrong with the present line."""


@dataclass(slots=True)
class _Story:
    """A story being read: its lines so far."""

    unit_ids: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    unit_of_line: list[int] = field(default_factory=list)
    """For each line of the story, the unit that it holds, or -1 for a question."""
    asked: list[tuple[int, int, int, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    """Per question: units before it, question id, answer id, support, prerequisites."""


def parse_file(world: World, text: str, where: str, *, strict: bool = True) -> ParsedFile:
    """Read a published file of one task.

    Args:
        text: the file's content.
        where: the file's name, for messages.
        strict: False leaves out a story with a fault, counts it, and goes on with the next one.

    Raises:
        DataError: the file has a fault (strict), or no story at all; the message names file and line.
    """
    reader = _Reader(world)
    skipped, first_fault = 0, ""
    lines = text.splitlines()
    if not lines:
        raise DataError(f"{where}, line 1: expected the first line of a story, got its end: the file is empty or cut short")
    starts = sorted({0, *(i for i, line in enumerate(lines) if line.startswith("1 "))})
    for start, end in pairwise([*starts, len(lines)]):
        story, number = _Story(), start
        try:
            for number in range(start, end):
                reader.read(story, lines[number])
            if end == len(lines) and not text.endswith("\n"):
                reader.check_last(story)
            reader.keep(story)
        except _FaultyLineError as fault:
            first_fault = first_fault or f"{where}, line {number + 1}: {fault}"
            skipped += 1
            if strict:
                raise DataError(first_fault) from None
    if not reader.num_stories:
        raise DataError(f"{where} holds no whole story; the first fault: {first_fault}")
    return reader.result(skipped, first_fault)


class _Reader:
    """Parses lines, with a memory for sentences, and collects whole stories as columns."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.num_stories = 0
        self.sentences: dict[str, int] = {}
        self.event_of: list[Event] = []
        self.questions: dict[str, int] = {}
        self.query_of: list[Query] = []
        self.answers: dict[str, int] = {}
        self.choice_of: list[int] = []
        self.columns = {name: array(_TYPECODES[dtype]) for name, dtype in DTYPES.items()}
        self.answer = array("h")
        self.bucket = array("b")
        self.columns["story_start"].append(0)
        self.columns["support_start"].append(0)

    def read(self, story: _Story, line: str) -> None:
        """Add a line to the story it belongs to."""
        label, _, rest = line.partition(" ")
        expected = len(story.unit_of_line) + 1
        if label != str(expected):
            raise _FaultyLineError(f"expected a line with the id {expected} (or 1, for the next story), got {_short(line)}")
        if "\t" in rest:
            self._ask(story, rest)
        else:
            self._state(story, rest.rstrip())

    def _state(self, story: _Story, sentence: str) -> None:
        index = self.sentences.get(sentence)
        if index is None:
            if sentence.endswith("?"):
                raise _FaultyLineError(
                    f"expected 'question<tab>answer<tab>supporting ids', got {_short(sentence)} without tabs"
                )
            try:
                event = self.world.parse_unit(sentence)
            except ValueError as error:
                raise _FaultyLineError(f"unknown sentence in task {self.world.task}: {error}") from None
            index = self.sentences[sentence] = len(self.sentences)
            self.event_of.append(event)
        story.unit_of_line.append(len(story.unit_ids))
        story.unit_ids.append(index)
        story.events.append(self.event_of[index])

    def _ask(self, story: _Story, rest: str) -> None:
        fields = rest.split("\t")
        if len(fields) != 3:
            raise _FaultyLineError(
                f"expected 'question<tab>answer<tab>supporting ids', got {len(fields)} fields: {_short(rest)}"
            )
        question = self._question(fields[0].rstrip())
        answer = self._answer(fields[1].strip())
        support = self._support(story, fields[2].split())
        try:
            facts = [(unit, story.events[unit]) for unit in support]
            prerequisites = self.world.prerequisites(facts, self.query_of[question])
        except ValueError as error:
            raise _FaultyLineError(f"the supporting ids {fields[2]!r} do not prove the answer: {error}") from None
        story.unit_of_line.append(-1)
        story.asked.append((len(story.unit_ids), question, answer, support, prerequisites))

    def _question(self, question: str) -> int:
        index = self.questions.get(question)
        if index is None:
            try:
                query = self.world.parse_question(question)
            except ValueError as error:
                raise _FaultyLineError(f"unknown question in task {self.world.task}: {error}") from None
            index = self.questions[question] = len(self.questions)
            self.query_of.append(query)
        return index

    def _answer(self, answer: str) -> int:
        index = self.answers.get(answer)
        if index is None:
            choice = lexicon.canonical_answer(answer)
            if choice not in self.world.answers:
                known = ", ".join(self.world.answers)
                raise _FaultyLineError(f"unknown answer {answer!r}: task {self.world.task} has the answers {known}")
            index = self.answers[answer] = len(self.answers)
            self.choice_of.append(lexicon.CHOICES.index(choice))
        return index

    def _support(self, story: _Story, ids: list[str]) -> tuple[int, ...]:
        lines = story.unit_of_line
        if not 0 < len(ids) <= MAX_SUPPORT:
            raise _FaultyLineError(f"expected 1 to {MAX_SUPPORT} supporting ids, got {len(ids)}")
        support = []
        for text in ids:
            if not text.isascii() or not text.isdigit() or not 0 < int(text) <= len(lines):
                raise _FaultyLineError(f"the supporting id {text!r} is not the id of an earlier line (1 to {len(lines)})")
            unit = lines[int(text) - 1]
            if unit < 0:
                raise _FaultyLineError(f"the supporting id {text!r} points to a question, expected a statement")
            support.append(unit)
        return tuple(dict.fromkeys(support))

    def check_last(self, story: _Story) -> None:
        """Where a file does not end with a new line its last line may be cut short: then its support proves nothing."""
        if not story.asked:
            return
        _, question, answer, support, _ = story.asked[-1]
        proof = self.world.solve([(unit, story.events[unit]) for unit in sorted(support)], self.query_of[question])
        if proof.answer is None or lexicon.CHOICES.index(proof.answer) != self.choice_of[answer]:
            raise _FaultyLineError("the last line has no end and its support does not prove its answer: the file is cut short")

    def keep(self, story: _Story) -> None:
        """Add a whole story to the columns."""
        if not story.unit_of_line or story.unit_of_line[-1] >= 0:
            raise _FaultyLineError("expected a question at the end of the story, got its end: it is cut short")
        columns = self.columns
        annotation = self.world.annotate(story.events)
        columns["unit_sentence"].extend(story.unit_ids)
        columns["superseded_by"].extend(annotation.superseded_by)
        columns["entities"].extend(annotation.entities)
        columns["same_as"].extend(annotation.same_as)
        columns["story_start"].append(len(columns["unit_sentence"]))
        self.bucket.append(story_bucket(tuple(story.events)))
        for num_units, question, answer, support, prerequisites in story.asked:
            columns["story"].append(self.num_stories)
            columns["num_units"].append(num_units)
            columns["question"].append(question)
            columns["gold"].append(self.choice_of[answer])
            columns["support"].extend(support)
            columns["prerequisites"].extend(prerequisites)
            columns["support_start"].append(len(columns["support"]))
            self.answer.append(answer)
        self.num_stories += 1

    def result(self, skipped: int, first_fault: str) -> ParsedFile:
        about = [self.world.about(query) for query in self.query_of]
        masks = np.array([mask for mask, _ in about], np.uint64)
        kinds = np.array([lexicon.KINDS.index(kind) for _, kind in about], np.int8)
        arrays: dict[str, Any] = {name: np.array(self.columns[name], dtype) for name, dtype in DTYPES.items()}
        question = arrays["question"]
        arrays["question_entities"], arrays["answer_kind"] = masks[question], kinds[question]
        arrays["task"] = np.full(len(question), self.world.task, np.int8)
        arrays["support_known"] = np.ones(len(question), np.bool_)
        return ParsedFile(
            columns=Columns(sentences=tuple(self.sentences), questions=tuple(self.questions), **arrays),
            answers=tuple(self.answers),
            answer=np.array(self.answer, np.int16),
            bucket=np.array(self.bucket, np.int8),
            skipped=skipped,
            first_fault=first_fault,
        )


def _short(line: str) -> str:
    return repr(line if len(line) <= 80 else line[:77] + "...")

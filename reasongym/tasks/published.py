"""bAbI problems from the published files, kept as columns; `Problem` objects are built when asked for.

Validation is a tenth of the training stories, by the hash of the whole story, so that equal stories share a side (where
the layout has a `_valid.txt` of its own, that is used instead).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reasongym.errors import DataError
from reasongym.seeding import BUCKETS
from reasongym.tasks.base import World
from reasongym.tasks.cache import cached
from reasongym.tasks.columns import DTYPES, head, hidden
from reasongym.tasks.layout import Layout
from reasongym.tasks.parsing import ParsedFile, parse_file
from reasongym.tasks.source import BabiSource, code_hash
from reasongym.tasks.worlds import lexicon
from reasongym.types import Columns, Problem, Story

STORIES_KEPT = 1024
"""Story objects kept for the problems that share them."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """The file that holds a task's part of a split.

    Attributes:
        where: its name, for messages.
        content: its bytes.
        divided: whether its stories are divided into train and validation by their hash.
    """

    world: World
    where: str
    content: bytes
    divided: bool


def task_files(layout: Layout, worlds: Sequence[World], split: str, *, allow_partial: bool) -> list[TaskFile]:
    """The files of a split. With several tasks, those of which only a part is published are left out unless allowed.

    Raises:
        DataError: a file is missing, or holds a part of its task and that is not allowed.
    """
    files = []
    for world in worlds:
        own = layout.find(world.task, "valid")
        part = {"train": "train", "validation": "valid" if own else "train", "test": "test"}[split]
        name = layout.find(world.task, part) or layout.find(world.task, part, whole=False)
        if name is None:
            raise DataError(
                f"{layout.where} has no file qa{world.task}_{world.name}_{part}.txt, which the split {split!r} needs; "
                f"it has {', '.join(sorted(layout.readers))}"
            )
        if ".partial." in name and not allow_partial:
            if len(worlds) > 1:
                continue
            raise DataError(f"{layout.where}/{name} holds a part of task {world.task} only: pass allow_partial=True to use it")
        divided = part == "train" and own is None
        files.append(TaskFile(world, f"{layout.where}/{name}", layout.read(name), divided))
    if not files:
        raise DataError(f"{layout.where} holds parts of the tasks only: pass allow_partial=True to use them")
    return files


class PublishedSource(BabiSource):
    """Published bAbI problems, one task after another; see `reasongym.tasks.babi.load`.

    Attributes:
        skipped: broken stories left out (never when strict).
    """

    def __init__(
        self,
        files: Sequence[TaskFile],
        *,
        folder: str,
        split: str,
        num_problems: int | None = None,
        max_units: int | None = None,
        strict: bool = True,
        annotation: bool = True,
    ) -> None:
        super().__init__([file.world for file in files], kind=folder, split=split, annotation=annotation)
        limit = "" if max_units is None else f"/{max_units}"
        digest = hashlib.blake2b(f"{split}/{strict}{limit}".encode(), digest_size=8)
        parts, faults = [], []
        for file in files:
            content = hashlib.blake2b(file.content, digest_size=16).hexdigest()
            digest.update(f"/{file.world.task}/{content}".encode())
            parsed = _parsed(file, content, strict)
            parts.append(_select(parsed, _stories(parsed, file, split), max_units))
            faults.append((parsed.skipped, parsed.first_fault))
        self.fingerprint = digest.hexdigest()
        self.skipped = sum(skipped for skipped, _ in faults)
        if self.skipped:
            first = next(fault for skipped, fault in faults if skipped)
            warnings.warn(f"broken stories left out of {self.name}: {self.skipped}; the first: {first}", stacklevel=3)
        joined = _join(parts)
        columns = head(joined.columns, len(joined.answer) if num_problems is None else num_problems)
        if not len(columns.story):
            raise DataError(f"{self.name} has no problem of at most {max_units} units (difficulty['max_units'])")
        self._columns = _with_choices(columns, self.choices) if annotation else hidden(columns)
        self._answers = joined.answers if annotation else ()
        self._answer = joined.answer if annotation else joined.answer[:0]
        self._first = {int(task): int(np.argmax(columns.task == task)) for task in np.unique(columns.task)}
        self._meta = {file.world.task: {"world": file.world.name, "split": split, "source": folder} for file in files}
        self._stories: dict[int, Story] = {}
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
        columns = self._columns
        if not 0 <= index < len(columns.story):
            raise IndexError(f"problem {index} of {self.name}, which has the problems 0 to {len(columns.story) - 1}")
        task = int(columns.task[index])
        known = bool(columns.support_known[index])
        entries = slice(columns.support_start[index], columns.support_start[index + 1])
        return Problem(
            name=f"qa{task}/{self.split}/{index - self._first[task]}",
            task=task,
            story=self._story(int(columns.story[index])),
            num_units=int(columns.num_units[index]),
            question=columns.questions[columns.question[index]],
            question_entities=int(columns.question_entities[index]),
            answer_kind=self.kinds[columns.answer_kind[index]],
            answers=(self._answers[self._answer[index]],) if self.annotation else (),
            support=tuple(columns.support[entries].tolist()) if known else None,
            prerequisites=tuple(columns.prerequisites[entries].tolist()),
            meta=self._meta[task],
        )

    def _story(self, index: int) -> Story:
        story = self._stories.get(index)
        if story is None:
            columns = self._columns
            units = slice(columns.story_start[index], columns.story_start[index + 1])
            story = Story(
                units=tuple(columns.sentences[i] for i in columns.unit_sentence[units].tolist()),
                superseded_by=tuple(columns.superseded_by[units].tolist()),
                entities=tuple(columns.entities[units].tolist()),
                same_as=tuple(columns.same_as[units].tolist()),
            )
            if len(self._stories) >= STORIES_KEPT:
                self._stories.clear()
            self._stories[index] = story
        return story


def _parsed(file: TaskFile, content: str, strict: bool) -> ParsedFile:
    def parse() -> ParsedFile:
        try:
            text = file.content.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{file.where} is not UTF-8 text: {error}") from None
        return parse_file(file.world, text, file.where, strict=strict)

    arguments = f"{file.world.task}/{strict}/{content}/{code_hash('*.py', 'worlds/*.py')}"
    key = hashlib.blake2b(arguments.encode(), digest_size=16).hexdigest()
    return cached(f"babi-{key}", parse, ParsedFile.pack, ParsedFile.unpack)


def _stories(parsed: ParsedFile, file: TaskFile, split: str) -> np.ndarray:
    """(S,) bool: which stories of the file belong to the split."""
    if not file.divided:
        return np.ones(len(parsed.bucket), np.bool_)
    held_out = np.isin(parsed.bucket, BUCKETS["validation"])
    keep: np.ndarray = held_out if split == "validation" else ~held_out
    if not keep.any():
        raise DataError(
            f"{file.where}: none of its {len(keep)} stories falls into the split {split!r}, which holds "
            f"{'a tenth' if split == 'validation' else 'nine tenths'} of them by their hash"
        )
    return keep


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def _select(parsed: ParsedFile, stories: np.ndarray, max_units: int | None) -> ParsedFile:
    """The parsed file with the stories marked in a mask, and their problems of at most `max_units` units."""
    if stories.all() and max_units is None:
        return parsed
    c = parsed.columns
    lengths, sizes = np.diff(c.story_start), np.diff(c.support_start)
    problems = stories[c.story]
    if max_units is not None:
        problems &= c.num_units <= max_units
    units, entries = np.repeat(stories, lengths), np.repeat(problems, sizes)
    rows = {
        name: getattr(c, name)[problems]
        for name in ("num_units", "question", "question_entities", "answer_kind", "gold", "task", "support_known")
    }
    columns = replace(
        c,
        story_start=_starts(lengths[stories]),
        unit_sentence=c.unit_sentence[units],
        superseded_by=c.superseded_by[units],
        entities=c.entities[units],
        same_as=c.same_as[units],
        story=(np.cumsum(stories) - 1)[c.story[problems]].astype(np.int32),
        support_start=_starts(sizes[problems]),
        support=c.support[entries],
        prerequisites=c.prerequisites[entries],
        **rows,
    )
    return replace(parsed, columns=columns, answer=parsed.answer[problems], bucket=parsed.bucket[stories])


def _join(parts: Sequence[ParsedFile]) -> ParsedFile:
    """Several parsed files as one, one after another; equal strings are stored once."""
    if len(parts) == 1:
        return parts[0]
    sentences, questions, answers = _Union(), _Union(), _Union()
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in DTYPES}
    answer = []
    for part in parts:
        c = part.columns
        for name, chunks in arrays.items():
            chunks.append(getattr(c, name))
        arrays["unit_sentence"][-1] = sentences.add(c.sentences)[c.unit_sentence]
        arrays["question"][-1] = questions.add(c.questions)[c.question]
        answer.append(answers.add(part.answers)[part.answer].astype(np.int16))
    stories = _starts(np.array([len(part.bucket) for part in parts]))
    arrays["story"] = [(story + first).astype(np.int32) for story, first in zip(arrays["story"], stories, strict=False)]
    for name in ("story_start", "support_start"):
        arrays[name] = [_starts(np.concatenate([np.diff(start) for start in arrays[name]]))]
    joined: dict[str, Any] = {name: np.concatenate(chunks) for name, chunks in arrays.items()}
    return ParsedFile(
        columns=Columns(sentences=sentences.strings(), questions=questions.strings(), **joined),
        answers=answers.strings(),
        answer=np.concatenate(answer),
        bucket=np.concatenate([part.bucket for part in parts]),
        skipped=sum(part.skipped for part in parts),
        first_fault=next((part.first_fault for part in parts if part.skipped), ""),
    )


class _Union:
    """Distinct strings of several lists."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def add(self, strings: Sequence[str]) -> np.ndarray:
        """Where each of the strings stands in the union."""
        return np.array([self._index.setdefault(string, len(self._index)) for string in strings], np.int32)

    def strings(self) -> tuple[str, ...]:
        return tuple(self._index)


def _with_choices(c: Columns, choices: Sequence[str]) -> Columns:
    """With `gold` in the source's choices instead of the joint ones."""
    position = {choice: i for i, choice in enumerate(choices)}
    own = np.array([position.get(choice, -1) for choice in lexicon.CHOICES], np.int16)
    return replace(c, gold=own[c.gold])

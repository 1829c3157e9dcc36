"""A virtual bAbI data set: problem i of a split is a pure function of (world, difficulty, split, i).

Nothing is stored: a problem is drawn again whenever it is asked for, from a key that is a hash of its name, and drawn
anew until the hash of its canonical story falls into the split's tenths. So splits share no story, held-out problems
have names, and memory does not grow with the number of problems.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from reasongym.errors import unknown
from reasongym.seeding import BUCKETS, Draws, hash64, story_bucket
from reasongym.tasks.base import Draft, Knobs, World
from reasongym.tasks.source import BabiSource, code_hash
from reasongym.tasks.worlds import lexicon
from reasongym.types import Problem, Story

ENDLESS = 1 << 62
"""Problems of an endless source have indices below this."""

MAX_ATTEMPTS = 10_000
"""Drafts tried for one problem before the split is taken to be empty (a tenth of all stories takes ten on average)."""

Difficulty = str | Mapping[str, object]
Wording = tuple[tuple[str, ...], str]


@runtime_checkable
class Enumerable(Protocol):
    """What a world with few possible stories offers besides `World`, so that none of its problems comes twice."""

    def every_draft(self, knobs: Knobs) -> Sequence[Draft] | None:
        """All possible drafts in a fixed order, or None where there are too many to list."""
        ...

    def wordings(self, draft: Draft, knobs: Knobs) -> Sequence[Wording]:
        """All ways to word a draft; their number is the same for all drafts of `every_draft`."""
        ...


def resolve(world: World, difficulty: Difficulty, split: str) -> dict[str, Any]:
    """The value of every knob of the world.

    A mapping is laid over "published". The default, "published", means the world's "ood" setting in the split "ood".

    Raises:
        UnknownNameError: no such setting, or no such knob.
        TypeError: a knob's value is not of the type that its published value has.
        ValueError: a knob holds a word outside the bAbI vocabulary.
    """
    if isinstance(difficulty, str):
        name = "ood" if split == "ood" and difficulty == "published" else difficulty
        if name not in world.settings:
            raise unknown(f"difficulty of task {world.task}", name, world.settings)
        return dict(world.settings[name])
    knobs = dict(world.settings["published"])
    for knob, value in difficulty.items():
        if knob not in knobs:
            raise unknown(f"knob of task {world.task}", knob, knobs)
        knobs[knob] = _like(knobs[knob], value, f"knob {knob!r} of task {world.task}")
    return knobs


def _like(example: object, value: Any, what: str) -> object:
    """The value in the type of the example (lists become tuples, whole numbers may stand for floats)."""
    if isinstance(example, tuple) and isinstance(value, list | tuple):
        return tuple(_like(example[0], item, what) if example else item for item in value)
    if isinstance(example, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(example):
        wanted, got = type(example).__name__, type(value).__name__
        raise TypeError(f"{what} must be a {wanted} like {example!r}, got {value!r} ({got})")
    if isinstance(value, str):
        lexicon.tokenize(value)
    return value


@dataclass(frozen=True, slots=True)
class _Lane:
    """One task of a procedural source. `drafts` is None where problems are drawn, else all drafts of the split."""

    world: World
    knobs: dict[str, object]
    prefix: str
    meta: dict[str, object]
    drafts: tuple[Draft, ...] | None
    num_wordings: int


class ProceduralSource(BabiSource):
    """bAbI problems made to order; see `reasongym.tasks.babi.load`."""

    def __init__(
        self,
        worlds: Sequence[World],
        *,
        split: str = "train",
        num_problems: int | Literal["auto"] | None = "auto",
        difficulty: Difficulty = "published",
        annotation: bool = True,
    ) -> None:
        super().__init__(worlds, kind="procedural", split=split, annotation=annotation)
        if num_problems == "auto":
            num_problems = 100_000 if split == "train" else 10_000
        if num_problems is not None and (isinstance(num_problems, bool) or not isinstance(num_problems, int)):
            raise TypeError(f"num_problems must be a whole number, or None for an endless source, got {num_problems!r}")
        if num_problems is not None and num_problems < 1:
            raise ValueError(f"num_problems must be at least 1, or None for an endless source, got {num_problems}")
        knobs = [resolve(world, difficulty, split) for world in worlds]
        self._lanes = [
            _lane(world, settings, split, listed=num_problems is not None)
            for world, settings in zip(worlds, knobs, strict=True)
        ]
        if len(worlds) == 1 and num_problems is not None and self._lanes[0].drafts is not None:
            num_problems = min(num_problems, len(self._lanes[0].drafts) * self._lanes[0].num_wordings)
        self.num_problems: int | None = num_problems
        self.max_units: int = max(settings["max_units"] for settings in knobs)
        what = (code_hash("worlds/*.py", "procedural.py"), *(lane.prefix for lane in self._lanes))
        self.fingerprint = f"{hash64('/'.join(what)):016x}"

    def problem(self, index: int) -> Problem:
        """Problem `index`: of task `tasks[index % n]`, and there the one numbered `index // n`.

        Raises:
            IndexError: outside [0, num_problems).
        """
        end = ENDLESS if self.num_problems is None else self.num_problems
        if not 0 <= index < end:
            raise IndexError(f"problem {index} of {self.name}, which has the problems 0 to {end - 1}")
        lane = self._lanes[int(index) % len(self._lanes)]
        number = int(index) // len(self._lanes)
        draft, (units, question) = self._drawn(lane, number) if lane.drafts is None else _listed(lane, number)
        return self._problem(lane, number, draft, units, question)

    def _drawn(self, lane: _Lane, number: int) -> tuple[Draft, Wording]:
        buckets, world = BUCKETS[self.split], lane.world
        for attempt in range(MAX_ATTEMPTS):
            draws = Draws(hash64(f"{lane.prefix}/{number}/{attempt}"))
            draft = world.draft(draws, lane.knobs)
            if story_bucket(draft.events) in buckets:
                return draft, world.word(draws, draft, lane.knobs)
        raise ValueError(
            f"task {world.task} has no story in the split {self.split!r} at this difficulty "
            f"({MAX_ATTEMPTS} tried): ask for longer or more varied stories"
        )

    def _problem(self, lane: _Lane, number: int, draft: Draft, units: tuple[str, ...], question: str) -> Problem:
        world, events = lane.world, draft.events
        superseded_by, entities, same_as = world.annotate(events)
        question_entities, answer_kind = world.about(draft.query)
        answers: tuple[str, ...] = ()
        support: tuple[int, ...] | None = None
        prerequisites: tuple[int, ...] = ()
        if self.annotation:
            proof = world.solve(tuple(enumerate(events)), draft.query)
            if proof.answer is None:
                raise ValueError(f"task {world.task}, {self.split} {number}: no answer follows from {units} {question}")
            answers, support, prerequisites = (proof.answer,), proof.support, proof.prerequisites
        return Problem(
            name=f"qa{world.task}/{self.split}/{number}",
            task=world.task,
            story=Story(units, superseded_by, entities, same_as),
            num_units=len(units),
            question=question,
            question_entities=question_entities,
            answer_kind=answer_kind,
            answers=answers,
            support=support,
            prerequisites=prerequisites,
            meta=lane.meta,
        )


def _lane(world: World, knobs: dict[str, object], split: str, *, listed: bool) -> _Lane:
    prefix = f"{world.task}/{json.dumps(knobs, sort_keys=True)}/{split}"
    meta: dict[str, object] = {"world": world.name, "split": split, "source": "procedural"}
    every = world.every_draft(knobs) if listed and isinstance(world, Enumerable) else None
    if every is None:
        return _Lane(world, knobs, prefix, meta, None, 0)
    mine = [draft for draft in every if story_bucket(draft.events) in BUCKETS[split]]
    if not mine:
        raise ValueError(f"task {world.task} has no story in the split {split!r} at this difficulty")
    drafts = tuple(Draws(hash64(prefix)).shuffled(mine))
    return _Lane(world, knobs, prefix, meta, drafts, len(world.wordings(drafts[0], knobs)))  # type: ignore[attr-defined]


def _listed(lane: _Lane, number: int) -> tuple[Draft, Wording]:
    """Problem `number` of a small world: every draft once, in a first wording; then every draft in a second one; ..."""
    assert lane.drafts is not None
    turn, place = divmod(number, len(lane.drafts))
    order = Draws(hash64(f"{lane.prefix}/{place}")).shuffled(range(lane.num_wordings))
    draft = lane.drafts[place]
    return draft, lane.world.wordings(draft, lane.knobs)[order[turn % lane.num_wordings]]  # type: ignore[attr-defined]

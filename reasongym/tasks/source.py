"""What every source of bAbI problems shares, whichever way its problems come about: vocabulary, choices and limits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from reasongym.tasks.base import World
from reasongym.tasks.worlds import lexicon
from reasongym.types import Problem, Proof

SPLITS = ("train", "validation", "test", "ood")


class BabiSource:
    """The attributes of `reasongym.types.ProblemSource` that follow from the tasks alone.

    Attributes:
        worlds, tasks: the tasks in it, and their numbers.
        split: "train", "validation", "test" or "ood".
        annotation: whether problems carry gold answers and support.
    """

    def __init__(self, worlds: Sequence[World], *, kind: str, split: str, annotation: bool) -> None:
        self.worlds = tuple(worlds)
        self.tasks = tuple(world.task for world in worlds)
        self.split = split
        self.annotation = annotation
        label = "babi" if len(worlds) == 20 else f"babi-{len(worlds)}-tasks"
        if len(worlds) <= 4:
            label = "babi-" + "+".join(f"qa{task}" for task in self.tasks)
        self.name = f"{label}/{kind}/{split}"
        self.vocabulary = lexicon.VOCABULARY
        answers = {answer for world in worlds for answer in world.answers}
        self.choices = tuple(choice for choice in lexicon.CHOICES if choice in answers)
        self.kinds = lexicon.KINDS
        kinds_of = dict(zip(lexicon.CHOICES, lexicon.CHOICE_KINDS, strict=True))
        self.choice_kinds = tuple(kinds_of[choice] for choice in self.choices)
        self.entities = lexicon.ENTITIES
        self.unit_tokens = max(world.unit_tokens for world in worlds)
        self.question_tokens = max(world.question_tokens for world in worlds)
        self._choice_of = {choice: i for i, choice in enumerate(self.choices)}

    def tokenize(self, text: str) -> list[int]:
        """Token ids (1 ... 156) of a unit or a question.

        Raises:
            ValueError: a word is not in the vocabulary.
        """
        return lexicon.tokenize(text)

    def choice_of(self, answer: str) -> int:
        """Index in `choices` of an answer string; the parts of a list may stand in any order.

        Raises:
            ValueError: the answer is none of the choices.
        """
        choice = self._choice_of.get(lexicon.canonical_answer(answer))
        if choice is None:
            raise ValueError(f"{answer!r} is not an answer of {self.name}, whose choices are {', '.join(self.choices)}")
        return choice

    def follows(self, index: int, units: Iterable[int]) -> bool:
        """Whether the gold answer of problem `index` follows from these units of its story alone (the world's solver decides).

        Raises:
            ValueError: the source was asked for without annotation.
        """
        problem: Problem = self.problem(index)
        if not problem.answers:
            raise ValueError(f"{self.name} was loaded without gold answers: nothing can be said to follow")
        answer = self._proof(problem, sorted(units)).answer
        return answer is not None and self.choice_of(answer) == self.choice_of(problem.answers[0])

    def needed(self, index: int, read: int) -> tuple[int, ...]:
        """What the answer to problem `index` would follow from if its story ended after so many units (the world's solver
        decides); () where nothing would."""
        return tuple(self._proof(self.problem(index), range(read)).support)

    def _proof(self, problem: Problem, units: Iterable[int]) -> Proof:
        """What the world's solver makes of some units, in reading order."""
        world = next(world for world in self.worlds if world.task == problem.task)
        facts = tuple((unit, world.parse_unit(problem.story.units[unit])) for unit in units)
        return world.solve(facts, world.parse_question(problem.question))

    def problem(self, index: int) -> Problem:
        """Problem `index`; see `reasongym.types.ProblemSource`."""
        raise NotImplementedError


@cache
def code_hash(*patterns: str) -> str:
    """Hash of the Python sources of `reasongym/tasks` that match, and of the random draws."""
    digest = hashlib.blake2b(digest_size=16)
    here = Path(__file__).parent
    for file in [*sorted(file for pattern in patterns for file in here.glob(pattern)), here.parent / "seeding.py"]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()

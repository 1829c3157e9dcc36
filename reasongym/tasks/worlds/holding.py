"""bAbI tasks 7 and 8: how many things, and which, somebody is carrying."""

from __future__ import annotations

import re
from typing import cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Draft, Event, Knobs, Query
from reasongym.tasks.worlds.facts import read_question
from reasongym.tasks.worlds.giving import GIVE_WEIGHT
from reasongym.tasks.worlds.grammar import NAME
from reasongym.tasks.worlds.lexicon import CHOICE_KINDS, CHOICES, KINDS, entity_mask
from reasongym.tasks.worlds.moving import (
    OTHER_PEOPLE,
    PEOPLE,
    THINGS,
    Simulation,
    StoryWorld,
    difficulties,
    simulate,
)
from reasongym.types import MAX_SUPPORT, Facts, Proof

COUNTS = ("none", "one", "two", "three")


def _of_kind(kind: str) -> tuple[str, ...]:
    bit = 1 << KINDS.index(kind)
    return tuple(choice for choice, mask in zip(CHOICES, CHOICE_KINDS, strict=True) if mask & bit)


def _acts(facts: Facts, person: str) -> list[tuple[int, Event]]:
    """What a person took, dropped, gave or was given."""
    return [fact for fact in facts if fact[1][0] != "move" and (fact[1][1] == person or fact[1][-1] == person)]


def _held(acts: list[tuple[int, Event]], person: str) -> list[str]:
    """The things a person is left with, sorted."""
    held = set()
    for _, event in acts:
        if event[0] == "take" or event[-1] == person:
            held.add(event[2])
        else:
            held.discard(event[2])
    return sorted(held)


def _actors(world: Simulation, window: int) -> list[str]:
    """Who took, dropped or gave something lately, once for each act."""
    return [event[1] for event in world.events[-window:] if event[0] != "move"]


def _draft(draws: Draws, knobs: Knobs, kind: str, give_weight: float) -> Draft:
    things = cast(tuple[str, ...], knobs["things"])
    if not set(things) <= set(THINGS):
        raise ValueError(f"things must be some of {THINGS}, for which there are answers, got {things!r}")
    while True:
        world, person = simulate(draws, knobs, _actors, give_weight)
        if len(_acts(list(enumerate(world.events)), person)) <= MAX_SUPPORT:
            return Draft(tuple(world.events), (kind, person))


class Counting(StoryWorld):
    """Task 7: "How many objects is Mary carrying?".

    Defaults: people begin with nothing and have what they took or were given and did not drop or give away; but an
    answer needs at least one act of the person. Every act of the person is support, none needs another before it.
    Knobs: see `StoryWorld`; `things` (at most three, the largest answer).
    """

    task = 7
    name = "counting"
    kinds = ("move", "take", "drop", "give")
    answers = COUNTS
    settings = difficulties(52, 104, PEOPLE, OTHER_PEOPLE, things=THINGS)
    unit_tokens = 6
    question_tokens = 6
    _question = re.compile(rf"How many objects is {NAME} carrying\?")

    def parse_question(self, text: str) -> Query:
        return ("count", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"How many objects is {query[1]} carrying?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[1]), "count"

    def solve(self, facts: Facts, query: Query) -> Proof:
        acts = _acts(facts, query[1])
        if not acts:
            return Proof(None)
        count = len(_held(acts, query[1]))
        answer = COUNTS[count] if count < len(COUNTS) else None
        return Proof(answer, tuple(i for i, _ in acts), (0,) * len(acts))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        return _draft(draws, knobs, "count", GIVE_WEIGHT)


class Listing(StoryWorld):
    """Task 8: "What is Mary carrying?".

    Defaults: as task 7; nobody gives anything here. The answer is a set, in canonical form ("apple,football"); support
    is ordered by thing, as published. Knobs: see `StoryWorld`; `things`.
    """

    task = 8
    name = "lists-sets"
    kinds = ("move", "take", "drop")
    answers = _of_kind("list")
    settings = difficulties(50, 100, PEOPLE, OTHER_PEOPLE, things=THINGS)
    unit_tokens = 6
    question_tokens = 4
    _question = re.compile(rf"What is {NAME} carrying\?")

    def parse_question(self, text: str) -> Query:
        return ("holds", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"What is {query[1]} carrying?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[1]), "list"

    def solve(self, facts: Facts, query: Query) -> Proof:
        acts = _acts(facts, query[1])
        if not acts:
            return Proof(None)
        answer = ",".join(_held(acts, query[1])) or "nothing"
        first: dict[str, int] = {}
        for i, event in acts:
            first.setdefault(event[2], i)
        acts.sort(key=lambda act: first[act[1][2]])
        return Proof(answer, tuple(i for i, _ in acts), (0,) * len(acts))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        return _draft(draws, knobs, "holds", 0.0)


WORLDS = (Counting(), Listing())

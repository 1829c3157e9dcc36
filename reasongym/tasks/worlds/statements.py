"""bAbI tasks 9 and 10: yes, no or maybe from what is said, denied and half said about where people are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.facts import read_question
from reasongym.tasks.worlds.grammar import NAME, PLACE
from reasongym.tasks.worlds.lexicon import entity_mask
from reasongym.tasks.worlds.moving import OTHER_PEOPLE, PEOPLE, StoryWorld, difficulties, people_and_places, pick_round
from reasongym.types import Facts, Proof

TOWN_PEOPLE = ("Fred", "Mary", "Julie", "Bill")
OTHER_TOWN_PEOPLE = ("John", "Sandra", "Emily", "Jason")
TOWN_PLACES = ("school", "bedroom", "kitchen", "park", "cinema", "office")

EITHER_LAST = 1 / 6
"""How often "either X or Y" names the place where the person was before: measured on the published stories."""
ASK_EITHER = 7 / 12
"""How often a question after "either X or Y" asks for one of the two (0.58 in the published files)."""

_mask = lru_cache(maxsize=65536)(entity_mask)
_QUESTION = re.compile(rf"Is {NAME} in the {PLACE}\?")


def annotate(events: Sequence[Event]) -> Annotation:
    """Every statement reports a new state of its person, so the next one on the same person ends it."""
    last: dict[str, int] = {}
    superseded = [-1] * len(events)
    entities = []
    for i, event in enumerate(events):
        person = event[1]
        if person in last:
            superseded[last[person]] = i
        last[person] = i
        entities.append(_mask(*event[1:]))
    return Annotation(tuple(superseded), tuple(entities), tuple(range(len(events))))


def _last_about(facts: Facts, person: str) -> tuple[int, Event] | None:
    return next((fact for fact in reversed(facts) if fact[1][1] == person), None)


def _other(draws: Draws, place: int, num_places: int) -> int:
    """A random place but this one."""
    return (place + 1 + draws.below(num_places - 1)) % num_places


class Negation(StoryWorld):
    """Task 9: "Is Mary in the garden?" after moves, "is in", "is not in" and "is no longer in".

    Defaults: the last statement on a person decides. Who is in one place is in no other; who is not in the garden may
    be anywhere else, so a question about another place is unknown (and never asked). A denial tells of the person's
    going: it names the place where the person was. Knobs: see `StoryWorld`.
    """

    task = 9
    name = "simple-negation"
    kinds = ("move", "in", "not_in")
    answers = ("yes", "no")
    settings = difficulties(10, 20, PEOPLE, OTHER_PEOPLE)
    unit_tokens = 7
    question_tokens = 5

    def parse_question(self, text: str) -> Query:
        return ("is", *read_question(_QUESTION, text, self.task))

    def question(self, query: Query) -> str:
        return f"Is {query[1]} in the {query[2]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query[1:]), "yesno"

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate(events)

    def solve(self, facts: Facts, query: Query) -> Proof:
        _, person, place = query
        fact = _last_about(facts, person)
        if fact is None:
            return Proof(None)
        i, (kind, _, told) = fact
        if kind == "not_in":
            return Proof("no", (i,), (0,)) if told == place else Proof(None)
        return Proof("yes" if told == place else "no", (i,), (0,))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people, places = people_and_places(knobs)
        at = [draws.below(len(places)) for _ in people]
        events: list[Event] = []
        for _ in range(2 * pick_round(draws, knobs)):
            who = draws.below(len(people))
            before, at[who] = at[who], _other(draws, at[who], len(places))
            kind = draws.pick(("move", "move", "in", "not_in"))
            events.append((kind, people[who], places[before if kind == "not_in" else at[who]]))
        person = draws.pick(events[-cast(int, knobs["window"]) :])[1]
        kind, _, place = next(event for event in reversed(events) if event[1] == person)
        if kind != "not_in" and draws.chance(0.5):
            place = places[_other(draws, places.index(place), len(places))]
        return Draft(tuple(events), ("is", person, place))


class Indefinite(StoryWorld):
    """Task 10: "Is Bill in the park?" after moves, "is in" and "is either in the office or the kitchen".

    Defaults: the last statement on a person decides; of two places named either is possible ("maybe") and no other
    ("no"). Knobs: see `StoryWorld`.
    """

    task = 10
    name = "indefinite-knowledge"
    kinds = ("move", "in", "either")
    answers = ("yes", "no", "maybe")
    settings = difficulties(10, 20, TOWN_PEOPLE, OTHER_TOWN_PEOPLE, places=TOWN_PLACES)
    unit_tokens = 9
    question_tokens = 5

    def parse_question(self, text: str) -> Query:
        return ("is", *read_question(_QUESTION, text, self.task))

    def question(self, query: Query) -> str:
        return f"Is {query[1]} in the {query[2]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query[1:]), "yesno"

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate(events)

    def solve(self, facts: Facts, query: Query) -> Proof:
        _, person, place = query
        fact = _last_about(facts, person)
        if fact is None:
            return Proof(None)
        i, event = fact
        there = "maybe" if event[0] == "either" else "yes"
        return Proof(there if place in event[2:] else "no", (i,), (0,))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people, places = people_and_places(knobs)
        at = [draws.below(len(places)) for _ in people]
        events: list[Event] = []
        for _ in range(2 * pick_round(draws, knobs)):
            who = draws.below(len(people))
            before, at[who] = at[who], _other(draws, at[who], len(places))
            kind = draws.pick(("move", "move", "in", "either"))
            if kind == "either":
                others = [place for place in range(len(places)) if place not in (before, at[who])]
                second = before if draws.chance(EITHER_LAST) else draws.pick(others)
                events.append((kind, people[who], *sorted((places[at[who]], places[second]))))
            else:
                events.append((kind, people[who], places[at[who]]))
        person = draws.pick(events[-cast(int, knobs["window"]) :])[1]
        kind, _, *told = next(event for event in reversed(events) if event[1] == person)
        if draws.chance(ASK_EITHER if kind == "either" else 0.5):
            place = draws.pick(told)
        else:
            place = draws.pick([other for other in places if other not in told])
        return Draft(tuple(events), ("is", person, place))


WORLDS = (Negation(), Indefinite())

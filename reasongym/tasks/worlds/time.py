"""bAbI task 14: visits told out of order, each with its time of day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.facts import read_question
from reasongym.tasks.worlds.grammar import NAME, PLACE, TIMES
from reasongym.tasks.worlds.lexicon import ENTITY_BIT, entity_mask
from reasongym.tasks.worlds.moving import BLOCK, TRIES, StoryWorld, choices, difficulties, people_and_places, pick_round
from reasongym.tasks.worlds.statements import OTHER_TOWN_PEOPLE, TOWN_PEOPLE, TOWN_PLACES
from reasongym.types import Facts, Proof


class TimeReasoning(StoryWorld):
    """Task 14: "Where was Mary before the park?".

    Defaults: of the visits told, the one with the latest earlier time is the one before; when a person was in the place
    twice, the latest visit is meant that another one went before. The visit before is of use once the time of the visit
    asked about is known. A visit with a time stays true for ever: nothing supersedes it.
    A story: each person's visits begin yesterday and take one time after the other, to a place other than the last;
    statements between two questions are told in a random cyclic order (Sattolo's shuffle, so two of them always change
    places), as measured on the published files. Knobs: see `StoryWorld`, with `window` counted before that shuffle.
    """

    task = 14
    name = "time-reasoning"
    kinds = ("visit",)
    answers = choices(TOWN_PLACES)
    settings = difficulties(14, 22, TOWN_PEOPLE, OTHER_TOWN_PEOPLE, places=TOWN_PLACES)
    settings["ood"] = {**settings["ood"], "people": (*OTHER_TOWN_PEOPLE, "Daniel", "Winona"), "rounds": (6, 8)}
    unit_tokens = 8
    question_tokens = 6
    _question = re.compile(rf"Where was {NAME} before the {PLACE}\?")

    def parse_question(self, text: str) -> Query:
        return ("before", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"Where was {query[1]} before the {query[2]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query[1:]), "place"

    def annotate(self, events: Sequence[Event]) -> Annotation:
        entities = tuple([ENTITY_BIT[event[1]] | ENTITY_BIT[event[2]] for event in events])
        return Annotation((-1,) * len(events), entities, tuple(range(len(events))))

    def solve(self, facts: Facts, query: Query) -> Proof:
        _, person, place = query
        visits = sorted((event[3], i, event[2]) for i, event in facts if event[1] == person)
        for k in range(len(visits) - 1, 0, -1):
            if visits[k][2] == place and visits[k - 1][0] < visits[k][0]:
                return Proof(visits[k - 1][2], (visits[k][1], visits[k - 1][1]), (0, 1))
        return Proof(None)

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        latest = max((event[3] for _, event in support), default=0)
        asked = sum(1 << k for k, (_, event) in enumerate(support) if event[3] == latest)
        return tuple(0 if event[3] == latest else asked for _, event in support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people, places = people_and_places(knobs)
        max_units, window = cast(int, knobs["max_units"]), cast(int, knobs["window"])
        for _ in range(TRIES):
            questions = pick_round(draws, knobs)
            visits: dict[str, list[str]] = {person: [] for person in people}
            told: list[Event] = []
            events: list[Event] = []
            while len(events) + BLOCK <= min(max_units, len(people) * len(TIMES)):
                for _ in range(BLOCK):
                    events.append(_visit(draws, visits, places))
                askable = [event for event in events[-window:] if _askable(event, visits)]
                if askable:
                    told += _shuffled(draws, events[len(told) :])
                    questions -= 1
                    if not questions:
                        return Draft(tuple(told), ("before", *draws.pick(askable)[1:3]))
        raise ValueError(f"no story with a question in {TRIES} tries, got {dict(knobs)}; raise max_units")


def _visit(draws: Draws, visits: dict[str, list[str]], places: Sequence[str]) -> Event:
    """One more visit of somebody whose day is not over."""
    people = [person for person in visits if len(visits[person]) < len(TIMES)]
    person = draws.pick(people)
    seen = visits[person]
    place = draws.pick(places)
    while seen and place == seen[-1]:
        place = draws.pick(places)
    seen.append(place)
    return ("visit", person, place, len(seen) - 1)


def _askable(event: Event, visits: dict[str, list[str]]) -> bool:
    """Whether another visit went before this one and no later one is to the same place."""
    _, person, place, time = event
    return time > 0 and place not in visits[person][time + 1 :]


def _shuffled(draws: Draws, events: list[Event]) -> list[Event]:
    """The events in the order of a random cyclic permutation (Sattolo, 1986)."""
    for i in range(len(events) - 1, 0, -1):
        j = draws.below(i)
        events[i], events[j] = events[j], events[i]
    return events


WORLDS = (TimeReasoning(),)

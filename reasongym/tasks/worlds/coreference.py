"""bAbI tasks 11, 12 and 13: people who move alone or in pairs, and sentences that name them by "he", "she" or "they"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.facts import read_question
from reasongym.tasks.worlds.grammar import NAME, pronoun
from reasongym.tasks.worlds.lexicon import ENTITY_BIT, entity_mask
from reasongym.tasks.worlds.moving import (
    OTHER_PEOPLE,
    PEOPLE,
    PLACES,
    StoryWorld,
    choices,
    difficulties,
    people_and_places,
    pick_round,
)
from reasongym.types import Facts, Proof


def resolved(facts: Facts) -> Iterator[tuple[int, tuple[str, ...], str, tuple[int, ...]]]:
    """Every unit with the people it is about: (unit, people, place, the units that say so, this one last).

    "He", "she" and "they" are the people of the unit just before, where that is among the facts; else nobody known.
    """
    previous: tuple[int, tuple[str, ...], tuple[int, ...]] = (-2, (), ())
    for i, event in facts:
        kind, place = event[0], event[-1]
        chain: tuple[int, ...]
        if kind != "then":
            people, chain = event[1:-1], (i,)
        elif previous[0] == i - 1 and _refers(event[1], previous[1]):
            people, chain = previous[1], (*previous[2], i)
        else:
            people, chain = (), (i,)
        previous = (i, people, chain)
        yield i, people, place, chain


def _refers(word: str, people: tuple[str, ...]) -> bool:
    return len(people) == 2 if word == "they" else len(people) == 1 and pronoun(people[0]) == word


class Following(StoryWorld):
    """Tasks 11 ("Mary went to the garden. Then she moved to the office."), 12 ("Mary and John went to the garden.") and
    13 ("Mary and John went to the garden. Then they moved to the office."); "Where is Mary?".

    Defaults: people stay where they last went; a pronoun means the people of the sentence just before, so a pronoun
    without it tells nothing of anybody; it needs that sentence before it in the chain. A unit is superseded once *all*
    of its people have moved on: until then part of it holds. Knobs: see `StoryWorld`, with `window` counted in single
    moves (a pair makes two at once); tasks 11 and 13: `follow_ups` (sentences with a pronoun after each named one).
    """

    answers = choices(PLACES)
    question_tokens = 3
    _question = re.compile(rf"Where is {NAME}\?")

    def __init__(self, task: int, name: str, group: int, follow_ups: int | None) -> None:
        """One of the three tasks.

        Args:
            task: 11, 12 or 13.
            name: as in the published file names.
            group: how many people move at once, 1 or 2.
            follow_ups: published number of sentences with a pronoun after each named one; None = no such knob.
        """
        self.task = task
        self.name = name
        self.group = group
        named = "move" if group == 1 else "both"
        self.unit_tokens = 8
        if follow_ups is None:
            self.kinds: tuple[str, ...] = (named,)
            self.settings = difficulties(10, 20, PEOPLE, OTHER_PEOPLE)
        else:
            self.kinds = (named, "then")
            self.settings = difficulties(10, 30, PEOPLE, OTHER_PEOPLE, follow_ups=follow_ups)
            self.settings["ood"] = {**self.settings["ood"], "follow_ups": follow_ups + 1}

    def parse_question(self, text: str) -> Query:
        return ("where", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"Where is {query[1]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[1]), "place"

    def annotate(self, events: Sequence[Event]) -> Annotation:
        last: dict[str, int] = {}
        still = [0] * len(events)
        superseded = [-1] * len(events)
        entities = []
        people: tuple[str, ...] = ()
        for i, event in enumerate(events):
            if event[0] != "then":
                people = event[1:-1]
            mask = ENTITY_BIT[event[-1]]
            for person in people:
                mask |= ENTITY_BIT[person]
                left = last.get(person)
                if left is not None:
                    still[left] -= 1
                    if not still[left]:
                        superseded[left] = i
                last[person] = i
            still[i] = len(people)
            entities.append(mask)
        return Annotation(tuple(superseded), tuple(entities), tuple(range(len(events))))

    def solve(self, facts: Facts, query: Query) -> Proof:
        person = query[1]
        answer: str | None = None
        chain: tuple[int, ...] = ()
        for _, people, place, said in resolved(facts):
            if person in people:
                answer, chain = place, said
        return Proof(answer, chain, tuple(1 << k >> 1 for k in range(len(chain))))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        position = {i: k for k, (i, _) in enumerate(support)}
        return tuple(1 << position[i - 1] if event[0] == "then" and i - 1 in position else 0 for i, event in support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people, places = people_and_places(knobs)
        follow_ups = cast(int, knobs.get("follow_ups", 0))
        num_people, num_places, random = len(people), len(places), draws.random
        blocks = 2 if "then" not in self.kinds else 1
        at = [draws.below(num_places) for _ in people]
        events: list[Event] = []
        movers: list[tuple[str, ...]] = []
        for _ in range(blocks * pick_round(draws, knobs, blocks * (1 + follow_ups))):
            who = int(random() * num_people)
            with_ = (who + 1 + int(random() * (num_people - 1))) % num_people if self.group == 2 else who
            names = (people[who],) if who == with_ else tuple(sorted((people[who], people[with_])))
            for k in range(1 + follow_ups):
                place = int(random() * num_places)
                while place in (at[who], at[with_]):
                    place = int(random() * num_places)
                at[who] = at[with_] = place
                if k:
                    events.append(("then", "they" if self.group == 2 else pronoun(names[0]), places[place]))
                else:
                    events.append((self.kinds[0], *names, places[place]))
            movers.append(names)
        moves = self.group * (1 + follow_ups)
        back = draws.below(min(cast(int, knobs["window"]), moves * len(movers))) // moves
        return Draft(tuple(events), ("where", draws.pick(movers[-1 - back])))


WORLDS = (
    Following(11, "basic-coreference", group=1, follow_ups=1),
    Following(12, "conjunction", group=2, follow_ups=None),
    Following(13, "compound-coreference", group=2, follow_ups=1),
)

"""bAbI tasks 1, 2, 3 and 6: where somebody or something is or was, from one, two or three facts."""

from __future__ import annotations

import re
from typing import cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Draft, Event, Knobs, Query
from reasongym.tasks.worlds import grammar
from reasongym.tasks.worlds.grammar import NAME, PLACE, THING
from reasongym.tasks.worlds.lexicon import entity_mask
from reasongym.tasks.worlds.moving import (
    OTHER_PEOPLE,
    PEOPLE,
    PLACES,
    THINGS,
    Simulation,
    StoryWorld,
    choices,
    difficulties,
    move_events,
    people_and_places,
    pick_round,
    simulate,
)
from reasongym.types import Facts, Proof

UNKNOWN = Proof(None)


def read_question(pattern: re.Pattern[str], text: str, task: int) -> tuple[str, ...]:
    """The names in a question.

    Raises:
        ValueError: the question is outside the grammar.
    """
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"not a question of bAbI task {task}: {text!r}; expected {pattern.pattern!r}")
    return match.groups()


class SingleFact(StoryWorld):
    """Task 1: "Where is Mary?".

    Defaults: people stay where they last went. Knobs: see `StoryWorld`.
    """

    task = 1
    name = "single-supporting-fact"
    kinds = ("move",)
    answers = choices(PLACES)
    settings = difficulties(10, 20, PEOPLE, OTHER_PEOPLE)
    unit_tokens = 6
    question_tokens = 3
    _question = re.compile(rf"Where is {NAME}\?")

    def parse_question(self, text: str) -> Query:
        return ("where", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"Where is {query[1]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[1]), "place"

    def solve(self, facts: Facts, query: Query) -> Proof:
        person = query[1]
        for i, event in reversed(facts):
            if event[1] == person:
                return Proof(event[2], (i,), (0,))
        return UNKNOWN

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people, places = people_and_places(knobs)
        moves, random = move_events(people, places), draws.random
        num_people, others = len(people), len(places) - 1
        events: list[Event] = []
        at = [int(random() * len(places)) for _ in people]
        for _ in range(2 * pick_round(draws, knobs)):
            person = int(random() * num_people)
            place = int(random() * others)
            place += place >= at[person]
            at[person] = place
            events.append(moves[person][place])
        recent = min(cast(int, knobs["window"]), len(events))
        return Draft(tuple(events), ("where", events[-1 - int(random() * recent)][1]))


class WhereIsThing(StoryWorld):
    """Task 2: "Where is the football?".

    Defaults: a thing is with its last taker, wherever that person last went; a dropped thing stays where its dropper
    had last gone before. Knobs: see `StoryWorld`; `things`.
    """

    task = 2
    name = "two-supporting-facts"
    kinds = ("move", "take", "drop")
    answers = choices(PLACES)
    settings = difficulties(68, 140, PEOPLE, OTHER_PEOPLE, things=THINGS)
    unit_tokens = 6
    question_tokens = 4
    _question = re.compile(rf"Where is the {THING}\?")

    def parse_question(self, text: str) -> Query:
        return ("where", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"Where is the {query[1]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[1]), "place"

    def solve(self, facts: Facts, query: Query) -> Proof:
        thing = query[1]
        for k in range(len(facts) - 1, -1, -1):
            i, event = facts[k]
            if event[2] == thing:
                told = facts if event[0] == "take" else facts[:k]
                for j, move in reversed(told):
                    if move[0] == "move" and move[1] == event[1]:
                        return Proof(move[2], (i, j), (0, 1))
                return UNKNOWN
        return UNKNOWN

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        """Where a person went is of use once it is known that this person has, or had, the thing."""
        act = sum(1 << k for k, (_, event) in enumerate(support) if event[0] != "move")
        return tuple(act if event[0] == "move" else 0 for _, event in support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        world, thing = simulate(draws, knobs, _located)
        return Draft(tuple(world.events), ("where", world.things[thing]))


def _located(world: Simulation, window: int) -> list[int]:
    """Things taken or dropped lately whose place two facts tell: dropped in a place told, or carried to one."""
    since = len(world.events) - window
    return [
        t
        for t, i in enumerate(world.last_act)
        if i >= since and i >= 0 and (world.legs[t][1] >= 0 if world.holder[t] < 0 else world.last_move[world.holder[t]] > i)
    ]


class WhereWasThing(StoryWorld):
    """Task 3: "Where was the football before the bathroom?".

    Defaults: as task 2; who drops a thing held it during all moves told of this person since the last event on the
    thing, unless the taking is told; when the thing came to the place more than once, the last time is meant. Asked is any
    place that its last carrier took it to, but the first one told, each equally likely, as in the published stories.
    Superseded units (`annotate`) are those untrue of the present, though older places are what this task asks for:
    needed units are never punished. Knobs: see `StoryWorld`; `things`.
    """

    task = 3
    name = "three-supporting-facts"
    kinds = ("move", "take", "drop")
    answers = choices(PLACES)
    settings = difficulties(320, 480, PEOPLE, OTHER_PEOPLE, things=THINGS)
    unit_tokens = 6
    question_tokens = 7
    wordings = grammar.Wordings(take_there=grammar.THERE_SOMETIMES)
    _question = re.compile(rf"Where was the {THING} before the {PLACE}\?")

    def parse_question(self, text: str) -> Query:
        return ("before", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"Where was the {query[1]} before the {query[2]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query[1:]), "place"

    def solve(self, facts: Facts, query: Query) -> Proof:
        _, thing, place = query
        journey = _journey(facts, thing)
        for k in range(len(journey) - 1, 0, -1):
            if journey[k][0] == place != journey[k - 1][0]:
                (_, arrival, act, carry), (before, move, former, former_carry) = journey[k], journey[k - 1]
                if carry == former_carry:
                    return Proof(before, (act, arrival, move), (0, 1, 3))
                return Proof(before, (act, arrival, move, former), (0, 1, 11, 0))
        return UNKNOWN

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        """A move is of use once it is known who carried the thing, the move before once it is known before which."""
        acts = sum(1 << k for k, (_, event) in enumerate(support) if event[0] != "move")
        asked = sum(1 << k for k, (_, event) in enumerate(support) if event[0] == "move" and event[2] == query[2])
        carried = acts & -acts
        return tuple(0 if event[0] != "move" else carried if event[2] == query[2] else acts | asked for _, event in support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        world, thing = simulate(draws, knobs, _travelled)
        acted = world.last_act[thing]
        end = acted if world.holder[thing] < 0 else len(world.events)
        carrier, carried = world.events[acted][1], world.events[world.taken[thing] : end]
        places = [event[2] for event in carried if event[0] == "move" and event[1] == carrier]
        return Draft(tuple(world.events), ("before", world.things[thing], draws.pick(places[1:])))


def _journey(facts: Facts, thing: str) -> list[tuple[str, int, int, int]]:
    """The places a thing has been told to be in, in order: (place, unit of its carrier's move there, unit of the act that tells
    that it came along or lay there, unit of the last act of this carry)."""
    acts = [(i, event[0], event[1]) for i, event in facts if event[2] == thing]
    journey: list[tuple[str, int, int, int]] = []
    for k, (act, kind, person) in enumerate(acts):
        taken = act if kind == "take" else -1
        if kind == "take":
            if k + 1 < len(acts) and acts[k + 1][1:] == ("drop", person):
                continue
            start, end = act, acts[k + 1][0] if k + 1 < len(acts) else facts[-1][0] + 1
        else:
            start, end = acts[k - 1][0] if k else -1, act
            if k and acts[k - 1][1:] == ("take", person):
                taken = start
        found = None  # where it was taken: the person's last move told before that
        for j, event in facts:
            if j >= end:
                break
            if event[0] != "move" or event[1] != person:
                continue
            if j < start:
                found = (event[2], j, taken, act) if taken >= 0 else None
                continue
            if found is not None:
                journey.append(found)
                found = None
            journey.append((event[2], j, act, act))
        if found is not None:
            journey.append(found)
    return journey


def _travelled(world: Simulation, window: int) -> list[int]:
    """Things taken or dropped lately that two moves told took to their place and to the one before."""
    since = len(world.events) - window
    return [
        t
        for t, i in enumerate(world.last_act)
        if i >= since
        and i >= 0
        and (world.legs[t][0] if world.holder[t] < 0 else world.previous_move[world.holder[t]]) > world.taken[t]
    ]


class YesNo(StoryWorld):
    """Task 6: "Is Mary in the garden?".

    Defaults: people stay where they last went and are in one place. Half the answers are "yes"; a wrong place is a
    random other one. Knobs: see `StoryWorld`; `things` (taken and dropped, which says nothing about the question).
    """

    task = 6
    name = "yes-no-questions"
    kinds = ("move", "take", "drop")
    answers = ("yes", "no")
    settings = difficulties(26, 52, PEOPLE, OTHER_PEOPLE, things=THINGS)
    unit_tokens = 6
    question_tokens = 5
    _question = re.compile(rf"Is {NAME} in the {PLACE}\?")

    def parse_question(self, text: str) -> Query:
        return ("is", *read_question(self._question, text, self.task))

    def question(self, query: Query) -> str:
        return f"Is {query[1]} in the {query[2]}?"

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query[1:]), "yesno"

    def solve(self, facts: Facts, query: Query) -> Proof:
        _, person, place = query
        for i, event in reversed(facts):
            if event[0] == "move" and event[1] == person:
                return Proof("yes" if event[2] == place else "no", (i,), (0,))
        return UNKNOWN

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        world, person = simulate(draws, knobs, _moved)
        places = cast(tuple[str, ...], knobs["places"])
        place = world.at[person]
        if draws.chance(0.5):
            place = (place + 1 + draws.below(len(places) - 1)) % len(places)
        return Draft(tuple(world.events), ("is", world.people[person], places[place]))


def _moved(world: Simulation, window: int) -> list[int]:
    """Who moved lately, once for each move."""
    return [world.people.index(event[1]) for event in world.events[-window:] if event[0] == "move"]


WORLDS = (SingleFact(), WhereIsThing(), WhereWasThing(), YesNo())

"""Task 4, two-argument relations: places on one line, and what lies on which side of what. Word order is the problem.

An event is ("north", A, B): A is north of B; or ("east", A, B). "B is south of A" says the same and is the same event.
A query is (axis, known place, side): what is on the `side` ("+" north or east, "-" south or west) of the known place.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.lexicon import PLACES, entity_mask
from reasongym.types import Facts, Proof

AXIS = {"north": ("north", "+"), "south": ("north", "-"), "east": ("east", "+"), "west": ("east", "-")}
"""What a direction word means: an axis, and the side of it."""
WORD = {meaning: word for word, meaning in AXIS.items()}
OTHER = {"+": "-", "-": "+"}

_UNIT = re.compile(r"The (\w+) is (north|south|east|west) of the (\w+)\.")
_ASKED_FIRST = re.compile(r"What is (north|south|east|west) of the (\w+)\?")
_ASKED_LAST = re.compile(r"What is the (\w+) (north|south|east|west) of\?")


def parse_direction(text: str) -> Event:
    """The event of "The A is north of the B.", which tasks 4 and 19 share.

    Raises:
        ValueError: another sentence.
    """
    match = _UNIT.fullmatch(text)
    if match is None:
        raise ValueError(f"expected 'The A is north|south|east|west of the B.', got {text!r}")
    first, word, second = match.groups()
    entity_mask_of(first, second, text)
    axis, side = AXIS[word]
    return (axis, first, second) if side == "+" else (axis, second, first)


def entity_mask_of(first: str, second: str, text: str) -> int:
    """The mask of two names of a sentence, or a ValueError that quotes it."""
    try:
        return entity_mask(first, second)
    except KeyError as missing:
        raise ValueError(f"unknown name {missing} in {text!r}") from None


def word_direction(event: Event, from_below: bool) -> str:
    """The sentence of an event, said of its first place or (from below) of its second."""
    axis, upper, lower = event
    if from_below:
        return f"The {lower} is {WORD[axis, '-']} of the {upper}."
    return f"The {upper} is {WORD[axis, '+']} of the {lower}."


def annotate_timeless(events: Sequence[Event], masks: Sequence[int]) -> Annotation:
    """Where time does not matter: nothing is superseded, and a repeated event is the same as the first."""
    first: dict[Event, int] = {}
    same_as = tuple(first.setdefault(event, i) for i, event in enumerate(events))
    return Annotation((-1,) * len(events), tuple(masks), same_as)


def shortest_chain(near: Mapping[str, Sequence[tuple[str, int]]], start: str, goal: str) -> list[tuple[str, int]]:
    """The links of a shortest way, as (name reached, unit), by breadth-first search in reading order; [] for none."""
    came: dict[str, tuple[str, int]] = {start: (start, -1)}
    queue = deque([start])
    while queue and goal not in came:
        name = queue.popleft()
        for other, unit in near.get(name, ()):
            if other not in came:
                came[other] = (name, unit)
                queue.append(other)
    if goal not in came or start == goal:
        return []
    chain = [(goal, came[goal][1])]
    while (name := came[chain[-1][0]][0]) != start:
        chain.append((name, came[name][1]))
    return chain[::-1]


class TwoArgRelations:
    """Three places on a line, told by two statements; one is asked for by its neighbour."""

    task = 4
    name = "two-arg-relations"
    answers = PLACES[:6]
    settings = {
        "published": {"max_units": 2, "places": PLACES[:6]},
        "short": {"max_units": 1, "places": PLACES[:6]},
        "long": {"max_units": 4, "places": PLACES[:6]},
        "ood": {"max_units": 6, "places": PLACES},
    }
    unit_tokens = 7
    question_tokens = 6

    def parse_unit(self, text: str) -> Event:
        return parse_direction(text)

    def parse_question(self, text: str) -> Query:
        if match := _ASKED_FIRST.fullmatch(text):
            word, known = match.groups()
            axis, side = AXIS[word]
        elif match := _ASKED_LAST.fullmatch(text):
            known, word = match.groups()
            axis, side = AXIS[word][0], OTHER[AXIS[word][1]]
        else:
            raise ValueError(f"expected 'What is north of the A?' or 'What is the A north of?', got {text!r}")
        entity_mask_of(known, known, text)
        return (axis, known, side)

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate_timeless(events, [entity_mask(upper, lower) for _, upper, lower in events])

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[1]), "place"

    def solve(self, facts: Facts, query: Query) -> Proof:
        axis, known, side = query
        for unit, (stated, upper, lower) in facts:
            below, answer = (lower, upper) if side == "+" else (upper, lower)
            if stated == axis and below == known:
                return Proof(answer, (unit,), (0,))
        return Proof(None)

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        places: tuple[str, ...] = knobs["places"]  # type: ignore[assignment]
        max_units: int = knobs["max_units"]  # type: ignore[assignment]
        axis = draws.pick(("north", "east"))
        line = draws.shuffled(places)[: max_units + 1]
        events = draws.shuffled([(axis, upper, lower) for upper, lower in pairwise(line)])
        return Draft(tuple(events), draws.pick(_queries(events)))

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        """The statement that proves the answer names it first, as in the published files; the others vary."""
        return self._say(draft, [draws.chance(0.5) for _ in draft.events], draws.chance(0.5))

    def _say(self, draft: Draft, from_below: Sequence[bool], known_first: bool) -> tuple[tuple[str, ...], str]:
        proving = self.solve(tuple(enumerate(draft.events)), draft.query).support[0]
        answer_below = draft.query[2] == "-"
        units = tuple(
            word_direction(event, answer_below if i == proving else from_below[i]) for i, event in enumerate(draft.events)
        )
        return units, _question(draft.query, known_first)

    def every_draft(self, knobs: Knobs) -> Sequence[Draft] | None:
        """All drafts of two statements: 480 stories of 4 questions; longer ones are too many to list."""
        if knobs["max_units"] != 2:
            return None
        places: tuple[str, ...] = knobs["places"]  # type: ignore[assignment]
        return [
            Draft(events, query)
            for axis in ("north", "east")
            for a, b, c in permutations(places, 3)
            for events in permutations(((axis, a, b), (axis, b, c)))
            for query in _queries(events)
        ]

    def wordings(self, draft: Draft, knobs: Knobs) -> Sequence[tuple[tuple[str, ...], str]]:
        """The statement that is not asked about, and the question, can be said from either end."""
        return [self._say(draft, (end, end), known_first) for end in (False, True) for known_first in (False, True)]


def _queries(events: Sequence[Event]) -> list[Query]:
    """The questions that the statements answer with a place that is a choice: each from either end."""
    asked = [(axis, lower, "+", upper) for axis, upper, lower in events]
    asked += [(axis, upper, "-", lower) for axis, upper, lower in events]
    return [(axis, known, side) for axis, known, side, answer in asked if answer in TwoArgRelations.answers]


def _question(query: Query, known_first: bool) -> str:
    axis, known, side = query
    if known_first:
        return f"What is the {known} {WORD[axis, OTHER[side]]} of?"
    return f"What is {WORD[axis, side]} of the {known}?"


WORLDS = (TwoArgRelations(),)

"""Tasks 17 and 19: where figures and places lie on a grid, put together from statements about neighbours.

Events of task 17: ("left", A, B): A is to the left of B; ("above", A, B). Of task 19, as in task 4: ("north", A, B) and
("east", A, B). The converse says the same and is the same event. Nothing changes with time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations, product

from reasongym.seeding import Draws, hash64
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.lexicon import COLOURS, CONTAINERS, PLACES, SHAPES, THINGS, entity_mask
from reasongym.tasks.worlds.relations import (
    annotate_timeless,
    entity_mask_of,
    parse_direction,
    shortest_chain,
    word_direction,
)
from reasongym.types import Facts, Proof

FIGURES = ("triangle", "pink rectangle", "red sphere", "blue square", "red square", "yellow square")
NEW_FIGURES = tuple(f"{colour} {shape}" for colour in ("gray", "green", "white") for shape in SHAPES)

RELATIONS = {"left": (-1, 0), "right": (1, 0), "above": (0, 1), "below": (0, -1)}
"""Where A lies, seen from B, when A is left of, right of, above or below B."""
CONVERSE = {"left": "right", "right": "left", "above": "below", "below": "above"}
_PHRASE = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
_RELATION = {phrase: relation for relation, phrase in _PHRASE.items()}
_PHRASES = "|".join(_RELATION)
_UNIT = re.compile(rf"The ([\w ]+) is ({_PHRASES}) the ([\w ]+)\.")
_QUESTION = re.compile(rf"Is the ([\w ]+?) ({_PHRASES}) the ([\w ]+)\?")


def _figure_mask(figure: str) -> int:
    return entity_mask(*figure.split())


def _check_figures(*figures: str, text: str) -> None:
    for figure in figures:
        *colour, shape = figure.split()
        if shape not in SHAPES or len(colour) > 1 or any(word not in COLOURS for word in colour):
            raise ValueError(f"unknown figure {figure!r} in {text!r}")


class PositionalReasoning:
    """Statements about neighbouring figures; is one to the left of (right of, above, below) another?

    Each statement is a step of one on a grid, and steps add up. A query is (A, relation, B), as asked.
    """

    task = 17
    name = "positional-reasoning"
    answers = ("yes", "no")
    settings = {
        "published": {"max_units": 2, "hops": 2, "figures": FIGURES},
        "short": {"max_units": 1, "hops": 1, "figures": FIGURES},
        "long": {"max_units": 4, "hops": 3, "figures": FIGURES},
        "ood": {"max_units": 6, "hops": 4, "figures": NEW_FIGURES},
    }
    """`hops`: statements between the figures asked about; the other ones, up to `max_units`, are distractors."""
    unit_tokens = 11
    question_tokens = 11

    def parse_unit(self, text: str) -> Event:
        match = _UNIT.fullmatch(text)
        if match is None:
            raise ValueError(f"expected 'The A is to the left of|to the right of|above|below the B.', got {text!r}")
        first, phrase, second = match.groups()
        _check_figures(first, second, text=text)
        return _stated(first, _RELATION[phrase], second)

    def parse_question(self, text: str) -> Query:
        match = _QUESTION.fullmatch(text)
        if match is None:
            raise ValueError(f"expected 'Is the A to the left of|to the right of|above|below the B?', got {text!r}")
        first, phrase, second = match.groups()
        _check_figures(first, second, text=text)
        return (first, _RELATION[phrase], second)

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate_timeless(events, [_figure_mask(first) | _figure_mask(second) for _, first, second in events])

    def about(self, query: Query) -> tuple[int, str]:
        return _figure_mask(query[0]) | _figure_mask(query[2]), "yesno"

    def solve(self, facts: Facts, query: Query) -> Proof:
        first, relation, second = query
        near: dict[str, list[tuple[str, int]]] = {}
        steps: dict[tuple[int, str], tuple[int, int]] = {}
        for unit, (stated, a, b) in facts:
            near.setdefault(a, []).append((b, unit))
            near.setdefault(b, []).append((a, unit))
            steps[unit, b] = RELATIONS[stated]  # of a, seen from b
            steps[unit, a] = RELATIONS[CONVERSE[stated]]
        chain = shortest_chain(near, first, second)
        if not chain:
            return Proof(None)
        there = [steps[unit, reached] for reached, unit in chain]
        x, y = RELATIONS[relation]
        answer = "yes" if sum(dx * x + dy * y for dx, dy in there) > 0 else "no"
        support = tuple(unit for _, unit in chain)
        return Proof(answer, support, inner_prerequisites(len(support)))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return inner_prerequisites(len(support))

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        figures: tuple[str, ...] = knobs["figures"]  # type: ignore[assignment]
        max_units: int = knobs["max_units"]  # type: ignore[assignment]
        hops: int = knobs["hops"]  # type: ignore[assignment]
        if not 1 <= hops <= max_units < len(figures):
            raise ValueError(
                f"task 17 needs 1 <= hops <= max_units < {len(figures)} figures, got hops={hops}, max_units={max_units}"
            )
        names = draws.shuffled(figures)[: max_units + 1]
        relations: list[str] = []
        for _ in range(hops):  # steps never go back, so that the sum has a sign
            relations.append(draws.pick([r for r in RELATIONS if CONVERSE[r] not in relations]))
        events = [_stated(a, r, b) for a, r, b in zip(names, relations, names[1:], strict=False)]
        for i in range(hops + 1, len(names)):
            events.append(_stated(names[i], draws.pick(tuple(RELATIONS)), draws.pick(names[:i])))
        asked = (names[0], names[hops]) if draws.chance(0.5) else (names[hops], names[0])
        answer = draws.pick(self.answers)
        facts = tuple(enumerate(events))
        queries = [(asked[0], relation, asked[1]) for relation in RELATIONS]
        query = draws.pick([query for query in queries if self.solve(facts, query).answer == answer])
        return Draft(tuple(draws.shuffled(events)), query)

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        """Each statement starts with the shared figure in two of three cases, as in the published files."""
        ends = {draft.query[0], draft.query[2]}
        flips = []
        for _, first, second in draft.events:
            shared_first = draws.chance(2 / 3) if (first in ends) != (second in ends) else draws.chance(0.5)
            flips.append(shared_first == (first in ends))
        return self._say(draft, flips)

    def _say(self, draft: Draft, flips: Sequence[bool]) -> tuple[tuple[str, ...], str]:
        units = []
        for (relation, first, second), flip in zip(draft.events, flips, strict=True):
            if flip:
                relation, first, second = CONVERSE[relation], second, first
            units.append(f"The {first} is {_PHRASE[relation]} the {second}.")
        first, relation, second = draft.query
        return tuple(units), f"Is the {first} {_PHRASE[relation]} the {second}?"

    def every_draft(self, knobs: Knobs) -> Sequence[Draft] | None:
        """The drafts of two statements about the published figures; with more, there are too many to list."""
        if (knobs["max_units"], knobs["hops"], knobs["figures"]) != (2, 2, FIGURES):
            return None
        drafts: list[Draft] = []
        for a, b, c in permutations(FIGURES, 3):
            for r, s in product(RELATIONS, repeat=2):
                if s != CONVERSE[r]:
                    events = (_stated(a, r, b), _stated(b, s, c))
                    drafts.extend(Draft(events, query) for query in self._balanced(events, a, c))
        return drafts

    def _balanced(self, events: tuple[Event, ...], first: str, second: str) -> list[Query]:
        """The questions on two figures, as many with yes as with no (where there are more noes, a fixed choice)."""
        facts = tuple(enumerate(events))
        yes: list[Query] = []
        no: list[Query] = []
        for a, b in ((first, second), (second, first)):
            for relation in RELATIONS:
                query = (a, relation, b)
                (yes if self.solve(facts, query).answer == "yes" else no).append(query)
        return yes + sorted(no, key=lambda query: hash64(repr((events, query))))[: len(yes)]

    def wordings(self, draft: Draft, knobs: Knobs) -> Sequence[tuple[tuple[str, ...], str]]:
        return [self._say(draft, flips) for flips in product((False, True), repeat=len(draft.events))]


def _stated(first: str, relation: str, second: str) -> Event:
    """The event of "first is `relation` second"."""
    return (relation, first, second) if relation in ("left", "above") else (CONVERSE[relation], second, first)


def inner_prerequisites(length: int) -> tuple[int, ...]:
    """Of a chain between two known ends: an end link stands by itself, an inner one needs the link before it."""
    return tuple(0 if i in (0, length - 1) else 1 << (i - 1) for i in range(length))


STEP_LETTERS = {("north", "+"): "n", ("north", "-"): "s", ("east", "+"): "e", ("east", "-"): "w"}
NEW_PLACES = (*PLACES[6:], *THINGS, *(name for name in CONTAINERS if " " not in name))
"""Words that task 19 does not train on: three places, and things and containers in the place of places."""


class PathFinding:
    """Places on a grid told by who is next to whom; how does one go from one to another, two steps away?

    A query is (start, goal).
    """

    task = 19
    name = "path-finding"
    answers = ("e,e", "e,n", "e,s", "n,e", "n,n", "n,w", "s,e", "s,s", "s,w", "w,n", "w,s", "w,w")
    settings = {
        "published": {"max_units": 5, "places": PLACES[:6]},
        "short": {"max_units": 3, "places": PLACES[:6]},
        "long": {"max_units": 8, "places": PLACES},
        "ood": {"max_units": 10, "places": NEW_PLACES},
    }
    unit_tokens = 7
    question_tokens = 10
    _QUESTION = re.compile(r"How do you go from the (\w+) to the (\w+)\?")

    def parse_unit(self, text: str) -> Event:
        return parse_direction(text)

    def parse_question(self, text: str) -> Query:
        match = self._QUESTION.fullmatch(text)
        if match is None:
            raise ValueError(f"expected 'How do you go from the A to the B?', got {text!r}")
        entity_mask_of(match[1], match[2], text)
        return match.groups()

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate_timeless(events, [entity_mask(upper, lower) for _, upper, lower in events])

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query), "path"

    def solve(self, facts: Facts, query: Query) -> Proof:
        near: dict[str, list[tuple[str, int]]] = {}
        letters: dict[tuple[int, str], str] = {}
        for unit, (axis, upper, lower) in facts:
            near.setdefault(lower, []).append((upper, unit))
            near.setdefault(upper, []).append((lower, unit))
            letters[unit, upper] = STEP_LETTERS[axis, "+"]
            letters[unit, lower] = STEP_LETTERS[axis, "-"]
        chain = shortest_chain(near, *query)
        answer = ",".join(letters[unit, reached] for reached, unit in chain)
        if answer not in self.answers:  # no way, or not of two steps
            return Proof(None)
        return Proof(answer, tuple(unit for _, unit in chain), inner_prerequisites(len(chain)))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return inner_prerequisites(len(support))

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        places: tuple[str, ...] = knobs["places"]  # type: ignore[assignment]
        max_units: int = knobs["max_units"]  # type: ignore[assignment]
        if not 2 <= max_units < len(places):
            raise ValueError(f"task 19 needs 2 <= max_units < {len(places)} places, got max_units={max_units}")
        names = draws.shuffled(places)[: max_units + 1]
        while True:
            events, degree = self._tree(draws, names)
            if max_units < 5 or max(degree.values()) > 2:  # a bare line never occurs in the published files
                return Draft(tuple(draws.shuffled(events)), (names[0], names[2]))

    def _tree(self, draws: Draws, names: Sequence[str]) -> tuple[list[Event], dict[str, int]]:
        """The two-step path from names[0] to names[2], and every other place next to one that is there already."""
        compass = {"n": (0, 1), "s": (0, -1), "e": (1, 0), "w": (-1, 0)}
        cell = {names[0]: (0, 0)}
        taken = {(0, 0)}
        degree = dict.fromkeys(names, 0)
        events: list[Event] = []
        steps = draws.pick(self.answers).split(",")
        while len(cell) < len(names):
            new = len(cell)
            old = names[new - 1] if new < 3 else draws.pick(names[:new])
            letter = steps[new - 1] if new < 3 else draws.pick("nsew")
            where = (cell[old][0] + compass[letter][0], cell[old][1] + compass[letter][1])
            if where in taken:
                continue
            cell[names[new]] = where
            taken.add(where)
            degree[old] += 1
            degree[names[new]] += 1
            axis = "north" if letter in "ns" else "east"
            events.append((axis, names[new], old) if letter in "ne" else (axis, old, names[new]))
        return events, degree

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        units = tuple(word_direction(event, draws.chance(0.5)) for event in draft.events)
        return units, f"How do you go from the {draft.query[0]} to the {draft.query[1]}?"


WORLDS = (PositionalReasoning(), PathFinding())

"""Task 18, size reasoning: what fits inside what, and so what is bigger than what.

An event is (bigger, smaller): "A fits inside B" and "B is bigger than A" say the same and are the same event. A query is
(A, B): is A bigger than B? "Does B fit in A?" asks the same. Nothing changes with time; sentences repeat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.lexicon import ENTITY_BIT, SHAPES, THINGS, entity_mask
from reasongym.tasks.worlds.relations import annotate_timeless, shortest_chain
from reasongym.tasks.worlds.space import inner_prerequisites
from reasongym.types import Facts, Proof

SMALL = ("chocolate", "box of chocolates")
BIG = ("box", "chest", "container", "suitcase")

_FITS = re.compile(r"The ([\w ]+) fits inside the ([\w ]+)\.")
_BIGGER = re.compile(r"The ([\w ]+) is bigger than the ([\w ]+)\.")
_FITS_ASKED = re.compile(r"Does the ([\w ]+) fit in the ([\w ]+)\?")
_BIGGER_ASKED = re.compile(r"Is the ([\w ]+) bigger than the ([\w ]+)\?")


def _pair(fits: re.Pattern[str], bigger: re.Pattern[str], text: str) -> tuple[str, str]:
    """(bigger, smaller) of a sentence or question."""
    if match := bigger.fullmatch(text):
        pair = (match[1], match[2])
    elif match := fits.fullmatch(text):
        pair = (match[2], match[1])
    else:
        raise ValueError(f"expected a sentence like {bigger.pattern!r} or {fits.pattern!r}, got {text!r}")
    for name in pair:
        if name not in ENTITY_BIT:
            raise ValueError(f"unknown name {name!r} in {text!r}")
    return pair


class SizeReasoning:
    """Statements about pairs out of one order of sizes; is one bigger than another, by way of a third?"""

    task = 18
    name = "size-reasoning"
    answers = ("yes", "no")
    settings = {
        "published": {"max_units": 20, "block": 5, "hops": 2, "small": SMALL, "big": BIG},
        "short": {"max_units": 6, "block": 3, "hops": 2, "small": SMALL, "big": BIG},
        "long": {"max_units": 24, "block": 8, "hops": 3, "small": SMALL, "big": BIG},
        "ood": {"max_units": 30, "block": 10, "hops": 3, "small": (), "big": (*SHAPES, *THINGS)},
    }
    """`small`: the smallest names, ascending; `big`: the others, in an order of each story's own. Statements come in
    blocks of `block`, until a question by way of `hops` of them can be asked."""
    unit_tokens = 9
    question_tokens = 9

    def parse_unit(self, text: str) -> Event:
        return _pair(_FITS, _BIGGER, text)

    def parse_question(self, text: str) -> Query:
        return _pair(_FITS_ASKED, _BIGGER_ASKED, text)

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate_timeless(events, [entity_mask(*event) for event in events])

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query), "yesno"

    def solve(self, facts: Facts, query: Query) -> Proof:
        """By way of one other thing where that can be, as in the published files; else the shortest way."""
        below: dict[str, list[tuple[str, int]]] = {}
        above: dict[str, list[tuple[str, int]]] = {}
        for unit, (bigger, smaller) in facts:
            below.setdefault(bigger, []).append((smaller, unit))
            above.setdefault(smaller, []).append((bigger, unit))
        for answer, steps, back in (("yes", below, above), ("no", above, below)):
            support = _two_steps(steps, back, query) or tuple(unit for _, unit in shortest_chain(steps, *query))
            if support:
                return Proof(answer, support, inner_prerequisites(len(support)))
        return Proof(None)

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return inner_prerequisites(len(support))

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        small: tuple[str, ...] = knobs["small"]  # type: ignore[assignment]
        big: tuple[str, ...] = knobs["big"]  # type: ignore[assignment]
        max_units: int = knobs["max_units"]  # type: ignore[assignment]
        block: int = knobs["block"]  # type: ignore[assignment]
        hops: int = knobs["hops"]  # type: ignore[assignment]
        if not 1 <= hops <= block <= max_units or hops >= len(small) + len(big):
            raise ValueError(
                f"task 18 needs 1 <= hops <= block <= max_units and hops below its {len(small) + len(big)} names, "
                f"got hops={hops}, block={block}, max_units={max_units}"
            )
        while True:
            order = [*small, *draws.shuffled(big)]
            events: list[Event] = []
            while len(events) + block <= max_units:
                for _ in range(block):
                    i, j = draws.shuffled(range(len(order)))[:2]
                    events.append((order[max(i, j)], order[min(i, j)]))
                if pairs := _apart(events, hops):
                    bigger, smaller = draws.pick(pairs)
                    query = (bigger, smaller) if draws.chance(0.5) else (smaller, bigger)
                    return Draft(tuple(events), query)

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        units = tuple(
            f"The {smaller} fits inside the {bigger}." if draws.chance(0.5) else f"The {bigger} is bigger than the {smaller}."
            for bigger, smaller in draft.events
        )
        bigger, smaller = draft.query
        if draws.chance(0.5):
            return units, f"Does the {smaller} fit in the {bigger}?"
        return units, f"Is the {bigger} bigger than the {smaller}?"


def _two_steps(
    steps: Mapping[str, list[tuple[str, int]]], back: Mapping[str, list[tuple[str, int]]], query: Query
) -> tuple[int, ...]:
    """The last statement on the first step and the first one on the second (the published choice), or ()."""
    start, goal = query
    first = dict(steps.get(start, ()))
    ways = [(unit, -first[middle]) for middle, unit in back.get(goal, ()) if middle in first]
    if not ways:
        return ()
    second, minus_first = min(ways)
    return (-minus_first, second)


def _apart(events: Sequence[Event], hops: int) -> list[Event]:
    """The pairs (bigger, smaller) that a chain of `hops` statements joins: by a middle one, or with no shorter chain."""
    below: dict[str, list[str]] = {}
    for bigger, smaller in dict.fromkeys(events):
        below.setdefault(bigger, []).append(smaller)
    pairs: list[Event] = []
    for top in below:
        level, seen = {top: None}, {top}
        for _ in range(hops):
            level = {low: None for middle in level for low in below.get(middle, ()) if hops == 2 or low not in seen}
            seen.update(level)
        pairs += [(top, low) for low in level]
    return pairs


WORLDS = (SizeReasoning(),)

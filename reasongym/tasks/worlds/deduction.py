"""Tasks 15 and 16: from a kind to its members (deduction), and from one member of a kind to another (induction).

Events: ("is", NAME, ANIMAL); ("fears", ANIMAL, ANIMAL); ("colour", NAME, COLOUR). A query is a name: what is NAME
afraid of, or what colour is NAME. Nothing in these worlds changes with time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.lexicon import (
    ANIMALS,
    COLOURS,
    DEDUCTION_NAMES,
    INDUCTION_NAMES,
    MOTIVATION_NAMES,
    PEOPLE,
    entity_mask,
)
from reasongym.tasks.worlds.relations import annotate_timeless
from reasongym.types import Facts, Proof

PLURAL = {"mouse": "mice", "sheep": "sheep", "wolf": "wolves", "cat": "cats"}
SINGULAR = {plural: animal for animal, plural in PLURAL.items()}
NAMES = (*PEOPLE, *DEDUCTION_NAMES, *INDUCTION_NAMES, *MOTIVATION_NAMES)
"""Whoever a story may be about, in any setting."""
_NAME_OF = {name.lower(): name for name in NAMES}

_KIND = re.compile(r"(\w+) is an? (\w+)\.")
_COLOUR = re.compile(r"(\w+) is (\w+)\.")
_FEAR = re.compile(r"(\w+) are afraid of (\w+)\.")
_FEARED = re.compile(r"What is (\w+) afraid of\?")
_COLOUR_ASKED = re.compile(r"What color is (\w+)\?")


def _parse_name(pattern: re.Pattern[str], text: str) -> Query:
    match = pattern.fullmatch(text)
    if match is None or match[1].lower() not in _NAME_OF:
        raise ValueError(f"expected a question like {pattern.pattern!r} with a known name, got {text!r}")
    return (_NAME_OF[match[1].lower()],)


def _parse_kind(text: str) -> Event | None:
    match = _KIND.fullmatch(text)
    if match and match[1] in NAMES and match[2] in ANIMALS:
        return ("is", match[1], match[2])
    return None


class BasicDeduction:
    """Four kinds and what each is afraid of; who is of which kind; what is somebody afraid of?"""

    task = 15
    name = "basic-deduction"
    answers = ("cat", "mouse", "sheep", "wolf")
    settings = {
        "published": {"max_units": 8, "people": DEDUCTION_NAMES, "strangers": 0},
        "long": {"max_units": 13, "people": (*DEDUCTION_NAMES, *INDUCTION_NAMES), "strangers": 2},
        "ood": {"max_units": 16, "people": (*PEOPLE, *INDUCTION_NAMES, *MOTIVATION_NAMES), "strangers": 4},
    }
    """`strangers`: people of a kind whose fears are not told (frogs, lions, rhinos, swans)."""
    unit_tokens = 5
    question_tokens = 5

    def parse_unit(self, text: str) -> Event:
        if match := _FEAR.fullmatch(text):
            kinds = [SINGULAR.get(word.lower()) for word in match.groups()]
            if None not in kinds:
                return ("fears", *kinds)
        event = _parse_kind(text)
        if event is None:
            raise ValueError(f"expected 'NAME is a ANIMAL.' or 'ANIMALS are afraid of ANIMALS.', got {text!r}")
        return event

    def parse_question(self, text: str) -> Query:
        return _parse_name(_FEARED, text)

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate_timeless(events, [entity_mask(event[1], event[2]) for event in events])

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[0]), "animal"

    def solve(self, facts: Facts, query: Query) -> Proof:
        kind = next(((unit, event[2]) for unit, event in facts if event[:2] == ("is", query[0])), None)
        if kind is None:
            return Proof(None)
        fear = next(((unit, event[2]) for unit, event in facts if event[:2] == ("fears", kind[1])), None)
        return Proof(None) if fear is None else Proof(fear[1], (kind[0], fear[0]), (0b00, 0b01))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        """What a kind fears is of use once somebody is known to be of that kind."""
        known = _positions(support, "is", query[0])
        return tuple(known if event[0] == "fears" else 0 for _, event in support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people: tuple[str, ...] = knobs["people"]  # type: ignore[assignment]
        max_units: int = knobs["max_units"]  # type: ignore[assignment]
        strangers: int = knobs["strangers"]  # type: ignore[assignment]
        kinds = self.answers
        if not len(kinds) + strangers < max_units <= len(kinds) + len(people):
            raise ValueError(
                f"task 15 with {len(people)} people and {strangers} strangers has stories of "
                f"{len(kinds) + strangers + 1} to {len(kinds) + len(people)} units, got max_units={max_units}"
            )
        names = draws.shuffled(people)[: max_units - len(kinds)]
        unknown, known = names[:strangers], names[strangers:]
        events = self._told(draws, kinds, known)
        for name in unknown:
            events.insert(draws.below(len(events) + 1), ("is", name, draws.pick(ANIMALS[4:])))
        return Draft(tuple(events), (draws.pick(known),))

    def _told(self, draws: Draws, kinds: Sequence[str], names: Sequence[str]) -> list[Event]:
        """As in the published files, somebody's kind is named only after that kind's fears."""
        events: list[Event] = []
        untold, unnamed = set(kinds), set(names)
        while untold or unnamed:
            kind = draws.pick(kinds)
            if kind in untold:
                untold.remove(kind)
                events.append(("fears", kind, draws.pick([other for other in kinds if other != kind])))
            elif (name := draws.pick(names)) in unnamed:
                unnamed.remove(name)
                events.append(("is", name, kind))
        return events

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        units = tuple(
            f"{PLURAL[first].capitalize()} are afraid of {PLURAL[second]}." if what == "fears" else f"{first} is a {second}."
            for what, first, second in draft.events
        )
        return units, f"What is {draft.query[0].lower()} afraid of?"


class BasicInduction:
    """Who is of which kind and colour; somebody's colour is that of another of the same kind.

    Where several of the kind have colours, the one whose kind was told last decides, as in the published files.
    """

    task = 16
    name = "basic-induction"
    answers = ("gray", "green", "white", "yellow")
    settings = {
        "published": {
            "max_units": 9,
            "people": INDUCTION_NAMES,
            "kinds": ANIMALS[4:],
            "colours": answers,
            "kin": (1, 3, 4),
        },
        "long": {
            "max_units": 13,
            "people": (*INDUCTION_NAMES, *DEDUCTION_NAMES),
            "kinds": ANIMALS[4:],
            "colours": answers,
            "kin": (1, 2, 3),
        },
        "ood": {
            "max_units": 17,
            "people": (*PEOPLE, *DEDUCTION_NAMES, *MOTIVATION_NAMES),
            "kinds": ANIMALS[:4],
            "colours": COLOURS,
            "kin": (1, 2, 3, 4),
        },
    }
    """`kin`: how many others of the kind asked about there may be (never two in the published files)."""
    unit_tokens = 4
    question_tokens = 4

    def parse_unit(self, text: str) -> Event:
        event = _parse_kind(text)
        if event is None:
            match = _COLOUR.fullmatch(text)
            if match is None or match[1] not in NAMES or match[2] not in COLOURS:
                raise ValueError(f"expected 'NAME is a ANIMAL.' or 'NAME is COLOUR.', got {text!r}")
            event = ("colour", match[1], match[2])
        return event

    def parse_question(self, text: str) -> Query:
        return _parse_name(_COLOUR_ASKED, text)

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate_timeless(events, [entity_mask(event[1], event[2]) for event in events])

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(query[0]), "colour"

    def solve(self, facts: Facts, query: Query) -> Proof:
        kind_of: dict[str, tuple[int, str]] = {}
        colour_of: dict[str, tuple[int, str]] = {}
        for unit, (what, name, value) in facts:
            (kind_of if what == "is" else colour_of).setdefault(name, (unit, value))
        if query[0] not in kind_of:
            return Proof(None)
        own, kind = kind_of[query[0]]
        kin = [
            (unit, name) for name, (unit, value) in kind_of.items() if value == kind and name != query[0] and name in colour_of
        ]
        if not kin:
            return Proof(None)
        unit, name = max(kin)
        shade, colour = colour_of[name]
        return Proof(colour, (own, unit, shade), (0b000, 0b001, 0b010))

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        """Another's kind is of use once one's own is known, and another's colour once that one is known to be kin."""
        own = _positions(support, "is", query[0])
        return tuple(
            _positions(support, "is", event[1]) if event[0] == "colour" else own if event[1] != query[0] else 0
            for _, event in support
        )

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people: tuple[str, ...] = knobs["people"]  # type: ignore[assignment]
        kinds: tuple[str, ...] = knobs["kinds"]  # type: ignore[assignment]
        max_units: int = knobs["max_units"]  # type: ignore[assignment]
        kin: tuple[int, ...] = knobs["kin"]  # type: ignore[assignment]
        size = (max_units + 1) // 2
        if not 2 <= size <= len(people) or not any(0 < n < size for n in kin):
            raise ValueError(
                f"task 16 with {len(people)} people has stories of 3 to {2 * len(people) - 1} units and kin from 1 to "
                f"one less than its people, got max_units={max_units} and kin={kin}"
            )
        while True:
            names = draws.shuffled(people)[:size]
            kind_of = {name: draws.pick(kinds) for name in names}
            told, last = self._order(draws, names)
            if sum(kind_of[name] == kind_of[last] for name in names) - 1 in kin:
                return Draft(tuple(self._told(draws, told, kind_of, last, knobs)), (last,))

    def _order(self, draws: Draws, names: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
        """Facts in random order, a kind before its bearer's colour, and the one whose colour is left out."""
        told: list[tuple[str, str]] = []
        left = dict.fromkeys(names, 2)
        while len(told) < 2 * len(names) - 1:
            name = draws.pick(names)
            if left[name]:
                told.append(("is" if left[name] == 2 else "colour", name))
                left[name] -= 1
        return told, next(name for name in names if left[name])

    def _told(
        self, draws: Draws, told: Sequence[tuple[str, str]], kind_of: dict[str, str], last: str, knobs: Knobs
    ) -> list[Event]:
        """A colour is new, or that of the one of the kind coloured since its bearer was introduced (as published)."""
        colours: tuple[str, ...] = knobs["colours"]  # type: ignore[assignment]
        events: list[Event] = []
        expected: dict[str, str] = {}
        introduced: list[str] = []
        for what, name in told:
            kind = kind_of[name]
            if what == "is":
                introduced.append(name)
                events.append(("is", name, kind))
                continue
            palette = self.answers if kind == kind_of[last] else colours
            colour = expected.get(name) or draws.pick(palette)
            expected.update({other: colour for other in introduced if kind_of[other] == kind})
            events.append(("colour", name, colour))
        return events

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        units = tuple(f"{name} is a {value}." if what == "is" else f"{name} is {value}." for what, name, value in draft.events)
        return units, f"What color is {draft.query[0]}?"


def _positions(support: Facts, what: str, name: str) -> int:
    """The bit mask of the support positions that hold a fact of this sort about this name."""
    return sum(1 << i for i, (_, event) in enumerate(support) if event[:2] == (what, name))


WORLDS = (BasicDeduction(), BasicInduction())

"""Task 20, agents' motivations: who is hungry goes to the kitchen and gets the apple, and that is why.

Events: ("is", NAME, STATE), ("go", NAME, PLACE), ("get", NAME, THING). Queries: ("where", NAME): where will NAME go;
("why-go", NAME, PLACE); ("why-get", NAME, THING). A later state (move) of the same person supersedes the earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds.deduction import NAMES
from reasongym.tasks.worlds.lexicon import DEDUCTION_NAMES, INDUCTION_NAMES, MOTIVATION_NAMES, PEOPLE, entity_mask
from reasongym.types import Facts, Proof

PLACE_FOR = {"bored": "garden", "hungry": "kitchen", "thirsty": "kitchen", "tired": "bedroom"}
THING_FOR = {"bored": "football", "hungry": "apple", "thirsty": "milk", "tired": "pajamas"}
STATES = tuple(PLACE_FOR)

GO_VERBS = ("moved", "went", "went back", "journeyed", "travelled")
GET_VERBS = ("got", "took", "grabbed", "picked up")

_STATE = re.compile(rf"(\w+) is ({'|'.join(STATES)})\.")
_GO = re.compile(rf"(\w+) (?:{'|'.join(GO_VERBS)}) to the (bedroom|garden|kitchen)\.")
_GET = re.compile(rf"(\w+) (?:{'|'.join(GET_VERBS)}) the ({'|'.join(THING_FOR.values())})(?: there)?\.")
_SENTENCES = (("is", _STATE), ("go", _GO), ("get", _GET))
_WHERE = re.compile(r"Where will (\w+) go\?")
_WHY_GO = re.compile(r"Why did (\w+) go to the (bedroom|garden|kitchen)\?")
_WHY_GET = re.compile(rf"Why did (\w+) get the ({'|'.join(THING_FOR.values())})\?")
_QUESTIONS = (("where", _WHERE), ("why-go", _WHY_GO), ("why-get", _WHY_GET))
_NAME_OF = {name.lower(): name for name in NAMES}


class AgentsMotivations:
    """People in a state go where it is met and get what meets it; each thing can be got once."""

    task = 20
    name = "agents-motivations"
    answers = ("bedroom", "garden", "kitchen", "bored", "hungry", "thirsty", "tired")
    settings = {
        "published": {"max_units": 12, "min_units": 1, "people": MOTIVATION_NAMES, "num_people": 4},
        "short": {"max_units": 6, "min_units": 1, "people": MOTIVATION_NAMES, "num_people": 2},
        "ood": {
            "max_units": 24,
            "min_units": 8,
            "people": (*PEOPLE, *DEDUCTION_NAMES, *INDUCTION_NAMES),
            "num_people": 8,
        },
    }
    unit_tokens = 6
    question_tokens = 7

    def parse_unit(self, text: str) -> Event:
        for what, pattern in _SENTENCES:
            if (match := pattern.fullmatch(text)) and match[1] in NAMES:
                return (what, match[1], match[2])
        raise ValueError(f"expected 'NAME is STATE.', 'NAME went to the PLACE.' or 'NAME got the THING.', got {text!r}")

    def parse_question(self, text: str) -> Query:
        for what, pattern in _QUESTIONS:
            if (match := pattern.fullmatch(text)) and match[1].lower() in _NAME_OF:
                return (what, _NAME_OF[match[1].lower()], *match.groups()[1:])
        raise ValueError(
            f"expected 'Where will NAME go?', 'Why did NAME go to the PLACE?' or 'Why did NAME get the THING?', got {text!r}"
        )

    def annotate(self, events: Sequence[Event]) -> Annotation:
        superseded = [-1] * len(events)
        latest: dict[tuple[str, str], int] = {}
        for i, (what, name, _) in enumerate(events):
            if what != "get" and (what, name) in latest:
                superseded[latest[what, name]] = i
            latest[what, name] = i
        masks = tuple(entity_mask(name, value) for _, name, value in events)
        return Annotation(tuple(superseded), masks, tuple(range(len(events))))

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query[1:]), "place" if query[0] == "where" else "state"

    def solve(self, facts: Facts, query: Query) -> Proof:
        """From the person's last state that accounts for what is asked."""
        what, name, *rest = query
        for unit, (kind, who, state) in reversed(facts):
            if kind != "is" or who != name:
                continue
            if what == "where":
                return Proof(PLACE_FOR[state], (unit,), (0,))
            if rest[0] in (PLACE_FOR[state], THING_FOR[state]):
                return Proof(state, (unit,), (0,))
        return Proof(None)

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        people: tuple[str, ...] = knobs["people"]  # type: ignore[assignment]
        max_units: int = knobs["max_units"]  # type: ignore[assignment]
        min_units: int = knobs["min_units"]  # type: ignore[assignment]
        num_people: int = knobs["num_people"]  # type: ignore[assignment]
        if not 1 <= num_people <= len(people) or not 1 <= min_units <= min(max_units, 2 * num_people):
            raise ValueError(
                f"task 20 needs 1 <= num_people <= {len(people)} and min_units at most max_units and 2 * num_people, "
                f"got num_people={num_people}, min_units={min_units}, max_units={max_units}"
            )
        end = min_units + draws.below(min(max_units, 3 * num_people) - min_units + 1)
        while True:  # any of a story's statements is equally likely to be asked about
            events = self._story(draws, draws.shuffled(people)[:num_people])
            if end <= len(events):
                what, name, value = events[end - 1]
                query = ("where", name) if what == "is" else (f"why-{what}", name, value)
                return Draft(tuple(events[:end]), query)
            end = min_units + draws.below(min(max_units, 3 * num_people) - min_units + 1)

    def _story(self, draws: Draws, people: Sequence[str]) -> list[Event]:
        """Everybody comes into a state, goes where it leads, and gets what it asks for unless that is gone."""
        state = {name: draws.pick(STATES) for name in people}
        done = dict.fromkeys(people, 0)
        got: set[str] = set()
        events: list[Event] = []
        while open_for := [name for name in people if done[name] < 2 or (done[name] == 2 and state[name] not in got)]:
            name = draws.pick(open_for)
            kind, values = (("is", None), ("go", PLACE_FOR), ("get", THING_FOR))[done[name]]
            events.append((kind, name, values[state[name]] if values else state[name]))
            done[name] += 1
            if kind == "get":
                got.add(state[name])
        return events

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        units = []
        for what, name, value in draft.events:
            if what == "is":
                units.append(f"{name} is {value}.")
            elif what == "go":
                units.append(f"{name} {draws.pick(GO_VERBS)} to the {value}.")
            else:
                units.append(f"{name} {draws.pick(GET_VERBS)} the {value} there.")
        what, name, *rest = draft.query
        if what == "where":
            return tuple(units), f"Where will {name.lower()} go?"
        if what == "why-go":
            return tuple(units), f"Why did {name.lower()} go to the {rest[0]}?"
        return tuple(units), f"Why did {name.lower()} get the {rest[0]}?"


WORLDS = (AgentsMotivations(),)

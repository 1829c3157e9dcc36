"""People who move between places and take, drop and give things: the simulator behind bAbI tasks 2, 3 and 5-8, and what
tasks 1-3 and 5-8 share of a world.

The chances below were measured on the published files: a person is drawn, then one of the things that people do, then
its object; what cannot be done is drawn again. A giver hands the first thing held to the first person near, in the
order of the tuples `things` and `people`, as the published stories do without exception. A person and a thing begin in
a place that the reader is not told. Two statements, then a question if there is anything to ask about among the last
five; so from two statements to two more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar, cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Annotation, Draft, Event, Knobs, Query
from reasongym.tasks.worlds import grammar, lexicon
from reasongym.tasks.worlds.lexicon import ENTITY_BIT

T = TypeVar("T")

PEOPLE = ("John", "Mary", "Sandra", "Daniel")
OTHER_PEOPLE = ("Bill", "Julie", "Emily", "Jason")
PLACES = ("bedroom", "kitchen", "garden", "hallway", "bathroom", "office")
THINGS = ("apple", "football", "milk")
BLOCK = 2
"""Statements between two chances of a question."""
WINDOW = 5
"""A published question is about one of the last five statements."""
TRIES = 10_000
PATIENCE = 20
"""Tries after which a story may ask an earlier question than `rounds` wants: `max_units` leaves no room for that one."""


def choices(names: Iterable[str]) -> tuple[str, ...]:
    """These answers in the order of `lexicon.CHOICES`."""
    wanted = set(names)
    return tuple(choice for choice in lexicon.CHOICES if choice in wanted)


def pick_round(draws: Draws, knobs: Knobs, block: int = BLOCK) -> int:
    """Which of a story's questions this is (1 = the first), uniform over those of `rounds` that fit into `max_units`; over
    all that fit where none of `rounds` does.

    Raises:
        ValueError: not even the first question fits.
    """
    first, last = cast(tuple[int, int], knobs["rounds"])
    last = min(last, cast(int, knobs["max_units"]) // block)
    if first < 1 or last < 1:
        raise ValueError(f"max_units must be at least {block} and rounds begin at 1 or later, got {dict(knobs)}")
    if last < first:
        first = 1
    return first + draws.below(last - first + 1)


def people_and_places(knobs: Knobs) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names a story is about.

    Raises:
        ValueError: there are too few for the simulators to move anybody about.
    """
    people, places = cast(tuple[str, ...], knobs["people"]), cast(tuple[str, ...], knobs["places"])
    if len(people) < 2 or len(places) < 3:
        raise ValueError(f"a story needs at least 2 people and 3 places, got people={people!r}, places={places!r}")
    return people, places


def annotate(events: Sequence[Event]) -> Annotation:
    """A move is untrue once the person moves on; a take or a give once the receiver drops or gives the thing; a drop
    once somebody takes the thing. What past tense tells ("gave") is judged by the state it leaves behind."""
    last: dict[str, int] = {}
    superseded, entities = [-1] * len(events), []
    for i, event in enumerate(events):
        what = event[1] if event[0] == "move" else event[2]
        if what in last:
            superseded[last[what]] = i
        last[what] = i
        mask = ENTITY_BIT[event[1]] | ENTITY_BIT[event[2]]
        entities.append(mask | ENTITY_BIT[event[3]] if len(event) > 3 else mask)
    return Annotation(tuple(superseded), tuple(entities), tuple(range(len(events))))


@lru_cache(maxsize=64)
def move_events(people: tuple[str, ...], places: tuple[str, ...]) -> tuple[tuple[Event, ...], ...]:
    """The move of every person (row) to every place (column)."""
    return tuple(tuple(("move", person, place) for place in places) for person in people)


@lru_cache(maxsize=64)
def _act_events(kind: str, people: tuple[str, ...], things: tuple[str, ...]) -> tuple[tuple[Event, ...], ...]:
    return tuple(tuple((kind, person, thing) for thing in things) for person in people)


class Simulation:
    """A world of people, places and things, and what has been told of it; indices stand for names.

    Attributes:
        events: what has happened.
        at: each person's place.
        holder: who has each thing; -1 = nobody.
        last_move, previous_move: when each person moved last, and the time before that; -1 = not yet.
        last_act: when each thing was taken, dropped or given last.
        taken: when each thing was taken last.
        legs: at each thing's last drop, its dropper's (previous_move, last_move).
    """

    __slots__ = (
        "_drops", "_give_weight", "_moves", "_takes", "_total", "at", "events", "holder", "last_act", "last_move",
        "legs", "people", "previous_move", "random", "spot", "taken", "things",
    )  # fmt: skip

    def __init__(self, draws: Draws, knobs: Knobs, give_weight: float = 0.0) -> None:
        people, places = people_and_places(knobs)
        things = cast(tuple[str, ...], knobs["things"])
        random = draws.random
        self.people, self.things, self.random = people, things, random
        self.events: list[Event] = []
        self.at = [int(random() * len(places)) for _ in people]
        self.spot = [int(random() * len(places)) for _ in things]
        self.holder = [-1] * len(things)
        self.last_move = [-1] * len(people)
        self.previous_move = [-1] * len(people)
        self.last_act = [-1] * len(things)
        self.taken = [-1] * len(things)
        self.legs = [(-1, -1)] * len(things)
        self._moves = move_events(people, places)
        self._takes = _act_events("take", people, things)
        self._drops = _act_events("drop", people, things)
        self._total = 3.0 + give_weight

    def step(self) -> None:
        """One more event: a random one of those that can happen."""
        random, at, holder, total = self.random, self.at, self.holder, self._total
        num_people, now = len(at), len(self.events)
        while True:
            person = int(random() * num_people)
            kind = random() * total
            if kind < 1.0:
                row = self._moves[person]
                place = int(random() * len(row))
                if place == at[person]:
                    continue
                at[person] = place
                self.previous_move[person] = self.last_move[person]
                self.last_move[person] = now
                self.events.append(row[place])
                return
            if kind < 2.0:
                here, spot = at[person], self.spot
                free = [t for t, who in enumerate(holder) if who < 0 and spot[t] == here]
                if not free:
                    continue
                thing = free[int(random() * len(free))]
                holder[thing] = person
                self.taken[thing] = now
                self.events.append(self._takes[person][thing])
            else:
                if person not in holder:
                    continue
                if kind < 3.0:
                    held = [t for t, who in enumerate(holder) if who == person]
                    thing = held[int(random() * len(held))]
                    holder[thing] = -1
                    self.spot[thing] = at[person]
                    self.legs[thing] = (self.previous_move[person], self.last_move[person])
                    self.events.append(self._drops[person][thing])
                else:
                    here = at[person]
                    receiver = next((q for q in range(num_people) if at[q] == here and q != person), -1)
                    if receiver < 0:
                        continue
                    thing = holder.index(person)
                    holder[thing] = receiver
                    self.events.append(("give", self.people[person], self.things[thing], self.people[receiver]))
            self.last_act[thing] = now
            return


def simulate(
    draws: Draws, knobs: Knobs, subjects: Callable[[Simulation, int], Sequence[T]], give_weight: float = 0.0
) -> tuple[Simulation, T]:
    """A story up to a question, and what the question is about.

    Args:
        draws: where chance comes from.
        knobs: `rounds`, `window`, `max_units`, and what `Simulation` reads.
        subjects: of a world and the window, what may be asked about now (each equally likely).
        give_weight: as in `Simulation`.

    Raises:
        ValueError: the knobs leave room for no question.
    """
    max_units, window = cast(int, knobs["max_units"]), cast(int, knobs["window"])
    for tried in range(TRIES):
        questions = pick_round(draws, knobs)
        if tried >= PATIENCE:
            questions = 1 + draws.below(questions)
        world = Simulation(draws, knobs, give_weight)
        events, step = world.events, world.step
        while len(events) + BLOCK <= max_units:
            step()
            step()
            found = subjects(world, window)
            if found:
                questions -= 1
                if not questions:
                    return world, draws.pick(found)
    raise ValueError(f"no story with a question in {TRIES} tries, got {dict(knobs)}; raise max_units")


class StoryWorld:
    """What the worlds of tasks 1-3 and 5-14 share: sentences in and out, and which unit ends which.

    Knobs of all of them: `people` and `places` (names), `max_units`, `rounds` (first and last question of a story that
    may be asked, each equally likely) and `window` (a question is about one of this many last statements).
    """

    task: int
    name: str
    kinds: tuple[str, ...]
    answers: tuple[str, ...]
    settings: Mapping[str, Knobs]
    unit_tokens: int
    question_tokens: int
    wordings = grammar.Wordings()

    def parse_unit(self, text: str) -> Event:
        return grammar.read_unit(text, self.kinds, self.task)

    def annotate(self, events: Sequence[Event]) -> Annotation:
        return annotate(events)

    def word(self, draws: Draws, draft: Draft, knobs: Knobs) -> tuple[tuple[str, ...], str]:
        wordings, random = self.wordings, draws.random
        units = []
        for event in draft.events:
            texts = wordings[event]
            units.append(texts[int(random() * len(texts))])
        return tuple(units), self.question(draft.query)

    def question(self, query: Query) -> str:
        """A canonical question in words."""
        raise NotImplementedError


def difficulties(
    max_units: int, ood_units: int, people: tuple[str, ...], others: tuple[str, ...], **more: object
) -> dict[str, Knobs]:
    """ "published" as in the files; "ood" with longer stories, older subjects and people called otherwise."""
    base = {"people": people, "places": PLACES, "max_units": max_units, "rounds": (1, 5), "window": WINDOW} | more
    ood = base | {"people": others, "max_units": ood_units, "rounds": (6, 10), "window": 2 * WINDOW}
    return {"published": base, "ood": ood}

"""Tales: people with wishes who travel, find, hide, steal, give and lose things, help and quarrel, and are paid for it.

A simulation keeps track of where everybody is and who has what; only what can happen is told. People keep the story's eye
for a few sentences, so that what belongs together is mostly, but not always, told together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Event, Knobs
from reasongym.tasks.prose import lexicon
from reasongym.tasks.prose.asking import Asked, Asker
from reasongym.tasks.prose.tale_frames import TALES
from reasongym.tasks.prose.telling import definite

LONGEST = 400
TOPICS = ("action", "causal relationship", "character", "feeling", "outcome resolution", "setting")
"""Kinds of questions, after FairytaleQA; each as often among questions of one hop."""

_SAME = {"lexicon": "known", "pronouns": 0.5, "by_names": 0.5}
_OOD = {**_SAME, "lexicon": "held-out"}
SETTINGS: Mapping[str, Mapping[str, Knobs]] = {
    "summary": {
        "easy": {"units": (20, 30), "hops": (1,), "far": 1, **_SAME},
        "published": {"units": (30, 60), "hops": (1, 2), "far": 5, **_SAME},
        "hard": {"units": (60, 90), "hops": (2, 3), "far": 8, **_SAME},
        "ood": {"units": (60, 90), "hops": (2, 3), "far": 8, **_OOD},
    },
    "fairytale": {
        "easy": {"units": (20, 40), "hops": (1,), "far": 1, **_SAME},
        "published": {"units": (40, 100), "hops": (1, 1, 2), "far": 5, **_SAME},
        "hard": {"units": (100, 160), "hops": (2, 3), "far": 10, **_SAME},
        "long": {"units": (200, 400), "hops": (1, 2, 3), "far": 10, **_SAME},
        "ood": {"units": (100, 140), "hops": (2, 3), "far": 10, **_OOD},
    },
}
"""By kind and name. `units`: fewest and most sentences; `hops`: supporting sentences of a question, each entry equally often;
`far`: least distance between one supporting sentence and the next; the rest as for passages."""

TALK = (("told", "secret"), ("promised", "promise"), ("helped", "labour"), ("quarrelled", "quarrel"))
"""What passes between two people, and the slot that says what exactly."""

Plan = tuple[int, str | None]


class Tale:
    """A tale under construction.

    Attributes:
        at: where each person is.
        held: who has each thing.
        hidden: where each thing that nobody has lies.
        thefts: (thief, thing) not yet paid for.
    """

    def __init__(self, draws: Draws, part: int, size: int) -> None:
        self.draws, self.part = draws, part
        self.used: dict[int, list[str]] = {}
        self.events: list[Event] = []
        self.at: dict[str, str] = {}
        self.held: dict[str, str] = {}
        self.hidden: dict[str, str] = {}
        self.thefts: list[tuple[str, str]] = []
        self.kind_ones: list[str] = []
        self.places = [self.fresh("place") for _ in range(min(4 + size // 20, 9))]
        self.rulers = [f"the {self.fresh('ruler')}" for _ in range(2)]
        women, men = (draws.shuffled(pool[part]) for pool in (lexicon.NAMES_TALE_WOMEN, lexicon.NAMES_TALE_MEN))
        cast_size = min(3 + size // 12, 11)
        self.waiting = draws.shuffled([*women[: (cast_size + 1) // 2], *men[: cast_size // 2]])
        self.eye = ""

    def fresh(self, slot: str) -> str:
        """A word of a slot's pool; none comes again before all have come."""
        pool = TALES.pools[slot][self.part]
        left = self.used.get(id(pool))
        if not left:
            left = self.used[id(pool)] = self.draws.shuffled(pool)
        return left.pop()

    def tell(self, kind: str, *values: str) -> bool:
        self.events.append((kind, *values))
        return True

    def enter(self) -> bool:
        """Somebody new."""
        if not self.waiting:
            return False
        person, place = self.waiting.pop(), self.draws.pick(self.places)
        self.at[person], self.eye = place, person
        self.tell("lived", person, self.fresh("role"), place)
        if self.draws.chance(0.5):
            self.tell("wished", person, self.fresh("wish"))
        if self.draws.chance(0.4):
            self.tell("dressed", person, self.fresh("clothes"))
        return True

    def near(self, person: str) -> str | None:
        """Somebody else in the same place; now and then somebody comes along for the purpose."""
        others = [other for other, place in self.at.items() if place == self.at[person] and other != person]
        if others:
            return self.draws.pick(others)
        others = [other for other in self.at if other != person]
        if not others or not self.draws.chance(0.5):
            return None
        other = self.draws.pick(others)
        self.move(other, self.at[person])
        return other

    def move(self, person: str, place: str) -> bool:
        self.at[person] = place
        if self.draws.chance(0.25):
            return self.tell("met obstacle", person, place, self.fresh("obstacle"), self.fresh("means"))
        return self.tell("went", person, place, self.fresh("errand"))

    def has(self, person: str) -> str | None:
        """A thing that somebody holds."""
        mine = [thing for thing, owner in self.held.items() if owner == person]
        return self.draws.pick(mine) if mine else None

    def go(self, person: str) -> bool:
        return self.move(person, self.draws.pick([place for place in self.places if place != self.at[person]]))

    def find(self, person: str) -> bool:
        here = [thing for thing, place in self.hidden.items() if place == self.at[person]]
        known = len(self.held) + len(self.hidden)
        if here and self.draws.chance(0.6):
            thing = self.draws.pick(here)
            del self.hidden[thing]
        elif known < len(TALES.pools["thing"][self.part]):
            thing = self.fresh("thing")
        else:
            return False
        self.held[thing] = person
        self.tell("found", person, thing, self.fresh("spot"), self.at[person])
        if self.draws.chance(0.35):
            self.tell("power", thing, self.fresh("power"))
        if self.draws.chance(0.3):
            self.tell("rejoiced", person, self.fresh("joy"), thing)
        return True

    def steal(self, person: str) -> bool:
        other = self.near(person)
        thing = self.has(other) if other else None
        if other is None or thing is None:
            return False
        self.held[thing] = person
        self.thefts.append((person, thing))
        self.tell("stole", person, thing, other, self.fresh("moment"))
        return self.draws.chance(0.6) or self.tell("grieved", other, self.fresh("grief"), thing)

    def part_with(self, person: str) -> bool:
        """A gift or a sale."""
        thing = self.has(person)
        other = self.near(person) if thing else None
        if thing is None or other is None:
            return False
        self.held[thing] = other
        if self.draws.chance(0.5):
            return self.tell("sold", person, thing, other, self.fresh("price"))
        self.tell("gave", person, thing, other, self.fresh("thanks"))
        return self.draws.chance(0.6) or self.tell("rejoiced", other, self.fresh("joy"), thing)

    def put_away(self, person: str) -> bool:
        """A thing is hidden, or lost."""
        thing = self.has(person)
        if thing is None:
            return False
        place = self.at[person]
        del self.held[thing]
        self.hidden[thing] = place
        if self.draws.chance(0.5):
            return self.tell("hid", person, thing, self.fresh("spot"), place, self.fresh("dread"))
        self.tell("lost", person, thing, place, self.fresh("moment"))
        return self.draws.chance(0.5) or self.tell("grieved", person, self.fresh("grief"), thing)

    def use(self, person: str) -> bool:
        thing = self.has(person)
        return thing is not None and self.tell("used", person, thing, self.fresh("result"))

    def suffer(self, person: str) -> bool:
        place = self.draws.pick([place for place in self.places if place != self.at[person]])
        self.tell("suffered", person, self.fresh("misfortune"))
        self.tell("departed", person, place, self.at[person])
        self.at[person] = place
        return True

    def talk(self, person: str) -> bool:
        """A secret, a promise, help or a quarrel."""
        other = self.near(person)
        if other is None:
            return False
        kind, slot = self.draws.pick(TALK)
        if kind == "helped":
            self.kind_ones.append(person)
        if not any(event[0] == "met" and {person, other} == set(event[1:3]) for event in self.events) and self.draws.chance(
            0.3
        ):
            self.tell("met", person, other, self.at[person])
        return self.tell(kind, person, other, self.fresh(slot))

    def pass_time(self, person: str) -> bool:
        chance = self.draws.random()
        if chance < 0.4:
            return self.tell("did", person, self.fresh("deed"), self.at[person])
        if chance < 0.65:
            return self.tell("dreamed", person, self.fresh("dream"), self.at[person])
        return self.tell("scene", self.at[person], self.fresh("time"), self.fresh("weather"))

    def judge(self, person: str) -> bool:
        """A ruler pays somebody back."""
        ruler = self.draws.pick(self.rulers)
        if self.thefts and self.draws.chance(0.6):
            thief, thing = self.thefts.pop(self.draws.below(len(self.thefts)))
            return self.tell("punished", ruler, thief, self.fresh("punishment"), thing)
        if not self.kind_ones:
            return False
        return self.tell("rewarded", ruler, self.kind_ones.pop(self.draws.below(len(self.kind_ones))), self.fresh("reward"))


STEPS: tuple[Callable[[Tale, str], bool], ...] = (
    *(Tale.go,) * 4, *(Tale.find,) * 3, *(Tale.steal,) * 4, *(Tale.part_with,) * 4, *(Tale.put_away,) * 2, *(Tale.use,) * 2,
    Tale.suffer, *(Tale.talk,) * 4, *(Tale.pass_time,) * 2, *(Tale.judge,) * 2,
)  # fmt: skip
"""What can happen next, as often as it stands here."""


def plan(fixed: Draws, draws: Draws, knobs: Knobs) -> Plan:
    """What to ask: of how many hops, and where it is one, on which topic."""
    hops = fixed.pick(cast(tuple[int, ...], knobs["hops"]))
    return hops, fixed.pick(TOPICS) if hops == 1 else None


def story(draws: Draws, knobs: Knobs, plan: Plan) -> tuple[Event, ...]:
    """The events of a tale."""
    low, high = cast(tuple[int, int], knobs["units"])
    size = low + draws.below(high - low + 1)
    tale = Tale(draws, 1 if knobs["lexicon"] == "held-out" else 0, size)
    tale.tell("scene", draws.pick(tale.places), tale.fresh("time"), tale.fresh("weather"))
    tale.enter()
    tale.enter()
    newcomers = size // (len(tale.waiting) + 1)
    while len(tale.events) < size:
        if tale.waiting and len(tale.events) > newcomers * (len(tale.at) - 1) * 0.6:
            tale.enter()
        if not draws.chance(0.5):
            tale.eye = draws.pick(tuple(tale.at))
        draws.pick(STEPS)(tale, tale.eye)
    return tuple(tale.events[:size])


def ask(draws: Draws, knobs: Knobs, events: tuple[Event, ...], plan: Plan) -> Asked | None:
    """A question to a tale, or None where none of the kind wanted was found."""
    hops, topic = plan
    return Asker(TALES, events, draws, far=cast(int, knobs["far"])).answerable(hops, topic=topic)


def aliases(events: tuple[Event, ...]) -> dict[str, str]:
    """By-names: "the miller" for a person, "the comb" for a thing."""
    out: dict[str, str] = {}
    for event in events:
        if event[0] == "lived":
            out[event[1]] = f"the {event[2]}"
        elif event[0] == "found":
            out[event[2]] = "the " + event[2].rsplit(" ", 1)[1]
    return out


SECOND = {
    "errand": "because {name} wanted {words}", "dread": "because {words}", "thanks": "in return for {words}",
    "misfortune": "it happened that {words}", "wish": "{name} wished {words}", "secret": "that {words}",
    "promise": "{name} vowed {words}", "deed": "{name} {words}", "result": "as a result {words}", "means": "by {words}",
    "power": "it could {words}", "punishment": "{name} had {words}", "place": "at {words}", "price": "it cost {words}",
    "clothes": "by {words}", "labour": "they had to {words}", "quarrel": "over {words}", "dream": "a dream of {words}",
    "reward": "{name} got {words}", "role": "{name} was a {words}", "weather": "{words} there", "time": "it was {words}",
    "spot": "it lay {words}", "moment": "it was {words}", "obstacle": "{words} was in the way",
}  # fmt: skip
"""The other wording of an answer."""


def references(events: tuple[Event, ...], asked: Asked, words: str) -> tuple[str, ...]:
    """Two wordings of an answer, the first one mostly as it stands in its unit."""
    event = events[asked.unit]
    frame = TALES.frames[event[0]]
    kind, value = frame.types[asked.slot], event[asked.slot + 1]
    name = next((value for value, slot in zip(event[1:], frame.types, strict=True) if slot == "person"), "")
    if kind in ("joy", "grief"):
        return value, lexicon.LIKENESS[value]
    if kind == "thing":
        return definite(value), aliases(events).get(value, value)
    if kind in ("person", "ruler"):
        other = aliases(events).get(value, f"it was {value}")
        return words, value if words != value else other
    words = value if words.lower() == value.lower() else words
    second = SECOND.get(kind)
    return (words, second.format(name=name, words=words)) if second else (words,)

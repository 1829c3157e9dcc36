"""Encyclopedic passages: two or three firms, buildings, rivers or inventions, and the people and towns behind them.

The topics of a passage are mostly of one kind and told by mostly the same frames, and so are the people: every passage
holds other founders, other birthplaces and other years than the one asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

from reasongym.seeding import Draws
from reasongym.tasks.base import Event, Knobs
from reasongym.tasks.prose import lexicon
from reasongym.tasks.prose.asking import Asked, Asker, Key
from reasongym.tasks.prose.doubting import unanswerable
from reasongym.tasks.prose.frames import ENTITY_SLOTS
from reasongym.tasks.prose.passage_frames import PASSAGES

SETTINGS: Mapping[str, Knobs] = {
    "easy": {"units": (4, 6), "hops": (1,), "unanswerable": 0.5, "lexicon": "known", "pronouns": 0.3, "by_names": 0.3},
    "published": {"units": (5, 12), "hops": (1, 2), "unanswerable": 0.5, "lexicon": "known", "pronouns": 0.5, "by_names": 0.5},
    "hard": {"units": (10, 20), "hops": (2, 3), "unanswerable": 0.5, "lexicon": "known", "pronouns": 0.6, "by_names": 0.6},
    "ood": {"units": (10, 16), "hops": (2, 3), "unanswerable": 0.5, "lexicon": "held-out", "pronouns": 0.5, "by_names": 0.5},
}
"""`units`: fewest and most sentences; `hops`: supporting sentences of a question, each entry equally often; `unanswerable`:
share of the questions without an answer; `lexicon`: "known" or "held-out" words; `pronouns`, `by_names`: how often entities go
by them."""

LONGEST = 40
"""Most sentences of a passage (towns, people and firms are named once each, and the lexicon must not run dry)."""

LINKS = {"org": "founded", "work": "designed", "device": "invented", "river": "dammed"}
"""What a topic opens with; "not founded" and so on tell who it was not."""

ABOUT = {
    "org": ("succeeded", "made", "staff", "loan", "closed", "first seat"),
    "work": ("stands", "cost", "height", "damaged", "rebuilt", "used"),
    "device": ("purpose", "maker", "price", "idea", "shown"),
    "river": ("flows", "rises", "length", "flooded", "named"),
    "person": ("born", "trained", "studied", "married", "died", "emigrated", "honoured", "wrote"),
    "city": ("people", "trade", "mayor"),
}
"""What more can be told of an entity."""

YEARS = {
    "founded": (0, 0), "first seat": (1, 3), "relocated": (6, 25), "succeeded": (8, 30), "staff": (4, 30), "closed": (32, 60),
    "designed": (0, 0), "damaged": (9, 40), "rebuilt": (42, 60), "used": (10, 60), "flooded": (-30, 20), "dammed": (0, 0),
    "invented": (0, 0), "shown": (1, 9), "born": (-44, -22), "married": (-15, 8), "died": (12, 34), "emigrated": (-14, -2),
    "honoured": (2, 11), "wrote": (-8, 11), "people": (-20, 60), "mayor": (-20, 60),
}  # fmt: skip
"""When a thing happens, in years from the start of its topic."""

NUMBERS = {
    "staff": (40, 900, 5), "height": (60, 420, 1), "flows": (90, 700, 10), "length": (35, 480, 1), "flooded": (12, 180, 1),
    "people": (1500, 60000, 100), "loan": (2000, 90000, 500), "cost": (5000, 400000, 1000), "price": (3, 240, 1),
}  # fmt: skip
"""Smallest, largest and step of the numbers."""


class Topic(NamedTuple):
    """An entity to tell more of, and the year its dates count from."""

    kind: str
    name: str
    year: int


class Passage:
    """A passage under construction: no value comes twice."""

    def __init__(self, draws: Draws, part: int) -> None:
        self.draws, self.part = draws, part
        self.used: set[str] = set()
        self.orders = {kind: draws.shuffled(frames) for kind, frames in ABOUT.items()}

    def favour(self, about: str, kind: str) -> None:
        """One frame comes to the fore, or is left for last."""
        order = self.orders[about]
        if kind in order:
            order.remove(kind)
            order.insert(0 if self.draws.chance(0.75) else len(order), kind)

    def fresh(self, pool: lexicon.Pool) -> str:
        """A word of a pool that the passage does not hold yet.

        Raises:
            LookupError: it holds them all.
        """
        words = pool[self.part]
        start = self.draws.below(len(words))
        for i in range(len(words)):
            word = words[(start + i) % len(words)]
            if word not in self.used:
                self.used.add(word)
                return word
        raise LookupError(f"a passage needs more than the {len(words)} words from {words[0]!r} on")

    def named(self, kind: str) -> str:
        """A new entity."""
        pick, part = self.draws.pick, self.part
        if kind == "person":
            first = pick((lexicon.WOMEN if self.draws.chance(0.5) else lexicon.MEN)[part])
            return f"{first} {self.fresh(lexicon.SURNAMES)}"
        if kind == "org":
            return f"the {self.fresh(lexicon.BRANDS)} {self.fresh(lexicon.FIRMS)}"
        if kind == "work":
            return f"the {self.fresh(lexicon.WORK_NAMES)} {self.fresh(lexicon.WORKS)}"
        if kind == "device":
            return f"the {self.fresh(lexicon.DEVICE_KINDS)} {self.fresh(lexicon.DEVICES)}"
        return self.fresh(lexicon.RIVERS if kind == "river" else lexicon.TOWNS)

    def value(self, kind: str, slot: str, year: int) -> str:
        """A new value of a frame's slot."""
        draws = self.draws
        if slot in ("year", "number", "amount"):
            low, high, step = (*YEARS[kind], 1) if slot == "year" else NUMBERS[kind]
            while True:
                number = low + step * draws.below((high - low) // step + 1)
                text = str(year + number) if slot == "year" else f"{number:,}"
                if text not in self.used:
                    self.used.add(text)
                    return text
                year, high = (year - 1, high) if slot == "year" else (year, high + step)
        return self.fresh(PASSAGES.pools[slot]) if slot in PASSAGES.pools else self.named(slot)

    def event(self, kind: str, topic: Topic, **known: str) -> Event:
        """A new event of a topic."""
        frame = PASSAGES.frames[kind]
        slots = zip(frame.slots[1:], frame.types[1:], strict=True)
        return (kind, topic.name, *(known.get(name) or self.value(kind, slot, topic.year) for name, slot in slots))

    def first_director(self, kind: str, events: list[Event]) -> dict[str, str]:
        """Mostly a firm's founder hands it over."""
        founders = [event[2] for event in events if event[0] == "founded"] if kind == "succeeded" else []
        return {"person2": founders[0]} if founders and self.draws.chance(0.6) else {}

    def told(self, topic: Topic, most: int, opening: bool = False) -> list[Event]:
        """Up to `most` events about a topic and about whom and what they lead to."""
        draws, events = self.draws, []
        if opening:
            link = LINKS[topic.kind]
            if f"not {link}" in PASSAGES.frames and draws.chance(0.2):
                events.append(self.event(f"not {link}", topic))
            if not events or (most > 2 and draws.chance(0.3)):
                events.insert(draws.below(len(events) + 1), self.event(link, topic))
        own = most if not opening else max(len(events), (most + 1 + draws.below(2)) // 2)
        for kind in self.orders[topic.kind]:
            if len(events) >= own:
                break
            if draws.chance(0.75):
                try:
                    events.append(self.event(kind, topic, **self.first_director(kind, events)))
                except LookupError:  # the lexicon has run dry of what this frame tells
                    continue
                if kind == "first seat" and len(events) < most and draws.chance(0.7):
                    events.append(self.event("relocated", topic, city2=events[-1][2]))
        found: dict[str, Topic] = {}
        for event in events:
            frame = PASSAGES.frames[event[0]]
            # a person's dates count from the event they are known for, so that nobody repairs a bridge after their death
            year = int(event[frame.slots.index("year") + 1]) if "year" in frame.slots else topic.year
            for slot, value in zip(frame.types[1:], event[2:], strict=True):
                if slot in ENTITY_SLOTS and slot in ABOUT and (slot != "city" or draws.chance(0.35)):
                    found.setdefault(value, Topic(slot, value, year if slot == "person" else topic.year))
        ahead = draws.shuffled(list(found.values()))
        while ahead and len(events) < most:
            # the rest is shared between all but the last, so that two people are often told by the same frames
            share = max(1, (most - len(events) + 1) // min(2, len(ahead)))
            events += self.told(ahead.pop(), min(share, most - len(events)))
        return events


class Plan(NamedTuple):
    """What to ask, drawn before the story: so the question alone does not betray whether there is an answer."""

    answered: bool
    hops: int
    key: Key


KEYS = {kind: tuple((kind, slot, given) for slot, given in frame.asks) for kind, frame in PASSAGES.frames.items() if frame.asks}
"""All that can be asked, by kind of event."""


def plan(fixed: Draws, draws: Draws, knobs: Knobs) -> Plan:
    """Any kind of event is asked for as often as any other, with an answer or without."""
    answered = not fixed.chance(cast(float, knobs["unanswerable"]))
    return Plan(answered, fixed.pick(cast(tuple[int, ...], knobs["hops"])), draws.pick(KEYS[draws.pick(tuple(KEYS))]))


def story(draws: Draws, knobs: Knobs, plan: Plan) -> tuple[Event, ...]:
    """The events of a passage in which the planned question makes sense."""
    low, high = cast(tuple[int, int], knobs["units"])
    size = low + draws.below(high - low + 1)
    kind = plan.key[0]
    about = PASSAGES.frames[kind].types[0]
    passage = Passage(draws, 1 if knobs["lexicon"] == "held-out" else 0)
    passage.favour(about, "first seat" if kind in ("seat", "relocated") else kind)
    theme = about if about in LINKS else draws.pick(tuple(LINKS))
    number = 2 if size < 8 else 2 + draws.below(2)
    events: list[Event] = []
    for left in range(number, 0, -1):
        one = theme if draws.chance(0.75) else draws.pick(tuple(LINKS))
        topic = Topic(one, passage.named(one), 1790 + draws.below(130))
        events += passage.told(topic, (size - len(events)) // left, opening=True)
    return tuple(events)


def ask(draws: Draws, knobs: Knobs, events: tuple[Event, ...], plan: Plan) -> Asked | None:
    """The planned question, or None where the passage has none such."""
    asker = Asker(PASSAGES, events, draws)
    if plan.answered:
        return asker.answerable(plan.hops, key=plan.key)
    return unanswerable(asker, plan.hops, plan.key)


def aliases(events: tuple[Event, ...]) -> dict[str, str]:
    """By-names: surnames, and "the brewery" where the passage has one."""
    out: dict[str, str] = {}
    for event in events:
        frame = PASSAGES.frames[event[0]]
        for slot, value in zip(frame.types, event[1:], strict=True):
            if slot in ("org", "work", "device", "person"):
                noun = value.rsplit(" ", 1)[1]
                out[value] = noun if slot == "person" else f"the {noun.lower()}"
    return out


def references(events: tuple[Event, ...], asked: Asked, words: str) -> tuple[str, ...]:
    """The one answer, as it stands in its unit."""
    return (words,)

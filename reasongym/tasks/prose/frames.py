"""What can be told and asked: frames, the events they make, and a solver that joins events.

An *event* is (kind, value, value, ...), one value for each slot of the kind's frame; its first value is the subject. One
unit tells one event. A *query* is a tuple of hops (kind, slot asked, ((slot, value), ...)): "the value of that slot in the
event whose other slots hold these values", where the value None stands for what the hop before found. So "where was the
founder of the Falcon Press born?" is (("founded", 1, ((0, "Falcon Press"),)), ("born", 1, ((0, None),))).

Some frames write *states* (who holds a thing, where a firm has its seat): the later event makes the earlier one untrue.
A hop may ask for a state by its name; the latest event that writes it counts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reasongym.tasks.base import Event, Query
from reasongym.tasks.prose.lexicon import Pool
from reasongym.types import Facts, Proof

Givens = tuple[int, ...]
Piece = str | tuple[str, int]
Pieces = tuple[Piece, ...]

ENTITY_SLOTS = frozenset(("person", "org", "work", "river", "device", "city", "thing", "place", "ruler"))
"""Slots (digits at their end left away) whose values are entities of a story."""
FIELD = re.compile(r"\{([^{}]*)\}")
PRONOUNS = ("he", "his", "him")


class State(NamedTuple):
    """What an event writes: the state's name, the slot of what it is about, and that of its new value (-1: nothing)."""

    name: str
    key: int
    value: int


@dataclass(frozen=True)
class Frame:
    """One kind of event.

    Attributes:
        kind: its name.
        slots: names of the values; digits at the end tell slots of one type apart.
        sentences: ways to tell it, in pieces.
        asks: for (slot asked, slots given) the ways to ask, in pieces.
        phrases: for (slot meant, slots given) noun phrases that mean the value: "the founder of {org}".
        topics: for each slot asked, what kind of question that is.
        state: what it writes, if anything.
        types: the slots' names without digits.
        mutual: whether it holds with the first two slots exchanged, too (who marries is married).
    """

    kind: str
    slots: tuple[str, ...]
    sentences: tuple[Pieces, ...]
    asks: Mapping[tuple[int, Givens], tuple[Pieces, ...]]
    phrases: Mapping[tuple[int, Givens], tuple[Pieces, ...]]
    topics: Mapping[int, str]
    state: State | None
    types: tuple[str, ...]
    mutual: bool = False


def frame(
    kind: str,
    slots: str,
    *sentences: str,
    asks: Mapping[str, Sequence[str]] | None = None,
    phrases: Mapping[str, Sequence[str]] | None = None,
    state: tuple[str, str, str | None] | None = None,
    mutual: bool = False,
) -> Frame:
    """A frame from templates.

    A template starts in lower case and holds fields: `{slot}`; `{=slot}`, which may become a pronoun; `{slot's}`, which may
    become "her"; `{a slot}` with "a" or "an" before it; `{he}`, `{his}`, `{him}` for the first person of the event.
    `~` marks where a remark may follow. `asks` and `phrases` go by the slot they ask for; "slot: topic" names the kind of
    question. `state` is (name, slot of what it is about, slot of its value).
    """
    names = tuple(slots.split())
    types = tuple(name.rstrip("0123456789") for name in names)
    first_person = next((i for i, name in enumerate(names) if name.startswith("person")), 0)
    compiled = {text: _pieces(text, names, first_person) for text in sentences}
    topics: dict[int, str] = {}
    tables: list[dict[tuple[int, Givens], tuple[Pieces, ...]]] = []
    for table in (asks or {}, phrases or {}):
        grouped: dict[tuple[int, Givens], list[Pieces]] = defaultdict(list)
        for label, texts in table.items():
            slot, _, topic = label.partition(": ")
            if topic:
                topics[names.index(slot)] = topic
            for text in texts:
                pieces = _pieces(text, names, first_person)
                given = tuple(sorted({piece[1] for piece in pieces if not isinstance(piece, str) and piece[0] not in PRONOUNS}))
                grouped[names.index(slot), given].append(pieces)
        tables.append({key: tuple(forms) for key, forms in grouped.items()})
    written = None
    if state is not None:
        written = State(state[0], names.index(state[1]), -1 if state[2] is None else names.index(state[2]))
    return Frame(kind, names, tuple(compiled.values()), tables[0], tables[1], topics, written, types, mutual)


def _pieces(text: str, slots: tuple[str, ...], first_person: int) -> Pieces:
    """A template in literal strings and (style, slot) pairs."""
    out: list[Piece] = []
    for i, part in enumerate(FIELD.split(text)):
        if i % 2 == 0:
            if part:
                out.append(part)
        elif part in PRONOUNS:
            out.append((part, first_person))
        elif part.startswith("="):
            out.append(("=", slots.index(part[1:])))
        elif part.endswith("'s"):
            out.append(("'s", slots.index(part[:-2])))
        elif part.startswith("a "):
            out.append(("a", slots.index(part[2:])))
        else:
            out.append(("", slots.index(part)))
    return tuple(out)


class Grammar:
    """The frames of one kind of prose.

    Attributes:
        leads, tails: what a sentence may begin and end with.
        pools: for each slot filled from the lexicon, its pool.
        frames: by kind; a state that can be asked for has a frame of its name without sentences.
        states: names of the states.
        entity_slots: for each kind, the positions in an event of its entities.
    """

    def __init__(
        self, frames: Iterable[Frame], pools: Mapping[str, Pool], *, leads: tuple[str, ...], tails: tuple[str, ...]
    ) -> None:
        self.pools, self.leads, self.tails = pools, leads, tails
        self.frames = {one.kind: one for one in frames}
        self.states = {one.state.name for one in self.frames.values() if one.state}
        self.entity_slots = {
            kind: tuple(i + 1 for i, slot in enumerate(one.types) if slot in ENTITY_SLOTS) for kind, one in self.frames.items()
        }
        for kind, one in self.frames.items():
            for slot, given in (*one.asks, *one.phrases):
                if not any(one.types[i] in ENTITY_SLOTS for i in given):
                    raise ValueError(
                        f"a question for {one.slots[slot]!r} of {kind!r} names no entity, so nothing links it to its unit"
                    )

    def written(self, event: Event) -> tuple[str, str, str | None] | None:
        """(state, what it is about, new value) of an event that writes a state."""
        state = self.frames[event[0]].state
        if state is None:
            return None
        return state.name, event[state.key + 1], event[state.value + 1] if state.value >= 0 else None

    def solve(self, facts: Facts, query: Query) -> Proof:
        """What follows from some events: the one value that all matching events give, joined hop by hop."""
        found: str | None = None
        support: list[int] = []
        for kind, slot, givens in query:
            given = [(i + 1, found if value is None else value) for i, value in givens]
            if kind in self.states:
                unit, found = self._latest(facts, kind, given[0][1])
            else:
                unit, found = -1, None
                for number, event in self._all_ways(facts, kind):
                    if event[0] == kind and all(event[i] == value for i, value in given):
                        if found is not None and event[slot + 1] != found:
                            return Proof(None)
                        unit, found = number if found is None else unit, event[slot + 1]
            if found is None:
                return Proof(None)
            support.append(unit)
        kept = tuple(dict.fromkeys(support))
        return Proof(found, kept, tuple(0 if i == 0 else 1 << (i - 1) for i in range(len(kept))))

    def _all_ways(self, facts: Facts, kind: str) -> Facts:
        """The facts, and those of a mutual kind the other way round as well."""
        if not self.frames[kind].mutual:
            return facts
        return [*facts, *((n, (kind, e[2], e[1], *e[3:])) for n, e in facts if e[0] == kind)]

    def _latest(self, facts: Facts, state: str, key: str | None) -> tuple[int, str | None]:
        for number, event in reversed(facts):
            written = self.written(event)
            if written is not None and written[0] == state and written[1] == key:
                return number, written[2]
        return -1, None

    def superseded_by(self, events: Sequence[Event]) -> tuple[int, ...]:
        """For each event, the next one that writes the same state, or -1."""
        out, last = [-1] * len(events), dict[tuple[str, str], int]()
        for i, event in enumerate(events):
            written = self.written(event)
            if written is not None:
                key = written[:2]
                if key in last:
                    out[last[key]] = i
                last[key] = i
        return tuple(out)

    def entities(self, events: Sequence[Event], most: int) -> tuple[dict[str, int], tuple[int, ...]]:
        """The bit of each entity of a story, in order of appearance, and each event's mask.

        Raises:
            ValueError: more than `most` entities.
        """
        bits: dict[str, int] = {}
        masks = []
        for event in events:
            mask = 0
            for i in self.entity_slots[event[0]]:
                mask |= 1 << bits.setdefault(event[i], len(bits))
            masks.append(mask)
        if len(bits) > most:
            raise ValueError(f"a story has {len(bits)} entities, at most {most} can be told apart: ask for a shorter one")
        return bits, tuple(masks)

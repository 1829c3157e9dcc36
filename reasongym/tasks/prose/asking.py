"""Finding questions in a story: of one hop, of several, and such as the story does not answer although it seems to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from reasongym.seeding import Draws
from reasongym.tasks.base import Event, Query
from reasongym.tasks.prose.frames import ENTITY_SLOTS, Givens, Grammar
from reasongym.types import Facts

TRIES = 12


class Asked(NamedTuple):
    """A question found.

    Attributes:
        query: its hops.
        unit, slot: the event and slot that hold the answer, or where there is none the plausible wrong one.
        form: "stated", or what makes it unanswerable: "swap", "absent" or "premise".
        topic: what kind of question it is ("who", "when", ...).
    """

    query: Query
    unit: int
    slot: int
    form: str
    topic: str


def named(query: Query, value: str) -> bool:
    """Whether a question itself says a value."""
    return any(value == given for _, _, givens in query for _, given in givens)


class Asker:
    """Questions about one story.

    Args:
        far: smallest distance between the units of a question of several hops.
    """

    def __init__(self, grammar: Grammar, events: Sequence[Event], draws: Draws, far: int = 0) -> None:
        self.grammar, self.events, self.draws, self.far = grammar, events, draws, far
        self.facts: Facts = tuple(enumerate(events))
        self._meant: dict[str, list[tuple[int, str, int, Givens]]] | None = None

    def answerable(self, hops: int, topic: str | None = None) -> Asked | None:
        """A question of so many hops (and on this topic) that the story answers, or None where none was found."""
        frames, draws = self.grammar.frames, self.draws
        units = range(len(self.events)) if topic is None else self._on(topic)
        for _ in range(TRIES if units else 0):
            unit = draws.pick(units)
            event = self.events[unit]
            kind, keys = event[0], [key for key in frames[event[0]].asks if topic in (None, frames[event[0]].topics[key[0]])]
            written = self.grammar.written(event)
            if (
                written is not None
                and written[2] is not None
                and written[0] in frames
                and self._wanted(written[0], topic, keys)
            ):
                query: Query = ((written[0], 1, ((0, written[1]),)),)
                slot = frames[kind].state.value  # type: ignore[union-attr]
                kind = written[0]
            elif keys:
                slot, given = draws.pick(keys)
                query = ((kind, slot, tuple((i, event[i + 1]) for i in given)),)
            else:
                continue
            asked = self._extended(query, unit, hops)
            if asked is None:
                continue
            proof = self.grammar.solve(self.facts, asked)
            if proof.answer is None or proof.support[-1] != unit or len(proof.support) != len(asked):
                continue
            if named(asked, proof.answer) or not self._spread(proof.support):
                continue
            if not self._needed(proof.support, asked, proof.answer):
                continue
            return Asked(asked, unit, slot, "stated", frames[kind].topics[query[0][1]])
        return None

    def _on(self, topic: str) -> list[int]:
        """The events that have a question on a topic."""
        frames, out = self.grammar.frames, []
        for unit, event in self.facts:
            state = frames[event[0]].state
            if topic in frames[event[0]].topics.values() or (
                state is not None and state.name in frames and topic in frames[state.name].topics.values()
            ):
                out.append(unit)
        return out

    def _wanted(self, state: str, topic: str | None, keys: Sequence[object]) -> bool:
        """Whether to ask for what an event has left behind rather than for the event."""
        return topic in (None, self.grammar.frames[state].topics[1]) and self.draws.chance(0.4 if keys else 1.0)

    def _needed(self, support: Sequence[int], query: Query, answer: str) -> bool:
        """Whether the answer is lost with any unit of its support, both in the whole story and in the support alone."""
        alone = [fact for fact in self.facts if fact[0] in support]
        return all(
            self.grammar.solve([fact for fact in facts if fact[0] != unit], query).answer != answer
            for facts in (alone, self.facts)
            for unit in support
        )

    def _spread(self, units: Sequence[int]) -> bool:
        return all(abs(a - b) >= self.far for a, b in pairwise(units))

    def _extended(self, query: Query, unit: int, hops: int) -> Query | None:
        """The query with one of its entities meant by a phrase instead of named, as often as it takes."""
        used = {unit}
        while len(query) < hops:
            kind, slot, givens = query[0]
            types = self.grammar.frames[kind].types
            options = [
                (at, step)
                for at, (i, value) in enumerate(givens)
                if value is not None and types[i] in ENTITY_SLOTS
                for step in self.meant(value)
                if step[0] not in used
            ]
            if not options:
                return None
            at, (source, other, meant, given) = self.draws.pick(options)
            used.add(source)
            hidden = tuple((i, None if n == at else value) for n, (i, value) in enumerate(givens))
            event = self.events[source]
            first = (other, meant, tuple((i, event[i + 1]) for i in given))
            named = {value for _, value in givens} | {query[-1]}
            if any(value in named for _, value in first[2]):
                return None
            query = (first, (kind, slot, hidden), *query[1:])
        return query

    def meant(self, value: str) -> Sequence[tuple[int, str, int, Givens]]:
        """The noun phrases that mean a value: (unit, kind, slot, slots given)."""
        if self._meant is None:
            self._meant = defaultdict(list)
            for unit, event in self.facts:
                for slot, given in self.grammar.frames[event[0]].phrases:
                    self._meant[event[slot + 1]].append((unit, event[0], slot, given))
        return self._meant.get(value, ())

    def unanswerable(self, hops: int) -> Asked | None:
        """A question that the story seems to answer and does not, or None where none was found."""
        for _ in range(TRIES):
            chance = self.draws.random()
            found = self._swap() if chance < 0.4 else self._premise() if chance < 0.75 else self._absent()
            if found is None:
                continue
            query = self._extended(found.query, -1, hops)
            if query is None or not self._leads(query, found.query[0]):
                continue
            if self.grammar.solve(self.facts, query).answer is None and not named(
                query, self.events[found.unit][found.slot + 1]
            ):
                return found._replace(query=query)
        return None

    def _leads(self, query: Query, last: tuple) -> bool:
        """Whether the phrases in front lead to what the last hop was about."""
        if len(query) == 1:
            return True
        meant = next(value for (_, value), (_, hidden) in zip(last[2], query[-1][2], strict=True) if hidden is None)
        return self.grammar.solve(self.facts, query[:-1]).answer == meant

    def _swap(self) -> Asked | None:
        """The same relation of another entity of the same type, of which it is not told."""
        unit = self.draws.below(len(self.events))
        event = self.events[unit]
        frame = self.grammar.frames[event[0]]
        keys = [key for key in frame.asks if key[0] != 0 and 0 in key[1]]
        others = [value for value in self._known(frame.types[0]) if value != event[1]]
        if not keys or not others:
            return None
        slot, given = self.draws.pick(keys)
        other = self.draws.pick(others)
        if other in event:
            return None
        query = ((event[0], slot, tuple((i, other if i == 0 else event[i + 1]) for i in given)),)
        return Asked(query, unit, slot, "swap", frame.topics[slot])

    def _premise(self) -> Asked | None:
        """One condition too many, which is false of the event."""
        unit = self.draws.below(len(self.events))
        event = self.events[unit]
        frame = self.grammar.frames[event[0]]
        keys = [key for key in frame.asks if len(key[1]) > 1 and 0 in key[1]]
        if not keys:
            return None
        slot, given = self.draws.pick(keys)
        changed = given[-1]
        values = [value for value in self._known(frame.types[changed]) if value != event[changed + 1]]
        if event[slot + 1] in values and frame.types[slot] == frame.types[changed]:
            values = [event[slot + 1]]  # what came after the last
        if not values:
            return None
        value = self.draws.pick(values)
        query = ((event[0], slot, tuple((i, value if i == changed else event[i + 1]) for i in given)),)
        others = [n for n, other in self.facts if other[0] == event[0] and other[1] == event[1]]
        return Asked(query, self.draws.pick(others), slot, "premise", frame.topics[slot])

    def _absent(self) -> Asked | None:
        """A relation that the story does not tell, of an entity for which it tells a value of the same type."""
        unit = self.draws.below(len(self.events))
        subject = self.events[unit][1]
        mine = self.grammar.frames[self.events[unit][0]].types
        told = {event[0] for event in self.events}
        options = [
            (kind, key, shown)
            for kind, frame in self.grammar.frames.items()
            if kind not in told and frame.sentences and frame.types[0] == mine[0]
            for key in frame.asks
            if key[1] == (0,)
            for shown in range(1, len(mine))
            if mine[shown] == frame.types[key[0]]
        ]
        if not options:
            return None
        kind, (slot, _), shown = self.draws.pick(options)
        return Asked(((kind, slot, ((0, subject),)),), unit, shown, "absent", self.grammar.frames[kind].topics[slot])

    def _known(self, slot_type: str) -> list[str]:
        """The values of a type of slot in the story, in order of appearance."""
        out: dict[str, None] = {}
        for event in self.events:
            for i, one in enumerate(self.grammar.frames[event[0]].types):
                if one == slot_type:
                    out[event[i + 1]] = None
        return list(out)
